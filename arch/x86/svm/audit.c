/*
 * The rules of VMRUN, in the manual's order. They must not be taken from what this hypervisor does: they are
 * there to find out where it is wrong.
 */
#include "arch/x86/registers.h"
#include "arch/x86/svm/audit.h"
#include "hv/lib/string.h"

#define COLD __attribute__((cold)) /* small, not fast: it runs once in a vCPU's life */

#define CONSISTENCY   "APM 2 15.5.1"
#define PERMISSIONS   "APM 2 15.10.1, 15.11"
#define INJECTION     "APM 2 15.20"
#define NESTED_PAGING "APM 2 15.25.4"
#define ASIDS	      "APM 2 15.16"

struct audit {
	const struct vmcb *vmcb;
	const struct svm_capabilities *capabilities;
	entry_finding_fn *report;
	void *context;
	const char *section; /* of the rules now being checked */
	unsigned broken;
};

static COLD void must(struct audit *audit, bool holds, const char *field, uint64_t value, const char *rule)
{
	struct entry_finding finding = {.value = value, .rule = rule, .section = audit->section};

	if (holds)
		return;
	audit->broken++;
	string_copy(finding.field, field, sizeof(finding.field));
	audit->report(audit->context, &finding);
}

static bool canonical(const struct audit *audit, uint64_t address)
{
	const unsigned unused = 64 - audit->capabilities->linear_bits;

	return (uint64_t)((int64_t)(address << unused) >> unused) == address;
}

static bool fits(const struct audit *audit, uint64_t address)
{
	return !(address >> audit->capabilities->physical_bits);
}

/*
 * Registers
 */

#define EFER_RESERVED (1ull << 9 | 1ull << 16 | 1ull << 19 | ~0x3FFFFFull | 0xFEull) /* APM 2 3.1.7 */
#define SEGMENT_L     (1u << 9)
#define SEGMENT_D     (1u << 10)

static COLD void check_control_registers(struct audit *audit)
{
	const struct vmcb_save *save = &audit->vmcb->save;

	audit->section = CONSISTENCY;
	must(audit, save->efer & EFER_SVME, "EFER", save->efer, "SVME to be 1");
	must(audit, !(save->efer & EFER_RESERVED), "EFER", save->efer, "reserved bits to be 0");
	must(audit, (save->cr0 & CR0_CD) || !(save->cr0 & CR0_NW), "CR0", save->cr0, "NW with CD only");
	must(audit, !(save->cr0 >> 32), "CR0", save->cr0, "bits 63:32 to be 0");
	must(audit, !(save->cr4 & ~audit->capabilities->cr4_defined), "CR4", save->cr4,
	     "reserved bits to be 0");
	must(audit, !(save->efer & EFER_LMA) || fits(audit, save->cr3), "CR3", save->cr3,
	     "0 above the physical-address width");
	must(audit, !(save->dr6 >> 32), "DR6", save->dr6, "bits 63:32 to be 0");
	must(audit, !(save->dr7 >> 32), "DR7", save->dr7, "bits 63:32 to be 0");
}

static COLD void check_long_mode(struct audit *audit)
{
	const struct vmcb_save *save = &audit->vmcb->save;
	const uint16_t both = SEGMENT_L | SEGMENT_D;

	if (!(save->efer & EFER_LME) || !(save->cr0 & CR0_PG))
		return;
	must(audit, save->cr4 & CR4_PAE, "CR4", save->cr4, "PAE with EFER.LME and CR0.PG");
	must(audit, save->cr0 & CR0_PE, "CR0", save->cr0, "PE with EFER.LME and CR0.PG");
	must(audit, !(save->cr4 & CR4_PAE) || (save->cs.access & both) != both, "CS attributes",
	     save->cs.access, "D to be 0 where L is 1, in long mode");
}

/* The CPU does not refuse these: it would put another base in their place. */
static COLD void check_bases(struct audit *audit)
{
	static const char names[][10] = {"ES base", "CS base",	 "SS base",   "DS base",   "FS base",
					 "GS base", "GDTR base", "LDTR base", "IDTR base", "TR base"};
	const struct vmcb_segment *segment = &audit->vmcb->save.es;

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		must(audit, canonical(audit, segment[i].base), names[i], segment[i].base,
		     "a canonical address");
	must(audit, canonical(audit, audit->vmcb->save.rip), "RIP", audit->vmcb->save.rip,
	     "a canonical address");
}
_Static_assert(offsetof(struct vmcb_save, tr) == 9 * sizeof(struct vmcb_segment), "ES to TR in a row");

/*
 * Controls
 */

