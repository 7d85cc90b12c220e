/*
 * Time. The TSC and the local APIC timer are measured side by side against the 8254's channel 2, whose
 * frequency every PC shares. What the CPU itself says (CPUID 15h) is preferred where the measurement agrees,
 * or cannot be had.
 */
#include "arch/x86/clock.h"
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "hv/core/vcpu.h"
#include "hv/lib/log.h"

/* 8254 (Intel data sheet) and the port that gates its channel 2. */
#define PIT_HZ	       1193182u
#define PIT_CHANNEL_2  0x42
#define PIT_COMMAND    0x43
#define PIT_SET_RATE   0xB4 /* channel 2, both bytes, mode 2 */
#define PIT_LATCH      0x80 /* channel 2 */
#define GATE_PORT      0x61
#define GATE_CHANNEL_2 0x01
#define GATE_SPEAKER   0x02

/* A measurement takes at least this many PIT ticks (8.4 ms), so that one tick more or less is 0.01 %. */
#define MEASURE_TICKS	  10000u
#define MEASURE_MAX_TICKS 60000u /* more, and the 16-bit counter may have gone round */
#define MEASURE_RUNS	  15u
#define MEASURE_AGREE	  2000u /* two runs agree within 1 / this */
#define SPIN_FIRST	  10000u
#define SPIN_LAST	  (1u << 30) /* a second or more on any CPU: the PIT does not count */
#define CPUID_AGREE	  100u	     /* CPUID is believed within 1 / this of what was measured */

#define CPUID_TSC	0x15 /* SDM 2A CPUID: EBX / EAX = TSC / crystal, ECX = crystal in Hz */
#define CPUID_FREQUENCY 0x16 /* EAX = base frequency in MHz */
#define FALLBACK_KHZ	1000000u

#define COUNT_MAX   UINT32_MAX
#define RATIO_SHIFT 32

uint32_t tsc_khz, apic_timer_khz;
uint64_t boot_tsc;
uint64_t boot_wall_s;

static bool use_deadline;
static uint64_t count_per_tsc; /* APIC timer counts per TSC tick, as a fraction of 2^32 */

struct sample {
	uint64_t tsc;
	uint32_t apic; /* counts down */
	uint16_t pit;  /* counts down */
};

struct rates {
	uint64_t tsc_khz, apic_khz;
};

static struct sample take_sample(void)
{
	struct sample sample;
	uint8_t low;

	outb(PIT_COMMAND, PIT_LATCH);
	sample.tsc = rdtsc();
	sample.apic = apic_timer_count();
	low = inb(PIT_CHANNEL_2);
	sample.pit = (uint16_t)(inb(PIT_CHANNEL_2) << 8 | low);
	return sample;
}

static void spin(uint32_t rounds)
{
	while (rounds--)
		__asm__ volatile("");
}

static void start_counters(void)
{
	outb(GATE_PORT, (uint8_t)((inb(GATE_PORT) & ~GATE_SPEAKER) | GATE_CHANNEL_2));
	outb(PIT_COMMAND, PIT_SET_RATE);
	outb(PIT_CHANNEL_2, 0);
	outb(PIT_CHANNEL_2, 0);
	apic_timer_use_count();
	apic_timer_start(COUNT_MAX);
}

/*
 * One run. The wait is doubled until it was long enough, so that it takes few port accesses (each is slow on
 * an emulator) and ends on any machine. false: the PIT does not count.
 */
static bool measure(struct rates *rates)
{
	struct sample first, last;
	uint32_t ticks = 0;

	start_counters();
	first = take_sample();
	for (uint32_t rounds = SPIN_FIRST; ticks < MEASURE_TICKS; rounds *= 2) {
		if (rounds > SPIN_LAST)
			return false;
		spin(rounds);
		last = take_sample();
		ticks = (uint16_t)(first.pit - last.pit);
	}
	rates->tsc_khz = (last.tsc - first.tsc) * PIT_HZ / ticks / 1000;
	rates->apic_khz = (uint64_t)(first.apic - last.apic) * PIT_HZ / ticks / 1000;
	return ticks < MEASURE_MAX_TICKS;
}

static bool agree(uint64_t a, uint64_t b, uint64_t part)
{
	return (a > b ? a - b : b - a) <= MAX(a, b) / part;
}

/* The run with the middle rate. */
static struct rates middle(struct rates *run, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		const struct rates rates = run[i];
		unsigned place = i;

		for (; place > 0 && run[place - 1].tsc_khz > rates.tsc_khz; place--)
			run[place] = run[place - 1];
		run[place] = rates;
	}
	return run[count / 2];
}

