/*
 * What the two ways to start a kernel share: where things lie in low memory, and where the initrd goes.
 * For hv/core/bzimage.c and hv/core/pvh.c.
 */
#pragma once

#include <bulkhead/config.h>

#include "hv/core/image.h"

/* Below what a kernel takes for itself at the start, each kind of boot for itself. */
#define KERNEL_PARAMETERS_GPA 0x7000u /* the zero page, or hvm_start_info with what it points to */
#define KERNEL_GDT_GPA	      0x8000u
#define KERNEL_TABLES_GPA     0x9000u  /* identity map of the first 4 GiB */
#define KERNEL_CMDLINE_GPA    0x20000u /* KERNEL_CMDLINE_SIZE bytes */
#define KERNEL_CMDLINE_SIZE   (CONFIG_CMDLINE_SIZE + KERNEL_CMDLINE_OURS)
#define KERNEL_CMDLINE_OURS   32u /* what we may put in front of the config's */

/*
 * Copies the initrd to the top of the memory that ends at `limit`, page-aligned and above `floor`; *address
 * is 0 when there is none.
 */
enum status kernel_place_initrd(const struct image_request *request, const struct image_target *target,
				uint64_t floor, uint64_t limit, uint64_t *address,
				char message[IMAGE_MESSAGE]) MUST_CHECK;

/*
 * The command line to its place; the longest that the kernel takes, without the closing NUL, is `longest`.
 * The TSC's frequency is told where the request says so, and in front, so that the config may tell another.
 */
enum status kernel_place_cmdline(const struct image_request *request, const struct image_target *target,
				 uint64_t longest, char message[IMAGE_MESSAGE]) MUST_CHECK;

/* An ELF with a Xen note that names a 32-bit entry (pvh.c). */
enum status kernel_load_pvh(const struct image_request *request, const struct image_target *target,
			    struct image_result *result, char message[IMAGE_MESSAGE]) MUST_CHECK;
/* A Linux bzImage (bzimage.c). */
enum status kernel_load_bzimage(const struct image_request *request, const struct image_target *target,
				struct image_result *result, char message[IMAGE_MESSAGE]) MUST_CHECK;
