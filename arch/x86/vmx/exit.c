/*
 * From an exit to the next entry. entry.asm jumps straight to the function that the table at the end names
 * for the exit's reason. The frequent ones have one each, which does what it must and goes back in; the rest
 * share a way that is a little longer.
 *
 * Handlers get the vCPU in the register where hv/core/exit.h wants it. For themselves they use this_vcpu: a
 * constant address needs no register that would have to be kept across calls.
 *
 * The frequent instructions come with RIP behind them already; where one has not been done, it moves back.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/core/partition.h"
#include "hv/core/share.h"
#include "hv/device/lapic_page.h"

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

static ALWAYS_INLINE void note_exit(uint64_t rip, enum exit_class class, uint32_t reason)
{
	vcpu_note_exit(this_vcpu, rip, class | (uint64_t)reason << 8);
}

/* An instruction ends STI and MOV SS blocking, and with TF set it owes a single-step trap. */
static ALWAYS_INLINE void settle_instruction(uint64_t interruptibility, uint64_t rflags)
{
	if (unlikely(interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS)))
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY,
			interruptibility & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOV_SS));
	if (unlikely(rflags & RFLAGS_TF))
		vmwrite(VMCS_GUEST_PENDING_DEBUG, vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_STEP);
}

/* RIP does not wrap at 4 GiB outside 64-bit mode: slow.c sees to that when the next entry fails for it. */
static ALWAYS_INLINE void skip(uint64_t rip, uint64_t length)
{
	uint64_t interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	uint64_t rflags = vmread(VMCS_GUEST_RFLAGS);

	vmwrite(VMCS_GUEST_RIP, rip + length);
	settle_instruction(interruptibility, rflags);
}

/* Out of the run loop, to whoever called vmx_enter(). */
static NORETURN COLD void leave(enum exit_class class)
{
	account(class);
	vmx_leave();
}

