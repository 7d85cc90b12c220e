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
#define VMX	   BIT(5)
#define MONITOR	   BIT(3)
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

static void test_only_what_is_allowed(void **state)
{
	struct cpuid_result result = ask(1, 0);

	(void)state;
	assert_int_equal(result.ecx & (VMX | MONITOR | OSXSAVE), 0);
	assert_true(result.ecx & HYPERVISOR);
	assert_int_equal(result.edx & (BIT(7) | BIT(14) | BIT(22)), 0); /* MCE MCA ACPI */
	result = ask(7, 0);
	assert_int_equal(result.ebx & (BIT(2) | BIT(4) | BIT(11) | BIT(12) | BIT(14) | BIT(22) | BIT(25)), 0);
	assert_int_equal(result.ecx & (BIT(3) | BIT(4) | BIT(5) | BIT(22)),
			 0); /* PKU needs a state, here is none; OSPKE WAITPKG RDPID */
	assert_true(result.ecx & BIT(16)); /* LA57 */
	assert_int_equal(result.edx & (BIT(9) | BIT(26) | BIT(27) | BIT(28) | BIT(29) | BIT(30) | BIT(31)),
			 ALL << 26 & ~BIT(30)); /* speculation, but not IA32_CORE_CAPABILITIES */
	assert_int_equal(ask(EXTENDED + 8, 0).ebx, 0x1507D005); /* AMD's words for it, no more */
	assert_int_equal(result.eax, 1);
	result = ask(7, 1);
	assert_int_equal(result.eax, 0x801CB7); /* neither FRED, LKGS, WRMSRNS, LAM nor HRESET */
	assert_int_equal(result.ebx | result.ecx, 0);
	assert_int_equal(result.edx, 0x4430);
	result = ask(7, 2);
	assert_int_equal(result.eax | result.ebx | result.ecx | result.edx, 0);
	result = ask(EXTENDED + 1, 0);
	assert_int_equal(result.ecx & BIT(2), 0); /* SVM */
	assert_int_equal(result.edx & (BIT(7) | BIT(9) | BIT(12) | BIT(14)), 0);
	assert_int_equal(ask(EXTENDED + 7, 0).edx, BIT(8)); /* invariant TSC */
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
