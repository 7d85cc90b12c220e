"""Isolation under attack: each attack of tests/hostile/, what must come of it word for word, and a victim that nobody disturbs.

One boot on each emulator: an attacker in a full partition, one in a para partition, and between them the victim; a
bystander, with whom the victim shares memory too, is never started. An attack that ends its partition is followed by the restart, so the next one finds it as if nothing had been.

An outcome is written as the attacker or the hypervisor tells it:
    "goes on", "goes on, 5a", "#GP(0)"   the guest's own line
    "fault: REASON"                      the hypervisor's report; a partition ends and starts anew
    "reset: REASON"                      the partition resets itself
Where VT-x and SVM differ by design, or one of the two emulators departs from the manuals, the row holds one for each.
"""

import os
import re

import pytest

from system import BOOT_TIMEOUT, BUILD, KEY, System

# CPU 0 serves the console as well. With an attacker on it, the walls have more to hold; but QEMU TCG loses interrupts of a CPU that exits
# all the time (see sleep_until_requested() in hv/core/lifecycle.c), and there the victim is the quieter tenant.
PINS = {"bochs": {"full": "0, 1", "victim": "2", "para": "3, 4"}, "qemu": {"victim": "0", "full": "1, 2", "para": "3, 4"}}
CPUS = 6
CONFIG = """
[hypervisor]
console = serial

[partition full]
mode         = full
memory       = 8M
cpus         = 2
pin          = {full}
image        = \\guests\\hostile-full.elf
cmdline      = xapic
on_fault     = restart
max_restarts = 1000

[partition victim]
mode   = para
memory = 4M
pin    = {victim}
image  = \\guests\\victim.elf

[partition para]
mode         = para
memory       = 8M
cpus         = 2
pin          = {para}
image        = \\guests\\hostile-para.elf
on_fault     = restart
max_restarts = 1000

[partition bystander]
mode      = para
memory    = 4M
pin       = 5
image     = \\guests\\victim.elf
autostart = no

[channel wall]
between = victim, para
allow   = message, notify, share
[channel window]
between = victim, bystander
allow   = share
"""

FILES = {f"\\guests\\{name}.elf": os.path.join(BUILD, f"guests/{name}.elf")
         for name in ("hostile-full", "hostile-para", "victim")}
KEYBOARD = {"full": 1, "para": 3}
ATTACKER, BYSTANDER = 3, 4  # endpoints of the victim's channels
VICTIM_HZ = 10
VICTIM_LATE_S = 5  # on a busy host; its start is part of it
FLOOD_LINES = 300
FLOOD_LINE = "flood {} of a line that is long enough to fill whatever holds it"
WHAT = ["read", "write", "execute", "tables"]
ENDLESS = [("full", "spin-for-ever"), ("para", "spin-for-ever"), ("full", "pit-storm")]
STAMP = r"\[ *\d+\.\d{6}\] "

MEMORY_END = 8 << 20
MACHINE_MIB = 512
WINDOW = 0x7FC0000000
IMAGE = "0x10[0-9a-f]{4}"  # the RIP of an attacker's own code
GP = re.escape("#GP(0)")


def outside(what, address, rip=IMAGE):
    return f"fault: {what} guest-physical {address:#x}, which is neither its memory nor a device, at RIP {rip}"


def window(address):
    return f"{WINDOW + address % (2 << 20):#x}"


def executes(address, rip=None):
    return outside("executes at", address, rip or window(address))


def tables(address):
    return f"fault: page tables in memory it does not have, at GPA {address:#x}"


def delivery(vector, address):
    return f"fault: delivery of vector {vector} needs memory it does not have, at GPA {address:#x}"


def by_platform(qemu, bochs):
    return {"qemu": qemu, "bochs": bochs}


def by_mode(full, para):
    return {"full": full, "para": para}


TRIPLE = "fault: triple fault"
NOBODY_AWAKE = "fault: all its CPUs are off or halted with interrupts off"
UD = "#UD"

