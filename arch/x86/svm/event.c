/*
 * Events on their way into the guest: injection, the window, and single steps (APM 2 15.20, 15.21).
 *
 * Some instructions must be executed by the guest itself with nothing in between: the one an interrupt shadow
 * covers, where the CPU forgets shadows; MOV to and from CR8, which the CPU does with the virtual TPR; IRET
 * at the end of an NMI handler. For those the guest runs with RFLAGS.TF set behind its back until the #DB
 * after the instruction (always intercepted) brings it back. One instruction can have several of the reasons.
 * The faults it can raise are intercepted meanwhile: a step ends with them, and the fault is delivered as if
 * there had been none. INT n gives the step up. PUSHF and SYSCALL right behind STI save TF all the same.
 *
 * Interrupt shadow: QEMU TCG saves it at #VMEXIT and never loads it at VMRUN, so that an interrupt could come
 * between STI and HLT and its wake-up be lost. Therefore the RIP of the last shadow seen counts as covered
 * until the guest is known to have left it; on CPUs that keep the shadow this costs a step now and then, and
 * is right as well.
 */
#include <stdatomic.h>

#include "arch/x86/apic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/registers.h"
#include "arch/x86/svm/svm.h"

#define DR6_SINGLE_STEP (1ull << 14)

/* The faults of an instruction. INT3 and INTO are none: what they save is the RIP behind them, and an
 * injection the one they stand at. */
#define STEP_FAULTS                                                                                          \
	(1u << VECTOR_DE | 1u << VECTOR_BR | 1u << VECTOR_UD | 1u << VECTOR_NM | 1u << VECTOR_TS |           \
	 1u << VECTOR_NP | 1u << VECTOR_SS | 1u << VECTOR_GP | 1u << VECTOR_PF | 1u << VECTOR_MF |           \
	 1u << VECTOR_XM)

static bool in_shadow(const struct svm_vcpu *svm)
{
	const struct vmcb *vmcb = svm->vmcb;

	return (vmcb->control.interrupt_shadow & SHADOW_ACTIVE) || svm->shadow_rip == vmcb->save.rip;
}

static unsigned end_step(struct vcpu *vcpu);

/* A step whose instruction has gone without a trap is over: SYSCALL masks TF. */
static bool stepping(struct vcpu *vcpu)
{
	const struct svm_vcpu *svm = svm_state(vcpu);

	if (unlikely(svm->step) && !(svm->vmcb->save.rflags & RFLAGS_TF))
		(void)end_step(vcpu);
	return svm->step;
}

bool svm_can_interrupt(struct vcpu *vcpu)
{
	const struct svm_vcpu *svm = svm_state(vcpu);
	const struct vmcb *vmcb = svm->vmcb;

	return (vmcb->save.rflags & RFLAGS_IF) && !(vmcb->control.event & EVENT_VALID) && !stepping(vcpu) &&
	       !in_shadow(svm);
}

void svm_inject_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	svm_vmcb(vcpu)->control.event = EVENT_VALID | EVENT_INTERRUPT | vector;
}

/*
 * NMIs nest only behind the IRET that ends the last one (APM 2 15.21.6 is about hardware that keeps count
 * itself), and do not come in the shadow of MOV SS (SDM 3A 6.8.3), which is not told from that of STI. While
 * a step or an event is in the way, the NMI stays requested, and is offered anew after the next exit: a step
 * ends with one, and behind an event comes the kick.
 */
void svm_inject_nmi(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_state(vcpu);
	struct vmcb_control *control = &svm->vmcb->control;

	if (svm->nmi_blocked) {
		svm->nmi_pending = true;
	} else if (stepping(vcpu) || (control->event & EVENT_VALID) || in_shadow(svm)) {
		atomic_fetch_or(&vcpu->shared->requests, REQUEST_NMI);
		if (control->event & EVENT_VALID)
			apic_kick(cpus[this_cpu->index].apic_id);
		else
			svm_step(vcpu, STEP_SHADOW);
	} else {
		control->event = EVENT_VALID | EVENT_NMI | VECTOR_NMI;
		control->intercept_instruction |= INTERCEPT_IRET;
		svm->nmi_blocked = true;
		vmcb_touch(svm->vmcb);
	}
}

void svm_interrupt_window(struct vcpu *vcpu, bool open)
{
	struct svm_vcpu *svm = svm_state(vcpu);
	struct vmcb_control *control = &svm->vmcb->control;

	open = open && !svm->step; /* the end of the step offers it again */
	if (vcpu->window_open == open)
		return;
	vcpu->window_open = open;
	/* A virtual interrupt that is never delivered: the guest exits where it could be. */
	if (open) {
		control->virtual_interrupt |= VIRTUAL_IRQ | VIRTUAL_PRIORITY_MAX | VIRTUAL_IGNORE_TPR;
		control->intercept_instruction |= INTERCEPT_VINTR;
	} else {
		control->virtual_interrupt &= ~(VIRTUAL_IRQ | VIRTUAL_PRIORITY_MAX | VIRTUAL_IGNORE_TPR);
		control->intercept_instruction &= ~(uint32_t)INTERCEPT_VINTR;
	}
	vmcb_touch(svm->vmcb);
}

