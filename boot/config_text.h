/*
 * Pieces of text for the config parser: spans that point into the file, what is plain text, what resembles
 * what.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* `size` bytes from `start`; not NUL-terminated. */
struct span {
	const char *start;
	size_t size;
};

/* For "%.*s": at most SPAN_SHOWN bytes of a span, so that a message stays a line. */
#define SPAN_SHOWN	48
#define SPAN_ARGS(span) (int)((span).size < SPAN_SHOWN ? (span).size : SPAN_SHOWN), (span).start

struct span span_from(struct span span, size_t offset);
struct span span_first(struct span span, size_t size);
struct span span_of(const char *text);

/* Without blanks (space, tab) at both ends. */
struct span span_trim(struct span span);

/* Offset of the first `wanted`; the size of the span when there is none. */
size_t span_find(struct span span, char wanted);

bool span_equals(struct span span, const char *word);

bool text_is_blank(char character);
char text_lower(char character);

/* -1 when it is none. */
int text_hex_digit(char character);

/* Offset of the first byte that is a NUL, a control character other than tab, or not UTF-8; else the size. */
size_t text_first_flaw(struct span span);

/* Number of characters (not bytes) in a span of UTF-8. */
size_t text_characters(struct span span);

/* Whether a person who wrote `found` may have meant `word`: other case, cut short, or one or two letters off.
 */
bool text_resembles(struct span found, const char *word);
