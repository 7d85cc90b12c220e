#!/usr/bin/python3
"""Every check of the source text, each one named. `make lint` runs it with the flags of each part of the tree.

Usage: lint.py [CHECK...]     Without names: all. Prints `ok NAME` or the complaints and `FAILED NAME`, then a sum line.
"""

import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import calls
import loops

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
FOLDERS = ["arch", "boot", "drivers", "guests", "hv", "include", "tests", "tools"]
KNOWN_NAMES = (".asm", ".c", ".cfg", ".h", ".inc", ".ld", ".mk", ".py", ".sh", "mkimage")
STACK_LIMIT = 2048  # bytes of one function: the hypervisor's stacks are 12 KiB, fault reports nest about ten deep
STACK_EXCEPTIONS = {"recognise_loader": 32 * 1024}  # runs on the loader's stack of 64 KiB, and only to say what is wrong
# What clang does not know, or must not decide.
GCC_ONLY = {"-MMD", "-MP", "-fstack-usage", "-fcallgraph-info=su", "-Werror", "-mpreferred-stack-boundary=3"}


def files(*suffixes, under=FOLDERS):
    found = []
    for top in under:
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            found += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names if name.endswith(suffixes)]
    return sorted(found)


def flags(part):
    """The compiler flags of one part, which the Makefile hands over."""
    value = os.environ.get(f"{part}_CFLAGS")
    if value is None:
        sys.exit("lint: run it as `make lint`: the Makefile knows the flags")
    return [flag for flag in shlex.split(value) if flag not in GCC_ONLY]


def run(command, text=None):
    """What the command complained of, "" when it ended well."""
    done = subprocess.run(command, cwd=ROOT, input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    return "" if done.returncode == 0 else done.stdout or f"{command[0]} ended with {done.returncode}"


def strangers(paths):
    """What is no source by its name: a fuzzer's finding, a core file, an object that a tool left in the tree."""
    return "\n".join(f"{path}: expected a name that ends in one of {' '.join(KNOWN_NAMES)}"
                     for path in paths if not path.endswith(KNOWN_NAMES) and "__pycache__" not in path)


def check_names():
    return strangers(files(""))


def check_format():
    return run(["clang-format-14", "--dry-run", "-Werror"] + files(".c", ".h"))


def check_cppcheck():
    return run(["cppcheck", "--std=c11", "--enable=warning,performance,portability", "--inline-suppr", "--quiet",
                "--error-exitcode=1", "--suppress=missingIncludeSystem", "-Iinclude", "-I."]
               + [folder for folder in FOLDERS if folder != "include"])


def tidy(part, *under):
    """The mistakes alone, without the analyser's way to them; `clang-tidy FILE` shows that too."""
    told = run(["clang-tidy", "--quiet"] + files(".c", under=under) + ["--"] + flags(part))
    return "\n".join(line for line in told.splitlines() if " error: " in line or " warning: " in line) or told


def check_tidy_hypervisor():
    return tidy("HV", "hv", "drivers")


def check_tidy_arch():
    return tidy("HV", "arch")


def check_tidy_loader():
    return tidy("LOADER", "boot")


def check_tidy_guests():
    return tidy("GUEST", "guests")


def check_tidy_tests():
    return tidy("TEST", "tests/unit", "tests/fuzz", "tools")


def check_floors():
    return run(["tools/check-includes.py"])


def check_headers():
    """Each header compiles as the only thing a file includes."""
    complaints = ""
    for header in files(".h"):
        part = {"boot": "LOADER", "guests": "GUEST", "tests": "TEST"}.get(header.split("/")[0], "HV")
        complaints += run(["gcc", "-fsyntax-only", "-x", "c"] + flags(part) + ["-Werror", "-"],
                          f'#include "{header}"\n' if part != "GUEST" else f'#include "{ROOT}/{header}"\n')
    return complaints


def check_stack():
    """No function of the hypervisor takes more stack than STACK_LIMIT, nor an amount only known at run time."""
    complaints = []
    for source in files(".c", under=["hv", "arch", "drivers"]):
        usage = os.path.join(ROOT, "build", source[:-1] + "su")
        if not os.path.exists(usage):
            complaints.append(f"{source}: no figures for its stack; build it anew: make clean all")
            continue
        with open(usage, encoding="ascii") as lines:
            for line in lines:
                place, size, kind = line.rstrip("\n").split("\t")
                limit = STACK_EXCEPTIONS.get(place.split(":")[-1], STACK_LIMIT)
                if int(size) > limit or kind == "dynamic":
                    complaints.append(f"{place}: {size} bytes of stack ({kind}), expected at most {limit}")
    return "\n".join(complaints)


def check_calls():
    """Nothing recurses, and the deepest chain of calls fits on the stack."""
    paths = calls.objects()
    return "\n".join(calls.check(paths)) if paths else "no call graph; build it anew: make clean all"


def check_loops():
    """Every loop on the way of an exit has a bound."""
    return "\n".join(loops.check())


def check_shell():
    scripts = [path for path in files(".sh") + ["tools/mkimage", ".ci/run"] if os.path.exists(os.path.join(ROOT, path))]
    return run(["shellcheck", "--severity=warning"] + scripts)


def check_python():
    return run(["pyflakes3"] + files(".py", under=["tests", "tools"]))


CHECKS = [check_tidy_hypervisor, check_tidy_arch, check_tidy_tests, check_tidy_guests, check_tidy_loader, check_headers,
          check_names, check_format, check_cppcheck, check_floors, check_stack, check_calls, check_loops,
          check_shell, check_python]


def main():
    named = {check.__name__.removeprefix("check_").replace("_", "-"): check for check in CHECKS}
    wanted = sys.argv[1:] or list(named)
    for name in wanted:
        if name not in named:
            sys.exit(f"lint: no check '{name}', expected one of: {', '.join(named)}")
    failed = 0
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, complaints in zip(wanted, pool.map(lambda name: named[name](), wanted)):
            if complaints:
                print(complaints.rstrip())
            print(f"{'FAILED' if complaints else 'ok'} {name}", flush=True)
            failed += bool(complaints)
    print(f"{len(wanted) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
