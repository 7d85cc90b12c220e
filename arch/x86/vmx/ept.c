/*
 * EPT: second-level tables from guest-physical to host-physical addresses (SDM 3C 29.3), as a format of the
 * common page-table code, and what keeps cached translations true. The memory type of RAM is ours alone
 * (ignore-PAT): whatever a guest's PAT says, a frame is never cached in two ways at once.
 */
#include "arch/x86/vmx/vmx.h"
#include "hv/lib/log.h"

#define EPT_READ       (1ull << 0)
#define EPT_WRITE      (1ull << 1)
#define EPT_EXECUTE    (1ull << 2)
#define EPT_ACCESS     (EPT_READ | EPT_WRITE | EPT_EXECUTE)
#define EPT_TYPE_SHIFT 3
#define EPT_TYPE       (7ull << EPT_TYPE_SHIFT)
#define EPT_IGNORE_PAT (1ull << 6)
#define EPT_LARGE      (1ull << 7)
#define EPT_FRAME      0x000FFFFFFFFFF000ull

#define EPTP_WALK_LENGTH (3ull << 3) /* levels less one */
#define EPT_LEVELS	 4
#define INDEX_BITS	 9
#define TABLE_ENTRIES	 (1u << INDEX_BITS)

/* Write or execute without read would be a misconfiguration (29.3.3.1), so any access includes reading. */
static uint64_t ept_leaf(hpa_t frame, uint32_t flags, unsigned level)
{
	uint64_t entry = frame.value | EPT_READ;

	if (flags & MAP_WRITE)
		entry |= EPT_WRITE;
	if (flags & MAP_EXECUTE)
		entry |= EPT_EXECUTE;
	if (flags & MAP_UNCACHED)
		entry |= (uint64_t)MEMORY_TYPE_UC << EPT_TYPE_SHIFT;
	else if (flags & MAP_WRITE_COMBINING)
		entry |= (uint64_t)MEMORY_TYPE_WC << EPT_TYPE_SHIFT;
	else
		entry |= (uint64_t)MEMORY_TYPE_WB << EPT_TYPE_SHIFT;
	entry |= EPT_IGNORE_PAT;
	return level > 1 ? entry | EPT_LARGE : entry;
}

static uint32_t ept_flags(uint64_t entry)
{
	uint32_t flags = 0;

	if (entry & EPT_READ)
		flags |= MAP_READ;
	if (entry & EPT_WRITE)
		flags |= MAP_WRITE;
	if (entry & EPT_EXECUTE)
		flags |= MAP_EXECUTE;
	if ((entry & EPT_TYPE) >> EPT_TYPE_SHIFT == MEMORY_TYPE_UC)
		flags |= MAP_UNCACHED;
	if ((entry & EPT_TYPE) >> EPT_TYPE_SHIFT == MEMORY_TYPE_WC)
		flags |= MAP_WRITE_COMBINING;
	return flags;
}

const struct page_format ept_format = {
	.name = "EPT",
	.leaf = ept_leaf,
	.table_bits = EPT_ACCESS,
	.present_bits = EPT_ACCESS,
	.large_bit = EPT_LARGE,
	.flags = ept_flags,
};

uint64_t ept_pointer(hpa_t root)
{
	return root.value | EPTP_WALK_LENGTH | MEMORY_TYPE_WB;
}

void ept_invalidate(const struct vmx_controls *controls, hpa_t root)
{
	const struct {
		uint64_t pointer, reserved;
	} descriptor = {ept_pointer(root), 0};
	uint64_t type = controls->ept_caps & EPT_CAP_INVEPT_SINGLE ? INVALIDATE_SINGLE : INVALIDATE_ALL;

	__asm__ volatile("invept %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
}

/* Without VPID every entry and exit flushes by itself. */
void vpid_invalidate(const struct vmx_controls *controls)
{
	const struct {
		uint64_t vpid, address;
	} descriptor = {VMX_VPID, 0};
	uint64_t type = controls->ept_caps & EPT_CAP_INVVPID_SINGLE ? INVALIDATE_SINGLE : INVALIDATE_ALL;

	if (controls->secondary & SECONDARY_VPID)
		__asm__ volatile("invvpid %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
}

void ept_log_walk(const struct page_map *map, gpa_t address)
{
	hpa_t table = map->root;

	for (unsigned level = EPT_LEVELS; level > 0; level--) {
		unsigned shift = PAGE_SHIFT + INDEX_BITS * (level - 1);
		unsigned index = (unsigned)(address.value >> shift) % TABLE_ENTRIES;
		uint64_t entry = map->source->reach(table)[index];

		log_error("  EPT level %u: table %llx entry %u is %llx", level,
			  (unsigned long long)table.value, index, (unsigned long long)entry);
		if (!(entry & EPT_ACCESS) || (entry & EPT_LARGE))
			return;
		table = hpa(entry & EPT_FRAME);
	}
}
