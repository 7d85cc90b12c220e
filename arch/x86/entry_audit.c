/*
 * The findings of a VM-entry audit, as lines of the log. Each stands for itself: before a first entry there
 * is no report that it could be a part of.
 */
#include "arch/x86/entry_audit.h"
#include "hv/core/partition.h"
#include "hv/lib/log.h"

void entry_audit_log(void *context, const struct entry_finding *finding)
{
	const struct vcpu *vcpu = context;

	log_error("partition %s: vCPU %u: VM entry: %s is 0x%llx: expected %s (%s)",
		  partition_name(vcpu->partition), vcpu->shared->index, finding->field,
		  (unsigned long long)finding->value, finding->rule, finding->section);
}

void entry_audit_conclude(const struct vcpu *vcpu, unsigned broken)
{
	if (!broken)
		log_error("partition %s: vCPU %u: VM entry: the manual's rules all hold; this CPU asks for "
			  "more",
			  partition_name(vcpu->partition), vcpu->shared->index);
}
