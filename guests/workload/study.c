/*
 * The study: fixed amounts of one kind of work each, between marker lines, for the host to read the
 * hypervisor's counters around. What the markers and the pauses themselves cost is the phase `nothing`.
 *
 *   study begin PHASE
 *   study end PHASE count=N tsc=TICKS        TICKS: the work alone
 *
 * `study=PHASE` runs that phase alone. Before each marker the guest sleeps on one timer, without tick, so
 * that the counters are quiet when they are read.
 */
#include "../common/x86.h"
#include "workload.h"

#define PHASE_NAME_SIZE 16

#define PAUSE_MS     200u
#define NOTHING	     1u
#define BYTES	     4096u
#define BYTES_LINE   64u /* of which the last is the newline */
#define LINES	     100u
#define TICKS	     100u
#define ROUND_TRIPS  1000u
#define CPU_CYCLES   10u
#define COMPUTATIONS 1u

static volatile uint32_t ticks;

static uint32_t do_nothing(void)
{
	return NOTHING;
}

static uint32_t do_bytes(void)
{
	char line[BYTES_LINE];
	memset(line, '.', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\n';
	for (uint32_t written = 0; written < BYTES; written += BYTES_LINE)
		platform_write(line, sizeof(line));
	return BYTES;
}

/* As long as a heartbeat. */
static uint32_t do_lines(void)
{
	for (uint32_t i = 1; i <= LINES; i++)
		print_line("line %03u of the study", i);
	return LINES;
}

static void on_tick(void)
{
	ticks++;
}

static uint32_t do_ticks(void)
{
	ticks = 0;
	platform_tick_start(TICK_HZ, on_tick);
	interrupts_off();
	while (ticks < TICKS)
		platform_idle();
	interrupts_on();
	platform_tick_stop();
	return TICKS;
}

/* Two IPIs for each round trip. CPU 1 is started and stopped outside, by the phase's frame. */
static uint32_t do_ipis(void)
{
	uint32_t answered;
	(void)messages_exchange(1, ROUND_TRIPS, &answered); /* the count tells */
	return answered * 2;
}

static uint32_t do_cpu_cycles(void)
{
	uint32_t done = 0;
	while (done < CPU_CYCLES && messages_start_cpu(1) && messages_stop_cpu(1))
		done++;
	return done;
}

static uint32_t do_compute(void)
{
	uint32_t primes, crc;
	return compute_silently(&primes, &crc) ? COMPUTATIONS : 0;
}

static const struct phase {
	const char *name;
	uint32_t (*run)(void); /* how much it has done */
	bool needs_cpu, cpu_running;
} phases[] = {
	{"nothing", do_nothing, false, false}, {"compute", do_compute, false, false},
	{"bytes", do_bytes, false, false},     {"lines", do_lines, false, false},
	{"ticks", do_ticks, false, false},     {"ipis", do_ipis, true, true},
	{"cpus", do_cpu_cycles, true, false},
};

static void run_phase(const struct phase *phase)
{
	if (phase->needs_cpu && platform->cpu_count < 2) {
		print_line("study skip %s: one CPU", phase->name);
		return;
	}
	if (phase->cpu_running && !messages_start_cpu(1)) {
		print_line("study skip %s: cpu 1 did NOT start", phase->name);
		return;
	}
	platform_sleep_ms(PAUSE_MS);
	print_line("study begin %s", phase->name);
	const uint64_t start = read_tsc();
	const uint32_t count = phase->run();
	const uint64_t took = read_tsc() - start;
	platform_sleep_ms(PAUSE_MS);
	print_line("study end %s count=%u tsc=%lu", phase->name, count, took);
	if (phase->cpu_running && !messages_stop_cpu(1))
		print_line("study: cpu 1 could NOT be stopped");
}

void study(void)
{
	char only[PHASE_NAME_SIZE];
	option_text(platform->cmdline, "study", "", only, sizeof(only));
	platform_console_start();
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (!only[0] || string_equal(only, phases[i].name))
			run_phase(&phases[i]);
	platform_sleep_ms(PAUSE_MS);
	print_line("study done");
	platform_power_off();
}
