/*
 * Events on their way into a guest: injection at the next entry (SDM 3C 27.6), windows that tell when one can
 * be taken, and what an exit cut short, which has to be delivered again (25.9.3). One event fits into an
 * entry.
 */
#include <stdatomic.h>

#include "arch/x86/registers.h"
#include "arch/x86/vmx/vmx.h"

static bool entry_taken(void)
{
	return vmread(VMCS_ENTRY_EVENT) & EVENT_VALID; /* every exit clears the bit */
}

static void enter_with(enum event_type type, uint32_t vector, bool has_error, uint32_t error)
{
	uint32_t info = EVENT_VALID | (uint32_t)type << 8 | vector;

	/* Real mode pushes no error code, and an entry that tries is refused (27.2.1.3). */
	if (has_error && (vmread(VMCS_GUEST_CR0) & CR0_PE)) {
		info |= EVENT_HAS_ERROR;
		vmwrite(VMCS_ENTRY_ERROR_CODE, error);
	}
	vmwrite(VMCS_ENTRY_EVENT, info);
}

/* The single-step trap of an instruction that the hypervisor has done. An entry with an event of ours would
 * forget it (SDM 3C 27.7.3); without, it is delivered before either window opens. */
static bool trap_due(uint64_t rflags)
{
	return unlikely(rflags & RFLAGS_TF) && (vmread(VMCS_GUEST_PENDING_DEBUG) & PENDING_DEBUG_STEP);
}

bool vmx_can_interrupt(struct vcpu *vcpu)
{
	const uint64_t rflags = vmread(VMCS_GUEST_RFLAGS);

	(void)vcpu;
	return (rflags & RFLAGS_IF) &&
	       !(vmread(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS)) && !entry_taken() &&
	       !trap_due(rflags);
}

void vmx_inject_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	(void)vcpu;
	enter_with(EVENT_INTERRUPT, vector, false, 0);
}

/* STI may hold an NMI window back or not (SDM 3C 26.2): behind it the NMI stays requested until the next
 * exit, that of a HLT among them. */
void vmx_inject_nmi(struct vcpu *vcpu)
{
	const uint64_t blocking = vmread(VMCS_GUEST_INTERRUPTIBILITY);

	if (entry_taken() || (blocking & (BLOCKING_NMI | BLOCKING_MOV_SS)) ||
	    trap_due(vmread(VMCS_GUEST_RFLAGS)))
		vmx_set_processor_control(vcpu, PROCESSOR_NMI_WINDOW, true);
	else if (blocking & BLOCKING_STI)
		atomic_fetch_or(&vcpu->shared->requests, REQUEST_NMI);
	else
		enter_with(EVENT_NMI, VECTOR_NMI, false, 0);
}

void vmx_nmi_window(struct vcpu *vcpu)
{
	vmx_set_processor_control(vcpu, PROCESSOR_NMI_WINDOW, false);
	vmx_inject_nmi(vcpu);
}

/* A fault pushes RF = 1, so that an instruction breakpoint does not fire twice (SDM 3B 18.3.1.1); #DB brings
 * its own RF. */
void vmx_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	(void)vcpu;
	if (vector != VECTOR_DB)
		vmwrite(VMCS_GUEST_RFLAGS, vmread(VMCS_GUEST_RFLAGS) | RFLAGS_RF);
	enter_with(EVENT_EXCEPTION, vector, has_error, error);
}

void vmx_interrupt_window(struct vcpu *vcpu, bool open)
{
	if (vcpu->window_open == open)
		return;
	vcpu->window_open = open;
	vmx_set_processor_control(vcpu, PROCESSOR_INTERRUPT_WINDOW, open);
}

static void set_nmi_blocking(bool blocked)
{
	uint64_t interruptibility = vmread(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint64_t)BLOCKING_NMI;

	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, interruptibility | (blocked ? BLOCKING_NMI : 0));
}

bool vmx_requeue_event(struct vcpu *vcpu, bool nmi_unblocked)
{
	uint32_t info = (uint32_t)vmread(VMCS_VECTORING_EVENT);
	enum event_type type = EVENT_TYPE(info);

	(void)vcpu;
	if (!(info & EVENT_VALID)) {
		if (nmi_unblocked) /* by an IRET that did not complete, and will run again (28.2.3) */
			set_nmi_blocking(true);
		return false;
	}
	if (type == EVENT_NMI)
		set_nmi_blocking(false); /* delivery sets it, and an entry with an NMI demands it clear */
	if (type >= EVENT_SOFT_INTERRUPT)
		vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
	enter_with(type, info & EVENT_VECTOR, info & EVENT_HAS_ERROR,
		   (uint32_t)vmread(VMCS_VECTORING_ERROR_CODE));
	return true;
}

/*
 * With TF set the CPU demands BS pending under STI or MOV SS blocking (27.3.1.5), where the trap is still to
 * come. Without blocking no step is owed for an instruction that has not run; Bochs 2.7 leaves BS set all the
 * same after any exit.
 */
void vmx_settle_single_step(void)
{
	bool blocked = vmread(VMCS_GUEST_INTERRUPTIBILITY) & (BLOCKING_STI | BLOCKING_MOV_SS);
	uint64_t pending;

	if (likely(!(vmread(VMCS_GUEST_RFLAGS) & RFLAGS_TF)))
		return;
	pending = vmread(VMCS_GUEST_PENDING_DEBUG) & ~PENDING_DEBUG_STEP;
	vmwrite(VMCS_GUEST_PENDING_DEBUG, pending | (blocked ? PENDING_DEBUG_STEP : 0));
}
