/*
 * Time, measured on a machine whose true rates the test knows: the 8254, the TSC and the local APIC's timer
 * run side by side, all driven by how often the PIT is looked at; and a CMOS clock in each of its formats.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "arch/x86/apic.h"
#include "arch/x86/clock.h"
#include "hv/core/vcpu.h"
#include "hv/lib/log.h"
#include "tests/unit/fake_cpu.h"

#define PIT_HZ	      1193182ull
#define STEP_TICKS    700u /* PIT ticks between two latches */
#define DEADLINE_MODE 1
#define COUNT_MODE    2

static char told[2048];
static int timer_mode;
static uint32_t timer_count;

static struct {
	uint64_t tsc_khz, apic_khz;
	uint64_t ticks; /* of the PIT, since its start */
	uint16_t latched;
	bool high, dead;
	unsigned runs;	 /* how often the PIT was started */
	unsigned looks;	 /* at it, since then */
	uint32_t stolen; /* bit N: in run N this CPU stands still while the PIT goes round */
	unsigned drift;	 /* per cent the TSC gets faster with each run */
	uint8_t index;
	uint8_t cmos[128];
	unsigned updating; /* looks at status A that find an update under way */
	bool restless;	   /* the seconds change between any two looks */
} machine;

void log_line(enum log_level level, const char *text, ...)
{
	size_t used = strlen(told);
	va_list arguments;

	(void)level;
	va_start(arguments, text);
	vsnprintf(told + used, sizeof(told) - used, text, arguments);
	va_end(arguments);
}

uint32_t apic_timer_count(void)
{
	return UINT32_MAX - (uint32_t)(machine.ticks * machine.apic_khz * 1000 / PIT_HZ);
}

void apic_timer_start(uint32_t count)
{
	timer_count = count;
}

void apic_timer_use_count(void)
{
	timer_mode = COUNT_MODE;
}

void apic_timer_use_deadline(void)
{
	timer_mode = DEADLINE_MODE;
}

static uint8_t pit_byte(void)
{
	machine.high = !machine.high;
	return (uint8_t)(machine.high ? machine.latched : machine.latched >> 8);
}

static uint8_t cmos_byte(void)
{
	if (machine.index == 0x0A && machine.updating) {
		machine.updating--;
		return 0x80;
	}
	if (machine.index == 0 && machine.restless)
		return machine.cmos[0]++;
	return machine.cmos[machine.index % 128];
}

static uint8_t in(uint16_t port)
{
	switch (port) {
	case 0x42: return pit_byte();
	case 0x71: return cmos_byte();
	default: return 0;
	}
}

static void out(uint16_t port, uint8_t value)
{
	if (port == 0x70)
		machine.index = value;
	if (port == 0x43 && value == 0xB4) {
		machine.runs++;
		machine.looks = 0;
	}
	if (port != 0x43 || value != 0x80)
		return;
	if (machine.looks++ == 1 && machine.stolen & 1u << machine.runs) {
		machine.stolen &= ~(1u << machine.runs);
		machine.ticks += 65536 * machine.runs;
		cpu.tsc += 65536 * machine.runs * machine.tsc_khz * 1000 / PIT_HZ;
	}
	machine.ticks += STEP_TICKS;
	machine.latched = machine.dead ? 0 : (uint16_t)-machine.ticks;
	cpu.tsc += STEP_TICKS * machine.tsc_khz * (100 + machine.drift * machine.runs) * 10 / PIT_HZ;
}

static void set_time(unsigned year, unsigned month, unsigned day, unsigned hour, unsigned minute,
		     unsigned second)
{
	machine.cmos[9] = (uint8_t)year;
	machine.cmos[8] = (uint8_t)month;
	machine.cmos[7] = (uint8_t)day;
	machine.cmos[4] = (uint8_t)hour;
	machine.cmos[2] = (uint8_t)minute;
	machine.cmos[0] = (uint8_t)second;
}

static int set_up(void **state)
{
	(void)state;
	memset(&machine, 0, sizeof(machine));
	memset(told, 0, sizeof(told));
	fake_cpu_reset();
	cpu.in = in;
	cpu.out = out;
	machine.tsc_khz = 2400000;
	machine.apic_khz = 100000;
	machine.cmos[0x0B] = 0x06; /* binary, 24 hours */
	set_time(26, 3, 1, 13, 14, 15);
	boot_tsc = 0;
	boot_wall_s = 0;
	return 0;
}

