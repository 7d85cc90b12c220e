/*
 * The ACPI tables of a partition, read as an operating system reads them: found by scanning, followed by
 * address, summed up. Where ACPICA's disassembler is installed it has to take the AML for what it is.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "hv/device/acpi.h"
#include "hv/device/pc.h"

static uint8_t area[ACPI_AREA_SIZE];
static size_t used;

void *partition_memory(const struct partition *partition, gpa_t address, uint64_t size)
{
	(void)partition;
	assert_int_equal(address.value, ACPI_AREA_GPA);
	assert_int_equal(size, ACPI_AREA_SIZE);
	return area;
}

static uint64_t field(const uint8_t *table, size_t offset, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, table + offset, size);
	return value;
}

static void assert_sum(const uint8_t *table, size_t size)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + table[i]);
	assert_int_equal(sum, 0);
}

static const uint8_t *at(uint64_t address)
{
	assert_in_range(address, ACPI_AREA_GPA, ACPI_AREA_GPA + used - 1);
	return area + (address - ACPI_AREA_GPA);
}

/* A table whose header, length and checksum are right. */
static const uint8_t *table_at(uint64_t address, const char *signature)
{
	const uint8_t *table = at(address);

	assert_memory_equal(table, signature, 4);
	assert_in_range(field(table, 4, 4), 36, used - (size_t)(table - area));
	assert_sum(table, field(table, 4, 4));
	return table;
}

static const uint8_t *xsdt(void)
{
	assert_memory_equal(area, "RSD PTR ", 8);
	assert_sum(area, 20);
	assert_sum(area, 36);
	assert_int_equal(area[15], 2);
	assert_int_equal(field(area, 20, 4), 36);
	return table_at(field(area, 24, 8), "XSDT");
}

/* The table of the XSDT with this signature. */
static const uint8_t *find(const char *signature)
{
	const uint8_t *root = xsdt();

	for (size_t offset = 36; offset < field(root, 4, 4); offset += 8)
		if (!memcmp(at(field(root, offset, 8)), signature, 4))
			return table_at(field(root, offset, 8), signature);
	fail_msg("no table %s", signature);
	return NULL;
}

static void build(uint32_t vcpu_count)
{
	memset(area, 0xEE, sizeof(area));
	used = acpi_build(area, vcpu_count);
	assert_in_range(used, 1, sizeof(area));
}

static void every_table_is_found_and_sums_up(void **state)
{
	(void)state;
	for (uint32_t vcpus = 1; vcpus <= CONFIG_MAX_CPUS; vcpus++) {
		build(vcpus);
		assert_int_equal(field(xsdt(), 4, 4), 36 + 2 * 8);
		find("FACP");
		find("APIC");
	}
}

static void the_partition_gets_them(void **state)
{
	struct partition partition = {.vcpu_count = 3};

	(void)state;
	memset(area, 0, sizeof(area));
	used = sizeof(area);
	acpi_place(&partition);
	assert_int_equal(field(find("APIC"), 4, 4), 44 + 3 * 8 + 12 + 2 * 10 + 6);
}

static void fadt_names_the_registers(void **state)
{
	const uint8_t *fadt;

	(void)state;
	build(1);
	fadt = find("FACP");
	assert_int_equal(field(fadt, 4, 4), 276);
	assert_int_equal(field(fadt, 46, 2), PC_IRQ_SCI);
	assert_int_equal(field(fadt, 48, 4), 0); /* SMI_CMD: ACPI mode is on from the start */
	assert_int_equal(field(fadt, 56, 4), PC_PORT_PM1_EVENT);
	assert_int_equal(field(fadt, 64, 4), PC_PORT_PM1_CONTROL);
	assert_int_equal(field(fadt, 76, 4), PC_PORT_PM_TIMER);
	assert_int_equal(fadt[88], 4);
	assert_int_equal(fadt[89], 2);
	assert_int_equal(fadt[91], 4);
	assert_int_equal(fadt[108], PC_RTC_CENTURY);
	assert_int_equal(field(fadt, 109, 2) & 1u << 1, 0); /* no 8042 */
	assert_int_equal(field(fadt, 112, 4) & (1u << 10 | 1u << 8), 1u << 10 | 1u << 8);
	assert_int_equal(field(fadt, 116, 4), 1 | 8 << 8 | 1u << 24);
	assert_int_equal(field(fadt, 120, 8), PC_PORT_RESET);
	assert_int_equal(fadt[128], PC_RESET_VALUE);
	assert_int_equal(field(fadt, 40, 4), field(fadt, 140, 8));
}

static void facs_is_aligned(void **state)
{
	uint64_t address;

	(void)state;
	build(1);
	address = field(find("FACP"), 36, 4);
	assert_int_equal(address % 64, 0);
	assert_memory_equal(at(address), "FACS", 4);
	assert_int_equal(field(at(address), 4, 4), 64);
}

/* The last entry of this type in the MADT, which has to have `expected` of them. */
static const uint8_t *last_of(uint8_t type, unsigned expected)
{
	const uint8_t *madt = find("APIC"), *end = madt + field(madt, 4, 4), *last = madt;
	unsigned count = 0;

	for (const uint8_t *entry = madt + 44; entry < end; entry += entry[1]) {
		assert_in_range(entry[1], 2, (size_t)(end - entry));
		if (entry[0] == type) {
			count++;
			last = entry;
		}
	}
	assert_int_equal(count, expected);
	return last;
}