void svm_requeue_event(struct vmcb *vmcb)
{
	uint32_t event = vmcb->control.exit_event;
	uint32_t type = event & EVENT_TYPE, vector = event & EVENT_VECTOR;

	/* INT n, INT3 and INTO: RIP still points at the instruction, which will run again. */
	if (type == EVENT_SOFTWARE ||
	    (type == EVENT_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF)))
		return;
	vmcb->control.event = event;
	vmcb->control.event_error = vmcb->control.exit_event_error;
}

static void let_cr8_through(struct vcpu *vcpu, struct vmcb_control *control)
{
	uint32_t priority = (uint32_t)exit_cr8_read(vcpu) & VIRTUAL_TPR;

	control->virtual_interrupt = (control->virtual_interrupt & ~VIRTUAL_TPR) | priority;
	control->intercept_cr_read = control->intercept_cr_write = 0;
}

static void take_cr8_back(struct vcpu *vcpu, struct vmcb_control *control)
{
	uint32_t priority = control->virtual_interrupt & VIRTUAL_TPR;

	control->intercept_cr_read = control->intercept_cr_write = CONTROL_REGISTER_8;
	/* Four bits are always valid, so the answer is always EXIT_NEXT. */
	if (priority != (uint32_t)exit_cr8_read(vcpu))
		(void)exit_cr8_write(vcpu, priority);
}

void svm_step(struct vcpu *vcpu, enum step why)
{
	struct svm_vcpu *svm = svm_state(vcpu);
	struct vmcb *vmcb = svm->vmcb;

	if (!svm->step) {
		svm_interrupt_window(vcpu, false);
		svm->guest_traps = vmcb->save.rflags & RFLAGS_TF;
		vmcb->save.rflags |= RFLAGS_TF;
		vmcb->control.intercept_exceptions |= STEP_FAULTS;
		vmcb->control.intercept_instruction |= INTERCEPT_INTN;
	}
	svm->step |= (uint8_t)why;
	if (why == STEP_CR8)
		let_cr8_through(vcpu, &vmcb->control);
	if (why == STEP_IRET)
		vmcb->control.intercept_instruction &= ~(uint32_t)INTERCEPT_IRET;
	vmcb_touch(vmcb);
}

static void end_of_nmi(struct vcpu *vcpu, struct svm_vcpu *svm)
{
	svm->nmi_blocked = false;
	if (svm->nmi_pending) {
		svm->nmi_pending = false;
		svm_inject_nmi(vcpu);
	}
}

/* The guest runs as it did before the step; RFLAGS.TF is the caller's. Returns why it stepped. */
static unsigned end_step(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_state(vcpu);
	const unsigned why = svm->step;

	svm->step = STEP_NONE;
	svm->shadow_rip = NEVER_A_RIP;
	svm->vmcb->control.intercept_exceptions &= ~STEP_FAULTS;
	svm->vmcb->control.intercept_instruction &= ~(uint32_t)INTERCEPT_INTN;
	if (why & STEP_CR8)
		take_cr8_back(vcpu, &svm->vmcb->control);
	vmcb_touch(svm->vmcb);
	/* Whatever waited for the step is offered before the next entry. */
	atomic_fetch_or(&vcpu->shared->requests, REQUEST_INTERRUPT);
	return why;
}

void svm_break_step(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_state(vcpu);

	if (!svm->guest_traps)
		svm->vmcb->save.rflags &= ~RFLAGS_TF;
	if (end_step(vcpu) & STEP_IRET)
		svm->vmcb->control.intercept_instruction |= INTERCEPT_IRET;
}

void svm_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	struct vmcb_control *control = &svm_vmcb(vcpu)->control;

	if (svm_state(vcpu)->step)
		svm_break_step(vcpu);
	control->event = EVENT_VALID | EVENT_EXCEPTION | vector | (has_error ? EVENT_ERROR_VALID : 0);
	control->event_error = error;
}

void svm_step_done(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_state(vcpu);
	struct vmcb *vmcb = svm->vmcb;
	const unsigned why = end_step(vcpu);

	/* IRET has loaded the guest's own TF. */
	if (!(why & STEP_IRET) && !svm->guest_traps)
		vmcb->save.rflags &= ~RFLAGS_TF;
	if (svm->guest_traps)
		svm_inject_exception(vcpu, VECTOR_DB, false, 0);
	else
		vmcb->save.dr6 &= ~DR6_SINGLE_STEP;
	if (why & STEP_IRET)
		end_of_nmi(vcpu, svm);
}

void svm_trap_after_instruction(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_state(vcpu);

	if (svm->step) {
		svm_step_done(vcpu);
		return;
	}
	svm->vmcb->save.dr6 |= DR6_SINGLE_STEP;
	vmcb_touch(svm->vmcb);
	svm_inject_exception(vcpu, VECTOR_DB, false, 0);
}
