/*
 * The 16550A by its data sheet: every register, the FIFOs, each interrupt cause and their order, loopback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hv/device/uart.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR  IIR
#define OUT2 0x08
#define LOOP 0x10

static struct uart uart;

static int reset(void **state)
{
	(void)state;
	uart_reset(&uart);
	return 0;
}

static void power_on(void **state)
{
	(void)state;
	assert_int_equal(uart_read(&uart, LSR), 0x60);
	assert_int_equal(uart_read(&uart, IIR), 0x01);
	assert_int_equal(uart_read(&uart, MSR), 0xB0);
	assert_int_equal(uart_read(&uart, IER), 0);
	assert_int_equal(uart_read(&uart, RBR), 0);
	assert_false(uart_interrupt(&uart));
}

static void scratch_and_divisor(void **state)
{
	(void)state;
	for (unsigned value = 0; value < 256; value++) {
		assert_false(uart_write(&uart, SCR, (uint8_t)value));
		assert_int_equal(uart_read(&uart, SCR), value);
	}
	uart_write(&uart, IER, 0x05);
	uart_write(&uart, LCR, 0x83);
	assert_false(uart_write(&uart, 0, 0x0C)); /* the divisor, not a byte to send */
	uart_write(&uart, 1, 0x01);
	assert_int_equal(uart_read(&uart, 0), 0x0C);
	assert_int_equal(uart_read(&uart, 1), 0x01);
	uart_write(&uart, LCR, 0x03);
	assert_int_equal(uart_read(&uart, LCR), 0x03);
	assert_int_equal(uart_read(&uart, IER), 0x05);
	uart_write(&uart, IER, 0xFF);
	assert_int_equal(uart_read(&uart, IER), 0x0F);
	uart_write(&uart, MCR, 0xFF);
	assert_int_equal(uart_read(&uart, MCR), 0x1F);
}

static void transmits(void **state)
{
	(void)state;
	assert_true(uart_write(&uart, RBR, 'x'));
	assert_int_equal(uart_read(&uart, LSR), 0x60);
}

static void receives_one_without_fifo(void **state)
{
	(void)state;
	assert_true(uart_can_receive(&uart));
	uart_receive(&uart, 'a');
	assert_false(uart_can_receive(&uart));
	assert_int_equal(uart_read(&uart, LSR), 0x61);
	uart_receive(&uart, 'b'); /* overrun: the later byte stays */
	assert_int_equal(uart_read(&uart, LSR), 0x63);
	assert_int_equal(uart_read(&uart, LSR), 0x61);
	assert_int_equal(uart_read(&uart, RBR), 'b');
	assert_int_equal(uart_read(&uart, LSR), 0x60);
}

static void receives_sixteen_with_fifo(void **state)
{
	(void)state;
	uart_write(&uart, FCR, 0x01);
	assert_int_equal(uart_read(&uart, IIR), 0xC1);
	for (uint8_t i = 0; i < 16; i++) {
		assert_true(uart_can_receive(&uart));
		uart_receive(&uart, i);
	}
	assert_false(uart_can_receive(&uart));
	uart_receive(&uart, 99); /* overrun: the FIFO is kept */
	assert_int_equal(uart_read(&uart, LSR), 0x63);
	for (uint8_t i = 0; i < 16; i++)
		assert_int_equal(uart_read(&uart, RBR), i);
	uart_receive(&uart, 1);
	uart_write(&uart, FCR, 0x03); /* clear the receiver */
	assert_int_equal(uart_read(&uart, LSR), 0x60);
	uart_receive(&uart, 1);
	uart_write(&uart, FCR, 0x00); /* switching clears as well */
	assert_int_equal(uart_read(&uart, LSR), 0x60);
	assert_int_equal(uart_read(&uart, IIR), 0x01);
}

static void trigger_levels(void **state)
{
	static const uint8_t level[] = {1, 4, 8, 14};

	(void)state;
	uart_write(&uart, IER, 0x01);
	for (unsigned i = 0; i < 4; i++) {
		uart_write(&uart, FCR, (uint8_t)(0x03 | i << 6));
		for (unsigned byte = 1; byte < level[i]; byte++) {
			uart_receive(&uart, 0);
			assert_int_equal(uart_read(&uart, IIR), 0xCC); /* below: the time-out's */
		}
		uart_receive(&uart, 0);
		assert_int_equal(uart_read(&uart, IIR), 0xC4);
	}
}

