/*
 * Stolen time (Arm DEN0057): a record in the partition's memory for each vCPU, that tells how long the
 * hypervisor used the vCPU's processor for its own ends. The guest reads it without a call.
 */
#include <bulkhead/abi.h>

#include "arch/x86/clock.h"
#include "hv/call/call.h"
#include "hv/core/image.h" /* PV_TIME_STRIDE */
#include "hv/core/partition.h"

#define PV_TIME_REVISION   0
#define PV_TIME_ATTRIBUTES 0
#define NS_PER_MS	   1000000ull

static uint64_t record_address(const struct vcpu *vcpu)
{
	return vcpu->partition->stolen_time_gpa + (uint64_t)vcpu->shared->index * PV_TIME_STRIDE;
}

static enum exit_action pv_time_features(struct vcpu *vcpu, const struct call_arguments *in,
					 struct call_results *out)
{
	bool known = in->x1 == PV_TIME_FEATURES || in->x1 == PV_TIME_ST;

	out->x0 = known && vcpu->stolen_time ? SMCCC_SUCCESS : SMCCC_NOT_SUPPORTED;
	return EXIT_NEXT;
}

static enum exit_action pv_time_st(struct vcpu *vcpu, const struct call_arguments *in,
				   struct call_results *out)
{
	(void)in;
	out->x0 = vcpu->stolen_time ? (int64_t)record_address(vcpu) : SMCCC_NOT_SUPPORTED;
	return EXIT_NEXT;
}

void pvtime_vcpu_reset(struct vcpu *vcpu)
{
	vcpu->stolen_tsc = 0;
	vcpu->stolen_time = NULL;
	if (vcpu->partition->stolen_time_gpa == 0)
		return; /* full partitions have no record */
	vcpu->stolen_time =
		partition_memory(vcpu->partition, gpa(record_address(vcpu)), sizeof(struct pv_stolen_time));
	if (vcpu->stolen_time)
		*vcpu->stolen_time = (struct pv_stolen_time){.revision = PV_TIME_REVISION,
							     .attributes = PV_TIME_ATTRIBUTES};
}

/* Written as one 64-bit store, as DEN0057 demands; never read back, since the guest can write there too. */
void pvtime_account(struct vcpu *vcpu, uint64_t ticks)
{
	uint64_t ns;

	vcpu->stolen_tsc += ticks;
	if (!vcpu->stolen_time)
		return;
	ns = vcpu->stolen_tsc / tsc_khz * NS_PER_MS + vcpu->stolen_tsc % tsc_khz * NS_PER_MS / tsc_khz;
	__atomic_store_n(&vcpu->stolen_time->stolen_ns, ns, __ATOMIC_RELAXED);
}

#define PV_TIME_FIRST CALL_NUMBER(PV_TIME_FEATURES)
static const struct call_row pvtime_rows[] = {
	[CALL_NUMBER(PV_TIME_FEATURES) - PV_TIME_FIRST] = {pv_time_features, CALL_64, false, false},
	[CALL_NUMBER(PV_TIME_ST) - PV_TIME_FIRST] = {pv_time_st, CALL_64, false, false},
};
const struct call_service pvtime_service = {PV_TIME_FIRST, ARRAY_SIZE(pvtime_rows), pvtime_rows};
