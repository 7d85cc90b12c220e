/*
 * The small services: random numbers (TRNG), stolen time (PV time) and FFA_CONSOLE_LOG.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/call/call.h"
#include "hv/core/image.h"
#include "tests/unit/fake_partition.h"

static const uint32_t both_forms[] = {0, SMCCC_64};

static int set_up(void **state)
{
	(void)state;
	fake_create(MODE_PARA);
	return 0;
}

static int set_up_full(void **state)
{
	(void)state;
	fake_create(MODE_FULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_destroy();
	return 0;
}

static struct fake_registers call1(uint32_t function, uint64_t x1)
{
	return fake_call(0, (struct fake_registers){{function, x1, 0xA2, 0xA3}});
}

/*
 * TRNG
 */

static void test_trng_version(void **state)
{
	(void)state;
	assert_int_equal(call1(TRNG_VERSION, 0).x[0], TRNG_VERSION_1_0);
}

static void test_trng_features(void **state)
{
	static const uint32_t there[] = {TRNG_VERSION, TRNG_FEATURES, TRNG_GET_UUID, TRNG_RND_32,
					 TRNG_RND_64};
	static const uint32_t missing[] = {0x84000054, PSCI_VERSION, TRNG_VERSION | SMCCC_64, 0, 0x85000050};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(there); i++)
		assert_int_equal(call1(TRNG_FEATURES, there[i]).x[0], SMCCC_SUCCESS);
	for (unsigned i = 0; i < ARRAY_SIZE(missing); i++)
		assert_int_equal(call1(TRNG_FEATURES, missing[i]).x[0], UINT32_MAX);
}

static void test_trng_uuid(void **state)
{
	static const uint8_t uuid[16] = {0x6c, 0x66, 0x01, 0xdd, 0xc8, 0x08, 0x42, 0xc5,
					 0x91, 0xde, 0xf1, 0xab, 0x62, 0x0f, 0x04, 0x97};
	struct fake_registers out = call1(TRNG_GET_UUID, 0);
	uint32_t words[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		words[i] = (uint32_t)out.x[i];
	assert_memory_equal(words, uuid, sizeof(uuid));
}

static void test_trng_is_absent_without_a_generator(void **state)
{
	static const uint32_t calls[] = {TRNG_VERSION, TRNG_FEATURES, TRNG_GET_UUID, TRNG_RND_32,
					 TRNG_RND_64};

	(void)state;
	fake.entropy_present = false;
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
		struct fake_registers out = call1(calls[i], TRNG_RND_32);

		assert_int_equal((int32_t)out.x[0], SMCCC_NOT_SUPPORTED);
		assert_int_equal(out.x[1], TRNG_RND_32);
		assert_int_equal(out.x[2], 0xA2);
		assert_int_equal(out.x[3], 0xA3);
	}
}

static void assert_bits(uint64_t word, uint64_t bits, bool random)
{
	uint64_t mask = bits >= 64 ? UINT64_MAX : (1ull << bits) - 1;

	assert_int_equal(word & ~mask, 0);
	if (random)
		assert_int_not_equal(word, 0);
}

/* x3 holds the lowest bits, then x2, then x1; what was not asked for is 0. */
static void check_rnd(uint32_t function, unsigned word_bits)
{
	for (uint64_t bits = 1; bits <= 3 * word_bits; bits++) {
		struct fake_registers out;

		fake.entropy_value = UINT64_MAX - 10;
		out = call1(function, bits);
		assert_int_equal(out.x[0], SMCCC_SUCCESS);
		assert_bits(out.x[3], MIN(bits, word_bits), true);
		assert_bits(out.x[2], bits > word_bits ? MIN(bits - word_bits, word_bits) : 0,
			    bits > word_bits);
		assert_bits(out.x[1], bits > 2 * word_bits ? bits - 2 * word_bits : 0, bits > 2 * word_bits);
	}
}

static void test_trng_rnd_bits(void **state)
{
	(void)state;
	check_rnd(TRNG_RND_32, 32);
	check_rnd(TRNG_RND_64, 64);
}

