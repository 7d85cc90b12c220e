/*
 * PSCI: every call's use, every error it can give, in both conventions where it has both.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/call/call.h"
#include "tests/unit/fake_partition.h"

#define ENTRY	0x3000u
#define CONTEXT 0x1234567890u
#define OUTSIDE FAKE_MEMORY_SIZE

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

/* Calls and compares x0 as the convention of the form delivers it. */
static void expect(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3, int64_t result)
{
	uint64_t mask = function & SMCCC_64 ? UINT64_MAX : UINT32_MAX;

	assert_int_equal(fake_call3(0, function, x1, x2, x3), (uint64_t)result & mask);
	assert_int_equal(fake.action, EXIT_NEXT);
}

static void give_event_page(void)
{
	expect(VENDOR_EVENT_PAGE, 0x1000, 48, 0, SMCCC_SUCCESS);
}

static void test_version(void **state)
{
	(void)state;
	expect(PSCI_VERSION, 0, 0, 0, PSCI_VERSION_1_1);
}

static void test_features(void **state)
{
	static const uint32_t there[] = {
		PSCI_VERSION,	       PSCI_CPU_SUSPEND_32,	PSCI_CPU_SUSPEND_64,
		PSCI_CPU_OFF,	       PSCI_CPU_ON_64,		PSCI_SYSTEM_SUSPEND_32,
		PSCI_SYSTEM_RESET2_64, PSCI_MEM_CHECK_RANGE_32, SMCCC_VERSION};
	/* MIGRATE, CPU_FREEZE, SYSTEM_OFF2, calls of other services, and forms that do not exist. */
	static const uint32_t missing[] = {0x84000005,
					   0x8400000B,
					   0x84000015,
					   TRNG_VERSION,
					   PV_TIME_ST,
					   0,
					   PSCI_VERSION | SMCCC_64,
					   SMCCC_ARCH_FEATURES};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(there); i++)
		expect(PSCI_FEATURES, there[i], 0, 0, 0);
	for (unsigned i = 0; i < ARRAY_SIZE(missing); i++)
		expect(PSCI_FEATURES, missing[i], 0, 0, PSCI_NOT_SUPPORTED);
}

static void test_features_of_a_full_partition(void **state)
{
	(void)state;
	expect(PSCI_FEATURES, PSCI_SYSTEM_OFF, 0, 0, 0);
	expect(PSCI_FEATURES, PSCI_CPU_ON_64, 0, 0, PSCI_NOT_SUPPORTED);
}

static void test_migrate_info_type(void **state)
{
	(void)state;
	expect(PSCI_MIGRATE_INFO_TYPE, 0, 0, 0, 2);
}

static void test_affinity_info(void **state)
{
	(void)state;
	atomic_store(&fake.shared[2].state, VCPU_STARTING);
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		uint32_t function = PSCI_AFFINITY_INFO_32 | both_forms[i];

		expect(function, 0, 0, 0, PSCI_AFFINITY_ON);
		expect(function, 1, 0, 0, PSCI_AFFINITY_OFF);
		expect(function, 2, 0, 0, PSCI_AFFINITY_ON_PENDING);
		expect(function, FAKE_VCPUS, 0, 0, PSCI_INVALID_PARAMETERS);
		expect(function, UINT64_MAX, 0, 0, PSCI_INVALID_PARAMETERS);
		expect(function, 0, 1, 0, PSCI_INVALID_PARAMETERS);
	}
}

static void test_cpu_on(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		uint32_t function = PSCI_CPU_ON_32 | both_forms[i];
		const struct vcpu_start *start = &fake.shared[1 + i].start;

		expect(function, 1 + i, ENTRY, CONTEXT, PSCI_SUCCESS);
		assert_int_equal(fake.shared[1 + i].state, VCPU_STARTING);
		assert_int_equal(fake.shared[1 + i].requests & REQUEST_START, REQUEST_START);
		assert_int_equal(start->kind, START_LONG);
		assert_int_equal(start->entry, ENTRY);
		assert_int_equal(start->context, both_forms[i] ? CONTEXT : (uint32_t)CONTEXT);
		assert_int_equal(start->cr3, FAKE_BOOT_CR3);
	}
}

