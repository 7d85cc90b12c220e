/*
 * The VM-entry auditor of VT-x: a snapshot that may enter, in 64-bit mode and in real mode, passes. Then one
 * fault at a time is planted in it, and the auditor has to name the field, with its value, the rule and the
 * section of the manual; and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/vmx/vmx.h"

#define FIELDS	      0x7000
#define PHYSICAL_BITS 40
#define ABOVE	      (1ull << PHYSICAL_BITS)
#define NOT_CANONICAL 0x800000000000ull
#define FINDINGS      8

static uint64_t vmcs[FIELDS];
static struct vmx_snapshot snapshot;
static struct entry_finding found[FINDINGS];
static unsigned found_count;

/*
 * A machine and a vCPU whose state is right
 */

static uint64_t read_vmcs(void *context, uint32_t field)
{
	assert_ptr_equal(context, vmcs);
	assert_true(field < FIELDS);
	return vmcs[field];
}

#define ALL_MAY_BE_1 0xFFFFFFFF00000000ull

static void describe_cpu(void)
{
	snapshot = (struct vmx_snapshot){.read = read_vmcs, .context = vmcs};
	snapshot.capabilities = (struct vmx_capabilities){
		.allowed = {[WORD_PIN] = ALL_MAY_BE_1 | 0x16,
			    [WORD_PROCESSOR] = 0xF7FFFFFFull << 32 | 0x4006172,
			    [WORD_SECONDARY] = ALL_MAY_BE_1 & ~(1ull << 63),
			    [WORD_EXIT] = ALL_MAY_BE_1 | 0x36DFB,
			    [WORD_ENTRY] = ALL_MAY_BE_1 | 0x11FB},
		.misc = 4 << 16 | 7 << 6, /* four CR3 targets, all activity states */
		.ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WRITE_BACK,
		.cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG,
		.cr0_fixed1 = 0xFFFFFFFF,
		.cr4_fixed0 = CR4_VMXE,
		.cr4_fixed1 = 0x3767FF,
		.physical_bits = PHYSICAL_BITS,
		.linear_bits = 48};
}

static void fill_controls(void)
{
	vmcs[VMCS_PIN_CONTROLS] = 0x16 | PIN_EXTERNAL_INTERRUPT | PIN_NMI | PIN_VIRTUAL_NMI;
	vmcs[VMCS_PROCESSOR_CONTROLS] =
		0x4006172 | PROCESSOR_HLT | PROCESSOR_IO | PROCESSOR_MSR_BITMAP | PROCESSOR_SECONDARY;
	vmcs[VMCS_SECONDARY_CONTROLS] = SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED;
	vmcs[VMCS_EXIT_CONTROLS] =
		0x36DFB | VMEXIT_HOST_64 | VMEXIT_SAVE_PAT | VMEXIT_LOAD_PAT | VMEXIT_LOAD_EFER;
	vmcs[VMCS_ENTRY_CONTROLS] =
		0x11FB | VMENTRY_LOAD_DEBUG | VMENTRY_IA32E | VMENTRY_LOAD_PAT | VMENTRY_LOAD_EFER;
	vmcs[VMCS_VPID] = 1;
	vmcs[VMCS_MSR_BITMAP] = 0x5000;
	vmcs[VMCS_EPT_POINTER] = 0x601E;
	vmcs[VMCS_LINK_POINTER] = VMX_NO_LINK;
}

static void fill_host(void)
{
	vmcs[VMCS_HOST_CR0] = CR0_PE | CR0_NE | CR0_WP | CR0_PG;
	vmcs[VMCS_HOST_CR3] = 0x1000;
	vmcs[VMCS_HOST_CR4] = CR4_PAE | CR4_VMXE;
	vmcs[VMCS_HOST_EFER] = EFER_LME | EFER_LMA | EFER_NXE;
	vmcs[VMCS_HOST_PAT] = 0x0007040600070106;
	vmcs[VMCS_HOST_CS_SELECTOR] = 0x08;
	vmcs[VMCS_HOST_SS_SELECTOR] = 0x10;
	vmcs[VMCS_HOST_TR_SELECTOR] = 0x18;
	vmcs[VMCS_HOST_TR_BASE] = vmcs[VMCS_HOST_GDTR_BASE] = 0xFFFFFFFFC0000000;
	vmcs[VMCS_HOST_RIP] = vmcs[VMCS_HOST_IDTR_BASE] = 0xFFFFFFFF80001000;
}

