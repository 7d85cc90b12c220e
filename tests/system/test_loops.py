"""Guests that try to keep their CPU for good, or to make it enter what it cannot: the others go on, and the monitor has its way."""

import os

import system

CONFIG = """
[partition beta]
mode   = para
memory = 8M
image  = \\guests\\para.elf

[partition align]
mode   = full
memory = 4M
image  = \\guests\\alignment-loop-full.elf

[partition debug]
mode   = para
memory = 4M
image  = \\guests\\debug-loop-para.elf

[partition entry]
mode   = full
memory = 4M
image  = \\guests\\entry-full.elf
"""

NAMES = ("alignment-loop-full", "debug-loop-para", "entry-full")
FILES = {f"\\guests\\{name}.elf": os.path.join(system.BUILD, f"guests/faults/{name}.elf") for name in NAMES}
FILES["\\guests\\para.elf"] = os.path.join(system.BUILD, "guests/para.elf")


def exceptions(machine, partition):
    machine.keyboard(0)
    since = machine.mark()
    machine.line(f"stats {partition}")
    return int(machine.said("bulkhead", r" *exception +(\d+).*", since).group(1))


def test_loops_and_a_failed_entry(platform):
    with system.System(platform, CONFIG, cpus=4, files=FILES) as machine:
        machine.said("bulkhead", r".*error: partition entry: .*", timeout=system.BOOT_TIMEOUT)
        machine.said("beta", r"heartbeat 1 .*", timeout=system.BOOT_TIMEOUT)
        if platform == "bochs":
            assert any("VM entry failed: invalid guest state" in line for line in machine.lines(0, "bulkhead"))
        for number, name in ((2, "align"), (3, "debug")):
            if platform == "bochs":  # QEMU's TCG checks neither alignment nor breakpoints when it delivers
                before = exceptions(machine, number)
                machine.said("beta", r"heartbeat \d+ .*", machine.mark())
                assert exceptions(machine, number) > before + 1000, f"{name} does not loop"
            machine.keyboard(0)
            since = machine.mark()
            machine.line(f"stop {number}")
            machine.said("bulkhead", rf".*partition {name} is off: .*", since)
        machine.said("beta", r"heartbeat \d+ .*", machine.mark())
