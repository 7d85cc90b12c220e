/*
 * A ring of lines, each ended by a newline; `start` always stands at the beginning of a line.
 */
#include "hv/console/log_ring.h"

#define LINE_MAX_BYTES (LOG_RING_SIZE / 4)

static char *at(struct log_ring *ring, uint64_t position)
{
	return &ring->bytes[position % LOG_RING_SIZE];
}

static void drop_oldest(struct log_ring *ring)
{
	while (ring->start < ring->end && *at(ring, ring->start++) != '\n')
		;
}

void log_ring_add(struct log_ring *ring, const char *text, size_t length)
{
	size_t kept = MIN(length, (size_t)LINE_MAX_BYTES);

	while (ring->end + kept + 1 - ring->start > LOG_RING_SIZE)
		drop_oldest(ring);
	for (size_t i = 0; i < kept; i++)
		*at(ring, ring->end++) = text[i];
	*at(ring, ring->end++) = '\n';
}

int log_ring_read(const struct log_ring *ring, uint64_t *position, char *out, size_t size)
{
	size_t length = 0;

	if (*position < ring->start)
		*position = ring->start;
	if (*position >= ring->end)
		return -1;
	for (;;) {
		char character = ring->bytes[(*position)++ % LOG_RING_SIZE];

		if (character == '\n')
			return (int)length;
		if (length < size)
			out[length++] = character;
	}
}
