/*
 * The pool: zeroed, contiguous, all of it can be had and given back, and what was not given out cannot be
 * taken back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/lib/log.h"
#include "hv/mem/pool.h"

#define PAGES 64
#define START 0x1234000ull

static uint8_t memory[PAGES * PAGE_SIZE] ALIGNED(PAGE_SIZE);
static jmp_buf panicked;

NORETURN void panic(const char *format, ...)
{
	(void)format;
	longjmp(panicked, 1);
}

static int create(void **state)
{
	(void)state;
	memset(memory, 0xA5, sizeof(memory));
	pool_create(hpa(START), PAGES, memory);
	return 0;
}

static bool all_zero(const uint8_t *at, size_t size)
{
	while (size && *at == 0) {
		at++;
		size--;
	}
	return size == 0;
}

static void pages_are_zeroed_and_apart(void **state)
{
	uint8_t *first = pool_allocate(1), *second = pool_allocate(3);

	(void)state;
	assert_ptr_equal(first, memory + PAGE_SIZE); /* the bitmap is in the first */
	assert_ptr_equal(second, first + PAGE_SIZE);
	assert_true(all_zero(first, 4 * PAGE_SIZE));
	assert_int_equal(second[3 * PAGE_SIZE], 0xA5);
	assert_int_equal(pool_used(), 5);
	assert_int_equal(pool_size(), PAGES);
}

static void addresses_go_both_ways(void **state)
{
	uint8_t *page = pool_allocate(2);

	(void)state;
	assert_int_equal(pool_address(page).value, START + PAGE_SIZE);
	assert_int_equal(pool_address(page + 0x1234).value, START + PAGE_SIZE + 0x1234);
	assert_ptr_equal(pool_reach(hpa(START + PAGE_SIZE)), page);
}

static void all_of_it_can_be_had_and_given_back(void **state)
{
	void *page[PAGES];
	size_t count = 0;

	(void)state;
	while ((page[count] = pool_allocate(1)) != NULL)
		count++;
	assert_int_equal(count, PAGES - 1);
	for (size_t i = 0; i < count; i += 2)
		pool_release(page[i], 1);
	assert_null(pool_allocate(2));
	assert_non_null(pool_allocate(1));
	for (size_t i = 1; i < count; i += 2)
		pool_release(page[i], 1);
	assert_non_null(pool_allocate(PAGES - 2));
	assert_null(pool_allocate(1));
}

static void what_comes_back_is_zeroed_again(void **state)
{
	uint8_t *page = pool_allocate(2);

	(void)state;
	memset(page, 0xFF, 2 * PAGE_SIZE);
	pool_release(page, 2);
	assert_ptr_equal(pool_allocate(2), page);
	assert_true(all_zero(page, 2 * PAGE_SIZE));
}

static void nonsense_sizes_get_nothing(void **state)
{
	(void)state;
	assert_null(pool_allocate(0));
	assert_null(pool_allocate(PAGES + 1));
	assert_null(pool_allocate(SIZE_MAX));
	assert_int_equal(pool_used(), 1);
}

static void a_double_release_is_a_bug(void **state)
{
	uint8_t *page = pool_allocate(1);

	(void)state;
	pool_release(page, 1);
	if (setjmp(panicked) == 0) {
		pool_release(page, 1);
		fail_msg("no panic");
	}
}

static void the_bitmap_cannot_be_released(void **state)
{
	(void)state;
	if (setjmp(panicked) == 0) {
		pool_release(memory, 1);
		fail_msg("no panic");
	}
}

static void the_pool_can_be_seen_elsewhere(void **state)
{
	static uint8_t copy[PAGES * PAGE_SIZE] ALIGNED(PAGE_SIZE);
	uint8_t *page = pool_allocate(1);

	(void)state;
	memcpy(copy, memory, sizeof(copy));
	pool_move(copy);
	assert_int_equal(pool_used(), 2);
	assert_ptr_equal(pool_reach(hpa(START + PAGE_SIZE)), copy + (page - memory));
	assert_ptr_equal(pool_allocate(1), copy + 2 * PAGE_SIZE);
}

static void tables_come_from_the_pool(void **state)
{
	hpa_t frame;

	(void)state;
	assert_int_equal(pool_pages.allocate(&frame), OK);
	assert_int_equal(frame.value, START + PAGE_SIZE);
	assert_ptr_equal(pool_pages.reach(frame), memory + PAGE_SIZE);
	pool_pages.release(frame);
	assert_int_equal(pool_used(), 1);
	assert_non_null(pool_allocate(PAGES - 1));
	assert_int_equal(pool_pages.allocate(&frame), ERR_NO_MEMORY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(pages_are_zeroed_and_apart, create),
		cmocka_unit_test_setup(addresses_go_both_ways, create),
		cmocka_unit_test_setup(all_of_it_can_be_had_and_given_back, create),
		cmocka_unit_test_setup(what_comes_back_is_zeroed_again, create),
		cmocka_unit_test_setup(nonsense_sizes_get_nothing, create),
		cmocka_unit_test_setup(the_pool_can_be_seen_elsewhere, create),
		cmocka_unit_test_setup(tables_come_from_the_pool, create),
		cmocka_unit_test_setup(the_bitmap_cannot_be_released, create),
		cmocka_unit_test_setup(a_double_release_is_a_bug, create),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
