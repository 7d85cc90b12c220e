/* Kernels: a bzImage and an ELF with a PVH note, what each finds where, and that every lie is refused by
 * name. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bulkhead/config.h>
#include "hv/core/image.h"

#define MEMORY	    (16 * MIB)
#define FILE_SIZE   0x4000
#define INITRD_SIZE 0x1801
#define RSDP	    0xE0000u
#define PREFERRED   0x400000u
#define NEEDED	    0x200000u

struct world {
	uint8_t file[FILE_SIZE];
	uint8_t initrd[INITRD_SIZE];
	uint8_t *memory;
	struct image_target target;
	struct image_request request;
	struct image_result result;
	char message[IMAGE_MESSAGE];
};

static void *reach(void *context, gpa_t address, uint64_t size)
{
	struct world *world = context;
	uint64_t end = world->target.memory_size;

	return address.value > end || size > end - address.value ? NULL : world->memory + address.value;
}

static void put(struct world *world, size_t at, uint64_t value, size_t size)
{
	memcpy(world->file + at, &value, size);
}

static uint64_t peek(const struct world *world, uint64_t address, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, world->memory + address, size);
	return value;
}

/* Two setup sectors, then code; offsets as in Documentation/x86/boot.rst. */
static void write_bzimage(struct world *world)
{
	memset(world->file, 0, FILE_SIZE);
	put(world, 0x1F1, 2, 1);
	put(world, 0x201, 0x6A, 1);
	put(world, 0x202, 0x53726448, 4);
	put(world, 0x206, 0x20F, 2);
	put(world, 0x211, 1, 1);
	put(world, 0x22C, 0x7FFFFFFF, 4);
	put(world, 0x230, 0x200000, 4);
	put(world, 0x234, 1, 1);
	put(world, 0x236, 0x7F, 2);
	put(world, 0x238, 2047, 4);
	put(world, 0x258, PREFERRED, 8);
	put(world, 0x260, NEEDED, 4);
	memset(world->file + 0x600, 0xCD, FILE_SIZE - 0x600);
}

#define NOTE_AT	   0x200u
#define TEXT_AT	   0x1000u
#define TEXT_SIZE  0x800u
#define LINK	   0x100000u
#define PVH_OFFSET 0x40u

/* An ELF64 with a segment at LINK and a segment of two notes, the second of which is the PVH entry. */
static void write_pvh(struct world *world)
{
	const uint64_t load[7] = {1 | 5ull << 32, TEXT_AT, 0xFFFFFFFF80000000ull, LINK, TEXT_SIZE,
				  0x2000,	  0x1000};
	const uint64_t note[7] = {4, NOTE_AT, 0, 0, 44, 44, 4};

	memset(world->file, 0, FILE_SIZE);
	memcpy(world->file,
	       "\x7F"
	       "ELF\2\1\1",
	       7);
	put(world, 16, 2, 2);
	put(world, 18, 62, 2);
	put(world, 20, 1, 4);
	put(world, 24, 0xFFFFFFFF80000000ull, 8);
	put(world, 32, 64, 8);
	put(world, 52, 64, 2);
	put(world, 54, 56, 2);
	put(world, 56, 2, 2);
	memcpy(world->file + 64, load, sizeof(load));
	memcpy(world->file + 64 + 56, note, sizeof(note));
	put(world, NOTE_AT, 4 | 5ull << 32, 8);
	put(world, NOTE_AT + 8, 6, 4);
	memcpy(world->file + NOTE_AT + 12, "Xen\0linux\0\0\0", 12);
	put(world, NOTE_AT + 24, 4 | 4ull << 32, 8);
	put(world, NOTE_AT + 32, 18, 4);
	memcpy(world->file + NOTE_AT + 36, "Xen", 4);
	put(world, NOTE_AT + 40, LINK + PVH_OFFSET, 4);
	memset(world->file + TEXT_AT, 0xCD, TEXT_SIZE);
}

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	if (!world)
		return -1;
	world->memory = malloc(MEMORY);
	memset(world->memory, 0xEE, MEMORY);
	memset(world->initrd, 0x77, INITRD_SIZE);
	world->target = (struct image_target){.memory_size = MEMORY, .context = world, .reach = reach};
	world->request = (struct image_request){.file = world->file,
						.size = FILE_SIZE,
						.initrd = world->initrd,
						.initrd_size = INITRD_SIZE,
						.rsdp = RSDP,
						.cmdline = "console=ttyS0",
						.name = "alpha",
						.tsc_khz = 2500000,
						.tell_frequency = true,
						.vcpu_count = 1};
	write_bzimage(world);
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

