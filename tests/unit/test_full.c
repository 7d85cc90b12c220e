/*
 * The PC as it is wired: lines from device to vCPU, console bytes, the clock, the ports that end it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/clock.h"
#include "arch/x86/registers.h"
#include "hv/device/lapic_page.h"
#include "tests/unit/fake_pc.h"

#define COM1  0x3F8
#define LINT0 (APIC_DEFAULT_BASE + 0x350)

static int setup(void **state)
{
	(void)state;
	pc_create(2);
	boot_wall_s = 1700000000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pc_destroy();
	return 0;
}

static void program_pic(uint8_t mask)
{
	pc_out(0x20, 0x11);
	pc_out(0x21, 0x20);
	pc_out(0x21, 4);
	pc_out(0x21, 1);
	pc_out(0x21, mask);
}

static void type(const char *text)
{
	struct input_queue *input = &pc.partition.input;

	for (; *text; text++)
		input->byte[atomic_fetch_add(&input->head, 1) % INPUT_SIZE] = (uint8_t)*text;
	full_console_input(&pc.vcpu[0]);
}

static void writes_to_the_console(void **state)
{
	(void)state;
	for (const char *text = "hello\n"; *text; text++)
		pc_out(COM1, (uint8_t)*text);
	assert_int_equal(pc.console_length, 6);
	assert_memory_equal(pc.console, "hello\n", 6);
}

static void console_holds_the_transmitter(void **state)
{
	(void)state;
	pc_out(COM1 + 1, 0x02);
	pc_out(COM1 + 4, 0x08);
	assert_int_equal(pc_in(COM1 + 2), 0x02);
	atomic_store(&pc.partition.console.held, true);
	pc_out(COM1, 'x');
	assert_int_equal(pc_in(COM1 + 5), 0);
	assert_int_equal(pc_in(COM1 + 2), 0x01);
	type("a"); /* input asks for the same as room does */
	assert_int_equal(pc_in(COM1 + 5), 0x01);
	atomic_store(&pc.partition.console.held, false);
	full_console_input(&pc.vcpu[0]);
	assert_int_equal(pc_in(COM1 + 5), 0x61);
	assert_int_equal(pc_in(COM1 + 2), 0x02);
}

static void input_waits_for_room(void **state)
{
	const char *text = "a line longer than the sixteen bytes of the FIFO";

	(void)state;
	pc_out(COM1 + 2, 0x01);
	type(text);
	for (; *text; text++) {
		assert_int_equal(pc_in(COM1 + 5) & 1, 1);
		assert_int_equal(pc_in(COM1), *text);
	}
	assert_int_equal(pc_in(COM1 + 5) & 1, 0);
}

static void serial_interrupt(void **state)
{
	(void)state;
	program_pic(0xEF);
	pc_out(COM1 + 4, 0x08);
	pc_out(COM1 + 1, 0x01);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	type("x");
	assert_true(atomic_load(&pc.shared[0].requests) & REQUEST_INTERRUPT);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), 0x24);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[1]), -1); /* the PIC is wired to vCPU 0 alone */
	assert_int_equal(full_take_interrupt(&pc.vcpu[0]), 0x24);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	pc_in(COM1);
	pc_out(0x20, 0x20);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	type("y");
	assert_int_equal(full_take_interrupt(&pc.vcpu[0]), 0x24);
}

static void lint0_gates_the_pic(void **state)
{
	(void)state;
	program_pic(0xEF);
	pc_out(COM1 + 4, 0x08);
	pc_out(COM1 + 1, 0x02);
	full_mmio_write(&pc.vcpu[0], gpa(LINT0), 4, LVT_MASKED | DELIVERY_EXTINT);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	full_mmio_write(&pc.vcpu[0], gpa(LINT0), 4, DELIVERY_EXTINT);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), 0x24);
	full_mmio_write(&pc.vcpu[0], gpa(LINT0), 4, LVT_MASKED);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	/* With the APIC off altogether the PIC's line goes straight to the CPU. */
	assert_true(full_msr_write(&pc.vcpu[0], MSR_APIC_BASE, APIC_DEFAULT_BASE | APIC_BASE_BSP));
	assert_int_equal(full_take_interrupt(&pc.vcpu[0]), 0x24);
}

