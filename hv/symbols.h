/*
 * The names of the hypervisor's functions, for backtraces: a table that tools/symbols.py makes from the
 * linked image and that is linked into it in a second pass (hv/rules.mk).
 */
#pragma once

#include "hv/lib/types.h"

/* The function that `address` lies in, and how far; NULL if it lies in none. */
const char *symbol_find(uint64_t address, uint64_t *offset);

/* Generated: offsets from IMAGE_BASE, ascending; the names stand one after the other, each with its NUL. The
 * last entry is the end of the code. */
extern const uint32_t symbol_count;
extern const uint32_t symbol_offsets[];
extern const char symbol_names[];
