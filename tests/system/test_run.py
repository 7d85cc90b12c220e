"""What a person types: `make run` on each emulator, `make linux`, `make debug`, and the words where a platform cannot run."""

import os

import pexpect
import pytest

from system import BOOT_TIMEOUT, ROOT, emulator

LINUX_TIMEOUT = 400
NAMES = {"qemu": "QEMU, emulated SVM", "bochs": "Bochs, emulated VT-x"}


def make(*arguments):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    console = pexpect.spawn("make", ["--no-print-directory", *arguments], cwd=ROOT, timeout=BOOT_TIMEOUT, encoding="utf-8",
                            env=dict(environment, CI="true", TERM="xterm"), dimensions=(40, 160))
    console.delaybeforesend = None
    return console


def ended(console):
    console.expect(pexpect.EOF)
    console.close()
    return console.exitstatus


def test_run(platform):
    """Both guests talk; what is typed arrives; Ctrl-] x ends it."""
    console = make("run", f"PLATFORM={platform}")
    console.expect_exact(f"{NAMES[platform]}; 2 CPUs, 1024 MiB; Ctrl-] x powers off, Ctrl-] ? helps")
    console.expect(r"(alpha|beta) +\| heartbeat 1 ")
    console.send("typed by a person\r")
    console.expect_exact("alpha   | echo: typed by a person")
    console.send("\x1dx")
    console.expect("summary")
    assert ended(console) == 0


def test_linux():
    """Debian's regular kernel twice, each with a shell, beside the para guest. On Bochs test_linux.py boots as many guests."""
    console = make("linux", "PLATFORM=qemu")
    console.timeout = LINUX_TIMEOUT
    for _ in range(2):
        console.expect(r"(alpha|beta) +\| Enter 'help' for a list of built-in commands")
    for key, guest in ((1, "alpha"), (2, "beta")):
        console.send(f"\x1d{key}")
        console.expect_exact(f"keyboard: {guest}")
        console.send("echo $((6 * 7)) at $(hostname)\r")
        console.expect(rf"{guest} +\| 42 at {guest}")
    console.send("\x1d3")
    console.expect_exact("keyboard: gamma")
    console.expect(r"gamma +\| heartbeat \d+ ")
    console.send("\x1dx")
    console.expect("summary")
    assert ended(console) == 0


def test_run_on_a_kvm_that_does_not_nest():
    if emulator.kvm_nests():
        pytest.skip("this host's KVM nests")
    console = make("run", "PLATFORM=kvm")
    console.expect_exact("run: platform kvm: this host's KVM offers no VMX or SVM to its guests; use qemu or bochs")
    assert ended(console) != 0


def test_run_on_a_platform_nobody_knows():
    console = make("run", "PLATFORM=toaster")
    console.expect("argument --platform: invalid choice: 'toaster'")
    assert ended(console) != 0


def test_debug_stops_at_the_entry_of_the_hypervisor():
    console = make("debug")
    console.expect(r"(Breakpoint|breakpoint) \d+, ")  # no more: a `.*` may take the prompt with it
    console.expect_exact("(gdb) ")
    console.sendline("print/x $pc")
    console.expect(r"0xffffffff8[0-9a-f]{7}")
    console.expect_exact("(gdb) ")
    console.sendline("info symbol $pc")
    console.expect(r"\w+( \+ \d+)? in section \.text")
    console.expect_exact("(gdb) ")
    console.sendline("kill")
    console.sendline("y")
    console.sendline("quit")
    ended(console)
