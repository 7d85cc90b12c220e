/*
 * Finished lines on their way to the outputs. Each source (the hypervisor, each partition) has a part of the
 * ring of its own, so that none can fill another's. A source whose part is full loses whole lines, which are
 * counted and told.
 *
 * Lines leave in the order in which they came, except that a source which has sent its burst of bytes while
 * others wait lets those go first: behind a flood another's line waits no longer than that.
 */
#pragma once

#include "hv/core/partition.h"

#define QUEUE_SOURCES	(CONFIG_MAX_PARTITIONS + 1)
#define QUEUE_OWN	0 /* the hypervisor's own lines; partition i is source i + 1 */
#define QUEUE_BURST	1024u
#define QUEUE_OWN_BURST 4096u /* a fault report stays in one piece */
#define QUEUE_LINE_COST 24u   /* a line's prefix, colour and end are sent too: an empty one is not free */

enum line_style {
	LINE_TEXT, /* in the colour of its source */
	LINE_LOST, /* the notice that lines were lost */
	LINE_WARNING,
	LINE_ERROR,
	LINE_DEBUG,
	LINE_PROMPT /* what was typed at the monitor */
};

struct queued_line {
	uint32_t source;
	enum line_style style;
	uint32_t length;
	char text[CONSOLE_LINE_SIZE];
};

/* What stands before each line's text in the ring. */
struct line_header {
	uint32_t sequence; /* order of arrival over all sources */
	uint16_t length;
	uint16_t style;
};

struct source_ring {
	uint8_t *bytes;
	uint32_t size, start, used;
	uint32_t lost;	/* lines lost and not told yet */
	bool dropping;	/* was full: takes nothing until half of it has drained */
	uint32_t spent; /* bytes sent since all who waited had their turn */
	uint64_t lost_total;
};

struct line_queues {
	uint32_t sources;
	uint32_t next_sequence;
	struct source_ring ring[QUEUE_SOURCES];
};

/* Cuts `size` bytes up: `own_size` for the hypervisor, equal parts for the partitions. */
void queue_start(struct line_queues *queues, uint8_t *bytes, uint32_t size, uint32_t own_size,
		 uint32_t partitions);

/* false: lost, and counted. */
bool queue_push(struct line_queues *queues, uint32_t source, enum line_style style, const char *text,
		size_t length);

/* The next line by the rule above; false: none is waiting. */
bool queue_pop(struct line_queues *queues, struct queued_line *line);

bool queue_waiting(const struct line_queues *queues);

/* Bytes that lines of this source, headers and all, may take up now without one being lost. */
uint32_t queue_room(const struct line_queues *queues, uint32_t source);

/* Tells of lost lines where nothing follows that would tell. */
void queue_settle(struct line_queues *queues);
