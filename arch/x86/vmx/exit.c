/*
 * From an exit to the next entry. The frequent reasons are tested for first, one after the other, each with
 * its own short way out; the rest goes through a table. Every way ends in one of the actions of
 * hv/core/exit.h, carried out here.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/core/partition.h"
#include "hv/lib/log.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define COLD	      __attribute__((cold, noinline))
#define HOT	      __attribute__((noinline)) /* by itself, so that each reason saves only the registers it needs */

/* Statistics use the low half of the TSC: no exit takes a second. */
static ALWAYS_INLINE uint32_t rdtsc_low(void)
{
	uint32_t low;

	__asm__ volatile("rdtsc" : "=a"(low) : : "edx");
	return low;
}

static ALWAYS_INLINE uint64_t note_exit(struct vcpu *vcpu, enum exit_class class, uint32_t reason)
{
	struct trace_entry *entry = &vcpu->trace[vcpu->trace_count++ % VCPU_TRACE];
	uint64_t rip = vmread(VMCS_GUEST_RIP);

	entry->rip = rip;
	entry->reason = class | (uint64_t)reason << 8;
	return rip;
}

static ALWAYS_INLINE void account(struct vcpu *vcpu, enum exit_class class)
{
	struct exit_statistics *statistics = &vcpu->shared->statistics[class];

	statistics->count++;
	statistics->tsc += rdtsc_low() - vcpu->exit_tsc;
}

/* An instruction ends STI and MOV SS blocking, and with TF set it owes a single-step trap. */
static COLD void end_instruction(void)
{
	uint64_t interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, interruptibility & ~(uint64_t)(BLOCKING_STI | BLOCKING_MOV_SS));
	if (vmread(VMCS_GUEST_RFLAGS) & RFLAGS_TF)
		vmwrite(VMCS_GUEST_PENDING_DEBUG, vmread(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_STEP);
}

static ALWAYS_INLINE void skip(uint64_t rip, uint64_t length)
{
	uint64_t interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY);
	uint64_t rflags = vmread(VMCS_GUEST_RFLAGS);

	vmwrite(VMCS_GUEST_RIP, rip + length);
	if (unlikely((interruptibility & (BLOCKING_STI | BLOCKING_MOV_SS)) | (rflags & RFLAGS_TF)))
		end_instruction();
}

/* Out of the run loop, to whoever called vmx_enter(). */
static NORETURN COLD void leave(struct vcpu *vcpu, enum exit_class class)
{
	account(vcpu, class);
	vmx_leave();
}

static COLD void serve_requests(struct vcpu *vcpu, enum exit_class class)
{
	if (!vcpu_service(vcpu))
		leave(vcpu, class);
}

/* The way back in, unless somebody wants something: then that is served first, and may be to leave. */
static ALWAYS_INLINE void enter_again(struct vcpu *vcpu, enum exit_class class)
{
	if (unlikely(atomic_load_explicit(&vcpu->shared->requests, memory_order_relaxed)))
		serve_requests(vcpu, class);
	account(vcpu, class);
}

static ALWAYS_INLINE void complete(struct vcpu *vcpu, enum exit_class class, uint64_t rip)
{
	skip(rip, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
	enter_again(vcpu, class);
}

/* The actions that are not "go on behind it". */
static COLD void act(struct vcpu *vcpu, enum exit_action action, enum exit_class class, uint64_t rip)
{
	switch (action) {
	case EXIT_GP: vmx_inject_exception(vcpu, VECTOR_GP, true, 0); break;
	case EXIT_UD: vmx_inject_exception(vcpu, VECTOR_UD, false, 0); break;
	case EXIT_AGAIN:
	case EXIT_PF: vmx_settle_single_step(); break;
	case EXIT_NEXT: skip(rip, vmread(VMCS_EXIT_INSTRUCTION_LENGTH)); break;
	case EXIT_LEAVE_NEXT: skip(rip, vmread(VMCS_EXIT_INSTRUCTION_LENGTH)); leave(vcpu, class);
	case EXIT_LEAVE: leave(vcpu, class);
	}
	enter_again(vcpu, class);
}

static ALWAYS_INLINE void finish(struct vcpu *vcpu, enum exit_action action, enum exit_class class,
				 uint64_t rip)
{
	if (likely(action == EXIT_NEXT))
		complete(vcpu, class, rip);
	else
		act(vcpu, action, class, rip);
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

static ALWAYS_INLINE enum exit_action port(struct vcpu *vcpu)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);

	if (unlikely(qualification & IO_STRING))
		return string_port(vcpu, qualification);
	if (qualification & IO_IN)
		return exit_port_in(vcpu, IO_PORT(qualification), IO_SIZE(qualification));
	return exit_port_out(vcpu, IO_PORT(qualification), IO_SIZE(qualification));
}

