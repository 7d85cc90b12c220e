/*
 * The PC's 8254 interval timer (Intel 8254 data sheet) and port 61h, which gates channel 2 and reads its
 * output. Nothing counts here: what a counter holds follows from the TSC at which it was started, so a period
 * never drifts. All six modes, binary and BCD, each with its own moment at which a new count is taken. Times
 * are TSC values.
 */
#pragma once

#include "hv/lib/types.h"

#define PIT_HZ	     1193182ull
#define PIT_CHANNELS 3
#define PIT_NEVER    UINT64_MAX

struct pit_channel {
	uint8_t access; /* bytes of a count: 1 low, 2 high, 3 low then high */
	uint8_t mode;
	bool bcd;
	bool gate;
	bool loaded; /* a count was written since the mode was set */
	bool running;
	bool write_high, read_high; /* the second byte is next */
	bool count_latched, status_latched;
	uint8_t low_byte, status;
	uint16_t latch;
	uint32_t reload;       /* 1..10000h */
	uint32_t next_reload;  /* written, and not taken yet; 0: none */
	uint64_t start;	       /* when `ticks_before` was true */
	uint64_t ticks_before; /* counted until then (a closed gate interrupts) */
	uint64_t turn;	       /* modes 2 and 3, running: the tick at which `next_reload` is taken */
};

struct pit {
	uint64_t tsc_hz;
	uint64_t edge; /* when channel 0's output rises next; PIT_NEVER */
	bool speaker;
	struct pit_channel channel[PIT_CHANNELS];
};

void pit_reset(struct pit *pit, uint32_t tsc_khz);

/* Ports 40h to 43h and 61h. */
uint8_t pit_read(struct pit *pit, uint16_t port, uint64_t now);
void pit_write(struct pit *pit, uint16_t port, uint8_t value, uint64_t now);

bool pit_output(struct pit *pit, unsigned channel, uint64_t now);
/* How often channel 0's output has risen since the last call; finds the next edge. */
uint64_t pit_take_edges(struct pit *pit, uint64_t now);
