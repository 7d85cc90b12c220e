/*
 * What every ACPI table has: the root pointer that leads to them, and their header. Source: ACPI 6.5, 5.2.5.3
 * and 5.2.6.
 */
#pragma once

#include <stdint.h>

#define ACPI_SIGNATURE_SIZE 4u

struct acpi_root {
	char signature[8];
	uint8_t checksum;
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t size;
	uint64_t xsdt;
	uint8_t extended_checksum;
	uint8_t reserved[3];
} __attribute__((packed));

struct acpi_header {
	char signature[ACPI_SIGNATURE_SIZE];
	uint32_t size;
	uint8_t revision;
	uint8_t checksum;
	char oem[6];
	char oem_table[8];
	uint32_t oem_revision;
	uint32_t creator;
	uint32_t creator_revision;
} __attribute__((packed));

_Static_assert(sizeof(struct acpi_root) == 36, "ACPI 6.5, table 5.3");
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.5, table 5.4");
