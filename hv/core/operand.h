/*
 * Memory operands of string instructions that are carried out for a guest: from RSI and RDI through segment
 * and page tables to the guest's memory.
 */
#pragma once

#include "arch/x86/guest_walk.h"
#include "hv/core/exit.h"
#include "hv/core/virt.h"

#define OPERAND_MAX 8 /* bytes */

struct operand_state {
	struct guest_paging paging;
	struct segment segment;
	enum segment_index which;
	uint64_t mask; /* of the address size */
	bool long_code;
};

/* How the guest reaches an operand of `which` segment at the moment; `address_size` in bytes. */
void operand_prepare(struct vcpu *vcpu, enum segment_index which, unsigned address_size, bool write,
		     struct operand_state *state);

/* Linear address of the operand at `offset`; false: outside the segment, or not canonical. */
bool operand_linear(const struct operand_state *state, uint64_t offset, unsigned size, uint64_t *linear);

/* Where the byte at a linear address is. EXIT_PF: it is not mapped so, #PF is set up; EXIT_LEAVE: its tables
 * are not memory. */
enum exit_action operand_translate(struct vcpu *vcpu, const struct operand_state *state, uint64_t linear,
				   gpa_t *address);

/* Where each byte of an operand stands in the guest's memory; it may lie on two pages. */
enum exit_action operand_find(struct vcpu *vcpu, const struct operand_state *state, uint64_t linear,
			      unsigned size, uint8_t *bytes[OPERAND_MAX]);

/* A register of the address size, moved on: 32-bit ones clear the upper half when written. */
uint64_t operand_moved(const struct operand_state *state, uint64_t value, uint64_t by);
