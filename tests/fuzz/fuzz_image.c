/* Guest images from hostile files: no crash, no write outside the memory given. */
#include <stdlib.h>
#include <string.h>

#include "hv/core/image.h"

#define MEMORY (4 * MIB)

static uint8_t *memory;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *reach(void *context, gpa_t address, uint64_t size)
{
	(void)context;
	if (address.value > MEMORY || size > MEMORY - address.value)
		return NULL;
	return memory + address.value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct image_target target = {.memory_size = MEMORY, .reach = reach};
	struct image_request request = {
		.file = data, .size = size, .cmdline = "", .name = "fuzz", .vcpu_count = 1, .tsc_khz = 1};
	struct image_result result;
	char message[IMAGE_MESSAGE];

	if (!memory)
		memory = malloc(MEMORY); /* for the life of the process; ASan guards its ends */
	if (image_load_para(&request, &target, &result, message) == OK && result.start.entry >= MEMORY)
		abort();
	request.initrd = data;
	request.initrd_size = size / 2;
	if (image_load_kernel(&request, &target, &result, message) == OK && result.start.entry >= MEMORY)
		abort();
	if (image_load_multiboot(&request, &target, &result, message) == OK && result.start.entry >= MEMORY)
		abort();
	return 0;
}
