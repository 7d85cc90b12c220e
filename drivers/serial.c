/*
 * The physical 16550, polled. Its probe has to live with everything a port number may lead to: nothing (reads
 * give FFh), a device that is no UART, a UART whose transmitter never gets ready. Hence two tests that only a
 * UART passes, and a bound on each wait. Registers: PC16550D data sheet, table II.
 */
#include "drivers/serial.h"
#include "arch/x86/cpu.h"

enum uart_register {
	UART_DATA = 0,
	UART_INTERRUPT_ENABLE = 1,
	UART_FIFO_CONTROL = 2,	 /* written */
	UART_IDENTIFICATION = 2, /* read */
	UART_LINE_CONTROL = 3,
	UART_MODEM_CONTROL = 4,
	UART_LINE_STATUS = 5,
	UART_SCRATCH = 7,
	UART_DIVISOR_LOW = 0, /* while LINE_CONTROL_DIVISOR is set */
	UART_DIVISOR_HIGH = 1
};

#define FIFO_CONTROL_ENABLE    (1u << 0)
#define FIFO_CONTROL_CLEAR     (3u << 1) /* both directions */
#define IDENTIFICATION_FIFO    (3u << 6) /* both bits: the FIFOs exist and are on */
#define LINE_CONTROL_8N1       3u
#define LINE_CONTROL_DIVISOR   (1u << 7)
#define MODEM_CONTROL_READY    3u /* DTR and RTS; OUT2 stays 0, which keeps the interrupt line quiet */
#define MODEM_CONTROL_LOOPBACK (1u << 4)
#define LINE_STATUS_DATA       (1u << 0)
#define LINE_STATUS_ROOM       (1u << 5) /* FIFO (or holding register) empty */
#define LINE_STATUS_IDLE       (1u << 6) /* shift register empty too */

#define DIVISOR_115200 1u
#define FIFO_DEPTH     16
#define NOTHING_THERE  0xFFu /* what reading an absent port gives */
#define PROBE_BYTE     0xAEu

/*
 * Bound on each wait, in reads of a register. A read takes 0.5 us or more on real machines, so this is at
 * least 100 ms, in which the line moves a thousand bytes.
 */
#define WAIT_READS 200000u
/* Once the line has not moved for a whole wait, until it moves again. */
#define STALLED_READS (WAIT_READS / 8)

static struct {
	uint16_t port;
	uint16_t depth; /* 0: not usable */
	bool stalled;	/* the line has not moved for a whole wait */
} serial;

static uint8_t uart_read(enum uart_register reg)
{
	return inb((uint16_t)(serial.port + reg));
}

static void uart_write(enum uart_register reg, uint32_t value)
{
	outb((uint16_t)(serial.port + reg), (uint8_t)value);
}

static bool wait_for_status(uint32_t bits, uint32_t reads)
{
	for (uint32_t i = 0; i < reads; i++) {
		if ((uart_read(UART_LINE_STATUS) & bits) == bits)
			return true;
		cpu_pause();
	}
	return false;
}

static bool scratch_holds(uint8_t value)
{
	uart_write(UART_SCRATCH, value);
	return uart_read(UART_SCRATCH) == value;
}

static void set_line(void)
{
	uart_write(UART_INTERRUPT_ENABLE, 0);
	uart_write(UART_LINE_CONTROL, LINE_CONTROL_DIVISOR | LINE_CONTROL_8N1);
	uart_write(UART_DIVISOR_LOW, DIVISOR_115200);
	uart_write(UART_DIVISOR_HIGH, 0);
	uart_write(UART_LINE_CONTROL, LINE_CONTROL_8N1);
	uart_write(UART_FIFO_CONTROL, FIFO_CONTROL_ENABLE | FIFO_CONTROL_CLEAR);
}

static bool loops_back(void)
{
	bool answered;

	uart_write(UART_MODEM_CONTROL, MODEM_CONTROL_LOOPBACK | MODEM_CONTROL_READY);
	for (unsigned i = 0; i < FIFO_DEPTH && serial_get() >= 0; i++)
		;
	uart_write(UART_DATA, PROBE_BYTE);
	answered = wait_for_status(LINE_STATUS_DATA, WAIT_READS) && uart_read(UART_DATA) == PROBE_BYTE;
	uart_write(UART_MODEM_CONTROL, MODEM_CONTROL_READY);
	return answered;
}

const char *serial_start(uint16_t port)
{
	serial.port = port;
	serial.depth = 0;
	serial.stalled = false;
	if (uart_read(UART_LINE_STATUS) == NOTHING_THERE)
		return "nothing answers there (all reads give FFh)";
	if (!scratch_holds(0x5A) || !scratch_holds(0xA5))
		return "no UART is there (its scratch register does not hold a value)";
	/* What firmware and loader wrote last must leave before the FIFO is cleared. */
	if (!wait_for_status(LINE_STATUS_IDLE, WAIT_READS))
		return "the UART there is stuck (its transmitter never gets idle)";
	set_line();
	serial.depth = 1; /* lets serial_get() work */
	if (!loops_back()) {
		serial.depth = 0;
		return "the UART there is broken (a byte sent in loopback does not come back)";
	}
	if ((uart_read(UART_IDENTIFICATION) & IDENTIFICATION_FIFO) == IDENTIFICATION_FIFO)
		serial.depth = FIFO_DEPTH;
	return NULL;
}

bool serial_usable(void)
{
	return serial.depth != 0;
}

size_t serial_room(void)
{
	if (!serial.depth)
		return 0;
	return uart_read(UART_LINE_STATUS) & LINE_STATUS_ROOM ? serial.depth : 0;
}

void serial_put(const char *bytes, size_t count)
{
	for (size_t i = 0; i < count && serial.depth; i++)
		uart_write(UART_DATA, (uint8_t)bytes[i]);
}

void serial_put_slowly(const char *bytes, size_t count)
{
	while (count && serial.depth) {
		bool moves = wait_for_status(LINE_STATUS_ROOM, serial.stalled ? STALLED_READS : WAIT_READS);
		size_t room = MIN((size_t)serial.depth, count);

		serial.stalled = !moves;
		if (!moves)
			return;
		serial_put(bytes, room);
		bytes += room;
		count -= room;
	}
}

void serial_finish(void)
{
	if (serial.depth && !serial.stalled)
		serial.stalled = !wait_for_status(LINE_STATUS_IDLE, WAIT_READS);
}

int serial_get(void)
{
	uint8_t status;

	if (!serial.depth)
		return -1;
	status = uart_read(UART_LINE_STATUS);
	/* A port that has vanished (a dock, a management controller) reads as FFh for ever: no endless input.
	 */
	if (status == NOTHING_THERE || !(status & LINE_STATUS_DATA))
		return -1;
	return uart_read(UART_DATA);
}
