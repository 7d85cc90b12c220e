/*
 * The hypercall dispatcher and discovery: function identifiers, register convention, who may call what, and
 * that docs/abi.md names exactly the calls there are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/call/call.h"
#include "tests/unit/fake_partition.h"

#define NOT_SUPPORTED_64 UINT64_MAX
#define UNKNOWN_FUNCTION 0x84000055u
#define ALL_OWNERS	 64u
#define ALL_NUMBERS	 0x10000u

static int set_up_para(void **state)
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

static void assert_unknown(uint32_t function)
{
	const struct fake_registers in = {{function, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7}};
	struct fake_registers out = fake_call(0, in);

	assert_int_equal(fake.action, EXIT_NEXT);
	assert_int_equal(out.x[0], NOT_SUPPORTED_64);
	assert_memory_equal(&out.x[1], &in.x[1], 7 * sizeof(uint64_t));
}

static void test_unknown_changes_only_x0(void **state)
{
	(void)state;
	assert_unknown(UNKNOWN_FUNCTION);
	assert_unknown(UNKNOWN_FUNCTION | SMCCC_64);
	assert_unknown(0);
	assert_unknown(UINT32_MAX);
}

static void test_fast_bit_is_needed(void **state)
{
	(void)state;
	assert_unknown(SMCCC_VERSION & ~SMCCC_FAST);
}

static void test_reserved_bits_are_zero(void **state)
{
	(void)state;
	for (unsigned bit = 17; bit <= 23; bit++)
		assert_unknown(SMCCC_VERSION | 1u << bit);
}

static void test_hint_bit_is_masked(void **state)
{
	(void)state;
	assert_int_equal(fake_call3(0, SMCCC_VERSION | SMCCC_HINT, 0, 0, 0), SMCCC_VERSION_1_1);
}

static void test_upper_half_of_rax_is_ignored(void **state)
{
	struct fake_registers in = {{0xFFFFFFFF00000000u | SMCCC_VERSION}};

	(void)state;
	assert_int_equal(fake_call(0, in).x[0], SMCCC_VERSION_1_1);
}

static void test_other_owners_are_unknown(void **state)
{
	(void)state;
	for (uint32_t owner = 0; owner < ALL_OWNERS; owner++)
		if (owner != SMCCC_OWNER_ARCH && owner != SMCCC_OWNER_STANDARD &&
		    owner != SMCCC_OWNER_VENDOR_HYP)
			assert_unknown(SMCCC_FAST | owner << SMCCC_OWNER_SHIFT);
}

/* A call has only the conventions its document gives it. */
static void test_forms(void **state)
{
	(void)state;
	assert_unknown(SMCCC_VERSION | SMCCC_64);
	assert_unknown(PSCI_VERSION | SMCCC_64);
	assert_unknown(PSCI_CPU_OFF | SMCCC_64);
	assert_unknown(TRNG_VERSION | SMCCC_64);
	assert_unknown(PV_TIME_ST & ~SMCCC_64);
	assert_unknown(VENDOR_EVENT_PAGE & ~SMCCC_64);
	assert_unknown(VENDOR_FEATURES | SMCCC_64);
}

/* 32-bit calls: the upper halves of arguments do not count, results have none. */
static void test_32_bit_convention(void **state)
{
	const uint64_t dirt = 0xDEAD000000000000u;

	(void)state;
	assert_int_equal(fake_call3(0, PSCI_AFFINITY_INFO_32, dirt | 0, dirt | 0, 0), PSCI_AFFINITY_ON);
	assert_int_equal(fake_call3(0, PSCI_AFFINITY_INFO_32, FAKE_VCPUS, 0, 0), 0xFFFFFFFE);
}

static void test_64_bit_convention(void **state)
{
	const uint64_t dirt = 0xDEAD000000000000u;

	(void)state;
	assert_int_equal(fake_call3(0, PSCI_AFFINITY_INFO_64, 0, 0, 0), PSCI_AFFINITY_ON);
	assert_int_equal(fake_call3(0, PSCI_AFFINITY_INFO_64, dirt, 0, 0), (uint64_t)PSCI_INVALID_PARAMETERS);
}

