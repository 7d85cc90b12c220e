/*
 * The walk through guest page tables: every paging mode and page size, every right, and tables that lead
 * astray.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/guest_walk.h"

#define MEMORY	(16 * PAGE_SIZE)
#define TABLE_0 0x1000ull /* top level */
#define TABLE_1 0x2000ull
#define TABLE_2 0x3000ull
#define TABLE_3 0x4000ull
#define FULL	(ENTRY_PRESENT | ENTRY_WRITE | ENTRY_USER)
#define LINEAR	0x00007A123456789Aull

static uint8_t memory[MEMORY];

static bool read_memory(void *context, gpa_t address, void *to, size_t size)
{
	(void)context;
	if (address.value >= MEMORY || size > MEMORY - address.value)
		return false;
	memcpy(to, memory + address.value, size);
	return true;
}

static void put8(uint64_t table, uint64_t index, uint64_t entry)
{
	memcpy(memory + table + index * 8, &entry, 8);
}

static void put4(uint64_t table, uint64_t index, uint32_t entry)
{
	memcpy(memory + table + index * 4, &entry, 4);
}

static int clear(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	return 0;
}

static const struct guest_paging long_mode = {.cr0 = CR0_PE | CR0_PG | CR0_WP,
					      .cr3 = TABLE_0 | 0x18,
					      .cr4 = CR4_PAE,
					      .efer = EFER_LMA | EFER_LME | EFER_NXE};

static void map_long(uint64_t bits)
{
	put8(TABLE_0, LINEAR >> 39 & 511, TABLE_1 | bits);
	put8(TABLE_1, LINEAR >> 30 & 511, TABLE_2 | bits);
	put8(TABLE_2, LINEAR >> 21 & 511, TABLE_3 | bits);
	put8(TABLE_3, LINEAR >> 12 & 511, 0x123456789000ull | bits);
}

static void finds(const struct guest_paging *paging, uint64_t linear, uint64_t expected)
{
	uint32_t error;
	gpa_t address;

	assert_int_equal(guest_translate(paging, linear, read_memory, NULL, &address, &error), OK);
	assert_int_equal(address.value, expected);
}

static void faults(const struct guest_paging *paging, uint64_t linear, uint32_t expected)
{
	uint32_t error;
	gpa_t address;

	assert_int_equal(guest_translate(paging, linear, read_memory, NULL, &address, &error), ERR_NOT_FOUND);
	assert_int_equal(error, expected);
}

static void no_paging(void **state)
{
	const struct guest_paging paging = {.cr0 = CR0_PE};

	(void)state;
	finds(&paging, 0x12345678, 0x12345678);
	finds(&paging, 0x1FFFFFFFFull, 0xFFFFFFFF);
}

static void four_levels(void **state)
{
	(void)state;
	map_long(FULL);
	finds(&long_mode, LINEAR, 0x12345678989Aull);
	put8(TABLE_2, LINEAR >> 21 & 511, 0x40000000ull | FULL | ENTRY_LARGE | 1u << 12); /* PAT bit */
	finds(&long_mode, LINEAR, 0x40000000ull + (LINEAR & 0x1FFFFF));
	put8(TABLE_1, LINEAR >> 30 & 511, 0x80000000ull | FULL | ENTRY_LARGE);
	finds(&long_mode, LINEAR, 0x80000000ull + (LINEAR & 0x3FFFFFFF));
}

