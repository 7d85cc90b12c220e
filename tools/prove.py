#!/usr/bin/python3
"""Proofs of the absence of run-time errors, with Frama-C's Eva. `make prove` runs it: prove.py NAME SOURCE...

Eva follows every execution of prove() in tests/proof/prove_NAME.c at once. An alarm is an operation it could not show to be defined.
A target with none is proved; OPEN says how many the others have, and more than that fails (docs/proofs.md tells which and why).
"""

import os
import re
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
SECONDS = 600
OPTIONS = {
    "guest_walk": ["-eva-precision", "4", "-eva-slevel", "3000", "-eva-domains", "symbolic-locations,equality",
                   "-eva-split-return", "full"],
    "decode": ["-eva-precision", "3", "-eva-slevel", "1500", "-eva-domains", "symbolic-locations,equality",
               "-eva-split-return", "auto", "-eva-split-return-function", "immediate_size:1:2:4"],
}
OPEN = {"decode": 3}


def prove(name, sources):
    share = subprocess.run(["frama-c", "-print-share-path"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    command = ["frama-c", "-c11", "-machdep", "gcc_x86_64", "-cpp-extra-args=-Iinclude -I.", "-main", "prove", "-eva",
               *OPTIONS[name], f"{share}/libc/__fc_builtin.c", f"tests/proof/prove_{name}.c", *sources]
    try:
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS,
                              check=False).stdout
    except subprocess.TimeoutExpired:
        return f"not finished after {SECONDS} s"


def main():
    name, sources = sys.argv[1], sys.argv[2:]
    told = prove(name, sources)
    count = re.search(r"^ *(\d+) alarms? generated", told, re.MULTILINE)
    reached = re.search(r"statements reached \(out of \d+\): (\d+)% coverage", told)
    if not count or not reached or reached[1] != "100":
        print(told[-3000:])
        print(f"FAILED {name}: the analysis did not reach all of the code")
        return 1
    print("\n".join(re.findall(r"^\[eva:alarm\].*\n.*$", told, re.MULTILINE)))
    alarms, allowed = int(count[1]), OPEN.get(name, 0)
    word = "proved" if not alarms else f"{alarms} operations open, at most {allowed} are"
    print(f"{'ok' if alarms <= allowed else 'FAILED'} {name}: {word}")
    return 0 if alarms <= allowed else 1


if __name__ == "__main__":
    sys.exit(main())
