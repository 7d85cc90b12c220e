"""Partitions of two CPUs each on four, restart policies, and machines of one CPU."""

import re

import pytest

from system import BOOT_TIMEOUT, System

CONFIG = """
[hypervisor]
console = serial

[partition alpha]
mode         = full
cpus         = 2
pin          = 0, 2
memory       = 64M
image        = \\guests\\full.elf
cmdline      = name=alpha
on_fault     = restart
max_restarts = 2

[partition beta]
mode         = para
cpus         = 2
memory       = 32M
image        = \\guests\\para.elf
"""

GUESTS = ["alpha", "beta"]
NUMBER = {"alpha": 1, "beta": 2}
OTHER = {"alpha": "beta", "beta": "alpha"}
CPUS = {"alpha": (0, 2), "beta": (1, 3)}
STAMP = r"\[ *\d+\.\d{6}\] "


@pytest.fixture(scope="module")
def machine(platform):
    with System(platform, CONFIG, cpus=4) as system:
        for guest in GUESTS:
            system.said(guest, "ready, type help", timeout=BOOT_TIMEOUT)
        yield system


def type_to(machine, guest, text):
    """Types one line; returns the moment before."""
    machine.keyboard(NUMBER[guest])
    since = machine.mark()
    machine.line(text)
    return since


def monitor(machine, text, last):
    machine.keyboard(0)
    since = machine.mark()
    machine.line(text)
    machine.said("bulkhead", last, since)
    return machine.lines(since, "bulkhead")


def start(machine, guest):
    """Starts a partition; returns the moment before."""
    machine.keyboard(0)
    since = machine.mark()
    machine.line(f"start {guest}")
    return since


def test_four_cpus_are_ready(machine):
    machine.said("bulkhead", STAMP + "CPUs: 4 of 4 are ready")
    machine.said("bulkhead", STAMP + "partition 1 alpha: full, 2 vCPUs from CPU 0, .*")
    machine.said("bulkhead", STAMP + "partition 2 beta: para, 2 vCPUs from CPU 1, .*")


@pytest.mark.parametrize("guest", GUESTS)
def test_pins_are_kept(machine, guest):
    told = monitor(machine, f"info {guest}", "  why off   .*")
    for vcpu, cpu in enumerate(CPUS[guest]):
        assert [line for line in told if re.match(rf"  vcpu {vcpu}    on CPU {cpu}, ", line)]


@pytest.mark.parametrize("guest", GUESTS)
def test_second_cpu_comes_up(machine, guest):
    """By INIT and start-up IPI in the full guest, by CPU_ON in the para guest."""
    said = machine.lines(who=guest)
    assert said[1].startswith("cpus 2, ")
    assert said[3] == "cpu 1 up"
    assert re.fullmatch(r"messages ok: cpu 1 answered 100 of 100, \d+ TSC ticks each", said[4])
    assert said[5] == "ready, type help"


@pytest.mark.parametrize("guest", GUESTS)
def test_second_cpu_goes_off_and_on(machine, guest):
    machine.said(guest, "cpu 1 off", type_to(machine, guest, "cpuoff 1"))
    machine.said(guest, "cpu 1 is off", type_to(machine, guest, "stat"))
    if guest == "beta":
        told = monitor(machine, "info beta", "  why off   .*")
        assert "  vcpu 1    on CPU 3, off" in told
    machine.said(guest, "cpu 1 could NOT be stopped", type_to(machine, guest, "cpuoff 1"))
    since = type_to(machine, guest, "cpuon 1")
    machine.said(guest, "cpu 1 up", since)
    machine.said(guest, r"messages ok: cpu 1 answered 100 of 100, \d+ TSC ticks each", since)
    machine.said(guest, "cpu 1 is on", type_to(machine, guest, "stat"))


@pytest.mark.parametrize("guest", GUESTS)
def test_cpus_talk_again_and_again(machine, guest):
    for _ in range(5):
        machine.said(guest, r"messages ok: cpu 1 answered 100 of 100, \d+ TSC ticks each", type_to(machine, guest, "talk 1"))


@pytest.mark.parametrize("guest", GUESTS)
def test_cpus_that_are_not_there(machine, guest):
    machine.said(guest, "cpu 7 did NOT start", type_to(machine, guest, "cpuon 7"))
    machine.said(guest, "cpu 1 did NOT start", type_to(machine, guest, "cpuon 1"))


@pytest.mark.parametrize("guest, reason", [("alpha", "reset by the guest"), ("beta", "SYSTEM_RESET")])
def test_reset_brings_both_cpus_back(machine, guest, reason):
    since = type_to(machine, guest, "reset")
    machine.said("bulkhead", STAMP + f"partition {guest} resets: {reason}", since)
    machine.said(guest, r"messages ok: cpu 1 answered 100 of 100, \d+ TSC ticks each", since)
    machine.said(guest, "ready, type help", since)