static ALWAYS_INLINE enum exit_action hypercall(struct vcpu *vcpu)
{
	if (unlikely(vmread(VMCS_GUEST_SS_ACCESS) >> ACCESS_DPL_SHIFT & ACCESS_DPL))
		return EXIT_UD;
	return exit_hypercall(vcpu);
}

static ALWAYS_INLINE enum exit_action msr_write(struct vcpu *vcpu)
{
	if (unlikely((uint32_t)vcpu->regs.rcx == MSR_EFER))
		return vmx_write_efer(vcpu, vcpu->regs.rdx << 32 | (uint32_t)vcpu->regs.rax);
	return exit_msr_write(vcpu);
}

/*
 * Memory (table 28-7)
 */

#define VIOLATION_WRITE		(1u << 1)
#define VIOLATION_FETCH		(1u << 2)
#define VIOLATION_LINEAR	(1u << 7) /* there was a linear address */
#define VIOLATION_FINAL		(1u << 8) /* its translation; else an entry of the guest's page tables */
#define VIOLATION_NMI_UNBLOCKED (1u << 12)

static enum exit_action memory(struct vcpu *vcpu, uint64_t *length)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	gpa_t address = gpa(vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	bool delivering = vmx_requeue_event(vcpu, qualification & VIOLATION_NMI_UNBLOCKED);
	bool walking = (qualification & VIOLATION_LINEAR) && !(qualification & VIOLATION_FINAL);
	unsigned decoded = 0;
	enum exit_action action;

	if (delivering || walking) { /* not an operand of the instruction at RIP: only memory can serve it */
		if (partition_contains(vcpu->partition, address, 1))
			return EXIT_AGAIN;
		return exit_fault(vcpu, "%s memory it does not have, at GPA 0x%llx",
				  walking ? "page tables in" : "delivery of an interrupt or exception needs",
				  (unsigned long long)address.value);
	}
	action = exit_memory(vcpu, address, qualification & VIOLATION_WRITE, qualification & VIOLATION_FETCH,
			     &decoded);
	*length = decoded;
	return action;
}

static HOT void handle_memory(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(vcpu, EXIT_MEMORY, VMEXIT_EPT_VIOLATION), length = 0;
	enum exit_action action = memory(vcpu, &length);

	if (action == EXIT_NEXT || action == EXIT_LEAVE_NEXT)
		skip(rip, length); /* the CPU tells no length for a fault */
	if (likely(action == EXIT_NEXT))
		enter_again(vcpu, EXIT_MEMORY);
	else
		act(vcpu, action == EXIT_LEAVE_NEXT ? EXIT_LEAVE : action, EXIT_MEMORY, rip);
}

/* Our tables hold what no table may: the hypervisor's bug, but only this guest has met it. */
static enum exit_action ept_misconfiguration(struct vcpu *vcpu)
{
	gpa_t address = gpa(vmread(VMCS_GUEST_PHYSICAL_ADDRESS));

	ept_log_walk(&vcpu->partition->guest_map, address);
	return exit_fault(vcpu, "EPT misconfiguration at %llx: a bug of the hypervisor",
			  (unsigned long long)address.value);
}

/*
 * Exceptions and NMIs
 */

#define DEBUG_STATUS	   0x600Full /* B0-B3, BD, BS: exit qualification of #DB, table 28-1 */
#define DR6_CLEAR	   0xFull
#define DR6_RTM		   (1ull << 16) /* 1: not in a transaction */
#define DR7_GENERAL_DETECT (1ull << 13)

