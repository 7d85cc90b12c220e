#!/usr/bin/python3
"""Starts Bulkhead on a machine: QEMU with KVM where it really nests, QEMU's own CPU (SVM), or Bochs (VT-x).

One place knows the emulators' command lines: `make run`, `make debug`, the tests, the benchmark and the study use it.
As a program: emulator.py [--platform auto|kvm|qemu|bochs] [--cpus N] [--memory MIB] [--screen] [--gdb SOCKET] IMAGE
"""

import argparse
import fcntl
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import tty

OVMF_QEMU = "/usr/share/ovmf/OVMF.fd"
BOCHS_MODEL = "corei7_skylake_x"
KVM_GET_SUPPORTED_CPUID = 0xC008AE05
CPUID_ENTRIES = 256


class MachineError(Exception):
    """The machine cannot be started; the text says why and what to do."""


def kvm_nests():
    """True if KVM offers its guests VMX or SVM: an existing /dev/kvm proves nothing."""
    try:
        with open("/dev/kvm", "rb") as kvm:
            request = bytearray(struct.pack("II", CPUID_ENTRIES, 0) + bytes(40 * CPUID_ENTRIES))
            fcntl.ioctl(kvm, KVM_GET_SUPPORTED_CPUID, request)
    except OSError:
        return False
    count = struct.unpack_from("I", request)[0]
    for i in range(min(count, CPUID_ENTRIES)):
        function, _, _, _, _, ecx, _ = struct.unpack_from("7I", request, 8 + 40 * i)
        if (function == 1 and ecx & 1 << 5) or (function == 0x80000001 and ecx & 1 << 2):
            return True
    return False


def choose_platform(wanted="auto"):
    if wanted == "auto":
        wanted = "kvm" if kvm_nests() and shutil.which("qemu-system-x86_64") else "qemu"
    if wanted == "kvm" and not kvm_nests():
        raise MachineError("platform kvm: this host's KVM offers no VMX or SVM to its guests; use qemu or bochs")
    program = "bochs" if wanted == "bochs" else "qemu-system-x86_64"
    if not shutil.which(program):
        raise MachineError(f"platform {wanted}: {program} is not installed; run `make deps`")
    return wanted


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def qemu_command(image, cpus=2, memory=1024, kvm=False, cpu=None, screen=False, extra=()):
    accel = "kvm" if kvm else "tcg"
    command = ["qemu-system-x86_64", "-machine", f"q35,accel={accel}", "-cpu", cpu or ("host" if kvm else "max"),
               "-smp", str(cpus), "-m", str(memory), "-bios", OVMF_QEMU,
               "-drive", f"file={image},format=raw,snapshot=on", "-no-reboot", "-net", "none"]
    if not screen:
        command += ["-display", "none"]
    return command + list(extra)


BOCHS_CONFIG = """\
display_library: {display}
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest={memory}, host={memory}
romimage: file=/usr/share/ovmf/OVMF.fd, address=0xffe00000
vgaromimage: file=/usr/share/vgabios/vgabios-stdvga.bin
vga: extension=vbe
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path={image}, mode=flat
boot: disk
clock: sync=none, time0=1700000000
com1: enabled=1, mode=socket-server, dev=127.0.0.1:{port}
log: {directory}/bochs.log
panic: action=report
error: action=ignore
info: action=ignore
"""


class Bochs:
    """A Bochs with its first serial port on a socket. It is deterministic: the same image gives the same run."""

    def __init__(self, image, cpus=2, memory=1024, model=BOCHS_MODEL, ips=4000000, display="term"):
        self.directory = tempfile.mkdtemp(prefix="bulkhead-bochs-")
        self.image = os.path.join(self.directory, "disk.img")
        shutil.copyfile(image, self.image)
        self.port = free_port()
        config = os.path.join(self.directory, "bochsrc")
        with open(config, "w", encoding="ascii") as out:
            out.write(BOCHS_CONFIG.format(display=display, model=model, cpus=cpus, ips=ips, memory=memory,
                                          image=self.image, port=self.port, directory=self.directory))
        debugger = os.path.join(self.directory, "debugger")
        with open(debugger, "w", encoding="ascii") as out:
            out.write("c\nq\n")
        self.output = open(os.path.join(self.directory, "output"), "wb")
        environment = dict(os.environ, TERM="xterm")
        self.process = subprocess.Popen(["bochs", "-q", "-rc", debugger, "-f", config], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.output, env=environment,
                                        start_new_session=True)
        try:
            self.serial = self.connect()
        except MachineError:
            self.close()
            raise

    def connect(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                return socket.create_connection(("127.0.0.1", self.port))
            except ConnectionRefusedError:
                time.sleep(0.05)
        raise MachineError(f"Bochs did not open its serial port: {self.log_tail()}")

    def log_tail(self):
        text = ""
        for name in ("output", "bochs.log"):
            path = os.path.join(self.directory, name)
            if os.path.exists(path):
                with open(path, "rb") as log:
                    text += log.read()[-600:].decode("utf-8", "replace")
        return text

    def close(self):
        """Bochs ignores SIGTERM."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if hasattr(self, "serial"):
            self.serial.close()
        self.output.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def talk(serial, process):
    """The user's terminal on the serial line until the machine ends."""
    raw = sys.stdin.isatty()
    saved = termios.tcgetattr(sys.stdin) if raw else None
    if raw:
        tty.setraw(sys.stdin)
    try:
        sources = [serial, sys.stdin]
        while process.poll() is None:
            readable, _, _ = select.select(sources, [], [], 0.5)
            if serial in readable:
                data = serial.recv(4096)
                if not data:
                    break
                os.write(1, data)
            if sys.stdin in readable:
                typed = os.read(0, 256)
                if typed:
                    serial.sendall(typed)
                else:
                    sources.remove(sys.stdin)
    finally:
        if raw:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, saved)


def run_bochs(options):
    bochs = Bochs(options.image, options.cpus, options.memory, model=options.model)
    try:
        talk(bochs.serial, bochs.process)
    finally:
        bochs.close()
    return 0


def run_qemu(options, kvm):
    extra = ["-chardev", "stdio,id=serial0,signal=off", "-serial", "chardev:serial0", "-monitor", "none"]
    if options.gdb:
        extra += ["-S", "-chardev", f"socket,id=gdb,path={options.gdb},server=on,wait=off", "-gdb", "chardev:gdb"]
    return subprocess.call(qemu_command(options.image, options.cpus, options.memory, kvm, screen=options.screen,
                                        extra=extra))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("--platform", default="auto", choices=["auto", "kvm", "qemu", "bochs"])
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory", type=int, default=1024, help="MiB")
    parser.add_argument("--model", default=BOCHS_MODEL, help="Bochs CPU model")
    parser.add_argument("--screen", action="store_true", help="show the screen in a window")
    parser.add_argument("--gdb", metavar="SOCKET", help="wait for gdb on this socket")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that an emulator is ended with us
    try:
        platform = choose_platform(options.platform)
        name = {"kvm": "QEMU with KVM", "qemu": "QEMU, emulated SVM", "bochs": "Bochs, emulated VT-x"}[platform]
        print(f"{name}; {options.cpus} CPUs, {options.memory} MiB; Ctrl-] x powers off, Ctrl-] ? helps", flush=True)
        return run_bochs(options) if platform == "bochs" else run_qemu(options, platform == "kvm")
    except MachineError as error:
        print(f"run: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
