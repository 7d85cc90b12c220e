/*
 * A para guest's way to another by FF-A: descriptions of memory that is not its own or not described at all,
 * handles it was never told, memory it has lent, and messages nobody waits for. The victim is at the other
 * end of a channel that allows everything, and asks for nothing; but it shares a page with the attacker, whom
 * it does not tell, and one with another.
 */
#include "../../guests/lib/bulkhead.h"
#include "calls.h"

#define VICTIM	     2 /* endpoint */
#define ATTACKER     3
#define PAGE	     HIDDEN /* what it describes, if a row says nothing else */
#define GUESSES	     4096u  /* all places of 16 serial numbers, which are counted from bit 8 on */
#define AGREEMENTS   8u
#define ROUNDS	     2000u
#define FLOOD	     20000u
#define OFFSET(name) offsetof(struct offer, name)

/* One borrower, one range. */
struct offer {
	struct ffa_memory header;
	struct ffa_memory_access access;
	struct ffa_memory_composite composite;
	struct ffa_memory_range range;
};

static union {
	struct offer offer;
	struct ffa_memory_relinquish relinquish;
	struct ffa_message message;
	uint8_t bytes[4096];
} tx __attribute__((aligned(4096)));
static uint8_t rx[4096] __attribute__((aligned(4096)));

/* The code of FFA_ERROR, else what x0 says; x2 and x3 as a handle. */
static uint64_t handle;
static uint32_t ffa(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3)
{
	uint64_t x[8] = {function, x1, x2, x3};

	bh_call_registers(x);
	if ((uint32_t)x[0] == FFA_MEM_FRAG_RX)
		handle = (uint32_t)x[1] | x[2] << 32;
	else
		handle = (uint32_t)x[2] | x[3] << 32;
	return (uint32_t)x[0] == FFA_ERROR ? (uint32_t)x[2] : (uint32_t)x[0];
}

static uint32_t by_handle(uint32_t function, uint64_t of)
{
	return ffa(function, (uint32_t)of, of >> 32, 0);
}

static void map_buffers(void)
{
	(void)ffa(FFA_RXTX_MAP_64, (uint64_t)&tx, (uint64_t)rx, 1);
}

static void unmap_buffers(void)
{
	(void)ffa(FFA_RXTX_UNMAP, 0, 0, 0);
}

static void describe(uint64_t address, uint32_t pages)
{
	tx.offer = (struct offer){.header = {.sender = ATTACKER,
					     .access_size = sizeof(struct ffa_memory_access),
					     .access_count = 1,
					     .access_offset = OFFSET(access)},
				  .access = {.receiver = VICTIM,
					     .permissions = FFA_ACCESS_WRITE,
					     .composite_offset = OFFSET(composite)},
				  .composite = {.pages = pages, .count = 1},
				  .range = {.address = address, .pages = pages}};
}

static uint32_t offer(uint32_t function)
{
	return ffa(function, sizeof(struct offer), sizeof(struct offer), 0);
}

/* One word of a right description is another: `b` at offset `a`. Tells the code. */
static void bend(void)
{
	map_buffers();
	describe(PAGE, 1);
	*(uint32_t *)(tx.bytes + attack_a) = (uint32_t)attack->b;
	observe(offer(FFA_MEM_SHARE_64));
	unmap_buffers();
}

/* `b` pages at `a`. */
static void share_there(void)
{
	map_buffers();
	describe(attack_address(), (uint32_t)attack->b);
	observe(offer(FFA_MEM_SHARE_64));
	unmap_buffers();
}

/* Pages that the hypervisor uses for it. Tells both codes. */
static void lend_what_is_in_use(void)
{
	map_buffers();
	describe((uint64_t)bh_event_page(), 1);
	const uint64_t events = offer(FFA_MEM_LEND_64);
	describe((uint64_t)&tx, 1);
	observe(events << 32 | offer(FFA_MEM_LEND_64));
	unmap_buffers();
}

static void lend(uint64_t address)
{
	map_buffers();
	describe(address, 1);
	if (offer(FFA_MEM_LEND_64) != FFA_SUCCESS_32)
		print_line("attack %s: it cannot be lent", attack->name);
	platform_flush();
}