# Attacks on memory, for both modes: they get no further than the last byte.
MEMORY = {
    "read-last-byte": "goes on, 0",
    "write-last-quad": "goes on",
    "read-beyond": outside("reads from", MEMORY_END),
    "write-beyond": outside("writes to", MEMORY_END),
    "execute-beyond": executes(MEMORY_END),
    "read-straddling": outside("reads from", MEMORY_END),
    "write-straddling": outside("writes to", MEMORY_END),
    "execute-straddling": executes(MEMORY_END, window(MEMORY_END - 1)),
    "trap-at-the-end": executes(MEMORY_END, f"{WINDOW + (2 << 20):#x}"),
    "trap-below-4g": "goes on",
    "exchange-beyond": outside("writes to", MEMORY_END),
    "push-beyond": outside("writes to", MEMORY_END),
    "copy-beyond": outside("writes to", MEMORY_END),
    "tables-beyond": tables(MEMORY_END),
    "directory-beyond": tables(MEMORY_END),
    "write-beside-io-apic": outside("writes to", 0xFEC01000),
    "read-hpet": outside("reads from", 0xFED00000),
    "write-tpm": outside("writes to", 0xFED40000),
    "read-pci-configuration": outside("reads from", 0xE0000000),
    "read-firmware": outside("reads from", 0xFFFFFFF0),
    "write-firmware": outside("writes to", 0xFFC00000),
    "execute-firmware": executes(0xFFFFFFF0),
    "execute-apic": executes(0xFEE00000),
    "write-beside-apic": outside("writes to", 0xFEE01000),
    "read-messages": outside("reads from", 0xFEEFF000),
    "tables-in-apic": tables(0xFEE00000),
    "read-above-4g": outside("reads from", 1 << 32),
    "write-above-4g": outside("writes to", (1 << 32) + 0x12345678),
    "read-widest": outside("reads from", (1 << 40) - 4096),
    # QEMU leaves the present bit out of the error code.
    "read-beyond-width": by_platform(re.escape("#PF(8)"), re.escape("#PF(9)")),
    # QEMU takes any CR3, and refuses it at the next entry.
    "tables-beyond-width": by_platform("fault: VMRUN refused the VMCB.*", GP),
    "read-not-canonical": GP,
    "jump-not-canonical": GP,
    "push-not-canonical": TRIPLE,
}

# QEMU checks next to nothing of what is written to CR0, CR4, CR8, PAT and base registers. It is the CPU's own to do, and
# what passes is the guest's own: the hypervisor's values stay apart, or the next entry is refused.
REFUSED = "fault: VMRUN refused the VMCB.*"
REGISTERS = {
    "cr3-bit-63": by_platform(REFUSED, GP),
    "cr3-bit-52": by_platform(REFUSED, GP),
    "cr0-bit-32": by_platform("goes on, 0", GP),
    "cr0-bit-63": by_platform("goes on, 0", GP),
    "cr0-nw-without-cd": by_platform("goes on, 20000000", GP),
    "cr0-paging-off": by_platform("fault: .*", GP),
    "cr0-protection-off": by_platform("goes on, 0", GP),
    "cr0-ne-off": "goes on, 0",
    "cr0-caches-off": "goes on, 40000000",
    "cr4-vmxe": by_platform(REFUSED, GP),
    "cr4-smxe": by_platform(REFUSED, GP),
    "cr4-la57": GP,
    "cr4-pae-off": by_platform(TRIPLE, GP),
    "cr4-bit-31": by_platform(REFUSED, GP),
    "cr4-bit-63": by_platform(REFUSED, GP),
    "cr4-all-bits": by_platform(REFUSED, GP),
    "cr4-mce-off": "goes on, 0",
    "cr8-bit-4": by_platform("goes on, 0", GP),
    "cr8-all-bits": by_platform(by_mode("goes on, f", "goes on, 0"), GP),
    "efer-svme": GP,
    "efer-bit-1": GP,
    "efer-ffxsr": GP,
    "efer-bit-63": GP,
    "efer-all-bits": GP,
    "efer-lme-off": GP,
    "efer-lma-off": "goes on, 400",
    "dr6-bit-32": GP,
    "dr7-bit-32": GP,
    "dr4-with-de": UD,
    "dr5-with-de": UD,
    "dr7-general-detect": by_platform("goes on, ffff0ff0", "#DB"),  # QEMU lacks it
    "xcr0-nothing": GP,
    "xcr0-without-x87": GP,
    "xcr0-avx-without-sse": GP,
    "xcr0-half-of-avx512": GP,
    "xcr0-supervisor-state": GP,
    "xcr0-bit-63": GP,
    "xcr0-all-bits": GP,
    "xcr1": GP,
    "xcr-last": GP,
    "pat-type-2": GP,
    "pat-type-3-last": GP,
    "pat-reserved": GP,
    "fs-base-not-canonical": by_platform("goes on", GP),
    "kernel-gs-base-not-canonical": by_platform("goes on", GP),
    "lstar-not-canonical": by_platform("goes on", GP),
    # QEMU's CPU is an AMD: a vendor's MSRs are there on its CPUs.
    "read-feature-control": by_platform(GP, "goes on, 1"),
    "microcode-revision": "goes on",
    "read-microcode-revision": "goes on, [0-9a-f]+",
    "read-smi-count": by_platform(GP, "goes on, 0"),
    "debug-control": "goes on",
    "debug-control-branch-trace": "goes on",
    "read-debug-control": "goes on, 0",
    "mtrr-default-type": by_mode("goes on", GP),
    "mtrr-fixed": by_mode("goes on", GP),
    "mtrr-variable": by_mode("goes on", GP),
    "read-mtrr-capabilities": by_mode("goes on, 508", GP),
    "amd-decode-configuration": by_platform("goes on", GP),
    "amd-vm-cr": by_platform("goes on", GP),
    "read-amd-vm-cr": by_platform("goes on, 18", GP),
    "amd-system-configuration": by_platform("goes on", GP),
    "amd-hardware-configuration": by_platform("goes on", GP),
    "sweep-hypervisors": "goes on, 0",
    "sweep-writes-low": "goes on, 0",
    "sweep-writes-hypervisors": "goes on, 0",
    "sweep-writes-high": "goes on, 0",
    "sweep-writes-amd": "goes on, 0",
}
MSRS_REFUSED = """
    write-feature-control microcode-update amd-microcode-update smm-monitor smbase smrr-base smrr-mask
    amd-smbase amd-smm-address amd-smm-mask speculation-control read-speculation-control predictor-barrier
    cache-flush-command read-architectural-capabilities amd-virtual-speculation-control fill-buffer-control
    read-last-branch read-vmx-basic read-vmx-last write-vmx-basic amd-host-save
    read-amd-host-save amd-top-of-memory time-stamp-counter
    time-stamp-adjust performance-control performance-counters processor-trace machine-check-bank machine-check-status
    power-limit supervisor-xsave hyper-v-guest-id kvm-clock last-in-low-range first-beyond-low-range last-in-high-range
    first-beyond-high-range last-in-amd-range first-beyond-amd-range msr-last""".split()
