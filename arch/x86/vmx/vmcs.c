/*
 * The VMCS of a vCPU. Created once, on the CPU it runs on for life: controls, intercepts, and the host state
 * that an exit restores. Put into one of three start states as often as the guest starts: a boot loader's, a
 * start-up IPI's, or 64-bit.
 */
#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "arch/x86/guest_state.h"
#include "arch/x86/percpu.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/core/partition.h"
#include "hv/lib/log.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define PAT_RESET	 0x0007040600070406ull /* SDM 3A 12.12.4 */
#define DR7_RESET	 0x400ull
#define RESET_LIMIT	 0xFFFFu
#define MULTIBOOT_LOADED 0x2BADB002u /* EAX, Multiboot 0.6.96, 3.2 */
#define REAL_CS_SHIFT	 8	     /* start-up vector to selector; four more to base */

/*
 * Bochs 2.7 lets no external interrupt out of a guest with IF = 0 that has not touched IF since the entry. So
 * the preemption timer, whose value exits save and entries go on with, brings every CPU home that has run its
 * guest for this long without one; on hardware it is a watchdog that never has to bark.
 */
#define PREEMPTION_MS 20

/*
 * What has to exit as an exception: nothing but #DB and #AC, whose delivery can raise them again, for ever,
 * with no instruction in between (SDM 3C 26.2, and the loops it warns of), and #MC, which is the machine's
 * and not the guest's.
 */
#define INTERCEPTED_EXCEPTIONS (1u << VECTOR_DB | 1u << VECTOR_AC | 1u << VECTOR_MC)

_Static_assert(offsetof(struct vcpu, regs) == 0 && offsetof(struct vcpu, run_stack) == 128 &&
		       offsetof(struct vcpu, exit_tsc) == 136,
	       "entry.asm counts on it");

static void set(enum vmcs_field field, uint64_t value)
{
	bool failed;

	__asm__ volatile("vmwrite %2, %1" : "=@ccbe"(failed) : "r"((uint64_t)field), "r"(value));
	if (failed)
		panic("VMWRITE of field %x failed: %s", (unsigned)field,
		      vmx_instruction_error_name((uint32_t)vmread(VMCS_INSTRUCTION_ERROR)));
}

/* Makes the VMCS this CPU's current one, never launched (SDM 3C 25.1). */
static void make_current(const struct vmx_vcpu *vmx)
{
	hpa_t vmcs = pool_address(vmx->vmcs);
	bool clear_failed, load_failed;

	__asm__ volatile("vmclear %1" : "=@ccbe"(clear_failed) : "m"(vmcs.value) : "memory");
	__asm__ volatile("vmptrld %1" : "=@ccbe"(load_failed) : "m"(vmcs.value) : "memory");
	if (clear_failed || load_failed)
		panic("VMCS at %llx was refused by %s", (unsigned long long)vmcs.value,
		      clear_failed ? "VMCLEAR" : "VMPTRLD");
}

