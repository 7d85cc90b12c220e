/*
 * A guest touched what its map does not hold: a device, or the end of its world. For a device the instruction
 * is fetched through the guest's own page tables, decoded, carried out on the device, and its results go to
 * registers and flags. Fetching is also how the length of an instruction is found where the CPU does not
 * tell.
 */
#include "arch/x86/guest_walk.h"
#include "hv/core/exit.h"
#include "hv/core/partition.h"
#include "hv/core/virt.h"
#include "hv/device/full.h"
#include "hv/lib/string.h"

#define SEGMENT_LONG (1u << 9)	/* L: 64-bit code, in struct segment.access */
#define SEGMENT_BIG  (1u << 10) /* D/B: 32-bit code */

#define FETCH_SIZE 16 /* at least INSTRUCTION_MAX, in two words */

struct fetched {
	uint8_t bytes[FETCH_SIZE] ALIGNED(8);
	unsigned count; /* at most INSTRUCTION_MAX; 0: not to be had */
	enum code_size code;
};

/*
 * Fetching. The CPU has fetched the instruction before, so rights need no check; what the guest changed since
 * is its own affair: the worst it gets is another instruction of its own.
 */

static bool read_table(void *context, gpa_t address, void *to, size_t size)
{
	const uint64_t *entry = partition_memory(context, address, size);

	if (!entry)
		return false;
	*(uint64_t *)to = *(const volatile uint64_t *)entry; /* once: another vCPU may write it */
	return true;
}

static bool read_memory(void *context, gpa_t address, void *to, size_t size)
{
	return partition_read(context, address, to, size);
}

static bool translate_legacy(struct vcpu *vcpu, uint64_t linear, gpa_t *address)
{
	const struct guest_paging paging = {.cr0 = virt->get_register(vcpu, VIRT_CR0),
					    .cr3 = virt->get_register(vcpu, VIRT_CR3),
					    .cr4 = virt->get_register(vcpu, VIRT_CR4),
					    .efer = virt->get_register(vcpu, VIRT_EFER)};
	uint32_t error;

	return guest_translate(&paging, linear, read_memory, vcpu->partition, address, &error) == OK;
}

static bool translate(struct vcpu *vcpu, bool long_mode, uint64_t linear, gpa_t *address)
{
	struct guest_leaf leaf;

	if (unlikely(!long_mode))
		return translate_legacy(vcpu, linear, address);
	if (guest_walk(virt->get_register(vcpu, VIRT_CR3) & ENTRY_FRAME, LONG_TOP_SHIFT, linear, read_table,
		       vcpu->partition, &leaf) != OK)
		return false;
	*address = gpa(leaf.address);
	return true;
}

/* The instruction crosses a page, or may. */
static void fetch_across(struct vcpu *vcpu, bool long_mode, uint64_t linear, gpa_t address,
			 struct fetched *out)
{
	const unsigned first = MIN((unsigned)(PAGE_SIZE - address.value % PAGE_SIZE), INSTRUCTION_MAX);
	const unsigned second = INSTRUCTION_MAX - first;
	gpa_t next;

	if (!partition_read(vcpu->partition, address, out->bytes, first))
		return;
	out->count = first;
	if (second && translate(vcpu, long_mode, linear + first, &next) &&
	    partition_read(vcpu->partition, next, out->bytes + first, second))
		out->count += second;
}

static void fetch(struct vcpu *vcpu, struct fetched *out)
{
	const bool long_mode = virt->get_register(vcpu, VIRT_EFER) & EFER_LMA;
	uint64_t linear = virt->get_register(vcpu, VIRT_RIP);
	const uint64_t *source;
	struct segment code;
	gpa_t address;

	out->count = 0;
	virt->get_segment(vcpu, SEGMENT_CS, &code);
	out->code = long_mode && (code.access & SEGMENT_LONG) ? CODE_64
		    : code.access & SEGMENT_BIG		      ? CODE_32
							      : CODE_16;
	if (out->code != CODE_64)
		linear = (uint32_t)(linear + code.base);
	if (!translate(vcpu, long_mode, linear, &address))
		return;
	if (unlikely(address.value % PAGE_SIZE > PAGE_SIZE - FETCH_SIZE)) {
		fetch_across(vcpu, long_mode, linear, address, out);
		return;
	}
	source = partition_memory(vcpu->partition, address, FETCH_SIZE);
	if (unlikely(!source))
		return;
	memcpy(out->bytes, source, FETCH_SIZE);
	out->count = INSTRUCTION_MAX;
}

