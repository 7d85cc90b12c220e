/*
 * Arm's calls as C functions: discovery, PSCI, TRNG. Each line of code is one row of the table in
 * docs/abi.md.
 */
#include "../common/text.h"
#include "../common/x86.h"
#include "internal.h"

#define CPUID_FEATURES	       1u
#define CPUID_1_ECX_HYPERVISOR (1u << 31)
#define TRNG_RND_64_BYTES      24u /* 192 bits in x3, x2, x1 */
#define BITS_PER_BYTE	       8u

static uint64_t call0(uint32_t function)
{
	return bh_call(function, 0, 0, 0, 0, 0);
}

static int call1(uint32_t function, uint64_t x1)
{
	return (int)bh_call(function, x1, 0, 0, 0, 0);
}

/* Copies x0 to x3 of a call without arguments. */
static void four_words(uint32_t function, uint32_t to[4])
{
	uint64_t x[8] = {function};
	bh_call_registers(x);
	for (int i = 0; i < 4; i++)
		to[i] = (uint32_t)x[i];
}

bool bh_identify(struct bh_identity *identity)
{
	if (!(cpuid(CPUID_FEATURES, 0).ecx & CPUID_1_ECX_HYPERVISOR))
		return false;
	const struct cpuid_result base = cpuid(BH_CPUID_BASE, 0);
	if (base.ebx != BH_SIGNATURE_EBX || base.ecx != BH_SIGNATURE_ECX || base.edx != BH_SIGNATURE_EDX)
		return false;
	const struct cpuid_result abi = cpuid(BH_CPUID_ABI, 0);
	if (!(abi.ecx & BH_CPUID_ABI_PARA))
		return false;
	bh_use_vmmcall = !!(abi.ecx & BH_CPUID_ABI_VMMCALL);

	identity->abi_revision = abi.eax;
	identity->partition_id = abi.ebx & 0xFFFF;
	identity->vcpu = abi.ebx >> 16;
	identity->smccc_version = (uint32_t)call0(SMCCC_VERSION);
	identity->psci_version = (uint32_t)call0(PSCI_VERSION);
	four_words(VENDOR_CALL_UID, identity->uid);
	four_words(VENDOR_FEATURES, identity->vendor_calls);
	uint32_t revision[4];
	four_words(VENDOR_CALL_REVISION, revision);
	identity->vendor_major = revision[0];
	identity->vendor_minor = revision[1];
	return true;
}

int bh_arch_feature(uint32_t function)
{
	return call1(SMCCC_ARCH_FEATURES, function);
}

int bh_psci_feature(uint32_t function)
{
	return call1(PSCI_FEATURES, function);
}

int bh_cpu_off(void)
{
	return (int)call0(PSCI_CPU_OFF);
}

int bh_cpu_state(uint32_t cpu)
{
	return call1(PSCI_AFFINITY_INFO_64, cpu);
}

/* x1 target, x2 power state: standby is state 0. */
uint64_t bh_suspend_residency_us(uint32_t cpu)
{
	return bh_call(PSCI_STAT_RESIDENCY_64, cpu, 0, 0, 0, 0);
}

uint64_t bh_suspend_count(uint32_t cpu)
{
	return bh_call(PSCI_STAT_COUNT_64, cpu, 0, 0, 0, 0);
}

void bh_idle(void)
{
	bh_suspend();
	interrupts_off();
}

_Noreturn static void end_by(uint32_t function)
{
	(void)call0(function); /* never refused, so it never returns */
	interrupts_off();
	for (;;)
		halt();
}

void bh_system_off(void)
{
	end_by(PSCI_SYSTEM_OFF);
}

void bh_system_reset(void)
{
	end_by(PSCI_SYSTEM_RESET);
}

int bh_memory_check(uint64_t start, uint64_t size)
{
	return (int)bh_call(PSCI_MEM_CHECK_RANGE_64, start, size, 0, 0, 0);
}

/* The first 64 bits come in x3, the next in x2, the last in x1: lowest first. */
int bh_random(void *bytes, size_t size)
{
	uint8_t *to = bytes;
	while (size) {
		const size_t part = size < TRNG_RND_64_BYTES ? size : TRNG_RND_64_BYTES;
		uint64_t x[8] = {TRNG_RND_64, part * BITS_PER_BYTE};
		bh_call_registers(x);
		const int result = (int)x[0];
		if (result < 0)
			return result;
		const uint64_t words[3] = {x[3], x[2], x[1]};
		memcpy(to, words, part);
		to += part;
		size -= part;
	}
	return 0;
}
