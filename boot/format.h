/*
 * The part of printf that the loader and the config parser need: %s %.*s %c %u %lu %x %lx %%, with a width
 * (strings stand at the left of it, numbers at the right) and zero padding. Freestanding and without state;
 * the compiler checks patterns against arguments as it does for printf.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* Write at most size - 1 bytes and a NUL to `out` (size > 0). Return the length written; what does not fit is
 * cut. */
size_t format_text(char *out, size_t size, const char *pattern, ...) __attribute__((format(printf, 3, 4)));
size_t format_text_list(char *out, size_t size, const char *pattern, va_list arguments)
	__attribute__((format(printf, 3, 0)));
