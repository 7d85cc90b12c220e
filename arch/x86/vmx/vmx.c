/*
 * VT-x on one CPU: is it there, does it have what we need, switch it on and off. Control fields are chosen
 * from the capability MSRs as SDM 3D A.3 to A.5 lay down: what we want and what must be set, less what cannot
 * be. What we need is then looked for in the result, and the first thing missing is named.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/core/partition.h"
#include "hv/lib/printf.h"
#include "hv/mem/pool.h"

static const struct {
	const char *name;
	uint32_t msr, true_msr;
} words[WORDS] = {
	[WORD_PIN] = {"IA32_VMX_PINBASED_CTLS", MSR_VMX_PINBASED_CTLS, MSR_VMX_TRUE_PINBASED_CTLS},
	[WORD_PROCESSOR] = {"IA32_VMX_PROCBASED_CTLS", MSR_VMX_PROCBASED_CTLS, MSR_VMX_TRUE_PROCBASED_CTLS},
	[WORD_SECONDARY] = {"IA32_VMX_PROCBASED_CTLS2", MSR_VMX_PROCBASED_CTLS2, MSR_VMX_PROCBASED_CTLS2},
	[WORD_EXIT] = {"IA32_VMX_EXIT_CTLS", MSR_VMX_EXIT_CTLS, MSR_VMX_TRUE_EXIT_CTLS},
	[WORD_ENTRY] = {"IA32_VMX_ENTRY_CTLS", MSR_VMX_ENTRY_CTLS, MSR_VMX_TRUE_ENTRY_CTLS},
};

enum need {
	REQUIRED,	/* must be 1 */
	REQUIRED_CLEAR, /* must be 0: its exits are not served */
	OPTIONAL	/* 1 where the CPU can */
};

/* In the order in which a weak CPU's shortcomings are worth telling. */
static const struct control {
	enum vmx_word word;
	uint32_t bit;
	enum need need;
	const char *name;
} controls_wanted[] = {
	{WORD_SECONDARY, SECONDARY_EPT, REQUIRED, "EPT"},
	{WORD_PROCESSOR, PROCESSOR_SECONDARY, REQUIRED, "secondary controls"},
	{WORD_PIN, PIN_EXTERNAL_INTERRUPT, REQUIRED, "external-interrupt exiting"},
	{WORD_PIN, PIN_NMI, REQUIRED, "NMI exiting"},
	{WORD_PIN, PIN_VIRTUAL_NMI, REQUIRED, "virtual NMIs"},
	{WORD_PIN, PIN_PREEMPTION_TIMER, OPTIONAL, "preemption timer"},
	{WORD_PROCESSOR, PROCESSOR_HLT, REQUIRED, "HLT exiting"},
	{WORD_PROCESSOR, PROCESSOR_MWAIT, REQUIRED, "MWAIT exiting"},
	{WORD_PROCESSOR, PROCESSOR_MONITOR, REQUIRED, "MONITOR exiting"},
	{WORD_PROCESSOR, PROCESSOR_RDPMC, REQUIRED, "RDPMC exiting"},
	{WORD_PROCESSOR, PROCESSOR_CR8_LOAD, REQUIRED, "CR8-load exiting"},
	{WORD_PROCESSOR, PROCESSOR_CR8_STORE, REQUIRED, "CR8-store exiting"},
	{WORD_PROCESSOR, PROCESSOR_IO, REQUIRED, "unconditional I/O exiting"},
	{WORD_PROCESSOR, PROCESSOR_MSR_BITMAP, REQUIRED, "MSR bitmaps"},
	{WORD_PROCESSOR, PROCESSOR_CR3_LOAD, REQUIRED_CLEAR, "CR3-load exiting"},
	{WORD_PROCESSOR, PROCESSOR_CR3_STORE, REQUIRED_CLEAR, "CR3-store exiting"},
	{WORD_SECONDARY, SECONDARY_UNRESTRICTED, OPTIONAL, "unrestricted guest"},
	{WORD_SECONDARY, SECONDARY_VPID, OPTIONAL, "VPID"},
	{WORD_SECONDARY, SECONDARY_WBINVD, OPTIONAL, "WBINVD exiting"},
	{WORD_SECONDARY, SECONDARY_RDTSCP, OPTIONAL, "RDTSCP"},
	{WORD_SECONDARY, SECONDARY_INVPCID, OPTIONAL, "INVPCID"},
	{WORD_SECONDARY, SECONDARY_XSAVES, OPTIONAL, "XSAVES"},
	{WORD_PROCESSOR, PROCESSOR_TPR_SHADOW, OPTIONAL, "TPR shadow"},
	{WORD_SECONDARY, SECONDARY_APIC_ACCESS, OPTIONAL, "virtual APIC accesses"},
	{WORD_SECONDARY, SECONDARY_X2APIC, OPTIONAL, "virtual x2APIC mode"},
	{WORD_SECONDARY, SECONDARY_APIC_REGISTERS, OPTIONAL, "virtual APIC registers"},
	{WORD_SECONDARY, SECONDARY_INTERRUPT_DELIVERY, OPTIONAL, "virtual-interrupt delivery"},
	{WORD_EXIT, VMEXIT_SAVE_DEBUG, REQUIRED, "save debug controls"},
	{WORD_EXIT, VMEXIT_HOST_64, REQUIRED, "host address-space size"},
	{WORD_EXIT, VMEXIT_SAVE_PAT, REQUIRED, "save IA32_PAT"},
	{WORD_EXIT, VMEXIT_LOAD_PAT, REQUIRED, "load IA32_PAT"},
	{WORD_EXIT, VMEXIT_SAVE_EFER, REQUIRED, "save IA32_EFER"},
	{WORD_EXIT, VMEXIT_LOAD_EFER, REQUIRED, "load IA32_EFER"},
	{WORD_EXIT, VMEXIT_SAVE_TIMER, OPTIONAL, "save preemption timer"},
	{WORD_ENTRY, VMENTRY_LOAD_DEBUG, REQUIRED, "load debug controls"},
	{WORD_ENTRY, VMENTRY_IA32E, REQUIRED, "IA-32e mode guest"},
	{WORD_ENTRY, VMENTRY_LOAD_PAT, REQUIRED, "load IA32_PAT"},
	{WORD_ENTRY, VMENTRY_LOAD_EFER, REQUIRED, "load IA32_EFER"},
};

