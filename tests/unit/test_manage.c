/*
 * Management calls: who may, about whom, and what each order comes to in each state of the target.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/clock.h"
#include "hv/call/call.h"
#include "tests/unit/fake_partition.h"

#define SELF   1u
#define TARGET 2u

static const uint32_t calls[] = {VENDOR_PARTITION_COUNT, VENDOR_PARTITION_INFO, VENDOR_PARTITION_EXITS,
				 VENDOR_PARTITION_START, VENDOR_PARTITION_STOP, VENDOR_PARTITION_RESET};

static int set_up(void **state)
{
	(void)state;
	fake_create(MODE_PARA);
	fake.config.manage = true;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_destroy();
	return 0;
}

static void expect(uint32_t function, uint64_t x1, uint64_t x2, int64_t result)
{
	assert_int_equal(fake_call3(0, function, x1, x2, 0), (uint64_t)result);
	assert_int_equal(fake.action, EXIT_NEXT);
}

static void only_with_the_right(void **state)
{
	(void)state;
	fake.config.manage = false;
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++) {
		expect(calls[i], TARGET, 0, PSCI_DENIED);
		expect(calls[i], SELF, 0, PSCI_DENIED);
		expect(calls[i], 99, 99, PSCI_DENIED); /* not even who is there */
	}
	assert_null(fake.ordered);
}

static void nobody_else(void **state)
{
	static const uint64_t nobody[] = {0, 2 + FAKE_PEERS, UINT32_MAX, 1ull << 32 | TARGET, UINT64_MAX};

	(void)state;
	for (unsigned i = 1; i < ARRAY_SIZE(calls); i++)
		for (unsigned id = 0; id < ARRAY_SIZE(nobody); id++)
			expect(calls[i], nobody[id], 0, PSCI_INVALID_PARAMETERS);
	assert_null(fake.ordered);
}

static void not_in_32_bits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++)
		expect(calls[i] & ~SMCCC_64, TARGET, 0, SMCCC_NOT_SUPPORTED);
}

static void full_partitions_have_none(void **state)
{
	(void)state;
	fake_create(MODE_FULL);
	fake.config.manage = true;
	for (unsigned i = 0; i < ARRAY_SIZE(calls); i++)
		expect(calls[i], TARGET, 0, SMCCC_NOT_SUPPORTED);
}

static void counts(void **state)
{
	(void)state;
	expect(VENDOR_PARTITION_COUNT, 0, 0, 1 + FAKE_PEERS);
}

static void tells_what_there_is(void **state)
{
	struct partition *target = &fake.all[TARGET - 1];
	struct fake_registers out;

	(void)state;
	memcpy(fake.peer[0].config.name, "second-one", 11);
	fake.peer[0].config.memory = 7 * MIB;
	target->start_tsc = 1;
	target->end_tsc = 1 + 3ull * FAKE_TSC_KHZ;
	target->end = END_FAULT;
	target->restarts = 4;
	atomic_store(&target->state, PARTITION_OFF);
	out = fake_call(0, (struct fake_registers){{VENDOR_PARTITION_INFO, TARGET}});
	assert_int_equal(out.x[0], 0);
	assert_int_equal(out.x[1], (uint64_t)PARTITION_OFF | MODE_PARA << BH_INFO_MODE_SHIFT |
					   END_FAULT << BH_INFO_END_SHIFT |
					   (uint64_t)FAKE_PEER_VCPUS << BH_INFO_VCPUS_SHIFT);
	assert_memory_equal(&out.x[2], "second-one\0\0\0\0\0\0", 16);
	assert_int_equal(out.x[4], 7 * MIB);
	assert_int_equal(out.x[5], 3000);
	assert_int_equal(out.x[6], 4);
	assert_int_equal(out.x[7], 0);

	atomic_store(&target->state, PARTITION_RUNNING);
	atomic_store(&target->order, ORDER_RESET);
	memcpy(target->refused, "no", 3);
	target->start_tsc = UINT64_MAX; /* it is starting at this moment */
	out = fake_call(0, (struct fake_registers){{VENDOR_PARTITION_INFO, TARGET}});
	assert_int_equal(out.x[1] & BH_INFO_STATE_MASK, PARTITION_RUNNING);
	assert_true(out.x[1] & BH_INFO_BUSY);
	assert_true(out.x[1] & BH_INFO_REFUSED);
	assert_int_equal(out.x[5], 0);
}

