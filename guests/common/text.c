/*
 * Memory, strings, formatting and command-line options, see text.h. REP instructions keep the memory
 * functions short and keep the compiler from turning them into calls of themselves.
 */
#include "text.h"

void *memset(void *to, int value, size_t size)
{
	void *cursor = to;
	__asm__ volatile("rep stosb" : "+D"(cursor), "+c"(size) : "a"(value) : "memory");
	return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
	void *cursor = to;
	__asm__ volatile("rep movsb" : "+D"(cursor), "+S"(from), "+c"(size)::"memory");
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	if ((uintptr_t)to - (uintptr_t)from >= size)
		return memcpy(to, from, size);
	char *cursor = (char *)to + size;
	const char *source = (const char *)from + size;
	while (size--)
		*--cursor = *--source;
	return to;
}

int memcmp(const void *left, const void *right, size_t size)
{
	const uint8_t *a = left, *b = right;
	for (; size; size--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

size_t string_length(const char *text)
{
	size_t length = 0;
	while (text[length])
		length++;
	return length;
}

bool string_equal(const char *left, const char *right)
{
	while (*left && *left == *right)
		left++, right++;
	return *left == *right;
}

void string_copy(char *to, const char *from, size_t size)
{
	size_t length = 0;
	for (; length + 1 < size && from[length]; length++)
		to[length] = from[length];
	to[length] = '\0';
}

uint32_t parse_number(const char *text)
{
	uint32_t value = 0;
	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (uint32_t)(*text - '0');
	return value;
}

/* Where the formatted text goes: `size` counts the closing NUL. */
struct sink {
	char *to;
	size_t size, used;
};

static void put(struct sink *sink, char character)
{
	if (sink->used + 1 < sink->size)
		sink->to[sink->used++] = character;
}

static void put_text(struct sink *sink, const char *text)
{
	while (*text)
		put(sink, *text++);
}

#define LONGEST_NUMBER 20 /* 2^64 - 1 in decimal */

static void put_number(struct sink *sink, uint64_t value, uint32_t base, size_t width, char fill)
{
	char digits[LONGEST_NUMBER];
	size_t count = 0;
	do {
		digits[count++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	for (; width > count; width--)
		put(sink, fill);
	while (count)
		put(sink, digits[--count]);
}

static void put_signed(struct sink *sink, int64_t value, size_t width, char fill)
{
	if (value < 0)
		put(sink, '-');
	put_number(sink, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, width, fill);
}

/* Formats one conversion; `format` stands behind the %. Returns what follows it. */
static const char *put_conversion(struct sink *sink, const char *format, va_list *arguments)
{
	const char fill = *format == '0' ? '0' : ' ';
	size_t width = 0;
	for (; *format >= '0' && *format <= '9'; format++)
		width = width * 10 + (size_t)(*format - '0');
	const bool is_long = *format == 'l';
	format += is_long;
	switch (*format) {
	case 's': put_text(sink, va_arg(*arguments, const char *)); break;
	case 'c': put(sink, (char)va_arg(*arguments, int)); break;
	case 'd':
		put_signed(sink, is_long ? va_arg(*arguments, int64_t) : va_arg(*arguments, int), width,
			   fill);
		break;
	case 'u':
	case 'x':
		put_number(sink, is_long ? va_arg(*arguments, uint64_t) : va_arg(*arguments, uint32_t),
			   *format == 'x' ? 16 : 10, width, fill);
		break;
	default: put(sink, *format); break;
	}
	return format + 1;
}

size_t format_list(char *to, size_t size, const char *format, va_list arguments)
{
	struct sink sink = {.to = to, .size = size};
	va_list list;
	va_copy(list, arguments);
	while (*format) {
		if (*format != '%')
			put(&sink, *format++);
		else if (format[1])
			format = put_conversion(&sink, format + 1, &list);
		else
			break;
	}
	va_end(list);
	if (size)
		to[sink.used] = '\0';
	return sink.used;
}

size_t format_text(char *to, size_t size, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	const size_t used = format_list(to, size, format, arguments);
	va_end(arguments);
	return used;
}

/* Returns what follows the key: "=value…", " …" or "". NULL when no word has this key. */
static const char *find_option(const char *cmdline, const char *key)
{
	const size_t length = string_length(key);
	for (const char *word = cmdline; *word;) {
		size_t size = 0;
		while (word[size] && word[size] != ' ')
			size++;
		if (size >= length && !memcmp(word, key, length) && (size == length || word[length] == '='))
			return word + length;
		for (word += size; *word == ' ';)
			word++;
	}
	return NULL;
}

bool option_flag(const char *cmdline, const char *key)
{
	return find_option(cmdline, key) != NULL;
}

uint32_t option_number(const char *cmdline, const char *key, uint32_t otherwise)
{
	const char *found = find_option(cmdline, key);
	return found && *found == '=' ? parse_number(found + 1) : otherwise;
}

void option_text(const char *cmdline, const char *key, const char *otherwise, char *to, size_t size)
{
	const char *found = find_option(cmdline, key);
	if (!found || *found != '=') {
		string_copy(to, otherwise, size);
		return;
	}
	size_t length = 0;
	for (found++; length + 1 < size && found[length] && found[length] != ' '; length++)
		to[length] = found[length];
	to[length] = '\0';
}

#define BACKSPACE 0x08
#define DELETE	  0x7F

char *typed_line_take(struct typed_line *line, uint8_t byte)
{
	const size_t used = line->used;

	if (byte == '\r' || byte == '\n') {
		line->text[used] = '\0';
		line->used = 0;
		return used ? line->text : NULL;
	}
	if (byte == BACKSPACE || byte == DELETE)
		line->used -= used > 0;
	else if (byte >= ' ' && used + 1 < sizeof(line->text))
		line->text[line->used++] = (char)byte;
	return NULL;
}
