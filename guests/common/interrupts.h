/*
 * The interrupt descriptor table, shared by all CPUs of the guest, and its entry stubs (interrupts.asm).
 * Handlers run with interrupts off on the stack of the interrupted code; CPL is always 0.
 */
#pragma once

#include <stdint.h>

#define INTERRUPT_VECTORS    64 /* as many stubs as interrupts.asm has */
#define INTERRUPT_FIRST_FREE 32 /* below stand the exceptions */
#define EXCEPTION_GP	     13

/* As the stubs leave it on the stack. */
struct interrupt_frame {
	uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

typedef void interrupt_handler(void);

/* Fills the table with the stubs and loads it on this CPU. */
void interrupts_init(void);

/* Loads the table on a further CPU. */
void interrupts_load(void);

/* Calls `handler` for this vector (32 and up). The handler ends the interrupt at its controller, if it has
 * one. */
void interrupt_handle(uint8_t vector, interrupt_handler *handler);

/* Points a vector straight at machine code that ends in IRETQ, for those who count instructions. */
void interrupt_gate(uint8_t vector, const void *entry);

/* Resets the machine the hard way: an exception that finds no table. */
_Noreturn void triple_fault(void);

/* Each platform's own: tells of an exception nobody handles. May not return to the interrupted code. */
_Noreturn void exception_report(const struct interrupt_frame *frame);