static void interrupt_order(void **state)
{
	(void)state;
	uart_write(&uart, IER, 0x0F);
	uart_write(&uart, MCR, LOOP | 0x03); /* modem lines change */
	uart_write(&uart, RBR, 1);
	uart_write(&uart, RBR, 2); /* overrun in loopback */
	uart_write(&uart, MCR, OUT2);
	assert_true(uart_interrupt(&uart));
	assert_int_equal(uart_read(&uart, IIR), 0x06);
	uart_read(&uart, LSR);
	assert_int_equal(uart_read(&uart, IIR), 0x04);
	uart_read(&uart, RBR);
	assert_int_equal(uart_read(&uart, IIR), 0x02); /* which reading it clears */
	assert_int_equal(uart_read(&uart, IIR), 0x00);
	uart_read(&uart, MSR);
	assert_int_equal(uart_read(&uart, IIR), 0x01);
	assert_false(uart_interrupt(&uart));
}

static void transmitter_interrupt(void **state)
{
	(void)state;
	uart_write(&uart, MCR, OUT2);
	uart_write(&uart, IER, 0x02); /* enabling it finds the transmitter empty */
	assert_true(uart_interrupt(&uart));
	assert_int_equal(uart_read(&uart, IIR), 0x02);
	assert_false(uart_interrupt(&uart));
	uart_write(&uart, IER, 0x02); /* was enabled: nothing new */
	assert_false(uart_interrupt(&uart));
	uart_write(&uart, RBR, 'x');
	assert_true(uart_interrupt(&uart));
	uart_write(&uart, MCR, 0); /* OUT2 gates the line */
	assert_false(uart_interrupt(&uart));
}

static void loopback(void **state)
{
	(void)state;
	uart_write(&uart, MCR, LOOP);
	assert_int_equal(uart_read(&uart, MSR) & 0xF0, 0);
	uart_write(&uart, MCR, LOOP | 0x01);
	assert_int_equal(uart_read(&uart, MSR), 0x22); /* DTR is DSR */
	uart_write(&uart, MCR, LOOP | 0x02);
	assert_int_equal(uart_read(&uart, MSR), 0x13); /* RTS is CTS, and DSR went */
	uart_write(&uart, MCR, LOOP | 0x04);
	assert_int_equal(uart_read(&uart, MSR), 0x41); /* OUT1 is RI, whose rise is not told */
	uart_write(&uart, MCR, LOOP | OUT2);
	assert_int_equal(uart_read(&uart, MSR), 0x8C); /* OUT2 is DCD, and RI fell */
	assert_int_equal(uart_read(&uart, MSR), 0x80);
	assert_false(uart_can_receive(&uart));
	assert_false(uart_write(&uart, RBR, 'l'));
	assert_int_equal(uart_read(&uart, RBR), 'l');
}

/* While it is held nothing says that it is empty, and its release is an interrupt. */
static void held_transmitter(void **state)
{
	(void)state;
	uart_write(&uart, MCR, OUT2);
	uart_write(&uart, IER, 0x02);
	assert_int_equal(uart_read(&uart, IIR), 0x02);
	assert_true(uart_write(&uart, RBR, 'x'));
	uart_hold(&uart);
	assert_int_equal(uart_read(&uart, LSR), 0);
	assert_int_equal(uart_read(&uart, IIR), 0x01);
	assert_false(uart_interrupt(&uart));
	assert_true(uart_write(&uart, RBR, 'y')); /* taken all the same */
	assert_false(uart_interrupt(&uart));
	uart_write(&uart, IER, 0x00);
	uart_write(&uart, IER, 0x02);
	assert_false(uart_interrupt(&uart));
	uart_release(&uart);
	assert_int_equal(uart_read(&uart, LSR), 0x60);
	assert_true(uart_interrupt(&uart));
	assert_int_equal(uart_read(&uart, IIR), 0x02);
	assert_false(uart_interrupt(&uart));
	uart_release(&uart); /* was not held: nothing new */
	assert_false(uart_interrupt(&uart));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup(power_on, reset),
					   cmocka_unit_test_setup(scratch_and_divisor, reset),
					   cmocka_unit_test_setup(transmits, reset),
					   cmocka_unit_test_setup(held_transmitter, reset),
					   cmocka_unit_test_setup(receives_one_without_fifo, reset),
					   cmocka_unit_test_setup(receives_sixteen_with_fifo, reset),
					   cmocka_unit_test_setup(trigger_levels, reset),
					   cmocka_unit_test_setup(interrupt_order, reset),
					   cmocka_unit_test_setup(transmitter_interrupt, reset),
					   cmocka_unit_test_setup(loopback, reset)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
