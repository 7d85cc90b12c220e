/*
 * A 16550A serial port (National Semiconductor PC16550D data sheet): registers, FIFOs and interrupt causes,
 * and nothing of where its bytes go. The line is infinitely fast: a transmitted byte has left before the
 * write returns, so the transmitter is empty unless whoever takes the bytes holds it; and patient: a received
 * byte waits outside until there is room.
 */
#pragma once

#include "hv/lib/types.h"

#define UART_REGISTERS 8
#define UART_FIFO_SIZE 16

struct uart {
	uint8_t interrupt_enable, fifo_control, line_control, modem_control, scratch;
	uint8_t divisor_low, divisor_high;
	uint8_t line_errors;	  /* LSR bits that stay until LSR is read */
	uint8_t modem_changes;	  /* MSR bits 3:0, until MSR is read */
	bool transmitter_emptied; /* its interrupt is pending, if enabled */
	uint8_t transmitter;	  /* LSR bits: empty, or 0 while it is held */
	uint8_t count, first;	  /* bytes received; where the oldest stands */
	uint8_t fifo[UART_FIFO_SIZE];
};

void uart_reset(struct uart *uart);
uint8_t uart_read(struct uart *uart, unsigned offset);
/* true: `value` has been transmitted. */
bool uart_write(struct uart *uart, unsigned offset, uint8_t value);

/* Whether a byte from the line can be taken now; in loopback the line is cut. */
bool uart_can_receive(const struct uart *uart);
void uart_receive(struct uart *uart, uint8_t byte);

/* The transmitter does not get empty before it is released. A byte written all the same is still transmitted.
 */
void uart_hold(struct uart *uart);
void uart_release(struct uart *uart);

#define MCR_OUT2     0x08u
#define MCR_LOOPBACK 0x10u

/* Whether any enabled cause is pending. */
bool uart_has_cause(const struct uart *uart);

/* The interrupt line of the PC's serial card: gated by OUT2. Looked at after every access, and most often
 * shut. */
static inline bool uart_interrupt(const struct uart *uart)
{
	return (uart->modem_control & (MCR_OUT2 | MCR_LOOPBACK)) == MCR_OUT2 && uart->interrupt_enable &&
	       uart_has_cause(uart);
}
