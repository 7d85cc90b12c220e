/*
 * The bench of a PC: ports, device memory, the local APIC. Hypercalls only where CPUID shows that Bulkhead is
 * underneath.
 */
#include <bulkhead/abi.h>
#include "../common/interrupts.h"
#include "../common/print.h"
#include "../common/x86.h"
#include "../full/devices.h"
#include "bench.h"

#define VECTOR_BENCH 50
#define UART_LSR     0x3FDu

bench_loop loop_port_write, loop_port_read, loop_mmio_write, loop_mmio_read, loop_x2apic_eoi;
bench_loop loop_self_ipi, loop_x2apic_self_ipi, loop_hlt_timer, loop_x2apic_hlt_timer;
void end_by_memory(void);
void end_by_msr(void);

bool apic_prefer_x2apic = false; /* memory first, x2APIC afterwards */

static void measure_hypercall(void)
{
	const struct cpuid_result base = cpuid(BH_CPUID_BASE, 0);
	if (base.ebx != BH_SIGNATURE_EBX || base.ecx != BH_SIGNATURE_ECX || base.edx != BH_SIGNATURE_EDX)
		return;
	const bool amd = cpuid(BH_CPUID_ABI, 0).ecx & BH_CPUID_ABI_VMMCALL;
	bench_measure("hypercall", amd ? loop_vmmcall : loop_vmcall, BENCH_NO_CALL, 0, 0);
}

/* Counts of the APIC's timer for the interval, and what that count is in TSC ticks. */
static uint32_t interval_count(uint64_t *tsc_ticks)
{
	const struct clocks *clocks = clocks_known();
	const uint32_t count = (uint32_t)((uint64_t)BENCH_INTERVAL * clocks->apic_khz / clocks->tsc_khz);
	*tsc_ticks = (uint64_t)count * clocks->tsc_khz / clocks->apic_khz;
	return count;
}

static void take_interrupts_by(void (*entry)(void))
{
	interrupt_gate(VECTOR_BENCH, (const void *)entry);
	interrupt_gate(VECTOR_APIC_TICK, (const void *)entry);
}

/* The divide configuration register: a write has no side effect, and no CPU virtualises it by itself. */
static void measure_xapic(void)
{
	const uint64_t page = (uint64_t)apic_page();
	uint64_t interval;
	const uint32_t count = interval_count(&interval);
	bench_measure("mmio_write", loop_mmio_write, page + APIC_TIMER_DIV, apic_read(APIC_TIMER_DIV), 0);
	bench_measure("mmio_read", loop_mmio_read, page + APIC_TIMER_DIV, 0, 0);
	take_interrupts_by(end_by_memory);
	bench_measure("self_ipi_hlt_eoi", loop_self_ipi, page, 0, 0);
	bench_measure("hlt_timer", loop_hlt_timer, page, count, interval);
}

static void measure_x2apic(void)
{
	uint64_t interval;
	const uint32_t count = interval_count(&interval);
	apic_init(true);
	bench_measure("x2apic_eoi", loop_x2apic_eoi, 0, 0, 0);
	take_interrupts_by(end_by_msr);
	bench_measure("x2apic_self_ipi_hlt_eoi", loop_x2apic_self_ipi, 0, 0, 0);
	bench_measure("x2apic_hlt_timer", loop_x2apic_hlt_timer, 0, count, interval);
}

void bench_platform(void)
{
	measure_hypercall();
	bench_measure("port_write", loop_port_write, UART_SCRATCH, 0x55, 0);
	bench_measure("port_read", loop_port_read, UART_LSR, 0, 0);
	measure_xapic();
	if (apic_x2apic_offered())
		measure_x2apic();
}