static enum status load(struct world *world)
{
	return image_load_kernel(&world->request, &world->target, &world->result, world->message);
}

static void expect_refused(struct world *world, const char *words)
{
	assert_int_equal(load(world), ERR_FORMAT);
	if (!strstr(world->message, words))
		fail_msg("the message '%s' does not name '%s'", world->message, words);
}

static void bzimage_is_placed(void **state)
{
	struct world *world = *state;
	const struct vcpu_start *start = &world->result.start;

	assert_int_equal(load(world), OK);
	assert_int_equal(start->kind, START_LINUX);
	assert_int_equal(start->entry, PREFERRED + 0x200);
	assert_int_equal(peek(world, PREFERRED, 1), 0xCD);
	assert_int_equal(peek(world, PREFERRED + FILE_SIZE - 0x600 - 1, 1), 0xCD);
	assert_int_equal(peek(world, PREFERRED + FILE_SIZE - 0x600, 1), 0xEE);
}

static void zero_page_tells_all(void **state)
{
	struct world *world = *state;
	uint64_t page, initrd;

	assert_int_equal(load(world), OK);
	page = world->result.start.context;
	assert_int_equal(peek(world, page + 0x070, 8), RSDP);
	assert_int_equal(peek(world, page + 0x1F1, 1), 2);
	assert_int_equal(peek(world, page + 0x202, 4), 0x53726448);
	assert_int_equal(peek(world, page + 0x210, 1), 0xFF);
	assert_string_equal((char *)world->memory + peek(world, page + 0x228, 4),
			    "tsc_early_khz=2500000 console=ttyS0");
	initrd = peek(world, page + 0x218, 4);
	assert_int_equal(peek(world, page + 0x21C, 4), INITRD_SIZE);
	assert_int_equal(initrd % PAGE_SIZE, 0);
	assert_in_range(initrd, MEMORY - INITRD_SIZE - PAGE_SIZE, MEMORY - INITRD_SIZE);
	assert_memory_equal(world->memory + initrd, world->initrd, INITRD_SIZE);
}

static void a_cpu_that_tells_its_frequency_needs_no_word(void **state)
{
	struct world *world = *state;

	world->request.tell_frequency = false;
	assert_int_equal(load(world), OK);
	assert_string_equal((char *)world->memory + peek(world, world->result.start.context + 0x228, 4),
			    "console=ttyS0");
}

static void e820_has_memory_and_reserved(void **state)
{
	static const uint64_t expected[4][3] = {
		{0, 0xA0000, 1}, {0xA0000, 0x60000, 2}, {MIB, MEMORY - MIB, 1}, {4 * GIB, 2 * GIB, 1}};
	struct world *world = *state;
	uint64_t page;

	world->target.high_memory_size = 2 * GIB;
	assert_int_equal(load(world), OK);
	page = world->result.start.context;
	assert_int_equal(peek(world, page + 0x1E8, 1), 4);
	for (size_t i = 0; i < 4; i++) {
		assert_true(peek(world, page + 0x2D0 + 20 * i, 8) == expected[i][0]);
		assert_true(peek(world, page + 0x2D8 + 20 * i, 8) == expected[i][1]);
		assert_int_equal(peek(world, page + 0x2E0 + 20 * i, 4), expected[i][2]);
	}
	world->target.high_memory_size = 0;
	assert_int_equal(load(world), OK);
	assert_int_equal(peek(world, world->result.start.context + 0x1E8, 1), 3);
}

