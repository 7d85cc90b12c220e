/*
 * What an instruction computes of a device register, against the CPU this test runs on: each operation in
 * each size, to memory and to a register, with immediates as they are encoded. Flags that the manual leaves
 * undefined are not compared (SDM 2, the instructions' pages).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hv/core/arithmetic.h"

#define CARRY	 0x001u
#define STATUS	 0x8D5u
#define LOGIC	 (STATUS & ~0x10u) /* AF is undefined */
#define ALL_BITS UINT64_MAX

/* The instruction on this CPU, with CF as given; returns the flags after it. */
typedef uint64_t native_fn(uint64_t *first, uint64_t second, uint64_t carry);

#define NATIVE(name, type, text)                                                                             \
	static uint64_t name(uint64_t *first, uint64_t second, uint64_t carry)                               \
	{                                                                                                    \
		type value = (type)*first;                                                                   \
		uint64_t flags;                                                                              \
		__asm__("btq $0, %3; " text "; pushfq; pop %1"                                               \
			: "+&r"(value), "=&r"(flags)                                                         \
			: "r"((type)second), "r"(carry)                                                      \
			: "cc");                                                                             \
		*first = value;                                                                              \
		return flags;                                                                                \
	}
#define WIDE(name, operands)                                                                                 \
	NATIVE(name##_2, uint16_t, #name "w " operands)                                                      \
	NATIVE(name##_4, uint32_t, #name "l " operands)                                                      \
	NATIVE(name##_8, uint64_t, #name "q " operands)
#define ANY(name, operands)                                                                                  \
	NATIVE(name##_1, uint8_t, #name "b " operands)                                                       \
	WIDE(name, operands)

ANY(add, "%2, %0")
ANY(or, "%2, %0")
ANY(adc, "%2, %0")
ANY(sbb, "%2, %0")
ANY(and, "%2, %0")
ANY(sub, "%2, %0")
ANY(xor, "%2, %0")
ANY(cmp, "%2, %0")
ANY(test, "%2, %0")
ANY(inc, "%0")
ANY(dec, "%0")
ANY(not, "%0")
ANY(neg, "%0")
WIDE(bt, "%2, %0")
WIDE(bts, "%2, %0")
WIDE(btr, "%2, %0")
WIDE(btc, "%2, %0")

#define SIZES 4 /* 1, 2, 4, 8 bytes */
#define ROW(operation, name, operands, defined)                                                              \
	{                                                                                                    \
		operation, operands, defined,                                                                \
		{                                                                                            \
			name##_1, name##_2, name##_4, name##_8                                               \
		}                                                                                            \
	}
#define BIT_ROW(operation, name)                                                                             \
	{                                                                                                    \
		operation, ONE_WAY, CARRY,                                                                   \
		{                                                                                            \
			NULL, name##_2, name##_4, name##_8                                                   \
		}                                                                                            \
	}

enum operands { BOTH_WAYS, ONE_WAY, ONE_OPERAND };

/* The first eight in the order of group 1 (SDM 2D, table A-6). */
#define GROUP_1 8
static const struct row {
	enum mmio_operation operation;
	enum operands operands;
	uint64_t defined; /* flags; all others stay as they were but for STATUS */
	native_fn *native[SIZES];
} rows[] = {
	ROW(MMIO_ADD, add, BOTH_WAYS, STATUS),
	ROW(MMIO_OR, or, BOTH_WAYS, LOGIC),
	ROW(MMIO_ADD_CARRY, adc, BOTH_WAYS, STATUS),
	ROW(MMIO_SUB_BORROW, sbb, BOTH_WAYS, STATUS),
	ROW(MMIO_AND, and, BOTH_WAYS, LOGIC),
	ROW(MMIO_SUB, sub, BOTH_WAYS, STATUS),
	ROW(MMIO_XOR, xor, BOTH_WAYS, LOGIC),
	ROW(MMIO_COMPARE, cmp, BOTH_WAYS, STATUS),
	ROW(MMIO_TEST, test, ONE_WAY, LOGIC),
	ROW(MMIO_INCREMENT, inc, ONE_OPERAND, STATUS),
	ROW(MMIO_DECREMENT, dec, ONE_OPERAND, STATUS),
	ROW(MMIO_NOT, not, ONE_OPERAND, CARRY),
	ROW(MMIO_NEGATE, neg, ONE_OPERAND, STATUS),
	BIT_ROW(MMIO_BIT_TEST, bt),
	BIT_ROW(MMIO_BIT_SET, bts),
	BIT_ROW(MMIO_BIT_RESET, btr),
	BIT_ROW(MMIO_BIT_COMPLEMENT, btc),
};

/* The borders of each size, and some between. */
static const uint64_t values[] = {0,
				  1,
				  2,
				  0xF,
				  0x10,
				  0x7F,
				  0x80,
				  0xFF,
				  0x100,
				  0x7FFF,
				  0x8000,
				  0xFFFF,
				  0x7FFFFFFF,
				  0x80000000,
				  0xFFFFFFFF,
				  0x123456789ABCDEF0,
				  0x7FFFFFFFFFFFFFFF,
				  0x8000000000000000,
				  0xFEDCBA9876543210,
				  UINT64_MAX};

static uint64_t mask_of(unsigned size)
{
	return ALL_BITS >> (64 - 8 * size);
}

/* `second` as the row's own instruction has it; no flag beside those of STATUS may change, so all are set. */
static void compare(const struct row *row, const struct instruction *instruction, uint64_t memory,
		    uint64_t source, uint64_t carry)
{
	const unsigned size = instruction->size;
	const uint64_t before = (ALL_BITS & ~(uint64_t)CARRY) | carry;
	uint64_t expected = instruction->memory_first ? memory : source, flags = before;
	const uint64_t second = instruction->memory_first ? source : memory;
	const uint64_t native = row->native[__builtin_ctz(size)](&expected, second, carry);
	const uint64_t result = arithmetic(instruction, memory, source, &flags);

	if ((arithmetic_stores(row->operation) && result != (expected & mask_of(size))) ||
	    ((flags ^ native) & row->defined) || ((flags ^ before) & ~(uint64_t)STATUS))
		fail_msg("operation %u of %u bytes, %s first: %llx and %llx give %llx, flags %llx; the CPU "
			 "%llx, %llx",
			 row->operation, size, instruction->memory_first ? "memory" : "register",
			 (unsigned long long)memory, (unsigned long long)source, (unsigned long long)result,
			 (unsigned long long)(flags & STATUS), (unsigned long long)(expected & mask_of(size)),
			 (unsigned long long)(native & STATUS));
}

/* Bits above the size are of no account in either operand. */
static void compare_all(const struct row *row, unsigned size, bool memory_first)
{
	const struct instruction instruction = {
		.operation = (uint8_t)row->operation, .size = (uint8_t)size, .memory_first = memory_first};

	for (unsigned a = 0; a < ARRAY_SIZE(values); a++)
		for (unsigned b = 0; b < ARRAY_SIZE(values); b++)
			for (uint64_t carry = 0; carry < 2; carry++)
				compare(row, &instruction, values[a], values[b], carry);
}

static void in_every_size(void **state)
{
	(void)state;
	for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows); row++) {
		for (unsigned i = 0; i < SIZES; i++) {
			if (row->operands == ONE_OPERAND || !row->native[i])
				continue;
			compare_all(row, 1u << i, true);
			if (row->operands == BOTH_WAYS)
				compare_all(row, 1u << i, false);
		}
	}
}

/* An instruction from its bytes, so that its immediate is what the decoder makes of it. */
static void compare_decoded(const struct row *row, const uint8_t *bytes, size_t available)
{
	struct instruction instruction;

	assert_int_equal(decode_mmio(bytes, available, CODE_64, &instruction), OK);
	assert_int_equal(instruction.operation, row->operation);
	assert_true(instruction.immediate && instruction.memory_first);
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++)
		for (uint64_t carry = 0; carry < 2; carry++)
			compare(row, &instruction, values[i], instruction.value, carry);
}

/* Prefix 66h, none, REX.W, none: operands of 2, 4, 8 bytes, and of 1 by the opcode. */
static void with_prefix(const struct row *row, uint8_t opcode, unsigned reg, uint64_t immediate)
{
	static const uint8_t prefixes[] = {0x66, 0x3E, 0x48}; /* DS: changes nothing */

	for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++) {
		uint8_t bytes[INSTRUCTION_MAX] = {prefixes[i], opcode, (uint8_t)(reg << 3)}; /* on [rax] */

		for (unsigned byte = 0; byte < 4; byte++)
			bytes[3 + byte] = (uint8_t)(immediate >> 8 * byte);
		compare_decoded(row, bytes, sizeof(bytes));
	}
}