/* What is not a result stays, also after a call that exists. */
static void test_single_result_leaves_arguments(void **state)
{
	struct fake_registers in = {{PSCI_VERSION, 0xFFFFFFFFFFFFFFA1u, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7}};
	struct fake_registers out = fake_call(0, in);

	(void)state;
	assert_int_equal(out.x[0], PSCI_VERSION_1_1);
	assert_memory_equal(&out.x[1], &in.x[1], 7 * sizeof(uint64_t));
}

static void test_smccc_version(void **state)
{
	(void)state;
	assert_int_equal(fake_call3(0, SMCCC_VERSION, 0, 0, 0), 0x10001);
}

static void test_arch_features(void **state)
{
	static const uint32_t known[] = {SMCCC_VERSION,	 SMCCC_ARCH_FEATURES, PV_TIME_FEATURES,
					 PSCI_CPU_ON_64, FFA_CONSOLE_LOG_64,  VENDOR_EVENT_PAGE,
					 VENDOR_CALL_UID};
	static const uint32_t not_known[] = {0, UNKNOWN_FUNCTION, SMCCC_VERSION | SMCCC_HINT, 0x8400007D};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		assert_int_equal(fake_call3(0, SMCCC_ARCH_FEATURES, known[i], 0, 0), SMCCC_SUCCESS);
	for (unsigned i = 0; i < ARRAY_SIZE(not_known); i++)
		assert_int_equal(fake_call3(0, SMCCC_ARCH_FEATURES, not_known[i], 0, 0), UINT32_MAX);
}

static void test_vendor_uid(void **state)
{
	static const uint8_t uid[16] = {0x6f, 0x2c, 0x8d, 0x1e, 0x4b, 0x57, 0x4c, 0x0a,
					0x9d, 0x3e, 0xb0, 0x1c, 0x4e, 0xad, 0x5a, 0x11};
	struct fake_registers out = fake_call(0, (struct fake_registers){{VENDOR_CALL_UID}});
	uint32_t words[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		words[i] = (uint32_t)out.x[i];
	assert_memory_equal(words, uid, sizeof(uid));
}

static void test_vendor_revision(void **state)
{
	struct fake_registers out = fake_call(0, (struct fake_registers){{VENDOR_CALL_REVISION, 9, 9, 9}});

	(void)state;
	assert_int_equal(out.x[0], BH_ABI_MAJOR);
	assert_int_equal(out.x[1], BH_ABI_MINOR);
	assert_int_equal(out.x[2], 9);
}

static void test_vendor_features(void **state)
{
	struct fake_registers out = fake_call(0, (struct fake_registers){{VENDOR_FEATURES, 9, 9, 9}});

	(void)state;
	assert_int_equal(out.x[0], 0x3F007F);
	assert_int_equal(out.x[1] | out.x[2] | out.x[3], 0);
}

/* Full partitions: discovery, entropy, console log, the end of the partition; nothing that steers CPUs or
 * shares pages. */
static void test_full_may(void **state)
{
	static const uint32_t allowed[] = {SMCCC_VERSION,	  VENDOR_CALL_UID,    VENDOR_FEATURES,
					   PSCI_VERSION,	  PSCI_SYSTEM_OFF,    PSCI_SYSTEM_RESET,
					   PSCI_FEATURES,	  PSCI_MEM_PROTECT,   TRNG_RND_64,
					   PSCI_SYSTEM_RESET2_64, FFA_CONSOLE_LOG_32, PV_TIME_ST};
	static const uint32_t denied[] = {PSCI_CPU_ON_32,      PSCI_CPU_ON_64,	      PSCI_CPU_OFF,
					  PSCI_CPU_SUSPEND_64, PSCI_AFFINITY_INFO_64, PSCI_SYSTEM_SUSPEND_64,
					  PSCI_STAT_COUNT_64,  VENDOR_EVENT_PAGE,     VENDOR_IPI,
					  VENDOR_DEADLINE,     VENDOR_CONSOLE_RING,   VENDOR_CONSOLE_KICK,
					  VENDOR_CLOCK_PAGE};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(allowed); i++)
		assert_non_null(call_find(&fake.partition, allowed[i]));
	for (unsigned i = 0; i < ARRAY_SIZE(denied); i++)
		assert_unknown(denied[i]);
	assert_int_equal(fake_call3(0, VENDOR_FEATURES, 0, 0, 0), 1);
}

