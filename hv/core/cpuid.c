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
#include "arch/x86/speculation.h"
#include "hv/core/cpuid.h"
#include "hv/core/exit.h"
#include "hv/core/partition.h"
#include "hv/core/virt.h"

#define BASIC_LEAVES	0x17u
#define EXTENDED_BASE	0x80000000u
#define EXTENDED_LEAVES 0x9u
#define BIT(n)		(1u << (n))

#define LEAF_FEATURES	0x1u
#define LEAF_CACHES	0x4u
#define LEAF_STRUCTURED 0x7u
#define LEAF_TOPOLOGY	0xBu
#define LEAF_XSAVE	0xDu
#define LEAF_CRYSTAL	0x15u
#define LEAF_FREQUENCY	0x16u

#define LEAF_E_FEATURES 0x80000001u
#define LEAF_E_CACHES	0x8000001Du
#define LEAF_E_TOPOLOGY 0x8000001Eu
#define VENDOR_AMD_EBX	0x68747541u /* leaf 0: "Auth" */

static struct cpuid_result basic[BASIC_LEAVES];
static struct cpuid_result extended[EXTENDED_LEAVES];

/* Leaf 1 ECX: SSE3 PCLMULQDQ SSSE3 FMA CX16 PCID SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND. */
#define ALLOW_1_ECX                                                                                          \
	(BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) | BIT(23) |    \
	 BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
/* Leaf 1 EDX: FPU VME DE PSE TSC MSR PAE CX8 SEP PGE CMOV PAT PSE36 CLFSH MMX FXSR SSE SSE2 SS; not MCE,
 * MCA, APIC; MTRR is a full partition's. */
#define ALLOW_1_EDX                                                                                          \
	(BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(11) | BIT(13) |         \
	 BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26) | BIT(27))
#define FEATURE_1_EDX_APIC BIT(9)
#define FEATURE_1_EDX_MTRR BIT(12)
#define FEATURE_1_EDX_HTT  BIT(28)
/* Leaf 7 EBX: FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS INVPCID AVX512F/DQ RDSEED ADX SMAP IFMA CLFLUSHOPT CLWB CD
 * SHA BW VL. */
#define ALLOW_7_EBX                                                                                          \
	(BIT(0) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(16) | BIT(17) | BIT(18) |       \
	 BIT(19) | BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
#define FEATURE_7_EBX_TSC_ADJUST                                                                             \
	BIT(1) /* ours: always 0, so that a system that looks finds the TSCs in step */
#define FEATURE_7_EBX_INVPCID BIT(10)
/* Leaf 7 ECX: VBMI UMIP PKU VBMI2 GFNI VAES VPCLMULQDQ VNNI BITALG VPOPCNTDQ LA57 RDPID CLDEMOTE MOVDIRI
 * MOVDIR64B. */
#define ALLOW_7_ECX                                                                                          \
	(BIT(1) | BIT(2) | BIT(3) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14) |       \
	 BIT(16) | BIT(22) | BIT(25) | BIT(27) | BIT(28))
#define FEATURE_7_ECX_PKU   BIT(3)
#define FEATURE_7_ECX_OSPKE BIT(4)
#define FEATURE_7_ECX_RDPID BIT(22)
/* EDX: AVX512_4VNNIW 4FMAPS FSRM VP2INTERSECT MD_CLEAR SERIALIZE AVX512_FP16 IBRS STIBP L1D_FLUSH
 * ARCH_CAPABILITIES SSBD. */
#define ALLOW_7_EDX                                                                                          \
	(BIT(2) | BIT(3) | BIT(4) | BIT(8) | BIT(10) | BIT(14) | BIT(23) | BIT(26) | BIT(27) | BIT(28) |     \
	 BIT(29) | BIT(31))
/* Subleaf 1 EAX: SHA512 SM3 SM4 AVX_VNNI AVX512_BF16 CMPCCXADD FZLRM FSRS FSRCS AVX_IFMA; EDX:
 * AVX_VNNI_INT8 AVX_NE_CONVERT AVX_VNNI_INT16 PREFETCHI. */
#define ALLOW_7_1_EAX                                                                                        \
	(BIT(0) | BIT(1) | BIT(2) | BIT(4) | BIT(5) | BIT(7) | BIT(10) | BIT(11) | BIT(12) | BIT(23))