static COLD void serve_requests(enum exit_class class)
{
	if (vcpu_only_interrupt(this_vcpu->shared))
		vcpu_offer_interrupt(this_vcpu);
	else if (!vcpu_service(this_vcpu))
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

/* What is not "go on behind it". */
static NORETURN COLD void act(enum exit_action action, enum exit_class class)
{
	switch (action) {
	case EXIT_GP: vmx_inject_exception(this_vcpu, VECTOR_GP, true, 0); break;
	case EXIT_UD: vmx_inject_exception(this_vcpu, VECTOR_UD, false, 0); break;
	case EXIT_LEAVE:
	case EXIT_LEAVE_NEXT: leave(class);
	default: break;
	}
	vmx_settle_single_step();
	resume(class);
}

/* Behind a frequent instruction; RIP has moved on. */
static NORETURN COLD void act_after(enum exit_action action, enum exit_class class)
{
	if (action != EXIT_LEAVE_NEXT)
		vmwrite(VMCS_GUEST_RIP, vcpu_past_exit(this_vcpu, 0)->rip);
	act(action, class);
}

static NORETURN ALWAYS_INLINE void finish(enum exit_action action, enum exit_class class)
{
	if (unlikely(action != EXIT_NEXT))
		act_after(action, class);
	resume(class);
}

static ALWAYS_INLINE void begin(uint64_t rip, uint64_t interruptibility, uint64_t rflags,
				enum exit_class class, uint32_t reason)
{
	note_exit(rip, class, reason);
	settle_instruction(interruptibility, rflags);
}

NORETURN void vmx_handle_cpuid(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility, uint64_t rflags)
{
	begin(rip, interruptibility, rflags, EXIT_CPUID, VMEXIT_CPUID);
	exit_cpuid(vcpu);
	resume(EXIT_CPUID);
}

/* The CPU exits from any privilege level; SMCCC is for level 0 (SDM 3C 26.1.2). */
NORETURN void vmx_handle_hypercall(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility,
				   uint64_t rflags)
{
	begin(rip, interruptibility, rflags, EXIT_HYPERCALL, VMEXIT_VMCALL);
	if (unlikely(vmread(VMCS_GUEST_SS_ACCESS) >> ACCESS_DPL_SHIFT & ACCESS_DPL))
		act_after(EXIT_UD, EXIT_HYPERCALL);
	finish(exit_hypercall(vcpu), EXIT_HYPERCALL);
}

NORETURN void vmx_handle_msr_read(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility, uint64_t rflags)
{
	begin(rip, interruptibility, rflags, EXIT_MSR_READ, VMEXIT_RDMSR);
	finish(exit_msr_read(vcpu), EXIT_MSR_READ);
}

NORETURN void vmx_handle_msr_write(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility,
				   uint64_t rflags)
{
	begin(rip, interruptibility, rflags, EXIT_MSR_WRITE, VMEXIT_WRMSR);
	if (unlikely((uint32_t)vcpu->regs.rcx == MSR_EFER))
		finish(vmx_write_efer(vcpu, vcpu->regs.rdx << 32 | (uint32_t)vcpu->regs.rax), EXIT_MSR_WRITE);
	finish(exit_msr_write(vcpu), EXIT_MSR_WRITE);
}

/* The CPU has an interrupt in hand that only waited for IF. */
static NOINLINE void go_on_if_due(struct vcpu *vcpu, uint64_t rip)
{
	if (!vmx_apic_interrupt_due(vcpu))
		return;
	skip(rip, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
	resume(EXIT_HLT);
}

/*
 * Most often an interrupt is due that only waited for IF, the window being open for it: then nothing has to
 * wait. The HLT ends the shadow of the STI before.
 */
static NORETURN void handle_hlt(struct vcpu *vcpu, uint64_t rip)
{
	uint64_t rflags = vmread(VMCS_GUEST_RFLAGS);
	enum exit_action action;

	note_exit(rip, EXIT_HLT, VMEXIT_HLT);
	if (vcpu->window_open && (rflags & (RFLAGS_IF | RFLAGS_TF)) == RFLAGS_IF) {
		skip(rip, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
		vcpu_offer_interrupt(this_vcpu);
		resume(EXIT_HLT);
	}
	if (vmx_of(vcpu)->apic_mode != LAPIC_OFF && (rflags & (RFLAGS_IF | RFLAGS_TF)) == RFLAGS_IF)
		go_on_if_due(vcpu, rip);
	/* The trap that RFLAGS.TF owes behind HLT ends it at once (SDM 2A, HLT). */
	action = unlikely(rflags & RFLAGS_TF) ? EXIT_NEXT : vcpu_wait(vcpu, rflags & RFLAGS_IF);
	if (action == EXIT_NEXT || action == EXIT_LEAVE_NEXT)
		skip(rip, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
	if (action == EXIT_NEXT)
		resume(EXIT_HLT);
	act(action, EXIT_HLT);
}

static NORETURN void handle_interrupt(struct vcpu *vcpu, uint64_t rip)
{
	note_exit(rip, EXIT_INTERRUPT, VMEXIT_EXTERNAL_INTERRUPT);
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

/* Here RIP stays while the instruction is served: it may take several exits, and a report tells where it is.
 */
static NORETURN COLD void handle_string(struct vcpu *vcpu, uint64_t rip, uint64_t qualification)
{
	uint64_t next = vmread(VMCS_GUEST_RIP);
	enum exit_action action;

	vmwrite(VMCS_GUEST_RIP, rip);
	action = string_port(vcpu, qualification);
	if (action != EXIT_NEXT)
		act(action, EXIT_IO);
	vmwrite(VMCS_GUEST_RIP, next);
	resume(EXIT_IO);
}

NORETURN void vmx_handle_port(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility, uint64_t rflags)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);

	begin(rip, interruptibility, rflags, EXIT_IO, VMEXIT_IO);
	if (!(qualification & (IO_IN | IO_STRING)))
		finish(exit_port_out(vcpu, IO_PORT(qualification), IO_SIZE(qualification)), EXIT_IO);
	if (unlikely(qualification & IO_STRING))
		handle_string(vcpu, rip, qualification);
	finish(exit_port_in(vcpu, IO_PORT(qualification), IO_SIZE(qualification)), EXIT_IO);
}

/*
 * Memory (table 28-7)
 */

#define VIOLATION_ACCESS	7u /* read, write, fetch: as in MAP_READ and the rest */
#define VIOLATION_FETCH		(1u << 2)
#define VIOLATION_LINEAR	(1u << 7) /* there was a linear address */
#define VIOLATION_FINAL		(1u << 8) /* its translation; else an entry of the guest's page tables */
#define VIOLATION_NMI_UNBLOCKED (1u << 12)
#define VIOLATION_KIND		(VIOLATION_FETCH | VIOLATION_LINEAR | VIOLATION_FINAL | VIOLATION_NMI_UNBLOCKED)
#define VIOLATION_OPERAND	(VIOLATION_LINEAR | VIOLATION_FINAL)

_Static_assert(MEMORY_WRITE == 1u << 1, "table 28-7: a data write");
_Static_assert(MAP_READ == 1 && MAP_WRITE == 2 && MAP_EXECUTE == 4, "table 28-7");

/* By the page walk, by the delivery of an event, or by an IRET: not by an operand a device could serve. */
static NORETURN COLD void end_hidden_access(struct vcpu *vcpu, gpa_t address, const char *what,
					    bool delivering)
{
	if (delivering)
		act(exit_fault(vcpu, "delivery of vector %u needs memory it does not have, at GPA 0x%llx",
			       (unsigned)vmread(VMCS_VECTORING_EVENT) & EVENT_VECTOR,
			       (unsigned long long)address.value),
		    EXIT_MEMORY);
	act(exit_fault(vcpu, "%s memory it does not have, at GPA 0x%llx", what,
		       (unsigned long long)address.value),
	    EXIT_MEMORY);
}

static NORETURN COLD void handle_hidden_access(struct vcpu *vcpu)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	gpa_t address = gpa(vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	bool delivering = vmx_requeue_event(vcpu, qualification & VIOLATION_NMI_UNBLOCKED);
	const char *what = qualification & VIOLATION_FINAL ? "return from an NMI needs" : "page tables in";

	if (partition_contains(vcpu->partition, address, 1) ||
	    share_sees(vcpu->partition, address, qualification & VIOLATION_ACCESS))
		act(EXIT_AGAIN, EXIT_MEMORY);
	end_hidden_access(vcpu, address, what, delivering);
}

static NORETURN COLD void handle_other_access(struct vcpu *vcpu, uint64_t qualification)
{
	bool fetch = (qualification & VIOLATION_KIND) == (VIOLATION_OPERAND | VIOLATION_FETCH);

	if (!fetch || (vmread(VMCS_VECTORING_EVENT) & EVENT_VALID))
		handle_hidden_access(vcpu);
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

static NORETURN void handle_memory(struct vcpu *vcpu, uint64_t rip)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	int length;

	note_exit(rip, EXIT_MEMORY, VMEXIT_EPT_VIOLATION);
	if (unlikely((qualification & VIOLATION_KIND) != VIOLATION_OPERAND ||
		     (vmread(VMCS_VECTORING_EVENT) & EVENT_VALID)))
		handle_other_access(vcpu, qualification);
	length = exit_memory(vcpu, gpa(vmread(VMCS_GUEST_PHYSICAL_ADDRESS)), rip, page_tables(),
			     qualification);
	if (unlikely(length < 0))
		act((enum exit_action) - length, EXIT_MEMORY);
	skip(rip, (unsigned)length); /* the CPU tells no length for a fault */
	resume(EXIT_MEMORY);
}

/*
 * The local APIC where the CPU serves it (30.4): what is not its own to do is told after the write, or exits
 * before the access, by its kind (table 28-6).
 */

#define ACCESS_OFFSET(qualification) ((qualification)&0xFFF)
#define ACCESS_KIND(qualification)   ((unsigned)((qualification) >> 12 & 0xF))
enum { ACCESS_READS, ACCESS_WRITES, ACCESS_FETCHES };

static NORETURN COLD void handle_odd_apic_access(struct vcpu *vcpu, gpa_t address, unsigned kind)
{
	const bool delivering = vmx_requeue_event(vcpu, false);

	if (delivering || kind != ACCESS_FETCHES)
		end_hidden_access(vcpu, address, "page tables in", delivering);
	exit_out_of_bounds(vcpu, address, "executes at");
	leave(EXIT_APIC);
}

static NORETURN void handle_apic_access(struct vcpu *vcpu, uint64_t rip)
{
	const uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	const unsigned kind = ACCESS_KIND(qualification);
	const gpa_t address = gpa(APIC_DEFAULT_BASE + ACCESS_OFFSET(qualification));
	int length;

	note_exit(rip, EXIT_APIC, VMEXIT_APIC_ACCESS);
	vcpu_count_reason(vcpu, VMEXIT_APIC_ACCESS);
	if (unlikely(kind > ACCESS_WRITES || (vmread(VMCS_VECTORING_EVENT) & EVENT_VALID)))
		handle_odd_apic_access(vcpu, address, kind);
	length = exit_memory(vcpu, address, rip, page_tables(), kind == ACCESS_WRITES ? MEMORY_WRITE : 0);
	if (unlikely(length < 0))
		act((enum exit_action) - length, EXIT_APIC);
	skip(rip, (unsigned)length);
	resume(EXIT_APIC);
}

/* The instruction is done, and a single step that it owes is pending already. */
static NORETURN void handle_apic_write(struct vcpu *vcpu, uint64_t rip)
{
	note_exit(rip, EXIT_APIC, VMEXIT_APIC_WRITE);
	vcpu_count_reason(vcpu, VMEXIT_APIC_WRITE);
	lapic_page_written(vcpu, (unsigned)ACCESS_OFFSET(vmread(VMCS_EXIT_QUALIFICATION)));
	resume(EXIT_APIC);
}

static NORETURN void handle_apic_end(struct vcpu *vcpu, uint64_t rip)
{
	note_exit(rip, EXIT_APIC, VMEXIT_VIRTUAL_EOI);
	vcpu_count_reason(vcpu, VMEXIT_VIRTUAL_EOI);
	lapic_page_ended(vcpu, (unsigned)vmread(VMCS_EXIT_QUALIFICATION) & EVENT_VECTOR);
	resume(EXIT_APIC);
}

/* Rare reasons, and those this list does not know. */
void vmx_handle_rare(struct vcpu *vcpu, uint64_t rip)
{
	uint32_t reason = (uint32_t)vmread(VMCS_EXIT_REASON);
	enum exit_class class = vmx_slow_class(reason);
	enum exit_action action;

	note_exit(rip, class, reason);
	vcpu_count_reason(vcpu, reason);
	action = vmx_slow_exit(vcpu, reason);
	if (action == EXIT_NEXT || action == EXIT_LEAVE_NEXT)
		skip(rip, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
	if (action == EXIT_NEXT)
		resume(class);
	act(action, class);
}

/* Where entry.asm goes, by the low bits of the reason; no failed entry shares them with a reason that has a
 * line of its own. Every reason to vmx_handle_rare() unless a later line says otherwise. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
vmx_exit_handler *const vmx_exit_handlers[VMEXIT_HANDLERS] = {
	[0 ... VMEXIT_HANDLERS - 1] = vmx_handle_rare,
	[VMEXIT_CPUID] = vmx_exit_cpuid,
	[VMEXIT_VMCALL] = vmx_exit_hypercall,
	[VMEXIT_RDMSR] = vmx_exit_msr_read,
	[VMEXIT_WRMSR] = vmx_exit_msr_write,
	[VMEXIT_IO] = vmx_exit_port,
	[VMEXIT_HLT] = handle_hlt,
	[VMEXIT_EPT_VIOLATION] = handle_memory,
	[VMEXIT_EXTERNAL_INTERRUPT] = handle_interrupt,
	[VMEXIT_APIC_ACCESS] = handle_apic_access,
	[VMEXIT_APIC_WRITE] = handle_apic_write,
	[VMEXIT_VIRTUAL_EOI] = handle_apic_end,
};
#pragma GCC diagnostic pop

/* entry.asm counts on these numbers, which NASM cannot read from here. */
_Static_assert(VMEXIT_HANDLERS == 128 && VMEXIT_REASONS <= VMEXIT_HANDLERS, "VMEXIT_HANDLERS of entry.asm");
_Static_assert(VMCS_EXIT_REASON == 0x4402 && VMCS_EXIT_INSTRUCTION_LENGTH == 0x440C &&
		       VMCS_GUEST_INTERRUPTIBILITY == 0x4824 && VMCS_GUEST_RIP == 0x681E &&
		       VMCS_GUEST_RFLAGS == 0x6820,
	       "fields of entry.asm");
