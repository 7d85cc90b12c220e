/*
 * The walk through a guest's own page tables (SDM 3A chapter 4, APM 2 chapter 5), inline: with a reader the
 * compiler can see through, a level costs a dozen instructions. guest_translate() is the same walk out of
 * line.
 */
#pragma once

#include "arch/x86/decode.h"
#include "arch/x86/registers.h"

#define ENTRY_PRESENT	 (1ull << 0)
#define ENTRY_WRITE	 (1ull << 1)
#define ENTRY_USER	 (1ull << 2)
#define ENTRY_LARGE	 (1ull << 7)
#define ENTRY_NO_EXECUTE (1ull << 63)
#define ENTRY_FRAME	 0x000FFFFFFFFFF000ull
#define ENTRY_KEY(entry) ((entry) >> 59 & 0xF)

/* #PF error code (SDM 3A 4.7). */
#define FAULT_PROTECTION (1u << 0)
#define FAULT_WRITE	 (1u << 1)
#define FAULT_USER	 (1u << 2)
#define FAULT_RESERVED	 (1u << 3)
#define FAULT_FETCH	 (1u << 4)
#define FAULT_KEY	 (1u << 5)

#define LONG_LEVELS    4
#define FIVE_LEVELS    5 /* CR4.LA57 */
#define PAE_LEVELS     3
#define LEVEL_BITS     9
#define ENTRY_SHIFT    3      /* entries of 8 bytes */
#define TABLE_OFFSET   0xFF8u /* of one in its table */
#define PAE_TOP_OFFSET 0x18u  /* there are four page directory pointers */
#define PAE_CR3_MASK   0xFFFFFFE0ull

struct guest_leaf {
	uint64_t granted; /* AND of all entries: R/W and U/S */
	uint64_t denied;  /* OR of all entries: NX */
	uint64_t address;
	uint64_t key; /* long mode: protection key of the page */
};

/*
 * PAE, 4-level and 5-level tables: 8-byte entries. ERR_NOT_FOUND when an entry is not present; permissions
 * are the caller's to judge. `levels` is a constant, so that the loop is unrolled and its shifts are
 * constants, too.
 */
static inline __attribute__((always_inline)) enum status guest_walk(uint64_t table, unsigned levels,
								    uint64_t linear, guest_read_fn *read,
								    void *context, struct guest_leaf *leaf)
{
	const bool pae = levels == PAE_LEVELS;
	uint64_t granted = ENTRY_WRITE | ENTRY_USER, denied = 0, entry = 0, offset, frame = ENTRY_FRAME;
	unsigned level;

	__asm__(""
		: "+r"(frame)); /* stays in a register: each use of a 64-bit constant costs an instruction */
#pragma GCC unroll 5
	for (level = levels; level > 0; level--) {
		const uint64_t mask = pae && level == levels ? PAE_TOP_OFFSET : TABLE_OFFSET;
		const unsigned shift = PAGE_SHIFT + LEVEL_BITS * (level - 1) - ENTRY_SHIFT;

		if (unlikely(!read(context, gpa(table + (linear >> shift & mask)), &entry, sizeof(entry))))
			return ERR_RANGE;
		if (unlikely(!(entry & ENTRY_PRESENT)))
			return ERR_NOT_FOUND;
		table = entry & frame;
		if (pae && level == levels)
			continue; /* page directory pointers of PAE carry no rights */
		granted &= entry;
		denied |= entry;
		if (level < LONG_LEVELS && level != 1 && (entry & ENTRY_LARGE))
			break;
	}
	offset = (1ull << (PAGE_SHIFT + LEVEL_BITS * (level > 1 ? level - 1 : 0))) - 1;
	*leaf = (struct guest_leaf){granted, denied, (table & ~offset) | (linear & offset), ENTRY_KEY(entry)};
	return OK;
}
