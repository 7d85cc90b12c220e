/*
 * From the ACPI root pointer to the MADT, and from the MADT to the list of CPUs. Every table is checked
 * before it is believed. Source: ACPI specification 6.5, sections named below.
 */
#include <stddef.h>

#include "boot/acpi.h"
#include "boot/madt.h"

#define ROOT_SIZE_V1   20u /* the part that the first checksum covers */
#define ROOT_SIZE_V2   36u
#define TABLE_SIZE_MAX (16u << 20)
#define ISA_IRQS       16u
#define NO_APIC_ID     0xFFu /* of a local APIC entry: the broadcast address */
#define CPU_ENABLED    1u
#define MADT_FIRST     44u /* offset of the first entry */

/* 5.2.12, table 5.21 */
enum madt_type { MADT_LOCAL_APIC = 0, MADT_IO_APIC = 1, MADT_OVERRIDE = 2, MADT_LOCAL_X2APIC = 9 };

struct madt_entry {
	uint8_t type;
	uint8_t size;
} __attribute__((packed));

struct madt_local_apic {
	struct madt_entry entry;
	uint8_t uid;
	uint8_t apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_io_apic {
	struct madt_entry entry;
	uint8_t id;
	uint8_t reserved;
	uint32_t address;
	uint32_t first_gsi;
} __attribute__((packed));

struct madt_override {
	struct madt_entry entry;
	uint8_t bus;
	uint8_t irq;
	uint32_t gsi;
	uint16_t flags;
} __attribute__((packed));

struct madt_local_x2apic {
	struct madt_entry entry;
	uint16_t reserved;
	uint32_t apic_id;
	uint32_t flags;
	uint32_t uid;
} __attribute__((packed));

static bool sums_to_zero(const void *bytes, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
	return sum == 0;
}

static bool has_signature(const void *bytes, const char *signature)
{
	for (size_t i = 0; signature[i] != '\0'; i++)
		if (((const char *)bytes)[i] != signature[i])
			return false;
	return true;
}

bool acpi_root_is_sound(const void *address)
{
	const struct acpi_root *root = address;

	if (!has_signature(root->signature, "RSD PTR ") || !sums_to_zero(root, ROOT_SIZE_V1))
		return false;
	return root->revision < 2 ||
	       (root->size >= ROOT_SIZE_V2 && root->size <= TABLE_SIZE_MAX && sums_to_zero(root, root->size));
}

static const struct acpi_header *sound_table(uint64_t address, const char *signature)
{
	const struct acpi_header *table = (const struct acpi_header *)(uintptr_t)address;

	if (table == NULL || !has_signature(table->signature, signature))
		return NULL;
	if (table->size < sizeof(*table) || table->size > TABLE_SIZE_MAX || !sums_to_zero(table, table->size))
		return NULL;
	return table;
}

/* The pointers of the RSDT are 4 bytes wide, those of the XSDT 8, and not aligned. */
static uint64_t pointer_at(const uint8_t *bytes, size_t width)
{
	uint64_t pointer = 0;

	for (size_t i = 0; i < width; i++)
		pointer |= (uint64_t)bytes[i] << (8 * i);
	return pointer;
}

const void *acpi_find_table(const void *address, const char *signature)
{
	const struct acpi_root *root = address;
	bool extended = root->revision >= 2 && root->xsdt != 0;
	size_t width = extended ? sizeof(uint64_t) : sizeof(uint32_t);
	const struct acpi_header *list =
		extended ? sound_table(root->xsdt, "XSDT") : sound_table(root->rsdt, "RSDT");

	if (list == NULL)
		return NULL;
	for (size_t offset = sizeof(*list); offset + width <= list->size; offset += width) {
		const void *table = sound_table(pointer_at((const uint8_t *)list + offset, width), signature);

		if (table != NULL)
			return table;
	}
	return NULL;
}

bool cpu_list_add(struct boot_info *info, uint32_t apic_id, uint32_t firmware_id)
{
	for (uint32_t i = 0; i < info->cpu_count; i++)
		if (info->cpu[i].apic_id == apic_id)
			return true;
	if (info->cpu_count == CONFIG_MAX_CPUS)
		return false;
	info->cpu[info->cpu_count++] = (struct boot_cpu){.apic_id = apic_id, .firmware_id = firmware_id};
	return true;
}

bool cpu_list_put_first(struct boot_info *info, uint32_t apic_id)
{
	uint32_t index = 0;

	while (index < info->cpu_count && info->cpu[index].apic_id != apic_id)
		index++;
	if (index == info->cpu_count)
		return false;

	struct boot_cpu boot_cpu = info->cpu[index];

	for (; index > 0; index--)
		info->cpu[index] = info->cpu[index - 1];
	info->cpu[0] = boot_cpu;
	return true;
}

/* Each reader returns the number of enabled CPUs that did not fit. */
static uint32_t read_local_apic(const void *entry, struct boot_info *info)
{
	const struct madt_local_apic *apic = entry;

	if ((apic->flags & CPU_ENABLED) == 0 || apic->apic_id == NO_APIC_ID)
		return 0;
	return !cpu_list_add(info, apic->apic_id, apic->uid);
}

static uint32_t read_local_x2apic(const void *entry, struct boot_info *info)
{
	const struct madt_local_x2apic *apic = entry;

	if ((apic->flags & CPU_ENABLED) == 0)
		return 0;
	return !cpu_list_add(info, apic->apic_id, apic->uid);
}

static uint32_t read_io_apic(const void *entry, struct boot_info *info)
{
	const struct madt_io_apic *io_apic = entry;

	if (info->ioapic == 0)
		info->ioapic = io_apic->address;
	return 0;
}

static uint32_t read_override(const void *entry, struct boot_info *info)
{
	const struct madt_override *override = entry;

	if (override->bus == 0 && override->irq < ISA_IRQS) {
		info->isa_gsi[override->irq] = override->gsi;
		info->isa_flags[override->irq] = override->flags;
	}
	return 0;
}

static const struct reader {
	enum madt_type type;
	size_t size;
	uint32_t (*read)(const void *entry, struct boot_info *info);
} readers[] = {
	{MADT_LOCAL_APIC, sizeof(struct madt_local_apic), read_local_apic},
	{MADT_LOCAL_X2APIC, sizeof(struct madt_local_x2apic), read_local_x2apic},
	{MADT_IO_APIC, sizeof(struct madt_io_apic), read_io_apic},
	{MADT_OVERRIDE, sizeof(struct madt_override), read_override},
};

static uint32_t read_entry(const struct madt_entry *entry, struct boot_info *info)
{
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++)
		if (readers[i].type == entry->type && entry->size >= readers[i].size)
			return readers[i].read(entry, info);
	return 0;
}

