/*
 * What CPUID shows a guest, on a CPU that claims every feature there is: only what is allowed comes through,
 * whatever the machine says, and each vCPU finds itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bulkhead/abi.h>
#include "hv/core/cpuid.h"
#include "hv/core/exit.h"
#include "hv/core/partition.h"
#include "hv/core/virt.h"
#include "tests/unit/fake_cpu.h"

#define ALL	   UINT32_MAX
#define TSC_KHZ	   2500000u
#define BIT(n)	   (1u << (n))
#define EXTENDED   0x80000000u
#define OSXSAVE	   BIT(27)
#define X2APIC	   BIT(21)
#define DEADLINE   BIT(24)
#define HYPERVISOR BIT(31)

uint32_t tsc_khz = TSC_KHZ, apic_timer_khz;
uint64_t boot_tsc, boot_wall_s;
const struct virt_ops *virt;
struct virt_features virt_features;

static uint64_t cr4;
static struct partition_config config;
static struct vcpu_shared shared;
static struct partition partition;
static struct vcpu vcpu;
struct virt_features virt_features;

static uint64_t get_register(struct vcpu *unused, enum virt_register which)
{
	(void)unused;
	assert_int_equal(which, VIRT_CR4);
	return cr4;
}

const struct virt_ops vmx_ops = {.get_register = get_register}, svm_ops = {.get_register = get_register};

static int set_up(void **state)
{
	static char some_lapic;

	(void)state;
	fake_cpu_reset();
	virt_features = (struct virt_features){0};
	cr4 = 0;
	virt = &vmx_ops;
	config = (struct partition_config){.mode = MODE_FULL, .hypervisor_leaf = true};
	shared = (struct vcpu_shared){.index = 2};
	partition = (struct partition){.id = 4, .config = &config, .vcpu_count = 3};
	vcpu = (struct vcpu){.shared = &shared,
			     .partition = &partition,
			     .lapic = (struct lapic *)&some_lapic,
			     .apic_base = APIC_BASE_ENABLE};
	for (uint32_t leaf = 0; leaf < 8; leaf++)
		fake_cpu_leaf(leaf, 0, (struct cpuid_result){ALL, ALL, ALL, ALL});
	fake_cpu_leaf(0, 0, (struct cpuid_result){0x20, 0x756E6547, 0x6C65746E, 0x49656E69});
	fake_cpu_leaf(7, 1, (struct cpuid_result){ALL, ALL, ALL, ALL});
	fake_cpu_leaf(7, 2, (struct cpuid_result){ALL, ALL, ALL, ALL});
	fake_cpu_leaf(0xA, 0, (struct cpuid_result){ALL, ALL, ALL, ALL});
	fake_cpu_leaf(0x12, 0, (struct cpuid_result){ALL, ALL, ALL, ALL}); /* SGX */
	fake_cpu_leaf(EXTENDED, 0, (struct cpuid_result){EXTENDED + 0x1F, 0, 0, 0});
	for (uint32_t leaf = 1; leaf < 9; leaf++)
		fake_cpu_leaf(EXTENDED + leaf, 0, (struct cpuid_result){ALL, ALL, ALL, ALL});
	cpuid_build();
	return 0;
}

static struct cpuid_result ask(uint32_t leaf, uint32_t subleaf)
{
	vcpu.regs.rax = 0xABCD00000000 | leaf; /* the upper halves do not count, and come back zero */
	vcpu.regs.rcx = 0xABCD00000000 | subleaf;
	exit_cpuid(&vcpu);
	assert_int_equal((vcpu.regs.rax | vcpu.regs.rbx | vcpu.regs.rcx | vcpu.regs.rdx) >> 32, 0);
	return (struct cpuid_result){(uint32_t)vcpu.regs.rax, (uint32_t)vcpu.regs.rbx,
				     (uint32_t)vcpu.regs.rcx, (uint32_t)vcpu.regs.rdx};
}

