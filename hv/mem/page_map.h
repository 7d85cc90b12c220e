/*
 * Page tables: one walker serves the hypervisor's own tables, EPT and NPT. What differs is in struct
 * page_format. Tables are allocated from a page source and reached through it, so the code also runs, and is
 * tested, on the host.
 */
#pragma once

#include "hv/lib/status.h"

/* Access and type of a mapping, in neutral terms. */
#define MAP_READ	    (1u << 0)
#define MAP_WRITE	    (1u << 1)
#define MAP_EXECUTE	    (1u << 2)
#define MAP_UNCACHED	    (1u << 3) /* else write-back */
#define MAP_WRITE_COMBINING (1u << 4)

struct page_format {
	const char *name; /* "host", "EPT", "NPT" */
	uint64_t (*leaf)(hpa_t frame, uint32_t flags,
			 unsigned level);  /* level 1: 4 KiB, 2: 2 MiB, 3: 1 GiB */
	uint64_t table_bits;		   /* ORed into an entry that points to a table */
	uint64_t present_bits;		   /* an entry is present if any of these is set */
	uint64_t large_bit;		   /* set: a leaf above level 1 */
	uint32_t (*flags)(uint64_t entry); /* back from a leaf to MAP_* */
};

struct page_source {
	enum status (*allocate)(hpa_t *frame); /* one zeroed page */
	void (*release)(hpa_t frame);
	uint64_t *(*reach)(hpa_t frame); /* where this CPU sees it; NULL: find and walk take it for empty */
};

struct page_map {
	const struct page_format *format;
	const struct page_source *source;
	hpa_t root;
	unsigned max_level; /* largest leaf allowed: 1, 2 or 3 */
};

struct mapping {
	uint64_t address; /* first address of the leaf */
	hpa_t frame;
	uint64_t size; /* 4 KiB, 2 MiB or 1 GiB */
	uint32_t flags;
};

enum status page_map_create(struct page_map *map, const struct page_format *format,
			    const struct page_source *source, unsigned max_level) MUST_CHECK;
void page_map_destroy(struct page_map *map);

/* Maps with the largest pages that fit; ERR_EXISTS if any of it is mapped. Everything page-aligned. */
enum status page_map_add(struct page_map *map, uint64_t address, hpa_t frame, uint64_t size,
			 uint32_t flags) MUST_CHECK;

/* Takes mappings away (splitting large pages where needed); what was not mapped is passed over. The caller
 * invalidates. */
enum status page_map_remove(struct page_map *map, uint64_t address, uint64_t size) MUST_CHECK;

bool page_map_find(const struct page_map *map, uint64_t address, struct mapping *found);

/* Calls visit for each leaf in order; stops early when it returns false. */
typedef bool page_map_visit_fn(void *context, const struct mapping *leaf);
void page_map_walk(const struct page_map *map, page_map_visit_fn *visit, void *context);

extern const struct page_format
	host_format; /* arch/x86/paging.c; ept_format and npt_format stand with the back ends */
