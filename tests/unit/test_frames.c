/*
 * Frame ownership: each rule of the table, and a long random run against an array that knows the owner of
 * every frame.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/mem/frames.h"

static struct frame_table table;

static int clear(void **state)
{
	(void)state;
	memset(&table, 0, sizeof(table));
	return 0;
}

static void assert_extent(uint32_t index, uint64_t start, uint64_t end, owner_t owner)
{
	assert_true(index < table.count);
	assert_int_equal(table.extent[index].start, start);
	assert_int_equal(table.extent[index].size, end - start);
	assert_int_equal(table.extent[index].owner, owner);
}

static void add(uint64_t start, uint64_t end, owner_t owner)
{
	assert_int_equal(frames_add(&table, hpa(start), end - start, owner), OK);
}

static void ranges_are_kept_sorted_and_merged(void **state)
{
	(void)state;
	add(0x5000, 0x6000, OWNER_FREE);
	add(0x1000, 0x2000, OWNER_FREE);
	add(0x3000, 0x5000, OWNER_MMIO);
	assert_int_equal(table.count, 3);
	add(0x2000, 0x3000, OWNER_FREE);
	assert_int_equal(table.count, 3);
	assert_extent(0, 0x1000, 0x3000, OWNER_FREE);
	add(0x7000, 0x8000, OWNER_FREE);
	add(0x6000, 0x7000, OWNER_FREE); /* closes the gap on both sides */
	assert_int_equal(table.count, 3);
	assert_extent(1, 0x3000, 0x5000, OWNER_MMIO);
	assert_extent(2, 0x5000, 0x8000, OWNER_FREE);
}

static void what_is_named_already_is_refused(void **state)
{
	(void)state;
	add(0x4000, 0x8000, OWNER_FREE);
	assert_int_equal(frames_add(&table, hpa(0x4000), 0x1000, OWNER_FREE), ERR_EXISTS);
	assert_int_equal(frames_add(&table, hpa(0x7000), 0x1000, OWNER_MMIO), ERR_EXISTS);
	assert_int_equal(frames_add(&table, hpa(0x2000), 0x3000, OWNER_FREE), ERR_EXISTS);
	assert_int_equal(frames_add(&table, hpa(0x2000), 0x9000, OWNER_FREE), ERR_EXISTS);
	assert_int_equal(frames_add(&table, hpa(0x8000), 0x800, OWNER_FREE), ERR_INVALID);
	assert_int_equal(frames_add(&table, hpa(0x8800), 0x1000, OWNER_FREE), ERR_INVALID);
	assert_int_equal(frames_add(&table, hpa(0x8000), 0, OWNER_FREE), ERR_INVALID);
	assert_int_equal(frames_add(&table, hpa(0 - PAGE_SIZE), PAGE_SIZE, OWNER_FREE), ERR_INVALID);
	assert_int_equal(table.count, 1);
}

static void transfer_cuts_and_joins(void **state)
{
	(void)state;
	add(0x1000, 0x9000, OWNER_FREE);
	assert_int_equal(frames_transfer(&table, hpa(0x3000), 0x2000, OWNER_FREE, OWNER_HYPERVISOR), OK);
	assert_int_equal(table.count, 3);
	assert_extent(0, 0x1000, 0x3000, OWNER_FREE);
	assert_extent(1, 0x3000, 0x5000, OWNER_HYPERVISOR);
	assert_extent(2, 0x5000, 0x9000, OWNER_FREE);

	assert_int_equal(frames_transfer(&table, hpa(0x5000), 0x1000, OWNER_FREE, OWNER_HYPERVISOR), OK);
	assert_int_equal(frames_transfer(&table, hpa(0x2000), 0x1000, OWNER_FREE, OWNER_HYPERVISOR), OK);
	assert_int_equal(table.count, 3);
	assert_extent(1, 0x2000, 0x6000, OWNER_HYPERVISOR);

	assert_int_equal(frames_transfer(&table, hpa(0x2000), 0x4000, OWNER_HYPERVISOR, OWNER_FREE), OK);
	assert_int_equal(table.count, 1);
	assert_extent(0, 0x1000, 0x9000, OWNER_FREE);
}

static void transfer_of_what_is_not_owned_changes_nothing(void **state)
{
	struct frame_table before;

	(void)state;
	add(0x1000, 0x3000, OWNER_FREE);
	add(0x3000, 0x5000, OWNER_PARTITION(0));
	add(0x6000, 0x7000, OWNER_FREE);
	before = table;
	assert_int_equal(frames_transfer(&table, hpa(0x2000), 0x2000, OWNER_FREE, OWNER_HYPERVISOR),
			 ERR_OWNER);
	assert_int_equal(frames_transfer(&table, hpa(0x3000), 0x1000, OWNER_PARTITION(1), OWNER_FREE),
			 ERR_OWNER);
	assert_int_equal(frames_transfer(&table, hpa(0x5000), 0x1000, OWNER_FREE, OWNER_HYPERVISOR),
			 ERR_OWNER);
	assert_int_equal(frames_transfer(&table, hpa(0x6000), 0x2000, OWNER_FREE, OWNER_HYPERVISOR),
			 ERR_OWNER);
	assert_int_equal(frames_transfer(&table, hpa(0x100000), 0x1000, OWNER_FREE, OWNER_MMIO), ERR_OWNER);
	assert_int_equal(frames_transfer(&table, hpa(0x6000), 0x123, OWNER_FREE, OWNER_MMIO), ERR_INVALID);
	assert_memory_equal(&before, &table, sizeof(table));
}