static void hundred_ticks_a_second(void **state)
{
	const uint64_t start = pc.now, second = PC_TSC_KHZ * 1000ull;
	unsigned ticks = 0;

	(void)state;
	program_pic(0xFE);
	pc_out(0x43, 0x34);
	pc_out(0x40, 11932 & 0xFF);
	pc_out(0x40, 11932 >> 8);
	for (uint64_t ms = 1; ms <= 10000; ms++) {
		pc_run_until(start + second / 1000 * ms);
		if (full_peek_interrupt(&pc.vcpu[0]) < 0)
			continue;
		assert_int_equal(full_take_interrupt(&pc.vcpu[0]), 0x20);
		pc_out(0x20, 0x20);
		ticks++;
	}
	assert_in_range(ticks, 999, 1000); /* 11932 is a hair above 100 Hz's count */
}

/* The host was away for five ticks: the guest gets them all, one after the other. */
static void late_ticks_are_made_up_for(void **state)
{
	const uint64_t tick = PC_TSC_KHZ * 10ull;
	unsigned ticks = 0;

	(void)state;
	program_pic(0xFE);
	pc_out(0x43, 0x34);
	pc_out(0x40, 11932 & 0xFF);
	pc_out(0x40, 11932 >> 8);
	pc.now += 5 * tick + tick / 2;
	full_timer(&pc.vcpu[0], TIMER_PIT);
	for (; full_peek_interrupt(&pc.vcpu[0]) == 0x20; ticks++) {
		assert_int_equal(full_take_interrupt(&pc.vcpu[0]), 0x20);
		assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
		pc_out(0x20, 0x20);
	}
	assert_int_equal(ticks, 5);
	full_timer(&pc.vcpu[0], TIMER_PIT); /* early: nothing */
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
}

static void another_vcpu_programs_the_pit(void **state)
{
	(void)state;
	program_pic(0xFE);
	assert_true(full_port_out(&pc.vcpu[1], 0x43, 1, 0x34));
	assert_true(full_port_out(&pc.vcpu[1], 0x40, 1, 0x00));
	assert_true(full_port_out(&pc.vcpu[1], 0x40, 1, 0x10));
	assert_int_equal(pc.vcpu[1].timer[TIMER_PIT], TIMER_NEVER);
	assert_true(atomic_load(&pc.shared[0].requests) & REQUEST_INTERRUPT);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	assert_int_equal(pc.vcpu[0].timer[TIMER_PIT], pc.partition.devices->pit.edge);
	pc_run_until(pc.vcpu[0].timer[TIMER_PIT]);
	assert_int_equal(full_take_interrupt(&pc.vcpu[0]), 0x20);
}

static void wide_accesses(void **state)
{
	uint32_t value;

	(void)state;
	assert_true(full_port_out(&pc.vcpu[0], COM1 + 6, 2, 0x5A00)); /* MSR ignores it, scratch takes it */
	assert_true(full_port_in(&pc.vcpu[0], COM1 + 4, 4, &value));
	assert_int_equal(value, 0x5AB06000);
	assert_true(full_port_in(&pc.vcpu[0], COM1 + 7, 4, &value)); /* nobody behind it */
	assert_int_equal(value, 0xFFFFFF5A);
	assert_false(full_port_in(&pc.vcpu[0], 0x2F8, 4, &value));
	assert_false(full_port_out(&pc.vcpu[0], 0x2F8, 4, 0));
}