/* Whether a whole entry stands at `offset`. */
static bool is_entry(const uint8_t *bytes, uint32_t offset, uint32_t size)
{
	const struct madt_entry *entry = (const struct madt_entry *)(bytes + offset);

	return offset + sizeof(*entry) <= size && entry->size >= sizeof(*entry) &&
	       entry->size <= size - offset;
}

uint32_t madt_read(const void *madt, struct boot_info *info)
{
	const uint8_t *bytes = madt;
	uint32_t size = ((const struct acpi_header *)madt)->size;
	uint32_t surplus = 0;

	for (uint32_t irq = 0; irq < ISA_IRQS; irq++) {
		info->isa_gsi[irq] = irq;
		info->isa_flags[irq] = 0;
	}
	info->ioapic = 0;
	info->cpu_count = 0;
	for (uint32_t offset = MADT_FIRST; is_entry(bytes, offset, size);) {
		const struct madt_entry *entry = (const struct madt_entry *)(bytes + offset);

		surplus += read_entry(entry, info);
		offset += entry->size;
	}
	return info->cpu_count + surplus;
}

uint32_t madt_flaw(const void *madt)
{
	const uint8_t *bytes = madt;
	uint32_t size = ((const struct acpi_header *)madt)->size;
	uint32_t offset = MADT_FIRST;

	while (is_entry(bytes, offset, size))
		offset += ((const struct madt_entry *)(bytes + offset))->size;
	return offset < size ? offset : 0;
}
