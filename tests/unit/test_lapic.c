/*
 * The local APIC: registers by memory and by MSR, priorities, interrupts between vCPUs with every
 * destination, the timer, modes; and how Linux takes it over and starts other CPUs with it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "arch/x86/registers.h"
#include "hv/device/lapic_page.h"
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
	put(0, ESR, 0);
	put(0, 0x3F0, 0x55); /* self-IPI is a register of the x2APIC */
	assert_int_equal(peek(0), 0xE0);
	assert_int_equal(take(0), 0xE0);
	put(0, EOI, 0);
	put(0, ESR, 0);
	assert_int_equal(get(0, ESR), ERROR_REGISTER);
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

static void init_keeps_the_mode(void **state)
{
	struct vcpu *vcpu = &pc.vcpu[1];
	const uint64_t base = vcpu->apic_base;
	uint64_t value;

	(void)state;
	put(1, TPR, 0x40);
	lapic_reset(vcpu, false);
	assert_int_equal(get(1, TPR), 0);
	enter_x2apic();
	assert_true(put_msr(1, TPR, 0x40));
	lapic_reset(vcpu, false);
	assert_int_equal(vcpu->apic_base, base | APIC_BASE_X2APIC);
	assert_true(full_msr_read(vcpu, MSR_X2APIC_FIRST + TPR / 16, &value));
	assert_int_equal(value, 0);
	assert_true(full_msr_read(vcpu, MSR_X2APIC_FIRST + LDR / 16, &value));
	assert_int_equal(value, 2); /* by its id, as in x2APIC mode */
	lapic_reset(vcpu, true);
	assert_int_equal(vcpu->apic_base, base);
	assert_int_equal(get(1, ID), 1 << 24);
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

/* Made a one-shot, a timer ends the period that it is in. */
static void last_period(void **state)
{
	const uint64_t start = pc.now;

	(void)state;
	put(0, DIVIDE, 0xB);
	put(0, TIMER, LVT_MASKED | 0x20030);
	put(0, INITIAL, 1000);
	pc_run_until(start + 5300);
	put(0, TIMER, 0x30);
	assert_int_equal(peek(0), -1);
	assert_int_equal(get(0, CURRENT), 700);
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], start + 6000);
	pc_run_until(start + 6000);
	assert_int_equal(take(0), 0x30);
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], TIMER_NEVER);
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
	put(0, TIMER, LVT_MASKED | 0x30);
	put(0, INITIAL, 1000);
	pc_run_until(pc.now + 2000);
	put(0, DIVIDE, 0xA); /* by 128: nor is there more to come of it at a slower pace */
	put(0, TIMER, 0x30);
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], TIMER_NEVER);
}