/* CR4.LA57. A large page is none in the two upper levels. */
static void five_levels(void **state)
{
	const uint64_t top = 0x5000, high = LINEAR | 0x123ull << 48;
	struct guest_paging paging = long_mode;

	(void)state;
	map_long(FULL);
	put8(top, 0x123, TABLE_0 | FULL);
	paging.cr3 = top;
	paging.cr4 |= CR4_LA57;
	finds(&paging, high, 0x12345678989Aull);
	faults(&paging, LINEAR, 0);
	put8(top, 0x123, TABLE_0 | FULL | ENTRY_LARGE);
	finds(&paging, high, 0x12345678989Aull);
	put8(top, 0x123, TABLE_0 | ENTRY_PRESENT | ENTRY_USER);
	paging.write = true;
	faults(&paging, high, FAULT_PROTECTION | FAULT_WRITE);
	put8(TABLE_1, LINEAR >> 30 & 511, 0x80000000ull | FULL | ENTRY_LARGE);
	paging.write = false;
	finds(&paging, high, 0x80000000ull + (LINEAR & 0x3FFFFFFF));
	paging.efer = 0; /* the bit means nothing outside long mode */
	paging.cr4 = CR4_LA57;
	paging.cr0 = CR0_PE;
	finds(&paging, 0x12345678, 0x12345678);
}

static void every_level_absent(void **state)
{
	static const uint64_t tables[] = {TABLE_0, TABLE_1, TABLE_2, TABLE_3};
	static const unsigned shifts[] = {39, 30, 21, 12};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		map_long(FULL);
		put8(tables[i], LINEAR >> shifts[i] & 511, 0);
		faults(&long_mode, LINEAR, 0);
	}
}

static void rights(void **state)
{
	struct guest_paging paging = long_mode;

	(void)state;
	map_long(FULL);
	paging.user = paging.write = true;
	finds(&paging, LINEAR, 0x12345678989Aull);
	put8(TABLE_1, LINEAR >> 30 & 511, TABLE_2 | ENTRY_PRESENT | ENTRY_USER);
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_WRITE | FAULT_USER);
	paging.user = false;
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_WRITE);
	paging.cr0 &= ~CR0_WP;
	finds(&paging, LINEAR, 0x12345678989Aull);
	paging.write = false;
	paging.user = true;
	put8(TABLE_2, LINEAR >> 21 & 511, TABLE_3 | ENTRY_PRESENT);
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_USER);
}

static void no_execute(void **state)
{
	struct guest_paging paging = long_mode;

	(void)state;
	map_long(FULL);
	put8(TABLE_0, LINEAR >> 39 & 511, TABLE_1 | FULL | ENTRY_NO_EXECUTE);
	finds(&paging, LINEAR, 0x12345678989Aull);
	paging.fetch = true;
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_FETCH);
	paging.fetch = false;
	paging.efer &= ~EFER_NXE; /* the bit is reserved then */
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_RESERVED);
}

static void smep_and_smap(void **state)
{
	struct guest_paging paging = long_mode;

	(void)state;
	map_long(FULL);
	paging.cr4 |= CR4_SMEP | CR4_SMAP;
	faults(&paging, LINEAR, FAULT_PROTECTION);
	paging.alignment_check = true;
	finds(&paging, LINEAR, 0x12345678989Aull);
	paging.fetch = true;
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_FETCH);
	paging.user = true;
	finds(&paging, LINEAR, 0x12345678989Aull);
}

static void protection_keys(void **state)
{
	struct guest_paging paging = long_mode;

	(void)state;
	map_long(FULL);
	put8(TABLE_3, LINEAR >> 12 & 511, 0x123456789000ull | FULL | 5ull << 59);
	paging.pkru = 1u << 10; /* key 5: no access */
	finds(&paging, LINEAR, 0x12345678989Aull);
	paging.cr4 |= CR4_PKE;
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_KEY);
	paging.fetch = true; /* keys are for data */
	finds(&paging, LINEAR, 0x12345678989Aull);
	paging.fetch = false;
	paging.pkru = 2u << 10; /* no writes */
	finds(&paging, LINEAR, 0x12345678989Aull);
	paging.write = true;
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_WRITE | FAULT_KEY);
	paging.cr0 &= ~CR0_WP;
	finds(&paging, LINEAR, 0x12345678989Aull);
	paging.user = true;
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_WRITE | FAULT_USER | FAULT_KEY);
	put8(TABLE_3, LINEAR >> 12 & 511, 0x123456789000ull | ENTRY_PRESENT | ENTRY_USER | 5ull << 59);
	faults(&paging, LINEAR, FAULT_PROTECTION | FAULT_WRITE | FAULT_USER | FAULT_KEY); /* refused twice */
	put8(TABLE_3, LINEAR >> 12 & 511, 0x123456789000ull | FULL | 5ull << 59);
	paging.pkru = ~(3u << 10); /* all the others */
	finds(&paging, LINEAR, 0x12345678989Aull);
	paging.user = false; /* nor are they for the supervisor's pages */
	paging.pkru = UINT32_MAX;
	put8(TABLE_0, LINEAR >> 39 & 511, TABLE_1 | ENTRY_PRESENT | ENTRY_WRITE);
	finds(&paging, LINEAR, 0x12345678989Aull);
}

