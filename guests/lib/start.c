/*
 * A para guest's first steps in C, before and around bh_main(), and the vCPUs it starts itself.
 */
#include "../common/cpu.h"
#include "../common/interrupts.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "internal.h"

_Static_assert(BH_MAX_CPUS == GUEST_MAX_CPUS, "one event page for each stack");

#define LINE_SIZE 128

/* The last words of a guest that cannot go on. */
static void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void log_line(const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;
	va_start(arguments, format);
	const size_t used = format_list(line, sizeof(line), format, arguments);
	va_end(arguments);
	(void)bh_console_log(line, used); /* nobody is left to hear of a failure */
}

/* Registers what `what` names; a guest without it cannot keep the library's promises and ends here. */
static void require(int (*register_page)(void), const char *what)
{
	const int result = register_page();
	if (result >= 0)
		return;
	log_line("libbulkhead: cannot register the %s: %d\n", what, result);
	bh_system_off();
}

void bh_first_cpu(const struct bh_start *start)
{
	struct bh_identity identity;
	interrupts_init();
	if (start->magic != BH_START_MAGIC || !bh_identify(&identity))
		triple_fault(); /* not Bulkhead, or not a para partition: there is nobody to talk to */
	if (identity.abi_revision >> 16 != BH_ABI_MAJOR) {
		log_line("libbulkhead: the hypervisor speaks ABI %u, this guest %u\n",
			 identity.abi_revision >> 16, BH_ABI_MAJOR);
		bh_system_off();
	}
	require(bh_events_register, "event page");
	require(bh_clock_register, "clock page");
	require(bh_console_register, "console ring");
	interrupts_on();
	bh_main(start);
	bh_console_flush();
	bh_system_off();
}

void bh_further_cpu(void)
{
	const struct cpu_stack *own = this_stack();
	interrupts_load();
	require(bh_events_register, "event page");
	interrupts_on();
	own->entry(own->context);
	interrupts_off();
	for (;;) {
		(void)bh_cpu_off(); /* refused: sleep, and ask again after the next event */
		bh_idle();
	}
}

uint32_t bh_cpu(void)
{
	return this_cpu();
}

int bh_cpu_on(uint32_t cpu, void (*entry)(void *context), void *context)
{
	if (cpu >= BH_MAX_CPUS)
		return PSCI_INVALID_PARAMETERS;
	const int state = bh_cpu_state(cpu);
	if (state == PSCI_AFFINITY_ON)
		return PSCI_ALREADY_ON;
	if (state == PSCI_AFFINITY_ON_PENDING)
		return PSCI_ON_PENDING;
	if (state < 0)
		return state;
	struct cpu_stack *stack = &cpu_stacks[cpu];
	stack->cpu = cpu;
	stack->entry = entry;
	stack->context = context;
	return (int)bh_call(PSCI_CPU_ON_64, cpu, (uint64_t)bh_secondary_entry, (uint64_t)stack, 0, 0);
}

void exception_report(const struct interrupt_frame *frame)
{
	log_line("exception %lu error %lx at %lx, cpu %u\n", frame->vector, frame->error, frame->rip,
		 this_cpu());
	triple_fault();
}
