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
TWO_CPUS = {"ipis", "cpus"}
END = r"study end \w+ count=(\d+) tsc=\d+"
STATISTICS_ROW = re.compile(r"\s+([a-z][a-z ]*?)\s+(\d+)\s+(\d+)\s+\d+\s*")

CPUS = 1 + sum(2 if phase in TWO_CPUS else 1 for phase, _ in PHASES)  # CPU 0 serves the console alone

PARTITION = """
[partition {name}]
mode      = {mode}
memory    = 16M
cpus      = {cpus}
pin       = {pin}
image     = \\guests\\{mode}.elf
cmdline   = name={name} study={phase}
autostart = no
"""


def make_config(mode):
    """A partition for each phase, every vCPU on a CPU of its own; they are started one after the other."""
    text, cpu = "[hypervisor]\nconsole = serial\npoweroff = no\n", 1
    for phase, _ in PHASES:
        cpus = 2 if phase in TWO_CPUS else 1
        pin = ", ".join(str(cpu + i) for i in range(cpus))
        text += PARTITION.format(name=f"{mode}-{phase}", mode=mode, cpus=cpus, pin=pin, phase=phase)
        cpu += cpus
    return text


def read_statistics(system, name):
    """The monitor's `stats`: {exit class: (count, instructions)}."""
    ticks = 1 << ICOUNT_SHIFT if system.platform == "qemu" else 1
    begin = system.mark()
    system.keyboard(0)
    system.line(f"stats {name}")
    system.said("bulkhead", r"\s*(total|all)\s.*", begin)
    rows = {}
    for line in system.lines(begin, "bulkhead"):
        found = STATISTICS_ROW.fullmatch(line)
        if found and found.group(1) != "all":
            rows[found.group(1)] = (int(found.group(2)), int(found.group(3)) // ticks)
    return rows


def run_phase(system, mode, phase):
    """One partition, from start to end, with nothing else running: (count, statistics)."""
    name = f"{mode}-{phase}"
    begin = system.mark()
    system.keyboard(0)
    system.line(f"start {name}")
    count = int(system.said(name, END, begin, timeout=300).group(1))
    system.said("bulkhead", rf".*partition {name} is off: .*", begin)
    return count, read_statistics(system, name)


def run_mode(platform, mode):
    with System(platform, make_config(mode), cpus=CPUS, memory=1024, icount=platform == "qemu") as system:
        system.expect_boot(r"keyboard: ")
        return {phase: run_phase(system, mode, phase) for phase, _ in PHASES}


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
        phases = run_mode(platform, mode)
        baseline = phases.pop("nothing")[1]
        results[mode] = {phase: {"count": count, "exits": difference(statistics, baseline)}
                         for phase, (count, statistics) in phases.items()}
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
