/*
 * The way from #VMEXIT to the neutral exits and back. The short and frequent ones (CPUID, hypercall, MSR,
 * port) are served here, in as few instructions as it takes, with the guest's world still loaded and GIF = 0;
 * all others in slow.c.
 *
 * RIP moves on before a short exit is served and back again in the rare case that the instruction has not
 * been done.
 */
#include <stdatomic.h>

#include "arch/x86/cpu.h"
#include "arch/x86/svm/svm.h"
#include "hv/core/share.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define COLD	      __attribute__((cold, noinline))
#define HOT	      __attribute__((noinline)) /* by itself, so that each exit saves only the registers it needs */

static const struct opcode opcodes[] = {
	[LENGTH_CPUID] = {2, {0x0F, 0xA2}}, [LENGTH_VMMCALL] = {3, {0x0F, 0x01, 0xD9}},
	[LENGTH_HLT] = {1, {0xF4}},	    [LENGTH_RDMSR] = {2, {0x0F, 0x32}},
	[LENGTH_WRMSR] = {2, {0x0F, 0x30}},
};

/* 2^32 / golden ratio: spreads neighbours (Knuth, TAOCP 3, 6.4). */
#define HASH_FACTOR 0x9E3779B1u

/* Statistics use the low half of the TSC: no exit takes a second. */
static ALWAYS_INLINE void account(struct vcpu_shared *shared, enum exit_class exit_class)
{
	struct exit_statistics *statistics = &shared->statistics[exit_class];

	statistics->count++;
	statistics->tsc += (uint32_t)rdtsc() - this_vcpu->exit_tsc;
}

static ALWAYS_INLINE uint64_t note(const struct vmcb *vmcb, enum exit_class exit_class, uint64_t code)
{
	uint64_t rip = vmcb->save.rip;

	vcpu_note_exit(this_vcpu, rip, exit_class | code << 8);
	return rip;
}

static NORETURN COLD void leave(enum exit_class exit_class)
{
	account(this_vcpu->shared, exit_class);
	svm_leave();
}

/* Whatever somebody wants of this vCPU. */
static COLD void serve(enum exit_class exit_class)
{
	svm_restore_host(this_vcpu);
	if (!vcpu_service(this_vcpu))
		leave(exit_class);
}

/*
 * The long way back into the guest. A request that comes after this look at them comes with an interrupt,
 * which ends the next run before its first instruction.
 */
static NORETURN HOT void resume(enum exit_class exit_class)
{
	struct svm_vcpu *svm = svm_state(this_vcpu);
	struct vcpu_shared *shared = this_vcpu->shared;

	if (atomic_load_explicit(&shared->requests, memory_order_relaxed)) {
		if (vcpu_only_interrupt(shared))
			vcpu_offer_interrupt(this_vcpu);
		else
			serve(exit_class);
	}
	if (!svm->guest_loaded)
		svm_load_guest(svm);
	svm->vmcb->save.rax = this_vcpu->regs.rax;
	account(shared, exit_class);
	svm_resume(svm->vmcb_address.value);
}

/* The short way. */
static ALWAYS_INLINE uint64_t enter(struct vmcb *vmcb, enum exit_class exit_class)
{
	const struct svm_vcpu *svm = svm_state(this_vcpu);
	struct vcpu_shared *shared = this_vcpu->shared;

	/* In one instruction less than the compiler takes. */
	__asm__ goto("cmpl $0, %0\n\tjne %l[wanted]" : : "m"(shared->requests) : "cc", "memory" : wanted);
	vmcb->save.rax = this_vcpu->regs.rax;
	account(shared, exit_class);
	return svm->vmcb_address.value;
wanted:
	resume(exit_class);
}

/* Where the length of this instruction would be remembered; WRMSR: the first of two. */
static ALWAYS_INLINE unsigned length_slot(const struct vmcb *vmcb, enum remembered which)
{
	uint32_t hash = (uint32_t)vmcb->save.rip * HASH_FACTOR;

	return which == LENGTH_WRMSR ? which + 2 * (hash >> (32 - WRMSR_PAIRS_LOG2)) : which;
}

/* A guest that puts a longer instruction in place of one that has trapped misleads itself only. */
static ALWAYS_INLINE bool length_known(const struct vmcb *vmcb, const struct remembered_length *length)
{
	return length->rip == vmcb->save.rip && length->cr3 == vmcb->save.cr3;
}

/* NULL: it has to be learnt. */
static ALWAYS_INLINE const struct remembered_length *find_length(const struct vmcb *vmcb,
								 enum remembered which)
{
	const struct remembered_length *slot = &svm_state(this_vcpu)->lengths[length_slot(vmcb, which)];