static void clock_reads(void **state)
{
	static const uint8_t expected[][2] = {
		{0x00, 0x20}, {0x02, 0x13}, {0x04, 0x22}, {0x06, 0x03}, {0x07, 0x14}, {0x08, 0x11},
		{0x09, 0x23}, {0x32, 0x20}, {0x0A, 0x26}, {0x0B, 0x02}, {0x0D, 0x80}}; /* Tuesday 14 November
											  2023, 22:13:20 */

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
		pc_out(0x70, 0x80 | expected[i][0]);
		assert_int_equal(pc_in(0x71), expected[i][1]);
	}
	pc.now += PC_TSC_KHZ * 1000ull * 45;
	pc_out(0x70, 0x00);
	assert_int_equal(pc_in(0x71), 0x05);
	boot_wall_s = 951782400; /* 29 February 2000 */
	pc_out(0x70, 0x07);
	assert_int_equal(pc_in(0x71), 0x29);
	pc_out(0x70, 0x09);
	assert_int_equal(pc_in(0x71), 0x00);
}

static void resets_and_power_off(void **state)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} reset[] = {{0xCF9, 0x06}, {0x64, 0xFE}, {0x92, 0x01}},
	  nothing[] = {{0xCF9, 0x02}, {0x64, 0xAA}, {0x92, 0x02}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(reset); i++) {
		pc.order = ORDER_NONE;
		pc_out(nothing[i].port, nothing[i].value);
		assert_int_equal(pc.order, ORDER_NONE);
		pc_out(reset[i].port, reset[i].value);
		assert_int_equal(pc.order, ORDER_RESET);
	}
	assert_true(full_port_out(&pc.vcpu[0], 0x604, 2, 0x2000));
	assert_int_equal(pc.order, ORDER_OFF);
	assert_int_equal(pc_in(0x92), 0x02);
	pc_out(0x80, 0x55);
}

/*
 * The I/O APIC and its interrupts
 */

#define VECTOR_SERIAL 0x44u
#define VECTOR_SCI    0x59u
#define LEVEL	      0x8000u

static void route(unsigned pin, uint32_t low, uint8_t destination)
{
	full_mmio_write(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS), 4, 0x11 + 2 * pin);
	full_mmio_write(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS + 0x10), 4, (uint32_t)destination << 24);
	full_mmio_write(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS), 4, 0x10 + 2 * pin);
	full_mmio_write(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS + 0x10), 4, low);
}

static uint32_t routed(unsigned pin)
{
	full_mmio_write(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS), 1, 0x10 + 2 * pin);
	return (uint32_t)full_mmio_read(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS + 0x10), 4);
}

/* As a system with I/O APIC has it: all local APICs on, the PIC masked. */
static void use_ioapic(void)
{
	for (unsigned cpu = 0; cpu < 2; cpu++) {
		full_mmio_write(&pc.vcpu[cpu], gpa(APIC_DEFAULT_BASE + 0xF0), 4, 0x1FF);
		full_mmio_write(&pc.vcpu[cpu], gpa(LINT0), 4, LVT_MASKED);
		full_mmio_write(&pc.vcpu[cpu], gpa(APIC_DEFAULT_BASE + 0xD0), 4, 1u << (24 + cpu));
	}
}

static void end_of_interrupt(unsigned cpu)
{
	full_mmio_write(&pc.vcpu[cpu], gpa(APIC_DEFAULT_BASE + 0xB0), 4, 0);
}