#define ALLOW_7_1_EDX (BIT(4) | BIT(5) | BIT(10) | BIT(14))
/* Subleaf 2 EDX: MCDT_NO, and bits of SPEC_CTRL: PSFD IPRED_CTRL RRSBA_CTRL DDPD_U BHI_CTRL. */
#define ALLOW_7_2_EDX	     BIT(5)
#define ALLOW_7_2_EDX_BY_MSR (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4))
#define LAST_7_SUBLEAF	     2u
/* 8000_0001h ECX: LAHF ABM SSE4A MISALIGNSSE 3DNOWPREFETCH XOP FMA4 TBM; EDX: as leaf 1, and SYSCALL NX
 * MMXEXT 1GB RDTSCP LM. MCE, APIC, MTRR and MCA stand in EDX as in leaf 1. AMD: several cores, and leaves for
 * them. */
#define ALLOW_E1_ECX		(BIT(0) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(16) | BIT(21))
#define FEATURE_E1_ECX_CORES	BIT(1)
#define FEATURE_E1_ECX_OSVW	BIT(9)
#define FEATURE_E1_ECX_TOPOLOGY BIT(22)
#define FEATURE_E1_EDX_RDTSCP	BIT(27)
#define ALLOW_E1_EDX		(0x0183E3FFu | BIT(11) | BIT(20) | BIT(22) | BIT(26) | BIT(27) | BIT(29))
#define ALLOW_E1_EDX_HIDDEN	(BIT(7) | BIT(9) | BIT(12) | BIT(14))
/* 8000_0008h EBX: CLZERO XSAVEERPTR WBNOINVD, IBPB IBRS STIBP and their always-on and preferred modes, SSBD
 * SSB_NO PSFD BTC_NO IBPB_RET. WBNOINVD exits as WBINVD does (SDM 3C 26.1.3, APM 2 15.9). */
#define ALLOW_E8_EBX                                                                                         \
	(BIT(0) | BIT(2) | BIT(9) | BIT(12) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(18) | BIT(24) |    \
	 BIT(26) | BIT(28) | BIT(29) | BIT(30))
#define INVARIANT_TSC		 BIT(8)
#define ARAT			 BIT(2)
#define BUS_MHZ			 100u
#define XSAVE_ALLOWED_EXTENSIONS 0xFu /* XSAVEOPT XSAVEC XGETBV1 XSAVES; no supervisor states */
#define XSAVE_EXTENSION_XSAVEC	 0x2u
#define XSAVE_EXTENSION_XSAVES	 0x8u

/*
 * The local APIC's timer counts the TSC, and the machine's own crystal is none of a guest's business: a guest
 * takes what is told here for the frequency of both.
 */
static void build_crystal(void)
{
	uint64_t tsc_hz = tsc_khz * 1000ull;

	if (tsc_hz <= UINT32_MAX)
		basic[LEAF_CRYSTAL] = (struct cpuid_result){1, 1, (uint32_t)tsc_hz, 0};
	basic[LEAF_FREQUENCY] = (struct cpuid_result){tsc_khz / 1000, tsc_khz / 1000, BUS_MHZ, 0};
}

/* What the CPU has, and a guest would get #UD for, or could not save. */
static void hide_missing(void)
{
	if (!virt_features.invpcid)
		basic[LEAF_STRUCTURED].ebx &= ~FEATURE_7_EBX_INVPCID;
	if (!(xcr0_offered & XCR0_PKRU))
		basic[LEAF_STRUCTURED].ecx &= ~FEATURE_7_ECX_PKU;
	if (virt_features.rdtscp)
		return;
	basic[LEAF_STRUCTURED].ecx &= ~FEATURE_7_ECX_RDPID;
	extended[1].edx &= ~FEATURE_E1_EDX_RDTSCP;
}

