/*
 * The 16550 serial port COM1: output by polling, sixteen bytes each time the transmitter is empty; input by
 * interrupt into a small ring. Source: National Semiconductor PC16550D data sheet.
 */
#include "../common/interrupts.h"
#include "../common/x86.h"
#include "devices.h"

#define BASE 0x3F8u

#define REG_DATA	 (BASE + 0)
#define REG_DIVISOR_LOW	 (BASE + 0) /* while LCR_DIVISOR is set */
#define REG_IER		 (BASE + 1)
#define REG_DIVISOR_HIGH (BASE + 1)
#define REG_FCR		 (BASE + 2)
#define REG_IIR		 (BASE + 2)
#define REG_LCR		 (BASE + 3)
#define REG_MCR		 (BASE + 4)
#define REG_LSR		 (BASE + 5)

#define LCR_8N1	       0x03u
#define LCR_DIVISOR    0x80u
#define DIVISOR_115200 1u
#define FCR_ENABLE     0x07u /* on, both FIFOs cleared, an interrupt for each byte received */
#define IIR_FIFO       0xC0u
#define MCR_ON	       0x0Bu /* DTR, RTS, OUT2: the interrupt line is connected */
#define IER_RECEIVED   0x01u
#define LSR_RECEIVED   0x01u
#define LSR_EMPTY      0x20u /* the transmit FIFO */
#define LSR_IDLE       0x40u /* the FIFO and the shift register */
#define FIFO_SIZE      16u

#define INPUT_SIZE 256u /* a power of two */

static uint8_t input[INPUT_SIZE];
static volatile uint32_t input_head, input_tail;
static size_t burst = 1;

void uart_init(void)
{
	port_write8(REG_IER, 0);
	port_write8(REG_LCR, LCR_DIVISOR);
	port_write8(REG_DIVISOR_LOW, DIVISOR_115200);
	port_write8(REG_DIVISOR_HIGH, 0);
	port_write8(REG_LCR, LCR_8N1);
	port_write8(REG_FCR, FCR_ENABLE);
	port_write8(REG_MCR, MCR_ON);
	if ((port_read8(REG_IIR) & IIR_FIFO) == IIR_FIFO)
		burst = FIFO_SIZE;
}

bool uart_has_fifo(void)
{
	return burst > 1;
}

static void wait_for(uint8_t status)
{
	while (!(port_read8(REG_LSR) & status))
		spin_hint();
}

void uart_write(const char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (i % burst == 0)
			wait_for(LSR_EMPTY);
		port_write8(REG_DATA, (uint8_t)bytes[i]);
	}
}

void uart_flush(void)
{
	wait_for(LSR_IDLE);
}

/* Takes what has arrived; bytes beyond the ring's size are lost, as on any serial line. */
static void received(void)
{
	while (port_read8(REG_LSR) & LSR_RECEIVED) {
		const uint8_t byte = port_read8(REG_DATA);
		if (input_head - input_tail < INPUT_SIZE)
			input[input_head++ % INPUT_SIZE] = byte;
	}
	pic_end();
}

void uart_input_on(void)
{
	interrupt_handle(VECTOR_PIC + IRQ_SERIAL, received);
	port_write8(REG_IER, IER_RECEIVED);
	pic_unmask(IRQ_SERIAL);
}

int uart_read(void)
{
	if (input_tail == input_head)
		return -1;
	return input[input_tail++ % INPUT_SIZE];
}
