/*
 * Indexes that come from a guest. A CPU may run ahead of the bounds check with the unchecked index and leave
 * traces of what it read (Spectre variant 1), so whoever indexes by a guest's word clamps it after the check,
 * without a branch.
 */
#pragma once

#include "hv/lib/types.h"

/* `index` if it is below `size`, else 0: also while speculating. */
static inline uint64_t clamp_index(uint64_t index, uint64_t size)
{
	uint64_t mask;

	__asm__ volatile("cmp %2, %1\n\tsbb %0, %0" : "=r"(mask) : "r"(index), "r"(size) : "cc");
	return index & mask;
}
