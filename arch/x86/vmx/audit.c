/*
 * The rules of VM entry, in the manual's order. What is said of many fields alike stands in tables; the rest
 * is one line a rule. The rules must not be taken from what this hypervisor does: they are there to find out
 * where it is wrong.
 */
#include "arch/x86/vmx/audit.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

#define COLD __attribute__((cold)) /* small, not fast: it runs once in a vCPU's life */

#define TABLE		    "SDM 3C "
#define EXECUTION_CONTROLS  "SDM 3C 27.2.1.1"
#define EXIT_CONTROLS	    "SDM 3C 27.2.1.2"
#define ENTRY_CONTROLS	    "SDM 3C 27.2.1.3"
#define HOST_REGISTERS	    "SDM 3C 27.2.2"
#define HOST_SEGMENTS	    "SDM 3C 27.2.3"
#define HOST_ADDRESS_SPACE  "SDM 3C 27.2.4"
#define GUEST_REGISTERS	    "SDM 3C 27.3.1.1"
#define GUEST_SEGMENTS	    "SDM 3C 27.3.1.2"
#define GUEST_DESCRIPTORS   "SDM 3C 27.3.1.3"
#define GUEST_INSTRUCTION   "SDM 3C 27.3.1.4"
#define GUEST_NON_REGISTERS "SDM 3C 27.3.1.5"
#define GUEST_PDPTES	    "SDM 3C 27.3.1.6"

struct audit {
	const struct vmx_snapshot *snapshot;
	entry_finding_fn *report;
	void *context;
	const char *section; /* of the rules now being checked */
	unsigned broken;
	uint32_t control[WORDS];
	uint32_t event; /* 0: none is injected */
	uint64_t cr0, cr4, rflags;
	bool long_mode, virtual_8086, unrestricted;
};

/*
 * Names (appendix B)
 */

#define FIELD_NAMES(X)                                                                                       \
	X(VMCS_VPID, "virtual-processor identifier")                                                         \
	X(VMCS_IO_BITMAP_A, "address of I/O bitmap A")                                                       \
	X(VMCS_IO_BITMAP_B, "address of I/O bitmap B")                                                       \
	X(VMCS_MSR_BITMAP, "address of MSR bitmaps")                                                         \
	X(VMCS_EXIT_MSR_STORE, "VM-exit MSR-store address")                                                  \
	X(VMCS_EXIT_MSR_LOAD, "VM-exit MSR-load address")                                                    \
	X(VMCS_ENTRY_MSR_LOAD, "VM-entry MSR-load address")                                                  \
	X(VMCS_PML_ADDRESS, "PML address")                                                                   \
	X(VMCS_VIRTUAL_APIC, "virtual-APIC address")                                                         \
	X(VMCS_APIC_ACCESS, "APIC-access address")                                                           \
	X(VMCS_TPR_THRESHOLD, "TPR threshold")                                                               \
	X(VMCS_EPT_POINTER, "EPT pointer")                                                                   \
	X(VMCS_LINK_POINTER, "VMCS link pointer")                                                            \
	X(VMCS_GUEST_DEBUGCTL, "guest IA32_DEBUGCTL")                                                        \
	X(VMCS_GUEST_PAT, "guest IA32_PAT")                                                                  \
	X(VMCS_GUEST_EFER, "guest IA32_EFER")                                                                \
	X(VMCS_GUEST_PDPTE0, "guest PDPTE0")                                                                 \
	X(VMCS_GUEST_PDPTE0 + 2, "guest PDPTE1")                                                             \
	X(VMCS_GUEST_PDPTE0 + 4, "guest PDPTE2")                                                             \
	X(VMCS_GUEST_PDPTE0 + 6, "guest PDPTE3")                                                             \
	X(VMCS_HOST_PAT, "host IA32_PAT")                                                                    \
	X(VMCS_HOST_EFER, "host IA32_EFER")                                                                  \
	X(VMCS_PIN_CONTROLS, "pin-based controls")                                                           \
	X(VMCS_PROCESSOR_CONTROLS, "primary processor-based controls")                                       \
	X(VMCS_SECONDARY_CONTROLS, "secondary processor-based controls")                                     \
	X(VMCS_EXIT_CONTROLS, "VM-exit controls")                                                            \
	X(VMCS_ENTRY_CONTROLS, "VM-entry controls")                                                          \
	X(VMCS_CR3_TARGET_COUNT, "CR3-target count")                                                         \
	X(VMCS_ENTRY_EVENT, "VM-entry interruption information")                                             \
	X(VMCS_ENTRY_ERROR_CODE, "VM-entry exception error code")                                            \
	X(VMCS_ENTRY_INSTRUCTION_LENGTH, "VM-entry instruction length")                                      \
	X(VMCS_GUEST_GDTR_LIMIT, "guest GDTR limit")                                                         \
	X(VMCS_GUEST_IDTR_LIMIT, "guest IDTR limit")                                                         \
	X(VMCS_GUEST_INTERRUPTIBILITY, "guest interruptibility state")                                       \
	X(VMCS_GUEST_ACTIVITY, "guest activity state")                                                       \
	X(VMCS_GUEST_CR0, "guest CR0")                                                                       \
	X(VMCS_GUEST_CR3, "guest CR3")                                                                       \
	X(VMCS_GUEST_CR4, "guest CR4")                                                                       \
	X(VMCS_GUEST_GDTR_BASE, "guest GDTR base")                                                           \
	X(VMCS_GUEST_IDTR_BASE, "guest IDTR base")                                                           \
	X(VMCS_GUEST_DR7, "guest DR7")                                                                       \
	X(VMCS_GUEST_RIP, "guest RIP")                                                                       \
	X(VMCS_GUEST_RFLAGS, "guest RFLAGS")                                                                 \
	X(VMCS_GUEST_PENDING_DEBUG, "guest pending debug exceptions")                                        \
	X(VMCS_GUEST_SYSENTER_ESP, "guest IA32_SYSENTER_ESP")                                                \
	X(VMCS_GUEST_SYSENTER_EIP, "guest IA32_SYSENTER_EIP")                                                \
	X(VMCS_HOST_CR0, "host CR0")                                                                         \
	X(VMCS_HOST_CR3, "host CR3")                                                                         \
	X(VMCS_HOST_CR4, "host CR4")                                                                         \
	X(VMCS_HOST_FS_BASE, "host FS base")                                                                 \
	X(VMCS_HOST_GS_BASE, "host GS base")                                                                 \
	X(VMCS_HOST_TR_BASE, "host TR base")                                                                 \
	X(VMCS_HOST_GDTR_BASE, "host GDTR base")                                                             \
	X(VMCS_HOST_IDTR_BASE, "host IDTR base")                                                             \
	X(VMCS_HOST_SYSENTER_ESP, "host IA32_SYSENTER_ESP")                                                  \
	X(VMCS_HOST_SYSENTER_EIP, "host IA32_SYSENTER_EIP")                                                  \
	X(VMCS_HOST_RIP, "host RIP")

