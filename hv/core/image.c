/*
 * Guest images: checked against everything a file can lie about, then laid into guest memory.
 * Multiboot 1 (specification 0.6.96) for full partitions, plain ELF64 (System V gABI, chapter 4 and 5) for
 * para ones.
 */
#include <bulkhead/abi.h>
#include <bulkhead/config.h>

#include "hv/core/image.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

#define ELF_MAGIC      0x464C457Fu /* "\x7F" "ELF" */
#define ELF_CLASS_32   1
#define ELF_CLASS_64   2
#define ELF_LITTLE     1
#define ELF_EXECUTABLE 2
#define ELF_386	       3
#define ELF_X86_64     62
#define ELF_LOAD       1
#define SEGMENTS_MAX   32

struct elf_ident {
	uint32_t magic;
	uint8_t class, data, version, padding[9];
};

struct elf32_header {
	struct elf_ident ident;
	uint16_t type, machine;
	uint32_t version, entry, program_offset, section_offset, flags;
	uint16_t header_size, program_size, program_count, section_size, section_count, names;
};

struct elf64_header {
	struct elf_ident ident;
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, program_offset, section_offset;
	uint32_t flags;
	uint16_t header_size, program_size, program_count, section_size, section_count, names;
};

struct elf32_program {
	uint32_t type, offset, virtual_address, physical_address, file_size, memory_size, flags, align;
};

struct elf64_program {
	uint32_t type, flags;
	uint64_t offset, virtual_address, physical_address, file_size, memory_size, align;
};
_Static_assert(sizeof(struct elf32_header) == 52 && sizeof(struct elf64_header) == 64, "gABI, figure 4-3");
_Static_assert(sizeof(struct elf32_program) == 32 && sizeof(struct elf64_program) == 56, "gABI, figure 5-1");

/* What both classes come down to. */
struct load_segment {
	uint64_t offset, address, file_size, memory_size;
};

struct elf_image {
	uint64_t entry;
	uint64_t end; /* first address above the highest segment */
	uint32_t count;
	struct load_segment segment[SEGMENTS_MAX];
};

static enum status complain(char message[IMAGE_MESSAGE], const char *text, uint64_t found, uint64_t expected)
{
	format(message, IMAGE_MESSAGE, "%s: found 0x%llx, expected 0x%llx", text, (unsigned long long)found,
	       (unsigned long long)expected);
	return ERR_FORMAT;
}

static void read_program(const uint8_t *at, bool wide, uint32_t *type, struct load_segment *segment)
{
	if (wide) {
		struct elf64_program program;

		memcpy(&program, at, sizeof(program));
		*type = program.type;
		*segment = (struct load_segment){program.offset, program.physical_address, program.file_size,
						 program.memory_size};
	} else {
		struct elf32_program program;

		memcpy(&program, at, sizeof(program));
		*type = program.type;
		*segment = (struct load_segment){program.offset, program.physical_address, program.file_size,
						 program.memory_size};
	}
}

static enum status check_segment(const struct image_request *request, const struct load_segment *segment,
				 uint64_t memory_size, char message[IMAGE_MESSAGE])
{
	if (segment->file_size > segment->memory_size)
		return complain(message, "segment larger in the file than in memory", segment->file_size,
				segment->memory_size);
	if (segment->offset > request->size || segment->file_size > request->size - segment->offset)
		return complain(message, "segment runs past the end of the file",
				segment->offset + segment->file_size, request->size);
	if (segment->address > memory_size || segment->memory_size > memory_size - segment->address)
		return complain(message, "segment ends above the partition's memory",
				segment->address + segment->memory_size, memory_size);
	return OK;
}

