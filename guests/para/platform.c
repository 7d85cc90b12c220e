/*
 * platform.h over libbulkhead: calls and shared pages instead of devices. In the steady state a console line
 * costs at most one call, a tick one (the next deadline), an IPI one.
 */
#include "../common/print.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "../lib/bulkhead.h"
#include "../platform.h"

#define EVENT_IPI 0 /* of the guest's own events */

static struct platform self = {.kind = "para"};
static void (*tick_handler)(void);
static void (*ipi_handler)(void);
static uint64_t tick_period, next_tick;
static volatile bool alarm_rang;
static bool use_ring, want_ring;

static void on_timer(uint32_t event)
{
	(void)event;
	if (!tick_handler) {
		alarm_rang = true;
		return;
	}
	next_tick += tick_period;
	(void)bh_deadline(next_tick); /* cannot fail: the timer is there since the first one */
	tick_handler();
}

static void on_ipi(uint32_t event)
{
	(void)event;
	if (ipi_handler)
		ipi_handler();
}

/* Input needs no handling but must wake platform_idle(); taking the event is all. */
static void on_input(uint32_t event)
{
	(void)event;
}

void bh_main(const struct bh_start *start)
{
	char console[8];
	self.name = start->name;
	self.cmdline = (const char *)start->cmdline;
	self.memory_size = start->memory_size;
	self.cpu_count = start->vcpu_count < BH_MAX_CPUS ? start->vcpu_count : BH_MAX_CPUS;
	self.tsc_khz = start->tsc_khz;
	option_text(self.cmdline, "console", "ring", console, sizeof(console));
	want_ring = !string_equal(console, "log");
	bh_event_handle(BH_EVENT_TIMER, on_timer);
	bh_event_handle(BH_EVENT_CONSOLE_INPUT, on_input);
	bh_event_handle(EVENT_IPI, on_ipi);
	guest_main(&self);
}

/* First words by call, at once; steady work through the ring. */
void platform_write(const char *text, size_t size)
{
	if (use_ring)
		bh_console_write(text, size);
	else
		(void)bh_console_log(text, size); /* there is no other way to tell of its failure */
}

void platform_console_start(void)
{
	use_ring = want_ring;
}

void platform_flush(void)
{
	bh_console_flush();
}

int platform_read(void)
{
	return bh_console_read();
}

uint64_t platform_time_ns(void)
{
	return bh_time_ns();
}

void platform_tick_start(uint32_t hz, void (*handler)(void))
{
	tick_period = (uint64_t)self.tsc_khz * 1000 / hz;
	next_tick = bh_tsc() + tick_period;
	tick_handler = handler;
	if (bh_deadline(next_tick) < 0)
		print_line("tick: the deadline timer was refused");
}

void platform_tick_stop(void)
{
	(void)bh_deadline(0); /* disarming has nothing to refuse */
	tick_handler = NULL;
}

void platform_sleep_ms(uint32_t milliseconds)
{
	alarm_rang = false;
	if (bh_deadline(bh_tsc() + (uint64_t)self.tsc_khz * milliseconds) < 0) {
		print_line("sleep: the deadline timer was refused");
		return;
	}
	interrupts_off();
	while (!alarm_rang)
		platform_idle();
	interrupts_on();
}

void platform_idle(void)
{
	bh_idle();
}

bool platform_cpu_start(uint32_t cpu, void (*entry)(void *context), void *context)
{
	return bh_cpu_on(cpu, entry, context) == PSCI_SUCCESS;
}

/* CPU_OFF is refused only to a vCPU that may not stop; that one sleeps instead. */
void platform_cpu_stop(void)
{
	interrupts_off();
	(void)bh_cpu_off();
	for (;;)
		bh_idle();
}

bool platform_cpu_running(uint32_t cpu)
{
	return bh_cpu_state(cpu) != PSCI_AFFINITY_OFF;
}

void platform_ipi(uint32_t cpu)
{
	(void)bh_ipi(cpu, EVENT_IPI); /* a lost message shows in the count of answers */
}

void platform_on_ipi(void (*handler)(void))
{
	ipi_handler = handler;
}

void platform_power_off(void)
{
	bh_console_flush();
	bh_system_off();
}

void platform_reset(void)
{
	bh_console_flush();
	bh_system_reset();
}

void platform_report(void)
{
	struct bh_identity identity;
	uint64_t random = 0;
	if (!bh_identify(&identity))
		return;
	const int entropy = bh_random(&random, sizeof(random));
	print_line("abi %u.%u, partition %u, smccc %u.%u, psci %u.%u", identity.abi_revision >> 16,
		   identity.abi_revision & 0xFFFF, identity.partition_id, identity.smccc_version >> 16,
		   identity.smccc_version & 0xFFFF, identity.psci_version >> 16,
		   identity.psci_version & 0xFFFF);
	print_line("stolen %lu ns, random %s, wall clock %lu s, suspended %lu times", bh_stolen_ns(),
		   entropy == 0 && random ? "ok" : "none", bh_wall_s(), bh_suspend_count(bh_cpu()));
}