static void make_para(void)
{
	vcpu.lapic = NULL;
	config.mode = MODE_PARA;
}

/*
 * Each masked register of a CPU that has all there is: these bits and no others, by their names in SDM 2A and
 * APM 3 appendix E. A bit that nobody knows would be one too many, a feature that is lost one too few.
 */

enum which { EAX, EBX, ECX, EDX };

struct masked {
	uint32_t leaf, subleaf;
	enum which which;
	const char *names[32];
};

static const struct masked masked[] = {
	{1,
	 0,
	 ECX,
	 {[0] = "SSE3",
	  [1] = "PCLMULQDQ",
	  [9] = "SSSE3",
	  [12] = "FMA",
	  [13] = "CX16",
	  [17] = "PCID",
	  [19] = "SSE4.1",
	  [20] = "SSE4.2",
	  [21] = "X2APIC",
	  [22] = "MOVBE",
	  [23] = "POPCNT",
	  [24] = "TSC deadline",
	  [25] = "AES",
	  [26] = "XSAVE",
	  [28] = "AVX",
	  [29] = "F16C",
	  [30] = "RDRAND",
	  [31] = "hypervisor"}},
	{1,
	 0,
	 EDX,
	 {[0] = "FPU",	 [1] = "VME",	[2] = "DE",	[3] = "PSE",	[4] = "TSC",   [5] = "MSR",
	  [6] = "PAE",	 [8] = "CX8",	[9] = "APIC",	[11] = "SEP",	[12] = "MTRR", [13] = "PGE",
	  [15] = "CMOV", [16] = "PAT",	[17] = "PSE36", [19] = "CLFSH", [23] = "MMX",  [24] = "FXSR",
	  [25] = "SSE",	 [26] = "SSE2", [27] = "SS",	[28] = "HTT"}},
	{6, 0, EAX, {[2] = "ARAT"}},
	{7,
	 0,
	 EBX,
	 {[0] = "FSGSBASE", [1] = "TSC_ADJUST", [3] = "BMI1",	  [5] = "AVX2",		[7] = "SMEP",
	  [8] = "BMI2",	    [9] = "ERMS",	[10] = "INVPCID", [16] = "AVX512F",	[17] = "AVX512DQ",
	  [18] = "RDSEED",  [19] = "ADX",	[20] = "SMAP",	  [21] = "AVX512_IFMA", [23] = "CLFLUSHOPT",
	  [24] = "CLWB",    [28] = "AVX512CD",	[29] = "SHA",	  [30] = "AVX512BW",	[31] = "AVX512VL"}},
	{7,
	 0,
	 ECX,
	 {[1] = "AVX512_VBMI",
	  [2] = "UMIP",
	  [3] = "PKU",
	  [6] = "AVX512_VBMI2",
	  [8] = "GFNI",
	  [9] = "VAES",
	  [10] = "VPCLMULQDQ",
	  [11] = "AVX512_VNNI",
	  [12] = "AVX512_BITALG",
	  [14] = "AVX512_VPOPCNTDQ",
	  [16] = "LA57",
	  [22] = "RDPID",
	  [25] = "CLDEMOTE",
	  [27] = "MOVDIRI",
	  [28] = "MOVDIR64B"}},
	{7,
	 0,
	 EDX,
	 {[2] = "AVX512_4VNNIW",
	  [3] = "AVX512_4FMAPS",
	  [4] = "FSRM",
	  [8] = "AVX512_VP2INTERSECT",
	  [10] = "MD_CLEAR",
	  [14] = "SERIALIZE",
	  [23] = "AVX512_FP16",
	  [26] = "IBRS",
	  [27] = "STIBP",
	  [28] = "L1D_FLUSH",
	  [29] = "ARCH_CAPABILITIES",
	  [31] = "SSBD"}},
	{7,
	 1,
	 EAX,
	 {[0] = "SHA512",
	  [1] = "SM3",
	  [2] = "SM4",
	  [4] = "AVX_VNNI",
	  [5] = "AVX512_BF16",
	  [7] = "CMPCCXADD",
	  [10] = "FZLRM",
	  [11] = "FSRS",
	  [12] = "FSRCS",
	  [23] = "AVX_IFMA"}},
	{7, 1, EBX, {NULL}},
	{7, 1, ECX, {NULL}},
	{7,
	 1,
	 EDX,
	 {[4] = "AVX_VNNI_INT8", [5] = "AVX_NE_CONVERT", [10] = "AVX_VNNI_INT16", [14] = "PREFETCHI"}},
	{7, 2, EAX, {NULL}},
	{7, 2, EBX, {NULL}},
	{7, 2, ECX, {NULL}},
	{7,
	 2,
	 EDX,
	 {[0] = "PSFD",
	  [1] = "IPRED_CTRL",
	  [2] = "RRSBA_CTRL",
	  [3] = "DDPD_U",
	  [4] = "BHI_CTRL",
	  [5] = "MCDT_NO"}},
	{EXTENDED + 1,
	 0,
	 ECX,
	 {[0] = "LAHF",
	  [5] = "ABM",
	  [6] = "SSE4A",
	  [7] = "MISALIGNSSE",
	  [8] = "3DNOWPREFETCH",
	  [11] = "XOP",
	  [16] = "FMA4",
	  [21] = "TBM"}},
	{EXTENDED + 1,
	 0,
	 EDX,
	 {[0] = "FPU",	 [1] = "VME",	[2] = "DE",	      [3] = "PSE",	[4] = "TSC",
	  [5] = "MSR",	 [6] = "PAE",	[8] = "CX8",	      [11] = "SYSCALL", [13] = "PGE",
	  [15] = "CMOV", [16] = "PAT",	[17] = "PSE36",	      [20] = "NX",	[22] = "MMXEXT",
	  [23] = "MMX",	 [24] = "FXSR", [26] = "1 GiB pages", [27] = "RDTSCP",	[29] = "LM"}},
	{EXTENDED + 7, 0, EAX, {NULL}},
	{EXTENDED + 7, 0, EBX, {NULL}},
	{EXTENDED + 7, 0, ECX, {NULL}},
	{EXTENDED + 7, 0, EDX, {[8] = "invariant TSC"}},
	{EXTENDED + 8,
	 0,
	 EBX,
	 {[0] = "CLZERO",
	  [2] = "XSAVEERPTR",
	  [9] = "WBNOINVD",
	  [12] = "IBPB",
	  [14] = "IBRS",
	  [15] = "STIBP",
	  [16] = "IBRS always on",
	  [17] = "STIBP always on",
	  [18] = "IBRS preferred",
	  [24] = "SSBD",
	  [26] = "SSB_NO",
	  [28] = "PSFD",
	  [29] = "BTC_NO",
	  [30] = "IBPB_RET"}},
	{EXTENDED + 8, 0, ECX, {NULL}},
	{EXTENDED + 8, 0, EDX, {NULL}},
};