static enum status parse_programs(const struct image_request *request, bool wide, uint64_t table,
				  uint32_t count, uint64_t memory_size, struct elf_image *image,
				  char message[IMAGE_MESSAGE])
{
	uint64_t entry_size = wide ? sizeof(struct elf64_program) : sizeof(struct elf32_program);

	if (table > request->size || count * entry_size > request->size - table)
		return complain(message, "program headers run past the end of the file",
				table + count * entry_size, request->size);
	for (uint32_t i = 0; i < count; i++) {
		struct load_segment segment;
		uint32_t type;
		enum status status;

		read_program(request->file + table + i * entry_size, wide, &type, &segment);
		if (type != ELF_LOAD || segment.memory_size == 0)
			continue;
		if (image->count == SEGMENTS_MAX)
			return complain(message, "too many load segments", image->count + 1, SEGMENTS_MAX);
		status = check_segment(request, &segment, memory_size, message);
		if (status)
			return status;
		image->segment[image->count++] = segment;
		image->end = MAX(image->end, segment.address + segment.memory_size);
	}
	if (image->count == 0)
		return complain(message, "no load segment in the ELF image", 0, 1);
	return OK;
}

static enum status parse_elf(const struct image_request *request, uint64_t memory_size,
			     struct elf_image *image, char message[IMAGE_MESSAGE])
{
	struct elf64_header wide;
	struct elf32_header narrow;

	memset(image, 0, sizeof(*image));
	if (request->size < sizeof(wide))
		return complain(message, "file too short for an ELF header", request->size, sizeof(wide));
	memcpy(&wide, request->file, sizeof(wide));
	memcpy(&narrow, request->file, sizeof(narrow));
	if (wide.ident.magic != ELF_MAGIC)
		return complain(message, "not an ELF file, first word", wide.ident.magic, ELF_MAGIC);
	if (wide.ident.data != ELF_LITTLE || wide.type != ELF_EXECUTABLE)
		return complain(message, "not a little-endian ELF executable, type", wide.type,
				ELF_EXECUTABLE);
	if (wide.ident.class == ELF_CLASS_64 && wide.machine == ELF_X86_64) {
		if (wide.program_size != sizeof(struct elf64_program))
			return complain(message, "program header size", wide.program_size,
					sizeof(struct elf64_program));
		image->entry = wide.entry;
		return parse_programs(request, true, wide.program_offset, wide.program_count, memory_size,
				      image, message);
	}
	if (wide.ident.class == ELF_CLASS_32 && narrow.machine == ELF_386) {
		if (narrow.program_size != sizeof(struct elf32_program))
			return complain(message, "program header size", narrow.program_size,
					sizeof(struct elf32_program));
		image->entry = narrow.entry;
		return parse_programs(request, false, narrow.program_offset, narrow.program_count,
				      memory_size, image, message);
	}
	return complain(message, "not an x86 ELF, machine", wide.machine, ELF_X86_64);
}

static enum status check_entry(const struct elf_image *image, char message[IMAGE_MESSAGE])
{
	for (uint32_t i = 0; i < image->count; i++)
		if (image->entry - image->segment[i].address < image->segment[i].memory_size)
			return OK;
	return complain(message, "entry point in no segment, first one at", image->entry,
			image->segment[0].address);
}

static enum status place_segments(const struct image_request *request, const struct image_target *target,
				  const struct elf_image *image, char message[IMAGE_MESSAGE])
{
	for (uint32_t i = 0; i < image->count; i++) {
		const struct load_segment *segment = &image->segment[i];
		uint8_t *to = target->reach(target->context, gpa(segment->address), segment->memory_size);

		if (!to)
			return complain(message, "segment outside the partition's memory", segment->address,
					target->memory_size);
		memcpy(to, request->file + segment->offset, segment->file_size);
		memset(to + segment->file_size, 0, segment->memory_size - segment->file_size);
	}
	return OK;
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
#define MULTIBOOT_RAM	      1u
#define MULTIBOOT_RESERVED    2u
#define LOW_MEMORY_END	      0xA0000u
#define HIGH_MEMORY_START     0x100000u

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
			return complain(message, "Multiboot header requires what is not offered, flags",
					header[1], MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO);
		return OK;
	}
	format(message, IMAGE_MESSAGE, "no Multiboot header in the first %u bytes (expected 0x%x, 4-aligned)",
	       MULTIBOOT_SEARCH, MULTIBOOT_MAGIC);
	return ERR_FORMAT;
}

