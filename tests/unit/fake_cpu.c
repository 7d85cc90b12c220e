/* The instructions of fake_cpu.h. */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_cpu.h"

struct fake_cpu cpu;

void fake_cpu_reset(void)
{
	memset(&cpu, 0, sizeof(cpu));
}

/* A second answer for a leaf replaces the first. */
void fake_cpu_leaf(uint32_t leaf, uint32_t subleaf, struct cpuid_result result)
{
	unsigned i = 0;

	while (i < cpu.leaf_count && (cpu.leaf[i].leaf != leaf || cpu.leaf[i].subleaf != subleaf))
		i++;
	if (i == FAKE_LEAVES)
		abort();
	if (i == cpu.leaf_count)
		cpu.leaf_count++;
	cpu.leaf[i] = (struct fake_leaf){leaf, subleaf, result};
}

struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < cpu.leaf_count; i++)
		if (cpu.leaf[i].leaf == leaf && cpu.leaf[i].subleaf == subleaf)
			return cpu.leaf[i].result;
	return (struct cpuid_result){0};
}

void wrmsr(uint32_t msr, uint64_t value)
{
	unsigned i = 0;

	while (i < cpu.msr_count && cpu.msr[i].index != msr)
		i++;
	if (i == FAKE_MSRS)
		abort();
	if (i == cpu.msr_count)
		cpu.msr_count++;
	cpu.msr[i].index = msr;
	cpu.msr[i].value = value;
}

uint64_t rdmsr(uint32_t msr)
{
	for (unsigned i = 0; i < cpu.msr_count; i++)
		if (cpu.msr[i].index == msr)
			return cpu.msr[i].value;
	return 0;
}

uint64_t rdtsc(void)
{
	cpu.tsc += cpu.tsc_step;
	return cpu.tsc;
}

/* Where no device is, the bus reads all ones. */
uint8_t inb(uint16_t port)
{
	return cpu.in ? cpu.in(port) : 0xFF;
}

void outb(uint16_t port, uint8_t value)
{
	if (cpu.out)
		cpu.out(port, value);
}

void xsetbv(uint32_t index, uint64_t value)
{
	if (index != 0)
		abort();
	cpu.xcr0 = value;
	cpu.xsetbvs++;
}

uint64_t read_cr3(void)
{
	return cpu.cr3;
}

void write_cr0(uint64_t value)
{
	cpu.cr0 = value;
}

void write_cr4(uint64_t value)
{
	cpu.cr4 = value;
}

void cpu_pause(void) {}

void cpu_interrupt_window(void)
{
	cpu.windows++;
	if (cpu.window)
		cpu.window();
}

/* With nobody to wake it, a CPU that sleeps here would sleep for good. */
void cpu_wait_for_interrupt(void)
{
	if (!cpu.wait)
		abort();
	cpu.wait();
}
