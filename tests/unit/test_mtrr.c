/*
 * The memory type range registers: what firmware leaves, what each can hold, and what Linux's probing and
 * its write of all of them expect.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hv/device/mtrr.h"

#define CAP	0xFE
#define DEFAULT 0x2FF
#define BASE0	0x200
#define MASK0	0x201
#define BITS	40

static struct mtrr mtrr;

static int setup(void **state)
{
	(void)state;
	mtrr_reset(&mtrr, BITS);
	return 0;
}

static uint64_t get(uint32_t msr)
{
	uint64_t value;

	assert_true(mtrr_read(&mtrr, msr, &value));
	return value;
}

static void firmware(void **state)
{
	(void)state;
	assert_int_equal(get(CAP), 0x508);
	assert_int_equal(get(DEFAULT), 0xC06);
	assert_int_equal(get(BASE0), 0xC0000000);
	assert_int_equal(get(MASK0), 0xFFC0000800);
	for (uint32_t msr = 0x202; msr < 0x210; msr++)
		assert_int_equal(get(msr), 0);
	assert_int_equal(get(0x250), 0x0606060606060606);
	assert_int_equal(get(0x258), 0x0606060606060606);
	assert_int_equal(get(0x259), 0); /* A0000h to BFFFFh */
	assert_int_equal(get(0x26F), 0x0606060606060606);
}

static void nobody_else(void **state)
{
	static const uint32_t others[] = {0xFD,	 0xFF,	0x1FF, 0x210, 0x24F, 0x251, 0x257,
					  0x25A, 0x267, 0x270, 0x277, 0x2FE, 0x300, 0xC0000080};
	uint64_t value;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		assert_false(mtrr_read(&mtrr, others[i], &value));
		assert_false(mtrr_write(&mtrr, others[i], 0));
	}
	assert_false(mtrr_write(&mtrr, CAP, 0x508)); /* read-only */
}

static void keeps(void **state)
{
	static const uint32_t fixed[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26A,
					 0x26B, 0x26C, 0x26D, 0x26E, 0x26F};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++)
		assert_true(mtrr_write(&mtrr, fixed[i], 0x0605040100060500 + i % 2));
	for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++)
		assert_int_equal(get(fixed[i]), 0x0605040100060500 + i % 2);
	for (uint32_t i = 0; i < 16; i++)
		assert_true(mtrr_write(&mtrr, BASE0 + i, (uint64_t)i << 12 | (i & 1 ? 0x800 : 6)));
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(get(BASE0 + i), (uint64_t)i << 12 | (i & 1 ? 0x800 : 6));
	assert_true(mtrr_write(&mtrr, DEFAULT, 0));
	assert_int_equal(get(DEFAULT), 0);
}

static void refuses(void **state)
{
	(void)state;
	assert_false(mtrr_write(&mtrr, DEFAULT, 0xC02)); /* no such type */
	assert_false(mtrr_write(&mtrr, DEFAULT, 0x1C06));
	assert_false(mtrr_write(&mtrr, DEFAULT, 0xE06));
	assert_false(mtrr_write(&mtrr, 0x250, 0x0606060606060206));
	assert_false(mtrr_write(&mtrr, 0x250, 0x0806060606060606));
	assert_false(mtrr_write(&mtrr, BASE0, 0x106));
	assert_false(mtrr_write(&mtrr, BASE0, 3));
	assert_false(mtrr_write(&mtrr, BASE0, 1ull << BITS));
	assert_false(mtrr_write(&mtrr, MASK0, 1));
	assert_false(mtrr_write(&mtrr, MASK0, 1ull << BITS | 0x800));
	assert_true(mtrr_write(&mtrr, MASK0, (1ull << BITS) - 0x1000 + 0x800));
	assert_int_equal(get(DEFAULT), 0xC06);
}

int main(void)
{
#undef TEST
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {TEST(firmware), TEST(nobody_else), TEST(keeps), TEST(refuses)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