static void test_cpu_on_errors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		uint32_t function = PSCI_CPU_ON_32 | both_forms[i];

		atomic_store(&fake.shared[1].state, VCPU_OFF);
		expect(function, FAKE_VCPUS, ENTRY, 0, PSCI_INVALID_PARAMETERS);
		expect(function, UINT64_MAX, ENTRY, 0, PSCI_INVALID_PARAMETERS);
		expect(function, 1, OUTSIDE, 0, PSCI_INVALID_ADDRESS);
		expect(function, 1, UINT64_MAX, 0, PSCI_INVALID_ADDRESS);
		assert_int_equal(fake.shared[1].state, VCPU_OFF);
		expect(function, 0, ENTRY, 0, PSCI_ALREADY_ON);
		expect(function, 1, ENTRY, 0, PSCI_SUCCESS);
		expect(function, 1, ENTRY + 16, 0, PSCI_ON_PENDING);
		assert_int_equal(fake.shared[1].start.entry, ENTRY);
	}
}

static void test_cpu_off(void **state)
{
	(void)state;
	give_event_page();
	fake_call3(0, VENDOR_DEADLINE, 5, 0, 0);
	atomic_store(&fake.shared[3].state, VCPU_ON);
	fake_call3(0, PSCI_CPU_OFF, 0, 0, 0);
	assert_int_equal(fake.action, EXIT_LEAVE);
	assert_int_equal(fake.shared[0].state, VCPU_OFF);
	assert_int_equal(fake.checks, 1);
	assert_null(fake.vcpu[0].event_page);
	assert_int_equal(fake.vcpu[0].timer[TIMER_DEADLINE], TIMER_NEVER);
	assert_int_equal(fake_call3(3, PSCI_AFFINITY_INFO_64, 0, 0, 0), PSCI_AFFINITY_OFF);
}

static void test_last_cpu_may_not_go(void **state)
{
	(void)state;
	give_event_page();
	expect(PSCI_CPU_OFF, 0, 0, 0, PSCI_DENIED);
	assert_int_equal(fake.shared[0].state, VCPU_ON);
	assert_non_null(fake.vcpu[0].event_page);
}

/* A CPU that is being started counts as on. */
static void test_cpu_off_with_a_pending_one(void **state)
{
	(void)state;
	expect(PSCI_CPU_ON_64, 1, ENTRY, 0, PSCI_SUCCESS);
	fake_call3(0, PSCI_CPU_OFF, 0, 0, 0);
	assert_int_equal(fake.action, EXIT_LEAVE);
}

static void test_cpu_suspend(void **state)
{
	(void)state;
	give_event_page();
	fake.wait_result = EXIT_NEXT;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		expect(PSCI_CPU_SUSPEND_32 | both_forms[i], 0, 0, 0, PSCI_SUCCESS);
		assert_int_equal(fake.waits, i + 1);
		assert_true(fake.wait_wakes);
	}
}

static void test_cpu_suspend_ended_by_an_order(void **state)
{
	(void)state;
	give_event_page();
	fake.wait_result = EXIT_LEAVE_NEXT;
	assert_int_equal(fake_call3(0, PSCI_CPU_SUSPEND_64, 0, 0, 0), PSCI_SUCCESS);
	assert_int_equal(fake.action, EXIT_LEAVE_NEXT);
}

static void test_cpu_suspend_errors(void **state)
{
	/* Power-down, a state id, a power level, reserved bits. */
	static const uint32_t states[] = {1u << 16, 1, 1u << 24, 1u << 17, 1u << 31};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		uint32_t function = PSCI_CPU_SUSPEND_32 | both_forms[i];

		for (unsigned j = 0; j < ARRAY_SIZE(states); j++)
			expect(function, states[j], ENTRY, 0, PSCI_INVALID_PARAMETERS);
		expect(function, 0, 0, 0, PSCI_DENIED); /* no event page: for ever */
	}
	assert_int_equal(fake.waits, 0);
}

