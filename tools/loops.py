"""Loops on the way of an exit: each has a bound that can be read off it, or stands in BOUNDS with the reason why it ends.

Read off: `for (i = ...; i < BOUND; i++)`, also downwards and in steps, where BOUND is a number, a constant in capitals, ARRAY_SIZE() or
sizeof(), or the count of a partition's vCPUs. What counts is the head of the loop as it is written.
"""

import os
import re

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
FOLDERS = ["hv/call", "hv/device", "arch/x86/svm", "arch/x86/vmx"]
FILES = ["arch/x86/decode.c", "arch/x86/guest_walk.c", "arch/x86/guest_walk.h", "hv/core/cpuid.c", "hv/core/exit.c",
         "hv/core/exit_memory.c", "hv/core/exit_port.c", "hv/core/lifecycle.c", "hv/core/share.c", "hv/core/statistics.c", "hv/lib/spinlock.h"]
AT_BOOT = {"arch/x86/svm/audit.c", "arch/x86/vmx/audit.c", "hv/device/acpi.c"}  # never between an exit and an entry
CONSTANT = r"(?:\d\w*|[A-Z][A-Z0-9_]*|ARRAY_SIZE\([^()]*\)|sizeof\([^()]*\)|(?:\w+->)*partition->vcpu_count|partition_count|machine_config->channel_count)"
READ_OFF = re.compile(rf"for \([^;]*; (?:[^;]* && )?\w+ (?:<|<=|!=) {CONSTANT}(?: && [^;]*)?; \w+(?:\+\+| \+= \w+)\)"
                      rf"|for \([^;]*= {CONSTANT}; \w+ > 0; \w+--\)")