unsigned exit_instruction_length(struct vcpu *vcpu, const uint8_t *opcode, unsigned opcode_size)
{
	struct fetched instruction;

	fetch(vcpu, &instruction);
	return decode_length(instruction.bytes, instruction.count, instruction.code, opcode, opcode_size);
}

/*
 * Registers
 */

static uint64_t size_mask(unsigned size)
{
	return size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;
}

static uint64_t read_register(struct vcpu *vcpu, const struct instruction *instruction)
{
	const unsigned index = instruction->register_index;
	const uint64_t value = index == RSP ? virt->get_register(vcpu, VIRT_RSP) : vcpu->regs.at[index];

	return value >> (instruction->high_byte ? 8 : 0);
}

/* 32-bit results clear the upper half, narrower ones leave the rest (SDM 1, 3.4.1.1). */
static void write_register(struct vcpu *vcpu, const struct instruction *instruction, uint64_t value)
{
	const unsigned index = instruction->register_index, shift = instruction->high_byte ? 8 : 0;
	const uint64_t before = index == RSP ? virt->get_register(vcpu, VIRT_RSP) : vcpu->regs.at[index];
	const uint64_t mask = size_mask(instruction->register_size) << shift;

	value = value << shift & mask;
	if (instruction->register_size < 4)
		value |= before & ~mask;
	if (index == RSP)
		virt->set_register(vcpu, VIRT_RSP, value);
	else
		vcpu->regs.at[index] = value;
}

/*
 * Arithmetic: the flags of SDM 1, 3.4.3.1, as each operation sets them
 */

#define FLAG_CARRY    (1u << 0)
#define FLAG_PARITY   (1u << 2)
#define FLAG_ADJUST   (1u << 4)
#define FLAG_ZERO     (1u << 6)
#define FLAG_SIGN     (1u << 7)
#define FLAG_OVERFLOW (1u << 11)
#define FLAGS_STATUS  (FLAG_CARRY | FLAG_PARITY | FLAG_ADJUST | FLAG_ZERO | FLAG_SIGN | FLAG_OVERFLOW)

static uint64_t compute(unsigned operation, uint64_t a, uint64_t b)
{
	switch (operation) {
	case MMIO_AND:
	case MMIO_TEST: return a & b;
	case MMIO_OR: return a | b;
	case MMIO_XOR: return a ^ b;
	case MMIO_ADD: return a + b;
	default: return a - b; /* SUB, COMPARE */
	}
}

static uint64_t flags_of(unsigned operation, unsigned size, uint64_t a, uint64_t b, uint64_t result)
{
	const uint64_t sign = 1ull << (8 * size - 1);
	uint64_t flags = (result & sign ? FLAG_SIGN : 0) | (result ? 0 : FLAG_ZERO) |
			 (__builtin_parityll(result & 0xFF) ? 0 : FLAG_PARITY);

	if (operation == MMIO_ADD)
		flags |= (result < a ? FLAG_CARRY : 0) |
			 ((a ^ result) & (b ^ result) & sign ? FLAG_OVERFLOW : 0) |
			 ((a ^ b ^ result) & FLAG_ADJUST);
	else if (operation == MMIO_SUB || operation == MMIO_COMPARE)
		flags |= (a < b ? FLAG_CARRY : 0) | ((a ^ b) & (a ^ result) & sign ? FLAG_OVERFLOW : 0) |
			 ((a ^ b ^ result) & FLAG_ADJUST);
	return flags;
}