REGISTERS.update({name: GP for name in MSRS_REFUSED})

INSTRUCTIONS = {name: UD for name in """
    vmxon vmxoff vmclear vmptrld vmptrst vmread vmwrite vmlaunch vmresume vmfunc invept invvpid vmrun vmload vmsave stgi
    clgi skinit invlpga getsec rsm monitor mwait call-of-the-other-vendor xsetbv-switched-off
    syscall-switched-off""".split()}
INSTRUCTIONS.update({
    "rdpmc": GP,
    "iret-nested-task": GP,
    "task-register-nobody": re.escape("#GP(fff8)"),
    # QEMU reckons with gates of 16 bytes: 16 times the vector, here and below.
    "interrupt-beyond-table": by_platform(re.escape("#GP(ff2)"), re.escape("#GP(7fa)")),
    "prefixes-16": GP,
    "cpuid-15-bytes": "goes on",
    "cpuid-16-bytes": GP,
    "invd": "goes on, 1122334455667788",
    "wbinvd-storm": "goes on",
    "pause-storm": "goes on",
    "cpuid-storm": "goes on",
    "cpuid-all": "goes on",
    "task-switch": by_platform(TRIPLE, "fault: hardware task switch, which is not served"),
    "traps-across-pages": "goes on, 0",
    "halt-for-good": NOBODY_AWAKE,
})

DELIVERY = {
    "no-table": TRIPLE,
    "empty-table": TRIPLE,
    "table-beyond": delivery(6, MEMORY_END + 0x60),
    "table-straddling": delivery(6, MEMORY_END),
    "table-not-canonical": TRIPLE,
    "stack-beyond": delivery(6, MEMORY_END + 0xF8),
    "stack-straddling": delivery(6, MEMORY_END + 8),
    "stack-not-canonical": TRIPLE,
    "stack-unmapped": TRIPLE,
    "handler-beyond": executes(MEMORY_END),
    "handler-unmapped": re.escape("#PF(0)"),
    "handler-not-canonical": by_platform(GP, re.escape("#GP(1)")),
    # QEMU leaves out bit 0, "an event that is not the program's", too.
    "gate-absent": by_platform(re.escape("#NP(62)"), re.escape("#NP(33)")),
    "gate-task": by_platform(re.escape("#GP(62)"), re.escape("#GP(33)")),
    "gate-16-bit": by_platform(re.escape("#GP(62)"), re.escape("#GP(33)")),
    "gate-to-no-segment": by_platform(re.escape("#GP(fff8)"), re.escape("#GP(fff9)")),
    "gate-to-data": by_platform(re.escape("#GP(10)"), re.escape("#GP(11)")),
    "gate-to-null": by_platform(GP, re.escape("#GP(1)")),
    "gates-absent-twice": re.escape("#DF(0)"),
    "gates-absent-thrice": TRIPLE,
    "page-fault-loop": TRIPLE,
}