static void set_segment(enum segment_index index, uint64_t selector, uint64_t limit, uint64_t access)
{
	vmcs[vmcs_segment_field(VMCS_GUEST_ES_SELECTOR, index)] = selector;
	vmcs[vmcs_segment_field(VMCS_GUEST_ES_LIMIT, index)] = limit;
	vmcs[vmcs_segment_field(VMCS_GUEST_ES_ACCESS, index)] = access;
}

static void fill_guest(void)
{
	vmcs[VMCS_GUEST_CR0] = CR0_PE | CR0_NE | CR0_PG;
	vmcs[VMCS_GUEST_CR3] = 0x7000;
	vmcs[VMCS_GUEST_CR4] = CR4_PAE | CR4_VMXE;
	vmcs[VMCS_GUEST_EFER] = EFER_LME | EFER_LMA;
	vmcs[VMCS_GUEST_PAT] = 0x0007040600070406;
	vmcs[VMCS_GUEST_DR7] = 0x400;
	vmcs[VMCS_GUEST_RFLAGS] = RFLAGS_RESERVED;
	vmcs[VMCS_GUEST_RIP] = 0xFFFFFFFF80000000;
	for (enum segment_index i = SEGMENT_ES; i <= SEGMENT_GS; i++)
		set_segment(i, 0x10, 0xFFFFFFFF, 0xC093);
	set_segment(SEGMENT_CS, 0x08, 0xFFFFFFFF, 0xA09B);
	set_segment(SEGMENT_LDTR, 0, 0xFFFF, 0x82);
	set_segment(SEGMENT_TR, 0, 0xFFFF, 0x8B);
}

static int set_up(void **state)
{
	(void)state;
	memset(vmcs, 0, sizeof(vmcs));
	describe_cpu();
	fill_controls();
	fill_host();
	fill_guest();
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
	broken = vmx_audit(&snapshot, note, found);
	assert_int_equal(broken, found_count);
	return found_count;
}

/*
 * What passes
 */

static void a_64_bit_guest_may_enter(void **state)
{
	(void)state;
	if (audit())
		fail_msg("%s: %s", found[0].field, found[0].rule);
}

static void make_real_mode(void)
{
	vmcs[VMCS_ENTRY_CONTROLS] &= ~(uint64_t)VMENTRY_IA32E;
	vmcs[VMCS_GUEST_CR0] = CR0_NE;
	vmcs[VMCS_GUEST_CR4] = CR4_VMXE;
	vmcs[VMCS_GUEST_EFER] = 0;
	vmcs[VMCS_GUEST_RIP] = 0;
	for (enum segment_index i = SEGMENT_ES; i <= SEGMENT_GS; i++)
		set_segment(i, 0, 0xFFFF, 0x93);
	set_segment(SEGMENT_CS, 0x9003, 0xFFFF, 0x9B);
}

static void a_real_mode_guest_may_enter(void **state)
{
	(void)state;
	make_real_mode();
	if (audit())
		fail_msg("%s: %s", found[0].field, found[0].rule);
}

static void a_virtual_8086_guest_may_enter(void **state)
{
	(void)state;
	make_real_mode();
	vmcs[VMCS_GUEST_CR0] = CR0_PE | CR0_NE;
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_VM;
	for (enum segment_index i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
		set_segment(i, 0x1234, 0xFFFF, 0xF3);
		vmcs[vmcs_segment_field(VMCS_GUEST_ES_BASE, i)] = 0x12340;
	}
	assert_int_equal(audit(), 0);
	vmcs[VMCS_GUEST_ES_BASE] = 0x12350;
	assert_int_equal(audit(), 1);
	assert_string_equal(found[0].field, "guest ES base");
}

