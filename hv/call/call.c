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

/*
 * Numbers below 100h belong to the service of their block of 16; those from FF00h to FFFFh ask about the
 * owner itself. There are no others, and bits 23:16 are zero (the hint is masked off by whoever may set it).
 */
#define OWNERS	    8u
#define BLOCKS	    16u
#define BLOCK_SHIFT 4
#define OWNER_OF_BLOCK                                                                                       \
	((OWNERS - 1) * BLOCKS)	      /* the place of the owner's number in an index of services[]           \
				       */
#define PLAIN_BITS	(0xB8FFFF00u) /* fast, owners from OWNERS on, and what must be zero */
#define GENERAL_QUERIES (SMCCC_FAST | SMCCC_OWNER_VENDOR_HYP << SMCCC_OWNER_SHIFT | 0xFF00u)
#define GENERAL_BITS	(~(SMCCC_64 | 0xFFu))

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

/* Most numbers that are not plain are not even like this. */
static inline bool is_general(uint32_t function)
{
	return (uint8_t)(function >> 8) == 0xFF && (function & GENERAL_BITS) == GENERAL_QUERIES;
}

static inline const struct call_service *find_service(uint32_t function)
{
	if (unlikely((function & PLAIN_BITS) != SMCCC_FAST))
		return is_general(function) ? &identity_service : NULL;
	/* Cut from the number, no index is out of bounds. */
	return services[(function >> (SMCCC_OWNER_SHIFT - BLOCK_SHIFT) & OWNER_OF_BLOCK) |
			(function >> BLOCK_SHIFT & (BLOCKS - 1))];
}

static inline const struct call_row *find(uint32_t function)
{
	const struct call_service *service = find_service(function);
	const uint32_t form = (function >> 30) - 1; /* of a fast call: enum call_form */
	const struct call_row *row;
	uint32_t place;

	if (!service)
		return NULL;
	place = CALL_NUMBER(function) - service->first;
	if (place >= service->count)
		return NULL;
	row = &service->row[clamp_index(place, service->count)];
	return row->forms & form ? row : NULL;
}

const struct call_row *call_find(const struct partition *partition, uint32_t function)
{
	const struct call_row *row = find(function);

	return row && row->para_only && partition->config->mode != MODE_PARA ? NULL : row;
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
	row = find(function);
	if (row && !(row->para_only && vcpu->lapic))
		return row->swift ? row->call(vcpu, NULL, NULL) : serve(vcpu, row, function);
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