static uint32_t register_of(struct cpuid_result result, enum which which)
{
	const uint32_t values[] = {
		[EAX] = result.eax, [EBX] = result.ebx, [ECX] = result.ecx, [EDX] = result.edx};

	return values[which];
}

static void give_everything(void)
{
	virt_features = (struct virt_features){.invpcid = true, .rdtscp = true, .xsaves = true};
	fake_cpu_leaf(0xD, 0, (struct cpuid_result){.eax = 0x200});
	fake_cpu_leaf(0xD, 9, (struct cpuid_result){8, 0xA80, 0, 0}); /* PKRU */
	cpuid_build();
}

static void test_only_what_is_allowed(void **state)
{
	(void)state;
	give_everything();
	for (const struct masked *row = masked; row < masked + ARRAY_SIZE(masked); row++) {
		const uint32_t told = register_of(ask(row->leaf, row->subleaf), row->which);

		for (unsigned bit = 0; bit < 32; bit++)
			if ((told >> bit & 1) != !!row->names[bit])
				fail_msg("leaf %x.%u E%cX: bit %u (%s) is %u", row->leaf, row->subleaf,
					 "ABCD"[row->which], bit,
					 row -> names[bit] ? row -> names[bit] : "none", told >> bit & 1);
	}
	assert_int_equal(ask(7, 0).eax, 2);
	assert_int_equal(ask(7, 3).edx, 0);
	assert_int_equal(ask(EXTENDED + 8, 0).eax, 0xFFFF); /* physical, linear; no guest's size */
}

