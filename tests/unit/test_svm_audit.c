/*
 * The VM-entry auditor of SVM: a VMCB that may enter passes. Then one fault at a time is planted in it, and
 * the auditor has to name the field, with its value, the rule and the section of the manual; and nothing
 * else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/registers.h"
#include "arch/x86/svm/audit.h"

#define PHYSICAL_BITS 40
#define ABOVE	      (1ull << PHYSICAL_BITS)
#define NOT_CANONICAL 0x800000000000ull
#define FINDINGS      8

static struct vmcb vmcb;
static struct svm_capabilities capabilities;
static struct entry_finding found[FINDINGS];
static unsigned found_count;

static int set_up(void **state)
{
	(void)state;
	capabilities = (struct svm_capabilities){.physical_bits = PHYSICAL_BITS,
						 .linear_bits = 48,
						 .asids = 16,
						 .cr4_defined = CR4_PAE | CR4_PGE | CR4_OSFXSR};
	vmcb = (struct vmcb){.control = {.intercept_instruction = INTERCEPT_IO | INTERCEPT_MSR,
					 .intercept_svm = INTERCEPT_VMRUN,
					 .io_permissions = 0x10000,
					 .msr_permissions = 0x20000,
					 .asid = 1,
					 .tlb_control = TLB_FLUSH,
					 .nested_paging = NESTED_PAGING_ENABLE,
					 .nested_cr3 = 0x30000},
			     .save = {.cs = {0x08, 0xA9B, UINT32_MAX, 0},
				      .efer = EFER_SVME | EFER_LME | EFER_LMA,
				      .cr0 = CR0_PE | CR0_PG | CR0_ET,
				      .cr3 = 0x1000,
				      .cr4 = CR4_PAE,
				      .dr6 = 0xFFFF0FF0,
				      .dr7 = 0x400,
				      .rflags = RFLAGS_RESERVED,
				      .rip = 0x100000,
				      .pat = 0x0007040600070406}};
	return 0;
}

static void note(void *context, const struct entry_finding *finding)
{
	assert_ptr_equal(context, found);
	if (found_count < FINDINGS)
		found[found_count] = *finding;
	found_count++;
}

static unsigned audit(void)
{
	unsigned broken;

	found_count = 0;
	broken = svm_audit(&vmcb, &capabilities, note, found);
	assert_int_equal(broken, found_count);
	return found_count;
}

static void a_64_bit_guest_may_enter(void **state)
{
	(void)state;
	assert_int_equal(audit(), 0);
}

static void a_real_mode_guest_may_enter(void **state)
{
	(void)state;
	vmcb.save.efer = EFER_SVME;
	vmcb.save.cr0 = CR0_ET;
	vmcb.save.cr4 = 0;
	vmcb.save.cs = (struct vmcb_segment){0x9000, 0x9B, 0xFFFF, 0x90000};
	assert_int_equal(audit(), 0);
}

#define EVENT(type, vector) (EVENT_VALID | (type) | (vector))
#define AT(member)	    offsetof(struct vmcb, member), sizeof(((struct vmcb *)0)->member)

static const struct fault {
	size_t offset, size;
	uint64_t value;
	const char *field, *rule, *section;
} faults[] = {
	{AT(save.efer), EFER_LME | EFER_LMA, "EFER", "SVME", "15.5.1"},
	{AT(save.efer), EFER_SVME | EFER_LME | EFER_LMA | 1 << 9, "EFER", "reserved", "15.5.1"},
	{AT(save.efer), EFER_SVME | EFER_LME | EFER_LMA | 1ull << 40, "EFER", "reserved", "15.5.1"},
	{AT(save.cr0), CR0_PE | CR0_PG | CR0_NW, "CR0", "NW with CD", "15.5.1"},
	{AT(save.cr0), CR0_PE | CR0_PG | 1ull << 32, "CR0", "63:32", "15.5.1"},
	{AT(save.cr0), CR0_PG, "CR0", "PE with", "15.5.1"},
	{AT(save.cr4), 0, "CR4", "PAE with", "15.5.1"},
	{AT(save.cr4), CR4_PAE | CR4_VMXE, "CR4", "reserved", "15.5.1"},
	{AT(save.cr4), CR4_PAE | 1ull << 33, "CR4", "reserved", "15.5.1"},
	{AT(save.cr3), ABOVE, "CR3", "width", "15.5.1"},
	{AT(save.dr6), 1ull << 32, "DR6", "63:32", "15.5.1"},
	{AT(save.dr7), 1ull << 63, "DR7", "63:32", "15.5.1"},
	{AT(save.cs.access), 0xE9B, "CS attributes", "D to be 0", "15.5.1"},
	{AT(save.es.base), NOT_CANONICAL, "ES base", "canonical", "15.5.1"},
	{AT(save.gs.base), NOT_CANONICAL, "GS base", "canonical", "15.5.1"},
	{AT(save.gdtr.base), NOT_CANONICAL, "GDTR base", "canonical", "15.5.1"},
	{AT(save.ldtr.base), NOT_CANONICAL, "LDTR base", "canonical", "15.5.1"},
	{AT(save.idtr.base), NOT_CANONICAL, "IDTR base", "canonical", "15.5.1"},
	{AT(save.tr.base), NOT_CANONICAL, "TR base", "canonical", "15.5.1"},
	{AT(save.rip), NOT_CANONICAL, "RIP", "canonical", "15.5.1"},
	{AT(save.pat), 0x0002040600070406, "G_PAT", "types", "15.25.4"},
	{AT(save.pat), 0x0807040600070406, "G_PAT", "types", "15.25.4"},
	{AT(control.intercept_svm), INTERCEPT_VMMCALL, "intercepts, word 4", "VMRUN", "15.5.1"},
	{AT(control.io_permissions), 0x10800, "IOPM_BASE_PA", "boundary", "15.10.1"},
	{AT(control.io_permissions), ABOVE - 2 * PAGE_SIZE, "IOPM_BASE_PA", "physical memory", "15.10.1"},
	{AT(control.msr_permissions), 0x20004, "MSRPM_BASE_PA", "boundary", "15.11"},
	{AT(control.msr_permissions), ABOVE, "MSRPM_BASE_PA", "physical memory", "15.11"},
	{AT(control.asid), 16, "Guest ASID", "this CPU has", "15.16"},
	{AT(control.asid), 0, "Guest ASID", "but 0", "15.16"},
	{AT(control.tlb_control), 2, "TLB_CONTROL", "encoding", "15.16"},
	{AT(control.tlb_control), 3, "TLB_CONTROL", "encoding", "15.16"},
	{AT(control.nested_cr3), ABOVE | 0x1000, "N_CR3", "width", "15.25.4"},
	{AT(control.event), EVENT(1u << 8, 0), "EVENTINJ", "type 0", "15.20"},
	{AT(control.event), EVENT(EVENT_NMI, 2) | 1 << 12, "EVENTINJ", "30:12", "15.20"},
	{AT(control.event), EVENT(EVENT_EXCEPTION, VECTOR_NMI), "EVENTINJ", "exception's", "15.20"},
	{AT(control.event), EVENT(EVENT_EXCEPTION, 32), "EVENTINJ", "exception's", "15.20"},
	{AT(control.event), EVENT(EVENT_EXCEPTION, VECTOR_OF), "EVENTINJ", "64-bit", "15.20"},
	{AT(control.event), EVENT(EVENT_EXCEPTION, VECTOR_UD) | EVENT_ERROR_VALID, "EVENTINJ", "error code",
	 "15.20"},
};

static void expect_only(const struct fault *fault)
{
	if (audit() != 1)
		fail_msg("%s = %llx: %u findings, first: %s: %s", fault->field,
			 (unsigned long long)fault->value, found_count, found[0].field, found[0].rule);
	assert_string_equal(found[0].field, fault->field);
	assert_int_equal(found[0].value, fault->value);
	if (!strstr(found[0].rule, fault->rule) || !strstr(found[0].section, fault->section))
		fail_msg("%s = %llx: found '%s' (%s), expected '%s' (%s)", fault->field,
			 (unsigned long long)fault->value, found[0].rule, found[0].section, fault->rule,
			 fault->section);
}

static void each_fault_is_named(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
		set_up(state);
		memcpy((uint8_t *)&vmcb + faults[i].offset, &faults[i].value, faults[i].size);
		expect_only(&faults[i]);
	}
}

static void what_is_off_is_not_looked_at(void **state)
{
	(void)state;
	vmcb.control.intercept_instruction = 0;
	vmcb.control.io_permissions = vmcb.control.msr_permissions = ABOVE + 1;
	vmcb.control.nested_paging = 0;
	vmcb.control.nested_cr3 = ABOVE;
	vmcb.save.pat = UINT64_MAX;
	vmcb.control.event = EVENT(1u << 8, 0) & ~EVENT_VALID;
	assert_int_equal(audit(), 0);
}

static void more_flushes_with_flush_by_asid(void **state)
{
	(void)state;
	capabilities.flush_by_asid = true;
	vmcb.control.tlb_control = 3;
	assert_int_equal(audit(), 0);
	vmcb.control.tlb_control = 7;
	assert_int_equal(audit(), 0);
	vmcb.control.tlb_control = 4;
	assert_int_equal(audit(), 1);
}

static void events_that_may_be_injected(void **state)
{
	static const uint32_t events[] = {
		EVENT(EVENT_INTERRUPT, 0x30), EVENT(EVENT_NMI, 2), EVENT(EVENT_SOFTWARE, 0x80),
		EVENT(EVENT_EXCEPTION, VECTOR_GP) | EVENT_ERROR_VALID, EVENT(EVENT_EXCEPTION, VECTOR_DB)};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
		vmcb.control.event = events[i];
		assert_int_equal(audit(), 0);
	}
}

static void every_fault_at_once(void **state)
{
	(void)state;
	vmcb.control.asid = 0;
	vmcb.save.dr7 = UINT64_MAX;
	vmcb.save.cr0 |= CR0_NW;
	assert_int_equal(audit(), 3);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_64_bit_guest_may_enter),
		TEST(a_real_mode_guest_may_enter),
		TEST(each_fault_is_named),
		TEST(what_is_off_is_not_looked_at),
		TEST(more_flushes_with_flush_by_asid),
		TEST(events_that_may_be_injected),
		TEST(every_fault_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
