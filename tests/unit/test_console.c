/*
 * The console as a whole, on a serial port and a clock made of variables: what stands on the line byte for
 * byte. Below it, the assembly of lines, the queues and the keys on their own.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <bulkhead/boot_info.h>
#include "arch/x86/clock.h"
#include "drivers/serial.h"
#include "hv/console/console.h"
#include "hv/console/keys.h"
#include "hv/console/line.h"
#include "hv/console/log_ring.h"
#include "hv/console/queue.h"

#define WIRE_SIZE  65536
#define SLOW_CLOCK 1	      /* kHz: every silence is long enough */
#define FAST_CLOCK UINT32_MAX /* kHz: no time passes */

/* ------------------------------------------------------------------------------------------------------- the
 * machine */

uint32_t tsc_khz = FAST_CLOCK;
uint64_t boot_tsc;
struct vcpu this_vcpu[1];

static char wire[WIRE_SIZE];
static size_t wire_length, wire_room;
static bool wire_is_fast; /* the FIFO is empty again at once, not one tick later */
static bool wire_is_full;
static char typed[256];
static size_t typed_length, typed_read;
static const char *serial_trouble;
static bool serial_works;

const char *serial_start(uint16_t port)
{
	(void)port;
	serial_works = !serial_trouble;
	return serial_trouble;
}

bool serial_usable(void)
{
	return serial_works;
}

size_t serial_room(void)
{
	return serial_works && !wire_is_full ? wire_room : 0;
}

void serial_put(const char *bytes, size_t count)
{
	if (!serial_works)
		return;
	assert_true(wire_length + count < WIRE_SIZE);
	wire_is_full = !wire_is_fast;
	memcpy(wire + wire_length, bytes, count);
	wire_length += count;
	wire[wire_length] = '\0';
}

void serial_put_slowly(const char *bytes, size_t count)
{
	serial_put(bytes, count);
}

int serial_get(void)
{
	return typed_read < typed_length ? (uint8_t)typed[typed_read++] : -1;
}

static uint64_t tick_due;

void vcpu_set_timer(struct vcpu *vcpu, enum timer_kind kind, uint64_t deadline)
{
	assert_ptr_equal(vcpu, this_vcpu);
	assert_int_equal(kind, TIMER_CONSOLE);
	tick_due = deadline;
}

static struct vcpu_shared *requested;

void vcpu_request(struct vcpu_shared *target, uint32_t requests)
{
	assert_int_equal(requests, REQUEST_CONSOLE);
	requested = target;
}

static char executed[128];

void monitor_execute(const char *line)
{
	snprintf(executed, sizeof(executed), "%s", line);
	console_print("done: %s", line);
}

static struct log_ring log_memory;

int log_read(uint64_t *position, char *out, size_t size)
{
	return log_ring_read(&log_memory, position, out, size);
}

void log_break_lock(void) {}

void log_set_level(enum log_level level)
{
	(void)level;
}

void log_line(enum log_level level, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	console_own_line(level, text, strlen(text));
}

static struct vcpu_shared vcpus[2];
static struct partition two[2];
struct partition *partitions = two;
uint32_t partition_count = 2;

static struct boot_info boot;

static void clear_wire(void)
{
	wire_length = 0;
	wire[0] = '\0';
}

static void ticks(unsigned count)
{
	while (count--) {
		wire_is_full = false;
		console_tick();
	}
}

static int start(void **state)
{
	(void)state;
	memset(&boot, 0, sizeof(boot));
	memset(two, 0, sizeof(two));
	boot.config.console_serial = true;
	boot.config.serial_port = 0x3F8;
	boot.config.partition_count = 2;
	strcpy(boot.config.partition[0].name, "alpha");
	strcpy(boot.config.partition[1].name, "beta");
	for (uint32_t i = 0; i < 2; i++) {
		two[i].id = i;
		two[i].config = &boot.config.partition[i];
		two[i].state = PARTITION_RUNNING;
		two[i].vcpu_count = 1;
		two[i].vcpu = &vcpus[i];
	}
	tsc_khz = FAST_CLOCK;
	wire_room = 16;
	wire_is_fast = wire_is_full = false;
	typed_length = typed_read = 0;
	serial_trouble = NULL;
	requested = NULL;
	executed[0] = '\0';
	clear_wire();
	console_early(&boot);
	console_start();
	ticks(10);
	clear_wire();
	return 0;
}

