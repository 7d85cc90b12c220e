/*
 * The interrupt table of all CPUs, this CPU's descriptors, and the handlers of the host's few interrupts.
 */
#include "arch/x86/interrupts.h"
#include "arch/x86/apic.h"
#include "arch/x86/machine.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/poweroff.h"
#include "hv/lib/log.h"

#define GATE_INTERRUPT	    0x8E /* present, DPL 0, 64-bit interrupt gate */
#define EXCEPTIONS	    32
#define UNEXPECTED_REPORTED 8

/* The 8259 pair's mask registers (Intel 8259A data sheet, OCW1). */
#define PIC_MASTER_DATA 0x21
#define PIC_SLAVE_DATA	0xA1
#define PIC_MASK_ALL	0xFF

extern const char exception_stubs[];
extern const uint32_t exception_stub_size;
extern const char stub_nmi[], stub_debug[], stub_kick[], stub_timer[], stub_serial[], stub_spurious[],
	stub_unexpected[];
void load_descriptors(const struct descriptor_pointer *gdt, const struct descriptor_pointer *idt,
		      uint16_t tss);

struct idt_gate interrupt_table[IDT_ENTRIES] ALIGNED(16);
bool percpu_mapped;

static void set_gate(unsigned vector, const char *handler)
{
	uint64_t offset = (uint64_t)handler;

	interrupt_table[vector] = (struct idt_gate){
		.offset_low = (uint16_t)offset,
		.selector = SELECTOR_CODE,
		.type = GATE_INTERRUPT,
		.offset_middle = (uint16_t)(offset >> 16),
		.offset_high = (uint32_t)(offset >> 32),
	};
}

static void load_idt(void)
{
	const struct descriptor_pointer idt = {sizeof(interrupt_table) - 1, (uint64_t)interrupt_table};

	__asm__ volatile("lidt %0" : : "m"(idt));
}

void interrupts_early(void)
{
	for (unsigned vector = 0; vector < EXCEPTIONS; vector++)
		set_gate(vector, exception_stubs + vector * exception_stub_size);
	for (unsigned vector = EXCEPTIONS; vector < IDT_ENTRIES; vector++)
		set_gate(vector, stub_unexpected);
	set_gate(VECTOR_NMI, stub_nmi);
	set_gate(VECTOR_DB, stub_debug);
	set_gate(VECTOR_KICK, stub_kick);
	set_gate(VECTOR_TIMER, stub_timer);
	set_gate(VECTOR_SERIAL, stub_serial);
	set_gate(VECTOR_SPURIOUS, stub_spurious);
	load_idt();
}

void interrupts_own_stacks(void)
{
	outb(PIC_MASTER_DATA, PIC_MASK_ALL);
	outb(PIC_SLAVE_DATA, PIC_MASK_ALL);
	interrupt_table[VECTOR_NMI].ist = IST_NMI;
	interrupt_table[VECTOR_DF].ist = IST_FAULT;
	interrupt_table[VECTOR_MC].ist = IST_FAULT;
	percpu_mapped = true;
}

void interrupts_load_cpu(void)
{
	const struct descriptor_pointer gdt = {sizeof(this_cpu->gdt) - 1, (uint64_t)&this_cpu->gdt};
	const struct descriptor_pointer idt = {sizeof(interrupt_table) - 1, (uint64_t)interrupt_table};

	load_descriptors(&gdt, &idt, SELECTOR_TSS);
}

/* On a small part of the fault stack: it only notes, or stops. */
void host_nmi(void)
{
	if (machine_stopping())
		cpu_halt();
	if (percpu_mapped)
		machine_nmi_note();
}

/* The interrupt itself is the message: what is to be done stands in the vCPU's requests. */
void interrupt_kick(void)
{
	apic_eoi();
	machine_follow_power_off();
}

void interrupt_timer(void)
{
	apic_eoi();
	this_vcpu->host_timer = TIMER_NEVER;
	if (this_vcpu->shared)
		atomic_fetch_or(&this_vcpu->shared->requests, REQUEST_TIMER);
}

/* The serial line is polled on the console's tick; the interrupt only brings that forward. */
void interrupt_serial(void)
{
	apic_eoi();
	if (this_vcpu->shared)
		atomic_fetch_or(&this_vcpu->shared->requests, REQUEST_CONSOLE);
}

/* No EOI: nothing is in service (SDM 3A 11.9). */
void interrupt_spurious(void) {}

/* A device that the firmware left armed. It is told that it was heard, and named a few times. */
void interrupt_unexpected(void)
{
	static _Atomic uint32_t count;
	int vector = apic_in_service();

	if (vector < 0)
		return;
	if (atomic_fetch_add(&count, 1) < UNEXPECTED_REPORTED)
		log_warn("unexpected interrupt, vector 0x%x", (unsigned)vector);
	apic_eoi();
}
