/*
 * FF-A between partitions: discovery, buffers, messages both ways, notifications, and what is left when a
 * partition or a vCPU ends. The caller is partition 1, its peers are 2 (all allowed) and 3 (no messages).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/call/ffa.h"
#include "hv/mem/pool.h"
#include "tests/unit/fake_partition.h"

#define ONE   0x3000u /* TX and RX in every partition */
#define OTHER 0x5000u
#define TEXT  "hello, neighbour"

static struct vcpu *const here = &fake.vcpu[0], *const there = &fake.peer[0].vcpu[0],
			  *const third = &fake.peer[1].vcpu[0];

static int set_up(void **state)
{
	(void)state;
	fake_create(MODE_PARA);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_destroy();
	return 0;
}

static struct fake_registers call(struct vcpu *vcpu, uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3,
				  uint64_t x4)
{
	return fake_call_on(vcpu, (struct fake_registers){{function, x1, x2, x3, x4}});
}

static void expect_success(struct fake_registers out)
{
	assert_int_equal(out.x[0], FFA_SUCCESS_32);
}

static void expect_error(struct fake_registers out, int32_t code)
{
	assert_int_equal(out.x[0], FFA_ERROR);
	assert_int_equal((int32_t)out.x[2], code);
}

/* The events a vCPU was sent. */
static uint64_t take_events(const struct vcpu *vcpu)
{
	return atomic_exchange(&vcpu->shared->events, 0);
}

/*
 * Discovery
 */

static void test_version(void **state)
{
	(void)state;
	assert_int_equal(call(here, FFA_VERSION, 0x10000, 0, 0, 0).x[0], 0x10001);
	assert_int_equal(call(here, FFA_VERSION, 0x10001, 0, 0, 0).x[0], 0x10001);
	assert_int_equal(call(here, FFA_VERSION, 1u << 31, 0, 0, 0).x[0], UINT32_MAX);
}

static void test_features(void **state)
{
	static const uint32_t known[] = {FFA_VERSION, FFA_RXTX_MAP_64, FFA_MSG_SEND2, FFA_CONSOLE_LOG_64,
					 FFA_ERROR,   FFA_SUCCESS_32,  FFA_INTERRUPT};
	static const uint32_t not_known[] = {
		0, 2, FFA_VERSION | SMCCC_64, PSCI_VERSION, 0x8400006A, 0x8400007D, 0x8400008F};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		expect_success(call(here, FFA_FEATURES, known[i], 0, 0, 0));
	for (unsigned i = 0; i < ARRAY_SIZE(not_known); i++)
		expect_error(call(here, FFA_FEATURES, not_known[i], 0, 0, 0), FFA_NOT_SUPPORTED);
	assert_int_equal(call(here, FFA_FEATURES, FFA_FEATURE_NPI, 0, 0, 0).x[2], BH_EVENT_NOTIFICATION);
}

static void test_ids(void **state)
{
	(void)state;
	assert_int_equal(call(here, FFA_ID_GET, 0, 0, 0, 0).x[2], 1);
	assert_int_equal(call(third, FFA_ID_GET, 0, 0, 0, 0).x[2], 3);
	assert_int_equal(call(here, FFA_SPM_ID_GET, 0, 0, 0, 0).x[2], 0);
	expect_success(call(here, FFA_YIELD, 0, 0, 0, 0));
}

static void map(struct vcpu *vcpu)
{
	expect_success(call(vcpu, FFA_RXTX_MAP_64, ONE, OTHER, 1, 0));
}

