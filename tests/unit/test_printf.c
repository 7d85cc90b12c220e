/*
 * format(): the same text and length as the C library's snprintf for all it supports, and its bounds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "hv/lib/printf.h"
#include "hv/lib/status.h"

/* Formats with both, and compares text and length. */
#define SAME(...)                                                                                            \
	do {                                                                                                 \
		char ours[200], theirs[200];                                                                 \
		size_t length = format(ours, sizeof(ours), __VA_ARGS__);                                     \
		int expected = snprintf(theirs, sizeof(theirs), __VA_ARGS__);                                \
		assert_string_equal(ours, theirs);                                                           \
		assert_int_equal(length, expected);                                                          \
	} while (0)

static void plain_text_is_copied(void **state)
{
	(void)state;
	SAME("nothing to convert");
	SAME("100%% of it");
	SAME("%%");
}

static void integers_of_every_length(void **state)
{
	(void)state;
	SAME("%d %i %d", 0, -1, 2147483647);
	SAME("%d", -2147483647 - 1);
	SAME("%u %x %X", 4294967295u, 0xDEADBEEFu, 0xDEADBEEFu);
	SAME("%ld %lu %lx", -1L, 18446744073709551615UL, 0xFFFF800000000000UL);
	SAME("%lld %llu %llX", -9223372036854775807LL - 1, 18446744073709551615ULL, 0xABCDEFULL);
	SAME("%zu %zx", (size_t)0, (size_t)123456789);
	SAME("%hd %hu %hhd %hhu %hhx", (short)-5, (unsigned short)65535, (signed char)-128,
	     (unsigned char)200, (unsigned char)0xAB);
}

static void width_precision_and_flags(void **state)
{
	(void)state;
	SAME("[%5d] [%-5d] [%05d] [%05d]", 42, 42, 42, -42);
	SAME("[%8x] [%-8x] [%08x] [%016lx]", 0xBEEFu, 0xBEEFu, 0xBEEFu, 0x1234UL);
	SAME("[%.3d] [%8.3d] [%-8.3d] [%.10u]", 7, -7, 7, 123u);
	SAME("[%.0d] [%5.0u] [%.0d]", 0, 0u, 5);
	SAME("[%3d] [%2d]", 123456, -123456);
	SAME("[%*d] [%-*d] [%.*x]", 6, 1, 6, 2, 4, 0xAu);
}

static void strings_and_characters(void **state)
{
	const char unterminated[3] = {'a', 'b', 'c'};

	(void)state;
	SAME("[%s] [%10s] [%-10s] [%.2s] [%10.2s]", "guest", "guest", "guest", "guest", "guest");
	SAME("[%c] [%3c] [%-3c]", 'x', 'y', 'z');
	SAME("[%s]", "");
	SAME("[%.3s]", unterminated);
}

static void no_string_is_named(void **state)
{
	char text[32];
	const char *volatile nothing = NULL;

	(void)state;
	assert_int_equal(format(text, sizeof(text), "%s!", nothing), 7);
	assert_string_equal(text, "(null)!");
}

static void pointers_are_hexadecimal(void **state)
{
	char text[32];

	(void)state;
	SAME("%p", (void *)0x1234ABCDUL);
	assert_int_equal(format(text, sizeof(text), "%p", (void *)0), 3);
	assert_string_equal(text, "0x0");
}

static void output_stops_at_the_bound(void **state)
{
	char text[8];

	(void)state;
	memset(text, '#', sizeof(text));
	assert_int_equal(format(text, 5, "%s-%d", "abc", 12345), 9);
	assert_string_equal(text, "abc-");
	assert_int_equal(text[5], '#');

	assert_int_equal(format(text, 1, "%08x", 1u), 8);
	assert_string_equal(text, "");

	text[0] = '#';
	assert_int_equal(format(text, 0, "%d", 77), 2);
	assert_int_equal(text[0], '#');
}

/* The compiler would refuse these formats, so they come through a variable. */
static size_t format_any(char *out, size_t size, const char *text, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, text);
	length = format_v(out, size, text, arguments);
	va_end(arguments);
	return length;
}

static void unknown_conversions_are_shown(void **state)
{
	char text[16];

	(void)state;
	assert_int_equal(format_any(text, sizeof(text), "a%qb"), 4);
	assert_string_equal(text, "a%qb");
	assert_int_equal(format_any(text, sizeof(text), "end%"), 3);
	assert_string_equal(text, "end");
	assert_int_equal(format_any(text, sizeof(text), "end%-08l"), 3);
	assert_string_equal(text, "end");
}

static void status_names(void **state)
{
	(void)state;
	assert_string_equal(status_name(OK), "ok");
	assert_string_equal(status_name(ERR_TIMEOUT), "timed out");
	assert_string_equal(status_name((enum status)9999), "unknown status");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_is_copied),
		cmocka_unit_test(integers_of_every_length),
		cmocka_unit_test(width_precision_and_flags),
		cmocka_unit_test(strings_and_characters),
		cmocka_unit_test(no_string_is_named),
		cmocka_unit_test(pointers_are_hexadecimal),
		cmocka_unit_test(output_stops_at_the_bound),
		cmocka_unit_test(unknown_conversions_are_shown),
		cmocka_unit_test(status_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
