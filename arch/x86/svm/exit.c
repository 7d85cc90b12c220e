/*
 * The way from #VMEXIT to the neutral exits and back. Short and frequent ones (CPUID, hypercall, MSR, port)
 * are served here, in as few instructions as it takes, with the guest's world still loaded and GIF = 0; all
 * others in slow.c.
 */
#include <stdatomic.h>

#include "arch/x86/cpu.h"
#include "arch/x86/svm/svm.h"

/* Opcodes behind any prefixes (APM 3). */
static const struct opcode {
	uint8_t size;
	uint8_t bytes[3];
} opcodes[LENGTHS] = {
	[LENGTH_CPUID] = {2, {0x0F, 0xA2}}, [LENGTH_VMMCALL] = {3, {0x0F, 0x01, 0xD9}},
	[LENGTH_RDMSR] = {2, {0x0F, 0x32}}, [LENGTH_WRMSR] = {2, {0x0F, 0x30}},
	[LENGTH_HLT] = {1, {0xF4}},
};

static __attribute__((noinline)) uint64_t learn_next_rip(enum remembered which)
{
	struct svm_vcpu *svm = svm_state(this_vcpu);
	const struct vmcb *vmcb = svm->vmcb;
	unsigned length;

	if (svm->next_rip)
		return vmcb->control.next_rip;
	length = exit_instruction_length(this_vcpu, opcodes[which].bytes, opcodes[which].size);
	if (!length) {
		(void)exit_fault(this_vcpu, "the instruction at RIP is not the one that trapped");
		return 0;
	}
	svm->lengths[which] = (struct remembered_length){vmcb->save.rip, vmcb->save.cr3, length};
	return vmcb->save.rip + length;
}

/* 0: the partition has been faulted. A guest that overwrites a trapped instruction with a longer one misleads
 * itself. */
static inline uint64_t next_rip(enum remembered which)
{
	const struct svm_vcpu *svm = svm_state(this_vcpu);
	const struct remembered_length *last = &svm->lengths[which];
	const struct vmcb *vmcb = svm->vmcb;

	if (likely(last->rip == vmcb->save.rip && last->cr3 == vmcb->save.cr3))
		return vmcb->save.rip + last->length;
	return learn_next_rip(which);
}

uint64_t svm_next_rip(enum remembered which)
{
	return next_rip(which);
}

static inline void account(enum exit_class exit_class)
{
	this_vcpu->shared->statistics[exit_class].tsc += (uint32_t)rdtsc() - this_vcpu->exit_tsc;
}

static inline void note(enum exit_class exit_class, uint64_t code)
{
	struct trace_entry *entry = &this_vcpu->trace[this_vcpu->trace_count++ % VCPU_TRACE];

	entry->rip = svm_vmcb(this_vcpu)->save.rip;
	entry->reason = exit_class | code << 8;
	this_vcpu->exit_class = exit_class;
	this_vcpu->shared->statistics[exit_class].count++;
}

static __attribute__((noinline)) bool service(void)
{
	svm_restore_host(this_vcpu);
	return vcpu_service(this_vcpu);
}

/*
 * Back into the guest. A request that comes after this look at them comes with an interrupt, which ends the
 * next run before its first instruction.
 */
static inline uint64_t enter(enum exit_class exit_class)
{
	struct svm_vcpu *svm = svm_state(this_vcpu);

	if (unlikely(atomic_load_explicit(&this_vcpu->shared->requests, memory_order_relaxed)) &&
	    !service()) {
		account(exit_class);
		return 0;
	}
	if (unlikely(!svm->guest_loaded))
		svm_load_guest(svm);
	account(exit_class);
	svm->vmcb->save.rax = this_vcpu->regs.rax;
	return svm->vmcb_address.value;
}

static inline void advance(uint64_t to)
{
	struct vmcb *vmcb = svm_vmcb(this_vcpu);

	vmcb->save.rip = to;
	vmcb->control.interrupt_shadow = 0;
	if (unlikely(vmcb->save.rflags & RFLAGS_TF))
		svm_trap_after_instruction(this_vcpu);
}

