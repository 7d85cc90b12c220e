/*
 * The memory table: claims split, cover and join entries, and thousands of random claims agree with a plain
 * array that holds the kind of every page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "boot/memory_table.h"

#define PAGE   4096u
#define PAGES  200u
#define NOBODY 0xFFu
#define ROUNDS 20000u

static struct boot_info info;

static void claim(uint64_t page, uint64_t count, enum boot_memory_kind kind)
{
	assert_true(memory_table_claim(&info, page * PAGE, count * PAGE, kind, true));
}

static void expect_entry(uint32_t index, uint64_t page, uint64_t count, enum boot_memory_kind kind)
{
	assert_true(index < info.memory_count);
	assert_int_equal(info.memory[index].start, page * PAGE);
	assert_int_equal(info.memory[index].size, count * PAGE);
	assert_int_equal(info.memory[index].kind, kind);
}

static void test_split_and_join(void **state)
{
	(void)state;
	memory_table_clear(&info);
	claim(10, 10, BOOT_MEM_FREE);
	claim(0, 5, BOOT_MEM_FREE);
	claim(5, 5, BOOT_MEM_FREE);
	assert_int_equal(info.memory_count, 1);
	expect_entry(0, 0, 20, BOOT_MEM_FREE);

	claim(4, 2, BOOT_MEM_IMAGE);
	assert_int_equal(info.memory_count, 3);
	expect_entry(0, 0, 4, BOOT_MEM_FREE);
	expect_entry(1, 4, 2, BOOT_MEM_IMAGE);
	expect_entry(2, 6, 14, BOOT_MEM_FREE);
	assert_int_equal(memory_table_total(&info, BOOT_MEM_FREE), 18 * PAGE);

	claim(2, 8, BOOT_MEM_ACPI);
	assert_int_equal(info.memory_count, 3);
	expect_entry(1, 2, 8, BOOT_MEM_ACPI);
	claim(0, 20, BOOT_MEM_FREE);
	assert_int_equal(info.memory_count, 1);
}

static void test_caching_keeps_neighbours_apart(void **state)
{
	(void)state;
	memory_table_clear(&info);
	assert_true(memory_table_claim(&info, 0, PAGE, BOOT_MEM_FREE, true));
	assert_true(memory_table_claim(&info, PAGE, PAGE, BOOT_MEM_FREE, false));
	assert_true(memory_table_claim(&info, 5 * PAGE, 0, BOOT_MEM_FREE, true));
	assert_int_equal(info.memory_count, 2);
}

/* Runtime services must stay: nothing can be given up for one more. */
static void test_full_table_is_told(void **state)
{
	(void)state;
	memory_table_clear(&info);
	for (uint32_t i = 0; i < BOOT_MAX_MEMORY; i++)
		claim(2 * i, 1, BOOT_MEM_RUNTIME);
	assert_false(memory_table_claim(&info, 2 * BOOT_MAX_MEMORY * PAGE, PAGE, BOOT_MEM_FREE, true));
	assert_int_equal(info.memory_count, BOOT_MAX_MEMORY);
	claim(0, 2, BOOT_MEM_RUNTIME);
	assert_int_equal(info.memory_count, BOOT_MAX_MEMORY - 1);
}

/* The largest pieces of free memory stay, and every page is either named or counted as left out. */
static void test_crowded_table_gives_up_the_smallest(void **state)
{
	const uint32_t pieces = 3 * BOOT_MAX_MEMORY;
	uint64_t total = 0;

	(void)state;
	memory_table_clear(&info);
	for (uint32_t i = 0; i < pieces; i++) {
		uint32_t size = 1 + i * 7 % pieces;

		claim(i * (pieces + 1), size, BOOT_MEM_FREE);
		total += size;
	}
	assert_true(info.memory_count >= BOOT_MAX_MEMORY - 2);
	for (uint32_t i = 0; i < info.memory_count; i++)
		assert_true(info.memory[i].size >= (pieces - BOOT_MAX_MEMORY - 1) * PAGE);
	assert_int_equal(memory_table_total(&info, BOOT_MEM_FREE) + info.memory_left_out, total * PAGE);
}

static void test_crowded_table_gives_up_reserved_ranges_first(void **state)
{
	(void)state;
	memory_table_clear(&info);
	claim(0, 10 * BOOT_MAX_MEMORY, BOOT_MEM_FREE);
	for (uint32_t i = 0; i < BOOT_MAX_MEMORY; i++)
		claim(4 * i + 1, 1, BOOT_MEM_RESERVED);
	claim(1, 1, BOOT_MEM_IMAGE);
	for (uint32_t i = 0; i < info.memory_count; i++)
		assert_true(info.memory[i].kind != BOOT_MEM_FREE ||
			    info.memory[i].start % (4 * PAGE) != PAGE);
	assert_int_equal(memory_table_total(&info, BOOT_MEM_IMAGE), PAGE);
	assert_true(memory_table_total(&info, BOOT_MEM_FREE) + info.memory_left_out <=
		    9 * BOOT_MAX_MEMORY * PAGE);
}

static void expect_same(const uint8_t *kinds)
{
	uint32_t index = 0;

	for (uint32_t page = 0; page < PAGES;) {
		uint32_t count = 1;

		while (page + count < PAGES && kinds[page + count] == kinds[page])
			count++;
		if (kinds[page] != NOBODY)
			expect_entry(index++, page, count, kinds[page]);
		page += count;
	}
	assert_int_equal(index, info.memory_count);
}

static void test_random_claims(void **state)
{
	uint8_t kinds[PAGES];

	(void)state;
	srand(1);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		if (round % 50 == 0) {
			memset(kinds, NOBODY, sizeof(kinds));
			memory_table_clear(&info);
		}
		uint32_t start = (uint32_t)rand() % PAGES;
		uint32_t count = (uint32_t)rand() % (PAGES - start) % 20 + 1;
		uint8_t kind = (uint8_t)(rand() % 4);

		if (count > PAGES - start)
			count = PAGES - start;
		claim(start, count, kind);
		memset(kinds + start, kind, count);
		expect_same(kinds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_and_join),
		cmocka_unit_test(test_caching_keeps_neighbours_apart),
		cmocka_unit_test(test_full_table_is_told),
		cmocka_unit_test(test_crowded_table_gives_up_the_smallest),
		cmocka_unit_test(test_crowded_table_gives_up_reserved_ranges_first),
		cmocka_unit_test(test_random_claims),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
