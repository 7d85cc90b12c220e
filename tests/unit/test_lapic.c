/*
 * The local APIC: registers by memory and by MSR, priorities, interrupts between vCPUs with every
 * destination, the timer, modes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86/registers.h"
#include "tests/unit/fake_pc.h"

enum {
	ID = 0x20,
	VERSION = 0x30,
	TPR = 0x80,
	PPR = 0xA0,
	EOI = 0xB0,
	LDR = 0xD0,
	DFR = 0xE0,
	SVR = 0xF0,
	ISR = 0x100,
	IRR = 0x200,
	ESR = 0x280,
	ICR = 0x300,
	ICR_HIGH = 0x310,
	TIMER = 0x320,
	LINT0 = 0x350,
	LINT1 = 0x360,
	ERROR = 0x370,
	INITIAL = 0x380,
	CURRENT = 0x390,
	DIVIDE = 0x3E0
};

static void put(unsigned cpu, unsigned offset, uint32_t value)
{
	full_mmio_write(&pc.vcpu[cpu], gpa(APIC_DEFAULT_BASE + offset), 4, value);
}

static uint32_t get(unsigned cpu, unsigned offset)
{
	return (uint32_t)full_mmio_read(&pc.vcpu[cpu], gpa(APIC_DEFAULT_BASE + offset), 4);
}

static bool put_msr(unsigned cpu, unsigned offset, uint64_t value)
{
	return full_msr_write(&pc.vcpu[cpu], MSR_X2APIC_FIRST + offset / 16, value);
}

static uint64_t get_msr(unsigned cpu, unsigned offset)
{
	uint64_t value;

	assert_true(full_msr_read(&pc.vcpu[cpu], MSR_X2APIC_FIRST + offset / 16, &value));
	return value;
}

static int peek(unsigned cpu)
{
	return full_peek_interrupt(&pc.vcpu[cpu]);
}

static int take(unsigned cpu)
{
	return peek(cpu) < 0 ? -1 : full_take_interrupt(&pc.vcpu[cpu]);
}

/* Four vCPUs, all APICs on, the PIC not connected. */
static int setup(void **state)
{
	(void)state;
	pc_create(4);
	for (unsigned cpu = 0; cpu < 4; cpu++) {
		put(cpu, SVR, 0x1FF);
		put(cpu, LINT0, LVT_MASKED);
		atomic_store(&pc.shared[cpu].requests, 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pc_destroy();
	return 0;
}

static void reset_values(void **state)
{
	(void)state;
	pc_create(2);
	assert_int_equal(get(1, ID), 1u << 24);
	assert_int_equal(get(1, VERSION), 0x50014);
	assert_int_equal(get(1, SVR), 0xFF);
	assert_int_equal(get(1, DFR), 0xFFFFFFFF);
	assert_int_equal(get(1, LDR), 0);
	for (unsigned lvt = TIMER; lvt <= ERROR; lvt += 16)
		assert_int_equal(get(1, lvt), LVT_MASKED);
	assert_int_equal(pc.vcpu[1].apic_base, APIC_DEFAULT_BASE | APIC_BASE_ENABLE);
	/* The boot CPU comes as firmware leaves it: virtual wire. */
	assert_int_equal(get(0, SVR), 0x10F);
	assert_int_equal(get(0, LINT0), DELIVERY_EXTINT);
	assert_int_equal(get(0, LINT1), DELIVERY_NMI);
	assert_int_equal(pc.vcpu[0].apic_base, APIC_DEFAULT_BASE | APIC_BASE_ENABLE | APIC_BASE_BSP);
}

static void priorities(void **state)
{
	(void)state;
	put(0, ICR, 0x40000 | 0x31); /* self */
	put(0, ICR, 0x40000 | 0x55);
	put(0, ICR, 0x40000 | 0x5A);
	assert_int_equal(get(0, IRR + 0x10), 1u << 0x11);
	assert_int_equal(get(0, IRR + 0x20), 1u << 0x15 | 1u << 0x1A);
	assert_true(atomic_load(&pc.shared[0].requests) & REQUEST_INTERRUPT);
	assert_int_equal(take(0), 0x5A);
	assert_int_equal(get(0, PPR), 0x50);
	assert_int_equal(peek(0), -1); /* 55h is of the same class */
	put(0, ICR, 0x40000 | 0x61);
	assert_int_equal(take(0), 0x61); /* a higher class is not held */
	assert_int_equal(get(0, ISR + 0x30), 1u << 1);
	put(0, EOI, 0);
	assert_int_equal(peek(0), -1);
	put(0, EOI, 0);
	assert_int_equal(take(0), 0x55);
	put(0, EOI, 0);
	put(0, TPR, 0x3F);
	assert_int_equal(peek(0), -1);
	assert_int_equal(get(0, PPR), 0x3F);
	atomic_store(&pc.shared[0].requests, 0);
	full_set_task_priority(&pc.vcpu[0], 0x20);
	assert_true(atomic_load(&pc.shared[0].requests) & REQUEST_INTERRUPT);
	assert_int_equal(full_task_priority(&pc.vcpu[0]), 0x20);
	assert_int_equal(take(0), 0x31);
	put(0, EOI, 0);
	put(0, EOI, 0); /* nothing in service: nothing happens */
	assert_int_equal(peek(0), -1);
}

static void every_vector(void **state)
{
	(void)state;
	for (unsigned vector = 16; vector < 256; vector++)
		put(0, ICR, 0x40000 | vector);
	for (int vector = 255; vector >= 16; vector--) {
		assert_int_equal(take(0), vector);
		put(0, EOI, 0);
	}
	assert_int_equal(peek(0), -1);
}

static void software_disable(void **state)
{
	(void)state;
	put(0, ERROR, 0x30);
	put(0, SVR, 0xFF);
	assert_int_equal(get(0, ERROR), LVT_MASKED | 0x30);
	put(0, ERROR, 0x30);
	assert_int_equal(get(0, ERROR), LVT_MASKED | 0x30);
	put(0, ICR, 0x40000 | 0x50);
	assert_int_equal(peek(0), -1);
}

static void errors(void **state)
{
	(void)state;
	put(0, ERROR, 0xE0);
	put(0, ICR, 0x40000 | 0x0F);
	assert_int_equal(take(0), 0xE0);
	put(0, EOI, 0);
	assert_int_equal(get(0, ESR), 0); /* until it is latched by a write */
	put(0, ESR, 0);
	assert_int_equal(get(0, ESR), ERROR_SEND_VECTOR);
	put(0, ESR, 0);
	assert_int_equal(get(0, ESR), 0);
	assert_int_equal(get(0, 0x3F0), 0);
	put(0, 0x010, 1);
	put(0, ESR, 0);
	assert_int_equal(get(0, ESR), ERROR_REGISTER);
	put(0, ERROR, 0x05); /* the error's own vector is invalid: no recursion */
	put(0, ICR, 0x40000 | 0x01);
	put(0, ESR, 0);
	assert_int_equal(get(0, ESR), ERROR_SEND_VECTOR | ERROR_RECEIVE_VECTOR);
}

static uint32_t receivers(uint32_t high, uint32_t low)
{
	uint32_t set = 0;

	put(0, ICR_HIGH, high);
	put(0, ICR, low);
	for (unsigned cpu = 0; cpu < pc.partition.vcpu_count; cpu++) {
		if (take(cpu) < 0)
			continue;
		assert_true(atomic_load(&pc.shared[cpu].requests) & REQUEST_INTERRUPT);
		put(cpu, EOI, 0);
		set |= 1u << cpu;
	}
	return set;
}

static void destinations(void **state)
{
	(void)state;
	assert_int_equal(receivers(2u << 24, 0x40), 1u << 2);
	assert_int_equal(get(0, ICR_HIGH), 2u << 24);
	assert_int_equal(get(0, ICR), 0x40);
	assert_int_equal(receivers(0, 0x40), 1u << 0);
	assert_int_equal(receivers(9u << 24, 0x40), 0);
	assert_int_equal(receivers(0xFFu << 24, 0x40), 0xF);
	assert_int_equal(receivers(0, 0x80040), 0xF);
	assert_int_equal(receivers(0, 0xC0040), 0xE);
	for (unsigned cpu = 0; cpu < 4; cpu++)
		put(cpu, LDR, 1u << (24 + cpu));
	assert_int_equal(receivers(0x0Au << 24, 0x840), 0xA); /* flat */
	for (unsigned cpu = 0; cpu < 4; cpu++) {
		put(cpu, DFR, 0);
		put(cpu, LDR, (cpu / 2) << 28 | 1u << (24 + cpu % 2));
	}
	assert_int_equal(get(1, DFR), 0x0FFFFFFF);
	assert_int_equal(receivers(0x13u << 24, 0x840), 0xC); /* cluster 1, both */
	assert_int_equal(receivers(0x02u << 24, 0x840), 0x2);
	assert_int_equal(receivers(0xF1u << 24, 0x840), 0x5); /* in all clusters */
	put(1, SVR, 0xFF);
	assert_int_equal(receivers(0xFFu << 24, 0x40), 0xD);
	assert_true(full_msr_write(&pc.vcpu[3], MSR_APIC_BASE, APIC_DEFAULT_BASE)); /* gone from the bus */
	assert_int_equal(receivers(0xFFu << 24, 0x40) & 0x8, 0);
}

static void lowest_priority(void **state)
{
	(void)state;
	put(0, TPR, 0x30);
	put(1, TPR, 0x20);
	put(2, TPR, 0x10);
	put(3, TPR, 0x20);
	assert_int_equal(receivers(0xFFu << 24, 0x140), 1u << 2);
	put(2, SVR, 0xFF);
	assert_int_equal(receivers(0xFFu << 24, 0x140), 1u << 1);
}

static void other_deliveries(void **state)
{
	(void)state;
	put(0, ICR, 0xC4500); /* INIT to all others */
	assert_int_equal(pc.inits, 0xE);
	pc.inits = 0;
	put(0, ICR, 0xC8500); /* its de-assertion is nothing */
	assert_int_equal(pc.inits, 0);
	put(0, ICR_HIGH, 1u << 24);
	put(0, ICR, 0x4608);
	assert_int_equal(pc.startups, 0x2);
	assert_int_equal(pc.startup_vector, 8);
	put(0, ICR_HIGH, 3u << 24);
	put(0, ICR, 0x4400);
	assert_int_equal(pc.nmis, 0x8);
	put(0, ICR, 0x4200); /* SMI: there is none */
	for (unsigned cpu = 0; cpu < 4; cpu++)
		assert_int_equal(peek(cpu), -1);
}

static void narrow_accesses(void **state)
{
	(void)state;
	assert_int_equal(full_mmio_read(&pc.vcpu[3], gpa(APIC_DEFAULT_BASE + ID + 3), 1), 3);
	assert_int_equal(full_mmio_read(&pc.vcpu[0], gpa(APIC_DEFAULT_BASE + SVR), 8), 0);
	full_mmio_write(&pc.vcpu[0], gpa(APIC_DEFAULT_BASE + TPR), 1, 0x55);
	full_mmio_write(&pc.vcpu[0], gpa(APIC_DEFAULT_BASE + TPR + 4), 4, 0x55);
	assert_int_equal(get(0, TPR), 0);
	assert_false(full_is_mmio(gpa(APIC_DEFAULT_BASE + 0x1000)));
	assert_false(full_is_mmio(gpa(APIC_DEFAULT_BASE - 1)));
	for (unsigned offset = 0; offset < 0x1000; offset++)
		(void)full_mmio_read(&pc.vcpu[0], gpa(APIC_DEFAULT_BASE + offset), 4);
}

static void modes(void **state)
{
	const uint64_t base = APIC_DEFAULT_BASE | APIC_BASE_BSP;
	struct vcpu *vcpu = &pc.vcpu[0];
	uint64_t value;

	(void)state;
	assert_false(put_msr(0, TPR, 0)); /* not in x2APIC mode */
	assert_false(full_msr_write(vcpu, MSR_APIC_BASE, base | APIC_BASE_X2APIC));
	assert_false(full_msr_write(vcpu, MSR_APIC_BASE, base | APIC_BASE_ENABLE | 0x1000));
	assert_false(full_msr_write(vcpu, MSR_APIC_BASE, APIC_DEFAULT_BASE | APIC_BASE_ENABLE));
	assert_false(full_msr_write(vcpu, MSR_APIC_BASE, base | APIC_BASE_ENABLE | 1));
	assert_true(full_msr_write(vcpu, MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	assert_int_equal(get(0, ID), 0xFFFFFFFF); /* memory is no longer it */
	assert_false(full_msr_write(vcpu, MSR_APIC_BASE, base | APIC_BASE_ENABLE));
	assert_true(full_msr_write(vcpu, MSR_APIC_BASE, base));
	assert_false(full_msr_write(vcpu, MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	assert_true(full_msr_write(vcpu, MSR_APIC_BASE, base | APIC_BASE_ENABLE));
	assert_int_equal(get(0, SVR), 0xFF); /* all state was lost */
	assert_true(full_msr_read(vcpu, MSR_APIC_BASE, &value));
	assert_int_equal(value, base | APIC_BASE_ENABLE);
	assert_false(full_msr_read(vcpu, 0x1234, &value));
	assert_false(full_msr_write(vcpu, 0x1234, 0));
}

static void enter_x2apic(void)
{
	for (unsigned cpu = 0; cpu < pc.partition.vcpu_count; cpu++) {
		assert_true(full_msr_write(&pc.vcpu[cpu], MSR_APIC_BASE,
					   pc.vcpu[cpu].apic_base | APIC_BASE_X2APIC));
		assert_true(put_msr(cpu, SVR, 0x1FF));
		assert_true(put_msr(cpu, LINT0, LVT_MASKED));
	}
}

static void x2apic_registers(void **state)
{
	uint64_t value;

	(void)state;
	enter_x2apic();
	assert_int_equal(get_msr(3, ID), 3);
	assert_int_equal(get_msr(3, LDR), 8);
	assert_true(put_msr(0, TPR, 0x20));
	assert_false(put_msr(0, TPR, 0x100));
	assert_int_equal(get_msr(0, TPR), 0x20);
	assert_false(put_msr(0, EOI, 1));
	assert_true(put_msr(0, EOI, 0));
	assert_false(full_msr_read(&pc.vcpu[0], MSR_X2APIC_FIRST + EOI / 16, &value));
	assert_false(put_msr(0, LDR, 0));
	assert_false(put_msr(0, DFR, 0));
	assert_false(put_msr(0, ICR_HIGH, 0));
	assert_false(put_msr(0, ID, 0));
	assert_false(put_msr(0, ESR, 1));
	assert_false(put_msr(0, CURRENT, 0));
	assert_false(put_msr(0, SVR, 0x200));
	assert_false(put_msr(0, TIMER, 1u << 12));
	assert_false(put_msr(0, ICR, 1u << 12));
	assert_false(put_msr(0, 0x400, 0));
	assert_false(full_msr_read(&pc.vcpu[0], MSR_X2APIC_LAST, &value));
	assert_true(put_msr(0, TPR, 0));
	assert_true(put_msr(0, 0x3F0, 0x77)); /* self-IPI */
	assert_false(put_msr(0, 0x3F0, 0x177));
	assert_int_equal(take(0), 0x77);
}

static uint32_t x2apic_receivers(uint64_t command)
{
	uint32_t set = 0;

	assert_true(put_msr(0, ICR, command));
	assert_int_equal(get_msr(0, ICR), command);
	for (unsigned cpu = 0; cpu < pc.partition.vcpu_count; cpu++) {
		if (take(cpu) < 0)
			continue;
		assert_true(put_msr(cpu, EOI, 0));
		set |= 1u << cpu;
	}
	return set;
}

static void x2apic_destinations(void **state)
{
	(void)state;
	pc_create(20);
	enter_x2apic();
	assert_int_equal(x2apic_receivers(19ull << 32 | 0x40), 1u << 19);
	assert_int_equal(x2apic_receivers(0xFFull << 32 | 0x40), 0); /* an id, no broadcast */
	assert_int_equal(x2apic_receivers(0xFFFFFFFFull << 32 | 0x40), 0xFFFFF);
	assert_int_equal(x2apic_receivers(0x1000Aull << 32 | 0x840), 1u << 17 | 1u << 19);
	assert_int_equal(x2apic_receivers(0x08001ull << 32 | 0x840), 1u << 15 | 1u << 0);
	assert_int_equal(x2apic_receivers(0xFFFFFFFFull << 32 | 0x840), 0xFFFFF);
	assert_int_equal(x2apic_receivers(0xC0040), 0xFFFFE);
}

static void one_shot(void **state)
{
	const uint64_t start = pc.now;

	(void)state;
	put(0, DIVIDE, 0xB);
	put(0, TIMER, 0x30);
	put(0, INITIAL, 1000);
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], start + 1000);
	pc_run_until(start + 400);
	assert_int_equal(get(0, CURRENT), 600);
	assert_int_equal(peek(0), -1);
	pc_run_until(start + 1000);
	assert_int_equal(get(0, CURRENT), 0);
	assert_int_equal(take(0), 0x30);
	put(0, EOI, 0);
	pc_run_until(start + 100000);
	assert_int_equal(peek(0), -1);
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], TIMER_NEVER);
	put(0, INITIAL, 1000);
	put(0, INITIAL, 0); /* stops it */
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], TIMER_NEVER);
}

