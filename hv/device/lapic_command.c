/*
 * Interrupts between vCPUs: the interrupt command register (SDM 3A 11.6.1), and who is meant by a destination
 * (11.6.2, 11.12.10). A fixed interrupt for another vCPU is left in its vcpu_shared and fetched by its own
 * CPU.
 */
#include "hv/core/partition.h"
#include "hv/device/devices.h"
#include "hv/device/lapic_page.h"

#define COMMAND_ASSERT	     (1u << 14)
#define COMMAND_SHORTHAND    (3u << 18)
#define SHORTHAND_NONE	     (0u << 18)
#define SHORTHAND_SELF	     (1u << 18)
#define SHORTHAND_ALL	     (2u << 18)
#define BROADCAST_XAPIC	     0xFFu
#define BROADCAST_X2APIC     0xFFFFFFFFu
#define FORMAT_CLUSTER	     0x0u /* bits 31:28 of DFR; Fh is flat */
#define FORMAT_SHIFT	     28
#define X2APIC_CLUSTER_SHIFT 16
#define X2APIC_MEMBERS	     0xFFFFu

#define ALWAYS_INLINE inline __attribute__((always_inline))

static void post(struct partition *partition, uint32_t target, unsigned vector)
{
	struct vcpu_shared *shared = &partition->vcpu[target];

	atomic_fetch_or(&shared->interrupts[vector / 32], 1u << vector % 32);
	atomic_fetch_or(&partition->devices->lapic[target]->attention, 1u << vector / 32);
	vcpu_request(shared, REQUEST_INTERRUPT);
}

static void deliver(struct vcpu *vcpu, uint32_t target, uint32_t command)
{
	switch (command & DELIVERY_MODE) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		if (target == vcpu->shared->index)
			lapic_accept(vcpu, command & DELIVERY_VECTOR);
		else
			post(vcpu->partition, target, command & DELIVERY_VECTOR);
		break;
	case DELIVERY_NMI: vcpu_send_nmi(vcpu->partition, target); break;
	case DELIVERY_INIT: vcpu_send_init(vcpu->partition, target); break;
	case DELIVERY_START: vcpu_send_startup(vcpu->partition, target, command & DELIVERY_VECTOR); break;
	default: break; /* SMI: there is none here; the rest is reserved */
	}
}

static bool in_cluster(uint32_t id, uint32_t destination)
{
	return (id >> 4 == destination >> 4 || destination >> 4 == 0xF) && (id & destination & 0xF);
}

/* Whether an APIC takes a logical destination for its own; each looks at it in its own mode. */
static bool logically_addressed(const struct lapic *target, uint32_t destination)
{
	const uint32_t id = lapic_load(&target->logical_id), xapic_id = id >> XAPIC_ID_SHIFT;

	if (lapic_load(&target->mode) == LAPIC_X2APIC)
		return destination == BROADCAST_X2APIC ||
		       (id >> X2APIC_CLUSTER_SHIFT == destination >> X2APIC_CLUSTER_SHIFT &&
			(id & destination & X2APIC_MEMBERS));
	if (lapic_load(&target->format) >> FORMAT_SHIFT == FORMAT_CLUSTER)
		return in_cluster(xapic_id, destination & BROADCAST_XAPIC);
	return xapic_id & destination;
}

/* In the sender's mode: xAPIC destinations have 8 bits. */
static bool is_broadcast(const struct vcpu *vcpu, uint32_t destination)
{
	return destination ==
	       (lapic_load(&vcpu->lapic->mode) == LAPIC_X2APIC ? BROADCAST_X2APIC : BROADCAST_XAPIC);
}

static bool addressed(struct vcpu *vcpu, uint32_t target, uint32_t command, uint32_t destination)
{
	const struct lapic *lapic = vcpu->partition->devices->lapic[target];

	if (!lapic || lapic_load(&lapic->mode) == LAPIC_OFF)
		return false;
	switch (command & COMMAND_SHORTHAND) {
	case SHORTHAND_NONE: break;
	case SHORTHAND_SELF: return target == vcpu->shared->index;
	case SHORTHAND_ALL: return true;
	default: return target != vcpu->shared->index;
	}
	if (command & DELIVERY_LOGICAL)
		return logically_addressed(lapic, destination);
	return target == destination || is_broadcast(vcpu, destination);
}

/* Lowest priority: the one addressed vCPU with the least processor priority (11.6.2.4). */
static void deliver_lowest(struct vcpu *vcpu, uint32_t command, uint32_t destination)
{
	uint32_t chosen = UINT32_MAX, least = UINT32_MAX;

	for (uint32_t i = 0; i < vcpu->partition->vcpu_count; i++) {
		const struct lapic *lapic = vcpu->partition->devices->lapic[i];

		if (!addressed(vcpu, i, command, destination) ||
		    !(lapic_load(&lapic->spurious) & SPURIOUS_ENABLED) || lapic_priority(lapic) >= least)
			continue;
		least = lapic_priority(lapic);
		chosen = i;
	}
	if (chosen != UINT32_MAX)
		deliver(vcpu, chosen, command);
}

static void deliver_all(struct vcpu *vcpu, uint32_t command, uint32_t destination)
{
	for (uint32_t i = 0; i < vcpu->partition->vcpu_count; i++)
		if (addressed(vcpu, i, command, destination))
			deliver(vcpu, i, command);
}

