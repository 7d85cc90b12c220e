/*
 * IN, OUT, INS and OUTS. The CPU has checked IOPL and the I/O bitmap before it exits. A para partition has no
 * ports: as anywhere where an access is not allowed, it gets #GP.
 */
#include "hv/core/operand.h"
#include "hv/core/partition.h"
#include "hv/device/full.h"

#define STRING_BATCH 64 /* iterations an exit: requests are looked at in between */

static uint64_t merge(uint64_t before, uint32_t value, unsigned size)
{
	switch (size) {
	case 1: return (before & ~0xFFull) | (value & 0xFF);
	case 2: return (before & ~0xFFFFull) | (value & 0xFFFF);
	default: return value;
	}
}

/* Nobody there: the bus floats high. */
static uint32_t read_port(struct vcpu *vcpu, uint16_t port, unsigned size)
{
	uint32_t value;

	return full_port_in(vcpu, port, size, &value) ? value : UINT32_MAX;
}

enum exit_action exit_port_in(struct vcpu *vcpu, uint16_t port, unsigned size)
{
	if (unlikely(!vcpu->lapic))
		return EXIT_GP;
	vcpu->regs.rax = merge(vcpu->regs.rax, read_port(vcpu, port, size), size);
	return EXIT_NEXT;
}

enum exit_action exit_port_out(struct vcpu *vcpu, uint16_t port, unsigned size)
{
	if (unlikely(!vcpu->lapic))
		return EXIT_GP;
	(void)full_port_out(vcpu, port, size, (uint32_t)vcpu->regs.rax); /* no one there: lost */
	return EXIT_NEXT;
}

/*
 * Strings
 */

static void transfer(struct vcpu *vcpu, const struct string_io *io, uint8_t *const bytes[OPERAND_MAX])
{
	uint32_t value = 0;

	if (io->in) {
		value = read_port(vcpu, io->port, io->size);
		for (unsigned i = 0; i < io->size; i++)
			*bytes[i] = (uint8_t)(value >> 8 * i);
		return;
	}
	for (unsigned i = 0; i < io->size; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): operand_find() has filled them all */
		value |= (uint32_t)*bytes[i] << 8 * i;
	(void)full_port_out(vcpu, io->port, io->size, value);
}

static enum exit_action do_once(struct vcpu *vcpu, const struct string_io *io,
				const struct operand_state *state, uint64_t step)
{
	uint64_t *index = io->in ? &vcpu->regs.rdi : &vcpu->regs.rsi;
	enum exit_action action;
	uint8_t *bytes[OPERAND_MAX];
	uint64_t linear;

	if (!operand_linear(state, *index, io->size, &linear))
		return EXIT_GP;
	action = operand_find(vcpu, state, linear, io->size, bytes);
	if (action != EXIT_NEXT)
		return action;
	transfer(vcpu, io, bytes);
	*index = operand_moved(state, *index, step);
	if (io->rep)
		vcpu->regs.rcx = operand_moved(state, vcpu->regs.rcx, UINT64_MAX);
	return EXIT_NEXT;
}

enum exit_action exit_port_string(struct vcpu *vcpu, const struct string_io *io)
{
	const bool down = virt->get_register(vcpu, VIRT_RFLAGS) & RFLAGS_DF;
	struct operand_state state;

	if (!vcpu->lapic)
		return EXIT_GP;
	operand_prepare(vcpu, io->in ? SEGMENT_ES : (enum segment_index)io->segment, io->address_size, io->in,
			&state);
	for (unsigned i = 0; i < STRING_BATCH; i++) {
		enum exit_action action;

		if (io->rep && !(vcpu->regs.rcx & state.mask))
			return EXIT_NEXT;
		action = do_once(vcpu, io, &state, down ? -(uint64_t)io->size : io->size);
		if (action != EXIT_NEXT || !io->rep)
			return action;
	}
	return vcpu->regs.rcx & state.mask ? EXIT_AGAIN : EXIT_NEXT;
}
