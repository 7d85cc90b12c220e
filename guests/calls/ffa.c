/*
 * FF-A (DEN0077A 1.1): discovery, buffers, messages, notifications, direct requests. Where the config gives
 * peers, partition 2 is pong, which may do all with this one; partition 3 is one to which its channel allows
 * no messages; partition 4 has no channel here.
 */
#include "../common/text.h"
#include "../common/x86.h"
#include "../pong/pong.h"
#include "peers.h"

#define PING 7u

#define TX (uint64_t) bh_tx
#define RX (uint64_t) bh_rx

#define INVALID(...) .x = {__VA_ARGS__}, .expected = FFA_INVALID_PARAMETERS

static const struct row version[] = {
	{.what = "1.1", .x = {FFA_VERSION_1_1}, .expected = FFA_VERSION_1_1},
	{.what = "another", .x = {0x20000}, .expected = FFA_VERSION_1_1},
	{.what = "bit 31", .x = {FFA_VERSION_RESERVED}, .expected = FFA_NOT_SUPPORTED},
};

#define NOT_THERE(function)                                                                                  \
	{                                                                                                    \
		.what = "a function that is not there", .x = {function}, .expected = FFA_NOT_SUPPORTED       \
	}
static const struct row features[] = {
	{.what = "FFA_MSG_SEND2", .x = {FFA_MSG_SEND2}},
	{.what = "FFA_RXTX_MAP 64", .x = {FFA_RXTX_MAP_64}},
	{.what = "FFA_CONSOLE_LOG", .x = {FFA_CONSOLE_LOG_32}},
	{.what = "FFA_ERROR", .x = {FFA_ERROR}},
	{.what = "FFA_SUCCESS", .x = {FFA_SUCCESS_32}},
	{.what = "FFA_INTERRUPT", .x = {FFA_INTERRUPT}},
	{.what = "FFA_MEM_RETRIEVE_RESP", .x = {FFA_MEM_RETRIEVE_RESP}},
	{.what = "FFA_MEM_FRAG_RX", .x = {FFA_MEM_FRAG_RX}},
	{.what = "the notification interrupt",
	 .x = {FFA_FEATURE_NPI},
	 .flags = ROW_COMPARE,
	 .result = {0, BH_EVENT_NOTIFICATION, 0}},
	{.what = "the schedule receiver interrupt", .x = {2}, .expected = FFA_NOT_SUPPORTED},
	NOT_THERE(0x8400007D), /* NOTIFICATION_BITMAP_CREATE */
	NOT_THERE(FFA_MSG_SEND2 | SMCCC_64),
	NOT_THERE(PSCI_VERSION),
};

static const struct row own_id[] = {{.what = "plain", .flags = ROW_COMPARE, .result = {0, SELF, 0}}};
static const struct row spm_id[] = {
	{.what = "plain", .flags = ROW_COMPARE, .result = {0, FFA_HYPERVISOR_ID, 0}}};
static const struct row yield[] = {{.what = "plain", .flags = ROW_COMPARE}};

/* Before there are buffers. */
static const struct row info_get[] = {
	{.what = "without buffers", .expected = FFA_DENIED},
	{.what = "a UUID", INVALID(1)},
	{.what = "a UUID's end", INVALID(0, 0, 0, 1)},
	{.what = "a reserved flag", INVALID(0, 0, 0, 0, 2)},
	{.what = "the count alone", .x = {0, 0, 0, 0, FFA_PARTITION_COUNT_ONLY}},
};

static const struct row map[] = {
	{.what = "TX misaligned", INVALID(TX + 8, RX, 1)},
	{.what = "RX misaligned", INVALID(TX, RX + 8, 1)},
	{.what = "TX is no memory", INVALID(OUTSIDE, RX, 1)},
	{.what = "RX is no memory", INVALID(TX, OUTSIDE, 1)},
	{.what = "one page for both", INVALID(TX, TX, 1)},
	{.what = "no pages", INVALID(TX, RX, 0)},
	{.what = "two pages", INVALID(TX, RX, 2)},
	{.what = "a reserved bit", INVALID(TX, RX, 1u << 6 | 1)},
};

