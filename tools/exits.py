#!/usr/bin/python3
"""Which exit reasons the system tests reached, from what the hypervisor itself told while they ran.

note() takes a console transcript: the monitor's `stats` counts exits by class, and by the hardware's reason what has not a class of its own;
the trace in fault reports names reasons too. Each run adds what it saw to build/exits/PLATFORM; exits.py prints the table, and of what was
not reached the reason.
"""

import os
import re
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
SEEN = os.path.join(ROOT, "build", "exits")
TABLES = {"bochs": ("VT-x", "arch/x86/vmx/vmx.h", r'X\((\d+), \w+, "([^"]+)"'),
          "qemu": ("SVM", "arch/x86/svm/vmcb.h", r'X\(VMEXIT_\w+, (0x\w+), "([^"]+)"\)')}
CLASSES = r'\tX\([A-Z_]+, "([^"]+)"\)'

NOT_ENABLED = "its control is off: the guest does it without an exit"
ABSENT = "this CPU, as emulated, does not have it"
OUTSIDE = "only the machine can raise it, and the emulator does not"
LATER = "the CPU is told of it otherwise: by the request word, before an entry"
QEMU = "QEMU's CPU does it without an exit, or names another instruction"
OTHER_BACK_END = "the other back end has it"
STEPPED = "it is intercepted while the hypervisor has the guest step only, which an event right behind STI brings about"
NO_EXIT = "it is #UD before it could exit"
UNKNOWN = "no reason is known: a test is missing, or has not run"
# Reasons that are counted by their class alone: those of the short paths.
BY_CLASS = {"bochs": {"cpuid": 10, "hypercall": 18, "msr read": 31, "msr write": 32, "port": 30, "hlt": 12, "memory": 48,
                      "host interrupt": 1},
            "qemu": {"cpuid": 0x72, "hypercall": 0x81, "msr read": 0x7C, "msr write": 0x7C, "port": 0x7B, "hlt": 0x78,
                     "memory": 0x400}}
WHY_NOT = {
    NOT_ENABLED: ["INVLPG", "RDTSC", "RDTSCP", "GDTR or IDTR access", "LDTR or TR access", "RDRAND", "RDSEED", "INVPCID", "ENCLS",
                  "PAUSE", "MOV DR", "monitor trap flag", "TPR below threshold",
                  "page-modification log full", "XSAVES", "XRSTORS"],
    ABSENT: ["RDPRU", "MCOMMIT", "MWAIT_CONDITIONAL", "BUSY"],
    OUTSIDE: ["I/O SMI", "SMI", "INIT", "machine check at VM entry", "FERR_FREEZE", "EXCP_MC", "MSR loading", "EPT misconfiguration",
              "init or sipi"],
    LATER: ["start-up IPI"],
    STEPPED: ["EXCP_DE", "EXCP_BR", "EXCP_UD", "EXCP_NM", "EXCP_TS", "EXCP_NP", "EXCP_SS", "EXCP_GP", "EXCP_PF", "EXCP_MF", "EXCP_XM",
              "SWINT"],
    NO_EXIT: ["GETSEC", "RSM", "VMFUNC"],
    QEMU: ["INVD", "XSETBV", "xsetbv", "EXCP_AC"],
    OTHER_BACK_END: ["preemption timer", "local apic"],
}


def note(transcript, platform):
    """Adds what one run of the machine has told."""
    text = transcript.decode("utf-8", "replace")
    seen = {f"reason {int(reason, 16):#x}" for reason in re.findall(r"exit -\d+: [^(]+\(reason (0x[0-9a-f]+)\)", text)}
    seen |= {f"class {name}" for name in re.findall(r"exit -\d+: ([^(]+) \(reason", text)}
    seen |= {f"class {name.strip()}" for name in re.findall(r"\|   ([a-z][A-Za-z ]+?) +[1-9]\d* +\d+ +\d+\s*$", text, re.MULTILINE)}
    seen.discard("class all")
    seen |= {f"name {name}" for name in re.findall(r"\|   reason ([^:\r\n]+): [1-9]\d*\s*$", text, re.MULTILINE)}
    if seen:
        os.makedirs(SEEN, exist_ok=True)
        with open(os.path.join(SEEN, platform), "a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in sorted(seen))


def read(path, pattern):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return re.findall(pattern, file.read())


def counted(seen, platform, reasons):
    """The reasons that the monitor's `stats` told of: by name, and by class those of the short paths."""
    by_class = {f"reason {number:#x}" for name, number in BY_CLASS[platform].items() if f"class {name}" in seen}
    return by_class | {key for key, name in reasons if f"name {name}" in seen}


def table(seen, names):
    """Two columns of text: what was reached, and what was not with its reason."""
    reached = [name for key, name in names if key in seen]
    reasons = {name: why for why, names_of in WHY_NOT.items() for name in names_of}
    missed = {}
    for key, name in names:
        if key not in seen:
            missed.setdefault(reasons.get(name, UNKNOWN), []).append(name)
    return reached, missed


def show(title, seen, names):
    reached, missed = table(seen, names)
    print(f"{title}: {len(reached)} of {len(names)} reached: {', '.join(reached)}")
    for why, missing in missed.items():
        print(f"    not reached, {why}: {', '.join(missing)}")


def main():
    for platform, (back_end, path, pattern) in TABLES.items():
        try:
            with open(os.path.join(SEEN, platform), encoding="utf-8") as file:
                seen = set(file.read().splitlines())
        except FileNotFoundError:
            continue  # its tests have not run
        reasons = [(f"reason {int(number, 0):#x}", name) for number, name in read(path, pattern)]
        seen |= counted(seen, platform, reasons)
        show(f"{back_end}, exit reasons", seen, reasons)
        show(f"{back_end}, classes of exits", seen, [(f"class {name}", name) for name in read("include/bulkhead/abi.h", CLASSES)])


if __name__ == "__main__":
    sys.exit(main())
