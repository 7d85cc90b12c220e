/*
 * One way for all: two numbers are added, subtracted or combined bit by bit, and a table says what an
 * operation adds to that.
 */
#include "hv/core/arithmetic.h"

#define FLAG_CARRY    (1ull << 0)
#define FLAG_PARITY   (1ull << 2)
#define FLAG_ADJUST   (1ull << 4)
#define FLAG_ZERO     (1ull << 6)
#define FLAG_SIGN     (1ull << 7)
#define FLAG_OVERFLOW (1ull << 11)
#define FLAGS_STATUS  (FLAG_CARRY | FLAG_PARITY | FLAG_ADJUST | FLAG_ZERO | FLAG_SIGN | FLAG_OVERFLOW)

enum kind { AND, OR, XOR, SUM, DIFFERENCE, AND_NOT };
#define KIND_MASK   0x07u
#define CARRIES	    0x08u /* CF takes part */
#define FLAGS_ONLY  0x10u
#define CARRY_STAYS 0x20u
#define NO_FLAGS    0x40u
#define FROM_SOURCE 0x80u  /* memory is what is subtracted */
#define ONE_BIT	    0x100u /* of memory; CF becomes what it was */

static const uint16_t rows[] = {
	[MMIO_AND] = AND,
	[MMIO_OR] = OR,
	[MMIO_XOR] = XOR,
	[MMIO_ADD] = SUM,
	[MMIO_ADD_CARRY] = SUM | CARRIES,
	[MMIO_SUB] = DIFFERENCE,
	[MMIO_SUB_BORROW] = DIFFERENCE | CARRIES,
	[MMIO_COMPARE] = DIFFERENCE | FLAGS_ONLY,
	[MMIO_TEST] = AND | FLAGS_ONLY,
	[MMIO_INCREMENT] = SUM | CARRY_STAYS,
	[MMIO_DECREMENT] = DIFFERENCE | CARRY_STAYS,
	[MMIO_NOT] = XOR | NO_FLAGS,
	[MMIO_NEGATE] = DIFFERENCE | FROM_SOURCE,
	[MMIO_BIT_TEST] = AND | ONE_BIT | FLAGS_ONLY,
	[MMIO_BIT_SET] = OR | ONE_BIT,
	[MMIO_BIT_RESET] = AND_NOT | ONE_BIT,
	[MMIO_BIT_COMPLEMENT] = XOR | ONE_BIT,
};

static uint64_t compute(unsigned kind, uint64_t a, uint64_t b, uint64_t carry)
{
	switch (kind) {
	case AND: return a & b;
	case OR: return a | b;
	case XOR: return a ^ b;
	case AND_NOT: return a & ~b;
	case SUM: return a + b + carry;
	default: return a - b - carry;
	}
}

/* Carries out of each bit, and borrows into it: majority of the three that meet there. */
static uint64_t carries(unsigned kind, uint64_t a, uint64_t b, uint64_t result)
{
	if (kind == DIFFERENCE)
		return (~a & b) | ((~a | b) & result);
	return kind == SUM ? (a & b) | ((a | b) & ~result) : 0;
}

static uint64_t flags_of(unsigned kind, uint64_t sign, uint64_t a, uint64_t b, uint64_t result)
{
	const uint64_t carry = carries(kind, a, b, result);
	/* A sum overflows where both signs differ from its own, a difference where b's sign is turned. */
	const uint64_t other = kind == DIFFERENCE ? ~b : b;
	const bool overflow = (kind == SUM || kind == DIFFERENCE) && ((a ^ result) & (other ^ result) & sign);

	return (carry & sign ? FLAG_CARRY : 0) | (carry & 1 << 3 ? FLAG_ADJUST : 0) |
	       (__builtin_parityll(result & 0xFF) ? 0 : FLAG_PARITY) | (result ? 0 : FLAG_ZERO) |
	       (result & sign ? FLAG_SIGN : 0) | (overflow ? FLAG_OVERFLOW : 0);
}

uint64_t arithmetic(const struct instruction *instruction, uint64_t memory, uint64_t source, uint64_t *flags)
{
	const unsigned row = rows[instruction->operation], kind = row & KIND_MASK,
		       bits = 8u * instruction->size;
	const uint64_t sign = 1ull << (bits - 1), mask = sign | (sign - 1);
	const bool memory_first = instruction->memory_first && !(row & FROM_SOURCE);
	const uint64_t second = row & ONE_BIT ? 1ull << (source % bits) : source & mask;
	const uint64_t a = memory_first ? memory & mask : second, b = memory_first ? second : memory & mask;
	const uint64_t result = compute(kind, a, b, row & CARRIES ? *flags & FLAG_CARRY : 0) & mask;
	uint64_t changed = FLAGS_STATUS, becomes = flags_of(kind, sign, a, b, result);

	if (row & ONE_BIT) {
		changed = FLAG_CARRY;
		becomes = a & b ? FLAG_CARRY : 0;
	}
	if (row & NO_FLAGS)
		changed = 0;
	if (row & CARRY_STAYS)
		changed &= ~FLAG_CARRY;
	*flags = (*flags & ~changed) | (becomes & changed);
	return result;
}

bool arithmetic_stores(unsigned operation)
{
	return !(rows[operation] & FLAGS_ONLY);
}