/* Walks the boot tables as a CPU would. */
static void four_gib_are_identity_mapped(void **state)
{
	struct world *world = *state;

	assert_int_equal(load(world), OK);
	for (uint64_t address = 0; address < 4 * GIB; address += LARGE_PAGE_SIZE) {
		uint64_t entry = peek(world, world->result.start.cr3 + 8 * (address >> 39 & 511), 8);

		assert_int_equal(entry & 3, 3);
		entry = peek(world, (entry & ~0xFFFull) + 8 * (address >> 30 & 511), 8);
		assert_int_equal(entry & 3, 3);
		entry = peek(world, (entry & ~0xFFFull) + 8 * (address >> 21 & 511), 8);
		assert_int_equal(entry & 0x83, 0x83);
		assert_true((entry & ~(LARGE_PAGE_SIZE - 1)) == address);
	}
}

static void gdt_has_linux_segments(void **state)
{
	struct world *world = *state;

	assert_int_equal(load(world), OK);
	assert_true(peek(world, world->result.start.gdt + 0x00, 8) == 0);
	assert_true(peek(world, world->result.start.gdt + 0x10, 8) == 0x00AF9B000000FFFF);
	assert_true(peek(world, world->result.start.gdt + 0x18, 8) == 0x00CF93000000FFFF);
}

static void small_memory_takes_a_relocatable_kernel_lower(void **state)
{
	struct world *world = *state;

	world->target.memory_size = 5 * MIB;
	assert_int_equal(load(world), OK);
	assert_int_equal(world->result.start.entry, 2 * MIB + 0x200);
	put(world, 0x234, 0, 1);
	expect_refused(world, "more memory than the partition has");
}

static void initrd_stays_below_what_the_kernel_reaches(void **state)
{
	struct world *world = *state;
	uint64_t initrd;

	put(world, 0x22C, 8 * MIB - 1, 4);
	assert_int_equal(load(world), OK);
	initrd = peek(world, world->result.start.context + 0x218, 4);
	assert_in_range(initrd, 8 * MIB - INITRD_SIZE - PAGE_SIZE, 8 * MIB - INITRD_SIZE);
	put(world, 0x22C, PREFERRED + NEEDED + 0x1000, 4);
	expect_refused(world, "no room for the initrd");
	put(world, 0x22C, PREFERRED + NEEDED + INITRD_SIZE, 4);
	assert_int_equal(load(world), OK);
	put(world, 0x22C, PREFERRED, 4);
	expect_refused(world, "no room for the initrd");
}

static void no_initrd_is_told_as_none(void **state)
{
	struct world *world = *state;

	world->request.initrd_size = 0;
	assert_int_equal(load(world), OK);
	assert_int_equal(peek(world, world->result.start.context + 0x218, 8), 0);
}

