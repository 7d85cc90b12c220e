"""Whatever is wrong with config, files or machine is told in full, and nothing is started that should not be.

Errors of the loader and of the machine are the same code on both emulators: QEMU, which boots faster, shows each, Bochs one.
"""

import hashlib
import os
import re
import subprocess

import pytest

from system import BOOT_TIMEOUT, BUILD, System

FAULTS = os.path.join(BUILD, "guests", "faults")
NOTHING_STARTED = r"\[loader\] Nothing was started. Press a key to return to the firmware."
STAMP = r"\[ *\d+\.\d{6}\] "

GOOD = """
[partition alpha]
mode   = para
memory = 8M
image  = \\guests\\hello-para.elf
"""


def loader_lines(config, platform="qemu", **arguments):
    """Boots to the loader's error; returns its lines. OVMF wraps what is longer than its console: joined again."""
    with System(platform, config, cpus=1, memory=256, **arguments) as system:
        system.wait_line(NOTHING_STARTED, timeout=BOOT_TIMEOUT)
        system.drain()
        assert "hypervisor runs" not in system.transcript
        told = re.split(r"\[loader\] ", "".join(system.lines()))
        return told[told.index("Bulkhead's loader") + 1:]


def fault(name):
    return os.path.join(FAULTS, name + ".elf")


# --- the config

MISTAKES = """colour = red
[hypervisor]
console = serial, printer
log = loud
serial_port = 5
poweroff
[hypervisr]
[partition alpha]
mode = half
cpus = 0
pin = 1, 1
memory = 100
image = guests
sha256 = 12
on_fault = panic
max_restarts = -1
autostart = maybe
color = blue
[partition alpha]
mode = para
memory = 3M
memory = 4M
hypervisor_leaf = no
cmdline = "open
[partition bulkhead]
[ship]
[partition a b]
"""


