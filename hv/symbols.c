/*
 * Looking up a function's name. The table is walked from its start: it is read for reports only, and small.
 */
#include "hv/symbols.h"
#include "hv/lib/string.h"
#include "hv/mem/layout.h"

static const char *word_at(unsigned index)
{
	const char *word = symbol_words;

	while (index--)
		word += strlen(word) + 1;
	return word;
}

/* Returns the length that the name has then. */
static size_t append(char name[SYMBOL_NAME], size_t length, const char *text, size_t count)
{
	count = MIN(count, SYMBOL_NAME - 1 - length);
	memcpy(name + length, text, count);
	return length + count;
}

static void spell(const uint8_t *packed, char name[SYMBOL_NAME])
{
	size_t length = 0;

	for (; *packed; packed++) {
		const char letter = (char)*packed;
		const char *word = *packed < SYMBOL_WORD ? &letter : word_at(*packed - SYMBOL_WORD);

		length = append(name, length, word, *packed < SYMBOL_WORD ? 1 : strlen(word));
	}
	name[length] = '\0';
}

bool symbol_find(uint64_t address, char name[SYMBOL_NAME], uint64_t *offset)
{
	const uint8_t *packed = symbol_names;

	if (address < IMAGE_BASE + symbol_start)
		return false;
	address -= IMAGE_BASE + symbol_start;
	for (uint32_t i = 0; i < symbol_count; address -= symbol_sizes[i++]) {
		if (address < symbol_sizes[i]) {
			spell(packed, name);
			*offset = address;
			return true;
		}
		packed += strlen((const char *)packed) + 1;
	}
	return false;
}
