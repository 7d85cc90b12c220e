/*
 * The hypervisor's own voice. A line goes to serial, screen and the memory log alike, from the first
 * instruction on. log_*() take a format without a newline: one call is one line. A text that begins with a
 * blank goes on with what the line before said, and does not name its level again. On the host (unit tests)
 * it writes to stderr.
 */
#pragma once

#include <stdarg.h>
#include "hv/lib/types.h"
#include <bulkhead/config.h> /* enum log_level */

void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
void log_set_level(enum log_level level);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* A bug of the hypervisor itself: reports with registers and backtrace on every output there is, stops the
 * machine. */
NORETURN void panic(const char *format, ...) PRINTF_LIKE(1, 2);
