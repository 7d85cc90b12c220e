/*
 * Memory: pages taken from the firmware, and the table that tells the hypervisor what every piece of memory
 * is.
 *
 * The firmware knows the loader's pages only as "loader data". What must be kept is noted here when it is
 * taken and marked in the table at the end; everything else of the loader's is free for the hypervisor.
 */
#include "boot/loader.h"
#include "boot/memory_table.h"

#define KEPT_MAX	(2 * CONFIG_MAX_PARTITIONS + 8) /* two files each, and the loader's own */
#define MAP_SLACK	(16 * KIB) /* the map grows by the buffer's own entry, and with every event */
#define ADVICE_MEMORY	"give the machine more memory, or name smaller images in bulkhead.cfg"
#define ADVICE_FIRMWARE "update the firmware; this is its memory map"

struct kept {
	uint64_t start;
	uint64_t size;
	enum boot_memory_kind kind;
};

static struct kept kept[KEPT_MAX];
static uint32_t kept_count;

static EFI_MEMORY_DESCRIPTOR *map;
static UINTN map_room;

static void *allocate(EFI_ALLOCATE_TYPE type, uint64_t size, EFI_PHYSICAL_ADDRESS address,
		      const char *purpose)
{
	UINTN count = ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE;
	EFI_STATUS status = firmware->BootServices->AllocatePages(type, EfiLoaderData, count, &address);

	if (EFI_ERROR(status))
		fail(ADVICE_MEMORY, "no memory for %s: %lu KiB%s: %s", purpose, to_kib(size),
		     type == AllocateMaxAddress ? " at a low address" : "", status_name(status));
	return (void *)address;
}

void pages_keep(const void *start, uint64_t size, enum boot_memory_kind kind)
{
	if (kept_count == KEPT_MAX)
		fail("report this as a mistake in the loader", "more than %u pieces of memory to keep",
		     KEPT_MAX);
	kept[kept_count++] =
		(struct kept){.start = (uint64_t)start, .size = ALIGN_UP(size, PAGE_SIZE), .kind = kind};
}

void *pages_take_scratch(uint64_t size, const char *purpose)
{
	return allocate(AllocateAnyPages, size, 0, purpose);
}

void *pages_take(uint64_t size, uint64_t highest, enum boot_memory_kind kind, const char *purpose)
{
	void *start = allocate(AllocateMaxAddress, size, highest, purpose);

	pages_keep(start, size, kind);
	return start;
}

/* UEFI 2.10, table 7.10: what may be done with each type of memory after ExitBootServices(). */
static enum boot_memory_kind kind_of(uint32_t type)
{
	static const enum boot_memory_kind kinds[EfiMaxMemoryType] = {
		[EfiReservedMemoryType] = BOOT_MEM_RESERVED,
		[EfiLoaderCode] = BOOT_MEM_FREE,
		[EfiLoaderData] = BOOT_MEM_FREE,
		[EfiBootServicesCode] = BOOT_MEM_FREE,
		[EfiBootServicesData] = BOOT_MEM_FREE,
		[EfiRuntimeServicesCode] = BOOT_MEM_RUNTIME,
		[EfiRuntimeServicesData] = BOOT_MEM_RUNTIME,
		[EfiConventionalMemory] = BOOT_MEM_FREE,
		[EfiUnusableMemory] = BOOT_MEM_RESERVED,
		[EfiACPIReclaimMemory] = BOOT_MEM_ACPI,
		[EfiACPIMemoryNVS] = BOOT_MEM_ACPI,
		[EfiMemoryMappedIO] = BOOT_MEM_MMIO,
		[EfiMemoryMappedIOPortSpace] = BOOT_MEM_MMIO,
		[EfiPalCode] = BOOT_MEM_RESERVED,
	};

	return type < EfiMaxMemoryType ? kinds[type] : BOOT_MEM_RESERVED;
}

static const EFI_MEMORY_DESCRIPTOR *descriptor_at(UINTN offset)
{
	return (const EFI_MEMORY_DESCRIPTOR *)((const uint8_t *)map + offset);
}

