/*
 * Exceptions that cannot be delivered. The architecture (SDM 3A 6.15, table 6-5): a fault in delivery becomes
 * another fault of the guest's own, #DF, and then shutdown: "triple fault". Where delivery needs memory that
 * is not the guest's, the hypervisor ends the partition: there is no instruction to blame and nothing to
 * carry out.
 */
#include "../../guests/common/interrupts.h"
#include "hostile.h"

#define GATES	       64u
#define GATE_INTERRUPT 0x8E00u
#define GATE_ABSENT    0x0E00u
#define GATE_TASK      0x8500u
#define GATE_TRAP_16   0x8700u
#define CODE_SELECTOR  0x08u
#define BAD_SELECTOR   0xFFF8u
#define NOT_CANONICAL  0x800000000000ull
#define UNMAPPED       0x7000000000ull /* nothing is mapped so far up */
#define VECTOR_DF      8u

struct gate {
	uint16_t offset_low, selector, flags, offset_middle;
	uint32_t offset_high, reserved;
};

static struct gate gates[GATES];

static void load(const volatile void *base, uint16_t limit)
{
	const struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {limit, (uint64_t)base};

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

static void undefined(void)
{
	__asm__ volatile("ud2");
}

static void set_gate(unsigned vector, uint64_t offset, uint16_t selector, uint16_t flags)
{
	gates[vector] = (struct gate){.offset_low = (uint16_t)offset,
				      .selector = selector,
				      .flags = flags,
				      .offset_middle = (uint16_t)(offset >> 16),
				      .offset_high = (uint32_t)(offset >> 32)};
}

/* The guest's own table, with one gate changed. */
static void borrow_table(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer;

	__asm__ volatile("sidt %0" : "=m"(pointer));
	memcpy(gates, (const void *)pointer.base, sizeof(gates));
	load(gates, sizeof(gates) - 1);
}

static void raise_through(uint64_t offset, uint16_t selector, uint16_t flags)
{
	interrupts_off();
	borrow_table();
	set_gate(VECTOR_UD, offset, selector, flags);
	undefined();
}

static void no_table(void)
{
	load(gates, 0);
	undefined();
}

/* An empty table: #UD becomes #GP or #NP, that one #DF, that one shutdown. */
static void empty_table(void)
{
	interrupts_off();
	load(gates, sizeof(gates) - 1);
	undefined();
}

static void table_outside(void)
{
	interrupts_off();
	load(map_window(attack_address()), sizeof(gates) - 1);
	undefined();
}

static void table_not_canonical(void)
{
	interrupts_off();
	load((const void *)(NOT_CANONICAL - 64), sizeof(gates) - 1);
	undefined();
}

static void stack_at(uint64_t stack)
{
	interrupts_off();
	__asm__ volatile("mov %0, %%rsp; ud2" : : "r"(stack) : CLOBBERS);
}

static void stack_outside(void)
{
	stack_at((uint64_t)map_window(attack_address()));
}

static void stack_given(void)
{
	stack_at(attack_a);
}

/* Delivered, but its first instruction is not the guest's: "executes at". */
static void handler_outside(void)
{
	raise_through((uint64_t)map_window(attack_address()), CODE_SELECTOR, GATE_INTERRUPT);
}

/* #UD by a gate whose offset or type is `a`, or that is marked as `b`. */
static void handler_at(void)
{
	raise_through(attack_a, CODE_SELECTOR, GATE_INTERRUPT);
}

static void gate_of_type(void)
{
	raise_through((uint64_t)undefined, CODE_SELECTOR, (uint16_t)attack_a);
}

static void gate_to_segment(void)
{
	raise_through((uint64_t)undefined, (uint16_t)attack_a, GATE_INTERRUPT);
}

/* The gate of the fault that stands for it is absent too: #DF, with a handler. */
static void absent_twice(void)
{
	interrupts_off();
	borrow_table();
	set_gate(VECTOR_UD, 0, CODE_SELECTOR, GATE_ABSENT);
	set_gate(11, 0, CODE_SELECTOR, GATE_ABSENT);
	undefined();
}

/* And #DF's as well: shutdown. */
static void absent_thrice(void)
{
	interrupts_off();
	borrow_table();
	set_gate(VECTOR_DF, 0, CODE_SELECTOR, GATE_ABSENT);
	set_gate(VECTOR_UD, 0, CODE_SELECTOR, GATE_ABSENT);
	set_gate(11, 0, CODE_SELECTOR, GATE_ABSENT);
	undefined();
}

/* #PF whose handler is not mapped: #PF in a #PF is #DF (table 6-5) only in delivery; here the handler's first
 * fetch faults, for ever, each time pushing, until the stack is at its end. */
static void page_fault_loop(void)
{
	interrupts_off();
	borrow_table();
	set_gate(14, UNMAPPED, CODE_SELECTOR, GATE_INTERRUPT);
	__asm__ volatile("mov %0, %%rsp; mov (%1), %%al"
			 :
			 : "r"((uint64_t)map_window(attack_address()) + PAGE_SIZE), "r"(UNMAPPED)
			 : "rax", CLOBBERS);
}

const struct attack delivery_attacks[] = {
	{"no-table", no_table, 0, 0},
	{"empty-table", empty_table, 0, 0},
	{"table-beyond", table_outside, MEMORY_END(0), 0},
	{"table-straddling", table_outside, MEMORY_END(-0x68), 0},
	{"table-not-canonical", table_not_canonical, 0, 0},
	{"stack-beyond", stack_outside, MEMORY_END(0x100), 0},
	{"stack-straddling", stack_outside, MEMORY_END(0x10), 0},
	{"stack-not-canonical", stack_given, NOT_CANONICAL + 0x1000, 0},
	{"stack-unmapped", stack_given, UNMAPPED, 0},
	{"handler-beyond", handler_outside, MEMORY_END(0), 0},
	/* #PF(0 or, where NX is on, 10h) at the handler's first byte. */
	{"handler-unmapped", handler_at, UNMAPPED, 0},
	{"handler-not-canonical", handler_at, NOT_CANONICAL, 0},
	/* #NP and #GP with the gate's place: 8 times 6, bit 1 for the table, bit 0 for an event that is not
	   the program's. */
	{"gate-absent", gate_of_type, GATE_ABSENT, 0},
	{"gate-task", gate_of_type, GATE_TASK, 0},
	{"gate-16-bit", gate_of_type, GATE_TRAP_16, 0},
	/* #GP with the selector, and bit 0. */
	{"gate-to-no-segment", gate_to_segment, BAD_SELECTOR, 0},
	{"gate-to-data", gate_to_segment, 0x10, 0},
	{"gate-to-null", gate_to_segment, 0, 0},
	{"gates-absent-twice", absent_twice, 0, 0},
	{"gates-absent-thrice", absent_thrice, 0, 0},
	{"page-fault-loop", page_fault_loop, 0x600000, 0},
	{0},
};