static const struct row unmap[] = {
	{.what = "none", INVALID(0)},
	{.what = "another's", INVALID(PEER << 16)},
};

static const struct row release[] = {
	{.what = "not owned", .expected = FFA_DENIED},
	{.what = "another's", INVALID(PEER)},
};

static const struct row send2[] = {{.what = "without buffers", .expected = FFA_DENIED}};

static const struct row wait[] = {
	{.what = "a reserved flag", INVALID(0, 2)},
};

static const struct row request[] = {
	{.what = "to nobody", INVALID(FFA_IDS(SELF, NOBODY))},
	{.what = "to itself", INVALID(FFA_IDS(SELF, SELF))},
	{.what = "to the hypervisor", INVALID(FFA_IDS(SELF, FFA_HYPERVISOR_ID))},
	{.what = "in another's name", INVALID(FFA_IDS(NOBODY, PEER))},
	{.what = "far ids", INVALID(1ull << 32 | FFA_IDS(SELF, PEER)), .flags = ROW_ONLY_64},
};

static const struct row response[] = {
	{.what = "without a request", .x = {FFA_IDS(SELF, PEER)}, .expected = FFA_DENIED}};

static const struct row bind[] = {
	{.what = "nobody", INVALID(FFA_IDS(NOBODY, SELF), 0, 1)},
	{.what = "itself", INVALID(FFA_IDS(SELF, SELF), 0, 1)},
	{.what = "for another", INVALID(FFA_IDS(PEER, NOBODY), 0, 1)},
};

static const struct row set[] = {
	{.what = "nobody", INVALID(FFA_IDS(SELF, NOBODY), 0, 1)},
	{.what = "in another's name", INVALID(FFA_IDS(NOBODY, PEER), 0, 1)},
};

static const struct row get[] = {
	{.what = "another's", INVALID(NOBODY)},
	{.what = "no such vCPU", INVALID(NOBODY << 16 | SELF)},
	{.what = "a reserved flag", INVALID(SELF, 1u << 4)},
};

#define FFA(name, forms, results, rows)                                                                      \
	{                                                                                                    \
		"FFA_" #name, FFA_##name, forms, FAMILY_FFA, results, 4, ROWS(rows)                          \
	}
#define BOTH(name, results, rows)                                                                            \
	{                                                                                                    \
		"FFA_" #name, FFA_##name##_32, FORM_BOTH, FAMILY_FFA, results, 4, ROWS(rows)                 \
	}
enum { INFO_GET, MAP, UNMAP, RELEASE, SEND2, WAIT, REQUEST, RESPONSE, BIND, UNBIND, SET, GET, FURTHER };
static const struct call calls[] = {
	[INFO_GET] = FFA(PARTITION_INFO_GET, FORM_32, 4, info_get),
	[MAP] = BOTH(RXTX_MAP, 4, map),
	[UNMAP] = FFA(RXTX_UNMAP, FORM_32, 4, unmap),
	[RELEASE] = FFA(RX_RELEASE, FORM_32, 4, release),
	[SEND2] = FFA(MSG_SEND2, FORM_32, 4, send2),
	[WAIT] = FFA(MSG_WAIT, FORM_32, 8, wait),
	[REQUEST] = BOTH(MSG_SEND_DIRECT_REQ, 8, request),
	[RESPONSE] = BOTH(MSG_SEND_DIRECT_RESP, 8, response),
	[BIND] = FFA(NOTIFICATION_BIND, FORM_32, 4, bind),
	[UNBIND] = FFA(NOTIFICATION_UNBIND, FORM_32, 4, bind),
	[SET] = FFA(NOTIFICATION_SET, FORM_32, 4, set),
	[GET] = FFA(NOTIFICATION_GET, FORM_32, 8, get),
	[FURTHER] = {"FFA_VERSION", FFA_VERSION, FORM_32, FAMILY_SMCCC, 1, 1, ROWS(version)},
	FFA(FEATURES, FORM_32, 4, features),
	FFA(ID_GET, FORM_32, 4, own_id),
	FFA(SPM_ID_GET, FORM_32, 4, spm_id),
	FFA(YIELD, FORM_32, 4, yield),
};

