/*
 * SHA-256 as FIPS 180-4 writes it: blocks of 64 bytes are mixed into eight words, and a padded tail closes
 * the sum. Speed does not matter next to the firmware's disk driver.
 */
#include "boot/sha256.h"

#define BLOCK_SIZE  64
#define LENGTH_SIZE 8 /* the bit count that ends the padding */
#define ROUNDS	    64
#define WORDS	    8

/* First 32 bits of the fractional parts of the cube roots of the first 64 primes (4.2.2). */
static const uint32_t round_constants[ROUNDS] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* First 32 bits of the fractional parts of the square roots of the first 8 primes (5.3.3). */
static const uint32_t initial_words[WORDS] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static uint32_t rotate(uint32_t word, uint32_t count)
{
	return word >> count | word << (32 - count);
}

static uint32_t load_word(const uint8_t *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void store_word(uint8_t *bytes, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(word >> (24 - 8 * i));
}

/* 6.2.2, step 1: the message schedule. */
static void expand(const uint8_t *block, uint32_t schedule[ROUNDS])
{
	for (int i = 0; i < 16; i++)
		schedule[i] = load_word(block + 4 * i);
	for (int i = 16; i < ROUNDS; i++) {
		uint32_t early = schedule[i - 15], late = schedule[i - 2];

		schedule[i] = schedule[i - 16] + (rotate(early, 7) ^ rotate(early, 18) ^ early >> 3) +
			      schedule[i - 7] + (rotate(late, 17) ^ rotate(late, 19) ^ late >> 10);
	}
}

/* 6.2.2, steps 2 to 4. The names a to h are the standard's. */
static void mix(uint32_t sum[WORDS], const uint8_t *block)
{
	uint32_t schedule[ROUNDS];
	uint32_t a = sum[0], b = sum[1], c = sum[2], d = sum[3];
	uint32_t e = sum[4], f = sum[5], g = sum[6], h = sum[7];

	expand(block, schedule);
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) +
			      round_constants[i] + schedule[i];
		uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

		h = g, g = f, f = e, e = d + t1;
		d = c, c = b, b = a, a = t1 + t2;
	}
	sum[0] += a, sum[1] += b, sum[2] += c, sum[3] += d;
	sum[4] += e, sum[5] += f, sum[6] += g, sum[7] += h;
}

/* 5.1.1: a one bit, zeroes, and the length in bits, to the end of a block; one or two blocks. */
static void mix_tail(uint32_t sum[WORDS], const uint8_t *rest, size_t rest_size, uint64_t total_size)
{
	uint8_t tail[2 * BLOCK_SIZE] = {0};
	size_t tail_size = rest_size + 1 + LENGTH_SIZE <= BLOCK_SIZE ? BLOCK_SIZE : 2 * BLOCK_SIZE;

	for (size_t i = 0; i < rest_size; i++)
		tail[i] = rest[i];
	tail[rest_size] = 0x80;
	store_word(tail + tail_size - 8, (uint32_t)(total_size >> 29));
	store_word(tail + tail_size - 4, (uint32_t)(total_size << 3));
	for (size_t offset = 0; offset < tail_size; offset += BLOCK_SIZE)
		mix(sum, tail + offset);
}

void sha256(const void *data, size_t size, uint8_t digest[SHA256_SIZE])
{
	const uint8_t *bytes = data;
	uint32_t sum[WORDS];
	size_t offset = 0;

	for (int i = 0; i < WORDS; i++)
		sum[i] = initial_words[i];
	for (; size - offset >= BLOCK_SIZE; offset += BLOCK_SIZE)
		mix(sum, bytes + offset);
	mix_tail(sum, bytes + offset, size - offset, size);
	for (int i = 0; i < WORDS; i++)
		store_word(digest + 4 * i, sum[i]);
}