static uint32_t fill_multiboot_map(struct multiboot_map *map, const struct image_target *target)
{
	const uint32_t size = sizeof(*map) - sizeof(map->size);
	uint32_t count = 0;

	map[count++] = (struct multiboot_map){size, 0, LOW_MEMORY_END, MULTIBOOT_RAM};
	map[count++] = (struct multiboot_map){size, LOW_MEMORY_END, HIGH_MEMORY_START - LOW_MEMORY_END,
					      MULTIBOOT_RESERVED};
	map[count++] = (struct multiboot_map){size, HIGH_MEMORY_START,
					      target->memory_size - HIGH_MEMORY_START, MULTIBOOT_RAM};
	if (target->high_memory_size)
		map[count++] = (struct multiboot_map){size, 4 * GIB, target->high_memory_size, MULTIBOOT_RAM};
	return count * (uint32_t)sizeof(*map);
}

enum status image_load_multiboot(const struct image_request *request, const struct image_target *target,
				 struct image_result *result, char message[IMAGE_MESSAGE])
{
	struct elf_image image;
	struct multiboot_info *info;
	uint8_t *page;
	enum status status = find_multiboot_header(request, message);

	if (!status)
		status = parse_elf(request, target->memory_size, &image, message);
	if (status)
		return status;
	for (uint32_t i = 0; i < image.count; i++)
		if (image.segment[i].address < MULTIBOOT_IMAGE_FLOOR)
			return complain(message, "segment below the Multiboot information",
					image.segment[i].address, MULTIBOOT_IMAGE_FLOOR);
	status = check_entry(&image, message);
	if (!status)
		status = place_segments(request, target, &image, message);
	if (status)
		return status;

	page = target->reach(target->context, gpa(MULTIBOOT_INFO_GPA), PAGE_SIZE);
	if (!page)
		return complain(message, "no memory for the Multiboot information", target->memory_size,
				MULTIBOOT_IMAGE_FLOOR);
	info = (void *)page;
	*info = (struct multiboot_info){
		.flags =
			MULTIBOOT_HAS_MEMORY | MULTIBOOT_HAS_CMDLINE | MULTIBOOT_HAS_MAP | MULTIBOOT_HAS_NAME,
		.mem_lower = (uint32_t)(LOW_MEMORY_END / KIB),
		.mem_upper = (uint32_t)((target->memory_size - HIGH_MEMORY_START) / KIB),
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
		.start = {.kind = START_MULTIBOOT, .entry = image.entry, .context = MULTIBOOT_INFO_GPA}};
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
	uint64_t tables, table_pages = boot_table_pages(target->memory_size), record;
	struct elf_image image;
	struct bh_start *start;
	uint8_t *placed;
	enum status status = parse_elf(request, target->memory_size, &image, message);

	if (status)
		return status;
	if (request->file[4] != ELF_CLASS_64)
		return complain(message, "a para image is ELF64, class", request->file[4], ELF_CLASS_64);
	status = check_entry(&image, message);
	if (status)
		return status;
	tables = ALIGN_UP(image.end, PAGE_SIZE);
	record = tables + table_pages * PAGE_SIZE;
	placed = target->reach(target->context, gpa(tables), (table_pages + 1 + stolen_pages) * PAGE_SIZE);
	if (!placed)
		return complain(message, "no room for the boot tables above the image, memory",
				target->memory_size, record + (1 + stolen_pages) * PAGE_SIZE);
	status = place_segments(request, target, &image, message);
	if (status)
		return status;

	fill_boot_tables((void *)placed, tables, target->memory_size);
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
