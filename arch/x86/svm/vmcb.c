/*
 * The VMCB of a vCPU: made once, set to one of the three start states, read and written register by register.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/guest_state.h"
#include "arch/x86/svm/svm.h"
#include "hv/core/partition.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define GUEST_ASID	 1u /* a CPU runs one guest only, so one number does for all CPUs */
#define PAT_RESET	 0x0007040600070406ull
#define DR6_RESET	 0xFFFF0FF0ull
#define DR7_RESET	 0x400ull
#define LIMIT_REAL	 0xFFFFu
#define LIMIT_FLAT	 0xFFFFFFFFu
#define MULTIBOOT_LOADED 0x2BADB002u /* EAX: Multiboot 0.6.96, 3.2 */

/* Access bytes as in a descriptor (APM 2 4.7, 4.8): type, S, DPL, P; then AVL, L, D/B, G. */
#define ACCESS_CODE_REAL 0x09Bu
#define ACCESS_DATA_REAL 0x093u
#define ACCESS_CODE_32	 0xC9Bu
#define ACCESS_CODE_64	 0xA9Bu
#define ACCESS_DATA_FLAT 0xC93u
#define ACCESS_TSS_BUSY	 0x08Bu
#define ACCESS_LDT	 0x082u

/* Multiboot leaves the selectors open; these are what the guest's GDT is likely to say as well. */
#define START_CODE_SELECTOR 0x08u
#define START_DATA_SELECTOR 0x10u
#define LINUX_CODE_SELECTOR 0x10u /* Documentation/x86/boot.rst, 64-bit boot protocol */
#define LINUX_DATA_SELECTOR 0x18u

static void set_intercepts(struct vmcb_control *control)
{
	/*
	 * What the architecture demands, what would reach the machine, and what CPUID denies. Not task
	 * switches: the CPU does them for the guest, and all they load is the guest's own.
	 */
	control->intercept_cr_read = CONTROL_REGISTER_8;
	control->intercept_cr_write = CONTROL_REGISTER_8;
	/* #DB and #AC: their delivery can raise them anew for ever, with no interrupt let in (APM 2 15.12.2,
	 * .18). */
	control->intercept_exceptions = 1u << VECTOR_DB | 1u << VECTOR_AC | 1u << VECTOR_MC;
	control->intercept_instruction = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_INIT | INTERCEPT_RDPMC |
					 INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_HLT |
					 INTERCEPT_INVLPGA | INTERCEPT_IO | INTERCEPT_MSR |
					 INTERCEPT_FERR_FREEZE | INTERCEPT_SHUTDOWN;
	control->intercept_svm = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE |
				 INTERCEPT_STGI | INTERCEPT_CLGI | INTERCEPT_SKINIT | INTERCEPT_WBINVD |
				 INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_MWAIT_ARMED |
				 INTERCEPT_XSETBV | INTERCEPT_RDPRU;
	control->intercept_more = INTERCEPT_MCOMMIT;
}

static void reset_control(struct vcpu *vcpu, struct vmcb_control *control)
{
	*control = (struct vmcb_control){.io_permissions = control->io_permissions,
					 .msr_permissions = control->msr_permissions};
	set_intercepts(control);
	control->asid = GUEST_ASID;
	control->tlb_control = TLB_FLUSH;
	control->virtual_interrupt = VIRTUAL_MASKING;
	control->nested_paging = NESTED_PAGING_ENABLE;
	control->nested_cr3 = vcpu->partition->guest_map.root.value;
}