/* Where VT-x or SVM cannot let a guest have it, or where no state for it can be enabled. */
static void test_what_the_back_end_lacks(void **state)
{
	(void)state;
	assert_false(ask(7, 0).ebx & BIT(10)); /* INVPCID */
	assert_false(ask(7, 0).ecx & BIT(22)); /* RDPID */
	assert_false(ask(7, 0).ecx & BIT(3));  /* PKU */
	assert_false(ask(EXTENDED + 1, 0).edx & BIT(27));
}

/* Bits of SPEC_CTRL are told with the MSR only, and a subleaf only where the machine has it. */
static void test_speculation_subleaf(void **state)
{
	(void)state;
	fake_cpu_leaf(7, 0, (struct cpuid_result){.eax = 2});
	fake_cpu_leaf(EXTENDED + 8, 0, (struct cpuid_result){0});
	cpuid_build();
	assert_int_equal(ask(7, 2).edx, BIT(5));
	fake_cpu_leaf(7, 0, (struct cpuid_result){.eax = 2, .edx = BIT(26)});
	cpuid_build();
	assert_int_equal(ask(7, 2).edx, 0x3F);
	fake_cpu_leaf(7, 0, (struct cpuid_result){.eax = 1, .edx = BIT(26)});
	cpuid_build();
	assert_int_equal(ask(7, 0).eax, 1);
	assert_int_equal(ask(7, 2).edx, 0);
}

/*
 * AMD's words for the topology
 */

#define TOPOLOGY BIT(22)
#define OSVW	 BIT(9)
#define LEGACY	 BIT(1)

static void make_amd(uint32_t features)
{
	fake_cpu_leaf(0, 0, (struct cpuid_result){0x10, 0x68747541, 0x444D4163, 0x69746E65});
	fake_cpu_leaf(EXTENDED, 0,
		      (struct cpuid_result){EXTENDED + 0x23, 0x68747541, 0x444D4163, 0x69746E65});
	fake_cpu_leaf(EXTENDED + 1, 0, (struct cpuid_result){ALL, ALL, features, ALL});
	/* As a CPU of 16 cores with two threads each tells them; ways and sets have to stay. */
	fake_cpu_leaf(EXTENDED + 0x1D, 0, (struct cpuid_result){0x4121, 0x01C0003F, 0x3F, 0});
	fake_cpu_leaf(EXTENDED + 0x1D, 1, (struct cpuid_result){0x3C163, 0x03C0003F, 0x7FFF, 1});
	fake_cpu_leaf(EXTENDED + 0x1E, 0, (struct cpuid_result){31, 0x10F, 0x301, ALL});
	cpuid_build();
}

/* All that say which of how many CPUs this is, against leaves 1 and Bh (APM 3 E.4).
 */
