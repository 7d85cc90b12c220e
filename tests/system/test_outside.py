"""Faults from outside the hypervisor: firmware that lies, memory in crumbs, CPUs that never answer, NMIs and machine checks.

tests/firmware/vandal.c stands between the firmware and the loader, and does the damage that no emulator offers by itself.
"""

import os
import re

import pytest

from system import BOOT_TIMEOUT, BUILD, System

NOTHING_STARTED = r"\[loader\] Nothing was started. Press a key to return to the firmware."

GUESTS = """
[partition alpha]
mode    = full
memory  = 8M
image   = \\guests\\full.elf
cmdline = name=alpha beats=2

[partition beta]
mode    = para
memory  = 8M
image   = \\guests\\para.elf
cmdline = beats=2
"""


def vandalised(directory, faults, config=GUESTS, cpus=2, memory=256, **arguments):
    """Boots through the vandal."""
    path = os.path.join(directory, "vandal.txt")
    with open(path, "w", encoding="ascii") as out:
        out.write(faults)
    return System("qemu", config, cpus=cpus, memory=memory, loader=os.path.join(BUILD, "firmware", "vandal.efi"),
                  files={"\\vandal.txt": path, "\\loader.efi": os.path.join(BUILD, "boot", "BOOTX64.EFI")}, **arguments)


def both_guests_run(system):
    for guest in ("alpha", "beta"):
        system.said(guest, "done after 2 heartbeats", timeout=BOOT_TIMEOUT)
    system.wait_end()


# --- firmware tables

@pytest.mark.parametrize("fault, warnings", [
    ("no-acpi", ["the firmware has no ACPI tables that can be used"]),
    ("root-checksum", ["the ACPI root pointer at 0x[0-9a-f]+ has a wrong signature, length or checksum and is not used",
                       "the firmware has no ACPI tables that can be used"]),
    ("root-size", ["the ACPI root pointer at 0x[0-9a-f]+ has a wrong signature, length or checksum and is not used"]),
    ("xsdt-checksum", ["ACPI has no MADT with a right length and checksum"]),
    ("madt-checksum", ["ACPI has no MADT with a right length and checksum"]),
    ("madt-size", ["ACPI has no MADT with a right length and checksum"]),
    ("madt-entry", ["the MADT's entry at byte 44 has an impossible length; it and what follows are not read",
                    "the MADT does not list the boot CPU, APIC id 0, and is not used"]),
])
def test_damaged_acpi_is_told_and_done_without(tmp_path, fault, warnings):
    """The firmware's MP services name the CPUs instead, and both guests run."""
    with vandalised(tmp_path, fault) as system:
        for warning in warnings:
            system.wait_line(r"\[loader\] warning: " + warning, timeout=BOOT_TIMEOUT)
        system.wait_line(r"\[loader\] 2 CPUs, from the firmware's MP services")
        both_guests_run(system)


def test_cpu_that_never_answers_is_left_out(tmp_path):
    with vandalised(tmp_path, "ghost-cpu") as system:
        system.said("bulkhead", r".*error: CPU 2 \(APIC id 126\) is left out: it does not answer to INIT and start-up IPIs",
                    timeout=BOOT_TIMEOUT)
        system.said("bulkhead", r".*CPUs: 2 of 3 are ready")
        both_guests_run(system)


def test_partition_that_needs_the_silent_cpu_is_refused(tmp_path):
    with vandalised(tmp_path, "ghost-cpu", GUESTS.replace("mode    = para", "mode = para\ncpus = 2")) as system:
        system.said("bulkhead", r".*error: the partitions want 3 CPUs, the machine has 2 .*", timeout=BOOT_TIMEOUT)
        system.said("bulkhead", r".*error: Bulkhead stops here; no partition was started\.")


# --- memory

def test_memory_full_of_holes_is_pieced_together(tmp_path):
    """A reserved page in every 3 MiB: a large partition comes in several pieces, and nothing else changes."""
    config = GUESTS.replace("8M", "40M", 1)
    with vandalised(tmp_path, "holes", config) as system:
        pieces = system.said("bulkhead", r".*partition 1 alpha: full, 1 vCPU from CPU 0, 40960 KiB in (\d+) pieces .*",
                             timeout=BOOT_TIMEOUT)
        assert int(pieces[1]) > 2
        system.said("alpha", "cpus 1, memory 40960 KiB, .*")
        both_guests_run(system)


def test_memory_map_longer_than_any_table(tmp_path):
    with vandalised(tmp_path, "crumbs") as system:
        told = system.wait_line(r"\[loader\] warning: the firmware's memory map is in too many pieces: (\d+) KiB in the "
                                r"smallest ones are not used", timeout=BOOT_TIMEOUT)
        assert 0 < int(told[1]) < 8192
        both_guests_run(system)


def test_less_memory_than_asked(tmp_path):
    with vandalised(tmp_path, "little-memory", GUESTS.replace("8M", "120M")) as system:
        told = system.said("bulkhead", r".*error: partition alpha: wants 122880 KiB of memory, (\d+) KiB are free in all, "
                                       r"(\d+) KiB in one piece .*", timeout=BOOT_TIMEOUT)
        assert int(told[2]) <= int(told[1]) < 122880
        system.said("bulkhead", r".*error: Bulkhead stops here; no partition was started\.")


# --- screen and serial line

def test_no_screen_is_told(tmp_path):
    with vandalised(tmp_path, "no-screen") as system:
        system.wait_line(r"\[loader\] no screen that the hypervisor can draw on", timeout=BOOT_TIMEOUT)
        system.said("bulkhead", "warning: the screen is not used: the firmware offers none")
        both_guests_run(system)