static void divides(void **state)
{
	static const uint8_t code[] = {0xB, 0, 1, 2, 3, 8, 9, 0xA};

	(void)state;
	for (unsigned shift = 0; shift < 8; shift++) {
		put(0, DIVIDE, code[shift]);
		put(0, TIMER, 0x30);
		put(0, INITIAL, 1000);
		assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], pc.now + (1000ull << shift));
	}
	pc_run_until(pc.now + (500ull << 7));
	put(0, DIVIDE, 0xB); /* half is left, and goes on faster */
	assert_int_equal(get(0, CURRENT), 500);
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], pc.now + 500);
}

static void periodic(void **state)
{
	const uint64_t start = pc.now;

	(void)state;
	put(0, DIVIDE, 0);
	put(0, TIMER, 0x20030);
	put(0, INITIAL, 777);
	for (uint64_t i = 1; i < 1000; i++) {
		assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], start + i * 777 * 2);
		pc_run_until(start + i * 777 * 2 + i % 700); /* served late, yet no drift */
		assert_int_equal(take(0), 0x30);
		put(0, EOI, 0);
	}
	put(0, TIMER, 0x30030); /* masked: counts, wakes nobody */
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], TIMER_NEVER);
	pc_run_until(start + 777 * 2 * 2000 + 10);
	assert_int_equal(peek(0), -1);
	assert_int_equal(get(0, CURRENT), 777 - 5);
	put(0, TIMER, 0x20030);
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], start + 777 * 2 * 2001);
}

