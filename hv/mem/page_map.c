/*
 * The page-table code: one recursive descent for each of add, remove, walk and destroy. Tables without
 * entries stay until the map is destroyed: a CPU may hold a pointer to them in its paging-structure caches
 * until the caller has invalidated, and another map may have linked to them.
 */
#include "hv/mem/page_map.h"

#define ENTRIES	   512
#define INDEX_BITS 9
#define TOP_LEVEL  4
#define FRAME_MASK 0x000FFFFFFFFFF000ull /* SDM 3A table 4-15: bits 51:12 */
#define CANONICAL  47			 /* bits 63:48 of an address repeat this one */

/* A part of a request, as it is handed down from level to level. */
struct range {
	uint64_t address;
	uint64_t size;
	hpa_t frame;
	uint32_t flags;
};

static uint64_t level_size(unsigned level)
{
	return PAGE_SIZE << (INDEX_BITS * (level - 1));
}

static unsigned level_index(uint64_t address, unsigned level)
{
	return (unsigned)(address / level_size(level) % ENTRIES);
}

static bool canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << (63 - CANONICAL)) >> (63 - CANONICAL)) == address;
}

static bool range_valid(uint64_t address, uint64_t size)
{
	uint64_t last = address + size - 1;

	return size != 0 && address % PAGE_SIZE == 0 && size % PAGE_SIZE == 0 && last >= address &&
	       canonical(address) && canonical(last) && address >> CANONICAL == last >> CANONICAL;
}

static bool is_present(const struct page_map *map, uint64_t entry)
{
	return (entry & map->format->present_bits) != 0;
}

static bool is_leaf(const struct page_map *map, uint64_t entry, unsigned level)
{
	return level == 1 || (entry & map->format->large_bit) != 0;
}

static hpa_t table_frame(uint64_t entry)
{
	return hpa(entry & FRAME_MASK);
}

static hpa_t leaf_frame(uint64_t entry, unsigned level)
{
	return hpa(entry & FRAME_MASK & ~(level_size(level) - 1));
}

static uint64_t *entry_table(const struct page_map *map, uint64_t entry)
{
	return map->source->reach(table_frame(entry));
}

/* Cuts from the front of `range` what the entry at `level` covers; `range` keeps the rest. */
static struct range take_slot(struct range *range, unsigned level)
{
	struct range part = *range;
	uint64_t room = level_size(level) - range->address % level_size(level);

	part.size = MIN(range->size, room);
	range->address += part.size;
	range->frame.value += part.size;
	range->size -= part.size;
	return part;
}

/* The table below an entry, made if there is none. */
static enum status descend(const struct page_map *map, uint64_t *entry, uint64_t **table)
{
	if (!is_present(map, *entry)) {
		hpa_t frame;
		enum status status = map->source->allocate(&frame);

		if (status != OK)
			return status;
		*entry = frame.value | map->format->table_bits;
	}
	*table = entry_table(map, *entry);
	return OK;
}

static bool any_mapped(const struct page_map *map, const uint64_t *table, unsigned level, struct range range)
{
	while (range.size) {
		uint64_t entry = table[level_index(range.address, level)];
		struct range part = take_slot(&range, level);

		if (!is_present(map, entry))
			continue;
		if (is_leaf(map, entry, level) || any_mapped(map, entry_table(map, entry), level - 1, part))
			return true;
	}
	return false;
}

static bool fits_leaf(const struct page_map *map, unsigned level, const struct range *part)
{
	return level <= map->max_level && part->size == level_size(level) &&
	       part->frame.value % level_size(level) == 0;
}

static enum status add_range(const struct page_map *map, uint64_t *table, unsigned level, struct range range)
{
	enum status status = OK;

	while (range.size && status == OK) {
		uint64_t *entry = &table[level_index(range.address, level)], *below;
		struct range part = take_slot(&range, level);

		if (!is_present(map, *entry) && fits_leaf(map, level, &part)) {
			*entry = map->format->leaf(part.frame, part.flags, level);
			continue;
		}
		status = descend(map, entry, &below);
		if (status == OK)
			status = add_range(map, below, level - 1, part);
	}
	return status;
}

/* Puts a table of the next smaller leaves where a large one stands: the translation stays the same all the
 * time. */
static enum status split_leaf(const struct page_map *map, uint64_t *entry, unsigned level)
{
	hpa_t frame = leaf_frame(*entry, level), below;
	uint32_t flags = map->format->flags(*entry);
	enum status status = map->source->allocate(&below);
	uint64_t *table;

