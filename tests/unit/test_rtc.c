/*
 * The clock by the MC146818A's data sheet: the calendar in every form, updates, alarm, periodic interrupt,
 * memory; how Linux reads and sets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "hv/device/rtc.h"

#define HZ    (1ull << RTC_HZ_LOG2)
#define START (1700000000ull * HZ) /* Tuesday 14 November 2023, 22:13:20 */

enum {
	SECONDS,
	SECONDS_ALARM,
	MINUTES,
	MINUTES_ALARM,
	HOURS,
	HOURS_ALARM,
	WEEKDAY,
	DAY,
	MONTH,
	YEAR,
	A,
	B,
	C,
	D
};
#define CENTURY	 0x32
#define SET	 0x80
#define BINARY	 0x04
#define HOURS24	 0x02
#define PERIODIC 0x40
#define ALARM	 0x20
#define UPDATED	 0x10

static struct rtc rtc;
static uint64_t now;

static uint8_t get(uint8_t index)
{
	rtc_write(&rtc, 0x70, index, now);
	return rtc_read(&rtc, 0x71, now);
}

static void put(uint8_t index, uint8_t value)
{
	rtc_write(&rtc, 0x70, index, now);
	rtc_write(&rtc, 0x71, value, now);
}

static int setup(void **state)
{
	(void)state;
	now = START;
	rtc_reset(&rtc, now);
	return 0;
}

static void expect(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute,
		   uint8_t second)
{
	assert_int_equal(get(CENTURY), century);
	assert_int_equal(get(YEAR), year);
	assert_int_equal(get(MONTH), month);
	assert_int_equal(get(DAY), day);
	assert_int_equal(get(HOURS), hour);
	assert_int_equal(get(MINUTES), minute);
	assert_int_equal(get(SECONDS), second);
}

static void power_on(void **state)
{
	(void)state;
	expect(0x20, 0x23, 0x11, 0x14, 0x22, 0x13, 0x20);
	assert_int_equal(get(WEEKDAY), 3);
	assert_int_equal(get(A), 0x26);
	assert_int_equal(get(B), 0x02);
	assert_int_equal(get(C), 0);
	assert_int_equal(get(D), 0x80);
	put(C, 0xFF);
	put(D, 0x00);
	assert_int_equal(get(C), 0);
	assert_int_equal(get(D), 0x80);
	assert_int_equal(rtc_read(&rtc, 0x70, now), 0xFF);
	rtc_write(&rtc, 0x70, 0x80 | D, now); /* the NMI bit is not part of the index */
	assert_int_equal(rtc_read(&rtc, 0x71, now), 0x80);
}

/* Against the C library, over the leap years and centuries of 300 years. */
static void every_month(void **state)
{
	(void)state;
	put(B, BINARY | HOURS24);
	for (time_t t = 0; t < 9467000000; t += 2629746 + 3607) {
		struct tm tm;

		now = (uint64_t)t * HZ;
		gmtime_r(&t, &tm);
		expect((uint8_t)((tm.tm_year + 1900) / 100), (uint8_t)(tm.tm_year % 100),
		       (uint8_t)(tm.tm_mon + 1), (uint8_t)tm.tm_mday, (uint8_t)tm.tm_hour, (uint8_t)tm.tm_min,
		       (uint8_t)tm.tm_sec);
		assert_int_equal(get(WEEKDAY), tm.tm_wday + 1);
	}
}

static void twelve_hours(void **state)
{
	static const uint8_t expected[24] = {0x12, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
					     0x08, 0x09, 0x10, 0x11, 0x92, 0x81, 0x82, 0x83,
					     0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x90, 0x91};

	(void)state;
	put(B, 0);
	for (unsigned hour = 0; hour < 24; hour++) {
		now = (hour * 3600 + 5) * HZ;
		assert_int_equal(get(HOURS), expected[hour]);
		put(HOURS, expected[hour]);
		assert_int_equal(get(HOURS), expected[hour]);
		assert_int_equal(get(DAY), 0x01);
	}
}

static void goes_on(void **state)
{
	(void)state;
	now += 47 * 60 * HZ - 21 * HZ; /* to one second before midnight */
	expect(0x20, 0x23, 0x11, 0x14, 0x22, 0x59, 0x59);
	now += 3600 * HZ + HZ;
	expect(0x20, 0x23, 0x11, 0x15, 0x00, 0x00, 0x00);
	assert_int_equal(get(WEEKDAY), 4);
}