static void serial_through_the_ioapic(void **state)
{
	(void)state;
	use_ioapic();
	route(4, VECTOR_SERIAL, 1);
	pc_out(COM1 + 4, 0x08);
	pc_out(COM1 + 1, 0x01);
	type("x");
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	assert_true(atomic_load(&pc.shared[1].requests) & REQUEST_INTERRUPT);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[1]), VECTOR_SERIAL);
	assert_int_equal(full_take_interrupt(&pc.vcpu[1]), VECTOR_SERIAL);
	end_of_interrupt(1);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[1]), -1);
	pc_in(COM1);
	route(4, DELIVERY_LOWEST | DELIVERY_LOGICAL | VECTOR_SERIAL, 0x03);
	full_mmio_write(&pc.vcpu[0], gpa(APIC_DEFAULT_BASE + 0x80), 4, 0x20); /* vCPU 0 is busier */
	type("y");
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[1]), VECTOR_SERIAL);
	pc_in(COM1);
	route(4, DELIVERY_NMI, 0xFF);
	type("z");
	assert_int_equal(pc.nmis, 3);
	pc_in(COM1);
	route(4, DELIVERY_INIT, 1);
	type("i");
	assert_int_equal(pc.inits, 1u << 1);
}

/* Vectors of exceptions are none of an interrupt's. */
static void no_exception_through_the_ioapic(void **state)
{
	(void)state;
	use_ioapic();
	for (uint32_t mode = 0; mode < 2; mode++)
		for (uint32_t vector = 0; vector < 16; vector++) {
			route(PC_IRQ_COM1, vector | mode << 8, 0);
			full_set_line(&pc.partition, PC_IRQ_COM1, true);
			full_set_line(&pc.partition, PC_IRQ_COM1, false);
			assert_int_equal(atomic_load(&pc.shared[0].interrupts[0]), 0);
			assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
		}
}

/* The timer's line is on pin 2; an interrupt's edge on pin 0 would be the PIC's. */
static void timer_through_the_ioapic(void **state)
{
	const uint64_t start = pc.now;
	unsigned ticks = 0;

	(void)state;
	use_ioapic();
	route(0, 0x33, 0);
	route(2, 0x30, 0);
	pc_out(0x43, 0x34);
	pc_out(0x40, 11932 & 0xFF);
	pc_out(0x40, 11932 >> 8);
	for (unsigned ms = 1; ms <= 1000; ms++) {
		pc_run_until(start + ms * (uint64_t)PC_TSC_KHZ);
		if (full_peek_interrupt(&pc.vcpu[0]) < 0)
			continue;
		assert_int_equal(full_take_interrupt(&pc.vcpu[0]), 0x30);
		end_of_interrupt(0);
		ticks++;
	}
	assert_in_range(ticks, 99, 100);
}

/* The SCI by the ACPI timer: a level, repeated until its cause is gone. */
static void sci(void **state)
{
	(void)state;
	use_ioapic();
	route(9, LEVEL | VECTOR_SCI, 0);
	assert_true(full_port_out(&pc.vcpu[1], 0x602, 2, 1));
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1); /* arms the timer */
	assert_int_not_equal(pc.vcpu[0].timer[TIMER_PIT], TIMER_NEVER);
	pc_run_until(pc.vcpu[0].timer[TIMER_PIT]);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), VECTOR_SCI);
		assert_int_equal(full_take_interrupt(&pc.vcpu[0]), VECTOR_SCI);
		assert_int_equal(full_mmio_read(&pc.vcpu[0], gpa(APIC_DEFAULT_BASE + 0x1A0), 4), 1u << 25);
		assert_true(routed(9) & 0x4000);
		if (i == 2)
			assert_true(full_port_out(&pc.vcpu[0], 0x600, 2, 1));
		end_of_interrupt(0);
	}
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	assert_false(routed(9) & 0x4000);
	/* The same vector for an edge: the trigger mode goes with the interrupt. */
	route(4, VECTOR_SCI, 0);
	pc_out(COM1 + 4, 0x08);
	pc_out(COM1 + 1, 0x02);
	assert_int_equal(full_take_interrupt(&pc.vcpu[0]), full_peek_interrupt(&pc.vcpu[0]));
	assert_int_equal(full_mmio_read(&pc.vcpu[0], gpa(APIC_DEFAULT_BASE + 0x1A0), 4), 0);
	end_of_interrupt(0);
}

