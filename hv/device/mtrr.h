/*
 * The memory type range registers of one vCPU (SDM 3A 12.11), as PC firmware leaves them: memory write-back,
 * legacy video memory and the hole below 4 GiB uncached. They are kept and checked, and have no effect: the
 * guest map holds the types of the memory behind it.
 */
#pragma once

#include "hv/lib/types.h"

#define MTRR_RANGES 8
#define MTRR_FIXED  11

struct mtrr {
	uint64_t variable[2 * MTRR_RANGES]; /* base and mask of each */
	uint64_t fixed[MTRR_FIXED];
	uint64_t default_type;
	uint64_t beyond; /* address bits that do not exist */
};

void mtrr_reset(struct mtrr *mtrr, unsigned physical_bits);
/* false: #GP, as it is not one of them, or on writing a value it cannot hold. */
bool mtrr_read(const struct mtrr *mtrr, uint32_t msr, uint64_t *value);
bool mtrr_write(struct mtrr *mtrr, uint32_t msr, uint64_t value);
