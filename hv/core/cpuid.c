/*
 * What CPUID shows. A guest gets the machine's own answers through masks that name what it may have: a
 * feature the hypervisor does not know, or has to keep for itself, is not there. Answers that never change
 * are put into one table at boot, so that an exit is a look-up; the few that depend on the vCPU or a subleaf
 * are patched or computed on the way.
 *
 * SDM 2A, CPUID; APM 3, appendix E.
 */
#include <bulkhead/abi.h>

#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "hv/core/cpuid.h"
#include "hv/core/exit.h"
#include "hv/core/partition.h"
#include "hv/core/virt.h"

#define BASIC_LEAVES	0x16u
#define EXTENDED_BASE	0x80000000u
#define EXTENDED_LEAVES 0x9u
#define BIT(n)		(1u << (n))

#define LEAF_FEATURES	0x1u
#define LEAF_CACHES	0x4u
#define LEAF_STRUCTURED 0x7u
#define LEAF_TOPOLOGY	0xBu
#define LEAF_XSAVE	0xDu
#define LEAF_CRYSTAL	0x15u

static struct cpuid_result basic[BASIC_LEAVES];
static struct cpuid_result extended[EXTENDED_LEAVES];

/* Leaf 1 ECX: SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND. */
#define ALLOW_1_ECX                                                                                          \
	(BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) | BIT(23) |    \
	 BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
/* Leaf 1 EDX: FPU VME DE PSE TSC MSR PAE CX8 SEP PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2; not MCE, MCA,
 * MTRR, APIC. */
#define ALLOW_1_EDX                                                                                          \
	(BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(11) | BIT(13) |         \
	 BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26))
#define FEATURE_1_EDX_APIC BIT(9)
#define FEATURE_1_EDX_HTT  BIT(28)
/* Leaf 7 EBX: FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512F/DQ RDSEED ADX SMAP IFMA CLFLUSHOPT CLWB CD
 * SHA BW VL. */
