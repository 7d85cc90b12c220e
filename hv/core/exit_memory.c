/*
 * A guest touched what its map does not hold: a device, or the end of its world. For a device the instruction
 * is fetched through the guest's own page tables, decoded, carried out on the device, and its results go to
 * registers and flags. Fetching is also how the length of an instruction is found where the CPU does not
 * tell.
 */
#include "arch/x86/guest_walk.h"
#include "hv/core/arithmetic.h"
#include "hv/core/exit.h"
#include "hv/core/partition.h"
#include "hv/core/share.h"
#include "hv/core/virt.h"
#include "hv/device/full.h"
#include "hv/mem/layout.h"

/* 2^32 / golden ratio: spreads neighbours (Knuth, TAOCP 3, 6.4). */
#define HASH_FACTOR 0x9E3779B1u

#define FETCH_SIZE 16 /* at least INSTRUCTION_MAX, in two words */

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define NEVER_INLINE  __attribute__((noinline)) /* keeps the frame of the common way small */

/* What a walk through 4-level or 5-level tables has read, entry by entry. */
struct trail {
	const struct partition *partition;
	unsigned count;
	const volatile uint64_t *entry[FIVE_LEVELS];
	uint64_t value[FIVE_LEVELS];
};

struct fetched {
	union {
		uint8_t bytes[FETCH_SIZE];
		uint64_t words[2];
	};
	struct code_state at;
	unsigned count; /* at most INSTRUCTION_MAX; 0: not to be had */
	struct trail trail;
	const volatile uint64_t *code; /* NULL: the instruction may go on in another page */
};

/*
 * Fetching. The CPU has fetched the instruction before, so rights need no check; what the guest changed since
 * is its own affair: the worst it gets is another instruction of its own.
 */

static bool read_entry(void *context, gpa_t address, void *to, size_t size)
{
	struct trail *trail = context;
	const volatile uint64_t *entry = partition_memory(trail->partition, address, size);

	if (!entry)
		return false;
	trail->entry[trail->count] = entry;
	trail->value[trail->count] = *entry; /* once: another vCPU may write it */
	*(uint64_t *)to = trail->value[trail->count++];
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

static bool translate(struct vcpu *vcpu, const struct code_state *at, uint64_t linear, struct trail *trail,
		      gpa_t *address)
{
	const uint64_t table = at->cr3 & ENTRY_FRAME;
	struct guest_leaf leaf;
	enum status status;

	if (!at->long_mode)
		return translate_legacy(vcpu, linear, address);
	*trail = (struct trail){.partition = vcpu->partition};
	if (unlikely(at->five_levels))
		status = guest_walk(table, FIVE_LEVELS, linear, read_entry, trail, &leaf);
	else
		status = guest_walk(table, LONG_LEVELS, linear, read_entry, trail, &leaf);
	if (status != OK)
		return false;
	*address = gpa(leaf.address);
	return true;
}

/* The instruction crosses a page, or may. */
static unsigned fetch_across(struct vcpu *vcpu, const struct code_state *at, uint64_t linear, gpa_t address,
			     uint8_t bytes[FETCH_SIZE])
{
	const unsigned first =
		MIN((unsigned)(PAGE_SIZE - address.value % PAGE_SIZE), (unsigned)INSTRUCTION_MAX);
	const unsigned second = INSTRUCTION_MAX - first;
	struct trail trail;
	gpa_t next;

	if (!partition_read(vcpu->partition, address, bytes, first))
		return 0;
	if (second && translate(vcpu, at, linear + first, &trail, &next) &&
	    partition_read(vcpu->partition, next, bytes + first, second))
		return INSTRUCTION_MAX;
	return first;
}

static NEVER_INLINE void fetch(struct vcpu *vcpu, struct fetched *out)
{
	const struct code_state *at = &out->at;
	uint64_t linear;
	gpa_t address;

	*out = (struct fetched){0};
	virt->get_code(vcpu, &out->at);
	linear = at->code == CODE_64 ? at->rip : (uint32_t)(at->rip + at->base);
	if (!translate(vcpu, at, linear, &out->trail, &address))
		return;
	if (address.value % PAGE_SIZE > PAGE_SIZE - FETCH_SIZE) {
		out->count = fetch_across(vcpu, at, linear, address, out->bytes);
		return;
	}
	out->code = partition_memory(vcpu->partition, address, FETCH_SIZE);
	if (!out->code)
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(out->words); i++)
		out->words[i] = out->code[i]; /* once */
	out->count = INSTRUCTION_MAX;
}

