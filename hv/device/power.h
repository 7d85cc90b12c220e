/*
 * ACPI fixed hardware (ACPI 6.5, 4.8.3): the PM timer, the PM1 event and control registers, soft-off. One
 * block of ports, laid out as in hv/device/pc.h. As with the 8254, nothing counts: the timer follows from
 * the TSC. Times are TSC values.
 */
#pragma once

#include "hv/device/chipset.h"

#define POWER_NEVER UINT64_MAX

struct power {
	uint64_t tsc_hz;
	uint64_t carries; /* how often the timer's highest bit had changed when that was last looked at */
	uint16_t status, enable, control;
};

void power_reset(struct power *power, uint64_t tsc_hz, uint64_t now);

/* `offset` into the block; reads give what stands from there on, at most 4 bytes of which count. */
uint32_t power_read(struct power *power, unsigned offset, uint64_t now);
/* Takes the lowest `size` bytes. */
enum chipset_order power_write(struct power *power, unsigned offset, unsigned size, uint32_t value,
			       uint64_t now);

/* The clock has raised its interrupt. */
void power_clock_event(struct power *power);

/* The level of the SCI. */
bool power_interrupt(struct power *power, uint64_t now);
/* When the SCI can rise by itself; POWER_NEVER. */
uint64_t power_next(const struct power *power, uint64_t now);
