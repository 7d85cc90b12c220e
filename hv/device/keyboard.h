/*
 * The keyboard controller (8042, as on the IBM PS/2: Hardware Interface Technical Reference, "Keyboard and
 * auxiliary device controller") with no keyboard and no mouse: it passes its tests, keeps its command byte,
 * resets the machine, and reports that what is sent to a device is not taken.
 */
#pragma once

#include "hv/device/chipset.h"

struct keyboard {
	uint8_t command_byte;
	uint8_t output; /* data to be read */
	uint8_t output_port;
	uint8_t expects; /* the command whose data byte is next; 0: none */
	bool full, from_mouse, timed_out, after_command;
};

void keyboard_reset(struct keyboard *keyboard);
/* Ports 60h and 64h. */
uint8_t keyboard_read(struct keyboard *keyboard, uint16_t port);
enum chipset_order keyboard_write(struct keyboard *keyboard, uint16_t port, uint8_t value);
/* The level of IRQ 1. */
bool keyboard_interrupt(const struct keyboard *keyboard);