/* What delivery of #DB does to DR6 and DR7 the exit has left to us (28.1). */
static void reflect_debug(struct vcpu *vcpu, uint32_t info)
{
	uint64_t status = vmread(VMCS_EXIT_QUALIFICATION) & DEBUG_STATUS;

	if (EVENT_TYPE(info) == EVENT_PRIVILEGED_SOFT) { /* INT1 */
		vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
		vmwrite(VMCS_ENTRY_EVENT, info & ~EVENT_NMI_UNBLOCKED);
		return;
	}
	write_dr6((read_dr6() & ~DR6_CLEAR) | status | DR6_RTM);
	vmwrite(VMCS_GUEST_DR7, vmread(VMCS_GUEST_DR7) & ~DR7_GENERAL_DETECT);
	vmx_inject_exception(vcpu, VECTOR_DB, false, 0);
}

/*
 * An exit on an NMI leaves NMIs blocked until an IRET. INT through our own gate runs the host's handler,
 * whose IRET it is.
 */
static void take_host_nmi(void)
{
	__asm__ volatile("int %0" : : "i"(VECTOR_NMI) : "memory");
}

static void take_machine_check(void)
{
	__asm__ volatile("int %0" : : "i"(VECTOR_MC) : "memory");
}

static bool is_nmi(uint32_t info)
{
	return EVENT_TYPE(info) == EVENT_NMI;
}

static enum exit_action exception(struct vcpu *vcpu)
{
	uint32_t info = (uint32_t)vmread(VMCS_EXIT_EVENT);
	uint32_t vector = info & EVENT_VECTOR;

	if (is_nmi(info)) {
		take_host_nmi();
		return EXIT_AGAIN;
	}
	vmx_requeue_event(vcpu, info & EVENT_NMI_UNBLOCKED);
	switch (vector) {
	case VECTOR_MC: take_machine_check(); return EXIT_AGAIN;
	case VECTOR_DB: /* benign, as is #AC: it takes the place of what was being delivered (SDM 3A table
			   6-5) */
		reflect_debug(vcpu, info);
		return EXIT_PF;
	case VECTOR_AC:
		vmx_inject_exception(vcpu, VECTOR_AC, true, (uint32_t)vmread(VMCS_EXIT_ERROR_CODE));
		return EXIT_PF;
	default: return exit_fault(vcpu, "exception %u exited, which is not intercepted", vector);
	}
}

/*
 * Control registers (table 28-3)
 */

#define CR_NUMBER(qualification)   ((unsigned)((qualification)&0xF))
#define CR_ACCESS(qualification)   ((unsigned)((qualification) >> 4 & 3))
#define CR_REGISTER(qualification) ((unsigned)((qualification) >> 8 & 0xF))
enum { CR_MOV_TO, CR_MOV_FROM };

static uint64_t general_register(struct vcpu *vcpu, unsigned index)
{
	return index == RSP ? vmread(VMCS_GUEST_RSP) : vcpu->regs.at[index];
}

static void set_general_register(struct vcpu *vcpu, unsigned index, uint64_t value)
{
	if (index == RSP)
		vmwrite(VMCS_GUEST_RSP, value);
	else
		vcpu->regs.at[index] = value;
}

/* CLTS and LMSW change only bits the guest owns, and CR3 is the guest's: none of them exits. */
static enum exit_action control_register(struct vcpu *vcpu)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);
	unsigned number = CR_NUMBER(qualification), access = CR_ACCESS(qualification);
	unsigned operand = CR_REGISTER(qualification);

	if (access == CR_MOV_FROM && number == 8) {
		set_general_register(vcpu, operand, exit_cr8_read(vcpu));
		return EXIT_NEXT;
	}
	if (access == CR_MOV_TO && number == 8)
		return exit_cr8_write(vcpu, general_register(vcpu, operand));
	if (access == CR_MOV_TO && number == 0)
		return vmx_write_cr0(vcpu, general_register(vcpu, operand));
	if (access == CR_MOV_TO && number == 4)
		return vmx_write_cr4(vcpu, general_register(vcpu, operand));
	return exit_fault(vcpu, "access %u to CR%u exited, which is not intercepted", access, number);
}

/*
 * The rest
 */

