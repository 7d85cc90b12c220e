/*
 * Any bytes at all as bulkhead.elf: what the check accepts, the loader must be able to lay out.
 */
#include <stdlib.h>

#include "boot/hypervisor_elf.h"

#define SIZE_LIMIT (4u << 20) /* larger images are legal, but slow to fuzz */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct elf_image image;

	if (elf_check(data, size, &image) != NULL || image.image_size > SIZE_LIMIT)
		return 0;

	void *memory = malloc(image.image_size);

	if (memory != NULL)
		elf_load(&image, memory);
	free(memory);
	return 0;
}
