/*
 * The neutral exit interface: a back end turns each hardware exit into one of these calls and acts on the
 * answer. All run on the vCPU's own CPU with interrupts off. None of them moves RIP: the back end does, where
 * told to.
 */
#pragma once

#include "hv/core/vcpu.h"

enum exit_action {
	EXIT_NEXT,	/* done: go on behind the instruction */
	EXIT_AGAIN,	/* go on at the same RIP (memory was mapped, a string instruction has more to do) */
	EXIT_GP,	/* inject #GP(0) */
	EXIT_UD,	/* inject #UD */
	EXIT_PF,	/* inject #PF, set up by virt->inject_exception already; same RIP */
	EXIT_LEAVE,	/* leave the run loop: the vCPU is off, parked or faulted; RIP stays */
	EXIT_LEAVE_NEXT /* leave the run loop, and go on behind the instruction when it runs again */
};

/* CPUID: fills RAX..RDX for leaf EAX, subleaf ECX. `cr4` is needed for leaf 1 and 7 only, and read through
 * virt. */
void exit_cpuid(struct vcpu *vcpu);

/* Privilege (CPL 0) was checked by the back end. Results go to the registers; a call may end the run loop. */
enum exit_action exit_hypercall(struct vcpu *vcpu);

/* RDMSR / WRMSR of what the bitmaps trap: index in ECX, value in EDX:EAX. */
enum exit_action exit_msr_read(struct vcpu *vcpu);
enum exit_action exit_msr_write(struct vcpu *vcpu);

/* IN and OUT, `size` 1, 2 or 4: IN merges into RAX as the CPU does (AL, AX, or EAX zero-extended). */
enum exit_action exit_port_in(struct vcpu *vcpu, uint16_t port, unsigned size);
enum exit_action exit_port_out(struct vcpu *vcpu, uint16_t port, unsigned size);
/* INS and OUTS, one call an exit: does up to a bounded number of iterations, EXIT_AGAIN while there are more.
 */
struct string_io {
	uint16_t port;
	uint8_t size;	      /* 1, 2, 4 */
	uint8_t address_size; /* 2, 4, 8 bytes */
	bool in, rep;
	uint8_t segment; /* enum segment_index, of the memory operand */
};
enum exit_action exit_port_string(struct vcpu *vcpu, const struct string_io *io);

/*
 * The guest touched `address`, which its map does not allow: an emulated device (the instruction at `rip` is
 * carried out), or the end of the partition. `cr3` is the guest's in 64-bit code, NOT_64_BIT_CODE in any
 * other; `access` what the hardware reports, of which only MEMORY_WRITE counts. Answers the length of the
 * instruction when it has been done; else what is to be done in its place: an exit_action, negated.
 */
#define NOT_64_BIT_CODE UINT64_MAX
#define MEMORY_WRITE	(1ull << 1) /* in EPT's exit qualification as in NPF's error code */
int exit_memory(struct vcpu *vcpu, gpa_t address, uint64_t rip, uint64_t cr3, uint64_t access);
/* Its part for STOS, LODS and MOVS; EXIT_AGAIN while there are more elements. */
enum exit_action exit_memory_string(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address);
/* The end of the partition, for the report; `does`: "executes at". */
void exit_out_of_bounds(struct vcpu *vcpu, gpa_t address, const char *does);
/* Before a vCPU starts. */
void exit_forget_instructions(struct vcpu *vcpu);

/*
 * HLT and CPU_SUSPEND: returns when there is something to do. With `wakes` (HLT: RFLAGS.IF) a due interrupt
 * or event is that too. EXIT_NEXT: woken; EXIT_LEAVE_NEXT: has to leave.
 */
enum exit_action vcpu_wait(struct vcpu *vcpu, bool wakes);
/* For calls that block: until `woken` says so, which is asked again after every request to the vCPU. */
enum exit_action vcpu_wait_until(struct vcpu *vcpu, bool (*woken)(struct vcpu *vcpu));

/* XSETBV with index ECX, value EDX:EAX: validated, then written (the guest's XCR0 stays in the CPU). CPL was
 * checked. */
enum exit_action exit_xsetbv(struct vcpu *vcpu);

/* MOV from and to CR8: the task priority. Full: bits 7:4 of the local APIC's TPR; para: a register of no
 * effect, reads 0. */
uint64_t exit_cr8_read(struct vcpu *vcpu);
enum exit_action exit_cr8_write(struct vcpu *vcpu, uint64_t value); /* EXIT_GP: a bit above 3 is set */

/* Triple fault, VM-entry failure, anything without a handler: report and end. Always EXIT_LEAVE. */
enum exit_action exit_fault(struct vcpu *vcpu, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * Called by the run loop before an entry when shared->requests is not 0: serves them, and offers the back end
 * an interrupt (virt->inject_interrupt) if one is due. false: leave the run loop.
 */
bool vcpu_service(struct vcpu *vcpu);

/* An interrupt for the guest is the frequent request, and takes vcpu_offer_interrupt() only. True: it was
 * that and no more. */
static inline bool vcpu_only_interrupt(struct vcpu_shared *shared)
{
	uint32_t wanted = REQUEST_INTERRUPT;

	return atomic_compare_exchange_strong(&shared->requests, &wanted, 0);
}

/* The back end found that an interrupt can be taken now (window exit): offers one. */
void vcpu_offer_interrupt(struct vcpu *vcpu);

/* A physical interrupt or NMI made the CPU exit: lets the host take it (STI window) with sane host state. */
void exit_host_interrupt(struct vcpu *vcpu);

/* Length of the instruction at RIP where the CPU does not tell (no next-RIP save), decoded from guest memory
 * through the guest's own paging. 0: it cannot be fetched or is not `opcode` (two or three bytes after any
 * prefixes). */
unsigned exit_instruction_length(struct vcpu *vcpu, const uint8_t *opcode, unsigned opcode_size);
