/*
 * From an exit to the next entry. entry.asm jumps straight to the function that the table at the end names
 * for the exit's reason. The frequent ones have one each, which does what it must and goes back in; the rest
 * share a way that is a little longer.
 *
 * Handlers get the vCPU in the register where hv/core/exit.h wants it. For themselves they use this_vcpu: a
 * constant address needs no register that would have to be kept across calls.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/core/partition.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define COLD	      __attribute__((cold, noinline))

/* Statistics use the low half of the TSC: no exit takes a second. entry.asm has noted it at the exit. */
static ALWAYS_INLINE void account(enum exit_class class)
{
	struct exit_statistics *statistics = &this_vcpu->shared->statistics[class];
	uint32_t now;

	statistics->count++;
	__asm__ volatile("rdtsc" : "=a"(now) : : "edx");
	statistics->tsc += now - this_vcpu->exit_tsc;
}

static ALWAYS_INLINE uint64_t note_exit(enum exit_class class, uint32_t reason)
{
	uint64_t rip = vmread(VMCS_GUEST_RIP);

	vcpu_note_exit(this_vcpu, rip, class | (uint64_t)reason << 8);
	return rip;
}

/* An instruction ends STI and MOV SS blocking, and with TF set it owes a single-step trap. */
static COLD void end_instruction(void)
{
	uint64_t interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, interruptibility & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOV_SS));
	if (vmread(VMCS_GUEST_RFLAGS) & RFLAGS_TF)
		vmwrite(VMCS_GUEST_PENDING_DEBUG, vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_STEP);
}

/* RIP does not wrap at 4 GiB outside 64-bit mode: a guest that traps on the last instruction there fails its
 * next entry. */
static ALWAYS_INLINE void skip(uint64_t rip, uint64_t length)
{
	uint64_t interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	uint64_t rflags = vmread(VMCS_GUEST_RFLAGS);

	vmwrite(VMCS_GUEST_RIP, rip + length);
	if (unlikely((interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS)) | (rflags & RFLAGS_TF)))
		end_instruction();
}

/* Out of the run loop, to whoever called vmx_enter(). */
static NORETURN COLD void leave(enum exit_class class)
{
	account(class);
	vmx_leave();
}

static COLD void serve_requests(enum exit_class class)
{
	if (!vcpu_service(this_vcpu))
		leave(class);
}

/* A relaxed load and its test in one instruction. */
static ALWAYS_INLINE bool requests_pending(void)
{
	bool any;

	__asm__ volatile("cmpl $0, %1" : "=@ccne"(any) : "m"(this_vcpu->shared->requests));
	return any;
}

/* The way back in, unless somebody wants something: then that is served first, and may be to leave. */
static NORETURN ALWAYS_INLINE void resume(enum exit_class class)
{
	if (unlikely(requests_pending()))
		serve_requests(class);
	account(class);
	vmx_resume();
}