static void masked_one_shot(void **state)
{
	(void)state;
	put(0, DIVIDE, 0xB);
	put(0, TIMER, LVT_MASKED | 0x30);
	put(0, INITIAL, 1000);
	pc_run_until(pc.now + 2000);
	put(0, TIMER, 0x30); /* it ran out unheard */
	pc_run_until(pc.now + 2000);
	assert_int_equal(peek(0), -1);
}

static void deadline(void **state)
{
	struct vcpu *vcpu = &pc.vcpu[0];
	uint64_t value;

	(void)state;
	assert_true(full_msr_write(vcpu, MSR_TSC_DEADLINE, pc.now + 500)); /* another mode: ignored */
	assert_int_equal(vcpu->timer[TIMER_LAPIC], TIMER_NEVER);
	put(0, TIMER, 0x40031);
	assert_true(full_msr_write(vcpu, MSR_TSC_DEADLINE, pc.now + 500));
	assert_int_equal(vcpu->timer[TIMER_LAPIC], pc.now + 500);
	put(0, INITIAL, 77); /* ignored */
	assert_int_equal(get(0, INITIAL), 0);
	assert_int_equal(get(0, CURRENT), 0);
	assert_true(full_msr_read(vcpu, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, pc.now + 500);
	pc_run_until(pc.now + 500);
	assert_int_equal(take(0), 0x31);
	put(0, EOI, 0);
	assert_true(full_msr_read(vcpu, MSR_TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
	assert_true(full_msr_write(vcpu, MSR_TSC_DEADLINE, 1)); /* long past: at once */
	assert_int_equal(take(0), 0x31);
	put(0, EOI, 0);
	assert_true(full_msr_write(vcpu, MSR_TSC_DEADLINE, pc.now + 500));
	assert_true(full_msr_write(vcpu, MSR_TSC_DEADLINE, 0));
	assert_int_equal(vcpu->timer[TIMER_LAPIC], TIMER_NEVER);
	assert_true(full_msr_write(vcpu, MSR_TSC_DEADLINE, pc.now + 500));
	put(0, TIMER, 0x31); /* leaving the mode disarms */
	assert_int_equal(vcpu->timer[TIMER_LAPIC], TIMER_NEVER);
}

static void early_timer(void **state)
{
	(void)state;
	put(0, TIMER, 0x30);
	put(0, INITIAL, 1000);
	full_timer(&pc.vcpu[0], TIMER_LAPIC); /* the host timer was armed for something else */
	assert_int_equal(peek(0), -1);
	assert_int_not_equal(pc.vcpu[0].timer[TIMER_LAPIC], TIMER_NEVER);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(reset_values),    TEST(priorities),   TEST(every_vector),	   TEST(software_disable),
		TEST(errors),	       TEST(destinations), TEST(lowest_priority),  TEST(other_deliveries),
		TEST(narrow_accesses), TEST(modes),	   TEST(x2apic_registers), TEST(x2apic_destinations),
		TEST(one_shot),	       TEST(divides),	   TEST(periodic),	   TEST(masked_one_shot),
		TEST(deadline),	       TEST(early_timer)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
