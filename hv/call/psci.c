/*
 * The life of CPUs and of the partition as a whole (Arm DEN0022, version 1.1). A CPU is named by its vCPU
 * index; a partition is one power domain without levels; the one low-power state is standby, which acts as
 * HLT.
 */
#include <bulkhead/abi.h>

#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "hv/call/call.h"
#include "hv/core/partition.h"
#include "hv/lib/clamp.h"

/* The original format of power_state: standby at level 0, state id 0, all else zero. */
#define POWER_STATE_STANDBY 0u
#define AFFINITY_LEVEL_CPU  0u
#define NO_MIGRATION	    2 /* MIGRATE_INFO_TYPE: there is no trusted OS to migrate */
/* SYSTEM_RESET2: types with bit 31 are vendors' own, and we define none. */
#define RESET_TYPE_WARM 0u

static enum exit_action answer(struct call_results *out, int64_t x0)
{
	out->x0 = x0;
	return EXIT_NEXT;
}

static struct vcpu_shared *find_target(const struct partition *partition, uint64_t target)
{
	if (target >= partition->vcpu_count)
		return NULL;
	return &partition->vcpu[clamp_index(target, partition->vcpu_count)];
}

static enum exit_action psci_version(struct vcpu *vcpu, const struct call_arguments *in,
				     struct call_results *out)
{
	(void)vcpu, (void)in;
	return answer(out, PSCI_VERSION_1_1);
}

static bool is_psci(uint32_t function)
{
	return (function >> SMCCC_OWNER_SHIFT & 0x3F) == SMCCC_OWNER_STANDARD &&
	       CALL_NUMBER(function) < psci_service.count;
}

/* No call has feature flags: CPU_SUSPEND takes the original power_state format and has no OS-initiated mode.
 */
static enum exit_action psci_features(struct vcpu *vcpu, const struct call_arguments *in,
				      struct call_results *out)
{
	uint32_t function = (uint32_t)in->x1;
	bool asked_here = is_psci(function) || function == SMCCC_VERSION;

	return answer(out,
		      asked_here && call_find(vcpu->partition, function) ? PSCI_SUCCESS : PSCI_NOT_SUPPORTED);
}

static enum exit_action migrate_info_type(struct vcpu *vcpu, const struct call_arguments *in,
					  struct call_results *out)
{
	(void)vcpu, (void)in;
	return answer(out, NO_MIGRATION);
}

/*
 * CPUs: OFF -> STARTING -> ON -> OFF. Only CPU_ON leaves OFF and only the CPU itself goes there, both under
 * the partition's device lock, so that two CPUs cannot start the same one, nor can the last two go off
 * together.
 */

static enum exit_action affinity_info(struct vcpu *vcpu, const struct call_arguments *in,
				      struct call_results *out)
{
	static const int8_t affinity[] = {[VCPU_OFF] = PSCI_AFFINITY_OFF,
					  [VCPU_STARTING] = PSCI_AFFINITY_ON_PENDING,
					  [VCPU_ON] = PSCI_AFFINITY_ON};
	const struct vcpu_shared *target = find_target(vcpu->partition, in->x1);

	if (!target || in->x2 != AFFINITY_LEVEL_CPU)
		return answer(out, PSCI_INVALID_PARAMETERS);
	return answer(out, affinity[atomic_load(&target->state)]);
}

static int64_t start_target(struct partition *partition, struct vcpu_shared *target,
			    const struct vcpu_start *start)
{
	int64_t result = PSCI_SUCCESS;

	spin_lock(&partition->device_lock);
	switch (atomic_load(&target->state)) {
	case VCPU_ON: result = PSCI_ALREADY_ON; break;
	case VCPU_STARTING: result = PSCI_ON_PENDING; break;
	default:
		target->start = *start;
		atomic_store(&target->state,
			     VCPU_STARTING); /* last: from here on the target's CPU reads `start` */
		break;
	}
	spin_unlock(&partition->device_lock);
	return result;
}

static struct vcpu_start start_at(const struct partition *partition, uint64_t entry, uint64_t context)
{
	return (struct vcpu_start){
		.kind = START_LONG, .entry = entry, .context = context, .cr3 = partition->boot_cr3};
}