static unsigned bit_number(uint32_t bit)
{
	return (unsigned)__builtin_ctz(bit);
}

/* Low half: bits that must be 1. High half: bits that may be 1. The second word has an MSR only where it can
 * be on. */
static uint64_t allowed_settings(enum vmx_word word, bool have_true)
{
	if (word == WORD_SECONDARY && !(rdmsr(words[WORD_PROCESSOR].msr) >> 32 & PROCESSOR_SECONDARY))
		return 0;
	return rdmsr(have_true ? words[word].true_msr : words[word].msr);
}

static enum status choose_controls(uint32_t chosen[WORDS], bool have_true, char message[VIRT_MESSAGE])
{
	for (enum vmx_word word = 0; word < WORDS; word++) {
		uint64_t allowed = allowed_settings(word, have_true);

		chosen[word] = 0;
		for (unsigned i = 0; i < ARRAY_SIZE(controls_wanted); i++)
			if (controls_wanted[i].word == word && controls_wanted[i].need != REQUIRED_CLEAR)
				chosen[word] |= controls_wanted[i].bit;
		chosen[word] = (chosen[word] | (uint32_t)allowed) & (uint32_t)(allowed >> 32);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(controls_wanted); i++) {
		const struct control *control = &controls_wanted[i];
		bool found = chosen[control->word] & control->bit;

		if (control->need == OPTIONAL || found == (control->need == REQUIRED))
			continue;
		format(message, VIRT_MESSAGE, "%s %s (%s bit %u): found %d, needed %d", control->name,
		       found ? "cannot be switched off" : "is missing", words[control->word].name,
		       bit_number(control->bit), found, !found);
		return ERR_UNSUPPORTED;
	}
	return OK;
}

/* A local APIC is served by the CPU in all its modes or not at all: apic.c switches these on and off. */
static void set_apart_apic(struct vmx_controls *controls)
{
	const uint32_t wanted = SECONDARY_APIC_ACCESS | SECONDARY_X2APIC | SECONDARY_APIC_REGISTERS |
				SECONDARY_INTERRUPT_DELIVERY;

	controls->virtual_apic =
		(controls->processor & PROCESSOR_TPR_SHADOW) && (controls->secondary & wanted) == wanted;
	controls->processor &= ~PROCESSOR_TPR_SHADOW;
	controls->secondary &= ~wanted;
}

/* Half a feature is none: what only works together is dropped together. */
static void drop_lonely_controls(struct vmx_controls *controls)
{
	const uint64_t invvpid = EPT_CAP_INVVPID_SINGLE | EPT_CAP_INVVPID_ALL;

	if (!(controls->exit & VMEXIT_SAVE_TIMER) || !(controls->pin & PIN_PREEMPTION_TIMER)) {
		controls->exit &= ~VMEXIT_SAVE_TIMER;
		controls->pin &= ~PIN_PREEMPTION_TIMER;
	}
	if (!(controls->ept_caps & EPT_CAP_INVVPID) || !(controls->ept_caps & invvpid))
		controls->secondary &= ~SECONDARY_VPID;
}