	if (likely(length_known(vmcb, slot)))
		return slot;
	return which == LENGTH_WRMSR && length_known(vmcb, slot + 1) ? slot + 1 : NULL;
}

static COLD bool learn_length(enum remembered which)
{
	struct svm_vcpu *svm = svm_state(this_vcpu);
	const struct vmcb *vmcb = svm->vmcb;
	unsigned slot = length_slot(vmcb, which);
	uint64_t length =
		svm->next_rip ? vmcb->control.next_rip - vmcb->save.rip
			      : exit_instruction_length(this_vcpu, opcodes[which].bytes, opcodes[which].size);

	if (!length) {
		(void)exit_fault(this_vcpu, "the instruction at RIP is not the one that trapped");
		return false;
	}
	if (which == LENGTH_WRMSR)
		svm->lengths[slot + 1] = svm->lengths[slot];
	svm->lengths[slot] = (struct remembered_length){vmcb->save.rip, vmcb->save.cr3, length};
	return true;
}

/* Starts over, so that the short way need not keep anything for this. */
static COLD uint64_t learn_and_exit(enum remembered which)
{
	if (!learn_length(which))
		svm_leave();
	return svm_exit();
}

/* RIP behind the trapped instruction, which has one slot only; 0: it could not be found, the partition has
 * been faulted. */
static ALWAYS_INLINE uint64_t next_rip(const struct vmcb *vmcb, enum remembered which)
{
	if (unlikely(!find_length(vmcb, which)) && !learn_length(which))
		return 0;
	return vmcb->save.rip + svm_state(this_vcpu)->lengths[length_slot(vmcb, which)].length;
}

static ALWAYS_INLINE void move_on(struct vmcb *vmcb, uint64_t to)
{
	vmcb->save.rip = to;
	vmcb->control.interrupt_shadow = 0;
}

static NORETURN COLD void trap_and_resume(enum exit_class exit_class)
{
	svm_trap_after_instruction(this_vcpu);
	resume(exit_class);
}

static NORETURN COLD void act_rarely(enum exit_class exit_class, enum exit_action action, uint64_t next)
{
	struct vmcb *vmcb = svm_vmcb(this_vcpu);

	switch (action) {
	case EXIT_GP: svm_inject_exception(this_vcpu, VECTOR_GP, true, 0); break;
	case EXIT_UD: svm_inject_exception(this_vcpu, VECTOR_UD, false, 0); break;
	case EXIT_LEAVE_NEXT:
		move_on(vmcb, next);
		if (vmcb->save.rflags & RFLAGS_TF)
			svm_trap_after_instruction(this_vcpu);
		leave(exit_class);
	case EXIT_LEAVE: leave(exit_class);
	default: break;
	}
	resume(exit_class);
}

/* With RIP still at the instruction: does what a neutral exit has answered. */
static NORETURN ALWAYS_INLINE void act(struct vmcb *vmcb, enum exit_class exit_class, enum exit_action action,
				       uint64_t next)
{
	if (likely(action == EXIT_NEXT)) {
		move_on(vmcb, next);
		if (unlikely(vmcb->save.rflags & RFLAGS_TF))
			trap_and_resume(exit_class);
		resume(exit_class);
	}
	if (likely(action == EXIT_AGAIN))
		resume(exit_class);
	act_rarely(exit_class, action, next);
}

/* The same, when RIP has moved on already. */
static NORETURN COLD void act_after(enum exit_class exit_class, enum exit_action action)
{
	struct vmcb *vmcb = svm_vmcb(this_vcpu);
	uint64_t next = vmcb->save.rip;

	vmcb->save.rip = vcpu_past_exit(this_vcpu, 0)->rip;
	act(vmcb, exit_class, action, next);
}

/* Behind a short exit; RIP has moved on. */
static ALWAYS_INLINE uint64_t finish(enum exit_class exit_class, enum exit_action action)
{
	struct vmcb *vmcb = svm_vmcb(this_vcpu);

	if (unlikely(action != EXIT_NEXT || (vmcb->save.rflags & RFLAGS_TF)))
		act_after(exit_class, action);
	return enter(vmcb, exit_class);
}

/* Notes the exit and moves RIP on; false: not before the instruction's length is learnt. */
static ALWAYS_INLINE bool begin(struct vmcb *vmcb, enum exit_class exit_class, uint64_t code,
				enum remembered which)
{
	const struct remembered_length *length = find_length(vmcb, which);

	if (unlikely(!length))
		return false;
	move_on(vmcb, note(vmcb, exit_class, code) + length->length);
	return true;
}

