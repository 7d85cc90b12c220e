/*
 * What the files of the SVM back end share: the state of a vCPU, and the few operations they offer each
 * other.
 *
 * Two worlds in one CPU: VMRUN and #VMEXIT switch part of the state only. FS, GS, TR, LDTR and the
 * system-call MSRs stay the guest's after an exit (APM 2 15.5.1), and GIF stays clear: no interrupt, NMI or
 * INIT gets in. The hypervisor uses none of those registers, but for TR when an NMI, #DF or #MC needs a stack
 * of its own. So short exits run like that to their end, and VMSAVE, VMLOAD and STGI are paid only where
 * interrupts are let in: svm_restore_host().
 */
#pragma once

#include "arch/x86/registers.h"
#include "arch/x86/svm/audit.h"
#include "arch/x86/svm/vmcb.h"
#include "hv/core/exit.h"
#include "hv/core/virt.h"

/* Of an instruction, behind any prefixes (APM 3). */
struct opcode {
	uint8_t size;
	uint8_t bytes[3];
};

/* Instructions that trap often enough for their length to be remembered, where the CPU does not tell it.
 * WRMSR stands in many places (an x2APIC's driver has little else): pairs of slots, found by RIP. */
#define WRMSR_PAIRS_LOG2 2
enum remembered {
	LENGTH_CPUID,
	LENGTH_VMMCALL,
	LENGTH_HLT,
	LENGTH_RDMSR,
	LENGTH_WRMSR,
	LENGTHS = LENGTH_WRMSR + (2 << WRMSR_PAIRS_LOG2)
};

/* An instruction that has trapped: RIP and CR3 say that it is the same again. */
struct remembered_length {
	uint64_t rip;
	uint64_t cr3;
	uint64_t length;
};

/* Why the guest runs for one instruction only (RFLAGS.TF set behind its back): see event.c. */
enum step { STEP_NONE = 0, STEP_SHADOW = 1, STEP_CR8 = 2, STEP_IRET = 4 };

struct svm_vcpu {
	struct vmcb *vmcb;
	hpa_t vmcb_address;
	hpa_t host_address; /* of the page where VMSAVE keeps the host's part */
	bool guest_loaded;  /* FS, GS, TR, LDTR and system-call MSRs are the guest's, GIF = 0 */
	bool next_rip;	    /* the CPU saves it */
	bool nmi_blocked;   /* from an NMI's injection to the IRET */
	bool nmi_pending;
	bool guest_traps;    /* while stepping: the guest had set TF itself */
	uint8_t step;	     /* all of enum step that the instruction has */
	uint64_t shadow_rip; /* the instruction an interrupt shadow covered at the last slow exit */
	struct remembered_length lengths[LENGTHS];
};
_Static_assert(sizeof(struct svm_vcpu) <= sizeof(((struct vcpu *)0)->backend),
	       "svm_vcpu lives in vcpu->backend");
/* entry.asm knows these by number. */
_Static_assert(offsetof(struct vcpu, regs) == 0 && sizeof(union guest_registers) == 128, "entry.asm");
_Static_assert(offsetof(struct vcpu, run_stack) == 128, "entry.asm");
_Static_assert(offsetof(struct vcpu, exit_tsc) == 136, "entry.asm");

static inline struct svm_vcpu *svm_state(struct vcpu *vcpu)
{
	return (struct svm_vcpu *)vcpu->backend;
}

static inline struct vmcb *svm_vmcb(struct vcpu *vcpu)
{
	return svm_state(vcpu)->vmcb;
}

/* The hypervisor has changed more of the VMCB than every exit does: the CPU must not go by what it kept (APM
 * 2 15.15). */
static inline void vmcb_touch(struct vmcb *vmcb)
{
	vmcb->control.clean = CLEAN_NONE;
}

/* Remembers which instruction an interrupt shadow covers, for CPUs that do not (event.c). */
static inline void svm_note_shadow(struct svm_vcpu *svm)
{
	const struct vmcb *vmcb = svm->vmcb;

	if (vmcb->control.interrupt_shadow & SHADOW_ACTIVE)
		svm->shadow_rip = vmcb->save.rip;
	else if (svm->shadow_rip != vmcb->save.rip)
		svm->shadow_rip = NEVER_A_RIP;
}

