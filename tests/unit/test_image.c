/* Guest images: what is loaded where, and that every lie of a file is refused by name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bulkhead/abi.h>
#include <bulkhead/config.h>
#include "hv/core/image.h"

#define MEMORY	    (8 * MIB)
#define FILE_SIZE   0x3000
#define TEXT_OFFSET 0x1000
#define TEXT_SIZE   0x800
#define LINK	    0x100000

struct world {
	uint8_t file[FILE_SIZE];
	uint8_t *memory;
	struct image_target target;
	struct image_request request;
	struct image_result result;
	char message[IMAGE_MESSAGE];
};

static void *reach(void *context, gpa_t address, uint64_t size)
{
	struct world *world = context;

	if (address.value > MEMORY || size > MEMORY - address.value)
		return NULL;
	return world->memory + address.value;
}

/* An ELF64 with one segment at LINK, 0x800 bytes in the file and 0x1000 in memory, Multiboot header first in
 * it. */
static void write_elf64(uint8_t *file)
{
	const uint32_t multiboot[3] = {0x1BADB002, 3, (uint32_t) - (0x1BADB002 + 3)};
	const uint64_t program[7] = {1 | 5ull << 32, TEXT_OFFSET, LINK, LINK, TEXT_SIZE, 0x1000, 0x1000};
	uint8_t header[64] = {0x7F, 'E', 'L', 'F', 2, 1, 1};
	uint64_t entry = LINK + 0x20, table = 64;

	header[16] = 2;
	header[18] = 62;
	header[20] = 1;
	memcpy(header + 24, &entry, 8);
	memcpy(header + 32, &table, 8);
	header[52] = 64;
	header[54] = 56;
	header[56] = 1;
	memset(file, 0, FILE_SIZE);
	memcpy(file, header, sizeof(header));
	memcpy(file + 64, program, sizeof(program));
	memset(file + TEXT_OFFSET, 0xAB, TEXT_SIZE);
	memcpy(file + TEXT_OFFSET, multiboot, sizeof(multiboot));
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	world->memory = malloc(MEMORY);
	memset(world->memory, 0xEE, MEMORY);
	write_elf64(world->file);
	world->target = (struct image_target){.memory_size = MEMORY, .context = world, .reach = reach};
	world->request = (struct image_request){.file = world->file,
						.size = FILE_SIZE,
						.cmdline = "greet=hi",
						.name = "beta",
						.vcpu_count = 2,
						.partition_id = 2,
						.tsc_khz = 4000};
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	free(world->memory);
	free(world);
	return 0;
}

static enum status load_para(struct world *world)
{
	return image_load_para(&world->request, &world->target, &world->result, world->message);
}

static enum status load_multiboot(struct world *world)
{
	return image_load_multiboot(&world->request, &world->target, &world->result, world->message);
}

static void para_is_loaded(void **state)
{
	struct world *world = *state;
	struct bh_start *start;

	assert_int_equal(load_para(world), OK);
	assert_int_equal(world->memory[LINK + 0x10], 0xAB);
	assert_int_equal(world->memory[LINK + TEXT_SIZE], 0); /* bss */
	assert_int_equal(world->memory[LINK + 0xFFF], 0);
	assert_int_equal(world->result.start.kind, START_LONG);
	assert_int_equal(world->result.start.entry, LINK + 0x20);
	start = (struct bh_start *)(world->memory + world->result.start.context);
	assert_true(start->magic == BH_START_MAGIC);
	assert_int_equal(start->memory_size, MEMORY);
	assert_int_equal(start->vcpu_count, 2);
	assert_int_equal(start->tsc_khz, 4000);
	assert_string_equal(start->name, "beta");
	assert_string_equal((char *)world->memory + start->cmdline, "greet=hi");
	assert_true(start->free_start > world->result.stolen_time);
	assert_int_equal(start->free_start % PAGE_SIZE, 0);
}

/* Walks the boot tables as a CPU would: every byte of memory is identity-mapped, present and writable. */
static void para_boot_tables_map_all(void **state)
{
	struct world *world = *state;

	assert_int_equal(load_para(world), OK);
	for (uint64_t address = 0; address < MEMORY; address += LARGE_PAGE_SIZE) {
		const uint64_t *table = (uint64_t *)(world->memory + world->result.start.cr3);
		uint64_t entry = table[address >> 39 & 511];

		assert_int_equal(entry & 3, 3);
		table = (uint64_t *)(world->memory + (entry & ~0xFFFull));
		entry = table[address >> 30 & 511];
		assert_int_equal(entry & 3, 3);
		table = (uint64_t *)(world->memory + (entry & ~0xFFFull));
		entry = table[address >> 21 & 511];
		assert_int_equal(entry & 0x83, 0x83);
		assert_true((entry & ~(LARGE_PAGE_SIZE - 1)) == address);
	}
}

