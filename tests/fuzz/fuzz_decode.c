/*
 * Fuzzes the instruction decoder against Zydis. The first byte chooses the code size.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/zydis_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum code_size codes[] = {CODE_16, CODE_32, CODE_64};
	const char *difference;

	if (size < 1)
		return 0;
	difference = zydis_check(data + 1, size - 1, codes[data[0] % 3]);
	if (difference) {
		fprintf(stderr, "decoder and Zydis disagree: %s\n", difference);
		abort();
	}
	return 0;
}