static void an_event_may_be_injected(void **state)
{
	(void)state;
	vmcs[VMCS_ENTRY_EVENT] = EVENT_VALID | EVENT_EXCEPTION << 8 | EVENT_HAS_ERROR | VECTOR_GP;
	assert_int_equal(audit(), 0);
	vmcs[VMCS_ENTRY_EVENT] = EVENT_VALID | EVENT_NMI << 8 | VECTOR_NMI;
	assert_int_equal(audit(), 0);
}

/*
 * Faults, one at a time
 */

#define SEGMENT_FIELD(es, index) ((es) + 2 * (index))
#define CS_ACCESS		 SEGMENT_FIELD(VMCS_GUEST_ES_ACCESS, SEGMENT_CS)
#define SS_ACCESS		 SEGMENT_FIELD(VMCS_GUEST_ES_ACCESS, SEGMENT_SS)
#define DS_ACCESS		 SEGMENT_FIELD(VMCS_GUEST_ES_ACCESS, SEGMENT_DS)
#define TR_ACCESS		 SEGMENT_FIELD(VMCS_GUEST_ES_ACCESS, SEGMENT_TR)
#define LDTR_ACCESS		 SEGMENT_FIELD(VMCS_GUEST_ES_ACCESS, SEGMENT_LDTR)
#define EVENT(type, vector)	 (EVENT_VALID | (uint32_t)(type) << 8 | (vector))

