/*
 * The instruction decoder: each form by hand, the edges of what it is given, and millions of random bytes
 * against Zydis.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/core/vcpu.h"
#include "tests/unit/zydis_check.h"

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static struct instruction decoded(const uint8_t *bytes, size_t size, enum code_size code)
{
	struct instruction out;
	const char *difference = zydis_check(bytes, size, code);

	if (difference)
		fail_msg("Zydis differs in: %s", difference);
	assert_int_equal(decode_mmio(bytes, size, code, &out), OK);
	assert_int_equal(out.length, size);
	return out;
}

static void refused(const uint8_t *bytes, size_t size, enum code_size code, enum status why)
{
	struct instruction out;

	assert_int_equal(decode_mmio(bytes, size, code, &out), why);
}

static void moves(void **state)
{
	struct instruction i;

	(void)state;
	i = decoded(BYTES(0x89, 0x08), CODE_64); /* mov [rax], ecx */
	assert_int_equal(i.operation, MMIO_STORE);
	assert_int_equal(i.size, 4);
	assert_int_equal(i.register_index, RCX);
	i = decoded(BYTES(0x4C, 0x8B, 0x3B), CODE_64); /* mov r15, [rbx] */
	assert_int_equal(i.operation, MMIO_LOAD);
	assert_int_equal(i.size, 8);
	assert_int_equal(i.register_index, R15);
	i = decoded(BYTES(0x88, 0x27), CODE_64); /* mov [rdi], ah */
	assert_true(i.high_byte);
	assert_int_equal(i.register_index, RAX);
	i = decoded(BYTES(0x40, 0x88, 0x27), CODE_64); /* mov [rdi], spl */
	assert_false(i.high_byte);
	assert_int_equal(i.register_index, RSP);
	i = decoded(BYTES(0x66, 0x89, 0x11), CODE_64); /* mov [rcx], dx */
	assert_int_equal(i.size, 2);
	i = decoded(BYTES(0xC6, 0x00, 0x80), CODE_64); /* mov byte [rax], 80h */
	assert_true(i.immediate);
	assert_int_equal(i.value, (uint64_t)-128);
	i = decoded(BYTES(0x48, 0xC7, 0x00, 0x01, 0x00, 0x00, 0x80),
		    CODE_64); /* mov qword [rax], -7FFFFFFFh */
	assert_int_equal(i.value, 0xFFFFFFFF80000001ull);
	i = decoded(BYTES(0x66, 0xC7, 0x00, 0x34, 0x12), CODE_64);
	assert_int_equal(i.value, 0x1234);
}

static void extending_moves(void **state)
{
	struct instruction i;

	(void)state;
	i = decoded(BYTES(0x0F, 0xB6, 0x10), CODE_64); /* movzx edx, byte [rax] */
	assert_int_equal(i.size, 1);
	assert_int_equal(i.register_size, 4);
	assert_false(i.sign_extend);
	i = decoded(BYTES(0x48, 0x0F, 0xBF, 0x10), CODE_64); /* movsx rdx, word [rax] */
	assert_int_equal(i.size, 2);
	assert_int_equal(i.register_size, 8);
	assert_true(i.sign_extend);
	i = decoded(BYTES(0x48, 0x63, 0x10), CODE_64); /* movsxd rdx, dword [rax] */
	assert_int_equal(i.size, 4);
	assert_true(i.sign_extend);
	refused(BYTES(0x63, 0x10, 0x00), CODE_32, ERR_UNSUPPORTED); /* ARPL */
}