/* The same where the CPU serves the local APIC: it takes the end by itself, and tells it of a level only. */
static void sci_beside_a_page(void **state)
{
	static _Atomic uint32_t page[PAGE_SIZE / sizeof(uint32_t)];
	struct lapic *lapic = pc.vcpu[0].lapic;

	(void)state;
	use_ioapic();
	lapic_enter_page(&pc.vcpu[0], page);
	route(9, LEVEL | VECTOR_SCI, 0);
	assert_int_equal(lapic_load(&lapic->level_changed), 0);
	full_set_line(&pc.partition, 9, true);
	assert_int_equal(lapic_load(&lapic->level_changed), 1); /* before the vector is there */
	assert_int_equal(lapic_load(&lapic->level[VECTOR_SCI / 32]), 1u << VECTOR_SCI % 32);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), VECTOR_SCI);
		lapic_store(&lapic->level_changed, 0);
		assert_true(routed(9) & 0x4000);
		lapic_store(&page[REG_REQUEST * 4 + VECTOR_SCI / 32 * 4], 0);
		if (i == 2)
			full_set_line(&pc.partition, 9, false);
		lapic_page_ended(&pc.vcpu[0], VECTOR_SCI);
	}
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	assert_false(routed(9) & 0x4000);
	assert_int_equal(lapic_load(&lapic->level_changed), 0); /* level as it was */
	route(9, VECTOR_SCI, 0);
	full_set_line(&pc.partition, 9, true);
	assert_int_equal(lapic_load(&lapic->level_changed), 1);
	assert_int_equal(lapic_load(&lapic->level[VECTOR_SCI / 32]), 0);
}

/*
 * Levels that no local APIC takes
 */

#define REMOTE_IRR 0x4000u
#define LDR	   0xD0u
#define DFR	   0xE0u
#define SVR	   0xF0u

static void put_lapic(unsigned cpu, unsigned offset, uint32_t value)
{
	full_mmio_write(&pc.vcpu[cpu], gpa(APIC_DEFAULT_BASE + offset), 4, value);
}

static void assert_not_taken(void)
{
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[1]), -1);
	assert_int_equal(routed(PC_IRQ_SCI) & REMOTE_IRR, 0);
}

/* Once, and again after its end for as long as the line is up. */
static void assert_taken(unsigned cpu)
{
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(full_peek_interrupt(&pc.vcpu[cpu]), VECTOR_SCI);
		assert_int_equal(full_take_interrupt(&pc.vcpu[cpu]), VECTOR_SCI);
		assert_int_equal(full_peek_interrupt(&pc.vcpu[cpu]), -1);
		assert_int_equal(routed(PC_IRQ_SCI) & REMOTE_IRR, REMOTE_IRR);
		if (i == 1)
			full_set_line(&pc.partition, PC_IRQ_SCI, false);
		end_of_interrupt(cpu);
	}
	assert_not_taken();
}

/* A system sets its I/O APIC up before its local APICs, with the SCI's line up already. */
static void level_before_the_local_apic(void **state)
{
	(void)state;
	put_lapic(0, 0x350, LVT_MASKED);
	full_set_line(&pc.partition, PC_IRQ_SCI, true);
	route(PC_IRQ_SCI, LEVEL | DELIVERY_LOGICAL | VECTOR_SCI, 0x02);
	assert_not_taken(); /* LDR is 0 */
	put_lapic(1, LDR, 0x02u << 24);
	assert_not_taken();
	put_lapic(1, SVR, 0x1FF);
	assert_taken(1);
}

