/*
 * Time: the clock page turns the TSC into nanoseconds without a call, the deadline timer wakes this vCPU, and
 * the stolen-time record tells what the hypervisor took for itself.
 */
#include "../common/cpu.h"
#include "../common/x86.h"
#include "internal.h"

#define PAGE_SIZE     4096
#define CLOCK_VERSION 1u

union clock_page {
	struct bh_clock_page shared;
	uint8_t bytes[PAGE_SIZE];
};

static union clock_page clock __attribute__((aligned(PAGE_SIZE)));
static const struct pv_stolen_time *stolen[BH_MAX_CPUS];

int bh_clock_register(void)
{
	const int result = (int)bh_call(VENDOR_CLOCK_PAGE, (uint64_t)&clock, 0, 0, 0, 0);
	if (result < 0)
		return result;
	return clock.shared.version == CLOCK_VERSION ? 0 : SMCCC_NOT_SUPPORTED;
}

uint64_t bh_tsc(void)
{
	return read_tsc();
}

static uint64_t ns_since_base(void)
{
	const struct bh_clock_page *page = &clock.shared;
	return (uint64_t)((unsigned __int128)(read_tsc() - page->tsc_base) * page->mul >> 32);
}

uint64_t bh_time_ns(void)
{
	return clock.shared.ns_base + ns_since_base();
}

uint64_t bh_wall_s(void)
{
	const uint64_t ns_per_s = 1000000000;
	return clock.shared.wall_s ? clock.shared.wall_s + ns_since_base() / ns_per_s : 0;
}

int bh_deadline(uint64_t tsc)
{
	return (int)bh_call(VENDOR_DEADLINE, tsc, 0, 0, 0, 0);
}

/* The record's address is asked for once; afterwards it is a read. */
uint64_t bh_stolen_ns(void)
{
	const struct pv_stolen_time **record = &stolen[this_cpu()];
	if (!*record) {
		const int64_t address = (int64_t)bh_call(PV_TIME_ST, 0, 0, 0, 0, 0);
		if (address < 0)
			return 0;
		*record = (const struct pv_stolen_time *)address;
	}
	return __atomic_load_n(&(*record)->stolen_ns, __ATOMIC_RELAXED);
}
