"""The screen, read back by the font the hypervisor was built with: what QEMU shows, as text."""

import os
import re
import time

from system import BUILD

GLYPH_WIDTH, GLYPH_HEIGHT, FIRST = 8, 16, 0x20
PATIENCE_S = 60


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