/* Each lie: where it is written, what is written, and what the message has to name. */
static void bzimage_lies_are_refused(void **state)
{
	static const struct {
		size_t at, size;
		uint64_t value;
		const char *message;
	} lies[] = {
		{0x202, 4, 0, "neither a Linux bzImage"},
		{0x206, 2, 0x20B, "old boot protocol"},
		{0x236, 2, 0x7E, "without a 64-bit entry"},
		{0x211, 1, 0, "without a 64-bit entry"},
		{0x201, 1, 0x10, "without a 64-bit entry"}, /* a header that ends before the field */
		{0x1F1, 1, 255, "within its real-mode part"},
		{0x230, 4, 3, "power of two"},
		{0x258, 8, 0x80000, "below the first MiB"},
		{0x260, 4, 0xFFFFFFFF, "more memory than the partition has"},
		{0x238, 4, 5, "command line longer"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		write_bzimage(world);
		put(world, lies[i].at, lies[i].value, lies[i].size);
		expect_refused(world, lies[i].message);
	}
}

static void bzimage_may_be_cut_anywhere(void **state)
{
	struct world *world = *state;

	for (uint64_t size = 0; size < 0x800; size++) {
		world->request.size = size;
		assert_int_equal(load(world), ERR_FORMAT);
	}
}

static void pvh_is_placed(void **state)
{
	struct world *world = *state;
	uint64_t info, module, map;

	write_pvh(world);
	assert_int_equal(load(world), OK);
	assert_int_equal(world->result.start.kind, START_PROTECTED);
	assert_int_equal(world->result.start.entry, LINK + PVH_OFFSET);
	assert_int_equal(peek(world, LINK, 1), 0xCD);
	assert_int_equal(peek(world, LINK + 0x1FFF, 1), 0);
	info = world->result.start.context;
	assert_int_equal(peek(world, info, 4), 0x336EC578);
	assert_int_equal(peek(world, info + 4, 4), 1);
	assert_int_equal(peek(world, info + 12, 4), 1);
	assert_string_equal((char *)world->memory + peek(world, info + 24, 8),
			    "tsc_early_khz=2500000 console=ttyS0");
	assert_int_equal(peek(world, info + 32, 8), RSDP);
	module = peek(world, info + 16, 8);
	assert_int_equal(peek(world, module + 8, 8), INITRD_SIZE);
	assert_memory_equal(world->memory + peek(world, module, 8), world->initrd, INITRD_SIZE);
	map = peek(world, info + 40, 8);
	assert_int_equal(peek(world, info + 48, 4), 3);
	assert_int_equal(peek(world, map + 2 * 24, 8), MIB);
	assert_int_equal(peek(world, map + 2 * 24 + 8, 8), MEMORY - MIB);
	assert_int_equal(peek(world, map + 2 * 24 + 16, 4), 1);
}

static void pvh_without_initrd_has_no_module(void **state)
{
	struct world *world = *state;

	write_pvh(world);
	world->request.initrd_size = 0;
	assert_int_equal(load(world), OK);
	assert_int_equal(peek(world, world->result.start.context + 12, 4), 0);
}

static void pvh_lies_are_refused(void **state)
{
	static const struct {
		size_t at, size;
		uint64_t value;
		const char *message;
	} lies[] = {
		{NOTE_AT + 32, 4, 17, "without a PVH entry"},
		{NOTE_AT + 36, 4, 0x6E6559, "without a PVH entry"},
		{NOTE_AT + 24, 4, ~0u, "without a PVH entry"},
		{NOTE_AT + 28, 4, ~0u, "without a PVH entry"},
		{NOTE_AT + 28, 4, 2, "without a PVH entry"},
		{NOTE_AT + 4, 4, ~0u, "without a PVH entry"},
		{NOTE_AT + 40, 4, 0, "entry point"},
		{64 + 56 + 8, 8, ~0ull, "without a PVH entry"},
		{64 + 56 + 32, 8, FILE_SIZE, "without a PVH entry"},
		{64 + 24, 8, 0x8000, "entry point"},
		{64 + 24, 8, LINK - 0x1000, "below the first MiB"},
		{64 + 24, 8, MEMORY, "above the partition's memory"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		write_pvh(world);
		put(world, lies[i].at, lies[i].value, lies[i].size);
		expect_refused(world, lies[i].message);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bzimage_is_placed),
		TEST(zero_page_tells_all),
		TEST(a_cpu_that_tells_its_frequency_needs_no_word),
		TEST(e820_has_memory_and_reserved),
		TEST(four_gib_are_identity_mapped),
		TEST(gdt_has_linux_segments),
		TEST(small_memory_takes_a_relocatable_kernel_lower),
		TEST(initrd_stays_below_what_the_kernel_reaches),
		TEST(no_initrd_is_told_as_none),
		TEST(bzimage_lies_are_refused),
		TEST(bzimage_may_be_cut_anywhere),
		TEST(pvh_is_placed),
		TEST(pvh_without_initrd_has_no_module),
		TEST(pvh_lies_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