static void test_partition_info(void **state)
{
	static const struct ffa_partition_info expected[] = {
		{.id = 1, .contexts = FAKE_VCPUS, .properties = 0x10F},
		{.id = 2, .contexts = FAKE_PEER_VCPUS, .properties = 0x10F},
		{.id = 3, .contexts = FAKE_PEER_VCPUS, .properties = 0x108},
	};
	struct fake_registers count = {{FFA_PARTITION_INFO_GET, 0, 0, 0, 0, FFA_PARTITION_COUNT_ONLY}}, out;

	(void)state;
	_Static_assert(sizeof(expected[0]) == 24, "DEN0077A table 6.1");
	assert_int_equal(fake_call_on(here, count).x[2], 3);
	assert_int_equal(fake_call_on(third, count).x[2], 2); /* strangers do not show */
	expect_error(call(here, FFA_PARTITION_INFO_GET, 0, 0, 0, 0), FFA_DENIED);
	map(here);
	out = call(here, FFA_PARTITION_INFO_GET, 0, 0, 0, 0);
	expect_success(out);
	assert_int_equal(out.x[2], 3);
	assert_int_equal(out.x[3], 24);
	assert_memory_equal(fake.memory + OTHER, expected, sizeof(expected));
	expect_error(call(here, FFA_PARTITION_INFO_GET, 0, 0, 0, 0), FFA_BUSY);
	expect_success(call(here, FFA_RX_RELEASE, 0, 0, 0, 0));
	expect_success(call(here, FFA_PARTITION_INFO_GET, 0, 0, 0, 0));
	expect_error(call(here, FFA_PARTITION_INFO_GET, 0, 0, 1, 0), FFA_INVALID_PARAMETERS);
	count.x[5] = 2;
	expect_error(fake_call_on(here, count), FFA_INVALID_PARAMETERS);
}

static void test_buffers(void **state)
{
	static const uint64_t bad[][3] = {
		{ONE + 8, OTHER, 1},	   {ONE, OTHER + 8, 1}, {ONE, ONE, 1},
		{ONE, OTHER, 0},	   {ONE, OTHER, 2},	{FAKE_MEMORY_SIZE, OTHER, 1},
		{ONE, FAKE_MEMORY_SIZE, 1}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		expect_error(call(here, FFA_RXTX_MAP_32, bad[i][0], bad[i][1], bad[i][2], 0),
			     FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_RXTX_UNMAP, 0, 0, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_RX_RELEASE, 0, 0, 0, 0), FFA_DENIED);
	map(here);
	expect_error(call(here, FFA_RXTX_MAP_32, ONE, OTHER, 1, 0), FFA_DENIED);
	expect_error(call(here, FFA_RX_RELEASE, 0, 0, 0, 0), FFA_DENIED);
	expect_error(call(here, FFA_RX_RELEASE, 2, 0, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_RXTX_UNMAP, 2u << 16, 0, 0, 0), FFA_INVALID_PARAMETERS);
	expect_success(call(here, FFA_RXTX_UNMAP, 0, 0, 0, 0));
	map(here);
}

/*
 * Indirect messages
 */

static struct ffa_message *compose(struct vcpu *from, uint16_t to, uint32_t offset, uint32_t size)
{
	uint8_t *memory = from->partition->id ? fake.peer[from->partition->id - 1].memory : fake.memory;
	struct ffa_message *header = (struct ffa_message *)(memory + ONE);

	*header = (struct ffa_message){
		.offset = offset, .receiver = to, .sender = ffa_id(from->partition), .size = size};
	return header;
}

static struct fake_registers send(struct vcpu *from)
{
	return call(from, FFA_MSG_SEND2, 0, 0, 0, 0);
}