static const struct fault {
	uint32_t field;
	uint64_t value;
	const char *rule, *section;
	const char *name; /* of the field that is blamed; NULL: as in the row before */
} faults[] = {
	/* Execution controls */
	{VMCS_PIN_CONTROLS, 0x12 | PIN_NMI | PIN_VIRTUAL_NMI, "wants 1", "27.2.1.1", "pin-based controls"},
	{VMCS_PIN_CONTROLS, 0x16 | PIN_VIRTUAL_NMI, "virtual NMIs with NMI exiting", "27.2.1.1", NULL},
	{VMCS_PROCESSOR_CONTROLS, 0x4006172 | PROCESSOR_SECONDARY | 1u << 27, "lacks", "27.2.1.1",
	 "primary processor-based controls"},
	{VMCS_SECONDARY_CONTROLS, SECONDARY_VPID | SECONDARY_UNRESTRICTED, "with EPT only", "27.2.1.1",
	 "secondary processor-based controls"},
	{VMCS_SECONDARY_CONTROLS, SECONDARY_EPT | SECONDARY_UNRESTRICTED | SECONDARY_APIC_REGISTERS,
	 "with a TPR shadow", "27.2.1.1", NULL},
	{VMCS_SECONDARY_CONTROLS, SECONDARY_EPT | SECONDARY_UNRESTRICTED | 1u << 31, "lacks", "27.2.1.1",
	 NULL},
	{VMCS_VPID, 0, "but 0", "27.2.1.1", "virtual-processor identifier"},
	{VMCS_MSR_BITMAP, 0x5800, "a page", "27.2.1.1", "address of MSR bitmaps"},
	{VMCS_MSR_BITMAP, ABOVE, "a page", "27.2.1.1", NULL},
	{VMCS_EPT_POINTER, 0x6018, "memory type", "27.2.1.1", "EPT pointer"},
	{VMCS_EPT_POINTER, 0x6006, "4 levels", "27.2.1.1", NULL},
	{VMCS_EPT_POINTER, 0x605E, "accessed", "27.2.1.1", NULL},
	{VMCS_EPT_POINTER, 0x689E, "11:7", "27.2.1.1", NULL},
	{VMCS_EPT_POINTER, ABOVE | 0x1E, "width", "27.2.1.1", NULL},
	{VMCS_CR3_TARGET_COUNT, 5, "no more", "27.2.1.1", "CR3-target count"},
	/* Exit and entry controls */
	{VMCS_EXIT_CONTROLS, 0x36DFB | VMEXIT_HOST_64 | VMEXIT_LOAD_EFER | VMEXIT_SAVE_TIMER, "timer",
	 "27.2.1.2", "VM-exit controls"},
	{VMCS_ENTRY_CONTROLS,
	 0x11FB | VMENTRY_LOAD_DEBUG | VMENTRY_IA32E | VMENTRY_LOAD_PAT | VMENTRY_LOAD_EFER | VMENTRY_SMM,
	 "SMM", "27.2.1.3", "VM-entry controls"},
	{VMCS_ENTRY_EVENT, EVENT(1, 0), "other than 1", "27.2.1.3", "VM-entry interruption information"},
	{VMCS_ENTRY_EVENT, EVENT(EVENT_NMI, 3), "vector 2", "27.2.1.3", NULL},
	{VMCS_ENTRY_EVENT, EVENT(EVENT_EXCEPTION, 32), "below 32", "27.2.1.3", NULL},
	{VMCS_ENTRY_EVENT, EVENT(EVENT_EXCEPTION, VECTOR_GP), "where the vector", "27.2.1.3", NULL},
	{VMCS_ENTRY_EVENT, EVENT(EVENT_EXCEPTION, VECTOR_UD) | EVENT_HAS_ERROR, "where the vector",
	 "27.2.1.3", NULL},
	{VMCS_ENTRY_EVENT, EVENT(EVENT_NMI, 2) | EVENT_HAS_ERROR, "exceptions in protected", "27.2.1.3",
	 NULL},
	{VMCS_ENTRY_EVENT, EVENT(EVENT_NMI, 2) | 1u << 20, "30:12", "27.2.1.3", NULL},
	{VMCS_ENTRY_EVENT, EVENT(EVENT_SOFT_INTERRUPT, 3), "1 to 15", "27.2.1.3",
	 "VM-entry instruction length"},
	{VMCS_ENTRY_EVENT, EVENT(EVENT_INTERRUPT, 0x30), "IF to be 1", "27.3.1.4", "guest RFLAGS"},
	/* Host state */
	{VMCS_HOST_CR0, CR0_NE | CR0_PG, "FIXED0", "27.2.2", "host CR0"},
	{VMCS_HOST_CR0, 1ull << 32 | CR0_PE | CR0_NE | CR0_PG, "FIXED1", "27.2.2", NULL},
	{VMCS_HOST_CR3, ABOVE, "width", "27.2.2", "host CR3"},
	{VMCS_HOST_CR4, CR4_PAE, "FIXED0", "27.2.2", "host CR4"},
	{VMCS_HOST_CR4, CR4_VMXE, "PAE", "27.2.4", NULL},
	{VMCS_HOST_EFER, EFER_LME, "LMA and LME", "27.2.2", "host IA32_EFER"},
	{VMCS_HOST_EFER, EFER_LME | EFER_LMA | EFER_SVME, "reserved", "27.2.2", NULL},
	{VMCS_HOST_PAT, 0x0207040600070106, "types", "27.2.2", "host IA32_PAT"},
	{VMCS_HOST_SYSENTER_ESP, NOT_CANONICAL, "canonical", "27.2.2", "host IA32_SYSENTER_ESP"},
	{VMCS_HOST_CS_SELECTOR, 0, "but 0", "27.2.3", "host CS selector"},
	{VMCS_HOST_SS_SELECTOR, 0x13, "RPL", "27.2.3", "host SS selector"},
	{VMCS_HOST_TR_SELECTOR, 0x1C, "TI", "27.2.3", "host TR selector"},
	{VMCS_HOST_FS_BASE, NOT_CANONICAL, "canonical", "27.2.3", "host FS base"},
	{VMCS_HOST_IDTR_BASE, NOT_CANONICAL, "canonical", "27.2.3", "host IDTR base"},
	{VMCS_HOST_RIP, NOT_CANONICAL, "canonical", "27.2.4", "host RIP"},
	/* Guest registers */
	{VMCS_GUEST_CR0, CR0_PE | CR0_PG, "FIXED0", "27.3.1.1", "guest CR0"},
	{VMCS_GUEST_CR0, CR0_PE | CR0_NE, "IA-32e", "27.3.1.1", NULL},
	{VMCS_GUEST_CR3, ABOVE, "width", "27.3.1.1", "guest CR3"},
	{VMCS_GUEST_CR4, CR4_VMXE, "PAE", "27.3.1.1", "guest CR4"},
	{VMCS_GUEST_CR4, CR4_VMXE | CR4_PAE | 1u << 23, "FIXED1", "27.3.1.1", NULL},
	{VMCS_GUEST_EFER, EFER_LMA, "LMA as LME", "27.3.1.1", "guest IA32_EFER"},
	{VMCS_GUEST_EFER, EFER_LME | EFER_LMA | 2, "reserved", "27.3.1.1", NULL},
	{VMCS_GUEST_PAT, 3, "types", "27.3.1.1", "guest IA32_PAT"},
	{VMCS_GUEST_DR7, 1ull << 32, "63:32", "27.3.1.1", "guest DR7"},
	{VMCS_GUEST_DEBUGCTL, 1 << 3, "reserved", "27.3.1.1", "guest IA32_DEBUGCTL"},
	{VMCS_GUEST_SYSENTER_EIP, NOT_CANONICAL, "canonical", "27.3.1.1", "guest IA32_SYSENTER_EIP"},
	/* Guest segments */
	{CS_ACCESS, 0xA09A, "accessed code", "27.3.1.2", "guest CS access rights"},
	{CS_ACCESS, 0xE09B, "D/B to be 0", "27.3.1.2", NULL},
	{CS_ACCESS, 0xA08B, "S to be 1", "27.3.1.2", NULL},
	{CS_ACCESS, 0xA01B, "P to be 1", "27.3.1.2", NULL},
	{CS_ACCESS, 0x1A09B | 0x20000, "31:17", "27.3.1.2", NULL},
	{CS_ACCESS, 0x209B, "G as", "27.3.1.2", NULL},
	{CS_ACCESS, 0xA0FB, "the DPL of SS", "27.3.1.2", NULL},
	{SS_ACCESS, 0xC091, "writable data", "27.3.1.2", "guest SS access rights"},
	{DS_ACCESS, 0xC092, "accessed", "27.3.1.2", "guest DS access rights"},
	{DS_ACCESS, 0xC099, "readable", "27.3.1.2", NULL},
	{SEGMENT_FIELD(VMCS_GUEST_ES_BASE, SEGMENT_SS), 1ull << 32, "63:32", "27.3.1.2", "guest SS base"},
	{SEGMENT_FIELD(VMCS_GUEST_ES_BASE, SEGMENT_CS), 1ull << 32, "63:32", "27.3.1.2", "guest CS base"},
	{SEGMENT_FIELD(VMCS_GUEST_ES_BASE, SEGMENT_GS), NOT_CANONICAL, "canonical", "27.3.1.2",
	 "guest GS base"},
	{TR_ACCESS, 0x89, "busy TSS", "27.3.1.2", "guest TR access rights"},
	{TR_ACCESS, 0x83, "busy TSS", "27.3.1.2", NULL},
	{TR_ACCESS, 0x1008B, "usable", "27.3.1.2", NULL},
	{SEGMENT_FIELD(VMCS_GUEST_ES_SELECTOR, SEGMENT_TR), 4, "TI", "27.3.1.2", "guest TR selector"},
	{LDTR_ACCESS, 0x83, "type of an LDT", "27.3.1.2", "guest LDTR access rights"},
	{VMCS_GUEST_GDTR_LIMIT, 0x10000, "31:16", "27.3.1.3", "guest GDTR limit"},
	{VMCS_GUEST_IDTR_BASE, NOT_CANONICAL, "canonical", "27.3.1.3", "guest IDTR base"},
	/* RIP, RFLAGS, and the rest */
	{VMCS_GUEST_RIP, NOT_CANONICAL, "canonical", "27.3.1.4", "guest RIP"},
	{VMCS_GUEST_RFLAGS, 0, "bit 1", "27.3.1.4", "guest RFLAGS"},
	{VMCS_GUEST_RFLAGS, RFLAGS_RESERVED | 1 << 15, "reserved", "27.3.1.4", NULL},
	{VMCS_GUEST_ACTIVITY, 4, "this CPU has", "27.3.1.5", "guest activity state"},
	{VMCS_GUEST_INTERRUPTIBILITY, 1 << 5, "31:5", "27.3.1.5", "guest interruptibility state"},
	{VMCS_GUEST_INTERRUPTIBILITY, 1 << 2, "SMI", "27.3.1.5", NULL},
	{VMCS_GUEST_PENDING_DEBUG, 1 << 4, "reserved", "27.3.1.5", "guest pending debug exceptions"},
	{VMCS_LINK_POINTER, 0x123, "all ones", "27.3.1.5", "VMCS link pointer"},
};