static enum exit_action preemption_timer(struct vcpu *vcpu)
{
	vmwrite(VMCS_PREEMPTION_TIMER, vmx_of(vcpu)->timer_reload);
	exit_host_interrupt(vcpu);
	return EXIT_AGAIN;
}

static enum exit_action interrupt_window(struct vcpu *vcpu)
{
	vcpu_offer_interrupt(vcpu);
	return EXIT_AGAIN;
}

static enum exit_action nmi_window(struct vcpu *vcpu)
{
	vmx_nmi_window(vcpu);
	return EXIT_AGAIN;
}

static enum exit_action triple_fault(struct vcpu *vcpu)
{
	return exit_fault(vcpu, "triple fault");
}

static enum exit_action task_switch(struct vcpu *vcpu)
{
	return exit_fault(vcpu, "hardware task switch, which is not served");
}

/* Nobody sends INIT to a running CPU; as it was meant for the machine and not the guest, the guest goes on.
 */
static enum exit_action host_init(struct vcpu *vcpu)
{
	log_warn("CPU %u received INIT while it ran vCPU %u of %s: ignored", this_cpu->index,
		 vcpu->shared->index, partition_name(vcpu->partition));
	return EXIT_AGAIN;
}

static enum exit_action undefined(struct vcpu *vcpu)
{
	(void)vcpu;
	return EXIT_UD;
}

static enum exit_action protection_fault(struct vcpu *vcpu)
{
	(void)vcpu;
	return EXIT_GP;
}

/* INVD and WBINVD: what a guest wrote stays in caches that snoop; throwing it away or writing it back makes
 * no difference to it. */
static enum exit_action cache_control(struct vcpu *vcpu)
{
	(void)vcpu;
	return EXIT_NEXT;
}

typedef enum exit_action exit_handler(struct vcpu *vcpu);

static exit_handler *const handlers[VMEXIT_REASONS] = {
	[VMEXIT_EXCEPTION_OR_NMI] = exception,
	[VMEXIT_TRIPLE_FAULT] = triple_fault,
	[VMEXIT_INIT] = host_init,
	[VMEXIT_INTERRUPT_WINDOW] = interrupt_window,
	[VMEXIT_NMI_WINDOW] = nmi_window,
	[VMEXIT_TASK_SWITCH] = task_switch,
	[VMEXIT_GETSEC] = undefined,
	[VMEXIT_INVD] = cache_control,
	[VMEXIT_RDPMC] = protection_fault,
	[VMEXIT_RSM] = undefined,
	[VMEXIT_VMCLEAR] = undefined,
	[VMEXIT_VMLAUNCH] = undefined,
	[VMEXIT_VMPTRLD] = undefined,
	[VMEXIT_VMPTRST] = undefined,
	[VMEXIT_VMREAD] = undefined,
	[VMEXIT_VMRESUME] = undefined,
	[VMEXIT_VMWRITE] = undefined,
	[VMEXIT_VMXOFF] = undefined,
	[VMEXIT_VMXON] = undefined,
	[VMEXIT_CONTROL_REGISTER] = control_register,
	[VMEXIT_MWAIT] = undefined,
	[VMEXIT_MONITOR] = undefined,
	[VMEXIT_EPT_MISCONFIGURATION] = ept_misconfiguration,
	[VMEXIT_INVEPT] = undefined,
	[VMEXIT_PREEMPTION_TIMER] = preemption_timer,
	[VMEXIT_INVVPID] = undefined,
	[VMEXIT_WBINVD] = cache_control,
	[VMEXIT_XSETBV] = exit_xsetbv,
	[VMEXIT_VMFUNC] = undefined,
	[VMEXIT_ENCLS] = undefined,
};

/* The CPU checked the guest's state at an entry and did not like it (27.8): reason bit 31. */
static NORETURN void entry_failed(struct vcpu *vcpu, uint32_t reason)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);

	note_exit(vcpu, EXIT_OTHER, reason);
	if ((reason & VMEXIT_REASON_MASK) == VMEXIT_MACHINE_CHECK_AT_ENTRY)
		take_machine_check();
	exit_fault(vcpu, "VM entry failed: %s%s%s", vmx_reason_name(reason & VMEXIT_REASON_MASK),
		   qualification ? ": " : "", vmx_entry_failure_name(qualification));
	leave(vcpu, EXIT_OTHER);
}