static void check_amd_cpu(uint32_t index, uint32_t count, uint32_t bits)
{
	struct cpuid_result result;

	shared.index = index;
	partition.vcpu_count = count;
	assert_int_equal(ask(1, 0).ebx >> 16, index << 8 | count);
	assert_int_equal(!!(ask(1, 0).edx & BIT(28)), count > 1);
	assert_int_equal(!!(ask(EXTENDED + 1, 0).ecx & LEGACY), count > 1);
	assert_int_equal(ask(0xB, 0).edx, index);
	assert_int_equal(ask(0xB, 0).eax, 0); /* one thread a core */
	assert_int_equal(ask(0xB, 1).eax, bits);
	assert_int_equal(ask(0xB, 1).ebx, count);
	assert_int_equal(ask(EXTENDED + 8, 0).ecx, bits << 12 | (count - 1));
	result = ask(EXTENDED + 0x1D, 0);
	assert_int_equal(result.eax, 0x121); /* a core's own */
	assert_int_equal(result.ebx, 0x01C0003F);
	result = ask(EXTENDED + 0x1D, 1);
	assert_int_equal(result.eax, 0x163 | ((1u << bits) - 1) << 14); /* the package's */
	assert_int_equal(result.ecx, 0x7FFF);
	assert_int_equal(ask(EXTENDED + 0x1D, 2).eax, 0);
	result = ask(EXTENDED + 0x1E, 0);
	assert_int_equal(result.eax, index);
	assert_int_equal(result.ebx, index); /* core; bits 15:8: threads of it - 1 */
	assert_int_equal(result.ecx | result.edx, 0);
}

static void test_amd_topology(void **state)
{
	(void)state;
	make_amd(ALL);
	assert_int_equal(ask(EXTENDED, 0).eax, EXTENDED + 0x1E);
	assert_int_equal(ask(EXTENDED + 1, 0).ecx & ~LEGACY, 0x2109E1 | OSVW | TOPOLOGY);
	assert_int_equal(ask(EXTENDED + 0x1F, 0).eax, 0);
	check_amd_cpu(0, 1, 0);
	check_amd_cpu(0, 2, 1);
	check_amd_cpu(1, 2, 1);
	for (uint32_t i = 0; i < 4; i++)
		check_amd_cpu(i, 4, 2);
}

/* Before family 15h there were no such leaves, and the count in 8000_0008h was all. */
static void test_amd_without_topology(void **state)
{
	(void)state;
	make_amd(ALL & ~TOPOLOGY);
	assert_int_equal(ask(EXTENDED, 0).eax, EXTENDED + 8);
	assert_int_equal(ask(EXTENDED + 1, 0).ecx & (TOPOLOGY | LEGACY), LEGACY);
	assert_int_equal(ask(EXTENDED + 8, 0).ecx, 2u << 12 | 2);
	assert_int_equal(ask(EXTENDED + 0x1D, 0).eax, 0);
	assert_int_equal(ask(EXTENDED + 0x1E, 0).eax, 0);
}

/* Power, thermal, performance counters, SGX, trace: all zero. */
static void test_empty_leaves(void **state)
{
	static const uint32_t empty[] = {3,    5,    8,	   9,	  0xA,	      0xE,	    0xF,	0x10,
					 0x12, 0x14, 0x17, 0x100, 0x3FFFFFFF, EXTENDED + 9, 0xC0000000, ALL};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(empty); i++) {
		struct cpuid_result result = ask(empty[i], 0);

		if (result.eax | result.ebx | result.ecx | result.edx)
			fail_msg("leaf %x is not empty", empty[i]);
	}
	assert_int_equal(ask(6, 0).eax, BIT(2)); /* ARAT alone */
	assert_int_equal(ask(0, 0).eax, 0x16);
	assert_int_equal(ask(0, 0).ebx, 0x756E6547);
	assert_int_equal(ask(EXTENDED, 0).eax, EXTENDED + 8);
}

static void test_an_older_cpu(void **state)
{
	(void)state;
	fake_cpu_leaf(0, 0, (struct cpuid_result){.eax = 0xB});
	fake_cpu_leaf(EXTENDED, 0, (struct cpuid_result){.eax = EXTENDED + 4});
	cpuid_build();
	assert_int_equal(ask(0, 0).eax, 0x16); /* the TSC's frequency is told all the same */
	assert_int_equal(ask(0xD, 0).ebx, 0);
	assert_int_equal(ask(EXTENDED, 0).eax, EXTENDED + 4);
}

