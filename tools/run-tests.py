#!/usr/bin/python3
"""All of `make test`: builds, checks the text, runs unit tests, fuzzers and the real image on both emulators, and sums up.

The full output of each step goes to build/test-logs/; of a system test that fails, where and why is shown, of another step the
end of its output. What is skipped is named with its reason. The last line is `N passed, N failed`, over every cmocka test,
fuzz target, lint check and pytest test.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.path.join(ROOT, "build")
LOGS = os.path.join(BUILD, "test-logs")
JOBS = os.cpu_count() or 1
TAIL = 60
REASON = 8  # lines of a failed test's words that are shown, of the first and of the last ones
FUZZ_SECONDS = 5
SYSTEM_TEST_SECONDS = 1800  # ends a hang; the longest test takes about 150 s on an idle machine
SYSTEM_SECONDS = 7200  # of all tests of one step
OTHER_CPUS = "tests/system/test_platforms.py"
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


class Result:
    """What one step came to."""

    def __init__(self, name):
        self.name, self.passed, self.failed, self.skipped, self.reasons = name, 0, [], [], {}
        self.log = os.path.join(LOGS, name.replace(" ", "-") + ".log")
        self.begun = time.monotonic()

    def run(self, command, timeout, environment=None):
        """Runs a command with its output in the log. Returns (exit status, output)."""
        start = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
        with open(self.log, "ab") as log:
            try:
                status = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                        timeout=timeout, env=dict(clean, **(environment or {})), check=False).returncode
            except subprocess.TimeoutExpired:
                log.write(f"\n{command[0]}: not finished after {timeout} s\n".encode())
                status = 124
        with open(self.log, "rb") as log:
            log.seek(start)
            return status, log.read().decode("utf-8", "replace")

    def tell(self):
        seconds = time.monotonic() - self.begun
        text = f"{self.passed} passed, {len(self.failed)} failed"
        if self.skipped:
            text += f", {len(self.skipped)} skipped"
        print(f"{self.name:15} {text:40} {seconds:6.0f} s", flush=True)
        for name in self.failed:
            print("\n    | ".join([f"    FAILED  {name}", *self.reasons.get(name, [])]), flush=True)
        if any(name not in self.reasons for name in self.failed):
            with open(self.log, encoding="utf-8", errors="replace") as log:
                lines = log.read().splitlines()[-TAIL:]
            print("\n    | ".join([f"    the end of {os.path.relpath(self.log, ROOT)}:", *lines]), flush=True)


def make(result, *targets, timeout=1200):
    """A make target that counts as one test."""
    status, _ = result.run(["make", f"-j{JOBS}", "--no-print-directory", *targets], timeout)
    if status == 0:
        result.passed += 1
    else:
        result.failed.append("make " + " ".join(targets))
    return status == 0


def step_build(result):
    return make(result, "all", "guests", "hostile", "vandal", "unit-programs", "fuzz-programs")


def step_lint(result):
    status, output = result.run(["make", "--no-print-directory", "lint"], 1200)
    result.passed = len(re.findall(r"^ok \S+$", output, re.MULTILINE))
    result.failed = re.findall(r"^FAILED (\S+)$", output, re.MULTILINE)
    if status != 0 and not result.failed:
        result.failed.append("make lint")


def programs(kind):
    folder, prefix = os.path.join(BUILD, kind), {"unit": "test_", "fuzz": "fuzz_"}[kind]
    sources = os.listdir(os.path.join(ROOT, "tests", kind))
    names = sorted(name[:-2] for name in sources if name.startswith(prefix) and name.endswith(".c"))
    return [os.path.join(folder, name) for name in names]


def step_unit(result):
    for program in programs("unit"):
        status, output = result.run([program], 300, SANITIZER_OPTIONS)
        name = os.path.basename(program)
        failed = sorted(set(re.findall(r"^\[  FAILED  \] (?:\S+: )?(\w+)$", output, re.MULTILINE)))
        result.passed += len(re.findall(r"^\[       OK \]", output, re.MULTILINE))
        result.failed += [f"{name}: {test}" for test in failed]
        result.skipped += [(f"{name}: {test}", "it says so itself")
                           for test in re.findall(r"^\[  SKIPPED \] (?:\S+: )?(\w+)$", output, re.MULTILINE)]
        if status != 0 and not failed:
            result.failed.append(f"{name}: ended with status {status}")


def fuzz(result, program):
    name = os.path.basename(program).removeprefix("fuzz_")
    corpus = os.path.join(BUILD, "fuzz", "corpus", name)
    os.makedirs(corpus, exist_ok=True)
    seeds = os.path.join(ROOT, "tests", "fuzz", "corpus_" + name)
    command = [program, f"-max_total_time={FUZZ_SECONDS}", f"-artifact_prefix={BUILD}/fuzz/", corpus]
    status, _ = result.run(command + ([seeds] if os.path.isdir(seeds) else []), 120, SANITIZER_OPTIONS)
    return os.path.basename(program), status


def step_fuzz(result):
    for program in programs("fuzz"):
        name, status = fuzz(result, program)
        if status == 0:
            result.passed += 1
        else:
            result.failed.append(name)


def step_coverage(result):
    make(result, "coverage", timeout=600)


def reason_of(failure):
    """Where a test failed, and the first and last lines of what it said: a transcript may be among them."""
    places = re.findall(r"^(tests/\S+: in \w+)$", failure.text or "", re.MULTILINE)
    words = failure.get("message", "").splitlines()
    if len(words) > 2 * REASON:
        words[REASON:-REASON] = ["..."]
    return places + words


def read_report(result, path, status):
    """Counts from pytest's own report."""
    try:
        cases = xml.etree.ElementTree.parse(path).getroot().iter("testcase")
    except (OSError, xml.etree.ElementTree.ParseError):
        result.failed.append(f"pytest ended with status {status} and without a report")
        return
    for case in cases:
        name = f"{case.get('classname', '').split('.')[-1]}::{case.get('name')}"
        skipped = case.find("skipped")
        failures = case.findall("failure") + case.findall("error")
        if failures:
            result.failed.append(name)
            result.reasons[name] = reason_of(failures[0])
        elif skipped is not None:
            result.skipped.append((name, skipped.get("message", "")))
        else:
            result.passed += 1
    if status not in (0, 1, 5) or (status == 1 and not result.failed):
        result.failed.append(f"pytest ended with status {status}")