/* In its 32-bit form. */
#define REFUSED(call, words, code, ...) CHECK_ROW(&calls[call], 0, words, code, 0, __VA_ARGS__)
#define DONE(call, words, ...)		CHECK_ROW(&calls[call], 0, words, 0, ROW_ONCE, __VA_ARGS__)

static void check_buffers(void)
{
	static const struct row wide = {.what = "in 64 bits", .x = {TX, RX, 1}, .flags = ROW_ONCE};
	const struct ffa_partition_info *const list = (const struct ffa_partition_info *)RX;

	check_row(&calls[MAP], SMCCC_64, &wide, NULL);
	DONE(UNMAP, "plain", 0);
	DONE(MAP, "in 32 bits", TX, RX, 1);
	REFUSED(MAP, "again", FFA_DENIED, TX, RX, 1);
	REFUSED(UNMAP, "another's, with buffers", FFA_INVALID_PARAMETERS, PEER << 16);
	REFUSED(RELEASE, "not owned, with buffers", FFA_DENIED, 0);
	DONE(INFO_GET, "all", 0);
	expect("INFO_GET, own id", list[0].id, SELF);
	REFUSED(INFO_GET, "RX is full", FFA_BUSY, 0);
	DONE(RELEASE, "plain", 0);
}

static void put_header(struct ffa_message message)
{
	memcpy(bh_tx, &message, sizeof(message));
}

/* Wrong headers. Whoever is no peer is told so before the rest is looked at. */
static void check_headers(void)
{
	const uint32_t peer = given.peers ? PEER : NOBODY;

	put_header((struct ffa_message){.offset = 20, .receiver = NOBODY, .sender = SELF, .size = 4});
	REFUSED(SEND2, "to nobody", FFA_INVALID_PARAMETERS, 0);
	put_header((struct ffa_message){.offset = 20, .receiver = SELF, .sender = SELF, .size = 4});
	REFUSED(SEND2, "to itself", FFA_INVALID_PARAMETERS, 0);
	put_header((struct ffa_message){.offset = 20, .receiver = (uint16_t)peer, .sender = PEER, .size = 4});
	REFUSED(SEND2, "in another's name", FFA_INVALID_PARAMETERS, 0);
	put_header(
		(struct ffa_message){.flags = 1, .offset = 20, .receiver = (uint16_t)peer, .sender = SELF});
	REFUSED(SEND2, "a flag in the header", FFA_INVALID_PARAMETERS, 0);
	put_header((struct ffa_message){
		.reserved = 1, .offset = 20, .receiver = (uint16_t)peer, .sender = SELF});
	REFUSED(SEND2, "a reserved word", FFA_INVALID_PARAMETERS, 0);
	put_header((struct ffa_message){.offset = 19, .receiver = (uint16_t)peer, .sender = SELF, .size = 4});
	REFUSED(SEND2, "the payload in the header", FFA_INVALID_PARAMETERS, 0);
	put_header((struct ffa_message){
		.offset = 20, .receiver = (uint16_t)peer, .sender = SELF, .size = PAGE - 19});
	REFUSED(SEND2, "the payload beyond the buffer", FFA_INVALID_PARAMETERS, 0);
	put_header((struct ffa_message){
		.offset = UINT32_MAX, .receiver = (uint16_t)peer, .sender = SELF, .size = 4});
	REFUSED(SEND2, "the payload far away", FFA_INVALID_PARAMETERS, 0);
	put_header((struct ffa_message){.offset = 20, .receiver = (uint16_t)peer, .sender = SELF, .size = 4});
	REFUSED(SEND2, "a reserved flag", FFA_INVALID_PARAMETERS, 0, 1);
	REFUSED(SEND2, "a forwarder", FFA_INVALID_PARAMETERS, 1u << 16, 0);
}