static void pae(void **state)
{
	const struct guest_paging paging = {
		.cr0 = CR0_PE | CR0_PG, .cr3 = TABLE_0 | 0x20, .cr4 = CR4_PAE, .write = true, .user = true};
	const uint32_t linear = 0xC1A3F123;

	(void)state;
	put8(TABLE_0 + 0x20, 3, TABLE_1 | ENTRY_PRESENT); /* page directory pointers carry no rights */
	put8(TABLE_1, linear >> 21 & 511, TABLE_2 | FULL);
	put8(TABLE_2, linear >> 12 & 511, 0x234567000ull | FULL);
	finds(&paging, linear, 0x234567123ull);
	put8(TABLE_1, linear >> 21 & 511, 0x200000000ull | FULL | ENTRY_LARGE);
	finds(&paging, linear, 0x200000000ull + (linear & 0x1FFFFF));
	faults(&paging, 0x00001000, FAULT_USER | FAULT_WRITE);
}

static void legacy(void **state)
{
	struct guest_paging paging = {.cr0 = CR0_PE | CR0_PG, .cr3 = TABLE_0, .write = true, .user = true};
	const uint32_t linear = 0xDEADB123;

	(void)state;
	put4(TABLE_0, linear >> 22, TABLE_1 | FULL);
	put4(TABLE_1, linear >> 12 & 1023, 0xABCDE000 | FULL);
	finds(&paging, linear, 0xABCDE123);
	put4(TABLE_0, linear >> 22,
	     0x00C00000 | FULL | ENTRY_LARGE | 0x00006000); /* bits 13, 14: address 32, 33 */
	paging.cr4 = CR4_PSE;
	finds(&paging, linear, 0x300C00000ull + (linear & 0x3FFFFF));
	put4(TABLE_0, linear >> 22, 0);
	faults(&paging, linear, FAULT_USER | FAULT_WRITE);
}

static void outside_memory(void **state)
{
	uint32_t error;
	gpa_t address;

	(void)state;
	map_long(FULL);
	put8(TABLE_1, LINEAR >> 30 & 511, MEMORY | FULL);
	assert_int_equal(guest_translate(&long_mode, LINEAR, read_memory, NULL, &address, &error), ERR_RANGE);
	put8(TABLE_0, LINEAR >> 39 & 511, 0x000FFFFFFFFFF000ull | FULL);
	assert_int_equal(guest_translate(&long_mode, LINEAR, read_memory, NULL, &address, &error), ERR_RANGE);
}

static void loops_end(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 512; i++)
		put8(TABLE_0, i, TABLE_0 | FULL);
	finds(&long_mode, LINEAR, TABLE_0 | (LINEAR & 0xFFF));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, clear)
	const struct CMUnitTest tests[] = {
		TEST(no_paging), TEST(four_levels), TEST(five_levels),	  TEST(every_level_absent),
		TEST(rights),	 TEST(no_execute),  TEST(smep_and_smap),  TEST(protection_keys),
		TEST(pae),	 TEST(legacy),	    TEST(outside_memory), TEST(loops_end)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
