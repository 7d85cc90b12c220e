/*
 * SVM on a CPU: is it there, is it allowed, is it enough (APM 2 15.4), and the table of the back end.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/svm/svm.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define CPUID_EXTENDED_FEATURES 0x80000001u

/* VM_CR, APM 2 15.30.1 */
#define VM_CR_LOCK	   (1ull << 3)
#define VM_CR_SVM_DISABLED (1ull << 4)

#define ASIDS_NEEDED 2 /* 0 is the hypervisor's, 1 the guest's */

static enum status refuse(char message[VIRT_MESSAGE], const char *why)
{
	string_copy(message, why, VIRT_MESSAGE);
	return ERR_UNSUPPORTED;
}

enum status svm_probe(struct virt_features *features, char message[VIRT_MESSAGE])
{
	struct cpuid_result extended, svm;

	*features = (struct virt_features){0};
	if (cpuid(CPUID_EXTENDED, 0).eax < CPUID_SVM)
		return refuse(message, "no SVM (AMD-V): CPUID has no leaf 8000000Ah");
	extended = cpuid(CPUID_EXTENDED_FEATURES, 0);
	if (!(extended.ecx & CPUID80000001_ECX_SVM))
		return refuse(message, "no SVM (AMD-V): CPUID 80000001h ECX bit 2 is clear");
	if ((rdmsr(MSR_VM_CR) & (VM_CR_SVM_DISABLED | VM_CR_LOCK)) == (VM_CR_SVM_DISABLED | VM_CR_LOCK))
		return refuse(
			message,
			"SVM is switched off and locked by firmware (VM_CR): enable SVM or AMD-V in the "
			"firmware setup");
	svm = cpuid(CPUID_SVM, 0);
	if (!(svm.edx & SVM_EDX_NESTED_PAGES))
		return refuse(message, "SVM without nested paging: CPUID 8000000Ah EDX bit 0 is clear");
	if (svm.ebx < ASIDS_NEEDED)
		return refuse(message,
			      "SVM without address space identifiers: CPUID 8000000Ah EBX is below 2");
	features->nested_paging = true;
	features->unrestricted_guest = true;
	features->large_pages = true;
	features->giant_pages = extended.edx & CPUID80000001_EDX_GIANT_PAGES;
	features->tagged_tlb = true;
	features->invpcid = features->rdtscp = features->xsaves = true; /* not intercepted */
	features->next_rip = svm.edx & SVM_EDX_NEXT_RIP;
	features->tags = svm.ebx;
	return OK;
}

enum status svm_cpu_enable(char message[VIRT_MESSAGE])
{
	void *save_area = pool_allocate(1);

	if (!save_area)
		return refuse(message, "no memory for the SVM host save area");
	/* Not locked, or svm_probe() would have refused. */
	if (rdmsr(MSR_VM_CR) & VM_CR_SVM_DISABLED)
		wrmsr(MSR_VM_CR, rdmsr(MSR_VM_CR) & ~VM_CR_SVM_DISABLED);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, pool_address(save_area).value);
	return OK;
}

void svm_cpu_disable(void)
{
	hpa_t save_area = hpa(rdmsr(MSR_VM_HSAVE_PA));

	/* GIF must be set when SVME goes, or nothing could set it any more. */
	__asm__ volatile("stgi" ::: "memory");
	wrmsr(MSR_VM_HSAVE_PA, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	if (save_area.value)
		pool_release(pool_reach(save_area), 1);
}

#define CR4_ALWAYS                                                                                           \
	(CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |            \
	 CR4_OSFXSR | CR4_OSXMMEXCPT)
#define CR4_CET (1ull << 23)
/* What every 64-bit CPU has, and what the CPUID bits tell of (APM 2 3.1.3). */
static uint64_t defined_cr4(void)
{
	enum { LEAF_1_ECX, LEAF_7_EBX, LEAF_7_ECX, WORDS };
	static const struct {
		uint8_t word, bit;
		uint64_t cr4;
	} offers[] = {
		{LEAF_1_ECX, 17, CR4_PCIDE}, {LEAF_1_ECX, 26, CR4_OSXSAVE}, {LEAF_7_EBX, 0, CR4_FSGSBASE},
		{LEAF_7_EBX, 7, CR4_SMEP},   {LEAF_7_EBX, 20, CR4_SMAP},    {LEAF_7_ECX, 2, CR4_UMIP},
		{LEAF_7_ECX, 3, CR4_PKE},    {LEAF_7_ECX, 7, CR4_CET},	    {LEAF_7_ECX, 16, CR4_LA57},
	};
	struct cpuid_result seven = cpuid(0, 0).eax >= 7 ? cpuid(7, 0) : (struct cpuid_result){0};
	const uint32_t words[WORDS] = {cpuid(1, 0).ecx, seven.ebx, seven.ecx};
	uint64_t defined = CR4_ALWAYS;

	for (unsigned i = 0; i < ARRAY_SIZE(offers); i++)
		if (words[offers[i].word] >> offers[i].bit & 1)
			defined |= offers[i].cr4;
	return defined;
}

unsigned svm_audit_vcpu(struct vcpu *vcpu)
{
	struct cpuid_result svm = cpuid(CPUID_SVM, 0);
	struct svm_capabilities capabilities = {
		.physical_bits = cpuid(CPUID_ADDRESS_SIZES, 0).eax & CPUID_PHYSICAL_BITS,
		.linear_bits = cpuid(CPUID_ADDRESS_SIZES, 0).eax >> CPUID_LINEAR_SHIFT & CPUID_LINEAR_BITS,
		.asids = svm.ebx,
		.cr4_defined = defined_cr4(),
		.flush_by_asid = svm.edx & SVM_EDX_FLUSH_BY_ASID,
	};

	return svm_audit(svm_vmcb(vcpu), &capabilities, entry_audit_log, vcpu);
}

const struct virt_ops svm_ops = {
	.name = "SVM",
	.probe = svm_probe,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.guest_format = &npt_format,
	.vcpu_create = svm_vcpu_create,
	.vcpu_reset = svm_vcpu_reset,
	.vcpu_run = svm_vcpu_run,
	.get_register = svm_get_register,
	.set_register = svm_set_register,
	.get_segment = svm_get_segment,
	.get_code = svm_get_code,
	.can_interrupt = svm_can_interrupt,
	.inject_interrupt = svm_inject_interrupt,
	.inject_nmi = svm_inject_nmi,
	.inject_exception = svm_inject_exception,
	.interrupt_window = svm_interrupt_window,
	.restore_host = svm_restore_host,
	.flush_guest_tlb = svm_flush_guest_tlb,
	.reason_name = svm_reason_name,
	.describe_exit = svm_describe_exit,
};