/* Does what a neutral exit has answered. */
static __attribute__((noinline)) uint64_t act(enum exit_class exit_class, enum exit_action action,
					      uint64_t next)
{
	switch (action) {
	case EXIT_NEXT: advance(next); break;
	case EXIT_AGAIN: break;
	case EXIT_GP: svm_inject_exception(this_vcpu, VECTOR_GP, true, 0); break;
	case EXIT_UD: svm_inject_exception(this_vcpu, VECTOR_UD, false, 0); break;
	case EXIT_PF: break;
	case EXIT_LEAVE_NEXT:
		advance(next);
		account(exit_class);
		return 0;
	case EXIT_LEAVE: account(exit_class); return 0;
	}
	return enter(exit_class);
}

static inline uint64_t finish(enum exit_class exit_class, enum exit_action action, uint64_t next)
{
	if (unlikely(action != EXIT_NEXT))
		return act(exit_class, action, next);
	advance(next);
	return enter(exit_class);
}

/* The same for an instruction whose length has to be known first. */
static inline uint64_t finish_instruction(enum exit_class exit_class, enum exit_action action,
					  enum remembered which)
{
	uint64_t next = next_rip(which);

	return finish(exit_class, unlikely(!next) ? EXIT_LEAVE : action, next);
}

static uint64_t exit_on_cpuid(void)
{
	note(EXIT_CPUID, VMEXIT_CPUID);
	exit_cpuid(this_vcpu);
	return finish_instruction(EXIT_CPUID, EXIT_NEXT, LENGTH_CPUID);
}

static uint64_t exit_on_hypercall(void)
{
	note(EXIT_HYPERCALL, VMEXIT_VMMCALL);
	if (unlikely(svm_vmcb(this_vcpu)->save.cpl != 0))
		return act(EXIT_HYPERCALL, EXIT_UD, 0);
	return finish_instruction(EXIT_HYPERCALL, exit_hypercall(this_vcpu), LENGTH_VMMCALL);
}

static uint64_t exit_on_msr(uint64_t write)
{
	enum exit_action action;

	if (write) {
		note(EXIT_MSR_WRITE, VMEXIT_MSR);
		action = svm_msr_write(this_vcpu);
		return finish_instruction(EXIT_MSR_WRITE, action, LENGTH_WRMSR);
	}
	note(EXIT_MSR_READ, VMEXIT_MSR);
	return finish_instruction(EXIT_MSR_READ, svm_msr_read(this_vcpu), LENGTH_RDMSR);
}

static uint64_t exit_on_port(uint32_t information)
{
	uint16_t port = (uint16_t)(information >> IO_PORT_SHIFT);
	unsigned size = information >> IO_SIZE_SHIFT & IO_SIZE_MASK;
	enum exit_action action;

	note(EXIT_IO, VMEXIT_IO);
	if (unlikely(information & IO_STRING))
		action = svm_port_string(this_vcpu, information);
	else if (information & IO_IN)
		action = exit_port_in(this_vcpu, port, size);
	else
		action = exit_port_out(this_vcpu, port, size);
	return finish(EXIT_IO, action, svm_vmcb(this_vcpu)->control.exit_info_2);
}

static __attribute__((noinline)) uint64_t exit_on_other(uint32_t code)
{
	enum exit_class exit_class = svm_exit_class(code);
	enum exit_action action;
	uint64_t next = 0;

	note(exit_class, code);
	action = svm_slow_exit(this_vcpu, &next);
	return act(exit_class, action, next);
}

uint64_t svm_exit(void)
{
	struct vmcb *vmcb = svm_vmcb(this_vcpu);
	/* INVALID has 64 bits of ones on CPUs and 32 under QEMU TCG; no code needs more. */
	uint32_t code = (uint32_t)vmcb->control.exit_code;

	this_vcpu->regs.rax = vmcb->save.rax;
	vmcb->control.tlb_control = TLB_KEEP;
	vmcb->control.clean = CLEAN_ALL;
	if (code == VMEXIT_CPUID)
		return exit_on_cpuid();
	if (code == VMEXIT_VMMCALL)
		return exit_on_hypercall();
	if (code == VMEXIT_IO)
		return exit_on_port((uint32_t)vmcb->control.exit_info_1);
	if (code == VMEXIT_MSR)
		return exit_on_msr(vmcb->control.exit_info_1);
	return exit_on_other(code);
}