static void level_rewritten_for_another(void **state)
{
	(void)state;
	use_ioapic();
	full_set_line(&pc.partition, PC_IRQ_SCI, true);
	route(PC_IRQ_SCI, LEVEL | VECTOR_SCI, 7);
	assert_not_taken(); /* there is no such one */
	route(PC_IRQ_SCI, LEVEL | DELIVERY_LOGICAL | VECTOR_SCI, 0x70);
	assert_not_taken();
	route(PC_IRQ_SCI, LEVEL | DELIVERY_LOGICAL | DELIVERY_LOWEST | VECTOR_SCI, 0x70);
	assert_not_taken();
	route(PC_IRQ_SCI, LVT_MASKED, 0x70);
	route(PC_IRQ_SCI, LEVEL | 0x0F, 1);
	assert_not_taken(); /* an exception's vector */
	route(PC_IRQ_SCI, LVT_MASKED, 0x70);
	route(PC_IRQ_SCI, LEVEL | VECTOR_SCI, 7);
	full_mmio_write(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS), 4, 0x11 + 2 * PC_IRQ_SCI);
	full_mmio_write(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS + 0x10), 4, 1u << 24); /* that half alone */
	assert_taken(1);
}

static void level_for_a_disabled_apic(void **state)
{
	static const uint32_t modes[] = {DELIVERY_FIXED, DELIVERY_LOWEST};

	(void)state;
	use_ioapic();
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++) {
		put_lapic(1, SVR, 0xFF);
		full_set_line(&pc.partition, PC_IRQ_SCI, true);
		route(PC_IRQ_SCI, LEVEL | modes[i] | VECTOR_SCI, 1);
		assert_not_taken();
		full_set_line(&pc.partition, PC_IRQ_SCI, true);
		assert_not_taken();
		put_lapic(1, SVR, 0x1FF);
		assert_taken(1);
	}
	/* Off altogether; on again, it is still off by software. */
	assert_true(full_msr_write(&pc.vcpu[1], MSR_APIC_BASE, APIC_DEFAULT_BASE));
	full_set_line(&pc.partition, PC_IRQ_SCI, true);
	assert_not_taken();
	assert_true(full_msr_write(&pc.vcpu[1], MSR_APIC_BASE, APIC_DEFAULT_BASE | APIC_BASE_ENABLE));
	assert_not_taken();
	put_lapic(1, SVR, 0x1FF);
	assert_taken(1);
}

/* Taken is taken: an APIC that is switched off before its CPU has looked keeps it. */
static void level_taken_before_the_apic_is_disabled(void **state)
{
	(void)state;
	use_ioapic();
	route(PC_IRQ_SCI, LEVEL | VECTOR_SCI, 1);
	full_set_line(&pc.partition, PC_IRQ_SCI, true);
	put_lapic(1, SVR, 0xFF);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[1]), VECTOR_SCI);
	assert_int_equal(routed(PC_IRQ_SCI) & REMOTE_IRR, REMOTE_IRR);
	put_lapic(1, SVR, 0x1FF);
	assert_taken(1);
}

