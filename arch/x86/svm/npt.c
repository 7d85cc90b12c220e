/*
 * Nested page tables: the format of the hypervisor's own 4-level tables (APM 2 15.25.5, 5.3), walked as if by
 * a user program, so that U/S is set at every level. The CPU uses the hypervisor's PAT, EFER.NXE and CR4 for
 * them.
 */
#include "arch/x86/svm/svm.h"

#define NPT_PRESENT	  (1ull << 0)
#define NPT_WRITE	  (1ull << 1)
#define NPT_USER	  (1ull << 2)
#define NPT_WRITE_THROUGH (1ull << 3)
#define NPT_CACHE_DISABLE (1ull << 4)
#define NPT_ACCESSED	  (1ull << 5)
#define NPT_DIRTY	  (1ull << 6)
#define NPT_LARGE	  (1ull << 7)
#define NPT_NO_EXECUTE	  (1ull << 63)

/* PAT entry 3, which is UC after reset and in the hypervisor's PAT. */
#define NPT_UNCACHED (NPT_WRITE_THROUGH | NPT_CACHE_DISABLE)

static uint64_t npt_leaf(hpa_t frame, uint32_t flags, unsigned level)
{
	/* Accessed and dirty from the start: nobody reads them, so the CPU need not write them. */
	uint64_t entry = frame.value | NPT_PRESENT | NPT_USER | NPT_ACCESSED | NPT_DIRTY;

	if (level > 1)
		entry |= NPT_LARGE;
	if (flags & MAP_WRITE)
		entry |= NPT_WRITE;
	if (!(flags & MAP_EXECUTE))
		entry |= NPT_NO_EXECUTE;
	if (flags & (MAP_UNCACHED | MAP_WRITE_COMBINING))
		entry |= NPT_UNCACHED;
	return entry;
}

static uint32_t npt_flags(uint64_t entry)
{
	uint32_t flags = MAP_READ;

	if (entry & NPT_WRITE)
		flags |= MAP_WRITE;
	if (!(entry & NPT_NO_EXECUTE))
		flags |= MAP_EXECUTE;
	if ((entry & NPT_UNCACHED) == NPT_UNCACHED)
		flags |= MAP_UNCACHED;
	return flags;
}

const struct page_format npt_format = {
	.name = "NPT",
	.leaf = npt_leaf,
	.table_bits = NPT_PRESENT | NPT_WRITE | NPT_USER | NPT_ACCESSED,
	.present_bits = NPT_PRESENT,
	.large_bit = NPT_LARGE,
	.flags = npt_flags,
};
