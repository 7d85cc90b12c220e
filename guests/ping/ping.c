/*
 * The partition that asks: sends direct requests, messages and notifications to the second partition of the
 * config, which is pong, checks what comes back, and tells what a round trip costs, in TSC ticks. `rounds=N`
 * of each.
 */
#include <bulkhead.h>

#include "../common/text.h"
#include "../common/x86.h"

#define PEER	2
#define BIT	40
#define BATCHES 11
#define ROUNDS	100

static uint8_t sent[BH_MESSAGE_SIZE], received[BH_MESSAGE_SIZE];
static uint32_t rounds, aborted;

typedef bool trip(uint32_t round);

/* A peer that is off, restarts or is busy will be there later. */
static int request(struct bh_direct *direct)
{
	int result;
	while ((result = bh_direct_request(direct)) == FFA_BUSY || result == FFA_ABORTED) {
		aborted += result == FFA_ABORTED;
		spin_hint();
	}
	return result;
}

static bool direct(uint32_t round)
{
	struct bh_direct message = {.peer = PEER, .word = {round, 2, 3, 4, UINT64_MAX}};
	return request(&message) == 0 && message.word[0] == round + 1 && message.word[4] == UINT64_MAX;
}

static bool notification(uint32_t round)
{
	(void)round;
	if (bh_notification_set(PEER, 1ull << BIT) < 0)
		return false;
	bh_wait_for(BH_EVENT_NOTIFICATION);
	return bh_notifications() == 1ull << BIT;
}

static bool message(uint32_t round)
{
	uint16_t peer;
	sent[round % sizeof(sent)]++;
	while (bh_message_send(PEER, sent, sizeof(sent)) == FFA_BUSY)
		spin_hint();
	bh_wait_for(BH_EVENT_NOTIFICATION);
	return bh_message_receive(&peer, received, sizeof(received)) == (int)sizeof(sent) && peer == PEER &&
	       memcmp(sent, received, sizeof(sent)) == 0;
}

static void sort(uint64_t values[], int count)
{
	for (int i = 1; i < count; i++) {
		const uint64_t value = values[i];
		int place = i;
		for (; place && values[place - 1] > value; place--)
			values[place] = values[place - 1];
		values[place] = value;
	}
}

static void report(const char *name, uint64_t ticks[BATCHES], uint32_t wrong)
{
	sort(ticks, BATCHES);
	bh_printf("bench %s median=%lu min=%lu n=%u\n", name, ticks[BATCHES / 2], ticks[0], rounds);
	if (wrong)
		bh_printf("ping: %s: %u wrong\n", name, wrong);
}

static void measure(const char *name, trip *once)
{
	uint64_t ticks[BATCHES];
	uint32_t wrong = 0;
	for (int batch = 0; batch < BATCHES; batch++) {
		const uint64_t start = bh_tsc();
		for (uint32_t round = 0; round < rounds; round++)
			wrong += !once(round);
		ticks[batch] = (bh_tsc() - start) / rounds;
	}
	report(name, ticks, wrong);
}

/* What the sender alone pays, from before the call to behind it; the answer is waited for outside. */
static void measure_sender(void)
{
	uint64_t ticks[BATCHES];
	uint32_t wrong = 0;
	for (int batch = 0; batch < BATCHES; batch++) {
		uint64_t x[8] = {FFA_NOTIFICATION_SET, FFA_IDS(bh_own_id(), PEER), 0, 1};
		const uint64_t start = bh_tsc();
		bh_call_registers(x);
		ticks[batch] = bh_tsc() - start;
		wrong += (uint32_t)x[0] != FFA_SUCCESS_32;
		bh_wait_for(BH_EVENT_NOTIFICATION);
		wrong += bh_notifications() != 1;
	}
	report("notification_set", ticks, wrong);
}

void bh_main(const struct bh_start *start)
{
	struct ffa_partition_info list[4];
	const uint32_t room = sizeof(list) / sizeof(list[0]);
	rounds = option_number((const char *)start->cmdline, "rounds", ROUNDS);
	const int count = bh_partitions(list, room);
	for (int i = 0; i < count && i < (int)room; i++)
		bh_printf("ping: partition %u has %u vCPUs, properties %x\n", list[i].id, list[i].contexts,
			  list[i].properties);
	if (bh_notification_bind(PEER, UINT64_MAX) < 0)
		bh_printf("ping: no notifications from partition %u\n", PEER);
	measure("direct_request", direct);
	measure_sender();
	measure("notification_round_trip", notification);
	measure("message_4k_round_trip", message);
	bh_printf("ping: done, %u aborted\n", aborted);
}
