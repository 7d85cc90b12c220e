/*
 * Formatted text: one pass over the format, one conversion at a time, into a bounded buffer.
 */
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

#define DIGITS_MAX 20 /* of 2^64 - 1 in decimal */

struct output {
	char *text;
	size_t size;   /* of the buffer, NUL included */
	size_t length; /* that would have been written */
};

struct conversion {
	size_t width;
	size_t precision;
	bool has_precision;
	bool left, zero;
	enum { LENGTH_INT, LENGTH_CHAR, LENGTH_SHORT, LENGTH_LONG } length;
	char kind;
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size)
		out->text[out->length] = c;
	out->length++;
}

static void put_many(struct output *out, char c, size_t count)
{
	while (count--)
		put(out, c);
}

/* `prefix` (a sign, 0x), then zeros up to `digits`, then `text`; padded to the width. */
static void put_field(struct output *out, const struct conversion *conversion, const char *prefix,
		      size_t digits, const char *text, size_t length)
{
	size_t zeros = digits > length ? digits - length : 0;
	size_t used = strlen(prefix) + zeros + length;
	size_t padding = conversion->width > used ? conversion->width - used : 0;

	if (conversion->zero) {
		zeros += padding;
		padding = 0;
	}
	if (!conversion->left)
		put_many(out, ' ', padding);
	while (*prefix)
		put(out, *prefix++);
	put_many(out, '0', zeros);
	while (length--)
		put(out, *text++);
	if (conversion->left)
		put_many(out, ' ', padding);
}

static void put_number(struct output *out, const struct conversion *conversion, const char *prefix,
		       uint64_t value, unsigned base)
{
	const char *digits = conversion->kind == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[DIGITS_MAX];
	size_t start = sizeof(text);

	for (; value; value /= base)
		text[--start] = digits[value % base];
	put_field(out, conversion, prefix, conversion->has_precision ? conversion->precision : 1,
		  text + start, sizeof(text) - start);
}

static void put_string(struct output *out, const struct conversion *conversion, const char *text)
{
	size_t length = 0;

	if (!text)
		text = "(null)";
	while ((!conversion->has_precision || length < conversion->precision) && text[length])
		length++;
	put_field(out, conversion, "", 0, text, length);
}

static int64_t next_signed(const struct conversion *conversion, va_list *arguments)
{
	if (conversion->length == LENGTH_LONG)
		return va_arg(*arguments, long);

	int value = va_arg(*arguments, int);

	if (conversion->length == LENGTH_CHAR)
		return (signed char)value;
	return conversion->length == LENGTH_SHORT ? (short)value : value;
}

static uint64_t next_unsigned(const struct conversion *conversion, va_list *arguments)
{
	if (conversion->length == LENGTH_LONG)
		return va_arg(*arguments, unsigned long);

	unsigned value = va_arg(*arguments, unsigned);

	if (conversion->length == LENGTH_CHAR)
		return (unsigned char)value;
	return conversion->length == LENGTH_SHORT ? (unsigned short)value : value;
}

static void put_signed(struct output *out, const struct conversion *conversion, int64_t value)
{
	uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	put_number(out, conversion, value < 0 ? "-" : "", magnitude, 10);
}

static void put_conversion(struct output *out, const struct conversion *conversion, va_list *arguments)
{
	char character;

	switch (conversion->kind) {
	case 'd':
	case 'i': put_signed(out, conversion, next_signed(conversion, arguments)); break;
	case 'u': put_number(out, conversion, "", next_unsigned(conversion, arguments), 10); break;
	case 'x':
	case 'X': put_number(out, conversion, "", next_unsigned(conversion, arguments), 16); break;
	case 'p': put_number(out, conversion, "0x", (uintptr_t)va_arg(*arguments, void *), 16); break;
	case 's': put_string(out, conversion, va_arg(*arguments, const char *)); break;
	case 'c':
		character = (char)va_arg(*arguments, int);
		put_field(out, conversion, "", 0, &character, 1);
		break;
	default: /* %%, and what nobody defined: shown as it stands */
		if (conversion->kind != '%')
			put(out, '%');
		put(out, conversion->kind);
	}
}

static const char *parse_number(const char *at, size_t *number, va_list *arguments)
{
	*number = 0;
	if (*at == '*') {
		int value = va_arg(*arguments, int);

		*number = value > 0 ? (size_t)value : 0;
		return at + 1;
	}
	for (; *at >= '0' && *at <= '9'; at++)
		*number = *number * 10 + (size_t)(*at - '0');
	return at;
}

/* l, ll and z are all 64 bits wide in the x86-64 ABI. */
static const char *parse_length(const char *at, struct conversion *conversion)
{
	for (;; at++) {
		if (*at == 'l' || *at == 'z')
			conversion->length = LENGTH_LONG;
		else if (*at == 'h')
			conversion->length = conversion->length == LENGTH_SHORT ? LENGTH_CHAR : LENGTH_SHORT;
		else
			return at;
	}
}

/* Reads what follows a '%'; returns where the conversion character stands. */
static const char *parse_conversion(const char *at, struct conversion *conversion, va_list *arguments)
{
	for (; *at == '-' || *at == '0'; at++) {
		conversion->left |= *at == '-';
		conversion->zero |= *at == '0';
	}
	at = parse_number(at, &conversion->width, arguments);
	if (*at == '.') {
		conversion->has_precision = true;
		at = parse_number(at + 1, &conversion->precision, arguments);
	}
	at = parse_length(at, conversion);
	conversion->kind = *at;
	/* C17 7.21.6.1: 0 is ignored beside -, with a precision, and where it makes no sense. */
	if (conversion->left || conversion->has_precision || *at == 's' || *at == 'c')
		conversion->zero = false;
	return at;
}

size_t format_v(char *out, size_t size, const char *format, va_list arguments)
{
	struct output output = {.text = out, .size = size};
	va_list rest;

	va_copy(rest, arguments);
	for (; *format; format++) {
		struct conversion conversion = {0};

		if (*format != '%') {
			put(&output, *format);
			continue;
		}
		format = parse_conversion(format + 1, &conversion, &rest);
		if (!conversion.kind)
			break;
		put_conversion(&output, &conversion, &rest);
	}
	va_end(rest);
	if (size)
		out[MIN(output.length, size - 1)] = '\0';
	return output.length;
}

size_t format(char *out, size_t size, const char *format, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	length = format_v(out, size, format, arguments);
	va_end(arguments);
	return length;
}
