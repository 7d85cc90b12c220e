/*
 * What the loader reads from ACPI: the list of CPUs, the ISA interrupt overrides and the first I/O APIC.
 * Pure, apart from following the physical addresses in the tables.
 */
#pragma once

#include <stdbool.h>
#include <bulkhead/boot_info.h>

/* Whether a root pointer's signature and both its checksums are right (ACPI 6.5, 5.2.5.3). */
bool acpi_root_is_sound(const void *root);

/* The table with this signature of four letters behind a sound root pointer; NULL when none has a right
 * checksum. */
const void *acpi_find_table(const void *root, const char *signature);

/*
 * Fills cpu[], cpu_count, ioapic, isa_gsi[] and isa_flags[] from a MADT with a right checksum. Returns the
 * number of enabled CPUs, which may be more than cpu[] holds.
 */
uint32_t madt_read(const void *madt, struct boot_info *info);

/* The offset of the first entry whose length cannot be, where madt_read() stops; 0: all are well formed. */
uint32_t madt_flaw(const void *madt);

/* Adds a CPU unless it is listed already. False when cpu[] is full. */
bool cpu_list_add(struct boot_info *info, uint32_t apic_id, uint32_t firmware_id);

/* Makes the boot CPU cpu[0], keeping the order of the others. False when it is not in the list. */
bool cpu_list_put_first(struct boot_info *info, uint32_t apic_id);