static void test_trng_rnd_takes_whole_words(void **state)
{
	const uint64_t first = fake.entropy_value;
	struct fake_registers out = call1(TRNG_RND_64, 192);

	(void)state;
	assert_int_equal(out.x[3], first);
	assert_int_equal(out.x[2], first + 2);
	assert_int_equal(out.x[1], first + 4);
}

static void test_trng_rnd_bad_counts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		const uint64_t limit = both_forms[i] ? 192 : 96;
		const uint64_t counts[] = {0, limit + 1, UINT64_MAX};

		for (unsigned j = 0; j < ARRAY_SIZE(counts); j++) {
			struct fake_registers out = call1(TRNG_RND_32 | both_forms[i], counts[j]);

			assert_int_equal((int32_t)out.x[0], TRNG_INVALID_PARAMETERS);
			assert_int_equal(out.x[1] | out.x[2] | out.x[3], 0);
		}
	}
}

/* Running dry in the middle gives nothing at all. */
static void test_trng_no_entropy(void **state)
{
	(void)state;
	for (unsigned left = 0; left < 3; left++) {
		struct fake_registers out;

		fake.entropy_left = left;
		out = call1(TRNG_RND_64, 192);
		assert_int_equal(out.x[0], (uint64_t)TRNG_NO_ENTROPY);
		assert_int_equal(out.x[1] | out.x[2] | out.x[3], 0);
	}
}

/*
 * PV time
 */

static struct pv_stolen_time *record(unsigned cpu)
{
	return (struct pv_stolen_time *)(void *)(fake.memory + FAKE_STOLEN_GPA + cpu * PV_TIME_STRIDE);
}

static void test_pv_time_features(void **state)
{
	(void)state;
	assert_int_equal(call1(PV_TIME_FEATURES, PV_TIME_FEATURES).x[0], SMCCC_SUCCESS);
	assert_int_equal(call1(PV_TIME_FEATURES, PV_TIME_ST).x[0], SMCCC_SUCCESS);
	assert_int_equal(call1(PV_TIME_FEATURES, 0xC5000022).x[0], UINT64_MAX);
	assert_int_equal(call1(PV_TIME_FEATURES, 0xFF00000000000000u | PV_TIME_ST).x[0], UINT64_MAX);
}

static void test_pv_time_st(void **state)
{
	(void)state;
	for (unsigned cpu = 0; cpu < FAKE_VCPUS; cpu++)
		assert_int_equal(fake_call3(cpu, PV_TIME_ST, 0, 0, 0),
				 FAKE_STOLEN_GPA + cpu * PV_TIME_STRIDE);
}

static void test_pv_time_of_a_full_partition(void **state)
{
	(void)state;
	assert_int_equal(call1(PV_TIME_FEATURES, PV_TIME_ST).x[0], UINT64_MAX);
	assert_int_equal(call1(PV_TIME_ST, 0).x[0], UINT64_MAX);
	pvtime_account(&fake.vcpu[0], 1000); /* nowhere to write: nothing happens */
}

static void test_stolen_time_adds_up(void **state)
{
	(void)state;
	pvtime_account(&fake.vcpu[1], FAKE_TSC_KHZ);
	assert_int_equal(record(1)->stolen_ns, 1000000);
	pvtime_account(&fake.vcpu[1], FAKE_TSC_KHZ / 2);
	assert_int_equal(record(1)->stolen_ns, 1500000);
	assert_int_equal(record(1)->revision | record(1)->attributes, 0);
	assert_int_equal(record(0)->stolen_ns, 0);
}

/* What a guest writes into the record is never read back. */
static void test_stolen_time_survives_scribbling(void **state)
{
	(void)state;
	pvtime_account(&fake.vcpu[0], FAKE_TSC_KHZ);
	memset(record(0), 0xFF, sizeof(struct pv_stolen_time));
	pvtime_account(&fake.vcpu[0], FAKE_TSC_KHZ);
	assert_int_equal(record(0)->stolen_ns, 2000000);
}

