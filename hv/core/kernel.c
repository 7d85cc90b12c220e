/*
 * A kernel file names its own kind in its first bytes; what both kinds are given is laid out here.
 */
#include <bulkhead/config.h>

#include "hv/core/kernel.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

#define BZIMAGE_MAGIC_AT 0x202u
#define BZIMAGE_MAGIC	 0x53726448u /* "HdrS" */
#define ELF_MAGIC	 0x464C457Fu /* "\x7F" "ELF" */

static uint32_t word_at(const struct image_request *request, uint64_t offset)
{
	uint32_t word = 0;

	if (request->size >= offset + sizeof(word))
		memcpy(&word, request->file + offset, sizeof(word));
	return word;
}

enum status image_load_kernel(const struct image_request *request, const struct image_target *target,
			      struct image_result *result, char message[IMAGE_MESSAGE])
{
	if (word_at(request, BZIMAGE_MAGIC_AT) == BZIMAGE_MAGIC)
		return kernel_load_bzimage(request, target, result, message);
	if (word_at(request, 0) == ELF_MAGIC)
		return kernel_load_pvh(request, target, result, message);
	format(message, IMAGE_MESSAGE,
	       "neither a Linux bzImage (found 0x%x at 0x%x, expected 0x%x) nor an ELF (found 0x%x at 0)",
	       word_at(request, BZIMAGE_MAGIC_AT), BZIMAGE_MAGIC_AT, BZIMAGE_MAGIC, word_at(request, 0));
	return ERR_FORMAT;
}

enum status kernel_place_initrd(const struct image_request *request, const struct image_target *target,
				uint64_t floor, uint64_t limit, uint64_t *address,
				char message[IMAGE_MESSAGE])
{
	uint64_t end = MIN(target->memory_size, limit);
	uint8_t *to;

	*address = 0;
	if (request->initrd_size == 0)
		return OK;
	if (floor > end || request->initrd_size > end - floor)
		return image_complain(message, "no room for the initrd above the kernel, size",
				      request->initrd_size, floor > end ? 0 : end - floor);
	*address = ALIGN_DOWN(end - request->initrd_size, PAGE_SIZE);
	to = *address < floor ? NULL : target->reach(target->context, gpa(*address), request->initrd_size);
	if (!to)
		return image_complain(message, "no room for the initrd above the kernel, start", *address,
				      floor);
	memcpy(to, request->initrd, request->initrd_size);
	return OK;
}

enum status kernel_place_cmdline(const struct image_request *request, const struct image_target *target,
				 uint64_t longest, char message[IMAGE_MESSAGE])
{
	char ours[KERNEL_CMDLINE_OURS] = "";
	char *to = target->reach(target->context, gpa(KERNEL_CMDLINE_GPA), KERNEL_CMDLINE_SIZE);
	size_t length;

	if (request->tell_frequency)
		format(ours, sizeof(ours), "tsc_early_khz=%u ", request->tsc_khz);
	length = strlen(ours) + strlen(request->cmdline);
	if (length > longest)
		return image_complain(message, "command line longer than the kernel takes", length, longest);
	if (!to)
		return image_complain(message, "no memory for the command line", target->memory_size,
				      KERNEL_CMDLINE_GPA + KERNEL_CMDLINE_SIZE);
	string_copy(to, ours, KERNEL_CMDLINE_OURS);
	string_copy(to + strlen(ours), request->cmdline, CONFIG_CMDLINE_SIZE);
	return OK;
}
