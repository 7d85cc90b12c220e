#!/bin/sh
# Installs the Debian packages that are missing for a purpose: build, run, bochs or test. Lists them first; asks, unless
# CI=true or root. Usage: tools/deps.sh PURPOSE...
set -eu

build="gcc make nasm gnu-efi mtools gdisk binutils python3 console-setup-linux"
run="qemu-system-x86 ovmf"
bochs="bochs bochs-term vgabios ovmf"
test="$run $bochs libcmocka-dev libzydis-dev clang clang-tidy clang-format cppcheck gcovr libclang-rt-14-dev
      acpica-tools lz4 python3-pytest python3-pytest-timeout python3-pexpect pyflakes3 shellcheck git"
debug="gdb"
prove="frama-c-base"

wanted=""
for purpose in "$@"; do
	case $purpose in
	build) wanted="$wanted $build" ;;
	run) wanted="$wanted $run" ;;
	bochs) wanted="$wanted $bochs" ;;
	test) wanted="$wanted $test" ;;
	debug) wanted="$wanted $debug" ;;
	prove) wanted="$wanted $prove" ;;
	*) echo "deps: unknown purpose '$purpose', expected build, run, bochs, test, debug or prove" >&2; exit 2 ;;
	esac
done

missing=""
for package in $(printf '%s\n' $wanted | sort -u); do
	dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "Debian packages that are missing:$missing"
sudo=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "deps: install them as root: apt-get install$missing" >&2; exit 1; }
	sudo=sudo
	if [ "${CI:-}" != true ]; then
		printf 'Install them now with apt-get? [y/N] '
		read -r answer
		case $answer in y | Y | yes) ;; *) echo "deps: not installed, stopping" >&2; exit 1 ;; esac
	fi
fi
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
if ! { $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "deps: apt-get failed, see above" >&2
	exit 1
fi
rm -f "$log"
