/*
 * The exits that are rare: exceptions, control registers, windows, instructions no guest may have, and the
 * ends. Each is served by a function that answers with an action of hv/core/exit.h; exit.c does the rest.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/core/partition.h"
#include "hv/lib/log.h"

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
	vmx_rearm_preemption(vcpu);
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

/*
 * Trapped instructions move RIP on without a look at its width, which would cost each of them. Behind the
 * last one below 4 GiB it is 0 again outside 64-bit mode; there the CPU refuses an entry with more bits
 * (27.3.1.4), and changes nothing.
 */
static bool wrap_rip(void)
{
	const uint64_t rip = vmread(VMCS_GUEST_RIP);
	const bool code_64 =
		(vmread(VMCS_GUEST_EFER) & EFER_LMA) && (vmread(VMCS_GUEST_CS_ACCESS) & ACCESS_LONG_CODE);

	if (code_64 || rip <= UINT32_MAX)
		return false;
	vmwrite(VMCS_GUEST_RIP, (uint32_t)rip);
	return true;
}

/* The CPU checked the guest's state at an entry and did not like it (27.8): reason bit 31. */
static enum exit_action entry_failed(struct vcpu *vcpu, uint32_t reason)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);

	if (reason == VMEXIT_INVALID_GUEST_STATE && wrap_rip())
		return EXIT_AGAIN;
	if (reason == VMEXIT_MACHINE_CHECK_AT_ENTRY)
		take_machine_check();
	exit_fault(vcpu, "VM entry failed: %s%s%s", vmx_reason_name(reason), qualification ? ": " : "",
		   vmx_entry_failure_name(qualification));
	if (reason == VMEXIT_INVALID_GUEST_STATE)
		entry_audit_conclude(vcpu, vmx_audit_current(vcpu));
	return EXIT_LEAVE;
}

/*
 * VMLAUNCH or VMRESUME failed as an instruction: the hypervisor's own mistake (31.4), which only this guest
 * has met.
 */
void vmx_entry_refused(bool no_vmcs)
{
	uint32_t error = no_vmcs ? 0 : (uint32_t)vmread(VMCS_INSTRUCTION_ERROR);

	exit_fault(this_vcpu, "VM entry refused: error %u: %s", error, vmx_instruction_error_name(error));
	if (!no_vmcs)
		entry_audit_conclude(this_vcpu, vmx_audit_current(this_vcpu));
}

enum exit_class vmx_slow_class(uint32_t reason)
{
	if (reason == VMEXIT_EXCEPTION_OR_NMI && is_nmi((uint32_t)vmread(VMCS_EXIT_EVENT)))
		return EXIT_NMI;
	return vmx_reason_class(reason & VMEXIT_REASON_MASK);
}

enum exit_action vmx_slow_exit(struct vcpu *vcpu, uint32_t reason)
{
	if (reason & VMEXIT_ENTRY_FAILED)
		return entry_failed(vcpu, reason & VMEXIT_REASON_MASK);
	if (reason >= VMEXIT_REASONS || !handlers[reason])
		return exit_fault(vcpu, "exit for %s, which is not served", vmx_reason_name(reason));
	return handlers[reason](vcpu);
}