/* Leaves nothing live for the next test. */
static int stop(void **state)
{
	(void)state;
	console_synchronous();
	log_error("stop");
	return 0;
}

static void put(unsigned partition, const char *text)
{
	for (; *text; text++)
		console_put(&two[partition], (uint8_t)*text);
}

static void type(const char *text)
{
	typed_length = strlen(text);
	typed_read = 0;
	memcpy(typed, text, typed_length);
}

#define ALPHA(text) "\033[36malpha   | " text "\033[0m\r\n"
#define BETA(text)  "\033[32mbeta    | " text "\033[0m\r\n"
#define OWN(text)   "bulkhead| " text "\r\n"

/* -------------------------------------------------------------------------------------------------------------
 * output */

static void test_early_lines_are_written_at_once(void **state)
{
	(void)state;
	console_early(&boot);
	assert_string_equal(wire, OWN("console: serial port 3F8h, 115200 baud, 8N1"));
	clear_wire();
	log_warn("odd");
	assert_string_equal(wire, "\033[33mbulkhead| odd\033[0m\r\n");
	console_start();
}

static void test_lines_carry_prefix_and_colour(void **state)
{
	(void)state;
	put(0, "Hello\n");
	put(1, "World\n");
	ticks(20);
	assert_string_equal(wire, ALPHA("Hello") BETA("World"));
	assert_int_equal(two[0].console.lines, 1);
	assert_int_equal(two[0].console.bytes, 6);
}

static void test_lines_never_mix(void **state)
{
	(void)state;
	for (const char *a = "aaaaaaaaaa\n", *b = "bbbbbbbbbb\n"; *a; a++, b++) {
		console_put(&two[0], (uint8_t)*a);
		console_put(&two[1], (uint8_t)*b);
	}
	ticks(20);
	assert_string_equal(wire, ALPHA("aaaaaaaaaa") BETA("bbbbbbbbbb"));
}

static void test_writer_never_waits_for_the_line(void **state)
{
	(void)state;
	wire_room = 0;
	put(0, "stuck\n");
	ticks(5);
	assert_string_equal(wire, "");
	wire_room = 16;
	ticks(20);
	assert_string_equal(wire, ALPHA("stuck"));
}

static void test_at_most_a_fifo_a_tick(void **state)
{
	(void)state;
	wire_room = 0;
	put(0, "0123456789012345678901234567890123456789\n");
	wire_room = 16;
	ticks(1);
	assert_int_equal(wire_length, 16);
	ticks(1);
	assert_int_equal(wire_length, 32);
}

/* But not for ever, however fast it is. */
static void test_fast_line_gets_more(void **state)
{
	(void)state;
	wire_room = 0;
	for (int i = 0; i < 30; i++)
		put(0, "01234567890123456789\n");
	wire_room = 16;
	wire_is_fast = true;
	ticks(1);
	assert_int_equal(wire_length, 128);
	ticks(1);
	assert_int_equal(wire_length, 256);
}

static void test_flood_loses_whole_lines_and_says_so(void **state)
{
	char line[64];
	int number, last = -1, lost;
	bool told = false;

	(void)state;
	wire_room = 0;
	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "flood %d\n", i);
		put(0, line);
	}
	put(1, "calm\n");
	wire_room = 16;
	ticks(2000);
	put(0, "afterwards\n");
	ticks(100);
	for (char *next = wire; *next; next = strchr(next, '\n') + 1) {
		if (sscanf(next, "\033[36malpha   | flood %d\033[0m\r\n", &number) == 1) {
			assert_int_equal(number, last + 1);
			last = number;
		} else if (sscanf(next, "\033[33malpha   | [%d lines lost]\033[0m\r\n", &lost) == 1) {
			assert_int_equal(last + 1 + lost, 1000);
			told = true;
		}
	}
	assert_true(told);
	assert_non_null(strstr(wire, BETA("calm")));
	assert_non_null(strstr(wire, ALPHA("afterwards")));
}

