/*
 * Text from a pattern and arguments, into a buffer of fixed size: one step for each piece of the pattern.
 */
#include <stdbool.h>
#include <stdint.h>

#include "boot/format.h"

#define NUMBER_DIGITS 20 /* of 2^64 - 1 in decimal */

struct sink {
	char *out;
	size_t room; /* bytes that still fit before the closing NUL */
	size_t used;
};

struct directive {
	bool zero_padded;
	bool is_long;
	bool has_precision;
	uint32_t width;
	size_t precision;
	char kind;
};

static void put(struct sink *sink, char character)
{
	if (sink->room == 0)
		return;
	sink->out[sink->used++] = character;
	sink->room--;
}

static void put_padding(struct sink *sink, const struct directive *directive, size_t length)
{
	for (size_t i = length; i < directive->width; i++)
		put(sink, directive->zero_padded ? '0' : ' ');
}

static void put_number(struct sink *sink, const struct directive *directive, uint64_t value, uint32_t base)
{
	char digits[NUMBER_DIGITS];
	size_t count = 0;

	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);

	put_padding(sink, directive, count);
	while (count > 0)
		put(sink, digits[--count]);
}

static void put_string(struct sink *sink, const struct directive *directive, const char *string)
{
	size_t length = 0;

	while ((!directive->has_precision || length < directive->precision) && string[length] != '\0')
		length++;
	for (size_t i = 0; i < length; i++)
		put(sink, string[i]);
	/* Strings stand at the left of their field. */
	put_padding(sink, directive, length);
}

/* Reads what stands between the '%' and the letter; returns the position of the letter. */
static const char *read_directive(const char *pattern, struct directive *directive)
{
	*directive = (struct directive){0};
	if (*pattern == '-')
		pattern++;
	if (*pattern == '0') {
		directive->zero_padded = true;
		pattern++;
	}
	for (; *pattern >= '0' && *pattern <= '9'; pattern++)
		directive->width = directive->width * 10 + (uint32_t)(*pattern - '0');
	if (pattern[0] == '.' && pattern[1] == '*') {
		directive->has_precision = true;
		pattern += 2;
	}
	if (*pattern == 'l') {
		directive->is_long = true;
		pattern++;
	}
	directive->kind = *pattern;
	return pattern;
}

size_t format_text_list(char *out, size_t size, const char *pattern, va_list arguments)
{
	struct sink sink = {.out = out, .room = size - 1};

	for (; *pattern != '\0'; pattern++) {
		struct directive directive;

		if (*pattern != '%') {
			put(&sink, *pattern);
			continue;
		}
		pattern = read_directive(pattern + 1, &directive);
		if (directive.has_precision)
			directive.precision = (size_t)va_arg(arguments, int);

		switch (directive.kind) {
		case 's': put_string(&sink, &directive, va_arg(arguments, const char *)); break;
		case 'c': put(&sink, (char)va_arg(arguments, int)); break;
		case 'u':
		case 'x':
			put_number(&sink, &directive,
				   directive.is_long ? va_arg(arguments, unsigned long)
						     : va_arg(arguments, unsigned),
				   directive.kind == 'x' ? 16 : 10);
			break;
		case '\0': pattern--; break;
		default: put(&sink, directive.kind); break;
		}
	}
	out[sink.used] = '\0';
	return sink.used;
}

size_t format_text(char *out, size_t size, const char *pattern, ...)
{
	va_list arguments;

	va_start(arguments, pattern);
	size_t length = format_text_list(out, size, pattern, arguments);
	va_end(arguments);
	return length;
}
