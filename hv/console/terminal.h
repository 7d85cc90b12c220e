/*
 * What goes over the serial line: lines with prefix and colour, and below them one live line, which is what
 * the owner of the keyboard has not finished yet. Text is staged here until the UART takes it. Pure.
 */
#pragma once

#include "drivers/framebuffer.h"
#include "hv/core/partition.h"

#define TERMINAL_WIDTH	     79			    /* a live line never wraps, so that it can be erased */
#define TERMINAL_PREFIX_SIZE (CONFIG_NAME_SIZE + 2) /* "alpha   | " */
#define TERMINAL_PENDING     384

struct terminal_text {
	uint32_t source;
	enum text_colour colour;
	const char *prefix;
	const char *text;
	size_t length;
};

struct terminal {
	uint32_t length, sent; /* of pending[] */
	char pending[TERMINAL_PENDING];

	bool live;	 /* there is a live line on the terminal */
	bool live_whole; /* all of it is shown: prefix and text from the start */
	bool live_coloured;
	uint32_t live_source;
	uint32_t live_length;
	char live_text[TERMINAL_WIDTH];
};

/* The text a live line shows: prefix and text, or the end of the text where that does not fit. Returns its
 * length. */
size_t terminal_visible(const struct terminal_text *text, char visible[TERMINAL_WIDTH], bool *whole);

/* Each of these stages output; they may be called only while terminal_pending() is 0. */
void terminal_line(struct terminal *terminal, const struct terminal_text *text);
void terminal_live(struct terminal *terminal, const struct terminal_text *text);
void terminal_erase(struct terminal *terminal);

static inline uint32_t terminal_pending(const struct terminal *terminal)
{
	return terminal->length - terminal->sent;
}
static inline const char *terminal_bytes(const struct terminal *terminal)
{
	return terminal->pending + terminal->sent;
}
void terminal_sent(struct terminal *terminal, size_t count);
