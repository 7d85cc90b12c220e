/*
 * The line a person types at the monitor: characters, backspace, Ctrl-U and Ctrl-C (both clear), Enter. Pure.
 */
#pragma once

#include "hv/lib/types.h"

#define EDIT_SIZE 128

struct line_edit {
	uint32_t length;
	char text[EDIT_SIZE]; /* terminated once edit_feed() says it is finished */
	bool after_return;    /* a newline right behind a return belongs to it */
	uint8_t escape;	      /* inside the sequence of an arrow or function key, which is dropped */
};

/* true: Enter was pressed, text is complete; the caller sets length to 0 for the next line. */
bool edit_feed(struct line_edit *edit, uint8_t byte);