static void reserve_map_buffer(void)
{
	UINTN key, step;
	UINT32 version;
	UINTN size = 0;

	firmware->BootServices->GetMemoryMap(&size, NULL, &key, &step, &version);
	map_room = size + MAP_SLACK;
	map = pages_take_scratch(map_room, "the memory map");
}

/* The firmware's map as it is now, in map[]. */
static EFI_STATUS read_map(UINTN *key, UINTN *step, UINTN *size)
{
	UINT32 version;

	if (map == NULL)
		reserve_map_buffer();
	*size = map_room;
	return firmware->BootServices->GetMemoryMap(size, map, key, step, &version);
}

/* The highest aligned place for `size` bytes in a piece of free memory; 0 when there is none. */
static uint64_t aligned_place(const EFI_MEMORY_DESCRIPTOR *entry, uint64_t size, uint64_t highest)
{
	uint64_t end = entry->PhysicalStart + entry->NumberOfPages * PAGE_SIZE, start;

	end = MIN(end, highest + 1);
	if (entry->Type != EfiConventionalMemory || end < size)
		return 0;
	start = ALIGN_DOWN(end - size, LARGE_PAGE_SIZE);
	return start >= entry->PhysicalStart ? start : 0;
}

/*
 * The firmware aligns to 4 KiB only, so the place is chosen from its map: what is taken besides would be
 * missed where memory is full of holes.
 */
void *pages_take_large(uint64_t size, enum boot_memory_kind kind, const char *purpose)
{
	UINTN key, step, map_size;
	uint64_t place = 0;

	if (EFI_ERROR(read_map(&key, &step, &map_size)))
		fail("update the firmware", "the firmware does not tell its memory map");
	for (UINTN offset = 0; offset + step <= map_size; offset += step)
		place = MAX(place, aligned_place(descriptor_at(offset), size, BELOW_4_GIB));
	if (place == 0)
		fail(ADVICE_MEMORY, "no memory for %s: %lu KiB at a multiple of 2 MiB below 4 GiB", purpose,
		     to_kib(size));
	allocate(AllocateAddress, size, place, purpose);
	pages_keep((void *)place, size, kind);
	return (void *)place;
}

/* Free memory first: where a broken map overlaps itself, the more careful word wins. */
static bool claim_map(struct boot_info *info, UINTN map_size, UINTN step, bool free)
{
	for (UINTN offset = 0; offset + step <= map_size; offset += step) {
		const EFI_MEMORY_DESCRIPTOR *entry = descriptor_at(offset);
		enum boot_memory_kind kind = kind_of(entry->Type);

		if ((kind == BOOT_MEM_FREE) != free)
			continue;
		if (!memory_table_claim(info, entry->PhysicalStart, entry->NumberOfPages * PAGE_SIZE, kind,
					(entry->Attribute & EFI_MEMORY_WB) != 0))
			return false;
	}
	return true;
}

static bool claim_kept(struct boot_info *info)
{
	for (uint32_t i = 0; i < kept_count; i++)
		if (!memory_table_claim(info, kept[i].start, kept[i].size, kept[i].kind, true))
			return false;
	/* A page at address 0 would look like no page at all, and old firmware keeps its interrupt table
	 * there. */
	return memory_table_claim(info, 0, PAGE_SIZE, BOOT_MEM_RESERVED, true);
}

EFI_STATUS pages_describe(struct boot_info *info, UINTN *key)
{
	UINTN step, size;
	EFI_STATUS status = read_map(key, &step, &size);

	if (EFI_ERROR(status))
		return status;

	memory_table_clear(info);
	if (!claim_map(info, size, step, true) || !claim_map(info, size, step, false) || !claim_kept(info))
		fail(ADVICE_FIRMWARE,
		     "the memory map of the firmware has %lu entries, more than %u pieces of memory "
		     "that must be kept",
		     size / step, BOOT_MAX_MEMORY);
	return EFI_SUCCESS;
}
