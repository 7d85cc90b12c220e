/*
 * Decodes the instructions a guest uses on device registers: moves, arithmetic and logic, compare, test,
 * single bits, exchange and strings, in every encoding. Left out is what belongs to locks (XADD, CMPXCHG).
 * One table row an opcode says what it does; then prefixes, opcode, ModRM with SIB and displacement, and
 * immediate are taken in their order (SDM 2A, chapter 2 and appendix A).
 */
#include "arch/x86/decode.h"
#include "hv/core/vcpu.h"

/* A row: the operation, and flags. 0: not an instruction we take. */
#define OPERATION_MASK 0x0000001Fu /* enum mmio_operation */
#define KNOWN	       0x00000020u
#define BYTE	       0x00000040u /* operands are bytes, not of the operand size */
#define TO_REGISTER    0x00000080u /* the register is the first operand */
#define IMMEDIATE_BYTE 0x00000100u /* an immediate byte follows */
#define IMMEDIATE_FULL 0x00000200u /* one of the operand size, at most 4 bytes */
#define OFFSET	       0x00000400u /* no ModRM: an address follows, and the register is the accumulator */
#define PREFIX	       0x00000800u
#define REX_PREFIX     0x00001000u /* in 64-bit code */
#define SIGN_EXTEND    0x00002000u
#define FROM_BYTE      0x00004000u /* the memory operand of an extending move */
#define FROM_WORD      0x00008000u
#define FROM_DOUBLE    0x00010000u /* 64-bit code only */
#define STRING	       0x00020000u /* no operand to decode */
/* ModRM.reg says which operation of a group it is. */
#define GROUP_SHIFT 18
#define GROUP_1	    (1u << GROUP_SHIFT) /* ADD .. CMP */
#define GROUP_3	    (2u << GROUP_SHIFT) /* TEST, NOT, NEG */
#define GROUP_4_5   (3u << GROUP_SHIFT) /* INC, DEC */
#define GROUP_8	    (4u << GROUP_SHIFT) /* BT .. BTC */
#define GROUP_11    (5u << GROUP_SHIFT) /* MOV */
#define GROUP_MASK  (7u << GROUP_SHIFT)
#define EXTENDS	    (FROM_BYTE | FROM_WORD | FROM_DOUBLE)

/* The four forms of an operation that stand at opcode .. opcode + 3. */
#define FOUR(opcode, operation)                                                                              \
	[opcode] = KNOWN | BYTE | (operation), [(opcode) + 1] = KNOWN | (operation),                         \
	[(opcode) + 2] = KNOWN | BYTE | TO_REGISTER | (operation),                                           \
	[(opcode) + 3] = KNOWN | TO_REGISTER | (operation)

