"""The full guests know nothing of hypervisors: the same images run on a bare PC.

Each test starts an image with QEMU's -kernel, without Bulkhead. Instruction counting (-icount) ties the guest's time to
its instructions, and idle time is skipped, so that a busy host does not make ticks drift.
"""

import re
from pathlib import Path

import pexpect
import pytest

ROOT = Path(__file__).resolve().parents[2]
WORKLOAD = ROOT / "build/guests/full.elf"
BENCH = ROOT / "build/guests/bench-full.elf"
TIMEOUT_S = 60


def start(image, cmdline="", cpus=1, icount="shift=3,sleep=off", machine="q35"):
    """Starts an image on a bare QEMU and returns the pexpect handle of its serial console."""
    if not image.exists():
        pytest.fail(f"{image} is missing: run make guests")
    arguments = ["-machine", f"{machine},accel=tcg", "-smp", str(cpus), "-m", "64", "-net", "none",
                 "-display", "none", "-serial", "stdio", "-no-reboot", "-icount", icount,
                 "-kernel", str(image), "-append", cmdline]
    console = pexpect.spawn("qemu-system-x86_64", arguments, timeout=TIMEOUT_S, encoding="utf-8", echo=False)
    console.delaybeforesend = None
    return console


def ended(console):
    """Waits for the machine to end and returns QEMU's exit status."""
    console.expect(pexpect.EOF)
    console.close()
    return console.exitstatus



@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_greets_beats_and_powers_off(machine):
    console = start(WORKLOAD, "name=solo greet=ahoy beats=2", machine=machine)
    console.expect_exact("ahoy from solo, a full guest")
    console.expect(r"cpus 1, memory (\d+) KiB, clock (\d+)\.\d{3} MHz")
    assert 62 * 1024 <= int(console.match[1]) <= 64 * 1024
    assert 980 <= int(console.match[2]) <= 1020, "icount makes a TSC of 1 GHz"
    console.expect_exact("compute ok: 9592 primes below 100000")
    console.expect_exact("ready, type help")
    console.expect(r"heartbeat 1 t=1\.0\ds")
    console.expect(r"heartbeat 2 t=2\.0\ds")
    console.expect_exact("done after 2 heartbeats")
    assert ended(console) == 0


@pytest.mark.parametrize("tick", ["pit", "apic"])
def test_tick_does_not_drift(tick):
    # sleep=off: an idle guest's clock jumps to its next timer, and a busy host cannot make that timer late.
    console = start(WORKLOAD, f"tick={tick} period=500 drift=1 beats=4", icount="shift=3,sleep=off")
    console.expect(r"drift (\w+): (-?\d+) ppm over (\d+) ticks")
    assert console.match[1] == "ok"
    assert abs(int(console.match[2])) < 2000
    assert int(console.match[3]) >= 100
    assert ended(console) == 0


def test_echoes_lines_and_obeys_commands():
    console = start(WORKLOAD, "quiet")
    console.expect_exact("ready, type help")
    console.send("good mornong\b\b\bing\r")
    console.expect_exact("echo: good morning")
    console.send("officially a line\r")
    console.expect_exact("echo: officially a line")
    console.send("help\r")
    console.expect(r"help - .*off - .*compute - ")
    console.send("crash\r")
    console.expect(r"crash triple - .*crash vmrun - ")
    console.send("crash port\r")
    console.expect_exact("crash port: survived")
    console.send("off\r")
    console.expect_exact("powering off")
    assert ended(console) == 0


@pytest.mark.parametrize("cpus", ["2", "2,sockets=2,cores=1", "4"])
def test_passes_messages_with_every_cpu(cpus):
    count = int(cpus[0])
    console = start(WORKLOAD, "quiet", cpus=cpus)
    console.expect_exact(f"cpus {count},")
    for cpu in range(1, count):
        console.expect_exact(f"cpu {cpu} up")
        console.expect_exact(f"messages ok: cpu {cpu} answered 100 of 100")
    console.expect_exact("ready")
    console.send("cpuoff 1\r")
    console.expect_exact("cpu 1 off")
    console.send("stat\r")
    console.expect_exact("cpu 1 is off")
    console.send("cpuon 1\r")
    console.expect_exact("cpu 1 up")
    console.expect_exact("messages ok: cpu 1 answered 100 of 100")
    console.send("off\r")
    assert ended(console) == 0


@pytest.mark.parametrize("command, last_words", [("reset", "resetting"), ("crash triple", "crash triple: "),
                                                 ("crash exception", "exception 6 error 0")])
def test_ends_the_machine(command, last_words):
    """QEMU runs with -no-reboot: whatever resets the machine ends it."""
    console = start(WORKLOAD, "quiet")
    console.expect_exact("ready")
    console.send(command + "\r")
    console.expect_exact(last_words)
    assert ended(console) == 0


def test_crashes_by_command_line_after_a_heartbeat():
    console = start(WORKLOAD, "period=100 crash=exception after=2")
    console.expect(r"heartbeat 2 .*crash exception: .*exception 6 ")
    assert ended(console) == 0


def test_study_counts_what_it_does():
    console = start(WORKLOAD, "study", cpus=2)
    for phase, count in [("nothing", 1), ("compute", 1), ("bytes", 4096), ("lines", 100), ("ticks", 100),
                         ("ipis", 2000), ("cpus", 10)]:
        console.expect_exact(f"study begin {phase}")
        console.expect(rf"study end {phase} count=(\d+) tsc=(\d+)")
        assert int(console.match[1]) == count
    console.expect_exact("study done")
    assert ended(console) == 0


def test_bench_counts_single_instructions_on_a_bare_machine():
    """Without a hypervisor an operation costs itself and the loop: that is what the figures include."""
    console = start(BENCH, icount="shift=0,sleep=off")
    console.expect_exact("bench begin full")
    console.expect_exact("bench done")
    found = dict(re.findall(r"bench (\w+) median=(-?\d+) min=-?\d+ n=1000", console.before))
    for name in ["cpuid", "msr_read", "msr_write", "port_write", "port_read", "mmio_write", "mmio_read"]:
        assert int(found[name]) <= 4, name
    for name in ["self_ipi_hlt_eoi", "hlt_timer"]:
        assert int(found[name]) <= 12, name
    assert "hypercall" not in found
    assert ended(console) == 0
