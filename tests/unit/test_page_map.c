/*
 * The page-table code with a format of its own: large pages where they fit, splitting, errors, running out of
 * tables, and a long random run against an array of pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/mem/page_map.h"

#define PRESENT	   1ull
#define LARGE	   (1ull << 7)
#define FLAG_SHIFT 52

/*
 * A format and a page source
 */

static uint64_t test_leaf(hpa_t frame, uint32_t flags, unsigned level)
{
	return frame.value | PRESENT | (level > 1 ? LARGE : 0) | (uint64_t)flags << FLAG_SHIFT;
}

static uint32_t test_flags(uint64_t entry)
{
	return (uint32_t)(entry >> FLAG_SHIFT);
}

static const struct page_format test_format = {.name = "test",
					       .leaf = test_leaf,
					       .table_bits = PRESENT,
					       .present_bits = PRESENT,
					       .large_bit = LARGE,
					       .flags = test_flags};

#define TABLES	    1024
#define FIRST_TABLE 0x100000ull

static uint64_t tables[TABLES][512];
static bool table_used[TABLES];
static unsigned tables_in_use, table_limit;

static enum status take_table(hpa_t *frame)
{
	if (tables_in_use >= table_limit)
		return ERR_NO_MEMORY;
	for (unsigned i = 0; i < TABLES; i++) {
		if (table_used[i])
			continue;
		table_used[i] = true;
		tables_in_use++;
		memset(tables[i], 0, sizeof(tables[i]));
		*frame = hpa(FIRST_TABLE + i * PAGE_SIZE);
		return OK;
	}
	return ERR_NO_MEMORY;
}

static uint64_t *reach_table(hpa_t frame)
{
	return tables[(frame.value - FIRST_TABLE) / PAGE_SIZE];
}

static void give_table(hpa_t frame)
{
	unsigned i = (unsigned)((frame.value - FIRST_TABLE) / PAGE_SIZE);

	assert_true(table_used[i]);
	table_used[i] = false;
	tables_in_use--;
}

static const struct page_source source = {
	.allocate = take_table, .release = give_table, .reach = reach_table};

static struct page_map map;

static void create_map(unsigned max_level)
{
	assert_int_equal(page_map_create(&map, &test_format, &source, max_level), OK);
}

static int setup(void **state)
{
	(void)state;
	memset(table_used, 0, sizeof(table_used));
	tables_in_use = 0;
	table_limit = TABLES;
	create_map(3);
	return 0;
}

/* Destroying gives back every table that was taken. */
static int teardown(void **state)
{
	(void)state;
	page_map_destroy(&map);
	return tables_in_use == 0 ? 0 : -1;
}

static void add(uint64_t address, uint64_t frame, uint64_t size, uint32_t flags)
{
	assert_int_equal(page_map_add(&map, address, hpa(frame), size, flags), OK);
}

static void expect(uint64_t address, uint64_t start, uint64_t frame, uint64_t size, uint32_t flags)
{
	struct mapping found;

	assert_true(page_map_find(&map, address, &found));
	assert_int_equal(found.address, start);
	assert_int_equal(found.frame.value, frame);
	assert_int_equal(found.size, size);
	assert_int_equal(found.flags, flags);
}

static void expect_nothing(uint64_t address)
{
	struct mapping found;

	assert_false(page_map_find(&map, address, &found));
}

/* --- tests
 * ----------------------------------------------------------------------------------------------------------
 */

static void one_page(void **state)
{
	(void)state;
	add(0x1000, 0x55000, PAGE_SIZE, MAP_READ);
	expect(0x1FFF, 0x1000, 0x55000, PAGE_SIZE, MAP_READ);
	expect_nothing(0x0);
	expect_nothing(0x2000);
	assert_int_equal(tables_in_use, 4);
}