/* VMLAUNCH or VMRESUME failed as an instruction: the hypervisor's own mistake (31.4), which only this guest
 * has met. */
void vmx_entry_refused(bool no_vmcs)
{
	uint32_t error = no_vmcs ? 0 : (uint32_t)vmread(VMCS_INSTRUCTION_ERROR);

	exit_fault(this_vcpu, "VM entry refused: error %u: %s", error, vmx_instruction_error_name(error));
}

static COLD void handle_rare(struct vcpu *vcpu)
{
	uint32_t reason = (uint32_t)vmread(VMCS_EXIT_REASON);
	exit_handler *handler = reason < VMEXIT_REASONS ? handlers[reason] : NULL;
	enum exit_class class = vmx_reason_class(reason);
	enum exit_action action;
	uint64_t rip;

	if (reason & VMEXIT_ENTRY_FAILED)
		entry_failed(vcpu, reason);
	if (reason == VMEXIT_EXCEPTION_OR_NMI && is_nmi((uint32_t)vmread(VMCS_EXIT_EVENT)))
		class = EXIT_NMI;
	rip = note_exit(vcpu, class, reason);
	if (handler)
		action = handler(vcpu);
	else
		action = exit_fault(vcpu, "exit for %s, which is not served", vmx_reason_name(reason));
	finish(vcpu, action, class, rip);
}

static HOT void handle_cpuid(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(vcpu, EXIT_CPUID, VMEXIT_CPUID);

	exit_cpuid(vcpu);
	complete(vcpu, EXIT_CPUID, rip);
}

static HOT void handle_hypercall(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(vcpu, EXIT_HYPERCALL, VMEXIT_VMCALL);

	finish(vcpu, hypercall(vcpu), EXIT_HYPERCALL, rip);
}

static HOT void handle_msr_read(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(vcpu, EXIT_MSR_READ, VMEXIT_RDMSR);

	finish(vcpu, exit_msr_read(vcpu), EXIT_MSR_READ, rip);
}

static HOT void handle_msr_write(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(vcpu, EXIT_MSR_WRITE, VMEXIT_WRMSR);

	finish(vcpu, msr_write(vcpu), EXIT_MSR_WRITE, rip);
}

static HOT void handle_port(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(vcpu, EXIT_IO, VMEXIT_IO);

	finish(vcpu, port(vcpu), EXIT_IO, rip);
}

static HOT void handle_interrupt(struct vcpu *vcpu)
{
	note_exit(vcpu, EXIT_INTERRUPT, VMEXIT_EXTERNAL_INTERRUPT);
	exit_host_interrupt(vcpu);
	vmx_settle_single_step();
	enter_again(vcpu, EXIT_INTERRUPT);
}

static HOT void handle_hlt(struct vcpu *vcpu)
{
	uint64_t rip = note_exit(vcpu, EXIT_HLT, VMEXIT_HLT);

	finish(vcpu, exit_hlt(vcpu), EXIT_HLT, rip);
}

void vmx_handle_exit(void)
{
	struct vcpu *vcpu = this_vcpu;
	uint32_t reason;

	vcpu->exit_tsc = rdtsc_low();
	reason = (uint32_t)vmread(VMCS_EXIT_REASON);
	if (reason == VMEXIT_CPUID)
		handle_cpuid(vcpu);
	else if (reason == VMEXIT_VMCALL)
		handle_hypercall(vcpu);
	else if (reason == VMEXIT_RDMSR)
		handle_msr_read(vcpu);
	else if (reason == VMEXIT_IO)
		handle_port(vcpu);
	else if (reason == VMEXIT_WRMSR)
		handle_msr_write(vcpu);
	else if (reason == VMEXIT_EPT_VIOLATION)
		handle_memory(vcpu);
	else if (reason == VMEXIT_EXTERNAL_INTERRUPT)
		handle_interrupt(vcpu);
	else if (reason == VMEXIT_HLT)
		handle_hlt(vcpu);
	else
		handle_rare(vcpu);
}
