"""Attacks on a local APIC that VT-x serves by itself. By default Bochs' does not: it fails the test of the start, so it is made to here."""

import pytest

import test_hostile as hostile
from system import BOOT_TIMEOUT, System

pytestmark = pytest.mark.bochs

CONFIG = hostile.CONFIG.format(**hostile.PINS["bochs"]).replace("console = serial", "console = serial\nvirtual_apic = yes", 1)
# What ends otherwise than where the model serves it: Bochs tells a walk of page tables from a read no more, and the CPU looks at
# both pages before it touches one.
OTHERWISE = {
    "tables-in-apic": f"fault: accesses the device at 0xfee00000 with an instruction that cannot be fetched, at RIP {hostile.IMAGE}",
    "read-across-apic-end": hostile.outside("reads from", 0xFEE01000),
}
# What aims at its page, its registers and its modes, and ends alike. The last one leaves it in x2APIC mode.
ALIKE = ["execute-apic", "write-beside-apic", "read-messages", "all-registers-read", "all-registers-written", "stack-in-apic",
         "apic-moved", "apic-base-reserved", "apic-mode-nobody-has", "x2apic-register", "deadline-storm",
         "x2apic-commands-to-foreign"]


def test_attacks():
    expected = {name: outcome for mode, name, outcome in hostile.ATTACKS if mode == "full" and name in ALIKE}
    assert sorted(expected) == sorted(ALIKE)
    with System("bochs", CONFIG, cpus=hostile.CPUS, memory=hostile.MACHINE_MIB, files=hostile.FILES) as system:
        for mode in hostile.KEYBOARD:
            system.said(mode, "hostile: ready", timeout=BOOT_TIMEOUT)
        machine = hostile.Machine(system)
        for name, outcome in {**OTHERWISE, **expected}.items():
            machine.attack("full", name, hostile.outcome_of(outcome, "bochs", "full"))
            machine.assert_victim_lives()