INVALID = "goes on, fffffffd"  # SMCCC: invalid parameter
DENIED = "goes on, fffffffd"   # PSCI
INVALID_PSCI = "goes on, fffffffe"
RESET = "reset: SYSTEM_RESET"
CALLS = {
    "last-awake-stops": NOBODY_AWAKE,
    "calls-of-all-owners": "goes on, 0",
    "yielding-calls-of-all-owners": "goes on, 0",
    "calls-of-all-numbers": "goes on, 0",
    "calls-with-middle-bits": "goes on, 0",
    "event-page-not-aligned": INVALID,
    "event-page-beyond": INVALID,
    "event-page-high": INVALID,
    "event-page-top": INVALID,
    "event-page-apic": INVALID,
    "clock-page-not-aligned": INVALID,
    "clock-page-beyond": INVALID,
    "clock-page-top": INVALID,
    "ring-not-aligned": INVALID,
    "ring-beyond": INVALID,
    "ring-top": INVALID,
    "event-page-unmapped": "goes on, 80",
    "event-page-read-only": "goes on, 80",
    "upcall-vector-31": INVALID,
    "upcall-vector-256": INVALID,
    "upcall-vector-huge": INVALID,
    "event-to-nobody": INVALID,
    "event-to-far-nobody": INVALID,
    "event-56": INVALID,
    "event-huge": INVALID,
    "cpu-on-itself": "goes on, fffffffc",
    "cpu-on-nobody": INVALID_PSCI,
    "cpu-on-far-nobody": INVALID_PSCI,
    "affinity-of-nobody": INVALID_PSCI,
    "affinity-of-level-1": INVALID_PSCI,
    "range-beyond": DENIED,
    "range-that-wraps": DENIED,
    "range-from-top": DENIED,
    "range-of-nothing": DENIED,
    "range-of-its-own": "goes on, 0",
    "suspend-to-beyond": "goes on, fffffff7",
    "reset-of-a-kind-nobody-knows": INVALID_PSCI,
    "manage-without-the-right": "goes on, 0",
    "log-49-characters": INVALID_PSCI,
    "log-endlessly": INVALID_PSCI,
    "random-193-bits": INVALID_PSCI,
    "random-0-bits": INVALID_PSCI,
    "random-endlessly": INVALID_PSCI,
    "ring-head-far": RESET,
    "ring-head-behind": RESET,
    "ring-one-too-many": RESET,
    "pages-overlaid": RESET,
    "page-taken-back": "goes on, 0",
    "event-storm": "goes on",
    "deadline-storm": "goes on",
    "call-storm": "goes on",
    "blind-flood": "goes on",
    "blind-flood-of-lines": "goes on",
    "blind-flood-of-escapes": "goes on",
    "blind-flood-of-bytes": "goes on",
    "ring-changing": RESET,
    "pages-changing": "goes on",
    "storm-of-both": "goes on",
    "starts-and-stops": "goes on, 0",
    "cpu-on-beyond": "goes on, fffffff7",
    "cpu-on-high": "goes on, fffffff7",
    "cpu-on-not-canonical": "goes on, fffffff7",
    "reset-port": GP,
    "keyboard-reset": GP,
    "fast-reset": GP,
    "power-port": GP,
    "pci-configuration-port": GP,
    "serial-port": GP,
    "string-from-port": GP,
    "all-ports": "goes on, 0",
    "x2apic-registers": "goes on, 0",
    "apic-base": GP,
    "apic-deadline": GP,
}
NO_MEMORY, BUSY, REFUSED = "goes on, fffffffd", "goes on, fffffffc", "goes on, fffffffa"
HIDDEN = 0x600000
SHARING = {
    "share-as-another": INVALID_PSCI,
    "share-with-itself": INVALID_PSCI,
    "share-with-a-stranger": INVALID_PSCI,
    "share-with-nobody": INVALID_PSCI,
    "share-entries-outside": INVALID_PSCI,
    "share-entries-in-the-header": INVALID_PSCI,
    "share-entries-without-number": INVALID_PSCI,
    "share-entries-of-no-size": INVALID_PSCI,
    "share-composite-outside": INVALID_PSCI,
    "share-composite-in-the-header": INVALID_PSCI,
    "share-ranges-without-number": INVALID_PSCI,
    "share-pages-without-number": INVALID_PSCI,
    "share-nothing": INVALID_PSCI,
    "share-not-aligned": INVALID_PSCI,
    "share-beyond": INVALID_PSCI,
    "share-straddling": INVALID_PSCI,
    "share-top": INVALID_PSCI,
    "share-high": INVALID_PSCI,
    "share-apic": INVALID_PSCI,
    "share-endlessly": NO_MEMORY,
    "lend-what-is-in-use": "goes on, fffffffafffffffa",
    "read-what-is-lent": outside("reads from", HIDDEN),
    "write-what-is-lent": outside("writes to", HIDDEN),
    "execute-what-is-lent": executes(HIDDEN, f"{HIDDEN:#x}"),
    "lend-its-tables": "fault: page tables in memory it does not have, at GPA 0x[0-9a-f]+",
    "offer-what-is-lent": "goes on, 0",
    "descriptions-begun": NO_MEMORY,
    "descriptions-changing": "goes on, 0",
    "lend-by-both": "goes on",
    "notify-unasked": REFUSED,
    "notify-as-another": INVALID_PSCI,
    "notify-a-stranger": INVALID_PSCI,
    "notify-no-vcpu": INVALID_PSCI,
    "request-unasked": BUSY,
    "request-as-another": INVALID_PSCI,
    "request-as-the-framework": INVALID_PSCI,
    "send-unasked": REFUSED,
    "send-too-much": INVALID_PSCI,
    "send-to-a-stranger": INVALID_PSCI,
}


