/*
 * Memory of two partitions: the descriptors of docs/abi.md, and a queue in what is shared.
 */
#include "../common/text.h"
#include "../common/x86.h"
#include "internal.h"

#define PAGE_SIZE 4096

/* One borrower, one range: what an owner describes. */
struct offer {
	struct ffa_memory header;
	struct ffa_memory_access access;
	struct ffa_memory_composite composite;
	struct ffa_memory_range range;
};

static struct ffa_memory header_for(uint16_t sender, uint64_t handle)
{
	return (struct ffa_memory){.sender = sender,
				   .handle = handle,
				   .access_size = sizeof(struct ffa_memory_access),
				   .access_count = 1,
				   .access_offset = offsetof(struct offer, access)};
}

static int offer_memory(uint32_t function, uint16_t peer, const void *address, uint32_t pages,
			uint64_t *handle)
{
	const struct offer offer = {.header = header_for(bh_own_id(), 0),
				    .access = {.receiver = peer,
					       .permissions = FFA_ACCESS_WRITE,
					       .composite_offset = offsetof(struct offer, composite)},
				    .composite = {.pages = pages, .count = 1},
				    .range = {.address = (uint64_t)address, .pages = pages}};
	uint64_t x[8] = {function, sizeof(offer), sizeof(offer)};
	int result = bh_map_buffers();
	if (result < 0)
		return result;
	memcpy(bh_tx, &offer, sizeof(offer));
	result = bh_ffa_call(x);
	*handle = (uint32_t)x[2] | x[3] << 32;
	return result;
}

int bh_memory_share(uint16_t peer, const void *address, uint32_t pages, uint64_t *handle)
{
	return offer_memory(FFA_MEM_SHARE_64, peer, address, pages, handle);
}

int bh_memory_lend(uint16_t peer, const void *address, uint32_t pages, uint64_t *handle)
{
	return offer_memory(FFA_MEM_LEND_64, peer, address, pages, handle);
}

int bh_memory_reclaim(uint64_t handle)
{
	uint64_t x[8] = {FFA_MEM_RECLAIM, (uint32_t)handle, handle >> 32};
	return bh_ffa_call(x);
}

int bh_memory_retrieve(uint16_t peer, uint64_t handle, void **address)
{
	struct offer *const answer = (struct offer *)bh_rx;
	const uint32_t length = offsetof(struct offer, composite);
	uint64_t x[8] = {FFA_MEM_RETRIEVE_REQ_64, length, length};
	int result = bh_map_buffers();
	if (result < 0)
		return result;
	const struct offer request = {.header = header_for(peer, handle),
				      .access = {.receiver = bh_own_id()}};
	memcpy(bh_tx, &request, length);
	result = bh_ffa_call(x);
	if ((uint32_t)x[0] != FFA_MEM_RETRIEVE_RESP)
		return result;
	*address = (void *)answer->range.address;
	result = (int)answer->range.pages;
	bh_release_buffer();
	return result;
}

int bh_memory_relinquish(uint64_t handle)
{
	struct ffa_memory_relinquish *const which = (struct ffa_memory_relinquish *)bh_tx;
	uint64_t x[8] = {FFA_MEM_RELINQUISH};
	const int result = bh_map_buffers();
	if (result < 0)
		return result;
	*which = (struct ffa_memory_relinquish){.handle = handle, .count = 1};
	which->endpoint[0] = bh_own_id();
	return bh_ffa_call(x);
}

/*
 * The queue. Positions count bytes for ever. Each end keeps its own to itself and tells the other by the word
 * in shared memory, which it never reads back: only what the other end writes there is news, and checked.
 *
 * Whoever goes to sleep says so, then looks once more; whoever moves a position then looks whether the other
 * sleeps: with full barriers between, one of the two sees it.
 */

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* Bytes on their way as the two ends see it; more than fit: the other's position cannot be. */
typedef uint32_t distance(const struct bh_queue_end *end);

static uint32_t seen_by_writer(const struct bh_queue_end *end)
{
	return end->position - load(&end->queue->tail);
}

static uint32_t seen_by_reader(const struct bh_queue_end *end)
{
	return load(&end->queue->head) - end->position;
}

static void move(struct bh_queue_end *end, uint32_t *told, uint32_t by, uint32_t *other_sleeps)
{
	end->position += by;
	__atomic_exchange_n(told, end->position, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(other_sleeps, __ATOMIC_RELAXED) ||
	    !__atomic_exchange_n(other_sleeps, 0, __ATOMIC_SEQ_CST))
		return;
	end->wakes++;
	(void)bh_notification_set(end->peer, end->bit); /* refused only where the peer is gone */
}

static uint32_t smaller(uint32_t left, uint32_t right)
{
	return left < right ? left : right;
}

int bh_queue_write(struct bh_queue_end *end, const void *bytes, uint32_t size)
{
	struct bh_queue *queue = end->queue;
	const uint32_t used = seen_by_writer(end), place = end->position & (end->size - 1);
	if (used > end->size)
		return FFA_INVALID_PARAMETERS;
	const uint32_t count = smaller(size, end->size - used), first = smaller(count, end->size - place);
	if (!count)
		return 0;
	memcpy(queue->byte + place, bytes, first);
	memcpy(queue->byte, (const uint8_t *)bytes + first, count - first);
	move(end, &queue->head, count, &queue->reader_sleeps);
	return (int)count;
}

int bh_queue_read(struct bh_queue_end *end, void *bytes, uint32_t size)
{
	struct bh_queue *queue = end->queue;
	const uint32_t used = seen_by_reader(end), place = end->position & (end->size - 1);
	if (used > end->size)
		return FFA_INVALID_PARAMETERS;
	const uint32_t count = smaller(size, used), first = smaller(count, end->size - place);
	if (!count)
		return 0;
	memcpy(bytes, queue->byte + place, first);
	memcpy((uint8_t *)bytes + first, queue->byte, count - first);
	move(end, &queue->tail, count, &queue->writer_sleeps);
	return (int)count;
}

/* Sleep and wake-up cost more than a moment's patience: in a steady flow nobody sleeps, and nothing exits. */
#define PATIENCE 4096

static bool moves(const struct bh_queue_end *end, distance *seen, uint32_t apart)
{
	for (int looks = 0; looks < PATIENCE; looks++) {
		if (seen(end) != apart)
			return true;
		spin_hint();
	}
	return false;
}

/* 0, and awake, if the positions are no longer `apart`. */
static int sleep(const struct bh_queue_end *end, uint32_t *flag, distance *seen, uint32_t apart)
{
	if (!moves(end, seen, apart)) {
		__atomic_exchange_n(flag, 1, __ATOMIC_SEQ_CST);
		if (seen(end) == apart)
			return 1;
		__atomic_store_n(flag, 0, __ATOMIC_SEQ_CST);
	}
	return seen(end) > end->size ? FFA_INVALID_PARAMETERS : 0;
}

int bh_queue_sleep_writer(struct bh_queue_end *end)
{
	return sleep(end, &end->queue->writer_sleeps, seen_by_writer, end->size);
}

int bh_queue_sleep_reader(struct bh_queue_end *end)
{
	return sleep(end, &end->queue->reader_sleeps, seen_by_reader, 0);
}
