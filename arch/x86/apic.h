/*
 * The physical local APIC (SDM 3A chapter 11 "APIC", APM 2 chapter 16): x2APIC where the CPU has it, else
 * xAPIC through MMIO.
 */
#pragma once

#include "hv/lib/status.h"

enum host_vector {
	VECTOR_KICK = 0xF0, /* look at your requests */
	VECTOR_TIMER = 0xF1,
	VECTOR_SERIAL = 0xF2,
	VECTOR_SPURIOUS = 0xFF
};

enum status apic_enable(void) MUST_CHECK; /* this CPU */
uint32_t apic_id(void);
void apic_eoi(void);
int apic_in_service(void);	  /* the highest vector being served, or -1 */
void apic_kick(uint32_t apic_id); /* VECTOR_KICK */
void apic_send_init(uint32_t apic_id);
void apic_send_startup(uint32_t apic_id, uint8_t page);
void apic_send_self(uint8_t vector);
void apic_send_nmi_to_others(void); /* panic: stop them */

/*
 * The timer of this CPU: either it fires when the TSC reaches IA32_TSC_DEADLINE, or it counts down once at
 * the speed of its input clock (divide by 1). Raises VECTOR_TIMER.
 */
void apic_timer_use_deadline(void);
void apic_timer_use_count(void);
void apic_timer_start(uint32_t count); /* 0 stops it */
uint32_t apic_timer_count(void);       /* what is left */