static void build_basic(void)
{
	uint32_t host_last = cpuid(0, 0).eax;

	for (uint32_t leaf = 0; leaf < BASIC_LEAVES && leaf <= host_last; leaf++)
		basic[leaf] = cpuid(leaf, 0);
	basic[0].eax = BASIC_LEAVES - 1; /* those the machine lacks are 0 */
	basic[1].ecx = (basic[1].ecx & ALLOW_1_ECX) | CPUID1_ECX_HYPERVISOR;
	basic[1].edx &= ALLOW_1_EDX;
	basic[1].ebx &= 0xFFFF; /* brand, CLFLUSH size; APIC id and count are the vCPU's */
	basic[6] = (struct cpuid_result){.eax = ARAT};
	basic[7] = (struct cpuid_result){.eax = MIN(basic[7].eax, LAST_7_SUBLEAF),
					 .ebx = (basic[7].ebx & ALLOW_7_EBX) | FEATURE_7_EBX_TSC_ADJUST,
					 .ecx = basic[7].ecx & ALLOW_7_ECX,
					 .edx = basic[7].edx & ALLOW_7_EDX};
	basic[3] = basic[5] = basic[8] = basic[9] = basic[0xA] = (struct cpuid_result){0};
	for (uint32_t leaf = LEAF_XSAVE + 1; leaf < BASIC_LEAVES; leaf++)
		basic[leaf] = (struct cpuid_result){0};
	build_crystal();
}

static bool is_amd(void)
{
	return basic[0].ebx == VENDOR_AMD_EBX;
}

static void build_extended_features(void)
{
	const uint32_t topology = extended[1].ecx & FEATURE_E1_ECX_TOPOLOGY;

	extended[1].ecx &= ALLOW_E1_ECX;
	extended[1].edx &= ALLOW_E1_EDX & ~ALLOW_E1_EDX_HIDDEN;
	if (!is_amd())
		return;
	extended[1].ecx |= FEATURE_E1_ECX_OSVW | topology;
	if (topology)
		extended[0].eax = LEAF_E_TOPOLOGY;
}

static void build_extended(void)
{
	uint32_t host_last = cpuid(EXTENDED_BASE, 0).eax - EXTENDED_BASE;

	for (uint32_t leaf = 0; leaf < EXTENDED_LEAVES && leaf <= host_last; leaf++)
		extended[leaf] = cpuid(EXTENDED_BASE + leaf, 0);
	extended[0].eax = EXTENDED_BASE + MIN(host_last, EXTENDED_LEAVES - 1);
	build_extended_features();
	/* What a machine that is itself emulated counts has no power states to follow. */
	if (cpuid(1, 0).ecx & CPUID1_ECX_HYPERVISOR)
		extended[7].edx |= INVARIANT_TSC;
	extended[7] = (struct cpuid_result){.edx = extended[7].edx & INVARIANT_TSC};
	extended[8] =
		(struct cpuid_result){.eax = extended[8].eax & 0xFFFF, .ebx = extended[8].ebx & ALLOW_E8_EBX};
}

#define XSAVE_LEGACY_SIZE 576u	 /* x87 and SSE, and the header (SDM 1 13.4) */
#define XSAVE_FIRST_STATE 2u	 /* that stands behind them */
#define STATES		  10u	 /* up to PKRU */
#define XSAVE_ECX_ALIGNED BIT(1) /* this state begins at a multiple of 64 in the compacted format */

/* Of the compacted format with these states enabled (SDM 1 13.4.3). */
static uint32_t compacted_size(uint64_t states)
{
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (uint32_t i = XSAVE_FIRST_STATE; i < STATES; i++) {
		struct cpuid_result state = cpuid(LEAF_XSAVE, i);

		if (!(states >> i & 1))
			continue;
		if (state.ecx & XSAVE_ECX_ALIGNED)
			size = ALIGN_UP(size, 64u);
		size += state.eax;
	}
	return size;
}

/*
 * Whether the CPU's compacted format is what the manual says, by its own word for its size: Bochs 2.7 tells
 * that of the standard format, and programs that share a CPU there lose vector registers to each other in the
 * compacted one.
 */
static bool compaction_is_sound(void)
{
	uint32_t told;

	if (!(cpuid(1, 0).ecx & CPUID1_ECX_OSXSAVE))
		return false;
	xsetbv(0, xcr0_offered);
	told = cpuid(LEAF_XSAVE, 1).ebx;
	xsetbv(0, XCR0_X87);
	return told == compacted_size(xcr0_offered);
}

static uint32_t xsave_extensions; /* subleaf 1 EAX */

/* None that only the supervisor has. */
#define KNOWN_STATES (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)

uint64_t xcr0_offered;

/* A state without a size is none: Bochs 2.7 as a Tiger Lake names PKRU, and tells neither its place nor its
 * size. */
