"""Faults from outside the hypervisor: firmware that lies, memory in crumbs, CPUs that never answer, NMIs and machine checks.

tests/firmware/vandal.c stands between the firmware and the loader, and does the damage that no emulator offers by itself.
"""

import os
import re
import time

import pytest

from screen import wait_for_row
from system import BOOT_TIMEOUT, BUILD, LINE_TIMEOUT, System

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
    ("no-acpi", []),
    ("root-checksum", ["the ACPI root pointer at 0x[0-9a-f]+ has a wrong signature, length or checksum and is not used"]),
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
        if fault in ("no-acpi", "root-checksum", "root-size"):
            system.wait_line(r"\[loader\] the firmware has no ACPI tables that can be used", timeout=BOOT_TIMEOUT)
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


def test_no_serial_line_is_told_on_the_screen():
    """COM2, which this machine does not have."""
    with System("qemu", "[hypervisor]\nserial_port = 0x2F8\n" + GUESTS.replace(" beats=2", ""), memory=256) as system:
        system.wait_line(r"\[loader\] starting the hypervisor", timeout=BOOT_TIMEOUT)
        wait_for_row(system, r"beta +\| ready, type help")
        _, rows, _ = wait_for_row(system, r"alpha +\| ready, type help")
        assert any(row.endswith("serial port 2F8h is not used: nothing answers there (all reads give FFh)") for row in rows)
        assert "hello from" not in system.transcript


class SecondPort:
    """A second serial port on a pipe: its line takes bytes, about 64 KiB of them, until somebody reads or fill()s it."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "port")
        for end in (".in", ".out"):
            os.mkfifo(self.path + end)
        self.pipe = os.open(self.path + ".out", os.O_RDWR | os.O_NONBLOCK)

    def options(self):
        return ["-chardev", f"pipe,id=second,path={self.path}", "-serial", "chardev:second"]

    def fill(self):
        for size in (4096, 1):
            try:
                while True:
                    os.write(self.pipe, bytes(size))
            except BlockingIOError:
                pass

    def read_until(self, pattern):
        text, end = b"", time.monotonic() + LINE_TIMEOUT
        while not re.search(pattern, text):
            assert time.monotonic() < end, text[-2000:]
            time.sleep(0.2)
            try:
                text += os.read(self.pipe, 1 << 20)
            except BlockingIOError:
                pass
        return text


ON_COM2 = "[hypervisor]\nserial_port = 0x2F8\n" + GUESTS.replace(" beats=2", "")


def test_serial_line_that_is_stuck_at_boot_is_done_without(tmp_path):
    port = SecondPort(tmp_path)
    port.fill()
    with System("qemu", ON_COM2, memory=256, extra=port.options()) as system:
        system.wait_line(r"\[loader\] starting the hypervisor", timeout=BOOT_TIMEOUT)
        wait_for_row(system, r"bulkhead\| (warning: )?serial port 2F8h is not used: the UART there is stuck .*")
        for guest in ("alpha", "beta"):
            wait_for_row(system, guest + r" +\| heartbeat [2-9] t=.*")


def test_serial_line_that_gets_stuck_holds_nobody_up(tmp_path):
    """The guests and the screen go on; when the line moves again it carries what comes then."""
    port = SecondPort(tmp_path)
    with System("qemu", ON_COM2, memory=256, extra=port.options()) as system:
        system.wait_line(r"\[loader\] starting the hypervisor", timeout=BOOT_TIMEOUT)
        port.read_until(rb"beta +\x1b?[^\n]*heartbeat 1 t=")
        port.fill()
        for guest in ("alpha", "beta"):
            wait_for_row(system, guest + r" +\| heartbeat (6|7|8) t=\S+")
        wait_for_row(system, r".*warning: the serial line is stuck: the screen goes on without it")
        port.read_until(rb"warning: the serial line moves again; .*\n(.*\n)*.*heartbeat \d+ t=")


# --- NMI and machine check, from QEMU's monitor; Bochs has no command for either

@pytest.fixture(scope="module")
def machine():
    """Three CPUs, the last one without a partition."""
    with System("qemu", GUESTS.replace("beats=2", "quiet"), cpus=3, memory=256) as system:
        for guest in ("alpha", "beta"):
            system.said(guest, "ready, type help", timeout=BOOT_TIMEOUT)
        yield system


def answers(system, number, name):
    system.keyboard(number)
    since = system.mark()
    system.line(f"still here, {name}")
    system.said(name, f"echo: still here, {name}", since)


def test_nmi_is_told_and_the_guests_run_on(machine):
    since = machine.mark()
    machine.qemu_monitor("nmi")
    for cpu in range(3):
        machine.said("bulkhead", rf".*warning: CPU {cpu}: NMI from outside, 1 in all \(port 61h: 0x[0-9a-f]+, no source "
                                 r"named\); the guests run on", since)
    answers(machine, 1, "alpha")
    answers(machine, 2, "beta")


def exits_of(system, name):
    """How often a partition has left its guest so far."""
    since = system.mark()
    system.line(f"stats {name}")
    return int(system.said("bulkhead", r" *all +([0-9]+) .*", since)[1])


def spin_until_nothing_happens(system, name):
    """CPU 0 carries the console's characters; only the other CPU is in its guest for as long as that spins."""
    system.line("crash spin")
    system.said(name, "crash spin: .*")
    system.keyboard(0)
    before, now = -1, exits_of(system, name)
    while now != before:
        before, now = now, exits_of(system, name)


