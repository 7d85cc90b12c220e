/*
 * The VM-entry auditor of SVM: checks a VMCB against the rules of APM 2 15.5.1 (consistency checks,
 * canonicalisation) and of the sections it leans on, where the CPU itself says no more than VMEXIT_INVALID.
 * Pure: the CPU's capabilities come in a structure.
 */
#pragma once

#include "arch/x86/entry_audit.h"
#include "arch/x86/svm/vmcb.h"

struct svm_capabilities {
	unsigned physical_bits, linear_bits;
	uint32_t asids;	      /* CPUID 8000000Ah EBX */
	uint64_t cr4_defined; /* bits of CR4 that this CPU has */
	bool flush_by_asid;   /* CPUID 8000000Ah EDX bit 6 */
};

/* Reports every rule that is broken; returns how many. */
unsigned svm_audit(const struct vmcb *vmcb, const struct svm_capabilities *capabilities,
		   entry_finding_fn *report, void *context);