static ALWAYS_INLINE uint64_t exit_on_cpuid(struct vmcb *vmcb)
{
	if (unlikely(!begin(vmcb, EXIT_CPUID, VMEXIT_CPUID, LENGTH_CPUID)))
		return learn_and_exit(LENGTH_CPUID);
	exit_cpuid(this_vcpu);
	return finish(EXIT_CPUID, EXIT_NEXT);
}

static NORETURN COLD void refuse_hypercall(struct vmcb *vmcb)
{
	(void)note(vmcb, EXIT_HYPERCALL, VMEXIT_VMMCALL);
	act(vmcb, EXIT_HYPERCALL, EXIT_UD, 0);
}

static ALWAYS_INLINE uint64_t exit_on_hypercall(struct vmcb *vmcb)
{
	if (unlikely(vmcb->save.cpl != 0))
		refuse_hypercall(vmcb);
	if (unlikely(!begin(vmcb, EXIT_HYPERCALL, VMEXIT_VMMCALL, LENGTH_VMMCALL)))
		return learn_and_exit(LENGTH_VMMCALL);
	return finish(EXIT_HYPERCALL, exit_hypercall(this_vcpu));
}

static HOT uint64_t exit_on_msr_write(struct vmcb *vmcb)
{
	if (unlikely(!begin(vmcb, EXIT_MSR_WRITE, VMEXIT_MSR, LENGTH_WRMSR)))
		return learn_and_exit(LENGTH_WRMSR);
	if (unlikely(svm_owns_msr((uint32_t)this_vcpu->regs.rcx)))
		return finish(EXIT_MSR_WRITE, svm_own_msr_write(this_vcpu));
	return finish(EXIT_MSR_WRITE, exit_msr_write(this_vcpu));
}

static HOT uint64_t exit_on_msr_read(struct vmcb *vmcb)
{
	if (unlikely(!begin(vmcb, EXIT_MSR_READ, VMEXIT_MSR, LENGTH_RDMSR)))
		return learn_and_exit(LENGTH_RDMSR);
	if (unlikely(svm_owns_msr((uint32_t)this_vcpu->regs.rcx)))
		return finish(EXIT_MSR_READ, svm_own_msr_read(this_vcpu));
	return finish(EXIT_MSR_READ, exit_msr_read(this_vcpu));
}

static NORETURN COLD void exit_on_string(struct vmcb *vmcb)
{
	(void)note(vmcb, EXIT_IO, VMEXIT_IO);
	act(vmcb, EXIT_IO, svm_port_string(this_vcpu, (uint32_t)vmcb->control.exit_info_1),
	    vmcb->control.exit_info_2);
}

/* Ports: EXITINFO2 is the next RIP on every CPU (APM 2 15.10.2). */
static HOT uint64_t exit_on_port(struct vmcb *vmcb)
{
	uint32_t information = (uint32_t)vmcb->control.exit_info_1;
	uint16_t port = (uint16_t)(information >> IO_PORT_SHIFT);
	unsigned size = information >> IO_SIZE_SHIFT & IO_SIZE_MASK;
	enum exit_action action;

	if (unlikely(information & IO_STRING))
		exit_on_string(vmcb);
	(void)note(vmcb, EXIT_IO, VMEXIT_IO);
	move_on(vmcb, vmcb->control.exit_info_2);
	action = information & IO_IN ? exit_port_in(this_vcpu, port, size)
				     : exit_port_out(this_vcpu, port, size);
	return finish(EXIT_IO, action);
}

/*
 * Memory that is not there. An event whose delivery needed it, the guest's page tables and a malformed entry
 * are no access by the instruction at RIP: there is nothing to emulate.
 */
static NORETURN COLD void exit_on_hidden_access(struct vmcb *vmcb)
{
	const struct vmcb_control *control = &vmcb->control;
	const uint32_t access = control->exit_info_1 & NPF_WRITE ? MAP_WRITE : MAP_READ;

	if (!(control->exit_info_1 & (NPF_RESERVED | NPF_FETCH)) &&
	    share_sees(this_vcpu->partition, gpa(control->exit_info_2), access)) {
		if (control->exit_event & EVENT_VALID)
			svm_requeue_event(vmcb);
		resume(EXIT_MEMORY);
	}
	if (!(control->exit_info_1 & (NPF_TABLE_WALK | NPF_RESERVED)) && !(control->exit_event & EVENT_VALID))
		exit_out_of_bounds(this_vcpu, gpa(control->exit_info_2), "executes at");
	else
		(void)svm_memory_fault(this_vcpu);
	leave(EXIT_MEMORY);
}

