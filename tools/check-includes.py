#!/usr/bin/python3
"""The floors of the hypervisor: a file includes only from its own floor or from one below.

Prints what breaks the rule, as a compiler would, and ends with status 1. Exceptions are listed here, each with its reason;
one that is not needed any more is a mistake too.
"""

import fnmatch
import os
import re
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')

# The first pattern that fits decides. An implementation may stand above its header: the header is what others lean on.
FLOORS = [
    ("include/bulkhead/*", 0),
    ("hv/lib/*", 1),
    ("arch/x86/percpu.h", 4), ("arch/x86/decode.*", 4), ("arch/x86/guest_*", 4),
    ("arch/x86/smp.h", 6), ("arch/x86/vmx/*", 6), ("arch/x86/svm/*", 6),
    ("arch/x86/panic.c", 8),
    ("arch/x86/poweroff.c", 7),
    ("arch/x86/paging.h", 3),
    ("arch/x86/*.c", 6),
    ("arch/x86/*.h", 2), ("drivers/*", 2),
    ("hv/mem/*", 3),
    ("hv/core/*", 4),
    ("hv/call/*", 5), ("hv/device/*", 5),
    ("hv/console/*", 7),
    ("hv/*", 8),
]
NAMES = ["contracts", "lib", "CPU primitives and drivers", "memory", "core", "calls and devices", "back ends and bring-up",
         "console and power-off", "main and panic"]

DIRECT = "an exit goes straight to a full partition's devices: a table would cost a jump through a pointer each time"
LIFE = "the life of a vCPU includes its calls, devices and console tick; CPU 0's loop is where all of them are due"
OUTPUT = "what a guest writes goes to the console, whose header is all that is used"
EXCEPTIONS = {
    ("hv/core/exit.c", "hv/call/call.h"): DIRECT,
    ("hv/core/exit.c", "hv/device/full.h"): DIRECT,
    ("hv/core/exit_memory.c", "hv/device/full.h"): DIRECT,
    ("hv/core/exit_port.c", "hv/device/full.h"): DIRECT,
    ("hv/core/exit_string.c", "hv/device/full.h"): DIRECT,
    ("hv/core/lifecycle.c", "hv/call/call.h"): LIFE,
    ("hv/core/lifecycle.c", "hv/console/console.h"): LIFE,
    ("hv/core/lifecycle.c", "hv/device/acpi.h"): "a full partition's memory holds its firmware's tables",
    ("hv/core/lifecycle.c", "hv/device/full.h"): LIFE,
    ("hv/core/partition.c", "hv/device/full.h"): "a full partition is built together with its devices",
    ("hv/call/call.c", "hv/console/console.h"): OUTPUT,
    ("hv/call/ffa.c", "hv/console/console.h"): OUTPUT,
    ("hv/call/vendor.c", "hv/console/console.h"): OUTPUT,
    ("hv/device/full.c", "hv/console/console.h"): OUTPUT,
}

# Programs of their own, and what of the tree each may use besides itself.
PROGRAMS = {"boot/": ("hv/lib/", "include/bulkhead/"), "guests/": ("include/bulkhead/abi.h", "guests/")}


def sources():
    for top in ("arch", "boot", "drivers", "guests", "hv", "include"):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for name in sorted(files):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def floor_of(path):
    return next((floor for pattern, floor in FLOORS if fnmatch.fnmatch(path, pattern)), None)


def resolve(path, name):
    """The included file within the tree, or None: it belongs to the compiler or to a package."""
    for folder in (os.path.dirname(path), "", "include", "guests/lib"):
        candidate = os.path.normpath(os.path.join(folder, name))
        if os.path.isfile(os.path.join(ROOT, candidate)):
            return candidate
    return None


def check_program(path, target):
    for home, others in PROGRAMS.items():
        if path.startswith(home) and not target.startswith((home,) + others):
            return f"{home} is a program of its own and may use only {', '.join(others)}"
    return None


def check_floor(path, target, used):
    own, other = floor_of(path), floor_of(target)
    if own is None:
        return None
    if other is None:
        return f"{target} is no part of the hypervisor"
    if other <= own:
        return None
    if (path, target) in EXCEPTIONS:
        used.add((path, target))
        return None
    return f"{target} ({NAMES[other]}) is above this file ({NAMES[own]})"


def main():
    mistakes, used = [], set()
    for path in sources():
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                found = INCLUDE.match(line)
                target = found and resolve(path, found.group(1))
                if not target:
                    continue
                wrong = check_program(path, target) or check_floor(path, target, used)
                if wrong:
                    mistakes.append(f"{path}:{number}: {wrong}")
    for path, target in sorted(set(EXCEPTIONS) - used):
        mistakes.append(f"tools/check-includes.py: the exception for {path} and {target} is not needed any more")
    print("\n".join(mistakes), end="\n" if mistakes else "")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