static void test_flood_does_not_delay_others(void **state)
{
	char *calm;

	(void)state;
	wire_room = 0;
	for (int i = 0; i < 1000; i++)
		put(0, "flood flood flood flood\n");
	put(1, "calm\n");
	wire_room = 16;
	ticks(2000);
	calm = strstr(wire, BETA("calm"));
	assert_non_null(calm);
	assert_true(calm - wire < 2048);
}

/* An empty line takes as much of the line as its prefix. */
static void test_flood_of_nothing_does_not_delay_others(void **state)
{
	char *calm;

	(void)state;
	wire_room = 0;
	for (int i = 0; i < 1000; i++)
		put(0, "\n");
	put(1, "calm\n");
	wire_room = 16;
	ticks(2000);
	calm = strstr(wire, BETA("calm"));
	assert_non_null(calm);
	assert_true(calm - wire < 2048);
}

/* Writes until the console holds; returns the bytes taken. */
static size_t write_all_there_is_room_for(unsigned partition, const char *text)
{
	size_t length = strlen(text), total = 0, taken = 0;

	do {
		taken = console_write(&two[partition], (const uint8_t *)text, length);
		total += taken;
	} while (taken == length);
	return total;
}

static void test_writer_that_waits_loses_nothing(void **state)
{
	char line[64];
	int number, last = -1, lines = 0;

	(void)state;
	for (int i = 0; i < 500; i++) {
		size_t length = (size_t)snprintf(line, sizeof(line), "line %d\n", i), taken = 0;

		wire_room = i % 7 ? 0 : 16;
		while ((taken += console_write(&two[0], (uint8_t *)line + taken, length - taken)) < length) {
			wire_room = 16;
			requested = NULL;
			for (unsigned n = 0; !requested; n++) {
				assert_true(n < 10000);
				ticks(1);
			}
			assert_ptr_equal(requested, &vcpus[0]);
		}
	}
	wire_room = 16;
	ticks(5000);
	for (char *next = wire; *next; next = strchr(next, '\n') + 1, lines++) {
		assert_int_equal(sscanf(next, "\033[36malpha   | line %d\033[0m\r\n", &number), 1);
		assert_int_equal(number, ++last);
	}
	assert_int_equal(lines, 500);
	assert_int_equal(two[0].console.lines, 500);
}

/* The longest line in the smallest number of bytes, and the other way round. */
static void test_room_is_kept_for_what_bytes_become(void **state)
{
	static const char *const texts[] = {"\n", "\t", "\x01", "\x80\n", "0123456789abcde\t\n"};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		wire_room = 0;
		assert_true(write_all_there_is_room_for(0, texts[i]) > 0);
		assert_int_equal(console_write(&two[0], (const uint8_t *)texts[i], 1) == 1,
				 texts[i][0] == '0');
		wire_room = 16;
		ticks(5000);
	}
	assert_null(strstr(wire, "lost"));
}

static void test_held_writer_does_not_hold_others(void **state)
{
	(void)state;
	wire_room = 0;
	write_all_there_is_room_for(0, "flood flood flood flood\n");
	assert_int_equal(console_write(&two[1], (const uint8_t *)"calm\n", 5), 5);
	assert_true(console_put(&two[1], 'x'));
	assert_false(two[1].console.held);
	wire_room = 16;
	ticks(2000);
	assert_non_null(strstr(wire, BETA("calm")));
}

/* From "hold" on a burst of a FIFO's size still finds room, whatever it is. */
static void test_byte_writer_is_told_to_wait(void **state)
{
	(void)state;
	wire_room = 0;
	for (int i = 0; i < 255; i++)
		assert_true(console_put(&two[0], 'x'));
	while (console_put(&two[0], '\n'))
		;
	for (int i = 0; i < 16; i++)
		assert_false(console_put(&two[0], '\n'));
	wire_room = 16;
	requested = NULL;
	ticks(10000);
	assert_ptr_equal(requested, &vcpus[0]);
	assert_true(console_put(&two[0], 'y'));
	assert_null(strstr(wire, "lost"));
}