/* An event ends MSG_WAIT though IF = 0. */
static void check_wait(void)
{
	const struct row interrupted = {.what = "an event comes",
					.x = {0, FFA_WAIT_RETAIN_RX},
					.expected = FFA_INTERRUPT,
					.flags = ROW_COMPARE,
					.result = {FFA_IDS(SELF, 0), 0, 0}};

	interrupts_off();
	(void)bh_ipi(0, PING);
	check_row(&calls[WAIT], 0, &interrupted, NULL);
	interrupts_on();
	bh_wait_for(PING);
}

/*
 * With peers
 */

/* pong answers with the first word plus 1. It may be on its way to MSG_WAIT still. */
static void check_direct(uint32_t form)
{
	const uint64_t ones = form ? UINT64_MAX : UINT32_MAX;
	const struct row ask = {.what = "answered",
				.x = {FFA_IDS(SELF, PEER), 0, ones - 1, ones, 5, 6, 7},
				.expected = FFA_MSG_SEND_DIRECT_RESP_64,
				.flags = ROW_ONCE | ROW_COMPARE,
				.result = {FFA_IDS(PEER, SELF), 0, ones}};
	struct bh_direct direct = {.peer = PEER};
	uint64_t x[8];

	while (bh_direct_request(&direct) == FFA_BUSY)
		spin_hint();
	check_row(&calls[REQUEST], form, &ask, x);
	check(x[4] == ones && x[5] == 5 && x[6] == 6 && x[7] == 7, "direct response, words");
}

static void check_message(void)
{
	static const uint8_t greeting[] = {'h', 'e', 'l', 'l', 'o'};

	put_header((struct ffa_message){
		.offset = 24, .receiver = PEER, .sender = SELF, .size = sizeof(greeting)});
	memcpy(bh_tx + 24, greeting, sizeof(greeting));
	DONE(SEND2, "a message", 0);
	bh_wait_for(BH_EVENT_NOTIFICATION);
	DONE(GET, "of a message", SELF, FFA_GET_HYPERVISOR);
	const struct ffa_message *const header = (const struct ffa_message *)RX;
	expect("sender of the echo", header->sender, PEER);
	expect("size of the echo", header->size, sizeof(greeting));
	expect("place of the echo", header->offset, sizeof(*header));
	check(memcmp(header + 1, greeting, sizeof(greeting)) == 0, "text of the echo");
	DONE(RELEASE, "after a message", 0);
}

static void check_bindings(void)
{
	REFUSED(BIND, "no bits", FFA_INVALID_PARAMETERS, FFA_IDS(PEER, SELF));
	REFUSED(BIND, "a reserved flag", FFA_INVALID_PARAMETERS, FFA_IDS(PEER, SELF), 2, 1);
	DONE(BIND, "two bits", FFA_IDS(PEER, SELF), 0, 3);
	DONE(BIND, "of single vCPUs", FFA_IDS(PEER, SELF), FFA_NOTIFY_PER_VCPU, 0, 1);
	REFUSED(BIND, "bound already", FFA_DENIED, FFA_IDS(PEER, SELF), 0, 2);
	REFUSED(BIND, "to another, bound already", FFA_DENIED, FFA_IDS(MUTE, SELF), 0, 2);
	REFUSED(UNBIND, "not bound", FFA_DENIED, FFA_IDS(PEER, SELF), 0, 7);
	REFUSED(UNBIND, "bound to another", FFA_DENIED, FFA_IDS(MUTE, SELF), 0, 2);
	REFUSED(UNBIND, "no bits", FFA_INVALID_PARAMETERS, FFA_IDS(PEER, SELF));
	DONE(UNBIND, "one of them", FFA_IDS(PEER, SELF), 0, 2);
	DONE(UNBIND, "of single vCPUs", FFA_IDS(PEER, SELF), 0, 0, 1);
}

