"""The screen: what QEMU shows, read back by the font the hypervisor was built with."""

import os
import re
import time

import pytest

from system import BOOT_TIMEOUT, BUILD, System

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

GLYPH_WIDTH, GLYPH_HEIGHT, FIRST = 8, 16, 0x20
PATIENCE_S = 60


@pytest.fixture(scope="module")
def machine():
    with System("qemu", CONFIG) as system:
        for guest in ("alpha", "beta"):
            system.said(guest, "ready, type help", timeout=BOOT_TIMEOUT)
        yield system


def read_font():
    """Glyph rows -> character, from the C source that tools/font.py has made."""
    with open(os.path.join(BUILD, "font.c"), encoding="ascii") as source:
        rows = re.findall(r"\{((?:0x[0-9A-F]{2}, ){15}0x[0-9A-F]{2})\}", source.read())
    return {bytes(int(byte, 16) for byte in row.split(", ")): chr(FIRST + i) for i, row in enumerate(rows)}


class Picture:
    """A PPM file: three bytes a pixel."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        header = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
        self.width, self.height = int(header[1]), int(header[2])
        self.pixels = data[header.end():]

    def pixel(self, x, y):
        at = 3 * (y * self.width + x)
        return self.pixels[at:at + 3]

    def cell(self, column, row):
        """(the glyph's rows as bytes, its colour): what is not the background is ink."""
        background, ink, glyph = self.pixel(0, self.height - 1), None, bytearray()
        for y in range(row * GLYPH_HEIGHT, (row + 1) * GLYPH_HEIGHT):
            bits = 0
            for x in range(column * GLYPH_WIDTH, (column + 1) * GLYPH_WIDTH):
                colour = self.pixel(x, y)
                bits = bits << 1 | (colour != background)
                ink = colour if colour != background else ink
            glyph.append(bits)
        return bytes(glyph), ink


def read_screen(machine, font):
    """The text on the screen, a string a row; what is no glyph reads as U+FFFD."""
    path = os.path.join(machine.directory, "screen.ppm")
    machine.qemu_monitor(f"screendump {path}")
    picture = Picture(path)
    rows = []
    for row in range(picture.height // GLYPH_HEIGHT):
        cells = [picture.cell(column, row) for column in range(picture.width // GLYPH_WIDTH)]
        rows.append("".join(font.get(glyph, "\ufffd") for glyph, _ in cells).rstrip())
    return picture, rows


def wait_for_row(machine, pattern):
    """The screen follows the serial line at its own pace: waits until a row reads like that."""
    font, end = read_font(), time.monotonic() + PATIENCE_S
    while True:
        picture, rows = read_screen(machine, font)
        found = [i for i, row in enumerate(rows) if re.fullmatch(pattern, row)]
        if found:
            return picture, rows, found[0]
        assert time.monotonic() < end, f"no row reads {pattern!r}:\n" + "\n".join(rows)


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
