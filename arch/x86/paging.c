/*
 * The hypervisor's own tables. One map holds what all CPUs share; a CPU's map holds its per-CPU area, and
 * links to the shared tables below it: the image's whole directory, and the pool's and the devices' page
 * tables.
 */
#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "hv/mem/pool.h"

/* Bits of an entry (SDM 3A tables 4-15 to 4-20, APM 2 5.4.1). Accessed and dirty are set from the start:
 * nobody asks. */
#define ENTRY_PRESENT  (1ull << 0)
#define ENTRY_WRITE    (1ull << 1)
#define ENTRY_PWT      (1ull << 3)
#define ENTRY_PCD      (1ull << 4)
#define ENTRY_ACCESSED (1ull << 5)
#define ENTRY_DIRTY    (1ull << 6)
#define ENTRY_LARGE    (1ull << 7)
#define ENTRY_NX       (1ull << 63)
#define ENTRY_FRAME    0x000FFFFFFFFFF000ull

#define TABLE_ENTRIES	      512
#define SHIFT_LEVEL_4	      39
#define SHIFT_LEVEL_3	      30
#define SHIFT_LEVEL_2	      21
#define INDEX(address, shift) ((address) >> (shift) & (TABLE_ENTRIES - 1))

#define WINDOWS_FIRST INDEX(GUEST_WINDOW, SHIFT_LEVEL_4)
#define WINDOWS_END   INDEX(IMAGE_BASE, SHIFT_LEVEL_4)

/* 2 MiB pages at most: every 64-bit CPU has them. */
#define HOST_MAX_LEVEL 2

static struct page_map shared_map;
static uint64_t device_next = DEVICE_BASE;

/* The memory type is by the PAT as cpu_set_controls() programs it: PWT alone is write-combining. */
static uint64_t host_leaf(hpa_t frame, uint32_t flags, unsigned level)
{
	uint64_t entry = frame.value | ENTRY_PRESENT | ENTRY_ACCESSED | ENTRY_DIRTY;

	if (flags & MAP_WRITE)
		entry |= ENTRY_WRITE;
	if (!(flags & MAP_EXECUTE))
		entry |= ENTRY_NX;
	if (flags & MAP_UNCACHED)
		entry |= ENTRY_PCD | ENTRY_PWT;
	else if (flags & MAP_WRITE_COMBINING)
		entry |= ENTRY_PWT;
	return level > 1 ? entry | ENTRY_LARGE : entry;
}

static uint32_t host_flags(uint64_t entry)
{
	uint32_t flags = MAP_READ;

	if (entry & ENTRY_WRITE)
		flags |= MAP_WRITE;
	if (!(entry & ENTRY_NX))
		flags |= MAP_EXECUTE;
	if (entry & ENTRY_PCD)
		flags |= MAP_UNCACHED;
	else if (entry & ENTRY_PWT)
		flags |= MAP_WRITE_COMBINING;
	return flags;
}

const struct page_format host_format = {
	.name = "host",
	.leaf = host_leaf,
	.table_bits = ENTRY_PRESENT | ENTRY_WRITE | ENTRY_ACCESSED,
	.present_bits = ENTRY_PRESENT,
	.large_bit = ENTRY_LARGE,
	.flags = host_flags,
};

static uint64_t *table_below(uint64_t entry)
{
	return pool_reach(hpa(entry & ENTRY_FRAME));
}

/* The table of the uppermost 512 GiB: the image, the per-CPU area, the pool and the devices are all in it. */
static uint64_t *upper_table(hpa_t root)
{
	const uint64_t *top = pool_reach(root);

	return table_below(top[INDEX(IMAGE_BASE, SHIFT_LEVEL_4)]);
}

static uint64_t *area_directory(hpa_t root)
{
	return table_below(upper_table(root)[INDEX(PERCPU_BASE, SHIFT_LEVEL_3)]);
}

/* Links a CPU to the shared tables; again whenever those have got new ones. Entries only ever appear: nothing
 * to flush. */
static void link_shared(hpa_t root)
{
	uint64_t image = INDEX(IMAGE_BASE, SHIFT_LEVEL_3);
	uint64_t end = INDEX(DEVICE_BASE + DEVICE_SIZE - 1, SHIFT_LEVEL_2);
	const uint64_t *from = area_directory(shared_map.root);
	uint64_t *to = area_directory(root);

	upper_table(root)[image] = upper_table(shared_map.root)[image];
	for (uint64_t i = INDEX(POOL_BASE, SHIFT_LEVEL_2); i <= end; i++)
		to[i] = from[i];
}

static enum status map_section(const struct boot_info *boot, const char *start, const char *end,
			       uint32_t flags)
{
	uint64_t from = (uint64_t)start, to = ALIGN_UP((uint64_t)end, PAGE_SIZE);

	return page_map_add(&shared_map, from, hpa(boot->image_start + (from - IMAGE_BASE)), to - from,
			    flags);
}

enum status paging_create(const struct boot_info *boot, hpa_t pool, uint64_t pool_bytes)
{
	enum status status = page_map_create(&shared_map, &host_format, &pool_pages, HOST_MAX_LEVEL);

