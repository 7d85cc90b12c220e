"""Two guests side by side, one full and one para: consoles, monitor, every way to crash, and the end.

One boot on each emulator serves all tests of this file, in the order they stand here.
"""

import re

import pytest

from system import BOOT_TIMEOUT, System

CONFIG = """
[hypervisor]
console = serial

[partition alpha]
mode         = full
memory       = 64M
image        = \\guests\\full.elf
cmdline      = name=alpha period=100 drift=2
on_fault     = restart
max_restarts = 1000

[partition beta]
mode         = para
memory       = 32M
image        = \\guests\\para.elf
cmdline      = greet=ahoy period=100 drift=2
on_fault     = restart
max_restarts = 1000
"""

GUESTS = ["alpha", "beta"]
NUMBER = {"alpha": 1, "beta": 2}
OTHER = {"alpha": "beta", "beta": "alpha"}
CPU = {"alpha": 0, "beta": 1}
RAM_END = {"alpha": 64 << 20, "beta": 32 << 20}
KIND = {"alpha": "full", "beta": "para"}
GREETING = {"alpha": "hello from alpha, a full guest", "beta": "ahoy from beta, a para guest"}
BEAT = re.compile(r"heartbeat (\d+) t=(\d+)\.(\d\d)s")
STAMP = r"\[ *\d+\.\d{6}\] "
HEX16 = r"[0-9a-f]{16}"


@pytest.fixture(scope="module")
def machine(platform):
    with System(platform, CONFIG) as system:
        for guest in GUESTS:
            system.said(guest, "ready, type help", timeout=BOOT_TIMEOUT)
        yield system


def beats(machine, guest, since=0):
    """(number, centiseconds) of each heartbeat."""
    found = map(BEAT.fullmatch, machine.lines(since, guest))
    return [(int(beat[1]), int(beat[2]) * 100 + int(beat[3])) for beat in found if beat]


def assert_unbroken(machine, guest, since):
    """Each heartbeat follows the one before, and where time is the emulator's own, none comes late."""
    while len(beats(machine, guest, since)) < 3:
        machine.said(guest, "heartbeat .*", machine.mark())
    found = beats(machine, guest, since)
    for (number, time), (next_number, next_time) in zip(found, found[1:]):
        assert next_number == number + 1
        if machine.platform == "bochs":
            assert 8 <= next_time - time <= 12, f"heartbeat {next_number} of {guest} stutters"


def type_to(machine, guest, text):
    machine.keyboard(NUMBER[guest])
    machine.line(text)


def monitor(machine, text, last):
    """The lines that answer one monitor command; `last` matches the last of them."""
    machine.keyboard(0)
    since = machine.mark()
    machine.line(text)
    machine.wait_line(rf"bulkhead> {re.escape(text)}", since)
    machine.said("bulkhead", last, since)
    return machine.lines(since, "bulkhead")


def test_loader_tells_each_step(machine):
    told = [line for line in machine.lines() if line.startswith("[loader] ")]
    for pattern in (r"\[loader\] Bulkhead's loader", r"\[loader\] read \\bulkhead.cfg, \d+ bytes",
                    r"\[loader\] read \\bulkhead.elf, \d+ KiB",
                    r"\[loader\] read \\guests\\full.elf, \d+ KiB, for partition alpha",
                    r"\[loader\] read \\guests\\para.elf, \d+ KiB, for partition beta",
                    r"\[loader\] 2 CPUs, from .*", r"\[loader\] \d+ MiB of memory are free",
                    r"\[loader\] starting the hypervisor"):
        assert re.fullmatch(pattern, next((line for line in told if re.fullmatch(pattern, line)), "")), pattern
    assert not [line for line in told if "warning" in line or "error" in line]


def test_hypervisor_tells_what_it_found(machine):
    told = "\n".join(machine.lines(who="bulkhead"))
    backend, apics = {"qemu": ("SVM", ""), "bochs": ("VT-x", ", preemption timer, local APICs")}[machine.platform]
    assert re.search(rf"virtualisation: {backend}, 2 MiB and 1 GiB pages, tagged TLB{apics}\n", told)
    assert bool(re.search(STAMP + "local APICs are not left to VT-x: .* ended by triple fault", told)) == bool(apics)
    assert re.search(STAMP + r"CPUs: 2 of 2 are ready\n", told)
    for guest in GUESTS:
        assert re.search(rf"{STAMP}partition {NUMBER[guest]} {guest}: {KIND[guest]}, 1 vCPU from CPU {CPU[guest]}, "
                         rf"{RAM_END[guest] >> 10} KiB in 1 piece from 0x[0-9a-f]+, "
                         rf"image \\guests\\{KIND[guest]}.elf\n", told)
    resident = re.search(r"hypervisor: (\d+) KiB resident", told)
    assert int(resident[1]) <= 512, "the goal for two partitions"
    assert "warning" not in told and "error" not in told


