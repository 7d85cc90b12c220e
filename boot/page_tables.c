/*
 * The tables that carry the machine from the loader into the hypervisor: all memory at its own address, and
 * the hypervisor's image at its link address. Source: Intel SDM 3A, 4.5; AMD APM 2, 5.3.
 */
#include <cpuid.h>

#include "boot/loader.h"

#define ENTRIES		 512u
#define TABLE_SIZE	 PAGE_SIZE
#define ENTRY_PRESENT	 (1ull << 0)
#define ENTRY_WRITABLE	 (1ull << 1)
#define ENTRY_LARGE	 (1ull << 7)
#define ENTRY_ADDRESS	 0x000FFFFFFFFFF000ull
#define SHIFT_LEVEL_4	 39
#define SHIFT_LEVEL_3	 30
#define SHIFT_LEVEL_2	 21
#define IDENTITY_MINIMUM 4u /* GiB */
#define FIXED_TABLES                                                                                         \
	5u /* the top one, two below it for the image, one spare each for low and high memory                \
	    */

#define CPUID_EXTENDED	  0x80000001u
#define CPUID_GIANT_PAGES (1u << 26)
#define CR4_LA57	  (1ull << 12)

struct pool {
	uint64_t *next;
	uint64_t *end;
};

static uint64_t *take_table(struct pool *pool)
{
	uint64_t *table = pool->next;

	if (table == pool->end)
		fail("report this as a mistake in the loader",
		     "the boot page tables need more than was reserved");
	for (uint32_t i = 0; i < ENTRIES; i++)
		table[i] = 0;
	pool->next += ENTRIES;
	return table;
}

static uint64_t *entry_of(uint64_t *table, uint64_t address, uint32_t shift)
{
	return &table[(address >> shift) % ENTRIES];
}

static uint64_t *table_below(struct pool *pool, uint64_t *entry)
{
	if ((*entry & ENTRY_PRESENT) == 0)
		*entry = (uint64_t)take_table(pool) | ENTRY_PRESENT | ENTRY_WRITABLE;
	return (uint64_t *)(*entry & ENTRY_ADDRESS);
}

static void map_large(struct pool *pool, uint64_t *top, uint64_t address, uint64_t target)
{
	uint64_t *level_3 = table_below(pool, entry_of(top, address, SHIFT_LEVEL_4));
	uint64_t *level_2 = table_below(pool, entry_of(level_3, address, SHIFT_LEVEL_3));

	*entry_of(level_2, address, SHIFT_LEVEL_2) = target | ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_LARGE;
}

/* One GiB at its own address. Doing it twice changes nothing. */
static void map_gib(struct pool *pool, uint64_t *top, uint64_t address, bool giant_pages)
{
	if (giant_pages) {
		uint64_t *level_3 = table_below(pool, entry_of(top, address, SHIFT_LEVEL_4));

		*entry_of(level_3, address, SHIFT_LEVEL_3) =
			address | ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_LARGE;
		return;
	}
	for (uint64_t offset = 0; offset < GIANT_PAGE_SIZE; offset += LARGE_PAGE_SIZE)
		map_large(pool, top, address + offset, address + offset);
}

static uint64_t first_gib(uint64_t address)
{
	return address / GIANT_PAGE_SIZE;
}

static uint64_t gibs_touched(uint64_t start, uint64_t size)
{
	return size == 0 ? 0 : first_gib(start + size - 1) - first_gib(start) + 1;
}

static void map_range(struct pool *pool, uint64_t *top, uint64_t start, uint64_t size, bool giant_pages)
{
	uint64_t count = gibs_touched(start, size);

	for (uint64_t i = 0; i < count; i++)
		map_gib(pool, top, (first_gib(start) + i) * GIANT_PAGE_SIZE, giant_pages);
}

/* Never too few: every GiB may need a table of its own, and every 512 GiB one above it. */
static uint64_t tables_needed(const struct boot_info *info, bool giant_pages)
{
	uint64_t gibs = IDENTITY_MINIMUM + gibs_touched(info->framebuffer.start, info->framebuffer.size);
	uint64_t regions = info->memory_count + 2;

	for (uint32_t i = 0; i < info->memory_count; i++)
		gibs += gibs_touched(info->memory[i].start, info->memory[i].size);
	regions += gibs / ENTRIES;
	return FIXED_TABLES + regions + (giant_pages ? 0 : gibs);
}

static bool has_giant_pages(void)
{
	uint32_t eax, ebx, ecx, edx;

	return __get_cpuid(CPUID_EXTENDED, &eax, &ebx, &ecx, &edx) && (edx & CPUID_GIANT_PAGES) != 0;
}

static void refuse_five_levels(void)
{
	uint64_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	if (cr4 & CR4_LA57)
		fail("switch off 5-level paging (LA57) in the firmware's setup",
		     "the firmware runs with 5-level paging, expected 4 levels");
}

/* Wants info->memory filled; memory taken from here on must lie below its highest address, as it does. */
void page_tables_build(struct boot_info *info)
{
	bool giant_pages = has_giant_pages();
	uint64_t count = tables_needed(info, giant_pages);
	struct pool pool;
	uint64_t *top;

	refuse_five_levels();
	/* Below 4 GiB: the other CPUs load CR3 before they are in 64-bit mode. */
	pool.next = pages_take(count * TABLE_SIZE, BELOW_4_GIB, BOOT_MEM_LOADER, "the boot page tables");
	pool.end = pool.next + count * ENTRIES;

	top = take_table(&pool);
	map_range(&pool, top, 0, IDENTITY_MINIMUM * GIANT_PAGE_SIZE, giant_pages);
	map_range(&pool, top, info->framebuffer.start, info->framebuffer.size, giant_pages);
	for (uint32_t i = 0; i < info->memory_count; i++)
		map_range(&pool, top, info->memory[i].start, info->memory[i].size, giant_pages);
	for (uint64_t offset = 0; offset < info->image_size; offset += LARGE_PAGE_SIZE)
		map_large(&pool, top, HV_IMAGE_BASE + offset, info->image_start + offset);
	info->boot_cr3 = (uint64_t)top;
}
