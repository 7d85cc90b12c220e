/*
 * PSCI (DEN0022): every call's errors, then its use: standby, a second CPU on and off, the sleep of the whole
 * partition. Resets stand in calls.c.
 */
#include "../common/cpu.h"
#include "../common/x86.h"
#include "table.h"

#define NO_CPU	      99u
#define SECOND	      1u
#define PING	      7u /* events 0..55 are ours */
#define PONG	      8u
#define ROUNDS	      3u
#define PINGS	      100u
#define SPIN_LIMIT_MS 2000u
#define POWER_DOWN    (1u << 16) /* power_state, original format: the state type */
#define POWER_LEVEL   (1u << 24)

static volatile uint64_t second_context;
static volatile uint32_t pings_seen;

static const struct row version[] = {{.what = "plain", .expected = PSCI_VERSION_1_1}};

#define THERE(name)                                                                                          \
	{                                                                                                    \
		.what = #name, .x = { PSCI_##name }                                                          \
	}
#define NOT_THERE(function)                                                                                  \
	{                                                                                                    \
		.what = "a function that is not there", .x = {function}, .expected = PSCI_NOT_SUPPORTED      \
	}
static const struct row features[] = {
	THERE(VERSION),
	THERE(CPU_SUSPEND_32),
	THERE(CPU_SUSPEND_64),
	THERE(CPU_OFF),
	THERE(CPU_ON_32),
	THERE(CPU_ON_64),
	THERE(AFFINITY_INFO_32),
	THERE(AFFINITY_INFO_64),
	THERE(MIGRATE_INFO_TYPE),
	THERE(SYSTEM_OFF),
	THERE(SYSTEM_RESET),
	THERE(FEATURES),
	THERE(SYSTEM_SUSPEND_32),
	THERE(SYSTEM_SUSPEND_64),
	THERE(STAT_RESIDENCY_32),
	THERE(STAT_RESIDENCY_64),
	THERE(STAT_COUNT_32),
	THERE(STAT_COUNT_64),
	THERE(SYSTEM_RESET2_32),
	THERE(SYSTEM_RESET2_64),
	THERE(MEM_PROTECT),
	THERE(MEM_CHECK_RANGE_32),
	THERE(MEM_CHECK_RANGE_64),
	{.what = "SMCCC_VERSION", .x = {SMCCC_VERSION}},
	NOT_THERE(0x84000015), /* SYSTEM_OFF2 */
	NOT_THERE(PSCI_VERSION | SMCCC_64),
	NOT_THERE(PSCI_VERSION | 1u << 17),
	NOT_THERE(TRNG_VERSION),
};

/* Without another one on it is the last. */
static const struct row off[] = {{.what = "the last one", .expected = PSCI_DENIED}};

static const struct row on[] = {
	{.what = "no such CPU", .x = {NO_CPU, PAGE}, .expected = PSCI_INVALID_PARAMETERS},
	{.what = "a far CPU",
	 .x = {1ull << 32 | SECOND, PAGE},
	 .expected = PSCI_INVALID_PARAMETERS,
	 .flags = ROW_ONLY_64},
	{.what = "itself", .x = {0, PAGE}, .expected = PSCI_ALREADY_ON},
	{.what = "an entry that is no memory", .x = {0, OUTSIDE}, .expected = PSCI_INVALID_ADDRESS},
	{.what = "a far entry",
	 .x = {0, 1ull << 63 | PAGE},
	 .expected = PSCI_INVALID_ADDRESS,
	 .flags = ROW_ONLY_64},
};

static const struct row affinity[] = {
	{.what = "itself", .x = {0, 0}, .expected = PSCI_AFFINITY_ON},
	{.what = "level 1", .x = {0, 1}, .expected = PSCI_INVALID_PARAMETERS},
	{.what = "no such CPU", .x = {NO_CPU, 0}, .expected = PSCI_INVALID_PARAMETERS},
	{.what = "a far CPU",
	 .x = {1ull << 32, 0},
	 .expected = PSCI_INVALID_PARAMETERS,
	 .flags = ROW_ONLY_64},
};

static const struct row suspend[] = {
	{.what = "power down", .x = {POWER_DOWN}, .expected = PSCI_INVALID_PARAMETERS},
	{.what = "a higher level", .x = {POWER_LEVEL}, .expected = PSCI_INVALID_PARAMETERS},
	{.what = "another state", .x = {1}, .expected = PSCI_INVALID_PARAMETERS},
	{.what = "a reserved bit", .x = {1u << 31}, .expected = PSCI_INVALID_PARAMETERS},
};

static const struct row migrate[] = {{.what = "plain", .expected = 2}};

static const struct row system_suspend[] = {
	{.what = "an entry that is no memory", .x = {OUTSIDE}, .expected = PSCI_INVALID_ADDRESS}};