/* The same logical destination means another APIC in another model, and in another mode. */
static void level_and_logical_destinations(void **state)
{
	(void)state;
	use_ioapic();
	put_lapic(1, DFR, 0x0FFFFFFF);
	put_lapic(1, LDR, 0x10u << 24); /* in cluster 1, none of its members */
	full_set_line(&pc.partition, PC_IRQ_SCI, true);
	route(PC_IRQ_SCI, LEVEL | DELIVERY_LOGICAL | VECTOR_SCI, 0x10);
	assert_not_taken();
	put_lapic(1, DFR, 0xFFFFFFFF);
	assert_taken(1);
	put_lapic(1, LDR, 0);
	full_set_line(&pc.partition, PC_IRQ_SCI, true);
	route(PC_IRQ_SCI, LEVEL | DELIVERY_LOGICAL | VECTOR_SCI, 0x02);
	assert_not_taken();
	assert_true(full_msr_write(&pc.vcpu[1], MSR_APIC_BASE,
				   APIC_DEFAULT_BASE | APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	assert_int_equal(full_peek_interrupt(&pc.vcpu[1]), VECTOR_SCI);
	assert_int_equal(routed(PC_IRQ_SCI) & REMOTE_IRR, REMOTE_IRR);
}

/* The CPU that serves the local APIC tells of these registers after they have been written. */
static void level_before_the_local_apic_beside_a_page(void **state)
{
	static _Atomic uint32_t page[PAGE_SIZE / sizeof(uint32_t)];
	struct lapic *lapic = pc.vcpu[0].lapic;

	(void)state;
	put_lapic(0, 0x350, LVT_MASKED);
	lapic_enter_page(&pc.vcpu[0], page);
	full_set_line(&pc.partition, PC_IRQ_SCI, true);
	route(PC_IRQ_SCI, LEVEL | DELIVERY_LOGICAL | VECTOR_SCI, 0x01);
	assert_not_taken();
	assert_int_equal(lapic_load(&lapic->level_changed), 0);
	lapic_store(&page[REG_LOGICAL * 4], 0x01u << 24);
	lapic_page_written(&pc.vcpu[0], LDR);
	assert_int_equal(lapic_load(&lapic->level_changed), 1);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), VECTOR_SCI);
	assert_int_equal(routed(PC_IRQ_SCI) & REMOTE_IRR, REMOTE_IRR);
	lapic_page_ended(&pc.vcpu[0], VECTOR_SCI); /* sent again, and not looked at */
	lapic_store(&page[REG_REQUEST * 4 + VECTOR_SCI / 32 * 4], 0);
	lapic_store(&page[REG_SPURIOUS * 4], 0xFF);
	lapic_page_written(&pc.vcpu[0], SVR);
	assert_null(lapic->page);
	put_lapic(0, SVR, 0x1FF);
	assert_taken(0);
}

/* The virtual wire through the I/O APIC: pin 0 in ExtINT mode. */
static void pic_through_the_ioapic(void **state)
{
	(void)state;
	use_ioapic();
	program_pic(0xEF);
	pc_out(COM1 + 4, 0x08);
	pc_out(COM1 + 1, 0x02);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	atomic_store(&pc.shared[0].requests, 0);
	route(0, DELIVERY_EXTINT, 0);
	assert_true(atomic_load(&pc.shared[0].requests) & REQUEST_INTERRUPT);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), 0x24);
	assert_int_equal(full_take_interrupt(&pc.vcpu[0]), 0x24);
	pc_out(0x20, 0x20);
	route(0, DELIVERY_EXTINT | LVT_MASKED, 0);
	pc_out(COM1 + 1, 0x00);
	pc_out(COM1 + 1, 0x02);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
}

static void clock_interrupt(void **state)
{
	const uint64_t second = PC_TSC_KHZ * 1000ull;
	unsigned updates = 0;
	uint32_t status;

	(void)state;
	use_ioapic();
	route(8, 0x38, 0);
	pc_out(0x70, 0x0B);
	pc_out(0x71, 0x12);
	for (unsigned i = 1; i <= 100; i++) {
		pc_run_until(i * second / 10);
		if (full_peek_interrupt(&pc.vcpu[0]) < 0)
			continue;
		assert_int_equal(full_take_interrupt(&pc.vcpu[0]), 0x38);
		pc_out(0x70, 0x0C);
		assert_int_equal(pc_in(0x71) & 0x90, 0x90);
		end_of_interrupt(0);
		updates++;
	}
	assert_in_range(updates, 9, 10);
	assert_true(full_port_in(&pc.vcpu[0], 0x600, 2, &status));
	assert_int_equal(status & 0xFFFF, 0x400); /* each is an event of ACPI, too */
}

static void narrow_ioapic_accesses(void **state)
{
	(void)state;
	full_mmio_write(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS), 8, 0xABCDEF0012345601);
	assert_int_equal(full_mmio_read(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS), 1), 1);
	assert_int_equal(full_mmio_read(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS + 0x10), 4), 0x00170020);
	assert_int_equal(full_mmio_read(&pc.vcpu[0], gpa(PC_IOAPIC_ADDRESS + 0x12), 2) & 0xFFFF, 0x0017);
	assert_true(full_is_mmio(gpa(PC_IOAPIC_ADDRESS + 0xFFF)));
	assert_true(full_is_mmio(gpa(APIC_DEFAULT_BASE)));
	assert_false(full_is_mmio(gpa(PC_IOAPIC_ADDRESS + PAGE_SIZE)));
	assert_false(full_is_mmio(gpa(PC_IOAPIC_ADDRESS - 1)));
}

