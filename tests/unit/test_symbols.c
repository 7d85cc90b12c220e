/*
 * Looking up functions by address, with a table of three.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/mem/layout.h"
#include "hv/symbols.h"

const uint32_t symbol_count = 3;
const uint32_t symbol_offsets[] = {0x100, 0x180, 0x200};
const char symbol_names[] = "first\0second\0end";

static void expect(uint64_t offset, const char *name, uint64_t distance)
{
	uint64_t found;

	assert_string_equal(symbol_find(IMAGE_BASE + offset, &found), name);
	assert_int_equal(found, distance);
}

static void an_address_lies_in_the_function_before_it(void **state)
{
	(void)state;
	expect(0x100, "first", 0);
	expect(0x17F, "first", 0x7F);
	expect(0x180, "second", 0);
	expect(0x1FF, "second", 0x7F);
}

static void other_addresses_have_no_name(void **state)
{
	uint64_t offset;

	(void)state;
	assert_null(symbol_find(IMAGE_BASE + 0xFF, &offset));
	assert_null(symbol_find(IMAGE_BASE + 0x200, &offset));
	assert_null(symbol_find(IMAGE_BASE - 1, &offset));
	assert_null(symbol_find(0, &offset));
	assert_null(symbol_find(UINT64_MAX, &offset));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_lies_in_the_function_before_it),
		cmocka_unit_test(other_addresses_have_no_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
