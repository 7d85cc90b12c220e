/*
 * The calendar to registers and back; what sets the three flags as time goes on, and when; then the ports.
 * Source: Motorola MC146818A data sheet: "Address map", table 2 to 5; registers A to D.
 */
#include "hv/device/rtc.h"
#include "hv/device/pc.h"
#include "hv/lib/string.h"

enum rtc_register {
	RTC_SECONDS = 0x00,
	RTC_SECONDS_ALARM = 0x01,
	RTC_MINUTES = 0x02,
	RTC_MINUTES_ALARM = 0x03,
	RTC_HOURS = 0x04,
	RTC_HOURS_ALARM = 0x05,
	RTC_WEEKDAY = 0x06,
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_A = 0x0A,
	RTC_B = 0x0B,
	RTC_C = 0x0C,
	RTC_D = 0x0D,
	RTC_CENTURY = PC_RTC_CENTURY
};

#define INDEX_BITS 0x7Fu /* bit 7 masks NMIs */
#define REGISTERS_TIME                                                                                       \
	((1ull << RTC_SECONDS) | (1ull << RTC_MINUTES) | (1ull << RTC_HOURS) | (1ull << RTC_WEEKDAY) |       \
	 (1ull << RTC_DAY) | (1ull << RTC_MONTH) | (1ull << RTC_YEAR) | (1ull << RTC_CENTURY))

#define A_IN_PROGRESS	0x80u
#define A_DIVIDER_RESET 0x60u /* both bits: the divider is held */
#define A_RATE		0x0Fu
#define A_RESET		0x26u /* 32.768 kHz, 1024 Hz */

#define B_SET	       0x80u
#define B_BINARY       0x04u
#define B_24_HOURS     0x02u
#define B_RESET	       B_24_HOURS
#define C_REQUEST      0x80u
#define FLAG_PERIODIC  0x40u /* the same bits enable in register B */
#define FLAG_ALARM     0x20u
#define FLAG_UPDATED   0x10u
#define D_VALID	       0x80u
#define ALARM_ANY      0xC0u
#define HOUR_AFTERNOON 0x80u

#define TICKS_PER_SECOND (1u << RTC_HZ_LOG2)
/* An update takes 1984 us, and is announced 244 us before (table 6). Here it ends as the second begins. */
#define UPDATE_TICKS 73u

#define SECONDS_PER_DAY 86400u
#define DAYS_PER_ERA	146097u /* 400 years of the Gregorian calendar, and whole weeks */
#define YEARS_PER_ERA	400u
#define ORIGIN_WEEKDAY	3u	/* of day 0: Wednesday; Sunday is 0 here and 1 in the register */
#define EPOCH		865565u /* 1 January 1970 */

struct date {
	unsigned year, month, day;
};

/*
 * The calendar. Years are counted from March, so that the leap day comes last; days from one era before the
 * year 0, so that whatever a guest sets is behind it.
 */

static struct date date_of(uint64_t days)
{
	const unsigned day_of_era = (unsigned)(days % DAYS_PER_ERA);
	const unsigned year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_PER_ERA - 1)) / 365;
	const unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	const unsigned month = (5 * day_of_year + 2) / 153; /* March is 0 */
	const unsigned january = month >= 10;

	return (struct date){((unsigned)(days / DAYS_PER_ERA) - 1) * YEARS_PER_ERA + year_of_era + january,
			     january ? month - 9 : month + 3, day_of_year - (153 * month + 2) / 5 + 1};
}

/* A date that is none, such as month 0, gives some other day. */
static uint64_t days_of(const struct date *date)
{
	const unsigned month = (date->month + 9) % 12, year = date->year + YEARS_PER_ERA - (month >= 10);
	const unsigned year_of_era = year % YEARS_PER_ERA;
	const uint64_t first_of_year = (uint64_t)(year / YEARS_PER_ERA) * DAYS_PER_ERA + 365 * year_of_era +
				       year_of_era / 4 - year_of_era / 100;

	return first_of_year + (153 * month + 2) / 5 + date->day - 1;
}

