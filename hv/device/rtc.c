/*
 * Seconds since 1970 to the clock's calendar registers. Source: Motorola MC146818A data sheet, table 2; the
 * century byte is where ACPI's FADT and every PC BIOS have it.
 */
#include "hv/device/rtc.h"

enum rtc_register {
	RTC_SECONDS = 0x00,
	RTC_MINUTES = 0x02,
	RTC_HOURS = 0x04,
	RTC_WEEKDAY = 0x06,
	RTC_DAY = 0x07,
	RTC_MONTH = 0x08,
	RTC_YEAR = 0x09,
	RTC_STATUS_A = 0x0A,
	RTC_STATUS_B = 0x0B,
	RTC_STATUS_D = 0x0D,
	RTC_CENTURY = 0x32
};

#define STATUS_A_DIVIDER 0x26u /* 32.768 kHz crystal, 1024 Hz rate, no update in progress */
#define STATUS_B_24_HOUR 0x02u
#define STATUS_D_VALID	 0x80u

#define SECONDS_PER_DAY 86400u
#define EPOCH_WEEKDAY	4u	/* 1 January 1970 was a Thursday; Sunday is 0 here and 1 in the register */
#define DAYS_PER_ERA	146097u /* 400 years of the Gregorian calendar */
#define EPOCH_FROM_ERA	719468u /* days from 1 March 0000 to 1 January 1970 */

struct date {
	unsigned year, month, day;
};

/* Years counted from March, so that the leap day comes last. */
static struct date date_of(uint64_t days)
{
	const uint64_t since = days + EPOCH_FROM_ERA;
	const unsigned day_of_era = (unsigned)(since % DAYS_PER_ERA);
	const unsigned year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_PER_ERA - 1)) / 365;
	const unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	const unsigned month = (5 * day_of_year + 2) / 153; /* March is 0 */
	const unsigned january = month >= 10;

	return (struct date){(unsigned)(since / DAYS_PER_ERA) * 400 + year_of_era + january,
			     january ? month - 9 : month + 3, day_of_year - (153 * month + 2) / 5 + 1};
}

static uint8_t bcd(uint64_t value)
{
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

uint8_t rtc_read(uint8_t index, uint64_t seconds)
{
	const uint64_t days = seconds / SECONDS_PER_DAY, second = seconds % SECONDS_PER_DAY;
	const struct date date = date_of(days);

	switch (index) {
	case RTC_SECONDS: return bcd(second % 60);
	case RTC_MINUTES: return bcd(second / 60 % 60);
	case RTC_HOURS: return bcd(second / 3600);
	case RTC_WEEKDAY: return bcd((days + EPOCH_WEEKDAY) % 7 + 1);
	case RTC_DAY: return bcd(date.day);
	case RTC_MONTH: return bcd(date.month);
	case RTC_YEAR: return bcd(date.year % 100);
	case RTC_CENTURY: return bcd(date.year / 100);
	case RTC_STATUS_A: return STATUS_A_DIVIDER;
	case RTC_STATUS_B: return STATUS_B_24_HOUR;
	case RTC_STATUS_D: return STATUS_D_VALID;
	default: return 0;
	}
}
