/* Which speculation controls a CPU has, by what it says of itself in either vendor's words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "arch/x86/registers.h"
#include "arch/x86/speculation.h"
#include "tests/unit/fake_cpu.h"

#define EXTENDED 0x80000000u

static void pretend(uint32_t last, uint32_t structured, uint32_t last_extended, uint32_t extended)
{
	fake_cpu_reset();
	fake_cpu_leaf(0, 0, (struct cpuid_result){.eax = last});
	fake_cpu_leaf(7, 0, (struct cpuid_result){.edx = structured});
	fake_cpu_leaf(EXTENDED, 0, (struct cpuid_result){.eax = last_extended});
	fake_cpu_leaf(EXTENDED + 8, 0, (struct cpuid_result){.ebx = extended});
}

static void expect(uint32_t first, uint32_t second, uint32_t third)
{
	assert_int_equal(speculation_msr(0), first);
	assert_int_equal(speculation_msr(1), second);
	assert_int_equal(speculation_msr(2), third);
}

static void test_intel(void **state)
{
	(void)state;
	pretend(0x16, 1u << 26 | 1u << 28, EXTENDED + 8, 0);
	expect(MSR_SPEC_CTRL, MSR_PRED_CMD, MSR_FLUSH_CMD);
	pretend(0x16, 1u << 31, EXTENDED + 8, 0);
	expect(MSR_SPEC_CTRL, 0, 0);
	pretend(0x16, ~(1u << 26 | 1u << 27 | 1u << 28 | 1u << 31), EXTENDED + 8, 0);
	expect(0, 0, 0);
	pretend(6, UINT32_MAX, EXTENDED + 8, 0); /* a leaf that is not there says nothing */
	expect(0, 0, 0);
}

static void test_amd(void **state)
{
	(void)state;
	pretend(0x10, 0, EXTENDED + 0x1F, 1u << 12);
	expect(0, MSR_PRED_CMD, 0);
	pretend(0x10, 0, EXTENDED + 0x1F, 1u << 12 | 1u << 24);
	expect(MSR_SPEC_CTRL, MSR_PRED_CMD, 0);
	pretend(0x10, 0, EXTENDED + 7, UINT32_MAX);
	expect(0, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_intel), cmocka_unit_test(test_amd)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