static NORETURN ALWAYS_INLINE void complete(enum exit_class class, uint64_t rip)
{
	skip(rip, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
	resume(class);
}

/* The actions that are not "go on behind it". */
static NORETURN COLD void act(enum exit_action action, enum exit_class class, uint64_t rip)
{
	switch (action) {
	case EXIT_GP: vmx_inject_exception(this_vcpu, VECTOR_GP, true, 0); break;
	case EXIT_UD: vmx_inject_exception(this_vcpu, VECTOR_UD, false, 0); break;
	case EXIT_AGAIN:
	case EXIT_PF: vmx_settle_single_step(); break;
	case EXIT_NEXT: complete(class, rip);
	case EXIT_LEAVE_NEXT: skip(rip, vmread(VMCS_EXIT_INSTRUCTION_LENGTH)); leave(class);
	case EXIT_LEAVE: leave(class);
	}
	resume(class);
}

static NORETURN ALWAYS_INLINE void finish(enum exit_action action, enum exit_class class, uint64_t rip)
{
	if (likely(action == EXIT_NEXT))
		complete(class, rip);
	act(action, class, rip);
}

static NORETURN void handle_cpuid(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(EXIT_CPUID, VMEXIT_CPUID);

	exit_cpuid(vcpu);
	complete(EXIT_CPUID, rip);
}

/* The CPU exits from any privilege level; SMCCC is for level 0 (SDM 3C 26.1.2). */
static NORETURN void handle_hypercall(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(EXIT_HYPERCALL, VMEXIT_VMCALL);

	if (unlikely(vmread(VMCS_GUEST_SS_ACCESS) >> ACCESS_DPL_SHIFT & ACCESS_DPL))
		act(EXIT_UD, EXIT_HYPERCALL, rip);
	finish(exit_hypercall(vcpu), EXIT_HYPERCALL, rip);
}

static NORETURN void handle_msr_read(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(EXIT_MSR_READ, VMEXIT_RDMSR);

	finish(exit_msr_read(vcpu), EXIT_MSR_READ, rip);
}

static NORETURN void handle_msr_write(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(EXIT_MSR_WRITE, VMEXIT_WRMSR);

	if (unlikely((uint32_t)vcpu->regs.rcx == MSR_EFER))
		finish(vmx_write_efer(vcpu, vcpu->regs.rdx << 32 | (uint32_t)vcpu->regs.rax), EXIT_MSR_WRITE,
		       rip);
	finish(exit_msr_write(vcpu), EXIT_MSR_WRITE, rip);
}

static NORETURN void handle_hlt(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(EXIT_HLT, VMEXIT_HLT);

	finish(exit_hlt(vcpu), EXIT_HLT, rip);
}

static NORETURN void handle_interrupt(struct vcpu *vcpu)
{
	(void)note_exit(EXIT_INTERRUPT, VMEXIT_EXTERNAL_INTERRUPT);
	vmx_rearm_preemption(vcpu); /* interrupts get through: it need not see to that for a while */
	exit_host_interrupt(vcpu);
	vmx_settle_single_step();
	resume(EXIT_INTERRUPT);
}

/*
 * Ports (SDM 3C table 28-5)
 */

#define IO_SIZE(qualification) ((unsigned)((qualification)&7) + 1)
#define IO_IN		       (1u << 3)
#define IO_STRING	       (1u << 4)
#define IO_REP		       (1u << 5)
#define IO_PORT(qualification) ((uint16_t)((qualification) >> 16))
/* VM-exit instruction information for INS and OUTS (table 28-8). */
#define INFO_ADDRESS_SIZE(info) (2u << ((info) >> 7 & 7))
#define INFO_SEGMENT(info)	((uint8_t)((info) >> 15 & 7))

static COLD enum exit_action string_port(struct vcpu *vcpu, uint64_t qualification)
{
	uint64_t info = vmread(VMCS_EXIT_INSTRUCTION_INFO);
	struct string_io io = {
		.port = IO_PORT(qualification),
		.size = (uint8_t)IO_SIZE(qualification),
		.address_size = (uint8_t)INFO_ADDRESS_SIZE(info),
		.in = qualification & IO_IN,
		.rep = qualification & IO_REP,
		.segment = qualification & IO_IN ? SEGMENT_ES : INFO_SEGMENT(info),
	};

	return exit_port_string(vcpu, &io);
}

static NORETURN void handle_port(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(EXIT_IO, VMEXIT_IO);
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);

	if (unlikely(qualification & IO_STRING))
		finish(string_port(vcpu, qualification), EXIT_IO, rip);
	if (qualification & IO_IN)
		finish(exit_port_in(vcpu, IO_PORT(qualification), IO_SIZE(qualification)), EXIT_IO, rip);
	finish(exit_port_out(vcpu, IO_PORT(qualification), IO_SIZE(qualification)), EXIT_IO, rip);
}

/*
 * Memory (table 28-7)
 */

#define VIOLATION_FETCH		(1u << 2)
#define VIOLATION_LINEAR	(1u << 7) /* there was a linear address */
#define VIOLATION_FINAL		(1u << 8) /* its translation; else an entry of the guest's page tables */
#define VIOLATION_NMI_UNBLOCKED (1u << 12)
#define VIOLATION_KIND		(VIOLATION_FETCH | VIOLATION_LINEAR | VIOLATION_FINAL | VIOLATION_NMI_UNBLOCKED)
#define VIOLATION_OPERAND	(VIOLATION_LINEAR | VIOLATION_FINAL)

_Static_assert(MEMORY_WRITE == 1u << 1, "table 28-7: a data write");