static void test_hidden_hypervisor(void **state)
{
	struct fake_registers in = {{SMCCC_VERSION, 1, 2, 3, 4, 5, 6, 7}}, out;

	(void)state;
	fake.vcpu[0].hypervisor_hidden = true;
	out = fake_call(0, in);
	assert_int_equal(fake.action, EXIT_UD);
	assert_memory_equal(&out, &in, sizeof(in));
}

static char *read_document(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text;
	size_t size;

	assert_non_null(file);
	assert_int_equal(fseek(file, 0, SEEK_END), 0);
	size = (size_t)ftell(file);
	text = calloc(size + 1, 1);
	assert_non_null(text);
	rewind(file);
	assert_int_equal(fread(text, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	return text;
}

static bool in_document(const char *text, uint32_t function)
{
	char id[9];

	assert_int_equal(snprintf(id, sizeof(id), "%08X", function), 8);
	return strstr(text, id) != NULL;
}

static void test_every_call_is_documented(void **state)
{
	char *text = read_document("docs/abi.md");

	(void)state;
	for (uint32_t owner = 0; owner < ALL_OWNERS; owner++)
		for (uint32_t number = 0; number < ALL_NUMBERS; number++)
			for (uint32_t form = 0; form <= SMCCC_64; form += SMCCC_64) {
				uint32_t function = SMCCC_FAST | form | owner << SMCCC_OWNER_SHIFT | number;

				if (call_find(&fake.partition, function) && !in_document(text, function))
					fail_msg("docs/abi.md does not name %08X", function);
			}
	free(text);
}

/* A row of a table begins with the name, then the identifiers: those of calls begin with 8 or C. */
static void test_every_documented_call_exists(void **state)
{
	char *text = read_document("docs/abi.md");
	unsigned found = 0;

	(void)state;
	for (char *at = text; *at; at++) {
		char *end;
		unsigned long function = strtoul(at, &end, 16);

		if (end - at != 8 || strchr("8C", *at) == NULL ||
		    (at > text && strchr("|/ ", at[-1]) == NULL))
			continue;
		if (function == FFA_ERROR || function == FFA_SUCCESS_32 || function == FFA_INTERRUPT ||
		    function == FFA_MEM_RETRIEVE_RESP || function == FFA_MEM_FRAG_RX)
			continue;
		if (!call_find(&fake.partition, (uint32_t)function))
			fail_msg("docs/abi.md names %08lX, which does not exist", function);
		found++;
	}
	assert_true(found > 40);
	free(text);
}

#define PARA(test) cmocka_unit_test_setup_teardown(test, set_up_para, tear_down)
#define FULL(test) cmocka_unit_test_setup_teardown(test, set_up_full, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARA(test_unknown_changes_only_x0),
		PARA(test_fast_bit_is_needed),
		PARA(test_reserved_bits_are_zero),
		PARA(test_hint_bit_is_masked),
		PARA(test_upper_half_of_rax_is_ignored),
		PARA(test_other_owners_are_unknown),
		PARA(test_forms),
		PARA(test_32_bit_convention),
		PARA(test_64_bit_convention),
		PARA(test_single_result_leaves_arguments),
		PARA(test_smccc_version),
		PARA(test_arch_features),
		PARA(test_vendor_uid),
		PARA(test_vendor_revision),
		PARA(test_vendor_features),
		FULL(test_full_may),
		FULL(test_hidden_hypervisor),
		PARA(test_every_call_is_documented),
		PARA(test_every_documented_call_exists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
