/*
 * Assembly of guest bytes to harmless lines.
 *
 * Escape sequences (ECMA-48) are dropped whole, because guests that believe in a terminal are full of them.
 * An unfinished one cannot swallow output for ever: it ends at a newline, and after ESCAPE_MAX bytes.
 */
#include "hv/console/line.h"

#define TAB_STOP   8
#define ESCAPE_MAX 64

enum control { BELL = 0x07, BACKSPACE = 0x08, TAB = 0x09, NEWLINE = 0x0A, RETURN = 0x0D, ESCAPE = 0x1B };

enum escape_state {
	ESCAPE_NONE,
	ESCAPE_STARTED,	     /* after ESC */
	ESCAPE_CONTROL,	     /* ESC [ : up to a byte 40h..7Eh */
	ESCAPE_INTERMEDIATE, /* ESC with 20h..2Fh: up to a byte 30h..7Eh */
	ESCAPE_STRING,	     /* ESC ] P X ^ _ : up to BEL or ESC \ */
	ESCAPE_STRING_END    /* ESC inside a string */
};

static void finish(struct console_line *line, line_done_fn *done, void *context)
{
	line->lines++;
	done(context, line->text, line->length);
	line->length = 0;
}

static void append(struct console_line *line, char character, line_done_fn *done, void *context)
{
	if (line->length == CONSOLE_LINE_SIZE) {
		finish(line, done, context);
		line->wrapped = true;
	}
	line->text[line->length++] = character;
}

static void append_hexadecimal(struct console_line *line, uint8_t byte, line_done_fn *done, void *context)
{
	static const char digits[] = "0123456789ABCDEF";
	const char text[4] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};

	for (unsigned i = 0; i < sizeof(text); i++)
		append(line, text[i], done, context);
}

static void append_tab(struct console_line *line, line_done_fn *done, void *context)
{
	do
		append(line, ' ', done, context);
	while (line->length % TAB_STOP);
}

static enum escape_state after_escape(uint8_t byte)
{
	switch (byte) {
	case '[': return ESCAPE_CONTROL;
	case ']':
	case 'P':
	case 'X':
	case '^':
	case '_': return ESCAPE_STRING;
	default: return byte >= 0x20 && byte <= 0x2F ? ESCAPE_INTERMEDIATE : ESCAPE_NONE;
	}
}

/* The state behind `byte`, which itself belongs to the sequence. */
static enum escape_state next_state(enum escape_state state, uint8_t byte)
{
	switch (state) {
	case ESCAPE_STARTED: return after_escape(byte);
	case ESCAPE_CONTROL: return byte >= 0x40 && byte <= 0x7E ? ESCAPE_NONE : ESCAPE_CONTROL;
	case ESCAPE_INTERMEDIATE: return byte >= 0x30 && byte <= 0x7E ? ESCAPE_NONE : ESCAPE_INTERMEDIATE;
	case ESCAPE_STRING:
		return byte == BELL ? ESCAPE_NONE : byte == ESCAPE ? ESCAPE_STRING_END : ESCAPE_STRING;
	case ESCAPE_STRING_END: return byte == '\\' ? ESCAPE_NONE : ESCAPE_STRING;
	default: return ESCAPE_NONE;
	}
}

static void end_line(struct console_line *line, line_done_fn *done, void *context)
{
	/* A line that was wrapped just before its newline has been shown in full. */
	if (line->length || !line->wrapped)
		finish(line, done, context);
	line->wrapped = false;
	line->escape = ESCAPE_NONE;
}

void line_feed(struct console_line *line, uint8_t byte, line_done_fn *done, void *context)
{
	if (byte == NEWLINE) {
		end_line(line, done, context);
		return;
	}
	if (line->escape) {
		line->escape = (uint8_t)next_state((enum escape_state)line->escape, byte);
		if (++line->escape_length == ESCAPE_MAX)
			line->escape = ESCAPE_NONE;
		return;
	}
	switch (byte) {
	case BELL:
	case RETURN: break;
	case BACKSPACE: line->length -= line->length != 0; break;
	case TAB: append_tab(line, done, context); break;
	case ESCAPE:
		line->escape = ESCAPE_STARTED;
		line->escape_length = 0;
		break;
	default:
		if (byte >= LINE_PRINTABLE_FIRST && byte <= LINE_PRINTABLE_LAST)
			append(line, (char)byte, done, context);
		else
			append_hexadecimal(line, byte, done, context);
	}
}

void line_finish(struct console_line *line, line_done_fn *done, void *context)
{
	if (line->length)
		end_line(line, done, context);
	line->wrapped = false;
	line->escape = ESCAPE_NONE;
}