/* By the page walk, by the delivery of an event, or by an IRET: not by an operand a device could serve. */
static NORETURN COLD void handle_hidden_access(struct vcpu *vcpu, uint64_t rip)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	gpa_t address = gpa(vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	bool delivering = vmx_requeue_event(vcpu, qualification & VIOLATION_NMI_UNBLOCKED);
	const char *what = qualification & VIOLATION_FINAL ? "return from an NMI needs" : "page tables in";

	if (partition_contains(vcpu->partition, address, 1))
		act(EXIT_AGAIN, EXIT_MEMORY, rip);
	if (delivering)
		act(exit_fault(vcpu, "delivery of vector %u needs memory it does not have, at GPA 0x%llx",
			       (unsigned)vmread(VMCS_VECTORING_EVENT) & EVENT_VECTOR,
			       (unsigned long long)address.value),
		    EXIT_MEMORY, rip);
	act(exit_fault(vcpu, "%s memory it does not have, at GPA 0x%llx", what,
		       (unsigned long long)address.value),
	    EXIT_MEMORY, rip);
}

static NORETURN COLD void handle_other_access(struct vcpu *vcpu, uint64_t rip, uint64_t qualification)
{
	bool fetch = (qualification & VIOLATION_KIND) == (VIOLATION_OPERAND | VIOLATION_FETCH);

	if (!fetch || (vmread(VMCS_VECTORING_EVENT) & EVENT_VALID))
		handle_hidden_access(vcpu, rip);
	exit_out_of_bounds(vcpu, gpa(vmread(VMCS_GUEST_PHYSICAL_ADDRESS)), "executes at");
	leave(EXIT_MEMORY);
}

/* What its instructions are fetched through. */
static ALWAYS_INLINE uint64_t page_tables(void)
{
	uint64_t efer = vmread(VMCS_GUEST_EFER), access = vmread(VMCS_GUEST_CS_ACCESS);

	return likely((efer & EFER_LMA) && (access & ACCESS_LONG_CODE)) ? vmread(VMCS_GUEST_CR3)
									: NOT_64_BIT_CODE;
}

static NORETURN void handle_memory(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(EXIT_MEMORY, VMEXIT_EPT_VIOLATION);
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	unsigned length;

	if (unlikely((qualification & VIOLATION_KIND) != VIOLATION_OPERAND ||
		     (vmread(VMCS_VECTORING_EVENT) & EVENT_VALID)))
		handle_other_access(vcpu, rip, qualification);
	length = exit_memory(vcpu, gpa(vmread(VMCS_GUEST_PHYSICAL_ADDRESS)), rip, page_tables(),
			     qualification);
	if (unlikely(!length))
		leave(EXIT_MEMORY);
	skip(rip, length); /* the CPU tells no length for a fault */
	resume(EXIT_MEMORY);
}

/* Rare reasons, and those this list does not know. */
void vmx_handle_rare(struct vcpu *vcpu)
{
	uint32_t reason = (uint32_t)vmread(VMCS_EXIT_REASON);
	enum exit_class class = vmx_slow_class(reason);
	uint64_t rip = note_exit(class, reason);

	finish(vmx_slow_exit(vcpu, reason), class, rip);
}

/* Where entry.asm goes: every reason to vmx_handle_rare() unless a later line says otherwise. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
vmx_exit_handler *const vmx_exit_handlers[VMEXIT_REASONS] = {
	[0 ... VMEXIT_REASONS - 1] = vmx_handle_rare,
	[VMEXIT_CPUID] = handle_cpuid,
	[VMEXIT_VMCALL] = handle_hypercall,
	[VMEXIT_RDMSR] = handle_msr_read,
	[VMEXIT_WRMSR] = handle_msr_write,
	[VMEXIT_IO] = handle_port,
	[VMEXIT_EPT_VIOLATION] = handle_memory,
	[VMEXIT_EXTERNAL_INTERRUPT] = handle_interrupt,
	[VMEXIT_HLT] = handle_hlt,
};
#pragma GCC diagnostic pop

/* entry.asm counts on the number, which NASM cannot read from here. */
_Static_assert(VMEXIT_REASONS == 65, "VMEXIT_REASONS of entry.asm");