def unserved(code, rip):
    return f"fault: accesses the device at 0xfee0003[02] with {code}( [0-9a-f]{{2}})+, at RIP {rip}: not served"


CODE = "0x1[0-9a-f]{2}000"
STRING = f"fault: string instruction at linear address {WINDOW + (2 << 20):#x}, outside its memory"
DEVICES = {
    "all-ports-read": "goes on",
    "all-ports-written": "goes on",
    "serial-garbled": "goes on",
    "pci-configuration": "goes on, ffffffff",
    "reset-port": "reset: reset by the guest",
    "reset-port-full": "reset: reset by the guest",
    "keyboard-reset": "reset: reset by the guest",
    "fast-reset": "reset: reset by the guest",
    "sleep-port": "goes on",
    "string-in-beyond": STRING,
    "string-out-beyond": STRING,
    "string-in-unmapped": re.escape("#PF(2)"),
    "string-in-not-canonical": GP,
    "long-string": "goes on, 0",
    "nmi-to-itself": "NMI",
    "init-to-itself": "reset: INIT to the boot CPU",
    "init-to-everybody": "reset: INIT to the boot CPU",
    "init-to-others": "goes on",
    "startup-to-itself": "goes on",
    "init-to-foreign": "goes on",
    "nmi-to-foreign": "goes on",
    "startup-to-foreign": "goes on",
    "all-commands-to-foreign": "goes on",
    "all-commands": "goes on",
    "self-storm": "goes on",
    "nmi-storm": "goes on",
    "timer-storm": "goes on",
    "deadline-storm": "goes on",
    "all-registers-read": "goes on",
    "all-registers-written": "goes on",
    "read-across-apic-end": "goes on, 0",
    "io-apic-registers": "goes on",
    "io-apic-messages": "goes on",
    "apic-moved": GP,
    "apic-base-reserved": GP,
    "apic-base-beyond-width": GP,
    "apic-mode-nobody-has": GP,
    "x2apic-register": GP,
    "decode-across-pages": "goes on, 14",
    "decode-15-bytes": "goes on, 14",
    "decode-16-bytes": GP,
    "decode-changing": "goes on, 0",
    "decode-changing-under-it": "goes on",
    "decode-push": unserved("ff 37", CODE),
    "decode-increment": "goes on",
    "decode-compare-exchange": unserved("0f b1 37", CODE),
    "decode-string": "goes on",
    "decode-table": unserved("0f 01 17", CODE),
    "decode-call": unserved("ff 17", CODE),
    "stack-in-apic": delivery(6, 0xFEE007F8),
    "other-cpu-faults": TRIPLE,
    "last-awake-inits-itself": NOBODY_AWAKE,
    "both-cpus-fault": outside("writes to", MEMORY_END),
    "init-storm": "reset: reset by the guest",
    "storm-of-both": "goes on",
    "events-behind-sti": "goes on, 0",
    "tables-changing-under-it": "goes on, 0",
    "x2apic-commands-to-foreign": "goes on",
    "blind-flood": "goes on",
    "blind-flood-of-lines": "goes on",
    "blind-flood-of-escapes": "goes on",
    "blind-flood-of-bytes": "goes on",
    "para-event-page": "goes on, f{16}",
    "para-console-ring": "goes on, f{16}",
    "para-cpu-on": "goes on, f{16}",
    "unknown-call": "goes on, f{16}",
}