	if (!status)
		status = map_section(boot, image_text_start, image_text_end, MAP_READ | MAP_EXECUTE);
	if (!status)
		status = map_section(boot, image_rodata_start, image_rodata_end, MAP_READ);
	if (!status)
		status = map_section(boot, image_data_start, image_end, MAP_READ | MAP_WRITE);
	if (!status)
		status = page_map_add(&shared_map, POOL_BASE, pool, pool_bytes, MAP_READ | MAP_WRITE);
	return status;
}

enum status paging_create_cpu(const struct percpu_frames *frames, hpa_t *cr3)
{
	const uint64_t stack = STACK_TOP - STACK_PAGES * PAGE_SIZE;
	const uint64_t fault_stack = FAULT_STACK_TOP - FAULT_STACK_PAGES * PAGE_SIZE;
	const uint32_t flags = MAP_READ | MAP_WRITE;
	struct page_map map;
	enum status status = page_map_create(&map, &host_format, &pool_pages, HOST_MAX_LEVEL);

	if (!status)
		status = page_map_add(&map, PERCPU_BASE, frames->area, PERCPU_PAGES * PAGE_SIZE, flags);
	if (!status)
		status = page_map_add(&map, stack, frames->stack, STACK_PAGES * PAGE_SIZE, flags);
	if (!status)
		status = page_map_add(&map, fault_stack, frames->fault_stack, FAULT_STACK_PAGES * PAGE_SIZE,
				      flags);
	if (!status)
		link_shared(map.root);
	*cr3 = map.root;
	return status;
}

void *device_map(hpa_t device, uint64_t size, uint32_t flags)
{
	uint64_t first = ALIGN_DOWN(device.value, PAGE_SIZE), last = ALIGN_UP(device.value + size, PAGE_SIZE);
	uint64_t place = device_next;

	/* A large device is put where large pages fit. */
	if (last - first >= LARGE_PAGE_SIZE)
		place = ALIGN_UP(place, LARGE_PAGE_SIZE) + first % LARGE_PAGE_SIZE;
	if (size == 0 || last < first || place + (last - first) > DEVICE_BASE + DEVICE_SIZE)
		return NULL;
	if (page_map_add(&shared_map, place, hpa(first), last - first, flags))
		return NULL;
	device_next = place + (last - first);
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		if (cpus[cpu].cr3.value)
			link_shared(cpus[cpu].cr3);
	return (void *)(place + device.value % PAGE_SIZE);
}

enum status cpu_open_window(uint32_t cpu, struct page_map *window)
{
	if (cpu >= cpu_count || !cpus[cpu].cr3.value)
		return ERR_INVALID;
	*window = (struct page_map){.format = &host_format,
				    .source = &pool_pages,
				    .root = cpus[cpu].cr3,
				    .max_level = HOST_MAX_LEVEL};
	return OK;
}

enum status cpu_attach_window(uint32_t cpu, const struct page_map *window)
{
	const uint64_t *from = pool_reach(window->root);
	uint64_t *to;

	if (cpu >= cpu_count || !cpus[cpu].cr3.value)
		return ERR_INVALID;
	to = pool_reach(cpus[cpu].cr3);
	for (uint64_t i = WINDOWS_FIRST; i < WINDOWS_END; i++)
		to[i] = from[i];
	return OK;
}

struct region {
	uint64_t start, end;
	const char *name;
};

/* The first that holds an address is its name. */
static const struct region regions[] = {
	{0, PAGE_SIZE, "the null page"},
	{GUEST_WINDOW, MODULE_WINDOW, "guest window"},
	{MODULE_WINDOW, IMAGE_BASE, "module window"},
	{(uint64_t)image_text_start, (uint64_t)image_text_end, "the image's code"},
	{(uint64_t)image_rodata_start, (uint64_t)image_rodata_end, "the image's constants"},
	{(uint64_t)image_data_start, (uint64_t)image_end, "the image's data"},
	{PERCPU_BASE, PERCPU_BASE + PERCPU_PAGES *PAGE_SIZE, "per-CPU area"},
	{STACK_TOP - (STACK_PAGES + 1) * PAGE_SIZE, STACK_TOP - STACK_PAGES *PAGE_SIZE,
	 "guard page below the stack"},
	{STACK_TOP - STACK_PAGES * PAGE_SIZE, STACK_TOP, "the stack"},
	{STACK_TOP, STACK_TOP + PAGE_SIZE, "guard page above the stack, below the fault stack"},
	{STACK_TOP + PAGE_SIZE, FAULT_STACK_TOP, "the fault stack"},
	{FAULT_STACK_TOP, FAULT_STACK_TOP + PAGE_SIZE, "guard page above the fault stack"},
	{POOL_BASE, POOL_BASE + POOL_MAX_SIZE, "pool"},
	{DEVICE_BASE, DEVICE_BASE + DEVICE_SIZE, "devices"},
};

const char *paging_region(uint64_t address)
{
	for (size_t i = 0; i < ARRAY_SIZE(regions); i++)
		if (address >= regions[i].start && address < regions[i].end)
			return regions[i].name;
	return "nowhere in the hypervisor's address space";
}