static void test_nobody_waits_for_a_line_that_does_not_move(void **state)
{
	(void)state;
	wire_room = 0;
	write_all_there_is_room_for(0, "flood flood flood flood\n");
	ticks(900);
	assert_true(two[0].console.held);
	requested = NULL;
	ticks(200);
	assert_ptr_equal(requested, &vcpus[0]);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(console_write(&two[0], (const uint8_t *)"unheard\n", 8), 8);
		ticks(i % 8 == 0);
	}
	assert_string_equal(wire, "");
	wire_room = 16; /* it moves again */
	ticks(10);
	assert_int_equal(console_write(&two[0], (const uint8_t *)"heard\n", 6), 6);
	ticks(5000);
	assert_non_null(strstr(wire, ALPHA("heard")));
	assert_null(strstr(wire, "lost]"));
	wire_room = 0;
	write_all_there_is_room_for(0, "flood flood flood flood\n");
	assert_true(two[0].console.held);
}

static void test_last_words_are_taken_or_lost(void **state)
{
	(void)state;
	wire_room = 0;
	write_all_there_is_room_for(0, "flood\n");
	for (int i = 0; i < 100; i++)
		console_write_last(&two[0], (const uint8_t *)"the end\n", 8);
	wire_room = 16;
	ticks(5000);
	assert_non_null(strstr(wire, ALPHA("the end")));
	assert_non_null(strstr(wire, " lines lost]"));
}

static void test_partition_that_is_off_is_not_woken(void **state)
{
	(void)state;
	wire_room = 0;
	write_all_there_is_room_for(0, "flood\n");
	two[0].state = PARTITION_OFF;
	requested = NULL;
	wire_room = 16;
	ticks(5000);
	assert_null(requested);
	assert_false(two[0].console.held);
}

static void test_end_of_partition_ends_its_line(void **state)
{
	(void)state;
	put(1, "I am about to");
	ticks(10);
	assert_string_equal(wire, "");
	console_end_line(&two[1]);
	put(1, "\033]0;"); /* nor does it swallow what comes in the next life */
	console_end_line(&two[1]);
	put(1, "I am back\n");
	ticks(10);
	assert_string_equal(wire, BETA("I am about to") BETA("I am back"));
}

static void test_hypervisor_lines(void **state)
{
	(void)state;
	log_info("plain");
	log_error("bad");
	console_print("%s %u", "answer", 42u);
	ticks(20);
	assert_string_equal(wire, OWN("plain") "\033[31mbulkhead| bad\033[0m\r\n" OWN("answer 42"));
}

static void test_synchronous_writes_everything(void **state)
{
	(void)state;
	wire_room = 0;
	put(0, "queued\n");
	put(1, "unfinished");
	log_info("own");
	wire_room = 16;
	console_synchronous();
	log_error("panic");
	assert_string_equal(wire, ALPHA("queued") OWN("own")
					  BETA("unfinished") "\033[31mbulkhead| panic\033[0m\r\n");
	put(0, "nobody reads this\n");
	console_tick();
}

static void test_synchronous_finishes_the_line_on_its_way(void **state)
{
	(void)state;
	put(0, "half of this is in the FIFO\n");
	assert_int_equal(wire_length, 16);
	console_synchronous();
	assert_string_equal(wire, ALPHA("half of this is in the FIFO"));
}

static void test_without_a_serial_port(void **state)
{
	(void)state;
	serial_trouble = "nothing there";
	console_early(&boot);
	console_start();
	for (int i = 0; i < 1000; i++)
		put(0, "to the screen only\n");
	ticks(1000);
	assert_string_equal(wire, "");
	assert_int_equal(two[0].console.lines, 1000);
}

/* ----------------------------------------------------------------------------------------------------------
 * live line */

static void test_prompt_shows_after_silence(void **state)
{
	(void)state;
	put(0, "login: ");
	ticks(20);
	assert_string_equal(wire, "");
	tsc_khz = SLOW_CLOCK;
	ticks(5);
	assert_string_equal(wire, "\033[36malpha   | login: ");
	put(0, "root\n");
	ticks(5);
	assert_string_equal(wire, ALPHA("login: root"));
}

