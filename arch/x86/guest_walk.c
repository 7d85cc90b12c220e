/*
 * A guest's linear address to its guest-physical address, as the guest's own CR0, CR3, CR4 and EFER say: no
 * paging, 32-bit (SDM 3A 4.3), PAE (4.4), 4-level or 5-level paging (4.5), then the access rights (4.6) and,
 * where refused, the error code (4.7).
 */
#include "arch/x86/guest_walk.h"

#define LEGACY_TOP_SHIFT   22
#define LEGACY_INDEX_MASK  0x3FFu
#define LEGACY_FRAME	   0xFFFFF000u
#define LEGACY_LARGE_FRAME 0xFFC00000u
#define PSE36_HIGH_BITS	   0x001FE000u /* bits 20:13 of a 4 MiB entry are address bits 39:32 */
#define PSE36_HIGH_SHIFT   19
#define LEGACY_LINEAR_MASK 0xFFFFFFFFull

static uint32_t access_bits(const struct guest_paging *paging)
{
	const bool fetch_shown = paging->fetch && ((paging->efer & EFER_NXE) || (paging->cr4 & CR4_SMEP));

	return (paging->write ? FAULT_WRITE : 0) | (paging->user ? FAULT_USER : 0) |
	       (fetch_shown ? FAULT_FETCH : 0);
}

static enum status walk_legacy(const struct guest_paging *paging, uint64_t linear, guest_read_fn *read,
			       void *context, struct guest_leaf *leaf)
{
	const uint64_t directory = paging->cr3 & LEGACY_FRAME;
	uint32_t upper = 0, lower = 0;

	if (!read(context, gpa(directory + ((linear >> LEGACY_TOP_SHIFT) & LEGACY_INDEX_MASK) * 4), &upper,
		  4))
		return ERR_RANGE;
	if (!(upper & ENTRY_PRESENT))
		return ERR_NOT_FOUND;
	if ((upper & ENTRY_LARGE) && (paging->cr4 & CR4_PSE)) {
		const uint64_t high = (uint64_t)(upper & PSE36_HIGH_BITS) << PSE36_HIGH_SHIFT;

		*leaf = (struct guest_leaf){.granted = upper,
					    .address = high | (upper & LEGACY_LARGE_FRAME) |
						       (linear & ~LEGACY_LARGE_FRAME)};
		return OK;
	}
	if (!read(context, gpa((upper & LEGACY_FRAME) + ((linear >> PAGE_SHIFT) & LEGACY_INDEX_MASK) * 4),
		  &lower, 4))
		return ERR_RANGE;
	if (!(lower & ENTRY_PRESENT))
		return ERR_NOT_FOUND;
	*leaf = (struct guest_leaf){.granted = upper & lower,
				    .address = (lower & LEGACY_FRAME) | (linear & (PAGE_SIZE - 1))};
	return OK;
}

/* The rights of SDM 3A 4.6.1; shadow stacks are not offered to guests. */
static bool allowed(const struct guest_paging *paging, const struct guest_leaf *leaf)
{
	const bool user_page = leaf->granted & ENTRY_USER;

	if (paging->user && !user_page)
		return false;
	if (paging->write && !(leaf->granted & ENTRY_WRITE) && (paging->user || (paging->cr0 & CR0_WP)))
		return false;
	if (paging->fetch && (leaf->denied & ENTRY_NO_EXECUTE))
		return false;
	if (paging->user || !user_page)
		return true;
	if (paging->fetch)
		return !(paging->cr4 & CR4_SMEP);
	return !(paging->cr4 & CR4_SMAP) || paging->alignment_check;
}

#define KEY_NO_ACCESS 1u
#define KEY_NO_WRITE  2u

/* SDM 3A 4.6.2: data on user pages, whoever reaches for it. */
static bool key_allows(const struct guest_paging *paging, const struct guest_leaf *leaf)
{
	const uint32_t rights = paging->pkru >> 2 * leaf->key;

	if (!(paging->cr4 & CR4_PKE) || !(paging->efer & EFER_LMA) || !(leaf->granted & ENTRY_USER) ||
	    paging->fetch)
		return true;
	if (rights & KEY_NO_ACCESS)
		return false;
	return !paging->write || !(rights & KEY_NO_WRITE) || (!paging->user && !(paging->cr0 & CR0_WP));
}

enum status guest_translate(const struct guest_paging *paging, uint64_t linear, guest_read_fn *read,
			    void *context, gpa_t *address, uint32_t *error)
{
	struct guest_leaf leaf;
	enum status status;

	*error = access_bits(paging);
	if (!(paging->efer & EFER_LMA))
		linear &= LEGACY_LINEAR_MASK;
	if (!(paging->cr0 & CR0_PG)) {
		*address = gpa(linear);
		return OK;
	}
	if ((paging->efer & EFER_LMA) && (paging->cr4 & CR4_LA57))
		status = guest_walk(paging->cr3 & ENTRY_FRAME, FIVE_LEVELS, linear, read, context, &leaf);
	else if (paging->efer & EFER_LMA)
		status = guest_walk(paging->cr3 & ENTRY_FRAME, LONG_LEVELS, linear, read, context, &leaf);
	else if (paging->cr4 & CR4_PAE)
		status = guest_walk(paging->cr3 & PAE_CR3_MASK, PAE_LEVELS, linear, read, context, &leaf);
	else
		status = walk_legacy(paging, linear, read, context, &leaf);
	if (status != OK)
		return status;
	if ((leaf.denied & ENTRY_NO_EXECUTE) && !(paging->efer & EFER_NXE)) {
		*error |= FAULT_PROTECTION | FAULT_RESERVED;
		return ERR_NOT_FOUND;
	}
	if (!allowed(paging, &leaf))
		*error |= FAULT_PROTECTION;
	if (!key_allows(paging, &leaf))
		*error |= FAULT_PROTECTION | FAULT_KEY;
	if (*error & FAULT_PROTECTION)
		return ERR_NOT_FOUND;
	*address = gpa(leaf.address);
	return OK;
}
