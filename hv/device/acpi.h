/*
 * The ACPI tables of a full partition: they tell an operating system which of a PC's devices this one has,
 * and where (hv/device/pc.h). Built into guest memory at every start; afterwards the guest may do with them
 * what it likes.
 */
#pragma once

#include "hv/core/partition.h"

/* The root pointer lies first in the area where the firmware of a PC keeps it (ACPI 6.5, 5.2.5.1). */
#define ACPI_AREA_GPA  0xE0000u
#define ACPI_AREA_SIZE 0x2000u
#define ACPI_RSDP_GPA  ACPI_AREA_GPA

/* Builds all tables in `area`, which the guest sees at ACPI_AREA_GPA. Returns the bytes used. */
size_t acpi_build(uint8_t area[ACPI_AREA_SIZE], uint32_t vcpu_count);

/* The same, in the partition's memory. */
void acpi_place(const struct partition *partition);