static void the_largest_pages_that_fit(void **state)
{
	(void)state;
	/* From 1 GiB - 2 MiB - 4 KiB to 2 GiB + 4 KiB: 4 KiB, 2 MiB, 1 GiB, 4 KiB. */
	add(GIB - 2 * MIB - PAGE_SIZE, 3 * GIB - 2 * MIB - PAGE_SIZE, GIB + 2 * MIB + 2 * PAGE_SIZE,
	    MAP_READ | MAP_WRITE);
	expect(GIB - 2 * MIB - 1, GIB - 2 * MIB - PAGE_SIZE, 3 * GIB - 2 * MIB - PAGE_SIZE, PAGE_SIZE,
	       MAP_READ | MAP_WRITE);
	expect(GIB - 1, GIB - 2 * MIB, 3 * GIB - 2 * MIB, 2 * MIB, MAP_READ | MAP_WRITE);
	expect(GIB + 12345, GIB, 3 * GIB, GIB, MAP_READ | MAP_WRITE);
	expect(2 * GIB, 2 * GIB, 4 * GIB, PAGE_SIZE, MAP_READ | MAP_WRITE);
	expect_nothing(2 * GIB + PAGE_SIZE);
}

static void frames_that_do_not_line_up_get_small_pages(void **state)
{
	(void)state;
	add(0, 0x1000, 4 * MIB, MAP_READ);
	expect(2 * MIB, 2 * MIB, 2 * MIB + 0x1000, PAGE_SIZE, MAP_READ);
}

static void the_level_is_bounded(void **state)
{
	(void)state;
	page_map_destroy(&map);
	create_map(2);
	add(0, 0, GIB, MAP_READ);
	expect(GIB - 1, GIB - 2 * MIB, GIB - 2 * MIB, 2 * MIB, MAP_READ);
	page_map_destroy(&map);
	create_map(1);
	add(0, 0, 2 * MIB, MAP_READ);
	expect(2 * MIB - 1, 2 * MIB - PAGE_SIZE, 2 * MIB - PAGE_SIZE, PAGE_SIZE, MAP_READ);
}

static void levels_that_are_none_are_refused(void **state)
{
	struct page_map other;

	(void)state;
	assert_int_equal(page_map_create(&other, &test_format, &source, 0), ERR_INVALID);
	assert_int_equal(page_map_create(&other, &test_format, &source, 4), ERR_INVALID);
	table_limit = tables_in_use;
	assert_int_equal(page_map_create(&other, &test_format, &source, 1), ERR_NO_MEMORY);
}

static void what_is_mapped_is_not_mapped_again(void **state)
{
	(void)state;
	add(4 * MIB, 0, 2 * MIB, MAP_READ);
	add(8 * MIB + PAGE_SIZE, 0, PAGE_SIZE, MAP_READ);
	assert_int_equal(page_map_add(&map, 4 * MIB + PAGE_SIZE, hpa(0), PAGE_SIZE, MAP_READ), ERR_EXISTS);
	assert_int_equal(page_map_add(&map, 8 * MIB, hpa(0), 2 * MIB, MAP_READ), ERR_EXISTS);
	assert_int_equal(page_map_add(&map, 0, hpa(0), GIB, MAP_READ), ERR_EXISTS);
	expect_nothing(0);
	expect_nothing(8 * MIB);
}

static void a_large_page_beside_empty_tables_is_split_up(void **state)
{
	(void)state;
	add(0, 0, PAGE_SIZE, MAP_READ);
	assert_int_equal(page_map_remove(&map, 0, PAGE_SIZE), OK);
	add(0, 0, 2 * MIB, MAP_READ); /* the empty table stays, and is used */
	expect(2 * MIB - 1, 2 * MIB - PAGE_SIZE, 2 * MIB - PAGE_SIZE, PAGE_SIZE, MAP_READ);
}