/* pong sets whatever is set at it here, too. */
static void check_notifications(void)
{
	REFUSED(SET, "no bits", FFA_INVALID_PARAMETERS, FFA_IDS(SELF, PEER));
	REFUSED(SET, "a reserved flag", FFA_INVALID_PARAMETERS, FFA_IDS(SELF, PEER), 1u << 2, 1);
	REFUSED(SET, "no such vCPU", FFA_INVALID_PARAMETERS, FFA_IDS(SELF, PEER), NOBODY << 16 | 1, 1);
	REFUSED(SET, "a vCPU, of all", FFA_INVALID_PARAMETERS, FFA_IDS(SELF, PEER), 1u << 16, 1);
	REFUSED(SET, "of another kind", FFA_DENIED, FFA_IDS(SELF, PEER), 1, 1);
	REFUSED(SET, "not bound", FFA_DENIED, FFA_IDS(SELF, MUTE), 0, 1);
	DONE(SET, "plain", FFA_IDS(SELF, PEER), 0, 1);
	bh_wait_for(BH_EVENT_NOTIFICATION);
	REFUSED(UNBIND, "pending", FFA_DENIED, FFA_IDS(PEER, SELF), 0, 1);
	expect("notification that came back", bh_notifications(), 1);
	expect("and is taken", bh_notifications(), 0);
	DONE(SET, "delayed", FFA_IDS(SELF, PEER), FFA_NOTIFY_DELAY, 1);
	bh_wait_for(BH_EVENT_NOTIFICATION);
	DONE(GET, "from partitions", SELF, FFA_GET_PARTITIONS);
	DONE(GET, "of all kinds", SELF,
	     FFA_GET_SECURE | FFA_GET_PARTITIONS | FFA_GET_SPM | FFA_GET_HYPERVISOR);
	DONE(UNBIND, "the last", FFA_IDS(PEER, SELF), 0, 1);
}

/* Its only vCPU has asked and waits for the answer: it takes no request, and nor does this one take a second.
 */
static void check_serving(void)
{
	const struct row ids = {.what = "to another than the asker", INVALID(FFA_IDS(SELF, NOBODY))};
	const struct row word = {.what = "a reserved word", INVALID(FFA_IDS(SELF, PEER), 1)};

	REFUSED(WAIT, "a request is not answered", FFA_DENIED, 0);
	REFUSED(REQUEST, "nobody waits there", FFA_BUSY, FFA_IDS(SELF, PEER));
	put_header((struct ffa_message){.offset = 20, .receiver = PEER, .sender = SELF, .size = 4});
	DONE(SEND2, "nobody reads it there", 0, FFA_SEND_DELAY);
	REFUSED(SEND2, "RX is full there", FFA_BUSY, 0);
	for (uint32_t form = 0; form <= SMCCC_64; form += SMCCC_64) {
		check_row(&calls[RESPONSE], form, &ids, NULL);
		check_row(&calls[RESPONSE], form, &word, NULL);
	}
}

static void wait_for_bits(uint64_t bits)
{
	uint64_t came;

	while ((came = bh_notifications()) == 0)
		bh_wait_for(BH_EVENT_NOTIFICATION);
	expect("notifications", came, bits);
}

/* Of the message in check_serving(). */
static void wait_for_echo(void)
{
	uint16_t sender;
	uint8_t text[4];
	int size;

	while ((size = bh_message_receive(&sender, text, sizeof(text))) == FFA_NO_DATA)
		bh_wait_for(BH_EVENT_NOTIFICATION);
	expect("size of the late echo", (uint64_t)size, sizeof(text));
}

/* pong asks; the answer waits for the next request, which an event ends. Notification 63 comes back once the
 * answer was there. */