static void test_message(void **state)
{
	struct ffa_message *header, *received = (struct ffa_message *)(fake.peer[0].memory + OTHER);
	struct fake_registers out;

	(void)state;
	map(here);
	map(there);
	header = compose(here, 2, 32, sizeof(TEXT));
	memcpy((uint8_t *)header + 32, TEXT, sizeof(TEXT));
	expect_success(send(here));
	assert_int_equal(atomic_load(&there->shared->requests), REQUEST_MESSAGE);
	expect_error(send(here), FFA_BUSY); /* the first one is on its way */
	header->size = 4000;		    /* what changes behind the send does not arrive */
	ffa_take_message(there);
	assert_int_equal(received->size, sizeof(TEXT));
	assert_int_equal(received->sender, 1);
	assert_int_equal(received->receiver, 2);
	assert_string_equal((char *)received + 32, TEXT);
	assert_int_equal(take_events(there), 1ull << BH_EVENT_NOTIFICATION);
	ffa_take_message(there); /* asked twice: nothing new */
	assert_int_equal(take_events(there), 0);

	header->size = sizeof(TEXT);
	expect_error(send(here), FFA_BUSY); /* and now it is there */
	out = call(there, FFA_NOTIFICATION_GET, 2, FFA_GET_HYPERVISOR, 0, 0);
	assert_int_equal(out.x[7], FFA_FRAMEWORK_RX_FULL);
	assert_int_equal(call(there, FFA_NOTIFICATION_GET, 2, FFA_GET_HYPERVISOR, 0, 0).x[7], 0);
	expect_success(call(there, FFA_RX_RELEASE, 0, 0, 0, 0));
	expect_success(send(here));
}

static void test_whole_buffer(void **state)
{
	(void)state;
	map(here);
	map(there);
	memset(fake.memory + ONE, 0x5A, PAGE_SIZE);
	compose(here, 2, 20, PAGE_SIZE - 20);
	expect_success(send(here));
	ffa_take_message(there);
	assert_memory_equal(fake.memory + ONE, fake.peer[0].memory + OTHER, PAGE_SIZE);
}

static void test_message_errors(void **state)
{
	struct ffa_message *header;

	(void)state;
	expect_error(send(here), FFA_DENIED); /* no buffers */
	map(here);
	header = compose(here, 2, 20, 4);
	expect_error(send(here), FFA_DENIED); /* the receiver has none */
	map(there);
	expect_error(call(here, FFA_MSG_SEND2, 1u << 16, 0, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_MSG_SEND2, 0, 1, 0, 0), FFA_INVALID_PARAMETERS);
	header->flags = 1;
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	header = compose(here, 2, 20, 4);
	header->reserved = 1;
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	header = compose(here, 2, 20, 4);
	header->sender = 3;
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	compose(here, 2, 19, 4);
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	compose(here, 2, 4097, 0);
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	compose(here, 2, UINT32_MAX, 4);
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	compose(here, 2, 20, UINT32_MAX);
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	compose(here, 1, 20, 4); /* itself, nobody, one too many, no such right */
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	compose(here, 0, 20, 4);
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	compose(here, 4, 20, 4);
	expect_error(send(here), FFA_INVALID_PARAMETERS);
	compose(here, 3, 20, 4);
	expect_error(send(here), FFA_DENIED);
	compose(here, 2, 20, 4);
	expect_success(call(here, FFA_MSG_SEND2, 0, FFA_SEND_DELAY, 0, 0));
}

