/*
 * The PC a full partition sees. Device models are pure: they hold their registers, take port or register
 * accesses and the time, and answer; how they are wired stands in full.c alone. One partition has one struct
 * full_devices; each vCPU one lapic.
 */
#pragma once

#include "arch/x86/registers.h"
#include "hv/core/partition.h"
#include "hv/device/pc.h"

/* Builds the devices of a full partition in their power-on state; called again at each reset. From the pool
 * at creation. */
enum status full_devices_create(struct partition *partition) MUST_CHECK;
void full_devices_reset(struct partition *partition);
/* The vCPU's local APIC: power-on state; called on the vCPU's own CPU. Allocates at the first call
 * (vcpu->lapic). */
enum status lapic_create(struct vcpu *vcpu) MUST_CHECK;
/* As after RESET (`power_on`), or INIT, which keeps the local APIC's mode and the MTRRs (SDM 3A table 10-1).
 */
void full_vcpu_reset(struct vcpu *vcpu, bool power_on);

/* Ports. false: nothing there (reads give all ones, writes are ignored). A write takes the lowest `size`
 * bytes of its value. */
bool full_port_in(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t *value);
bool full_port_out(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t value);

/* Memory of devices. Reads and writes only where full_is_mmio() says so; a write takes the lowest `size`
 * bytes. */
static inline bool full_is_mmio(gpa_t address)
{
	const uint64_t both = APIC_DEFAULT_BASE ^ PC_IOAPIC_ADDRESS; /* one bit tells them apart */

	return ALIGN_DOWN(address.value & ~both, PAGE_SIZE) == (APIC_DEFAULT_BASE & ~both);
}
_Static_assert(APIC_DEFAULT_BASE == (PC_IOAPIC_ADDRESS | 1ull << 21), "one bit");
uint64_t full_mmio_read(struct vcpu *vcpu, gpa_t address, unsigned size);
void full_mmio_write(struct vcpu *vcpu, gpa_t address, unsigned size, uint64_t value);

/* x2APIC registers 800h-8FFh, IA32_TSC_DEADLINE, IA32_APIC_BASE, MTRRs. false: #GP. */
bool full_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
bool full_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);

/* The local APIC's TPR, of which CR8 is bits 7:4. */
uint8_t full_task_priority(const struct vcpu *vcpu);
void full_set_task_priority(struct vcpu *vcpu, uint8_t priority);

/* Interrupts for the back end to deliver: -1, or the vector. peek does not change anything; take acknowledges
 * it. */
int full_peek_interrupt(struct vcpu *vcpu);
int full_take_interrupt(struct vcpu *vcpu);
/* Takes in what was left for this vCPU, and no more. */
void full_attend(struct vcpu *vcpu);
/* The 8259s have one, which is the next to be taken. */
bool full_pic_due(struct vcpu *vcpu);

/* A deadline (vcpu->timer[TIMER_LAPIC] or TIMER_PIT) has passed, or the PIT was programmed by another vCPU.
 */
void full_timer(struct vcpu *vcpu, enum timer_kind kind);
/* Console input has arrived in partition->input (vCPU 0 looks). */
void full_console_input(struct vcpu *vcpu);

/* INIT and SIPI of one vCPU at others of its partition end here: lifecycle.c. */
void vcpu_send_init(struct partition *partition, uint32_t target);
void vcpu_send_startup(struct partition *partition, uint32_t target, uint8_t vector);
void vcpu_send_nmi(struct partition *partition, uint32_t target);