static enum status check_ept(uint64_t caps, char message[VIRT_MESSAGE])
{
	static const struct {
		uint64_t any_of;
		const char *name;
	} needed[] = {
		{EPT_CAP_WALK_4, "EPT with a page walk of 4 levels"},
		{EPT_CAP_WRITE_BACK, "EPT tables in write-back memory"},
		{EPT_CAP_INVEPT, "INVEPT"},
		{EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL, "INVEPT of one context or of all"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(needed); i++) {
		if (caps & needed[i].any_of)
			continue;
		format(message, VIRT_MESSAGE,
		       "%s is missing (IA32_VMX_EPT_VPID_CAP): found %llx, needed a bit of %llx",
		       needed[i].name, (unsigned long long)caps, (unsigned long long)needed[i].any_of);
		return ERR_UNSUPPORTED;
	}
	return OK;
}

static enum status check_basic(uint64_t basic, char message[VIRT_MESSAGE])
{
	unsigned type = (unsigned)(basic >> VMX_BASIC_MEMORY_TYPE_SHIFT & VMX_BASIC_MEMORY_TYPE);

	if (!(basic & VMX_BASIC_STRING_INFO)) {
		format(message, VIRT_MESSAGE,
		       "instruction information on INS and OUTS is missing (IA32_VMX_BASIC bit 54): "
		       "found 0, needed 1");
		return ERR_UNSUPPORTED;
	}
	if (type != MEMORY_TYPE_WB) {
		format(message, VIRT_MESSAGE,
		       "VMCS in write-back memory is missing (IA32_VMX_BASIC bits 53:50): found %u, "
		       "needed %u",
		       type, MEMORY_TYPE_WB);
		return ERR_UNSUPPORTED;
	}
	return OK;
}

enum status vmx_read_controls(struct vmx_controls *controls, char message[VIRT_MESSAGE])
{
	uint64_t basic = rdmsr(MSR_VMX_BASIC);
	uint32_t chosen[WORDS];
	enum status status = choose_controls(chosen, basic & VMX_BASIC_TRUE_CONTROLS, message);

	if (status)
		return status;
	*controls = (struct vmx_controls){
		.pin = chosen[WORD_PIN],
		.processor = chosen[WORD_PROCESSOR],
		.secondary = chosen[WORD_SECONDARY],
		.exit = chosen[WORD_EXIT],
		.entry = chosen[WORD_ENTRY] & ~VMENTRY_IA32E, /* follows EFER.LMA */
		.ept_caps = rdmsr(MSR_VMX_EPT_VPID_CAP),
		.cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0),
		.cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1),
		.cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0),
		.cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1),
		.timer_rate = (unsigned)(rdmsr(MSR_VMX_MISC) & VMX_MISC_TIMER_RATE),
	};
	drop_lonely_controls(controls);
	set_apart_apic(controls);
	status = check_ept(controls->ept_caps, message);
	return status ? status : check_basic(basic, message);
}

void vmx_read_capabilities(struct vmx_capabilities *capabilities)
{
	uint64_t basic = rdmsr(MSR_VMX_BASIC);

	*capabilities = (struct vmx_capabilities){
		.basic = basic,
		.misc = rdmsr(MSR_VMX_MISC),
		.ept_vpid = rdmsr(MSR_VMX_EPT_VPID_CAP),
		.cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0),
		.cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1),
		.cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0),
		.cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1),
		.physical_bits = cpuid(CPUID_ADDRESS_SIZES, 0).eax & CPUID_PHYSICAL_BITS,
		.linear_bits = cpuid(CPUID_ADDRESS_SIZES, 0).eax >> CPUID_LINEAR_SHIFT & CPUID_LINEAR_BITS,
	};
	for (enum vmx_word word = 0; word < WORDS; word++)
		capabilities->allowed[word] = allowed_settings(word, basic & VMX_BASIC_TRUE_CONTROLS);
}

/* IA32_FEATURE_CONTROL (SDM 3C 24.7): locked without VMXON is the firmware's last word. */
static enum status check_firmware_switch(char message[VIRT_MESSAGE])
{
	uint64_t value = rdmsr(MSR_FEATURE_CONTROL);

	if (!(value & FEATURE_CONTROL_LOCK) || (value & FEATURE_CONTROL_VMXON))
		return OK;
	format(message, VIRT_MESSAGE,
	       "VT-x is locked off (IA32_FEATURE_CONTROL): found %llx, needed bit 2; enable Virtualization "
	       "Technology in "
	       "the firmware setup",
	       (unsigned long long)value);
	return ERR_UNSUPPORTED;
}

static enum status vmx_probe(struct virt_features *features, char message[VIRT_MESSAGE])
{
	struct vmx_controls controls;
	enum status status;