static void test_prompt_of_another_stays_hidden(void **state)
{
	(void)state;
	tsc_khz = SLOW_CLOCK;
	put(1, "login: ");
	ticks(20);
	assert_string_equal(wire, "");
}

static void test_line_above_a_live_line(void **state)
{
	(void)state;
	tsc_khz = SLOW_CLOCK;
	put(0, "> typ");
	ticks(5);
	clear_wire();
	put(1, "tick\n");
	ticks(20);
	assert_string_equal(wire, "\033[0m\r\033[K" BETA("tick") "\033[36malpha   | > typ");
	put(0, "ing");
	ticks(5);
	put(0, "\n");
	ticks(5);
	assert_string_equal(wire, "\033[0m\r\033[K" BETA("tick") ALPHA("> typing"));
}

static void test_backspace_redraws_the_live_line(void **state)
{
	(void)state;
	tsc_khz = SLOW_CLOCK;
	put(0, "> ab");
	ticks(5);
	put(0, "\b \b");
	ticks(5);
	assert_string_equal(wire, "\033[36malpha   | > ab\033[0m\r\033[K\033[36malpha   | > a");
	put(0, "\b\b\b\b\b");
	ticks(5);
	assert_string_equal(wire + wire_length - 8, "\033[0m\r\033[K");
}

static void test_long_live_line_shows_its_end(void **state)
{
	char text[201];

	(void)state;
	tsc_khz = SLOW_CLOCK;
	memset(text, 'x', 200);
	strcpy(text + 190, "the end...");
	put(0, text);
	ticks(20);
	assert_non_null(strstr(wire, "alpha   | <xxx"));
	assert_non_null(strstr(wire, "xxxthe end..."));
	assert_int_equal(wire_length, 5 + 79);
	clear_wire();
	put(0, "\n");
	ticks(40);
	assert_memory_equal(wire, "\033[0m\r\033[K\033[36malpha   | xxx", 26);
	assert_int_equal(two[0].console.lines, 1);
}

/* -----------------------------------------------------------------------------------------------------------
 * keyboard */

static void test_keyboard_belongs_to_the_first_partition(void **state)
{
	(void)state;
	assert_int_equal(console_keyboard(), 1);
	type("ab\r");
	ticks(1);
	assert_int_equal(two[0].input.head, 3);
	assert_memory_equal(two[0].input.byte, "ab\r", 3);
	assert_ptr_equal(requested, &vcpus[0]);
}

static void test_keyboard_changes_hands(void **state)
{
	(void)state;
	type("\x1D"
	     "2hi");
	ticks(10);
	assert_string_equal(wire, OWN("keyboard: beta"));
	assert_int_equal(two[0].input.head, 0);
	assert_memory_equal(two[1].input.byte, "hi", 2);
	assert_ptr_equal(requested, &vcpus[1]);
	clear_wire();
	type("\x1D"
	     "7\x1Dq\x1D\x1D");
	ticks(20);
	assert_string_equal(wire, OWN("keyboard: no partition 7, there are 2")
					  OWN("Ctrl-] and byte 71h mean nothing: Ctrl-] ? lists the keys"));
	assert_int_equal(two[1].input.head, 3);
	assert_int_equal(two[1].input.byte[2], 0x1D);
}

static void test_bell_when_input_is_full(void **state)
{
	(void)state;
	for (int i = 0; i < 6; i++) {
		memset(typed, 'x', 60);
		typed_length = 60;
		typed_read = 0;
		ticks(1);
	}
	assert_int_equal(two[0].input.head, INPUT_SIZE);
	assert_string_equal(wire, "\a\a");
}

static void test_bell_when_partition_is_off(void **state)
{
	(void)state;
	two[0].state = PARTITION_OFF;
	type("x");
	ticks(1);
	assert_int_equal(two[0].input.head, 0);
	assert_string_equal(wire, "\a");
}

static void test_monitor_line(void **state)
{
	(void)state;
	type("\x1D"
	     "0");
	ticks(10);
	assert_string_equal(wire, OWN("keyboard: monitor") "bulkhead> ");
	clear_wire();
	type("lis");
	ticks(2);
	assert_string_equal(wire, "lis");
	put(1, "tick\n");
	ticks(10);
	type("t\r");
	ticks(10);
	assert_string_equal(wire,
			    "lis\r\033[K" BETA("tick") "bulkhead> list\r\n" OWN("done: list") "bulkhead> ");
	assert_string_equal(executed, "list");
	type("\r");
	ticks(10);
	assert_string_equal(executed, "");
}