static const uint32_t one_byte[256] = {
	FOUR(0x00, MMIO_ADD),
	FOUR(0x08, MMIO_OR),
	FOUR(0x10, MMIO_ADD_CARRY),
	FOUR(0x18, MMIO_SUB_BORROW),
	FOUR(0x20, MMIO_AND),
	FOUR(0x28, MMIO_SUB),
	FOUR(0x30, MMIO_XOR),
	FOUR(0x38, MMIO_COMPARE),
	[0x26] = PREFIX,
	[0x2E] = PREFIX,
	[0x36] = PREFIX,
	[0x3E] = PREFIX,
	[0x64] = PREFIX,
	[0x65] = PREFIX,
	[0x66] = PREFIX,
	[0x67] = PREFIX,
	[0xF0] = PREFIX,
	[0xF2] = PREFIX,
	[0xF3] = PREFIX,
	[0x40 ... 0x4F] = REX_PREFIX,
	[0x63] = KNOWN | TO_REGISTER | SIGN_EXTEND | FROM_DOUBLE | MMIO_LOAD,
	[0x80] = KNOWN | BYTE | IMMEDIATE_BYTE | GROUP_1,
	[0x81] = KNOWN | IMMEDIATE_FULL | GROUP_1,
	[0x83] = KNOWN | IMMEDIATE_BYTE | GROUP_1,
	[0x84] = KNOWN | BYTE | MMIO_TEST,
	[0x85] = KNOWN | MMIO_TEST,
	[0x86] = KNOWN | BYTE | MMIO_EXCHANGE,
	[0x87] = KNOWN | MMIO_EXCHANGE,
	[0x88] = KNOWN | BYTE | MMIO_STORE,
	[0x89] = KNOWN | MMIO_STORE,
	[0x8A] = KNOWN | BYTE | TO_REGISTER | MMIO_LOAD,
	[0x8B] = KNOWN | TO_REGISTER | MMIO_LOAD,
	[0xA0] = KNOWN | BYTE | TO_REGISTER | OFFSET | MMIO_LOAD,
	[0xA1] = KNOWN | TO_REGISTER | OFFSET | MMIO_LOAD,
	[0xA2] = KNOWN | BYTE | OFFSET | MMIO_STORE,
	[0xA3] = KNOWN | OFFSET | MMIO_STORE,
	[0xA4] = KNOWN | BYTE | STRING | MMIO_MOVE_STRING,
	[0xA5] = KNOWN | STRING | MMIO_MOVE_STRING,
	[0xAA] = KNOWN | BYTE | STRING | MMIO_STORE_STRING,
	[0xAB] = KNOWN | STRING | MMIO_STORE_STRING,
	[0xAC] = KNOWN | BYTE | STRING | MMIO_LOAD_STRING,
	[0xAD] = KNOWN | STRING | MMIO_LOAD_STRING,
	[0xC6] = KNOWN | BYTE | IMMEDIATE_BYTE | GROUP_11,
	[0xC7] = KNOWN | IMMEDIATE_FULL | GROUP_11,
	[0xF6] = KNOWN | BYTE | IMMEDIATE_BYTE | GROUP_3,
	[0xF7] = KNOWN | IMMEDIATE_FULL | GROUP_3,
	[0xFE] = KNOWN | BYTE | GROUP_4_5,
	[0xFF] = KNOWN | GROUP_4_5,
};

static const uint32_t two_byte[256] = {
	[0xA3] = KNOWN | MMIO_BIT_TEST,
	[0xAB] = KNOWN | MMIO_BIT_SET,
	[0xB3] = KNOWN | MMIO_BIT_RESET,
	[0xB6] = KNOWN | TO_REGISTER | FROM_BYTE | MMIO_LOAD,
	[0xB7] = KNOWN | TO_REGISTER | FROM_WORD | MMIO_LOAD,
	[0xBA] = KNOWN | IMMEDIATE_BYTE | GROUP_8,
	[0xBB] = KNOWN | MMIO_BIT_COMPLEMENT,
	[0xBE] = KNOWN | TO_REGISTER | SIGN_EXTEND | FROM_BYTE | MMIO_LOAD,
	[0xBF] = KNOWN | TO_REGISTER | SIGN_EXTEND | FROM_WORD | MMIO_LOAD,
};

#define ESCAPE		  0x0Fu
#define OPERAND_SIZE	  0x66u
#define ADDRESS_SIZE	  0x67u
#define LOCK		  0xF0u
#define REPEAT_FIRST	  0xF2u /* and F3h: the same for strings that compare nothing */
#define SEGMENT_PREFIX	  0x26u /* ES, CS, SS, DS in bits 4:3 */
#define SEGMENT_PREFIX_FS 0x64u /* GS: 65h */
#define SEGMENT_NUMBER_DS 3	/* as in enum segment_index */
#define SEGMENT_NUMBER_FS 4
#define REX_W		  0x08u
#define REX_R		  0x04u
#define NOT_IN_GROUP	  0xFFu