/* Whether an earlier run came to the same. */
static bool confirmed(const struct rates *run, unsigned last)
{
	for (unsigned i = 0; i < last; i++)
		if (agree(run[last].tsc_khz, run[i].tsc_khz, MEASURE_AGREE))
			return true;
	return false;
}

/*
 * Two runs that agree were not disturbed. Where this CPU is a thread of a busy host, it may stand still for
 * so long that the PIT goes round unseen: such a run comes to far too much, and finds no second one.
 */
static bool measure_well(struct rates *rates)
{
	struct rates run[MEASURE_RUNS];

	for (unsigned i = 0; i < MEASURE_RUNS; i++) {
		if (!measure(&run[i]))
			return false;
		*rates = run[i];
		if (confirmed(run, i))
			return rates->tsc_khz != 0;
	}
	log_warn("clock: the TSC does not run evenly against the PIT; its frequency is a guess");
	*rates = middle(run, MEASURE_RUNS);
	return rates->tsc_khz != 0;
}

/* 0: the CPU does not say. */
static uint64_t khz_by_cpuid(uint32_t *crystal_khz)
{
	struct cpuid_result r;

	*crystal_khz = 0;
	if (cpuid(0, 0).eax < CPUID_TSC)
		return 0;
	r = cpuid(CPUID_TSC, 0);
	if (!r.eax || !r.ebx || !r.ecx)
		return 0;
	*crystal_khz = r.ecx / 1000;
	return (uint64_t)r.ecx * r.ebx / r.eax / 1000;
}

static uint64_t khz_by_base_frequency(void)
{
	uint64_t khz = cpuid(0, 0).eax >= CPUID_FREQUENCY
			       ? (uint64_t)(cpuid(CPUID_FREQUENCY, 0).eax & 0xFFFF) * 1000
			       : 0;

	return khz ? khz : FALLBACK_KHZ;
}

static void set_rates(void)
{
	uint32_t crystal_khz;
	uint64_t named = khz_by_cpuid(&crystal_khz);
	struct rates rates = {0};
	bool measured = measure_well(&rates);

	if (measured && named && !agree(named, rates.tsc_khz, CPUID_AGREE)) {
		log_warn("clock: CPUID says the TSC runs at %lu kHz, the PIT %lu kHz: taking the PIT's word",
			 named, rates.tsc_khz);
		named = 0;
	}
	if (!measured) {
		if (!named)
			named = khz_by_base_frequency();
		log_warn("clock: the PIT does not count: taking the TSC's frequency to be %lu kHz", named);
		rates.apic_khz = crystal_khz ? crystal_khz : named;
	}
	tsc_khz = (uint32_t)(named ? named : rates.tsc_khz);
	apic_timer_khz = (uint32_t)rates.apic_khz;
}

/*
 * Wall time: the CMOS clock (Motorola MC146818A data sheet)
 */

#define CMOS_INDEX	  0x70
#define CMOS_DATA	  0x71
#define CMOS_NMI_ENABLED  0x00 /* bit 7 of the index would block NMIs */
#define CMOS_STATUS_A	  0x0A
#define CMOS_STATUS_B	  0x0B
#define STATUS_A_UPDATING (1u << 7)
#define STATUS_B_24_HOURS (1u << 1)
#define STATUS_B_BINARY	  (1u << 2)
#define HOURS_PM	  (1u << 7)
#define CENTURY		  2000u
#define CMOS_ATTEMPTS	  10000u

enum cmos_field {
	CMOS_SECONDS = 0,
	CMOS_MINUTES = 2,
	CMOS_HOURS = 4,
	CMOS_DAY = 7,
	CMOS_MONTH = 8,
	CMOS_YEAR = 9
};

struct cmos_time {
	uint8_t seconds, minutes, hours, day, month, year;
};

static uint8_t cmos_read(uint8_t field)
{
	outb(CMOS_INDEX, CMOS_NMI_ENABLED | field);
	return inb(CMOS_DATA);
}

static struct cmos_time cmos_fields(void)
{
	return (struct cmos_time){.seconds = cmos_read(CMOS_SECONDS),
				  .minutes = cmos_read(CMOS_MINUTES),
				  .hours = cmos_read(CMOS_HOURS),
				  .day = cmos_read(CMOS_DAY),
				  .month = cmos_read(CMOS_MONTH),
				  .year = cmos_read(CMOS_YEAR)};
}

static bool same_time(const struct cmos_time *a, const struct cmos_time *b)
{
	return a->seconds == b->seconds && a->minutes == b->minutes && a->hours == b->hours &&
	       a->day == b->day && a->month == b->month && a->year == b->year;
}

