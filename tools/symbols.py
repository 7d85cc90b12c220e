#!/usr/bin/python3
"""Makes the hypervisor's symbol table: `nm` of the linked image in, a C file out (hv/symbols.h tells its form).

Without any symbol in the input it makes an empty table, which the first pass of the link uses.
"""

import sys

IMAGE_BASE = 0xFFFFFFFF80000000
START, END = "image_text_start", "image_text_end"
# Parts of functions that the compiler names so; other names with a dot are local labels.
COMPILER_SUFFIXES = ("part", "constprop", "isra", "cold")


def functions(lines):
    """(offset, name) of each function, ascending; of several names for one address the alphabetically first."""
    found = {}
    for line in lines:
        fields = line.split()
        if len(fields) != 3 or fields[1] not in "tT":
            continue
        offset, name = int(fields[0], 16) - IMAGE_BASE, fields[2]
        if name == START or ("." in name and name.split(".")[1] not in COMPILER_SUFFIXES):
            continue
        if offset not in found or name < found[offset]:
            found[offset] = name
    return sorted(found.items())


def main():
    table = functions(sys.stdin)
    offsets = "".join(f"\t0x{offset:x},\n" for offset, _ in table) or "\t0\n"
    names = "".join(f'\t"{name}\\0"\n' for _, name in table) or '\t""\n'
    sys.stdout.write('/* Made by tools/symbols.py. */\n#include "hv/symbols.h"\n\n')
    sys.stdout.write(f"const uint32_t symbol_count = {len(table)};\n")
    sys.stdout.write(f"const uint32_t symbol_offsets[] = {{\n{offsets}}};\n")
    sys.stdout.write(f"const char symbol_names[] =\n{names.rstrip()};\n")


main()