/* By ModRM.reg (SDM 2D, table A-6). INC and DEC are all that is taken of group 5. */
#define NONE NOT_IN_GROUP
static const uint8_t groups[][8] = {
	[GROUP_1 >> GROUP_SHIFT] = {MMIO_ADD, MMIO_OR, MMIO_ADD_CARRY, MMIO_SUB_BORROW, MMIO_AND, MMIO_SUB,
				    MMIO_XOR, MMIO_COMPARE},
	[GROUP_3 >> GROUP_SHIFT] = {MMIO_TEST, MMIO_TEST, MMIO_NOT, MMIO_NEGATE, NONE, NONE, NONE, NONE},
	[GROUP_4_5 >> GROUP_SHIFT] = {MMIO_INCREMENT, MMIO_DECREMENT, NONE, NONE, NONE, NONE, NONE, NONE},
	[GROUP_8 >> GROUP_SHIFT] = {NONE, NONE, NONE, NONE, MMIO_BIT_TEST, MMIO_BIT_SET, MMIO_BIT_RESET,
				    MMIO_BIT_COMPLEMENT},
	[GROUP_11 >> GROUP_SHIFT] = {MMIO_STORE, NONE, NONE, NONE, NONE, NONE, NONE, NONE},
};

static bool has_one_operand(unsigned operation)
{
	return operation >= MMIO_INCREMENT && operation <= MMIO_NEGATE;
}

/* What stands for the second one. */
static uint64_t implied_value(unsigned operation)
{
	if (operation == MMIO_NOT)
		return UINT64_MAX;
	return operation != MMIO_NEGATE; /* 1 to add or subtract, or 0 to subtract from */
}

/* Operations that may carry LOCK when memory is their destination. */
#define LOCKABLE                                                                                             \
	(1u << MMIO_AND | 1u << MMIO_OR | 1u << MMIO_XOR | 1u << MMIO_ADD | 1u << MMIO_ADD_CARRY |           \
	 1u << MMIO_SUB | 1u << MMIO_SUB_BORROW | 1u << MMIO_EXCHANGE | 1u << MMIO_BIT_SET |                 \
	 1u << MMIO_BIT_RESET | 1u << MMIO_BIT_COMPLEMENT | 1u << MMIO_INCREMENT | 1u << MMIO_DECREMENT |    \
	 1u << MMIO_NOT | 1u << MMIO_NEGATE)

struct reader {
	const uint8_t *bytes;
	size_t available, at;
	enum code_size code;
	bool operand_prefix, address_prefix, lock, repeat;
	uint8_t rex;
	uint8_t segment; /* by prefix, else DS */
	uint32_t row;	 /* of the opcode */
};

/* In 64-bit code only FS and GS count, and the others do not undo them. */
static void take_segment(struct reader *reader, uint8_t byte)
{
	const bool old = (byte & 0xE7) == SEGMENT_PREFIX, new = (byte & 0xFE) == SEGMENT_PREFIX_FS;

	if (new)
		reader->segment = (uint8_t)(SEGMENT_NUMBER_FS + (byte & 1));
	else if (old && reader->code != CODE_64)
		reader->segment = byte >> 3 & 3;
}

static void take_prefix(struct reader *reader, uint8_t byte)
{
	reader->rex = 0; /* REX counts only right before the opcode */
	reader->operand_prefix |= byte == OPERAND_SIZE;
	reader->address_prefix |= byte == ADDRESS_SIZE;
	reader->lock |= byte == LOCK;
	reader->repeat |= (byte & ~1u) == REPEAT_FIRST;
	take_segment(reader, byte);
}

/* Prefixes and opcode. */
static enum status take_opcode(struct reader *reader)
{
	while (reader->at < reader->available) {
		const uint8_t byte = reader->bytes[reader->at++];

		reader->row = one_byte[byte];
		if (reader->row & PREFIX) {
			take_prefix(reader, byte);
			continue;
		}
		if ((reader->row & REX_PREFIX) && reader->code == CODE_64) {
			reader->rex = byte;
			continue;
		}
		if (byte == ESCAPE) {
			if (reader->at == reader->available)
				return ERR_FORMAT;
			reader->row = two_byte[reader->bytes[reader->at++]];
		}
		return reader->row & KNOWN ? OK : ERR_UNSUPPORTED;
	}
	return ERR_FORMAT;
}