static enum exit_action cpu_on(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	struct partition *partition = vcpu->partition;
	struct vcpu_shared *target = find_target(partition, in->x1);
	struct vcpu_start start = start_at(partition, in->x2, in->x3);

	if (!target)
		return answer(out, PSCI_INVALID_PARAMETERS);
	if (!partition_contains(partition, gpa(in->x2), 1))
		return answer(out, PSCI_INVALID_ADDRESS);
	answer(out, start_target(partition, target, &start));
	if (out->x0 == PSCI_SUCCESS)
		vcpu_request(target, REQUEST_START);
	return EXIT_NEXT;
}

static bool last_on(const struct vcpu *vcpu)
{
	const struct partition *partition = vcpu->partition;

	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		if (i != vcpu->shared->index && atomic_load(&partition->vcpu[i].state) != VCPU_OFF)
			return false;
	return true;
}

static enum exit_action cpu_off(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	struct partition *partition = vcpu->partition;
	bool denied;

	(void)in;
	spin_lock(&partition->device_lock);
	denied = last_on(vcpu);
	if (!denied)
		atomic_store(&vcpu->shared->state, VCPU_OFF);
	spin_unlock(&partition->device_lock);
	if (denied)
		return answer(out, PSCI_DENIED);
	vendor_vcpu_reset(vcpu);
	partition_check_alive(partition);
	return EXIT_LEAVE;
}

/*
 * Sleep: until an unmasked event is pending, whatever IF says (DEN0022, CPU_SUSPEND).
 */

static enum exit_action cpu_suspend(struct vcpu *vcpu, const struct call_arguments *in,
				    struct call_results *out)
{
	struct vcpu_shared *shared = vcpu->shared;
	uint64_t before = rdtsc();
	enum exit_action action;

	if ((uint32_t)in->x1 != POWER_STATE_STANDBY)
		return answer(out, PSCI_INVALID_PARAMETERS);
	if (!vcpu->event_page)
		return answer(out, PSCI_DENIED); /* nothing could ever wake it */
	action = vcpu_wait(vcpu, true);
	atomic_fetch_add_explicit(&shared->suspend_tsc, rdtsc() - before, memory_order_relaxed);
	atomic_fetch_add_explicit(&shared->suspend_count, 1, memory_order_relaxed);
	return action;
}

/*
 * Memory stays, the one CPU left starts afresh at the entry point. When an order ends the sleep instead, RIP
 * is still at the call: were the vCPU ever to go on, it would sleep again.
 */
static enum exit_action system_suspend(struct vcpu *vcpu, const struct call_arguments *in,
				       struct call_results *out)
{
	struct vcpu_shared *shared = vcpu->shared;

	if (!partition_contains(vcpu->partition, gpa(in->x1), 1))
		return answer(out, PSCI_INVALID_ADDRESS);
	if (!last_on(vcpu) || !vcpu->event_page)
		return answer(out, PSCI_DENIED);
	if (vcpu_wait(vcpu, true) != EXIT_NEXT)
		return EXIT_LEAVE;
	shared->start = start_at(vcpu->partition, in->x1, in->x2);
	atomic_store(&shared->state, VCPU_STARTING);
	vcpu_request(shared, REQUEST_START);
	return EXIT_LEAVE;
}

/* Statistics of an invalid target or state read 0 (DEN0022, PSCI_STAT_RESIDENCY). */
static const struct vcpu_shared *statistics_target(const struct vcpu *vcpu, const struct call_arguments *in)
{
	return (uint32_t)in->x2 == POWER_STATE_STANDBY ? find_target(vcpu->partition, in->x1) : NULL;
}

static enum exit_action stat_residency(struct vcpu *vcpu, const struct call_arguments *in,
				       struct call_results *out)
{
	const struct vcpu_shared *target = statistics_target(vcpu, in);

	return answer(out, target ? (int64_t)tsc_to_us(atomic_load(&target->suspend_tsc)) : 0);
}

static enum exit_action stat_count(struct vcpu *vcpu, const struct call_arguments *in,
				   struct call_results *out)
{
	const struct vcpu_shared *target = statistics_target(vcpu, in);

	return answer(out, target ? (int64_t)atomic_load(&target->suspend_count) : 0);
}

