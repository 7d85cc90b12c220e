/*
 * Who owns which physical frame: one sorted table of extents that covers all the memory the firmware named.
 * Every frame has exactly one owner. Extents of one owner that touch are merged; the table is full at
 * FRAMES_MAX.
 */
#pragma once

#include "hv/lib/status.h"

#define FRAMES_MAX 512

typedef uint16_t owner_t;
#define OWNER_FREE	   ((owner_t)0)
#define OWNER_FIRMWARE	   ((owner_t)1) /* runtime services, ACPI, reserved: never handed out */
#define OWNER_MMIO	   ((owner_t)2)
#define OWNER_HYPERVISOR   ((owner_t)3)
#define OWNER_MODULE(i)	   ((owner_t)(0x100 + (i))) /* image of partition i as read from disk */
#define OWNER_PARTITION(i) ((owner_t)(0x200 + (i)))
#define OWNER_AGREEMENT(i) ((owner_t)(0x400 + (i))) /* hv/core/share.h */

struct frame_extent {
	uint64_t start; /* page-aligned HPA */
	uint64_t size;
	owner_t owner;
};

struct frame_table {
	uint32_t count;
	struct frame_extent extent[FRAMES_MAX];
};

/* Adds a range nobody has named yet; ERR_EXISTS where it overlaps, ERR_FULL, ERR_INVALID if not page-aligned.
 */
enum status frames_add(struct frame_table *table, hpa_t start, uint64_t size, owner_t owner) MUST_CHECK;

/* Moves [start, start + size) from `from` to `to`; ERR_OWNER (nothing changed) unless all of it belongs to
 * `from`. */
enum status frames_transfer(struct frame_table *table, hpa_t start, uint64_t size, owner_t from,
			    owner_t to) MUST_CHECK;

/*
 * Takes the lowest free range of `size` bytes at `align` at or above `floor` for `owner`. ERR_NO_MEMORY if
 * there is none.
 */
enum status frames_claim(struct frame_table *table, uint64_t size, uint64_t align, hpa_t floor, owner_t owner,
			 hpa_t *start) MUST_CHECK;

/* The owner of the frame at `address`; OWNER_FIRMWARE for what no one named. */
owner_t frames_owner(const struct frame_table *table, hpa_t address);

/* Whether all of the range belongs to `owner`. */
bool frames_owned_by(const struct frame_table *table, hpa_t start, uint64_t size, owner_t owner);

uint64_t frames_total(const struct frame_table *table, owner_t owner);	       /* bytes */
uint64_t frames_largest_free(const struct frame_table *table, uint64_t align); /* bytes */
const char *owner_kind(owner_t owner);

/* The machine's table. */
extern struct frame_table machine_frames;
