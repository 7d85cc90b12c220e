/*
 * What else a PC answers on its ports: the ways to reset it and to switch it off, a keyboard controller
 * without keyboard, the clock's index register, diagnostics. PCI configuration reads all ones: a bus without
 * devices.
 */
#pragma once

#include "hv/lib/types.h"

enum chipset_order { CHIPSET_NOTHING, CHIPSET_RESET, CHIPSET_OFF };

struct chipset {
	uint8_t rtc_index;
	uint8_t reset_control;
};

#define PORT_KEYBOARD_DATA    0x60u
#define PORT_KEYBOARD_COMMAND 0x64u
#define PORT_RTC_INDEX	      0x70u
#define PORT_RTC_DATA	      0x71u
#define PORT_DIAGNOSTICS      0x80u
#define PORT_FAST_RESET	      0x92u
#define PORT_ACPI_CONTROL     0x604u
#define PORT_RESET_CONTROL    0xCF9u

/* `seconds`: wall-clock time since 1970, for the clock. */
uint8_t chipset_read(const struct chipset *chipset, uint16_t port, uint64_t seconds);
enum chipset_order chipset_write(struct chipset *chipset, uint16_t port, uint32_t value);
