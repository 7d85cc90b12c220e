/*
 * How fast the TSC and the local APIC's timer run, measured against the one clock of a PC whose rate is
 * known: the 8254. Three windows of 20 ms, the middle result counts, so that one interruption from outside
 * does no harm.
 */
#include "../common/x86.h"
#include "devices.h"

#define WINDOW_MS     20u
#define WINDOW_COUNTS (PIT_HZ / 1000 * WINDOW_MS)
#define WINDOWS	      3
#define TRIES	      5

static struct clocks known;

/* The clocks at one moment, as nearly as they can be read together. */
struct moment {
	uint64_t tsc;
	uint32_t apic;
	uint16_t pit;
};

/* The reading that took the least time is the best. */
static struct moment read_clocks(void)
{
	struct moment best = {0};
	uint64_t least = UINT64_MAX;
	for (int i = 0; i < TRIES; i++) {
		const uint64_t before = read_tsc();
		const uint16_t pit = pit_count();
		const uint32_t apic = apic_read(APIC_TIMER_COUNT);
		const uint64_t took = read_tsc() - before;
		if (took >= least)
			continue;
		least = took;
		best = (struct moment){.tsc = before + took / 2, .apic = apic, .pit = pit};
	}
	return best;
}

static struct clocks measure_window(void)
{
	const struct moment start = read_clocks();
	while ((uint16_t)(start.pit - pit_count()) < WINDOW_COUNTS)
		spin_hint();
	const struct moment end = read_clocks();
	const uint64_t counts = (uint16_t)(start.pit - end.pit);
	return (struct clocks){
		.tsc_khz = (uint32_t)((end.tsc - start.tsc) * PIT_HZ / (counts * 1000)),
		.apic_khz = (uint32_t)((uint64_t)(start.apic - end.apic) * PIT_HZ / (counts * 1000))};
}

static uint32_t middle(uint32_t a, uint32_t b, uint32_t c)
{
	const uint32_t low = a < b ? a : b, high = a < b ? b : a;
	return c < low ? low : c > high ? high : c;
}

const struct clocks *clocks_measure(void)
{
	struct clocks window[WINDOWS];
	pit_free_running();
	apic_timer_arm(UINT32_MAX);
	for (int i = 0; i < WINDOWS; i++)
		window[i] = measure_window();
	apic_timer_arm(0);
	known.tsc_khz = middle(window[0].tsc_khz, window[1].tsc_khz, window[2].tsc_khz);
	known.apic_khz = middle(window[0].apic_khz, window[1].apic_khz, window[2].apic_khz);
	return &known;
}

const struct clocks *clocks_known(void)
{
	return &known;
}

void delay_us(uint32_t microseconds)
{
	const uint64_t start = read_tsc(), ticks = (uint64_t)microseconds * known.tsc_khz / 1000;
	while (read_tsc() - start < ticks)
		spin_hint();
}
