/*
 * What the loader accepts as the hypervisor's ELF file: a small good one, and each way to spoil it.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bulkhead/boot_info.h>
#include "boot/hypervisor_elf.h"

#define CODE_SIZE 16u
#define DATA_SIZE 8u
#define BSS_SIZE  0x2000u

struct program {
	Elf64_Ehdr header;
	Elf64_Phdr segments[2];
	uint8_t code[CODE_SIZE];
	uint8_t data[DATA_SIZE];
};

static struct program make_program(void)
{
	struct program program = {
		.header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
				       EV_CURRENT},
			   .e_type = ET_EXEC,
			   .e_machine = EM_X86_64,
			   .e_entry = HV_IMAGE_BASE + 4,
			   .e_phoff = offsetof(struct program, segments),
			   .e_phentsize = sizeof(Elf64_Phdr),
			   .e_phnum = 2},
		.segments = {{.p_type = PT_LOAD,
			      .p_flags = PF_R | PF_X,
			      .p_offset = offsetof(struct program, code),
			      .p_vaddr = HV_IMAGE_BASE,
			      .p_filesz = CODE_SIZE,
			      .p_memsz = CODE_SIZE},
			     {.p_type = PT_LOAD,
			      .p_flags = PF_R | PF_W,
			      .p_offset = offsetof(struct program, data),
			      .p_vaddr = HV_IMAGE_BASE + 0x1000,
			      .p_filesz = DATA_SIZE,
			      .p_memsz = BSS_SIZE}},
	};

	memset(program.code, 0x90, CODE_SIZE);
	memset(program.data, 0x55, DATA_SIZE);
	return program;
}

static void test_good_program(void **state)
{
	struct program program = make_program();
	struct elf_image image;

	(void)state;
	assert_null(elf_check(&program, sizeof(program), &image));
	assert_int_equal(image.entry, HV_IMAGE_BASE + 4);
	assert_int_equal(image.image_size, 0x3000);

	uint8_t *memory = malloc(image.image_size);

	assert_non_null(memory);
	memset(memory, 0xFF, image.image_size);
	elf_load(&image, memory);
	assert_memory_equal(memory, program.code, CODE_SIZE);
	assert_memory_equal(memory + 0x1000, program.data, DATA_SIZE);
	for (size_t i = CODE_SIZE; i < 0x1000; i++)
		assert_int_equal(memory[i], 0);
	for (size_t i = 0x1000 + DATA_SIZE; i < image.image_size; i++)
		assert_int_equal(memory[i], 0);
	free(memory);
}

static void expect_flaw(const struct program *program, size_t size, const char *flaw)
{
	struct elf_image image;
	const char *found = elf_check(program, size, &image);

	assert_non_null(found);
	assert_string_equal(found, flaw);
}

#define SPOILT(member, value, flaw)                                                                          \
	do {                                                                                                 \
		struct program program = make_program();                                                     \
		program.member = (value);                                                                    \
		expect_flaw(&program, sizeof(struct program), flaw);                                         \
	} while (0)

static void test_spoilt_headers(void **state)
{
	struct program whole = make_program();

	(void)state;
	expect_flaw(&whole, sizeof(Elf64_Ehdr) - 1, "it is too short for an ELF file");
	expect_flaw(&whole, sizeof(Elf64_Ehdr) + 10, "its program headers are cut off");
	SPOILT(header.e_ident[0], 'M', "it is not an ELF file");
	SPOILT(header.e_ident[EI_CLASS], ELFCLASS32, "it is not a little-endian ELF64 file");
	SPOILT(header.e_ident[EI_DATA], ELFDATA2MSB, "it is not a little-endian ELF64 file");
	SPOILT(header.e_machine, EM_AARCH64, "it is not for x86-64");
	SPOILT(header.e_type, ET_DYN, "it is not an executable with fixed addresses");
	SPOILT(header.e_phnum, 0, "it has no program headers");
	SPOILT(header.e_phentsize, 32, "it has no program headers");
	SPOILT(header.e_phoff, UINT64_MAX, "its program headers are cut off");
	SPOILT(header.e_phnum, UINT16_MAX, "its program headers are cut off");
	SPOILT(header.e_entry, HV_IMAGE_BASE + CODE_SIZE, "its entry point is not in an executable segment");
	SPOILT(header.e_entry, 0x100000, "its entry point is not in an executable segment");
	SPOILT(segments[0].p_flags, PF_R, "its entry point is not in an executable segment");
}

static void test_spoilt_segments(void **state)
{
	(void)state;
	SPOILT(segments[1].p_offset, sizeof(struct program) + 1, "a segment is cut off");
	SPOILT(segments[1].p_offset, UINT64_MAX - 2, "a segment is cut off");
	SPOILT(segments[0].p_filesz, sizeof(struct program), "a segment is cut off");
	SPOILT(segments[1].p_memsz, 4, "a segment has more bytes in the file than in memory");
	SPOILT(segments[1].p_vaddr, 0x100000, "a segment lies outside the hypervisor's address range");
	SPOILT(segments[1].p_vaddr, UINT64_MAX - 0xFFF,
	       "a segment lies outside the hypervisor's address range");
	SPOILT(segments[1].p_memsz, UINT64_MAX, "a segment lies outside the hypervisor's address range");
	SPOILT(segments[1].p_vaddr, HV_IMAGE_BASE + 8, "its segments overlap");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_program),
		cmocka_unit_test(test_spoilt_headers),
		cmocka_unit_test(test_spoilt_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