static void check_server(uint32_t form)
{
	const struct row asked = {.what = form ? "a request comes" : "a request comes again",
				  .expected = FFA_MSG_SEND_DIRECT_REQ_64,
				  .flags = ROW_ONCE | ROW_COMPARE,
				  .result = {FFA_IDS(PEER, SELF), 0, 1}};
	const struct row answer = {.what = "the answer, and an event comes",
				   .x = {FFA_IDS(SELF, PEER), 0, 2, 3, 4, 5, 6},
				   .expected = FFA_INTERRUPT,
				   .flags = ROW_ONCE | ROW_COMPARE,
				   .result = {FFA_IDS(SELF, 0), 0, 0}};
	uint64_t x[8];

	expect("ask me", (uint64_t)bh_notification_set(PEER, PONG_ASK_ME), 0);
	bh_console_flush(); /* the line of this row must find room: nothing wakes who waits for that now */
	interrupts_off();
	bh_event_page()->mask = UINT64_MAX; /* the request alone shall end the wait */
	check_row(&calls[WAIT], 0, &asked, x);
	bh_event_page()->mask = 0;
	interrupts_on();
	check(x[5] == 3 && x[6] == 4 && x[7] == 5, "a request's words");
	if (form) {
		check_serving();
		check_borrowing(x[4]);
	}
	interrupts_off();
	(void)bh_ipi(0, PING);
	check_row(&calls[RESPONSE], form, &answer, NULL);
	interrupts_on();
	bh_wait_for(PING);
	wait_for_bits(PONG_ASK_ME);
	if (form)
		wait_for_echo();
}

/* What the channel does not allow, and whom no channel joins. */
static void check_rights(void)
{
	put_header((struct ffa_message){.offset = 20, .receiver = MUTE, .sender = SELF, .size = 4});
	REFUSED(SEND2, "no right", FFA_DENIED, 0);
	put_header((struct ffa_message){.offset = 20, .receiver = STRANGER, .sender = SELF, .size = 4});
	REFUSED(SEND2, "to a stranger", FFA_INVALID_PARAMETERS, 0);
	REFUSED(REQUEST, "no right", FFA_DENIED, FFA_IDS(SELF, MUTE));
	REFUSED(REQUEST, "to a stranger", FFA_INVALID_PARAMETERS, FFA_IDS(SELF, STRANGER));
	REFUSED(BIND, "to a stranger", FFA_INVALID_PARAMETERS, FFA_IDS(STRANGER, SELF), 0, 1);
	REFUSED(SET, "at a stranger", FFA_INVALID_PARAMETERS, FFA_IDS(SELF, STRANGER), 0, 1);
}

/* The peer is off: nobody waits for it, and nothing of it is left. */
static void check_absence(void)
{
	expect("stop", (uint64_t)bh_manage_stop(PEER), 0);
	wait_until(PEER, 0);
	put_header((struct ffa_message){.offset = 20, .receiver = PEER, .sender = SELF, .size = 4});
	REFUSED(REQUEST, "one that is off", FFA_ABORTED, FFA_IDS(SELF, PEER));
	REFUSED(SEND2, "to one without buffers", FFA_DENIED, 0);
	REFUSED(SET, "at one that has bound nothing", FFA_DENIED, FFA_IDS(SELF, PEER), 0, 1);
}

static void check_peers(void)
{
	check_direct(0);
	check_direct(SMCCC_64);
	check_message();
	check_bindings();
	check_notifications();
	expect("ask me, bound", (uint64_t)bh_notification_bind(PEER, PONG_ASK_ME), 0);
	check_server(SMCCC_64);
	check_server(0);
	check_rights();
	check_owning();
	if (given.manage)
		check_absence();
}

void check_ffa(void)
{
	check_calls(calls, sizeof(calls) / sizeof(calls[0]));
	check_memory();
	check_buffers();
	check_headers();
	check_wait();
	if (given.peers)
		check_peers();
	DONE(UNMAP, "at the end", 0);
}