def test_guests_greet(machine):
    for guest in GUESTS:
        said = machine.lines(who=guest)
        assert said[0] == GREETING[guest]
        assert re.fullmatch(rf"cpus 1, memory {RAM_END[guest] >> 10} KiB, clock \d+\.\d{{3}} MHz", said[1])
        assert re.fullmatch(r"compute ok: 9592 primes below 100000, crc [0-9a-f]{8}", said[2])
        assert said[3] == "ready, type help"


def test_both_beat_at_once(machine):
    for guest in GUESTS:
        machine.said(guest, "heartbeat 20 .*")
    for guest in GUESTS:
        found = beats(machine, guest)
        assert [number for number, _ in found[:20]] == list(range(1, 21))
        assert found[19][1] >= 195, "twenty heartbeats take two seconds"
    since = machine.mark()
    for _ in range(10):
        machine.said("alpha", "heartbeat .*", machine.mark())
    who = [line.split()[0] for line in machine.lines(since) if "heartbeat" in line]
    assert abs(who.count("alpha") - who.count("beta")) <= 5, "they take turns"


@pytest.mark.parametrize("guest", GUESTS)
def test_ticks_do_not_drift(machine, guest):
    """Bochs's time is its own. On QEMU a busy host can hold a CPU back at the edge of a window; a drift shows in all."""
    windows, found = {"bochs": 1, "qemu": 5}[machine.platform], []
    since = 0
    while len(found) < windows and not any(abs(ppm) <= 1000 for ppm in found):
        drift = machine.said(guest, r"drift (ok|HIGH): (-?\d+) ppm over \d+ ticks", since)
        found.append(int(drift[2]))
        since = machine.mark()
    assert min(map(abs, found)) <= 1000, f"{found} ppm"


@pytest.mark.parametrize("guest", GUESTS)
def test_keyboard_goes_to_one_guest(machine, guest):
    machine.keyboard(NUMBER[guest])
    since = machine.mark()
    machine.line(f"only for {guest}")
    machine.said(guest, f"echo: only for {guest}", since)
    machine.said(OTHER[guest], "heartbeat .*", machine.mark())
    assert not [line for line in machine.lines(since, OTHER[guest]) if "only" in line]


def test_long_lines_and_fast_typing_arrive_whole(machine):
    text = "the quick brown fox jumps over the lazy dog, again and again, until the line is full"
    machine.keyboard(2)
    since = machine.mark()
    machine.line(f"0 {text}")
    for i in range(5):
        machine.line(f"{i + 1} {text}")  # two lines are under way: the queue for a partition's input holds them
        machine.said("beta", f"echo: {i} {text}", since)
    machine.said("beta", f"echo: 5 {text}", since)


def test_guest_help_and_stat(machine):
    for guest in GUESTS:
        since = machine.mark()
        type_to(machine, guest, "help")
        machine.said(guest, "  compute - compute again", since)
        machine.line("stat")
        up = machine.said(guest, r"up (\d+) ms, ticks (\d+), heartbeats (\d+), drift -?\d+ ppm", since)
        assert int(up[2]) <= int(up[1]) // 10 + 2
    machine.said("alpha", r"apic x2apic id 0, timer \d+ kHz, tick by pit, uart with fifo")
    machine.said("beta", r"abi 1\.0, partition 2, smccc 1\.1, psci 1\.1")
    machine.said("beta", r"stolen \d+ ns, random ok, wall clock \d+ s, suspended \d+ times")


def test_console_keys(machine):
    machine.keyboard(1)
    since = machine.mark()
    machine.send("\x1d?")
    machine.said("bulkhead", r"keyboard: alpha; the keys:", since)
    machine.said("bulkhead", r"  Ctrl-\] 1       keyboard to alpha", since)
    machine.said("bulkhead", r"  Ctrl-\] 2       keyboard to beta", since)
    machine.said("bulkhead", r"  Ctrl-\] 0       keyboard to the monitor", since)
    machine.said("bulkhead", r"  Ctrl-\] x       power the machine off", since)
    machine.send("\x1d9")
    machine.said("bulkhead", "keyboard: no partition 9, there are 2", since)
    machine.send("\x1dq")
    machine.said("bulkhead", r"Ctrl-\] and byte 71h mean nothing: Ctrl-\] \? lists the keys", since)