static void transfer_to_oneself_is_nothing(void **state)
{
	(void)state;
	add(0x1000, 0x3000, OWNER_FREE);
	assert_int_equal(frames_transfer(&table, hpa(0x1000), 0x1000, OWNER_FREE, OWNER_FREE), OK);
	assert_int_equal(table.count, 1);
}

static void claim_takes_the_lowest_that_fits(void **state)
{
	hpa_t start;

	(void)state;
	add(0x1000, 0x3000, OWNER_FREE);
	add(0x200000, 0x300000, OWNER_FREE);
	add(0x400000, 0xA00000, OWNER_FREE);

	assert_int_equal(frames_claim(&table, 0x1000, PAGE_SIZE, hpa(0), OWNER_HYPERVISOR, &start), OK);
	assert_int_equal(start.value, 0x1000);
	assert_int_equal(frames_claim(&table, 0x1000, PAGE_SIZE, hpa(0x100000), OWNER_HYPERVISOR, &start),
			 OK);
	assert_int_equal(start.value, 0x200000);
	assert_int_equal(frames_claim(&table, 0x1000, PAGE_SIZE, hpa(0x280000), OWNER_PARTITION(0), &start),
			 OK);
	assert_int_equal(start.value, 0x280000);
	assert_int_equal(frames_claim(&table, 0x200000, LARGE_PAGE_SIZE, hpa(0), OWNER_PARTITION(1), &start),
			 OK);
	assert_int_equal(start.value, 0x400000);
	assert_int_equal(frames_owner(&table, start), OWNER_PARTITION(1));
	assert_int_equal(frames_claim(&table, 0x600000, LARGE_PAGE_SIZE, hpa(0), OWNER_PARTITION(2), &start),
			 ERR_NO_MEMORY);
	assert_int_equal(frames_claim(&table, 0x1000, PAGE_SIZE, hpa(0xA00000), OWNER_PARTITION(2), &start),
			 ERR_NO_MEMORY);
}

static void claim_refuses_nonsense(void **state)
{
	hpa_t start;

	(void)state;
	add(0x1000, 0x3000, OWNER_FREE);
	assert_int_equal(frames_claim(&table, 0, PAGE_SIZE, hpa(0), OWNER_MMIO, &start), ERR_INVALID);
	assert_int_equal(frames_claim(&table, 0x1234, PAGE_SIZE, hpa(0), OWNER_MMIO, &start), ERR_INVALID);
	assert_int_equal(frames_claim(&table, 0x1000, 0, hpa(0), OWNER_MMIO, &start), ERR_INVALID);
	assert_int_equal(frames_claim(&table, 0x1000, 0x3000, hpa(0), OWNER_MMIO, &start), ERR_INVALID);
}

static void an_alignment_beyond_memory_does_not_wrap(void **state)
{
	hpa_t start;

	(void)state;
	add(0xFFFFFFFFFFF00000, 0xFFFFFFFFFFFFF000, OWNER_FREE);
	assert_int_equal(frames_claim(&table, 0x1000, GIANT_PAGE_SIZE, hpa(0), OWNER_MMIO, &start),
			 ERR_NO_MEMORY);
	assert_int_equal(frames_largest_free(&table, GIANT_PAGE_SIZE), 0);
}

static void a_full_table_says_so_and_stays(void **state)
{
	hpa_t start;

	(void)state;
	for (uint64_t i = 0; i < FRAMES_MAX; i++)
		add(i * 0x10000, i * 0x10000 + 0x4000, OWNER_FREE);
	assert_int_equal(table.count, FRAMES_MAX);
	assert_int_equal(frames_add(&table, hpa(0x40000000), 0x1000, OWNER_FREE), ERR_FULL);
	assert_int_equal(frames_add(&table, hpa(0x4000), 0x1000, OWNER_MMIO), ERR_FULL);
	assert_int_equal(frames_add(&table, hpa(0x4000), 0x1000, OWNER_FREE), OK); /* joins */
	assert_int_equal(frames_claim(&table, 0x1000, PAGE_SIZE, hpa(0), OWNER_HYPERVISOR, &start), ERR_FULL);
	assert_int_equal(frames_claim(&table, 0x5000, PAGE_SIZE, hpa(0), OWNER_HYPERVISOR, &start),
			 OK); /* whole */
	assert_int_equal(table.count, FRAMES_MAX);
}

