/*
 * Fuzzes the PC's devices: a sequence of port, memory and MSR accesses of three vCPUs, with time going on and
 * interrupts taken in between. Nothing is expected but that no access goes astray, and that a vector taken is
 * one that can be. The first byte says whose ports are used: of one device, or of all.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86/registers.h"
#include "tests/unit/fake_pc.h"

#define VCPUS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step {
	uint8_t action, cpu, size, skip;
	uint16_t place;
	uint32_t value;
} __attribute__((packed));

static const uint16_t port_bases[] = {0x3F8, 0x20,  0xA0,  0x40, 0x60, 0x70,
				      0x4D0, 0xCF8, 0x600, 0x92, 0x80, 0x608};

static uint8_t focus; /* a row of port_bases; beyond: all of them */

static uint16_t port_of(const struct step *step)
{
	unsigned row = focus < ARRAY_SIZE(port_bases) ? focus : step->place % ARRAY_SIZE(port_bases);

	return (uint16_t)(port_bases[row] + (step->place >> 8) % 8);
}

static void act(struct vcpu *vcpu, const struct step *step)
{
	const gpa_t address =
		gpa((step->place & 0x8000 ? PC_IOAPIC_ADDRESS : APIC_DEFAULT_BASE) + step->place % PAGE_SIZE);
	const unsigned size = 1u << step->size % 3;
	uint64_t wide;
	uint32_t value;
	int vector;

	switch (step->action % 9) {
	case 0: (void)full_port_out(vcpu, port_of(step), size, step->value); break;
	case 1: (void)full_port_in(vcpu, port_of(step), size, &value); break;
	case 2: full_mmio_write(vcpu, address, 1u << step->size % 4, step->value); break;
	case 3: (void)full_mmio_read(vcpu, address, 1u << step->size % 4); break;
	case 4: (void)full_msr_write(vcpu, MSR_X2APIC_FIRST + step->place % 0x41, step->value); break;
	case 5: (void)full_msr_read(vcpu, MSR_X2APIC_FIRST + step->place % 0x100, &wide); break;
	case 6:
		(void)full_msr_write(vcpu, step->place & 1 ? MSR_APIC_BASE : MSR_TSC_DEADLINE,
				     (vcpu->apic_base & ~0xC00ull) | (step->value & 0xC00));
		break;
	case 7:
		vector = full_peek_interrupt(vcpu) < 0 ? -1 : full_take_interrupt(vcpu);
		if (vector > 255)
			abort();
		break;
	default:
		pc.partition.input.byte[atomic_fetch_add(&pc.partition.input.head, 1) % INPUT_SIZE] =
			step->skip;
		full_console_input(&pc.vcpu[0]);
		break;
	}
}

/* Timers whose time has come, each once: a period of one tick would never let go. */
static void pass_time(uint64_t ticks)
{
	pc.now += ticks;
	for (unsigned cpu = 0; cpu < VCPUS; cpu++)
		for (enum timer_kind kind = TIMER_LAPIC; kind <= TIMER_PIT; kind++)
			if (pc.vcpu[cpu].timer[kind] <= pc.now)
				full_timer(&pc.vcpu[cpu], kind);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct step step;

	if (size == 0)
		return 0;
	focus = *data++ % (2 * ARRAY_SIZE(port_bases));
	size--;
	pc_create(VCPUS);
	for (; size >= sizeof(step); size -= sizeof(step), data += sizeof(step)) {
		memcpy(&step, data, sizeof(step));
		act(&pc.vcpu[step.cpu % VCPUS], &step);
		pass_time(1ull << step.skip % 48);
		pc.console_length = 0;
	}
	pc_destroy();
	return 0;
}