static void set_controls(const struct vmx_vcpu *vmx)
{
	const struct vmx_controls *controls = &vmx->controls;

	set(VMCS_PIN_CONTROLS, controls->pin);
	set(VMCS_PROCESSOR_CONTROLS, controls->processor);
	set(VMCS_SECONDARY_CONTROLS, controls->secondary);
	set(VMCS_EXIT_CONTROLS, controls->exit);
	set(VMCS_ENTRY_CONTROLS, controls->entry);
	set(VMCS_EXCEPTION_BITMAP, INTERCEPTED_EXCEPTIONS);
	set(VMCS_PAGE_FAULT_MASK, 0);
	set(VMCS_PAGE_FAULT_MATCH, 0);
	set(VMCS_CR3_TARGET_COUNT, 0);
	set(VMCS_EXIT_MSR_STORE_COUNT, 0);
	set(VMCS_EXIT_MSR_LOAD_COUNT, 0);
	set(VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	set(VMCS_LINK_POINTER, VMX_NO_LINK);
	set(VMCS_CR0_MASK, ~vmx_cr0_guest_owned(controls));
	set(VMCS_CR4_MASK, ~vmx_cr4_guest_owned(controls));
	if (controls->secondary & SECONDARY_VPID)
		set(VMCS_VPID, VMX_VPID);
	if (controls->secondary & SECONDARY_XSAVES)
		set(VMCS_XSS_EXITING_BITMAP, 0); /* IA32_XSS stays 0 */
}

/*
 * What an exit restores (25.5). Selectors and bases of DS, ES, FS and GS are of no use to 64-bit code: null
 * and 0. An exit also sets the limits of GDTR and IDTR to FFFFh: harmless, as no selector beyond our five is
 * ever loaded and the IDT has all 256 vectors; the limit of TR to 67h, the size of our TSS; LDTR to null,
 * which is what it was; DR7 and DEBUGCTL to their reset values, which nobody here changes.
 */
static void set_host_state(struct vcpu *vcpu)
{
	struct descriptor_pointer idt;

	__asm__ volatile("sidt %0" : "=m"(idt));
	set(VMCS_HOST_CR0, read_cr0());
	set(VMCS_HOST_CR3, this_cpu->cr3.value);
	set(VMCS_HOST_CR4, read_cr4());
	set(VMCS_HOST_EFER, rdmsr(MSR_EFER));
	set(VMCS_HOST_PAT, rdmsr(MSR_PAT));
	set(VMCS_HOST_CS_SELECTOR, SELECTOR_CODE);
	set(VMCS_HOST_SS_SELECTOR, SELECTOR_DATA);
	set(VMCS_HOST_TR_SELECTOR, SELECTOR_TSS);
	set(VMCS_HOST_DS_SELECTOR, 0);
	set(VMCS_HOST_ES_SELECTOR, 0);
	set(VMCS_HOST_FS_SELECTOR, 0);
	set(VMCS_HOST_GS_SELECTOR, 0);
	set(VMCS_HOST_FS_BASE, 0);
	set(VMCS_HOST_GS_BASE, 0);
	set(VMCS_HOST_TR_BASE, (uint64_t)&this_cpu->tss);
	set(VMCS_HOST_GDTR_BASE, (uint64_t)&this_cpu->gdt);
	set(VMCS_HOST_IDTR_BASE, idt.base);
	set(VMCS_HOST_SYSENTER_CS, 0);
	set(VMCS_HOST_SYSENTER_ESP, 0);
	set(VMCS_HOST_SYSENTER_EIP, 0);
	set(VMCS_HOST_RSP,
	    (uint64_t)(&vcpu->regs + 1)); /* the exit stub saves the registers by pushing them */
	set(VMCS_HOST_RIP, (uint64_t)vmx_exit_stub);
}

/* What other CPUs lack, or the configuration does without. */
static void drop_unused_controls(struct vmx_controls *controls)
{
	if (!virt_features.tagged_tlb)
		controls->secondary &= ~SECONDARY_VPID;
	if (!virt_features.preemption_timer) {
		controls->pin &= ~PIN_PREEMPTION_TIMER;
		controls->exit &= ~VMEXIT_SAVE_TIMER;
	}
}

__attribute__((cold)) enum status vmx_vcpu_create(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	char message[VIRT_MESSAGE];
	enum status status = vmx_read_controls(&vmx->controls, message);

	if (status) {
		log_error("%s", message);
		return status;
	}
	drop_unused_controls(&vmx->controls);
	vmx->vmcs = pool_allocate(1);
	vmx->msr_bitmap = vmx_msr_bitmap(&vmx->controls, false);
	if (!vmx->vmcs || !vmx->msr_bitmap) {
		log_error("no page left in the pool for a vCPU's VMCS and MSR bitmap");
		return ERR_NO_MEMORY;
	}
	*(uint32_t *)vmx->vmcs = (uint32_t)(rdmsr(MSR_VMX_BASIC) & VMX_BASIC_REVISION);
	vmx->timer_reload = (uint32_t)(ms_to_tsc(PREEMPTION_MS) >> vmx->controls.timer_rate);
	make_current(vmx);
	set_controls(vmx);
	set(VMCS_MSR_BITMAP, pool_address(vmx->msr_bitmap).value);
	set_host_state(vcpu);
	status = vmx_apic_create(vcpu);
	if (status)
		log_error("no page left in the pool for a vCPU's local APIC");
	return status;
}

void vmx_set_processor_control(struct vcpu *vcpu, uint32_t bit, bool on)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	vmx->processor = on ? vmx->processor | bit : vmx->processor & ~bit;
	vmwrite(VMCS_PROCESSOR_CONTROLS, vmx->processor);
}

