/*
 * Images of our own guests' kinds: Multiboot 1 (specification 0.6.96) for full partitions, plain ELF64 for
 * para ones; checked against everything a file can lie about, then laid into guest memory.
 */
#include <bulkhead/abi.h>
#include <bulkhead/config.h>

#include "hv/core/elf.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

enum status image_complain(char message[IMAGE_MESSAGE], const char *text, uint64_t found, uint64_t expected)
{
	format(message, IMAGE_MESSAGE, "%s: found 0x%llx, expected 0x%llx", text, (unsigned long long)found,
	       (unsigned long long)expected);
	return ERR_FORMAT;
}

/* Multiboot 0.6.96, 3.1: the header lies 4-aligned in the first 8192 bytes of the file. */
#define MULTIBOOT_SEARCH      8192u
#define MULTIBOOT_MAGIC	      0x1BADB002u
#define MULTIBOOT_PAGE_ALIGN  (1u << 0)
#define MULTIBOOT_MEMORY_INFO (1u << 1)
#define MULTIBOOT_REQUIRED    0xFFFFu /* flags 15:0: a loader that does not know one must refuse */

/* 3.3: the information structure, and where we place it: the page below the boot sector's classic place. */
#define MULTIBOOT_INFO_GPA    0x7000u
#define MULTIBOOT_CMDLINE_GPA 0x7400u
#define MULTIBOOT_MAP_GPA     0x7200u
#define MULTIBOOT_NAME_GPA    0x7300u
#define MULTIBOOT_IMAGE_FLOOR 0x8000u /* segments below would overwrite it */
#define MULTIBOOT_HAS_MEMORY  (1u << 0)
#define MULTIBOOT_HAS_CMDLINE (1u << 2)
#define MULTIBOOT_HAS_MAP     (1u << 6)
#define MULTIBOOT_HAS_NAME    (1u << 9)

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, symbols[4],
		mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
};

struct multiboot_map {
	uint32_t size; /* of what follows */
	uint64_t address, length;
	uint32_t type;
} PACKED;

static enum status find_multiboot_header(const struct image_request *request, char message[IMAGE_MESSAGE])
{
	for (uint64_t at = 0; at + 12 <= MIN(request->size, MULTIBOOT_SEARCH); at += 4) {
		uint32_t header[3]; /* magic, flags, checksum */

		memcpy(header, request->file + at, sizeof(header));
		if (header[0] != MULTIBOOT_MAGIC || header[0] + header[1] + header[2] != 0)
			continue;
		if (header[1] & MULTIBOOT_REQUIRED & ~(MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO))
			return image_complain(message, "Multiboot header requires what is not offered, flags",
					      header[1], MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO);
		return OK;
	}
	format(message, IMAGE_MESSAGE, "no Multiboot header in the first %u bytes (expected 0x%x, 4-aligned)",
	       MULTIBOOT_SEARCH, MULTIBOOT_MAGIC);
	return ERR_FORMAT;
}

uint32_t image_memory_map(const struct image_target *target, struct image_range map[IMAGE_RANGES])
{
	uint32_t count = 0;

	map[count++] = (struct image_range){0, IMAGE_LOW_END, IMAGE_RAM};
	map[count++] = (struct image_range){IMAGE_LOW_END, IMAGE_HIGH_START - IMAGE_LOW_END, IMAGE_RESERVED};
	map[count++] =
		(struct image_range){IMAGE_HIGH_START, target->memory_size - IMAGE_HIGH_START, IMAGE_RAM};
	if (target->high_memory_size)
		map[count++] = (struct image_range){4 * GIB, target->high_memory_size, IMAGE_RAM};
	return count;
}

static uint32_t fill_multiboot_map(struct multiboot_map *map, const struct image_target *target)
{
	struct image_range ranges[IMAGE_RANGES];
	const uint32_t count = image_memory_map(target, ranges);

	for (uint32_t i = 0; i < count; i++)
		map[i] = (struct multiboot_map){sizeof(*map) - sizeof(map->size), ranges[i].start,
						ranges[i].size, ranges[i].type};
	return count * (uint32_t)sizeof(*map);
}

/* Below would be the Multiboot information, above the firmware's tables. */
static enum status check_places(const struct elf_image *image, char message[IMAGE_MESSAGE])
{
	for (uint32_t i = 0; i < image->count; i++) {
		const struct elf_segment *segment = &image->segment[i];

		if (segment->address < MULTIBOOT_IMAGE_FLOOR)
			return image_complain(message, "segment below the Multiboot information",
					      segment->address, MULTIBOOT_IMAGE_FLOOR);
		if (segment->address < IMAGE_HIGH_START &&
		    segment->address + segment->memory_size > IMAGE_LOW_END)
			return image_complain(message, "segment where a PC has no memory, end",
					      segment->address + segment->memory_size, IMAGE_LOW_END);
	}
	return OK;
}

enum status image_load_multiboot(const struct image_request *request, const struct image_target *target,
				 struct image_result *result, char message[IMAGE_MESSAGE])
{
	struct elf_image image;
	struct multiboot_info *info;
	uint8_t *page;
	enum status status = find_multiboot_header(request, message);

	if (!status)
		status = elf_parse(request, target->memory_size, &image, message);
	if (status)
		return status;
	status = check_places(&image, message);
	if (!status)
		status = elf_check_entry(&image, message);
	if (!status)
		status = elf_place(request, target, &image, message);
	if (status)
		return status;

