/*
 * Linux by its own boot protocol (Documentation/x86/boot.rst, 2.12 and later): the kernel proper is entered
 * in 64-bit mode, 200h behind its start, on an identity map of the first 4 GiB, with the zero page in RSI.
 */
#include "hv/core/kernel.h"
#include "hv/lib/string.h"

#define SECTOR		      512u
#define DEFAULT_SETUP_SECTORS 4u
#define HEADER_AT	      0x1F1u
#define HEADER_MAGIC_AT	      0x202u
#define PROTOCOL_REQUIRED     0x020Cu /* 2.12: the first with xloadflags */
#define XLOAD_KERNEL_64	      (1u << 0)
#define LOADED_HIGH	      (1u << 0)
#define LOADER_UNDEFINED      0xFFu
#define ENTRY_64	      0x200u
#define IDENTITY_LIMIT	      (4 * GIB)

struct setup_header {
	uint8_t setup_sectors;
	uint16_t root_flags;
	uint32_t system_size;
	uint16_t ram_size, video_mode, root_device, boot_flag;
	uint8_t jump, size_above_magic;
	uint32_t magic;
	uint16_t version;
	uint32_t real_mode_switch;
	uint16_t start_system, kernel_version;
	uint8_t loader_type, load_flags;
	uint16_t move_size;
	uint32_t code32_start, ramdisk_start, ramdisk_size, boot_sector_list;
	uint16_t heap_end;
	uint8_t loader_version, loader_extended_type;
	uint32_t cmdline, initrd_highest, kernel_alignment;
	uint8_t relocatable, alignment_minimum;
	uint16_t extended_load_flags;
	uint32_t cmdline_longest, hardware_type;
	uint64_t hardware_data;
	uint32_t payload_offset, payload_size;
	uint64_t setup_data, preferred_start;
	uint32_t memory_needed, handover_offset, kernel_info_offset;
} PACKED;
_Static_assert(HEADER_AT + offsetof(struct setup_header, magic) == HEADER_MAGIC_AT, "boot.rst, the header");
_Static_assert(HEADER_AT + offsetof(struct setup_header, initrd_highest) == 0x22C, "boot.rst, the header");
_Static_assert(HEADER_AT + offsetof(struct setup_header, memory_needed) == 0x260, "boot.rst, the header");
_Static_assert(HEADER_AT + sizeof(struct setup_header) == 0x26C, "boot.rst, the header");

struct e820_entry {
	uint64_t start, size;
	uint32_t type;
} PACKED;

/* Documentation/x86/zero-page.rst. */
struct zero_page {
	uint8_t screen[0x70];
	uint64_t rsdp;
	uint8_t firmware[0x1E8 - 0x78];
	uint8_t e820_entries;
	uint8_t flags[HEADER_AT - 0x1E9];
	struct setup_header header;
	uint8_t disks[0x2D0 - 0x26C];
	struct e820_entry e820[128];
	uint8_t rest[PAGE_SIZE - 0xCD0];
} PACKED;
_Static_assert(offsetof(struct zero_page, rsdp) == 0x70, "zero-page.rst");
_Static_assert(offsetof(struct zero_page, header) == HEADER_AT, "zero-page.rst");
_Static_assert(offsetof(struct zero_page, e820) == 0x2D0, "zero-page.rst");
_Static_assert(sizeof(struct zero_page) == PAGE_SIZE, "zero-page.rst");

/* Where the protected-mode part of the file goes. */
struct placement {
	const uint8_t *code;
	uint64_t code_size;
	uint64_t start, end; /* GPA; with what the kernel needs to unpack itself */
};

/* The part of the header that the file has; fields that its protocol does not know stay 0. */
static enum status read_header(const struct image_request *request, struct setup_header *header,
			       char message[IMAGE_MESSAGE])
{
	uint64_t size;

	memset(header, 0, sizeof(*header));
	if (request->size < HEADER_AT + sizeof(*header))
		return image_complain(message, "bzImage too short for its header", request->size,
				      HEADER_AT + sizeof(*header));
	memcpy(header, request->file + HEADER_AT, sizeof(*header));
	size = offsetof(struct setup_header, magic) + header->size_above_magic;
	if (size < sizeof(*header))
		memset((uint8_t *)header + size, 0, sizeof(*header) - size);
	if (header->version < PROTOCOL_REQUIRED)
		return image_complain(message, "bzImage of an old boot protocol", header->version,
				      PROTOCOL_REQUIRED);
	if (!(header->extended_load_flags & XLOAD_KERNEL_64) || !(header->load_flags & LOADED_HIGH))
		return image_complain(message, "bzImage without a 64-bit entry, xloadflags",
				      header->extended_load_flags, XLOAD_KERNEL_64);
	return OK;
}