/* PCI and ACPI ports, and the reset register in the middle of the former. */
static void whole_ports(void **state)
{
	uint32_t value;

	(void)state;
	assert_true(full_port_out(&pc.vcpu[0], 0xCF8, 4, 0x80000000));
	assert_true(full_port_in(&pc.vcpu[0], 0xCFC, 2, &value));
	assert_int_equal(value & 0xFFFF, 0x4842);
	pc_out(0xCF9, 0x02);
	assert_int_equal(pc_in(0xCF9), 0x02);
	assert_true(full_port_in(&pc.vcpu[0], 0xCF8, 4, &value));
	assert_int_equal(value, 0x80000000);
	assert_true(full_port_in(&pc.vcpu[0], 0x604, 2, &value));
	assert_int_equal(value & 1, 1);
	pc.now = PC_TSC_KHZ * 1000ull * 10;
	assert_true(full_port_in(&pc.vcpu[0], 0x608, 4, &value));
	assert_int_equal(value, 35795450);
	assert_false(full_port_in(&pc.vcpu[0], 0x60C, 4, &value));
	assert_false(full_port_in(&pc.vcpu[0], 0x5FF, 1, &value));
}

static void reset_forgets(void **state)
{
	(void)state;
	program_pic(0x00);
	pc_out(COM1 + 7, 0x77);
	pc_out(COM1 + 4, 0x08);
	pc_out(COM1 + 1, 0x02);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), 0x24);
	full_devices_reset(&pc.partition);
	full_vcpu_reset(&pc.vcpu[0], true);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	assert_int_equal(pc_in(COM1 + 7), 0);
	assert_int_equal(routed(4), LVT_MASKED);
}

/* The first interrupt of the next life is an edge again, though the last one's had not ended. */
static void serial_interrupt_over_a_reset(void **state)
{
	(void)state;
	for (int life = 0; life < 2; life++) {
		use_ioapic();
		route(4, 0x34, 0);
		pc_out(COM1 + 4, 0x08);
		pc_out(COM1 + 1, 0x02);
		assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), 0x34);
		full_devices_reset(&pc.partition);
		full_vcpu_reset(&pc.vcpu[0], true);
	}
}

int main(void)
{
#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(writes_to_the_console),
					   TEST(console_holds_the_transmitter),
					   TEST(input_waits_for_room),
					   TEST(serial_interrupt),
					   TEST(lint0_gates_the_pic),
					   TEST(hundred_ticks_a_second),
					   TEST(late_ticks_are_made_up_for),
					   TEST(another_vcpu_programs_the_pit),
					   TEST(wide_accesses),
					   TEST(clock_reads),
					   TEST(resets_and_power_off),
					   TEST(serial_through_the_ioapic),
					   TEST(no_exception_through_the_ioapic),
					   TEST(timer_through_the_ioapic),
					   TEST(sci),
					   TEST(sci_beside_a_page),
					   TEST(level_before_the_local_apic),
					   TEST(level_rewritten_for_another),
					   TEST(level_for_a_disabled_apic),
					   TEST(level_taken_before_the_apic_is_disabled),
					   TEST(level_and_logical_destinations),
					   TEST(level_before_the_local_apic_beside_a_page),
					   TEST(pic_through_the_ioapic),
					   TEST(clock_interrupt),
					   TEST(narrow_ioapic_accesses),
					   TEST(whole_ports),
					   TEST(serial_interrupt_over_a_reset),
					   TEST(reset_forgets)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