	if (!(cpuid(1, 0).ecx & CPUID1_ECX_VMX)) {
		format(message, VIRT_MESSAGE, "VT-x is missing (CPUID 1 ECX bit 5): found 0, needed 1");
		return ERR_UNSUPPORTED;
	}
	status = check_firmware_switch(message);
	if (!status)
		status = vmx_read_controls(&controls, message);
	if (status)
		return status;
	*features = (struct virt_features){
		.nested_paging = true,
		.unrestricted_guest = controls.secondary & SECONDARY_UNRESTRICTED,
		.large_pages = controls.ept_caps & EPT_CAP_2M,
		.giant_pages = controls.ept_caps & EPT_CAP_1G,
		.tagged_tlb = controls.secondary & SECONDARY_VPID,
		.next_rip = true, /* the instruction length, which is the same to the core */
		.preemption_timer = controls.pin & PIN_PREEMPTION_TIMER,
		.virtual_apic = controls.virtual_apic,
		.invpcid = controls.secondary & SECONDARY_INVPCID,
		.rdtscp = controls.secondary & SECONDARY_RDTSCP,
		.xsaves = controls.secondary & SECONDARY_XSAVES,
		.tags = controls.secondary & SECONDARY_VPID ? UINT16_MAX : 0,
	};
	return OK;
}

/* CR0 and CR4 as VMXON demands them (24.8). */
static void prepare_control_registers(void)
{
	write_cr0((read_cr0() | rdmsr(MSR_VMX_CR0_FIXED0)) & rdmsr(MSR_VMX_CR0_FIXED1));
	write_cr4((read_cr4() | rdmsr(MSR_VMX_CR4_FIXED0)) & rdmsr(MSR_VMX_CR4_FIXED1));
}

static bool vmxon(hpa_t region)
{
	bool failed;

	__asm__ volatile("vmxon %1" : "=@ccbe"(failed) : "m"(region.value) : "memory");
	return !failed;
}

static enum status vmx_cpu_enable(char message[VIRT_MESSAGE])
{
	uint64_t feature_control = rdmsr(MSR_FEATURE_CONTROL);
	uint32_t *region = pool_allocate(1);

	if (!region) {
		format(message, VIRT_MESSAGE, "no page left in the pool for the VMXON region");
		return ERR_NO_MEMORY;
	}
	if (!(feature_control & FEATURE_CONTROL_LOCK))
		wrmsr(MSR_FEATURE_CONTROL, feature_control | FEATURE_CONTROL_VMXON | FEATURE_CONTROL_LOCK);
	prepare_control_registers();
	*region = (uint32_t)(rdmsr(MSR_VMX_BASIC) & VMX_BASIC_REVISION);
	if (!vmxon(pool_address(region))) {
		pool_release(region, 1);
		format(message, VIRT_MESSAGE, "VMXON failed: IA32_FEATURE_CONTROL %llx, CR0 %llx, CR4 %llx",
		       (unsigned long long)rdmsr(MSR_FEATURE_CONTROL), (unsigned long long)read_cr0(),
		       (unsigned long long)read_cr4());
		return ERR_UNSUPPORTED;
	}
	vmx_of(this_vcpu)->vmxon_region = region;
	return OK;
}

/* Before firmware or a panic gets the CPU: in VMX operation it would ignore INIT. */
static void vmx_cpu_disable(void)
{
	if (!vmx_of(this_vcpu)->vmxon_region)
		return;
	__asm__ volatile("vmxoff" : : : "cc", "memory");
	write_cr4(read_cr4() & ~CR4_VMXE);
	vmx_of(this_vcpu)->vmxon_region = NULL;
}

/* Straight into the guest unless somebody wants something of the vCPU. Comes back when it has to leave. */
static void vmx_vcpu_run(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	bool launched = vmx->launched;

	if (vcpu->shared->requests && !vcpu_service(vcpu))
		return;
	vmx->launched = true;
	vmx_enter(launched);
}

static void vmx_flush_guest_tlb(struct vcpu *vcpu)
{
	ept_invalidate(&vmx_of(vcpu)->controls, vcpu->partition->guest_map.root);
}

const struct virt_ops vmx_ops = {
	.name = "VT-x",
	.probe = vmx_probe,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.guest_format = &ept_format,
	.vcpu_create = vmx_vcpu_create,
	.vcpu_reset = vmx_vcpu_reset,
	.vcpu_run = vmx_vcpu_run,
	.get_register = vmx_get_register,
	.set_register = vmx_set_register,
	.get_segment = vmx_get_segment,
	.get_code = vmx_get_code,
	.can_interrupt = vmx_can_interrupt,
	.inject_interrupt = vmx_inject_interrupt,
	.inject_nmi = vmx_inject_nmi,
	.inject_exception = vmx_inject_exception,
	.interrupt_window = vmx_interrupt_window,
	.serve_apic = vmx_serve_apic,
	.flush_guest_tlb = vmx_flush_guest_tlb,
	.reason_name = vmx_reason_name,
	.describe_exit = vmx_describe_exit,
};