static enum status place_kernel(const struct image_request *request, const struct image_target *target,
				const struct setup_header *header, struct placement *place,
				char message[IMAGE_MESSAGE])
{
	const uint64_t sectors = header->setup_sectors ? header->setup_sectors : DEFAULT_SETUP_SECTORS;
	const uint64_t alignment = MAX(header->kernel_alignment, 1u);
	const uint64_t skip = (sectors + 1) * SECTOR, top = MIN(target->memory_size, IDENTITY_LIMIT);
	uint64_t need;

	if (request->size <= skip + ENTRY_64)
		return image_complain(message, "bzImage ends within its real-mode part", request->size,
				      skip + ENTRY_64 + 1);
	if (alignment & (alignment - 1))
		return image_complain(message, "bzImage with an alignment that is no power of two", alignment,
				      LARGE_PAGE_SIZE);
	place->code = request->file + skip;
	place->code_size = request->size - skip;
	need = MAX(header->memory_needed, place->code_size);
	place->start = header->preferred_start;
	if (header->relocatable && (place->start > top || need > top - place->start))
		place->start = ALIGN_UP(IMAGE_HIGH_START, alignment);
	if (place->start < IMAGE_HIGH_START)
		return image_complain(message, "bzImage wants to lie below the first MiB", place->start,
				      IMAGE_HIGH_START);
	if (place->start > top || need > top - place->start)
		return image_complain(message, "kernel needs more memory than the partition has, end",
				      place->start + need, top);
	place->end = place->start + need;
	return OK;
}

/* Entries of the boot tables (SDM 3A 4.5): present, writable, accessed, dirty, large. */
#define BOOT_TABLE	0x003u
#define BOOT_LARGE_PAGE 0x0E3u
#define TABLE_ENTRIES	512u
#define TABLES_PAGES	(2 + IDENTITY_LIMIT / GIB)

static void fill_tables(uint64_t *tables)
{
	uint64_t *pointers = tables + TABLE_ENTRIES, *directory = pointers + TABLE_ENTRIES;

	tables[0] = (KERNEL_TABLES_GPA + PAGE_SIZE) | BOOT_TABLE;
	for (uint64_t i = 0; i < IDENTITY_LIMIT / GIB; i++)
		pointers[i] = (KERNEL_TABLES_GPA + (2 + i) * PAGE_SIZE) | BOOT_TABLE;
	for (uint64_t i = 0; i < IDENTITY_LIMIT / LARGE_PAGE_SIZE; i++)
		directory[i] = (i * LARGE_PAGE_SIZE) | BOOT_LARGE_PAGE;
}

/* boot.rst, 64-bit protocol: code at selector 10h, data at 18h; flat, accessed (SDM 3A 3.4.5). */
static void fill_gdt(uint64_t *gdt)
{
	gdt[2] = 0x00AF9B000000FFFFull;
	gdt[3] = 0x00CF93000000FFFFull;
}
_Static_assert(START_LINUX_GDT_SIZE == 4 * sizeof(uint64_t), "null, null, code, data");

static void fill_zero_page(struct zero_page *page, const struct setup_header *header,
			   const struct image_request *request, const struct image_target *target,
			   uint64_t initrd)
{
	struct image_range ranges[IMAGE_RANGES];

	page->header = *header;
	page->header.loader_type = LOADER_UNDEFINED;
	page->header.ramdisk_start = (uint32_t)initrd;
	page->header.ramdisk_size = (uint32_t)request->initrd_size;
	page->header.cmdline = KERNEL_CMDLINE_GPA;
	page->header.setup_data = 0;
	page->rsdp = request->rsdp;
	page->e820_entries = (uint8_t)image_memory_map(target, ranges);
	for (uint32_t i = 0; i < page->e820_entries; i++)
		page->e820[i] = (struct e820_entry){ranges[i].start, ranges[i].size, ranges[i].type};
}

enum status kernel_load_bzimage(const struct image_request *request, const struct image_target *target,
				struct image_result *result, char message[IMAGE_MESSAGE])
{
	const uint64_t low_size = (KERNEL_TABLES_GPA - KERNEL_PARAMETERS_GPA) + TABLES_PAGES * PAGE_SIZE;
	uint8_t *low = target->reach(target->context, gpa(KERNEL_PARAMETERS_GPA), low_size), *code;
	struct setup_header header;
	struct placement place = {0};
	uint64_t initrd;
	enum status status = read_header(request, &header, message);

	if (!status)
		status = place_kernel(request, target, &header, &place, message);
	if (!status)
		status = kernel_place_cmdline(request, target, header.cmdline_longest, message);
	if (!status)
		status = kernel_place_initrd(request, target, place.end, (uint64_t)header.initrd_highest + 1,
					     &initrd, message);
	if (status)
		return status;
	code = target->reach(target->context, gpa(place.start), place.code_size);
	if (!low || !code)
		return image_complain(message, "no memory for the kernel", target->memory_size, place.end);
	memcpy(code, place.code, place.code_size);
	memset(low, 0, low_size);
	fill_zero_page((void *)low, &header, request, target, initrd);
	fill_gdt((void *)(low + KERNEL_GDT_GPA - KERNEL_PARAMETERS_GPA));
	fill_tables((void *)(low + KERNEL_TABLES_GPA - KERNEL_PARAMETERS_GPA));
	*result = (struct image_result){.start = {.kind = START_LINUX,
						  .entry = place.start + ENTRY_64,
						  .context = KERNEL_PARAMETERS_GPA,
						  .cr3 = KERNEL_TABLES_GPA,
						  .gdt = KERNEL_GDT_GPA}};
	return OK;
}