static unsigned weekday_of(uint64_t days)
{
	return (unsigned)((days + ORIGIN_WEEKDAY) % 7);
}

/*
 * Registers in the form that register B asks for
 */

static uint8_t encode(const struct rtc *rtc, unsigned value)
{
	return (uint8_t)(rtc->memory[RTC_B] & B_BINARY ? value : value / 10 % 10 << 4 | value % 10);
}

static unsigned decode(const struct rtc *rtc, uint8_t value)
{
	return rtc->memory[RTC_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 0xFu);
}

static uint8_t encode_hour(const struct rtc *rtc, unsigned hour)
{
	if (rtc->memory[RTC_B] & B_24_HOURS)
		return encode(rtc, hour);
	return (uint8_t)(encode(rtc, (hour + 11) % 12 + 1) | (hour >= 12 ? HOUR_AFTERNOON : 0));
}

static unsigned decode_hour(const struct rtc *rtc, uint8_t value)
{
	if (rtc->memory[RTC_B] & B_24_HOURS)
		return decode(rtc, value);
	return decode(rtc, value & (uint8_t)~HOUR_AFTERNOON) % 12 + (value & HOUR_AFTERNOON ? 12 : 0);
}

static void show_calendar(struct rtc *rtc, uint64_t seconds)
{
	const uint64_t days = seconds / SECONDS_PER_DAY;
	const unsigned second = (unsigned)(seconds % SECONDS_PER_DAY);
	const struct date date = date_of(days);

	rtc->memory[RTC_SECONDS] = encode(rtc, second % 60);
	rtc->memory[RTC_MINUTES] = encode(rtc, second / 60 % 60);
	rtc->memory[RTC_HOURS] = encode_hour(rtc, second / 3600);
	rtc->memory[RTC_WEEKDAY] = encode(rtc, (weekday_of(days) + rtc->weekday) % 7 + 1);
	rtc->memory[RTC_DAY] = encode(rtc, date.day);
	rtc->memory[RTC_MONTH] = encode(rtc, date.month);
	rtc->memory[RTC_YEAR] = encode(rtc, date.year % 100);
	rtc->memory[RTC_CENTURY] = encode(rtc, date.year / 100);
}

/* What the registers say, in seconds; the weekday need not fit the date. */
static uint64_t read_calendar(struct rtc *rtc)
{
	const struct date date = {decode(rtc, rtc->memory[RTC_CENTURY]) * 100 +
					  decode(rtc, rtc->memory[RTC_YEAR]),
				  decode(rtc, rtc->memory[RTC_MONTH]), decode(rtc, rtc->memory[RTC_DAY])};
	const uint64_t days = days_of(&date);

	rtc->weekday = (uint8_t)((decode(rtc, rtc->memory[RTC_WEEKDAY]) + 6 + 7 - weekday_of(days)) % 7);
	return days * SECONDS_PER_DAY + decode_hour(rtc, rtc->memory[RTC_HOURS]) * 3600 +
	       decode(rtc, rtc->memory[RTC_MINUTES]) * 60 + decode(rtc, rtc->memory[RTC_SECONDS]);
}

/*
 * Time
 */