static void arithmetic(void **state)
{
	static const uint8_t operations[] = {MMIO_ADD, MMIO_OR,	 MMIO_ADD_CARRY, MMIO_SUB_BORROW,
					     MMIO_AND, MMIO_SUB, MMIO_XOR,	 MMIO_COMPARE};

	(void)state;
	for (unsigned o = 0; o < sizeof(operations); o++) {
		for (uint8_t form = 0; form < 4; form++) {
			const struct instruction i = decoded(BYTES((uint8_t)(8 * o + form), 0x18), CODE_64);

			assert_int_equal(i.operation, operations[o]);
			assert_int_equal(i.memory_first, form < 2);
			assert_int_equal(i.size, form & 1 ? 4 : 1);
			assert_int_equal(i.register_index, RBX);
		}
		const uint8_t modrm = (uint8_t)(o << 3);

		assert_int_equal(decoded(BYTES(0x80, modrm, 0xFF), CODE_64).operation, operations[o]);
		assert_int_equal(decoded(BYTES(0x83, modrm, 0xFF), CODE_64).value, UINT64_MAX);
		assert_int_equal(decoded(BYTES(0x81, modrm, 1, 2, 3, 4), CODE_64).value, 0x04030201);
	}
	assert_int_equal(decoded(BYTES(0x84, 0x08), CODE_64).operation, MMIO_TEST);
	assert_int_equal(decoded(BYTES(0xF7, 0x00, 1, 0, 0, 0), CODE_64).operation, MMIO_TEST);
	refused(BYTES(0xF7, 0x20), CODE_64, ERR_UNSUPPORTED); /* MUL */
	assert_int_equal(decoded(BYTES(0x87, 0x08), CODE_64).operation, MMIO_EXCHANGE);
}

static void one_operand(void **state)
{
	static const struct {
		uint8_t opcode, modrm, operation;
		uint64_t value;
	} forms[] = {{0xFE, 0x00, MMIO_INCREMENT, 1},
		     {0xFE, 0x08, MMIO_DECREMENT, 1},
		     {0xF6, 0x10, MMIO_NOT, UINT64_MAX},
		     {0xF6, 0x18, MMIO_NEGATE, 0}};

	(void)state;
	for (unsigned f = 0; f < sizeof(forms) / sizeof(*forms); f++)
		for (uint8_t wide = 0; wide < 2; wide++) {
			const struct instruction i =
				decoded(BYTES((uint8_t)(forms[f].opcode + wide), forms[f].modrm), CODE_64);

			assert_int_equal(i.operation, forms[f].operation);
			assert_int_equal(i.value, forms[f].value);
			assert_int_equal(i.size, wide ? 4 : 1);
		}
	assert_int_equal(decoded(BYTES(0xF0, 0x48, 0xFF, 0x00), CODE_64).size, 8); /* lock inc qword [rax] */
	refused(BYTES(0xFF, 0x10), CODE_64, ERR_UNSUPPORTED);			   /* CALL */
	refused(BYTES(0xFE, 0x10), CODE_64, ERR_UNSUPPORTED);
}

static void single_bits(void **state)
{
	static const uint8_t by_register[] = {0xA3, 0xAB, 0xB3, 0xBB};
	struct instruction i;

	(void)state;
	for (unsigned o = 0; o < 4; o++) {
		i = decoded(BYTES(0x0F, by_register[o], 0x18), CODE_64);
		assert_int_equal(i.operation, MMIO_BIT_TEST + o);
		assert_int_equal(i.register_index, RBX);
		i = decoded(BYTES(0x66, 0x0F, 0xBA, (uint8_t)((4 + o) << 3), 9), CODE_64);
		assert_int_equal(i.operation, MMIO_BIT_TEST + o);
		assert_int_equal(i.value, 9);
		assert_int_equal(i.size, 2);
	}
	refused(BYTES(0xF0, 0x0F, 0xBA, 0x20, 1), CODE_64, ERR_UNSUPPORTED); /* lock bt */
	refused(BYTES(0x0F, 0xBA, 0x00, 1), CODE_64, ERR_UNSUPPORTED);
}