static void test_power_off_key(void **state)
{
	(void)state;
	type("\x1Dx");
	ticks(1);
	assert_string_equal(executed, "off");
}

static void test_key_help(void **state)
{
	(void)state;
	type("\x1D?");
	ticks(100);
	assert_non_null(strstr(wire, "Ctrl-] 2       keyboard to beta"));
	assert_non_null(strstr(wire, "Ctrl-] x       power the machine off"));
}

static void test_log_is_shown_at_the_pace_of_the_line(void **state)
{
	char text[32];
	unsigned shown = 0;

	(void)state;
	memset(&log_memory, 0, sizeof(log_memory));
	for (int i = 0; i < 600; i++) {
		snprintf(text, sizeof(text), "log line number %03d", i);
		log_ring_add(&log_memory, text, strlen(text));
	}
	console_show_log();
	ticks(2000);
	for (char *next = wire; (next = strstr(next, "log line number")); next++)
		shown++;
	assert_int_equal(shown, 600);
	assert_null(strstr(wire, "lost"));
}

static void test_tick_is_fast_only_while_busy(void **state)
{
	uint64_t now = __builtin_ia32_rdtsc();

	(void)state;
	tsc_khz = 1000000;
	while (__builtin_ia32_rdtsc() - now < ms_to_tsc(200)) /* until nobody has typed for long */
		;
	now = __builtin_ia32_rdtsc();
	ticks(1);
	assert_true(tick_due - now > ms_to_tsc(5));
	wire_room = 0;
	put(0, "waiting\n");
	ticks(1);
	assert_true((int64_t)(tick_due - __builtin_ia32_rdtsc()) <= (int64_t)ms_to_tsc(1));
	wire_room = 16;
}

/* --------------------------------------------------------------------------------------------------- line
 * assembly alone */

static char lines[4096];

static void collect(void *context, const char *text, size_t length)
{
	(void)context;
	assert_true(strlen(lines) + length + 2 < sizeof(lines));
	strncat(lines, text, length);
	strcat(lines, "\n");
}

static const char *assemble(const char *bytes, size_t count)
{
	static struct console_line line;

	memset(&line, 0, sizeof(line));
	lines[0] = '\0';
	for (size_t i = 0; i < count; i++)
		line_feed(&line, (uint8_t)bytes[i], collect, NULL);
	line_finish(&line, collect, NULL);
	return lines;
}

#define assert_assembles(bytes, expected) assert_string_equal(assemble(bytes, sizeof(bytes) - 1), expected)

static void test_assembly(void **state)
{
	(void)state;
	assert_assembles("one\r\ntwo\n\nlast", "one\ntwo\n\nlast\n");
	assert_assembles("a\tb\t\tc\n", "a       b               c\n");
	assert_assembles("abc\b\bX\n", "aX\n");
	assert_assembles("\b\bx\n", "x\n");
	assert_assembles("bell\a!\n", "bell!\n");
	assert_assembles("\0\x01\x7F\xC3\xBC\x9B\n", "\\x00\\x01\\x7F\\xC3\\xBC\\x9B\n");
}

static void test_escape_sequences_vanish(void **state)
{
	(void)state;
	assert_assembles("\033[31mred\033[0m\n", "red\n");
	assert_assembles("\033[2J\033[1;1H\033[6n\033cprompt\n", "prompt\n");
	assert_assembles("\033]0;title\atext\033]0;t\033\\more\n", "textmore\n");
	assert_assembles("\033(Bcharset\n", "charset\n");
	assert_assembles("\033[31\nnext\n", "\nnext\n");
	assert_assembles("\033", "");
}

static void test_unfinished_escape_ends_by_itself(void **state)
{
	char text[200];

	(void)state;
	memset(text, '1', sizeof(text));
	text[0] = '\033';
	text[1] = '[';
	assert_int_equal(strlen(assemble(text, sizeof(text))), sizeof(text) - 65 + 1);
}

