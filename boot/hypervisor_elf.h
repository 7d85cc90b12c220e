/*
 * bulkhead.elf: checks that a file is a hypervisor this loader can start, and lays its segments out. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_image {
	const uint8_t *file;
	uint64_t entry;	     /* virtual address */
	uint64_t image_size; /* bytes from HV_IMAGE_BASE to the end of bss, a multiple of 4 KiB */
};

/* NULL when the file is fine and *image is filled; else what is wrong with it. */
const char *elf_check(const void *file, size_t size, struct elf_image *image);

/* Copies the segments of a checked file to `to` (image_size bytes that stand for HV_IMAGE_BASE), zeroing the
 * rest. */
void elf_load(const struct elf_image *image, void *to);
