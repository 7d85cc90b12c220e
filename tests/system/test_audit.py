"""The two auditors on a machine that runs: page tables against the owners of memory, and a VM entry that is refused.

Two guests bring about a refused entry from inside. On SVM it takes QEMU's TCG, which loads a code segment that no CPU would load,
and whose VMRUN then refuses it as the manual demands; on VT-x, an instruction that ends at 4 GiB of its code segment.
"""

import os
import re

import pytest

import system
from system import BOOT_TIMEOUT, System

MACHINE = """
[hypervisor]
console = serial

[partition alpha]
mode     = full
cpus     = 2
memory   = 20M
image    = \\guests\\full.elf
on_fault = restart

[partition beta]
mode     = para
memory   = 6M
image    = \\guests\\para.elf
cmdline  = greet=ahoy
on_fault = restart
"""

ENTRY = """
[hypervisor]
console = serial

[partition beta]
mode    = {mode}
memory  = 8M
image   = \\guests\\entry.elf
"""
STAMP = r"\[ *\d+\.\d{6}\] "
CLEAN = r"audit: (\d+) mappings of (\d+) CPUs and (\d+) partitions checked, no violation"


def audit(machine):
    """The number of mappings; fails with the findings if there are any."""
    machine.keyboard(0)
    since = machine.mark()
    machine.line("audit")
    last = machine.said("bulkhead", r"(audit: \d+ (mappings|violations).*)", since)
    clean = re.fullmatch(CLEAN, last[1])
    assert clean, "\n".join(machine.lines(since, "bulkhead"))
    assert (int(clean[2]), int(clean[3])) == (4, 2), "all CPUs, one of them without a partition"
    return int(clean[1])


def test_isolation_holds_through_a_life(platform):
    with System(platform, MACHINE, cpus=4, memory=256) as machine:
        for guest in ("alpha", "beta"):
            machine.said(guest, "ready, type help", timeout=BOOT_TIMEOUT)
        assert "VM entry" not in machine.transcript, "the entry auditor has something to say of our own state"
        mappings = audit(machine)
        assert mappings > 500

        for number, guest in enumerate(("alpha", "beta"), 1):
            since = machine.mark()
            machine.keyboard(number)
            machine.line("crash memory")
            machine.said("bulkhead", STAMP + rf"warning: partition {guest} restarts .*", since)
            machine.said(guest, "ready, type help", since)
            assert audit(machine) == mappings

        for guest in ("alpha", "beta"):
            since = machine.mark()
            machine.line(f"stop {guest}")
            machine.said("bulkhead", STAMP + f"partition {guest} is off: by the monitor", since)
            assert audit(machine) == mappings
            machine.line(f"start {guest}")
            machine.said(guest, "ready, type help", since)
            assert audit(machine) == mappings
        assert "VM entry" not in machine.transcript


def entry_of(platform, mode):
    files = {"\\guests\\entry.elf": os.path.join(system.BUILD, f"guests/faults/entry-{mode}.elf")}
    return System(platform, ENTRY.format(mode=mode), files=files, memory=256)


def test_refused_entry_is_explained_on_svm():
    with entry_of("qemu", "para") as machine:
        machine.expect_boot("fault: VMRUN refused the VMCB")
        machine.said("bulkhead", STAMP + r"error: partition beta: vCPU 0: VM entry: CS attributes is 0xe9b: "
                     r"expected D to be 0 where L is 1, in long mode \(APM 2 15\.5\.1\)")
        machine.wait_end()
        assert "the manual's rules all hold" not in machine.transcript


@pytest.mark.bochs
def test_refused_entry_is_explained_on_vtx():
    with entry_of("bochs", "full") as machine:
        machine.expect_boot("fault: VM entry failed: invalid guest state")
        machine.said("bulkhead", STAMP + r"error: partition beta: vCPU 0: VM entry: guest TR access rights is 0x83: "
                     r"expected the type of a busy TSS \(SDM 3C 27\.3\.1\.2\)")
        machine.wait_end()
