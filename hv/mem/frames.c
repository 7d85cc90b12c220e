/*
 * The table of frame owners: sorted, without overlaps, and extents of one owner that touch are one extent. So
 * a range that belongs to one owner lies in one extent, and every change is a cut out of one.
 */
#include "hv/mem/frames.h"
#include "hv/lib/string.h"

struct frame_table machine_frames;

static uint64_t extent_end(const struct frame_extent *extent)
{
	return extent->start + extent->size;
}

static bool range_valid(uint64_t start, uint64_t size)
{
	return size != 0 && start % PAGE_SIZE == 0 && size % PAGE_SIZE == 0 && start + size > start;
}

/* The first extent that ends above `address`; table->count if there is none. */
static uint32_t find_extent(const struct frame_table *table, uint64_t address)
{
	uint32_t low = 0, high = table->count;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (extent_end(&table->extent[middle]) > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Replaces `removed` extents from `at` on by `count` new ones. */
static void splice(struct frame_table *table, uint32_t at, uint32_t removed, const struct frame_extent *with,
		   uint32_t count)
{
	struct frame_extent *place = &table->extent[at];

	memmove(place + count, place + removed, (table->count - at - removed) * sizeof(*place));
	memcpy(place, with, count * sizeof(*place));
	table->count += count - removed;
}

static bool touches(const struct frame_table *table, uint32_t left, uint32_t right, owner_t owner)
{
	return right < table->count && table->extent[left].owner == owner &&
	       extent_end(&table->extent[left]) == table->extent[right].start;
}

enum status frames_add(struct frame_table *table, hpa_t start, uint64_t size, owner_t owner)
{
	struct frame_extent added = {start.value, size, owner};
	uint32_t at, first, last;

	if (!range_valid(start.value, size))
		return ERR_INVALID;
	at = find_extent(table, start.value);
	if (at < table->count && table->extent[at].start < start.value + size)
		return ERR_EXISTS;

	first = last = at; /* extents [first, last) become part of the new one */
	if (at > 0 && table->extent[at - 1].owner == owner &&
	    extent_end(&table->extent[at - 1]) == start.value) {
		first--;
		added.start = table->extent[first].start;
		added.size += table->extent[first].size;
	}
	if (at < table->count && table->extent[at].owner == owner &&
	    table->extent[at].start == extent_end(&added)) {
		added.size += table->extent[at].size;
		last++;
	}
	if (first == last && table->count == FRAMES_MAX)
		return ERR_FULL;
	splice(table, first, last - first, &added, 1);
	return OK;
}

enum status frames_transfer(struct frame_table *table, hpa_t start, uint64_t size, owner_t from, owner_t to)
{
	uint64_t end = start.value + size;
	struct frame_extent piece[3], moved = {start.value, size, to}, old;
	uint32_t at, first, last, pieces = 0;

	if (!range_valid(start.value, size))
		return ERR_INVALID;
	if (!frames_owned_by(table, start, size, from))
		return ERR_OWNER;
	if (from == to)
		return OK;

	at = find_extent(table, start.value);
	old = table->extent[at];
	first = at;
	last = at + 1; /* extents [first, last) are replaced by the pieces */
	if (old.start < start.value)
		piece[pieces++] = (struct frame_extent){old.start, start.value - old.start, from};
	else if (at > 0 && touches(table, at - 1, at, to))
		moved.start = table->extent[--first].start;
	moved.size = end - moved.start;
	if (end == extent_end(&old) && at + 1 < table->count && table->extent[at + 1].owner == to &&
	    table->extent[at + 1].start == end)
		moved.size += table->extent[last++].size;
	piece[pieces++] = moved;
	if (end < extent_end(&old))
		piece[pieces++] = (struct frame_extent){end, extent_end(&old) - end, from};

	if (table->count + pieces > FRAMES_MAX + (last - first))
		return ERR_FULL;
	splice(table, first, last - first, piece, pieces);
	return OK;
}

/* Where `size` bytes fit into a free extent; false if they do not. */
static bool fits(const struct frame_extent *extent, uint64_t size, uint64_t align, uint64_t floor,
		 uint64_t *start)
{
	uint64_t lowest = MAX(extent->start, floor), end = extent_end(extent);

	*start = ALIGN_UP(lowest, align);
	return extent->owner == OWNER_FREE && *start >= lowest && *start < end && end - *start >= size;
}

enum status frames_claim(struct frame_table *table, uint64_t size, uint64_t align, hpa_t floor, owner_t owner,
			 hpa_t *start)
{
	if (size == 0 || size % PAGE_SIZE != 0 || align % PAGE_SIZE != 0 || align == 0 ||
	    (align & (align - 1)) != 0)
		return ERR_INVALID;
	for (uint32_t i = find_extent(table, floor.value); i < table->count; i++)
		if (fits(&table->extent[i], size, align, floor.value, &start->value))
			return frames_transfer(table, *start, size, OWNER_FREE, owner);
	return ERR_NO_MEMORY;
}

owner_t frames_owner(const struct frame_table *table, hpa_t address)
{
	uint32_t at = find_extent(table, address.value);

	if (at == table->count || table->extent[at].start > address.value)
		return OWNER_FIRMWARE;
	return table->extent[at].owner;
}

bool frames_owned_by(const struct frame_table *table, hpa_t start, uint64_t size, owner_t owner)
{
	uint32_t at = find_extent(table, start.value);
	const struct frame_extent *extent = &table->extent[at];

	return at < table->count && extent->owner == owner && extent->start <= start.value &&
	       extent_end(extent) - start.value >= size;
}

uint64_t frames_total(const struct frame_table *table, owner_t owner)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < table->count; i++)
		if (table->extent[i].owner == owner)
			total += table->extent[i].size;
	return total;
}

uint64_t frames_largest_free(const struct frame_table *table, uint64_t align)
{
	uint64_t largest = 0, start;

	for (uint32_t i = 0; i < table->count; i++)
		if (fits(&table->extent[i], PAGE_SIZE, align, 0, &start))
			largest = MAX(largest, ALIGN_DOWN(extent_end(&table->extent[i]) - start, align));
	return largest;
}

const char *owner_kind(owner_t owner)
{
	static const char *const fixed[] = {[OWNER_FREE] = "free",
					    [OWNER_FIRMWARE] = "firmware",
					    [OWNER_MMIO] = "device",
					    [OWNER_HYPERVISOR] = "hypervisor"};

	if (owner < ARRAY_SIZE(fixed))
		return fixed[owner];
	if (owner >= OWNER_AGREEMENT(0))
		return "agreement";
	if (owner >= OWNER_PARTITION(0))
		return "partition";
	return owner >= OWNER_MODULE(0) ? "guest image" : "unknown";
}