/*
 * The partition as a whole.
 */

static enum exit_action end_system(struct vcpu *vcpu, struct call_results *out, enum partition_order order,
				   const char *reason)
{
	enum status status = partition_command(vcpu->partition, order, reason);

	/* Busy: the partition ends already, by another order. */
	if (status != OK && status != ERR_BUSY)
		return answer(out, PSCI_INTERNAL_FAILURE);
	return EXIT_LEAVE;
}

static enum exit_action system_off(struct vcpu *vcpu, const struct call_arguments *in,
				   struct call_results *out)
{
	(void)in;
	return end_system(vcpu, out, ORDER_OFF, "SYSTEM_OFF");
}

static enum exit_action system_reset(struct vcpu *vcpu, const struct call_arguments *in,
				     struct call_results *out)
{
	(void)in;
	return end_system(vcpu, out, ORDER_RESET, "SYSTEM_RESET");
}

static enum exit_action system_reset2(struct vcpu *vcpu, const struct call_arguments *in,
				      struct call_results *out)
{
	if ((uint32_t)in->x1 != RESET_TYPE_WARM)
		return answer(out, PSCI_INVALID_PARAMETERS);
	return end_system(vcpu, out, ORDER_RESET, "SYSTEM_RESET2 (warm)");
}

/*
 * MEM_PROTECT asks that memory be overwritten before anyone else sees it. Bulkhead always does that, at every
 * reset and end, so the flag is kept truthfully but changes nothing. It answers the former value.
 */
static enum exit_action mem_protect(struct vcpu *vcpu, const struct call_arguments *in,
				    struct call_results *out)
{
	return answer(out, atomic_exchange(&vcpu->partition->memory_protected, in->x1 != 0));
}

static enum exit_action mem_check_range(struct vcpu *vcpu, const struct call_arguments *in,
					struct call_results *out)
{
	bool protectable = in->x2 > 0 && partition_contains(vcpu->partition, gpa(in->x1), in->x2);

	return answer(out, protectable ? PSCI_SUCCESS : PSCI_DENIED);
}

/* What starts, stops or suspends a CPU is for para partitions: full ones have INIT, start-up IPIs and HLT. */
static const struct call_row psci_rows[] = {
	[CALL_NUMBER(PSCI_VERSION)] = {psci_version, CALL_32, false, false},
	[CALL_NUMBER(PSCI_CPU_SUSPEND_32)] = {cpu_suspend, CALL_BOTH, true, false},
	[CALL_NUMBER(PSCI_CPU_OFF)] = {cpu_off, CALL_32, true, false},
	[CALL_NUMBER(PSCI_CPU_ON_32)] = {cpu_on, CALL_BOTH, true, false},
	[CALL_NUMBER(PSCI_AFFINITY_INFO_32)] = {affinity_info, CALL_BOTH, true, false},
	[CALL_NUMBER(PSCI_MIGRATE_INFO_TYPE)] = {migrate_info_type, CALL_32, false, false},
	[CALL_NUMBER(PSCI_SYSTEM_OFF)] = {system_off, CALL_32, false, false},
	[CALL_NUMBER(PSCI_SYSTEM_RESET)] = {system_reset, CALL_32, false, false},
	[CALL_NUMBER(PSCI_FEATURES)] = {psci_features, CALL_32, false, false},
	[CALL_NUMBER(PSCI_SYSTEM_SUSPEND_32)] = {system_suspend, CALL_BOTH, true, false},
	[CALL_NUMBER(PSCI_STAT_RESIDENCY_32)] = {stat_residency, CALL_BOTH, true, false},
	[CALL_NUMBER(PSCI_STAT_COUNT_32)] = {stat_count, CALL_BOTH, true, false},
	[CALL_NUMBER(PSCI_SYSTEM_RESET2_32)] = {system_reset2, CALL_BOTH, false, false},
	[CALL_NUMBER(PSCI_MEM_PROTECT)] = {mem_protect, CALL_32, false, false},
	[CALL_NUMBER(PSCI_MEM_CHECK_RANGE_32)] = {mem_check_range, CALL_BOTH, false, false},
};
const struct call_service psci_service = {0, ARRAY_SIZE(psci_rows), psci_rows};