#define FIELD_OF(field, name) (field),
#define NAME_OF(field, name)  name "\0"
static const uint16_t named_fields[] = {FIELD_NAMES(FIELD_OF)};
static const char field_names[] = FIELD_NAMES(NAME_OF); /* one behind the other, in the same order */

/* Fields that there are one of for each segment register, two encodings apart. */
static const struct field_group {
	uint16_t first;
	char whose[6];
	char part[14];
} groups[] = {
	{VMCS_GUEST_ES_SELECTOR, "guest", "selector"}, {VMCS_HOST_ES_SELECTOR, "host", "selector"},
	{VMCS_GUEST_ES_LIMIT, "guest", "limit"},       {VMCS_GUEST_ES_ACCESS, "guest", "access rights"},
	{VMCS_GUEST_ES_BASE, "guest", "base"},
};

static COLD void name_field(char out[ENTRY_FIELD_NAME], unsigned field)
{
	static const char segments[SEGMENTS][5] = {"ES", "CS", "SS", "DS", "FS", "GS", "LDTR", "TR"};
	const char *name = field_names;

	for (unsigned i = 0; i < ARRAY_SIZE(named_fields); i++, name += strlen(name) + 1)
		if (named_fields[i] == field) {
			string_copy(out, name, ENTRY_FIELD_NAME);
			return;
		}
	for (unsigned i = 0; i < ARRAY_SIZE(groups); i++) {
		unsigned index = (field - groups[i].first) / 2;

		if (field < groups[i].first || index >= SEGMENTS)
			continue;
		/* The host has no LDTR: its TR comes next. */
		if (field == VMCS_HOST_TR_SELECTOR)
			index = SEGMENT_TR;
		format(out, ENTRY_FIELD_NAME, "%s %s %s", groups[i].whose, segments[index], groups[i].part);
		return;
	}
}

/*
 * A rule
 */

static COLD uint64_t get(const struct audit *audit, unsigned field)
{
	return audit->snapshot->read(audit->snapshot->context, field);
}

static COLD void must(struct audit *audit, bool holds, unsigned field, const char *rule)
{
	struct entry_finding finding = {.rule = rule, .section = audit->section};

	if (holds)
		return;
	audit->broken++;
	finding.value = get(audit, field);
	name_field(finding.field, field);
	audit->report(audit->context, &finding);
}

