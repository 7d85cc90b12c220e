/*
 * The memory log: the newest 32 KiB of the hypervisor's own lines, the oldest lines making room. Pure.
 */
#pragma once

#include "hv/lib/types.h"

#define LOG_RING_SIZE (32 * 1024u)

/* Positions count bytes since the start and are used modulo the size. All zero is an empty log. */
struct log_ring {
	uint64_t start, end;
	char bytes[LOG_RING_SIZE];
};

/* Adds one line; `text` holds no newline. What is longer than a quarter of the ring is cut. */
void log_ring_add(struct log_ring *ring, const char *text, size_t length);

/*
 * Copies the line at *position (0: the oldest there is) to `out`, cut to `size`, and moves *position behind
 * it. Lines that have been overwritten meanwhile are passed over. Returns its length, or -1 at the end.
 */
int log_ring_read(const struct log_ring *ring, uint64_t *position, char *out, size_t size);

/* log.c: the hypervisor's own memory log, line by line as above. */
int log_read(uint64_t *position, char *out, size_t size);
/* Panic: whoever held its lock has been stopped. */
void log_break_lock(void);
