/*
 * The instruction decoder: lengths and operands of what a guest can trap on, from bytes alone (no guest state
 * but the mode). And the guest's own page walk, to fetch those bytes. Both are pure and host-tested.
 */
#pragma once

#include "hv/lib/status.h"

#define INSTRUCTION_MAX 15

enum code_size { CODE_16 = 2, CODE_32 = 4, CODE_64 = 8 }; /* default size of the code segment */

enum mmio_operation {
	MMIO_LOAD,
	MMIO_STORE,
	MMIO_AND,
	MMIO_OR,
	MMIO_XOR,
	MMIO_ADD,
	MMIO_ADD_CARRY,
	MMIO_SUB,
	MMIO_SUB_BORROW,
	MMIO_COMPARE,
	MMIO_TEST,
	/* Of one operand: `value` is the other one of the addition, subtraction or XOR that they are. */
	MMIO_INCREMENT,
	MMIO_DECREMENT,
	MMIO_NOT,
	MMIO_NEGATE,
	/* The number of the bit is taken modulo the size: what is above it is in the address already. */
	MMIO_BIT_TEST,
	MMIO_BIT_SET,
	MMIO_BIT_RESET,
	MMIO_BIT_COMPLEMENT,
	MMIO_EXCHANGE,
	MMIO_STORE_STRING, /* STOS, LODS, MOVS: RAX, RSI and RDI are understood */
	MMIO_LOAD_STRING,
	MMIO_MOVE_STRING
};

/* The kinds of MOV drivers are made of, told apart so that they can be carried out without looking further.
 */
enum mmio_shape {
	SHAPE_OTHER,
	SHAPE_STORE_REGISTER, /* the whole of it, or its low bytes; not RSP */
	SHAPE_STORE_VALUE,
	SHAPE_LOAD_32 /* to a register of 32 bits; not RSP */
};

struct instruction {
	uint8_t length;
	uint8_t operation;	/* enum mmio_operation */
	uint8_t size;		/* bytes accessed in memory: 1, 2, 4, 8 */
	uint8_t register_size;	/* bytes of the register operand (MOVZX/MOVSX differ from size) */
	uint8_t register_index; /* RAX.. (enum in vcpu.h); for byte registers AH..BH: high_byte */
	bool high_byte;		/* AH, CH, DH, BH */
	bool sign_extend;
	bool immediate;	   /* the source is `value`, not a register */
	bool memory_first; /* memory is the first operand: the destination, and what COMPARE subtracts from */
	uint8_t shape;	   /* enum mmio_shape */
	/* Strings. */
	bool repeat;
	uint8_t address_size; /* 2, 4, 8 bytes */
	uint8_t segment;      /* of the source: enum segment_index */
	uint64_t value;	      /* sign-extended */
};

/* Decodes an instruction with one memory operand. ERR_UNSUPPORTED: not one we emulate; ERR_FORMAT: runs past
 * `available`. */
enum status decode_mmio(const uint8_t *bytes, size_t available, enum code_size code,
			struct instruction *out) MUST_CHECK;

/* Length of prefixes + `opcode` at bytes, or 0 when that is not what stands there. */
unsigned decode_length(const uint8_t *bytes, size_t available, enum code_size code, const uint8_t *opcode,
		       size_t opcode_size);

/* Guest paging as CR0, CR3, CR4, EFER say: none, 32-bit, PAE, 4-level. */
struct guest_paging {
	uint64_t cr0, cr3, cr4, efer;
	bool user, write, fetch; /* access wanted */
	bool alignment_check;	 /* RFLAGS.AC: lifts CR4.SMAP */
	uint32_t pkru;		 /* the rights of protection keys; looked at with CR4.PKE only */
};
/* Reads 8 (PAE, 4-level) or 4 bytes of a guest page table; false: not memory of the guest. */
typedef bool guest_read_fn(void *context, gpa_t address, void *to, size_t size);
/*
 * ERR_NOT_FOUND: not mapped or not allowed; *error is the #PF error code then. ERR_RANGE: a table is not
 * memory of the guest. Accessed and dirty bits stay as they are.
 */
enum status guest_translate(const struct guest_paging *paging, uint64_t linear, guest_read_fn *read,
			    void *context, gpa_t *address, uint32_t *error) MUST_CHECK;
