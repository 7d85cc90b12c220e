/*
 * What Zydis says of an instruction, put into our terms.
 */
#include <Zydis/Zydis.h>
#include "hv/core/vcpu.h"
#include "tests/unit/zydis_check.h"

#define NOT_OURS 0xFFu

struct second_opinion {
	ZydisDecodedInstruction instruction;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
	const ZydisDecodedOperand *memory, *other; /* the two explicit operands; of some the first one only */
	const ZydisDecodedOperand *source; /* of a string: what a prefix can move to another segment */
};

static bool decode(const uint8_t *bytes, size_t size, enum code_size code, struct second_opinion *out)
{
	const ZydisMachineMode mode = code == CODE_64	? ZYDIS_MACHINE_MODE_LONG_64
				      : code == CODE_32 ? ZYDIS_MACHINE_MODE_LEGACY_32
							: ZYDIS_MACHINE_MODE_LEGACY_16;
	const ZydisStackWidth width = code == CODE_64	? ZYDIS_STACK_WIDTH_64
				      : code == CODE_32 ? ZYDIS_STACK_WIDTH_32
							: ZYDIS_STACK_WIDTH_16;
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, mode, width);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, size, &out->instruction, out->operand)))
		return false;
	out->memory = out->other = NULL;
	for (unsigned i = 0; i < out->instruction.operand_count_visible; i++) {
		if (out->operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			out->memory = &out->operand[i];
		else
			out->other = &out->operand[i];
	}
	out->source = NULL;
	for (unsigned i = 0; i < out->instruction.operand_count; i++)
		if (out->operand[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (out->operand[i].actions & ZYDIS_OPERAND_ACTION_MASK_READ))
			out->source = &out->operand[i];
	return true;
}

static unsigned string_operation(const struct second_opinion *decoded)
{
	if (decoded->instruction.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return NOT_OURS; /* MOVSD of SSE2 */
	switch (decoded->instruction.mnemonic) {
	case ZYDIS_MNEMONIC_STOSB:
	case ZYDIS_MNEMONIC_STOSW:
	case ZYDIS_MNEMONIC_STOSD:
	case ZYDIS_MNEMONIC_STOSQ: return MMIO_STORE_STRING;
	case ZYDIS_MNEMONIC_LODSB:
	case ZYDIS_MNEMONIC_LODSW:
	case ZYDIS_MNEMONIC_LODSD:
	case ZYDIS_MNEMONIC_LODSQ: return MMIO_LOAD_STRING;
	case ZYDIS_MNEMONIC_MOVSB:
	case ZYDIS_MNEMONIC_MOVSW:
	case ZYDIS_MNEMONIC_MOVSD:
	case ZYDIS_MNEMONIC_MOVSQ: return MMIO_MOVE_STRING;
	default: return NOT_OURS;
	}
}

static unsigned operation_of(const struct second_opinion *decoded)
{
	const bool memory_first = decoded->memory == &decoded->operand[0];

	switch (decoded->instruction.mnemonic) {
	case ZYDIS_MNEMONIC_MOV: return memory_first ? MMIO_STORE : MMIO_LOAD;
	case ZYDIS_MNEMONIC_MOVZX:
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD: return MMIO_LOAD;
	case ZYDIS_MNEMONIC_AND: return MMIO_AND;
	case ZYDIS_MNEMONIC_OR: return MMIO_OR;
	case ZYDIS_MNEMONIC_XOR: return MMIO_XOR;
	case ZYDIS_MNEMONIC_ADD: return MMIO_ADD;
	case ZYDIS_MNEMONIC_ADC: return MMIO_ADD_CARRY;
	case ZYDIS_MNEMONIC_SUB: return MMIO_SUB;
	case ZYDIS_MNEMONIC_SBB: return MMIO_SUB_BORROW;
	case ZYDIS_MNEMONIC_CMP: return MMIO_COMPARE;
	case ZYDIS_MNEMONIC_TEST: return MMIO_TEST;
	case ZYDIS_MNEMONIC_XCHG: return MMIO_EXCHANGE;
	case ZYDIS_MNEMONIC_BT: return MMIO_BIT_TEST;
	case ZYDIS_MNEMONIC_BTS: return MMIO_BIT_SET;
	case ZYDIS_MNEMONIC_BTR: return MMIO_BIT_RESET;
	case ZYDIS_MNEMONIC_BTC: return MMIO_BIT_COMPLEMENT;
	case ZYDIS_MNEMONIC_INC: return MMIO_INCREMENT;
	case ZYDIS_MNEMONIC_DEC: return MMIO_DECREMENT;
	case ZYDIS_MNEMONIC_NOT: return MMIO_NOT;
	case ZYDIS_MNEMONIC_NEG: return MMIO_NEGATE;
	default: return NOT_OURS;
	}
}

static bool has_one_operand(unsigned operation)
{
	return operation == MMIO_INCREMENT || operation == MMIO_DECREMENT || operation == MMIO_NOT ||
	       operation == MMIO_NEGATE;
}

static bool general_register(ZydisRegister which, unsigned *index, bool *high)
{
	const ZydisRegisterClass class = ZydisRegisterGetClass(which);
	const ZyanI8 id = ZydisRegisterGetId(which);

	*high = false;
	*index = (unsigned)id;
	switch (class) {
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64: return true;
	case ZYDIS_REGCLASS_GPR8: /* AL..BL, AH..BH, SPL..DIL, R8B.. */
		*index = (unsigned)(which - ZYDIS_REGISTER_AL);
		*high = *index >= 4 && *index < 8;
		if (*index >= 4)
			*index -= 4;
		return true;
	default: return false;
	}
}

/* Instructions Zydis knows and we leave out on purpose. */
static bool left_out(const struct second_opinion *decoded)
{
	const ZydisDecodedInstruction *instruction = &decoded->instruction;

	if (instruction->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && instruction->opcode == 0x82)
		return true; /* an alias of 80h nobody emits */
	return instruction->mnemonic == ZYDIS_MNEMONIC_MOVSXD && decoded->other &&
	       decoded->other->size == 16; /* CPUs differ */
}

static bool expected(const struct second_opinion *decoded)
{
	unsigned index;
	bool high;

	if (!decoded->memory || operation_of(decoded) == NOT_OURS || left_out(decoded))
		return false;
	if (decoded->instruction.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY)
		return false;
	if (!decoded->other)
		return has_one_operand(operation_of(decoded));
	if (decoded->other->type == ZYDIS_OPERAND_TYPE_REGISTER)
		return general_register(decoded->other->reg.value, &index, &high);
	return decoded->other->type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

static const char *compare_source(const struct second_opinion *theirs, const struct instruction *ours)
{
	unsigned index;
	bool high;

	if (!theirs->other)
		return ours->immediate && ours->memory_first ? NULL : "one operand";
	if (theirs->other->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		/* The number of a bit is a byte without a sign; only its low bits count. */
		const unsigned size = theirs->instruction.opcode_map == ZYDIS_OPCODE_MAP_0F ? 1 : ours->size;
		const uint64_t mask = size == 8 ? UINT64_MAX : (1ull << 8 * size) - 1;

		if (!ours->immediate)
			return "immediate or register";
		return (ours->value & mask) == (theirs->other->imm.value.u & mask) ? NULL : "immediate value";
	}
	if (ours->immediate)
		return "immediate or register";
	if (!general_register(theirs->other->reg.value, &index, &high))
		return "kind of register";
	if (ours->register_index != index || ours->high_byte != high)
		return "register";
	return ours->register_size * 8 == theirs->other->size ? NULL : "register size";
}

static const char *compare(const struct second_opinion *theirs, const struct instruction *ours)
{
	const ZydisMnemonic mnemonic = theirs->instruction.mnemonic;
	const bool sign_extend = mnemonic == ZYDIS_MNEMONIC_MOVSX || mnemonic == ZYDIS_MNEMONIC_MOVSXD;

	if (ours->length != theirs->instruction.length)
		return "length";
	if (ours->operation != operation_of(theirs))
		return "operation";
	if (ours->size * 8 != theirs->memory->size)
		return "memory size";
	if (ours->sign_extend != sign_extend)
		return "sign extension";
	if (ours->operation != MMIO_TEST && ours->operation != MMIO_EXCHANGE &&
	    ours->memory_first != (theirs->memory == &theirs->operand[0]))
		return "operand order";
	return compare_source(theirs, ours);
}

static const char *compare_string(const struct second_opinion *theirs, const struct instruction *ours)
{
	const ZyanU64 repeats = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPNE | ZYDIS_ATTRIB_HAS_REPE;
	const bool repeat = theirs->instruction.attributes & repeats;

	if (ours->length != theirs->instruction.length)
		return "length";
	if (ours->operation != string_operation(theirs))
		return "operation";
	if (ours->size * 8 != theirs->operand[0].size)
		return "size";
	if (ours->address_size * 8 != theirs->instruction.address_width)
		return "address size";
	if (ours->repeat != repeat)
		return "repetition";
	if (ours->operation == MMIO_STORE_STRING)
		return NULL;
	if (!theirs->source ||
	    theirs->source->mem.segment != (ZydisRegister)(ZYDIS_REGISTER_ES + ours->segment))
		return "segment";
	return NULL;
}

const char *zydis_check(const uint8_t *bytes, size_t size, enum code_size code)
{
	struct instruction ours;
	struct second_opinion theirs;
	const enum status status = decode_mmio(bytes, size, code, &ours);
	const bool valid = decode(bytes, size, code, &theirs);
	const bool string = valid && string_operation(&theirs) != NOT_OURS;
	const bool known = string || (valid && expected(&theirs));

	if (status != OK)
		return known ? "Zydis knows it, we do not" : NULL;
	if (string)
		return compare_string(&theirs, &ours);
	return known ? compare(&theirs, &ours) : "we take it, Zydis does not";
}
