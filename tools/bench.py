#!/usr/bin/python3
"""Instructions per round trip, measured inside the guests, and exits of a booting and of an idle Linux; build/bench.json.

On Bochs (VT-x) one TSC tick is one instruction, on QEMU with instruction counting (SVM) a fixed number of ticks is. Linux's
exits are what the hypervisor's own counters say. What the figures mean and what peers cost under the same measurement
stands in docs/performance.md.
"""

import argparse
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "system"))
from system import BUILD, ICOUNT_SHIFT, System  # noqa: E402
from study import read_statistics  # noqa: E402
import linux  # noqa: E402

# Bochs twice: as a CPU with all of VT-x, and as one that leaves local APICs to the hypervisor.
MACHINES = {"bochs": ("bochs", None), "no-apicv": ("bochs", "corei7_sandy_bridge_2600k"), "qemu": ("qemu", None)}
# Linux's exits on one CPU of each platform: with all that helps, and without each thing in turn, which is what was before it. They
# may be the same: then it saves no exit. In the columns "no-" of Bochs the model serves the local APIC, too: the CPU's has a fault
# there that stops Linux now and then (docs/performance.md).
CPU_HELP = "virtual_apic = yes"
LINUX_MACHINES = {"bochs": ("bochs", CPU_HELP), "no-apicv": ("bochs", "virtual_apic = no"),
                  "no-large": ("bochs", "virtual_apic = no\nwithout = large_pages"),
                  "no-vpid": ("bochs", "virtual_apic = no\nwithout = tagged_tlb"),
                  "no-timer": ("bochs", "virtual_apic = no\nwithout = preemption_timer"),
                  "qemu": ("qemu", ""), "q-no-large": ("qemu", "without = large_pages")}

# Goals: what is aimed at, in instructions per round trip.
GOALS = {"cpuid": 100, "hypercall": 100, "msr_read": 120, "port_write": 150, "mmio_write": 300,
         "notification_set": 200, "self_ipi_hlt_eoi": 800, "hlt_timer": 800}
RESIDENT_GOAL_KIB = 512
MEASURED = re.compile(r"bench (\w+) median=(-?\d+) min=(-?\d+)")
HEARTBEATS = 20

IDLE_GOAL = 20  # exits per second of an idle, tickless Linux, on VT-x
SHELL_TIMEOUT = 600
SETTLE_S, IDLE_S = 10, 60  # of the machine's own time, after the prompt
STANDSTILL_S = 60  # of ours, without any of the machine's: Linux has ended, or the machine hangs

BENCH_CONFIG = """
[hypervisor]
console = serial
{cpu_help}
[partition bench]
mode = {mode}
memory = 32M
pin = {cpu}
image = \\guests\\bench-{mode}.elf
"""

# Two partitions on CPUs of their own, away from the console.
PAIR_CONFIG = """
[hypervisor]
console = serial
{cpu_help}
[partition ping]
mode = para
memory = 8M
pin = 1
image = \\guests\\ping-para.elf
[partition pong]
mode = para
memory = 8M
pin = 2
image = \\guests\\pong-para.elf
[channel table]
between = ping, pong
allow = message, notify, share
"""

BEAT_CONFIG = """
[hypervisor]
console = serial
{cpu_help}
[partition full]
mode = full
memory = 64M
image = \\guests\\full.elf
cmdline = beats={beats} quiet
[partition para]
mode = para
memory = 32M
image = \\guests\\para.elf
cmdline = beats={beats} quiet
"""

# Away from the console's CPU; the words of the command line are those of docs/linux.md.
LINUX_CONFIG = """
[hypervisor]
console = serial
{cpu_help}
[partition linux]
mode = full
memory = 256M
pin = 1
kernel = \\linux\\vmlinuz
initrd = \\linux\\initrd
cmdline = console=ttyS0 tsc=reliable {clock} nowatchdog sysctl.vm.compaction_proactiveness=0 cryptomgr.notests bulkhead.name=linux
"""
LINUX_CLOCK = {"qemu": "pmtmr=0", "bochs": ""}


def boot(machine, config, cpus, **words):
    platform, model = MACHINES[machine]
    files = {f"\\guests\\{name}-para.elf": os.path.join(BUILD, f"guests/{name}-para.elf") for name in ("ping", "pong")}
    return System(platform, config.format(cpu_help=CPU_HELP, **words), cpus=cpus, memory=512, model=model, icount=platform == "qemu",
                  files=files)