def test_monitor_help(machine):
    told = monitor(machine, "help", "  off +print the summary, power the machine off")
    assert [line.split()[0] for line in told] == ["help", "list", "info", "stats", "start", "stop", "reset", "keys", "log",
                                                  "audit", "off"]


def test_monitor_list(machine):
    told = monitor(machine, "list", "   2  beta .*")
    assert told[0].split() == ["no", "name", "state", "mode", "cpus", "memory", "restarts", "why", "off"]
    assert told[1].split() == ["1", "alpha", "running", "full", "1", "64", "MiB", "0", "-"]
    assert told[2].split() == ["2", "beta", "running", "para", "1", "32", "MiB", "0", "-"]


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("by", ["number", "name"])
def test_monitor_info(machine, guest, by):
    argument = guest if by == "name" else NUMBER[guest]
    told = "\n".join(monitor(machine, f"info {argument}", "  why off   -"))
    assert f"partition {NUMBER[guest]}, {guest}: running, mode {KIND[guest]}\n" in told
    assert re.search(rf"  image     \\guests\\{KIND[guest]}.elf, \d+ bytes\n", told)
    assert re.search(r"  cmdline   .*period=100 drift=2\n", told)
    assert f"  memory    {RAM_END[guest] >> 10} KiB in 1 extent\n" in told
    assert re.search(rf"guest 000000000000h at [0-9A-F]{{12}}h, {RAM_END[guest] >> 10} KiB\n", told)
    assert re.search(rf"  vcpu 0    on CPU {CPU[guest]}, (running|halted)\n", told)
    assert "  policy    on_fault = restart, max_restarts = 1000, autostart = yes\n" in told
    assert re.search(r"  run time  \d+\.\d{3} s, restarts 0\n", told)
    assert re.search(r"  console   \d+ lines, \d+ bytes\n", told)