static void test_statistics(void **state)
{
	(void)state;
	give_event_page();
	for (unsigned i = 0; i < 3; i++)
		expect(PSCI_CPU_SUSPEND_64, 0, 0, 0, PSCI_SUCCESS);
	atomic_store(&fake.shared[0].suspend_tsc, 7ull * FAKE_TSC_KHZ);
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		expect(PSCI_STAT_COUNT_32 | both_forms[i], 0, 0, 0, 3);
		expect(PSCI_STAT_RESIDENCY_32 | both_forms[i], 0, 0, 0, 7000);
		expect(PSCI_STAT_COUNT_32 | both_forms[i], 1, 0, 0, 0);
		expect(PSCI_STAT_COUNT_32 | both_forms[i], FAKE_VCPUS, 0, 0, 0);
		expect(PSCI_STAT_RESIDENCY_32 | both_forms[i], FAKE_VCPUS, 0, 0, 0);
		expect(PSCI_STAT_COUNT_32 | both_forms[i], 0, 1u << 16, 0, 0);
		expect(PSCI_STAT_RESIDENCY_32 | both_forms[i], 0, 1u << 16, 0, 0);
	}
}

static void test_system_suspend(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		const struct vcpu_start *start = &fake.shared[0].start;

		atomic_store(&fake.shared[0].state, VCPU_ON);
		give_event_page();
		fake.wait_result = EXIT_NEXT;
		fake_call3(0, PSCI_SYSTEM_SUSPEND_32 | both_forms[i], ENTRY, 77, 0);
		assert_int_equal(fake.action, EXIT_LEAVE);
		assert_true(fake.wait_wakes);
		assert_int_equal(fake.shared[0].state, VCPU_STARTING);
		assert_int_equal(fake.shared[0].requests & REQUEST_START, REQUEST_START);
		assert_int_equal(start->kind, START_LONG);
		assert_int_equal(start->entry, ENTRY);
		assert_int_equal(start->context, 77);
		assert_int_equal(start->cr3, FAKE_BOOT_CR3);
	}
}

static void test_system_suspend_ended_by_an_order(void **state)
{
	(void)state;
	give_event_page();
	fake.wait_result = EXIT_LEAVE_NEXT;
	fake_call3(0, PSCI_SYSTEM_SUSPEND_64, ENTRY, 77, 0);
	assert_int_equal(fake.action, EXIT_LEAVE);
	assert_int_equal(fake.shared[0].state, VCPU_ON);
	assert_int_equal(fake.shared[0].requests & REQUEST_START, 0);
}

static void test_system_suspend_errors(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		uint32_t function = PSCI_SYSTEM_SUSPEND_32 | both_forms[i];

		fake.vcpu[0].event_page = NULL;
		expect(function, ENTRY, 0, 0, PSCI_DENIED);
		give_event_page();
		expect(function, OUTSIDE, 0, 0, PSCI_INVALID_ADDRESS);
		atomic_store(&fake.shared[1].state, VCPU_STARTING);
		expect(function, ENTRY, 0, 0, PSCI_DENIED);
		atomic_store(&fake.shared[1].state, VCPU_ON);
		expect(function, ENTRY, 0, 0, PSCI_DENIED);
		atomic_store(&fake.shared[1].state, VCPU_OFF);
	}
	assert_int_equal(fake.waits, 0);
}

struct end_case {
	uint32_t function;
	uint64_t x1;
	enum partition_order order;
};

static const struct end_case end_cases[] = {
	{PSCI_SYSTEM_OFF, 9, ORDER_OFF},
	{PSCI_SYSTEM_RESET, 9, ORDER_RESET},
	{PSCI_SYSTEM_RESET2_32, 0, ORDER_RESET},
	{PSCI_SYSTEM_RESET2_64, 0, ORDER_RESET},
};

