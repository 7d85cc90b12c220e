"""vCPUs that start and stop each other: all that can race in PSCI's states, by thousands; and work that is divided over them."""

import os
import re

import pytest

import system

STRESS = """
[partition stress]
mode    = para
cpus    = {cpus}
memory  = 8M
image   = \\guests\\stress-para.elf
cmdline = rounds={rounds} laps={laps}
"""

BOSS = """
[partition boss]
mode    = para
memory  = 8M
image   = \\guests\\manager-para.elf
manage  = yes
cmdline = reset={resets}
"""

PARALLEL = """
[partition parallel]
mode   = para
cpus   = 3
memory = 8M
image  = \\guests\\parallel-para.elf
"""

FILES = {f"\\guests\\{name}-para.elf": os.path.join(system.BUILD, f"guests/{name}-para.elf")
         for name in ("stress", "manager", "parallel")}
OUTCOME = r"stress: (\d+) tickets, (\d+) starts, (\d+) pending, (\d+) on already, (\d+) denied, (\d+) naps, (\d+) wrong"
# Bochs runs all CPUs on one core of the host, a few million instructions a second each.
ROUNDS = {"qemu": 20000, "bochs": 3000}


def check_outcome(machine, rounds, laps):
    outcome = machine.expect(OUTCOME)
    tickets, starts, _, already, denied, naps, wrong = [int(group) for group in outcome.groups()]
    assert wrong == 0, machine.transcript[-3000:]
    assert tickets == rounds and starts > rounds // 50 and already > rounds // 50 and denied > 0 and naps > 0
    machine.expect(rf"stress: the token went round {laps} times, 0 wrong")


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_cpus_start_and_stop_each_other(platform):
    rounds = ROUNDS[platform]
    with system.System(platform, STRESS.format(cpus=4, rounds=rounds, laps=300), cpus=4, files=FILES) as machine:
        machine.expect_boot("stress: begin, 4 vCPUs")
        check_outcome(machine, rounds, 300)
        machine.wait_end()


def test_resets_meet_starts_and_stops():
    """A manager resets the partition again and again while its CPUs start and stop each other."""
    text = BOSS.format(resets=60) + STRESS.format(cpus=3, rounds=20000, laps=100)
    with system.System("qemu", text, cpus=4, files=FILES) as machine:
        machine.said("boss", r"60 resets, waited \d+ times", timeout=system.BOOT_TIMEOUT)
        check_outcome(machine, 20000, 100)
        machine.said("bulkhead", r".*partition stress is off: SYSTEM_OFF")
        assert len(re.findall("partition stress resets: by partition boss", machine.transcript)) == 60
        assert "fault" not in machine.transcript


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_work_divided_over_cpus(platform):
    with system.System(platform, PARALLEL, cpus=3, files=FILES) as machine:
        machine.expect_boot(r"parallel: 1 CPU \d+ us, 3 CPUs \d+ us, 0 cells differ")
        picture = [line for line in machine.lines(who="parallel") if "parallel:" not in line]
        assert len(picture) == 20 and any("#" in line for line in picture)
        machine.wait_end()
