/*
 * From an ACPI root pointer to the list of CPUs: good tables of both revisions, wrong checksums, strange
 * entries.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "boot/madt.h"

#define ARENA_SIZE   8192u
#define ROOT_OFFSET  0u
#define LIST_OFFSET  0x100u
#define MADT_OFFSET  0x400u
#define HEADER_SIZE  36u
#define MADT_FIXED   44u
#define SUM_OF_ROOT  8u
#define SUM_OF_TABLE 9u
#define SUM_OF_ROOT2 32u

/* Tables hold 32-bit addresses, so the arena lies below 4 GiB. */
static uint8_t *arena;
static uint32_t madt_size;
static struct boot_info info;

static int map_arena(void **state)
{
	(void)state;
	arena = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1,
		     0);
	return arena == MAP_FAILED ? -1 : 0;
}

static uint32_t address_of(uint32_t offset)
{
	return (uint32_t)(uintptr_t)(arena + offset);
}

static void fix_sum(uint32_t offset, uint32_t size, uint32_t sum_offset)
{
	uint8_t sum = 0;

	arena[offset + sum_offset] = 0;
	for (uint32_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + arena[offset + i]);
	arena[offset + sum_offset] = (uint8_t)-sum;
}

static void finish_table(uint32_t offset, const char *signature, uint32_t size)
{
	memcpy(arena + offset, signature, 4);
	memcpy(arena + offset + 4, &size, sizeof(size));
	fix_sum(offset, size, SUM_OF_TABLE);
}

static void add_entry(const void *entry, uint32_t size)
{
	memcpy(arena + MADT_OFFSET + madt_size, entry, size);
	madt_size += size;
	finish_table(MADT_OFFSET, "APIC", madt_size);
}

#define ENTRY(...) add_entry((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void start(uint8_t revision)
{
	uint32_t list_address = address_of(LIST_OFFSET), madt_address = address_of(MADT_OFFSET);
	uint64_t wide_list = list_address, wide_madt = madt_address;
	uint32_t root_size = 36;

	memset(arena, 0, ARENA_SIZE);
	memset(&info, 0, sizeof(info));
	madt_size = MADT_FIXED;
	finish_table(MADT_OFFSET, "APIC", madt_size);
	if (revision < 2) {
		memcpy(arena + LIST_OFFSET + HEADER_SIZE, &madt_address, sizeof(madt_address));
		finish_table(LIST_OFFSET, "RSDT", HEADER_SIZE + 4);
	} else {
		/* The first pointer leads nowhere: it is passed over. */
		memcpy(arena + LIST_OFFSET + HEADER_SIZE + 8, &wide_madt, sizeof(wide_madt));
		finish_table(LIST_OFFSET, "XSDT", HEADER_SIZE + 16);
		memcpy(arena + ROOT_OFFSET + 24, &wide_list, sizeof(wide_list));
	}
	memcpy(arena + ROOT_OFFSET, "RSD PTR ", 8);
	arena[ROOT_OFFSET + 15] = revision;
	memcpy(arena + ROOT_OFFSET + 16, &list_address, sizeof(list_address));
	memcpy(arena + ROOT_OFFSET + 20, &root_size, sizeof(root_size));
	fix_sum(ROOT_OFFSET, 20, SUM_OF_ROOT);
	fix_sum(ROOT_OFFSET, 36, SUM_OF_ROOT2);
}

static void test_both_revisions(void **state)
{
	(void)state;
	for (uint8_t revision = 0; revision <= 2; revision = (uint8_t)(revision + 2)) {
		start(revision);
		assert_true(acpi_root_is_sound(arena + ROOT_OFFSET));
		assert_ptr_equal(acpi_find_table(arena + ROOT_OFFSET, "APIC"), arena + MADT_OFFSET);
		assert_null(acpi_find_table(arena + ROOT_OFFSET, "HPET"));
	}
}

static void test_wrong_sums(void **state)
{
	(void)state;
	start(2);
	arena[ROOT_OFFSET + 10]++;
	assert_false(acpi_root_is_sound(arena + ROOT_OFFSET));
	start(2);
	arena[ROOT_OFFSET + 33]++;
	assert_false(acpi_root_is_sound(arena + ROOT_OFFSET));
	start(2);
	arena[ROOT_OFFSET] = 'X';
	assert_false(acpi_root_is_sound(arena + ROOT_OFFSET));
	start(2);
	arena[MADT_OFFSET + 40]++;
	assert_null(acpi_find_table(arena + ROOT_OFFSET, "APIC"));
	start(2);
	arena[LIST_OFFSET + 12]++;
	assert_null(acpi_find_table(arena + ROOT_OFFSET, "APIC"));
}