static void nonsense_is_refused(void **state)
{
	(void)state;
	assert_int_equal(page_map_add(&map, 0x123, hpa(0), PAGE_SIZE, MAP_READ), ERR_INVALID);
	assert_int_equal(page_map_add(&map, 0, hpa(0x10), PAGE_SIZE, MAP_READ), ERR_INVALID);
	assert_int_equal(page_map_add(&map, 0, hpa(1ull << 52), PAGE_SIZE, MAP_READ), ERR_INVALID);
	assert_int_equal(page_map_add(&map, 0, hpa(0), 0, MAP_READ), ERR_INVALID);
	assert_int_equal(page_map_add(&map, 0, hpa(0), 0x800, MAP_READ), ERR_INVALID);
	assert_int_equal(page_map_add(&map, 0x800000000000, hpa(0), PAGE_SIZE, MAP_READ), ERR_INVALID);
	assert_int_equal(page_map_add(&map, 0x7FFFFFFFF000, hpa(0), 2 * PAGE_SIZE, MAP_READ), ERR_INVALID);
	assert_int_equal(page_map_remove(&map, 0xFFFFFFFFFFFFF000, 2 * PAGE_SIZE), ERR_INVALID);
	expect_nothing(0x800000000000);
}

static void the_upper_half(void **state)
{
	(void)state;
	add(0xFFFF800000000000, 0x1000, PAGE_SIZE, MAP_READ);
	add(0xFFFFFFFFFFFFF000, 0x2000, PAGE_SIZE, MAP_WRITE);
	expect(0xFFFF800000000FFF, 0xFFFF800000000000, 0x1000, PAGE_SIZE, MAP_READ);
	expect(0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFF000, 0x2000, PAGE_SIZE, MAP_WRITE);
	assert_int_equal(page_map_remove(&map, 0xFFFFFFFFFFFFF000, PAGE_SIZE), OK);
	expect_nothing(0xFFFFFFFFFFFFF000);
}

static void removal_splits_large_pages(void **state)
{
	(void)state;
	add(0, 4 * GIB, GIB, MAP_READ | MAP_EXECUTE);
	assert_int_equal(page_map_remove(&map, 6 * MIB + PAGE_SIZE, PAGE_SIZE), OK);
	expect_nothing(6 * MIB + PAGE_SIZE);
	expect(6 * MIB, 6 * MIB, 4 * GIB + 6 * MIB, PAGE_SIZE, MAP_READ | MAP_EXECUTE);
	expect(8 * MIB, 8 * MIB, 4 * GIB + 8 * MIB, 2 * MIB, MAP_READ | MAP_EXECUTE);
	expect(GIB - 1, GIB - 2 * MIB, 5 * GIB - 2 * MIB, 2 * MIB, MAP_READ | MAP_EXECUTE);
}

static void removal_passes_over_what_is_not_mapped(void **state)
{
	(void)state;
	assert_int_equal(page_map_remove(&map, 0, 512 * GIB), OK);
	add(5 * GIB, 0, 2 * MIB, MAP_READ);
	assert_int_equal(page_map_remove(&map, 0, 512 * GIB), OK);
	expect_nothing(5 * GIB);
}

static void running_out_while_adding_leaves_nothing(void **state)
{
	(void)state;
	table_limit = tables_in_use + 3; /* enough for the first page, not for the second table of pages */
	assert_int_equal(page_map_add(&map, 2 * MIB - PAGE_SIZE, hpa(0), 2 * PAGE_SIZE, MAP_READ),
			 ERR_NO_MEMORY);
	expect_nothing(2 * MIB - PAGE_SIZE);
	table_limit = TABLES;
	add(2 * MIB - PAGE_SIZE, 0, 2 * PAGE_SIZE, MAP_READ);
}

static void running_out_while_splitting_keeps_the_mapping(void **state)
{
	(void)state;
	add(0, 0, 2 * MIB, MAP_READ);
	table_limit = tables_in_use;
	assert_int_equal(page_map_remove(&map, 0, PAGE_SIZE), ERR_NO_MEMORY);
	expect(0, 0, 0, 2 * MIB, MAP_READ);
}

struct visits {
	unsigned count, stop_after;
	struct mapping leaf[8];
};

