/*
 * What is left of a PC's chipset: the ways to reset it, and the port for diagnostics. And what such an
 * access, to this or another device, means for the machine.
 */
#pragma once

#include "hv/lib/types.h"

enum chipset_order { CHIPSET_NOTHING, CHIPSET_RESET, CHIPSET_OFF };

struct chipset {
	uint8_t reset_control;
};

#define PORT_DIAGNOSTICS 0x80u
#define PORT_FAST_RESET	 0x92u

uint8_t chipset_read(const struct chipset *chipset, uint16_t port);
enum chipset_order chipset_write(struct chipset *chipset, uint16_t port, uint8_t value);