static const struct row stat[] = {
	{.what = "itself", .x = {0, 0}, .flags = ROW_VALUE},
	{.what = "no such CPU", .x = {NO_CPU, 0}},
	{.what = "no such state", .x = {0, 1}},
};

static const struct row reset2[] = {
	{.what = "type 1", .x = {1}, .expected = PSCI_INVALID_PARAMETERS},
	{.what = "a vendor's type", .x = {1u << 31}, .expected = PSCI_INVALID_PARAMETERS},
};

static const struct row protect[] = {
	{.what = "on", .x = {1}, .expected = 0, .flags = ROW_ONCE},
	{.what = "on again", .x = {UINT32_MAX}, .expected = 1},
	{.what = "off", .x = {0}, .expected = 1, .flags = ROW_ONCE},
	{.what = "off again", .x = {0}, .expected = 0},
};

static const struct row range[] = {
	{.what = "a page of memory", .x = {PAGE, PAGE}},
	{.what = "nothing", .x = {PAGE, 0}, .expected = PSCI_DENIED},
	{.what = "no memory", .x = {OUTSIDE, PAGE}, .expected = PSCI_DENIED},
	{.what = "too much", .x = {PAGE, OUTSIDE}, .expected = PSCI_DENIED},
	{.what = "around the end",
	 .x = {PAGE, UINT64_MAX - PAGE + 2},
	 .expected = PSCI_DENIED,
	 .flags = ROW_ONLY_64},
};

#define CALL(name, function, forms, rows)                                                                    \
	{                                                                                                    \
		name, function, forms, FAMILY_PSCI, 1, 1, ROWS(rows)                                         \
	}
enum { CPU_SUSPEND, CPU_OFF, CPU_ON, AFFINITY_INFO, SYSTEM_SUSPEND, STAT_COUNT, MEM_CHECK_RANGE, FURTHER };
static const struct call calls[] = {
	[CPU_SUSPEND] = CALL("CPU_SUSPEND", PSCI_CPU_SUSPEND_32, FORM_BOTH, suspend),
	[CPU_OFF] = CALL("CPU_OFF", PSCI_CPU_OFF, FORM_32, off),
	[CPU_ON] = CALL("CPU_ON", PSCI_CPU_ON_32, FORM_BOTH, on),
	[AFFINITY_INFO] = CALL("AFFINITY_INFO", PSCI_AFFINITY_INFO_32, FORM_BOTH, affinity),
	[SYSTEM_SUSPEND] = CALL("SYSTEM_SUSPEND", PSCI_SYSTEM_SUSPEND_32, FORM_BOTH, system_suspend),
	[STAT_COUNT] = CALL("STAT_COUNT", PSCI_STAT_COUNT_32, FORM_BOTH, stat),
	[MEM_CHECK_RANGE] = CALL("MEM_PROTECT_CHECK_RANGE", PSCI_MEM_CHECK_RANGE_32, FORM_BOTH, range),
	[FURTHER] = CALL("PSCI_VERSION", PSCI_VERSION, FORM_32, version),
	CALL("PSCI_FEATURES", PSCI_FEATURES, FORM_32, features),
	CALL("MIGRATE_INFO_TYPE", PSCI_MIGRATE_INFO_TYPE, FORM_32, migrate),
	CALL("STAT_RESIDENCY", PSCI_STAT_RESIDENCY_32, FORM_BOTH, stat),
	CALL("SYSTEM_RESET2", PSCI_SYSTEM_RESET2_32, FORM_BOTH, reset2),
	CALL("MEM_PROTECT", PSCI_MEM_PROTECT, FORM_32, protect),
};

static void both_forms(unsigned call, const struct row *row)
{
	check_row(&calls[call], 0, row, NULL);
	check_row(&calls[call], SMCCC_64, row, NULL);
}

/* All of memory, and one byte more. */
static void check_range_exactly(void)
{
	const struct row all = {.what = "all memory", .x = {0, memory_size}};
	const struct row more = {.what = "one byte more", .x = {0, memory_size + 1}, .expected = PSCI_DENIED};
	const struct row beyond = {.what = "behind the end", .x = {memory_size, 1}, .expected = PSCI_DENIED};

	both_forms(MEM_CHECK_RANGE, &all);
	both_forms(MEM_CHECK_RANGE, &more);
	both_forms(MEM_CHECK_RANGE, &beyond);
}