static bool note(void *context, const struct mapping *leaf)
{
	struct visits *visits = context;

	visits->leaf[visits->count++] = *leaf;
	return visits->count < visits->stop_after;
}

static void the_walk_goes_in_order_and_stops(void **state)
{
	struct visits visits = {.stop_after = 8};

	(void)state;
	add(0xFFFFFFFF80000000, 0x7000, PAGE_SIZE, MAP_EXECUTE);
	add(3 * GIB, 0, GIB, MAP_READ);
	add(2 * MIB, 0, 2 * MIB, MAP_WRITE);
	page_map_walk(&map, note, &visits);
	assert_int_equal(visits.count, 3);
	assert_int_equal(visits.leaf[0].address, 2 * MIB);
	assert_int_equal(visits.leaf[0].flags, MAP_WRITE);
	assert_int_equal(visits.leaf[1].address, 3 * GIB);
	assert_int_equal(visits.leaf[1].size, GIB);
	assert_int_equal(visits.leaf[2].address, 0xFFFFFFFF80000000);

	visits = (struct visits){.stop_after = 2};
	page_map_walk(&map, note, &visits);
	assert_int_equal(visits.count, 2);
}

/*
 * The random run
 */

#define PAGES	 (512 * 6)
#define UNMAPPED ~0ull

static uint64_t model[PAGES]; /* the frame of each page */

static bool model_empty(uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i++)
		if (model[i] != UNMAPPED)
			return false;
	return true;
}

static void random_step(void)
{
	/* Often aligned to large pages, so that those come up. */
	uint64_t unit = rand() % 2 ? 512 : 1 + (uint64_t)rand() % 40;
	uint64_t first = (uint64_t)rand() % PAGES / unit * unit, count = unit * (1 + (uint64_t)rand() % 3);
	uint64_t frame = (uint64_t)rand() % 1000 * 512 * PAGE_SIZE + (rand() % 4 ? 0 : PAGE_SIZE);

	if (first + count > PAGES)
		return;
	if (rand() % 2) {
		bool empty = model_empty(first, count);

		assert_int_equal(
			page_map_add(&map, first * PAGE_SIZE, hpa(frame), count * PAGE_SIZE, MAP_READ),
			empty ? OK : ERR_EXISTS);
		for (uint64_t i = 0; empty && i < count; i++)
			model[first + i] = frame + i * PAGE_SIZE;
	} else {
		assert_int_equal(page_map_remove(&map, first * PAGE_SIZE, count * PAGE_SIZE), OK);
		for (uint64_t i = 0; i < count; i++)
			model[first + i] = UNMAPPED;
	}
}

static void check_against_model(void)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		struct mapping found;
		bool mapped = page_map_find(&map, i * PAGE_SIZE, &found);

		assert_int_equal(mapped, model[i] != UNMAPPED);
		if (mapped)
			assert_int_equal(found.frame.value + (i * PAGE_SIZE - found.address), model[i]);
	}
}

static void random_run_agrees_with_the_model(void **state)
{
	(void)state;
	srand(3);
	for (unsigned i = 0; i < PAGES; i++)
		model[i] = UNMAPPED;
	for (unsigned step = 0; step < 1500; step++) {
		random_step();
		check_against_model();
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_page),
		TEST(the_largest_pages_that_fit),
		TEST(frames_that_do_not_line_up_get_small_pages),
		TEST(the_level_is_bounded),
		TEST(levels_that_are_none_are_refused),
		TEST(what_is_mapped_is_not_mapped_again),
		TEST(a_large_page_beside_empty_tables_is_split_up),
		TEST(nonsense_is_refused),
		TEST(the_upper_half),
		TEST(removal_splits_large_pages),
		TEST(removal_passes_over_what_is_not_mapped),
		TEST(running_out_while_adding_leaves_nothing),
		TEST(running_out_while_splitting_keeps_the_mapping),
		TEST(the_walk_goes_in_order_and_stops),
		TEST(random_run_agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
