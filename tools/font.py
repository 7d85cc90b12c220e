#!/usr/bin/env python3
"""Turns a PC Screen Font (version 1 or 2, gzipped or not) of 8x16 glyphs into the C source of drivers/font.h.

Usage: font.py OUTPUT.c FONT...      The first FONT that exists is taken. Only printable ASCII is kept.
"""
import gzip
import os
import struct
import sys

FIRST, LAST = 0x20, 0x7E
WIDTH, HEIGHT = 8, 16
PSF1_MAGIC = b"\x36\x04"
PSF1_512_GLYPHS, PSF1_HAS_TABLE = 1, 2
PSF1_SEPARATOR, PSF1_SEQUENCE = 0xFFFF, 0xFFFE
PSF2_MAGIC = b"\x72\xb5\x4a\x86"
PSF2_HAS_TABLE = 1
PSF2_SEPARATOR, PSF2_SEQUENCE = 0xFF, 0xFE


class FontError(Exception):
    """The file is not a font this tool can use."""


def read_table_1(data, count):
    """Unicode table of version 1: 16-bit characters, FFFF ends a glyph, sequences follow FFFE."""
    words = struct.unpack(f"<{len(data) // 2}H", data[: len(data) // 2 * 2])
    table, glyph, single = {}, 0, True
    for word in words:
        if glyph == count:
            break
        if word == PSF1_SEPARATOR:
            glyph, single = glyph + 1, True
        elif word == PSF1_SEQUENCE:
            single = False
        elif single:
            table.setdefault(word, glyph)
    return table


def read_table_2(data, count):
    """Unicode table of version 2: UTF-8, FF ends a glyph, sequences follow FE."""
    table = {}
    for glyph, entry in enumerate(data.split(bytes([PSF2_SEPARATOR]))[:count]):
        singles = entry.split(bytes([PSF2_SEQUENCE]))[0]
        for character in singles.decode("utf-8"):
            table.setdefault(ord(character), glyph)
    return table


def parse(data):
    """Returns (glyphs, table): bytes of each glyph, and character -> glyph."""
    if data[:2] == PSF1_MAGIC:
        mode, size = data[2], data[3]
        count = 512 if mode & PSF1_512_GLYPHS else 256
        start, width, height = 4, WIDTH, size
        has_table, read_table = bool(mode & PSF1_HAS_TABLE), read_table_1
    elif data[:4] == PSF2_MAGIC:
        _, start, flags, count, size, height, width = struct.unpack("<7I", data[4:32])
        has_table, read_table = bool(flags & PSF2_HAS_TABLE), read_table_2
    else:
        raise FontError("not a PC Screen Font: its magic number is missing")
    if (width, height, size) != (WIDTH, HEIGHT, HEIGHT):
        raise FontError(f"glyphs are {width}x{height}, expected {WIDTH}x{HEIGHT}")
    end = start + count * size
    if len(data) < end:
        raise FontError(f"{len(data)} bytes, expected at least {end}")
    glyphs = [data[start + i * size : start + (i + 1) * size] for i in range(count)]
    table = read_table(data[end:], count) if has_table else {i: i for i in range(count)}
    return glyphs, table


def source(glyphs, table):
    """The C text."""
    lines = ['#include "drivers/font.h"', "", "const uint8_t font_glyphs[FONT_LAST - FONT_FIRST + 1][FONT_HEIGHT] = {"]
    for character in range(FIRST, LAST + 1):
        if character not in table:
            raise FontError(f"no glyph for {chr(character)!r}")
        rows = ", ".join(f"0x{row:02X}" for row in glyphs[table[character]])
        lines.append(f"\t{{{rows}}}, /* {character:02X}h */")
    return "\n".join(lines + ["};", ""])


def main(arguments):
    """Writes the first argument from the first font found among the others."""
    if len(arguments) < 2:
        sys.exit(__doc__)
    output, candidates = arguments[0], arguments[1:]
    path = next((name for name in candidates if os.path.exists(name)), None)
    if path is None:
        sys.exit(f"font.py: none of these fonts is installed: {' '.join(candidates)}\n"
                 "font.py: install one with: apt-get install console-setup-linux")
    with open(path, "rb") as file:
        data = file.read()
    try:
        text = source(*parse(gzip.decompress(data) if path.endswith(".gz") else data))
    except (FontError, UnicodeDecodeError, OSError) as error:
        sys.exit(f"font.py: {path}: {error}")
    with open(output, "w", encoding="ascii") as file:
        file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
