/*
 * The 16550A's registers, one by one, then its interrupt causes in order of priority.
 * Source: PC16550D data sheet, table II (registers), table IV (interrupts), 8.6.7 (modem control and
 * loopback).
 */
#include "hv/device/uart.h"
#include "hv/lib/string.h"

enum {
	REG_DATA,
	REG_INTERRUPT_ENABLE,
	REG_FIFO_CONTROL,
	REG_LINE_CONTROL,
	REG_MODEM_CONTROL,
	REG_LINE_STATUS,
	REG_MODEM_STATUS,
	REG_SCRATCH
};
#define REG_INTERRUPT_ID REG_FIFO_CONTROL /* when read */

#define IER_RECEIVED	 0x01u
#define IER_TRANSMITTER	 0x02u
#define IER_LINE_STATUS	 0x04u
#define IER_MODEM_STATUS 0x08u
#define IER_ALL		 0x0Fu

#define FCR_ENABLE	   0x01u
#define FCR_CLEAR_RECEIVER 0x02u
#define FCR_TRIGGER_SHIFT  6
#define FCR_KEPT	   0xC9u /* enable, DMA mode, trigger level */

#define IIR_NONE	 0x01u
#define IIR_MODEM_STATUS 0x00u
#define IIR_TRANSMITTER	 0x02u
#define IIR_RECEIVED	 0x04u
#define IIR_LINE_STATUS	 0x06u
#define IIR_TIMEOUT	 0x0Cu /* bytes below the trigger level, and nothing more came */
#define IIR_FIFO	 0xC0u

#define LCR_DIVISOR 0x80u

#define MCR_DTR	 0x01u
#define MCR_RTS	 0x02u
#define MCR_OUT1 0x04u
#define MCR_ALL	 0x1Fu

#define LSR_RECEIVED	      0x01u
#define LSR_OVERRUN	      0x02u
#define LSR_TRANSMITTER_EMPTY 0x60u /* holding register, and shift register too */

#define MSR_CTS	       0x10u
#define MSR_DSR	       0x20u
#define MSR_RI	       0x40u
#define MSR_DCD	       0x80u
#define MSR_RI_ENDED   0x04u /* the one change bit that only tells of an edge down */
#define MSR_CHANGED_BY 4     /* a line's change bit stands this far below it */

static const uint8_t trigger_levels[] = {1, 4, 8, 14};

void uart_reset(struct uart *uart)
{
	memset(uart, 0, sizeof(*uart));
	uart->divisor_low = 1; /* 115200 baud, as firmware leaves it */
	uart->transmitter = LSR_TRANSMITTER_EMPTY;
}

static bool fifo_on(const struct uart *uart)
{
	return uart->fifo_control & FCR_ENABLE;
}

static unsigned capacity(const struct uart *uart)
{
	return fifo_on(uart) ? UART_FIFO_SIZE : 1;
}

bool uart_can_receive(const struct uart *uart)
{
	return !(uart->modem_control & MCR_LOOPBACK) && uart->count < capacity(uart);
}

void uart_receive(struct uart *uart, uint8_t byte)
{
	if (uart->count == capacity(uart)) {
		uart->line_errors |= LSR_OVERRUN;
		if (fifo_on(uart))
			return; /* the shift register is overwritten, the FIFO kept (8.4.2) */
		uart->count = 0;
	}
	uart->fifo[(uart->first + uart->count) % UART_FIFO_SIZE] = byte;
	uart->count++;
}

void uart_hold(struct uart *uart)
{
	uart->transmitter = 0;
	uart->transmitter_emptied = false;
}

void uart_release(struct uart *uart)
{
	if (!uart->transmitter)
		uart->transmitter_emptied = true;
	uart->transmitter = LSR_TRANSMITTER_EMPTY;
}

static uint8_t take_received(struct uart *uart)
{
	uint8_t byte;

	if (uart->count == 0)
		return 0;
	byte = uart->fifo[uart->first];
	uart->first = (uint8_t)((uart->first + 1) % UART_FIFO_SIZE);
	uart->count--;
	return byte;
}

/* A terminal is always connected and ready; in loopback the port sees its own outputs. */
static uint8_t modem_lines(const struct uart *uart)
{
	uint8_t control = uart->modem_control;

	if (!(control & MCR_LOOPBACK))
		return MSR_CTS | MSR_DSR | MSR_DCD;
	return (uint8_t)((control & MCR_RTS ? MSR_CTS : 0) | (control & MCR_DTR ? MSR_DSR : 0) |
			 (control & MCR_OUT1 ? MSR_RI : 0) | (control & MCR_OUT2 ? MSR_DCD : 0));
}