def checked_on_the_host(text, directory):
    """What `make check-config` says of the text, without the file's name."""
    path = os.path.join(directory, "checked.cfg")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    done = subprocess.run([os.path.join(BUILD, "check-config"), path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return [line.removeprefix(path) for line in done.stderr.splitlines()]


def test_all_mistakes_of_a_config_are_told(tmp_path):
    """Line and column of each, by the loader exactly as by the host tool."""
    expected = checked_on_the_host(MISTAKES, tmp_path)
    told = loader_lines(MISTAKES)
    found = [line.removeprefix("bulkhead.cfg") for line in told if line.startswith("bulkhead.cfg:")]
    assert len(found) >= 25
    assert found == expected[:-1]
    assert found[0] == ":1:1: found 'colour = red' before the first section, expected [hypervisor] or [partition NAME]"
    assert ":4:7: found 'loud', expected one of: error, warn, info, debug" in found
    assert ":18:1: unknown key 'color', expected one of: mode, cpus, pin, memory, image, kernel, sha256, initrd, " \
           "initrd_sha256, cmdline, on_fault, max_restarts, autostart, hypervisor_leaf, manage" in found
    assert f"error: {len(found)} mistakes in \\bulkhead.cfg" in told
    assert "  what to do: correct the lines above; `make check-config CONFIG=FILE` checks a file without booting it" in told


def test_utf16_config():
    told = loader_lines("\ufeff[partition alpha]".encode("utf-16-le").decode("latin-1"))
    assert any("UTF-16" in line or "stray byte" in line or "NUL byte" in line for line in told)


def test_one_mistake_is_one_mistake():
    told = loader_lines(GOOD.replace("para", "para2"))
    assert "bulkhead.cfg:3:10: found 'para2', expected one of: full, para" in told
    assert "error: 1 mistake in \\bulkhead.cfg" in told


# --- the files

def text_file(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "wb") as out:
        out.write(text)
    return path


def test_config_missing():
    told = loader_lines(None)
    assert "error: the configuration, \\bulkhead.cfg, cannot be opened on the boot volume: not found" in told
    assert "  what to do: put a bulkhead.cfg into the root of the boot volume; docs/config.md describes it" in told


def test_config_empty():
    assert "error: the configuration, \\bulkhead.cfg, is empty" in loader_lines("")


def test_hypervisor_missing():
    told = loader_lines(GOOD, hypervisor="none")
    assert "error: the hypervisor, \\bulkhead.elf, cannot be opened on the boot volume: not found" in told


def test_hypervisor_is_no_elf(tmp_path):
    told = loader_lines(GOOD, hypervisor=text_file(tmp_path, "text", b"not a hypervisor" * 10))
    assert "error: \\bulkhead.elf cannot be started: it is not an ELF file" in told


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_image_missing_and_a_key_returns_to_the_firmware(platform):
    config = GOOD.replace("hello-para", "nothing")
    with System(platform, config, cpus=1, memory=256) as system:
        system.wait_line(NOTHING_STARTED, timeout=BOOT_TIMEOUT)
        told = "".join(system.lines())
        assert ("[loader] error: the image of partition 'alpha', \\guests\\nothing.elf, cannot be opened on the boot "
                "volume: not found") in told
        assert "[loader]   what to do: correct the path or the memory key of the partition in bulkhead.cfg, or copy the " \
               "file to the boot volume" in told
        since = system.mark()
        system.send("x")
        system.wait_line(r".*BdsDxe.*|.*UEFI.*|.*[Ss]hell.*", since)


def test_image_is_a_directory():
    told = loader_lines(GOOD.replace("\\guests\\hello-para.elf", "\\guests"))
    assert "error: the image of partition 'alpha', \\guests, is a directory, expected a file" in told


def test_image_larger_than_memory(tmp_path):
    large = text_file(tmp_path, "large", bytes(3 << 20))
    told = loader_lines(GOOD.replace("8M", "2M"), files={"\\guests\\hello-para.elf": large})
    assert ("error: the image of partition 'alpha', \\guests\\hello-para.elf, is too large: 3072 KiB, expected at most "
            "2048 KiB") in told


def sha256_of_hello():
    with open(os.path.join(BUILD, "guests", "hello-para.elf"), "rb") as image:
        return hashlib.sha256(image.read()).hexdigest()


def test_wrong_sha256():
    right = sha256_of_hello()
    wrong = ("0" if right[0] != "0" else "1") + right[1:]
    told = loader_lines(GOOD + f"sha256 = {wrong}\n")
    assert f"sha256 found    {right}" in told
    assert f"sha256 expected {wrong}" in told
    assert "error: the image of partition 'alpha', \\guests\\hello-para.elf, has a wrong sha256" in told
    assert "  what to do: copy the right file to the boot volume, or correct the hash in bulkhead.cfg" in told


def test_right_sha256():
    with System("qemu", GOOD + f"sha256 = {sha256_of_hello().upper()}\n", cpus=1, memory=256) as system:
        system.wait_line(r"\[loader\] read \\guests\\hello-para.elf, \d+ KiB, for partition alpha, sha256 fine",
                         timeout=BOOT_TIMEOUT)
        system.said("alpha", "hello from alpha: 1 CPU, 8192 KiB")


# --- the machine

def refused(config, cpus=2, memory=256):
    """Boots a config that the machine cannot serve; returns the hypervisor's lines. No guest has said a word."""
    with System("qemu", "[hypervisor]\nconsole = serial\n" + config, cpus=cpus, memory=memory) as system:
        system.said("bulkhead", rf"({STAMP})?error: Bulkhead stops here; no partition was started\.", timeout=BOOT_TIMEOUT)
        assert not re.search(r"^(alpha|beta) *\|", system.transcript, re.MULTILINE)
        return [re.sub(rf"^{STAMP}", "", line) for line in system.lines(who="bulkhead")]


BETA = GOOD.replace("alpha", "beta")


def test_too_many_cpus():
    told = refused(GOOD + "cpus = 2\n" + BETA)
    assert "error: the partitions want 3 CPUs, the machine has 2 (one for each vCPU)" in told


def test_pin_of_a_cpu_that_is_not_there():
    told = refused(GOOD + "pin = 5\n" + BETA)
    assert "error: partition alpha: cannot have CPU 5: the machine has CPUs 0 to 1, each for one vCPU" in told


def test_too_much_memory():
    told = refused(GOOD + BETA.replace("8M", "4G"))
    message = next(line for line in told if line.startswith("error: partition beta: wants "))
    figures = re.fullmatch(r"error: partition beta: wants 4194304 KiB of memory, (\d+) KiB are free in all, (\d+) KiB in one "
                           r"piece \(at most \d+ pieces can be used\)", message)
    assert int(figures[2]) <= int(figures[1]) < 256 * 1024


@pytest.mark.parametrize("model, what", [("max,-svm", "CPUID has no leaf 8000000Ah"),
                                         ("qemu64,-svm", "CPUID 80000001h ECX bit 2 is clear")])
def test_cpu_without_virtualisation_is_named(model, what):
    with System("qemu", GOOD, cpus=1, memory=256, model=model) as system:
        system.said("bulkhead", r".*error: Bulkhead stops here; no partition was started\.", timeout=BOOT_TIMEOUT)
        assert f"error: virtualisation: no SVM (AMD-V): {what}" in system.lines(who="bulkhead")


# --- images that only the partition's own loader can judge: the others run

BAD_IMAGES = [
    ("text", "para", "\\bulkhead.cfg", r"not an ELF file, first word: found 0x[0-9a-f]+, expected 0x464c457f"),
    ("narrow", "para", "\\guests\\full.elf", "a para image is ELF64, class: found 0x1, expected 0x2"),
    ("large", "para", "\\faults\\large.elf",
     r"segment ends above the partition's memory: found 0x[0-9a-f]+, expected 0x800000"),
    ("outside", "para", "\\faults\\outside.elf",
     r"entry point in no segment, first one at: found 0x40000000, expected 0x[0-9a-f]+"),
    ("headless", "full", "\\faults\\no-header.elf",
     r"no Multiboot header in the first 8192 bytes \(expected 0x1badb002, 4-aligned\)"),
    ("wide", "full", "\\guests\\para.elf",
     r"no Multiboot header in the first 8192 bytes \(expected 0x1badb002, 4-aligned\)"),
]


def test_bad_images_hold_back_only_their_partition():
    config = "[hypervisor]\nconsole = serial\npoweroff = no\n"
    for name, mode, path, _ in BAD_IMAGES:
        config += f"[partition {name}]\nmode = {mode}\nmemory = 8M\nimage = {path}\n"
    files = {f"\\faults\\{name}.elf": fault(name) for name in ("large", "outside", "no-header")}
    with System("qemu", config + GOOD, cpus=len(BAD_IMAGES) + 1, memory=512, files=files) as system:
        system.said("alpha", "goodbye", timeout=BOOT_TIMEOUT)
        for name, _, path, message in BAD_IMAGES:
            system.said("bulkhead", rf"{STAMP}error: partition {name}: image {re.escape(path)}: {message}")
        since = system.mark()
        system.keyboard(0)
        system.line("list")
        for name, mode, _, message in BAD_IMAGES:
            system.said("bulkhead", rf" +\d  {name} +faulted +{mode} +1 +8 MiB +0  {message}", since)
        system.line("start text")
        system.said("bulkhead", STAMP + r"error: partition text: image \\bulkhead.cfg: not an ELF file, .*", since)


# --- faults before the first word, and policies

EARLY = """
[partition fast]
mode         = full
memory       = 8M
image        = \\faults\\early-full.elf
on_fault     = restart
max_restarts = 3

[partition once]
mode         = para
memory       = 8M
image        = \\faults\\early-para.elf
"""


def test_guests_that_fault_at_once_end_the_machine(platform):
    files = {f"\\faults\\{name}.elf": fault(name) for name in ("early-full", "early-para")}
    with System(platform, EARLY, cpus=2, memory=256, files=files) as system:
        system.said("bulkhead", STAMP + "partition fast is off: triple fault", timeout=BOOT_TIMEOUT)
        system.wait_end()
        told = [re.sub(rf"^{STAMP}", "", line) for line in system.lines(who="bulkhead")]
        assert [line for line in told if "restart" in line and "fast" in line and "warning" in line] == [
            "warning: partition fast restarts (1 of 3)", "warning: partition fast restarts (2 of 3)",
            "warning: partition fast restarts (3 of 3)", "warning: partition fast has used up its 3 restarts"]
        assert len([line for line in told if re.fullmatch("error: partition fast: .*: fault: triple fault", line)]) == 4
        assert len([line for line in told if re.fullmatch("error: partition once: .*: fault: triple fault", line)]) == 1
        summary = told[told.index("summary"):]
        assert re.fullmatch(r"  fast +fault +\d+\.\d{3} s +\d+ +0 +3  triple fault", summary[2])
        assert re.fullmatch(r"  once +fault +\d+\.\d{3} s +\d+ +0 +0  triple fault", summary[3])


WAITING = """
[hypervisor]
log      = warn
poweroff = no

[partition sleeper]
mode      = para
memory    = 8M
image     = \\guests\\para.elf
cmdline   = beats=2 period=100
autostart = no
"""


def test_autostart_poweroff_and_log_keys(platform):
    """It waits for `start`; when it has ended, the machine stays; and it can be started again."""
    with System(platform, WAITING, cpus=1, memory=256) as system:
        system.said("bulkhead", r"keyboard: sleeper .*", timeout=BOOT_TIMEOUT)
        system.keyboard(0)
        for _ in range(2):
            since = system.mark()
            system.line("start sleeper")
            system.said("sleeper", "done after 2 heartbeats", since)
            while "off" not in system.command("list", r"sleeper +(\w+)").group(1).decode():
                pass
        assert "Bulkhead: the hypervisor runs" not in system.transcript, "log = warn"
        system.line("off")
        system.wait_end()
        assert re.search(r"  sleeper +system off ", system.transcript)


def test_serial_line_is_silent_when_it_is_not_a_console():
    with System("qemu", "[hypervisor]\nconsole = screen\n" + GOOD, cpus=1, memory=256) as system:
        system.wait_end(timeout=BOOT_TIMEOUT)
        assert "bulkhead" not in system.transcript.split("Bulkhead's loader")[1].replace("\\bulkhead", "")
        assert "hello from" not in system.transcript
