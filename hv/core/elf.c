/*
 * ELF headers are a stranger's words: every offset and size is checked against the file and the memory before
 * a byte is copied.
 */
#include "hv/core/elf.h"
#include "hv/lib/string.h"

#define ELF_MAGIC      0x464C457Fu /* "\x7F" "ELF" */
#define ELF_CLASS_32   1
#define ELF_LITTLE     1
#define ELF_EXECUTABLE 2
#define ELF_386	       3
#define ELF_X86_64     62
#define ELF_LOAD       1
#define ELF_NOTE       4

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

static void read_program(const uint8_t *at, bool wide, uint32_t *type, struct elf_segment *segment)
{
	if (wide) {
		struct elf64_program program;

		memcpy(&program, at, sizeof(program));
		*type = program.type;
		*segment = (struct elf_segment){program.offset, program.physical_address, program.file_size,
						program.memory_size};
	} else {
		struct elf32_program program;

		memcpy(&program, at, sizeof(program));
		*type = program.type;
		*segment = (struct elf_segment){program.offset, program.physical_address, program.file_size,
						program.memory_size};
	}
}

static enum status check_segment(const struct image_request *request, const struct elf_segment *segment,
				 uint64_t memory_size, char message[IMAGE_MESSAGE])
{
	if (segment->file_size > segment->memory_size)
		return image_complain(message, "segment larger in the file than in memory",
				      segment->file_size, segment->memory_size);
	if (segment->offset > request->size || segment->file_size > request->size - segment->offset)
		return image_complain(message, "segment runs past the end of the file",
				      segment->offset + segment->file_size, request->size);
	if (segment->address > memory_size || segment->memory_size > memory_size - segment->address)
		return image_complain(message, "segment ends above the partition's memory",
				      segment->address + segment->memory_size, memory_size);
	return OK;
}

/* Notes are optional reading: what is not in the file is not there. */
static void keep_note(const struct image_request *request, const struct elf_segment *segment,
		      struct elf_image *image)
{
	if (segment->offset <= request->size && segment->file_size <= request->size - segment->offset &&
	    image->note_count < ELF_NOTES_MAX)
		image->note[image->note_count++] = *segment;
}

static enum status parse_programs(const struct image_request *request, bool wide, uint64_t table,
				  uint32_t count, uint64_t memory_size, struct elf_image *image,
				  char message[IMAGE_MESSAGE])
{
	uint64_t entry_size = wide ? sizeof(struct elf64_program) : sizeof(struct elf32_program);

	if (table > request->size || count * entry_size > request->size - table)
		return image_complain(message, "program headers run past the end of the file",
				      table + count * entry_size, request->size);
	for (uint32_t i = 0; i < count; i++) {
		struct elf_segment segment;
		uint32_t type;
		enum status status;

		read_program(request->file + table + i * entry_size, wide, &type, &segment);
		if (type == ELF_NOTE)
			keep_note(request, &segment, image);
		if (type != ELF_LOAD || segment.memory_size == 0)
			continue;
		if (image->count == ELF_SEGMENTS_MAX)
			return image_complain(message, "too many load segments", image->count + 1,
					      ELF_SEGMENTS_MAX);
		status = check_segment(request, &segment, memory_size, message);
		if (status)
			return status;
		image->segment[image->count++] = segment;
		image->end = MAX(image->end, segment.address + segment.memory_size);
	}
	if (image->count == 0)
		return image_complain(message, "no load segment in the ELF image", 0, 1);
	return OK;
}

enum status elf_parse(const struct image_request *request, uint64_t memory_size, struct elf_image *image,
		      char message[IMAGE_MESSAGE])
{
	struct elf64_header wide;
	struct elf32_header narrow;

	memset(image, 0, sizeof(*image));
	if (request->size < sizeof(wide))
		return image_complain(message, "file too short for an ELF header", request->size,
				      sizeof(wide));
	memcpy(&wide, request->file, sizeof(wide));
	memcpy(&narrow, request->file, sizeof(narrow));
	if (wide.ident.magic != ELF_MAGIC)
		return image_complain(message, "not an ELF file, first word", wide.ident.magic, ELF_MAGIC);
	if (wide.ident.data != ELF_LITTLE || wide.type != ELF_EXECUTABLE)
		return image_complain(message, "not a little-endian ELF executable, type", wide.type,
				      ELF_EXECUTABLE);
	if (wide.ident.class == ELF_CLASS_64 && wide.machine == ELF_X86_64) {
		if (wide.program_size != sizeof(struct elf64_program))
			return image_complain(message, "program header size", wide.program_size,
					      sizeof(struct elf64_program));
		image->entry = wide.entry;
		return parse_programs(request, true, wide.program_offset, wide.program_count, memory_size,
				      image, message);
	}
	if (wide.ident.class == ELF_CLASS_32 && narrow.machine == ELF_386) {
		if (narrow.program_size != sizeof(struct elf32_program))
			return image_complain(message, "program header size", narrow.program_size,
					      sizeof(struct elf32_program));
		image->entry = narrow.entry;
		return parse_programs(request, false, narrow.program_offset, narrow.program_count,
				      memory_size, image, message);
	}
	return image_complain(message, "not an x86 ELF, machine", wide.machine, ELF_X86_64);
}

enum status elf_check_entry(const struct elf_image *image, char message[IMAGE_MESSAGE])
{
	for (uint32_t i = 0; i < image->count; i++)
		if (image->entry - image->segment[i].address < image->segment[i].memory_size)
			return OK;
	return image_complain(message, "entry point in no segment, first one at", image->entry,
			      image->segment[0].address);
}

enum status elf_place(const struct image_request *request, const struct image_target *target,
		      const struct elf_image *image, char message[IMAGE_MESSAGE])
{
	for (uint32_t i = 0; i < image->count; i++) {
		const struct elf_segment *segment = &image->segment[i];
		uint8_t *to = target->reach(target->context, gpa(segment->address), segment->memory_size);

		if (!to)
			return image_complain(message, "segment outside the partition's memory",
					      segment->address, target->memory_size);
		memcpy(to, request->file + segment->offset, segment->file_size);
		memset(to + segment->file_size, 0, segment->memory_size - segment->file_size);
	}
	return OK;
}