static void test_strangers(void **state)
{
	(void)state;
	map(third);
	map(there);
	compose(third, 2, 20, 4);
	expect_error(send(third), FFA_INVALID_PARAMETERS);
	expect_error(call(third, FFA_NOTIFICATION_BIND, FFA_IDS(2, 3), 0, 1, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(third, FFA_MSG_SEND_DIRECT_REQ_32, FFA_IDS(3, 2), 0, 0, 0), FFA_INVALID_PARAMETERS);
}

static void test_message_lost_with_the_buffers(void **state)
{
	(void)state;
	map(here);
	map(there);
	compose(here, 2, 20, 4);
	expect_success(send(here));
	expect_success(call(there, FFA_RXTX_UNMAP, 0, 0, 0, 0));
	ffa_take_message(there);
	assert_int_equal(take_events(there), 0);
}

/*
 * Notifications
 */

static struct fake_registers bind(struct vcpu *receiver, uint16_t sender, uint64_t flags, uint64_t bitmap)
{
	return call(receiver, FFA_NOTIFICATION_BIND, FFA_IDS(sender, ffa_id(receiver->partition)), flags,
		    (uint32_t)bitmap, bitmap >> 32);
}

static struct fake_registers unbind(struct vcpu *receiver, uint16_t sender, uint64_t bitmap)
{
	return call(receiver, FFA_NOTIFICATION_UNBIND, FFA_IDS(sender, ffa_id(receiver->partition)), 0,
		    (uint32_t)bitmap, bitmap >> 32);
}

static struct fake_registers set(struct vcpu *sender, uint16_t receiver, uint64_t flags, uint64_t bitmap)
{
	return call(sender, FFA_NOTIFICATION_SET, FFA_IDS(ffa_id(sender->partition), receiver), flags,
		    (uint32_t)bitmap, bitmap >> 32);
}

static uint64_t get(struct vcpu *receiver, uint64_t vcpu)
{
	struct fake_registers out = call(receiver, FFA_NOTIFICATION_GET,
					 vcpu << 16 | ffa_id(receiver->partition), FFA_GET_PARTITIONS, 0, 0);

	expect_success(out);
	return out.x[4] | out.x[5] << 32;
}

static void test_notification(void **state)
{
	const uint64_t bits = 1ull << 63 | 1;

	(void)state;
	expect_success(bind(there, 1, 0, bits));
	expect_success(set(here, 2, 0, 1ull << 63));
	assert_int_equal(take_events(there), 1ull << BH_EVENT_NOTIFICATION);
	expect_success(set(here, 2, FFA_NOTIFY_DELAY, 1ull << 63));
	assert_int_equal(take_events(there), 0); /* nothing new */
	expect_success(set(here, 2, 0, bits));
	assert_int_equal(take_events(there), 1ull << BH_EVENT_NOTIFICATION);
	expect_error(unbind(there, 1, 1), FFA_DENIED); /* it is pending */
	assert_int_equal(get(there, 1), bits);
	assert_int_equal(get(there, 0), 0);
	expect_success(unbind(there, 1, 1));
	expect_error(set(here, 2, 0, 1), FFA_DENIED);
	expect_error(set(here, 2, 0, bits), FFA_DENIED); /* all or nothing */
	assert_int_equal(get(there, 0), 0);
	expect_success(set(here, 2, 0, 1ull << 63));
}

static void test_notification_of_a_vcpu(void **state)
{
	const uint64_t to_second = 1u << FFA_NOTIFY_VCPU_SHIFT | FFA_NOTIFY_PER_VCPU;

	(void)state;
	expect_success(bind(there, 1, FFA_NOTIFY_PER_VCPU, 6));
	expect_error(set(here, 2, 0, 2), FFA_DENIED);
	expect_success(set(here, 2, to_second, 2));
	assert_int_equal(take_events(there), 0);
	assert_int_equal(take_events(there + 1), 1ull << BH_EVENT_NOTIFICATION);
	expect_success(set(here, 2, FFA_NOTIFY_PER_VCPU, 4));
	assert_int_equal(take_events(there), 1ull << BH_EVENT_NOTIFICATION);
	expect_error(unbind(there, 1, 2), FFA_DENIED);
	assert_int_equal(get(there, 0), 4);
	assert_int_equal(get(there, 1), 2);
	expect_success(unbind(there, 1, 6));
	expect_success(bind(there, 1, 0, 6));
	expect_error(set(here, 2, to_second, 2), FFA_DENIED);
}

static void test_binding_errors(void **state)
{
	(void)state;
	expect_success(bind(here, 2, 0, 1));
	expect_error(bind(here, 2, 0, 3), FFA_DENIED); /* bound already, by whomever */
	expect_error(bind(here, 3, 0, 1), FFA_DENIED);
	expect_error(unbind(here, 3, 1), FFA_DENIED);
	expect_error(unbind(here, 2, 3), FFA_DENIED);
	expect_error(bind(here, 2, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(bind(here, 2, 2, 2), FFA_INVALID_PARAMETERS);
	expect_error(bind(here, 1, 0, 2), FFA_INVALID_PARAMETERS);
	expect_error(bind(here, 9, 0, 2), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_NOTIFICATION_BIND, FFA_IDS(2, 3), 0, 2, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_NOTIFICATION_UNBIND, FFA_IDS(2, 1), 1, 1, 0), FFA_INVALID_PARAMETERS);
	fake.partition.ffa->rights[1] = CHANNEL_MESSAGE;
	expect_error(bind(here, 2, 0, 2), FFA_DENIED);
}

static void test_setting_errors(void **state)
{
	(void)state;
	expect_success(bind(there, 1, FFA_NOTIFY_PER_VCPU, 1));
	expect_error(set(here, 2, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(set(here, 1, 0, 1), FFA_INVALID_PARAMETERS);
	expect_error(set(here, 0, 0, 1), FFA_INVALID_PARAMETERS);
	expect_error(set(here, 2, 4, 1), FFA_INVALID_PARAMETERS);
	expect_error(set(here, 2, 2u << FFA_NOTIFY_VCPU_SHIFT | FFA_NOTIFY_PER_VCPU, 1),
		     FFA_INVALID_PARAMETERS);
	expect_error(set(here, 2, 1u << FFA_NOTIFY_VCPU_SHIFT, 1), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_NOTIFICATION_SET, FFA_IDS(3, 2), 0, 1, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_NOTIFICATION_GET, 2, 1, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_NOTIFICATION_GET, FAKE_VCPUS << 16 | 1, 1, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_NOTIFICATION_GET, 1, 16, 0, 0), FFA_INVALID_PARAMETERS);
}

/*
 * Direct messages. A hook is what other CPUs do while this one sleeps; a vCPU that nothing wakes is reset.
 */

static struct fake_registers seen;

static struct fake_registers ask(struct vcpu *client, uint32_t function)
{
	uint16_t id = ffa_id(client->partition);

	return fake_call_on(client,
			    (struct fake_registers){{function, FFA_IDS(id, id == 1 ? 2 : 1), 0,
						     0xF000000000000003, 4, 5, 6, 0xF000000000000007}});
}

static struct fake_registers respond(uint64_t ids, uint64_t x2)
{
	return fake_call_on(there, (struct fake_registers){{FFA_MSG_SEND_DIRECT_RESP_64, ids, x2, 30, 40, 50,
							    60, 0xA000000000000070}});
}

static struct ffa_vcpu *slot(const struct vcpu *vcpu)
{
	return &vcpu->partition->ffa->vcpu[vcpu->shared->index];
}

/* Stands for a vCPU that sleeps in MSG_WAIT. */
static void let_wait(const struct vcpu *vcpu)
{
	atomic_store(&slot(vcpu)->wait, FFA_WAITS_FOR_REQUEST);
}

/* The server wakes with the request and answers it: wrongly, then rightly. */
static void serve(struct vcpu *vcpu)
{
	if (vcpu != here)
		return;
	assert_int_equal(atomic_load(&slot(there)->wait), FFA_HAS_MESSAGE);
	assert_true(atomic_load(&there->shared->requests) & REQUEST_INTERRUPT);
	memcpy(seen.x, slot(there)->message, sizeof(seen.x));
	expect_error(call(there, FFA_MSG_WAIT, 0, 0, 0, 0), FFA_DENIED); /* not before the answer */
	expect_error(respond(FFA_IDS(2, 3), 0), FFA_INVALID_PARAMETERS);
	expect_error(respond(FFA_IDS(2, 1), 1), FFA_INVALID_PARAMETERS);
	(void)respond(FFA_IDS(2, 1), 0);
	assert_int_equal(fake.action, EXIT_LEAVE_NEXT); /* it waits for the next one */
}

static void test_direct(void **state)
{
	struct fake_registers out;

	(void)state;
	fake.wait_hook = serve;
	let_wait(there);
	out = ask(here, FFA_MSG_SEND_DIRECT_REQ_64);
	assert_int_equal(seen.x[0], FFA_MSG_SEND_DIRECT_REQ_64);
	assert_int_equal(seen.x[1], FFA_IDS(1, 2));
	assert_int_equal(seen.x[2], 0);
	assert_int_equal(seen.x[3], 0xF000000000000003);
	assert_int_equal(seen.x[7], 0xF000000000000007);
	assert_int_equal(out.x[0], FFA_MSG_SEND_DIRECT_RESP_64);
	assert_int_equal(out.x[1], FFA_IDS(2, 1));
	assert_int_equal(out.x[2], 0);
	assert_int_equal(out.x[3], 30);
	assert_int_equal(out.x[4], 40);
	assert_int_equal(out.x[7], 0xA000000000000070);
	let_wait(there);
	(void)ask(here, FFA_MSG_SEND_DIRECT_REQ_32);
	assert_int_equal(seen.x[0], FFA_MSG_SEND_DIRECT_REQ_32);
	assert_int_equal(seen.x[3], 3);
	assert_int_equal(seen.x[7], 7);
}

static void test_direct_errors(void **state)
{
	(void)state;
	expect_error(ask(here, FFA_MSG_SEND_DIRECT_REQ_32), FFA_BUSY);
	let_wait(there + 1);
	expect_error(call(here, FFA_MSG_SEND_DIRECT_REQ_32, FFA_IDS(2, 1), 0, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_MSG_SEND_DIRECT_REQ_32, FFA_IDS(1, 1), 0, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_MSG_SEND_DIRECT_REQ_32, FFA_IDS(1, 0), 0, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_MSG_SEND_DIRECT_REQ_32, FFA_IDS(1, 2), 1u << 31, 0, 0),
		     FFA_INVALID_PARAMETERS);
	expect_error(call(here, FFA_MSG_SEND_DIRECT_REQ_32, FFA_IDS(1, 3), 0, 0, 0), FFA_DENIED);
	expect_error(respond(FFA_IDS(2, 1), 0), FFA_DENIED); /* it serves nobody */
	expect_error(call(here, FFA_MSG_WAIT, 0, 2, 0, 0), FFA_INVALID_PARAMETERS);
	atomic_store(&fake.all[1].state, PARTITION_OFF);
	expect_error(ask(here, FFA_MSG_SEND_DIRECT_REQ_32), FFA_ABORTED);
}

static void ask_meanwhile(struct vcpu *vcpu)
{
	if (vcpu == there && atomic_load(&slot(there)->wait) == FFA_WAITS_FOR_REQUEST)
		(void)ask(here, FFA_MSG_SEND_DIRECT_REQ_64);
}

/* The request reaches a server in MSG_WAIT, whose client then ends: nobody hears the answer. */
static void test_client_ends(void **state)
{
	struct fake_registers out;

	(void)state;
	fake.wait_hook = ask_meanwhile;
	out = call(there, FFA_MSG_WAIT, 0, 0, 0, 0);
	assert_int_equal(fake.action, EXIT_NEXT);
	assert_int_equal(out.x[0], FFA_MSG_SEND_DIRECT_REQ_64);
	assert_int_equal(out.x[1], FFA_IDS(1, 2));
	assert_int_equal(out.x[3], 0xF000000000000003); /* whole, though MSG_WAIT is a 32-bit call */
	assert_int_equal(out.x[7], 0xF000000000000007);
	expect_error(respond(FFA_IDS(2, 1), 0), FFA_ABORTED);
	expect_error(respond(FFA_IDS(2, 1), 0), FFA_DENIED);
}

static void end_server(struct vcpu *vcpu)
{
	if (vcpu == here)
		vendor_vcpu_reset(there);
}

static void test_server_ends(void **state)
{
	(void)state;
	fake.wait_hook = end_server;
	let_wait(there);
	expect_error(ask(here, FFA_MSG_SEND_DIRECT_REQ_32), FFA_ABORTED);
	assert_true(atomic_load(&here->shared->requests) & REQUEST_INTERRUPT);
	expect_error(ask(here, FFA_MSG_SEND_DIRECT_REQ_32), FFA_BUSY);
}

static void raise_event(struct vcpu *vcpu)
{
	vcpu_raise_event(vcpu->shared, 7);
}

static void test_wait_ends_by_event(void **state)
{
	struct fake_registers out;

	(void)state;
	assert_int_equal(call(here, VENDOR_EVENT_PAGE, ONE, 48, 0, 0).x[0], 0);
	fake.wait_hook = raise_event;
	out = call(here, FFA_MSG_WAIT, 0, 0, 0, 0);
	assert_int_equal(out.x[0], FFA_INTERRUPT);
	assert_int_equal(out.x[1], FFA_IDS(1, 0));
	let_wait(there);
	expect_error(ask(there, FFA_MSG_SEND_DIRECT_REQ_32), FFA_BUSY); /* nobody waits any more */
}

static void test_wait_releases_the_buffer(void **state)
{
	(void)state;
	map(here);
	assert_int_equal(call(here, VENDOR_EVENT_PAGE, ONE, 48, 0, 0).x[0], 0);
	fake.wait_hook = raise_event;
	expect_success(call(here, FFA_PARTITION_INFO_GET, 0, 0, 0, 0));
	assert_int_equal(call(here, FFA_MSG_WAIT, 0, FFA_WAIT_RETAIN_RX, 0, 0).x[0], FFA_INTERRUPT);
	expect_error(call(here, FFA_PARTITION_INFO_GET, 0, 0, 0, 0), FFA_BUSY);
	assert_int_equal(call(here, FFA_MSG_WAIT, 0, 0, 0, 0).x[0], FFA_INTERRUPT);
	expect_success(call(here, FFA_PARTITION_INFO_GET, 0, 0, 0, 0));
}

/*
 * Lives
 */

static void test_partition_ends(void **state)
{
	(void)state;
	map(here);
	expect_success(bind(here, 2, 0, 1));
	expect_success(bind(here, 3, FFA_NOTIFY_PER_VCPU, 2));
	expect_success(set(there, 1, 0, 1));
	expect_success(set(third, 1, FFA_NOTIFY_PER_VCPU, 2));
	(void)take_events(here);
	for (unsigned i = 0; i < FAKE_VCPUS; i++)
		vendor_vcpu_reset(&fake.vcpu[i]);
	call_partition_reset(&fake.partition);
	calls_tell_others(&fake.partition);
	assert_int_equal(take_events(there), 1ull << BH_EVENT_PEER);
	assert_int_equal(take_events(third), 1ull << BH_EVENT_PEER);
	assert_int_equal(take_events(here), 0);
	assert_int_equal(get(here, 0), 0);
	expect_error(set(there, 1, 0, 1), FFA_DENIED);
	expect_success(bind(here, 3, 0, 3));
	map(here);
}

static void test_peers_that_are_off_hear_nothing(void **state)
{
	(void)state;
	atomic_store(&fake.all[1].state, PARTITION_OFF);
	call_partition_reset(&fake.partition);
	calls_tell_others(&fake.partition);
	assert_int_equal(take_events(there), 0);
	assert_int_equal(take_events(third), 1ull << BH_EVENT_PEER);
}

static void test_no_memory(void **state)
{
	(void)state;
	for (unsigned left = 0; left < 3; left++) { /* nothing, all but the stand-in, all but the inbox */
		while (pool_used() < pool_size() - left)
			assert_non_null(pool_allocate(1));
		assert_int_equal(calls_create(), ERR_NO_MEMORY);
		fake_create(MODE_PARA);
	}
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_version),
		CASE(test_features),
		CASE(test_ids),
		CASE(test_partition_info),
		CASE(test_buffers),
		CASE(test_message),
		CASE(test_whole_buffer),
		CASE(test_message_errors),
		CASE(test_strangers),
		CASE(test_message_lost_with_the_buffers),
		CASE(test_notification),
		CASE(test_notification_of_a_vcpu),
		CASE(test_binding_errors),
		CASE(test_setting_errors),
		CASE(test_direct),
		CASE(test_direct_errors),
		CASE(test_client_ends),
		CASE(test_server_ends),
		CASE(test_wait_ends_by_event),
		CASE(test_wait_releases_the_buffer),
		CASE(test_partition_ends),
		CASE(test_peers_that_are_off_hear_nothing),
		CASE(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
