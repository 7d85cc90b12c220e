/*
 * Which MSRs and ports a guest reaches without an exit, bit by bit of the maps the CPU reads: these, and not
 * one more. The layout is written down here again, from the manuals, and not taken from the code under test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/speculation.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/mem/pool.h"

/* Of arch/x86/svm/svm.h, which no file includes beside the other back end. */
enum status svm_permissions(hpa_t *io, hpa_t *msr);

static unsigned pages_left;

/* A CPU that has two of the three. */
uint32_t speculation_msr(unsigned index)
{
	static const uint32_t msrs[SPECULATION_MSRS] = {MSR_SPEC_CTRL, 0, MSR_FLUSH_CMD};

	return msrs[index];
}

void *pool_allocate(size_t pages)
{
	if (pages > pages_left)
		return NULL;
	pages_left -= (unsigned)pages;
	return calloc(pages, PAGE_SIZE); /* kept for the life of the process, as the hypervisor does */
}

void pool_release(void *address, size_t pages)
{
	pages_left += (unsigned)pages;
	free(address);
}

hpa_t pool_address(const void *address)
{
	return hpa((uint64_t)address);
}

/* SDM 3C 25.6.9: reads of low MSRs, of high ones, writes of low, of high; a bit that is set makes it exit. */
static bool vmx_passes(const uint8_t *bitmap, uint32_t msr, bool write)
{
	uint32_t bit = (msr & 0x1FFF) + (msr >> 31 ? 0x2000 : 0) + (write ? 0x4000 : 0);

	return !(bitmap[bit / 8] >> bit % 8 & 1);
}

/* APM 2 15.11: two bits an MSR, read and write, in ranges from 0, C0000000h and C0010000h. */
static bool svm_passes(const uint8_t *map, uint32_t msr, bool write)
{
	uint32_t range = msr >= 0xC0010000 ? 2 : msr >= 0xC0000000 ? 1 : 0;
	uint32_t bit = range * 0x4000 + (msr & 0x1FFF) * 2 + write;

	return !(map[bit / 8] >> bit % 8 & 1);
}

struct rule {
	uint32_t msr;
	bool read, write;
};

static bool allowed(const struct rule *rules, size_t count, uint32_t msr, bool write)
{
	for (size_t i = 0; i < count; i++)
		if (rules[i].msr == msr)
			return write ? rules[i].write : rules[i].read;
	return false;
}

static void check_range(const void *map, bool (*passes)(const uint8_t *, uint32_t, bool), uint32_t first,
			const struct rule *rules, size_t count)
{
	for (uint32_t msr = first; msr < first + 0x2000; msr++)
		for (int write = 0; write <= 1; write++)
			if (passes(map, msr, write) != allowed(rules, count, msr, write))
				fail_msg("MSR %x, %s", msr, write ? "write" : "read");
}

static void test_vmx(void **state)
{
	static const struct rule rules[] = {
		{MSR_TSC, true, false},
		{MSR_SPEC_CTRL, true, true},
		{MSR_FLUSH_CMD, true, true},
		{MSR_SYSENTER_CS, true, true},
		{MSR_SYSENTER_ESP, true, true},
		{MSR_SYSENTER_EIP, true, true},
		{MSR_PAT, true, true},
		{MSR_EFER, true, false},
		{MSR_STAR, true, true},
		{MSR_LSTAR, true, true},
		{MSR_CSTAR, true, true},
		{MSR_SYSCALL_MASK, true, true},
		{MSR_FS_BASE, true, true},
		{MSR_GS_BASE, true, true},
		{MSR_KERNEL_GS_BASE, true, true},
		{MSR_TSC_AUX, true, true},
	};
	const struct vmx_controls controls = {.secondary = SECONDARY_RDTSCP};
	const void *bitmap;

	(void)state;
	pages_left = 0;
	assert_null(vmx_msr_bitmap(&controls, false));
	pages_left = 1;
	bitmap = vmx_msr_bitmap(&controls, false);
	assert_non_null(bitmap);
	assert_ptr_equal(vmx_msr_bitmap(&controls, false), bitmap); /* one for all vCPUs */
	check_range(bitmap, vmx_passes, 0, rules, ARRAY_SIZE(rules));
	check_range(bitmap, vmx_passes, 0xC0000000, rules, ARRAY_SIZE(rules));
}

