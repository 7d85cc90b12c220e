/*
 * What the loader says, checked before it is believed, and what follows from it: who owns which memory, and
 * how much of it the hypervisor needs. Pure, and tested on the host.
 */
#pragma once

#include <bulkhead/boot_info.h>
#include "hv/mem/frames.h"

#define BOOT_MESSAGE 160

/* ERR_FORMAT: not a structure of this version; nothing in it can be used, not even its console settings. */
enum status boot_recognise(const struct boot_info *boot, char message[BOOT_MESSAGE]) MUST_CHECK;

/* ERR_INVALID: something in it cannot be; *message says what was found and what was expected. `image_bytes`
 * is the size of this image in memory. */
enum status boot_check(const struct boot_info *boot, uint64_t image_bytes,
		       char message[BOOT_MESSAGE]) MUST_CHECK;

/* Fills the empty *table from the loader's memory map. */
enum status boot_fill_frames(const struct boot_info *boot, struct frame_table *table,
			     char message[BOOT_MESSAGE]) MUST_CHECK;

/* Pages of the pool that this machine's CPUs and this configuration's partitions need at most. */
uint64_t boot_pool_pages(const struct boot_info *boot);
