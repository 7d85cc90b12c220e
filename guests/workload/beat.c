/*
 * A 100 Hz tick, a heartbeat every so many ticks, and the question whether the ticks come as often as they
 * should: the TSC between two ticks far apart, against what that many periods ought to take. And the longest
 * that one tick took to follow another, which is how late the worst of them came.
 */
#include "../common/x86.h"
#include "workload.h"

#define NS_PER_CENTISECOND 10000000ull
#define MILLION		   1000000
#define TOLERANCE_PPM	   20000 /* an emulated 8254 measured over 60 ms is good to 1 % */
#define DEFAULT_PERIOD_MS  1000u
#define DEFAULT_DRIFT_S	   5u
#define KIND_SIZE	   16

/* Written by the tick, read together with interrupts off. */
static volatile uint32_t ticks;
static volatile uint64_t last_tick_tsc, last_gap, longest_gap; /* the longest: since it was last told */
static volatile bool disturbed;

static uint32_t period_ticks, next_beat, beats, beat_limit, crash_after;
static uint32_t drift_ticks, window_tick;
static uint64_t window_tsc, start_ns;
static int64_t last_drift;
static bool quiet;
static char crash_kind[KIND_SIZE];

/* A gap counts when nobody has typed in it or in the one behind it: to take what is typed, and to answer, is
 * this guest's own work, and may hold a tick up. */
static void on_tick(void)
{
	const uint64_t now = read_tsc();
	if (!disturbed && last_gap > longest_gap)
		longest_gap = last_gap;
	last_gap = ticks && !disturbed ? now - last_tick_tsc : 0;
	disturbed = false;
	ticks++;
	last_tick_tsc = now;
}

/* The number of ticks so far and the TSC at the last of them. */
static uint32_t read_tick(uint64_t *tsc)
{
	interrupts_off();
	const uint32_t now = ticks;
	*tsc = last_tick_tsc;
	interrupts_on();
	return now;
}

/* TSC ticks; begins anew. */
static uint64_t take_longest_gap(void)
{
	interrupts_off();
	const uint64_t gap = longest_gap;
	longest_gap = 0;
	interrupts_on();
	return gap;
}

void beat_disturb(void)
{
	disturbed = true;
}

void beat_set_period(uint32_t milliseconds)
{
	period_ticks = milliseconds > TICK_MS ? milliseconds / TICK_MS : 1;
	next_beat = ticks + period_ticks;
}

void beat_start(void)
{
	const char *cmdline = platform->cmdline;
	quiet = option_flag(cmdline, "quiet");
	beat_limit = option_number(cmdline, "beats", 0);
	crash_after = option_number(cmdline, "after", 0);
	option_text(cmdline, "crash", "", crash_kind, sizeof(crash_kind));
	drift_ticks = option_number(cmdline, "drift", DEFAULT_DRIFT_S) * TICK_HZ;
	beat_set_period(option_number(cmdline, "period", DEFAULT_PERIOD_MS));
	start_ns = platform_time_ns();
	platform_tick_start(TICK_HZ, on_tick);
}

bool beat_is_due(void)
{
	return (int32_t)(ticks - next_beat) >= 0;
}

/* Parts per million by which the window took longer (+) or shorter (-) than its ticks say. */
static int64_t drift_ppm(uint64_t tsc, uint32_t count)
{
	const int64_t expected = (int64_t)platform->tsc_khz * 1000 / (int64_t)TICK_HZ * count;
	return ((int64_t)tsc - expected) * MILLION / expected;
}

/* The first heartbeat opens the first window, the heartbeat after its end judges it and opens the next. */
static void check_drift(void)
{
	uint64_t tsc;
	const uint32_t now = read_tick(&tsc), count = now - window_tick;
	if (window_tsc && count < drift_ticks)
		return;
	if (window_tsc) {
		last_drift = drift_ppm(tsc - window_tsc, count);
		const bool good = last_drift <= TOLERANCE_PPM && last_drift >= -TOLERANCE_PPM;
		print_line("drift %s: %ld ppm over %u ticks", good ? "ok" : "HIGH", last_drift, count);
	}
	window_tick = now;
	window_tsc = tsc;
}

void beat_serve(void)
{
	next_beat += period_ticks;
	beats++;
	const uint64_t centiseconds =
		(platform_time_ns() - start_ns + NS_PER_CENTISECOND / 2) / NS_PER_CENTISECOND;
	if (!quiet)
		print_line("heartbeat %u t=%lu.%02lus", beats, centiseconds / 100, centiseconds % 100);
	check_drift();
	if (beats == beat_limit) {
		print_line("done after %u heartbeats", beats);
		platform_power_off();
	}
	if (crash_kind[0] && beats == crash_after)
		crash(crash_kind);
}

void beat_report(void)
{
	const uint64_t ms = (platform_time_ns() - start_ns) / 1000000;
	print_line("up %lu ms, ticks %u, heartbeats %u, drift %ld ppm", ms, ticks, beats, last_drift);
	print_line("ticks at most %lu us apart since last asked",
		   take_longest_gap() * 1000 / platform->tsc_khz);
}