	if (status != OK)
		return status;
	table = map->source->reach(below);
	for (unsigned i = 0; i < ENTRIES; i++, frame.value += level_size(level - 1))
		table[i] = map->format->leaf(frame, flags, level - 1);
	*entry = below.value | map->format->table_bits;
	return OK;
}

static enum status remove_range(const struct page_map *map, uint64_t *table, unsigned level,
				struct range range)
{
	enum status status = OK;

	while (range.size && status == OK) {
		uint64_t *entry = &table[level_index(range.address, level)];
		struct range part = take_slot(&range, level);

		if (!is_present(map, *entry))
			continue;
		if (is_leaf(map, *entry, level) && part.size == level_size(level)) {
			*entry = 0;
			continue;
		}
		if (is_leaf(map, *entry, level))
			status = split_leaf(map, entry, level);
		if (status == OK)
			status = remove_range(map, entry_table(map, *entry), level - 1, part);
	}
	return status;
}

static void release_tables(const struct page_map *map, hpa_t frame, unsigned level)
{
	const uint64_t *table = map->source->reach(frame);

	for (unsigned i = 0; i < ENTRIES; i++)
		if (is_present(map, table[i]) && !is_leaf(map, table[i], level))
			release_tables(map, table_frame(table[i]), level - 1);
	map->source->release(frame);
}

enum status page_map_create(struct page_map *map, const struct page_format *format,
			    const struct page_source *source, unsigned max_level)
{
	*map = (struct page_map){.format = format, .source = source, .max_level = max_level};
	if (max_level < 1 || max_level >= TOP_LEVEL)
		return ERR_INVALID;
	return source->allocate(&map->root);
}

void page_map_destroy(struct page_map *map)
{
	release_tables(map, map->root, TOP_LEVEL);
	map->root = hpa(0);
}

enum status page_map_add(struct page_map *map, uint64_t address, hpa_t frame, uint64_t size, uint32_t flags)
{
	struct range range = {address, size, frame, flags};
	uint64_t *root = map->source->reach(map->root);
	enum status status;

	if (!range_valid(address, size) || frame.value % PAGE_SIZE != 0 || (frame.value & ~FRAME_MASK) != 0)
		return ERR_INVALID;
	if (any_mapped(map, root, TOP_LEVEL, range))
		return ERR_EXISTS;
	status = add_range(map, root, TOP_LEVEL, range);
	/* All or nothing. What is there was added whole, so that taking it away splits nothing and cannot
	 * fail. */
	if (status != OK && remove_range(map, root, TOP_LEVEL, range) != OK)
		return ERR_INVALID;
	return status;
}

enum status page_map_remove(struct page_map *map, uint64_t address, uint64_t size)
{
	struct range range = {.address = address, .size = size};

	if (!range_valid(address, size))
		return ERR_INVALID;
	return remove_range(map, map->source->reach(map->root), TOP_LEVEL, range);
}

static struct mapping leaf_mapping(const struct page_map *map, uint64_t entry, uint64_t address,
				   unsigned level)
{
	return (struct mapping){.address = ALIGN_DOWN(address, level_size(level)),
				.frame = leaf_frame(entry, level),
				.size = level_size(level),
				.flags = map->format->flags(entry)};
}

bool page_map_find(const struct page_map *map, uint64_t address, struct mapping *found)
{
	const uint64_t *table = map->source->reach(map->root);

	if (!canonical(address))
		return false;
	for (unsigned level = TOP_LEVEL; table; level--) {
		uint64_t entry = table[level_index(address, level)];

		if (!is_present(map, entry))
			return false;
		if (is_leaf(map, entry, level)) {
			*found = leaf_mapping(map, entry, address, level);
			return true;
		}
		table = entry_table(map, entry);
	}
	return false;
}

static bool walk_table(const struct page_map *map, const uint64_t *table, unsigned level, uint64_t address,
		       page_map_visit_fn *visit, void *context)
{
	for (unsigned i = 0; table && i < ENTRIES; i++, address += level_size(level)) {
		if (level == TOP_LEVEL && i == ENTRIES / 2)
			address = ~0ull << CANONICAL;
		if (!is_present(map, table[i]))
			continue;
		if (is_leaf(map, table[i], level)) {
			struct mapping leaf = leaf_mapping(map, table[i], address, level);

			if (!visit(context, &leaf))
				return false;
		} else if (!walk_table(map, entry_table(map, table[i]), level - 1, address, visit, context)) {
			return false;
		}
	}
	return true;
}

void page_map_walk(const struct page_map *map, page_map_visit_fn *visit, void *context)
{
	(void)walk_table(map, map->source->reach(map->root), TOP_LEVEL, 0, visit, context);
}