static void expect_only(const struct fault *fault, const char *name)
{
	const struct entry_finding *finding = &found[0];

	if (audit() != 1)
		fail_msg("field %x = %llx: %u findings, first: %s: %s", fault->field,
			 (unsigned long long)fault->value, found_count, found[0].field, found[0].rule);
	if (!strstr(finding->rule, fault->rule) || !strstr(finding->section, fault->section))
		fail_msg("field %x = %llx: found '%s' (%s), expected '%s' (%s)", fault->field,
			 (unsigned long long)fault->value, finding->rule, finding->section, fault->rule,
			 fault->section);
	assert_string_equal(finding->field, name);
	/* An event may be wrong only beside another field, which is blamed then. */
	if (fault->field != VMCS_ENTRY_EVENT)
		assert_int_equal(finding->value, fault->value);
}

static void each_fault_is_named(void **state)
{
	const char *name = NULL;

	for (unsigned i = 0; i < ARRAY_SIZE(faults); i++) {
		name = faults[i].name ? faults[i].name : name;
		set_up(state);
		vmcs[faults[i].field] = faults[i].value;
		expect_only(&faults[i], name);
	}
}

/*
 * Faults that take more than one field
 */

static void expect(const char *field, const char *rule)
{
	if (audit() != 1)
		fail_msg("%u findings, first: %s: %s", found_count, found[0].field, found[0].rule);
	assert_string_equal(found[0].field, field);
	assert_non_null(strstr(found[0].rule, rule));
}

