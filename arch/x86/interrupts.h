/*
 * Exceptions and interrupts of the host (SDM 3A chapter 6, APM 2 chapter 8). In the hypervisor IF = 0, except
 * in cpu_interrupt_window() and cpu_wait_for_interrupt(). An exception is a bug of the hypervisor: it is
 * reported and the machine stops. One IDT serves all CPUs; NMI, #DF and #MC have a stack of their own.
 */
#pragma once

#include "hv/lib/types.h"

/* What the stubs of interrupts.asm push, lowest address first. */
struct exception_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* A 64-bit interrupt gate (SDM 3A figure 6-8). */
struct idt_gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "IDT gate, SDM 3A 6.14.1");

#define IDT_ENTRIES 256
extern struct idt_gate interrupt_table[IDT_ENTRIES];

/* From the hypervisor's first instructions on, on the loader's stack: no stack of their own for NMI, #DF,
 * #MC. */
void interrupts_early(void);
/* The legacy PIC is masked, and NMI, #DF, #MC get their stack: once the boot CPU is on its own tables. */
void interrupts_own_stacks(void);
/* This CPU's GDT, TSS and IDT. On its own tables. */
void interrupts_load_cpu(void);
/* False until the boot CPU is on its own tables: this_cpu is not there yet. */
extern bool percpu_mapped;

/* The handlers, as the stubs of interrupts.asm call them. */
void interrupt_kick(void);
void interrupt_timer(void);
void interrupt_serial(void);
void interrupt_spurious(void);
void interrupt_unexpected(void);

/* What the NMI vector does; for a back end whose exit has taken the NMI in its stead. */
void host_nmi(void);
