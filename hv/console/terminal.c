/*
 * Rendering for an ANSI terminal (ECMA-48). The colour covers the whole line, so that prefix and text stay
 * one piece for whoever searches a captured log. When a live line gets finished, only its missing end is
 * sent: typed text shows up once.
 */
#include "hv/console/terminal.h"
#include "hv/lib/string.h"

#define COLOUR_OFF "\033[0m"
#define ERASE_LINE "\r\033[K"

static const char *const colour_on[COLOURS] = {
	[COLOUR_PLAIN] = "",	      [COLOUR_RED] = "\033[31m",  [COLOUR_GREEN] = "\033[32m",
	[COLOUR_YELLOW] = "\033[33m", [COLOUR_BLUE] = "\033[94m", [COLOUR_MAGENTA] = "\033[35m",
	[COLOUR_CYAN] = "\033[36m",   [COLOUR_GREY] = "\033[90m", [COLOUR_ORANGE] = "\033[38;5;215m",
};
#define COLOUR_ON_MAX 11

_Static_assert(TERMINAL_PENDING >= sizeof(COLOUR_OFF) + sizeof(ERASE_LINE) + COLOUR_ON_MAX +
					   TERMINAL_PREFIX_SIZE + CONSOLE_LINE_SIZE + sizeof(COLOUR_OFF) + 2,
	       "a line and what surrounds it fit");

static void stage(struct terminal *terminal, const char *text, size_t length)
{
	size_t fits = MIN(length, sizeof(terminal->pending) - terminal->length);

	memcpy(terminal->pending + terminal->length, text, fits);
	terminal->length += (uint32_t)fits;
}

static void stage_string(struct terminal *terminal, const char *text)
{
	stage(terminal, text, strlen(text));
}

void terminal_sent(struct terminal *terminal, size_t count)
{
	terminal->sent += (uint32_t)count;
	if (terminal->sent == terminal->length)
		terminal->sent = terminal->length = 0;
}

void terminal_erase(struct terminal *terminal)
{
	if (!terminal->live)
		return;
	stage_string(terminal, terminal->live_coloured ? COLOUR_OFF ERASE_LINE : ERASE_LINE);
	terminal->live = false;
}

/* Is what the live line shows the beginning of prefix and text? */
static bool continues_live(const struct terminal *terminal, const struct terminal_text *text)
{
	size_t prefix = strlen(text->prefix);

	return terminal->live && terminal->live_whole && terminal->live_source == text->source &&
	       terminal->live_length >= prefix && terminal->live_length - prefix <= text->length &&
	       !memcmp(terminal->live_text, text->prefix, prefix) &&
	       !memcmp(terminal->live_text + prefix, text->text, terminal->live_length - prefix);
}

/* Everything from the cursor to the end of the text; erases first what does not belong to it. */
static void stage_text(struct terminal *terminal, const struct terminal_text *text)
{
	size_t shown = 0;

	if (continues_live(terminal, text)) {
		shown = terminal->live_length - strlen(text->prefix);
	} else {
		terminal_erase(terminal);
		stage_string(terminal, colour_on[text->colour]);
		stage_string(terminal, text->prefix);
	}
	stage(terminal, text->text + shown, text->length - shown);
}

void terminal_line(struct terminal *terminal, const struct terminal_text *text)
{
	stage_text(terminal, text);
	stage_string(terminal, text->colour == COLOUR_PLAIN ? "\r\n" : COLOUR_OFF "\r\n");
	terminal->live = false;
}

size_t terminal_visible(const struct terminal_text *text, char visible[TERMINAL_WIDTH], bool *whole)
{
	size_t prefix = strlen(text->prefix);
	size_t room = TERMINAL_WIDTH - prefix;
	size_t shown = MIN(text->length, room);

	memcpy(visible, text->prefix, prefix);
	memcpy(visible + prefix, text->text + text->length - shown, shown);
	*whole = shown == text->length;
	if (!*whole)
		visible[prefix] = '<';
	return prefix + shown;
}

void terminal_live(struct terminal *terminal, const struct terminal_text *text)
{
	char visible[TERMINAL_WIDTH];
	bool whole;
	size_t length = terminal_visible(text, visible, &whole);
	bool same = terminal->live && terminal->live_source == text->source &&
		    terminal->live_length == length && !memcmp(terminal->live_text, visible, length);

	if (same)
		return;
	if (whole) {
		stage_text(terminal, text);
	} else {
		terminal_erase(terminal);
		stage_string(terminal, colour_on[text->colour]);
		stage(terminal, visible, length);
	}
	terminal->live = true;
	terminal->live_whole = whole;
	terminal->live_coloured = text->colour != COLOUR_PLAIN;
	terminal->live_source = text->source;
	terminal->live_length = (uint32_t)length;
	memcpy(terminal->live_text, visible, length);
}