/* Outside an update, and twice the same. */
static bool cmos_stable(struct cmos_time *time)
{
	for (unsigned i = 0; i < CMOS_ATTEMPTS; i++) {
		struct cmos_time again;

		if (cmos_read(CMOS_STATUS_A) & STATUS_A_UPDATING)
			continue;
		*time = cmos_fields();
		again = cmos_fields();
		if (same_time(time, &again))
			return true;
	}
	return false;
}

static uint8_t from_bcd(uint8_t value)
{
	return (uint8_t)((value >> 4) * 10 + (value & 0xF));
}

static void normalise(struct cmos_time *time, uint8_t status_b)
{
	bool afternoon = !(status_b & STATUS_B_24_HOURS) && time->hours & HOURS_PM;

	if (afternoon)
		time->hours &= (uint8_t)~HOURS_PM;
	if (!(status_b & STATUS_B_BINARY))
		*time = (struct cmos_time){.seconds = from_bcd(time->seconds),
					   .minutes = from_bcd(time->minutes),
					   .hours = from_bcd(time->hours),
					   .day = from_bcd(time->day),
					   .month = from_bcd(time->month),
					   .year = from_bcd(time->year)};
	if (!(status_b & STATUS_B_24_HOURS))
		time->hours = (uint8_t)(time->hours % 12 + (afternoon ? 12 : 0));
}

/* Days since 1 January 1970 of a date from 2000 on: years of 365 days, leap days, and the days of the months.
 */
static uint64_t days_since_1970(uint64_t year, unsigned month, unsigned day)
{
	static const uint16_t days_before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	uint64_t leap_days = (year - 1969) / 4; /* before this year; 2000 was one, 2100 is out of reach */
	uint64_t this_leap = year % 4 == 0 && month > 2;

	return (year - 1970) * 365 + leap_days + days_before[month - 1] + this_leap + day - 1;
}

static void read_wall_time(void)
{
	struct cmos_time time;
	uint64_t since_boot = tsc_to_us(rdtsc() - boot_tsc) / 1000000;

	if (!cmos_stable(&time)) {
		log_warn("clock: the CMOS clock does not answer: the time of day is unknown");
		return;
	}
	normalise(&time, cmos_read(CMOS_STATUS_B));
	if (time.month < 1 || time.month > 12 || time.day < 1 || time.day > 31 || time.hours > 23 ||
	    time.minutes > 59 || time.seconds > 59) {
		log_warn("clock: the CMOS clock is not set: the time of day is unknown");
		return;
	}
	boot_wall_s = days_since_1970(CENTURY + time.year, time.month, time.day) * 86400 +
		      time.hours * 3600u + time.minutes * 60u + time.seconds - since_boot;
}

/*
 * What the rest calls
 */

__attribute__((cold)) void clock_calibrate(void)
{
	set_rates();
	use_deadline = (cpuid(1, 0).ecx & CPUID1_ECX_TSC_DEADLINE) != 0;
	count_per_tsc = ((uint64_t)apic_timer_khz << RATIO_SHIFT) / tsc_khz;
	read_wall_time();
	log_info("clock: TSC %u.%03u MHz, timer %u.%03u MHz%s", tsc_khz / 1000, tsc_khz % 1000,
		 apic_timer_khz / 1000, apic_timer_khz % 1000, use_deadline ? ", armed by TSC deadline" : "");
}

void host_timer_enable(void)
{
	apic_timer_start(0);
	if (use_deadline) {
		apic_timer_use_deadline();
		wrmsr(MSR_TSC_DEADLINE, 0);
	} else {
		apic_timer_use_count();
	}
}

/* A deadline beyond the counter's reach fires early: whoever armed it looks at the clock and arms again. */
static uint32_t count_until(uint64_t deadline)
{
	uint64_t now = rdtsc(), count;

	if (deadline <= now)
		return 1;
	count = (uint64_t)((unsigned __int128)(deadline - now) * count_per_tsc >> RATIO_SHIFT);
	/* Rounded up, so that it does not fire before the deadline and has to be armed once more. */
	return (uint32_t)MIN(count + 1, COUNT_MAX);
}

void host_timer_arm(uint64_t deadline)
{
	if (use_deadline) /* 0 disarms, a deadline in the past fires at once (SDM 3A 11.5.4.1) */
		wrmsr(MSR_TSC_DEADLINE, deadline == TIMER_NEVER ? 0 : MAX(deadline, 1));
	else
		apic_timer_start(deadline == TIMER_NEVER ? 0 : count_until(deadline));
}

void clock_delay_us(uint64_t us)
{
	uint64_t end = rdtsc() + us * tsc_khz / 1000;

	while (rdtsc() < end)
		cpu_pause();
}
