#!/bin/sh
# QEMU with a gdb that has the hypervisor's symbols and stops at its entry. Usage: tools/debug.sh IMAGE ELF [GDB-ARGUMENT...]
set -eu
image=$1 elf=$2
shift 2
directory=$(mktemp -d)
/usr/bin/python3 "$(dirname "$0")/emulator.py" --platform qemu --gdb "$directory/gdb" "$image" </dev/null >"$directory/serial" 2>&1 &
qemu=$!
trap 'kill $qemu 2>/dev/null; rm -rf "$directory"' EXIT
echo "serial output: $directory/serial"
while kill -0 $qemu && [ ! -S "$directory/gdb" ]; do sleep 0.1; done
# The entry is mapped only once the loader has built its tables: a hardware breakpoint waits for that.
gdb -q "$elf" -ex "target remote $directory/gdb" -ex 'hbreak hypervisor_entry' -ex continue "$@"