static void questions(void **state)
{
	(void)state;
	add(0x1000, 0x3000, OWNER_FREE);
	add(0x3000, 0x4000, OWNER_MODULE(2));
	add(0x500000, 0xB00000, OWNER_FREE);
	assert_int_equal(frames_owner(&table, hpa(0)), OWNER_FIRMWARE);
	assert_int_equal(frames_owner(&table, hpa(0x2FFF)), OWNER_FREE);
	assert_int_equal(frames_owner(&table, hpa(0x3000)), OWNER_MODULE(2));
	assert_int_equal(frames_owner(&table, hpa(0x4000)), OWNER_FIRMWARE);
	assert_int_equal(frames_owner(&table, hpa(0xB00000)), OWNER_FIRMWARE);
	assert_true(frames_owned_by(&table, hpa(0x1000), 0x2000, OWNER_FREE));
	assert_false(frames_owned_by(&table, hpa(0x1000), 0x3000, OWNER_FREE));
	assert_false(frames_owned_by(&table, hpa(0xB00000), 0x1000, OWNER_FREE));
	assert_int_equal(frames_total(&table, OWNER_FREE), 0x602000);
	assert_int_equal(frames_largest_free(&table, PAGE_SIZE), 0x600000);
	assert_int_equal(frames_largest_free(&table, LARGE_PAGE_SIZE), 0x400000);
	assert_string_equal(owner_kind(OWNER_FREE), "free");
	assert_string_equal(owner_kind(OWNER_HYPERVISOR), "hypervisor");
	assert_string_equal(owner_kind(OWNER_MODULE(15)), "guest image");
	assert_string_equal(owner_kind(OWNER_PARTITION(3)), "partition");
	assert_string_equal(owner_kind((owner_t)9), "unknown");
}

/*
 * The random run
 */

#define FRAMES 200
#define NOBODY 0xFFFF
#define OWNERS 4

static owner_t model[FRAMES];

static bool model_owned(uint64_t first, uint64_t count, owner_t owner)
{
	for (uint64_t i = first; i < first + count; i++)
		if (i >= FRAMES || model[i] != owner)
			return false;
	return true;
}

static void check_against_model(void)
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < table.count; i++) {
		const struct frame_extent *extent = &table.extent[i];

		assert_true(extent->start >= end);
		assert_true(i == 0 || extent->start > end || table.extent[i - 1].owner != extent->owner);
		assert_true(model_owned(extent->start / PAGE_SIZE, extent->size / PAGE_SIZE, extent->owner));
		end = extent->start + extent->size;
	}
	for (uint64_t i = 0; i < FRAMES; i++)
		assert_int_equal(frames_owner(&table, hpa(i * PAGE_SIZE)),
				 model[i] == NOBODY ? OWNER_FIRMWARE : model[i]);
}

static void random_step(void)
{
	uint64_t first = (uint64_t)rand() % FRAMES, count = 1 + (uint64_t)rand() % 12;
	owner_t from = (owner_t)(rand() % OWNERS), to = (owner_t)(rand() % OWNERS);
	bool all_nobody = true;

	for (uint64_t i = first; i < first + count && i < FRAMES; i++)
		all_nobody = all_nobody && model[i] == NOBODY;
	if (first + count > FRAMES)
		return;
	if (rand() % 4 == 0) {
		enum status status = frames_add(&table, hpa(first * PAGE_SIZE), count * PAGE_SIZE, to);

		assert_int_equal(status, all_nobody ? OK : ERR_EXISTS);
		for (uint64_t i = first; all_nobody && i < first + count; i++)
			model[i] = to;
	} else {
		bool owned = model_owned(first, count, from);
		enum status status =
			frames_transfer(&table, hpa(first * PAGE_SIZE), count * PAGE_SIZE, from, to);

		assert_int_equal(status, owned ? OK : ERR_OWNER);
		for (uint64_t i = first; owned && i < first + count; i++)
			model[i] = to;
	}
}

static void random_run_agrees_with_the_model(void **state)
{
	(void)state;
	srand(2);
	for (unsigned round = 0; round < 20; round++) {
		memset(&table, 0, sizeof(table));
		for (unsigned i = 0; i < FRAMES; i++)
			model[i] = NOBODY;
		for (unsigned step = 0; step < 400; step++) {
			random_step();
			check_against_model();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ranges_are_kept_sorted_and_merged, clear),
		cmocka_unit_test_setup(what_is_named_already_is_refused, clear),
		cmocka_unit_test_setup(transfer_cuts_and_joins, clear),
		cmocka_unit_test_setup(transfer_of_what_is_not_owned_changes_nothing, clear),
		cmocka_unit_test_setup(transfer_to_oneself_is_nothing, clear),
		cmocka_unit_test_setup(claim_takes_the_lowest_that_fits, clear),
		cmocka_unit_test_setup(claim_refuses_nonsense, clear),
		cmocka_unit_test_setup(an_alignment_beyond_memory_does_not_wrap, clear),
		cmocka_unit_test_setup(a_full_table_says_so_and_stays, clear),
		cmocka_unit_test_setup(questions, clear),
		cmocka_unit_test_setup(random_run_agrees_with_the_model, clear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