unsigned exit_instruction_length(struct vcpu *vcpu, const uint8_t *opcode, unsigned opcode_size)
{
	struct fetched instruction;

	fetch(vcpu, &instruction);
	return decode_length(instruction.bytes, instruction.count, instruction.at.code, opcode, opcode_size);
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

/* Reads memory, computes, sets the flags and stores what is to be stored. */
static NEVER_INLINE void modify(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const uint64_t source =
		instruction->immediate ? instruction->value : read_register(vcpu, instruction);
	const uint64_t memory = full_mmio_read(vcpu, address, instruction->size);
	uint64_t flags = virt->get_register(vcpu, VIRT_RFLAGS), result;

	result = arithmetic(instruction, memory, source, &flags);
	virt->set_register(vcpu, VIRT_RFLAGS, flags);
	if (!arithmetic_stores(instruction->operation))
		return;
	if (instruction->memory_first)
		full_mmio_write(vcpu, address, instruction->size, result);
	else
		write_register(vcpu, instruction, result);
}

static uint64_t extend(const struct instruction *instruction, uint64_t value)
{
	const unsigned unused = 64 - 8u * instruction->size;

	return instruction->sign_extend ? (uint64_t)((int64_t)(value << unused) >> unused)
					: value & size_mask(instruction->size);
}

static NEVER_INLINE void load(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const uint64_t value = full_mmio_read(vcpu, address, instruction->size);

	write_register(vcpu, instruction, extend(instruction, value));
}

static NEVER_INLINE void store(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const uint64_t value = instruction->immediate ? instruction->value : read_register(vcpu, instruction);

	full_mmio_write(vcpu, address, instruction->size, value);
}

static NEVER_INLINE void exchange(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const uint64_t value = read_register(vcpu, instruction);

	write_register(vcpu, instruction, full_mmio_read(vcpu, address, instruction->size));
	full_mmio_write(vcpu, address, instruction->size, value);
}

static NEVER_INLINE enum exit_action execute(struct vcpu *vcpu, const struct instruction *instruction,
					     gpa_t address)
{
	switch (instruction->operation) {
	case MMIO_STORE: store(vcpu, instruction, address); break;
	case MMIO_LOAD: load(vcpu, instruction, address); break;
	case MMIO_EXCHANGE: exchange(vcpu, instruction, address); break;
	case MMIO_STORE_STRING:
	case MMIO_LOAD_STRING:
	case MMIO_MOVE_STRING: return exit_memory_string(vcpu, instruction, address);
	default: modify(vcpu, instruction, address); break;
	}
	return EXIT_NEXT;
}

/*
 * Known instructions. A guest reaches its devices from a handful of places, so what a fetch has found is kept
 * with all that it depends on, and believed only as long as every bit of that is as it was: the guest may
 * change its tables and its code at any time, and without an exit. Code in 4 KiB pages under 5-level paging
 * is fetched each time: kernels use larger ones.
 */

static ALWAYS_INLINE struct known_instruction *slot_of(struct vcpu *vcpu, uint64_t rip)
{
	return &vcpu->known[(uint32_t)rip * HASH_FACTOR >> (32 - KNOWN_INSTRUCTIONS_LOG2)];
}

static void remember(struct vcpu *vcpu, const struct fetched *code, const struct instruction *instruction)
{
	struct known_instruction *known = slot_of(vcpu, code->at.rip);

	known->rip = code->at.rip;
	known->cr3 = code->at.cr3;
	for (unsigned i = 0; i < LONG_LEVELS; i++) {
		const unsigned level = MIN(i, code->trail.count - 1); /* a large page ends the walk early */

		known->entry[i] = code->trail.entry[level];
		known->value[i] = code->trail.value[level];
	}
	known->code = code->code;
	known->bytes[0] = code->words[0];
	known->bytes[1] = code->words[1];
	known->instruction = *instruction;
}

void exit_forget_instructions(struct vcpu *vcpu)
{
	for (unsigned i = 0; i < KNOWN_INSTRUCTIONS; i++)
		vcpu->known[i].rip = NEVER_A_RIP;
}

static ALWAYS_INLINE bool holds(const struct known_instruction *known, uint64_t rip, uint64_t cr3)
{
	if (known->rip != rip || known->cr3 != cr3)
		return false;
#pragma GCC unroll 4
	for (unsigned i = 0; i < LONG_LEVELS; i++)
		if (unlikely(*known->entry[i] != known->value[i]))
			return false;
	return known->code[0] == known->bytes[0] && known->code[1] == known->bytes[1];
}

/*
 * The exit
 */

void exit_out_of_bounds(struct vcpu *vcpu, gpa_t address, const char *does)
{
	exit_fault(vcpu, "%s guest-physical 0x%llx, which is neither its memory nor a device, at RIP 0x%llx",
		   does, (unsigned long long)address.value,
		   (unsigned long long)virt->get_register(vcpu, VIRT_RIP));
}

static void undecodable(struct vcpu *vcpu, gpa_t address, const struct fetched *instruction)
{
	const uint8_t *b = instruction->bytes;

	if (!instruction->count)
		exit_fault(vcpu,
			   "accesses the device at 0x%llx with an instruction that cannot be fetched, "
			   "at RIP 0x%llx",
			   (unsigned long long)address.value,
			   (unsigned long long)virt->get_register(vcpu, VIRT_RIP));
	else
		exit_fault(vcpu,
			   "accesses the device at 0x%llx with %02x %02x %02x %02x %02x %02x %02x, at RIP "
			   "0x%llx: not served",
			   (unsigned long long)address.value, b[0], b[1], b[2], b[3], b[4], b[5], b[6],
			   (unsigned long long)virt->get_register(vcpu, VIRT_RIP));
}

/* As exit_memory() answers. */
static int execute_slowly(struct vcpu *vcpu, const struct instruction *instruction, gpa_t address)
{
	const enum exit_action action = execute(vcpu, instruction, address);

	return action == EXIT_NEXT ? instruction->length : -(int)action;
}

static NEVER_INLINE int meet(struct vcpu *vcpu, gpa_t address, uint64_t access)
{
	struct instruction instruction;
	struct fetched code;

	if (!vcpu->lapic &&
	    share_sees(vcpu->partition, address, access & MEMORY_WRITE ? MAP_WRITE : MAP_READ))
		return -EXIT_AGAIN;
	if (!vcpu->lapic || !full_is_mmio(address)) {
		exit_out_of_bounds(vcpu, address, access & MEMORY_WRITE ? "writes to" : "reads from");
		return -EXIT_LEAVE;
	}
	fetch(vcpu, &code);
	if (decode_mmio(code.bytes, code.count, code.at.code, &instruction) != OK) {
		undecodable(vcpu, address, &code);
		return -EXIT_LEAVE;
	}
	if (code.at.code == CODE_64 && code.code && code.trail.count <= LONG_LEVELS)
		remember(vcpu, &code, &instruction);
	return execute_slowly(vcpu, &instruction, address);
}

static NEVER_INLINE int execute_known(struct vcpu *vcpu, gpa_t address, const struct instruction *instruction)
{
	if (unlikely(instruction->shape != SHAPE_LOAD_32))
		return execute_slowly(vcpu, instruction, address);
	vcpu->regs.at[instruction->register_index] = (uint32_t)full_mmio_read(vcpu, address, 4);
	return instruction->length;
}

int exit_memory(struct vcpu *vcpu, gpa_t address, uint64_t rip, uint64_t cr3, uint64_t access)
{
	const struct known_instruction *known = slot_of(vcpu, rip);
	const struct instruction *instruction;

	__asm__("" : "+r"(known)); /* found once, not at each use */
	instruction = &known->instruction;
	if (unlikely(!full_is_mmio(address) || !holds(known, rip, cr3)))
		return meet(vcpu, address, access);
	if (instruction->shape == SHAPE_STORE_REGISTER)
		full_mmio_write(vcpu, address, instruction->size, vcpu->regs.at[instruction->register_index]);
	else if (instruction->shape == SHAPE_STORE_VALUE)
		full_mmio_write(vcpu, address, instruction->size, instruction->value);
	else
		return execute_known(vcpu, address, instruction);
	return instruction->length;
}
