/*
 * True random numbers for guests (Arm DEN0098): the CPU's generator, straight through, nothing kept.
 */
#include <bulkhead/abi.h>

#include "hv/call/call.h"
#include "hv/call/entropy.h"

#define WORDS	3 /* x3, x2, x1: lowest first */
#define WORD_32 32
#define WORD_64 64

/* Without a generator the service does not exist (DEN0098: TRNG_VERSION says so). */
static bool absent(struct call_results *out)
{
	if (entropy_present())
		return false;
	out->x0 = SMCCC_NOT_SUPPORTED;
	return true;
}

static enum exit_action trng_version(struct vcpu *vcpu, const struct call_arguments *in,
				     struct call_results *out)
{
	(void)vcpu, (void)in;
	if (!absent(out))
		out->x0 = TRNG_VERSION_1_0;
	return EXIT_NEXT;
}

static bool is_trng(uint32_t function)
{
	return (function >> SMCCC_OWNER_SHIFT & 0x3F) == SMCCC_OWNER_STANDARD &&
	       CALL_NUMBER(function) - trng_service.first < trng_service.count;
}

static enum exit_action trng_features(struct vcpu *vcpu, const struct call_arguments *in,
				      struct call_results *out)
{
	uint32_t function = (uint32_t)in->x1;

	if (!absent(out) && !(is_trng(function) && call_find(vcpu->partition, function)))
		out->x0 = SMCCC_NOT_SUPPORTED;
	return EXIT_NEXT;
}

static enum exit_action trng_uuid(struct vcpu *vcpu, const struct call_arguments *in,
				  struct call_results *out)
{
	(void)vcpu, (void)in;
	if (!absent(out))
		*out = (struct call_results){.x0 = BH_TRNG_UUID_0,
					     .x1 = BH_TRNG_UUID_1,
					     .x2 = BH_TRNG_UUID_2,
					     .x3 = BH_TRNG_UUID_3,
					     .count = 4};
	return EXIT_NEXT;
}

/* The low `bits` bits of `word` are random, those above zero. */
static bool gather(uint64_t word[WORDS], uint64_t bits, unsigned word_bits)
{
	for (unsigned i = 0; i < WORDS && bits > 0; i++) {
		unsigned take = (unsigned)MIN(bits, word_bits);
		uint64_t fresh;

		if (!entropy_word(&fresh))
			return false;
		/* cppcheck-suppress shiftTooManyBits ; take is 1 to 64, as bits is above 0 */
		word[i] = take < WORD_64 ? fresh & ((1ull << take) - 1) : fresh;
		bits -= take;
	}
	return true;
}

static enum exit_action trng_rnd(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	unsigned word_bits = in->function & SMCCC_64 ? WORD_64 : WORD_32;
	uint64_t word[WORDS] = {0};

	(void)vcpu;
	if (absent(out))
		return EXIT_NEXT;
	out->count = 4;
	if (in->x1 == 0 || in->x1 > WORDS * word_bits) {
		out->x0 = TRNG_INVALID_PARAMETERS;
		return EXIT_NEXT;
	}
	if (!gather(word, in->x1, word_bits)) {
		out->x0 = TRNG_NO_ENTROPY;
		return EXIT_NEXT;
	}
	*out = (struct call_results){.x1 = word[2], .x2 = word[1], .x3 = word[0], .count = 4};
	return EXIT_NEXT;
}

#define TRNG_FIRST CALL_NUMBER(TRNG_VERSION)
static const struct call_row trng_rows[] = {
	[CALL_NUMBER(TRNG_VERSION) - TRNG_FIRST] = {trng_version, CALL_32, false, false},
	[CALL_NUMBER(TRNG_FEATURES) - TRNG_FIRST] = {trng_features, CALL_32, false, false},
	[CALL_NUMBER(TRNG_GET_UUID) - TRNG_FIRST] = {trng_uuid, CALL_32, false, false},
	[CALL_NUMBER(TRNG_RND_32) - TRNG_FIRST] = {trng_rnd, CALL_BOTH, false, false},
};
const struct call_service trng_service = {TRNG_FIRST, ARRAY_SIZE(trng_rows), trng_rows};
