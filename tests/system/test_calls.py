"""Every hypercall, from inside a para partition, on both emulators: guests/calls checks the answers itself."""

import os

import pytest

import system

CONFIG = """
[partition caller]
mode   = para
cpus   = {cpus}
memory = 8M
image  = \\guests\\calls-para.elf
"""

FILES = {"\\guests\\calls-para.elf": os.path.join(system.BUILD, "guests/calls-para.elf")}


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
@pytest.mark.parametrize("cpus", [1, 2])
def test_every_call(platform, cpus):
    with system.System(platform, CONFIG.format(cpus=cpus), cpus=2, files=FILES) as machine:
        machine.expect_boot(r"calls: begin")
        outcome = machine.expect(r"calls: (\d+) checks, (\d+) wrong")
        assert "calls: by CONSOLE_LOG" in machine.transcript
        assert outcome.group(2) == b"0", machine.transcript[-3000:]
        assert int(outcome.group(1)) > (300 if cpus == 2 else 70)
        machine.wait_end()