@pytest.mark.parametrize("guest", GUESTS)
def test_monitor_stats_add_up(machine, guest):
    told = monitor(machine, f"stats {guest}", r"  (all|total) +\d+ .*")
    assert told[0] == f"exits of {guest}, all its vCPUs:"
    assert told[1].split() == ["class", "count", "TSC", "ticks", "mean"]
    rows = [re.fullmatch(r"  (\S.*\S) +(\d+) +(\d+) +(\d+)", line) for line in told[2:]]
    figures = {row[1].strip(): (int(row[2]), int(row[3]), int(row[4])) for row in rows if row}
    total = figures.pop("all", None) or figures.pop("total")
    assert total[0] == sum(count for count, _, _ in figures.values())
    assert total[1] == sum(ticks for _, ticks, _ in figures.values())
    assert all(mean == ticks // count for count, ticks, mean in figures.values())
    expected = {"alpha": {"port", "cpuid", "hlt"}, "beta": {"hypercall", "cpuid"}}[guest]
    assert expected <= set(figures)
    assert "hypercall" not in figures or guest == "beta"
    assert "port" not in figures or guest == "alpha"


def test_monitor_log_repeats_the_boot(machine):
    told = monitor(machine, "log", STAMP + r"partition (alpha|beta): first guest instruction after .*")
    assert any("CPUs: 2 of 2 are ready" in line for line in told)


@pytest.mark.parametrize("text, answer", [
    ("list it", r"list: found 2 words, expected 'list'"),
    ("frobnicate", r"no command 'frobnicate': 'help' lists them"),
    ("info", r"info: expected a partition: 'info P'"),
    ("info alpha beta", r"info: found 3 words, expected 'info P'"),
    ("stats gamma", r"no partition 'gamma': expected a number from 1 to 2 or a name that 'list' shows"),
    ("stop 3", r"no partition '3': expected a number from 1 to 2 or a name that 'list' shows"),
    ("start alpha", r"start: alpha is running: expected it to be off"),
    ("start 2", r"start: beta is running: expected it to be off"),
])
def test_monitor_names_mistakes(machine, text, answer):
    monitor(machine, text, answer)


def test_monitor_line_can_be_corrected(machine):
    machine.keyboard(0)
    since = machine.mark()
    machine.line("lits\b\bst")
    machine.wait_line("bulkhead> list", since)
    machine.said("bulkhead", "   2  beta .*", since)


@pytest.mark.parametrize("guest", GUESTS)
def test_stop_and_start(machine, guest):
    since = machine.mark()
    monitor(machine, f"stop {guest}", STAMP + f"partition {guest} is off: by the monitor")
    monitor(machine, f"stop {guest}", f"stop: {guest} is stopped: expected it to run")
    row = monitor(machine, "list", "   2  beta .*")[NUMBER[guest]].split()
    assert row[2] == "stopped" and row[-3:] == ["by", "the", "monitor"]
    quiet = machine.mark()
    machine.said(OTHER[guest], "heartbeat .*", quiet)
    assert not machine.lines(quiet, guest), "it is stopped"
    start = machine.mark()
    machine.line(f"start {guest}")
    machine.said(guest, GREETING[guest], start)
    machine.said(guest, "heartbeat 1 .*", start)
    assert_unbroken(machine, OTHER[guest], since)


@pytest.mark.parametrize("guest", GUESTS)
def test_reset_by_the_monitor(machine, guest):
    since = machine.mark()
    monitor(machine, f"reset {guest}", STAMP + f"partition {guest} resets: by the monitor")
    machine.said(guest, GREETING[guest], since)
    machine.said(guest, "heartbeat 1 .*", since)
    assert_unbroken(machine, OTHER[guest], since)


@pytest.mark.parametrize("guest, reason", [("alpha", "reset by the guest"), ("beta", "SYSTEM_RESET")])
def test_reset_by_the_guest(machine, guest, reason):
    since = machine.mark()
    type_to(machine, guest, "reset")
    machine.said(guest, "resetting", since)
    machine.said("bulkhead", STAMP + f"partition {guest} resets: {reason}", since)
    machine.said(guest, GREETING[guest], since)
    machine.said(guest, "heartbeat 1 .*", since)
    assert_unbroken(machine, OTHER[guest], since)


# What the hypervisor says of each crash; {ram} is the first address behind the guest's RAM.
BEHIND = "guest-physical {ram:#x}, which is neither its memory nor a device, at RIP "
WINDOW = 0x7FC0000000
FAULTS = {
    "triple": ("triple fault", "triple fault"),
    "memory": ("writes to " + BEHIND + "0x[0-9a-f]+", "memory"),
    "read": ("reads from " + BEHIND + "0x[0-9a-f]+", "memory"),
    "jump": ("executes at " + BEHIND + f"{WINDOW:#x}", "memory"),
    "tables": ("page tables in memory it does not have, at GPA {ram:#x}", "memory"),
    "mmio": ("writes to guest-physical 0xfeb00000, which is neither its memory nor a device, at RIP 0x[0-9a-f]+", "memory"),
    "halt": ("all its CPUs are off or halted with interrupts off", "hlt"),
}
EXCEPTIONS = {"exception": 6, "vmxon": 6, "vmrun": 6, "msr": 13}
ALL_KINDS = [(guest, kind) for guest in GUESTS for kind in [*FAULTS, *EXCEPTIONS]]


def expect_report(machine, guest, reason, exit_class, since):
    """The whole report of a fault, line by line, nothing of the hypervisor's between; then the restart."""
    head = machine.said("bulkhead", STAMP + rf"error: partition {guest}: vCPU 0 on CPU {CPU[guest]}: fault: ({reason})", since)
    machine.said("bulkhead", STAMP + rf"warning: partition {guest} restarts \(\d+ of 1000\)", since)
    told = machine.lines(since, "bulkhead")
    report = told[next(i for i, line in enumerate(told) if "fault: " + head[1] in line) + 1:]
    detail = STAMP + "  "
    segment = r"[a-z]+ +[0-9a-f]{4} base [0-9a-f]+ limit [0-9a-f]+ access [0-9a-f]+"
    patterns = [detail + "last exit: .+", detail + f"rip ({HEX16}) rflags [0-9a-f]{{8}} cr0 [0-9a-f]{{8}} cr2 {HEX16}",
                detail + f"cr3 {HEX16} cr4 [0-9a-f]{{8}} efer [0-9a-f]{{8}}"]
    patterns += [detail + rf"(r[0-9a-z]+ +{HEX16} ?){{4}}"] * 4
    patterns += [detail + rf"{segment} +{segment}"] * 4
    patterns += [detail + rf"exit -0: {exit_class} \(reason 0x[0-9a-f]+\) at ([0-9a-f]+), \d+ times?"]
    for line, pattern in zip(report, patterns):
        assert re.fullmatch(pattern, line), f"{line!r} is not {pattern!r}"
    rip = re.search("rip ([0-9a-f]+)", report[1])[1]
    at = re.search(r"\) at ([0-9a-f]+),", report[len(patterns) - 1])[1]
    assert int(rip, 16) == int(at, 16)


@pytest.mark.parametrize("guest, kind", ALL_KINDS)
def test_crash_hurts_nobody_else(machine, guest, kind):
    reason, exit_class = FAULTS.get(kind, FAULTS["triple"])
    type_to(machine, guest, "slow")
    since = machine.mark()
    machine.line(f"crash {kind}")
    machine.said(guest, f"crash {kind}: .*", since)
    if kind in EXCEPTIONS:
        machine.said(guest, f"exception {EXCEPTIONS[kind]} error 0 at [0-9a-f]+, cpu 0", since)
    expect_report(machine, guest, reason.format(ram=RAM_END[guest]), exit_class, since)
    machine.said(guest, GREETING[guest], since)
    machine.said(guest, "heartbeat 1 .*", since)
    assert f"crash {kind}: survived" not in machine.lines(since, guest)
    assert_unbroken(machine, OTHER[guest], since)


def test_absent_port_reads_as_ones_on_a_pc(machine):
    since = machine.mark()
    type_to(machine, "alpha", "crash port")
    machine.said("alpha", "port ff", since)
    machine.said("alpha", "crash port: survived", since)


def test_para_guest_has_no_ports(machine):
    since = machine.mark()
    type_to(machine, "beta", "crash port")
    machine.said("beta", "exception 13 error 0 at [0-9a-f]+, cpu 0", since)
    expect_report(machine, "beta", "triple fault", "triple fault", since)
    machine.said("beta", "heartbeat 1 .*", since)


@pytest.mark.parametrize("guest", GUESTS)
def test_spinning_guest_can_be_reset(machine, guest):
    """Interrupts off, no exit of its own: it leaves the CPU when it is told to, and not to anybody's cost."""
    since = machine.mark()
    type_to(machine, guest, "crash spin")
    machine.said(guest, "crash spin: .*", since)
    spinning = machine.mark()
    for _ in range(3):
        machine.said(OTHER[guest], "heartbeat .*", machine.mark())
    assert not machine.lines(spinning, guest)
    monitor(machine, f"reset {guest}", STAMP + f"partition {guest} resets: by the monitor")
    machine.said(guest, "heartbeat 1 .*", spinning)
    assert_unbroken(machine, OTHER[guest], since)


def test_unknown_crash_is_no_crash(machine):
    since = machine.mark()
    type_to(machine, "alpha", "crash nothing")
    machine.said("alpha", "crash: no kind nothing", since)


def test_flood_does_not_silence_the_other(machine):
    """One guest prints as fast as it can; the other's heartbeats still come, each of them."""
    type_to(machine, "beta", "period 10")
    since = machine.mark()
    for _ in range(10):
        machine.said("alpha", "heartbeat .*", machine.mark())
    type_to(machine, "beta", "period 100")
    assert_unbroken(machine, "alpha", since)


def test_no_line_is_interleaved(machine):
    """Of everything so far, every line since the hypervisor began has the prefix of one source and the form of one line."""
    lines = machine.lines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("bulkhead| "))
    for line in lines[begin:]:
        assert re.match(r"(bulkhead\| |bulkhead> |alpha   \| |beta    \| )", line) or line == "", line
    for guest in GUESTS:
        for line in machine.lines(who=guest):
            if "heartbeat " in line and "echo" not in line and not line.startswith(("done", "up", "  ")):
                assert BEAT.fullmatch(line), line
            assert not re.search(r"(bulkhead|alpha|beta) *[|>]", line), line


def test_both_power_off_ends_the_machine(machine):
    type_to(machine, "alpha", "off")
    machine.said("bulkhead", STAMP + "partition alpha is off: switched off by the guest")
    type_to(machine, "beta", "off")
    machine.wait_end()
    told = machine.lines(who="bulkhead")
    summary = told[told.index("summary") + 1:]
    assert any(re.fullmatch(STAMP + "partition beta is off: SYSTEM_OFF", line) for line in told)
    assert summary[0].split() == ["partition", "ended", "run", "time", "exits", "lines", "restarts"]
    assert re.fullmatch(r"  alpha +system off +\d+\.\d{3} s +\d+ +\d+ +\d+  switched off by the guest", summary[1])
    assert re.fullmatch(r"  beta +system off +\d+\.\d{3} s +\d+ +\d+ +\d+  SYSTEM_OFF", summary[2])
    assert len(summary) == 3