/* Reads memory, computes, sets the flags and stores what is to be stored. */
static bool modify(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const unsigned operation = instruction->operation, size = instruction->size;
	const uint64_t mask = size_mask(size);
	const uint64_t source =
		(instruction->immediate ? instruction->value : read_register(vcpu, instruction)) & mask;
	uint64_t memory, a, b, result;

	if (!full_mmio_read(vcpu, address, size, &memory))
		return false;
	memory &= mask;
	a = instruction->memory_first ? memory : source;
	b = instruction->memory_first ? source : memory;
	result = compute(operation, a, b) & mask;
	virt->set_register(vcpu, VIRT_RFLAGS,
			   (virt->get_register(vcpu, VIRT_RFLAGS) & ~(uint64_t)FLAGS_STATUS) |
				   flags_of(operation, size, a, b, result));
	if (operation == MMIO_COMPARE || operation == MMIO_TEST)
		return true;
	if (instruction->memory_first)
		return full_mmio_write(vcpu, address, size, result);
	write_register(vcpu, instruction, result);
	return true;
}

static uint64_t extend(const struct instruction *instruction, uint64_t value)
{
	const unsigned unused = 64 - 8u * instruction->size;

	return instruction->sign_extend ? (uint64_t)((int64_t)(value << unused) >> unused)
					: value & size_mask(instruction->size);
}

static bool load(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	uint64_t value;

	if (!full_mmio_read(vcpu, address, instruction->size, &value))
		return false;
	write_register(vcpu, instruction, extend(instruction, value));
	return true;
}

static bool store(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const uint64_t value = instruction->immediate ? instruction->value : read_register(vcpu, instruction);

	return full_mmio_write(vcpu, address, instruction->size, value & size_mask(instruction->size));
}

static bool exchange(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const uint64_t value = read_register(vcpu, instruction) & size_mask(instruction->size);
	uint64_t memory;

	if (!full_mmio_read(vcpu, address, instruction->size, &memory))
		return false;
	write_register(vcpu, instruction, memory);
	return full_mmio_write(vcpu, address, instruction->size, value);
}

static bool execute(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	switch (instruction->operation) {
	case MMIO_STORE: return store(vcpu, instruction, address);
	case MMIO_LOAD: return load(vcpu, instruction, address);
	case MMIO_EXCHANGE: return exchange(vcpu, instruction, address);
	default: return modify(vcpu, instruction, address);
	}
}

/*
 * The exit
 */

static enum exit_action out_of_bounds(struct vcpu *vcpu, gpa_t address, bool write, bool fetched)
{
	return exit_fault(
		vcpu, "%s guest-physical 0x%llx, which is neither its memory nor a device, at RIP 0x%llx",
		fetched ? "executes at"
		: write ? "writes to"
			: "reads from",
		(unsigned long long)address.value, (unsigned long long)virt->get_register(vcpu, VIRT_RIP));
}

static enum exit_action undecodable(struct vcpu *vcpu, gpa_t address, const struct fetched *instruction)
{
	const uint8_t *b = instruction->bytes;

	if (!instruction->count)
		return exit_fault(vcpu,
				  "accesses the device at 0x%llx with an instruction that cannot be fetched, "
				  "at RIP 0x%llx",
				  (unsigned long long)address.value,
				  (unsigned long long)virt->get_register(vcpu, VIRT_RIP));
	return exit_fault(vcpu,
			  "accesses the device at 0x%llx with %02x %02x %02x %02x %02x %02x %02x, at RIP "
			  "0x%llx: not served",
			  (unsigned long long)address.value, b[0], b[1], b[2], b[3], b[4], b[5], b[6],
			  (unsigned long long)virt->get_register(vcpu, VIRT_RIP));
}

enum exit_action exit_memory(struct vcpu *vcpu, gpa_t address, bool write, bool fetched, unsigned *length)
{
	struct instruction instruction;
	struct fetched code;

	if (unlikely(!vcpu->lapic || fetched || !full_is_mmio(vcpu, address)))
		return out_of_bounds(vcpu, address, write, fetched);
	fetch(vcpu, &code);
	if (unlikely(decode_mmio(code.bytes, code.count, code.code, &instruction) != OK))
		return undecodable(vcpu, address, &code);
	if (unlikely(!execute(vcpu, &instruction, address)))
		return out_of_bounds(vcpu, address, write, false);
	*length = instruction.length;
	return EXIT_NEXT;
}
