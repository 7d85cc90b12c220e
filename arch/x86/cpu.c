/*
 * What makes a CPU one of the hypervisor's: its control registers, and the choice of the virtualisation back
 * end.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/smp.h"
#include "hv/core/virt.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

/* Page attribute table: power-on values but for entry 1 (PWT alone), which is write-combining (SDM 3A 12.12).
 */
#define PAT_HOST 0x0007040600070106ull

#define CPUID_SVM_LEAF 0x80000001u
#define VENDOR_SIZE    13

const struct virt_ops *virt;
struct virt_features virt_features;

void cpu_set_controls(void)
{
	uint64_t cr4 = CR4_PAE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

	if (cpuid(1, 0).ecx & CPUID1_ECX_XSAVE)
		cr4 |= CR4_OSXSAVE;
	if (cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & CPUID7_EBX_SMEP)
		cr4 |= CR4_SMEP;
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
	write_cr4(cr4);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	wrmsr(MSR_PAT, PAT_HOST);
}

static void vendor_name(char name[VENDOR_SIZE])
{
	struct cpuid_result r = cpuid(0, 0);
	const uint32_t words[] = {r.ebx, r.edx, r.ecx};

	memcpy(name, words, sizeof(words));
	name[VENDOR_SIZE - 1] = '\0';
}

/* What the CPU offers decides; where it offers neither, its vendor does, for that back end knows what to
 * advise. */
static const struct virt_ops *offered(const char *vendor)
{
	if (cpuid(1, 0).ecx & CPUID1_ECX_VMX)
		return &vmx_ops;
	if (cpuid(CPUID_EXTENDED, 0).eax >= CPUID_SVM_LEAF &&
	    cpuid(CPUID_SVM_LEAF, 0).ecx & CPUID80000001_ECX_SVM)
		return &svm_ops;
	if (!strcmp(vendor, "GenuineIntel") || !strcmp(vendor, "CentaurHauls"))
		return &vmx_ops;
	if (!strcmp(vendor, "AuthenticAMD") || !strcmp(vendor, "HygonGenuine"))
		return &svm_ops;
	return NULL;
}

enum status cpu_select_virt(char message[VIRT_MESSAGE])
{
	char vendor[VENDOR_SIZE];

	vendor_name(vendor);
	virt = offered(vendor);
	if (virt)
		return virt->probe(&virt_features, message);
	format(message, VIRT_MESSAGE, "the CPU (\"%s\") offers neither VT-x nor SVM", vendor);
	return ERR_UNSUPPORTED;
}

/* What one CPU lacks, no guest may rely on. */
static void keep_common(const struct virt_features *mine)
{
	virt_features.nested_paging &= mine->nested_paging;
	virt_features.unrestricted_guest &= mine->unrestricted_guest;
	virt_features.large_pages &= mine->large_pages;
	virt_features.giant_pages &= mine->giant_pages;
	virt_features.tagged_tlb &= mine->tagged_tlb;
	virt_features.next_rip &= mine->next_rip;
	virt_features.preemption_timer &= mine->preemption_timer;
	virt_features.virtual_apic &= mine->virtual_apic;
	virt_features.invpcid &= mine->invpcid;
	virt_features.rdtscp &= mine->rdtscp;
	virt_features.xsaves &= mine->xsaves;
	virt_features.tags = MIN(virt_features.tags, mine->tags);
}

enum status cpu_enable_virt(char message[VIRT_MESSAGE])
{
	struct virt_features mine = {0};
	enum status status = virt->probe(&mine, message);

	if (!status)
		status = virt->cpu_enable(message);
	if (status)
		return status;
	this_cpu->virt_enabled = true;
	keep_common(&mine);
	return OK;
}
