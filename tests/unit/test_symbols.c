/*
 * Looking up functions by address, with a table of four; and names that are packed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/mem/layout.h"
#include "hv/symbols.h"

#define SIXTY_LETTERS "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"

const uint32_t symbol_count = 4;
const uint32_t symbol_start = 0x100;
const uint16_t symbol_sizes[] = {0x80, 0x80, 0x10, 0x10};
const uint8_t symbol_names[] = "first\0\x81ond\0\x80s_\x81\x80\0\x82wxyz";
const char symbol_words[] = "i\0sec\0" SIXTY_LETTERS;

static void expect(uint64_t offset, const char *name, uint64_t distance)
{
	char found[SYMBOL_NAME];
	uint64_t far;

	assert_true(symbol_find(IMAGE_BASE + offset, found, &far));
	assert_string_equal(found, name);
	assert_int_equal(far, distance);
}

static void an_address_lies_in_the_function_before_it(void **state)
{
	(void)state;
	expect(0x100, "first", 0);
	expect(0x17F, "first", 0x7F);
	expect(0x180, "second", 0);
	expect(0x1FF, "second", 0x7F);
}

static void words_are_spelled(void **state)
{
	(void)state;
	expect(0x200, "is_seci", 0);
}

static void a_long_name_is_cut(void **state)
{
	(void)state;
	expect(0x211, SIXTY_LETTERS "wxy", 1);
}

static void other_addresses_have_no_name(void **state)
{
	static const uint64_t none[] = {IMAGE_BASE + 0xFF, IMAGE_BASE + 0x220, IMAGE_BASE - 1, 0, UINT64_MAX};
	char name[SYMBOL_NAME];
	uint64_t offset;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_false(symbol_find(none[i], name, &offset));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_lies_in_the_function_before_it),
		cmocka_unit_test(words_are_spelled),
		cmocka_unit_test(a_long_name_is_cut),
		cmocka_unit_test(other_addresses_have_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