def ticks_per_instruction(machine):
    return 1 << ICOUNT_SHIFT if machine == "qemu" else 1


def measure(machine, mode):
    """Every `bench` line of one guest: {operation: [median, min]}. On a CPU of its own, away from the console."""
    with boot(machine, BENCH_CONFIG, 2, mode=mode, cpu=1) as system:
        system.expect_boot(r"bench begin")
        system.expect(r"bench done", timeout=600)
        return figures(system, machine)


def figures(system, machine):
    """Every `bench` line so far: {operation: [median, min]}."""
    ticks = ticks_per_instruction(machine)
    return {name: [round(int(median) / ticks), round(int(low) / ticks)]
            for name, median, low in MEASURED.findall(system.transcript)}


def measure_pair(machine):
    """What partitions pay to talk to each other. On QEMU all CPUs count as one: what the sender alone pays is not told there."""
    with boot(machine, PAIR_CONFIG, 3) as system:
        system.expect_boot(r"ping: partition 1")
        flow = system.expect(r"ping: queue: (\d+) blocks, (\d+) wake-ups", timeout=600)
        system.expect(r"ping: done", timeout=600)
        result = figures(system, machine)
        if MACHINES[machine][0] == "qemu":
            del result["notification_set"]
        result["wakeups_in_1000_blocks"] = [round(1000 * int(flow.group(2)) / int(flow.group(1)))] * 2
        return result


def measure_life(machine):
    """Boot cost, sizes, and exits per heartbeat of both guests."""
    result = {}
    with boot(machine, BEAT_CONFIG, 2, beats=HEARTBEATS) as system:
        system.expect_boot(r"summary")
        system.wait_end()
        text = system.transcript
    for name, pattern in (("entry_to_para_guest", r"para: first guest instruction after (\d+)"),
                          ("entry_to_full_guest", r"full: first guest instruction after (\d+)"),
                          ("image_kib", r"image (\d+) KiB"), ("resident_kib", r"(\d+) KiB resident")):
        found = re.search(pattern, text)
        if found:
            result[name] = int(found.group(1)) // (ticks_per_instruction(machine) if "entry" in name else 1)
    for mode in ("full", "para"):
        found = re.search(rf"\|\s+{mode}\s+system off\s+\S+ s\s+(\d+)", text)
        if found:
            result[f"exits_per_heartbeat_{mode}"] = int(found.group(1)) / HEARTBEATS
    return result


def run_time(system):
    """Seconds for which the partition has run, by the machine's own clock."""
    begin = system.mark()
    system.keyboard(0)
    system.line("info linux")
    return float(system.said("bulkhead", r" +run time +(\d+\.\d+) s, .*", begin)[1])


def exits_at(system):
    """This moment: (seconds, {class: exits so far})."""
    seconds = run_time(system)
    return seconds, {name: count for name, (count, _) in read_statistics(system, "linux").items()}


def wait_until(system, end):
    seen, since = run_time(system), time.monotonic()
    while seen < end:
        time.sleep(1)
        now = run_time(system)
        if now > seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() > since + STANDSTILL_S:
            raise AssertionError(f"{system.platform}: Linux's run time stays at {now} s, {end} s are to come; the end was:\n"
                                 f"{system.transcript[-2000:]}")


def expect_shell(system):
    """A guest that hangs is as quiet as an idle one, but does not count."""
    system.keyboard(1)
    since = system.mark()
    system.type_in("echo answer=$((6 * 7))\r")
    system.said("linux", "answer=42", since, timeout=SHELL_TIMEOUT)


def measure_linux(machine):
    """Exits of Debian's cloud kernel by class: from its entry to the shell's prompt, and per second of the idle shell."""
    files = {"\\linux\\vmlinuz": linux.kernel(), "\\linux\\initrd": linux.initramfs()}
    platform, cpu_help = LINUX_MACHINES[machine]
    config = LINUX_CONFIG.format(clock=LINUX_CLOCK[platform], cpu_help=cpu_help)
    with System(platform, config, cpus=2, memory=512, files=files) as system:
        system.said("linux", r"Enter 'help' for a list of built-in commands\.", timeout=SHELL_TIMEOUT)
        booted, boot_exits = exits_at(system)
        wait_until(system, booted + SETTLE_S)
        start, before = exits_at(system)
        wait_until(system, start + IDLE_S)
        end, after = exits_at(system)
        expect_shell(system)
    idle = {name: round((count - before.get(name, 0)) / (end - start), 2) for name, count in after.items()}
    return {"boot": boot_exits, "idle": {name: rate for name, rate in idle.items() if rate}}