static void test_system_ends(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(end_cases); i++) {
		fake.order = ORDER_NONE;
		fake_call3(0, end_cases[i].function, end_cases[i].x1, 0, 0);
		assert_int_equal(fake.action, EXIT_LEAVE);
		assert_int_equal(fake.order, end_cases[i].order);
	}
}

/* Another order came first: the vCPU leaves for that one. */
static void test_system_ends_already(void **state)
{
	(void)state;
	fake.command_status = ERR_BUSY;
	for (unsigned i = 0; i < ARRAY_SIZE(end_cases); i++) {
		fake_call3(0, end_cases[i].function, end_cases[i].x1, 0, 0);
		assert_int_equal(fake.action, EXIT_LEAVE);
	}
}

static void test_system_cannot_end(void **state)
{
	(void)state;
	fake.command_status = ERR_INVALID;
	for (unsigned i = 0; i < ARRAY_SIZE(end_cases); i++)
		expect(end_cases[i].function, end_cases[i].x1, 0, 0, PSCI_INTERNAL_FAILURE);
}

static void test_system_reset2_types(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		expect(PSCI_SYSTEM_RESET2_32 | both_forms[i], 1, 0, 0, PSCI_INVALID_PARAMETERS);
		expect(PSCI_SYSTEM_RESET2_32 | both_forms[i], 0x80000000, 0, 0, PSCI_INVALID_PARAMETERS);
	}
	assert_int_equal(fake.order, ORDER_NONE);
}

static void test_mem_protect_answers_the_former_state(void **state)
{
	(void)state;
	expect(PSCI_MEM_PROTECT, 1, 0, 0, 0);
	expect(PSCI_MEM_PROTECT, 7, 0, 0, 1);
	expect(PSCI_MEM_PROTECT, 0, 0, 0, 1);
	expect(PSCI_MEM_PROTECT, 0xFF00000000000000u, 0, 0, 0); /* a 32-bit call: x1 is 0 */
	expect(PSCI_MEM_PROTECT, 1, 0, 0, 0);
	call_partition_reset(&fake.partition);
	expect(PSCI_MEM_PROTECT, 0, 0, 0, 0);
}

static void test_mem_check_range(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(both_forms); i++) {
		uint32_t function = PSCI_MEM_CHECK_RANGE_32 | both_forms[i];

		expect(function, 0, FAKE_MEMORY_SIZE, 0, PSCI_SUCCESS);
		expect(function, FAKE_MEMORY_SIZE - 1, 1, 0, PSCI_SUCCESS);
		expect(function, 0, FAKE_MEMORY_SIZE + 1, 0, PSCI_DENIED);
		expect(function, FAKE_MEMORY_SIZE, 1, 0, PSCI_DENIED);
		expect(function, 0, 0, 0, PSCI_DENIED);
		expect(function, 1, UINT64_MAX, 0, PSCI_DENIED);
	}
}

#define PARA(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARA(test_version),
		PARA(test_features),
		cmocka_unit_test_setup_teardown(test_features_of_a_full_partition, set_up_full, tear_down),
		PARA(test_migrate_info_type),
		PARA(test_affinity_info),
		PARA(test_cpu_on),
		PARA(test_cpu_on_errors),
		PARA(test_cpu_off),
		PARA(test_last_cpu_may_not_go),
		PARA(test_cpu_off_with_a_pending_one),
		PARA(test_cpu_suspend),
		PARA(test_cpu_suspend_ended_by_an_order),
		PARA(test_cpu_suspend_errors),
		PARA(test_statistics),
		PARA(test_system_suspend),
		PARA(test_system_suspend_ended_by_an_order),
		PARA(test_system_suspend_errors),
		PARA(test_system_ends),
		PARA(test_system_ends_already),
		PARA(test_system_cannot_end),
		PARA(test_system_reset2_types),
		PARA(test_mem_protect_answers_the_former_state),
		PARA(test_mem_check_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
