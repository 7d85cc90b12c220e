/*
 * Pure computation with answers known beforehand: the primes below 100,000, and a CRC-32 over the sieve that
 * finds them. Nothing here needs the hypervisor, so nothing here should cost an exit.
 */
#include "workload.h"

#define LIMIT	       100000u
#define PRIMES	       9592u	   /* pi(100,000): Abramowitz and Stegun, table 24.9 */
#define CRC_POLYNOMIAL 0xEDB88320u /* ISO 3309, bits reversed */
#define CRC_CHECK      0xCBF43926u /* of "123456789": the check value of CRC-32 */

/* Bit i stands for the odd number 2i + 1 and is set when that is composite. */
static uint8_t composite[LIMIT / 16 + 1];

static bool is_composite(uint32_t odd)
{
	return composite[odd >> 4] >> (odd >> 1 & 7) & 1;
}

static uint32_t count_primes(void)
{
	uint32_t primes = 1; /* 2 */
	memset(composite, 0, sizeof(composite));
	for (uint32_t odd = 3; odd < LIMIT; odd += 2) {
		if (is_composite(odd))
			continue;
		primes++;
		for (uint64_t multiple = (uint64_t)odd * odd; multiple < LIMIT; multiple += 2 * odd)
			composite[multiple >> 4] =
				(uint8_t)(composite[multiple >> 4] | 1u << (multiple >> 1 & 7));
	}
	return primes;
}

static uint32_t crc32(const uint8_t *bytes, size_t size)
{
	uint32_t crc = ~0u;
	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (CRC_POLYNOMIAL & -(crc & 1));
	}
	return ~crc;
}

bool compute_silently(uint32_t *primes, uint32_t *crc)
{
	*primes = count_primes();
	*crc = crc32(composite, sizeof(composite));
	return *primes == PRIMES && crc32((const uint8_t *)"123456789", 9) == CRC_CHECK;
}

void compute(void)
{
	uint32_t primes, crc;
	const bool good = compute_silently(&primes, &crc);
	print_line("compute %s: %u primes below %u, crc %08x", good ? "ok" : "WRONG", primes, LIMIT, crc);
}
