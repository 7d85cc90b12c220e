/*
 * Kernels that name a PVH entry (Xen's "x86/HVM direct boot ABI"): an ELF whose Xen note 18 holds a 32-bit
 * address, entered in flat 32-bit protected mode without paging, EBX pointing to hvm_start_info.
 */
#include "hv/core/elf.h"
#include "hv/core/kernel.h"
#include "hv/lib/string.h"

#define NOTE_PHYS32_ENTRY    18u
#define START_INFO_MAGIC     0x336EC578u /* "xEn3", bit 31 of the E set */
#define START_INFO_VERSION   1u		 /* with a memory map */
#define CMDLINE_LONGEST	     2047u	 /* what Linux takes on x86; others say nothing */
#define INITRD_LIMIT	     (2 * GIB)	 /* 32-bit pointers of the entry code, some of them signed */
#define PARAMETERS_MAP_AT    0x100u
#define PARAMETERS_MODULE_AT 0x80u

struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, cmdline, rsdp, map;
	uint32_t map_entries, reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "hvm_start_info, version 1");

struct module_entry {
	uint64_t start, size, cmdline, reserved;
};

struct map_entry {
	uint64_t start, size;
	uint32_t type, reserved;
};
_Static_assert(sizeof(struct module_entry) == 32 && sizeof(struct map_entry) == 24,
	       "hvm_modlist_entry, memmap");

struct note_header {
	uint32_t name_size, content_size, type;
};

static uint64_t aligned_note(uint64_t size)
{
	return ALIGN_UP(size, 4ull);
}

/* The entry that one note segment names; false: none. */
static bool find_entry(const uint8_t *notes, uint64_t size, uint64_t *entry)
{
	static const char xen[] = "Xen";
	struct note_header note;

	while (size >= sizeof(note)) {
		uint64_t whole;

		memcpy(&note, notes, sizeof(note));
		whole = sizeof(note) + aligned_note(note.name_size) + aligned_note(note.content_size);
		if (whole > size)
			return false;
		if (note.type == NOTE_PHYS32_ENTRY && note.name_size == sizeof(xen) &&
		    memcmp(notes + sizeof(note), xen, sizeof(xen)) == 0 &&
		    note.content_size >= sizeof(uint32_t)) {
			uint32_t address;

			memcpy(&address, notes + sizeof(note) + aligned_note(note.name_size),
			       sizeof(address));
			*entry = address;
			return true;
		}
		notes += whole;
		size -= whole;
	}
	return false;
}

static enum status use_pvh_entry(const struct image_request *request, struct elf_image *image,
				 char message[IMAGE_MESSAGE])
{
	for (uint32_t i = 0; i < image->note_count; i++)
		if (find_entry(request->file + image->note[i].offset, image->note[i].file_size,
			       &image->entry))
			return elf_check_entry(image, message);
	return image_complain(message, "kernel ELF without a PVH entry: Xen notes of type 18", 0, 1);
}

static enum status check_places(const struct elf_image *image, char message[IMAGE_MESSAGE])
{
	for (uint32_t i = 0; i < image->count; i++)
		if (image->segment[i].address < IMAGE_HIGH_START)
			return image_complain(message, "kernel segment below the first MiB",
					      image->segment[i].address, IMAGE_HIGH_START);
	return OK;
}

static void fill_start_info(uint8_t *page, const struct image_request *request,
			    const struct image_target *target, uint64_t initrd)
{
	struct module_entry *module = (void *)(page + PARAMETERS_MODULE_AT);
	struct map_entry *map = (void *)(page + PARAMETERS_MAP_AT);
	struct image_range ranges[IMAGE_RANGES];
	uint32_t count = image_memory_map(target, ranges);

	*(struct start_info *)page =
		(struct start_info){.magic = START_INFO_MAGIC,
				    .version = START_INFO_VERSION,
				    .module_count = request->initrd_size ? 1 : 0,
				    .modules = KERNEL_PARAMETERS_GPA + PARAMETERS_MODULE_AT,
				    .cmdline = KERNEL_CMDLINE_GPA,
				    .rsdp = request->rsdp,
				    .map = KERNEL_PARAMETERS_GPA + PARAMETERS_MAP_AT,
				    .map_entries = count};
	*module = (struct module_entry){.start = initrd, .size = request->initrd_size};
	for (uint32_t i = 0; i < count; i++)
		map[i] = (struct map_entry){ranges[i].start, ranges[i].size, ranges[i].type, 0};
}

enum status kernel_load_pvh(const struct image_request *request, const struct image_target *target,
			    struct image_result *result, char message[IMAGE_MESSAGE])
{
	struct elf_image image;
	uint64_t initrd;
	uint8_t *page = target->reach(target->context, gpa(KERNEL_PARAMETERS_GPA), PAGE_SIZE);
	enum status status = elf_parse(request, target->memory_size, &image, message);

	if (!status)
		status = use_pvh_entry(request, &image, message);
	if (!status)
		status = check_places(&image, message);
	if (!status)
		status = kernel_place_cmdline(request, target, CMDLINE_LONGEST, message);
	if (!status)
		status = elf_place(request, target, &image, message);
	if (!status)
		status = kernel_place_initrd(request, target, ALIGN_UP(image.end, PAGE_SIZE), INITRD_LIMIT,
					     &initrd, message);
	if (status)
		return status;
	if (!page)
		return image_complain(message, "no memory for the start information", target->memory_size,
				      KERNEL_PARAMETERS_GPA + PAGE_SIZE);
	memset(page, 0, PAGE_SIZE);
	fill_start_info(page, request, target, initrd);
	*result = (struct image_result){
		.start = {.kind = START_PROTECTED, .entry = image.entry, .context = KERNEL_PARAMETERS_GPA}};
	return OK;
}
