/*
 * The memory table: a claim cuts its range out of the entries that hold it, takes its place in the order, and
 * grows together with neighbours of its kind.
 */
#include "boot/memory_table.h"

static uint64_t end_of(const struct boot_memory *entry)
{
	return entry->start + entry->size;
}

static bool insert(struct boot_info *info, uint32_t index, struct boot_memory entry)
{
	if (info->memory_count == BOOT_MAX_MEMORY)
		return false;
	for (uint32_t i = info->memory_count; i > index; i--)
		info->memory[i] = info->memory[i - 1];
	info->memory[index] = entry;
	info->memory_count++;
	return true;
}

static void drop(struct boot_info *info, uint32_t index)
{
	info->memory_count--;
	for (uint32_t i = index; i < info->memory_count; i++)
		info->memory[i] = info->memory[i + 1];
}

/* The entry at `index` begins before `start` and ends behind it: leaves its head there, and its tail behind
 * `end`. */
static bool split(struct boot_info *info, uint32_t index, uint64_t start, uint64_t end)
{
	struct boot_memory *head = &info->memory[index];
	struct boot_memory tail = *head;

	head->size = start - head->start;
	if (end_of(&tail) <= end)
		return true;
	tail.size = end_of(&tail) - end;
	tail.start = end;
	return insert(info, index + 1, tail);
}

/* Cuts [start, end) out of the table: the index where an entry for it belongs. */
static bool cut(struct boot_info *info, uint64_t start, uint64_t end, uint32_t *index)
{
	uint32_t i = 0;

	while (i < info->memory_count && end_of(&info->memory[i]) <= start)
		i++;
	if (i < info->memory_count && info->memory[i].start < start) {
		if (!split(info, i, start, end))
			return false;
		i++;
	}
	while (i < info->memory_count && end_of(&info->memory[i]) <= end)
		drop(info, i);
	if (i < info->memory_count && info->memory[i].start < end) {
		info->memory[i].size = end_of(&info->memory[i]) - end;
		info->memory[i].start = end;
	}
	*index = i;
	return true;
}

static bool are_one(const struct boot_memory *low, const struct boot_memory *high)
{
	return end_of(low) == high->start && low->kind == high->kind && low->cacheable == high->cacheable;
}

/* Joins the entry at `index` with the one above it, if they are one. */
static void join(struct boot_info *info, uint32_t index)
{
	if (index + 1 >= info->memory_count || !are_one(&info->memory[index], &info->memory[index + 1]))
		return;
	info->memory[index].size += info->memory[index + 1].size;
	drop(info, index + 1);
}

/*
 * What is missed least: a range that nobody may use needs no entry, for what the table does not name is the
 * firmware's; after those, the smallest free one. -1: all must be kept.
 */
static int find_least(const struct boot_info *info)
{
	int least = -1;

	for (uint32_t i = 0; i < info->memory_count; i++) {
		const struct boot_memory *entry = &info->memory[i];

		if (entry->kind == BOOT_MEM_RESERVED)
			return (int)i;
		if (entry->kind == BOOT_MEM_FREE && (least < 0 || entry->size < info->memory[least].size))
			least = (int)i;
	}
	return least;
}

/* Room for all that one claim can add: its own entry, and the tail of the one it splits. */
static void make_room(struct boot_info *info)
{
	while (info->memory_count + 2 > BOOT_MAX_MEMORY) {
		int least = find_least(info);

		if (least < 0)
			return;
		if (info->memory[least].kind == BOOT_MEM_FREE)
			info->memory_left_out += info->memory[least].size;
		drop(info, (uint32_t)least);
	}
}

void memory_table_clear(struct boot_info *info)
{
	info->memory_count = 0;
	info->memory_left_out = 0;
}

bool memory_table_claim(struct boot_info *info, uint64_t start, uint64_t size, enum boot_memory_kind kind,
			bool cacheable)
{
	struct boot_memory entry = {.start = start, .size = size, .kind = kind, .cacheable = cacheable};
	uint32_t index;

	if (size == 0)
		return true;
	make_room(info);
	if (!cut(info, start, start + size, &index) || !insert(info, index, entry))
		return false;
	join(info, index);
	if (index > 0)
		join(info, index - 1);
	return true;
}

uint64_t memory_table_total(const struct boot_info *info, enum boot_memory_kind kind)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < info->memory_count; i++)
		if (info->memory[i].kind == kind)
			total += info->memory[i].size;
	return total;
}