static void strings(void **state)
{
	struct instruction i;

	(void)state;
	i = decoded(BYTES(0xF3, 0xAB), CODE_64); /* rep stosd */
	assert_int_equal(i.operation, MMIO_STORE_STRING);
	assert_int_equal(i.size, 4);
	assert_int_equal(i.address_size, 8);
	assert_true(i.repeat);
	i = decoded(BYTES(0x67, 0xF3, 0x48, 0xAB), CODE_64);
	assert_int_equal(i.size, 8);
	assert_int_equal(i.address_size, 4);
	i = decoded(BYTES(0xAC), CODE_32); /* lodsb */
	assert_int_equal(i.operation, MMIO_LOAD_STRING);
	assert_int_equal(i.size, 1);
	assert_false(i.repeat);
	assert_int_equal(i.segment, 3);
	i = decoded(BYTES(0x66, 0x64, 0xA5), CODE_64); /* movsw, from FS */
	assert_int_equal(i.operation, MMIO_MOVE_STRING);
	assert_int_equal(i.size, 2);
	assert_int_equal(i.segment, 4);
	i = decoded(BYTES(0x65, 0x26, 0xA4), CODE_64); /* ES does not count */
	assert_int_equal(i.segment, 5);
	i = decoded(BYTES(0x65, 0x26, 0xA4), CODE_32);
	assert_int_equal(i.segment, 0);
	i = decoded(BYTES(0xF2, 0xA5), CODE_16); /* REPNE repeats it all the same */
	assert_int_equal(i.size, 2);
	assert_int_equal(i.address_size, 2);
	assert_true(i.repeat);
	refused(BYTES(0xF0, 0xAB), CODE_64, ERR_UNSUPPORTED);
	refused(BYTES(0xA6), CODE_64, ERR_UNSUPPORTED); /* CMPS */
	refused(BYTES(0xAE), CODE_64, ERR_UNSUPPORTED); /* SCAS */
}

static void addressing(void **state)
{
	(void)state;
	decoded(BYTES(0x8B, 0x04, 0x25, 0, 0, 0xE0, 0xFE), CODE_64); /* [disp32] by SIB */
	decoded(BYTES(0x8B, 0x05, 0, 0, 0, 0), CODE_64);	     /* [rip + disp32] */
	decoded(BYTES(0x8B, 0x05, 0, 0, 0, 0), CODE_32);	     /* [disp32] */
	decoded(BYTES(0x8B, 0x44, 0x8B, 0x10), CODE_64);	     /* [rbx + rcx * 4 + disp8] */
	decoded(BYTES(0x8B, 0x84, 0x8B, 1, 2, 3, 4), CODE_64);	     /* ... disp32 */
	decoded(BYTES(0x8B, 0x04, 0x8D, 1, 2, 3, 4), CODE_64);	     /* [rcx * 4 + disp32] */
	decoded(BYTES(0x8B, 0x40, 0x10), CODE_16);		     /* [bx + si + disp8] */
	decoded(BYTES(0x8B, 0x06, 0x00, 0x10), CODE_16);	     /* [disp16] */
	decoded(BYTES(0x8B, 0x86, 0x00, 0x10), CODE_16);	     /* [bp + disp16] */
	decoded(BYTES(0x67, 0x66, 0x8B, 0x86, 0, 0, 0, 0), CODE_16); /* [esi + disp32], 32-bit operand */
	decoded(BYTES(0x67, 0x8B, 0x06, 0x00, 0x10), CODE_32);	     /* [disp16] */
	decoded(BYTES(0xA1, 0, 0, 0xE0, 0xFE, 0, 0, 0, 0), CODE_64); /* moffs64 */
	decoded(BYTES(0x67, 0xA1, 0, 0, 0xE0, 0xFE), CODE_64);	     /* moffs32 */
	decoded(BYTES(0xA2, 0, 0, 0xE0, 0xFE), CODE_32);
	decoded(BYTES(0xA3, 0, 0), CODE_16);
	decoded(BYTES(0x48, 0xA3, 1, 2, 3, 4, 5, 6, 7, 8), CODE_64);
	refused(BYTES(0x8B, 0xC0), CODE_64, ERR_UNSUPPORTED); /* register to register */
}