static void test_itself(void **state)
{
	struct cpuid_result result;

	(void)state;
	result = ask(1, 0);
	assert_int_equal(result.ebx >> 24, 2);
	assert_int_equal(result.ebx >> 16 & 0xFF, 3);
	assert_true(result.edx & BIT(28)); /* HTT: the count is valid */
	assert_int_equal(ask(0xB, 0).edx, 2);
	assert_int_equal(ask(0xB, 1).ebx, 3);
	assert_int_equal(ask(0xB, 1).eax, 2); /* 2 bits number 3 CPUs */
	assert_int_equal(ask(0xB, 2).ecx, 2);
	assert_int_equal(ask(0xB, 2).ebx, 0);
	partition.vcpu_count = 1;
	assert_false(ask(1, 0).edx & BIT(28));
	assert_int_equal(ask(0xB, 1).eax, 0);
}

static void test_follows_the_guests_registers(void **state)
{
	(void)state;
	cr4 = CR4_OSXSAVE;
	assert_true(ask(1, 0).ecx & OSXSAVE);
	assert_true(ask(1, 0).edx & BIT(9));
	assert_false(ask(7, 0).ecx & BIT(4));
	fake_cpu_leaf(0xD, 0, (struct cpuid_result){.eax = 0x200});
	fake_cpu_leaf(0xD, 9, (struct cpuid_result){8, 0xA80, 0, 0});
	cpuid_build();
	cr4 = CR4_PKE;
	assert_true(ask(7, 0).ecx & BIT(4)); /* OSPKE */
	vcpu.apic_base = 0;		     /* switched off by the guest */
	assert_false(ask(1, 0).edx & BIT(9));
}

static void test_local_apic_is_a_pcs(void **state)
{
	(void)state;
	assert_int_equal(ask(1, 0).ecx & (X2APIC | DEADLINE), X2APIC | DEADLINE);
	assert_true(ask(1, 0).edx & BIT(12)); /* MTRR */
	make_para();
	assert_false(ask(1, 0).edx & BIT(12));
	assert_int_equal(ask(1, 0).ecx & (X2APIC | DEADLINE), 0);
	assert_false(ask(1, 0).edx & BIT(9));
}

static void test_caches(void **state)
{
	(void)state;
	fake_cpu_leaf(4, 0, (struct cpuid_result){0xFFFFC121, 1, 2, 3});
	fake_cpu_leaf(4, 3, (struct cpuid_result){0});
	assert_int_equal(ask(4, 0).eax, 0x121 | 3u << 26); /* 3 CPUs, numbered with 2 bits */
	assert_int_equal(ask(4, 0).ecx, 2);
	assert_int_equal(ask(4, 3).eax, 0); /* no more caches */
}

