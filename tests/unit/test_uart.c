/*
 * The 16550A by its data sheet: every register, the FIFOs, each interrupt cause and their order, loopback;
 * and what Linux and memtest86+ do to find out what it is and to set it up.
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

/*
 * Linux' driver, drivers/tty/serial/8250/8250_port.c
 */

/* autoconfig(): is there a port at all, and does it see its own outputs? */
static void linux_finds_a_port(void **state)
{
	uint8_t ier, mcr;

	(void)state;
	ier = uart_read(&uart, IER);
	uart_write(&uart, IER, 0);
	assert_int_equal(uart_read(&uart, IER) & 0x0F, 0);
	uart_write(&uart, IER, 0x0F);
	assert_int_equal(uart_read(&uart, IER) & 0x0F, 0x0F);
	uart_write(&uart, IER, ier);
	mcr = uart_read(&uart, MCR);
	uart_write(&uart, MCR, LOOP | 0x0A);
	assert_int_equal(uart_read(&uart, MSR) & 0xF0, 0x90);
	uart_write(&uart, MCR, mcr);
}

/* autoconfig(): FIFOs that work; autoconfig_16550a(): no extended features behind either mode of LCR. */
static void linux_finds_no_extended_features(void **state)
{
	(void)state;
	uart_write(&uart, LCR, 0xBF);
	uart_write(&uart, FCR, 0); /* EFR, if it were one */
	uart_write(&uart, LCR, 0);
	uart_write(&uart, FCR, 0x01);
	assert_int_equal(uart_read(&uart, IIR) & 0xC0, 0xC0);
	uart_write(&uart, LCR, 0x80);
	assert_int_not_equal(uart_read(&uart, IIR), 0); /* 16650, Motorola DUART */
	uart_write(&uart, LCR, 0xBF);
	assert_int_not_equal(uart_read(&uart, IIR), 0); /* 16650V2, 16654, 16850 */
	uart_write(&uart, LCR, 0);
}

/* The rest of it: a National Semiconductor one shows MCR at another place when LCR is E0h, a 16750 has a
 * longer FIFO to enable, an XScale's IER has a bit 6. */
static void linux_finds_a_plain_16550a(void **state)
{
	uint8_t mcr;

	(void)state;
	uart_write(&uart, FCR, 0x01);
	mcr = uart_read(&uart, MCR);
	uart_write(&uart, MCR, mcr ^ LOOP);
	uart_write(&uart, LCR, 0xE0);
	assert_int_equal((uart_read(&uart, IIR) ^ mcr) & LOOP, 0);
	uart_write(&uart, LCR, 0);
	uart_write(&uart, MCR, mcr);
	for (unsigned divisor = 0; divisor < 2; divisor++) {
		uart_write(&uart, LCR, divisor ? 0x80 : 0);
		uart_write(&uart, FCR, 0x21);
		assert_int_equal(uart_read(&uart, IIR) & 0xE0, 0xC0);
		uart_write(&uart, FCR, 0x01);
	}
	uart_write(&uart, LCR, 0);
	uart_write(&uart, IER, 0x40);
	assert_int_equal(uart_read(&uart, IER), 0);
}

/* size_fifo(): more bytes than fit, in loopback at the highest speed. */
static void linux_counts_the_fifo(void **state)
{
	unsigned count = 0;

	(void)state;
	uart_write(&uart, LCR, 0);
	uart_write(&uart, FCR, 0x07);
	uart_write(&uart, MCR, LOOP);
	uart_write(&uart, LCR, 0x80);
	uart_write(&uart, 0, 1);
	uart_write(&uart, 1, 0);
	uart_write(&uart, LCR, 0x03);
	for (unsigned byte = 0; byte < 256; byte++)
		assert_false(uart_write(&uart, RBR, (uint8_t)byte));
	for (; (uart_read(&uart, LSR) & 1) && count < 256; count++)
		assert_int_equal(uart_read(&uart, RBR), count);
	assert_int_equal(count, UART_FIFO_SIZE);
}

/* serial8250_do_startup(): nothing is left over, and serial8250_THRE_test(), which takes a port that does not
 * ask for bytes anew each time it is told to for one to be polled. */
static void linux_trusts_its_interrupts(void **state)
{
	(void)state;
	uart_write(&uart, FCR, 0x01);
	uart_write(&uart, FCR, 0x07);
	uart_write(&uart, FCR, 0x00);
	assert_int_not_equal(uart_read(&uart, LSR), 0xFF);
	uart_read(&uart, RBR);
	uart_read(&uart, IIR);
	uart_read(&uart, MSR);
	uart_write(&uart, LCR, 0x03);
	uart_write(&uart, MCR, OUT2);
	for (unsigned i = 0; i < 2; i++) {
		uart_write(&uart, IER, 0x02);
		assert_int_equal(uart_read(&uart, IIR) & 1, 0);
		uart_write(&uart, IER, 0);
	}
	uart_write(&uart, IER, 0x02); /* and empty as it is, it says so */
	assert_int_equal(uart_read(&uart, LSR) & 0x40, 0x40);
	assert_int_equal(uart_read(&uart, IIR) & 1, 0);
	uart_write(&uart, IER, 0);
	assert_int_equal(uart_read(&uart, IIR), 0x01);
}

/* memtest86+, tty_init() and serial_echo_print(): polled, without FIFOs. */
static void memtest86_sets_it_up(void **state)
{
	uint8_t lcr;

	(void)state;
	uart_receive(&uart, 'x'); /* typed too early */
	lcr = uart_read(&uart, LCR);
	uart_write(&uart, LCR, lcr | 0x80);
	assert_int_equal(uart_read(&uart, 1) << 8 | uart_read(&uart, 0), 1);
	uart_write(&uart, LCR, lcr);
	uart_write(&uart, LCR, 0x03);
	uart_write(&uart, LCR, 0x83);
	assert_false(uart_write(&uart, 0, 1));
	uart_write(&uart, 1, 0);
	uart_write(&uart, LCR, 0x03);
	uart_read(&uart, LSR);
	uart_read(&uart, RBR);
	uart_write(&uart, IER, 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(uart_read(&uart, LSR), 0x60); /* both empty, and no key */
		assert_true(uart_write(&uart, RBR, 'm'));
	}
	uart_receive(&uart, '1');
	assert_int_equal(uart_read(&uart, LSR) & 1, 1);
	assert_int_equal(uart_read(&uart, RBR), '1');
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
					   cmocka_unit_test_setup(loopback, reset),
					   cmocka_unit_test_setup(linux_finds_a_port, reset),
					   cmocka_unit_test_setup(linux_finds_no_extended_features, reset),
					   cmocka_unit_test_setup(linux_finds_a_plain_16550a, reset),
					   cmocka_unit_test_setup(linux_counts_the_fifo, reset),
					   cmocka_unit_test_setup(linux_trusts_its_interrupts, reset),
					   cmocka_unit_test_setup(memtest86_sets_it_up, reset)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