/* svm.c */
enum status svm_probe(struct virt_features *features, char message[VIRT_MESSAGE]) MUST_CHECK;
enum status svm_cpu_enable(char message[VIRT_MESSAGE]) MUST_CHECK;
void svm_cpu_disable(void);
/* Audits the vCPU's VMCB against the rules of VMRUN, into the log; returns how many it breaks. */
unsigned svm_audit_vcpu(struct vcpu *vcpu);

/* vmcb.c */
enum status svm_vcpu_create(struct vcpu *vcpu) MUST_CHECK;
void svm_vcpu_reset(struct vcpu *vcpu, const struct vcpu_start *start);
uint64_t svm_get_register(struct vcpu *vcpu, enum virt_register which);
void svm_set_register(struct vcpu *vcpu, enum virt_register which, uint64_t value);
void svm_get_segment(struct vcpu *vcpu, enum segment_index which, struct segment *segment);
void svm_get_code(struct vcpu *vcpu, struct code_state *code);
void svm_flush_guest_tlb(struct vcpu *vcpu);

/* permissions.c: which ports and MSRs trap; one set for all vCPUs. */
enum status svm_permissions(hpa_t *io, hpa_t *msr) MUST_CHECK;

/* event.c */
bool svm_can_interrupt(struct vcpu *vcpu);
void svm_inject_interrupt(struct vcpu *vcpu, uint8_t vector);
void svm_inject_nmi(struct vcpu *vcpu);
void svm_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error);
void svm_interrupt_window(struct vcpu *vcpu, bool open);
/* The exit cut the delivery of an event short (exit_event is valid): deliver it anew at the next entry. */
void svm_requeue_event(struct vmcb *vmcb);
/* The guest runs one instruction, and comes back; a fault of that instruction ends the step as well. */
void svm_step(struct vcpu *vcpu, enum step why);
void svm_step_done(struct vcpu *vcpu);
void svm_break_step(struct vcpu *vcpu); /* its instruction has not been executed */
/* The hypervisor has stood in for an instruction with RFLAGS.TF = 1: #DB follows, the guest's own or a
 * step's. */
void svm_trap_after_instruction(struct vcpu *vcpu);

/* run.c */
void svm_vcpu_run(struct vcpu *vcpu);
void svm_load_guest(struct svm_vcpu *svm);
void svm_restore_host(struct vcpu *vcpu);

/* exit.c */
/* After each #VMEXIT, from entry.asm. The HPA of the VMCB to go on with. */
uint64_t svm_exit(void);

/* slow.c: every exit that is neither short nor frequent. A handler sets `next` where its answer moves RIP. */
typedef enum exit_action exit_handler(struct vcpu *vcpu, uint64_t *next);
struct exit_row {
	uint8_t exit_class;
	exit_handler *handler;
};
const struct exit_row *svm_exit_row(uint32_t code);
enum exit_action svm_memory_fault(struct vcpu *vcpu);
/* The MSRs the VMCB holds the guest's value of: EFER and PAT. */
static inline bool svm_owns_msr(uint32_t msr)
{
	return msr == MSR_EFER || msr == MSR_PAT;
}
enum exit_action svm_own_msr_read(struct vcpu *vcpu);
enum exit_action svm_own_msr_write(struct vcpu *vcpu);
enum exit_action svm_port_string(struct vcpu *vcpu, uint32_t information);

/* describe.c */
const char *svm_reason_name(uint32_t reason); /* of its low byte */
void svm_describe_exit(struct vcpu *vcpu, char *out, size_t size);

/* entry.asm: runs the guest until svm_leave(); svm_resume() goes back into it with all registers loaded. */
void svm_enter(uint64_t vmcb);
NORETURN void svm_resume(uint64_t vmcb);
NORETURN void svm_leave(void);

/* npt.c */
extern const struct page_format npt_format;