/* Bytes of ModRM, SIB and displacement of a memory operand (tables 2-1 to 2-3). */
static unsigned modrm_length(uint8_t modrm, uint8_t sib, bool address16)
{
	static const uint8_t displacement[4] = {0, 1, 4, 0};
	const unsigned mode = modrm >> 6, base = modrm & 7;

	if (address16)
		return mode == 0 ? (base == 6 ? 3 : 1) : 1 + mode;
	if (base == 4) /* SIB */
		return 2u + (mode == 0 && (sib & 7) == 5 ? 4 : displacement[mode]);
	return 1u + (mode == 0 && base == 5 ? 4 : displacement[mode]);
}

static uint64_t signed_value(const uint8_t *bytes, unsigned size)
{
	if (size == 1)
		return (uint64_t)(int8_t)bytes[0];
	if (size == 2)
		return (uint64_t)(int16_t)(bytes[0] | bytes[1] << 8);
	return (uint64_t)(int32_t)((uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
				   (uint32_t)bytes[3] << 24);
}

/* The operation, where ModRM.reg takes part in saying it; NOT_IN_GROUP: not one we take. */
static unsigned operation_of(uint32_t row, unsigned reg)
{
	return row & GROUP_MASK ? groups[(row & GROUP_MASK) >> GROUP_SHIFT][reg] : row & OPERATION_MASK;
}

static unsigned immediate_size(uint32_t row, unsigned size)
{
	if (row & IMMEDIATE_BYTE)
		return 1;
	return row & IMMEDIATE_FULL ? MIN(size, 4u) : 0;
}

/* Bytes of the memory operand of an extending move; 0: not one we take. */
static unsigned extension_source(const struct reader *reader)
{
	if (reader->row & FROM_BYTE)
		return 1;
	if (reader->row & FROM_WORD)
		return 2;
	/* MOVSXD: 63h is another instruction outside 64-bit code, and with a 66h prefix CPUs differ. */
	return reader->code == CODE_64 && !(reader->operand_prefix && !(reader->rex & REX_W)) ? 4 : 0;
}

static enum status take_sizes(const struct reader *reader, struct instruction *out)
{
	unsigned operand_size = (reader->code == CODE_16) != reader->operand_prefix ? 2 : 4;

	if (reader->rex & REX_W)
		operand_size = 8;
	out->register_size = (uint8_t)(reader->row & BYTE ? 1 : operand_size);
	out->size = (uint8_t)(reader->row & EXTENDS ? extension_source(reader) : out->register_size);
	return out->size ? OK : ERR_UNSUPPORTED;
}

static bool has_16_bit_addresses(const struct reader *reader)
{
	return reader->code == CODE_16 ? !reader->address_prefix
				       : reader->code == CODE_32 && reader->address_prefix;
}

/* The accumulator and an address. */
static void take_offset(struct reader *reader, struct instruction *out)
{
	out->operation = reader->row & OPERATION_MASK;
	out->register_index = RAX;
	out->high_byte = false;
	if (has_16_bit_addresses(reader))
		reader->at += 2;
	else
		reader->at += reader->code == CODE_64 && !reader->address_prefix ? 8 : 4;
}

static void take_string(const struct reader *reader, struct instruction *out)
{
	out->operation = reader->row & OPERATION_MASK;
	out->register_index = RAX;
	out->high_byte = false;
	out->repeat = reader->repeat;
	out->segment = reader->segment;
	if (has_16_bit_addresses(reader))
		out->address_size = 2;
	else
		out->address_size = reader->code == CODE_64 && !reader->address_prefix ? 8 : 4;
}

/* A register, or the rest of the opcode, and a memory operand. */
static enum status take_modrm(struct reader *reader, struct instruction *out)
{
	const uint8_t modrm = reader->at < reader->available ? reader->bytes[reader->at] : 0;
	const uint8_t sib = reader->at + 1 < reader->available ? reader->bytes[reader->at + 1] : 0;
	const unsigned reg = modrm >> 3 & 7, operation = operation_of(reader->row, reg);

	if (reader->at == reader->available)
		return ERR_FORMAT;
	if (modrm >> 6 == 3 || operation == NOT_IN_GROUP)
		return ERR_UNSUPPORTED; /* no memory operand, or none of ours */
	reader->at += modrm_length(modrm, sib, has_16_bit_addresses(reader));
	out->operation = (uint8_t)operation;
	out->high_byte = (reader->row & BYTE) && !reader->rex && reg >= RSP;
	out->register_index = (uint8_t)(out->high_byte ? reg - RSP : reg | (reader->rex & REX_R ? 8 : 0));
	return OK;
}

static enum status take_immediate(struct reader *reader, struct instruction *out)
{
	const bool one_operand = has_one_operand(out->operation);
	const unsigned size = one_operand ? 0 : immediate_size(reader->row, out->size);

	if (reader->at + size > reader->available)
		return ERR_FORMAT;
	out->immediate = size || one_operand;
	out->value = size ? signed_value(reader->bytes + reader->at, size) : implied_value(out->operation);
	reader->at += size;
	return OK;
}

static enum mmio_shape shape_of(const struct instruction *instruction)
{
	const bool store = instruction->operation == MMIO_STORE;

	if (!store && instruction->operation != MMIO_LOAD)
		return SHAPE_OTHER;
	if (store && instruction->immediate)
		return SHAPE_STORE_VALUE;
	if (instruction->high_byte || instruction->register_index == RSP)
		return SHAPE_OTHER;
	if (store)
		return SHAPE_STORE_REGISTER;
	return instruction->size == 4 && instruction->register_size == 4 ? SHAPE_LOAD_32 : SHAPE_OTHER;
}

enum status decode_mmio(const uint8_t *bytes, size_t available, enum code_size code, struct instruction *out)
{
	struct reader reader = {.bytes = bytes,
				.available = MIN(available, (size_t)INSTRUCTION_MAX),
				.code = code,
				.segment = SEGMENT_NUMBER_DS};
	enum status status = take_opcode(&reader);

	if (!status)
		status = take_sizes(&reader, out);
	if (!status && (reader.row & OFFSET))
		take_offset(&reader, out);
	else if (!status && (reader.row & STRING))
		take_string(&reader, out);
	else if (!status)
		status = take_modrm(&reader, out);
	if (!status)
		status = take_immediate(&reader, out);
	if (status)
		return status;
	out->memory_first = !(reader.row & TO_REGISTER);
	out->sign_extend = reader.row & SIGN_EXTEND;
	out->length = (uint8_t)reader.at;
	out->shape = (uint8_t)shape_of(out);
	if (reader.lock && !(out->memory_first && LOCKABLE >> (out->operation & OPERATION_MASK) & 1))
		return ERR_UNSUPPORTED; /* #UD before it gets here */
	return OK;
}

unsigned decode_length(const uint8_t *bytes, size_t available, enum code_size code, const uint8_t *opcode,
		       size_t opcode_size)
{
	const size_t limit = MIN(available, (size_t)INSTRUCTION_MAX);
	size_t at = 0;

	while (at < limit &&
	       ((one_byte[bytes[at]] & PREFIX) || (code == CODE_64 && (one_byte[bytes[at]] & REX_PREFIX))))
		at++;
	if (at + opcode_size > limit)
		return 0;
	for (size_t i = 0; i < opcode_size; i++)
		if (bytes[at + i] != opcode[i])
			return 0;
	return (unsigned)(at + opcode_size);
}
