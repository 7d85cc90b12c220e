/*
 * The hypervisor's format() against the C library's snprintf(): the same text and the same length, for every
 * conversion it knows, any flags, width, precision and room.
 *
 * Input: what the format is put together of, and the argument.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/lib/printf.h"

#define TEXT_SIZE   160
#define FORMAT_SIZE 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct choice {
	uint8_t conversion, length, flags, width, precision, room;
	uint64_t value;
} __attribute__((packed));

enum argument { ARGUMENT_INT, ARGUMENT_LONG, ARGUMENT_TEXT };

static enum argument build(const struct choice *choice, char out[FORMAT_SIZE])
{
	static const char conversions[] = "diuxXcs";
	static const char *const lengths[] = {"", "hh", "h", "l", "ll", "z"};
	char conversion = conversions[choice->conversion % (sizeof(conversions) - 1)];
	bool number = conversion != 'c' && conversion != 's';
	const char *length = number ? lengths[choice->length % ARRAY_SIZE(lengths)] : "";
	char precision[8] = "";

	/* `0` on a text and a precision of a character are left open by C; a `0` beside `-` or a precision
	 * does not count. */
	if (choice->flags & 4 && conversion != 'c')
		snprintf(precision, sizeof(precision), ".%u", choice->precision % 40u);
	snprintf(out, FORMAT_SIZE, "<%%%s%s%.0u%s%s%c>", choice->flags & 1 ? "-" : "",
		 choice->flags & 2 && number ? "0" : "", choice->width % 40u, precision, length, conversion);
	if (conversion == 's')
		return ARGUMENT_TEXT;
	return strpbrk(length, "lz") ? ARGUMENT_LONG : ARGUMENT_INT;
}

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char own[TEXT_SIZE], theirs[TEXT_SIZE], pattern[FORMAT_SIZE], text[TEXT_SIZE];
	struct choice choice;
	size_t length, expected, room;

	if (size < sizeof(choice))
		return 0;
	memcpy(&choice, data, sizeof(choice));
	memset(own, '#', sizeof(own));
	memset(text, 0, sizeof(text));
	memcpy(text, data + sizeof(choice), MIN(size - sizeof(choice), sizeof(text) / 2));
	room = choice.room % sizeof(own);
	switch (build(&choice, pattern)) {
	case ARGUMENT_INT:
		length = format(own, room, pattern, (int)choice.value);
		expected = (size_t)snprintf(theirs, sizeof(theirs), pattern, (int)choice.value);
		break;
	case ARGUMENT_LONG:
		length = format(own, room, pattern, (unsigned long)choice.value);
		expected = (size_t)snprintf(theirs, sizeof(theirs), pattern, (unsigned long)choice.value);
		break;
	default:
		length = format(own, room, pattern, text);
		expected = (size_t)snprintf(theirs, sizeof(theirs), pattern, text);
		break;
	}
	if (room > 0)
		theirs[MIN(room - 1, expected)] = '\0';
	if (length != expected || own[room] != '#' ||
	    (room > 0 && memcmp(own, theirs, MIN(room, expected + 1)) != 0)) {
		fprintf(stderr, "format \"%s\", room %zu: \"%.*s\" (%zu), expected \"%s\" (%zu)\n", pattern,
			room, (int)room, own, length, theirs, expected);
		abort();
	}
	return 0;
}
