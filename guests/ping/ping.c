/*
 * The partition that asks: sends direct requests, messages and notifications to the second partition of the
 * config, which is pong, checks what comes back, and tells what a round trip costs, in TSC ticks. `rounds=N`
 * of each. Then it sends bytes through a queue in memory that it shares, and lends a page. With `crash` on
 * its command line it crashes while pong has both; with `hold` it waits there for ever. With `spoil` it tells
 * pong wrong sizes of the queue, and spoils it in the end.
 */
#include <bulkhead.h>

#include "../common/interrupts.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "../pong/pong.h"

#define PEER		2
#define BIT		40
#define BATCHES		11
#define CALLS_OF_SENDER 60
#define ROUNDS		100

static uint8_t sent[BH_MESSAGE_SIZE], received[BH_MESSAGE_SIZE];
static uint32_t rounds, aborted, tsc_khz;

typedef bool trip(uint32_t round);

static void sleep_a_while(void)
{
	bh_deadline(bh_tsc() + tsc_khz); /* a millisecond */
	bh_wait_for(BH_EVENT_TIMER);
}

/* A peer that is off, restarts or is busy will be there later. */
static int request(struct bh_direct *direct)
{
	int result;
	while ((result = bh_direct_request(direct)) == FFA_BUSY || result == FFA_ABORTED) {
		aborted += result == FFA_ABORTED;
		sleep_a_while();
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

uint64_t time_nop(uint64_t ids, uint64_t bits), time_set_vmcall(uint64_t ids, uint64_t bits),
	time_set_vmmcall(uint64_t ids, uint64_t bits);

/*
 * What the sender alone pays, from the instruction that calls to the one behind it; pong sleeps before, and
 * its answer is waited for outside. An emulator's clock moves some instructions at a time: each call of a
 * batch comes elsewhere in that step, and what they take together tells the mean.
 */
static void measure_sender(void)
{
	const bool amd = cpuid(BH_CPUID_ABI, 0).ecx & BH_CPUID_ABI_VMMCALL;
	uint64_t (*const time_set)(uint64_t, uint64_t) = amd ? time_set_vmmcall : time_set_vmcall;
	const uint64_t ids = FFA_IDS(bh_own_id(), PEER);
	uint64_t ticks[BATCHES];
	uint32_t wrong = 0;
	for (int batch = 0; batch < BATCHES; batch++) {
		uint64_t sum = 0;
		for (int call = 0; call < CALLS_OF_SENDER; call++) {
			sleep_a_while();
			for (int i = 0; i < call; i++)
				__asm__ volatile("");
			sum -= time_nop(ids, 1);
			sum += time_set(ids, 1);
			bh_wait_for(BH_EVENT_NOTIFICATION);
			wrong += bh_notifications() != 1;
		}
		ticks[batch] = sum / CALLS_OF_SENDER;
	}
	report("notification_set", ticks, wrong);
}

/*
 * Shared memory
 */

#define QUEUE_SIZE  32768u
#define QUEUE_PAGES ((QUEUE_SIZE + BH_QUEUE_HEADER + 4095) / 4096)
static uint8_t queue_memory[QUEUE_PAGES * 4096] __attribute__((aligned(4096)));
static struct bh_queue_end writer = {
	.queue = (struct bh_queue *)queue_memory, .size = QUEUE_SIZE, .peer = PEER, .bit = PONG_QUEUE_BIT};
static uint64_t sum;

/* Sleeps while the queue is full. 0, or the code of a queue that is of no use any more. */
static int write_all(const uint8_t *bytes, uint32_t size)
{
	for (uint32_t done = 0; done < size;) {
		const int count = bh_queue_write(&writer, bytes + done, size - done);
		if (count < 0)
			return count;
		done += (uint32_t)count;
		if (count || bh_queue_sleep_writer(&writer) <= 0)
			continue;
		bh_wait_for(BH_EVENT_NOTIFICATION);
		(void)bh_notifications();
	}
	return 0;
}

static bool block(uint32_t round)
{
	if (!writer.queue)
		return false;
	sent[round % sizeof(sent)]++;
	if (write_all(sent, sizeof(sent)) < 0) {
		bh_printf("ping: queue: written up to %u, and its tail is not within %u of that: given up\n",
			  writer.position, writer.size);
		writer.queue = NULL;
		return false;
	}
	for (uint32_t i = 0; i < sizeof(sent); i++)
		sum += sent[i];
	return true;
}

/* What a request to pong that is not to be repeated answers: 0, a code of its own, or FFA_ABORTED: it ended.
 */
static int ask(struct bh_direct *direct)
{
	int result;
	while ((result = bh_direct_request(direct)) == FFA_BUSY)
		sleep_a_while();
	return result < 0 ? result : (int)direct->word[0];
}

static bool all_are(const uint8_t *bytes, uint32_t size, uint8_t value)
{
	for (uint32_t i = 0; i < size; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

/* Pong has it from take_page() on. */
#define LENT 0x5A
static uint8_t lent[4096] __attribute__((aligned(4096)));
static uint64_t lent_handle;

/* What pong answers. */
static int lend_page(void)
{
	struct bh_direct take = {.peer = PEER, .word = {PONG_TAKE_PAGE}};
	memset(lent, LENT, sizeof(lent));
	const int result = bh_memory_lend(PEER, lent, 1, &lent_handle);
	take.word[1] = lent_handle;
	return result < 0 ? result : ask(&take);
}

/* Where pong has ended it gives back what it had, a moment after whoever waited for it has heard of that. */
static int reclaim_in_the_end(uint64_t handle)
{
	int result;
	while ((result = bh_memory_reclaim(handle)) == FFA_DENIED)
		sleep_a_while();
	return result;
}

/* Pong's bytes, or zeros: where it has ended with the page, what it wrote there is nobody's to see. */
static void take_page_back(int taken)
{
	struct bh_direct give = {.peer = PEER, .word = {PONG_GIVE_PAGE}};
	const int early = taken ? 0 : bh_memory_reclaim(lent_handle), given = taken ? 0 : ask(&give);
	const int late = reclaim_in_the_end(lent_handle);
	bh_printf("ping: page: pong answers %d, reclaim %d, pong answers %d, reclaim %d: %s\n", taken, early,
		  given, late,
		  all_are(lent, sizeof(lent), LENT + 1) ? "written to"
		  : all_are(lent, sizeof(lent), 0)	? "zero"
							: "wrong");
}

static void close_queue(uint64_t handle)
{
	struct bh_direct close = {.peer = PEER, .word = {PONG_CLOSE_QUEUE}};
	const int early = bh_memory_reclaim(handle), closed = ask(&close);
	if (closed == 0 && close.word[1] != sum)
		bh_printf("ping: queue: wrong sum %lx, expected %lx\n", close.word[1], sum);
	bh_printf("ping: queue: %u blocks, %lu wake-ups, reclaim %d, pong answers %d, reclaim %d\n",
		  rounds * BATCHES, writer.wakes, early, closed, bh_memory_reclaim(handle));
}

/* None is a power of two that fits the memory; the last one would, had it 32 bits. */
static void tell_wrong_sizes(uint64_t handle)
{
	static const uint64_t sizes[] = {0, QUEUE_SIZE - 1, 2 * QUEUE_SIZE, (1ull << 32) + QUEUE_SIZE};
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct bh_direct open = {.peer = PEER, .word = {PONG_OPEN_QUEUE, handle, sizes[i]}};
		bh_printf("ping: queue of size %lu: pong answers %d\n", sizes[i], ask(&open));
	}
}

/* As if more had been written than there is room for. Pong gives it back, and has nothing to close. */
static void spoil_queue(uint64_t handle)
{
	struct bh_direct close = {.peer = PEER, .word = {PONG_CLOSE_QUEUE}};
	__atomic_store_n(&writer.queue->head, writer.position + QUEUE_SIZE + 1, __ATOMIC_SEQ_CST);
	const int closed = ask(&close);
	bh_printf("ping: queue spoilt: pong answers %d, reclaim %d\n", closed, bh_memory_reclaim(handle));
}

/* `crash`, `hold`: with memory that pong has retrieved. */
static void share_memory(const char *cmdline)
{
	struct bh_direct open = {.peer = PEER, .word = {PONG_OPEN_QUEUE, 0, QUEUE_SIZE}};
	uint64_t handle = 0;
	const int shared = bh_memory_share(PEER, queue_memory, QUEUE_PAGES, &handle);
	if (shared < 0) {
		bh_printf("ping: nothing is shared: %d\n", shared);
		return;
	}
	open.word[1] = handle;
	const bool spoil = option_flag(cmdline, "spoil");
	if (spoil)
		tell_wrong_sizes(handle);
	const int opened = ask(&open);
	if (opened < 0) {
		bh_printf("ping: queue: pong answers %d, reclaim %d\n", opened, reclaim_in_the_end(handle));
		return;
	}
	measure("queue_4k", block);
	if (spoil)
		spoil_queue(handle);
	const int taken = lend_page();
	if (option_flag(cmdline, "crash"))
		triple_fault();
	if (option_flag(cmdline, "hold")) {
		bh_printf("ping: holds\n");
		for (;;)
			sleep_a_while();
	}
	take_page_back(taken);
	if (!spoil)
		close_queue(handle);
}

void bh_main(const struct bh_start *start)
{
	struct ffa_partition_info list[4];
	const uint32_t room = sizeof(list) / sizeof(list[0]);
	rounds = option_number((const char *)start->cmdline, "rounds", ROUNDS);
	tsc_khz = start->tsc_khz;
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
	share_memory((const char *)start->cmdline);
	bh_printf("ping: done, %u aborted\n", aborted);
}
