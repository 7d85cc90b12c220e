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
	assert_false(full_port_in(&pc.vcpu[0], 0xCF8, 4, &value));
	assert_false(full_port_out(&pc.vcpu[0], 0xCFC, 4, 0));
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
	assert_int_equal(pc_in(0x64), 0x14);
	assert_int_equal(pc_in(0x92), 0x02);
	pc_out(0x80, 0x55);
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
	full_vcpu_reset(&pc.vcpu[0]);
	assert_int_equal(full_peek_interrupt(&pc.vcpu[0]), -1);
	assert_int_equal(pc_in(COM1 + 7), 0);
}

int main(void)
{
#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(writes_to_the_console),
					   TEST(input_waits_for_room),
					   TEST(serial_interrupt),
					   TEST(lint0_gates_the_pic),
					   TEST(hundred_ticks_a_second),
					   TEST(late_ticks_are_made_up_for),
					   TEST(another_vcpu_programs_the_pit),
					   TEST(wide_accesses),
					   TEST(clock_reads),
					   TEST(resets_and_power_off),
					   TEST(reset_forgets)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
