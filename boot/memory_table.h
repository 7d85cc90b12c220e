/*
 * The memory table of struct boot_info: sorted, without overlaps, neighbours of one kind merged. Later claims
 * win over earlier ones. Pure: tested on the host.
 */
#pragma once

#include <stdbool.h>
#include <bulkhead/boot_info.h>

void memory_table_clear(struct boot_info *info);

/*
 * Gives [start, start + size) to `kind`, cutting what stood there. A table that is full gives up entries it
 * can do without: reserved ones, then the smallest free ones, whose bytes are counted in
 * info->memory_left_out. False when there is none of those.
 */
bool memory_table_claim(struct boot_info *info, uint64_t start, uint64_t size, enum boot_memory_kind kind,
			bool cacheable) __attribute__((warn_unused_result));

/* Bytes of one kind. */
uint64_t memory_table_total(const struct boot_info *info, enum boot_memory_kind kind);
