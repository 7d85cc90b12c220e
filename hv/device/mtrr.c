/*
 * Which register an MSR is, and what it may hold (SDM 3A 12.11.1 to 12.11.2.3).
 */
#include "hv/device/mtrr.h"
#include "arch/x86/registers.h"
#include "hv/lib/string.h"

#define CAPABILITIES_FIXED	     (1u << 8)
#define CAPABILITIES_WRITE_COMBINING (1u << 10)
#define CAPABILITIES		     (MTRR_RANGES | CAPABILITIES_FIXED | CAPABILITIES_WRITE_COMBINING)

#define MSR_VARIABLE  0x200u
#define MSR_FIXED_64K 0x250u

#define TYPE_MASK	     0xFFull
#define TYPE_UNCACHED	     0u
#define TYPE_WRITE_BACK	     6u
#define TYPES_VALID	     0x73u /* bit i: type i exists */
#define DEFAULT_FIXED_ENABLE (1ull << 10)
#define DEFAULT_ENABLE	     (1ull << 11)
#define DEFAULT_WRITABLE     (TYPE_MASK | DEFAULT_FIXED_ENABLE | DEFAULT_ENABLE)
#define MASK_VALID	     (1ull << 11)
#define BASE_RESERVED	     0xF00ull
#define MASK_RESERVED	     0x7FFull
#define ALL_WRITE_BACK	     0x0606060606060606ull
#define FIXED_A0000	     2 /* the first of 16 KiB pieces begins at 80000h, the second at A0000h */
#define HOLE_BASE	     0xC0000000ull
#define HOLE_SIZE	     0x40000000ull

static bool type_valid(uint64_t type)
{
	return type < 8 && (TYPES_VALID >> type & 1);
}

static bool types_valid(uint64_t types)
{
	for (unsigned i = 0; i < 8; i++)
		if (!type_valid(types >> 8 * i & TYPE_MASK))
			return false;
	return true;
}

/* Fixed ranges: one register of 64 KiB pieces, two of 16 KiB, eight of 4 KiB; MTRR_FIXED for another MSR. */
static unsigned fixed_index(uint32_t msr)
{
	if (msr == MSR_FIXED_64K)
		return 0;
	if (msr - 0x258u < 2)
		return 1 + (msr - 0x258u);
	return msr - 0x268u < 8 ? 3 + (msr - 0x268u) : MTRR_FIXED;
}

bool mtrr_read(const struct mtrr *mtrr, uint32_t msr, uint64_t *value)
{
	const uint32_t variable = msr - MSR_VARIABLE;

	if (msr == MSR_MTRR_CAP)
		*value = CAPABILITIES;
	else if (msr == MSR_MTRR_DEF_TYPE)
		*value = mtrr->default_type;
	else if (variable < ARRAY_SIZE(mtrr->variable))
		*value = mtrr->variable[variable];
	else if (fixed_index(msr) < MTRR_FIXED)
		*value = mtrr->fixed[fixed_index(msr)];
	else
		return false;
	return true;
}

static bool write_variable(struct mtrr *mtrr, unsigned index, uint64_t value)
{
	const bool is_mask = index & 1;

	if (value & (mtrr->beyond | (is_mask ? MASK_RESERVED : BASE_RESERVED)))
		return false;
	if (!is_mask && !type_valid(value & TYPE_MASK))
		return false;
	mtrr->variable[index] = value;
	return true;
}

bool mtrr_write(struct mtrr *mtrr, uint32_t msr, uint64_t value)
{
	const uint32_t variable = msr - MSR_VARIABLE;

	if (variable < ARRAY_SIZE(mtrr->variable))
		return write_variable(mtrr, variable, value);
	if (msr == MSR_MTRR_DEF_TYPE) {
		if (value & ~DEFAULT_WRITABLE || !type_valid(value & TYPE_MASK))
			return false;
		mtrr->default_type = value;
		return true;
	}
	if (fixed_index(msr) == MTRR_FIXED || !types_valid(value))
		return false;
	mtrr->fixed[fixed_index(msr)] = value;
	return true;
}

void mtrr_reset(struct mtrr *mtrr, unsigned physical_bits)
{
	memset(mtrr, 0, sizeof(*mtrr));
	mtrr->beyond = physical_bits < 64 ? ~((1ull << physical_bits) - 1) : 0;
	mtrr->default_type = DEFAULT_ENABLE | DEFAULT_FIXED_ENABLE | TYPE_WRITE_BACK;
	for (unsigned i = 0; i < MTRR_FIXED; i++)
		mtrr->fixed[i] = ALL_WRITE_BACK;
	mtrr->fixed[FIXED_A0000] = TYPE_UNCACHED;
	mtrr->variable[0] = HOLE_BASE | TYPE_UNCACHED;
	mtrr->variable[1] = (~(HOLE_SIZE - 1) & ~mtrr->beyond) | MASK_VALID;
}
