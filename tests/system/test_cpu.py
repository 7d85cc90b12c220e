"""What a CPU owes its software, checked from inside both kinds of partition on both emulators: guests/cpu counts what is wrong."""

import os

import pytest

import system

CONFIG = """
[partition full]
mode   = full
memory = 8M
image  = \\guests\\cpu-full.elf

[partition para]
mode   = para
memory = 8M
image  = \\guests\\cpu-para.elf
"""

FILES = {f"\\guests\\cpu-{mode}.elf": os.path.join(system.BUILD, f"guests/cpu-{mode}.elf") for mode in ("full", "para")}


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_cpu(platform):
    with system.System(platform, CONFIG, cpus=2, files=FILES) as machine:
        machine.expect_boot(r"cpu: begin")
        for _ in ("full", "para"):
            outcome = machine.expect(r"cpu: (\d+) checks, (\d+) wrong")
            assert outcome.group(2) == b"0", machine.transcript[-3000:]
            assert int(outcome.group(1)) > 100
        machine.wait_end()