@pytest.mark.parametrize("crash", ["triple", "memory", "spin"])
def test_reset_while_the_guest_is_lost(machine, crash):
    """Whatever one vCPU does, both are taken out and started afresh."""
    if crash == "spin":
        machine.said("beta", "crash spin: .*", type_to(machine, "beta", "crash spin"))
    since = machine.mark()
    monitor(machine, "reset beta", STAMP + "partition beta resets: by the monitor")
    machine.said("beta", "ready, type help", since)
    assert "cpu 1 up" in machine.lines(since, "beta")


def test_restarts_are_used_up(machine):
    """alpha: on_fault = restart, max_restarts = 2."""
    for restart in (1, 2):
        since = type_to(machine, "alpha", "crash triple")
        machine.said("bulkhead", STAMP + rf"warning: partition alpha restarts \({restart} of 2\)", since)
        machine.said("alpha", "ready, type help", since)
        assert "cpu 1 up" in machine.lines(since, "alpha")
    since = type_to(machine, "alpha", "crash triple")
    machine.said("bulkhead", STAMP + "warning: partition alpha has used up its 2 restarts", since)
    machine.said("bulkhead", STAMP + "partition alpha is off: triple fault", since)
    row = monitor(machine, "list", "   2  beta .*")[1].split()
    assert row[:3] == ["1", "alpha", "faulted"] and row[7:] == ["2", "triple", "fault"]


def test_start_gives_the_restarts_back(machine):
    since = start(machine, "alpha")
    machine.said("alpha", "ready, type help", since)
    since = type_to(machine, "alpha", "crash triple")
    machine.said("bulkhead", STAMP + r"warning: partition alpha restarts \(1 of 2\)", since)
    machine.said("alpha", "ready, type help", since)


def test_policy_stop(machine):
    """beta: on_fault = stop is what the config says by saying nothing."""
    since = type_to(machine, "beta", "crash exception")
    machine.said("beta", "exception 6 error 0 at .*", since)
    machine.said("bulkhead", STAMP + "partition beta is off: triple fault", since)
    row = monitor(machine, "list", "   2  beta .*")[2].split()
    assert row[:3] == ["2", "beta", "faulted"] and row[7:] == ["0", "triple", "fault"]
    assert "restarts" not in " ".join(machine.lines(since, "bulkhead")[:-3])
    machine.said("alpha", "heartbeat .*", since)


def test_keyboard_of_a_partition_that_is_off_rings(machine):
    machine.keyboard(2)
    machine.line("nobody there")
    machine.expect("\a")


def test_key_x_powers_off_with_a_summary(machine):
    since = start(machine, "beta")
    machine.said("beta", "ready, type help", since)
    machine.send("\x1dx")
    machine.wait_end()
    told = machine.lines(who="bulkhead")
    summary = told[told.index("summary") + 1:]
    assert re.fullmatch(r"  alpha +was running +\d+\.\d{3} s +\d+ +\d+ +1  ", summary[1])
    assert re.fullmatch(r"  beta +was running +\d+\.\d{3} s +\d+ +\d+ +0  ", summary[2])


ONE_CPU = """
[partition single]
mode    = {mode}
memory  = 16M
image   = \\guests\\{image}.elf
cmdline = name=single beats=10
"""


@pytest.mark.parametrize("mode", ["full", "para"])
def test_one_cpu_serves_guest_and_console(platform, mode):
    """The only CPU runs the guest, the console and the monitor. The guest ends by itself, and so the machine does."""
    with System(platform, ONE_CPU.format(mode=mode, image=mode), cpus=1) as system:
        system.said("single", f"hello from single, a {mode} guest", timeout=BOOT_TIMEOUT)
        system.said("bulkhead", STAMP + "CPUs: 1 of 1 are ready")
        system.keyboard(1)
        system.line("anybody")
        system.said("single", "echo: anybody")
        system.said("single", "done after 10 heartbeats")
        system.wait_end()
        assert [line.split()[1] for line in system.lines(who="single") if "heartbeat" in line] == [*map(str, range(1, 11)), "after"]
        reason = "switched off by the guest" if mode == "full" else "SYSTEM_OFF"
        assert re.search(rf"  single +system off +\d+\.\d{{3}} s +\d+ +\d+ +0  {reason}", system.transcript)


def test_hello_runs(platform):
    """The smallest guest that ships: says hello, counts five seconds, ends."""
    with System(platform, ONE_CPU.format(mode="para", image="hello-para"), cpus=1) as system:
        system.said("single", "hello from single: 1 CPU, 16384 KiB", timeout=BOOT_TIMEOUT)
        for second in range(1, 6):
            system.said("single", rf"second {second} at {second}\d\d\d ms|second {second} at \d+ ms")
        system.said("single", "goodbye")
        system.wait_end()