#define ALLOW_7_EBX                                                                                          \
	(BIT(0) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(16) | BIT(17) | BIT(18) |       \
	 BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
/* Leaf 7 ECX: VBMI UMIP VBMI2 GFNI VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ; EDX: none (speculation controls are
 * ours). */
#define ALLOW_7_ECX (BIT(1) | BIT(2) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14))
/* 8000_0001h ECX: LAHF ABM SSE4A MISALIGNSSE 3DNOWPREFETCH; EDX: as leaf 1, and SYSCALL NX MMXEXT FFXSR 1GB
 * RDTSCP LM. MCE, APIC, MTRR and MCA stand in EDX as in leaf 1. */
#define ALLOW_E1_ECX		 (BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(8))
#define ALLOW_E1_EDX		 (0x0183E3FFu | BIT(11) | BIT(20) | BIT(22) | BIT(25) | BIT(26) | BIT(27) | BIT(29))
#define ALLOW_E1_EDX_HIDDEN	 (BIT(7) | BIT(9) | BIT(12) | BIT(14))
#define INVARIANT_TSC		 BIT(8)
#define ARAT			 BIT(2)
#define XSAVE_ALLOWED_STATES	 0xE7u /* x87 SSE AVX, AVX-512 */
#define XSAVE_ALLOWED_EXTENSIONS 0x7u  /* XSAVEOPT XSAVEC XGETBV1; no supervisor states */

/*
 * The local APIC's timer counts the TSC, and the machine's own crystal is none of a guest's business: a guest
 * takes what is told here for the frequency of both.
 */
static void build_crystal(void)
{
	uint64_t tsc_hz = tsc_khz * 1000ull;

	if (tsc_hz <= UINT32_MAX)
		basic[LEAF_CRYSTAL] = (struct cpuid_result){1, 1, (uint32_t)tsc_hz, 0};
}

static void build_basic(void)
{
	uint32_t host_last = cpuid(0, 0).eax;

	for (uint32_t leaf = 0; leaf < BASIC_LEAVES && leaf <= host_last; leaf++)
		basic[leaf] = cpuid(leaf, 0);
	basic[0].eax = MIN(host_last, BASIC_LEAVES - 1);
	basic[1].ecx = (basic[1].ecx & ALLOW_1_ECX) | CPUID1_ECX_HYPERVISOR;
	basic[1].edx &= ALLOW_1_EDX;
	basic[1].ebx &= 0xFFFF; /* brand, CLFLUSH size; APIC id and count are the vCPU's */
	basic[6] = (struct cpuid_result){.eax = ARAT};
	basic[7] =
		(struct cpuid_result){.ebx = basic[7].ebx & ALLOW_7_EBX, .ecx = basic[7].ecx & ALLOW_7_ECX};
	basic[3] = basic[5] = basic[8] = basic[9] = basic[0xA] = (struct cpuid_result){0};
	for (uint32_t leaf = LEAF_XSAVE + 1; leaf < BASIC_LEAVES; leaf++)
		basic[leaf] = (struct cpuid_result){0};
	build_crystal();
}

static void build_extended(void)
{
	uint32_t host_last = cpuid(EXTENDED_BASE, 0).eax - EXTENDED_BASE;

	for (uint32_t leaf = 0; leaf < EXTENDED_LEAVES && leaf <= host_last; leaf++)
		extended[leaf] = cpuid(EXTENDED_BASE + leaf, 0);
	extended[0].eax = EXTENDED_BASE + MIN(host_last, EXTENDED_LEAVES - 1);
	extended[1].ecx &= ALLOW_E1_ECX;
	extended[1].edx &= ALLOW_E1_EDX & ~ALLOW_E1_EDX_HIDDEN;
	extended[7] = (struct cpuid_result){.edx = extended[7].edx & INVARIANT_TSC};
	extended[8] = (struct cpuid_result){.eax = extended[8].eax & 0xFFFF};
}

void cpuid_build(void)
{
	build_basic();
	build_extended();
}

/* Leaves 4, 0Bh and 0Dh: what depends on the subleaf. */
static struct cpuid_result caches(const struct vcpu *vcpu, uint32_t subleaf)
{
	struct cpuid_result result = cpuid(LEAF_CACHES, subleaf);

	/* EAX 31:26 cores - 1 in the package; 25:14 threads - 1 sharing the cache: none, each vCPU is a core.
	 */
	if (result.eax & 0x1F)
		result.eax = (result.eax & 0x3FFF) | (vcpu->partition->vcpu_count - 1) << 26;
	return result;
}

static struct cpuid_result topology(const struct vcpu *vcpu, uint32_t subleaf)
{
	uint32_t count = vcpu->partition->vcpu_count, shift = 0;

	while ((1u << shift) < count)
		shift++;
	switch (subleaf) {
	case 0: return (struct cpuid_result){0, 1, 1u << 8, vcpu->shared->index};	      /* threads */
	case 1: return (struct cpuid_result){shift, count, 2u << 8 | 1, vcpu->shared->index}; /* cores */
	default: return (struct cpuid_result){0, 0, subleaf & 0xFF, vcpu->shared->index};
	}
}

/* XCR0 in the CPU is the guest's, so the machine's own sizes (EBX) are right. */
static struct cpuid_result xsave(uint32_t subleaf)
{
	struct cpuid_result result = cpuid(LEAF_XSAVE, subleaf);

	if (subleaf == 0)
		return (struct cpuid_result){result.eax & XSAVE_ALLOWED_STATES, result.ebx, result.ecx, 0};
	if (subleaf == 1)
		return (struct cpuid_result){result.eax & XSAVE_ALLOWED_EXTENSIONS, result.ebx, 0, 0};
	if (subleaf < 32 && (XSAVE_ALLOWED_STATES >> subleaf & 1))
		return result;
	return (struct cpuid_result){0};
}

static struct cpuid_result features(struct vcpu *vcpu)
{
	struct cpuid_result result = basic[LEAF_FEATURES];
	uint32_t count = vcpu->partition->vcpu_count;

	result.ebx |= vcpu->shared->index << 24 | count << 16;
	if (count > 1)
		result.edx |= FEATURE_1_EDX_HTT;
	if ((result.ecx & CPUID1_ECX_XSAVE) && (virt->get_register(vcpu, VIRT_CR4) & CR4_OSXSAVE))
		result.ecx |= CPUID1_ECX_OSXSAVE;
	if (vcpu->lapic) {
		result.ecx |= CPUID1_ECX_X2APIC | CPUID1_ECX_TSC_DEADLINE;
		if (vcpu->apic_base & APIC_BASE_ENABLE)
			result.edx |= FEATURE_1_EDX_APIC;
		if (!vcpu->partition->config->hypervisor_leaf)
			result.ecx &= ~CPUID1_ECX_HYPERVISOR;
	}
	return result;
}

static struct cpuid_result hypervisor(const struct vcpu *vcpu, uint32_t leaf)
{
	const struct partition *partition = vcpu->partition;
	uint32_t flags =
		(virt == &svm_ops ? BH_CPUID_ABI_VMMCALL : 0) | (vcpu->lapic ? 0 : BH_CPUID_ABI_PARA);

	if (vcpu->lapic && !partition->config->hypervisor_leaf)
		return (struct cpuid_result){0};
	switch (leaf) {
	case BH_CPUID_BASE:
		return (struct cpuid_result){BH_CPUID_CLOCK, BH_SIGNATURE_EBX, BH_SIGNATURE_ECX,
					     BH_SIGNATURE_EDX};
	case BH_CPUID_ABI:
		return (struct cpuid_result){BH_ABI_REVISION, (partition->id + 1) | vcpu->shared->index << 16,
					     flags, 0};
	case BH_CPUID_CLOCK: return (struct cpuid_result){tsc_khz, vcpu->lapic ? tsc_khz : 0, 0, 0};
	default: return (struct cpuid_result){0};
	}
}

static struct cpuid_result special(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	switch (leaf) {
	case LEAF_FEATURES: return features(vcpu);
	case LEAF_CACHES: return caches(vcpu, subleaf);
	case LEAF_STRUCTURED: return subleaf == 0 ? basic[LEAF_STRUCTURED] : (struct cpuid_result){0};
	case LEAF_TOPOLOGY: return topology(vcpu, subleaf);
	case LEAF_XSAVE: return xsave(subleaf);
	default: return hypervisor(vcpu, leaf);
	}
}

#define SPECIAL_LEAVES                                                                                       \
	(BIT(LEAF_FEATURES) | BIT(LEAF_CACHES) | BIT(LEAF_STRUCTURED) | BIT(LEAF_TOPOLOGY) | BIT(LEAF_XSAVE))

static inline void answer(struct vcpu *vcpu, const struct cpuid_result *result)
{
	vcpu->regs.rax = result->eax;
	vcpu->regs.rbx = result->ebx;
	vcpu->regs.rcx = result->ecx;
	vcpu->regs.rdx = result->edx;
}

/* Out of line, so that a look-up needs no stack frame for all this. */
static __attribute__((noinline)) void answer_specially(struct vcpu *vcpu, uint32_t leaf)
{
	struct cpuid_result result = special(vcpu, leaf, (uint32_t)vcpu->regs.rcx);

	answer(vcpu, &result);
}

void exit_cpuid(struct vcpu *vcpu)
{
	uint32_t leaf = *(const uint32_t *)&vcpu->regs.rax; /* read as EAX: one instruction less */

	if (leaf < BASIC_LEAVES && !(SPECIAL_LEAVES >> leaf & 1))
		answer(vcpu, &basic[leaf]);
	else if (leaf - EXTENDED_BASE < EXTENDED_LEAVES)
		answer(vcpu, &extended[leaf - EXTENDED_BASE]);
	else
		answer_specially(vcpu, leaf);
}