def pytest(result, platform, *chosen):
    report = result.log.removesuffix(".log") + ".xml"
    status, _ = result.run(["/usr/bin/python3", "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider",
                            f"--timeout={SYSTEM_TEST_SECONDS}", f"--platform={platform}", f"--junit-xml={report}", *chosen],
                           SYSTEM_SECONDS)
    read_report(result, report, status)


def step_qemu(result):
    """What needs no emulator goes with QEMU's, which boots faster."""
    pytest(result, "qemu", "tests/system")


def step_bochs(result):
    pytest(result, "bochs", "tests/system", f"--ignore={OTHER_CPUS}")


def step_other_cpus(result):
    """Bochs as other CPUs than its usual one."""
    pytest(result, "bochs", OTHER_CPUS)


STEPS = {"build": step_build, "lint": step_lint, "unit": step_unit, "coverage": step_coverage, "fuzz": step_fuzz,
         "system qemu": step_qemu, "system bochs": step_bochs, "system cpus": step_other_cpus}
# What goes side by side once all is built, in about the same time: Bochs takes one core, and longest.
TRACKS = [["lint", "unit", "coverage", "fuzz", "system qemu", "system cpus"], ["system bochs"]]


def run_step(name):
    result = Result(name)
    go_on = STEPS[name](result)
    result.tell()
    return result, go_on


def run_track(names):
    return [run_step(name)[0] for name in names]


def run_all(wanted):
    results = []
    if "build" in wanted:
        result, go_on = run_step("build")
        results.append(result)
        if go_on is False:
            return results  # nothing else can run on what is not built
    with ThreadPoolExecutor(len(TRACKS)) as pool:
        for done in pool.map(run_track, [[name for name in track if name in wanted] for track in TRACKS]):
            results += done
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", nargs="*", help="of: build, lint, unit, coverage, fuzz, system; without: all")
    steps = parser.parse_args().step
    wanted = [name for name in STEPS if not steps or name in steps or name.split()[0] in steps]
    shutil.rmtree(LOGS, ignore_errors=True)
    if "system qemu" in wanted:
        shutil.rmtree(os.path.join(BUILD, "exits"), ignore_errors=True)
    os.makedirs(LOGS)
    begun = time.monotonic()
    results = run_all(wanted)
    if "system qemu" in wanted:
        subprocess.run([os.path.join(ROOT, "tools", "exits.py")], check=False)
    for result in results:
        for name, reason in result.skipped:
            print(f"skipped: {result.name}: {name}: {reason}")
    passed, failed = sum(result.passed for result in results), sum(len(result.failed) for result in results)
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes; logs are in build/test-logs")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
