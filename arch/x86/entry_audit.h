/*
 * What the VM-entry auditors of both back ends have in common: one finding a broken rule, and the log lines
 * it becomes. The auditors themselves (vmx/audit.c, svm/audit.c) are pure and compile on the host.
 */
#pragma once

#include "hv/lib/types.h"

#define ENTRY_FIELD_NAME 36

/* A rule of the manual that a vCPU's state breaks. */
struct entry_finding {
	char field[ENTRY_FIELD_NAME]; /* by its name in the manual */
	uint64_t value;
	const char *rule;
	const char *section; /* "SDM 3C 27.3.1.2", "APM 2 15.5.1" */
};
typedef void entry_finding_fn(void *context, const struct entry_finding *finding);

/* Logs a finding; `context` is the struct vcpu. */
entry_finding_fn entry_audit_log;

struct vcpu;
/* After an entry that failed: that the auditor has found nothing, where `broken` rules are 0. */
void entry_audit_conclude(const struct vcpu *vcpu, unsigned broken);