static uint64_t sound_states(void)
{
	uint64_t states = cpuid(LEAF_XSAVE, 0).eax & KNOWN_STATES;

	for (uint32_t i = XSAVE_FIRST_STATE; i < STATES; i++)
		if (!cpuid(LEAF_XSAVE, i).eax)
			states &= ~(1ull << i);
	return states;
}

static void build_xsave(void)
{
	xcr0_offered = sound_states();
	xsave_extensions = cpuid(LEAF_XSAVE, 1).eax & XSAVE_ALLOWED_EXTENSIONS;
	if (!virt_features.xsaves)
		xsave_extensions &= ~XSAVE_EXTENSION_XSAVES;
	if (!compaction_is_sound())
		xsave_extensions &= ~(XSAVE_EXTENSION_XSAVEC | XSAVE_EXTENSION_XSAVES);
}

void cpuid_build(void)
{
	build_basic();
	build_extended();
	build_xsave();
	hide_missing();
}

/*
 * Leaves whose answer depends on the subleaf or the vCPU. Each vCPU is a core of one package, with an APIC id
 * that is its index.
 */

/* Bits of an APIC id that tell the cores of the package apart. */
static uint32_t core_bits(const struct vcpu *vcpu)
{
	uint32_t bits = 0;

	while ((1u << bits) < vcpu->partition->vcpu_count)
		bits++;
	return bits;
}

#define CACHE_TYPE(eax)	 ((eax)&0x1F)
#define CACHE_LEVEL(eax) ((eax) >> 5 & 7)
#define CACHE_OWN	 0x3FFFu /* EAX without who shares it */
#define SHARED_LEVEL	 3
#define CACHE_SHARERS	 14 /* threads that share it - 1 */
#define CACHE_CORES	 26 /* cores in the package - 1; reserved on AMD */

/* Caches of the third level are the package's, the others a core's. */
static struct cpuid_result caches(const struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
	struct cpuid_result result = cpuid(leaf, subleaf);
	const uint32_t others = (1u << core_bits(vcpu)) - 1;

	if (!CACHE_TYPE(result.eax))
		return result;
	result.eax &= CACHE_OWN;
	if (CACHE_LEVEL(result.eax) >= SHARED_LEVEL)
		result.eax |= others << CACHE_SHARERS;
	if (leaf == LEAF_CACHES)
		result.eax |= others << CACHE_CORES;
	return result;
}

static struct cpuid_result topology(const struct vcpu *vcpu, uint32_t subleaf)
{
	const uint32_t index = vcpu->shared->index;

	switch (subleaf) {
	case 0: return (struct cpuid_result){0, 1, 1u << 8, index}; /* threads */
	case 1:
		return (struct cpuid_result){core_bits(vcpu), vcpu->partition->vcpu_count, 2u << 8 | 1,
					     index}; /* cores */
	default: return (struct cpuid_result){0, 0, subleaf & 0xFF, index};
	}
}

#define CORE_BITS_SHIFT 12 /* 8000_0008h ECX: size of the core's part of an APIC id; below, cores - 1 */

/* 8000_0001h, 8000_0008h and 8000_001Eh: what leaves 1 and Bh say, in AMD's words. */
static struct cpuid_result amd_cores(const struct vcpu *vcpu, uint32_t leaf)
{
	const uint32_t index = vcpu->shared->index, count = vcpu->partition->vcpu_count;
	struct cpuid_result result;

	switch (leaf) {
	case LEAF_E_FEATURES:
		result = extended[1];
		result.ecx |= is_amd() && count > 1 ? FEATURE_E1_ECX_CORES : 0;
		return result;
	case CPUID_ADDRESS_SIZES:
		result = extended[8];
		result.ecx = is_amd() ? core_bits(vcpu) << CORE_BITS_SHIFT | (count - 1) : 0;
		return result;
	default: return (struct cpuid_result){index, index, 0, 0}; /* one thread a core, one node */
	}
}

/* Of the standard format with all that may be enabled: to the end of the state that stands last. */
static uint32_t largest_standard_size(void)
{
	uint32_t size = XSAVE_LEGACY_SIZE;

	for (uint32_t i = XSAVE_FIRST_STATE; i < STATES; i++) {
		const struct cpuid_result state = cpuid(LEAF_XSAVE, i);

		if (xcr0_offered >> i & 1)
			size = MAX(size, state.ebx + state.eax);
	}
	return size;
}