static void test_long_lines_wrap(void **state)
{
	char text[2 * CONSOLE_LINE_SIZE + 1];

	(void)state;
	memset(text, 'w', sizeof(text));
	text[CONSOLE_LINE_SIZE] = '\n'; /* exactly one line: no empty one after it */
	assert_int_equal(strlen(assemble(text, CONSOLE_LINE_SIZE + 1)), CONSOLE_LINE_SIZE + 1);
	text[CONSOLE_LINE_SIZE] = 'w';
	text[2 * CONSOLE_LINE_SIZE] = '\n';
	assemble(text, sizeof(text));
	assert_int_equal(strlen(lines), 2 * CONSOLE_LINE_SIZE + 2);
	assert_int_equal(lines[CONSOLE_LINE_SIZE], '\n');
}

/* ---------------------------------------------------------------------------------------------------------
 * queues alone */

static struct line_queues queues;
static uint8_t queue_memory[4096];

static void push(uint32_t source, const char *text)
{
	(void)queue_push(&queues, source, LINE_TEXT, text, strlen(text));
}

static const char *pop(void)
{
	static char text[CONSOLE_LINE_SIZE + 8];
	struct queued_line line;

	if (!queue_pop(&queues, &line))
		return NULL;
	snprintf(text, sizeof(text), "%u:%.*s", line.source, (int)line.length, line.text);
	return text;
}

static void test_queue_keeps_the_order(void **state)
{
	(void)state;
	queue_start(&queues, queue_memory, sizeof(queue_memory), 1024, 2);
	assert_null(pop());
	push(1, "a");
	push(0, "b");
	push(2, "");
	push(1, "d");
	assert_string_equal(pop(), "1:a");
	assert_string_equal(pop(), "0:b");
	assert_string_equal(pop(), "2:");
	assert_string_equal(pop(), "1:d");
	assert_false(queue_waiting(&queues));
}

static void test_queue_order_survives_the_wrap_of_its_counter(void **state)
{
	(void)state;
	queue_start(&queues, queue_memory, sizeof(queue_memory), 1024, 2);
	queues.next_sequence = UINT32_MAX - 1;
	push(2, "a");
	push(1, "b");
	push(2, "c");
	push(1, "d");
	assert_string_equal(pop(), "2:a");
	assert_string_equal(pop(), "1:b");
	assert_string_equal(pop(), "2:c");
	assert_string_equal(pop(), "1:d");
}

static void test_queue_share_is_a_partitions_own(void **state)
{
	(void)state;
	queue_start(&queues, queue_memory, sizeof(queue_memory), 1024, 2);
	for (int i = 0; i < 1000; i++)
		push(1, "flood");
	assert_true(queue_push(&queues, 2, LINE_TEXT, "mine", 4));
	assert_true(queue_push(&queues, QUEUE_OWN, LINE_TEXT, "mine", 4));
	assert_true(queues.ring[1].lost > 800);
}

/* As many lines as fit into the room that is told, not one less, also while a notice is due. */
static void test_queue_room_is_true(void **state)
{
	const uint32_t line = sizeof(struct line_header) + 5;

	(void)state;
	queue_start(&queues, queue_memory, sizeof(queue_memory), 1024, 2);
	assert_int_equal(queue_room(&queues, 1), (sizeof(queue_memory) - 1024) / 2);
	for (int round = 0; round < 3; round++) {
		while (queue_room(&queues, 1) >= line)
			assert_true(queue_push(&queues, 1, LINE_TEXT, "flood", 5));
		assert_false(queue_push(&queues, 1, LINE_TEXT, "flood", 5));
		assert_int_equal(queue_room(&queues, 1), 0);
		while (queue_room(&queues, 1) < line)
			assert_non_null(pop());
	}
}

static void test_queue_settles_the_account(void **state)
{
	const char *text, *last = NULL;

	(void)state;
	queue_start(&queues, queue_memory, sizeof(queue_memory), 1024, 2);
	for (int i = 0; i < 200; i++)
		push(1, "flood");
	while ((text = pop()))
		assert_string_equal(text, "1:flood");
	queue_settle(&queues);
	last = pop();
	assert_non_null(last);
	assert_non_null(strstr(last, " lines lost]"));
	assert_null(pop());
}

