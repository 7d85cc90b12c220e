/*
 * Text on the loader's linear framebuffer: cells of 8x16 pixels, 160x60 at most (a larger mode uses its upper
 * left part).
 *
 * The text lives in a shadow, written at once and cheaply; framebuffer_redraw() later brings what differs
 * onto the screen, as much at a time as its caller can afford. Video memory is never read. Lines are written
 * by one CPU at a time and redrawn by one CPU at a time; the two may be different CPUs without a lock.
 */
#pragma once

#include <bulkhead/boot_info.h>
#include "hv/lib/types.h"

#define FRAMEBUFFER_COLUMNS 160
#define FRAMEBUFFER_ROWS    60

enum text_colour {
	COLOUR_PLAIN,
	COLOUR_RED,
	COLOUR_GREEN,
	COLOUR_YELLOW,
	COLOUR_BLUE,
	COLOUR_MAGENTA,
	COLOUR_CYAN,
	COLOUR_ORANGE,
	COLOUR_GREY,
	COLOURS
};

/*
 * Takes over the screen from text row `first_row` down: what stands above stays until it scrolls away.
 * `pixels` is where this CPU sees info->start now. false: no framebuffer, or a format that cannot be drawn;
 * all calls below then do nothing.
 */
bool framebuffer_start(const struct boot_framebuffer *info, void *pixels, uint32_t first_row);

/* The framebuffer is mapped elsewhere from now on. NULL: nowhere; what is written meanwhile is drawn after
 * the next move. */
void framebuffer_move(void *pixels);

bool framebuffer_usable(void);
uint32_t framebuffer_columns(void);
uint32_t framebuffer_rows(void);

/* Writes one line (printable ASCII; wrapped where the screen ends) and starts the next. */
void framebuffer_line(const char *text, size_t length, enum text_colour colour);

/* Shows text in the bottom line, which stays unfinished: the next line or live text takes its place. */
void framebuffer_live(const char *text, size_t length, enum text_colour colour);

/* Draws at most `cells` cells that differ from what the screen shows. true: there is more to draw. */
bool framebuffer_redraw(uint32_t cells);
