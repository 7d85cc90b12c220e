/*
 * Guests write anything, people type anything: two partitions' bytes go through assembly, queues and
 * terminal, and whatever comes out must be lines with an honest prefix, without a single byte that a terminal
 * would obey but our own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hv/console/edit.h"
#include "hv/console/keys.h"
#include "hv/console/line.h"
#include "hv/console/queue.h"
#include "hv/console/terminal.h"

#define SOURCES 3

static struct line_queues queues;
static uint8_t memory[2048];
static struct console_line lines[SOURCES];
static struct terminal terminal;
static struct line_edit edit;
static const char *const prefixes[SOURCES] = {"bulkhead| ", "alpha   | ", "beta    | "};

static void check(bool condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void push(void *context, const char *text, size_t length)
{
	uint32_t source = *(const uint32_t *)context;

	check(length <= CONSOLE_LINE_SIZE, "line length");
	for (size_t i = 0; i < length; i++)
		check(text[i] >= ' ' && text[i] <= '~', "only printable characters in a line");
	(void)queue_push(&queues, source, LINE_TEXT, text, length);
}

/* Staged bytes are the erasing of a live line, colours, one prefix, text, and a line end if `line`. */
static void check_staged(uint32_t source, bool line)
{
	const char *bytes = terminal_bytes(&terminal);
	size_t length = terminal_pending(&terminal), at = 0, escapes = 0;

	for (; at < length; at++) {
		if (bytes[at] == '\033') {
			escapes++;
			check(at + 1 < length && bytes[at + 1] == '[', "our own control sequences only");
		} else if (bytes[at] == '\r') {
			check(at + 1 < length && (bytes[at + 1] == '\n' || bytes[at + 1] == '\033'),
			      "return");
		} else if (bytes[at] == '\n') {
			check(line && at == length - 1, "a newline only at the end of a line");
		} else {
			check(bytes[at] >= ' ' && bytes[at] <= '~', "printable");
		}
	}
	check(escapes <= 4, "no control sequences from a guest");
	if (terminal.live && !line)
		check(!memcmp(terminal.live_text, prefixes[source], strlen(prefixes[source])),
		      "prefix of a live line");
	terminal_sent(&terminal, length);
}

static void drain(unsigned count)
{
	struct queued_line line;

	while (count-- && queue_pop(&queues, &line)) {
		struct terminal_text text = {.source = line.source,
					     .colour = COLOUR_CYAN,
					     .prefix = prefixes[line.source],
					     .text = line.text,
					     .length = line.length};

		check(line.source < SOURCES, "source");
		terminal_line(&terminal, &text);
		check_staged(line.source, true);
	}
}

static void show_live(uint32_t source)
{
	struct terminal_text text = {.source = source,
				     .colour = source == 1 ? COLOUR_PLAIN : COLOUR_GREEN,
				     .prefix = prefixes[source],
				     .text = lines[source].text,
				     .length = lines[source].length};

	terminal_live(&terminal, &text);
	check_staged(source, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct key_state keys = {0};
	uint32_t source = 1;

	memset(lines, 0, sizeof(lines));
	memset(&terminal, 0, sizeof(terminal));
	memset(&edit, 0, sizeof(edit));
	queue_start(&queues, memory, sizeof(memory), 600, SOURCES - 1);
	for (size_t i = 0; i < size; i++) {
		struct key key = key_feed(&keys, data[i]);

		check(key.kind != KEY_OWNER || key.owner <= 9, "owner");
		if (edit_feed(&edit, data[i]))
			edit.length = 0;
		check(edit.length < EDIT_SIZE, "edited line");
		if (data[i] >=
		    0xF0) { /* an order to the test instead of a byte: who writes, what is drained */
			source = data[i] % SOURCES;
			if (data[i] & 4)
				drain(data[i] & 3);
			if (data[i] & 8)
				show_live(source);
			if (data[i] == 0xFF)
				queue_settle(&queues);
			continue;
		}
		line_feed(&lines[source], data[i], push, &source);
		check(lines[source].length <= CONSOLE_LINE_SIZE, "assembled length");
	}
	line_finish(&lines[source], push, &source);
	drain(UINT32_MAX);
	queue_settle(&queues);
	drain(UINT32_MAX);
	check(!queue_waiting(&queues), "all queues drained");
	return 0;
}