static uint64_t read_current(void *context, uint32_t field)
{
	(void)context;
	return vmread(field);
}

unsigned vmx_audit_current(struct vcpu *vcpu)
{
	struct vmx_snapshot snapshot = {.read = read_current};

	vmx_read_capabilities(&snapshot.capabilities);
	return vmx_audit(&snapshot, entry_audit_log, vcpu);
}

/*
 * Start states
 */

/* Access bytes of descriptors (SDM 3A 3.4.5): present, DPL 0, accessed. */
#define ACCESS_DATA  0x093u
#define ACCESS_CODE  0x09Bu
#define ACCESS_TSS   0x08Bu /* busy, as an entry demands */
#define ACCESS_LDT   0x082u
#define ACCESS_32    0x400u /* D/B */
#define ACCESS_64    0x200u /* L */
#define ACCESS_PAGES 0x800u /* G */

struct start_state {
	struct segment code, data;
	uint64_t cr0, cr4, efer;
	uint32_t system_limit; /* GDTR, IDTR, LDTR, TR */
};

static const struct start_state start_states[] = {
	[START_PROTECTED] =
		{
			.code = {.limit = UINT32_MAX,
				 .selector = 0x08,
				 .access = ACCESS_CODE | ACCESS_32 | ACCESS_PAGES},
			.data = {.limit = UINT32_MAX,
				 .selector = 0x10,
				 .access = ACCESS_DATA | ACCESS_32 | ACCESS_PAGES},
			.cr0 = CR0_PE | CR0_ET,
			.system_limit = RESET_LIMIT,
		},
	[START_REAL] =
		{
			.code = {.limit = RESET_LIMIT, .access = ACCESS_CODE},
			.data = {.limit = RESET_LIMIT, .access = ACCESS_DATA},
			.cr0 = CR0_CD | CR0_NW | CR0_ET,
			.system_limit = RESET_LIMIT,
		},
	[START_LONG] =
		{
			.code = {.limit = UINT32_MAX,
				 .selector = 0x08,
				 .access = ACCESS_CODE | ACCESS_64 | ACCESS_PAGES},
			.data = {.limit = UINT32_MAX,
				 .selector = 0x10,
				 .access = ACCESS_DATA | ACCESS_32 | ACCESS_PAGES},
			.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG,
			.cr4 = CR4_PAE,
			.efer = EFER_LME | EFER_LMA,
			.system_limit = 0,
		},
	/* Documentation/x86/boot.rst, 64-bit boot protocol */
	[START_LINUX] =
		{
			.code = {.limit = UINT32_MAX,
				 .selector = 0x10,
				 .access = ACCESS_CODE | ACCESS_64 | ACCESS_PAGES},
			.data = {.limit = UINT32_MAX,
				 .selector = 0x18,
				 .access = ACCESS_DATA | ACCESS_32 | ACCESS_PAGES},
			.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG,
			.cr4 = CR4_PAE,
			.efer = EFER_LME | EFER_LMA,
			.system_limit = START_LINUX_GDT_SIZE - 1,
		},
};

/*
 * Bochs 2.7 refuses an entry into real mode where CS is a code segment and its RPL is not its DPL, which
 * hardware does not care for. A start-up vector leaves the low bits of its selector 0, so this state passes;
 * a far jump in real mode makes CS a data segment.
 */
static void load_segments(const struct start_state *state, const struct vcpu_start *start)
{
	struct segment code = state->code;
	struct segment task = {.limit = RESET_LIMIT, .access = ACCESS_TSS};
	struct segment local = {.limit = RESET_LIMIT, .access = ACCESS_LDT};

	if (start->kind == START_REAL) {
		code.selector = (uint16_t)(start->entry << REAL_CS_SHIFT);
		code.base = (uint64_t)code.selector << 4;
	}
	for (enum segment_index i = SEGMENT_ES; i <= SEGMENT_GS; i++)
		vmx_set_segment(i, &state->data);
	vmx_set_segment(SEGMENT_CS, &code);
	vmx_set_segment(SEGMENT_LDTR, &local);
	vmx_set_segment(SEGMENT_TR, &task);
	vmwrite(VMCS_GUEST_GDTR_BASE, start->gdt);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, state->system_limit);
	vmwrite(VMCS_GUEST_IDTR_BASE, 0);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, state->system_limit);
}