static void test_cpus(void **state)
{
	(void)state;
	start(2);
	ENTRY(0, 8, 1, 4, 1, 0, 0, 0);	 /* enabled */
	ENTRY(0, 8, 2, 6, 0, 0, 0, 0);	 /* not enabled */
	ENTRY(0, 8, 2, 7, 2, 0, 0, 0);	 /* can be plugged in: not there yet */
	ENTRY(0, 8, 3, 255, 1, 0, 0, 0); /* no address */
	ENTRY(0, 8, 4, 2, 1, 0, 0, 0);
	ENTRY(9, 16, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0); /* x2APIC id 256 */
	ENTRY(9, 16, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0); /* id 2 again */
	ENTRY(9, 16, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0); /* not enabled */
	assert_int_equal(madt_read(arena + MADT_OFFSET, &info), 3);
	assert_int_equal(info.cpu_count, 3);
	assert_int_equal(info.cpu[0].apic_id, 4);
	assert_int_equal(info.cpu[0].firmware_id, 1);
	assert_int_equal(info.cpu[1].apic_id, 2);
	assert_int_equal(info.cpu[2].apic_id, 256);

	assert_true(cpu_list_put_first(&info, 256));
	assert_int_equal(info.cpu[0].apic_id, 256);
	assert_int_equal(info.cpu[1].apic_id, 4);
	assert_int_equal(info.cpu[2].apic_id, 2);
	assert_false(cpu_list_put_first(&info, 5));
}

static void test_too_many_cpus(void **state)
{
	(void)state;
	start(2);
	for (uint8_t i = 0; i < CONFIG_MAX_CPUS + 3; i++)
		ENTRY(0, 8, i, i, 1, 0, 0, 0);
	assert_int_equal(madt_read(arena + MADT_OFFSET, &info), CONFIG_MAX_CPUS + 3);
	assert_int_equal(info.cpu_count, CONFIG_MAX_CPUS);
}

static void test_interrupts(void **state)
{
	(void)state;
	start(2);
	ENTRY(1, 12, 0, 0, 0x00, 0x00, 0xC0, 0xFE, 0, 0, 0, 0);
	ENTRY(1, 12, 1, 0, 0x00, 0x10, 0xC0, 0xFE, 24, 0, 0, 0);
	ENTRY(2, 10, 0, 0, 2, 0, 0, 0, 0, 0);
	ENTRY(2, 10, 0, 9, 9, 0, 0, 0, 0x0D, 0);
	ENTRY(2, 10, 0, 16, 9, 0, 0, 0, 0x0D, 0);
	ENTRY(2, 10, 1, 3, 9, 0, 0, 0, 0x0D, 0);
	madt_read(arena + MADT_OFFSET, &info);
	assert_int_equal(info.ioapic, 0xFEC00000);
	assert_int_equal(info.isa_gsi[0], 2);
	assert_int_equal(info.isa_flags[0], 0);
	assert_int_equal(info.isa_gsi[3], 3);
	assert_int_equal(info.isa_gsi[9], 9);
	assert_int_equal(info.isa_flags[9], 0x0D);
}

/* Entries that are too short, too long or of no size end the list or are passed over; none is read beyond its
 * end. */
static void test_strange_entries(void **state)
{
	(void)state;
	start(2);
	ENTRY(77, 5, 1, 2, 3);
	ENTRY(0, 4, 1, 4);
	ENTRY(0, 8, 1, 4, 1, 0, 0, 0);
	ENTRY(0, 0);
	ENTRY(0, 8, 2, 5, 1, 0, 0, 0);
	assert_int_equal(madt_read(arena + MADT_OFFSET, &info), 1);
	assert_int_equal(madt_flaw(arena + MADT_OFFSET), 44 + 5 + 4 + 8);
	start(2);
	ENTRY(0, 8, 2, 5, 1, 0, 0, 0);
	assert_int_equal(madt_flaw(arena + MADT_OFFSET), 0);
	start(2);
	ENTRY(0, 200, 2, 5, 1, 0, 0, 0);
	assert_int_equal(madt_read(arena + MADT_OFFSET, &info), 0);
	assert_int_equal(madt_flaw(arena + MADT_OFFSET), 44);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_revisions), cmocka_unit_test(test_wrong_sums),
		cmocka_unit_test(test_cpus),	       cmocka_unit_test(test_too_many_cpus),
		cmocka_unit_test(test_interrupts),     cmocka_unit_test(test_strange_entries),
	};

	return cmocka_run_group_tests(tests, map_arena, NULL);
}
