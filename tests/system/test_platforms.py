"""CPUs with less, and with the other vendor's virtualisation: what a partition can do without runs, the rest is named."""

import re

import pytest

from system import BOOT_TIMEOUT, System
from study import read_statistics  # of tools/, to which system.py knows the way

pytestmark = pytest.mark.bochs

CONFIG = """
[hypervisor]
console  = serial

[partition alpha]
mode    = full
memory  = 16M
image   = \\guests\\full.elf
cmdline = name=alpha beats=2

[partition beta]
mode    = para
memory  = 8M
image   = \\guests\\para.elf
cmdline = name=beta beats=2
"""


def boot(model, cpus=2):
    return System("bochs", CONFIG, cpus=cpus, memory=256, model=model)


def expect_both_to_run(system, virtualisation):
    system.said("bulkhead", f"(?:.* )?virtualisation: {virtualisation}", timeout=BOOT_TIMEOUT)
    for guest, mode in (("alpha", "full"), ("beta", "para")):
        system.said(guest, f"hello from {guest}, a {mode} guest")
        system.said(guest, "compute ok: 9592 primes below 100000, crc .*")
        system.said(guest, "done after 2 heartbeats")
    system.wait_end()
    assert "warning: partition" not in system.transcript


def test_without_large_ept_pages():
    """Sandy Bridge: unrestricted guest, but EPT without 1 GiB pages."""
    with boot("corei7_sandy_bridge_2600k") as system:
        expect_both_to_run(system, "VT-x, 2 MiB pages, tagged TLB, preemption timer")


@pytest.mark.parametrize("wanted", ["yes", "no", "auto"])
def test_local_apic_is_served_by_the_cpu_that_can(wanted):
    """
    Skylake: there a read of a register is no exit, and the guest counts a few instructions for it; else some hundred. This one
    does not pass the test that decides where the config does not.
    """
    config = CONFIG.replace("console  = serial", f"console = serial\nvirtual_apic = {wanted}").replace("full.elf", "bench-full.elf")
    with System("bochs", config, cpus=2, memory=256) as system:
        told = system.said("bulkhead", "(?:.* )?virtualisation: VT-x.*", timeout=BOOT_TIMEOUT)[0]
        median = int(system.said("alpha", r"bench mmio_read median=(\d+) .*", timeout=BOOT_TIMEOUT)[1])
        found = re.search("local APICs are not left to VT-x: .* ended by triple fault ", system.transcript)
        assert (median < 20) == (wanted == "yes") and bool(found) == (wanted == "auto")
        assert told.endswith(", local APICs") == (wanted != "no")
        system.keyboard(0)
        since = system.mark()
        system.line("stats alpha")
        counted = system.said("bulkhead", r" *(memory|local apic) +[1-9]\d* .*", since, timeout=BOOT_TIMEOUT)[1]
        assert (counted == "local apic") == (wanted == "yes")


@pytest.mark.parametrize("unwanted, told", [("", "2 MiB and 1 GiB pages, tagged TLB, preemption timer, local APICs"),
                                            ("large_pages, tagged_tlb, preemption_timer", "4 KiB pages, local APICs")])
def test_does_without_what_the_config_names(unwanted, told):
    """A guest that spins on a CPU of its own has its turns ended by the preemption timer, or by nothing; the other one runs."""
    config = CONFIG.replace("console  = serial", f"console = serial\nwithout = {unwanted}" if unwanted else "console = serial")
    config = config.replace("name=alpha beats=2", "name=alpha crash=spin\npin = 1").replace("beats=2", "period=100")
    with System("bochs", config, cpus=2, memory=256) as system:
        system.said("bulkhead", f"(?:.* )?virtualisation: VT-x, {told}", timeout=BOOT_TIMEOUT)
        system.said("alpha", "hello from alpha, a full guest", timeout=BOOT_TIMEOUT)
        system.said("beta", "heartbeat 5 .*", timeout=BOOT_TIMEOUT)
        assert ("preemption timer" in read_statistics(system, "alpha")) == (not unwanted)


def test_without_unrestricted_guest_only_para_runs():
    """Lynnfield: a full partition is refused by name, and stays so; the para partition runs."""
    with boot("corei5_lynnfield_750") as system:
        reason = 'mode = full needs "unrestricted guest" of VT-x, which this CPU lacks'
        system.said("bulkhead", f".*warning: partition alpha: refused: {reason}; para partitions run", timeout=BOOT_TIMEOUT)
        system.said("beta", "done after 2 heartbeats")
        system.wait_end()
        assert not system.lines(who="alpha")
        assert re.search(r"  alpha +never started .*", system.transcript)
        assert re.search(r"  beta +system off .*SYSTEM_OFF", system.transcript)


def test_without_ept_nothing_runs():
    """Penryn: VT-x without EPT."""
    with boot("core2_penryn_t9600") as system:
        system.said("bulkhead", r".*error: Bulkhead stops here; no partition was started\.", timeout=BOOT_TIMEOUT)
        assert "error: virtualisation: EPT is missing (IA32_VMX_PROCBASED_CTLS2 bit 1): found 0, needed 1" in \
            system.lines(who="bulkhead")
        assert not system.lines(who="alpha") and not system.lines(who="beta")


def test_without_virtualisation():
    """A Pentium 4 of the first 64-bit years has neither VT-x nor SVM."""
    with boot("p4_prescott_celeron_336", cpus=1) as system:
        system.said("bulkhead", r".*error: Bulkhead stops here; no partition was started\.", timeout=BOOT_TIMEOUT)
        assert "error: virtualisation: VT-x is missing (CPUID 1 ECX bit 5): found 0, needed 1" in \
            system.lines(who="bulkhead")


def test_ryzen_runs_by_svm():
    """A second opinion on SVM: with next-RIP saving and flush by ASID, which QEMU's lacks."""
    with boot("ryzen") as system:
        expect_both_to_run(system, "SVM, 2 MiB.* pages, tagged TLB")