static void blocking_fits_the_state(void **state)
{
	static const char field[] = "guest interruptibility state";

	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_STI;
	expect(field, "with IF only");
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_IF;
	assert_int_equal(audit(), 0);
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] |= BLOCKING_MOV_SS;
	expect(field, "not both");
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_MOV_SS;
	vmcs[VMCS_ENTRY_EVENT] = EVENT(EVENT_INTERRUPT, 0x30);
	expect(field, "an interrupt is injected");
	vmcs[VMCS_ENTRY_EVENT] = EVENT(EVENT_NMI, VECTOR_NMI);
	expect(field, "by MOV SS where an NMI");
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_NMI;
	expect(field, "by NMI where an NMI");
	(void)state;
}

/* The controls that serve a local APIC as apic.c sets them, in each mode; then what they need is missing. */
static void a_served_apic_needs_its_pages(void **state)
{
	const uint64_t secondary = vmcs[VMCS_SECONDARY_CONTROLS];
	const uint64_t served = SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY;

	(void)state;
	vmcs[VMCS_PROCESSOR_CONTROLS] |= PROCESSOR_TPR_SHADOW;
	vmcs[VMCS_VIRTUAL_APIC] = 0x8000;
	vmcs[VMCS_APIC_ACCESS] = 0x9000;
	vmcs[VMCS_SECONDARY_CONTROLS] = secondary | served | SECONDARY_X2APIC;
	assert_int_equal(audit(), 0);
	vmcs[VMCS_SECONDARY_CONTROLS] = secondary | served | SECONDARY_APIC_ACCESS;
	vmcs[VMCS_TPR_THRESHOLD] = 0x10; /* does not count */
	assert_int_equal(audit(), 0);
	vmcs[VMCS_VIRTUAL_APIC] = 0x8004;
	expect("virtual-APIC address", "a page");
	vmcs[VMCS_VIRTUAL_APIC] = 0x8000;
	vmcs[VMCS_APIC_ACCESS] = ABOVE;
	expect("APIC-access address", "a page");
	vmcs[VMCS_APIC_ACCESS] = 0x9000;
	vmcs[VMCS_SECONDARY_CONTROLS] = secondary | SECONDARY_APIC_ACCESS;
	expect("TPR threshold", "31:4");
	vmcs[VMCS_TPR_THRESHOLD] = 0;
	assert_int_equal(audit(), 0);
}

