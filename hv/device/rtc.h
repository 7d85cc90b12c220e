/*
 * The PC's real-time clock: Motorola MC146818A with 128 bytes of memory and the byte for the century that
 * every PC has. Nothing counts here: the calendar is the given time and an offset, which changes when a
 * guest sets the clock. Times are ticks of the clock's crystal, 32.768 kHz, since 1970.
 */
#pragma once

#include "hv/lib/types.h"

#define RTC_HZ_LOG2 15
#define RTC_MEMORY  128u
#define RTC_NEVER   UINT64_MAX

struct rtc {
	uint8_t index;
	uint8_t flags;	 /* register C, without IRQF */
	uint8_t weekday; /* days by which the register is ahead of the calendar's own weekday */
	uint8_t memory[RTC_MEMORY];
	uint64_t offset; /* calendar less time given */
	uint64_t seen;	 /* up to when the flags are right */
	uint64_t alarm;	 /* the next second of the calendar that matches */
};

void rtc_reset(struct rtc *rtc, uint64_t now);

/* Ports 70h and 71h. */
uint8_t rtc_read(struct rtc *rtc, uint16_t port, uint64_t now);
void rtc_write(struct rtc *rtc, uint16_t port, uint8_t value, uint64_t now);

/* The level of IRQ 8. */
bool rtc_interrupt(struct rtc *rtc, uint64_t now);
/* When it can rise by itself; RTC_NEVER. */
uint64_t rtc_next(const struct rtc *rtc, uint64_t now);
