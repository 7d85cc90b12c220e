/*
 * The partition that answers: every message, notification and direct request comes back to whoever sent it, a
 * direct request with its first word plus 1. It sleeps in between. With `crash=N` on its command line it
 * crashes in place of its Nth answer.
 */
#include <bulkhead.h>

#include "../common/interrupts.h"
#include "../common/text.h"
#include "../common/x86.h"

#define PEER 1 /* whose notifications are welcome: the first partition of the config */

static uint8_t copy[BH_MESSAGE_SIZE];

static void return_notifications(void)
{
	const uint64_t bits = bh_notifications();
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

/* The answer to a request waits for the next one. */
static void answer(struct bh_direct *direct, uint32_t *left)
{
	int more;
	do {
		if (*left && --*left == 0)
			triple_fault();
		direct->word[0]++;
		interrupts_off();
		more = bh_direct_answer(direct);
	} while (more > 0);
}

void bh_main(const struct bh_start *start)
{
	uint32_t left = option_number((const char *)start->cmdline, "crash", 0);
	struct bh_direct direct;
	bh_printf("pong: partition %u waits\n", bh_own_id());
	if (bh_notification_bind(PEER, UINT64_MAX) < 0)
		bh_printf("pong: no notifications from partition %u\n", PEER);
	for (;;) {
		interrupts_off();
		return_notifications();
		return_message();
		if (bh_direct_wait(&direct) > 0)
			answer(&direct, &left);
	}
}
