/*
 * A small vsnprintf: %d %i %u %x %X %c %s %p %%, l ll z h hh, width, precision, 0 and - flags.
 * Always terminates `out` when size > 0; returns the length that would have been written (like C99).
 */
#pragma once

#include <stdarg.h>
#include "hv/lib/types.h"

size_t format_v(char *out, size_t size, const char *format, va_list arguments);
size_t format(char *out, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
