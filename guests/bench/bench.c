/*
 * Measures the operations both platforms have, then the platform's own, prints one line each, and powers off.
 */
#include "../common/interrupts.h"
#include "../common/print.h"
#include "../platform.h"
#include "bench.h"

#define BATCHES 11

bool probe_failed; /* set by probe_fault */
void probe_fault(void);

/* Candidates for an MSR every hypervisor traps; the first that can be read is taken. */
static const uint32_t trapped_msrs[] = {
	0x1B,  /* IA32_APIC_BASE */
	0x1A0, /* IA32_MISC_ENABLE */
	0x8B,  /* IA32_BIOS_SIGN_ID */
	0xFE,  /* IA32_MTRRCAP */
};

#define MSRS (sizeof(trapped_msrs) / sizeof(trapped_msrs[0]))

static void sort(int64_t values[], int count)
{
	for (int i = 1; i < count; i++) {
		const int64_t value = values[i];
		int place = i;
		for (; place && values[place - 1] > value; place--)
			values[place] = values[place - 1];
		values[place] = value;
	}
}

static int64_t each(int64_t ticks)
{
	const int64_t half = BENCH_OPERATIONS / 2;
	return (ticks + (ticks < 0 ? -half : half)) / (int64_t)BENCH_OPERATIONS;
}

void bench_measure(const char *name, bench_loop *loop, uint64_t first, uint64_t second, uint64_t expected)
{
	int64_t ticks[BATCHES];
	for (int i = 0; i < BATCHES; i++)
		ticks[i] = (int64_t)(loop(first, second) - expected * BENCH_OPERATIONS);
	sort(ticks, BATCHES);
	print_line("bench %s median=%ld min=%ld n=%u", name, each(ticks[BATCHES / 2]), each(ticks[0]),
		   BENCH_OPERATIONS);
}

static void measure_msr_read(void)
{
	uint64_t value;
	for (unsigned i = 0; i < MSRS; i++) {
		if (!probe_msr_read(trapped_msrs[i], &value))
			continue;
		print_line("bench note: msr_read reads MSR %x", trapped_msrs[i]);
		bench_measure("msr_read", loop_msr_read, trapped_msrs[i], 0, 0);
		return;
	}
}

/* Writes what is there already. */
static void measure_msr_write(void)
{
	uint64_t value;
	for (unsigned i = 0; i < MSRS; i++) {
		if (!probe_msr_read(trapped_msrs[i], &value) || !probe_msr_write(trapped_msrs[i], value))
			continue;
		print_line("bench note: msr_write writes MSR %x", trapped_msrs[i]);
		bench_measure("msr_write", loop_msr_write, trapped_msrs[i], value, 0);
		return;
	}
}

static void measure_msrs(void)
{
	interrupt_gate(EXCEPTION_GP, (const void *)probe_fault);
	measure_msr_read();
	measure_msr_write();
	interrupts_init();
}

void guest_main(const struct platform *platform)
{
	print_line("bench begin %s, clock %u kHz", platform->kind, platform->tsc_khz);
	bench_measure("cpuid", loop_cpuid, 0, 0, 0);
	measure_msrs();
	bench_platform();
	print_line("bench done");
	platform_power_off();
}
