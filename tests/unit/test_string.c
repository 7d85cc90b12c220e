/*
 * The hypervisor's memory and string functions, under other names beside the C library's, which they are
 * compared with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define memcpy	our_memcpy
#define memmove our_memmove
#define memset	our_memset
#define memcmp	our_memcmp
#define strlen	our_strlen
#define strcmp	our_strcmp
#define strncmp our_strncmp
#include "hv/lib/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strcmp
#undef strncmp

#define AREA 64

static void fill(uint8_t *area)
{
	for (unsigned i = 0; i < AREA; i++)
		area[i] = (uint8_t)(i * 7 + 1);
}

static void copies_of_every_size_and_offset(void **state)
{
	uint8_t from[AREA], ours[AREA], theirs[AREA];

	(void)state;
	fill(from);
	for (size_t offset = 0; offset < 9; offset++) {
		for (size_t size = 0; size + offset <= AREA - 8; size++) {
			memset(ours, 0xEE, AREA);
			memset(theirs, 0xEE, AREA);
			assert_ptr_equal(our_memcpy(ours + offset, from + 3, size), ours + offset);
			memcpy(theirs + offset, from + 3, size);
			assert_memory_equal(ours, theirs, AREA);
		}
	}
}

static void moves_in_both_directions(void **state)
{
	uint8_t ours[AREA], theirs[AREA];

	(void)state;
	for (size_t to = 0; to < 20; to++) {
		for (size_t from = 0; from < 20; from++) {
			for (size_t size = 0; size < 40; size++) {
				fill(ours);
				fill(theirs);
				our_memmove(ours + to, ours + from, size);
				memmove(theirs + to, theirs + from, size);
				assert_memory_equal(ours, theirs, AREA);
			}
		}
	}
}

static void fills(void **state)
{
	uint8_t ours[AREA], theirs[AREA];

	(void)state;
	for (size_t size = 0; size <= 40; size++) {
		fill(ours);
		fill(theirs);
		our_memset(ours + 5, 0x1A5, size);
		memset(theirs + 5, 0xA5, size);
		assert_memory_equal(ours, theirs, AREA);
	}
}

static int sign(int value)
{
	return (value > 0) - (value < 0);
}

static void comparisons_have_the_right_sign(void **state)
{
	static const char *const words[] = {"", "a", "ab", "abc", "abd", "b", "\xff", "a\xff", "partition"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(words); j++) {
			assert_int_equal(sign(our_strcmp(words[i], words[j])),
					 sign(strcmp(words[i], words[j])));
			assert_int_equal(sign(our_memcmp(words[i], words[j], 1)),
					 sign(memcmp(words[i], words[j], 1)));
			for (size_t size = 0; size < 5; size++)
				assert_int_equal(sign(our_strncmp(words[i], words[j], size)),
						 sign(strncmp(words[i], words[j], size)));
		}
	}
	assert_int_equal(our_strlen(""), 0);
	assert_int_equal(our_strlen("bulkhead"), 8);
}

static void string_copy_always_terminates(void **state)
{
	char text[8];

	(void)state;
	memset(text, '#', sizeof(text));
	string_copy(text, "alpha", sizeof(text));
	assert_string_equal(text, "alpha");
	string_copy(text, "partition", sizeof(text));
	assert_string_equal(text, "partiti");
	string_copy(text, "x", 1);
	assert_string_equal(text, "");
	text[0] = '#';
	string_copy(text, "x", 0);
	assert_int_equal(text[0], '#');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_of_every_size_and_offset),
		cmocka_unit_test(moves_in_both_directions),
		cmocka_unit_test(fills),
		cmocka_unit_test(comparisons_have_the_right_sign),
		cmocka_unit_test(string_copy_always_terminates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