static bool canonical(const struct audit *audit, uint64_t address)
{
	const unsigned unused = 64 - audit->snapshot->capabilities.linear_bits;

	return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

/* Within the physical addresses this CPU has. */
static bool fits(const struct audit *audit, uint64_t address)
{
	return !(address >> audit->snapshot->capabilities.physical_bits);
}

/* Types of memory that a PAT entry may name: 2 and 3 are reserved (SDM 3A 12.12.2). */
static COLD bool valid_pat(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++, pat >>= 8) {
		uint64_t type = pat & 0xFF;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

/*
 * Rules for many fields
 */

#define CONTROL(word, mask) ((uint8_t)((word)*32 + __builtin_ctz(mask)))
#define ALWAYS		    0xFF

static bool is_on(const struct audit *audit, uint8_t control)
{
	return control == ALWAYS || audit->control[control / 32] >> control % 32 & 1;
}

enum test { CANONICAL, PAGE, NARROW, LOW_32, LOW_16, HOST_SELECTOR, PAT, NOT_ZERO };
static const char test_rules[][40] = {
	[CANONICAL] = "a canonical address",
	[PAGE] = "a page of physical memory",
	[NARROW] = "0 above the physical-address width",
	[LOW_32] = "bits 63:32 to be 0",
	[LOW_16] = "bits 31:16 to be 0",
	[HOST_SELECTOR] = "RPL and TI to be 0",
	[PAT] = "types 0, 1, 4, 5, 6 or 7 only",
	[NOT_ZERO] = "anything but 0",
};

enum section {
	S_EXECUTION,
	S_HOST_REGISTERS,
	S_HOST_SEGMENTS,
	S_GUEST_REGISTERS,
	S_GUEST_SEGMENTS,
	S_DESCRIPTORS
};
static const char *const sections[] = {EXECUTION_CONTROLS, HOST_REGISTERS, HOST_SEGMENTS,
				       GUEST_REGISTERS,	   GUEST_SEGMENTS, GUEST_DESCRIPTORS};

static const struct field_rule {
	uint16_t field;
	uint8_t test, when, section;
} field_rules[] = {
	{VMCS_IO_BITMAP_A, PAGE, CONTROL(WORD_PROCESSOR, PROCESSOR_IO_BITMAPS), S_EXECUTION},
	{VMCS_IO_BITMAP_B, PAGE, CONTROL(WORD_PROCESSOR, PROCESSOR_IO_BITMAPS), S_EXECUTION},
	{VMCS_MSR_BITMAP, PAGE, CONTROL(WORD_PROCESSOR, PROCESSOR_MSR_BITMAP), S_EXECUTION},
	{VMCS_VIRTUAL_APIC, PAGE, CONTROL(WORD_PROCESSOR, PROCESSOR_TPR_SHADOW), S_EXECUTION},
	{VMCS_APIC_ACCESS, PAGE, CONTROL(WORD_SECONDARY, SECONDARY_APIC_ACCESS), S_EXECUTION},
	{VMCS_PML_ADDRESS, PAGE, CONTROL(WORD_SECONDARY, SECONDARY_PML), S_EXECUTION},
	{VMCS_VPID, NOT_ZERO, CONTROL(WORD_SECONDARY, SECONDARY_VPID), S_EXECUTION},
	{VMCS_HOST_CR3, NARROW, ALWAYS, S_HOST_REGISTERS},
	{VMCS_HOST_SYSENTER_ESP, CANONICAL, ALWAYS, S_HOST_REGISTERS},
	{VMCS_HOST_SYSENTER_EIP, CANONICAL, ALWAYS, S_HOST_REGISTERS},
	{VMCS_HOST_PAT, PAT, CONTROL(WORD_EXIT, VMEXIT_LOAD_PAT), S_HOST_REGISTERS},
	{VMCS_HOST_ES_SELECTOR, HOST_SELECTOR, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_CS_SELECTOR, HOST_SELECTOR, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_CS_SELECTOR, NOT_ZERO, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_SS_SELECTOR, HOST_SELECTOR, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_DS_SELECTOR, HOST_SELECTOR, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_FS_SELECTOR, HOST_SELECTOR, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_GS_SELECTOR, HOST_SELECTOR, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_TR_SELECTOR, HOST_SELECTOR, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_TR_SELECTOR, NOT_ZERO, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_FS_BASE, CANONICAL, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_GS_BASE, CANONICAL, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_TR_BASE, CANONICAL, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_GDTR_BASE, CANONICAL, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_HOST_IDTR_BASE, CANONICAL, ALWAYS, S_HOST_SEGMENTS},
	{VMCS_GUEST_CR3, NARROW, ALWAYS, S_GUEST_REGISTERS},
	{VMCS_GUEST_DR7, LOW_32, CONTROL(WORD_ENTRY, VMENTRY_LOAD_DEBUG), S_GUEST_REGISTERS},
	{VMCS_GUEST_SYSENTER_ESP, CANONICAL, ALWAYS, S_GUEST_REGISTERS},
	{VMCS_GUEST_SYSENTER_EIP, CANONICAL, ALWAYS, S_GUEST_REGISTERS},
	{VMCS_GUEST_PAT, PAT, CONTROL(WORD_ENTRY, VMENTRY_LOAD_PAT), S_GUEST_REGISTERS},
	{VMCS_GUEST_ES_BASE + 2 * SEGMENT_FS, CANONICAL, ALWAYS, S_GUEST_SEGMENTS},
	{VMCS_GUEST_ES_BASE + 2 * SEGMENT_GS, CANONICAL, ALWAYS, S_GUEST_SEGMENTS},
	{VMCS_GUEST_ES_BASE + 2 * SEGMENT_TR, CANONICAL, ALWAYS, S_GUEST_SEGMENTS},
	{VMCS_GUEST_ES_BASE + 2 * SEGMENT_CS, LOW_32, ALWAYS, S_GUEST_SEGMENTS},
	{VMCS_GUEST_GDTR_BASE, CANONICAL, ALWAYS, S_DESCRIPTORS},
	{VMCS_GUEST_IDTR_BASE, CANONICAL, ALWAYS, S_DESCRIPTORS},
	{VMCS_GUEST_GDTR_LIMIT, LOW_16, ALWAYS, S_DESCRIPTORS},
	{VMCS_GUEST_IDTR_LIMIT, LOW_16, ALWAYS, S_DESCRIPTORS},
};

#define SELECTOR_RPL 3u
#define SELECTOR_TI  4u

static COLD bool passes(const struct audit *audit, enum test test, uint64_t value)
{
	switch (test) {
	case CANONICAL: return canonical(audit, value);
	case PAGE: return value % PAGE_SIZE == 0 && fits(audit, value);
	case NARROW: return fits(audit, value);
	case LOW_32: return !(value >> 32);
	case LOW_16: return !(value >> 16);
	case HOST_SELECTOR: return !(value & (SELECTOR_RPL | SELECTOR_TI));
	case PAT: return valid_pat(value);
	default: return value != 0;
	}
}

static COLD void check_field_rules(struct audit *audit)
{
	for (unsigned i = 0; i < ARRAY_SIZE(field_rules); i++) {
		const struct field_rule *rule = &field_rules[i];

		if (!is_on(audit, rule->when))
			continue;
		audit->section = sections[rule->section];
		must(audit, passes(audit, rule->test, get(audit, rule->field)), rule->field,
		     test_rules[rule->test]);
	}
}

/*
 * Controls
 */

static const uint16_t word_fields[WORDS] = {VMCS_PIN_CONTROLS, VMCS_PROCESSOR_CONTROLS,
					    VMCS_SECONDARY_CONTROLS, VMCS_EXIT_CONTROLS, VMCS_ENTRY_CONTROLS};

static COLD void check_allowed(struct audit *audit)
{
	static const char *const where[WORDS] = {EXECUTION_CONTROLS, EXECUTION_CONTROLS, EXECUTION_CONTROLS,
						 EXIT_CONTROLS, ENTRY_CONTROLS};

	for (unsigned word = 0; word < WORDS; word++) {
		uint64_t allowed = audit->snapshot->capabilities.allowed[word];
		uint32_t value = audit->control[word];

		if (word == WORD_SECONDARY && !(audit->control[WORD_PROCESSOR] & PROCESSOR_SECONDARY))
			continue;
		audit->section = where[word];
		must(audit, !((uint32_t)allowed & ~value), word_fields[word],
		     "the bits that this CPU wants 1 to be 1");
		must(audit, !(value & ~(uint32_t)(allowed >> 32)), word_fields[word],
		     "the bits that this CPU lacks to be 0");
	}
}

/* A control that takes another one to be 1, or to be 0. */
static const struct dependency {
	uint8_t control, other;
	bool expected;
	char rule[45];
} dependencies[] = {
	{CONTROL(WORD_PIN, PIN_VIRTUAL_NMI), CONTROL(WORD_PIN, PIN_NMI), true,
	 "virtual NMIs with NMI exiting only"},
	{CONTROL(WORD_PROCESSOR, PROCESSOR_NMI_WINDOW), CONTROL(WORD_PIN, PIN_VIRTUAL_NMI), true,
	 "NMI-window exiting with virtual NMIs only"},
	{CONTROL(WORD_PIN, PIN_POSTED_INTERRUPTS), CONTROL(WORD_SECONDARY, SECONDARY_INTERRUPT_DELIVERY),
	 true, "posted interrupts with their delivery only"},
	{CONTROL(WORD_PIN, PIN_POSTED_INTERRUPTS), CONTROL(WORD_EXIT, VMEXIT_ACKNOWLEDGE), true,
	 "posted interrupts with acknowledgement only"},
	{CONTROL(WORD_SECONDARY, SECONDARY_INTERRUPT_DELIVERY), CONTROL(WORD_PIN, PIN_EXTERNAL_INTERRUPT),
	 true, "delivery with external-interrupt exiting"},
	{CONTROL(WORD_SECONDARY, SECONDARY_INTERRUPT_DELIVERY), CONTROL(WORD_PROCESSOR, PROCESSOR_TPR_SHADOW),
	 true, "interrupt delivery with a TPR shadow only"},
	{CONTROL(WORD_SECONDARY, SECONDARY_X2APIC), CONTROL(WORD_PROCESSOR, PROCESSOR_TPR_SHADOW), true,
	 "x2APIC mode with a TPR shadow only"},
	{CONTROL(WORD_SECONDARY, SECONDARY_APIC_REGISTERS), CONTROL(WORD_PROCESSOR, PROCESSOR_TPR_SHADOW),
	 true, "APIC registers with a TPR shadow only"},
	{CONTROL(WORD_SECONDARY, SECONDARY_X2APIC), CONTROL(WORD_SECONDARY, SECONDARY_APIC_ACCESS), false,
	 "x2APIC mode or APIC accesses, not both"},
	{CONTROL(WORD_SECONDARY, SECONDARY_UNRESTRICTED), CONTROL(WORD_SECONDARY, SECONDARY_EPT), true,
	 "unrestricted guest with EPT only"},
	{CONTROL(WORD_SECONDARY, SECONDARY_PML), CONTROL(WORD_SECONDARY, SECONDARY_EPT), true,
	 "PML with EPT only"},
	{CONTROL(WORD_EXIT, VMEXIT_SAVE_TIMER), CONTROL(WORD_PIN, PIN_PREEMPTION_TIMER), true,
	 "the timer to be saved where it is active"},
};

static COLD void check_dependencies(struct audit *audit)
{
	for (unsigned i = 0; i < ARRAY_SIZE(dependencies); i++) {
		const struct dependency *row = &dependencies[i];
		enum vmx_word word = MIN(row->control / 32, WORDS - 1);

		audit->section = word == WORD_EXIT ? EXIT_CONTROLS : EXECUTION_CONTROLS;
		must(audit, !is_on(audit, row->control) || is_on(audit, row->other) == row->expected,
		     word_fields[word], row->rule);
	}
	audit->section = ENTRY_CONTROLS;
	must(audit, !(audit->control[WORD_ENTRY] & (VMENTRY_SMM | VMENTRY_DUAL_MONITOR)), VMCS_ENTRY_CONTROLS,
	     "the controls of SMM to be 0 outside SMM");
}

#define EPTP_TYPE(pointer) ((pointer)&7)
#define EPTP_WALK(pointer) ((pointer) >> 3 & 7)
#define EPTP_ACCESSED	   (1ull << 6)
#define EPTP_RESERVED	   0xF80ull
#define WALK_4_LEVELS	   3

static COLD void check_ept_pointer(struct audit *audit)
{
	uint64_t caps = audit->snapshot->capabilities.ept_vpid, pointer;

	if (!(audit->control[WORD_SECONDARY] & SECONDARY_EPT))
		return;
	pointer = get(audit, VMCS_EPT_POINTER);
	must(audit,
	     (EPTP_TYPE(pointer) == MEMORY_TYPE_WB && (caps & EPT_CAP_WRITE_BACK)) ||
		     (EPTP_TYPE(pointer) == MEMORY_TYPE_UC && (caps & EPT_CAP_UNCACHED)),
	     VMCS_EPT_POINTER, "a memory type that this CPU has for it");
	must(audit, EPTP_WALK(pointer) == WALK_4_LEVELS && (caps & EPT_CAP_WALK_4), VMCS_EPT_POINTER,
	     "a page walk of 4 levels (bits 5:3 = 3)");
	must(audit, !(pointer & EPTP_ACCESSED) || (caps & EPT_CAP_ACCESSED), VMCS_EPT_POINTER,
	     "bit 6 to be 0: no accessed and dirty flags");
	must(audit, !(pointer & EPTP_RESERVED), VMCS_EPT_POINTER, "bits 11:7 to be 0");
	must(audit, fits(audit, pointer), VMCS_EPT_POINTER, test_rules[NARROW]);
}

#define THRESHOLD 0xFull

/* Bits 3:0 are compared with a TPR in memory, which is not looked at here: this hypervisor leaves them 0, and
 * no TPR is below that. */
static COLD void check_tpr_threshold(struct audit *audit)
{
	if (!(audit->control[WORD_PROCESSOR] & PROCESSOR_TPR_SHADOW) ||
	    (audit->control[WORD_SECONDARY] & SECONDARY_INTERRUPT_DELIVERY))
		return;
	must(audit, !(get(audit, VMCS_TPR_THRESHOLD) & ~THRESHOLD), VMCS_TPR_THRESHOLD, "bits 31:4 to be 0");
}

#define MSR_ENTRY	  16 /* bytes */
#define CR3_TARGETS(misc) ((misc) >> 16 & 0x1FF)

static COLD void check_msr_area(struct audit *audit, const char *section, unsigned count_field,
				unsigned address_field)
{
	uint64_t count = get(audit, count_field), address;

	if (!count)
		return;
	audit->section = section;
	address = get(audit, address_field);
	must(audit,
	     address % MSR_ENTRY == 0 && fits(audit, address) && fits(audit, address + count * MSR_ENTRY - 1),
	     address_field, "a list in physical memory, at 16 bytes");
}

static COLD void check_controls(struct audit *audit)
{
	check_allowed(audit);
	check_dependencies(audit);
	audit->section = EXECUTION_CONTROLS;
	must(audit, get(audit, VMCS_CR3_TARGET_COUNT) <= CR3_TARGETS(audit->snapshot->capabilities.misc),
	     VMCS_CR3_TARGET_COUNT, "no more than this CPU has");
	check_ept_pointer(audit);
	check_tpr_threshold(audit);
	check_msr_area(audit, EXIT_CONTROLS, VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_STORE);
	check_msr_area(audit, EXIT_CONTROLS, VMCS_EXIT_MSR_LOAD_COUNT, VMCS_EXIT_MSR_LOAD);
	check_msr_area(audit, ENTRY_CONTROLS, VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD);
}

/*
 * The event an entry injects
 */

#define EVENT_RESERVED		  0x7FFFF000u
#define EVENT_RESERVED_TYPE	  1
#define EVENT_OTHER		  7
#define ERROR_CODE_RESERVED	  0xFFFF0000u
#define LENGTH_MAX		  15
#define BASIC_ANY_ERROR_CODE	  (1ull << 56) /* error codes do not depend on the vector (A.1) */
#define MISC_LENGTH_ZERO	  (1ull << 30)
#define HAS_ERROR_CODE(vector)	  (0x227D00u >> (vector)&1) /* 8, 10 to 14, 17, 21 (SDM 3A table 6-1) */
#define CONTROL_PROTECTION_VECTOR 21
#define EXCEPTION_VECTORS	  32

static COLD void check_error_code(struct audit *audit, unsigned type, unsigned vector)
{
	const struct vmx_capabilities *caps = &audit->snapshot->capabilities;
	bool has = audit->event & EVENT_HAS_ERROR;
	bool may = type == EVENT_EXCEPTION && (audit->cr0 & CR0_PE);

	must(audit, !has || may, VMCS_ENTRY_EVENT, "an error code of exceptions in protected mode only");
	if (may && vector < EXCEPTION_VECTORS && vector != CONTROL_PROTECTION_VECTOR &&
	    !(caps->basic & BASIC_ANY_ERROR_CODE))
		must(audit, has == HAS_ERROR_CODE(vector), VMCS_ENTRY_EVENT,
		     "an error code where the vector has one");
	if (has)
		must(audit, !(get(audit, VMCS_ENTRY_ERROR_CODE) & ERROR_CODE_RESERVED), VMCS_ENTRY_ERROR_CODE,
		     test_rules[LOW_16]);
}

static COLD void check_event(struct audit *audit)
{
	unsigned type = EVENT_TYPE(audit->event), vector = audit->event & EVENT_VECTOR;
	uint64_t length;

	audit->section = ENTRY_CONTROLS;
	if (!audit->event)
		return;
	must(audit, type != EVENT_RESERVED_TYPE, VMCS_ENTRY_EVENT, "a type other than 1");
	must(audit, type != EVENT_NMI || vector == VECTOR_NMI, VMCS_ENTRY_EVENT, "vector 2 for an NMI");
	must(audit, type != EVENT_EXCEPTION || vector < EXCEPTION_VECTORS, VMCS_ENTRY_EVENT,
	     "a vector below 32 for an exception");
	must(audit, type != EVENT_OTHER || vector == 0, VMCS_ENTRY_EVENT, "vector 0 for other events");
	must(audit, !(audit->event & EVENT_RESERVED), VMCS_ENTRY_EVENT, "bits 30:12 to be 0");
	check_error_code(audit, type, vector);
	if (type < EVENT_SOFT_INTERRUPT || type > EVENT_SOFT_EXCEPTION)
		return;
	length = get(audit, VMCS_ENTRY_INSTRUCTION_LENGTH);
	must(audit,
	     length <= LENGTH_MAX && (length || (audit->snapshot->capabilities.misc & MISC_LENGTH_ZERO)),
	     VMCS_ENTRY_INSTRUCTION_LENGTH, "1 to 15 bytes for a software event");
}

/*
 * Host state
 */

#define EFER_DEFINED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

static COLD void check_fixed(struct audit *audit, unsigned field, uint64_t fixed0, uint64_t fixed1)
{
	uint64_t value = get(audit, field);

	must(audit, !(fixed0 & ~value), field, "the bits of its FIXED0 MSR to be 1");
	must(audit, !(value & ~fixed1), field, "the bits not in its FIXED1 MSR to be 0");
}

static COLD void check_host(struct audit *audit)
{
	const struct vmx_capabilities *caps = &audit->snapshot->capabilities;
	bool wide = audit->control[WORD_EXIT] & VMEXIT_HOST_64;
	uint64_t efer = get(audit, VMCS_HOST_EFER), lm = wide ? EFER_LMA | EFER_LME : 0;

	audit->section = HOST_REGISTERS;
	check_fixed(audit, VMCS_HOST_CR0, caps->cr0_fixed0, caps->cr0_fixed1);
	check_fixed(audit, VMCS_HOST_CR4, caps->cr4_fixed0, caps->cr4_fixed1);
	if (audit->control[WORD_EXIT] & VMEXIT_LOAD_EFER) {
		must(audit, !(efer & ~EFER_DEFINED), VMCS_HOST_EFER, "reserved bits to be 0");
		must(audit, (efer & (EFER_LMA | EFER_LME)) == lm, VMCS_HOST_EFER,
		     "LMA and LME as the host address-space size");
	}
	audit->section = HOST_ADDRESS_SPACE;
	must(audit, wide, VMCS_EXIT_CONTROLS, "host address-space size 1: the host is in IA-32e mode");
	must(audit, get(audit, VMCS_HOST_CR4) & CR4_PAE, VMCS_HOST_CR4, "PAE to be 1");
	must(audit, canonical(audit, get(audit, VMCS_HOST_RIP)), VMCS_HOST_RIP, test_rules[CANONICAL]);
}

/*
 * Guest control registers and MSRs
 */

#define DEBUGCTL_DEFINED 0xFFC7ull /* LBR, BTF, BLD, TR to RTM (SDM 4) */

static COLD void check_guest_cr(struct audit *audit)
{
	const struct vmx_capabilities *caps = &audit->snapshot->capabilities;
	uint64_t relaxed = CR0_CD | CR0_NW | (audit->unrestricted ? CR0_PE | CR0_PG : 0);

	audit->section = GUEST_REGISTERS;
	check_fixed(audit, VMCS_GUEST_CR0, caps->cr0_fixed0 & ~relaxed, caps->cr0_fixed1 | relaxed);
	check_fixed(audit, VMCS_GUEST_CR4, caps->cr4_fixed0, caps->cr4_fixed1);
	must(audit, !(audit->cr0 & CR0_PG) || (audit->cr0 & CR0_PE), VMCS_GUEST_CR0, "PG with PE only");
	if (audit->long_mode) {
		must(audit, audit->cr0 & CR0_PG, VMCS_GUEST_CR0, "PG to be 1 in IA-32e mode");
		must(audit, audit->cr4 & CR4_PAE, VMCS_GUEST_CR4, "PAE to be 1 in IA-32e mode");
	} else {
		must(audit, !(audit->cr4 & CR4_PCIDE), VMCS_GUEST_CR4, "PCIDE in IA-32e mode only");
	}
}

static COLD void check_guest_msrs(struct audit *audit)
{
	uint64_t efer = get(audit, VMCS_GUEST_EFER);

	if (audit->control[WORD_ENTRY] & VMENTRY_LOAD_DEBUG)
		must(audit, !(get(audit, VMCS_GUEST_DEBUGCTL) & ~DEBUGCTL_DEFINED), VMCS_GUEST_DEBUGCTL,
		     "reserved bits to be 0");
	if (!(audit->control[WORD_ENTRY] & VMENTRY_LOAD_EFER))
		return;
	must(audit, !(efer & ~EFER_DEFINED), VMCS_GUEST_EFER, "reserved bits to be 0");
	must(audit, !!(efer & EFER_LMA) == audit->long_mode, VMCS_GUEST_EFER,
	     "LMA as the control IA-32e mode guest");
	must(audit, !(audit->cr0 & CR0_PG) || !(efer & EFER_LMA) == !(efer & EFER_LME), VMCS_GUEST_EFER,
	     "LMA as LME while CR0.PG is 1");
}

/*
 * Guest segments
 */

#define ACCESS_TYPE(access)   ((access)&0xF)
#define ACCESS_LEVEL(access)  ((access) >> ACCESS_DPL_SHIFT & ACCESS_DPL)
#define ACCESS_S	      (1u << 4)
#define ACCESS_P	      (1u << 7)
#define ACCESS_L	      (1u << 13)
#define ACCESS_DB	      (1u << 14)
#define ACCESS_G	      (1u << 15)
#define ACCESS_RESERVED	      0xFFFE0F00u
#define ACCESS_VIRTUAL_8086   0xF3u
#define TYPE_ACCESSED	      1u
#define TYPE_READABLE	      2u
#define TYPE_CODE	      8u
#define TYPE_CONFORMING	      12u /* code, conforming */
#define TYPE_DATA_WRITABLE    3u
#define TYPE_DATA_EXPAND_DOWN 7u
#define TYPE_LDT	      2u
#define TYPE_TSS_16	      3u
#define TYPE_TSS	      11u
#define LIMIT_VIRTUAL_8086    0xFFFFu
#define LIMIT_LOW	      0xFFFu
#define LIMIT_HIGH	      0xFFF00000u

struct guest_segment {
	uint64_t base;
	uint32_t selector, limit, access;
};

static COLD struct guest_segment segment_of(const struct audit *audit, enum segment_index index)
{
	return (struct guest_segment){
		.base = get(audit, vmcs_segment_field(VMCS_GUEST_ES_BASE, index)),
		.selector = (uint32_t)get(audit, vmcs_segment_field(VMCS_GUEST_ES_SELECTOR, index)),
		.limit = (uint32_t)get(audit, vmcs_segment_field(VMCS_GUEST_ES_LIMIT, index)),
		.access = (uint32_t)get(audit, vmcs_segment_field(VMCS_GUEST_ES_ACCESS, index)),
	};
}

/* Of any usable segment. */
static COLD void check_rights(struct audit *audit, const struct guest_segment *segment, unsigned field)
{
	must(audit, segment->access & ACCESS_P, field, "P to be 1");
	must(audit, !(segment->access & ACCESS_RESERVED), field, "bits 11:8 and 31:17 to be 0");
	must(audit,
	     segment->access & ACCESS_G ? (segment->limit & LIMIT_LOW) == LIMIT_LOW
					: !(segment->limit & LIMIT_HIGH),
	     field, "G as the limit demands");
}

static COLD void check_code_rights(struct audit *audit, const struct guest_segment *code, unsigned field)
{
	unsigned type = ACCESS_TYPE(code->access), level = ACCESS_LEVEL(code->access);
	unsigned stack_level = ACCESS_LEVEL(segment_of(audit, SEGMENT_SS).access);

	must(audit,
	     (type & (TYPE_CODE | TYPE_ACCESSED)) == (TYPE_CODE | TYPE_ACCESSED) ||
		     (type == TYPE_DATA_WRITABLE && audit->unrestricted),
	     field, "an accessed code segment");
	if (!(type & TYPE_CODE))
		must(audit, level == 0, field, "DPL 0 for a data segment in CS");
	else if ((type & TYPE_CONFORMING) == TYPE_CONFORMING)
		must(audit, level <= stack_level, field, "DPL not above that of SS");
	else
		must(audit, level == stack_level, field, "the DPL of SS");
	must(audit, !audit->long_mode || !(code->access & ACCESS_L) || !(code->access & ACCESS_DB), field,
	     "D/B to be 0 where L is 1");
}

static COLD void check_stack_rights(struct audit *audit, const struct guest_segment *stack, unsigned field)
{
	unsigned type = ACCESS_TYPE(stack->access), level = ACCESS_LEVEL(stack->access);
	unsigned code_type = ACCESS_TYPE(segment_of(audit, SEGMENT_CS).access);

	if (!(stack->access & ACCESS_UNUSABLE))
		must(audit, type == TYPE_DATA_WRITABLE || type == TYPE_DATA_EXPAND_DOWN, field,
		     "an accessed, writable data segment");
	if (!audit->unrestricted)
		must(audit, level == (stack->selector & SELECTOR_RPL), field, "DPL as the selector's RPL");
	if (code_type == TYPE_DATA_WRITABLE || !(audit->cr0 & CR0_PE))
		must(audit, level == 0, field, "DPL 0 in real mode");
}

static COLD void check_data_rights(struct audit *audit, const struct guest_segment *data, unsigned field)
{
	unsigned type = ACCESS_TYPE(data->access);

	must(audit, type & TYPE_ACCESSED, field, "an accessed segment");
	must(audit, !(type & TYPE_CODE) || (type & TYPE_READABLE), field, "a readable segment");
	if (!audit->unrestricted && type < TYPE_CONFORMING)
		must(audit, ACCESS_LEVEL(data->access) >= (data->selector & SELECTOR_RPL), field,
		     "DPL not below the selector's RPL");
}

static COLD void check_virtual_8086(struct audit *audit, const struct guest_segment *segment,
				    enum segment_index index)
{
	must(audit, segment->base == (uint64_t)segment->selector << 4,
	     vmcs_segment_field(VMCS_GUEST_ES_BASE, index), "the selector * 16 in virtual-8086 mode");
	must(audit, segment->limit == LIMIT_VIRTUAL_8086, vmcs_segment_field(VMCS_GUEST_ES_LIMIT, index),
	     "ffff in virtual-8086 mode");
	must(audit, segment->access == ACCESS_VIRTUAL_8086, vmcs_segment_field(VMCS_GUEST_ES_ACCESS, index),
	     "f3 in virtual-8086 mode");
}

static COLD void check_segment(struct audit *audit, enum segment_index index)
{
	struct guest_segment segment = segment_of(audit, index);
	unsigned field = vmcs_segment_field(VMCS_GUEST_ES_ACCESS, index);
	bool usable = index == SEGMENT_CS || !(segment.access & ACCESS_UNUSABLE);

	if (audit->virtual_8086) {
		check_virtual_8086(audit, &segment, index);
		return;
	}
	if (index == SEGMENT_SS)
		check_stack_rights(audit, &segment, field);
	if (!usable)
		return;
	if (index == SEGMENT_CS)
		check_code_rights(audit, &segment, field);
	else if (index != SEGMENT_SS)
		check_data_rights(audit, &segment, field);
	if (index == SEGMENT_SS || index == SEGMENT_DS || index == SEGMENT_ES)
		must(audit, !(segment.base >> 32), vmcs_segment_field(VMCS_GUEST_ES_BASE, index),
		     test_rules[LOW_32]);
	must(audit, segment.access & ACCESS_S, field, "S to be 1");
	check_rights(audit, &segment, field);
}

static COLD void check_system_segment(struct audit *audit, enum segment_index index)
{
	struct guest_segment segment = segment_of(audit, index);
	unsigned field = vmcs_segment_field(VMCS_GUEST_ES_ACCESS, index), type = ACCESS_TYPE(segment.access);

	if (index == SEGMENT_LDTR && (segment.access & ACCESS_UNUSABLE))
		return;
	must(audit, !(segment.selector & SELECTOR_TI), vmcs_segment_field(VMCS_GUEST_ES_SELECTOR, index),
	     "TI to be 0");
	if (index == SEGMENT_LDTR) {
		must(audit, type == TYPE_LDT, field, "the type of an LDT");
		must(audit, canonical(audit, segment.base), vmcs_segment_field(VMCS_GUEST_ES_BASE, index),
		     test_rules[CANONICAL]);
	} else {
		must(audit, type == TYPE_TSS || (type == TYPE_TSS_16 && !audit->long_mode), field,
		     "the type of a busy TSS");
		must(audit, !(segment.access & ACCESS_UNUSABLE), field, "TR to be usable");
	}
	must(audit, !(segment.access & ACCESS_S), field, "S to be 0");
	check_rights(audit, &segment, field);
}

static COLD void check_segments(struct audit *audit)
{
	audit->section = GUEST_SEGMENTS;
	for (enum segment_index i = SEGMENT_ES; i <= SEGMENT_GS; i++)
		check_segment(audit, i);
	check_system_segment(audit, SEGMENT_LDTR);
	check_system_segment(audit, SEGMENT_TR);
	if (!audit->virtual_8086 && !audit->unrestricted)
		must(audit,
		     !((segment_of(audit, SEGMENT_SS).selector ^ segment_of(audit, SEGMENT_CS).selector) &
		       SELECTOR_RPL),
		     vmcs_segment_field(VMCS_GUEST_ES_SELECTOR, SEGMENT_SS), "the RPL of CS");
}

/*
 * RIP, RFLAGS, and what is no register
 */

#define RFLAGS_ZERO (~0x3FFFFFull | 1u << 15 | 1u << 5 | 1u << 3)

static COLD void check_instruction(struct audit *audit)
{
	uint64_t rip = get(audit, VMCS_GUEST_RIP);
	bool code_64 = audit->long_mode && (segment_of(audit, SEGMENT_CS).access & ACCESS_L);

	audit->section = GUEST_INSTRUCTION;
	must(audit, code_64 ? canonical(audit, rip) : !(rip >> 32), VMCS_GUEST_RIP,
	     code_64 ? test_rules[CANONICAL] : test_rules[LOW_32]);
	must(audit, !(audit->rflags & RFLAGS_ZERO) && (audit->rflags & RFLAGS_RESERVED), VMCS_GUEST_RFLAGS,
	     "bit 1 to be 1, other reserved bits to be 0");
	must(audit, !(audit->rflags & RFLAGS_VM) || (!audit->long_mode && (audit->cr0 & CR0_PE)),
	     VMCS_GUEST_RFLAGS, "VM in legacy protected mode only");
	must(audit,
	     !audit->event || EVENT_TYPE(audit->event) != EVENT_INTERRUPT || (audit->rflags & RFLAGS_IF),
	     VMCS_GUEST_RFLAGS, "IF to be 1 where an interrupt is injected");
}

enum { ACTIVE, ACTIVITY_HLT, ACTIVITY_SHUTDOWN, ACTIVITY_WAIT_FOR_SIPI, ACTIVITIES };
#define MISC_ACTIVITY(misc, state) ((state) == ACTIVE || ((misc) >> (5 + (state)) & 1))
#define BLOCKING_SMI		   (1u << 2)
#define BLOCKING_RESERVED	   0xFFFFFFE0u
#define PENDING_DEBUG_RESERVED	   (~0x1FFFFull | 0xA7F0u) /* all but B0-B3, BLD, 12, BS and RTM */
#define DEBUGCTL_BTF		   (1ull << 1)

/* What may be injected into a CPU that is not active. */
static COLD bool may_wake(uint64_t activity, uint32_t event)
{
	unsigned type = EVENT_TYPE(event), vector = event & EVENT_VECTOR;

	switch (activity) {
	case ACTIVITY_HLT:
		return type == EVENT_INTERRUPT || type == EVENT_NMI || type == EVENT_OTHER ||
		       (type == EVENT_EXCEPTION && (vector == VECTOR_DB || vector == VECTOR_MC));
	case ACTIVITY_SHUTDOWN: return type == EVENT_NMI || (type == EVENT_EXCEPTION && vector == VECTOR_MC);
	default: return activity == ACTIVE;
	}
}

static COLD void check_activity(struct audit *audit, uint64_t activity, uint64_t blocking)
{
	must(audit, activity < ACTIVITIES && MISC_ACTIVITY(audit->snapshot->capabilities.misc, activity),
	     VMCS_GUEST_ACTIVITY, "a state that this CPU has");
	must(audit, activity != ACTIVITY_HLT || !ACCESS_LEVEL(segment_of(audit, SEGMENT_SS).access),
	     VMCS_GUEST_ACTIVITY, "HLT at privilege level 0 only");
	must(audit, activity == ACTIVE || !(blocking & (BLOCKING_STI | BLOCKING_MOV_SS)), VMCS_GUEST_ACTIVITY,
	     "active under blocking by STI or MOV SS");
	must(audit, !audit->event || may_wake(activity, audit->event), VMCS_GUEST_ACTIVITY,
	     "a state that the event can end");
}

static COLD void check_blocking(struct audit *audit, uint64_t blocking)
{
	unsigned type = audit->event ? EVENT_TYPE(audit->event) : EVENT_RESERVED_TYPE;
	const uint64_t both = BLOCKING_STI | BLOCKING_MOV_SS;

	must(audit, !(blocking & (BLOCKING_RESERVED | BLOCKING_SMI)), VMCS_GUEST_INTERRUPTIBILITY,
	     "bits 31:5, and blocking by SMI, to be 0");
	must(audit, (blocking & both) != both, VMCS_GUEST_INTERRUPTIBILITY,
	     "blocking by STI or by MOV SS, not both");
	must(audit, !(blocking & BLOCKING_STI) || (audit->rflags & RFLAGS_IF), VMCS_GUEST_INTERRUPTIBILITY,
	     "blocking by STI with IF only");
	must(audit, type != EVENT_INTERRUPT || !(blocking & both), VMCS_GUEST_INTERRUPTIBILITY,
	     "no blocking where an interrupt is injected");
	must(audit, type != EVENT_NMI || !(blocking & BLOCKING_MOV_SS), VMCS_GUEST_INTERRUPTIBILITY,
	     "no blocking by MOV SS where an NMI is injected");
	must(audit,
	     type != EVENT_NMI || !(audit->control[WORD_PIN] & PIN_VIRTUAL_NMI) || !(blocking & BLOCKING_NMI),
	     VMCS_GUEST_INTERRUPTIBILITY, "no blocking by NMI where an NMI is injected");
}

static COLD void check_pending_debug(struct audit *audit, uint64_t activity, uint64_t blocking)
{
	uint64_t pending = get(audit, VMCS_GUEST_PENDING_DEBUG);
	bool step = (audit->rflags & RFLAGS_TF) && !(get(audit, VMCS_GUEST_DEBUGCTL) & DEBUGCTL_BTF);

	must(audit, !(pending & PENDING_DEBUG_RESERVED), VMCS_GUEST_PENDING_DEBUG, "reserved bits to be 0");
	if ((blocking & (BLOCKING_STI | BLOCKING_MOV_SS)) || activity == ACTIVITY_HLT)
		must(audit, !!(pending & PENDING_DEBUG_STEP) == step, VMCS_GUEST_PENDING_DEBUG,
		     "BS as RFLAGS.TF and not DEBUGCTL.BTF");
}

static COLD void check_non_registers(struct audit *audit)
{
	uint64_t activity = get(audit, VMCS_GUEST_ACTIVITY);
	uint64_t blocking = get(audit, VMCS_GUEST_INTERRUPTIBILITY);
	uint64_t link = get(audit, VMCS_LINK_POINTER);

	audit->section = GUEST_NON_REGISTERS;
	check_activity(audit, activity, blocking);
	check_blocking(audit, blocking);
	check_pending_debug(audit, activity, blocking);
	must(audit, link == VMX_NO_LINK || passes(audit, PAGE, link), VMCS_LINK_POINTER,
	     "all ones, or a page of physical memory");
}

#define PDPTES	       4
#define PDPTE_PRESENT  1u
#define PDPTE_RESERVED 0x1E6u

static COLD void check_pdptes(struct audit *audit)
{
	audit->section = GUEST_PDPTES;
	if (!(audit->cr0 & CR0_PG) || !(audit->cr4 & CR4_PAE) || audit->long_mode ||
	    !(audit->control[WORD_SECONDARY] & SECONDARY_EPT))
		return;
	for (unsigned i = 0; i < PDPTES; i++) {
		uint64_t entry = get(audit, VMCS_GUEST_PDPTE0 + 2 * i);

		must(audit, !(entry & PDPTE_PRESENT) || (!(entry & PDPTE_RESERVED) && fits(audit, entry)),
		     VMCS_GUEST_PDPTE0 + 2 * i, "reserved bits to be 0");
	}
}

static COLD void read_common(struct audit *audit)
{
	uint32_t event = (uint32_t)get(audit, VMCS_ENTRY_EVENT);

	for (unsigned word = 0; word < WORDS; word++)
		if (word != WORD_SECONDARY || (audit->control[WORD_PROCESSOR] & PROCESSOR_SECONDARY))
			audit->control[word] = (uint32_t)get(audit, word_fields[word]);
	audit->event = event & EVENT_VALID ? event : 0;
	audit->cr0 = get(audit, VMCS_GUEST_CR0);
	audit->cr4 = get(audit, VMCS_GUEST_CR4);
	audit->rflags = get(audit, VMCS_GUEST_RFLAGS);
	audit->long_mode = audit->control[WORD_ENTRY] & VMENTRY_IA32E;
	audit->virtual_8086 = audit->rflags & RFLAGS_VM;
	audit->unrestricted = audit->control[WORD_SECONDARY] & SECONDARY_UNRESTRICTED;
}

COLD unsigned vmx_audit(const struct vmx_snapshot *snapshot, entry_finding_fn *report, void *context)
{
	struct audit audit = {.snapshot = snapshot, .report = report, .context = context};

	read_common(&audit);
	check_controls(&audit);
	check_event(&audit);
	check_field_rules(&audit);
	check_host(&audit);
	check_guest_cr(&audit);
	check_guest_msrs(&audit);
	check_segments(&audit);
	check_instruction(&audit);
	check_non_registers(&audit);
	check_pdptes(&audit);
	return audit.broken;
}
