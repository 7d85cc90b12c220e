/*
 * The hypervisor's own page tables (SDM 3A 4.5, APM 2 5.3), in the shape hv/mem/layout.h draws. Each CPU has
 * its own top: what all CPUs share is built once and linked into each of them; the per-CPU area, and the
 * windows of the partition the CPU runs, are linked into that CPU's only.
 */
#pragma once

#include <bulkhead/boot_info.h>
#include "hv/mem/page_map.h"

/* Builds what all CPUs share: the image by its sections (W^X) and the pool. Boot CPU, on the boot tables. */
enum status paging_create(const struct boot_info *boot, hpa_t pool, uint64_t pool_bytes) MUST_CHECK;

/* A CPU's tables with its per-CPU area, its stacks and their guard pages: frames come from the pool. */
struct percpu_frames {
	hpa_t area;	   /* PERCPU_PAGES frames */
	hpa_t stack;	   /* STACK_PAGES frames */
	hpa_t fault_stack; /* FAULT_STACK_PAGES frames */
};
enum status paging_create_cpu(const struct percpu_frames *frames, hpa_t *cr3) MUST_CHECK;

/*
 * Maps a device's registers, or memory of the firmware, on every CPU for good. `flags` are MAP_*; `device`
 * need not be page-aligned. NULL when the device window or the pool is used up. Boot CPU, while no other one
 * runs it.
 */
void *device_map(hpa_t device, uint64_t size, uint32_t flags) MUST_CHECK;

/*
 * A partition's windows are built on the tables of its first vCPU's CPU: GUEST_WINDOW and MODULE_WINDOW are
 * `window`'s to fill. ERR_INVALID: no such CPU.
 */
enum status cpu_open_window(uint32_t cpu, struct page_map *window) MUST_CHECK;

/*
 * Shows them to the CPU of another one, too: the top-level entries become part of that CPU's tables, so later
 * changes below them are seen there. ERR_INVALID: no such CPU.
 */
enum status cpu_attach_window(uint32_t cpu, const struct page_map *window) MUST_CHECK;

/* What of the address space an address lies in, for reports: "guest window", "guard page below the stack" ...
 */
const char *paging_region(uint64_t address);

/* The image's sections, from hv/linker.ld. */
extern const char image_text_start[], image_text_end[];
extern const char image_rodata_start[], image_rodata_end[];
extern char image_data_start[], image_end[];
