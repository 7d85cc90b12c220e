"""Every hypercall, from inside a para partition, on both emulators: guests/calls checks the answers itself, and prints a table of them."""

import functools
import os
import re

import pytest

import system

ALONE = """
[partition caller]
mode   = para
memory = 8M
image  = \\guests\\calls-para.elf
"""

# All that the config can give: a second CPU, the right to manage, and three others that may do all, less, and nothing with the caller.
COMPANY = """
[partition caller]
mode    = para
cpus    = 2
memory  = 8M
image   = \\guests\\calls-para.elf
cmdline = manage peers
manage  = yes
[partition peer]
mode   = para
memory = 4M
image  = \\guests\\pong-para.elf
[partition mute]
mode    = para
memory  = 4M
image   = \\guests\\pong-para.elf
cmdline = deaf
[partition stranger]
mode      = para
memory    = 4M
image     = \\guests\\pong-para.elf
autostart = no
[channel all]
between = caller, peer
allow   = message, notify, share
[channel some]
between = caller, mute
allow   = notify
"""

FILES = {f"\\guests\\{name}-para.elf": os.path.join(system.BUILD, f"guests/{name}-para.elf") for name in ("calls", "pong")}
ROW = re.compile(r"call ([0-9a-f]{8}) (\w+), (.*): (.*)")
RESULTS = {"FFA_ERROR", "FFA_SUCCESS_32", "FFA_SUCCESS_64", "FFA_INTERRUPT", "FFA_MEM_RETRIEVE_RESP", "FFA_MEM_FRAG_RX"}  # what calls answer with


def functions():
    """Every identifier of include/bulkhead/abi.h that can be called: name -> number."""
    with open(os.path.join(system.ROOT, "include", "bulkhead", "abi.h"), encoding="utf-8") as header:
        found = re.findall(r"^#define (\w+)\s+0x([8C][0-9A-F]{7})u", header.read(), re.MULTILINE)
    return {name: int(number, 16) for name, number in found if name not in RESULTS and not name.startswith("BH_")}


def table(machine):
    """The rows the guest has printed: (identifier, name, what) -> result."""
    rows = {}
    for line in machine.lines(who="caller"):
        match = ROW.fullmatch(line)
        if match:
            assert (match[1], match[2], match[3]) not in rows, f"twice: {line}"
            rows[int(match[1], 16), match[2], match[3]] = match[4]
    return rows


# Errors of docs/abi.md that this guest does not meet, and what shows them instead.
ELSEWHERE = {
    "CPU_ON": {-5: "system/psci: a race"},
    "SYSTEM_OFF": {-6: "unit/psci: none of ours refuses"},
    "SYSTEM_RESET": {-6: "unit/psci"},
    "SYSTEM_RESET2": {-6: "unit/psci"},
    "TRNG_VERSION": {-1: "unit/call_services: a CPU without a generator"},
    "TRNG_GET_UUID": {-1: "unit/call_services"},
    "TRNG_RND": {-1: "unit/call_services", -3: "unit/call_services: a generator that is dry"},
    "PV_TIME_ST": {-1: "unit/call_services: full partitions"},
    "FFA_CONSOLE_LOG": {-7: "hostile: flood-by-call"},
    "FFA_MSG_SEND_DIRECT_RESP": {-8: "unit/ffa: the asker has ended"},
    "FFA_MEM_LEND": {-4: "unit/ffa_memory: two vCPUs at once"},
    "FFA_MEM_DONATE": {-4: "unit/ffa_memory"},
    "FFA_MEM_RELINQUISH": {-4: "unit/ffa_memory"},
    "FFA_MEM_FRAG_TX": {-3: "unit/ffa_memory", -4: "unit/ffa_memory", -6: "unit/ffa_memory"},
    "FFA_MEM_RETRIEVE_REQ": {-3: "unit/ffa_memory", -8: "unit/ffa_memory: the owner has ended"},
    "PARTITION_START": {-8: "unit/manage: a full partition on a CPU without unrestricted guest"},
}


def documented_errors():
    """docs/abi.md: identifier -> codes in the last column of its row."""
    errors, above = {}, set()
    with open(os.path.join(system.ROOT, "docs", "abi.md"), encoding="utf-8") as page:
        rows = [line.replace("\\|", "").strip().strip("|").split(" | ") for line in page if line.startswith("|")]
    for cells in rows:
        numbers = re.findall(r"\b([8C][0-9A-F]{7})\b", cells[1]) if len(cells) > 2 else []
        if numbers:
            codes = {-int(code) for code in re.findall(r"−(\d)", cells[-1])} | (above if "as above" in cells[-1] else set())
            errors.update({int(number, 16): codes for number in numbers})
            above = codes
    return errors


@functools.lru_cache(maxsize=None)
def run(platform, config):
    """Until the caller is off; returns its table. Once for all tests of it."""
    with system.System(platform, config, cpus=5, files=FILES) as machine:
        machine.expect_boot(r"calls: begin")
        outcome = machine.expect(r"calls: (\d+) checks, (\d+) wrong")
        assert outcome.group(2) == b"0", "\n".join(line for line in machine.lines() if "wrong" in line)
        machine.said("bulkhead", r".*partition caller is off: SYSTEM_OFF")
        assert "calls: by CONSOLE_LOG" in machine.transcript
        resets = re.findall(r"partition caller resets: (.*)", machine.transcript)
        assert [reset.strip() for reset in resets] == ["SYSTEM_RESET"] + 2 * ["SYSTEM_RESET2 (warm)"]
        return table(machine)


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_every_call(platform):
    rows = run(platform, COMPANY)
    called = {}
    for (function, _, what), result in rows.items():
        called.setdefault(function, []).append(result)
    missing = [name for name, function in functions().items() if function not in called]
    assert not missing, "not in the table"
    for function, results in called.items():
        # A call has a row that succeeds and one that fails, as far as it can; a form that is not there has one.
        assert results == ["-1 NOT_SUPPORTED"] or any(not result.startswith("-") for result in results), hex(function)
    codes = {result for result in rows.values() if result.startswith("-")}
    assert {"-2 INVALID_PARAMETERS", "-3 DENIED", "-4 ALREADY_ON", "-5 ON_PENDING", "-7 NOT_PRESENT", "-9 INVALID_ADDRESS",
            "-2 NOT_REQUIRED", "-3 INVALID_PARAMETER", "-1 NOT_SUPPORTED", "-4 BUSY", "-6 DENIED"} <= codes
    assert len(rows) > 600


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_every_call_alone(platform):
    """One CPU, no right to manage, nobody to talk to."""
    rows = run(platform, ALONE)
    managing = {what: result for (function, _, what), result in rows.items() if 0xC6000010 <= function <= 0xC6000015}
    assert set(managing.values()) == {"-3 DENIED", "-1 NOT_SUPPORTED"}


@pytest.mark.parametrize("platform", ["qemu", "bochs"])
def test_documented_errors(platform):
    """Both tables together hold what docs/abi.md says, error by error, and no other."""
    met, names = {}, {}
    for (function, name, what), result in (run(platform, COMPANY) | run(platform, ALONE)).items():
        if what not in ("reserved bits of the identifier", "a form that is not there"):
            names[function] = name
            met.setdefault(name, set())
            if result.startswith("-"):
                met[name].add(int(result.split()[0]))
    documented = {}
    for function, codes in documented_errors().items():
        if function in names:
            documented.setdefault(names[function], set()).update(codes)
    assert met == {name: codes - set(ELSEWHERE.get(name, ())) for name, codes in documented.items()}