def test_nmi_reaches_the_hypervisor_out_of_a_guest():
    """The one before met CPUs that slept; here it is the exit of a guest that does nothing else."""
    with System("qemu", GUESTS.replace("beats=2", "quiet"), cpus=2, memory=256) as system:
        system.said("beta", "ready, type help", timeout=BOOT_TIMEOUT)
        system.keyboard(2)
        spin_until_nothing_happens(system, "beta")
        system.qemu_monitor("nmi")
        system.said("bulkhead", r".*warning: CPU 1: NMI from outside, 1 in all .*")
        answers(system, 1, "alpha")  # it is told before it is counted
        system.keyboard(0)
        system.line("stats beta")
        system.said("bulkhead", r" *nmi +1 .*")
        system.said("bulkhead", r" *reason NMI: 1")


MCG_STATUS = 5  # a machine check in progress, and the interrupted instruction can go on
UNCORRECTED = 0xBC00000000000134  # valid, uncorrected, enabled, with address
CORRUPT = 0xBE00000000000134  # and the CPU's context is lost


def machine_check(system, status, address):
    """On CPU 2, which sleeps in the hypervisor: QEMU's own CPU hands machine checks to the guest past every intercept."""
    system.qemu_monitor(f"mce 2 3 {status:#x} {MCG_STATUS} {address:#x} 0")


def memory_of(system, name):
    found = re.search(rf"partition \d {name}: .* from 0x([0-9a-f]+), image", system.transcript)
    return int(found[1], 16)


def test_machine_check_in_one_partition_ends_it_alone(machine):
    since = machine.mark()
    address = memory_of(machine, "beta") + 0x1234
    machine_check(machine, UNCORRECTED, address)
    machine.said("bulkhead", rf".*warning: machine check on CPU 2: bank 3, status {UNCORRECTED:016x} \(not corrected\), "
                             rf"address {address:#x}, memory of .*", since)
    machine.said("bulkhead", rf".*error: partition beta: machine check: its memory is damaged at HPA {address:#x}", since)
    machine.said("bulkhead", r".*partition beta is off: machine check in its memory", since)
    answers(machine, 1, "alpha")


def test_machine_check_of_the_hypervisor_stops_the_machine(machine):
    since = machine.mark()
    machine_check(machine, CORRUPT, memory_of(machine, "beta"))
    machine.said("bulkhead", r".*PANIC on CPU 2: machine check", since)
    machine.said("bulkhead", r".*  from [0-9a-f]{16} secondary_entry\+0x[0-9a-f]+", since)
    machine.said("bulkhead", rf".*machine check on CPU 2: bank 3, status {CORRUPT:016x} .*", since)
    machine.said("bulkhead", r".*The machine's hardware has failed\. The machine is stopped: .*", since)
