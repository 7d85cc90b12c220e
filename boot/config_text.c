/*
 * Pieces of text for the config parser: cutting them, judging their bytes, and guessing what was meant.
 */
#include <stdint.h>

#include "boot/config_text.h"

#define WORD_MAX 24 /* longer words are never compared by distance */

static size_t word_length(const char *word)
{
	size_t length = 0;

	while (word[length] != '\0')
		length++;
	return length;
}

struct span span_of(const char *text)
{
	return (struct span){text, word_length(text)};
}

struct span span_from(struct span span, size_t offset)
{
	return (struct span){span.start + offset, span.size - offset};
}

struct span span_first(struct span span, size_t size)
{
	return (struct span){span.start, size};
}

bool text_is_blank(char character)
{
	return character == ' ' || character == '\t';
}

struct span span_trim(struct span span)
{
	while (span.size > 0 && text_is_blank(span.start[0]))
		span = span_from(span, 1);
	while (span.size > 0 && text_is_blank(span.start[span.size - 1]))
		span.size--;
	return span;
}

size_t span_find(struct span span, char wanted)
{
	size_t offset = 0;

	while (offset < span.size && span.start[offset] != wanted)
		offset++;
	return offset;
}

bool span_equals(struct span span, const char *word)
{
	size_t i = 0;

	for (; i < span.size; i++)
		if (word[i] == '\0' || word[i] != span.start[i])
			return false;
	return word[i] == '\0';
}

char text_lower(char character)
{
	return character >= 'A' && character <= 'Z' ? (char)(character - 'A' + 'a') : character;
}

int text_hex_digit(char character)
{
	character = text_lower(character);
	if (character >= '0' && character <= '9')
		return character - '0';
	if (character >= 'a' && character <= 'f')
		return character - 'a' + 10;
	return -1;
}

/*
 * Well-formed byte sequences (Unicode 15, table 3-7): the range of the first byte decides the length and the
 * range of the second byte; all further bytes are 80..BF.
 */
static const struct utf8_row {
	uint8_t first_low, first_high, second_low, second_high, length;
} utf8_rows[] = {
	{0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
	{0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
	{0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

static bool is_continuation(char byte)
{
	return ((uint8_t)byte & 0xC0) == 0x80;
}

static bool sequence_fits(const struct utf8_row *row, struct span span)
{
	if (row->length > span.size)
		return false;
	if (row->length > 1) {
		uint8_t second = (uint8_t)span.start[1];

		if (second < row->second_low || second > row->second_high)
			return false;
	}
	for (size_t i = 2; i < row->length; i++)
		if (!is_continuation(span.start[i]))
			return false;
	return true;
}

/* Length of the UTF-8 sequence that begins the span; 0 when it is not one. */
static size_t sequence_length(struct span span)
{
	uint8_t first = (uint8_t)span.start[0];

	for (size_t i = 0; i < sizeof(utf8_rows) / sizeof(utf8_rows[0]); i++) {
		const struct utf8_row *row = &utf8_rows[i];

		if (first >= row->first_low && first <= row->first_high)
			return sequence_fits(row, span) ? row->length : 0;
	}
	return 0;
}

size_t text_first_flaw(struct span span)
{
	size_t offset = 0;

	while (offset < span.size) {
		uint8_t byte = (uint8_t)span.start[offset];
		size_t length = sequence_length(span_from(span, offset));

		if (length == 0 || byte == 0x7F || (byte < ' ' && byte != '\t'))
			break;
		offset += length;
	}
	return offset;
}

size_t text_characters(struct span span)
{
	size_t count = 0;

	for (size_t i = 0; i < span.size; i++)
		count += !is_continuation(span.start[i]);
	return count;
}

static size_t least(size_t first, size_t second)
{
	return first < second ? first : second;
}

/* Levenshtein distance: the letters to insert, delete or replace. Both are at most WORD_MAX long. */
static size_t edit_distance(struct span found, const char *word, size_t length)
{
	size_t row[WORD_MAX + 1];

	for (size_t i = 0; i <= length; i++)
		row[i] = i;
	for (size_t f = 0; f < found.size; f++) {
		size_t diagonal = row[0];

		row[0] = f + 1;
		for (size_t i = 0; i < length; i++) {
			size_t replaced = diagonal + (text_lower(found.start[f]) != word[i]);

			diagonal = row[i + 1];
			row[i + 1] = least(replaced, least(diagonal, row[i]) + 1);
		}
	}
	return row[length];
}

static bool is_shortened(struct span found, const char *word)
{
	if (found.size < 3)
		return false;
	for (size_t i = 0; i < found.size; i++)
		if (text_lower(found.start[i]) != word[i])
			return false;
	return true;
}

bool text_resembles(struct span found, const char *word)
{
	size_t length = word_length(word);

	if (found.size == 0 || found.size > WORD_MAX || length > WORD_MAX)
		return false;
	return is_shortened(found, word) || edit_distance(found, word, length) <= (length < 5 ? 1 : 2);
}
