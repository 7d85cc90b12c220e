/*
 * What the loader says: on the firmware's console, and on the serial port as well when the firmware does not
 * already send its console there. And how it gives up: with words, and not before a key was pressed.
 */
#include <stdarg.h>

#include "boot/loader.h"
#include "hv/lib/printf.h"

#define LINE_SIZE      400
#define PREFIX	       "[loader] "
#define KEY_POLL_US    10000
#define DEFAULT_PORT   0x3F8
#define TRANSMIT_SPINS 200000u /* far longer than one character takes at 115200 baud */

/* 16550 registers, as offsets from its first port. */
enum { UART_DATA = 0, UART_INTERRUPTS = 1, UART_FIFO = 2, UART_LINE = 3, UART_MODEM = 4, UART_STATUS = 5 };
#define UART_DIVISOR_LATCH  0x80
#define UART_8N1	    0x03
#define UART_FIFO_ON	    0x01
#define UART_DTR_RTS	    0x03
#define UART_DIVISOR_115200 1
#define UART_RECEIVED	    0x01
#define UART_CAN_TRANSMIT   0x20
#define UART_ABSENT	    0xFF

/* The port the loader writes to itself; 0: none. */
static uint16_t serial_port;
static bool firmware_has_serial;

static void port_write(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}

static uint8_t port_read(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

/* A port where nothing answers reads as all ones. */
static bool uart_is_present(uint16_t port)
{
	return port_read((uint16_t)(port + UART_STATUS)) != UART_ABSENT;
}

static void uart_init(uint16_t port)
{
	port_write((uint16_t)(port + UART_INTERRUPTS), 0);
	port_write((uint16_t)(port + UART_LINE), UART_DIVISOR_LATCH | UART_8N1);
	port_write((uint16_t)(port + UART_DATA), UART_DIVISOR_115200);
	port_write((uint16_t)(port + UART_INTERRUPTS), 0);
	port_write((uint16_t)(port + UART_LINE), UART_8N1);
	port_write((uint16_t)(port + UART_FIFO), UART_FIFO_ON);
	port_write((uint16_t)(port + UART_MODEM), UART_DTR_RTS);
}

static void uart_write(char character)
{
	for (uint32_t i = 0; i < TRANSMIT_SPINS; i++)
		if (port_read((uint16_t)(serial_port + UART_STATUS)) & UART_CAN_TRANSMIT)
			break;
	port_write((uint16_t)(serial_port + UART_DATA), (uint8_t)character);
}

static bool path_has_uart(EFI_DEVICE_PATH *path)
{
	for (; !IsDevicePathEnd(path); path = NextDevicePathNode(path))
		if (DevicePathType(path) == MESSAGING_DEVICE_PATH && DevicePathSubType(path) == MSG_UART_DP)
			return true;
	return false;
}

/* Whether one of the outputs that make up the firmware's console is a serial line. */
static bool console_has_uart(void)
{
	EFI_GUID console_out_device = CONSOLE_OUT_DEVICE_GUID;
	EFI_GUID device_path = DEVICE_PATH_PROTOCOL;
	EFI_BOOT_SERVICES *boot = firmware->BootServices;
	EFI_HANDLE *handles;
	UINTN count;
	bool found = false;

	if (EFI_ERROR(boot->LocateHandleBuffer(ByProtocol, &console_out_device, NULL, &count, &handles)))
		return false;
	for (UINTN i = 0; i < count; i++) {
		EFI_DEVICE_PATH *path;

		if (!EFI_ERROR(boot->HandleProtocol(handles[i], &device_path, (void **)&path)))
			found |= path_has_uart(path);
	}
	boot->FreePool(handles);
	return found;
}

void output_set_serial(uint16_t port, bool enabled)
{
	serial_port = 0;
	if (firmware_has_serial || !enabled || !uart_is_present(port))
		return;
	uart_init(port);
	serial_port = port;
}

void output_init(void)
{
	firmware_has_serial = console_has_uart();
	output_set_serial(DEFAULT_PORT, true);
}

/* The firmware wants UTF-16; its fonts have little beyond ASCII, so the rest is shown as a question mark. */
static void print(const char *text)
{
	CHAR16 wide[LINE_SIZE];
	UINTN used = 0;

	for (; *text != '\0' && used < LINE_SIZE - 1; text++) {
		bool continues = ((uint8_t)*text & 0xC0) == 0x80;

		if (!continues)
			wide[used++] = (uint8_t)*text < 0x80 ? (CHAR16)*text : L'?';
		if (serial_port != 0)
			uart_write(*text);
	}
	wide[used] = 0;
	firmware->ConOut->OutputString(firmware->ConOut, wide);
}

static void say_list(const char *pattern, va_list arguments)
{
	char line[LINE_SIZE];

	format_v(line, sizeof(line), pattern, arguments);
	print(PREFIX);
	print(line);
	print("\r\n");
}

void say(const char *pattern, ...)
{
	va_list arguments;

	va_start(arguments, pattern);
	say_list(pattern, arguments);
	va_end(arguments);
}

static void drain_keys(void)
{
	EFI_INPUT_KEY key;

	while (!EFI_ERROR(firmware->ConIn->ReadKeyStroke(firmware->ConIn, &key)))
		continue;
	if (serial_port != 0)
		port_read((uint16_t)(serial_port + UART_DATA));
}

static void wait_for_key(void)
{
	EFI_INPUT_KEY key;

	drain_keys();
	while (EFI_ERROR(firmware->ConIn->ReadKeyStroke(firmware->ConIn, &key))) {
		if (serial_port != 0 && port_read((uint16_t)(serial_port + UART_STATUS)) & UART_RECEIVED)
			break;
		firmware->BootServices->Stall(KEY_POLL_US);
	}
}

_Noreturn void fail(const char *advice, const char *pattern, ...)
{
	char what[LINE_SIZE];
	va_list arguments;

	va_start(arguments, pattern);
	format_v(what, sizeof(what), pattern, arguments);
	va_end(arguments);

	say("error: %s", what);
	say("  what to do: %s", advice);
	say("Nothing was started. Press a key to return to the firmware.");
	wait_for_key();
	firmware->BootServices->Exit(loader_image, EFI_ABORTED, 0, NULL);
	/* Exit() returns only if the firmware is broken. */
	for (;;)
		__asm__ volatile("hlt");
}

const char *status_name(EFI_STATUS status)
{
	static const struct {
		EFI_STATUS status;
		const char *name;
	} names[] = {
		{EFI_NOT_FOUND, "not found"},
		{EFI_OUT_OF_RESOURCES, "out of memory"},
		{EFI_DEVICE_ERROR, "device error"},
		{EFI_NO_MEDIA, "no medium"},
		{EFI_MEDIA_CHANGED, "medium changed"},
		{EFI_VOLUME_CORRUPTED, "volume corrupted"},
		{EFI_ACCESS_DENIED, "access denied"},
		{EFI_SECURITY_VIOLATION, "security violation"},
		{EFI_INVALID_PARAMETER, "invalid parameter"},
		{EFI_UNSUPPORTED, "unsupported"},
		{EFI_NOT_READY, "not ready"},
		{EFI_BUFFER_TOO_SMALL, "buffer too small"},
		{EFI_TIMEOUT, "timeout"},
		{EFI_CRC_ERROR, "checksum error"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].status == status)
			return names[i].name;
	return "an unnamed firmware error";
}
