/*
 * The physical serial port, against a 16550 made of variables that can be absent, stuck, broken or gone: what
 * is said of it, what reaches the line, and that no call waits for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "drivers/serial.h"
#include "tests/unit/fake_cpu.h"

#define PORT	   0x3F8
#define MANY_READS 1000000u /* no call may take more */
#define LINE_SIZE  256
#define FIFO_ON	   0xC1
#define READY_IDLE 0x60
#define DATA_READY 0x01

static struct {
	bool absent, no_scratch, never_idle, no_loopback, no_fifo, never_room;
	uint8_t scratch, line_control, modem_control, divisor_low, divisor_high, interrupts;
	bool fifo;
	uint8_t received[LINE_SIZE];
	unsigned receive_head, receive_tail;
	char line[LINE_SIZE];
	unsigned sent;
	unsigned room; /* what the transmitter takes before a status read empties it */
	unsigned overrun, reads;
} uart;

static uint8_t read_status(void)
{
	uint8_t status = uart.receive_head != uart.receive_tail ? DATA_READY : 0;

	uart.room = uart.fifo ? 16 : 1;
	if (uart.never_idle || uart.never_room)
		return status | (uart.never_idle ? 0 : 0x40);
	return status | READY_IDLE;
}

static uint8_t in(uint16_t port)
{
	uart.reads++;
	if (uart.absent)
		return 0xFF;
	switch (port - PORT) {
	case 0: return uart.received[uart.receive_tail++ % LINE_SIZE];
	case 2: return uart.fifo ? FIFO_ON : 1;
	case 5: return read_status();
	case 7: return uart.no_scratch ? 0 : uart.scratch;
	default: return 0;
	}
}

static void send(uint8_t value)
{
	if (uart.modem_control & 0x10) {
		if (!uart.no_loopback)
			uart.received[uart.receive_head++ % LINE_SIZE] = value;
		return;
	}
	if (!uart.room)
		uart.overrun++;
	else
		uart.room--;
	if (uart.sent < LINE_SIZE - 1)
		uart.line[uart.sent++] = (char)value;
}

static void out(uint16_t port, uint8_t value)
{
	bool divisor = uart.line_control & 0x80;

	switch (port - PORT) {
	case 0:
		if (divisor)
			uart.divisor_low = value;
		else
			send(value);
		break;
	case 1: *(divisor ? &uart.divisor_high : &uart.interrupts) = value; break;
	case 2: uart.fifo = (value & 1) && !uart.no_fifo; break;
	case 3: uart.line_control = value; break;
	case 4: uart.modem_control = value; break;
	case 7: uart.scratch = value; break;
	default: break;
	}
}

static int set_up(void **state)
{
	(void)state;
	memset(&uart, 0, sizeof(uart));
	fake_cpu_reset();
	cpu.in = in;
	cpu.out = out;
	return 0;
}

static void test_works(void **state)
{
	(void)state;
	uart.received[uart.receive_head++] = 'x'; /* left over from before */
	assert_null(serial_start(PORT));
	assert_true(serial_usable());
	assert_int_equal(uart.divisor_low | uart.divisor_high << 8, 1);
	assert_int_equal(uart.line_control, 3); /* 8N1 */
	assert_int_equal(uart.interrupts, 0);
	assert_int_equal(uart.modem_control, 3); /* no loopback any more */
	assert_int_equal(serial_room(), 16);
	assert_int_equal(serial_get(), -1);
}

static void test_without_fifo(void **state)
{
	(void)state;
	uart.no_fifo = true;
	assert_null(serial_start(PORT));
	assert_int_equal(serial_room(), 1);
	serial_put_slowly("hello", 5);
	assert_string_equal(uart.line, "hello");
	assert_int_equal(uart.overrun, 0);
}

static void expect_refused(const char *why)
{
	const char *answer = serial_start(PORT);

	if (!answer || !strstr(answer, why))
		fail_msg("found %s", answer ? answer : "no complaint");
	assert_false(serial_usable());
	assert_int_equal(serial_room(), 0);
	assert_int_equal(serial_get(), -1);
	serial_put("lost", 4);
	serial_put_slowly("lost", 4);
	serial_finish();
	assert_int_equal(uart.sent, 0);
	assert_true(uart.reads < MANY_READS);
}

static void test_absent(void **state)
{
	(void)state;
	uart.absent = true;
	expect_refused("nothing answers there");
}

static void test_no_uart(void **state)
{
	(void)state;
	uart.no_scratch = true;
	expect_refused("no UART is there");
}

static void test_stuck(void **state)
{
	(void)state;
	uart.never_idle = true;
	expect_refused("stuck");
}

static void test_broken(void **state)
{
	(void)state;
	uart.no_loopback = true;
	expect_refused("broken");
}

static void test_long_text_never_overruns(void **state)
{
	char text[100];

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_null(serial_start(PORT));
	serial_put_slowly(text, sizeof(text));
	assert_int_equal(uart.sent, sizeof(text));
	assert_int_equal(uart.overrun, 0);
}

/* A line that stops moving costs one whole wait, and a short one each time until it moves again. */
static void test_line_stops(void **state)
{
	unsigned first, second;

	(void)state;
	assert_null(serial_start(PORT));
	uart.never_room = true;
	uart.reads = 0;
	serial_put_slowly("lost", 4);
	first = uart.reads;
	uart.reads = 0;
	serial_put_slowly("lost", 4);
	second = uart.reads;
	assert_true(first < MANY_READS && second < first / 4);
	assert_int_equal(uart.sent, 0);
	serial_finish(); /* does not wait: the line stands */
	assert_int_equal(serial_room(), 0);
	uart.never_room = false;
	serial_put_slowly("again", 5);
	assert_string_equal(uart.line, "again");
	serial_finish();
}

static void test_input(void **state)
{
	(void)state;
	assert_null(serial_start(PORT));
	uart.received[uart.receive_head++ % LINE_SIZE] = 'k';
	assert_int_equal(serial_get(), 'k');
	assert_int_equal(serial_get(), -1);
	uart.absent = true; /* the port has vanished: no endless input */
	assert_int_equal(serial_get(), -1);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_works),      TEST(test_without_fifo), TEST(test_absent),
		TEST(test_no_uart),    TEST(test_stuck),	TEST(test_broken),
		TEST(test_line_stops), TEST(test_input),	TEST(test_long_text_never_overruns)};

	return cmocka_run_group_tests_name("serial", tests, NULL, NULL);
}
