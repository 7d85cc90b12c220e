/*
 * The hypervisor's own memory: one contiguous pool of frames, mapped on every CPU at POOL_BASE.
 * Page tables, shared partition state, VMCS and VMCB bitmaps come from here; nothing in the exit path
 * allocates.
 */
#pragma once

#include "hv/lib/status.h"
#include "hv/mem/layout.h"
#include "hv/mem/page_map.h"

/*
 * Hands the pool its frames, which the caller has claimed; `seen_at` is where this CPU sees the first one.
 * Called again with another place once the pool is mapped elsewhere (on the boot tables first, at POOL_BASE
 * then): the contents stay.
 */
void pool_create(hpa_t start, size_t pages, void *seen_at);
void pool_move(void *seen_at);

/* Zeroed, contiguous, page-aligned. NULL when the pool is used up (the caller says what for). */
void *pool_allocate(size_t pages) MUST_CHECK;
void pool_release(void *address, size_t pages);
hpa_t pool_address(const void *address); /* HPA of a pool address */
void *pool_reach(hpa_t frame);
size_t pool_used(void); /* pages now in use */
size_t pool_size(void); /* pages */

extern const struct page_source pool_pages;
