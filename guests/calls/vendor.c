/*
 * Bulkhead's own calls: events, deadline, clock, console, and the management of partitions.
 */
#include "../common/x86.h"
#include "table.h"

#define NO_CPU	 99u
#define PING	 7u
#define MISPLACE 8u /* no multiple of a page */

static uint8_t spare[PAGE] __attribute__((aligned(PAGE)));

static const struct row event_page[] = {
	{.what = "vector 31", .x = {(uint64_t)spare, 31}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "vector 256", .x = {(uint64_t)spare, 256}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "a far vector",
	 .x = {(uint64_t)spare, 1ull << 32 | 48},
	 .expected = SMCCC_INVALID_PARAMETER},
	{.what = "misaligned", .x = {(uint64_t)spare + MISPLACE, 48}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "no memory", .x = {OUTSIDE, 48}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "far away", .x = {1ull << 63, 48}, .expected = SMCCC_INVALID_PARAMETER},
};

static const struct row ipi[] = {
	{.what = "event 56", .x = {0, BH_EVENT_IPIS}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "a far event", .x = {0, 1ull << 32}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "no such CPU", .x = {NO_CPU, 0}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "a far CPU", .x = {1ull << 32, 0}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "itself", .x = {0, PING}},
};

static const struct row deadline[] = {
	{.what = "far ahead", .x = {UINT64_MAX}},
	{.what = "disarm", .x = {0}},
};

static const struct row console_ring[] = {
	{.what = "misaligned", .x = {(uint64_t)spare + MISPLACE}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "no memory", .x = {OUTSIDE}, .expected = SMCCC_INVALID_PARAMETER},
};

static const struct row kick[] = {{.what = "plain"}};

static const struct row clock_page[] = {
	{.what = "misaligned", .x = {MISPLACE}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "no memory", .x = {OUTSIDE}, .expected = SMCCC_INVALID_PARAMETER},
	{.what = "a page", .x = {(uint64_t)spare}},
	{.what = "back", .x = {0}},
};

/* Both forms answer as FF-A does, and change x0 to x3. */
static const struct row console_log_64[] = {
	{.what = "no characters", .x = {0}, .expected = FFA_INVALID_PARAMETERS},
	{.what = "49 characters", .x = {49}, .expected = FFA_INVALID_PARAMETERS},
	{.what = "2^32 characters",
	 .x = {1ull << 32},
	 .expected = FFA_INVALID_PARAMETERS,
	 .flags = ROW_ONLY_64},
};

static const struct row console_log_32[] = {
	{.what = "25 characters", .x = {25}, .expected = FFA_INVALID_PARAMETERS}};

#define VENDOR(name, rows)                                                                                   \
	{                                                                                                    \
#name, VENDOR_##name, FORM_64, FAMILY_SMCCC, 1, 1, ROWS(rows)                                \
	}
enum { EVENT_PAGE, IPI, DEADLINE, CONSOLE_RING, CONSOLE_KICK, CLOCK_PAGE, CONSOLE_LOG };
static const struct call calls[] = {
	[EVENT_PAGE] = VENDOR(EVENT_PAGE, event_page),
	[IPI] = VENDOR(IPI, ipi),
	[DEADLINE] = VENDOR(DEADLINE, deadline),
	[CONSOLE_RING] = VENDOR(CONSOLE_RING, console_ring),
	[CONSOLE_KICK] = VENDOR(CONSOLE_KICK, kick),
	[CLOCK_PAGE] = VENDOR(CLOCK_PAGE, clock_page),
	[CONSOLE_LOG] = {"FFA_CONSOLE_LOG", FFA_CONSOLE_LOG_32, FORM_BOTH, FAMILY_FFA, 4, 4,
			 ROWS(console_log_64)},
};

static void check_clock(void)
{
	const uint64_t first = bh_time_ns(), tsc = bh_tsc();

	while (bh_tsc() - tsc < 5ull * tsc_khz)
		spin_hint();
	check(bh_time_ns() - first >= 5000000 && bh_time_ns() - first < 1000000000, "5 ms on the clock page");
	expect("CLOCK_PAGE, again", (uint64_t)bh_clock_register(), 0);
}

/* The ring is taken back for a moment: the table's lines wait. */
static void check_console(void)
{
	static const struct row no_ring = {.what = "without a ring", .expected = SMCCC_NOT_REQUIRED};
	static const struct row back = {.what = "back", .x = {0}};
	static const struct row say = {
		.what = "a line", .x = {4, 0x0A3A3A3A}, .flags = ROW_ONCE | ROW_PATIENT};

	check_row(&calls[CONSOLE_LOG], 0, console_log_32, NULL);
	check_row(&calls[CONSOLE_LOG], 0, &say, NULL);
	check_row(&calls[CONSOLE_LOG], SMCCC_64, &say, NULL);
	expect("CONSOLE_LOG", (uint64_t)bh_console_log("calls: by CONSOLE_LOG\n", 22), 0);
	check_row(&calls[CONSOLE_RING], SMCCC_64, &back, NULL);
	check_row(&calls[CONSOLE_KICK], SMCCC_64, &no_ring, NULL);
	expect("CONSOLE_RING, again", (uint64_t)bh_console_register(), 0);
}

static void check_events(void)
{
	static const struct row back = {.what = "back", .x = {0}};
	static const struct row sleeper = {
		.what = "a CPU that is off", .x = {1, 0}, .expected = SMCCC_INVALID_PARAMETER};

	bh_wait_for(PING); /* of the table */
	check(true, "IPI to itself arrives");
	check_row(&calls[EVENT_PAGE], SMCCC_64, &back, NULL);
	expect("EVENT_PAGE, again", (uint64_t)bh_events_register(), 0);
	if (given.second)
		check_row(&calls[IPI], SMCCC_64, &sleeper, NULL);
}

void check_vendor(void)
{
	check_calls(calls, sizeof(calls) / sizeof(calls[0]));
	check_events();
	check_clock();
	check_console();
}