# The MSRs a guest reads, all of them: its own, and constants.
READABLE = {"sweep-low": [0x1B, 0x3B, 0x8B, 0x174, 0x175, 0x176, 0x1D9, 0x277, 0xDA0],
            "sweep-high": [*range(0xC0000080, 0xC0000085), *range(0xC0000100, 0xC0000104)],
            "sweep-amd": []}
MTRRS = [0xFE, *range(0x200, 0x210), 0x250, 0x258, 0x259, *range(0x268, 0x270), 0x2FF]
READABLE_ALSO = {("full", "sweep-low"): [0x6E0, *MTRRS],
                 ("bochs", "sweep-low"): [0x10, 0x17, 0x34, 0x3A, 0xCE, 0x1A0],
                 ("qemu", "sweep-amd"): [0xC0010010, 0xC0010015, 0xC001001F, 0xC0010055, 0xC0010058, 0xC0010114, 0xC0010140,
                                         0xC0010141, 0xC0011020, 0xC0011022, 0xC0011023, 0xC0011029, 0xC001102A]}

ATTACKS = [(mode, name, outcome) for mode, own in (("full", DEVICES), ("para", CALLS | SHARING))
           for table in (MEMORY, REGISTERS, INSTRUCTIONS, DELIVERY, own) for name, outcome in table.items()]


class Machine:
    """The booted system, and how far its lines have been looked at: each line once, as there are many."""

    def __init__(self, system):
        self.system = system
        self.keyboard_at = None
        self.victim_count = self.victim_looked = 0

    def now(self):
        """Behind the last whole line that has been read. What an attack leads to comes later."""
        return self.system.serial.transcript.rfind(b"\n") + 1

    def give_keyboard(self, mode):
        if self.keyboard_at != mode:
            since = self.now()
            self.system.send(f"{KEY}{KEYBOARD.get(mode, 0)}")
            self.said("bulkhead", f"keyboard: {mode}", since)
            self.keyboard_at = mode

    def said(self, who, pattern, since):
        try:
            return self.system.said(who, pattern, since)
        except AssertionError:
            told = "\n".join(line for line in self.system.lines(since) if not line.startswith("victim"))
            raise AssertionError(f"no line of {who} is {pattern!r}; this was told:\n{told[-3000:]}") from None

    def begin(self, mode, name, argument=None):
        self.give_keyboard(mode)
        since = self.now()
        self.system.line(name if argument is None else f"{name} {argument:x}")
        self.said(mode, f"attack {name} begins", since)
        return since

    def outcome(self, mode, name, since):
        """What came of it, from whoever tells first; after an end the next life has begun."""
        own = rf"{mode} *\| attack {name}: (?!readable )(?P<own>.*)"
        fault = rf"bulkhead *\| {STAMP}error: partition {mode}: vCPU [01] on CPU \d: (?P<fault>fault: .*)"
        reset = rf"bulkhead *\| {STAMP}partition {mode} (?P<reset>resets: .*)"
        try:
            told = self.system.wait_line(f"{own}|{fault}|{reset}", since)
        except AssertionError:
            self.reset(mode)  # so that the next attack finds it as if nothing had been
            raise
        if told["own"] is not None:
            return told["own"]
        if told["fault"] is not None:
            self.said("bulkhead", STAMP + rf"warning: partition {mode} restarts \(\d+ of 1000\)", since)
        self.said(mode, "hostile: ready", since)
        return told["fault"] or told["reset"].replace("resets", "reset")

    def attack(self, mode, name, outcome, argument=None):
        since = self.begin(mode, name, argument)
        told = self.outcome(mode, name, since)
        assert re.fullmatch(outcome, told), f"{told!r} instead of {outcome!r}"
        return since

    def order(self, command, answer):
        """A word to the monitor."""
        self.give_keyboard("monitor")
        since = self.now()
        self.system.line(command)
        self.said("bulkhead", STAMP + answer, since)
        return since

    def reset(self, mode):
        since = self.order(f"reset {mode}", f"partition {mode} resets: by the monitor")
        self.said(mode, "hostile: ready", since)

    def assert_victim_lives(self):
        """Every number it has counted, and no other word."""
        end = self.now()
        for line in self.system.lines(self.victim_looked, "victim"):
            if line.startswith("victim shares"):
                continue
            self.victim_count += 1
            assert line == f"victim ok {self.victim_count}"
        self.victim_looked = end


