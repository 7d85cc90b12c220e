/*
 * Management calls, with the right to them and without. With it the last partition of the config is off, and
 * is there to be started, reset and stopped.
 */
#include "../common/x86.h"
#include "table.h"

#define SELF	  1u
#define NOBODY	  99u
#define NO_CLASS  99u
#define HLT_CLASS 6u

#define DENIED                                                                                               \
	{                                                                                                    \
		{.what = "without the right", .x = {SELF}, .expected = PSCI_DENIED},                         \
		{                                                                                            \
			.what = "without the right, nobody", .x = {NOBODY}, .expected = PSCI_DENIED          \
		}                                                                                            \
	}
static const struct row denied[] = DENIED;

#define ID_ROWS                                                                                              \
	{.what = "id 0", .x = {0}, .expected = PSCI_INVALID_PARAMETERS},                                     \
		{.what = "nobody", .x = {NOBODY}, .expected = PSCI_INVALID_PARAMETERS},                      \
	{                                                                                                    \
		.what = "a far id", .x = {1ull << 32 | SELF}, .expected = PSCI_INVALID_PARAMETERS            \
	}

static const struct row count_rows[] = {{.what = "plain", .flags = ROW_VALUE}};
static const struct row info_rows[] = {ID_ROWS, {.what = "itself", .x = {SELF}}};
static const struct row exits_rows[] = {
	ID_ROWS,
	{.what = "itself", .x = {SELF, HLT_CLASS}},
	{.what = "no such class", .x = {SELF, NO_CLASS}, .expected = PSCI_INVALID_PARAMETERS},
	{.what = "a far class", .x = {SELF, 1ull << 32}, .expected = PSCI_INVALID_PARAMETERS},
};
static const struct row start_rows[] = {ID_ROWS,
					{.what = "itself", .x = {SELF}, .expected = PSCI_ALREADY_ON}};
static const struct row order_rows[] = {ID_ROWS};

#define CALL(name, results, rows)                                                                            \
	{                                                                                                    \
#name, VENDOR_##name, FORM_64, FAMILY_PSCI, results, 1, ROWS(rows)                           \
	}
enum { COUNT, INFO, EXITS, START, STOP, RESET, CALLS };
static const struct call allowed[CALLS] = {
	[COUNT] = CALL(PARTITION_COUNT, 1, count_rows), [INFO] = CALL(PARTITION_INFO, 8, info_rows),
	[EXITS] = CALL(PARTITION_EXITS, 3, exits_rows), [START] = CALL(PARTITION_START, 1, start_rows),
	[STOP] = CALL(PARTITION_STOP, 1, order_rows),	[RESET] = CALL(PARTITION_RESET, 1, order_rows),
};
static const struct call refused[CALLS] = {
	[COUNT] = CALL(PARTITION_COUNT, 1, denied), [INFO] = CALL(PARTITION_INFO, 8, denied),
	[EXITS] = CALL(PARTITION_EXITS, 3, denied), [START] = CALL(PARTITION_START, 1, denied),
	[STOP] = CALL(PARTITION_STOP, 1, denied),   [RESET] = CALL(PARTITION_RESET, 1, denied),
};

static void order(unsigned call, uint32_t id, const char *what, int64_t expected)
{
	const struct row row = {.what = what, .x = {id}, .expected = expected, .flags = ROW_ONCE};

	check_row(&allowed[call], SMCCC_64, &row, NULL);
}

static struct bh_partition info_of(uint32_t id)
{
	struct bh_partition info = {0};

	expect("PARTITION_INFO", (uint64_t)bh_manage_info(id, &info), 0);
	return info;
}

void wait_until(uint32_t id, uint8_t state)
{
	struct bh_partition info;

	for (;;) {
		info = info_of(id);
		if (info.state == state && !info.busy)
			return;
		bh_wait_for(BH_EVENT_MANAGE);
	}
}

/* From a running partition, or what a call that came too late has made of it, to one that resets. */
static void make_busy(uint64_t partition)
{
	const uint32_t id = (uint32_t)partition;

	while (bh_manage_start(id) == PSCI_ON_PENDING)
		;
	wait_until(id, 2);
	(void)bh_manage_reset(id);
}

/* An order holds back the next while it is carried out, which takes its CPU some milliseconds. */
static void check_pending(uint32_t id)
{
	for (unsigned call = START; call <= RESET; call++) {
		const struct row row = {.what = "while an order is carried out",
					.x = {id},
					.expected = PSCI_ON_PENDING,
					.flags = ROW_ONCE,
					.before = make_busy};

		check_row(&allowed[call], SMCCC_64, &row, NULL);
		wait_until(id, 2);
	}
}

static void check_orders(uint32_t id)
{
	expect("state of a partition that is off", info_of(id).state, 0);
	order(STOP, id, "one that is off", PSCI_NOT_PRESENT);
	order(RESET, id, "one that is off", PSCI_NOT_PRESENT);
	order(START, id, "one that is off", 0);
	wait_until(id, 2);
	order(START, id, "one that is on", PSCI_ALREADY_ON);
	order(RESET, id, "one that is on", 0);
	wait_until(id, 2);
	check_pending(id);
	order(STOP, id, "one that is on", 0);
	wait_until(id, 0);
	expect("how it ended", info_of(id).end, 1);
}

static void check_own_figures(void)
{
	const struct bh_partition info = info_of(SELF);
	uint64_t exits = 0, ticks = 0;

	check(info.state == 2 && info.mode == 1 && !info.refused && !info.busy, "own state");
	expect("own memory", info.memory, memory_size);
	check(info.run_us > 0 && info.name[0], "own run time and name");
	expect("PARTITION_EXITS", (uint64_t)bh_manage_exits(SELF, 0, &exits, &ticks), 0);
	check(exits > 100 && ticks > exits, "own hypercalls are counted");
}

void check_manage(void)
{
	if (!given.manage) {
		check_calls(refused, CALLS);
		return;
	}
	check_calls(allowed, CALLS);
	check_own_figures();
	check_orders((uint32_t)bh_manage_count());
}
