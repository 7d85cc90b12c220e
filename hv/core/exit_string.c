/*
 * STOS, LODS and MOVS on devices, one element an exit: a repeated one comes back for the next, and
 * interrupts are taken in between as on hardware.
 */
#include "hv/core/operand.h"
#include "hv/core/partition.h"
#include "hv/device/full.h"

static uint64_t size_mask(unsigned size)
{
	return size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;
}

static uint64_t step(struct vcpu *vcpu, const struct instruction *instruction)
{
	return virt->get_register(vcpu, VIRT_RFLAGS) & RFLAGS_DF ? -(uint64_t)instruction->size
								 : instruction->size;
}

static enum exit_action get(struct vcpu *vcpu, const struct operand_state *state, uint64_t linear,
			    unsigned size, uint64_t *value)
{
	uint8_t *bytes[OPERAND_MAX];
	gpa_t address;
	enum exit_action action = operand_translate(vcpu, state, linear, &address);

	if (action != EXIT_NEXT)
		return action;
	if (full_is_mmio(address)) {
		*value = full_mmio_read(vcpu, address, size);
		return EXIT_NEXT;
	}
	action = operand_find(vcpu, state, linear, size, bytes);
	*value = 0;
	for (unsigned i = 0; action == EXIT_NEXT && i < size; i++)
		*value |= (uint64_t)*bytes[i] << 8 * i;
	return action;
}

static enum exit_action put(struct vcpu *vcpu, const struct operand_state *state, uint64_t linear,
			    unsigned size, uint64_t value)
{
	uint8_t *bytes[OPERAND_MAX];
	gpa_t address;
	enum exit_action action = operand_translate(vcpu, state, linear, &address);

	if (action != EXIT_NEXT)
		return action;
	if (full_is_mmio(address)) {
		full_mmio_write(vcpu, address, size, value);
		return EXIT_NEXT;
	}
	action = operand_find(vcpu, state, linear, size, bytes);
	for (unsigned i = 0; action == EXIT_NEXT && i < size; i++)
		*bytes[i] = (uint8_t)(value >> 8 * i);
	return action;
}

/* Both ends before anything is done, so that a #PF of the second leaves no trace of the first. */
static enum exit_action move(struct vcpu *vcpu, const struct instruction *instruction,
			     struct operand_state *to)
{
	struct operand_state from;
	uint64_t source, destination, value;
	enum exit_action action;
	gpa_t address;

	operand_prepare(vcpu, (enum segment_index)instruction->segment, instruction->address_size, false,
			&from);
	operand_prepare(vcpu, SEGMENT_ES, instruction->address_size, true, to);
	if (!operand_linear(&from, vcpu->regs.rsi, instruction->size, &source) ||
	    !operand_linear(to, vcpu->regs.rdi, instruction->size, &destination))
		return EXIT_GP;
	action = operand_translate(vcpu, to, destination, &address);
	if (action == EXIT_NEXT)
		action = get(vcpu, &from, source, instruction->size, &value);
	if (action == EXIT_NEXT)
		action = put(vcpu, to, destination, instruction->size, value);
	return action;
}

/* 32-bit results clear the upper half, narrower ones leave the rest (SDM 1, 3.4.1.1). */
static void load(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const uint64_t mask = size_mask(instruction->size);
	const uint64_t value = full_mmio_read(vcpu, address, instruction->size) & mask;

	vcpu->regs.rax = instruction->size < 4 ? (vcpu->regs.rax & ~mask) | value : value;
}

enum exit_action exit_memory_string(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const uint64_t by = step(vcpu, instruction);
	enum exit_action action = EXIT_NEXT;
	struct operand_state state;

	if (instruction->operation == MMIO_MOVE_STRING)
		action = move(vcpu, instruction, &state);
	else
		operand_prepare(vcpu, SEGMENT_ES, instruction->address_size, true, &state);
	if (action != EXIT_NEXT)
		return action;
	if (instruction->operation == MMIO_STORE_STRING)
		full_mmio_write(vcpu, address, instruction->size, vcpu->regs.rax);
	else if (instruction->operation == MMIO_LOAD_STRING)
		load(vcpu, instruction, address);
	if (instruction->operation != MMIO_LOAD_STRING)
		vcpu->regs.rdi = operand_moved(&state, vcpu->regs.rdi, by);
	if (instruction->operation != MMIO_STORE_STRING)
		vcpu->regs.rsi = operand_moved(&state, vcpu->regs.rsi, by);
	if (!instruction->repeat)
		return EXIT_NEXT;
	vcpu->regs.rcx = operand_moved(&state, vcpu->regs.rcx, UINT64_MAX);
	return vcpu->regs.rcx & state.mask ? EXIT_AGAIN : EXIT_NEXT;
}
