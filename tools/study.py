#!/usr/bin/python3
"""Full against paravirtualised: the same workload source in both kinds of partition, counted by the hypervisor itself.

Each phase of the workload runs alone in a partition that is started by the monitor; when it has ended, the hypervisor's own
statistics of that partition are read. The phase `nothing` is what a partition costs that does no work: it is subtracted.
TSC ticks become instructions by the emulator's fixed rate, so the figures are exact and repeatable.
"""

import argparse
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "system"))
from system import BUILD, ICOUNT_SHIFT, System  # noqa: E402

PHASES = [("nothing", ""), ("bytes", "console byte"), ("lines", "console line"), ("ticks", "timer tick"),
          ("ipis", "IPI"), ("cpus", "CPU start and stop"), ("compute", "computation")]
END = re.compile(r"study end (\w+) count=(\d+) tsc=(\d+)")

PARTITION = """
[partition {name}]
mode      = {mode}
memory    = 32M
cpus      = 2
pin       = 1, 2
image     = \\guests\\{mode}.elf
cmdline   = study={phase}
autostart = no
"""


def read_statistics(system, name):
    """The monitor's `stats`: {exit class: (count, instructions)}."""
    system.drain()
    begin = len(system.transcript)
    system.command(f"stats {name}", r"total\s+\d+\s+\d+")
    ticks = 1 << ICOUNT_SHIFT if system.platform == "qemu" else 1
    rows = {}
    for line in system.transcript[begin:].splitlines():
        found = re.search(r"\|\s*([a-z][a-z ]*?)\s+(\d+)\s+(\d+)", line)
        if found and found.group(1) != "total":
            rows[found.group(1)] = (int(found.group(2)), int(found.group(3)) // ticks)
    return rows


def run_phase(platform, mode, phase):
    """One boot, one partition on CPUs of its own, one phase: (count, statistics)."""
    name = f"{mode}-{phase}"
    config = "[hypervisor]\nconsole = serial\npoweroff = no\n" + PARTITION.format(name=name, mode=mode, phase=phase)
    with System(platform, config, cpus=3, memory=512, icount=platform == "qemu") as system:
        system.expect_boot(r"partition 1")
        system.command(f"start {name}", r"first guest instruction")
        found = system.expect(END.pattern, timeout=300)
        count = int(found.group(2))
        system.expect(r"is off", timeout=120)
        return count, read_statistics(system, name)


def difference(counted, baseline):
    rows = {}
    for name in set(counted) | set(baseline):
        count = counted.get(name, (0, 0))[0] - baseline.get(name, (0, 0))[0]
        ticks = counted.get(name, (0, 0))[1] - baseline.get(name, (0, 0))[1]
        if count > 0:
            rows[name] = (count, ticks)
    return rows


def study(platform):
    results = {}
    for mode in ("full", "para"):
        _, baseline = run_phase(platform, mode, "nothing")
        results[mode] = {}
        for phase, _ in PHASES[1:]:
            count, statistics = run_phase(platform, mode, phase)
            results[mode][phase] = {"count": count, "exits": difference(statistics, baseline)}
    return results


def per_unit(result):
    exits = sum(count for count, _ in result["exits"].values()) / result["count"]
    ticks = sum(ticks for _, ticks in result["exits"].values()) / result["count"]
    return exits, ticks


def print_table(platform, results):
    print(f"\n{platform}: hypervisor's work for one unit of the guest's")
    print(f"{'unit':22}{'exits full':>12}{'para':>10}{'ratio':>8}{'instructions full':>20}{'para':>10}{'ratio':>8}")
    for phase, unit in PHASES[1:]:
        (full_exits, full_ticks), (para_exits, para_ticks) = (per_unit(results[m][phase]) for m in ("full", "para"))
        ratio = [f"{a / b:.1f}" if b > 0.0005 else "-" for a, b in ((full_exits, para_exits), (full_ticks, para_ticks))]
        print(f"{unit:22}{full_exits:12.3f}{para_exits:10.3f}{ratio[0]:>8}{full_ticks:20.1f}{para_ticks:10.1f}"
              f"{ratio[1]:>8}")
    for mode in ("full", "para"):
        print(f"\n{platform}, {mode}: exits by reason (count, instructions in the hypervisor) beyond `nothing`")
        for phase, unit in PHASES[1:]:
            rows = sorted(results[mode][phase]["exits"].items(), key=lambda row: -row[1][1])
            text = ", ".join(f"{name} {count} ({ticks})" for name, (count, ticks) in rows) or "none"
            print(f"  {results[mode][phase]['count']:6} x {unit:20} {text}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--platform", action="append", choices=["qemu", "bochs"])
    options = parser.parse_args()
    results = {}
    for platform in options.platform or ["bochs", "qemu"]:
        results[platform] = study(platform)
        print_table(platform, results[platform])
    path = os.path.join(BUILD, "study.json")
    with open(path, "w", encoding="ascii") as out:
        json.dump(results, out, indent=1, sort_keys=True)
    print(f"\nwritten to {os.path.relpath(path)}")


if __name__ == "__main__":
    main()
