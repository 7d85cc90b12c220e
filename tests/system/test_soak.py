"""A thousand crashes and restarts of one partition: nothing is used up, and the other partition does not notice."""

import os
import re

from system import BOOT_TIMEOUT, BUILD, System

CYCLES = 1000

CONFIG = f"""
[partition restless]
mode         = full
memory       = 2M
image        = \\faults\\early-full.elf
on_fault     = restart
max_restarts = {CYCLES}
autostart    = no

[partition beta]
mode    = para
memory  = 8M
image   = \\guests\\para.elf
cmdline = drift={{drift}}
"""
# Seconds whose ticks are counted: on QEMU the host may hold one tick up for long, but not for two hundredths of half a minute.
DRIFT_S = {"qemu": 30, "bochs": 5}


def mappings(system):
    """As many as the audit finds, without a violation."""
    return int(system.command("audit", r"audit: (\d+) mappings of 2 CPUs and 2 partitions checked, no violation")[1])


def test_thousand_crashes(platform):
    files = {"\\faults\\early-full.elf": os.path.join(BUILD, "guests", "faults", "early-full.elf")}
    with System(platform, CONFIG.format(drift=DRIFT_S[platform]), memory=256, files=files) as system:
        system.said("beta", "heartbeat 1 .*", timeout=BOOT_TIMEOUT)
        before = mappings(system)
        for _ in range(2 if platform == "qemu" else 1):
            since = system.mark()
            system.line("start restless")
            system.said("bulkhead", r".*warning: partition restless restarts \(1 of 1000\)", since)
            while not re.search(rb"restless +faulted", system.command("list", r"restless +\w+ [^\n]*\n")[0]):
                pass
            state = system.command("list", rf"restless +faulted +full +1 +2 MiB +{CYCLES}  triple fault")
            assert state and mappings(system) == before
        since = system.mark()
        system.said("beta", "heartbeat .*", since)
        system.said("beta", "drift ok: .*", since)
        beats = [int(line.split()[1]) for line in system.lines(who="beta") if line.startswith("heartbeat")]
        assert beats == list(range(1, len(beats) + 1))
        assert not [line for line in system.lines(who="beta") if "drift" in line and "ok" not in line]
