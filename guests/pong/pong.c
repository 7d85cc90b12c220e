/*
 * The partition that answers: every message, notification and direct request comes back to whoever sent it, a
 * direct request with its first word plus 1. It sleeps in between. Notification 63 asks it to send a direct
 * request first. With `crash=N` on its command line it crashes in place of its Nth answer; with `deaf` it
 * lets nobody set notifications.
 *
 * A direct request may also hand it a queue in shared memory (pong.h), which it empties as bytes come; it
 * adds them up, and answers the sum when it gives the memory back. A queue whose size or positions cannot be
 * is refused or given back at once. With `spoil` on its command line it spoils each queue it is handed.
 */
#include <bulkhead.h>

#include "../common/interrupts.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "pong.h"

#define PEER 1 /* whose notifications are welcome: the first partition of the config */

#define PAGE_SIZE 4096u

static uint8_t copy[BH_MESSAGE_SIZE];

static struct bh_queue_end reader = {.peer = PEER, .bit = PONG_QUEUE_BIT};
static uint64_t handle, sum;
static bool spoil;

static uint8_t *taken; /* a page that is lent */
static uint64_t taken_handle;

/* Without the one it has still, of an asker that has ended. */
static uint64_t take_page(const struct bh_direct *direct)
{
	void *address;
	if (taken)
		(void)bh_memory_relinquish(taken_handle);
	taken = NULL;
	const int pages = bh_memory_retrieve(direct->peer, direct->word[1], &address);
	if (pages <= 0)
		return (uint64_t)pages;
	taken_handle = direct->word[1];
	taken = address;
	return 0;
}

static uint64_t give_page(void)
{
	if (!taken)
		return (uint64_t)FFA_DENIED;
	for (uint32_t i = 0; i < PAGE_SIZE; i++)
		taken[i]++;
	taken = NULL;
	return (uint64_t)bh_memory_relinquish(taken_handle);
}

static int give_queue_back(void)
{
	reader.queue = NULL;
	return bh_memory_relinquish(handle);
}

static bool is_queue_size(uint64_t size, uint64_t room)
{
	return size && size <= room && !(size & (size - 1));
}

static uint64_t open_queue(const struct bh_direct *direct)
{
	const uint64_t size = direct->word[2];
	void *address;
	if (reader.queue) /* of an asker that has ended */
		(void)give_queue_back();
	const int pages = bh_memory_retrieve(direct->peer, direct->word[1], &address);
	if (pages <= 0)
		return (uint64_t)pages;
	handle = direct->word[1];
	const uint64_t room = (uint64_t)pages * PAGE_SIZE - BH_QUEUE_HEADER;
	if (!is_queue_size(size, room)) {
		bh_printf("pong: queue: size %lu, expected a power of two up to %lu\n", size, room);
		(void)give_queue_back();
		return (uint64_t)FFA_INVALID_PARAMETERS;
	}
	reader.queue = address;
	reader.size = (uint32_t)size;
	reader.position = 0;
	sum = 0;
	if (spoil)
		reader.queue->tail = 1; /* of what has not been written */
	return 0;
}

/* 0 when there is no more, or the code of a queue that is of no use any more. */
static int read_all(void)
{
	int count;
	do {
		while ((count = bh_queue_read(&reader, copy, sizeof(copy))) > 0)
			for (int i = 0; i < count; i++)
				sum += copy[i];
		if (count < 0)
			return count;
	} while (bh_queue_sleep_reader(&reader) <= 0);
	return 0;
}

static void empty_queue(void)
{
	if (!reader.queue || read_all() == 0)
		return;
	bh_printf("pong: queue: read up to %u, and its head is not within %u of that: given back\n",
		  reader.position, reader.size);
	(void)give_queue_back(); /* refused only where it is not there any more */
}

static uint64_t close_queue(struct bh_direct *direct)
{
	empty_queue();
	if (!reader.queue)
		return (uint64_t)FFA_DENIED;
	direct->word[1] = sum;
	return (uint64_t)give_queue_back();
}

static void serve(struct bh_direct *direct)
{
	switch (direct->word[0]) {
	case PONG_OPEN_QUEUE: direct->word[0] = open_queue(direct); break;
	case PONG_TAKE_PAGE: direct->word[0] = take_page(direct); break;
	case PONG_GIVE_PAGE: direct->word[0] = give_page(); break;
	case PONG_CLOSE_QUEUE: direct->word[0] = close_queue(direct); break;
	default: direct->word[0]++;
	}
}

/* The other way round: asks whoever wants to be asked, who is not waiting for it yet perhaps. Word 1 is the
 * handle of a page that it may use until it answers. */
static void ask(void)
{
	static uint8_t page[4096] __attribute__((aligned(4096)));
	struct bh_direct direct = {.peer = PEER, .word = {1, 0, 3, 4, 5}};
	uint64_t lent = 0;
	int result;
	page[0] = (uint8_t)bh_own_id();
	if (bh_memory_share(PEER, page, 1, &lent) == 0)
		direct.word[1] = lent;
	while ((result = bh_direct_request(&direct)) == FFA_BUSY)
		spin_hint();
	if (result < 0 || direct.word[0] != 2)
		bh_printf("pong: wrong answer: %d, %lu\n", result, direct.word[0]);
	if (lent && bh_memory_reclaim(lent) < 0)
		bh_printf("pong: a page does not come back\n");
}

/* The queue's wake-up is for this partition alone. */
static void return_notifications(void)
{
	const uint64_t bits = bh_notifications() & ~PONG_QUEUE_BIT;
	if (bits & PONG_ASK_ME)
		ask();
	if (bits)
		(void)bh_notification_set(PEER, bits); /* refused while it has not bound them */
}

static void return_message(void)
{
	uint16_t peer;
	const int size = bh_message_receive(&peer, copy, sizeof(copy));
	if (size >= 0 && bh_message_send(peer, copy, (uint32_t)size) < 0)
		bh_printf("pong: partition %u takes no message\n", peer);
}

void bh_main(const struct bh_start *start)
{
	uint32_t left = option_number((const char *)start->cmdline, "crash", 0);
	bool asked = false;
	struct bh_direct direct;
	spoil = option_flag((const char *)start->cmdline, "spoil");
	bh_printf("pong: partition %u waits\n", bh_own_id());
	if (!option_flag((const char *)start->cmdline, "deaf") && bh_notification_bind(PEER, UINT64_MAX) < 0)
		bh_printf("pong: no notifications from partition %u\n", PEER);
	for (;;) {
		interrupts_off();
		return_notifications();
		return_message();
		empty_queue();
		/* The answer to a request waits for the next one. */
		asked = (asked ? bh_direct_answer(&direct) : bh_direct_wait(&direct)) > 0;
		if (!asked)
			continue;
		serve(&direct);
		if (left && --left == 0)
			triple_fault();
	}
}
