/*
 * The queues of finished lines. Pure: whoever calls holds the console lock.
 */
#include "hv/console/queue.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

#define LOST_TEXT 32 /* "[4294967295 lines lost]" */

static void ring_write(struct source_ring *ring, const void *from, uint32_t count)
{
	uint32_t end = ring->start + ring->used;
	uint32_t first;

	end -= end < ring->size ? 0 : ring->size;
	first = MIN(count, ring->size - end);
	memcpy(ring->bytes + end, from, first);
	memcpy(ring->bytes, (const uint8_t *)from + first, count - first);
	ring->used += count;
}

static void ring_peek(const struct source_ring *ring, void *to, uint32_t count)
{
	uint32_t first = MIN(count, ring->size - ring->start);

	memcpy(to, ring->bytes + ring->start, first);
	memcpy((uint8_t *)to + first, ring->bytes, count - first);
}

static void ring_read(struct source_ring *ring, void *to, uint32_t count)
{
	ring_peek(ring, to, count);
	ring->start += count;
	ring->start -= ring->start < ring->size ? 0 : ring->size;
	ring->used -= count;
}

void queue_start(struct line_queues *queues, uint8_t *bytes, uint32_t size, uint32_t own_size,
		 uint32_t others)
{
	uint32_t share = others ? (size - own_size) / others : 0;

	memset(queues, 0, sizeof(*queues));
	queues->sources = others + 1;
	for (uint32_t source = 0; source < queues->sources; source++) {
		struct source_ring *ring = &queues->ring[source];

		ring->bytes = bytes;
		ring->size = source == QUEUE_OWN ? own_size : share;
		bytes += ring->size;
	}
}

static bool push(struct line_queues *queues, struct source_ring *ring, enum line_style style,
		 const char *text, size_t length)
{
	struct line_header header = {.sequence = queues->next_sequence,
				     .length = (uint16_t)MIN(length, (size_t)CONSOLE_LINE_SIZE),
				     .style = (uint16_t)style};

	if (ring->size - ring->used < sizeof(header) + header.length)
		return false;
	queues->next_sequence++;
	ring_write(ring, &header, sizeof(header));
	ring_write(ring, text, header.length);
	return true;
}

static void tell_lost(struct line_queues *queues, struct source_ring *ring)
{
	char text[LOST_TEXT];
	size_t length =
		format(text, sizeof(text), "[%u line%s lost]", ring->lost, ring->lost == 1 ? "" : "s");

	if (push(queues, ring, LINE_LOST, text, length))
		ring->lost = 0;
}

bool queue_push(struct line_queues *queues, uint32_t source, enum line_style style, const char *text,
		size_t length)
{
	struct source_ring *ring = &queues->ring[source];

	if (ring->dropping && ring->used <= ring->size / 2)
		ring->dropping = false;
	if (!ring->dropping) {
		if (ring->lost)
			tell_lost(queues, ring);
		if (push(queues, ring, style, text, length))
			return true;
	}
	ring->dropping = true;
	ring->lost++;
	ring->lost_total++;
	return false;
}

static uint32_t burst(uint32_t source)
{
	return source == QUEUE_OWN ? QUEUE_OWN_BURST : QUEUE_BURST;
}

/* The source with the oldest line among those that have not used up their burst; NULL: none. */
static struct source_ring *oldest(struct line_queues *queues)
{
	struct source_ring *best = NULL;
	uint32_t best_age = 0;

	for (uint32_t source = 0; source < queues->sources; source++) {
		struct source_ring *ring = &queues->ring[source];
		struct line_header header;
		uint32_t age;

		if (!ring->used || ring->spent >= burst(source))
			continue;
		ring_peek(ring, &header, sizeof(header));
		age = queues->next_sequence - header.sequence; /* modulo 2^32 */
		if (age > best_age) {
			best_age = age;
			best = ring;
		}
	}
	return best;
}

bool queue_pop(struct line_queues *queues, struct queued_line *line)
{
	struct source_ring *ring = oldest(queues);
	struct line_header header;

	if (!ring) {
		/* Nobody is waiting but those who had their turn: a new round. */
		for (uint32_t source = 0; source < queues->sources; source++)
			queues->ring[source].spent = 0;
		ring = oldest(queues);
	}
	if (!ring)
		return false;
	ring_read(ring, &header, sizeof(header));
	line->source = (uint32_t)(ring - queues->ring);
	line->style = (enum line_style)header.style;
	line->length = header.length;
	ring_read(ring, line->text, header.length);
	ring->spent += QUEUE_LINE_COST + header.length;
	return true;
}

bool queue_waiting(const struct line_queues *queues)
{
	for (uint32_t source = 0; source < queues->sources; source++)
		if (queues->ring[source].used)
			return true;
	return false;
}

uint32_t queue_room(const struct line_queues *queues, uint32_t source)
{
	const struct source_ring *ring = &queues->ring[source];
	uint32_t notice = ring->lost ? sizeof(struct line_header) + LOST_TEXT : 0; /* goes first */

	if (ring->dropping && ring->used > ring->size / 2)
		return 0;
	return ring->size - MIN(ring->used + notice, ring->size);
}

void queue_settle(struct line_queues *queues)
{
	for (uint32_t source = 0; source < queues->sources; source++) {
		struct source_ring *ring = &queues->ring[source];

		if (ring->lost && !ring->used)
			tell_lost(queues, ring);
	}
}
