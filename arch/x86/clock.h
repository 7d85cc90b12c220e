/*
 * Time: the TSC, its frequency and the local APIC timer's, and the one host timer of each CPU.
 */
#pragma once

#include "hv/lib/types.h"

extern uint32_t tsc_khz;	/* measured (CPUID 15h, else against the PIT or the ACPI timer) */
extern uint32_t apic_timer_khz; /* input clock of the local APIC timer at divide by 1 */
extern uint64_t boot_tsc;	/* TSC when the hypervisor was entered */
extern uint64_t boot_wall_s;	/* seconds since 1970 at boot_tsc, from the RTC; 0: unknown */

void clock_calibrate(void);	  /* boot CPU, once: after apic_enable() */
void host_timer_enable(void);	  /* this CPU, after apic_enable() and clock_calibrate() */
void clock_delay_us(uint64_t us); /* waits; interrupts stay off */
/* One-shot at an absolute TSC value; TIMER_NEVER disarms. In the past: fires at once. Raises VECTOR_TIMER. */
void host_timer_arm(uint64_t deadline);

static inline uint64_t tsc_to_us(uint64_t ticks)
{
	return ticks / (tsc_khz ? tsc_khz : 1) * 1000 +
	       ticks % (tsc_khz ? tsc_khz : 1) * 1000 / (tsc_khz ? tsc_khz : 1);
}
static inline uint64_t ms_to_tsc(uint64_t ms)
{
	return ms * tsc_khz;
}