static __attribute__((noinline)) void send(struct vcpu *vcpu, uint32_t command, uint32_t destination)
{
	const uint32_t mode = command & DELIVERY_MODE;
	const bool vectored = mode == DELIVERY_FIXED || mode == DELIVERY_LOWEST;

	if (vectored && (command & DELIVERY_VECTOR) < FIRST_VALID_VECTOR)
		lapic_error(vcpu, ERROR_SEND_VECTOR);
	else if (mode == DELIVERY_INIT && !(command & COMMAND_ASSERT))
		return; /* level de-assert: synchronised arbitration ids on CPUs of old */
	else if (mode == DELIVERY_LOWEST)
		deliver_lowest(vcpu, command, destination);
	else
		deliver_all(vcpu, command, destination);
}

void lapic_command(struct vcpu *vcpu, uint64_t value)
{
	const uint32_t command = (uint32_t)value, vector = command & DELIVERY_VECTOR;

	/* The commonest: a fixed interrupt for oneself. */
	if ((command & (COMMAND_SHORTHAND | DELIVERY_MODE)) == SHORTHAND_SELF && vector >= FIRST_VALID_VECTOR)
		lapic_accept(vcpu, vector);
	else
		send(vcpu, command, (uint32_t)(value >> 32));
}

/*
 * Messages of devices
 */

static ALWAYS_INLINE bool named(const struct lapic *lapic, uint32_t target, uint32_t command,
				uint8_t destination)
{
	if (!lapic || lapic_load(&lapic->mode) == LAPIC_OFF)
		return false;
	if (command & DELIVERY_LOGICAL)
		return logically_addressed(lapic, destination);
	return target == destination || destination == BROADCAST_XAPIC;
}

/* Those switched off by software take no interrupts, though NMI and INIT (SDM 3A 11.4.7.2). */
static ALWAYS_INLINE bool takes(const struct partition *partition, uint32_t target, uint32_t command,
				uint8_t destination)
{
	const struct lapic *lapic = partition->devices->lapic[target];

	return named(lapic, target, command, destination) &&
	       (lapic_load(&lapic->spurious) & SPURIOUS_ENABLED);
}

/* Before the interrupt itself, so that its end finds the bit. */
static void note_trigger(struct lapic *lapic, unsigned vector, bool level)
{
	const uint32_t bit = 1u << vector % 32;
	uint32_t before;

	if (!level && !lapic_load(&lapic->any_level))
		return;
	if (level) {
		before = atomic_fetch_or(&lapic->level[vector / 32], bit);
		lapic_store(&lapic->any_level, 1);
	} else {
		before = atomic_fetch_and(&lapic->level[vector / 32], ~bit);
	}
	if (!(before & bit) == level)
		lapic_store(&lapic->level_changed, 1);
}

static NOINLINE void hand_over(struct partition *partition, uint32_t target, unsigned vector, bool level)
{
	note_trigger(partition->devices->lapic[target], vector, level);
	post(partition, target, vector);
}

/* To the one of those it names that has the least priority. */
static NOINLINE bool interrupt_lowest(struct partition *partition, uint32_t command, uint8_t destination,
				      bool level)
{
	uint32_t chosen = UINT32_MAX, least = UINT32_MAX;

	for (uint32_t i = 0; i < partition->vcpu_count; i++) {
		const struct lapic *lapic = partition->devices->lapic[i];

		if (!takes(partition, i, command, destination) || lapic_priority(lapic) >= least)
			continue;
		least = lapic_priority(lapic);
		chosen = i;
	}
	if (chosen == UINT32_MAX)
		return false;
	hand_over(partition, chosen, command & DELIVERY_VECTOR, level);
	return true;
}

static NOINLINE bool interrupt_all(struct partition *partition, uint32_t command, uint8_t destination,
				   bool level)
{
	bool taken = false;

	for (uint32_t i = 0; i < partition->vcpu_count; i++) {
		if (!takes(partition, i, command, destination))
			continue;
		hand_over(partition, i, command & DELIVERY_VECTOR, level);
		taken = true;
	}
	return taken;
}

static NOINLINE void signal_all(struct partition *partition, uint32_t command, uint8_t destination)
{
	for (uint32_t i = 0; i < partition->vcpu_count; i++) {
		if (!named(partition->devices->lapic[i], i, command, destination))
			continue;
		if ((command & DELIVERY_MODE) == DELIVERY_NMI)
			vcpu_send_nmi(partition, i);
		else
			vcpu_send_init(partition, i);
	}
}

bool lapic_message(struct partition *partition, uint32_t command, uint8_t destination, bool level)
{
	const uint32_t mode = command & DELIVERY_MODE;

	if (mode == DELIVERY_FIXED || mode == DELIVERY_LOWEST) {
		if ((command & DELIVERY_VECTOR) < FIRST_VALID_VECTOR)
			return false; /* an exception's: no local APIC takes it as an interrupt (11.5.2) */
		return mode == DELIVERY_FIXED ? interrupt_all(partition, command, destination, level)
					      : interrupt_lowest(partition, command, destination, level);
	}
	if (mode == DELIVERY_NMI || mode == DELIVERY_INIT)
		signal_all(partition, command, destination);
	return true; /* SMI: there is no such mode here; ExtINT: see full.c */
}