static void write_modem_control(struct uart *uart, uint8_t value)
{
	uint8_t before = modem_lines(uart), changes;

	uart->modem_control = value & MCR_ALL;
	changes = (before ^ modem_lines(uart)) >> MSR_CHANGED_BY;
	if (!(before & MSR_RI)) /* only the end of a ring is told */
		changes &= (uint8_t)~MSR_RI_ENDED;
	uart->modem_changes |= changes;
}

static void write_fifo_control(struct uart *uart, uint8_t value)
{
	if (((value ^ uart->fifo_control) & FCR_ENABLE) || (value & FCR_CLEAR_RECEIVER))
		uart->count = 0;
	uart->fifo_control = value & FCR_ENABLE ? value & FCR_KEPT : 0;
}

static void write_interrupt_enable(struct uart *uart, uint8_t value)
{
	if ((value & IER_TRANSMITTER) && !(uart->interrupt_enable & IER_TRANSMITTER))
		uart->transmitter_emptied = uart->transmitter;
	uart->interrupt_enable = value & IER_ALL;
}

static bool transmit(struct uart *uart, uint8_t value)
{
	uart->transmitter_emptied = uart->transmitter;
	if (!(uart->modem_control & MCR_LOOPBACK))
		return true;
	uart_receive(uart, value);
	return false;
}

bool uart_write(struct uart *uart, unsigned offset, uint8_t value)
{
	const bool divisor = uart->line_control & LCR_DIVISOR;

	switch (offset) {
	case REG_DATA:
		if (!divisor)
			return transmit(uart, value);
		uart->divisor_low = value;
		break;
	case REG_INTERRUPT_ENABLE:
		if (divisor)
			uart->divisor_high = value;
		else
			write_interrupt_enable(uart, value);
		break;
	case REG_FIFO_CONTROL: write_fifo_control(uart, value); break;
	case REG_LINE_CONTROL: uart->line_control = value; break;
	case REG_MODEM_CONTROL: write_modem_control(uart, value); break;
	case REG_SCRATCH: uart->scratch = value; break;
	default: break; /* the status registers are for factory tests only */
	}
	return false;
}

/* The cause that IIR names now (table IV), highest priority first. */
static uint8_t cause(const struct uart *uart)
{
	const uint8_t enabled = uart->interrupt_enable;

	if ((enabled & IER_LINE_STATUS) && uart->line_errors)
		return IIR_LINE_STATUS;
	if ((enabled & IER_RECEIVED) && uart->count) {
		const uint8_t trigger = trigger_levels[uart->fifo_control >> FCR_TRIGGER_SHIFT];

		return !fifo_on(uart) || uart->count >= trigger ? IIR_RECEIVED : IIR_TIMEOUT;
	}
	if ((enabled & IER_TRANSMITTER) && uart->transmitter_emptied)
		return IIR_TRANSMITTER;
	if ((enabled & IER_MODEM_STATUS) && uart->modem_changes)
		return IIR_MODEM_STATUS;
	return IIR_NONE;
}

static uint8_t read_interrupt_id(struct uart *uart)
{
	const uint8_t id = cause(uart);

	if (id == IIR_TRANSMITTER)
		uart->transmitter_emptied = false;
	return id | (fifo_on(uart) ? IIR_FIFO : 0);
}

static uint8_t read_line_status(struct uart *uart)
{
	const uint8_t status = uart->transmitter | uart->line_errors | (uart->count ? LSR_RECEIVED : 0);

	uart->line_errors = 0;
	return status;
}

static uint8_t read_modem_status(struct uart *uart)
{
	const uint8_t status = modem_lines(uart) | uart->modem_changes;

	uart->modem_changes = 0;
	return status;
}

uint8_t uart_read(struct uart *uart, unsigned offset)
{
	const bool divisor = uart->line_control & LCR_DIVISOR;

	switch (offset) {
	case REG_DATA: return divisor ? uart->divisor_low : take_received(uart);
	case REG_INTERRUPT_ENABLE: return divisor ? uart->divisor_high : uart->interrupt_enable;
	case REG_INTERRUPT_ID: return read_interrupt_id(uart);
	case REG_LINE_CONTROL: return uart->line_control;
	case REG_MODEM_CONTROL: return uart->modem_control;
	case REG_LINE_STATUS: return read_line_status(uart);
	case REG_MODEM_STATUS: return read_modem_status(uart);
	default: return uart->scratch;
	}
}

bool uart_has_cause(const struct uart *uart)
{
	return cause(uart) != IIR_NONE;
}
