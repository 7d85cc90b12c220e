/*
 * The pool: a bitmap in the pool's own first pages, one bit for each page, first fit. Allocation is rare
 * (boot, a guest's start), so that simple is right.
 */
#include "hv/mem/pool.h"
#include "hv/lib/log.h"
#include "hv/lib/spinlock.h"
#include "hv/lib/string.h"

#define BITS_PER_WORD 64

static struct {
	struct spinlock lock;
	hpa_t start;
	uint8_t *seen_at;
	size_t pages, used;
} pool;

static bool page_used(size_t page)
{
	const uint64_t *map = (const uint64_t *)pool.seen_at;

	return (map[page / BITS_PER_WORD] >> (page % BITS_PER_WORD) & 1) != 0;
}

static void mark_pages(size_t first, size_t count, bool used)
{
	uint64_t *map = (uint64_t *)pool.seen_at;

	for (size_t page = first; page < first + count; page++)
		map[page / BITS_PER_WORD] ^= 1ull << (page % BITS_PER_WORD);
	pool.used = used ? pool.used + count : pool.used - count;
}

/* Length of the run of pages from `first` on, up to `count`, that are all used or all free. */
static size_t run_length(size_t first, size_t count, bool used)
{
	size_t length = 0;

	while (length < count && first + length < pool.pages && page_used(first + length) == used)
		length++;
	return length;
}

void pool_create(hpa_t start, size_t pages, void *seen_at)
{
	size_t map_pages = ALIGN_UP(pages, PAGE_SIZE * 8) / (PAGE_SIZE * 8);

	pool.start = start;
	pool.seen_at = seen_at;
	pool.pages = pages;
	pool.used = 0;
	memset(seen_at, 0, map_pages * PAGE_SIZE);
	mark_pages(0, map_pages, true);
}

void pool_move(void *seen_at)
{
	pool.seen_at = seen_at;
}

static uint8_t *take_pages(size_t count)
{
	for (size_t page = 0; page + count <= pool.pages; page++) {
		size_t free = run_length(page, count, false);

		if (free == count) {
			mark_pages(page, count, true);
			return pool.seen_at + page * PAGE_SIZE;
		}
		page += free;
	}
	return NULL;
}

void *pool_allocate(size_t pages)
{
	uint8_t *address;

	if (pages == 0 || pages > pool.pages)
		return NULL;
	spin_lock(&pool.lock);
	address = take_pages(pages);
	spin_unlock(&pool.lock);
	if (address)
		memset(address, 0, pages * PAGE_SIZE);
	return address;
}

void pool_release(void *address, size_t pages)
{
	size_t first = (size_t)((uint8_t *)address - pool.seen_at) / PAGE_SIZE;
	bool allocated;

	spin_lock(&pool.lock);
	allocated = first != 0 && first < pool.pages && run_length(first, pages, true) == pages;
	if (allocated)
		mark_pages(first, pages, false);
	spin_unlock(&pool.lock);
	if (!allocated)
		panic("pool: %zu pages at %p are released, but were not all allocated", pages, address);
}

hpa_t pool_address(const void *address)
{
	return hpa(pool.start.value + (uint64_t)((const uint8_t *)address - pool.seen_at));
}

void *pool_reach(hpa_t frame)
{
	return pool.seen_at + (frame.value - pool.start.value);
}

size_t pool_used(void)
{
	return pool.used;
}

size_t pool_size(void)
{
	return pool.pages;
}

static enum status allocate_table(hpa_t *frame)
{
	void *page = pool_allocate(1);

	if (!page)
		return ERR_NO_MEMORY;
	*frame = pool_address(page);
	return OK;
}

static void release_table(hpa_t frame)
{
	pool_release(pool_reach(frame), 1);
}

static uint64_t *reach_table(hpa_t frame)
{
	return pool_reach(frame);
}

const struct page_source pool_pages = {
	.allocate = allocate_table,
	.release = release_table,
	.reach = reach_table,
};
