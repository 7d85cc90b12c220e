/*
 * An exit in words: names of reasons, errors and qualifications, for reports. The numbers are those of SDM 3C
 * appendix C, 31.4 and 27.8.
 */
#include "arch/x86/vmx/vmx.h"
#include "hv/lib/printf.h"

#define REASON_NAME(number, name, text, class) [VMEXIT_##name] = {text, class},
static const struct {
	const char *text;
	enum exit_class class;
} reasons[] = {VMEXIT_LIST(REASON_NAME)};

const char *vmx_reason_name(uint32_t reason)
{
	return reason < ARRAY_SIZE(reasons) && reasons[reason].text ? reasons[reason].text : "unknown reason";
}

enum exit_class vmx_reason_class(uint32_t reason)
{
	return reason < ARRAY_SIZE(reasons) && reasons[reason].text ? reasons[reason].class : EXIT_OTHER;
}

const char *vmx_instruction_error_name(uint32_t error)
{
	static const char *const names[] = {
		[0] = "no current VMCS",
		[1] = "VMCALL in VMX root operation",
		[2] = "VMCLEAR with an invalid address",
		[3] = "VMCLEAR with the VMXON pointer",
		[4] = "VMLAUNCH with a VMCS that is not clear",
		[5] = "VMRESUME with a VMCS that is not launched",
		[6] = "VMRESUME after VMXOFF",
		[7] = "invalid control fields",
		[8] = "invalid host-state fields",
		[9] = "VMPTRLD with an invalid address",
		[10] = "VMPTRLD with the VMXON pointer",
		[11] = "VMPTRLD with the wrong revision",
		[12] = "no such VMCS field",
		[13] = "VMWRITE to a read-only field",
		[15] = "VMXON in VMX root operation",
		[16] = "invalid executive-VMCS pointer",
		[17] = "executive VMCS not launched",
		[18] = "executive-VMCS pointer is not the VMXON pointer",
		[19] = "VMCALL with a VMCS that is not clear",
		[20] = "VMCALL with invalid exit controls",
		[22] = "VMCALL with the wrong MSEG revision",
		[23] = "VMXOFF under dual-monitor treatment",
		[24] = "VMCALL with invalid SMM-monitor features",
		[25] = "invalid execution controls in the executive VMCS",
		[26] = "events blocked by MOV SS",
		[28] = "invalid operand to INVEPT or INVVPID",
	};

	return error < ARRAY_SIZE(names) && names[error] ? names[error] : "unknown error";
}

const char *vmx_entry_failure_name(uint64_t qualification)
{
	static const char *const names[] = {
		[0] = "",
		[2] = "PDPTEs",
		[3] = "NMI injection under STI or MOV SS blocking",
		[4] = "VMCS link pointer",
	};

	return qualification < ARRAY_SIZE(names) && names[qualification] ? names[qualification]
									 : "unknown check";
}

/* Adds to a line of which `used` characters stand already. */
struct line {
	char *text;
	size_t size, used;
};

static void PRINTF_LIKE(2, 3) add(struct line *line, const char *text, ...)
{
	va_list arguments;

	if (line->used >= line->size)
		return;
	va_start(arguments, text);
	line->used += format_v(line->text + line->used, line->size - line->used, text, arguments);
	va_end(arguments);
}

static void describe_event(struct line *line, const char *what, enum vmcs_field field)
{
	static const char *const types[] = {"interrupt", "reserved", "NMI",	     "exception",
					    "INT n",	 "INT1",     "INT3 or INTO", "other"};
	uint32_t info = (uint32_t)vmread(field);

	if (info & EVENT_VALID)
		add(line, "; %s %s %u", what, types[EVENT_TYPE(info)], info & EVENT_VECTOR);
}

static void describe_violation(struct line *line, uint64_t qualification)
{
	static const char *const accesses[] = {"read", "write", "fetch"}; /* bits 0 to 2 */

	for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++)
		if (qualification & 1u << i)
			add(line, " %s", accesses[i]);
	add(line, " of GPA %llx", (unsigned long long)vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	if (qualification & 1u << 7)
		add(line, " linear %llx", (unsigned long long)vmread(VMCS_GUEST_LINEAR_ADDRESS));
}

static void describe_qualification(struct line *line, uint32_t reason)
{
	uint64_t qualification = vmread(VMCS_EXIT_QUALIFICATION);

	switch (reason) {
	case VMEXIT_EPT_VIOLATION: describe_violation(line, qualification); break;
	case VMEXIT_EPT_MISCONFIGURATION:
		add(line, " at GPA %llx", (unsigned long long)vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
		break;
	case VMEXIT_IO:
		add(line, " %s port %llx size %llu", qualification & 1u << 3 ? "in" : "out",
		    (unsigned long long)qualification >> 16, (unsigned long long)(qualification & 7) + 1);
		break;
	case VMEXIT_CONTROL_REGISTER: add(line, " CR%llu", (unsigned long long)qualification & 0xF); break;
	default:
		if (qualification)
			add(line, " qualification %llx", (unsigned long long)qualification);
		break;
	}
}

void vmx_describe_exit(struct vcpu *vcpu, char *out, size_t size)
{
	uint32_t reason = (uint32_t)vmread(VMCS_EXIT_REASON);
	uint32_t number = reason & VMEXIT_REASON_MASK;
	struct line line = {out, size, 0};

	(void)vcpu;
	add(&line, "VT-x reason %u (%s%s)", number, reason & VMEXIT_ENTRY_FAILED ? "VM entry failed: " : "",
	    vmx_reason_name(number));
	describe_qualification(&line, number);
	describe_event(&line, "event", VMCS_EXIT_EVENT);
	describe_event(&line, "during", VMCS_VECTORING_EVENT);
}