/* 83h and 80h take a byte, 81h up to four; all are sign-extended. */
static void immediates(void **state)
{
	static const uint8_t opcodes[] = {0x80, 0x81, 0x83}, tests[] = {0xF6, 0xF7};

	(void)state;
	for (unsigned v = 0; v < ARRAY_SIZE(values); v++) {
		for (unsigned operation = 0; operation < GROUP_1; operation++)
			for (unsigned i = 0; i < ARRAY_SIZE(opcodes); i++)
				with_prefix(&rows[operation], opcodes[i], operation, values[v]);
		for (unsigned i = 0; i < ARRAY_SIZE(tests); i++)
			with_prefix(&rows[GROUP_1], tests[i], i, values[v]); /* /0, and /1: the same */
	}
}

/* INC, DEC, NOT and NEG with the operand that the decoder thinks up for them. */
static void single_operands(void **state)
{
	static const struct {
		uint8_t opcode, reg;
		enum mmio_operation operation;
	} encodings[] = {{0xFE, 0, MMIO_INCREMENT}, {0xFE, 1, MMIO_DECREMENT}, {0xF6, 2, MMIO_NOT},
			 {0xF6, 3, MMIO_NEGATE},    {0xFF, 0, MMIO_INCREMENT}, {0xFF, 1, MMIO_DECREMENT},
			 {0xF7, 2, MMIO_NOT},	    {0xF7, 3, MMIO_NEGATE}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(encodings); i++)
		for (const struct row *row = rows; row < rows + ARRAY_SIZE(rows); row++)
			if (row->operation == encodings[i].operation)
				with_prefix(row, encodings[i].opcode, encodings[i].reg, 0);
}

/* The number of a bit as a byte: modulo the size, however large. */
static void numbered_bits(void **state)
{
	static const uint8_t prefixes[] = {0x66, 0x3E, 0x48};
	const struct row *first = &rows[ARRAY_SIZE(rows) - 4];

	(void)state;
	for (unsigned number = 0; number < 256; number++)
		for (unsigned i = 0; i < ARRAY_SIZE(prefixes); i++)
			for (unsigned reg = 4; reg < 8; reg++)
				compare_decoded(&first[reg - 4],
						(const uint8_t[]){prefixes[i], 0x0F, 0xBA,
								  (uint8_t)(reg << 3), (uint8_t)number},
						5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(in_every_size), cmocka_unit_test(immediates),
					   cmocka_unit_test(single_operands),
					   cmocka_unit_test(numbered_bits)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
