#!/usr/bin/python3
"""How much of the code the unit tests reach, held against a floor. `make coverage` runs it on a build with --coverage.

Every .c file of the hypervisor and the loader is either measured, or stands in NOT_ON_HOST with the reason: what no test
links is not silently left out. Usage: coverage.py FOLDER, where the objects and their figures are.
"""

import json
import os
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
FOLDERS = ["arch", "boot", "drivers", "hv"]
FLOOR = 90  # per cent of lines, in all

FIRMWARE = "calls UEFI boot services; tests/system boots it on OVMF"
VMX = "VMREAD, VMWRITE and VM entries; tests/system and tests/hostile run it on Bochs"
VMX_APIC = ("VMREAD, VMWRITE and an APIC that the CPU serves; test_local_apic_is_served_by_the_cpu_that_can of "
            "tests/system/test_platforms.py and make bench run it on Bochs")
SVM = "VMRUN, VMLOAD and what they leave in the CPU; tests/system and tests/hostile run it on QEMU"
PRIVILEGED = "privileged instructions and fixed addresses; tests/system runs it on both emulators"
NOT_ON_HOST = {
    FIRMWARE: ["boot/cpus.c", "boot/file.c", "boot/handover.c", "boot/main.c", "boot/output.c", "boot/page_tables.c",
               "boot/pages.c", "boot/screen.c"],
    VMX: ["arch/x86/vmx/" + name for name in
          ("describe.c", "events.c", "exit.c", "registers.c", "slow.c", "vmcs.c", "vmx.c")],
    VMX_APIC: ["arch/x86/vmx/apic.c"],
    SVM: ["arch/x86/svm/" + name for name in
          ("exit.c", "run.c", "slow.c", "svm.c")],
    PRIVILEGED: ["arch/x86/apic.c", "arch/x86/guest_state.c", "arch/x86/interrupts.c", "arch/x86/panic.c",
                 "arch/x86/poweroff.c", "arch/x86/smp.c", "hv/main.c"],
    "RDSEED and RDRAND; tests/system asks for entropy on both emulators": ["hv/call/entropy.c"],
}


def sources():
    for folder in FOLDERS:
        for path, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                if name.endswith(".c"):
                    yield os.path.relpath(os.path.join(path, name), ROOT)


def measure(folder):
    """{file: (lines, lines reached)}"""
    report = subprocess.run(["gcovr", "--root", ROOT, "--filter", f"({'|'.join(FOLDERS)})/", "--json-summary", "-", folder],
                            cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    return {row["filename"]: (row["line_total"], row["line_covered"]) for row in json.loads(report)["files"]}


def complaints(found, measured, reasons):
    """What is wrong with the list of files, and with the sum: nothing when all is well."""
    for path in sorted(found - set(measured) - set(reasons)):
        yield f"{path}: no unit test links it: test it, or say in tools/coverage.py why it cannot run on a host"
    for path in sorted(set(reasons) & set(measured)):
        yield f"{path}: is measured, so strike it from NOT_ON_HOST in tools/coverage.py"
    for path in sorted(set(reasons) - found):
        yield f"{path}: stands in NOT_ON_HOST in tools/coverage.py, but does not exist"
    if percent(measured.values()) < FLOOR:
        yield f"{percent(measured.values()):.1f} % of the lines are reached, expected at least {FLOOR} %"


def percent(rows):
    lines, reached = (sum(column) for column in zip(*rows))
    return 100 * reached / lines


def main():
    measured = measure(sys.argv[1])
    reasons = {path: reason for reason, paths in NOT_ON_HOST.items() for path in paths}
    print(f"{'file':36} {'lines':>6} {'reached':>8}")
    for path, (lines, reached) in sorted(measured.items()):
        print(f"{path:36} {lines:6} {percent([(lines, reached)]):7.1f} %")
    for reason, paths in NOT_ON_HOST.items():
        print(f"not on a host ({reason}): {', '.join(paths)}")
    found = list(complaints(set(sources()), measured, reasons))
    print("\n".join("FAILED " + complaint for complaint in found))
    print(f"coverage: {percent(measured.values()):.1f} % of {sum(lines for lines, _ in measured.values())} lines"
          f" in {len(measured)} files")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
