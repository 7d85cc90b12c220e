/*
 * The PC's pair of 8259A interrupt controllers (Intel 8259A data sheet; ELCR: ICH9 data sheet 13.5.11):
 * sixteen lines in, one line and a vector out. The slave hangs on line 2 of the master.
 */
#pragma once

#include "hv/lib/types.h"

#define PIC_LINES 16
#define PIC_QUIET (-1)

struct pic {
	uint8_t request, service, mask;
	uint8_t lines;		 /* levels of the inputs */
	uint8_t level_triggered; /* ELCR */
	uint8_t base;		 /* vector of line 0 */
	uint8_t first;		 /* the line of highest priority */
	uint8_t next_word;	 /* initialisation word expected: 2, 3, 4; 0: none */
	bool wants_word4, single;
	bool auto_end, rotate_on_auto_end, special_mask, special_nested;
	bool reads_service, poll;
};

struct pic_pair {
	struct pic master, slave;
};

/* Power-on, everything masked: what firmware leaves to a system that brings its own vectors. */
void pic_reset(struct pic_pair *pair);

/* Ports 20h, 21h, A0h, A1h, and the ELCR at 4D0h, 4D1h. */
uint8_t pic_read(struct pic_pair *pair, uint16_t port);
void pic_write(struct pic_pair *pair, uint16_t port, uint8_t value);

void pic_set_line(struct pic_pair *pair, unsigned line, bool high);
/* Whether a line's interrupt waits to be acknowledged. */
bool pic_is_requested(const struct pic_pair *pair, unsigned line);

/* The vector that would be acknowledged now, or PIC_QUIET. */
int pic_pending(const struct pic_pair *pair);
/* INTA: the vector; with nothing pending a spurious line 7. */
uint8_t pic_acknowledge(struct pic_pair *pair);
