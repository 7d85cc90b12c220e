/*
 * The names of the hypervisor's functions, for backtraces: a table that tools/symbols.py makes from the
 * linked image and that is linked into it in a second pass (hv/rules.mk).
 */
#pragma once

#include "hv/lib/types.h"

#define SYMBOL_NAME 64 /* bytes of a name with its NUL; longer ones are cut */

/* The function that `address` lies in, and how far; false if it lies in none. */
bool symbol_find(uint64_t address, char name[SYMBOL_NAME], uint64_t *offset) MUST_CHECK;

/*
 * Generated. Functions stand in the order of their addresses, without gaps: each begins where the one before
 * it ends. Names repeat one another a lot, so a byte of a name from SYMBOL_WORD on stands for a word of many
 * letters, the words and the names follow one another, each with its NUL.
 */
#define SYMBOL_WORD 0x80u
extern const uint32_t symbol_count;
extern const uint32_t symbol_start; /* of the first one, from IMAGE_BASE */
extern const uint16_t symbol_sizes[];
extern const uint8_t symbol_names[];
extern const char symbol_words[];
