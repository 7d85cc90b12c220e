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

/* #PF error code (SDM 3A 4.7). */
#define FAULT_PROTECTION (1u << 0)
#define FAULT_WRITE	 (1u << 1)
#define FAULT_USER	 (1u << 2)
#define FAULT_RESERVED	 (1u << 3)
#define FAULT_FETCH	 (1u << 4)

#define LONG_TOP_SHIFT 39 /* PML4 */
#define PAE_TOP_SHIFT  30 /* page directory pointers */
#define LEVEL_BITS     9
#define PAE_CR3_MASK   0xFFFFFFE0ull

struct guest_leaf {
	uint64_t entry;	  /* the last entry read */
	uint64_t granted; /* AND of all entries: R/W and U/S */
	uint64_t denied;  /* OR of all entries: NX */
	uint64_t address;
	unsigned level_shift;
};

/* PAE and 4-level tables: 8-byte entries. ERR_NOT_FOUND when an entry is not present; permissions are the
 * caller's to judge. */
static inline __attribute__((always_inline)) enum status guest_walk(uint64_t table, unsigned shift,
								    uint64_t linear, guest_read_fn *read,
								    void *context, struct guest_leaf *leaf)
{
	const bool pae = shift == PAE_TOP_SHIFT;
	uint64_t index_mask =
		pae ? 3 : (1u << LEVEL_BITS) - 1; /* four page directory pointers, else 512 entries */
	uint64_t granted = ENTRY_WRITE | ENTRY_USER, denied = 0, entry;

	for (;;) {
		if (unlikely(!read(context, gpa(table + ((linear >> shift) & index_mask) * 8), &entry, 8)))
			return ERR_RANGE;
		if (unlikely(!(entry & ENTRY_PRESENT)))
			return ERR_NOT_FOUND;
		if (!pae || shift != PAE_TOP_SHIFT) { /* page directory pointers of PAE carry no rights */
			granted &= entry;
			denied |= entry;
			if (shift == PAGE_SHIFT || ((entry & ENTRY_LARGE) && shift != LONG_TOP_SHIFT))
				break;
		}
		table = entry & ENTRY_FRAME;
		index_mask = (1u << LEVEL_BITS) - 1;
		shift -= LEVEL_BITS;
	}
	const uint64_t offset = (1ull << shift) - 1;

	*leaf = (struct guest_leaf){entry, granted, denied,
				    (entry & ENTRY_FRAME & ~offset) | (linear & offset), shift};
	return OK;
}