BOUNDS = {
    ("hv/call/entropy.c", "for (unsigned tries = seed ? RDSEED_TRIES : RDRAND_TRIES; tries > 0; tries--)"):
        "one of two constants, counted down",
    ("hv/call/vendor.c", "for (part = 0; left > 0 && taken == part; left -= taken)"):
        "left begins at BH_RING_OUT_SIZE at most, and each round that goes on takes some",
    ("hv/call/vendor.c", "while (moved < INPUT_SIZE && move_byte(&partition->input, ring, &position))"):
        "INPUT_SIZE bytes; the caller counts each",
    ("hv/device/full.c", "while (ioapic_take_message(ioapic, &message))"):
        "each message clears its line's pending bit, under the device lock that setting one takes as well",
    ("hv/device/full.c", "while (tail != head && uart_can_receive(uart))"):
        "a byte each; the UART takes 16 at most",
    ("hv/device/full.c", "for (const struct port_row *row = port_rows; row < port_rows + ARRAY_SIZE(port_rows); row++)"):
        "the rows of a table of ours",
    ("hv/device/full.c", "for (unsigned i = 0; i < size; i++)"):
        "size of a port access: 4 at most",
    ("hv/device/full.c", "for (unsigned i = 1; i < MIN(size, 4u); i++)"):
        "4 at most",
    ("hv/device/lapic.c", "while (words)"):
        "each round clears a bit of a word",
    ("hv/device/lapic_page.c", "while (words)"):
        "each round clears a bit of a word",
    ("hv/device/lapic.c", "while (bits)"):
        "each round clears a bit of a word",
    ("hv/device/power.c", "for (unsigned i = 0; i < size && order == CHIPSET_NOTHING; i++)"):
        "size of a port access: 4 at most",
    ("arch/x86/decode.c", "while (reader->at < reader->available)"):
        "available is INSTRUCTION_MAX at most, and each round takes a byte",
    ("arch/x86/decode.c", "while (at < limit && ((one_byte[bytes[at]] & PREFIX) || (code == CODE_64 && (one_byte[bytes[at]] & REX_PREFIX))))"):
        "limit is INSTRUCTION_MAX at most",
    ("arch/x86/decode.c", "for (size_t i = 0; i < opcode_size; i++)"):
        "two or three bytes of an opcode of ours",
    ("arch/x86/guest_walk.h", "for (level = levels; level > 0; level--)"):
        "3 or 4 levels",
    ("hv/core/cpuid.c", "while ((1u << bits) < vcpu->partition->vcpu_count)"):
        "vcpu_count is CONFIG_MAX_CPUS at most",
    ("hv/core/exit.c", "for (unsigned i = 0; i < VCPU_TRACE;)"):
        "each round goes on by one entry at least",
    ("hv/core/exit.c", "while (i + run < VCPU_TRACE)"):
        "run grows with each round",
    ("hv/core/exit_port.c", "for (unsigned i = 0; i < io->size; i++)"):
        "size of a port access: 4 at most",
    ("hv/core/lifecycle.c", "for (uint32_t i = 0; i < partition->extent_count; i++)"):
        "PARTITION_EXTENTS; between two lives of a partition, on its own CPU",
    ("hv/core/lifecycle.c", "for (uint64_t done = 0; done < extent->size; done += LARGE_PAGE_SIZE)"):
        "a partition's memory, between two of its lives; the console is served in between",
    ("hv/core/lifecycle.c", "while ((requests = atomic_exchange(&vcpu->shared->requests, 0)) != 0)"):
        "as long as others send requests; serving one raises none for itself, and who sends without end is of the same partition",
    ("hv/core/lifecycle.c", "while (atomic_load(&shared->requests) == 0)"):
        "sleep: ends with the next request",
    ("hv/core/lifecycle.c", "for (;;)"):
        "a CPU's life, its sleep without a vCPU, or HLT: a guest waits on its own CPU",
    ("hv/core/share.c", "while (free < SHARES_OF_ONE && place[free])"):
        "free grows with each round",
    ("hv/core/share.c", "for (uint32_t i = 0; i < share->borrower_count; i++)"):
        "SHARE_BORROWERS at most: the description is refused before",
    ("hv/core/share.c", "for (uint32_t i = 0; i < share->piece_count; i++)"):
        "SHARE_PIECES at most: add_piece() stops there",
    ("hv/core/share.c", "for (uint32_t i = 0; i < count; i++)"):
        "some or all pieces of an agreement",
    ("hv/core/share.c", "for (uint32_t i = 0; i < view->pages; i++)"):
        "SHARE_PAGES at most: share_add() stops there",
    ("hv/core/share.c", "for (uint64_t done = 0; done < piece->size; done += LARGE_PAGE_SIZE)"):
        "SHARE_PAGES in all pieces; the console is served in between",
    ("hv/core/share.c", "for (uint32_t i = 0; i < owner->extent_count && size; i++)"):
        "PARTITION_EXTENTS at most",
    ("hv/core/share.c", "for (uint32_t i = 0; i < owner->vcpu_count * VCPU_CALL_PAGES; i++)"):
        "the pages of CONFIG_MAX_CPUS vCPUs",
    ("hv/core/share.c", "for (uint32_t i = 0; i < machine_frames.count; i++)"):
        "FRAMES_MAX at most",
    ("hv/core/share.c", "while (!borrowers_flushed(share))"):
        "between two lives of a partition, whose own vCPUs are all off: each CPU of a borrower leaves its guest for the kick, its sleep "
        "or its wait for one, and flushes; it waits for another's flush only where its own vCPUs are off too, and these are not waited for",
    ("hv/lib/spinlock.h", "while (atomic_load_explicit(&lock->serving, memory_order_acquire) != ticket)"):
        "tickets: each CPU of the machine before it once, and what runs under a lock is bounded itself",
}


def heads(text):
    """The head of each loop in a source text, on one line, without comments."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    text = re.sub(r"^\s*#.*?(?<!\\\\)$", "", text, flags=re.MULTILINE)
    for match in re.finditer(r"\b(?:for|while) \(|\bdo \{", text):
        if match[0].startswith("do"):
            yield "do {"
            continue
        depth, at = 1, match.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        yield re.sub(r"\s+", " ", text[match.start():at])


def complaints(path, text, bounds):
    found = [head for head in heads(text) if not READ_OFF.fullmatch(head)]
    for head in found:
        if (path, head) not in bounds:
            yield f"{path}: {head}: no bound can be read off this loop; give the reason why it ends in tools/loops.py"
    for named, head in bounds:
        if named == path and head not in found:
            yield f"{path}: {head}: stands in tools/loops.py, but is not there"


def sources():
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(ROOT, folder))):
            path = f"{folder}/{name}"
            if name.endswith((".c", ".h")) and path not in AT_BOOT:
                yield path
    yield from FILES


def check():
    found = []
    for path in sources():
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            found += complaints(path, file.read(), BOUNDS)
    return found
