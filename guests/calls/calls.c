/*
 * Makes every call of docs/abi.md from inside a para partition, rightly and wrongly, in both forms and with
 * all registers marked, and prints a table of what comes back (table.h); then "calls: N checks, M wrong".
 *
 * It lives four times: three resets, by each of PSCI's calls for that, come first. Then the table, and the
 * end by way of SYSTEM_SUSPEND and SYSTEM_OFF. The command line says what the config gives: `manage` the
 * right to that, `peers` three more partitions (ffa.c).
 */
#include "../common/cpu.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "table.h"

#define WAKE_MS	 50u
#define SLEEP_MS 1u

uint64_t memory_size;
uint32_t tsc_khz;
struct given given;

/*
 * Each life but the last suspends once: that count outlives resets, and so tells which life it is. Console
 * and library must not suspend meanwhile, so nothing is written that would have to wait.
 */
static const struct {
	const char *name;
	uint32_t function;
} resets[] = {{"SYSTEM_RESET", PSCI_SYSTEM_RESET},
	      {"SYSTEM_RESET2", PSCI_SYSTEM_RESET2_32},
	      {"SYSTEM_RESET2", PSCI_SYSTEM_RESET2_64}};
#define RESETS (sizeof(resets) / sizeof(resets[0]))

static void reset_until_the_last_life(void)
{
	const uint64_t life = bh_suspend_count(0);

	if (life >= RESETS)
		return;
	tell_call(resets[life].name, resets[life].function, "warm", "starts afresh");
	interrupts_off();
	(void)bh_deadline(bh_tsc() + (uint64_t)SLEEP_MS * tsc_khz);
	bh_suspend();
	interrupts_off();
	expect("lives", bh_suspend_count(0), life + 1);
	(void)bh_call(resets[life].function, 0, 0, 0, 0, 0);
	check(false, "a reset came back");
}

/*
 * The end: sleeps alone, wakes up at the entry point on a fresh CPU, in both forms of the call, and powers
 * off.
 */

static void suspend_system(uint32_t function, void (*then)(void *context), uint64_t context)
{
	struct cpu_stack *stack = this_stack();

	tell_call("SYSTEM_SUSPEND", function, "until the deadline", "starts at its entry");
	bh_console_flush();
	stack->entry = then;
	stack->context = (void *)context;
	interrupts_off();
	(void)bh_deadline(bh_tsc() + (uint64_t)WAKE_MS * tsc_khz);
	(void)bh_call(function, (uint64_t)bh_secondary_entry, (uint64_t)stack, 0, 0, 0);
	interrupts_on();
	check(false, "SYSTEM_SUSPEND came back");
	bh_printf("calls: %u checks, %u wrong\n", checks, wrong);
}

static void second_waking(void *context)
{
	expect("context after SYSTEM_SUSPEND", (uint64_t)context, 78);
	tell_call("SYSTEM_OFF", PSCI_SYSTEM_OFF, "plain", "does not return");
	bh_printf("calls: %u checks, %u wrong\n", checks, wrong);
	bh_console_flush();
	bh_system_off();
}

static void first_waking(void *context)
{
	expect("context after SYSTEM_SUSPEND", (uint64_t)context, 77);
	suspend_system(PSCI_SYSTEM_SUSPEND_32, second_waking, 78);
}

void bh_main(const struct bh_start *start)
{
	const char *const cmdline = (const char *)start->cmdline;

	tsc_khz = start->tsc_khz;
	memory_size = start->memory_size;
	given.manage = option_flag(cmdline, "manage");
	given.peers = option_flag(cmdline, "peers");
	given.second = start->vcpu_count > 1;
	reset_until_the_last_life();
	bh_printf("calls: begin, %u vCPUs\n", start->vcpu_count);
	check_discovery();
	check_vendor();
	check_psci();
	check_ffa();
	check_manage();
	suspend_system(PSCI_SYSTEM_SUSPEND_64, first_waking, 77);
}