static void a_step_is_pending_under_blocking(void **state)
{
	(void)state;
	vmcs[VMCS_GUEST_RFLAGS] |= RFLAGS_IF | RFLAGS_TF;
	vmcs[VMCS_GUEST_INTERRUPTIBILITY] = BLOCKING_STI;
	expect("guest pending debug exceptions", "BS as");
	vmcs[VMCS_GUEST_PENDING_DEBUG] = PENDING_DEBUG_STEP;
	assert_int_equal(audit(), 0);
}

static void a_halted_cpu_takes_some_events_only(void **state)
{
	(void)state;
	vmcs[VMCS_GUEST_ACTIVITY] = 1;
	assert_int_equal(audit(), 0);
	vmcs[VMCS_ENTRY_EVENT] = EVENT(EVENT_EXCEPTION, VECTOR_UD);
	expect("guest activity state", "the event can end");
	vmcs[VMCS_ENTRY_EVENT] = EVENT(EVENT_EXCEPTION, VECTOR_MC);
	assert_int_equal(audit(), 0);
	vmcs[VMCS_GUEST_ACTIVITY] = 2;
	assert_int_equal(audit(), 0);
	vmcs[VMCS_GUEST_ACTIVITY] = 3;
	expect("guest activity state", "the event can end");
	vmcs[VMCS_ENTRY_EVENT] = 0;
	snapshot.capabilities.misc &= ~(4ull << 6);
	expect("guest activity state", "this CPU has");
}

static void an_error_code_is_of_16_bits(void **state)
{
	(void)state;
	vmcs[VMCS_ENTRY_EVENT] = EVENT(EVENT_EXCEPTION, VECTOR_PF) | EVENT_HAS_ERROR;
	vmcs[VMCS_ENTRY_ERROR_CODE] = 0x10000;
	expect("VM-entry exception error code", "31:16");
}

static void real_mode_pushes_no_error_code(void **state)
{
	(void)state;
	make_real_mode();
	vmcs[VMCS_ENTRY_EVENT] = EVENT(EVENT_EXCEPTION, VECTOR_GP) | EVENT_HAS_ERROR;
	expect("VM-entry interruption information", "protected mode only");
}

static void make_pae(void)
{
	vmcs[VMCS_ENTRY_CONTROLS] &= ~(uint64_t)VMENTRY_IA32E;
	vmcs[VMCS_GUEST_EFER] = 0;
	vmcs[VMCS_GUEST_RIP] = 0x1000;
	set_segment(SEGMENT_CS, 0x08, 0xFFFFFFFF, 0xC09B);
}

static void pdptes_are_checked_under_pae_paging(void **state)
{
	(void)state;
	vmcs[VMCS_GUEST_PDPTE0 + 4] = 0x103;
	assert_int_equal(audit(), 0);
	make_pae();
	expect("guest PDPTE2", "reserved");
	assert_string_equal(found[0].section, "SDM 3C 27.3.1.6");
	vmcs[VMCS_GUEST_PDPTE0 + 4] = ABOVE | 1;
	expect("guest PDPTE2", "reserved");
	vmcs[VMCS_GUEST_PDPTE0 + 4] = ABOVE;
	assert_int_equal(audit(), 0);
}

static void outside_ia_32e_mode(void **state)
{
	(void)state;
	make_pae();
	assert_int_equal(audit(), 0);
	vmcs[VMCS_GUEST_CR4] |= CR4_PCIDE;
	expect("guest CR4", "PCIDE");
	vmcs[VMCS_GUEST_CR4] &= ~CR4_PCIDE;
	vmcs[VMCS_GUEST_EFER] = EFER_LMA | EFER_LME;
	expect("guest IA32_EFER", "IA-32e mode guest");
	vmcs[VMCS_GUEST_EFER] = 0;
	vmcs[VMCS_GUEST_RIP] = 1ull << 32;
	expect("guest RIP", "63:32");
}

/* Without unrestricted guest the rules of segments are stricter, and paging is a must. */
static void a_restricted_guest(void **state)
{
	(void)state;
	vmcs[VMCS_SECONDARY_CONTROLS] = SECONDARY_EPT;
	assert_int_equal(audit(), 0);
	vmcs[VMCS_GUEST_ES_SELECTOR + 2 * SEGMENT_DS] = 0x13;
	expect("guest DS access rights", "RPL");
	vmcs[VMCS_GUEST_ES_SELECTOR + 2 * SEGMENT_DS] = 0x10;
	vmcs[VMCS_GUEST_ES_SELECTOR + 2 * SEGMENT_CS] = 0x0B;
	expect("guest SS selector", "RPL of CS");
	vmcs[CS_ACCESS] = 0xC093;
	assert_true(audit() >= 2);
}