__attribute__((cold)) enum status svm_vcpu_create(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_state(vcpu);
	struct vmcb *vmcb = pool_allocate(1);
	void *host = pool_allocate(1);
	hpa_t io, msr;
	enum status status = vmcb && host ? svm_permissions(&io, &msr) : ERR_NO_MEMORY;

	if (status) {
		if (vmcb)
			pool_release(vmcb, 1);
		if (host)
			pool_release(host, 1);
		return status;
	}
	vmcb->control.io_permissions = io.value;
	vmcb->control.msr_permissions = msr.value;
	*svm = (struct svm_vcpu){.vmcb = vmcb,
				 .vmcb_address = pool_address(vmcb),
				 .host_address = pool_address(host),
				 .next_rip = cpuid(CPUID_SVM, 0).edx & SVM_EDX_NEXT_RIP};
	return OK;
}

static void load_segments(struct vmcb_save *save, struct vmcb_segment code, struct vmcb_segment data)
{
	save->cs = code;
	save->ds = save->es = save->ss = save->fs = save->gs = data;
	save->gdtr.limit = save->idtr.limit = LIMIT_REAL;
	save->ldtr = (struct vmcb_segment){.access = ACCESS_LDT, .limit = LIMIT_REAL};
	save->tr = (struct vmcb_segment){.access = ACCESS_TSS_BUSY, .limit = LIMIT_REAL};
}

static void load_flat_segments(struct vmcb_save *save, uint16_t code_access)
{
	load_segments(save, (struct vmcb_segment){START_CODE_SELECTOR, code_access, LIMIT_FLAT, 0},
		      (struct vmcb_segment){START_DATA_SELECTOR, ACCESS_DATA_FLAT, LIMIT_FLAT, 0});
}

static void start_real(struct vcpu *vcpu, struct vmcb_save *save, const struct vcpu_start *start)
{
	uint64_t vector = start->entry & 0xFF;

	load_segments(
		save,
		(struct vmcb_segment){(uint16_t)(vector << 8), ACCESS_CODE_REAL, LIMIT_REAL, vector << 12},
		(struct vmcb_segment){0, ACCESS_DATA_REAL, LIMIT_REAL, 0});
	save->cr0 = CR0_ET;
	vcpu->regs.rdx =
		cpuid(1, 0).eax; /* as after reset and INIT: family, model, stepping (APM 2 14.1.3) */
}

static void start_protected(struct vcpu *vcpu, struct vmcb_save *save, const struct vcpu_start *start)
{
	load_flat_segments(save, ACCESS_CODE_32);
	save->cr0 = CR0_PE | CR0_ET;
	save->rip = start->entry;
	vcpu->regs.rax = MULTIBOOT_LOADED;
	vcpu->regs.rbx = start->context;
}

static void start_long(struct vcpu *vcpu, struct vmcb_save *save, const struct vcpu_start *start)
{
	load_flat_segments(save, ACCESS_CODE_64);
	save->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
	save->cr3 = start->cr3;
	save->cr4 = CR4_PAE;
	save->efer |= EFER_LME | EFER_LMA;
	save->rip = start->entry;
	vcpu->regs.rax = vcpu->regs.rdi = start->context;
}

static void start_linux(struct vcpu *vcpu, struct vmcb_save *save, const struct vcpu_start *start)
{
	start_long(vcpu, save, start);
	save->cs.selector = LINUX_CODE_SELECTOR;
	save->ds.selector = save->es.selector = save->ss.selector = LINUX_DATA_SELECTOR;
	save->gdtr.base = start->gdt;
	save->gdtr.limit = START_LINUX_GDT_SIZE - 1;
	vcpu->regs.rax = vcpu->regs.rdi = 0;
	vcpu->regs.rsi = start->context;
}

static void reset_state(struct vcpu *vcpu)
{
	struct svm_vcpu *svm = svm_state(vcpu);

	svm->nmi_blocked = svm->nmi_pending = false;
	svm->step = STEP_NONE;
	svm->shadow_rip = NEVER_A_RIP;
	for (unsigned i = 0; i < LENGTHS; i++)
		svm->lengths[i] = (struct remembered_length){.rip = NEVER_A_RIP};
	vcpu->window_open = false;
	memset(&vcpu->regs, 0, sizeof(vcpu->regs));
}