/* XCR0 in the CPU is the guest's, so the machine's own size of the standard format (EBX) is right. */
static struct cpuid_result xsave(const struct vcpu *vcpu, uint32_t subleaf)
{
	struct cpuid_result result = cpuid(LEAF_XSAVE, subleaf);

	if (subleaf == 0)
		return (struct cpuid_result){(uint32_t)(result.eax & xcr0_offered), result.ebx,
					     largest_standard_size(), 0};
	if (subleaf == 1)
		return (struct cpuid_result){xsave_extensions, compacted_size(vcpu->xcr0 & xcr0_offered), 0,
					     0};
	if (subleaf < 32 && (xcr0_offered >> subleaf & 1))
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
		result.edx |= FEATURE_1_EDX_MTRR;
		if (vcpu->apic_base & APIC_BASE_ENABLE)
			result.edx |= FEATURE_1_EDX_APIC;
		if (vcpu->hypervisor_hidden)
			result.ecx &= ~CPUID1_ECX_HYPERVISOR;
	}
	return result;
}

static struct cpuid_result structured_subleaf(uint32_t subleaf)
{
	const struct cpuid_result own = cpuid(LEAF_STRUCTURED, subleaf);

	if (subleaf == 1)
		return (struct cpuid_result){.eax = own.eax & ALLOW_7_1_EAX, .edx = own.edx & ALLOW_7_1_EDX};
	/* The guest has the whole of SPEC_CTRL, or nothing of it. */
	return (struct cpuid_result){
		.edx = own.edx & (ALLOW_7_2_EDX | (speculation_msr(0) ? ALLOW_7_2_EDX_BY_MSR : 0))};
}

static struct cpuid_result structured_features(struct vcpu *vcpu, uint32_t subleaf)
{
	struct cpuid_result result = basic[LEAF_STRUCTURED];

	if (subleaf > result.eax)
		return (struct cpuid_result){0};
	if (subleaf)
		return structured_subleaf(subleaf);
	if ((result.ecx & FEATURE_7_ECX_PKU) && (virt->get_register(vcpu, VIRT_CR4) & CR4_PKE))
		result.ecx |= FEATURE_7_ECX_OSPKE;
	return result;
}

static struct cpuid_result hypervisor(const struct vcpu *vcpu, uint32_t leaf)
{
	const struct partition *partition = vcpu->partition;
	uint32_t flags =
		(virt == &svm_ops ? BH_CPUID_ABI_VMMCALL : 0) | (vcpu->lapic ? 0 : BH_CPUID_ABI_PARA);

	if (vcpu->hypervisor_hidden)
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
	case LEAF_CACHES: return caches(vcpu, leaf, subleaf);
	case LEAF_STRUCTURED: return structured_features(vcpu, subleaf);
	case LEAF_TOPOLOGY: return topology(vcpu, subleaf);
	case LEAF_XSAVE: return xsave(vcpu, subleaf);
	case LEAF_E_FEATURES:
	case CPUID_ADDRESS_SIZES: return amd_cores(vcpu, leaf);
	case LEAF_E_CACHES:
	case LEAF_E_TOPOLOGY:
		if (leaf > extended[0].eax)
			return (struct cpuid_result){0};
		return leaf == LEAF_E_CACHES ? caches(vcpu, leaf, subleaf) : amd_cores(vcpu, leaf);
	default: return hypervisor(vcpu, leaf);
	}
}

#define SPECIAL_LEAVES                                                                                       \
	(BIT(LEAF_FEATURES) | BIT(LEAF_CACHES) | BIT(LEAF_STRUCTURED) | BIT(LEAF_TOPOLOGY) | BIT(LEAF_XSAVE))

#define SPECIAL_EXTENDED (BIT(LEAF_E_FEATURES - EXTENDED_BASE) | BIT(CPUID_ADDRESS_SIZES - EXTENDED_BASE))

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
	else if (leaf - EXTENDED_BASE < EXTENDED_LEAVES && !(SPECIAL_EXTENDED >> (leaf - EXTENDED_BASE) & 1))
		answer(vcpu, &extended[leaf - EXTENDED_BASE]);
	else
		answer_specially(vcpu, leaf);
}
