#!/bin/sh
# QEMU with a gdb that has the hypervisor's symbols and stops at its entry. Usage: tools/debug.sh IMAGE ELF [GDB-ARGUMENT...]
set -eu
image=$1 elf=$2
shift 2
log=$(mktemp)
/usr/bin/python3 "$(dirname "$0")/emulator.py" --platform qemu --gdb "$image" </dev/null >"$log" 2>&1 &
qemu=$!
trap 'kill $qemu 2>/dev/null; rm -f "$log"' EXIT
echo "serial output: $log"
# The entry is mapped only once the loader has built its tables: a hardware breakpoint waits for that.
gdb -q "$elf" -ex 'target remote :1234' -ex 'hbreak hypervisor_entry' -ex continue "$@"
