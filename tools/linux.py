#!/usr/bin/python3
"""Fetches Debian's own Linux kernels, busybox and memtest86+, and makes an initramfs: guests that nobody changed.

Everything lands in build/linux/: vmlinuz-FLAVOUR, vmlinux-FLAVOUR (the ELF inside, for PVH), initrd, memtest.
As a program: linux.py [--flavour regular|cloud] [--pvh] [--memtest]. It prints nothing when there is nothing to do.
"""

import argparse
import contextlib
import fcntl
import glob
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
FOLDER = os.path.join(ROOT, "build", "linux")
PACKAGES = {"regular": "linux-image-amd64", "cloud": "linux-image-cloud-amd64"}
SETUP_SECTORS_AT, PAYLOAD_AT, SECTOR = 0x1F1, 0x248, 512  # Documentation/x86/boot.rst
LZ4_LEGACY = b"\x02\x21\x4c\x18"
XZ = b"\xfd7zXZ\x00"

INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
hostname "$(sed -n 's/.*\\bname=\\([^ ]*\\).*/\\1/p' /proc/cmdline)"
export PATH=/bin PS1='\\h# ' HOME=/
echo "$(hostname): $(uname -sr), $(nproc) CPUs, $(sed -n 's/MemTotal: *//p' /proc/meminfo)"
stty columns 240 # the console shows lines as they end: the shell is not to edit within them
while :; do setsid cttyhack sh; done
"""


class LinuxError(Exception):
    """Something is missing; the text says what and what to do."""


def run(command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LinuxError(f"{' '.join(command)}: {done.stderr.strip()[-500:]}")
    return done.stdout


def update_lists():
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    run([*sudo, "apt-get", "update", "-qq"])


def real_package(meta):
    """The package that a meta package depends on."""
    found = re.search(r"Depends: (linux-image-\d\S+)", run(["apt-cache", "depends", meta]))
    if not found:
        raise LinuxError(f"the Debian package {meta} depends on no kernel")
    return found[1]


def unpack(package):
    """The package's files, in a folder under build/linux; a kernel's meta package stands for the newest kernel."""
    target = os.path.join(FOLDER, package)
    if os.path.isdir(target):
        return target
    partial, packages = target + ".part", os.path.join(FOLDER, "packages", package)
    for folder in (partial, packages):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
    name = real_package(package) if package in PACKAGES.values() else package
    print(f"linux: fetching the Debian package {name}", flush=True)
    run(["apt-get", "download", "-q", name], cwd=packages)
    run(["dpkg-deb", "-x", *glob.glob(os.path.join(packages, "*.deb")), partial])
    os.rename(partial, target)
    return target


@contextlib.contextmanager
def alone():
    """One process at a time makes files in build/linux: the tests of both emulators run at once."""
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(package):
    """unpack(), after another look at what Debian has when the first one finds nothing."""
    with alone():
        try:
            return unpack(package)
        except LinuxError:
            update_lists()
            return unpack(package)


def write(target, content):
    """A file that is never seen half written."""
    with alone():
        with open(target + ".part", "wb") as file:
            file.write(content)
        os.rename(target + ".part", target)
    return target


def only(pattern):
    found = glob.glob(pattern)
    if len(found) != 1:
        raise LinuxError(f"{pattern}: found {len(found)} files, expected one")
    return found[0]


def kernel(flavour="cloud"):
    """The path of Debian's bzImage."""
    return only(os.path.join(fetch(PACKAGES[flavour]), "boot", "vmlinuz-*"))


def decompress(payload):
    if payload.startswith(XZ):
        return lzma.LZMADecompressor().decompress(payload)
    if payload.startswith(LZ4_LEGACY):
        if not shutil.which("lz4"):
            raise LinuxError("lz4 is not installed; run `make deps`")
        return subprocess.run(["lz4", "-dc"], input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=False).stdout
    raise LinuxError(f"a kernel packed in an unknown way, first bytes {payload[:6].hex()}")


def kernel_elf(flavour="cloud"):
    """The path of the ELF that is packed in the bzImage: it has the PVH entry."""
    target = os.path.join(FOLDER, f"vmlinux-{flavour}")
    source = kernel(flavour)
    if not os.path.exists(target):
        with open(source, "rb") as file:
            image = file.read()
        offset, size = struct.unpack_from("<II", image, PAYLOAD_AT)
        start = (image[SETUP_SECTORS_AT] + 1) * SECTOR + offset
        elf = decompress(image[start:start + size])
        if not elf.startswith(b"\x7fELF"):
            raise LinuxError(f"{source}: no ELF is packed in it")
        write(target, elf)
    return target


def memtest():
    """The path of memtest86+, which boots as Linux does."""
    return only(os.path.join(fetch("memtest86+"), "boot", "memtest86+x64.bin"))


def cpio_entry(name, mode, data=b"", device=(0, 0)):
    """One entry of an archive in the format "newc" (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def initramfs():
    """The path of an initramfs with busybox and a shell on the console. The same bytes every time."""
    target = os.path.join(FOLDER, "initrd")
    busybox = os.path.join(fetch("busybox-static"), "bin", "busybox")
    with open(busybox, "rb") as file:
        program = file.read()
    archive = [cpio_entry(folder, 0o040755) for folder in ("bin", "dev", "proc", "sys", "tmp")]
    archive += [cpio_entry("dev/console", 0o020600, device=(5, 1)), cpio_entry("init", 0o100755, INIT.encode()),
                cpio_entry("bin/busybox", 0o100755, program)]
    archive += [cpio_entry(f"bin/{applet}", 0o120777, b"busybox") for applet in run([busybox, "--list"]).split()
                if applet != "busybox"]
    archive.append(cpio_entry("TRAILER!!!", 0))
    return write(target, b"".join(archive))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flavour", choices=PACKAGES, default="cloud")
    parser.add_argument("--pvh", action="store_true", help="the ELF in the kernel, too")
    parser.add_argument("--memtest", action="store_true", help="memtest86+, too")
    options = parser.parse_args()
    try:
        shutil.copyfile(kernel(options.flavour), os.path.join(FOLDER, f"vmlinuz-{options.flavour}"))
        initramfs()
        if options.pvh:
            kernel_elf(options.flavour)
        if options.memtest:
            shutil.copyfile(memtest(), os.path.join(FOLDER, "memtest"))
    except (LinuxError, OSError) as error:
        print(f"linux: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
