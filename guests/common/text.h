/*
 * Memory, strings, formatting and the options of a command line: what a guest without a C library needs.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The compiler calls these four itself. */
void *memset(void *to, int value, size_t size);
void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
int memcmp(const void *left, const void *right, size_t size);

size_t string_length(const char *text);
bool string_equal(const char *left, const char *right);

/* Copies at most size - 1 characters and closes with NUL. */
void string_copy(char *to, const char *from, size_t size);

/* The decimal number `text` begins with, 0 when there is none. Wraps silently. */
uint32_t parse_number(const char *text);

/*
 * Formats into `to`, at most size - 1 characters and a NUL. Knows %s %c %d %u %x with an optional `0`, width
 * and `l`, and %%. Returns the number of characters stored, without the NUL.
 */
size_t format_list(char *to, size_t size, const char *format, va_list arguments);
size_t format_text(char *to, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A line as it is typed: takes one byte, Backspace and Delete among them. The line without its end once it is
 * whole and not empty, to be used before the next byte; else NULL. */
struct typed_line {
	size_t used;
	char text[128];
};
char *typed_line_take(struct typed_line *line, uint8_t byte);

/*
 * The words of a command line, separated by spaces: `key=value` or a bare `key`. The first occurrence counts,
 * words that nobody asks for are ignored (a boot loader may put the file's name first).
 */
bool option_flag(const char *cmdline, const char *key);
uint32_t option_number(const char *cmdline, const char *key, uint32_t otherwise);
/* Copies the value, or `otherwise` when the key is absent. */
void option_text(const char *cmdline, const char *key, const char *otherwise, char *to, size_t size);
