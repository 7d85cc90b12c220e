/*
 * ELF files (System V gABI, chapters 4 and 5) as guest images: what their headers come down to, checked, and
 * their segments laid into guest memory. For the loaders of hv/core; the others see image.h.
 */
#pragma once

#include "hv/core/image.h"

#define ELF_CLASS_64	 2 /* in byte 4 of the file */
#define ELF_SEGMENTS_MAX 32
#define ELF_NOTES_MAX	 8

struct elf_segment {
	uint64_t offset, address, file_size, memory_size;
};

struct elf_image {
	uint64_t entry;
	uint64_t end; /* first address above the highest segment */
	uint32_t count, note_count;
	struct elf_segment segment[ELF_SEGMENTS_MAX];
	struct elf_segment note[ELF_NOTES_MAX]; /* of PT_NOTE segments, which lie inside the file */
};

/* ELF32 or ELF64, all of whose segments lie inside the file and below memory_size. */
enum status elf_parse(const struct image_request *request, uint64_t memory_size, struct elf_image *image,
		      char message[IMAGE_MESSAGE]) MUST_CHECK;
/* Whether the address to start at lies in a segment. */
enum status elf_check_entry(const struct elf_image *image, char message[IMAGE_MESSAGE]) MUST_CHECK;
enum status elf_place(const struct image_request *request, const struct image_target *target,
		      const struct elf_image *image, char message[IMAGE_MESSAGE]) MUST_CHECK;
