/*
 * Builds the interrupt descriptor table and hands each interrupt to its handler.
 * Source: Intel SDM volume 3, 6.14 (exception and interrupt handling in 64-bit mode).
 */
#include "cpu.h"
#include "interrupts.h"

#define GATE_INTERRUPT 0x8E00u /* present, DPL 0, 64-bit interrupt gate */
#define CODE_SELECTOR  0x08u
#define STUB_SIZE      16u

struct gate {
	uint16_t offset_low, selector, flags, offset_middle;
	uint32_t offset_high, reserved;
};

_Static_assert(sizeof(struct gate) == 16, "Intel SDM volume 3, figure 6-8");

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

struct cpu_stack cpu_stacks[GUEST_MAX_CPUS];

static struct gate table[INTERRUPT_VECTORS];
static interrupt_handler *handlers[INTERRUPT_VECTORS];

extern const uint8_t interrupt_stubs[INTERRUPT_VECTORS][STUB_SIZE];
void interrupt_dispatch(const struct interrupt_frame *frame);

void interrupt_gate(uint8_t vector, const void *entry)
{
	const uint64_t offset = (uint64_t)entry;
	table[vector] = (struct gate){.offset_low = (uint16_t)offset,
				      .selector = CODE_SELECTOR,
				      .flags = GATE_INTERRUPT,
				      .offset_middle = (uint16_t)(offset >> 16),
				      .offset_high = (uint32_t)(offset >> 32)};
}

static void load_table(const void *base, uint16_t limit)
{
	const struct table_pointer pointer = {.limit = limit, .base = (uint64_t)base};
	__asm__ volatile("lidt %0" ::"m"(pointer));
}

void interrupts_load(void)
{
	load_table(table, sizeof(table) - 1);
}

void interrupts_init(void)
{
	for (uint8_t vector = 0; vector < INTERRUPT_VECTORS; vector++)
		interrupt_gate(vector, interrupt_stubs[vector]);
	interrupts_load();
}

void interrupt_handle(uint8_t vector, interrupt_handler *handler)
{
	handlers[vector] = handler;
}

/* Called by the stubs. A vector without handler is spurious (a masked PIC line, the APIC's spurious vector).
 */
void interrupt_dispatch(const struct interrupt_frame *frame)
{
	if (frame->vector < INTERRUPT_FIRST_FREE)
		exception_report(frame);
	if (handlers[frame->vector])
		handlers[frame->vector]();
}

void triple_fault(void)
{
	load_table(table, 0);
	for (;;)
		__asm__ volatile("ud2");
}
