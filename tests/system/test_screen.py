"""The screen carries the same lines as the serial line, in the partitions' colours."""

import re

import pytest

from screen import wait_for_row
from system import BOOT_TIMEOUT, System

CONFIG = """
[partition alpha]
mode    = full
memory  = 16M
image   = \\guests\\full.elf
cmdline = name=alpha quiet

[partition beta]
mode    = para
memory  = 8M
image   = \\guests\\para.elf
cmdline = quiet
"""

@pytest.fixture(scope="module")
def machine():
    with System("qemu", CONFIG) as system:
        for guest in ("alpha", "beta"):
            system.said(guest, "ready, type help", timeout=BOOT_TIMEOUT)
        yield system


def test_screen_shows_the_same_lines(machine):
    _, rows, _ = wait_for_row(machine, r"alpha +\| ready, type help")
    text = "\n".join(rows)
    assert "alpha   | hello from alpha, a full guest\n" in text
    assert "beta    | hello from beta, a para guest\n" in text
    assert re.search(r"^bulkhead\| \[ *\d+\.\d{6}\] CPUs: 2 of 2 are ready$", text, re.MULTILINE)
    hypervisor = text[text.index("bulkhead|"):]
    assert "\ufffd" not in hypervisor, "every cell is a glyph"


def test_partitions_differ_in_colour(machine):
    picture, rows, alpha = wait_for_row(machine, r"alpha +\| ready, type help")
    beta = next(i for i, row in enumerate(rows) if re.fullmatch(r"beta +\| ready, type help", row))
    colours = [{picture.cell(column, row)[1] for column in range(len("alpha")) if rows[row][column] != " "}
               for row in (alpha, beta)]
    assert len(colours[0]) == len(colours[1]) == 1, "a line has one colour"
    assert colours[0] != colours[1]


def test_screen_follows_typing_and_scrolls(machine):
    machine.keyboard(2)
    for i in range(60):
        machine.line(f"line {i} of many")
    machine.said("beta", "echo: line 59 of many")
    _, rows, _ = wait_for_row(machine, r"beta +\| echo: line 59 of many")
    assert not [row for row in rows if "[loader]" in row], "the loader's lines have scrolled away"
    shown = [int(match[1]) for match in (re.search(r"echo: line (\d+) of", row) for row in rows) if match]
    assert shown == list(range(shown[0], 60)) and len(shown) > 20