_Static_assert(MEMORY_WRITE == NPF_WRITE, "as exit_memory() wants to be told");

static NORETURN HOT void exit_on_memory(struct vmcb *vmcb)
{
	const struct vmcb_save *save = &vmcb->save;
	uint64_t information = vmcb->control.exit_info_1;
	int length;

	(void)note(vmcb, EXIT_MEMORY, VMEXIT_NPF);
	if (unlikely((information & (NPF_TABLE_WALK | NPF_RESERVED | NPF_FETCH)) ||
		     (vmcb->control.exit_event & EVENT_VALID)))
		exit_on_hidden_access(vmcb);
	length = exit_memory(this_vcpu, gpa(vmcb->control.exit_info_2), save->rip,
			     code_size_of(save->efer, save->cs.access) == CODE_64 ? save->cr3
										  : NOT_64_BIT_CODE,
			     information);
	if (unlikely(length < 0))
		act(vmcb, EXIT_MEMORY, (enum exit_action) - length, save->rip);
	if (unlikely(save->rflags & RFLAGS_TF))
		act(vmcb, EXIT_MEMORY, EXIT_NEXT, save->rip + (unsigned)length);
	move_on(vmcb, save->rip + (unsigned)length);
	svm_resume(enter(vmcb, EXIT_MEMORY));
}

/*
 * HLT. Most often an interrupt is due that only waited for IF, the window being open for it: then nothing has
 * to wait, and the host's world is not needed. The shadow of the STI before ends with HLT. The trap that
 * RFLAGS.TF owes behind it ends it at once (SDM 2A, HLT).
 */
static NORETURN HOT void exit_on_hlt(struct vmcb *vmcb)
{
	const struct svm_vcpu *svm = svm_state(this_vcpu);
	uint64_t next;

	(void)note(vmcb, EXIT_HLT, VMEXIT_HLT);
	next = next_rip(vmcb, LENGTH_HLT);
	if (unlikely(!next))
		leave(EXIT_HLT);
	if (this_vcpu->window_open && (vmcb->save.rflags & (RFLAGS_IF | RFLAGS_TF)) == RFLAGS_IF) {
		move_on(vmcb, next);
		vcpu_offer_interrupt(this_vcpu);
		resume(EXIT_HLT);
	}
	vmcb->control.interrupt_shadow = 0;
	if (unlikely((vmcb->save.rflags & RFLAGS_TF) && (!svm->step || svm->guest_traps)))
		act(vmcb, EXIT_HLT, EXIT_NEXT, next);
	act(vmcb, EXIT_HLT, vcpu_wait(this_vcpu, vmcb->save.rflags & RFLAGS_IF), next);
}

/* All others. The VMCB is what the CPU has just written, so it need not read again what nobody touches. */
static NORETURN HOT void exit_on_other(struct vmcb *vmcb, uint32_t code)
{
	const struct exit_row *row = svm_exit_row(code);
	enum exit_action action;
	uint64_t next = 0;

	vmcb->control.tlb_control = TLB_KEEP;
	vmcb->control.clean = CLEAN_ALL;
	(void)note(vmcb, row->exit_class, code);
	vcpu_count_reason(this_vcpu, code);
	this_vcpu->exit_class = row->exit_class;
	svm_note_shadow(svm_state(this_vcpu));
	if (unlikely(vmcb->control.exit_event & EVENT_VALID))
		svm_requeue_event(vmcb);
	action = row->handler(this_vcpu, &next);
	act(vmcb, row->exit_class, action, next);
}

__attribute__((hot)) uint64_t svm_exit(void)
{
	struct vmcb *vmcb = svm_vmcb(this_vcpu);
	/* INVALID has 64 bits of ones on CPUs and 32 under QEMU TCG; no code needs more. */
	uint32_t code = (uint32_t)vmcb->control.exit_code;

	this_vcpu->regs.rax = vmcb->save.rax;
	if (code == VMEXIT_VMMCALL)
		return exit_on_hypercall(vmcb);
	if (code == VMEXIT_CPUID)
		return exit_on_cpuid(vmcb);
	if (code == VMEXIT_IO)
		return exit_on_port(vmcb);
	if (code == VMEXIT_MSR)
		return vmcb->control.exit_info_1 ? exit_on_msr_write(vmcb) : exit_on_msr_read(vmcb);
	if (code == VMEXIT_NPF)
		exit_on_memory(vmcb);
	if (code == VMEXIT_HLT)
		exit_on_hlt(vmcb);
	exit_on_other(vmcb, code);
}