/* Linux, mc146818_set_time(): stop, hold the divider, write, let go. The first second is half a one. */
static void linux_sets_it(void **state)
{
	static const uint8_t values[][2] = {{YEAR, 0x24},    {MONTH, 0x02},   {DAY, 0x29},    {HOURS, 0x23},
					    {MINUTES, 0x59}, {SECONDS, 0x58}, {CENTURY, 0x20}};

	(void)state;
	now += 12345;
	put(B, SET | HOURS24);
	put(A, 0x76);
	for (unsigned i = 0; i < ARRAY_SIZE(values); i++)
		put(values[i][0], values[i][1]);
	now += 3 * HZ; /* it stands still meanwhile */
	assert_int_equal(get(SECONDS), 0x58);
	put(B, HOURS24);
	assert_int_equal(get(SECONDS), 0x58);
	put(A, 0x26);
	expect(0x20, 0x24, 0x02, 0x29, 0x23, 0x59, 0x58);
	now += HZ / 2 - 1;
	assert_int_equal(get(SECONDS), 0x58);
	now += 1;
	assert_int_equal(get(SECONDS), 0x59);
	now += HZ;
	expect(0x20, 0x24, 0x03, 0x01, 0x00, 0x00, 0x00);
}

static void set_on_the_fly(void **state)
{
	(void)state;
	now += 100;
	put(HOURS, 0x08);
	expect(0x20, 0x23, 0x11, 0x14, 0x08, 0x13, 0x20);
	put(WEEKDAY, 0x06); /* its own counter, whatever the date */
	put(CENTURY, 0x19);
	expect(0x19, 0x23, 0x11, 0x14, 0x08, 0x13, 0x20);
	assert_int_equal(get(WEEKDAY), 6);
	now += 56800 * HZ - 101; /* to the last tick of the day */
	assert_int_equal(get(WEEKDAY), 6);
	now++;
	assert_int_equal(get(DAY), 0x15);
}

/* Values that are no date are somebody's mistake, and still some date. */
static void nonsense(void **state)
{
	(void)state;
	for (unsigned value = 0; value < 256; value++)
		for (unsigned index = 0; index < RTC_MEMORY; index++) {
			put((uint8_t)index, (uint8_t)value);
			(void)get((uint8_t)index);
			(void)rtc_next(&rtc, now);
			now += 777;
		}
}

/* 244 us of warning and 1984 us of update before each second; none while stopped. */
static void update_in_progress(void **state)
{
	unsigned busy = 0;

	(void)state;
	for (unsigned tick = 0; tick < HZ; tick++, now++) {
		const bool updates = get(A) & 0x80;

		busy += updates;
		if (updates && tick < HZ - 100)
			fail();
	}
	assert_int_equal(busy, 73);
	now -= 1;
	assert_int_equal(get(A), 0xA6);
	put(B, SET | HOURS24);
	assert_int_equal(get(A), 0x26);
}

static void update_interrupt(void **state)
{
	(void)state;
	put(B, UPDATED | HOURS24);
	assert_int_equal(rtc_next(&rtc, now), START + HZ);
	now = START + HZ - 1;
	assert_false(rtc_interrupt(&rtc, now));
	now++;
	assert_true(rtc_interrupt(&rtc, now));
	assert_int_equal(rtc_next(&rtc, now), RTC_NEVER); /* until it is read */
	assert_int_equal(get(C) & 0x90, 0x90);
	assert_false(rtc_interrupt(&rtc, now));
	assert_int_equal(get(C), 0);
	assert_int_equal(rtc_next(&rtc, now), START + 2 * HZ);
	put(B, SET | UPDATED | HOURS24);
	assert_int_equal(get(B), SET | HOURS24); /* SET clears it */
	now += 2 * HZ;
	assert_int_equal(get(C) & UPDATED, 0);
}

/* Flags are set whether or not they are enabled. */
static void polled_flags(void **state)
{
	(void)state;
	now += HZ;
	assert_int_equal(get(C), UPDATED | PERIODIC);
	assert_int_equal(get(C), 0);
	now += HZ / 1024;
	assert_int_equal(get(C), PERIODIC);
}

