/*
 * The bench of a para guest: hypercalls, an event to itself, and its timer. Its upcall handler stands in the
 * gate itself, in place of the library's.
 */
#include "../common/interrupts.h"
#include "../common/x86.h"
#include "../lib/bulkhead.h"
#include "bench.h"

bench_loop loop_event_vmcall, loop_event_vmmcall, loop_deadline_vmcall, loop_deadline_vmmcall;
void take_events(void);

static void measure_events(const char *name, bench_loop *loop, uint64_t expected)
{
	interrupt_gate(BH_UPCALL_VECTOR, (const void *)take_events);
	bench_measure(name, loop, (uint64_t)bh_event_page(), 0, expected);
	interrupts_init();
}

void bench_platform(void)
{
	const bool amd = cpuid(BH_CPUID_ABI, 0).ecx & BH_CPUID_ABI_VMMCALL;
	bench_measure("hypercall", amd ? loop_vmmcall : loop_vmcall, BENCH_NO_CALL, 0, 0);
	bench_measure("hypercall_version", amd ? loop_vmmcall : loop_vmcall, SMCCC_VERSION, 0, 0);
	measure_events("self_ipi_hlt", amd ? loop_event_vmmcall : loop_event_vmcall, 0);
	measure_events("hlt_timer", amd ? loop_deadline_vmmcall : loop_deadline_vmcall, BENCH_INTERVAL);
}
