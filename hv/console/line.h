/*
 * Bytes of a guest become lines of printable ASCII. Whatever a guest writes, nothing in its lines can move
 * the cursor, change a colour, answer a query or forge another partition's line.
 */
#pragma once

#include "hv/core/partition.h"

#define LINE_PRINTABLE_FIRST 0x20
#define LINE_PRINTABLE_LAST  0x7E

/* A finished line, without its newline; at most CONSOLE_LINE_SIZE characters. */
typedef void line_done_fn(void *context, const char *text, size_t length);

/* The common case, for the caller's fast path: a printable byte that just goes to the end. */
static inline bool line_is_plain(const struct console_line *line, uint8_t byte)
{
	return byte >= LINE_PRINTABLE_FIRST && byte <= LINE_PRINTABLE_LAST && !line->escape &&
	       line->length < CONSOLE_LINE_SIZE;
}

/*
 * Any byte: newline ends the line, carriage return and bell are dropped, backspace takes one character back,
 * tabs are expanded, escape sequences are dropped, other bytes are shown as \xNN, and an over-long line is
 * wrapped.
 */
void line_feed(struct console_line *line, uint8_t byte, line_done_fn *done, void *context);

/* Ends an unfinished line, if there is one. */
void line_finish(struct console_line *line, line_done_fn *done, void *context);