static void assert_about(uint64_t found, uint64_t expected, uint64_t part)
{
	uint64_t off = found > expected ? found - expected : expected - found;

	if (off > expected / part)
		fail_msg("found %llu, expected about %llu", (unsigned long long)found,
			 (unsigned long long)expected);
}

static void assert_told(const char *text)
{
	if (!strstr(told, text))
		fail_msg("not told: %s\nbut: %s", text, told);
}

/* What CPUID 15h says of the TSC: crystal Hz, and the ratio. */
static void cpu_names(uint32_t crystal_hz, uint32_t numerator, uint32_t denominator)
{
	fake_cpu_leaf(0, 0, (struct cpuid_result){.eax = 0x16});
	fake_cpu_leaf(0x15, 0, (struct cpuid_result){denominator, numerator, crystal_hz, 0});
}

static void test_measured(void **state)
{
	(void)state;
	clock_calibrate();
	assert_about(tsc_khz, 2400000, 1000);
	assert_about(apic_timer_khz, 100000, 1000);
}

static void test_named_by_the_cpu(void **state)
{
	(void)state;
	cpu_names(24000000, 200, 2);
	machine.tsc_khz = 2400100;
	clock_calibrate();
	assert_int_equal(tsc_khz, 2400000);
}

static void test_cpu_is_wrong(void **state)
{
	(void)state;
	cpu_names(24000000, 300, 2);
	clock_calibrate();
	assert_about(tsc_khz, 2400000, 1000);
	assert_told("CPUID says the TSC runs at");
}

static void test_pit_is_dead(void **state)
{
	(void)state;
	cpu_names(24000000, 200, 2);
	machine.dead = true;
	clock_calibrate();
	assert_int_equal(tsc_khz, 2400000);
	assert_int_equal(apic_timer_khz, 24000); /* the crystal's */
	assert_told("the PIT does not count");
}

static void test_nobody_knows(void **state)
{
	(void)state;
	machine.dead = true;
	fake_cpu_leaf(0, 0, (struct cpuid_result){.eax = 0x16});
	fake_cpu_leaf(0x16, 0, (struct cpuid_result){.eax = 3100});
	clock_calibrate();
	assert_int_equal(tsc_khz, 3100000);
	fake_cpu_leaf(0, 0, (struct cpuid_result){.eax = 1});
	clock_calibrate();
	assert_int_equal(tsc_khz, 1000000); /* a guess, and never 0: it is divided by */
}

static void test_uneven(void **state)
{
	(void)state;
	machine.drift = 10;
	clock_calibrate();
	assert_true(tsc_khz != 0);
	assert_told("does not run evenly");
}

/* Runs in which the PIT went round come to too much, each to something else. */
static void test_busy_host(void **state)
{
	(void)state;
	machine.stolen = 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 7;
	clock_calibrate();
	assert_about(tsc_khz, 2400000, 1000);
	assert_null(strstr(told, "evenly"));
}

/*
 * The CMOS clock
 */

static uint64_t seconds(int year, int month, int day, int hour, int minute, int second)
{
	struct tm tm = {.tm_year = year - 1900,
			.tm_mon = month - 1,
			.tm_mday = day,
			.tm_hour = hour,
			.tm_min = minute,
			.tm_sec = second};

	return (uint64_t)timegm(&tm);
}

/* Less the time since boot, which calibration takes. */
static void assert_wall(uint64_t expected)
{
	clock_calibrate();
	assert_int_equal(boot_wall_s, expected - tsc_to_us(cpu.tsc - boot_tsc) / 1000000);
}

static void test_wall_time(void **state)
{
	(void)state;
	assert_wall(seconds(2026, 3, 1, 13, 14, 15));
	set_time(28, 2, 29, 23, 59, 59);
	assert_wall(seconds(2028, 2, 29, 23, 59, 59));
	set_time(28, 3, 1, 0, 0, 0);
	assert_wall(seconds(2028, 3, 1, 0, 0, 0));
	set_time(99, 12, 31, 0, 0, 0);
	assert_wall(seconds(2099, 12, 31, 0, 0, 0));
}

