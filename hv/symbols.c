/*
 * Looking up a function's name. The table is walked from its start: it is read for reports only, and small.
 */
#include "hv/symbols.h"
#include "hv/lib/string.h"
#include "hv/mem/layout.h"

const char *symbol_find(uint64_t address, uint64_t *offset)
{
	const char *name = symbol_names;

	if (symbol_count == 0 || address < IMAGE_BASE)
		return NULL;
	address -= IMAGE_BASE;
	for (uint32_t i = 0; i + 1 < symbol_count; i++, name += strlen(name) + 1) {
		if (address < symbol_offsets[i] || address >= symbol_offsets[i + 1])
			continue;
		*offset = address - symbol_offsets[i];
		return name;
	}
	return NULL;
}
