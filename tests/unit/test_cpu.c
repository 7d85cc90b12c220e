/*
 * Which back end a CPU gets, what is said of one that can do neither, and that no guest is promised what one
 * of the CPUs lacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/percpu.h"
#include "arch/x86/smp.h"
#include "hv/core/virt.h"
#include "tests/unit/fake_cpu.h"

#define VMX	  (1u << 5)
#define SVM	  (1u << 2)
#define EXTENDED  0x80000000u
#define PAT_ENTRY 8 /* bits */

struct percpu this_cpu[1];
static struct virt_features offered;
static enum status probe_answer, enable_answer;

static enum status probe(struct virt_features *features, char text[VIRT_MESSAGE])
{
	*features = offered;
	strcpy(text, "probed");
	return probe_answer;
}

static enum status enable(char text[VIRT_MESSAGE])
{
	strcpy(text, "enabled");
	return enable_answer;
}

const struct virt_ops vmx_ops = {.name = "VT-x", .probe = probe, .cpu_enable = enable};
const struct virt_ops svm_ops = {.name = "SVM", .probe = probe, .cpu_enable = enable};

static char message[VIRT_MESSAGE];

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	this_cpu->virt_enabled = false;
	probe_answer = enable_answer = OK;
	offered =
		(struct virt_features){true, true, true, true, true, true, true, true, true, true, true, 100};
	return 0;
}

static void vendor(const char name[13])
{
	struct cpuid_result result = {.eax = 0xD};

	memcpy(&result.ebx, name, 4);
	memcpy(&result.edx, name + 4, 4);
	memcpy(&result.ecx, name + 8, 4);
	fake_cpu_leaf(0, 0, result);
}

static void expect(const struct virt_ops *which)
{
	assert_int_equal(cpu_select_virt(message), OK);
	assert_ptr_equal(virt, which);
}

static void test_offer_decides(void **state)
{
	(void)state;
	vendor("AuthenticAMD");
	fake_cpu_leaf(1, 0, (struct cpuid_result){.ecx = VMX});
	expect(&vmx_ops);
	fake_cpu_leaf(1, 0, (struct cpuid_result){0});
	vendor("GenuineIntel");
	fake_cpu_leaf(EXTENDED, 0, (struct cpuid_result){.eax = EXTENDED + 1});
	fake_cpu_leaf(EXTENDED + 1, 0, (struct cpuid_result){.ecx = SVM});
	expect(&svm_ops);
}

/* Switched off in the firmware: the vendor's back end says what to do. */
static void test_vendor_advises(void **state)
{
	static const struct {
		const char *name;
		const struct virt_ops *ops;
	} rows[] = {{"GenuineIntel", &vmx_ops},
		    {"CentaurHauls", &vmx_ops},
		    {"AuthenticAMD", &svm_ops},
		    {"HygonGenuine", &svm_ops}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		vendor(rows[i].name);
		expect(rows[i].ops);
	}
}

static void test_neither(void **state)
{
	(void)state;
	vendor("Transmeta386");
	assert_int_equal(cpu_select_virt(message), ERR_UNSUPPORTED);
	assert_string_equal(message, "the CPU (\"Transmeta386\") offers neither VT-x nor SVM");
}

static void test_common_features_only(void **state)
{
	(void)state;
	vendor("GenuineIntel");
	expect(&vmx_ops);
	offered.giant_pages = offered.tagged_tlb = false;
	offered.tags = 16;
	assert_int_equal(cpu_enable_virt(message), OK);
	assert_true(this_cpu->virt_enabled);
	assert_true(virt_features.large_pages && virt_features.unrestricted_guest);
	assert_false(virt_features.giant_pages || virt_features.tagged_tlb);
	assert_int_equal(virt_features.tags, 16);
}

static void test_cpu_that_refuses(void **state)
{
	(void)state;
	vendor("GenuineIntel");
	expect(&vmx_ops);
	offered.large_pages = false;
	enable_answer = ERR_DENIED;
	assert_int_equal(cpu_enable_virt(message), ERR_DENIED);
	assert_string_equal(message, "enabled");
	probe_answer = ERR_UNSUPPORTED;
	assert_int_equal(cpu_enable_virt(message), ERR_UNSUPPORTED);
	assert_string_equal(message, "probed");
	assert_false(this_cpu->virt_enabled);
	assert_true(virt_features.large_pages); /* a CPU that is left out takes nothing away */
}

static void test_controls(void **state)
{
	(void)state;
	fake_cpu_leaf(0, 0, (struct cpuid_result){.eax = 1});
	wrmsr(MSR_EFER, EFER_LME | EFER_LMA);
	cpu_set_controls();
	assert_true(cpu.cr0 & CR0_WP); /* read-only is read-only for the hypervisor too */
	assert_int_equal(cpu.cr0 & (CR0_CD | CR0_NW), 0);
	assert_int_equal(rdmsr(MSR_EFER), EFER_LME | EFER_LMA | EFER_NXE);
	assert_int_equal(rdmsr(MSR_PAT) >> PAT_ENTRY & 7, 1); /* write-combining, SDM 3A 12.12 */
	assert_int_equal(cpu.cr4 & (CR4_SMEP | CR4_OSXSAVE), 0);
	fake_cpu_leaf(0, 0, (struct cpuid_result){.eax = 7});
	fake_cpu_leaf(1, 0, (struct cpuid_result){.ecx = CPUID1_ECX_XSAVE});
	fake_cpu_leaf(7, 0, (struct cpuid_result){.ebx = CPUID7_EBX_SMEP});
	cpu_set_controls();
	assert_int_equal(cpu.cr4 & (CR4_SMEP | CR4_OSXSAVE | CR4_PAE), CR4_SMEP | CR4_OSXSAVE | CR4_PAE);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_offer_decides),	TEST(test_vendor_advises),
					   TEST(test_neither),		TEST(test_common_features_only),
					   TEST(test_cpu_that_refuses), TEST(test_controls)};

	return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
