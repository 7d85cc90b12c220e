/*
 * In and out of the guest's world: what VMRUN and #VMEXIT leave to the hypervisor (APM 2 15.5.1, 15.17), and
 * the run loop.
 */
#include <stdatomic.h>

#include "arch/x86/svm/svm.h"

static void vmsave(hpa_t to)
{
	__asm__ volatile("vmsave %%rax" : : "a"(to.value) : "memory");
}

static void vmload(hpa_t from)
{
	__asm__ volatile("vmload %%rax" : : "a"(from.value) : "memory");
}

void svm_load_guest(struct svm_vcpu *svm)
{
	/*
	 * IF = 1 at VMRUN is what lets a physical interrupt end the guest's run, whatever the guest's own IF
	 * (V_INTR_MASKING, APM 2 15.21.1); GIF = 0 keeps it out until then. STI comes well before VMRUN: its
	 * shadow would go into the guest.
	 */
	__asm__ volatile("clgi; sti" ::: "memory");
	vmload(svm->vmcb_address);
	svm->guest_loaded = true;
}

void svm_restore_host(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_state(vcpu);

	if (!svm->guest_loaded)
		return;
	svm->vmcb->control.tlb_control =
		TLB_KEEP; /* the guest has run: a flush asked for before has been done */
	vmsave(svm->vmcb_address);
	/* The TSS before STGI: a pending NMI comes at once, and wants its own stack. */
	vmload(svm->host_address);
	__asm__ volatile("cli; stgi" ::: "memory");
	svm->guest_loaded = false;
}

void svm_vcpu_run(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_state(vcpu);

	if (atomic_load(&vcpu->shared->requests) && !vcpu_service(vcpu))
		return;
	vmsave(svm->host_address);
	svm_load_guest(svm);
	/* Registers may have been set from outside: by a reset, or a result of the call that left the loop.
	 */
	svm->vmcb->save.rax = vcpu->regs.rax;
	vmcb_touch(svm->vmcb);
	svm_enter(svm->vmcb_address.value);
	svm_restore_host(vcpu);
}
