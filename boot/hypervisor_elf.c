/*
 * The hypervisor's ELF file: first every number in it is checked, then its segments are copied. Sources:
 * System V ABI, chapters 4 and 5, and its AMD64 supplement.
 */
#include <bulkhead/boot_info.h>
#include "boot/hypervisor_elf.h"
#include "hv/lib/string.h"
#include "hv/lib/types.h"

#define PAGE	    4096u
#define IMAGE_LIMIT (256 * MIB) /* far beyond any hypervisor; keeps all sums below free of overflow */

#define ELF_CLASS_64	  2
#define ELF_LITTLE_ENDIAN 1
#define ELF_VERSION	  1
#define ELF_EXECUTABLE	  2
#define ELF_X86_64	  62
#define ELF_LOAD	  1
#define ELF_FLAG_EXECUTE  1u

enum { IDENT_CLASS = 4, IDENT_DATA = 5, IDENT_VERSION = 6, IDENT_SIZE = 16 };

struct elf_header {
	uint8_t ident[IDENT_SIZE];
	uint16_t type;
	uint16_t machine;
	uint32_t version;
	uint64_t entry;
	uint64_t segment_offset;
	uint64_t section_offset;
	uint32_t flags;
	uint16_t header_size;
	uint16_t segment_header_size;
	uint16_t segment_count;
	uint16_t section_header_size;
	uint16_t section_count;
	uint16_t section_names;
};

struct elf_segment {
	uint32_t type;
	uint32_t flags;
	uint64_t offset;
	uint64_t virtual_address;
	uint64_t physical_address;
	uint64_t file_size;
	uint64_t memory_size;
	uint64_t alignment;
};

_Static_assert(sizeof(struct elf_header) == 64, "ELF64 file header");
_Static_assert(sizeof(struct elf_segment) == 56, "ELF64 program header");

/* The file may stand at any address: headers are copied out before they are looked at. */
static struct elf_segment segment_at(const void *file, const struct elf_header *header, uint32_t index)
{
	struct elf_segment segment;

	memcpy(&segment, (const uint8_t *)file + header->segment_offset + index * sizeof(segment),
	       sizeof(segment));
	return segment;
}

static const char *check_header(const struct elf_header *header, size_t size)
{
	static const uint8_t magic[] = {0x7F, 'E', 'L', 'F'};

	for (size_t i = 0; i < sizeof(magic); i++)
		if (header->ident[i] != magic[i])
			return "it is not an ELF file";
	if (header->ident[IDENT_CLASS] != ELF_CLASS_64 || header->ident[IDENT_DATA] != ELF_LITTLE_ENDIAN ||
	    header->ident[IDENT_VERSION] != ELF_VERSION)
		return "it is not a little-endian ELF64 file";
	if (header->machine != ELF_X86_64)
		return "it is not for x86-64";
	if (header->type != ELF_EXECUTABLE)
		return "it is not an executable with fixed addresses";
	if (header->segment_header_size != sizeof(struct elf_segment) || header->segment_count == 0)
		return "it has no program headers";
	if (header->segment_offset > size ||
	    header->segment_count * sizeof(struct elf_segment) > size - header->segment_offset)
		return "its program headers are cut off";
	return NULL;
}

/* `used` is the end of what earlier segments fill: they must stand in ascending order (System V ABI, chapter
 * 5). */
static const char *check_segment(const struct elf_segment *segment, size_t size, uint64_t used)
{
	if (segment->offset > size || segment->file_size > size - segment->offset)
		return "a segment is cut off";
	if (segment->file_size > segment->memory_size)
		return "a segment has more bytes in the file than in memory";
	if (segment->virtual_address < HV_IMAGE_BASE ||
	    segment->virtual_address - HV_IMAGE_BASE > IMAGE_LIMIT || segment->memory_size > IMAGE_LIMIT)
		return "a segment lies outside the hypervisor's address range";
	if (segment->virtual_address - HV_IMAGE_BASE < used)
		return "its segments overlap";
	return NULL;
}

static bool holds_entry(const struct elf_segment *segment, uint64_t entry)
{
	return (segment->flags & ELF_FLAG_EXECUTE) != 0 && entry >= segment->virtual_address &&
	       entry - segment->virtual_address < segment->file_size;
}

const char *elf_check(const void *file, size_t size, struct elf_image *image)
{
	struct elf_header header;
	const char *flaw;
	uint64_t used = 0;
	bool entry_is_code = false;

	if (size < sizeof(header))
		return "it is too short for an ELF file";
	memcpy(&header, file, sizeof(header));
	flaw = check_header(&header, size);

	for (uint32_t i = 0; flaw == NULL && i < header.segment_count; i++) {
		struct elf_segment segment = segment_at(file, &header, i);

		if (segment.type != ELF_LOAD || segment.memory_size == 0)
			continue;
		flaw = check_segment(&segment, size, used);
		used = segment.virtual_address - HV_IMAGE_BASE + segment.memory_size;
		entry_is_code |= holds_entry(&segment, header.entry);
	}
	if (flaw != NULL)
		return flaw;
	if (!entry_is_code)
		return "its entry point is not in an executable segment";

	*image = (struct elf_image){
		.file = file, .entry = header.entry, .image_size = ALIGN_UP(used, PAGE_SIZE)};
	return NULL;
}

void elf_load(const struct elf_image *image, void *to)
{
	uint8_t *bytes = to;
	struct elf_header header;

	memset(bytes, 0, image->image_size);
	memcpy(&header, image->file, sizeof(header));
	for (uint32_t i = 0; i < header.segment_count; i++) {
		struct elf_segment segment = segment_at(image->file, &header, i);

		if (segment.type == ELF_LOAD && segment.memory_size != 0)
			memcpy(bytes + (segment.virtual_address - HV_IMAGE_BASE),
			       image->file + segment.offset, segment.file_size);
	}
}