static void load_general_registers(struct vcpu *vcpu, const struct vcpu_start *start)
{
	memset(&vcpu->regs, 0, sizeof(vcpu->regs));
	switch (start->kind) {
	case START_PROTECTED:
		vcpu->regs.rax = MULTIBOOT_LOADED;
		vcpu->regs.rbx = start->context;
		break;
	case START_REAL:
		vcpu->regs.rdx = cpuid(1, 0).eax; /* the processor's signature, SDM 3A 9.1.2 */
		break;
	case START_LONG:
		vcpu->regs.rax = start->context;
		vcpu->regs.rdi = start->context;
		break;
	case START_LINUX: vcpu->regs.rsi = start->context; break;
	}
	vmwrite(VMCS_GUEST_RIP, start->kind == START_REAL ? 0 : start->entry);
	vmwrite(VMCS_GUEST_RSP, 0);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_RESERVED);
}

/* No event, no blocking, no debugging, no system-call entry. */
static void load_quiet_state(struct vmx_vcpu *vmx)
{
	static const struct {
		enum vmcs_field field;
		uint64_t value;
	} quiet[] = {
		{VMCS_GUEST_ACTIVITY, 0},     {VMCS_GUEST_INTERRUPTIBILITY, 0}, {VMCS_GUEST_PENDING_DEBUG, 0},
		{VMCS_ENTRY_EVENT, 0},	      {VMCS_GUEST_DEBUGCTL, 0},		{VMCS_GUEST_DR7, DR7_RESET},
		{VMCS_GUEST_PAT, PAT_RESET},  {VMCS_GUEST_SYSENTER_CS, 0},	{VMCS_GUEST_SYSENTER_ESP, 0},
		{VMCS_GUEST_SYSENTER_EIP, 0}, {VMCS_GUEST_PDPTE0, 0},		{VMCS_GUEST_PDPTE0 + 2, 0},
		{VMCS_GUEST_PDPTE0 + 4, 0},   {VMCS_GUEST_PDPTE0 + 6, 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(quiet); i++)
		vmwrite(quiet[i].field, quiet[i].value);
	vmx->processor = vmx->controls.processor; /* both windows shut */
	vmwrite(VMCS_PROCESSOR_CONTROLS, vmx->processor);
}

/* The guest's while it has the CPU, and switched by nobody. */
static void scrub_msrs(void)
{
	static const uint32_t zero_at_reset[] = {MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SYSCALL_MASK,
						 MSR_KERNEL_GS_BASE};

	for (unsigned i = 0; i < ARRAY_SIZE(zero_at_reset); i++)
		wrmsr(zero_at_reset[i], 0);
}

__attribute__((cold)) void vmx_vcpu_reset(struct vcpu *vcpu, const struct vcpu_start *start)
{
	const struct start_state *state = &start_states[start->kind];
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	hpa_t root = vcpu->partition->guest_map.root;

	make_current(vmx);
	vmx->launched = false;
	vcpu->window_open = false;
	load_quiet_state(vmx);
	vmx_apic_reset(vcpu);
	vmx_rearm_preemption(vcpu);
	load_segments(state, start);
	load_general_registers(vcpu, start);
	vmwrite(VMCS_GUEST_CR3, start->cr3);
	vmx_load_cr0(vcpu, state->cr0);
	vmx_load_cr4(vcpu, state->cr4);
	vmx_set_register(vcpu, VIRT_EFER, state->efer);
	vmwrite(VMCS_EPT_POINTER, ept_pointer(root));
	ept_invalidate(&vmx->controls, root);
	vpid_invalidate(&vmx->controls);
	scrub_msrs();
	guest_state_reset(vcpu);
	write_cr2(0);
	(void)vmx_audit_current(vcpu); /* what it finds is in the log; the CPU refuses the entry by itself */
}
