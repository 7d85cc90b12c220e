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

PEER = """
[partition peer]
mode   = para
memory = 8M
image  = \\guests\\pong-para.elf
[channel table]
between = caller, peer
allow   = message, notify
"""

FILES = {f"\\guests\\{name}-para.elf": os.path.join(system.BUILD, f"guests/{name}-para.elf") for name in ("calls", "pong")}


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


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_every_call_with_a_peer(platform):
    with system.System(platform, CONFIG.format(cpus=1) + PEER, cpus=2, files=FILES) as machine:
        machine.expect_boot(r"calls: FF-A with 2 partitions")
        outcome = machine.expect(r"calls: (\d+) checks, (\d+) wrong")
        assert outcome.group(2) == b"0", machine.transcript[-3000:]
        assert int(outcome.group(1)) > 200