/* SDM 3C 30.5: what is let through to the virtual-APIC page, beside the rest. ICR, the current count and what
 * is reserved exit. */
static void test_vmx_x2apic(void **state)
{
	const struct vmx_controls controls = {0};
	const uint8_t *plain, *bitmap;

	(void)state;
	pages_left = 2;
	plain = vmx_msr_bitmap(&controls, false);
	bitmap = vmx_msr_bitmap(&controls, true);
	assert_non_null(bitmap);
	assert_ptr_not_equal(bitmap, plain);
	for (uint32_t msr = 0x800; msr < 0x900; msr++) {
		const bool reads = msr == 0x802 || msr == 0x803 || msr == 0x808 || msr == 0x80A ||
				   msr == 0x80D || (msr >= 0x80F && msr <= 0x828) ||
				   (msr >= 0x832 && msr <= 0x838) || msr == 0x83E;
		const bool writes = msr == 0x808 || msr == 0x80B || msr == 0x83F;

		assert_false(vmx_passes(plain, msr, false) || vmx_passes(plain, msr, true));
		assert_int_equal(vmx_passes(bitmap, msr, false), reads);
		assert_int_equal(vmx_passes(bitmap, msr, true), writes);
	}
	for (uint32_t msr = 0; msr < 0x2000; msr++)
		if (msr < 0x800 || msr >= 0x900)
			for (int write = 0; write <= 1; write++)
				assert_int_equal(vmx_passes(bitmap, msr, write),
						 vmx_passes(plain, msr, write));
}

static void test_svm(void **state)
{
	static const struct rule rules[] = {
		{MSR_SYSENTER_CS, true, true},	{MSR_SYSENTER_ESP, true, true},
		{MSR_SYSENTER_EIP, true, true}, {MSR_STAR, true, true},
		{MSR_LSTAR, true, true},	{MSR_CSTAR, true, true},
		{MSR_SYSCALL_MASK, true, true}, {MSR_FS_BASE, true, true},
		{MSR_GS_BASE, true, true},	{MSR_KERNEL_GS_BASE, true, true},
		{MSR_TSC_AUX, true, true},	{MSR_SPEC_CTRL, true, true},
		{MSR_FLUSH_CMD, true, true},
	};
	const uint8_t *ports;
	hpa_t io, msr, again;

	(void)state;
	pages_left = 3; /* enough for the ports only */
	assert_int_equal(svm_permissions(&io, &msr), ERR_NO_MEMORY);
	assert_int_equal(pages_left, 3);
	pages_left = 5;
	assert_int_equal(svm_permissions(&io, &msr), OK);
	assert_int_equal(svm_permissions(&again, &again), OK);
	assert_int_equal(again.value, msr.value);
	check_range((const void *)msr.value, svm_passes, 0, rules, ARRAY_SIZE(rules));
	check_range((const void *)msr.value, svm_passes, 0xC0000000, rules, ARRAY_SIZE(rules));
	check_range((const void *)msr.value, svm_passes, 0xC0010000, rules, ARRAY_SIZE(rules));
	/* Every port, and the bits behind FFFFh that an access across it looks at (15.10.1). */
	ports = (const uint8_t *)io.value;
	for (unsigned bit = 0; bit < 0x10000 + 3; bit++)
		assert_true(ports[bit / 8] >> bit % 8 & 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_vmx), cmocka_unit_test(test_vmx_x2apic),
					   cmocka_unit_test(test_svm)};

	return cmocka_run_group_tests_name("permissions", tests, NULL, NULL);
}
