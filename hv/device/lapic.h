/*
 * A virtual local APIC (SDM 3A chapter 11, APM 2 chapter 16), one for each vCPU, as xAPIC by memory or as
 * x2APIC by MSR. Only its own CPU touches it, but for the last part: what other vCPUs need to route an
 * interrupt to it, and the note that they have left one in vcpu_shared.interrupts[].
 */
#pragma once

#include <stdatomic.h>
#include "hv/core/vcpu.h"

#define LAPIC_WORDS    8  /* 256 vectors in words of 32 */
#define XAPIC_ID_SHIFT 24 /* of an id in a register of xAPIC mode */

enum lapic_mode { LAPIC_OFF, LAPIC_XAPIC, LAPIC_X2APIC };

enum lapic_lvt { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

/* Fields of the local vector table (11.5.1) and of the interrupt command (11.6.1) that stand at the same
 * bits. */
#define DELIVERY_VECTOR	 0xFFu
#define DELIVERY_MODE	 0x700u
#define DELIVERY_FIXED	 0x000u
#define DELIVERY_LOWEST	 0x100u
#define DELIVERY_NMI	 0x400u
#define DELIVERY_INIT	 0x500u
#define DELIVERY_START	 0x600u
#define DELIVERY_EXTINT	 0x700u
#define DELIVERY_LOGICAL (1u << 11)
#define LVT_MASKED	 (1u << 16)
#define SPURIOUS_ENABLED (1u << 8)

/* Error status (11.5.3). */
#define ERROR_SEND_VECTOR    (1u << 5)
#define ERROR_RECEIVE_VECTOR (1u << 6)
#define ERROR_REGISTER	     (1u << 7)
#define FIRST_VALID_VECTOR   16

/* A set of vectors; bit i of `used` says that word i is not 0, so that the highest takes two bit scans. */
struct vector_set {
	uint32_t used;
	uint32_t word[LAPIC_WORDS];
};

/* Bits 0 to 7 of lapic.attention: that word of vcpu_shared.interrupts[] is not 0. And for vCPU 0: */
#define ATTENTION_POSTED  0xFFu
#define ATTENTION_PIC	  (1u << 8)  /* the PIC's output is up */
#define ATTENTION_PIT	  (1u << 9)  /* another vCPU has programmed a timer of the PC: arm it */
#define ATTENTION_THROUGH (1u << 10) /* the PIC's output reaches this CPU through the I/O APIC */
/* For its own CPU: there is a virtual-APIC page to look at. */
#define ATTENTION_PAGE (1u << 11)

struct lapic {
	/* The virtual-APIC page (lapic_page.h) while the CPU serves this APIC by itself, else NULL. Beside it
	 * `request` holds only what is on its way there, `service` nothing, and `priority` lets nothing
	 * through. */
	_Atomic uint32_t *page;
	uint32_t raised; /* the highest request that the page has got and the CPU not heard of; or all are new
			  */
	struct vector_set request, service;
	uint32_t task_priority;
	int32_t pending;  /* the requested vector that the priority lets through, or -1 */
	bool wired;	  /* the PIC's output reaches this CPU: through LINT0, or because the APIC is off */
	bool timer_fired; /* not periodic: it has run out */
	uint32_t error_status, error_new;
	uint64_t command; /* ICR; bits 63:32 as x2APIC has them */
	uint32_t lvt[LVT_COUNT];
	uint32_t initial_count;
	uint32_t divide;       /* the register */
	uint64_t timer_start;  /* TSC */
	uint64_t timer_due;    /* TSC of the next interrupt, TIMER_NEVER */
	uint64_t tsc_deadline; /* 0: none */