static void multiboot_is_loaded(void **state)
{
	struct world *world = *state;
	const uint32_t *info;

	assert_int_equal(load_multiboot(world), OK);
	assert_int_equal(world->result.start.kind, START_PROTECTED);
	info = (uint32_t *)(world->memory + world->result.start.context);
	assert_int_equal(info[0] & 0x45, 0x45);
	assert_int_equal(info[1], 640);
	assert_int_equal(info[2], (MEMORY - MIB) / KIB);
	assert_string_equal((char *)world->memory + info[4], "greet=hi");
	assert_int_equal(info[11], 3 * 24);
}

static void multiboot_map_has_high_memory(void **state)
{
	struct world *world = *state;
	const uint32_t *info;

	world->target.high_memory_size = GIB;
	assert_int_equal(load_multiboot(world), OK);
	info = (uint32_t *)(world->memory + world->result.start.context);
	assert_int_equal(info[11], 4 * 24);
}

static void multiboot_header_is_required(void **state)
{
	struct world *world = *state;

	world->file[TEXT_OFFSET] ^= 1;
	assert_int_equal(load_multiboot(world), ERR_FORMAT);
	assert_non_null(strstr(world->message, "no Multiboot header"));
}

static void multiboot_unknown_demand_is_refused(void **state)
{
	struct world *world = *state;
	const uint32_t header[3] = {0x1BADB002, 7, (uint32_t) - (0x1BADB002 + 7)};

	memcpy(world->file + TEXT_OFFSET, header, sizeof(header));
	assert_int_equal(load_multiboot(world), ERR_FORMAT);
	assert_non_null(strstr(world->message, "requires"));
}

static void put64(struct world *world, size_t at, uint64_t value)
{
	memcpy(world->file + at, &value, sizeof(value));
}

/* Each lie: where it is written, what is written, and what the message has to name. */
static void lies_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint64_t value;
		const char *message;
	} lies[] = {
		{0, 0x464C4500, "not an ELF"},
		{16, 0x00000001003E0003, "executable"},
		{16, 0x0000000100280002, "not an x86"},
		{32, FILE_SIZE, "past the end of the file"},
		{32, ~0ull, "past the end of the file"},
		{24, MEMORY, "entry point"},
		{64 + 8, FILE_SIZE, "past the end of the file"},
		{64 + 8, ~0ull, "past the end of the file"},
		{64 + 24, MEMORY, "above the partition's memory"},
		{64 + 24, ~0ull - 0x400, "above the partition's memory"},
		{64 + 40, 0x10, "larger in the file"},
		{64 + 40, ~0ull, "above the partition's memory"},
		{64, 0, "no load segment"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		write_elf64(world->file);
		put64(world, lies[i].at, lies[i].value);
		assert_int_equal(load_para(world), ERR_FORMAT);
		if (!strstr(world->message, lies[i].message))
			fail_msg("lie %zu: message '%s' does not name '%s'", i, world->message,
				 lies[i].message);
	}
}

static void tables_need_room(void **state)
{
	struct world *world = *state;

	put64(world, 64 + 24, MEMORY - 0x2000);
	put64(world, 24, MEMORY - 0x2000);
	assert_int_equal(load_para(world), ERR_FORMAT);
	assert_non_null(strstr(world->message, "no room for the boot tables"));
}

static void short_files_are_refused(void **state)
{
	struct world *world = *state;

	for (uint64_t size = 0; size < 120; size++) {
		world->request.size = size;
		assert_int_equal(load_para(world), ERR_FORMAT);
		assert_int_equal(load_multiboot(world), ERR_FORMAT);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(para_is_loaded),
		TEST(para_boot_tables_map_all),
		TEST(multiboot_is_loaded),
		TEST(multiboot_map_has_high_memory),
		TEST(multiboot_header_is_required),
		TEST(multiboot_unknown_demand_is_refused),
		TEST(lies_are_refused),
		TEST(tables_need_room),
		TEST(short_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
