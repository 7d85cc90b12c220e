/*
 * The VM-entry auditor of VT-x: checks a VMCS against the rules of SDM 3C 27.2 (controls, host state) and
 * 27.3 (guest state), where the CPU itself says no more than "invalid control fields" or "invalid guest
 * state". Pure: it sees the VMCS through a function, and the CPU's capabilities in a structure.
 *
 * Left out are features that this hypervisor never switches on and whose fields not every CPU has: posted
 * interrupts' descriptor, VMCS shadowing, VM functions, #VE, CET, PKRS, MPX, RTIT, SMM monitors.
 */
#pragma once

#include "arch/x86/entry_audit.h"

/* The words of controls. */
enum vmx_word { WORD_PIN, WORD_PROCESSOR, WORD_SECONDARY, WORD_EXIT, WORD_ENTRY, WORDS };

struct vmx_capabilities {
	uint64_t allowed[WORDS]; /* low half: bits that must be 1; high half: bits that may be 1 (A.3 to A.5)
				  */
	uint64_t basic, misc, ept_vpid;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	unsigned physical_bits; /* MAXPHYADDR */
	unsigned linear_bits;	/* 57 where there is 5-level paging */
};

struct vmx_snapshot {
	struct vmx_capabilities capabilities;
	uint64_t (*read)(void *context, uint32_t field); /* enum vmcs_field */
	void *context;
};

/* Reports every rule that is broken; returns how many. */
unsigned vmx_audit(const struct vmx_snapshot *snapshot, entry_finding_fn *report, void *context);