static void test_bcd(void **state)
{
	(void)state;
	machine.cmos[0x0B] = 0x02;
	set_time(0x26, 0x11, 0x21, 0x19, 0x58, 0x47);
	assert_wall(seconds(2026, 11, 21, 19, 58, 47));
}

static void test_twelve_hours(void **state)
{
	(void)state;
	machine.cmos[0x0B] = 0x04;
	set_time(26, 3, 1, 0x80 | 12, 0, 0); /* noon */
	assert_wall(seconds(2026, 3, 1, 12, 0, 0));
	set_time(26, 3, 1, 12, 0, 0); /* midnight */
	assert_wall(seconds(2026, 3, 1, 0, 0, 0));
	machine.cmos[0x0B] = 0;
	set_time(0x26, 3, 1, 0x80 | 0x11, 0x30, 0);
	assert_wall(seconds(2026, 3, 1, 23, 30, 0));
}

static void test_update_under_way(void **state)
{
	(void)state;
	machine.updating = 5;
	assert_wall(seconds(2026, 3, 1, 13, 14, 15));
}

static void test_no_cmos(void **state)
{
	(void)state;
	machine.updating = UINT32_MAX;
	clock_calibrate();
	assert_int_equal(boot_wall_s, 0);
	assert_told("the CMOS clock does not answer");
	machine.updating = 0;
	machine.restless = true;
	clock_calibrate();
	assert_int_equal(boot_wall_s, 0);
}

static void test_not_set(void **state)
{
	(void)state;
	set_time(26, 13, 1, 0, 0, 0);
	clock_calibrate();
	assert_int_equal(boot_wall_s, 0);
	assert_told("the CMOS clock is not set");
	set_time(26, 0, 0, 0, 0, 0);
	clock_calibrate();
	assert_int_equal(boot_wall_s, 0);
}

/*
 * The host timer
 */

static void test_timer_by_count(void **state)
{
	(void)state;
	clock_calibrate();
	host_timer_enable();
	assert_int_equal(timer_mode, COUNT_MODE);
	host_timer_arm(cpu.tsc + 2400000); /* 1 ms */
	assert_about(timer_count, 100000, 1000);
	host_timer_arm(cpu.tsc - 1); /* at once */
	assert_int_equal(timer_count, 1);
	host_timer_arm(TIMER_NEVER);
	assert_int_equal(timer_count, 0);
	host_timer_arm(TIMER_NEVER - 1); /* beyond its reach: as late as can be */
	assert_int_equal(timer_count, UINT32_MAX);
}

static void test_timer_by_deadline(void **state)
{
	(void)state;
	fake_cpu_leaf(1, 0, (struct cpuid_result){.ecx = CPUID1_ECX_TSC_DEADLINE});
	clock_calibrate();
	host_timer_enable();
	assert_int_equal(timer_mode, DEADLINE_MODE);
	host_timer_arm(123456);
	assert_int_equal(rdmsr(MSR_TSC_DEADLINE), 123456);
	host_timer_arm(0); /* long past, but 0 would disarm */
	assert_int_equal(rdmsr(MSR_TSC_DEADLINE), 1);
	host_timer_arm(TIMER_NEVER);
	assert_int_equal(rdmsr(MSR_TSC_DEADLINE), 0);
}

static void test_delay(void **state)
{
	uint64_t begin;

	(void)state;
	clock_calibrate();
	cpu.tsc_step = 1000;
	begin = cpu.tsc;
	clock_delay_us(10);
	assert_about(cpu.tsc - begin, 24000, 8);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_measured),	 TEST(test_named_by_the_cpu), TEST(test_cpu_is_wrong),
		TEST(test_pit_is_dead),	 TEST(test_nobody_knows),     TEST(test_uneven),
		TEST(test_busy_host),	 TEST(test_wall_time),	      TEST(test_bcd),
		TEST(test_twelve_hours), TEST(test_update_under_way), TEST(test_no_cmos),
		TEST(test_not_set),	 TEST(test_timer_by_count),   TEST(test_timer_by_deadline),
		TEST(test_delay)};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