static void test_xsave(void **state)
{
	(void)state;
	fake_cpu_leaf(0xD, 0, (struct cpuid_result){ALL, 0x340, 0x2000, ALL});
	fake_cpu_leaf(0xD, 1, (struct cpuid_result){ALL, 0x998, ALL, ALL});
	fake_cpu_leaf(0xD, 5, (struct cpuid_result){0x40, 0x440, 0, 0});
	fake_cpu_leaf(0xD, 6, (struct cpuid_result){0x200, 0x480, 2, 0});
	fake_cpu_leaf(0xD, 7, (struct cpuid_result){0x410, 0x680, 0, 0});
	fake_cpu_leaf(0xD, 2, (struct cpuid_result){0x100, 0x240, 0, 0});
	fake_cpu_leaf(0xD, 9, (struct cpuid_result){8, 0xA90, 0, 0}); /* PKRU */
	fake_cpu_leaf(0xD, 40, (struct cpuid_result){8, 8, 8, 8});
	cpuid_build();
	assert_int_equal(ask(0xD, 0).eax, 0x2E7);
	assert_int_equal(ask(0xD, 0).ecx, 0xA98);
	assert_int_equal(ask(0xD, 0).edx, 0);
	assert_int_equal(ask(0xD, 1).eax, 7); /* no XSAVES */
	assert_int_equal(ask(0xD, 1).ecx, 0);
	assert_int_equal(ask(0xD, 1).ebx, 576);
	assert_true(ask(7, 0).ecx & BIT(3));
	vcpu.xcr0 = 0xE7;
	assert_int_equal(ask(0xD, 1).ebx, 576 + 0x100 + 0x40 + 0x200 + 0x410);
	fake_cpu_leaf(0xD, 5, (struct cpuid_result){0x48, 0x440, 0, 0});
	assert_int_equal(ask(0xD, 1).ebx, 576 + 0x100 + 0x80 + 0x200 + 0x410);
	vcpu.xcr0 = 3;
	assert_int_equal(ask(0xD, 1).ebx, 576);
	cpuid_build(); /* now the machine tells another size than its states have */
	assert_int_equal(ask(0xD, 1).eax, 5);
	assert_int_equal(ask(0xD, 2).ebx, 0x240);
	assert_int_equal(ask(0xD, 9).eax, 8);
	assert_int_equal(ask(0xD, 8).eax, 0);
	assert_int_equal(ask(0xD, 40).eax, 0);
	fake_cpu_leaf(0xD, 9, (struct cpuid_result){0}); /* named, but of no size */
	cpuid_build();
	assert_int_equal(ask(0xD, 0).eax, 0xE7);
	assert_int_equal(ask(0xD, 0).ecx, 0x680 + 0x410);
	assert_false(ask(7, 0).ecx & BIT(3));
}

static void test_hypervisor_leaves(void **state)
{
	struct cpuid_result result = ask(BH_CPUID_BASE, 0);

	(void)state;
	assert_int_equal(result.eax, BH_CPUID_CLOCK);
	assert_int_equal(result.ebx, BH_SIGNATURE_EBX);
	result = ask(BH_CPUID_ABI, 0);
	assert_int_equal(result.ebx, 5 | 2 << 16);
	assert_int_equal(result.ecx, 0);
	assert_int_equal(ask(BH_CPUID_CLOCK, 0).eax, TSC_KHZ);
	assert_int_equal(ask(BH_CPUID_BASE + 2, 0).eax, 0);
	make_para();
	virt = &svm_ops;
	assert_int_equal(ask(BH_CPUID_ABI, 0).ecx, BH_CPUID_ABI_VMMCALL | BH_CPUID_ABI_PARA);
	assert_int_equal(ask(BH_CPUID_CLOCK, 0).ebx, 0);
}

/* hypervisor_leaf = no: the machine looks bare. */
static void test_bare(void **state)
{
	(void)state;
	vcpu.hypervisor_hidden = true;
	assert_false(ask(1, 0).ecx & HYPERVISOR);
	assert_int_equal(ask(BH_CPUID_BASE, 0).ebx, 0);
}

/* A frequency that leaf 15h can hold is told as 1 : 1 of a crystal; a higher one not at all. */
static void test_crystal(void **state)
{
	(void)state;
	assert_int_equal(ask(0x15, 0).eax, 1);
	assert_int_equal(ask(0x15, 0).ecx, TSC_KHZ * 1000u);
	tsc_khz = 4300000;
	cpuid_build();
	assert_int_equal(ask(0x15, 0).ecx, 0);
	tsc_khz = TSC_KHZ;
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_only_what_is_allowed),
					   TEST(test_what_the_back_end_lacks),
					   TEST(test_speculation_subleaf),
					   TEST(test_amd_topology),
					   TEST(test_amd_without_topology),
					   TEST(test_empty_leaves),
					   TEST(test_an_older_cpu),
					   TEST(test_itself),
					   TEST(test_follows_the_guests_registers),
					   TEST(test_local_apic_is_a_pcs),
					   TEST(test_caches),
					   TEST(test_xsave),
					   TEST(test_hypervisor_leaves),
					   TEST(test_bare),
					   TEST(test_crystal)};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