static void test_stolen_time_begins_anew(void **state)
{
	(void)state;
	pvtime_account(&fake.vcpu[0], FAKE_TSC_KHZ);
	vendor_vcpu_reset(&fake.vcpu[0]);
	assert_int_equal(record(0)->stolen_ns, 0);
	pvtime_account(&fake.vcpu[0], FAKE_TSC_KHZ);
	assert_int_equal(record(0)->stolen_ns, 1000000);
}

/* Years of it do not overflow. */
static void test_stolen_time_is_wide(void **state)
{
	const uint64_t ten_years_ms = 10ull * 365 * 24 * 3600 * 1000;

	(void)state;
	pvtime_account(&fake.vcpu[0], ten_years_ms * FAKE_TSC_KHZ);
	assert_int_equal(record(0)->stolen_ns, ten_years_ms * 1000000);
}

static void test_record_outside_memory_is_no_record(void **state)
{
	(void)state;
	fake.partition.stolen_time_gpa = FAKE_MEMORY_SIZE - 8;
	vendor_vcpu_reset(&fake.vcpu[0]);
	assert_int_equal(call1(PV_TIME_ST, 0).x[0], UINT64_MAX);
	pvtime_account(&fake.vcpu[0], 1000);
}

/*
 * FFA_CONSOLE_LOG
 */

#define TEXT "The quick brown fox jumps over the lazy dog 01234"

static struct fake_registers log_text(uint32_t form, const char *text, uint64_t count)
{
	struct fake_registers in = {{FFA_CONSOLE_LOG_32 | form, count}};
	const size_t width = form ? 8 : 4;

	for (unsigned i = 0; i < 6; i++)
		memcpy(&in.x[2 + i], text + i * width, width);
	return fake_call(0, in);
}

static void assert_ffa(const struct fake_registers *out, uint64_t function, uint64_t code)
{
	assert_int_equal(out->x[0], function);
	assert_int_equal(out->x[1], 0);
	assert_int_equal(out->x[2], code);
	assert_int_equal(out->x[3], 0);
}

static void test_console_log(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		const size_t limit = both_forms[i] ? 48 : 24;

		for (size_t count = 1; count <= limit; count++) {
			struct fake_registers out;

			fake.console_length = 0;
			out = log_text(both_forms[i], TEXT, count);
			assert_ffa(&out, FFA_SUCCESS_32, 0);
			assert_int_equal(fake.console_length, count);
			assert_memory_equal(fake.console, TEXT, count);
		}
	}
}

static void test_console_log_bad_counts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		const uint64_t counts[] = {0, both_forms[i] ? 49 : 25, UINT64_MAX};

		for (unsigned j = 0; j < ARRAY_SIZE(counts); j++) {
			struct fake_registers out = log_text(both_forms[i], TEXT, counts[j]);

			assert_ffa(&out, FFA_ERROR,
				   both_forms[i] ? (uint64_t)FFA_INVALID_PARAMETERS
						 : (uint32_t)FFA_INVALID_PARAMETERS);
		}
	}
	assert_int_equal(fake.console_length, 0);
}

static void test_console_log_of_a_full_partition(void **state)
{
	struct fake_registers out = log_text(SMCCC_64, TEXT, 9);

	(void)state;
	assert_ffa(&out, FFA_SUCCESS_32, 0);
	assert_memory_equal(fake.console, TEXT, 9);
}

#define PARA(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define FULL(test) cmocka_unit_test_setup_teardown(test, set_up_full, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARA(test_trng_version),
		PARA(test_trng_features),
		PARA(test_trng_uuid),
		PARA(test_trng_is_absent_without_a_generator),
		PARA(test_trng_rnd_bits),
		PARA(test_trng_rnd_takes_whole_words),
		PARA(test_trng_rnd_bad_counts),
		PARA(test_trng_no_entropy),
		PARA(test_pv_time_features),
		PARA(test_pv_time_st),
		FULL(test_pv_time_of_a_full_partition),
		PARA(test_stolen_time_adds_up),
		PARA(test_stolen_time_survives_scribbling),
		PARA(test_stolen_time_begins_anew),
		PARA(test_stolen_time_is_wide),
		PARA(test_record_outside_memory_is_no_record),
		PARA(test_console_log),
		PARA(test_console_log_bad_counts),
		FULL(test_console_log_of_a_full_partition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