	page = target->reach(target->context, gpa(MULTIBOOT_INFO_GPA), PAGE_SIZE);
	if (!page)
		return image_complain(message, "no memory for the Multiboot information", target->memory_size,
				      MULTIBOOT_IMAGE_FLOOR);
	info = (void *)page;
	*info = (struct multiboot_info){
		.flags =
			MULTIBOOT_HAS_MEMORY | MULTIBOOT_HAS_CMDLINE | MULTIBOOT_HAS_MAP | MULTIBOOT_HAS_NAME,
		.mem_lower = (uint32_t)(IMAGE_LOW_END / KIB),
		.mem_upper = (uint32_t)((target->memory_size - IMAGE_HIGH_START) / KIB),
		.cmdline = MULTIBOOT_CMDLINE_GPA,
		.mmap_addr = MULTIBOOT_MAP_GPA,
		.boot_loader_name = MULTIBOOT_NAME_GPA,
	};
	info->mmap_length =
		fill_multiboot_map((void *)(page + MULTIBOOT_MAP_GPA - MULTIBOOT_INFO_GPA), target);
	string_copy((char *)page + MULTIBOOT_NAME_GPA - MULTIBOOT_INFO_GPA, "Bulkhead", 16);
	string_copy((char *)page + MULTIBOOT_CMDLINE_GPA - MULTIBOOT_INFO_GPA, request->cmdline,
		    CONFIG_CMDLINE_SIZE);
	*result = (struct image_result){
		.start = {.kind = START_PROTECTED, .entry = image.entry, .context = MULTIBOOT_INFO_GPA}};
	return OK;
}

/* Entries of the boot tables (SDM 3A 4.5): present, writable, accessed, dirty, large. */
#define BOOT_TABLE	0x003u
#define BOOT_LARGE_PAGE 0x0E3u
#define TABLE_ENTRIES	512u

/* Identity-maps GPA 0 .. memory_size with 2 MiB pages; `at` is the GPA of `tables`, boot_table_pages() long.
 */
static void fill_boot_tables(uint64_t *tables, uint64_t at, uint64_t memory_size)
{
	uint64_t directories = (memory_size + GIB - 1) / GIB;
	uint64_t pointers = (directories + TABLE_ENTRIES - 1) / TABLE_ENTRIES;
	uint64_t *pml4 = tables, *pdpt = pml4 + TABLE_ENTRIES, *pd = pdpt + pointers * TABLE_ENTRIES;

	for (uint64_t i = 0; i < pointers; i++)
		pml4[i] = (at + (1 + i) * PAGE_SIZE) | BOOT_TABLE;
	for (uint64_t i = 0; i < directories; i++)
		pdpt[i] = (at + (1 + pointers + i) * PAGE_SIZE) | BOOT_TABLE;
	for (uint64_t i = 0; i * LARGE_PAGE_SIZE < memory_size; i++)
		pd[i] = (i * LARGE_PAGE_SIZE) | BOOT_LARGE_PAGE;
}

static uint64_t boot_table_pages(uint64_t memory_size)
{
	uint64_t directories = (memory_size + GIB - 1) / GIB;

	return 1 + (directories + TABLE_ENTRIES - 1) / TABLE_ENTRIES + directories;
}

/* Behind the image: boot tables, a page with the start record and the command line, a page of PV time
 * records. */
enum status image_load_para(const struct image_request *request, const struct image_target *target,
			    struct image_result *result, char message[IMAGE_MESSAGE])
{
	const uint64_t stolen_pages =
		ALIGN_UP(request->vcpu_count * (uint64_t)PV_TIME_STRIDE, PAGE_SIZE) / PAGE_SIZE;
	const uint64_t mapped = ALIGN_UP(target->memory_size, LARGE_PAGE_SIZE) + target->share_size;
	uint64_t tables, table_pages = boot_table_pages(mapped), record;
	struct elf_image image;
	struct bh_start *start;
	uint8_t *placed;
	enum status status = elf_parse(request, target->memory_size, &image, message);

	if (status)
		return status;
	if (request->file[4] != ELF_CLASS_64)
		return image_complain(message, "a para image is ELF64, class", request->file[4],
				      ELF_CLASS_64);
	status = elf_check_entry(&image, message);
	if (status)
		return status;
	tables = ALIGN_UP(image.end, PAGE_SIZE);
	record = tables + table_pages * PAGE_SIZE;
	placed = target->reach(target->context, gpa(tables), (table_pages + 1 + stolen_pages) * PAGE_SIZE);
	if (!placed)
		return image_complain(message, "no room for the boot tables above the image, memory",
				      target->memory_size, record + (1 + stolen_pages) * PAGE_SIZE);
	status = elf_place(request, target, &image, message);
	if (status)
		return status;

	fill_boot_tables((void *)placed, tables, mapped);
	start = (void *)(placed + table_pages * PAGE_SIZE);
	*start = (struct bh_start){.magic = BH_START_MAGIC,
				   .size = sizeof(*start),
				   .vcpu_count = request->vcpu_count,
				   .memory_size = target->memory_size,
				   .free_start = record + (1 + stolen_pages) * PAGE_SIZE,
				   .cmdline = record + sizeof(*start),
				   .tsc_khz = request->tsc_khz,
				   .partition_id = request->partition_id};
	string_copy(start->name, request->name, sizeof(start->name));
	string_copy((char *)(start + 1), request->cmdline, CONFIG_CMDLINE_SIZE);
	*result = (struct image_result){
		.start = {.kind = START_LONG, .entry = image.entry, .context = record, .cr3 = tables},
		.stolen_time = record + PAGE_SIZE};
	return OK;
}
