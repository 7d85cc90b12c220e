/*
 * The log: what a line looks like, and the ring that keeps the newest of them.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/clock.h"
#include "hv/console/console.h"
#include "hv/console/log_ring.h"
#include "hv/lib/log.h"

uint32_t tsc_khz;
uint64_t boot_tsc;

static char shown[CONSOLE_LINE_SIZE + 1];
static enum log_level shown_level;
static unsigned shown_count;

void console_own_line(enum log_level level, const char *text, size_t length)
{
	memcpy(shown, text, length);
	shown[length] = '\0';
	shown_level = level;
	shown_count++;
}

static struct log_ring ring;

static void add(const char *text)
{
	log_ring_add(&ring, text, strlen(text));
}

static const char *next(uint64_t *position)
{
	static char line[64];
	int length = log_ring_read(&ring, position, line, sizeof(line) - 1);

	if (length < 0)
		return NULL;
	line[length] = '\0';
	return line;
}

static void test_ring_gives_lines_in_order(void **state)
{
	uint64_t position = 0;

	(void)state;
	memset(&ring, 0, sizeof(ring));
	assert_null(next(&position));
	add("one");
	add("");
	add("three");
	assert_string_equal(next(&position), "one");
	assert_string_equal(next(&position), "");
	assert_string_equal(next(&position), "three");
	assert_null(next(&position));
	add("four");
	assert_string_equal(next(&position), "four");
}

static void test_ring_drops_the_oldest(void **state)
{
	uint64_t position = 0;
	char text[32];
	unsigned count = 0;

	(void)state;
	memset(&ring, 0, sizeof(ring));
	for (int i = 0; i < 10000; i++) {
		snprintf(text, sizeof(text), "line %06d", i);
		add(text);
	}
	assert_string_equal(next(&position), "line 007270"); /* 2730 lines of 12 bytes fit */
	while (next(&position))
		count++;
	assert_int_equal(count, 2729);
}

static void test_reader_is_overtaken(void **state)
{
	uint64_t position = 0;

	(void)state;
	memset(&ring, 0, sizeof(ring));
	add("old");
	for (int i = 0; i < 40000; i++)
		add("new");
	assert_string_equal(next(&position), "new");
}

static void test_ring_cuts_giants(void **state)
{
	static char giant[LOG_RING_SIZE * 2];
	uint64_t position = 0;

	(void)state;
	memset(&ring, 0, sizeof(ring));
	memset(giant, 'g', sizeof(giant));
	add("first");
	log_ring_add(&ring, giant, sizeof(giant));
	assert_string_equal(next(&position), "first");
	assert_int_equal(strlen(next(&position)), 63);
	assert_null(next(&position));
}

static void test_line_before_the_clock(void **state)
{
	(void)state;
	tsc_khz = 0;
	log_info("starts with %d", 7);
	assert_string_equal(shown, "starts with 7");
	log_warn("odd");
	assert_string_equal(shown, "warning: odd");
	assert_int_equal(shown_level, LOG_WARN);
}

static void test_line_with_the_time(void **state)
{
	unsigned seconds, microseconds;
	char text[32];

	(void)state;
	tsc_khz = UINT32_MAX; /* 4.3 THz: next to no time has passed */
	boot_tsc = __builtin_ia32_rdtsc();
	log_error("late");
	assert_int_equal(sscanf(shown, "[%u.%06u] %31[^\n]", &seconds, &microseconds, text), 3);
	assert_string_equal(text, "error: late");
	assert_int_equal(shown[11], ']');
}

static void test_level_is_a_threshold(void **state)
{
	unsigned before = shown_count;

	(void)state;
	log_set_level(LOG_WARN);
	log_info("quiet");
	log_debug("quiet");
	assert_int_equal(shown_count, before);
	log_warn("loud");
	assert_int_equal(shown_count, before + 1);
	log_set_level(LOG_DEBUG);
	log_debug("chatty");
	assert_int_equal(shown_count, before + 2);
}

static void test_long_line_is_cut(void **state)
{
	char giant[1000];

	(void)state;
	memset(giant, 'x', sizeof(giant) - 1);
	giant[sizeof(giant) - 1] = '\0';
	log_info("%s", giant);
	assert_int_equal(strlen(shown), CONSOLE_LINE_SIZE);
}

static void test_memory_log_can_be_read(void **state)
{
	uint64_t position = 0;
	char line[CONSOLE_LINE_SIZE];
	int length, last = 0;

	(void)state;
	log_info("remember me");
	while ((length = log_read(&position, line, sizeof(line))) >= 0)
		last = length;
	assert_true(last > 11);
	assert_memory_equal(line + last - 11, "remember me", 11);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring_gives_lines_in_order),
		cmocka_unit_test(test_ring_drops_the_oldest),
		cmocka_unit_test(test_reader_is_overtaken),
		cmocka_unit_test(test_ring_cuts_giants),
		cmocka_unit_test(test_line_before_the_clock),
		cmocka_unit_test(test_line_with_the_time),
		cmocka_unit_test(test_level_is_a_threshold),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_memory_log_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