static void madt_names_cpus_and_lines(void **state)
{
	const uint8_t *madt, *entry;

	(void)state;
	build(4);
	madt = find("APIC");
	assert_int_equal(field(madt, 36, 4), 0xFEE00000);
	assert_int_equal(field(madt, 40, 4), 1);
	entry = last_of(0, 4);
	assert_int_equal(entry[2], 3);
	assert_int_equal(entry[3], 3);
	assert_int_equal(field(entry, 4, 4), 1);
	entry = last_of(1, 1);
	assert_int_equal(entry[2], PC_IOAPIC_ID);
	assert_int_equal(field(entry, 4, 4), PC_IOAPIC_ADDRESS);
	assert_int_equal(field(entry, 8, 4), 0);
	entry = last_of(2, 2);
	assert_int_equal(entry[3], PC_IRQ_SCI);
	assert_int_equal(field(entry, 4, 4), PC_IRQ_SCI);
	assert_int_equal(field(entry, 8, 2), 0xD); /* level, active high */
	entry = last_of(4, 1);
	assert_int_equal(entry[5], 1); /* NMI at LINT1 */
}

static const uint8_t *dsdt(void)
{
	return table_at(field(find("FACP"), 140, 8), "DSDT");
}

/* Disassembles the DSDT with ACPICA's iasl into `text`; false: it is not installed. */
static bool disassemble(char *text, size_t size)
{
	char folder[] = "/tmp/bulkhead-acpi-XXXXXX", command[256], path[64];
	FILE *file;
	size_t got;

	if (system("command -v iasl >/dev/null 2>&1") != 0)
		return false;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/dsdt.aml", folder);
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(dsdt(), 1, field(dsdt(), 4, 4), file), field(dsdt(), 4, 4));
	fclose(file);
	/* Disassembled, and compiled again: both without a complaint. */
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d dsdt.aml >log 2>&1 && iasl -we -f dsdt.dsl >>log 2>&1 || cat log; "
		 "cat dsdt.dsl; rm -rf %s",
		 folder, folder);
	file = popen(command, "r");
	assert_non_null(file);
	got = fread(text, 1, size - 1, file);
	text[got] = '\0';
	assert_int_equal(pclose(file), 0);
	return true;
}

static void dsdt_means_what_it_should(void **state)
{
	static char text[65536];
	static const char *const words[] = {
		"DefinitionBlock (\"\", \"DSDT\", 2, \"BULKHD\"",
		"Name (_S5, Package (0x04)",
		"Device (PCI0)",
		"EisaId (\"PNP0A03\")",
		"WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,",
		"DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,",
		"0xC0000000,         // Range Minimum",
		"0xFEBFFFFF,         // Range Maximum",
		"Device (RTC)",
		"EisaId (\"PNP0B00\")",
		"Device (COM1)",
		"EisaId (\"PNP0501\")",
		"0x03F8,             // Range Minimum",
		"IRQNoFlags ()\n                    {4}",
	};

	(void)state;
	build(2);
	if (!disassemble(text, sizeof(text)))
		skip();
	assert_null(strstr(text, "Error"));
	assert_null(strstr(text, "Warning"));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strstr(text, words[i]))
			fail_msg("'%s' is not in the DSDT:\n%s", words[i], text);
}

/* memtest86+, find_rsdp(): each 16 bytes from E0000h to the end of the first MiB, since there is no EBDA;
 * find_acpi_table() then takes the XSDT and the sum of it, parse_madt() every CPU that is enabled. */
static void memtest86_finds_cpus_and_timer(void **state)
{
	static uint8_t bios[0x20000];
	const uint8_t *found = NULL, *madt, *fadt;
	unsigned cpus = 0;

	(void)state;
	build(4);
	memset(bios, 0, sizeof(bios));
	memcpy(bios + (ACPI_AREA_GPA - 0xE0000), area, used);
	for (size_t i = 0; i < sizeof(bios) && !found; i += 16)
		if (!memcmp(bios + i, "RSD PTR ", 8))
			found = bios + i;
	assert_non_null(found);
	assert_sum(found, 20);
	assert_int_equal(found[15], 2);
	assert_in_range(field(found, 20, 4), 36, 1023);
	assert_sum(found, field(found, 20, 4));
	madt = find("APIC");
	for (const uint8_t *entry = madt + 44; entry < madt + field(madt, 4, 4); entry += entry[1])
		if (entry[0] == 0 && (field(entry, 4, 4) & 3))
			assert_int_equal(entry[3], cpus++);
	assert_int_equal(cpus, 4);
	fadt = find("FACP"); /* the PM timer, by the port of 32 bits */
	assert_int_equal(field(fadt, 76, 4), PC_PORT_PM_TIMER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_table_is_found_and_sums_up),
		cmocka_unit_test(the_partition_gets_them),
		cmocka_unit_test(fadt_names_the_registers),
		cmocka_unit_test(facs_is_aligned),
		cmocka_unit_test(madt_names_cpus_and_lines),
		cmocka_unit_test(dsdt_means_what_it_should),
		cmocka_unit_test(memtest86_finds_cpus_and_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
