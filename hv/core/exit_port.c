/*
 * IN, OUT, INS and OUTS. The CPU has checked IOPL and the I/O bitmap before it exits. A para partition has no
 * ports: as anywhere where an access is not allowed, it gets #GP.
 */
#include "arch/x86/guest_walk.h"
#include "hv/core/exit.h"
#include "hv/core/partition.h"
#include "hv/core/virt.h"
#include "hv/device/full.h"

#define STRING_BATCH 64 /* iterations an exit: requests are looked at in between */

#define RFLAGS_AC	  (1ull << 18)
#define SEGMENT_DPL_SHIFT 5
#define CANONICAL_SHIFT	  47

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
	static const uint32_t masks[] = {[1] = 0xFF, [2] = 0xFFFF, [4] = 0xFFFFFFFF};

	if (unlikely(!vcpu->lapic))
		return EXIT_GP;
	(void)full_port_out(vcpu, port, size,
			    (uint32_t)vcpu->regs.rax & masks[size]); /* no one there: lost */
	return EXIT_NEXT;
}

/*
 * Strings
 */

struct string_state {
	struct guest_paging paging;
	struct segment segment;
	uint64_t mask; /* of the address size */
	uint64_t step;
	bool long_code;
};

static bool read_memory(void *context, gpa_t address, void *to, size_t size)
{
	return partition_read(context, address, to, size);
}

static void prepare(struct vcpu *vcpu, const struct string_io *io, struct string_state *state)
{
	const uint64_t flags = virt->get_register(vcpu, VIRT_RFLAGS);
	struct segment code, stack;

	virt->get_segment(vcpu, SEGMENT_CS, &code);
	virt->get_segment(vcpu, SEGMENT_SS, &stack);
	virt->get_segment(vcpu, io->in ? SEGMENT_ES : (enum segment_index)io->segment, &state->segment);
	state->paging = (struct guest_paging){.cr0 = virt->get_register(vcpu, VIRT_CR0),
					      .cr3 = virt->get_register(vcpu, VIRT_CR3),
					      .cr4 = virt->get_register(vcpu, VIRT_CR4),
					      .efer = virt->get_register(vcpu, VIRT_EFER),
					      .user = (stack.access >> SEGMENT_DPL_SHIFT & 3) == 3,
					      .write = io->in,
					      .alignment_check = flags & RFLAGS_AC};
	state->long_code = (state->paging.efer & EFER_LMA) && (code.access & SEGMENT_LONG);
	state->mask = io->address_size == 8 ? UINT64_MAX : (1ull << 8 * io->address_size) - 1;
	state->step = flags & RFLAGS_DF ? -(uint64_t)io->size : io->size;
}

/* Linear address of the operand; false: outside the segment, or not canonical. */
static bool linear_address(const struct string_io *io, const struct string_state *state, uint64_t offset,
			   uint64_t *linear)
{
	const bool based = io->segment == SEGMENT_FS || io->segment == SEGMENT_GS;
	int64_t top;

	if (!state->long_code) {
		*linear = (uint32_t)(state->segment.base + offset);
		return offset + io->size - 1 <= state->segment.limit;
	}
	*linear = offset + (based && !io->in ? state->segment.base : 0);
	top = (int64_t)*linear >> CANONICAL_SHIFT;
	return top == 0 || top == -1;
}

static enum exit_action page_fault(struct vcpu *vcpu, uint64_t linear, uint32_t error)
{
	virt->set_register(vcpu, VIRT_CR2, linear);
	virt->inject_exception(vcpu, VECTOR_PF, true, error);
	return EXIT_PF;
}

/* Where each byte of an operand stands; it may lie on two pages. */
static enum exit_action find_operand(struct vcpu *vcpu, const struct string_state *state, uint64_t linear,
				     unsigned size, uint8_t *bytes[4])
{
	for (unsigned i = 0; i < size; i++) {
		enum status status;
		uint32_t error;
		gpa_t address;

		if (i && (linear + i) % PAGE_SIZE) {
			bytes[i] = bytes[i - 1] + 1;
			continue;
		}
		status = guest_translate(&state->paging, linear + i, read_memory, vcpu->partition, &address,
					 &error);
		if (status == ERR_NOT_FOUND)
			return page_fault(vcpu, linear + i, error);
		if (status == OK)
			bytes[i] = partition_memory(vcpu->partition, address, 1);
		if (status != OK || !bytes[i])
			return exit_fault(vcpu, "string I/O at linear address 0x%llx, outside its memory",
					  (unsigned long long)linear);
	}
	return EXIT_NEXT;
}

static void transfer(struct vcpu *vcpu, const struct string_io *io, uint8_t *const bytes[4])
{
	uint32_t value = 0;

	if (io->in) {
		value = read_port(vcpu, io->port, io->size);
		for (unsigned i = 0; i < io->size; i++)
			*bytes[i] = (uint8_t)(value >> 8 * i);
		return;
	}
	for (unsigned i = 0; i < io->size; i++)
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): find_operand() has filled them all */
		value |= (uint32_t)*bytes[i] << 8 * i;
	(void)full_port_out(vcpu, io->port, io->size, value);
}

/* Registers of the address size: 32-bit ones clear the upper half when written. */
static uint64_t moved(uint64_t value, uint64_t by, const struct string_state *state)
{
	const uint64_t kept = state->mask == 0xFFFF ? value & ~state->mask : 0;

	return kept | ((value + by) & state->mask);
}

static enum exit_action do_once(struct vcpu *vcpu, const struct string_io *io,
				const struct string_state *state)
{
	uint64_t *index = io->in ? &vcpu->regs.rdi : &vcpu->regs.rsi;
	enum exit_action action;
	uint8_t *bytes[4];
	uint64_t linear;

	if (!linear_address(io, state, *index & state->mask, &linear))
		return EXIT_GP;
	action = find_operand(vcpu, state, linear, io->size, bytes);
	if (action != EXIT_NEXT)
		return action;
	transfer(vcpu, io, bytes);
	*index = moved(*index, state->step, state);
	if (io->rep)
		vcpu->regs.rcx = moved(vcpu->regs.rcx, UINT64_MAX, state);
	return EXIT_NEXT;
}

enum exit_action exit_port_string(struct vcpu *vcpu, const struct string_io *io)
{
	struct string_state state;

	if (!vcpu->lapic)
		return EXIT_GP;
	prepare(vcpu, io, &state);
	for (unsigned i = 0; i < STRING_BATCH; i++) {
		enum exit_action action;

		if (io->rep && !(vcpu->regs.rcx & state.mask))
			return EXIT_NEXT;
		action = do_once(vcpu, io, &state);
		if (action != EXIT_NEXT || !io->rep)
			return action;
	}
	return vcpu->regs.rcx & state.mask ? EXIT_AGAIN : EXIT_NEXT;
}
