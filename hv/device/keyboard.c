/*
 * One byte out at a time, a status that says whose it is, and the commands of the controller itself.
 */
#include "hv/device/keyboard.h"

#define PORT_IS_COMMAND 0x04u

#define STATUS_FULL	 0x01u
#define STATUS_SYSTEM	 0x04u /* bit 2 of the command byte, too */
#define STATUS_COMMAND	 0x08u
#define STATUS_UNLOCKED	 0x10u
#define STATUS_MOUSE	 0x20u
#define STATUS_TIMED_OUT 0x40u

#define COMMAND_BYTE_INTERRUPT	  0x01u
#define COMMAND_BYTE_KEYBOARD_OFF 0x10u
#define COMMAND_BYTE_MOUSE_OFF	  0x20u
#define COMMAND_BYTE_RESET	  (STATUS_SYSTEM | COMMAND_BYTE_MOUSE_OFF)

#define OUTPUT_PORT_RUNNING 0x01u /* 0: the CPU is in reset */
#define OUTPUT_PORT_A20	    0x02u

#define SELF_TEST_PASSED 0x55u
#define PORT_TEST_PASSED 0x00u
#define NOT_TAKEN	 0xFEu /* "resend": what the controller makes of a device that does not answer */

enum keyboard_command {
	READ_COMMAND_BYTE = 0x20,
	WRITE_COMMAND_BYTE = 0x60,
	MOUSE_OFF = 0xA7,
	MOUSE_ON = 0xA8,
	SELF_TEST = 0xAA,
	TEST_KEYBOARD_PORT = 0xAB,
	KEYBOARD_OFF = 0xAD,
	KEYBOARD_ON = 0xAE,
	READ_INPUT_PORT = 0xC0,
	READ_OUTPUT_PORT = 0xD0,
	WRITE_OUTPUT_PORT = 0xD1,
	WRITE_AS_KEYBOARD = 0xD2,
	WRITE_AS_MOUSE = 0xD3,
	WRITE_TO_MOUSE = 0xD4,
	PULSE_FIRST = 0xF0 /* to FFh: the output port's lower bits that are 0 in the command go low */
};

static void put(struct keyboard *keyboard, uint8_t value)
{
	keyboard->output = value;
	keyboard->full = true;
	keyboard->from_mouse = keyboard->timed_out = false;
}

static void refuse(struct keyboard *keyboard, bool mouse)
{
	put(keyboard, NOT_TAKEN);
	keyboard->from_mouse = mouse;
	keyboard->timed_out = true;
}

static enum chipset_order drive_output_port(struct keyboard *keyboard, uint8_t value)
{
	keyboard->output_port = value | OUTPUT_PORT_A20;
	return value & OUTPUT_PORT_RUNNING ? CHIPSET_NOTHING : CHIPSET_RESET;
}

static enum chipset_order write_command(struct keyboard *keyboard, uint8_t command)
{
	keyboard->expects = 0;
	keyboard->after_command = true;
	switch (command) {
	case READ_COMMAND_BYTE: put(keyboard, keyboard->command_byte); break;
	case MOUSE_OFF: keyboard->command_byte |= COMMAND_BYTE_MOUSE_OFF; break;
	case MOUSE_ON: keyboard->command_byte &= (uint8_t)~COMMAND_BYTE_MOUSE_OFF; break;
	case SELF_TEST: put(keyboard, SELF_TEST_PASSED); break;
	case TEST_KEYBOARD_PORT: put(keyboard, PORT_TEST_PASSED); break;
	case KEYBOARD_OFF: keyboard->command_byte |= COMMAND_BYTE_KEYBOARD_OFF; break;
	case KEYBOARD_ON: keyboard->command_byte &= (uint8_t)~COMMAND_BYTE_KEYBOARD_OFF; break;
	case READ_INPUT_PORT: put(keyboard, 0); break;
	case READ_OUTPUT_PORT: put(keyboard, keyboard->output_port); break;
	case WRITE_COMMAND_BYTE:
	case WRITE_OUTPUT_PORT:
	case WRITE_AS_KEYBOARD:
	case WRITE_AS_MOUSE:
	case WRITE_TO_MOUSE: keyboard->expects = command; break;
	default:
		if (command >= PULSE_FIRST && !(command & OUTPUT_PORT_RUNNING))
			return CHIPSET_RESET;
		break;
	}
	return CHIPSET_NOTHING;
}

static enum chipset_order write_data(struct keyboard *keyboard, uint8_t value)
{
	const uint8_t command = keyboard->expects;

	keyboard->expects = 0;
	keyboard->after_command = false;
	switch (command) {
	case WRITE_COMMAND_BYTE: keyboard->command_byte = value; break;
	case WRITE_OUTPUT_PORT: return drive_output_port(keyboard, value);
	case WRITE_AS_KEYBOARD: put(keyboard, value); break;
	case WRITE_AS_MOUSE:
		put(keyboard, value);
		keyboard->from_mouse = true;
		break;
	default: refuse(keyboard, command == WRITE_TO_MOUSE); break;
	}
	return CHIPSET_NOTHING;
}

enum chipset_order keyboard_write(struct keyboard *keyboard, uint16_t port, uint8_t value)
{
	return port & PORT_IS_COMMAND ? write_command(keyboard, value) : write_data(keyboard, value);
}

uint8_t keyboard_read(struct keyboard *keyboard, uint16_t port)
{
	if (!(port & PORT_IS_COMMAND)) {
		keyboard->full = keyboard->from_mouse = keyboard->timed_out = false;
		return keyboard->output;
	}
	return (uint8_t)(STATUS_UNLOCKED | (keyboard->command_byte & STATUS_SYSTEM) |
			 (keyboard->full ? STATUS_FULL : 0) | (keyboard->from_mouse ? STATUS_MOUSE : 0) |
			 (keyboard->timed_out ? STATUS_TIMED_OUT : 0) |
			 (keyboard->after_command ? STATUS_COMMAND : 0));
}

bool keyboard_interrupt(const struct keyboard *keyboard)
{
	return keyboard->full && !keyboard->from_mouse && (keyboard->command_byte & COMMAND_BYTE_INTERRUPT);
}

void keyboard_reset(struct keyboard *keyboard)
{
	*keyboard = (struct keyboard){.command_byte = COMMAND_BYTE_RESET,
				      .output_port = OUTPUT_PORT_RUNNING | OUTPUT_PORT_A20};
}
