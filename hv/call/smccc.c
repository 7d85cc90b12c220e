/*
 * Discovery: which convention, which calls, whose hypervisor (Arm DEN0028).
 */
#include <bulkhead/abi.h>

#include "hv/call/call.h"

static enum exit_action smccc_version(struct vcpu *vcpu, const struct call_arguments *in,
				      struct call_results *out)
{
	(void)vcpu, (void)in;
	out->x0 = SMCCC_VERSION_1_1;
	return EXIT_NEXT;
}

/* Answers for every call there is, not only Arm's own range. */
static enum exit_action arch_features(struct vcpu *vcpu, const struct call_arguments *in,
				      struct call_results *out)
{
	out->x0 = call_find(vcpu->partition, (uint32_t)in->x1) ? SMCCC_SUCCESS : SMCCC_NOT_SUPPORTED;
	return EXIT_NEXT;
}

static enum exit_action vendor_uid(struct vcpu *vcpu, const struct call_arguments *in,
				   struct call_results *out)
{
	(void)vcpu, (void)in;
	*out = (struct call_results){
		.x0 = BH_UID_0, .x1 = BH_UID_1, .x2 = BH_UID_2, .x3 = BH_UID_3, .count = 4};
	return EXIT_NEXT;
}

static enum exit_action vendor_revision(struct vcpu *vcpu, const struct call_arguments *in,
					struct call_results *out)
{
	(void)vcpu, (void)in;
	*out = (struct call_results){.x0 = BH_ABI_MAJOR, .x1 = BH_ABI_MINOR, .count = 2};
	return EXIT_NEXT;
}

static const struct call_row arch_rows[] = {
	[CALL_NUMBER(SMCCC_VERSION)] = {smccc_version, CALL_32, false, false},
	[CALL_NUMBER(SMCCC_ARCH_FEATURES)] = {arch_features, CALL_32, false, false},
};
const struct call_service arch_service = {0, ARRAY_SIZE(arch_rows), arch_rows};

#define IDENTITY_FIRST CALL_NUMBER(VENDOR_CALL_UID)
static const struct call_row identity_rows[] = {
	[CALL_NUMBER(VENDOR_CALL_UID) - IDENTITY_FIRST] = {vendor_uid, CALL_32, false, false},
	[CALL_NUMBER(VENDOR_CALL_REVISION) - IDENTITY_FIRST] = {vendor_revision, CALL_32, false, false},
};
const struct call_service identity_service = {IDENTITY_FIRST, ARRAY_SIZE(identity_rows), identity_rows};