/* What is lent is not there: the end of the partition, whose memory is whole again in its next life. */
static void read_what_is_lent(void)
{
	lend(PAGE);
	observe(*(volatile uint64_t *)PAGE);
}

static void write_what_is_lent(void)
{
	lend(PAGE);
	*(volatile uint64_t *)PAGE = 1;
}

static void execute_what_is_lent(void)
{
	lend(PAGE);
	((void (*)(void))PAGE)();
}

/* Its own page tables, on which it runs. */
static void lend_its_tables(void)
{
	lend(read_cr3() & ~(PAGE_SIZE - 1));
}

/* What is lent is no page for a call. Tells how many took it. */
static void offer_what_is_lent(void)
{
	uint64_t taken = 0;

	lend(PAGE);
	const uint64_t lent = handle;
	taken += bh_call(VENDOR_EVENT_PAGE, PAGE, BH_UPCALL_VECTOR, 0, 0, 0) == SMCCC_SUCCESS;
	taken += bh_call(VENDOR_CLOCK_PAGE, PAGE, 0, 0, 0, 0) == SMCCC_SUCCESS;
	taken += bh_call(VENDOR_CONSOLE_RING, PAGE, 0, 0, 0, 0) == SMCCC_SUCCESS;
	taken += bh_call(PSCI_MEM_CHECK_RANGE_64, PAGE, 1, 0, 0, 0) == SMCCC_SUCCESS;
	describe(PAGE, 1);
	taken += offer(FFA_MEM_SHARE_64) == FFA_SUCCESS_32;
	taken += offer(FFA_MEM_DONATE_64) == FFA_SUCCESS_32;
	unmap_buffers();
	taken += ffa(FFA_RXTX_MAP_64, PAGE, (uint64_t)rx, 1) == FFA_SUCCESS_32;
	taken += ffa(FFA_RXTX_MAP_64, (uint64_t)rx, PAGE, 1) == FFA_SUCCESS_32;
	taken += by_handle(FFA_MEM_RECLAIM, lent) != FFA_SUCCESS_32;
	*(volatile uint64_t *)PAGE = 0; /* it is there again */
	observe(taken);
}

static uint32_t relinquish(uint64_t of)
{
	tx.relinquish = (struct ffa_memory_relinquish){.handle = of, .count = 1};
	tx.relinquish.endpoint[0] = ATTACKER;
	return ffa(FFA_MEM_RELINQUISH, 0, 0, 0);
}

static uint32_t retrieve(uint64_t of)
{
	describe(0, 0);
	tx.offer.header.sender = VICTIM;
	tx.offer.header.handle = of;
	tx.offer.access.receiver = ATTACKER;
	tx.offer.access.composite_offset = 0;
	return ffa(FFA_MEM_RETRIEVE_REQ_64, OFFSET(composite), OFFSET(composite), 0);
}

/* Neither takes it back, nor gives it back, nor sees it; nor does any answer tell that it exists. */
static bool is_nothing(uint64_t guess)
{
	const uint32_t none = (uint32_t)FFA_INVALID_PARAMETERS;

	return by_handle(FFA_MEM_RECLAIM, guess) == none && relinquish(guess) == none &&
	       retrieve(guess) == none;
}

/* What the victim shares with it, it may see and give back, and no more. */
static bool is_for_the_attacker(uint64_t guess)
{
	const bool is = relinquish(guess) == (uint32_t)FFA_DENIED && retrieve(guess) == FFA_MEM_RETRIEVE_RESP;

	(void)ffa(FFA_RX_RELEASE, 0, 0, 0);
	return is && by_handle(FFA_MEM_RECLAIM, guess) == (uint32_t)FFA_INVALID_PARAMETERS &&
	       relinquish(guess) == FFA_SUCCESS_32;
}

/* Handles that nobody told it, as they would look. Tells the one there is for it, or all ones where there is
 * more. */
