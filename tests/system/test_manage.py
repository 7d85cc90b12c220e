"""A partition that manages others: what it may, what others may not, and orders that meet each other; on both emulators."""

import os
import re

import pytest

import system

MANAGER = """
[partition boss]
mode    = para
memory  = 8M
image   = \\guests\\manager-para.elf
manage  = {manage}
cmdline = {cmdline}
"""

ALPHA = """
[partition alpha]
mode      = full
memory    = 16M
image     = \\guests\\full.elf
autostart = {autostart}
"""

BETA = """
[partition beta]
mode   = para
memory = 8M
image  = \\guests\\para.elf
"""

FILES = {"\\guests\\manager-para.elf": os.path.join(system.BUILD, "guests/manager-para.elf")}


def start(platform, config, cpus, manage="yes", cmdline="", autostart="no"):
    text = config.format(manage=manage, cmdline=cmdline, autostart=autostart)
    return system.System(platform, text, cpus=cpus, files=FILES)


def ask(machine, text, answer):
    """Types a command to the manager, partition 1, and waits for a line of its answer."""
    since = machine.mark()
    machine.line(text)
    return machine.said("boss", answer, since)


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_manager_rules(platform):
    with start(platform, MANAGER + ALPHA + BETA, 3) as machine:
        machine.said("boss", "ready, type help", timeout=system.BOOT_TIMEOUT)
        machine.said("beta", "ready, type help")
        machine.keyboard(1)
        ask(machine, "list", r"2 alpha: off, full, 1 vCPUs, 16384 KiB, 0 ms, 0 restarts, never ended")
        ask(machine, "stop 2", r"stop 2: it is off")
        ask(machine, "start 2", r"start 2: ordered")
        machine.said("boss", "partition alpha is running")
        machine.said("alpha", "hello from full, a full guest")
        machine.said("alpha", "ready, type help")
        ask(machine, "start 2", r"start 2: it is on already")
        port = ask(machine, "stats 2", r"alpha: port (\d+) exits, (\d+) ticks")
        assert int(port[1]) > 50 and int(port[2]) > 1000
        since = machine.mark()
        ask(machine, "reset 3", r"reset 3: ordered")
        machine.said("bulkhead", r"\[ *\d+\.\d+\] partition beta resets: by partition boss", since)
        machine.said("beta", "ready, type help", since)
        ask(machine, "stop 2", r"stop 2: ordered")
        machine.said("boss", "partition alpha is off")
        machine.said("bulkhead", r"\[ *\d+\.\d+\] partition alpha is off: by partition boss")
        listed = ask(machine, "list", r"2 alpha: off, full, 1 vCPUs, 16384 KiB, (\d+) ms, 0 restarts, system off")
        assert int(listed[1]) > 0
        for other in ("0", "4", "99"):
            ask(machine, f"start {other}", rf"start {other}: there is no such partition")
        # Who stops himself does not come back; and with the last partition the machine goes.
        ask(machine, "stop 3", r"stop 3: ordered")
        machine.said("boss", "partition beta is off")
        machine.line("stop 1")
        machine.wait_end()
        summary = [line for line in machine.lines(who="bulkhead") if re.match(r" +(boss|alpha|beta) ", line)]
        assert len(summary) == 3 and all("system off" in line for line in summary), summary
        assert "stop 1: " not in machine.transcript


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_without_the_right(platform):
    with start(platform, MANAGER + BETA, 2, manage="no") as machine:
        machine.said("boss", "list: denied: .*", timeout=system.BOOT_TIMEOUT)
        machine.said("boss", "ready, type help")
        machine.said("beta", "ready, type help")
        machine.keyboard(1)
        for command in ("start 2", "stop 2", "reset 2", "stats 2", "stop 1", "reset 99"):
            ask(machine, command, rf"{command.split()[0]}[ \d]*: denied: .*")
        machine.keyboard(2)
        machine.line("still here")
        machine.said("beta", "echo: still here")


def test_two_managers_race():
    """Both reset the same partition as fast as they can, and it ends up running; nobody waits for ever."""
    two = MANAGER + BETA + MANAGER.replace("boss", "deputy")
    with start("qemu", two, 3, cmdline="reset=100") as machine:
        machine.said("boss", r"100 resets, waited \d+ times", timeout=system.BOOT_TIMEOUT)
        machine.said("deputy", r"100 resets, waited \d+ times")
        machine.drain()
        since = machine.mark()
        machine.keyboard(1)
        ask(machine, "reset 2", r"reset 2: ordered")
        machine.said("beta", "ready, type help", since)
        assert "panic" not in machine.transcript and "fault" not in machine.transcript


def test_reset_of_itself():
    with start("qemu", MANAGER + BETA, 2) as machine:
        machine.said("boss", "ready, type help", timeout=system.BOOT_TIMEOUT)
        machine.keyboard(1)
        since = machine.mark()
        machine.line("reset 1")
        machine.said("bulkhead", r"\[ *\d+\.\d+\] partition boss resets: by partition boss", since)
        machine.said("boss", "ready, type help", since)