static void paging_takes_protected_mode(void **state)
{
	(void)state;
	make_real_mode();
	vmcs[VMCS_GUEST_CR0] |= CR0_PG;
	expect("guest CR0", "PG with PE");
}

static void conforming_and_real_mode_code(void **state)
{
	(void)state;
	vmcs[CS_ACCESS] = 0xA0FF;
	expect("guest CS access rights", "not above");
	make_real_mode();
	vmcs[CS_ACCESS] = 0x93;
	assert_int_equal(audit(), 0);
	vmcs[CS_ACCESS] = 0xB3;
	expect("guest CS access rights", "DPL 0 for a data segment");
	vmcs[CS_ACCESS] = 0x9B;
	vmcs[SS_ACCESS] = 0xF3;
	assert_int_equal(audit(), 2);
	assert_string_equal(found[1].rule, "DPL 0 in real mode");
}

static void msr_lists_are_in_memory(void **state)
{
	(void)state;
	vmcs[VMCS_EXIT_MSR_LOAD_COUNT] = 1;
	vmcs[VMCS_EXIT_MSR_LOAD] = 0x8008;
	expect("VM-exit MSR-load address", "at 16 bytes");
	vmcs[VMCS_EXIT_MSR_LOAD] = ABOVE - 16;
	assert_int_equal(audit(), 0);
	vmcs[VMCS_EXIT_MSR_LOAD_COUNT] = 2;
	expect("VM-exit MSR-load address", "at 16 bytes");
}

static void unusable_segments_are_not_looked_at(void **state)
{
	(void)state;
	for (enum segment_index i = SEGMENT_ES; i <= SEGMENT_LDTR; i++)
		if (i != SEGMENT_CS)
			set_segment(i, 0, 0, ACCESS_UNUSABLE);
	assert_int_equal(audit(), 0);
}

static void the_words_of_controls_fit_together(void **state)
{
	(void)state;
	vmcs[VMCS_PIN_CONTROLS] &= ~(uint64_t)PIN_VIRTUAL_NMI;
	vmcs[VMCS_PROCESSOR_CONTROLS] |= PROCESSOR_NMI_WINDOW;
	expect("primary processor-based controls", "virtual NMIs only");
	vmcs[VMCS_PROCESSOR_CONTROLS] &= ~(uint64_t)PROCESSOR_NMI_WINDOW;
	vmcs[VMCS_PROCESSOR_CONTROLS] |= PROCESSOR_IO_BITMAPS;
	vmcs[VMCS_IO_BITMAP_B] = 0x10;
	expect("address of I/O bitmap B", "a page");
	vmcs[VMCS_PROCESSOR_CONTROLS] &= ~(uint64_t)(PROCESSOR_IO_BITMAPS | PROCESSOR_SECONDARY);
	vmcs[VMCS_SECONDARY_CONTROLS] = UINT32_MAX; /* not active: not looked at */
	assert_int_equal(audit(), 0);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_64_bit_guest_may_enter),
		TEST(a_real_mode_guest_may_enter),
		TEST(a_virtual_8086_guest_may_enter),
		TEST(an_event_may_be_injected),
		TEST(each_fault_is_named),
		TEST(blocking_fits_the_state),
		TEST(a_served_apic_needs_its_pages),
		TEST(a_step_is_pending_under_blocking),
		TEST(a_halted_cpu_takes_some_events_only),
		TEST(an_error_code_is_of_16_bits),
		TEST(real_mode_pushes_no_error_code),
		TEST(pdptes_are_checked_under_pae_paging),
		TEST(outside_ia_32e_mode),
		TEST(a_restricted_guest),
		TEST(paging_takes_protected_mode),
		TEST(conforming_and_real_mode_code),
		TEST(msr_lists_are_in_memory),
		TEST(unusable_segments_are_not_looked_at),
		TEST(the_words_of_controls_fit_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