	_Atomic uint32_t mode;		     /* enum lapic_mode */
	_Atomic uint32_t logical_id;	     /* LDR; xAPIC: bits 31:24 */
	_Atomic uint32_t format;	     /* DFR */
	_Atomic uint32_t spurious;	     /* SVR */
	_Atomic uint32_t priority;	     /* PPR */
	_Atomic uint32_t attention;	     /* what others have left: ATTENTION_* */
	_Atomic uint32_t any_level;	     /* a bit of `level` has been set since the reset */
	_Atomic uint32_t level_changed;	     /* so has one since the CPU was told of them, or cleared */
	_Atomic uint32_t level[LAPIC_WORDS]; /* TMR: vectors whose end the I/O APIC waits for */
};

static inline uint32_t lapic_load(const _Atomic uint32_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static inline void lapic_store(_Atomic uint32_t *to, uint32_t value)
{
	atomic_store_explicit(to, value, memory_order_relaxed);
}

/* PPR is the higher of TPR and the class in service (11.8.3.1). */
static inline uint32_t processor_priority(uint32_t task, uint32_t service)
{
	return task >> 4 >= service >> 4 ? task : service & 0xF0;
}

static inline unsigned highest_bit(uint32_t word) /* word is not 0 */
{
	return 31u ^ (unsigned)__builtin_clz(word); /* that is BSR, where a difference would be more */
}

/* BTS and BTR find the word by themselves. */
static inline void vector_set_add(struct vector_set *set, unsigned vector)
{
	__asm__("btsl %1, %0" : "+m"(set->word) : "r"(vector) : "cc");
	__asm__("btsl %1, %0" : "+m"(set->used) : "r"(vector / 32) : "cc");
}

static inline void vector_set_remove(struct vector_set *set, unsigned vector)
{
	__asm__("btrl %1, %0" : "+m"(set->word) : "r"(vector) : "cc");
	if (!set->word[vector / 32])
		__asm__("btrl %1, %0" : "+m"(set->used) : "r"(vector / 32) : "cc");
}

/* Of a set that is not empty; returns it. */
static inline unsigned vector_set_remove_highest(struct vector_set *set)
{
	const unsigned word = highest_bit(set->used), bit = highest_bit(set->word[word]);

	if (!(set->word[word] &= ~(1u << bit)))
		set->used &= ~(1u << word);
	return word * 32 + bit;
}

/* Vectors of a priority's own class, the upper four bits, and of those below do not get past it. */
static inline bool held_back(unsigned vector, uint32_t priority)
{
	return vector <= (priority | 0xF);
}

/* The highest vector of the set, or 0 for an empty one: a vector that cannot be requested. */
static inline unsigned vector_set_highest(const struct vector_set *set)
{
	const unsigned word = set->used ? highest_bit(set->used) : 0;

	return set->used ? word * 32 + highest_bit(set->word[word]) : 0;
}

/* Has the run loop look for an interrupt before the next entry. */
static inline void lapic_request(struct vcpu *vcpu)
{
	atomic_fetch_or_explicit(&vcpu->shared->requests, REQUEST_INTERRUPT, memory_order_relaxed);
}

/* lapic.c. The power-on state: on the boot CPU as PC firmware leaves it (virtual wire), elsewhere as the
 * manual says; or, not `power_on`, that after INIT, which keeps the mode (SDM 3A 11.4.7.3, 11.12.5.1). */
void lapic_reset(struct vcpu *vcpu, bool power_on);
uint32_t lapic_mmio_read(struct vcpu *vcpu, unsigned offset, unsigned size);
void lapic_mmio_write(struct vcpu *vcpu, unsigned offset, unsigned size, uint32_t value);
/* 800h to 8FFh; false: #GP. */
bool lapic_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool lapic_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);
bool lapic_base_write(struct vcpu *vcpu, uint64_t value);
/* A fixed interrupt has arrived for this vCPU. */
void lapic_accept(struct vcpu *vcpu, unsigned vector);
/*
 * Takes in what other vCPUs have posted, for a caller who looks at it then. It must not request a look:
 * whoever posts finds the bit set that way, and does not kick a CPU that has gone back into its guest.
 */
void lapic_fetch_posted(struct vcpu *vcpu);
/* Puts the pending vector into service and returns it; -1: none. */
int lapic_acknowledge(struct lapic *lapic);
void lapic_end_of_interrupt(struct vcpu *vcpu);
void lapic_set_task_priority(struct vcpu *vcpu, uint32_t value);
void lapic_error(struct vcpu *vcpu, uint32_t error);

/* lapic_command.c. Sends what an ICR value says; bits 63:32 hold the whole destination. */
void lapic_command(struct vcpu *vcpu, uint64_t command);
/*
 * Sends what a device of the partition has to say, with a destination as in xAPIC mode. Any vCPU's CPU, or
 * none's; under the device lock, so that who takes an interrupt cannot be switched off before it has come.
 * false: an interrupt that nobody takes.
 */
bool lapic_message(struct partition *partition, uint32_t command, uint8_t destination, bool level);

/* lapic_timer.c. */
void lapic_timer_fire(struct vcpu *vcpu); /* the host timer came, perhaps early */
void lapic_timer_set_count(struct vcpu *vcpu, uint32_t count);
void lapic_timer_set_divide(struct vcpu *vcpu, uint32_t divide);
void lapic_timer_set_vector(struct vcpu *vcpu, uint32_t lvt);
void lapic_timer_set_deadline(struct vcpu *vcpu, uint64_t tsc);
uint64_t lapic_timer_deadline(struct vcpu *vcpu);
uint32_t lapic_timer_count(const struct vcpu *vcpu);
