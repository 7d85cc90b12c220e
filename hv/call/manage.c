/*
 * One partition rules over all: calls for those that the config gives `manage = yes`. They do what a person
 * does at the monitor: an order is posted, and the target's own CPUs carry it out. The codes are PSCI's,
 * because so is the matter, with a partition in a CPU's place; and whoever has not the right learns nothing
 * but that.
 */
#include <bulkhead/abi.h>

#include "hv/call/call.h"
#include "hv/call/ffa.h"
#include "hv/core/partition.h"
#include "hv/lib/clamp.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

static enum exit_action answer(struct call_results *out, int64_t x0)
{
	out->x0 = x0;
	return EXIT_NEXT;
}

/* The partition that x1 names. NULL, and the code in x0: the caller has not the right, or there is none. */
static struct partition *find_target(const struct vcpu *vcpu, const struct call_arguments *in,
				     struct call_results *out)
{
	uint64_t index = in->x1 - 1;

	if (!vcpu->partition->config->manage)
		out->x0 = PSCI_DENIED;
	else if (index >= partition_count)
		out->x0 = PSCI_INVALID_PARAMETERS;
	else
		return &partitions[clamp_index(index, partition_count)];
	return NULL;
}

static enum exit_action count_partitions(struct vcpu *vcpu, const struct call_arguments *in,
					 struct call_results *out)
{
	(void)in;
	return answer(out, vcpu->partition->config->manage ? (int64_t)partition_count : PSCI_DENIED);
}

static uint64_t describe(const struct partition *partition)
{
	return atomic_load(&partition->state) | (uint64_t)partition->config->mode << BH_INFO_MODE_SHIFT |
	       (uint64_t)partition->end << BH_INFO_END_SHIFT | (partition->refused[0] ? BH_INFO_REFUSED : 0) |
	       (partition_order(partition) != ORDER_NONE ? BH_INFO_BUSY : 0) |
	       (uint64_t)partition->vcpu_count << BH_INFO_VCPUS_SHIFT;
}

/* Results in x0 to x7. */
static enum exit_action partition_info(struct vcpu *vcpu, const struct call_arguments *in,
				       struct call_results *out)
{
	const struct partition *target = find_target(vcpu, in, out);
	uint64_t name[CONFIG_NAME_SIZE / sizeof(uint64_t)];

	if (!target)
		return EXIT_NEXT;
	memcpy(name, target->config->name, sizeof(name));
	*out = (struct call_results){.x1 = describe(target), .x2 = name[0], .x3 = name[1], .count = 4};
	vcpu->regs.r8 = target->config->memory;
	vcpu->regs.r9 = partition_run_us(target);
	vcpu->regs.r10 = target->restarts;
	vcpu->regs.r11 = 0;
	return EXIT_NEXT;
}

/* x2: one of BH_EXIT_CLASS_LIST. */
static enum exit_action partition_statistics(struct vcpu *vcpu, const struct call_arguments *in,
					     struct call_results *out)
{
	const struct partition *target = find_target(vcpu, in, out);
	struct exit_statistics exits;

	if (!target)
		return EXIT_NEXT;
	if (in->x2 >= EXIT_CLASSES)
		return answer(out, PSCI_INVALID_PARAMETERS);
	exits = partition_exits(target, (unsigned)clamp_index(in->x2, EXIT_CLASSES));
	*out = (struct call_results){.x1 = exits.count, .x2 = exits.tsc, .count = 3};
	return EXIT_NEXT;
}

/* Why an order was refused. */
static int64_t refusal(const struct partition *target, enum partition_order order, enum status status)
{
	if (status == ERR_BUSY)
		return PSCI_ON_PENDING;
	if (order != ORDER_START)
		return PSCI_NOT_PRESENT;
	return target->refused[0] ? PSCI_DISABLED : PSCI_ALREADY_ON;
}

/* Who gives himself an order has gone with the call. */
static enum exit_action post(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out,
			     enum partition_order order)
{
	struct partition *target = find_target(vcpu, in, out);
	char reason[sizeof("by partition ") + CONFIG_NAME_SIZE];
	enum status status;

	if (!target)
		return EXIT_NEXT;
	format(reason, sizeof(reason), "by partition %s", partition_name(vcpu->partition));
	status = partition_command(target, order, reason);
	if (status != OK)
		return answer(out, refusal(target, order, status));
	return target == vcpu->partition ? EXIT_LEAVE : EXIT_NEXT;
}

static enum exit_action partition_start(struct vcpu *vcpu, const struct call_arguments *in,
					struct call_results *out)
{
	return post(vcpu, in, out, ORDER_START);
}

/* As if it had called SYSTEM_OFF itself: a machine whose partitions have all ended so goes off. */
static enum exit_action partition_stop(struct vcpu *vcpu, const struct call_arguments *in,
				       struct call_results *out)
{
	return post(vcpu, in, out, ORDER_OFF);
}

static enum exit_action partition_reset(struct vcpu *vcpu, const struct call_arguments *in,
					struct call_results *out)
{
	return post(vcpu, in, out, ORDER_RESET);
}

void calls_tell_others(const struct partition *partition)
{
	for (uint32_t i = 0; i < partition_count; i++) {
		if (partitions[i].config->manage)
			vcpu_raise_event(&partitions[i].vcpu[0], BH_EVENT_MANAGE);
		if (partition->ffa && partition->ffa->rights[i])
			ffa_raise(&partitions[i], 0, BH_EVENT_PEER);
	}
}

#define MANAGE_FIRST  CALL_NUMBER(VENDOR_PARTITION_COUNT)
#define ROW(function) [CALL_NUMBER(function) - MANAGE_FIRST]
static const struct call_row manage_rows[] = {
	ROW(VENDOR_PARTITION_COUNT) = {count_partitions, CALL_64, true, false},
	ROW(VENDOR_PARTITION_INFO) = {partition_info, CALL_64, true, false},
	ROW(VENDOR_PARTITION_EXITS) = {partition_statistics, CALL_64, true, false},
	ROW(VENDOR_PARTITION_START) = {partition_start, CALL_64, true, false},
	ROW(VENDOR_PARTITION_STOP) = {partition_stop, CALL_64, true, false},
	ROW(VENDOR_PARTITION_RESET) = {partition_reset, CALL_64, true, false},
};
const struct call_service manage_service = {MANAGE_FIRST, ARRAY_SIZE(manage_rows), manage_rows};
