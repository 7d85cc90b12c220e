/*
 * The hypercall dispatcher: from the guest's registers to a row of a service's table, and back. Two look-ups
 * lead from a function identifier to its row without a loop, so that an unknown one is answered in some 20
 * instructions.
 */
#include <bulkhead/abi.h>

#include "hv/call/call.h"
#include "hv/console/console.h"
#include "hv/core/partition.h"
#include "hv/lib/clamp.h"

#define OWNERS 7u

/*
 * Numbers below 100h belong to the service of their block of 16; those from FF00h to FFFFh ask about the
 * owner itself. There are no others, and bits 23:16 are zero (the hint is masked off by whoever may set it).
 */
#define MIDDLE_BITS	0x00FFFF00u
#define GENERAL_QUERIES 0x0000FF00u
#define BLOCK_SHIFT	4
#define BLOCKS		16u

static const struct call_service *const services[OWNERS * BLOCKS] = {
	[SMCCC_OWNER_ARCH * BLOCKS + 0x0] = &arch_service,
	[SMCCC_OWNER_STANDARD * BLOCKS + 0x0] = &psci_service,
	[SMCCC_OWNER_STANDARD * BLOCKS + 0x1] = &psci_service,
	[SMCCC_OWNER_STANDARD * BLOCKS + 0x5] = &trng_service,
	[SMCCC_OWNER_STANDARD * BLOCKS + 0x6] = &ffa_service,
	[SMCCC_OWNER_STANDARD * BLOCKS + 0x7] = &ffa_service,
	[SMCCC_OWNER_STANDARD * BLOCKS + 0x8] = &ffa_service,
	[SMCCC_OWNER_STD_HYP * BLOCKS + 0x2] = &pvtime_service,
	[SMCCC_OWNER_VENDOR_HYP * BLOCKS + 0x0] = &vendor_service,
	[SMCCC_OWNER_VENDOR_HYP * BLOCKS + 0x1] = &manage_service,
};

/* A call that is not fast is an owner out of range. */
static inline uint32_t owner_of(uint32_t function)
{
	return ((function & ~SMCCC_64) ^ SMCCC_FAST) >> SMCCC_OWNER_SHIFT;
}

static inline const struct call_service *find_service(uint32_t function)
{
	uint32_t middle = function & MIDDLE_BITS, owner;

	if (middle) {
		if (middle != GENERAL_QUERIES || owner_of(function) != SMCCC_OWNER_VENDOR_HYP)
			return NULL;
		return &identity_service;
	}
	owner = owner_of(function);
	if (owner >= OWNERS)
		return NULL;
	return services[clamp_index(owner * BLOCKS + (function >> BLOCK_SHIFT & (BLOCKS - 1)),
				    ARRAY_SIZE(services))];
}

static inline const struct call_row *find(const struct partition *partition, uint32_t function)
{
	const struct call_service *service = find_service(function);
	enum call_form form = function & SMCCC_64 ? CALL_64 : CALL_32;
	const struct call_row *row;
	uint32_t place;

	if (!service)
		return NULL;
	place = CALL_NUMBER(function) - service->first;
	if (place >= service->count)
		return NULL;
	row = &service->row[clamp_index(place, service->count)];
	if (!(row->forms & form) || (row->para_only && partition->config->mode != MODE_PARA))
		return NULL;
	return row;
}

const struct call_row *call_find(const struct partition *partition, uint32_t function)
{
	return find(partition, function);
}

/* 32-bit calls: results are zero-extended. 64-bit calls fill the register. */
static void put_results(union guest_registers *regs, const struct call_results *out, uint64_t mask)
{
	regs->rax = (uint64_t)out->x0 & mask;
	if (out->count > 1)
		regs->rsi = out->x1 & mask;
	if (out->count > 2)
		regs->rdx = out->x2 & mask;
	if (out->count > 3)
		regs->rcx = out->x3 & mask;
}

/* Out of line, so that the answer to an unknown call needs no stack frame for all this. */
static NOINLINE enum exit_action serve(struct vcpu *vcpu, const struct call_row *row, uint32_t function)
{
	union guest_registers *regs = &vcpu->regs;
	uint64_t mask = function & SMCCC_64 ? UINT64_MAX : UINT32_MAX;
	struct call_arguments in = {
		.function = function, .x1 = regs->rsi & mask, .x2 = regs->rdx & mask, .x3 = regs->rcx & mask};
	struct call_results out = {.x0 = SMCCC_SUCCESS, .count = 1};
	enum exit_action action = row->call(vcpu, &in, &out);

	if (action == EXIT_NEXT || action == EXIT_LEAVE_NEXT)
		put_results(regs, &out, mask);
	return action;
}

enum exit_action exit_hypercall(struct vcpu *vcpu)
{
	uint32_t function = (uint32_t)vcpu->regs.rax & ~SMCCC_HINT;
	const struct call_row *row;

	if (unlikely(vcpu->hypervisor_hidden)) /* it meets the instruction as on a CPU without one */
		return EXIT_UD;
	row = find(vcpu->partition, function);
	if (row)
		return serve(vcpu, row, function);
	/* Sign-extended for both conventions (DEN0028, Unknown Function Identifier), so that an unknown
	 * 64-bit and 32-bit call look alike. */
	vcpu->regs.rax = (uint64_t)SMCCC_NOT_SUPPORTED;
	return EXIT_NEXT;
}

void *call_claim_page(struct vcpu *vcpu, unsigned claim, uint64_t address)
{
	atomic_store(&vcpu->shared->call_page[claim], address);
	return address % PAGE_SIZE ? NULL : partition_memory(vcpu->partition, gpa(address), PAGE_SIZE);
}

void call_end_claims(struct vcpu *vcpu)
{
	atomic_store(&vcpu->shared->call_page[CALL_PAGE_CLAIM], 0);
	atomic_store(&vcpu->shared->call_page[CALL_PAGE_CLAIM_2], 0);
}

void call_partition_reset(struct partition *partition)
{
	vendor_console_last_words(partition);
	console_end_line(partition);
	partition->console_ring = NULL;
	atomic_store(&partition->call_page[CALL_PAGE_RING], 0);
	atomic_store(&partition->memory_protected, 0);
	if (partition->ffa)
		ffa_partition_reset(partition);
	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		atomic_store(&partition->vcpu[i].events, 0);
}
