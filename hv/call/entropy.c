/*
 * RDSEED where the CPU has it, else RDRAND (Intel SDM vol. 1, 7.3.17). Both may run dry and say so in CF; a
 * guest never makes the hypervisor wait, so the tries are few and counted.
 */
#include "arch/x86/cpu.h"
#include "hv/call/entropy.h"

/* Intel's guide to the generator asks for 10 tries of RDRAND; RDSEED under load may need more, with a pause
 * between. */
#define RDRAND_TRIES 10
#define RDSEED_TRIES 64

static bool rdseed(uint64_t *word)
{
	bool valid;

	__asm__ volatile("rdseed %0" : "=r"(*word), "=@ccc"(valid));
	return valid;
}

static bool rdrand(uint64_t *word)
{
	bool valid;

	__asm__ volatile("rdrand %0" : "=r"(*word), "=@ccc"(valid));
	return valid;
}

static bool has_rdseed(void)
{
	return cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & CPUID7_EBX_RDSEED;
}

static bool has_rdrand(void)
{
	return cpuid(1, 0).ecx & CPUID1_ECX_RDRAND;
}

bool entropy_present(void)
{
	return has_rdseed() || has_rdrand();
}

/* Broken generators exist that claim success and give all zeros or all ones: neither is taken for entropy. */
static bool plausible(uint64_t word)
{
	return word != 0 && word != UINT64_MAX;
}

bool entropy_word(uint64_t *word)
{
	bool seed = has_rdseed();

	for (unsigned tries = seed ? RDSEED_TRIES : RDRAND_TRIES; tries > 0; tries--) {
		uint64_t value;

		if ((seed ? rdseed(&value) : rdrand(&value)) && plausible(value)) {
			*word = value;
			return true;
		}
		cpu_pause();
	}
	return false;
}
