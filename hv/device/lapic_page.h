/*
 * A virtual-APIC page (SDM 3C 30.1): where VT-x can serve a guest's local APIC by itself, what changes
 * without an exit stands there and nowhere else: requests, service, TPR and PPR. All other registers stay in
 * struct lapic; the page has copies of them to be read. Only the vCPU's own CPU writes it.
 */
#pragma once

#include "hv/device/lapic.h"

#define REGISTER_SHIFT 4    /* one register every 16 bytes */
#define REGISTER_COUNT 0x40 /* those from 400h up are reserved */
enum lapic_register {
	REG_ID = 0x02,
	REG_VERSION = 0x03,
	REG_TASK_PRIORITY = 0x08,
	REG_ARBITRATION = 0x09,
	REG_PRIORITY = 0x0A,
	REG_EOI = 0x0B,
	REG_LOGICAL = 0x0D,
	REG_FORMAT = 0x0E,
	REG_SPURIOUS = 0x0F,
	REG_SERVICE = 0x10,
	REG_TRIGGER = 0x18,
	REG_REQUEST = 0x20,
	REG_ERROR = 0x28,
	REG_COMMAND = 0x30,
	REG_COMMAND_HIGH = 0x31,
	REG_LVT = 0x32,
	REG_COUNT_INITIAL = 0x38,
	REG_COUNT_CURRENT = 0x39,
	REG_DIVIDE = 0x3E,
	REG_SELF = 0x3F
};

static inline uint32_t lapic_page_load(const struct lapic *lapic, unsigned index)
{
	return lapic_load(&lapic->page[index * 4]);
}

static inline void lapic_page_store(struct lapic *lapic, unsigned index, uint32_t value)
{
	lapic_store(&lapic->page[index * 4], value);
}

/* With a page or without. */
uint32_t lapic_task_priority(const struct lapic *lapic);
uint32_t lapic_priority(const struct lapic *lapic); /* any CPU */

/* In the page, as lapic.c does it in struct lapic. */
void lapic_page_take(struct lapic *lapic);    /* the requests that lapic_accept() has left */
int lapic_page_pending(struct lapic *lapic);  /* as lapic->pending */
unsigned lapic_page_end(struct lapic *lapic); /* the vector; 0: none was in service */
void lapic_page_set_task_priority(struct lapic *lapic, uint32_t value);
/*
 * The guest interrupt status (SDM 3C 25.4.2): highest request in bits 7:0, highest in service above. The CPU
 * keeps it up to date itself, but for what lapic->raised tells.
 */
uint16_t lapic_page_status(const struct lapic *lapic);
#define RAISED_ANEW 0x100u /* lapic->raised: above all vectors; the status is to be found from the page */

void lapic_page_fill(struct lapic *lapic, _Atomic uint32_t *page);
void lapic_page_drain(struct lapic *lapic);
void lapic_page_give_up(struct lapic *lapic); /* with all that is in it */
/* Copies for the guest to read: of all registers, of one that has been written, of the trigger modes. */
void lapic_page_mirror(struct vcpu *vcpu);
void lapic_page_refresh(struct vcpu *vcpu, unsigned index);
void lapic_page_mirror_trigger(struct lapic *lapic);
/* The command's registers are written without an exit: ICR_HI always, ICR_LO with an IPI to oneself. */
void lapic_page_fetch_command(struct lapic *lapic);

/* lapic.c: the mode that a page could serve now; LAPIC_OFF while the APIC is off by hardware or software. */
enum lapic_mode lapic_page_mode(const struct lapic *lapic);
void lapic_enter_page(struct vcpu *vcpu, _Atomic uint32_t *page);
void lapic_leave_page(struct vcpu *vcpu);
/* The guest has written the register at `offset`; ended a vector that the I/O APIC waits for. */
void lapic_page_written(struct vcpu *vcpu, unsigned offset);
void lapic_page_ended(struct vcpu *vcpu, unsigned vector);
uint32_t lapic_register(struct vcpu *vcpu, unsigned index); /* of those that can be read */