/* Time: the deadline wakes CPU_SUSPEND though IF = 0, near the time asked for, and the statistics tell. */
static void check_standby(void)
{
	static const struct row sleep = {.what = "until the deadline", .flags = ROW_ONCE};
	static const struct row pending = {.what = "with an event pending", .flags = ROW_ONCE};
	const uint64_t before = bh_suspend_count(0), residency = bh_suspend_residency_us(0);
	const uint64_t wanted = bh_tsc() + 200ull * tsc_khz;
	struct bh_event_page *page = bh_event_page();

	interrupts_off();
	expect("DEADLINE", (uint64_t)bh_deadline(wanted), 0);
	check_row(&calls[CPU_SUSPEND], SMCCC_64, &sleep, NULL);
	check(bh_tsc() >= wanted, "woken before the deadline");
	check(__atomic_load_n(&page->pending, __ATOMIC_ACQUIRE) & 1ull << BH_EVENT_TIMER,
	      "pending after the deadline");
	check_row(&calls[CPU_SUSPEND], 0, &pending, NULL);
	interrupts_on();
	check(bh_suspend_count(0) - before >= 2, "STAT_COUNT");
	check(bh_suspend_residency_us(0) - residency >= 10000, "STAT_RESIDENCY of 200 ms");
}

/* Without an event page nothing could wake it. */
static void check_without_events(void)
{
	static const struct row no_page = {.what = "without an event page", .expected = PSCI_DENIED};
	static const struct row no_page_system = {
		.what = "without an event page", .x = {PAGE}, .expected = PSCI_DENIED};

	expect("EVENT_PAGE, back", bh_call(VENDOR_EVENT_PAGE, 0, 0, 0, 0, 0), 0);
	/* Nothing may be written meanwhile that waits for room: four lines. */
	both_forms(CPU_SUSPEND, &no_page);
	both_forms(SYSTEM_SUSPEND, &no_page_system);
	expect("EVENT_PAGE, again", (uint64_t)bh_events_register(), 0);
}

/*
 * The second CPU
 */

static void second_main(void *context)
{
	second_context = (uint64_t)context;
	for (uint32_t i = 0; i < PINGS; i++) {
		bh_wait_for(PING);
		pings_seen = i + 1;
		(void)bh_ipi(0, PONG);
	}
}

static bool second_becomes(int state)
{
	const uint64_t start = bh_tsc();

	while (bh_cpu_state(SECOND) != state)
		if (bh_tsc() - start > (uint64_t)SPIN_LIMIT_MS * tsc_khz)
			return false;
	return true;
}

/* By hand, in the form asked for: the library has its own. */
static void start_second(uint32_t form, uint64_t context)
{
	struct cpu_stack *stack = &cpu_stacks[SECOND];
	const struct row start = {.what = "the second CPU",
				  .x = {SECOND, (uint64_t)bh_secondary_entry, (uint64_t)stack},
				  .flags = ROW_ONCE};

	stack->cpu = SECOND;
	stack->entry = second_main;
	stack->context = (void *)context;
	check_row(&calls[CPU_ON], form, &start, NULL);
}

static void check_while_on(void)
{
	static const struct row is_on = {
		.what = "the second CPU, on", .x = {SECOND}, .expected = PSCI_AFFINITY_ON};
	static const struct row start = {
		.what = "one that is on", .x = {SECOND, PAGE}, .expected = PSCI_ALREADY_ON};
	static const struct row sleep = {.what = "not alone", .x = {PAGE}, .expected = PSCI_DENIED};

	both_forms(AFFINITY_INFO, &is_on);
	both_forms(CPU_ON, &start);
	both_forms(SYSTEM_SUSPEND, &sleep);
}

static void ping_second(void)
{
	for (uint32_t i = 1; i <= PINGS; i++) {
		(void)bh_ipi(SECOND, PING);
		bh_wait_for(PONG);
		expect("pings seen", pings_seen, i);
	}
}

static void check_second_cpu(void)
{
	static const struct row is_off = {
		.what = "the second CPU, off", .x = {SECOND}, .expected = PSCI_AFFINITY_OFF};
	static const struct row no_entry = {
		.what = "the second CPU, no entry", .x = {SECOND, OUTSIDE}, .expected = PSCI_INVALID_ADDRESS};

	both_forms(AFFINITY_INFO, &is_off);
	both_forms(CPU_ON, &no_entry);
	for (uint64_t round = 1; round <= ROUNDS; round++) {
		start_second(round & 1 ? SMCCC_64 : 0, round);
		check(second_becomes(PSCI_AFFINITY_ON), "second CPU comes on");
		if (round == 1)
			check_while_on();
		ping_second();
		expect("context", second_context, round);
		check(second_becomes(PSCI_AFFINITY_OFF), "second CPU goes off");
	}
	tell_call("CPU_OFF", PSCI_CPU_OFF, "the second CPU", "does not return");
}

void check_psci(void)
{
	check_calls(calls, sizeof(calls) / sizeof(calls[0]));
	check_range_exactly();
	check_standby();
	check_without_events();
	if (given.second)
		check_second_cpu();
}