static bool divider_held(const struct rtc *rtc)
{
	return (rtc->memory[RTC_A] & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

/* The calendar stands still, and its registers are memory. */
static bool stopped(const struct rtc *rtc)
{
	return divider_held(rtc) || (rtc->memory[RTC_B] & B_SET);
}

static uint64_t second_at(const struct rtc *rtc, uint64_t now)
{
	return (now + rtc->offset) >> RTC_HZ_LOG2;
}

static bool alarm_field_matches(const struct rtc *rtc, enum rtc_register field, unsigned value)
{
	const uint8_t alarm = rtc->memory[field];

	if (alarm >= ALARM_ANY)
		return true;
	return (field == RTC_HOURS_ALARM ? decode_hour(rtc, alarm) : decode(rtc, alarm)) == value;
}

/* The first second of the hour from `second` on that matches; 3600: none. */
static unsigned match_in_hour(const struct rtc *rtc, unsigned second)
{
	for (unsigned minute = second / 60; minute < 60; minute++) {
		const unsigned first = minute == second / 60 ? second % 60 : 0;

		if (!alarm_field_matches(rtc, RTC_MINUTES_ALARM, minute))
			continue;
		for (unsigned i = first; i < 60; i++)
			if (alarm_field_matches(rtc, RTC_SECONDS_ALARM, i))
				return minute * 60 + i;
	}
	return 3600;
}

/* The first second from `from` on at which the alarm goes off, within a day. */
static uint64_t find_alarm(const struct rtc *rtc, uint64_t from)
{
	for (unsigned i = 0; i <= 24; i++) {
		const uint64_t hour = from / 3600 + i;
		const unsigned first = i ? 0 : (unsigned)(from % 3600);
		unsigned second;

		if (!alarm_field_matches(rtc, RTC_HOURS_ALARM, (unsigned)(hour % 24)))
			continue;
		second = match_in_hour(rtc, first);
		if (second < 3600)
			return hour * 3600 + second;
		if (i)
			break; /* not in a whole hour: in none */
	}
	return RTC_NEVER;
}

/* log2 of the periodic interrupt's ticks; 0: off (table 5: rates 1 and 2 are those of 8 and 9). */
static unsigned period_log2(const struct rtc *rtc)
{
	const unsigned rate = rtc->memory[RTC_A] & A_RATE;

	if (!rate)
		return 0;
	return rate < 3 ? rate + 6 : rate - 1;
}

/* Sets the flags of what has happened since the last look. */
static void catch_up(struct rtc *rtc, uint64_t now)
{
	const uint64_t before = rtc->seen + rtc->offset, after = now + rtc->offset;
	const unsigned period = period_log2(rtc);

	rtc->seen = now;
	if (divider_held(rtc))
		return;
	if (period && before >> period != after >> period)
		rtc->flags |= FLAG_PERIODIC;
	if (stopped(rtc) || before >> RTC_HZ_LOG2 == after >> RTC_HZ_LOG2)
		return;
	rtc->flags |= FLAG_UPDATED;
	if (after >> RTC_HZ_LOG2 < rtc->alarm)
		return;
	rtc->flags |= FLAG_ALARM;
	rtc->alarm = find_alarm(rtc, (after >> RTC_HZ_LOG2) + 1);
}

bool rtc_interrupt(struct rtc *rtc, uint64_t now)
{
	catch_up(rtc, now);
	return rtc->flags & rtc->memory[RTC_B];
}

uint64_t rtc_next(const struct rtc *rtc, uint64_t now)
{
	const uint64_t at = now + rtc->offset;
	const unsigned period = period_log2(rtc);
	const uint8_t enabled = rtc->memory[RTC_B];
	uint64_t next = RTC_NEVER;

	if ((rtc->flags & enabled) || divider_held(rtc))
		return RTC_NEVER; /* the line is up already, or nothing moves */
	if ((enabled & FLAG_PERIODIC) && period)
		next = ((at >> period) + 1) << period;
	if ((enabled & FLAG_UPDATED) && !stopped(rtc))
		next = MIN(next, ((at >> RTC_HZ_LOG2) + 1) << RTC_HZ_LOG2);
	if ((enabled & FLAG_ALARM) && !stopped(rtc) && rtc->alarm != RTC_NEVER)
		next = MIN(next, rtc->alarm << RTC_HZ_LOG2);
	return next == RTC_NEVER ? RTC_NEVER : next - rtc->offset;
}

/*
 * Ports
 */

static bool is_time(unsigned index)
{
	return index < 64 && (REGISTERS_TIME >> index & 1);
}

/* The calendar goes on from what the registers say, `fraction` ticks into that second. */
static void set_calendar(struct rtc *rtc, uint64_t fraction, uint64_t now)
{
	const uint64_t seconds = read_calendar(rtc);

	rtc->offset = (seconds << RTC_HZ_LOG2) + fraction - now;
	rtc->alarm = find_alarm(rtc, seconds + 1);
}

/* Registers A and B can stop the calendar and let it go. A divider let go ends its first second in half of
 * one. */
static void write_control(struct rtc *rtc, enum rtc_register which, uint8_t value, uint64_t now)
{
	const bool was_stopped = stopped(rtc), was_held = divider_held(rtc);

	if (!was_stopped)
		show_calendar(rtc, second_at(rtc, now));
	rtc->memory[which] = which == RTC_A ? value & (uint8_t)~A_IN_PROGRESS : value;
	if (rtc->memory[RTC_B] & B_SET)
		rtc->memory[RTC_B] &= (uint8_t)~FLAG_UPDATED;
	if (was_held && !divider_held(rtc))
		rtc->offset = TICKS_PER_SECOND / 2 - now;
	if (was_stopped && !stopped(rtc))
		set_calendar(rtc, (now + rtc->offset) % TICKS_PER_SECOND, now);
}

static void write_time(struct rtc *rtc, unsigned index, uint8_t value, uint64_t now)
{
	if (!stopped(rtc))
		show_calendar(rtc, second_at(rtc, now));
	rtc->memory[index] = value;
	if (!stopped(rtc))
		set_calendar(rtc, (now + rtc->offset) % TICKS_PER_SECOND, now);
}

static void write_register(struct rtc *rtc, unsigned index, uint8_t value, uint64_t now)
{
	catch_up(rtc, now);
	if (is_time(index)) {
		write_time(rtc, index, value, now);
	} else if (index == RTC_A || index == RTC_B) {
		write_control(rtc, (enum rtc_register)index, value, now);
	} else if (index != RTC_C && index != RTC_D) {
		rtc->memory[index] = value;
		if (index <= RTC_HOURS_ALARM)
			rtc->alarm = find_alarm(rtc, second_at(rtc, now) + 1);
	}
}

static uint8_t read_a(const struct rtc *rtc, uint64_t now)
{
	const uint64_t phase = (now + rtc->offset) % TICKS_PER_SECOND;
	const bool updates = !stopped(rtc) && phase >= TICKS_PER_SECOND - UPDATE_TICKS;

	return (uint8_t)(rtc->memory[RTC_A] | (updates ? A_IN_PROGRESS : 0));
}

/* Reading register C clears it, and with it the line. */
static uint8_t read_c(struct rtc *rtc)
{
	const uint8_t flags = rtc->flags, request = flags & rtc->memory[RTC_B] ? C_REQUEST : 0;

	rtc->flags = 0;
	return flags | request;
}

static uint8_t read_register(struct rtc *rtc, unsigned index, uint64_t now)
{
	catch_up(rtc, now);
	switch (index) {
	case RTC_A: return read_a(rtc, now);
	case RTC_C: return read_c(rtc);
	case RTC_D: return D_VALID;
	default: break;
	}
	if (is_time(index) && !stopped(rtc))
		show_calendar(rtc, second_at(rtc, now));
	return rtc->memory[index];
}

uint8_t rtc_read(struct rtc *rtc, uint16_t port, uint64_t now)
{
	return port == PC_PORT_RTC ? 0xFF
				   : read_register(rtc, rtc->index, now); /* the index cannot be read */
}

void rtc_write(struct rtc *rtc, uint16_t port, uint8_t value, uint64_t now)
{
	if (port == PC_PORT_RTC)
		rtc->index = value & INDEX_BITS;
	else
		write_register(rtc, rtc->index, value, now);
}

void rtc_reset(struct rtc *rtc, uint64_t now)
{
	memset(rtc, 0, sizeof(*rtc));
	rtc->memory[RTC_A] = A_RESET;
	rtc->memory[RTC_B] = B_RESET;
	rtc->offset = (uint64_t)EPOCH * SECONDS_PER_DAY << RTC_HZ_LOG2;
	rtc->seen = now;
	rtc->alarm = find_alarm(rtc, second_at(rtc, now) + 1);
}
