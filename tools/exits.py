#!/usr/bin/python3
"""Which exit reasons the system tests reached, from what the hypervisor itself told while they ran.

note() takes a console transcript: the trace in fault reports names hardware reasons, the monitor's `stats` counts classes of exits. Each
run adds what it saw to build/exits/PLATFORM; exits.py prints the table, and of what was not reached the reason.
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
ON_DEMAND = "done by the attacks, whose guests seldom fault by it and are not asked for their counts"
NO_REPORT = "none of the guests that fault has done it among its last 16 exits"
WHY_NOT = {
    NOT_ENABLED: ["INVLPG", "RDTSC", "RDTSCP", "GDTR or IDTR access", "LDTR or TR access", "RDRAND", "RDSEED", "INVPCID", "ENCLS",
                  "PAUSE", "MOV DR", "monitor trap flag", "TPR below threshold",
                  "page-modification log full", "XSAVES", "XRSTORS"],
    ABSENT: ["RDPRU", "MCOMMIT", "MWAIT_CONDITIONAL", "BUSY"],
    OUTSIDE: ["I/O SMI", "SMI", "INIT", "machine check at VM entry", "FERR_FREEZE", "EXCP_MC", "MSR loading", "EPT misconfiguration",
              "task switch", "init or sipi"],
    LATER: ["start-up IPI"],
    ON_DEMAND: ["GETSEC", "INVD", "RSM", "VMCLEAR", "VMLAUNCH", "VMPTRLD", "VMPTRST", "VMREAD", "VMRESUME", "VMWRITE", "VMXOFF", "VMXON",
                "INVEPT", "INVVPID", "VMFUNC", "MWAIT", "MONITOR", "WBINVD", "INVLPGA", "VMRUN", "VMLOAD", "VMSAVE", "STGI", "CLGI",
                "SKINIT", "RDPMC", "XSETBV", "CR8_READ", "CR8_WRITE", "control-register access", "undefined instruction", "xsetbv",
                "control register"],
}


def note(transcript, platform):
    """Adds what one run of the machine has told."""
    text = transcript.decode("utf-8", "replace")
    seen = {f"reason {int(reason, 16):#x}" for reason in re.findall(r"exit -\d+: [^(]+\(reason (0x[0-9a-f]+)\)", text)}
    seen |= {f"class {name}" for name in re.findall(r"exit -\d+: ([^(]+) \(reason", text)}
    seen |= {f"class {name.strip()}" for name in re.findall(r"\|   ([a-z][a-z ]+?) +[1-9]\d* +\d+ +\d+\s*$", text, re.MULTILINE)}
    seen.discard("class all")
    if seen:
        os.makedirs(SEEN, exist_ok=True)
        with open(os.path.join(SEEN, platform), "a", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in sorted(seen))


def read(path, pattern):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return re.findall(pattern, file.read())


def table(seen, names):
    """Two columns of text: what was reached, and what was not with its reason."""
    reached = [name for key, name in names if key in seen]
    reasons = {name: why for why, names_of in WHY_NOT.items() for name in names_of}
    missed = {}
    for key, name in names:
        if key not in seen:
            missed.setdefault(reasons.get(name, NO_REPORT), []).append(name)
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
        show(f"{back_end}, exit reasons", seen, reasons)
        show(f"{back_end}, classes of exits", seen, [(f"class {name}", name) for name in read("include/bulkhead/abi.h", CLASSES)])


if __name__ == "__main__":
    sys.exit(main())