#define IO_MAP_SIZE	  (3 * PAGE_SIZE)
#define MSR_MAP_SIZE	  (2 * PAGE_SIZE)
#define TLB_FLUSH_ASID	  3u
#define TLB_FLUSH_GLOBALS 7u /* all of this ASID but global ones */

static COLD void check_map(struct audit *audit, const char *field, uint64_t address, uint64_t size)
{
	must(audit, address % PAGE_SIZE == 0, field, address, "a page boundary");
	must(audit, fits(audit, address + size - 1), field, address, "all of it in physical memory");
}

static COLD void check_control(struct audit *audit)
{
	const struct vmcb_control *control = &audit->vmcb->control;
	uint32_t flush = control->tlb_control;

	must(audit, control->intercept_svm & INTERCEPT_VMRUN, "intercepts, word 4", control->intercept_svm,
	     "VMRUN to be intercepted");
	audit->section = PERMISSIONS;
	if (control->intercept_instruction & INTERCEPT_IO)
		check_map(audit, "IOPM_BASE_PA", control->io_permissions, IO_MAP_SIZE);
	if (control->intercept_instruction & INTERCEPT_MSR)
		check_map(audit, "MSRPM_BASE_PA", control->msr_permissions, MSR_MAP_SIZE);
	audit->section = ASIDS;
	must(audit, control->asid != 0, "Guest ASID", control->asid, "anything but 0, the host's own");
	must(audit, control->asid < audit->capabilities->asids, "Guest ASID", control->asid,
	     "a number that this CPU has");
	must(audit,
	     flush == TLB_KEEP || flush == TLB_FLUSH ||
		     (audit->capabilities->flush_by_asid &&
		      (flush == TLB_FLUSH_ASID || flush == TLB_FLUSH_GLOBALS)),
	     "TLB_CONTROL", flush, "a defined encoding");
}

/* Types of memory that a PAT entry may name: 2 and 3 are reserved (APM 2 7.8.1). */
static COLD bool valid_pat(uint64_t pat)
{
	for (unsigned i = 0; i < 8; i++, pat >>= 8) {
		uint64_t type = pat & 0xFF;

		if (type > 7 || type == 2 || type == 3)
			return false;
	}
	return true;
}

static COLD void check_nested_paging(struct audit *audit)
{
	const struct vmcb_control *control = &audit->vmcb->control;

	if (!(control->nested_paging & NESTED_PAGING_ENABLE))
		return;
	audit->section = NESTED_PAGING;
	must(audit, fits(audit, control->nested_cr3), "N_CR3", control->nested_cr3,
	     "0 above the physical-address width");
	must(audit, valid_pat(audit->vmcb->save.pat), "G_PAT", audit->vmcb->save.pat,
	     "types 0, 1, 4, 5, 6 or 7 only");
}

/*
 * The event VMRUN injects
 */

#define EVENT_RESERVED 0x7FFFF000u

static COLD void check_event(struct audit *audit)
{
	const struct vmcb_control *control = &audit->vmcb->control;
	const struct vmcb_save *save = &audit->vmcb->save;
	uint32_t event = control->event, type = event & EVENT_TYPE, vector = event & EVENT_VECTOR;
	bool code_64 = (save->efer & EFER_LMA) && (save->cs.access & SEGMENT_L);

	if (!(event & EVENT_VALID))
		return;
	audit->section = INJECTION;
	must(audit, !(event & EVENT_RESERVED), "EVENTINJ", event, "bits 30:12 to be 0");
	must(audit,
	     type == EVENT_INTERRUPT || type == EVENT_NMI || type == EVENT_EXCEPTION ||
		     type == EVENT_SOFTWARE,
	     "EVENTINJ", event, "type 0, 2, 3 or 4");
	if (type != EVENT_EXCEPTION)
		return;
	must(audit, vector < EXCEPTION_VECTORS && vector != VECTOR_NMI, "EVENTINJ", event,
	     "an exception's vector");
	must(audit, !code_64 || (vector != VECTOR_OF && vector != VECTOR_BR), "EVENTINJ", event,
	     "no #OF or #BR in 64-bit mode");
	must(audit, !(event & EVENT_ERROR_VALID) || (vector < EXCEPTION_VECTORS && HAS_ERROR_CODE(vector)),
	     "EVENTINJ", event, "an error code where the vector has one");
}

COLD unsigned svm_audit(const struct vmcb *vmcb, const struct svm_capabilities *capabilities,
			entry_finding_fn *report, void *context)
{
	struct audit audit = {
		.vmcb = vmcb, .capabilities = capabilities, .report = report, .context = context};

	check_control_registers(&audit);
	check_long_mode(&audit);
	check_bases(&audit);
	check_control(&audit);
	check_nested_paging(&audit);
	check_event(&audit);
	return audit.broken;
}
