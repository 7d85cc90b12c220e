/*
 * Segment, then page tables, byte by byte where a page ends. What the guest's own tables forbid is the
 * guest's #PF; what is not its memory ends it.
 */
#include "arch/x86/guest_state.h"
#include "hv/core/operand.h"
#include "hv/core/partition.h"

#define RFLAGS_AC	  (1ull << 18)
#define SEGMENT_DPL_SHIFT 5
#define CANONICAL_SHIFT	  47 /* bits above repeat this one; under 5-level paging that many more */
#define LA57_BITS	  9

static bool read_memory(void *context, gpa_t address, void *to, size_t size)
{
	return partition_read(context, address, to, size);
}

void operand_prepare(struct vcpu *vcpu, enum segment_index which, unsigned address_size, bool write,
		     struct operand_state *state)
{
	const uint64_t flags = virt->get_register(vcpu, VIRT_RFLAGS);
	struct segment code, stack;

	virt->get_segment(vcpu, SEGMENT_CS, &code);
	virt->get_segment(vcpu, SEGMENT_SS, &stack);
	virt->get_segment(vcpu, which, &state->segment);
	state->which = which;
	state->paging = (struct guest_paging){.cr0 = virt->get_register(vcpu, VIRT_CR0),
					      .cr3 = virt->get_register(vcpu, VIRT_CR3),
					      .cr4 = virt->get_register(vcpu, VIRT_CR4),
					      .efer = virt->get_register(vcpu, VIRT_EFER),
					      .user = (stack.access >> SEGMENT_DPL_SHIFT & 3) == 3,
					      .write = write,
					      .alignment_check = flags & RFLAGS_AC};
	if (state->paging.cr4 & CR4_PKE)
		state->paging.pkru = guest_state_pkru();
	state->long_code = (state->paging.efer & EFER_LMA) && (code.access & SEGMENT_LONG);
	state->mask = address_size == 8 ? UINT64_MAX : (1ull << 8 * address_size) - 1;
}

bool operand_linear(const struct operand_state *state, uint64_t offset, unsigned size, uint64_t *linear)
{
	const bool based = state->which == SEGMENT_FS || state->which == SEGMENT_GS;
	unsigned shift = CANONICAL_SHIFT;
	int64_t top;

	offset &= state->mask;
	if (!state->long_code) {
		*linear = (uint32_t)(state->segment.base + offset);
		return offset + size - 1 <= state->segment.limit;
	}
	*linear = offset + (based ? state->segment.base : 0);
	if (state->paging.cr4 & CR4_LA57)
		shift += LA57_BITS;
	top = (int64_t)*linear >> shift;
	return top == 0 || top == -1;
}

static enum exit_action page_fault(struct vcpu *vcpu, uint64_t linear, uint32_t error)
{
	virt->set_register(vcpu, VIRT_CR2, linear);
	virt->inject_exception(vcpu, VECTOR_PF, true, error);
	return EXIT_PF;
}

static enum exit_action outside(struct vcpu *vcpu, uint64_t linear)
{
	return exit_fault(vcpu, "string instruction at linear address 0x%llx, outside its memory",
			  (unsigned long long)linear);
}

enum exit_action operand_translate(struct vcpu *vcpu, const struct operand_state *state, uint64_t linear,
				   gpa_t *address)
{
	uint32_t error;
	const enum status status =
		guest_translate(&state->paging, linear, read_memory, vcpu->partition, address, &error);

	if (status == ERR_NOT_FOUND)
		return page_fault(vcpu, linear, error);
	return status == OK ? EXIT_NEXT : outside(vcpu, linear);
}

enum exit_action operand_find(struct vcpu *vcpu, const struct operand_state *state, uint64_t linear,
			      unsigned size, uint8_t *bytes[OPERAND_MAX])
{
	for (unsigned i = 0; i < size; i++) {
		enum exit_action action;
		gpa_t address;

		if (i && (linear + i) % PAGE_SIZE) {
			bytes[i] = bytes[i - 1] + 1;
			continue;
		}
		action = operand_translate(vcpu, state, linear + i, &address);
		if (action != EXIT_NEXT)
			return action;
		bytes[i] = partition_memory(vcpu->partition, address, 1);
		if (!bytes[i])
			return outside(vcpu, linear);
	}
	return EXIT_NEXT;
}

uint64_t operand_moved(const struct operand_state *state, uint64_t value, uint64_t by)
{
	const uint64_t kept = state->mask == 0xFFFF ? value & ~state->mask : 0;

	return kept | ((value + by) & state->mask);
}