/* -----------------------------------------------------------------------------------------------------------
 * keys alone */

static void test_keys(void **state)
{
	struct key_state keys = {0};

	(void)state;
	assert_int_equal(key_feed(&keys, 'a').kind, KEY_BYTE);
	assert_int_equal(key_feed(&keys, 0x01).kind, KEY_BYTE); /* Ctrl-A is the guest's */
	assert_int_equal(key_feed(&keys, 0x1D).kind, KEY_NOTHING);
	assert_int_equal(key_feed(&keys, '9').owner, 9);
	assert_int_equal(key_feed(&keys, '9').kind, KEY_BYTE);
	assert_int_equal(key_feed(&keys, 0x1D).kind, KEY_NOTHING);
	assert_int_equal(key_feed(&keys, 0x1D).byte, 0x1D);
	assert_int_equal(key_feed(&keys, 0x1D).kind, KEY_NOTHING);
	assert_int_equal(key_feed(&keys, 'x').kind, KEY_POWER_OFF);
	assert_int_equal(key_feed(&keys, 0x1D).kind, KEY_NOTHING);
	assert_int_equal(key_feed(&keys, 'X').kind, KEY_UNKNOWN);
	assert_int_equal(key_feed(&keys, 'x').kind, KEY_BYTE);
}

#define WHOLE(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WHOLE(test_early_lines_are_written_at_once),
		WHOLE(test_lines_carry_prefix_and_colour),
		WHOLE(test_lines_never_mix),
		WHOLE(test_writer_never_waits_for_the_line),
		WHOLE(test_at_most_a_fifo_a_tick),
		WHOLE(test_fast_line_gets_more),
		WHOLE(test_flood_loses_whole_lines_and_says_so),
		WHOLE(test_flood_does_not_delay_others),
		WHOLE(test_flood_of_nothing_does_not_delay_others),
		WHOLE(test_writer_that_waits_loses_nothing),
		WHOLE(test_room_is_kept_for_what_bytes_become),
		WHOLE(test_held_writer_does_not_hold_others),
		WHOLE(test_byte_writer_is_told_to_wait),
		WHOLE(test_nobody_waits_for_a_line_that_does_not_move),
		WHOLE(test_last_words_are_taken_or_lost),
		WHOLE(test_partition_that_is_off_is_not_woken),
		WHOLE(test_end_of_partition_ends_its_line),
		WHOLE(test_hypervisor_lines),
		WHOLE(test_synchronous_writes_everything),
		WHOLE(test_synchronous_finishes_the_line_on_its_way),
		WHOLE(test_without_a_serial_port),
		WHOLE(test_prompt_shows_after_silence),
		WHOLE(test_prompt_of_another_stays_hidden),
		WHOLE(test_line_above_a_live_line),
		WHOLE(test_backspace_redraws_the_live_line),
		WHOLE(test_long_live_line_shows_its_end),
		WHOLE(test_keyboard_belongs_to_the_first_partition),
		WHOLE(test_keyboard_changes_hands),
		WHOLE(test_bell_when_input_is_full),
		WHOLE(test_bell_when_partition_is_off),
		WHOLE(test_monitor_line),
		WHOLE(test_power_off_key),
		WHOLE(test_key_help),
		WHOLE(test_log_is_shown_at_the_pace_of_the_line),
		WHOLE(test_tick_is_fast_only_while_busy),
		cmocka_unit_test(test_assembly),
		cmocka_unit_test(test_escape_sequences_vanish),
		cmocka_unit_test(test_unfinished_escape_ends_by_itself),
		cmocka_unit_test(test_long_lines_wrap),
		cmocka_unit_test(test_queue_keeps_the_order),
		cmocka_unit_test(test_queue_order_survives_the_wrap_of_its_counter),
		cmocka_unit_test(test_queue_share_is_a_partitions_own),
		cmocka_unit_test(test_queue_room_is_true),
		cmocka_unit_test(test_queue_settles_the_account),
		cmocka_unit_test(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
