"""Partitions that talk to each other: ping and pong over a channel, and what stays when one of them ends."""

import os
import re

import pytest

import system

CONFIG = """
[partition ping]
mode    = para
memory  = 8M
image   = \\guests\\ping-para.elf
cmdline = rounds={rounds} {ping}
on_fault = restart
max_restarts = 2
[partition pong]
mode     = para
memory   = 8M
image    = \\guests\\pong-para.elf
cmdline  = {pong}
on_fault = restart
[channel table]
between = ping, pong
allow   = {allow}
"""

FILES = {f"\\guests\\{name}-para.elf": os.path.join(system.BUILD, f"guests/{name}-para.elf") for name in ("ping", "pong")}


CLEAN = r"audit: \d+ mappings of \d+ CPUs and 2 partitions checked, (no) violation|(\d+) violations"


def start(platform, rounds, allow="message, notify", ping="", pong=""):
    return system.System(platform, CONFIG.format(rounds=rounds, allow=allow, ping=ping, pong=pong), cpus=2, files=FILES)


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_ping_pong(platform):
    with start(platform, 20) as machine:
        machine.expect_boot(r"ping: partition 1 has 1 vCPUs, properties 10f")
        machine.expect(r"ping: partition 2 has 1 vCPUs, properties 10f")
        machine.expect(r"ping: done, (\d+) aborted")
        measured = re.findall(r"bench (\w+) median=", machine.transcript)
        assert measured == ["direct_request", "notification_set", "notification_round_trip",
                            "message_4k_round_trip"]
        assert "wrong" not in machine.transcript and "no notifications" not in machine.transcript


SHARING = "message, notify, share"
ROUNDS = 2
OPENS_QUEUE, TAKES_PAGE = 11 * ROUNDS + 1, 11 * ROUNDS + 2  # the count of the direct request, of which ping begins with 11 batches


def expect_clean(machine):
    assert machine.command("audit", CLEAN).group(1)


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_sharing(platform):
    """A queue in shared memory: what is written arrives, and only who sleeps is woken. A page that is lent is the other's alone."""
    with start(platform, 20, allow=SHARING) as machine:
        machine.expect_boot(r"ping: page: pong answers 0, reclaim -6, pong answers 0, reclaim 0: written to")
        found = machine.expect(r"ping: queue: 220 blocks, (\d+) wake-ups, reclaim -6, pong answers 0, reclaim 0")
        assert int(found.group(1)) <= 220
        machine.expect(r"ping: done")
        assert "wrong" not in machine.transcript


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_spoilt_by_writer(platform):
    """The reader checks the size it is told and the writer's position; it tells what is wrong, and answers as before."""
    with start(platform, ROUNDS, allow=SHARING, ping="spoil") as machine:
        machine.said("ping", "ping: done.*", timeout=system.BOOT_TIMEOUT)
        for size in (0, 32767, 65536, (1 << 32) + 32768):
            machine.said("pong", f"pong: queue: size {size}, expected a power of two up to 36736")
            machine.said("ping", f"ping: queue of size {size}: pong answers -2")
        machine.said("pong", r"pong: queue: read up to \d+, and its head is not within 32768 of that: given back")
        machine.said("ping", "ping: queue spoilt: pong answers -6, reclaim 0")
        machine.said("ping", "ping: page: pong answers 0, reclaim -6, pong answers 0, reclaim 0: written to")
        expect_clean(machine)


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_spoilt_by_reader(platform):
    """The writer tells that the reader's position cannot be, and goes on without the queue."""
    with start(platform, ROUNDS, allow=SHARING, pong="spoil") as machine:
        machine.expect_boot(r"ping: queue: written up to 0, and its tail is not within 32768 of that: given up")
        machine.expect(r"ping: page: pong answers 0, reclaim -6, pong answers 0, reclaim 0: written to")
        machine.expect(r"ping: queue: 22 blocks, 0 wake-ups, reclaim -6, pong answers 0, reclaim 0")
        machine.expect(r"ping: done")
        expect_clean(machine)


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_owner_crashes(platform):
    """Pong goes on though the memory it borrowed is gone, three times; nobody sees what is not its own."""
    with start(platform, ROUNDS, allow=SHARING, ping="crash") as machine:
        machine.expect_boot(r"partition ping has used up its 2 restarts")
        machine.expect(r"partition ping is off")
        expect_clean(machine)
        machine.command("list", r"ping\s+faulted[^\n]*\n[^\n]*pong\s+running")
        assert "wrong" not in machine.transcript


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_borrower_crashes(platform):
    """What it had is its owner's again: shared memory as it is, what was lent without what the other wrote there."""
    with start(platform, ROUNDS, allow=SHARING, pong=f"crash={OPENS_QUEUE}") as machine:
        machine.expect_boot(r"ping: queue: pong answers -8, reclaim 0")
        expect_clean(machine)
    with start(platform, ROUNDS, allow=SHARING, pong=f"crash={TAKES_PAGE}") as machine:
        machine.expect_boot(r"ping: page: pong answers -8, reclaim 0, pong answers 0, reclaim 0: zero")
        machine.expect(r"ping: done")
        expect_clean(machine)
        assert "wrong" not in machine.transcript


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_ended_by_a_person(platform):
    """Stopped, started and reset with memory lent and borrowed: each next life of either does as the first did."""
    with start(platform, ROUNDS, allow=SHARING, ping="hold") as machine:
        machine.expect_boot(r"ping: holds")
        expect_clean(machine)
        machine.command("reset 1", r"ping: holds")
        expect_clean(machine)
        machine.command("stop 2", r"partition pong is off")
        expect_clean(machine)
        machine.command("reset 1", r"ping: partition 2")
        machine.command("start 2", r"ping: holds")
        machine.command("stop 1", r"partition ping is off")
        expect_clean(machine)
        machine.command("stop 2", r"partition pong is off")
        expect_clean(machine)
        assert "wrong" not in machine.transcript


def test_server_crashes():
    """Whoever waits for an answer gets ABORTED, asks again, and the next life answers."""
    with start("qemu", ROUNDS, pong="crash=8") as machine:  # 22 requests, of which each life answers 7
        machine.expect_boot(r"partition pong restarts \(3 of 3\)")
        done = machine.expect(r"ping: done, (\d+) aborted")
        assert int(done.group(1)) >= 3
