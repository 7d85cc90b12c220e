/*
 * The hypervisor's own voice: one line to the memory log and to the console, with the time since the start
 * where it is known.
 */
#include "hv/lib/log.h"
#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "hv/console/console.h"
#include "hv/console/log_ring.h"
#include "hv/lib/printf.h"

#define MICROSECONDS 1000000ull

static struct log_ring log_memory;
static struct spinlock log_lock;
static enum log_level log_threshold = LOG_INFO;

void log_set_level(enum log_level level)
{
	log_threshold = level;
}

/* "[  1.234567] ", or nothing before the clock is calibrated. */
static size_t format_stamp(char *out, size_t size)
{
	uint64_t us;

	if (!tsc_khz)
		return 0;
	us = tsc_to_us(rdtsc() - boot_tsc);
	return format(out, size, "[%3llu.%06llu] ", (unsigned long long)(us / MICROSECONDS),
		      (unsigned long long)(us % MICROSECONDS));
}

static const char *level_word(enum log_level level)
{
	switch (level) {
	case LOG_ERROR: return "error: ";
	case LOG_WARN: return "warning: ";
	default: return "";
	}
}

void log_line(enum log_level level, const char *text, ...)
{
	char line[CONSOLE_LINE_SIZE + 1];
	va_list arguments;
	size_t length;

	if (level > log_threshold)
		return;
	length = format_stamp(line, sizeof(line));
	if (text[0] != ' ')
		length += format(line + length, sizeof(line) - length, "%s", level_word(level));
	va_start(arguments, text);
	length += format_v(line + length, sizeof(line) - length, text, arguments);
	va_end(arguments);
	length = MIN(length, sizeof(line) - 1);

	spin_lock(&log_lock);
	log_ring_add(&log_memory, line, length);
	spin_unlock(&log_lock);
	console_own_line(level, line, length);
}

int log_read(uint64_t *position, char *out, size_t size)
{
	int length;

	spin_lock(&log_lock);
	length = log_ring_read(&log_memory, position, out, size);
	spin_unlock(&log_lock);
	return length;
}

void log_break_lock(void)
{
	log_lock = (struct spinlock){0};
}