@pytest.fixture(scope="module")
def machine(platform):
    with System(platform, CONFIG.format(**PINS[platform]), cpus=CPUS, memory=MACHINE_MIB, files=FILES) as system:
        for mode in KEYBOARD:
            system.said(mode, "hostile: ready", timeout=BOOT_TIMEOUT)
        machine = Machine(system)
        yield machine
        machine.assert_victim_lives()


@pytest.fixture(scope="module")
def host_start(machine):
    """Where the host keeps each partition's memory."""
    return {mode: int(machine.said("bulkhead", STAMP + rf"partition \d {mode}: .* in 1 piece from 0x([0-9a-f]+), .*", 0)[1], 16)
            for mode in ("full", "victim", "para")}


@pytest.fixture(scope="module")
def host_frames(machine):
    """Frames of the hypervisor: its image from text to data; its page tables, CPU areas, VMCS or VMCB and bitmaps."""
    told = machine.said("bulkhead", STAMP + r"hypervisor: .*image (\d+) KiB at 0x([0-9a-f]+), .* (\d+) of \d+ KiB at 0x([0-9a-f]+)", 0)
    frames = []
    for size, start in ((told[1], told[2]), (told[3], told[4])):
        first, last = int(start, 16), int(start, 16) + (int(size) << 10) - 1
        frames += [first + (last - first) * part // 4 & ~0xFFF for part in range(5)]
    return frames


@pytest.fixture(scope="module")
def shared(machine):
    """The handles of what the victim shares, by endpoint."""
    return {peer: int(machine.said("victim", f"victim shares with {peer}: 0, handle ([0-9a-f]+)", 0)[1], 16)
            for peer in (ATTACKER, BYSTANDER)}


def outcome_of(outcome, platform, mode):
    while isinstance(outcome, dict):
        outcome = outcome[platform] if platform in outcome else outcome[mode]
    return outcome


def outcome_at(what, address):
    """Of an access at a physical address where the guest has nothing."""
    return {"read": outside("reads from", address), "write": outside("writes to", address),
            "execute": executes(address), "tables": tables(address)}[what]


@pytest.fixture(autouse=True)
def victim_lives(machine):
    """Next to each attack."""
    yield
    machine.assert_victim_lives()


@pytest.mark.parametrize("mode, name, outcome", ATTACKS, ids=[f"{mode}-{name}" for mode, name, _ in ATTACKS])
def test_attack(machine, platform, mode, name, outcome):
    machine.attack(mode, name, outcome_of(outcome, platform, mode))


@pytest.mark.parametrize("mode", KEYBOARD)
@pytest.mark.parametrize("name", READABLE)
def test_no_other_msr_can_be_read(machine, platform, mode, name):
    expected = READABLE[name] + READABLE_ALSO.get((mode, name), []) + READABLE_ALSO.get((platform, name), [])
    since = machine.attack(mode, name, f"goes on, {len(expected):x}")
    told = [re.fullmatch(rf"attack {name}: readable ([0-9a-f]+)", line) for line in machine.system.lines(since, mode)]
    assert sorted(int(line[1], 16) for line in told if line) == sorted(expected)


def test_handles_guessed(machine, shared):
    """It finds what is shared with it, and may do with that what borrowers may. What is next to it is nothing to it, told or guessed."""
    assert shared[ATTACKER] != shared[BYSTANDER]
    machine.attack("para", "handles-guessed", f"goes on, {shared[ATTACKER]:x}")
    machine.attack("para", "handle-of-others", "goes on, 0", shared[ATTACKER])
    machine.attack("para", "handle-of-others", "goes on, 1", shared[BYSTANDER])


@pytest.mark.parametrize("mode", KEYBOARD)
def test_trap_changing_under_it(machine, mode):
    """Where the CPU does not tell how long the instruction was, the hypervisor may find another one: it does not guess."""
    since = machine.begin(mode, "trap-changing-under-it")
    told = machine.outcome(mode, "trap-changing-under-it", since)
    assert told == "goes on" or \
        (machine.system.platform == "qemu" and told.startswith("fault: the instruction at RIP is not the one that trapped"))


@pytest.mark.parametrize("mode, name, line", [("full", "flood", FLOOD_LINE), ("para", "flood", FLOOD_LINE),
                                              ("para", "flood-by-call", "flood {} by call")],
                         ids=["full", "para", "para-by-call"])
def test_whoever_waits_loses_no_line(machine, mode, name, line):
    since = machine.attack(mode, name, "goes on")
    told = [text for text in machine.system.lines(since, mode) if not text.startswith("attack ")]
    assert told == [line.format(number) for number in range(FLOOD_LINES)]


@pytest.mark.parametrize("mode", KEYBOARD)
@pytest.mark.parametrize("whose", ["full", "victim", "para"])
@pytest.mark.parametrize("what", WHAT)
def test_frames_of_others(machine, host_start, mode, whose, what):
    """The host's addresses of each partition's memory, its own too: to a guest they are not there."""
    address = host_start[whose] + 0x3000
    if address < MEMORY_END:
        address += MEMORY_END
    machine.attack(mode, f"{what}-at", outcome_at(what, address), address)


@pytest.mark.parametrize("mode", KEYBOARD)
@pytest.mark.parametrize("what", WHAT)
def test_frames_of_the_hypervisor(machine, host_frames, mode, what):
    addresses = [address for address in host_frames if address >= MEMORY_END]
    assert len(addresses) >= len(host_frames) / 2, host_frames
    for address in addresses:
        machine.attack(mode, f"{what}-at", outcome_at(what, address), address)


@pytest.mark.parametrize("mode", KEYBOARD)
@pytest.mark.parametrize("what", ["read", "write"])
def test_machine_memory(machine, mode, what):
    """Everywhere in the machine's memory, where the firmware and its tables live, and above its end."""
    for address in [16 << 20, (MACHINE_MIB << 20) // 2, (MACHINE_MIB - 4) << 20, (MACHINE_MIB << 20) - 8, MACHINE_MIB << 20]:
        machine.attack(mode, f"{what}-at", outcome_at(what, address), address)


def test_power_port_ends_its_partition_only(machine):
    since = machine.begin("full", "power-port")
    machine.said("bulkhead", STAMP + "partition full is off: switched off by the guest", since)
    machine.give_keyboard("monitor")
    machine.system.command("list", r"full +off ")  # that is told before it is so
    machine.system.line("start full")
    machine.said("full", "hostile: ready", since)


@pytest.mark.parametrize("mode, name", ENDLESS)
def test_endless(machine, mode, name):
    """What never ends by itself ends by the monitor's word."""
    machine.begin(mode, name)
    machine.said("victim", r"victim ok \d+", machine.now())
    machine.reset(mode)


def test_victim_was_not_disturbed(machine):
    """It counts ten times a second by a clock that catches up, so no beat is left out; and none is late by much now."""
    machine.give_keyboard("monitor")
    since = machine.now()
    machine.system.line("info victim")
    seconds = float(machine.said("bulkhead", r" *run time +([0-9.]+) s, restarts 0", since)[1])
    beat = int(machine.said("victim", r"victim ok (\d+)", since)[1])
    assert beat >= (seconds - VICTIM_LATE_S) * VICTIM_HZ


REASONS = {"bochs": {"full": ["VMXON", "VMLAUNCH", "MONITOR", "control-register access"],
                     "para": ["VMXOFF", "INVEPT", "WBINVD"]},
           "qemu": {"full": ["VMRUN", "SKINIT", "CLGI", "MONITOR", "CR8_WRITE", "EXCP_DB"], "para": ["VMLOAD", "STGI", "WBINVD"]}}


@pytest.mark.parametrize("mode", KEYBOARD)
def test_attacks_are_counted(machine, platform, mode):
    """The monitor tells by which instructions they came, however often the partition has started since."""
    machine.give_keyboard("monitor")
    since = machine.now()
    machine.system.line(f"stats {mode}")
    machine.said("bulkhead", r"  all .*", since)
    for reason in REASONS[platform][mode]:
        machine.said("bulkhead", rf"  reason {reason}: [1-9]\d*", since)


def test_hypervisor_has_nothing_else_to_say(machine):
    """No panic, and no warning or error but the reports of attacks."""
    for line in machine.system.lines(who="bulkhead"):
        assert not re.search("panic|PANIC|bug", line), line
        if re.match(STAMP + "(warning|error): ", line):
            assert re.match(STAMP + r"(warning: partition (full|para) restarts|error: partition (full|para): |error:   )", line), line
