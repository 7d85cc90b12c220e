#!/usr/bin/python3
"""Makes the hypervisor's symbol table: `nm` of the linked image in, a C file out (hv/symbols.h tells its form).

Without any symbol in the input it makes an empty table, which the first pass of the link uses.
"""

import collections
import sys

IMAGE_BASE = 0xFFFFFFFF80000000
START, END = "image_text_start", "image_text_end"
# Parts of functions that the compiler names so; other names with a dot are local labels.
COMPILER_SUFFIXES = ("part", "constprop", "isra", "cold")
FIRST_WORD, WORDS = 0x80, 128
SIZE_MAX = 0xFFFF


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


def replaced(codes, pair, word):
    """A name's codes with each occurrence of the pair replaced."""
    out = []
    for code in codes:
        if out and (out[-1], code) == pair:
            out[-1] = word
        else:
            out.append(code)
    return out


def pack(names):
    """(packed names, words): again and again the most frequent pair of codes becomes a word (Gage 1994, byte pair encoding)."""
    packed = [list(name.encode("ascii")) for name in names]
    words = []
    for word in range(FIRST_WORD, FIRST_WORD + WORDS):
        pairs = collections.Counter(pair for codes in packed for pair in zip(codes, codes[1:]))
        if not pairs:
            break
        pair = min(pairs, key=lambda pair: (-pairs[pair], pair))
        words.append("".join(words[code - FIRST_WORD] if code >= FIRST_WORD else chr(code) for code in pair))
        packed = [replaced(codes, pair, word) for codes in packed]
    return packed, words


def sizes(table):
    offsets = [offset for offset, _ in table]
    found = [end - start for start, end in zip(offsets, offsets[1:])]
    if found and max(found) > SIZE_MAX:
        sys.exit(f"a function of {max(found)} bytes: symbol_sizes holds up to {SIZE_MAX}")
    return found


def array(declaration, values):
    return f"const {declaration}[] = {{\n" + "".join(f"\t{value},\n" for value in values) + "};\n"


def main():
    table = functions(sys.stdin)
    packed, words = pack([name for _, name in table[:-1]])
    sys.stdout.write('/* Made by tools/symbols.py. */\n#include "hv/symbols.h"\n\n')
    sys.stdout.write(f"const uint32_t symbol_count = {max(len(table) - 1, 0)};\n")
    sys.stdout.write(f"const uint32_t symbol_start = 0x{table[0][0] if table else 0:x};\n")
    sys.stdout.write(array("uint16_t symbol_sizes", sizes(table) or [0]))
    sys.stdout.write(array("uint8_t symbol_names", [", ".join(map(str, codes + [0])) for codes in packed] or [0]))
    sys.stdout.write("const char symbol_words[] =\n" + "".join(f'\t"{word}\\0"\n' for word in words or [""]).rstrip() + ";\n")


main()
