/*
 * The physical 16550 the hypervisor talks through: polled, 115200 baud, 8 data bits, no parity, 1 stop bit.
 * No call waits longer than a bound, whether the port is absent, stuck or slow. (National Semiconductor
 * PC16550D data sheet, section 8.)
 */
#pragma once

#include "hv/lib/types.h"

/*
 * Looks for a working UART at `port` (scratch register, then a byte through its internal loopback) and sets
 * it up. NULL: it works. Otherwise the reason in words, and all calls below do nothing.
 */
const char *serial_start(uint16_t port);

bool serial_usable(void);

/* How many bytes the transmitter takes at this moment: its FIFO's depth, or 0 while it is still sending. */
size_t serial_room(void);

/* Hands over at most what serial_room() has just answered. */
void serial_put(const char *bytes, size_t count);

/* Hands over all bytes, waiting for the line; drops the rest once the line has not moved for a long time. */
void serial_put_slowly(const char *bytes, size_t count);

/* Waits until the last byte has left the machine. */
void serial_finish(void);

/* The next byte received, or -1. */
int serial_get(void);
