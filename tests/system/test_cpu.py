"""
What a CPU owes its software, checked from inside both kinds of partition on both emulators: guests/cpu counts what is wrong. Each guest
lives twice, and spoils the CPU's registers at the end of its first life: in its second one they must be clean.
"""

import os
import re

import pytest

import system

CONFIG = """
[partition full]
mode         = full
memory       = 8M
image        = \\guests\\cpu-full.elf
cmdline      = twice
on_fault     = restart
max_restarts = 1

[partition para]
mode         = para
memory       = 8M
image        = \\guests\\cpu-para.elf
cmdline      = twice
on_fault     = restart
max_restarts = 1
"""

FILES = {f"\\guests\\cpu-{mode}.elf": os.path.join(system.BUILD, f"guests/cpu-{mode}.elf") for mode in ("full", "para")}


@pytest.mark.parametrize("platform, features", [("qemu", {"protection keys"}), ("bochs", set())])
def test_cpu(platform, features):
    check(platform, features)


@pytest.mark.bochs
def test_speculation_controls():
    """
    A CPU of 2020: neither QEMU's nor the Skylake has them. Bochs 2.7 tells no size of this one's protection keys, so guests are not
    told of them.
    """
    check("bochs", {"protection keys that nobody told of", "speculation controls"}, model="tigerlake")


def check(platform, features, model=None):
    with system.System(platform, CONFIG, cpus=2, files=FILES, model=model) as machine:
        machine.expect_boot(r"cpu: begin")
        for _ in ("full", "para") * 2:
            outcome = machine.expect(r"cpu: (\d+) checks, (\d+) wrong")
            assert outcome.group(2) == b"0", machine.transcript[-3000:]
            assert int(outcome.group(1)) > 100
        machine.wait_end()
        for guest in ("full", "para"):
            assert len([line for line in machine.lines(who=guest) if line.startswith("cpu: begin")]) == 2
        assert {match for match in re.findall(r"cpu: has ([a-z ]+)", machine.transcript)} == features
