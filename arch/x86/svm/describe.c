/*
 * The last exit in AMD's words, for fault reports.
 */
#include "arch/x86/svm/svm.h"
#include "hv/lib/printf.h"

/* Of the codes that are alike in the bits of `mask`. */
static const char *exit_name(uint32_t code, uint32_t mask)
{
#define VMEXIT_ROW(name, number, text) {number, text},
	static const struct {
		uint32_t code;
		const char *text;
	} names[] = {VMEXIT_LIST(VMEXIT_ROW)};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (((names[i].code ^ code) & mask) == 0)
			return names[i].text;
	return "unknown exit";
}

const char *svm_reason_name(uint32_t reason)
{
	return exit_name(reason, EXIT_REASONS - 1);
}

static size_t describe_io(char *out, size_t size, uint64_t information)
{
	return format(out, size, ": %s%s port 0x%llx, %llu bytes", information & IO_REP ? "rep " : "",
		      information & IO_IN ? "in" : "out", (unsigned long long)(information >> IO_PORT_SHIFT),
		      (unsigned long long)(information >> IO_SIZE_SHIFT & IO_SIZE_MASK));
}

static size_t describe_fault(char *out, size_t size, const struct vmcb_control *control)
{
	uint64_t information = control->exit_info_1;

	return format(out, size, ": %s%s at GPA 0x%llx, error 0x%llx",
		      information & NPF_FETCH ? "fetch" : (information & NPF_WRITE ? "write" : "read"),
		      information & NPF_TABLE_WALK ? " of a page table" : "",
		      (unsigned long long)control->exit_info_2, (unsigned long long)information);
}

static size_t describe_information(char *out, size_t size, const struct vmcb_control *control)
{
	switch (control->exit_code) {
	case VMEXIT_IO: return describe_io(out, size, control->exit_info_1);
	case VMEXIT_NPF: return describe_fault(out, size, control);
	case VMEXIT_MSR: return format(out, size, ": %s", control->exit_info_1 ? "write" : "read");
	default:
		return format(out, size, ", info 0x%llx 0x%llx", (unsigned long long)control->exit_info_1,
			      (unsigned long long)control->exit_info_2);
	}
}

static const char *event_name(uint32_t event)
{
	switch (event & EVENT_TYPE) {
	case EVENT_INTERRUPT: return "interrupt";
	case EVENT_NMI: return "NMI";
	case EVENT_EXCEPTION: return "exception";
	case EVENT_SOFTWARE: return "INT n";
	default: return "event";
	}
}

void svm_describe_exit(struct vcpu *vcpu, char *out, size_t size)
{
	const struct vmcb_control *control = &svm_vmcb(vcpu)->control;
	size_t length = format(out, size, "%s (0x%llx)", exit_name((uint32_t)control->exit_code, UINT32_MAX),
			       (unsigned long long)control->exit_code);

	if (length < size)
		length += describe_information(out + length, size - length, control);
	if (length < size && control->exit_event & EVENT_VALID)
		(void)format(out + length, size - length, ", while delivering %s %u",
			     event_name(control->exit_event), control->exit_event & EVENT_VECTOR);
}
