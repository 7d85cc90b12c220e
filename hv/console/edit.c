/*
 * Line editing.
 */
#include "hv/console/edit.h"

enum {
	CTRL_C = 0x03,
	BACKSPACE = 0x08,
	NEWLINE = 0x0A,
	RETURN = 0x0D,
	CTRL_U = 0x15,
	ESCAPE = 0x1B,
	DELETE = 0x7F
};
enum { ESCAPE_NONE, ESCAPE_STARTED, ESCAPE_CONTROL };

/* Keys such as the arrows send ESC [ ... or ESC O x (ECMA-48, VT100). */
static void skip_escape(struct line_edit *edit, uint8_t byte)
{
	if (edit->escape == ESCAPE_STARTED)
		edit->escape = byte == '[' || byte == 'O' ? ESCAPE_CONTROL : ESCAPE_NONE;
	else if (byte >= 0x40 && byte <= 0x7E)
		edit->escape = ESCAPE_NONE;
}

bool edit_feed(struct line_edit *edit, uint8_t byte)
{
	bool doubled = byte == NEWLINE && edit->after_return;

	edit->after_return = byte == RETURN;
	if (byte == RETURN || byte == NEWLINE) {
		edit->escape = ESCAPE_NONE;
		edit->text[edit->length] = '\0';
		return !doubled;
	}
	if (edit->escape) {
		skip_escape(edit, byte);
	} else if (byte == ESCAPE) {
		edit->escape = ESCAPE_STARTED;
	} else if (byte == BACKSPACE || byte == DELETE) {
		edit->length -= edit->length != 0;
	} else if (byte == CTRL_U || byte == CTRL_C) {
		edit->length = 0;
	} else if (byte >= ' ' && byte < DELETE && edit->length < EDIT_SIZE - 1) {
		edit->text[edit->length++] = (char)byte;
	}
	return false;
}