static void tells_exits(void **state)
{
	struct fake_registers out;

	(void)state;
	fake.peer[0].shared[0].statistics[EXIT_HLT] = (struct exit_statistics){3, 300};
	fake.peer[0].shared[1].statistics[EXIT_HLT] = (struct exit_statistics){4, 500};
	out = fake_call(0, (struct fake_registers){{VENDOR_PARTITION_EXITS, TARGET, EXIT_HLT, 9}});
	assert_int_equal(out.x[0], 0);
	assert_int_equal(out.x[1], 7);
	assert_int_equal(out.x[2], 800);
	assert_int_equal(out.x[3], 9);
	expect(VENDOR_PARTITION_EXITS, TARGET, EXIT_CLASSES - 1, 0);
	expect(VENDOR_PARTITION_EXITS, TARGET, EXIT_CLASSES, PSCI_INVALID_PARAMETERS);
	expect(VENDOR_PARTITION_EXITS, TARGET, UINT64_MAX, PSCI_INVALID_PARAMETERS);
}

static void orders(void **state)
{
	static const struct {
		uint32_t function;
		enum partition_order order;
	} rows[] = {{VENDOR_PARTITION_START, ORDER_START},
		    {VENDOR_PARTITION_STOP, ORDER_OFF},
		    {VENDOR_PARTITION_RESET, ORDER_RESET}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		expect(rows[i].function, TARGET, 0, PSCI_SUCCESS);
		assert_int_equal(fake.order, rows[i].order);
		assert_ptr_equal(fake.ordered, &fake.all[TARGET - 1]);
		assert_string_equal(fake.reason, "by partition fake");
	}
}

static void refused_orders(void **state)
{
	(void)state;
	fake.command_status = ERR_BUSY;
	expect(VENDOR_PARTITION_START, TARGET, 0, PSCI_ON_PENDING);
	expect(VENDOR_PARTITION_STOP, TARGET, 0, PSCI_ON_PENDING);
	expect(VENDOR_PARTITION_RESET, SELF, 0, PSCI_ON_PENDING);
	fake.command_status = ERR_INVALID;
	expect(VENDOR_PARTITION_START, TARGET, 0, PSCI_ALREADY_ON);
	expect(VENDOR_PARTITION_STOP, TARGET, 0, PSCI_NOT_PRESENT);
	expect(VENDOR_PARTITION_RESET, TARGET, 0, PSCI_NOT_PRESENT);
	memcpy(fake.all[TARGET - 1].refused, "no", 3);
	expect(VENDOR_PARTITION_START, TARGET, 0, PSCI_DISABLED);
}

/* It has gone with the call, as with SYSTEM_OFF. */
static void an_order_to_itself(void **state)
{
	(void)state;
	(void)fake_call3(0, VENDOR_PARTITION_STOP, SELF, 0, 0);
	assert_int_equal(fake.action, EXIT_LEAVE);
	assert_ptr_equal(fake.ordered, &fake.partition);
	(void)fake_call3(0, VENDOR_PARTITION_RESET, SELF, 0, 0);
	assert_int_equal(fake.action, EXIT_LEAVE);
}

static void managers_are_told(void **state)
{
	(void)state;
	calls_tell_others(&fake.partition);
	assert_int_equal(atomic_load(&fake.shared[0].events), 1ull << BH_EVENT_MANAGE);
	assert_int_equal(atomic_load(&fake.shared[1].events), 0);
	for (unsigned i = 0; i < FAKE_PEERS; i++)
		assert_int_equal(atomic_load(&fake.peer[i].shared[0].events), 1ull << BH_EVENT_PEER);
}

#define WITH_FAKE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FAKE(only_with_the_right),
		WITH_FAKE(nobody_else),
		WITH_FAKE(not_in_32_bits),
		WITH_FAKE(full_partitions_have_none),
		WITH_FAKE(counts),
		WITH_FAKE(tells_what_there_is),
		WITH_FAKE(tells_exits),
		WITH_FAKE(orders),
		WITH_FAKE(refused_orders),
		WITH_FAKE(an_order_to_itself),
		WITH_FAKE(managers_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