static void guess_handles(void)
{
	uint64_t found = 0;

	map_buffers();
	for (uint64_t guess = 0; guess < GUESSES; guess++)
		if (!is_nothing(guess))
			found = found || !is_for_the_attacker(guess) ? UINT64_MAX : guess;
	unmap_buffers();
	observe(found);
}

/* `a`: what the victim shares with somebody else. Tells whether it is nothing. */
static void use_handle_of_others(void)
{
	map_buffers();
	observe(is_nothing(attack_a));
	unmap_buffers();
}

/* Descriptions that begin, one more than there is room for, and end in the middle of a range. Tells what the
 * last one was told. */
static void begin_descriptions(void)
{
	uint64_t begun[AGREEMENTS];
	uint32_t code;

	map_buffers();
	describe(PAGE, 2);
	tx.offer.composite.count = 2;
	for (uint32_t i = 0; i < AGREEMENTS; i++) {
		(void)ffa(FFA_MEM_SHARE_64, sizeof(struct offer) + sizeof(struct ffa_memory_range),
			  sizeof(struct offer), 0);
		begun[i] = handle;
	}
	code = offer(FFA_MEM_SHARE_64);
	for (uint32_t i = 0; i < AGREEMENTS; i++)
		(void)ffa(FFA_MEM_FRAG_TX, (uint32_t)begun[i], begun[i] >> 32, 8);
	unmap_buffers();
	observe(code);
}

/*
 * Both vCPUs
 */

/* The range is another one at every look. */
static void change_the_range(void *context)
{
	volatile struct ffa_memory_range *const range = &tx.offer.range;
	volatile struct ffa_memory_composite *const composite = &tx.offer.composite;

	(void)context;
	for (uint32_t i = 0; !race_ends; i++) {
		range->address = i & 1 ? PAGE : platform->memory_size;
		range->pages = i & 2 ? 1 : UINT32_MAX;
		composite->count = i & 4 ? 1 : UINT32_MAX;
		composite->pages = i & 8 ? 1 : 2;
	}
}

/* Tells how often what was taken did not come back. */
static void change_descriptions(void)
{
	uint64_t lost = 0;

	map_buffers();
	describe(PAGE, 1);
	if (!second_begins(change_the_range, NULL))
		return;
	for (uint32_t i = 0; i < ROUNDS; i++)
		if (offer(i & 1 ? FFA_MEM_LEND_64 : FFA_MEM_SHARE_64) == FFA_SUCCESS_32)
			lost += by_handle(FFA_MEM_RECLAIM, handle) != FFA_SUCCESS_32;
	second_ends();
	unmap_buffers();
	*(volatile uint64_t *)PAGE = 0; /* it is there */
	observe(lost);
}

static void lend_and_reclaim(void *context)
{
	uint64_t x[8];

	for (uint32_t i = 0; context ? !race_ends : i < ROUNDS; i++) {
		memcpy(x, (const uint64_t[8]){FFA_MEM_LEND_64, sizeof(struct offer), sizeof(struct offer)},
		       sizeof(x));
		bh_call_registers(x);
		if ((uint32_t)x[0] != FFA_SUCCESS_32)
			continue;
		memcpy(x, (const uint64_t[8]){FFA_MEM_RECLAIM, (uint32_t)x[2], x[3]}, sizeof(x));
		bh_call_registers(x);
	}
}

/* One page, lent by both all the time: each waits for the other to forget it. */
static void lend_by_both(void)
{
	map_buffers();
	describe(PAGE, 1);
	if (!second_begins(lend_and_reclaim, &tx))
		return;
	lend_and_reclaim(NULL);
	second_ends();
	unmap_buffers();
	*(volatile uint64_t *)PAGE = 0; /* it is there */
}

/*
 * Words to one that does not listen. Each tells the last code.
 */

static void notify(void)
{
	uint32_t code = 0;

	for (uint32_t i = 0; i < FLOOD; i++)
		code = ffa(FFA_NOTIFICATION_SET, attack_a, attack->b, 1);
	observe(code);
}

static void request(void)
{
	uint32_t code = 0;

	for (uint32_t i = 0; i < FLOOD; i++)
		code = ffa(FFA_MSG_SEND_DIRECT_REQ_64, attack_a, attack->b, 1);
	observe(code);
}