__attribute__((cold)) void svm_vcpu_reset(struct vcpu *vcpu, const struct vcpu_start *start)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	svm_restore_host(vcpu);
	reset_state(vcpu);
	reset_control(vcpu, &vmcb->control);
	vmcb->save = (struct vmcb_save){0};
	vmcb->save.efer = EFER_SVME; /* VMRUN demands it (APM 2 15.5.1); the guest never sees it */
	vmcb->save.pat = PAT_RESET;
	vmcb->save.dr6 = DR6_RESET;
	vmcb->save.dr7 = DR7_RESET;
	vmcb->save.rflags = RFLAGS_RESERVED;
	switch (start->kind) {
	case START_REAL: start_real(vcpu, &vmcb->save, start); break;
	case START_PROTECTED: start_protected(vcpu, &vmcb->save, start); break;
	case START_LONG: start_long(vcpu, &vmcb->save, start); break;
	case START_LINUX: start_linux(vcpu, &vmcb->save, start); break;
	}
	guest_state_reset(vcpu);
	(void)svm_audit_vcpu(vcpu); /* what it finds is in the log; the CPU refuses the entry by itself */
}

static uint64_t *register_at(struct vmcb *vmcb, enum virt_register which)
{
	switch (which) {
	case VIRT_RIP: return &vmcb->save.rip;
	case VIRT_RSP: return &vmcb->save.rsp;
	case VIRT_RFLAGS: return &vmcb->save.rflags;
	case VIRT_CR0: return &vmcb->save.cr0;
	case VIRT_CR2: return &vmcb->save.cr2;
	case VIRT_CR3: return &vmcb->save.cr3;
	case VIRT_CR4: return &vmcb->save.cr4;
	default: return &vmcb->save.efer;
	}
}

uint64_t svm_get_register(struct vcpu *vcpu, enum virt_register which)
{
	uint64_t value = *register_at(svm_vmcb(vcpu), which);

	return which == VIRT_EFER ? value & ~EFER_SVME : value;
}

void svm_set_register(struct vcpu *vcpu, enum virt_register which, uint64_t value)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);

	*register_at(vmcb, which) = which == VIRT_EFER ? value | EFER_SVME : value;
	vmcb_touch(vmcb);
}

void svm_get_segment(struct vcpu *vcpu, enum segment_index which, struct segment *segment)
{
	struct vmcb_save *save = &svm_vmcb(vcpu)->save;
	const struct vmcb_segment *const at[SEGMENTS] = {
		[SEGMENT_ES] = &save->es,     [SEGMENT_CS] = &save->cs, [SEGMENT_SS] = &save->ss,
		[SEGMENT_DS] = &save->ds,     [SEGMENT_FS] = &save->fs, [SEGMENT_GS] = &save->gs,
		[SEGMENT_LDTR] = &save->ldtr, [SEGMENT_TR] = &save->tr,
	};

	if (which >= SEGMENT_FS && svm_state(vcpu)->guest_loaded)
		__asm__ volatile("vmsave %%rax" : : "a"(svm_state(vcpu)->vmcb_address.value) : "memory");
	*segment =
		(struct segment){at[which]->base, at[which]->limit, at[which]->selector, at[which]->access};
}

void svm_get_code(struct vcpu *vcpu, struct code_state *code)
{
	const struct vmcb_save *save = &svm_vmcb(vcpu)->save;

	code->rip = save->rip;
	code->cr3 = save->cr3;
	code->base = save->cs.base;
	code->long_mode = save->efer & EFER_LMA;
	code->five_levels = save->cr4 & CR4_LA57;
	code->code = (uint8_t)code_size_of(save->efer, save->cs.access);
}

void svm_flush_guest_tlb(struct vcpu *vcpu)
{
	svm_restore_host(vcpu); /* which takes a flush for done */
	svm_vmcb(vcpu)->control.tlb_control = TLB_FLUSH;
}