static uint64_t get_deadline(unsigned cpu)
{
	uint64_t value;

	assert_true(full_msr_read(&pc.vcpu[cpu], MSR_TSC_DEADLINE, &value));
	return value;
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

/* A deadline that passes unheard is spent like any other (11.5.4.1): it reads 0 from then on, and nothing
 * comes of it when the mask goes. */
static void masked_deadline(void **state)
{
	struct vcpu *vcpu = &pc.vcpu[0];
	const uint64_t due = pc.now + 500;

	(void)state;
	put(0, TIMER, LVT_MASKED | 0x40031);
	assert_true(full_msr_write(vcpu, MSR_TSC_DEADLINE, due));
	assert_int_equal(vcpu->timer[TIMER_LAPIC], TIMER_NEVER);
	pc_run_until(due - 1);
	assert_int_equal(get_deadline(0), due);
	pc_run_until(due);
	assert_int_equal(get_deadline(0), 0);
	put(0, TIMER, 0x40031);
	assert_int_equal(vcpu->timer[TIMER_LAPIC], TIMER_NEVER);
	assert_int_equal(peek(0), -1);
	put(0, TIMER, LVT_MASKED | 0x40031);
	assert_true(full_msr_write(vcpu, MSR_TSC_DEADLINE, pc.now + 500));
	pc_run_until(pc.now + 500);
	put(0, TIMER, 0x40031); /* without a look at it between */
	assert_int_equal(vcpu->timer[TIMER_LAPIC], TIMER_NEVER);
	assert_int_equal(peek(0), -1);
	put(0, TIMER, LVT_MASKED | 0x40031);
	assert_true(full_msr_write(vcpu, MSR_TSC_DEADLINE, 1)); /* long past */
	assert_int_equal(get_deadline(0), 0);
	put(0, TIMER, 0x40031);
	assert_int_equal(vcpu->timer[TIMER_LAPIC], TIMER_NEVER);
	assert_int_equal(peek(0), -1);
}

/* A mask that goes before the deadline has lost nothing. */
static void deadline_unmasked_in_time(void **state)
{
	const uint64_t due = pc.now + 500;

	(void)state;
	put(0, TIMER, LVT_MASKED | 0x40031);
	assert_true(full_msr_write(&pc.vcpu[0], MSR_TSC_DEADLINE, due));
	pc_run_until(due - 1);
	put(0, TIMER, 0x40031);
	assert_int_equal(pc.vcpu[0].timer[TIMER_LAPIC], due);
	pc_run_until(due);
	assert_int_equal(take(0), 0x31);
}

/* An access that comes before the host's timer does finds what has happened by then, and loses no interrupt.
 */
static void due_before_the_host_timer(void **state)
{
	(void)state;
	put(0, TIMER, 0x40031);
	assert_true(full_msr_write(&pc.vcpu[0], MSR_TSC_DEADLINE, pc.now + 500));
	pc.now += 600;
	assert_int_equal(get_deadline(0), 0);
	assert_int_equal(take(0), 0x31);
	put(0, EOI, 0);
	pc_run_until(pc.now + 1000);
	assert_int_equal(peek(0), -1);
	assert_true(full_msr_write(&pc.vcpu[0], MSR_TSC_DEADLINE, pc.now + 500));
	pc.now += 600;
	put(0, TIMER, LVT_MASKED | 0x40031);
	assert_int_equal(take(0), 0x31);
}

/* In another mode the register reads 0, as after a reset, whatever it held (11.5.4.1). */
static void deadline_of_another_mode(void **state)
{
	(void)state;
	put(0, TIMER, 0x40031);
	assert_true(full_msr_write(&pc.vcpu[0], MSR_TSC_DEADLINE, pc.now + 500));
	lapic_reset(&pc.vcpu[0], false);
	assert_int_equal(get_deadline(0), 0);
	put(0, TIMER, 0x40031);
	assert_int_equal(get_deadline(0), 0);
	assert_true(full_msr_write(&pc.vcpu[0], MSR_TSC_DEADLINE, pc.now + 500));
	put(0, TIMER, 0x31);
	assert_int_equal(get_deadline(0), 0);
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

/*
 * Linux, arch/x86/kernel/apic/apic.c
 */

/* clear_local_APIC(): everything masked, whatever the firmware left, and no errors behind it. */
static void linux_clears_it(void)
{
	static const unsigned entries[] = {TIMER, LINT0, LINT1, 0x340, 0x330, ERROR};

	put(0, ERROR, LVT_MASKED | 0xFE); /* first, so that nobody hears of the others */
	for (unsigned i = 0; i < ARRAY_SIZE(entries); i++)
		put(0, entries[i], get(0, entries[i]) | LVT_MASKED);
	for (unsigned i = 0; i < ARRAY_SIZE(entries); i++) {
		put(0, entries[i], LVT_MASKED);
		assert_int_equal(get(0, entries[i]), LVT_MASKED);
	}
	put(0, ESR, 0);
	assert_int_equal(get(0, ESR), 0);
}

/* setup_local_APIC() and lapic_setup_esr(), on the boot CPU as it comes. */
static void linux_takes_it_over(void **state)
{
	(void)state;
	pc_create(2);
	assert_true((get(0, VERSION) & 0xFF) >= 0x14);	   /* integrated */
	assert_int_equal(get(0, VERSION) >> 16 & 0xFF, 5); /* so there are all these entries */
	linux_clears_it();
	put(0, SVR, get(0, SVR) & ~SPURIOUS_ENABLED);
	put(0, DFR, 0xFFFFFFFF);
	put(0, LDR, (get(0, LDR) & 0xFFFFFF) | 1u << 24);
	assert_int_equal(get(0, LDR), 1u << 24);
	put(0, TPR, (get(0, TPR) & ~0xFFu) | 0x10); /* all but exceptions */
	for (unsigned offset = 0; offset < 0x80; offset += 0x10)
		assert_int_equal(get(0, ISR + offset) | get(0, IRR + offset), 0);
	put(0, SVR, (get(0, SVR) & ~0xFFu) | SPURIOUS_ENABLED | 0xFF);
	assert_int_equal(get(0, SVR), 0x1FF);
	put(0, LINT0, LVT_MASKED | DELIVERY_EXTINT);
	put(0, LINT1, DELIVERY_NMI);
	put(0, 0x340, DELIVERY_NMI); /* performance counters */
	put(0, ESR, 0);
	assert_int_equal(get(0, ESR), 0);
	put(0, ERROR, 0xFE);
	put(0, ESR, 0);
	assert_int_equal(get(0, ESR), 0);
	put(0, ICR, 0x40000 | 0x1F);
	assert_int_equal(peek(0), -1);
	put(0, ICR, 0x40000 | 0x20);
	assert_int_equal(take(0), 0x20);
}

static void send_and_wait(uint32_t target, uint32_t command)
{
	put(0, ICR_HIGH, target << 24);
	put(0, ICR, command);
	assert_int_equal(get(0, ICR) & 1u << 12, 0); /* not busy */
}

/* wakeup_secondary_cpu_via_init(): INIT asserted and de-asserted, then start-up twice, each without an error.
 */
static void linux_starts_a_cpu(void **state)
{
	(void)state;
	put(0, ESR, 0);
	assert_int_equal(get(0, ESR), 0);
	send_and_wait(2, 0xC500);
	assert_int_equal(pc.inits, 1u << 2);
	send_and_wait(2, 0x8500);
	assert_int_equal(pc.inits, 1u << 2);
	for (unsigned i = 0; i < 2; i++) {
		pc.startups = 0;
		put(0, ESR, 0);
		assert_int_equal(get(0, ESR), 0);
		send_and_wait(2, 0x600 | 0x99);
		assert_int_equal(pc.startups, 1u << 2);
		assert_int_equal(pc.startup_vector, 0x99);
		put(0, ESR, 0);
		assert_int_equal(get(0, ESR) & 0xEF, 0);
	}
}

/*
 * Beside a virtual-APIC page, whose CPU is played by the test
 */

static _Atomic uint32_t page[PAGE_SIZE / sizeof(uint32_t)];

static uint32_t in_page(unsigned offset)
{
	return atomic_load(&page[offset / 4]);
}

static void set_page(unsigned offset, uint32_t value)
{
	atomic_store(&page[offset / 4], value);
}

static struct lapic *enter(unsigned cpu)
{
	for (unsigned i = 0; i < ARRAY_SIZE(page); i++)
		atomic_store(&page[i], 0);
	lapic_enter_page(&pc.vcpu[cpu], page);
	return pc.vcpu[cpu].lapic;
}

static void guest_writes(unsigned cpu, unsigned offset, uint32_t value)
{
	set_page(offset, value);
	lapic_page_written(&pc.vcpu[cpu], offset);
}

/* What waits and what is in service goes into the page, and comes back as the CPU has left it. */
static void page_takes_and_gives(void **state)
{
	struct lapic *lapic = pc.vcpu[1].lapic;

	(void)state;
	lapic_accept(&pc.vcpu[1], 0x41);
	assert_int_equal(take(1), 0x41);
	lapic_accept(&pc.vcpu[1], 0x52);
	lapic_accept(&pc.vcpu[1], 0x31);
	put(1, TPR, 0x20);
	enter(1);
	lapic_page_take(lapic);
	assert_int_equal(lapic->raised, RAISED_ANEW);
	assert_int_equal(in_page(ISR + 0x20), 1u << 1);
	assert_int_equal(in_page(IRR + 0x20), 1u << 18);
	assert_int_equal(in_page(IRR + 0x10), 1u << 17);
	assert_int_equal(in_page(TPR), 0x20);
	assert_int_equal(in_page(PPR), 0x40);
	assert_int_equal(lapic_page_status(lapic), 0x4152);
	assert_int_equal(peek(1), 0x52);
	/* the CPU delivers it, and takes both ends; the guest sets TPR */
	set_page(IRR + 0x20, 0);
	set_page(ISR + 0x20, 0);
	set_page(TPR, 0x30);
	set_page(PPR, 0x30);
	assert_int_equal(peek(1), -1);
	lapic_leave_page(&pc.vcpu[1]);
	assert_null(lapic->page);
	assert_int_equal(get(1, TPR), 0x30);
	assert_int_equal(get(1, PPR), 0x30);
	assert_int_equal(get(1, IRR + 0x10), 1u << 17);
	assert_int_equal(peek(1), -1);
	put(1, TPR, 0);
	assert_int_equal(take(1), 0x31);
}

/* What arrives meanwhile, from this CPU and from another, and what is done by emulated accesses. */
static void page_is_where_interrupts_go(void **state)
{
	struct lapic *lapic = enter(1);

	(void)state;
	assert_int_equal(lapic_page_status(lapic), 0);
	atomic_store(&pc.shared[1].requests, 0);
	lapic->raised = 0; /* the CPU has been told */
	lapic_accept(&pc.vcpu[1], 0x61);
	lapic_accept(&pc.vcpu[1], 0x44);
	assert_true(atomic_load(&pc.shared[1].requests) & REQUEST_INTERRUPT);
	lapic_page_take(lapic);
	assert_int_equal(in_page(IRR + 0x30), 1u << 1);
	assert_int_equal(in_page(IRR + 0x20), 1u << 4);
	assert_int_equal(lapic->raised, 0x61);
	set_page(IRR + 0x20, 0);
	put(0, ICR_HIGH, 1u << 24);
	put(0, ICR, 0x4073);
	assert_int_equal(get(1, IRR + 0x30), 1u << 1 | 1u << 19);
	assert_int_equal(peek(1), 0x73);
	assert_int_equal(lapic_page_status(lapic), 0x73);
	assert_int_equal(lapic->raised, 0x73);
	lapic->raised = 0;
	set_page(IRR + 0x30, 1u << 1);
	set_page(ISR + 0x30, 1u << 19);
	set_page(PPR, 0x70);
	assert_int_equal(peek(1), -1);
	assert_int_equal(get(1, ISR + 0x30), 1u << 19);
	put(1, EOI, 0);
	assert_int_equal(in_page(ISR + 0x30), 0);
	assert_int_equal(in_page(PPR), 0);
	assert_int_equal(lapic->raised, RAISED_ANEW); /* what is in service has changed, too */
	assert_int_equal(peek(1), 0x61);
	put(1, TPR, 0x60);
	assert_int_equal(in_page(TPR), 0x60);
	assert_int_equal(in_page(PPR), 0x60);
	assert_int_equal(get(1, PPR), 0x60);
	assert_int_equal(full_task_priority(&pc.vcpu[1]), 0x60);
	assert_int_equal(peek(1), -1);
	put(1, EOI, 0); /* nothing is in service */
	assert_int_equal(in_page(PPR), 0x60);
}

/* Registers in the page are what a read by the model gives, also after writes that change others. */
static void page_mirrors_registers(void **state)
{
	static const unsigned offsets[] = {ID,	     VERSION, LDR,   DFR,   SVR,   ESR,	    ICR,
					   ICR_HIGH, TIMER,   LINT0, LINT1, ERROR, INITIAL, DIVIDE};

	(void)state;
	enter(1);
	guest_writes(1, LDR, 0x12345678);
	assert_int_equal(in_page(LDR), 0x12000000);
	guest_writes(1, DFR, 0x0FFFFFFF);
	guest_writes(1, TIMER, 0xFFF00041);
	guest_writes(1, ERROR, 0x55);
	guest_writes(1, INITIAL, 1000);
	guest_writes(1, DIVIDE, 0xFF);
	assert_int_equal(in_page(DIVIDE), 0xB);
	guest_writes(1, ID, 0x0F000000); /* read-only */
	assert_int_equal(in_page(ID), 1u << 24);
	guest_writes(1, ESR, 0);
	assert_int_equal(in_page(ESR), ERROR_REGISTER);
	for (unsigned i = 0; i < ARRAY_SIZE(offsets); i++)
		assert_int_equal(in_page(offsets[i]), get(1, offsets[i]));
	guest_writes(1, TIMER, 0x40041); /* to deadline mode: the count is gone */
	assert_int_equal(in_page(INITIAL), 0);
	put(1, DIVIDE, 3); /* by an instruction that the CPU left to the model */
	assert_int_equal(in_page(DIVIDE), 3);
}

/* Switched off by software, the APIC is the model's, with all that was pending; and again the CPU's when on.
 */
static void page_ends_with_the_switch(void **state)
{
	struct lapic *lapic = enter(1);

	(void)state;
	lapic_accept(&pc.vcpu[1], 0x61);
	set_page(TPR, 0x20);
	set_page(PPR, 0x20);
	guest_writes(1, ERROR, 0x55);
	guest_writes(1, SVR, 0xFF);
	assert_null(lapic->page);
	assert_int_equal(lapic_page_mode(lapic), LAPIC_OFF);
	assert_true(atomic_load(&pc.shared[1].requests) & REQUEST_INTERRUPT);
	assert_int_equal(get(1, ERROR) & LVT_MASKED, LVT_MASKED);
	assert_int_equal(get(1, TPR), 0x20);
	assert_int_equal(peek(1), 0x61);
	lapic_accept(&pc.vcpu[1], 0x71); /* takes none now */
	assert_int_equal(peek(1), 0x61);
	atomic_store(&pc.shared[1].requests, 0);
	put(1, SVR, 0x1FF);
	assert_int_equal(lapic_page_mode(lapic), LAPIC_XAPIC);
	assert_true(atomic_load(&pc.shared[1].requests) & REQUEST_INTERRUPT);
	enter(1);
	assert_int_equal(peek(1), 0x61);
	assert_int_equal(in_page(IRR + 0x30), 1u << 1);
	assert_int_equal(in_page(PPR), 0x20);
}

/* ICR_HI, and ICR_LO for an IPI to oneself, are written without the model's knowledge. */
static void page_holds_the_command(void **state)
{
	(void)state;
	enter(1);
	set_page(ICR_HIGH, 2u << 24);
	guest_writes(1, ICR, 0x4055);
	assert_int_equal(peek(2), 0x55);
	assert_int_equal(get(1, ICR_HIGH), 2u << 24);
	set_page(ICR, 0x40066);
	assert_int_equal(get(1, ICR), 0x40066);
	lapic_leave_page(&pc.vcpu[1]);
	assert_int_equal(get(1, ICR), 0x40066);
	assert_int_equal(get(1, ICR_HIGH), 2u << 24);
}

/* Looking at what was posted leaves no request behind: with one, the next to post would not kick this CPU,
 * which is in its guest by then. */
static void looking_leaves_no_request(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		put(0, ICR_HIGH, 1u << 24);
		put(0, ICR, 0x4000 | (0x41 + round));
		assert_true(atomic_load(&pc.shared[1].requests) & REQUEST_INTERRUPT);
		atomic_store(&pc.shared[1].requests, 0);
		assert_int_equal(peek(1), 0x41 + (int)round);
		assert_int_equal(atomic_load(&pc.shared[1].requests), 0);
		assert_int_not_equal(get(1, IRR + 0x20), 0); /* an access of the guest's is another matter */
		assert_true(atomic_load(&pc.shared[1].requests) & REQUEST_INTERRUPT);
		enter(1);
	}
}

/* Another vCPU that looks for the least priority sees the one the CPU keeps. */
static void page_tells_the_priority(void **state)
{
	(void)state;
	for (unsigned cpu = 0; cpu < 4; cpu++)
		put(cpu, TPR, 0x80);
	enter(1);
	set_page(PPR, 0x10);
	put(0, ICR_HIGH, 0xFFu << 24);
	put(0, ICR, 0x4155);
	assert_int_equal(in_page(IRR + 0x20), 0);
	(void)peek(1);
	assert_int_equal(in_page(IRR + 0x20), 1u << 21);
}

/* The mode that a page can serve; with the mode or a reset the page is given up. */
static void page_ends_with_the_mode(void **state)
{
	struct vcpu *vcpu = &pc.vcpu[1];
	struct lapic *lapic = enter(1);
	uint64_t id;

	(void)state;
	assert_int_equal(lapic_page_mode(lapic), LAPIC_XAPIC);
	lapic_accept(vcpu, 0x44);
	atomic_store(&pc.shared[1].requests, 0);
	assert_true(full_msr_write(vcpu, MSR_APIC_BASE, vcpu->apic_base | APIC_BASE_X2APIC));
	assert_null(lapic->page);
	assert_int_equal(lapic_page_mode(lapic), LAPIC_X2APIC);
	assert_true(atomic_load(&pc.shared[1].requests) & REQUEST_INTERRUPT);
	assert_int_equal(peek(1), 0x44);
	enter(1);
	assert_int_equal(in_page(ID), 1);
	assert_true(full_msr_read(vcpu, MSR_X2APIC_FIRST + ID / 16, &id));
	assert_int_equal(id, in_page(ID));
	assert_int_equal(peek(1), 0x44);
	guest_writes(1, 0x3F0, 3); /* an IPI to oneself with a vector that is none */
	assert_true(put_msr(1, ESR, 0));
	assert_int_equal(in_page(ESR), ERROR_SEND_VECTOR);
	lapic_reset(vcpu, true);
	assert_null(lapic->page);
	assert_int_equal(peek(1), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(reset_values),
					   TEST(priorities),
					   TEST(every_vector),
					   TEST(software_disable),
					   TEST(errors),
					   TEST(destinations),
					   TEST(lowest_priority),
					   TEST(other_deliveries),
					   TEST(narrow_accesses),
					   TEST(modes),
					   TEST(init_keeps_the_mode),
					   TEST(x2apic_registers),
					   TEST(x2apic_destinations),
					   TEST(one_shot),
					   TEST(divides),
					   TEST(periodic),
					   TEST(last_period),
					   TEST(masked_one_shot),
					   TEST(deadline),
					   TEST(masked_deadline),
					   TEST(deadline_unmasked_in_time),
					   TEST(due_before_the_host_timer),
					   TEST(deadline_of_another_mode),
					   TEST(early_timer),
					   TEST(linux_takes_it_over),
					   TEST(linux_starts_a_cpu),
					   TEST(page_takes_and_gives),
					   TEST(page_is_where_interrupts_go),
					   TEST(page_mirrors_registers),
					   TEST(looking_leaves_no_request),
					   TEST(page_ends_with_the_switch),
					   TEST(page_holds_the_command),
					   TEST(page_tells_the_priority),
					   TEST(page_ends_with_the_mode)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