/* `a`: the receiver, `b`: how much, from behind the header on. */
static void send(void)
{
	map_buffers();
	tx.message = (struct ffa_message){.offset = sizeof(tx.message),
					  .receiver = (uint16_t)attack_a,
					  .sender = ATTACKER,
					  .size = (uint32_t)attack->b};
	observe(ffa(FFA_MSG_SEND2, 0, 0, 0));
	unmap_buffers();
}

#define AS(sender, receiver) FFA_IDS(sender, receiver)

const struct attack sharing_attacks[] = {
	/* INVALID_PARAMETERS (-2), and NO_MEMORY (-3) where it is too much. */
	{"share-as-another", bend, OFFSET(header), VICTIM},
	{"share-with-itself", bend, OFFSET(access), FFA_ACCESS_WRITE << 16 | ATTACKER},
	{"share-with-a-stranger", bend, OFFSET(access), FFA_ACCESS_WRITE << 16 | 1},
	{"share-with-nobody", bend, OFFSET(access), FFA_ACCESS_WRITE << 16 | 0xFFFF},
	{"share-entries-outside", bend, OFFSET(header.access_offset), 0xFFFFFFF0},
	{"share-entries-in-the-header", bend, OFFSET(header.access_offset), 16},
	{"share-entries-without-number", bend, OFFSET(header.access_count), UINT32_MAX},
	{"share-entries-of-no-size", bend, OFFSET(header.access_size), 0},
	{"share-composite-outside", bend, OFFSET(access.composite_offset), 0xFFFFFFF0},
	{"share-composite-in-the-header", bend, OFFSET(access.composite_offset), 16},
	{"share-ranges-without-number", bend, OFFSET(composite.count), UINT32_MAX},
	{"share-pages-without-number", bend, OFFSET(composite.pages), UINT32_MAX},
	{"share-nothing", share_there, PAGE, 0},
	{"share-not-aligned", share_there, PAGE + 8, 1},
	{"share-beyond", share_there, MEMORY_END(0), 1},
	{"share-straddling", share_there, MEMORY_END(-4096), 2},
	{"share-top", share_there, 0xFFFFFFFFFFFFF000ull, 1},
	{"share-high", share_there, 0x8000000000000000ull, 1},
	{"share-apic", share_there, 0xFEE00000, 1},
	{"share-endlessly", share_there, PAGE, UINT32_MAX},
	{"lend-what-is-in-use", lend_what_is_in_use, 0, 0},
	{"read-what-is-lent", read_what_is_lent, 0, 0},
	{"write-what-is-lent", write_what_is_lent, 0, 0},
	{"execute-what-is-lent", execute_what_is_lent, 0, 0},
	{"lend-its-tables", lend_its_tables, 0, 0},
	{"offer-what-is-lent", offer_what_is_lent, 0, 0},
	{"handles-guessed", guess_handles, 0, 0},
	{"handle-of-others", use_handle_of_others, 0, 0},
	{"descriptions-begun", begin_descriptions, 0, 0},
	{"descriptions-changing", change_descriptions, 0, 0},
	{"lend-by-both", lend_by_both, 0, 0},
	/* DENIED (-6) what is not bound, BUSY (-4) who does not wait, INVALID_PARAMETERS in another's name.
	 */
	{"notify-unasked", notify, AS(ATTACKER, VICTIM), 0},
	{"notify-as-another", notify, AS(VICTIM, ATTACKER), 0},
	{"notify-a-stranger", notify, AS(ATTACKER, 1), 0},
	{"notify-no-vcpu", notify, AS(ATTACKER, VICTIM), 0xFFFF0001},
	{"request-unasked", request, AS(ATTACKER, VICTIM), 0},
	{"request-as-another", request, AS(VICTIM, ATTACKER), 0},
	{"request-as-the-framework", request, AS(ATTACKER, VICTIM), 0x80000000},
	{"send-unasked", send, VICTIM, 16},
	{"send-too-much", send, VICTIM, UINT32_MAX},
	{"send-to-a-stranger", send, 1, 16},
	{0},
};