static void periodic_rates(void **state)
{
	static const unsigned hz[16] = {0,   256, 128, 8192, 4096, 2048, 1024, 512,
					256, 128, 64,  32,   16,   8,	 4,    2};

	(void)state;
	put(B, PERIODIC | HOURS24);
	for (unsigned rate = 0; rate < 16; rate++) {
		const uint64_t end = now + 2 * HZ;
		unsigned count = 0;

		put(A, (uint8_t)(0x20 | rate));
		(void)get(C);
		for (;;) {
			const uint64_t next = rtc_next(&rtc, now);

			if (next > end)
				break;
			assert_true(next > now);
			now = next;
			assert_true(rtc_interrupt(&rtc, now));
			assert_int_equal(get(C) & 0xC0, 0xC0);
			count++;
		}
		assert_int_equal(count, 2 * hz[rate]);
		now = end;
	}
}

static uint64_t alarm_after(uint8_t hour, uint8_t minute, uint8_t second)
{
	setup(NULL);
	put(HOURS_ALARM, hour);
	put(MINUTES_ALARM, minute);
	put(SECONDS_ALARM, second);
	put(B, ALARM | HOURS24);
	if (rtc_next(&rtc, now) == RTC_NEVER)
		return 0;
	now = rtc_next(&rtc, now) - 1;
	assert_false(rtc_interrupt(&rtc, now));
	now++;
	assert_true(rtc_interrupt(&rtc, now));
	assert_int_equal(get(C) & 0xA0, 0xA0);
	return (now - START) / HZ;
}

/* It is 22:13:20. */
static void alarms(void **state)
{
	(void)state;
	assert_int_equal(alarm_after(0x22, 0x13, 0x21), 1);
	assert_int_equal(alarm_after(0x22, 0x14, 0x05), 45);
	assert_int_equal(alarm_after(0x22, 0x13, 0x20), 86400); /* now is over */
	assert_int_equal(alarm_after(0x22, 0x13, 0x10), 86390);
	assert_int_equal(alarm_after(0x07, 0x30, 0x00), 9 * 3600 + 16 * 60 + 40);
	assert_int_equal(alarm_after(0xFF, 0xFF, 0xFF), 1); /* every second */
	assert_int_equal(alarm_after(0xC0, 0xC0, 0x20), 60);
	assert_int_equal(alarm_after(0xFF, 0x00, 0x00), 2800);
	assert_int_equal(alarm_after(0x25, 0x00, 0x00), 0); /* never */
	assert_int_equal(alarm_after(0x22, 0x70, 0x00), 0);
}

static void alarm_follows_the_calendar(void **state)
{
	(void)state;
	put(HOURS_ALARM, 0x12);
	put(MINUTES_ALARM, 0);
	put(SECONDS_ALARM, 0);
	put(B, ALARM | HOURS24);
	put(HOURS, 0x11);
	put(MINUTES, 0x59);
	assert_int_equal(rtc_next(&rtc, now), START + 40 * HZ);
	now += 40 * HZ;
	assert_true(rtc_interrupt(&rtc, now));
	(void)get(C);
	assert_int_equal(rtc_next(&rtc, now), START + 40 * HZ + 86400 * HZ);
}

static void memory(void **state)
{
	(void)state;
	for (unsigned i = 0x0E; i < RTC_MEMORY; i++)
		if (i != CENTURY)
			put((uint8_t)i, (uint8_t)(i * 7));
	for (unsigned i = 0x0E; i < RTC_MEMORY; i++)
		if (i != CENTURY)
			assert_int_equal(get((uint8_t)i), (uint8_t)(i * 7));
}

int main(void)
{
#undef TEST
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {TEST(power_on),
					   TEST(every_month),
					   TEST(twelve_hours),
					   TEST(goes_on),
					   TEST(linux_sets_it),
					   TEST(set_on_the_fly),
					   TEST(nonsense),
					   TEST(update_in_progress),
					   TEST(update_interrupt),
					   TEST(polled_flags),
					   TEST(periodic_rates),
					   TEST(alarms),
					   TEST(alarm_follows_the_calendar),
					   TEST(memory)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