static void prefixes(void **state)
{
	struct instruction i;

	(void)state;
	decoded(BYTES(0x65, 0x8B, 0x00), CODE_64);
	decoded(BYTES(0xF0, 0x01, 0x00), CODE_64);		    /* lock add */
	refused(BYTES(0xF0, 0x03, 0x00), CODE_64, ERR_UNSUPPORTED); /* ... to a register */
	refused(BYTES(0xF0, 0x8B, 0x00), CODE_64, ERR_UNSUPPORTED); /* lock mov */
	refused(BYTES(0xF0, 0x39, 0x00), CODE_64, ERR_UNSUPPORTED); /* lock cmp */
	i = decoded(BYTES(0x48, 0x66, 0x8B, 0x00),
		    CODE_64); /* REX before another prefix counts for nothing */
	assert_int_equal(i.size, 2);
	i = decoded(BYTES(0x66, 0x48, 0x8B, 0x00), CODE_64);
	assert_int_equal(i.size, 8);
	refused(BYTES(0x48, 0x8B, 0x00), CODE_32, ERR_UNSUPPORTED); /* DEC */
	decoded(BYTES(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x8B,
		      0x00),
		CODE_64);
	refused(BYTES(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
		      0x8B, 0x00),
		CODE_64, ERR_FORMAT);
}

static void truncated(void **state)
{
	static const uint8_t longest[] = {0x66, 0x48, 0xC7, 0x84, 0x8B, 1, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	for (size_t size = 0; size < sizeof(longest); size++) {
		uint8_t *exact =
			malloc(size ? size : 1); /* so that the sanitizer sees a read behind the end */

		memcpy(exact, longest, size);
		refused(exact, size, CODE_64, ERR_FORMAT);
		free(exact);
	}
	decoded(longest, sizeof(longest), CODE_64);
}

static void lengths(void **state)
{
	static const uint8_t cpuid[] = {0x0F, 0xA2}, vmmcall[] = {0x0F, 0x01, 0xD9};

	(void)state;
	assert_int_equal(decode_length(BYTES(0x0F, 0xA2), CODE_64, cpuid, 2), 2);
	assert_int_equal(decode_length(BYTES(0xF3, 0x48, 0x0F, 0xA2), CODE_64, cpuid, 2), 4);
	assert_int_equal(decode_length(BYTES(0x48, 0x0F, 0xA2), CODE_32, cpuid, 2), 0);
	assert_int_equal(decode_length(BYTES(0x0F, 0x01, 0xD9), CODE_64, vmmcall, 3), 3);
	assert_int_equal(decode_length(BYTES(0x0F, 0x01), CODE_64, vmmcall, 3), 0);
	assert_int_equal(decode_length(BYTES(0x0F, 0x01, 0xC1), CODE_64, vmmcall, 3), 0);
	assert_int_equal(decode_length(NULL, 0, CODE_64, vmmcall, 3), 0);
}

/* xorshift64: the same bytes in every run. */
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

/* Prefixes and opcodes of ours come up often enough to get deep; all the rest is as random as it gets. */
static void random_bytes(uint64_t *seed, uint8_t bytes[16])
{
	static const uint8_t likely_first[] = {0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x2E,
					       0x64, 0x48, 0x4C, 0x40, 0x45, 0x0F};

	for (unsigned i = 0; i < 16; i++)
		bytes[i] = (uint8_t)next_random(seed);
	for (unsigned i = 0; i < next_random(seed) % 5; i++)
		bytes[i] = likely_first[next_random(seed) % sizeof(likely_first)];
}

static void agrees_with_zydis(void **state)
{
	static const enum code_size codes[] = {CODE_16, CODE_32, CODE_64};
	uint64_t seed = 0x9E3779B97F4A7C15ull;

	(void)state;
	for (unsigned round = 0; round < 1000000; round++) {
		uint8_t bytes[16];
		const enum code_size code = codes[round % 3];
		const char *difference;

		random_bytes(&seed, bytes);
		difference = zydis_check(bytes, 16, code);
		if (!difference)
			continue;
		for (unsigned i = 0; i < 16; i++)
			fprintf(stderr, "%02x ", bytes[i]);
		fail_msg("code size %u: %s", code, difference);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(moves),
					   cmocka_unit_test(extending_moves),
					   cmocka_unit_test(arithmetic),
					   cmocka_unit_test(one_operand),
					   cmocka_unit_test(single_bits),
					   cmocka_unit_test(strings),
					   cmocka_unit_test(addressing),
					   cmocka_unit_test(prefixes),
					   cmocka_unit_test(truncated),
					   cmocka_unit_test(lengths),
					   cmocka_unit_test(agrees_with_zydis)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