def try_linux(machine):
    """None where Linux does not do what it should, which is told: the other results are worth having all the same."""
    try:
        return measure_linux(machine)
    except AssertionError as error:
        print(f"{machine}: no exits of Linux: {error}", file=sys.stderr)
        return None


def print_linux(results):
    """What was before an item of the CPU's help stands in the column without it, what is after in the platform's own."""
    print(f"\n{'exits of Linux':20}" + "".join(f"{machine + ' boot':>16}{'idle/s':>8}" for machine in results) + f"{'goal':>6}")
    columns = [result or {"boot": {}, "idle": {}} for result in results.values()]
    for name in sorted({name for column in columns for counts in column.values() for name in counts}):
        print(f"  {name:18}" + "".join(f"{column['boot'].get(name, '-'):>16}{column['idle'].get(name, '-'):>8}"
                                       for column in columns))
    print(f"  {'all':18}" + "".join(f"{sum(column['boot'].values()):>16}{sum(column['idle'].values()):>8.2f}"
                                   if column["boot"] else f"{'-':>16}{'-':>8}" for column in columns) + f"{IDLE_GOAL:>6}")


def print_table(results):
    operations = sorted({(mode, name) for result in results.values() for mode in ("para", "full", "pair")
                         for name in result[mode]})
    print(f"{'instructions per round trip':34}" + "".join(f"{machine + ' median':>16}{'min':>8}" for machine in results) +
          f"{'goal':>8}")
    for mode, name in operations:
        row = f"  {mode:5} {name:26}"
        for result in results.values():
            median, low = result[mode].get(name, ("-", "-"))
            row += f"{median:>16}{low:>8}"
        print(row + f"{GOALS.get(name, ''):>8}")
    print()
    keys = sorted({key for result in results.values() for key in result["life"]})
    for key in keys:
        row = f"  {key.replace('_', ' '):32}"
        for result in results.values():
            row += f"{result['life'].get(key, '-'):>16}{'':8}"
        print(row + (f"{RESIDENT_GOAL_KIB:>8}" if key == "resident_kib" else ""))


def missed_goals(results, linux_results):
    """A line for each figure that is worse than its goal."""
    for machine, result in results.items():
        for mode in ("para", "full", "pair"):
            for name, (median, _) in result[mode].items():
                if median > GOALS.get(name, median):
                    yield f"{machine}: {mode} {name}: {median} instructions, goal {GOALS[name]}"
        if result["life"]["resident_kib"] > RESIDENT_GOAL_KIB:
            yield f"{machine}: {result['life']['resident_kib']} KiB resident, goal {RESIDENT_GOAL_KIB}"
    for machine, result in linux_results.items():
        if result is None:
            yield f"{machine}: Linux does not do what it should"
        elif LINUX_MACHINES[machine][0] == "bochs" and sum(result["idle"].values()) >= IDLE_GOAL:
            yield f"{machine}: an idle Linux exits {sum(result['idle'].values()):.2f} times a second, goal {IDLE_GOAL}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--platform", action="append", choices=["qemu", "bochs"])
    options = parser.parse_args()
    results, linux_results = {}, {}
    for machine, (platform, _) in MACHINES.items():
        if platform in (options.platform or [platform]):
            results[machine] = {mode: measure(machine, mode) for mode in ("para", "full")}
            results[machine]["pair"] = measure_pair(machine)
            results[machine]["life"] = measure_life(machine)
    print_table(results)
    for machine, (platform, _) in LINUX_MACHINES.items():
        if platform in (options.platform or [platform]):
            linux_results[machine] = try_linux(machine)
    print_linux(linux_results)
    path = os.path.join(BUILD, "bench.json")
    with open(path, "w", encoding="ascii") as out:
        json.dump({"goals": dict(GOALS, linux_idle=IDLE_GOAL), "results": results, "linux": linux_results}, out, indent=1,
                  sort_keys=True)
    print(f"\nwritten to {os.path.relpath(path)}")
    missed = list(missed_goals(results, linux_results))
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
