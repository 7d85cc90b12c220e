/*
 * Other partitions: who they are, messages, notifications. The register layouts are those of docs/abi.md.
 */
#include "../common/text.h"
#include "../common/x86.h"
#include "internal.h"

#define PAGE_SIZE 4096

uint8_t bh_tx[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
uint8_t bh_rx[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static bool mapped;
static uint16_t own_id;

/* An FF-A call answers FFA_SUCCESS, or FFA_ERROR with the code in x2; an unknown call -1 like every other. */
int bh_ffa_call(uint64_t x[8])
{
	bh_call_registers(x);
	const uint32_t answer = (uint32_t)x[0] & ~SMCCC_64;
	if (answer == FFA_SUCCESS_32)
		return 0;
	return answer == FFA_ERROR ? (int)x[2] : (int)x[0];
}

uint16_t bh_own_id(void)
{
	if (!own_id) {
		uint64_t x[8] = {FFA_ID_GET};
		(void)bh_ffa_call(x); /* never refused */
		own_id = (uint16_t)x[2];
	}
	return own_id;
}

int bh_ffa_feature(uint32_t function)
{
	uint64_t x[8] = {FFA_FEATURES, function};
	return bh_ffa_call(x);
}

int bh_map_buffers(void)
{
	uint64_t x[8] = {FFA_RXTX_MAP_64, (uint64_t)bh_tx, (uint64_t)bh_rx, 1};
	if (mapped)
		return 0;
	const int result = bh_ffa_call(x);
	mapped = result == 0 || result == FFA_DENIED;
	return mapped ? 0 : result;
}

void bh_release_buffer(void)
{
	uint64_t x[8] = {FFA_RX_RELEASE};
	(void)bh_ffa_call(x); /* only called when the buffer is ours */
}

int bh_partitions(struct ffa_partition_info *list, uint32_t room)
{
	uint64_t x[8] = {FFA_PARTITION_INFO_GET};
	int result = bh_map_buffers();
	if (result == 0)
		result = bh_ffa_call(x);
	if (result < 0)
		return result;
	const uint32_t count = (uint32_t)x[2];
	memcpy(list, bh_rx, (count < room ? count : room) * sizeof(*list));
	bh_release_buffer();
	return (int)count;
}

int bh_message_send(uint16_t peer, const void *bytes, uint32_t size)
{
	struct ffa_message *header = (struct ffa_message *)bh_tx;
	uint64_t x[8] = {FFA_MSG_SEND2};
	const int result = bh_map_buffers();
	if (result < 0)
		return result;
	if (size > BH_MESSAGE_SIZE)
		return FFA_INVALID_PARAMETERS;
	*header = (struct ffa_message){
		.offset = sizeof(*header), .receiver = peer, .sender = bh_own_id(), .size = size};
	memcpy(header + 1, bytes, size);
	return bh_ffa_call(x);
}

static bool message_came(void)
{
	uint64_t x[8] = {FFA_NOTIFICATION_GET, bh_own_id(), FFA_GET_HYPERVISOR};
	return bh_map_buffers() == 0 && bh_ffa_call(x) == 0 && (x[7] & FFA_FRAMEWORK_RX_FULL);
}

int bh_message_receive(uint16_t *peer, void *bytes, uint32_t room)
{
	const struct ffa_message *header = (const struct ffa_message *)bh_rx;
	if (!message_came())
		return FFA_NO_DATA;
	const uint32_t size = header->size;
	*peer = header->sender;
	memcpy(bytes, bh_rx + header->offset, size < room ? size : room);
	bh_release_buffer();
	return (int)size;
}

/* x1 the two ids, x2 flags, x3 and x4 the bits. */
static int notification_call(uint32_t function, uint16_t sender, uint16_t receiver, uint64_t bits)
{
	uint64_t x[8] = {function, FFA_IDS(sender, receiver), 0, (uint32_t)bits, bits >> 32};
	return bh_ffa_call(x);
}

int bh_notification_bind(uint16_t peer, uint64_t bits)
{
	return notification_call(FFA_NOTIFICATION_BIND, peer, bh_own_id(), bits);
}

int bh_notification_unbind(uint16_t peer, uint64_t bits)
{
	return notification_call(FFA_NOTIFICATION_UNBIND, peer, bh_own_id(), bits);
}

int bh_notification_set(uint16_t peer, uint64_t bits)
{
	return notification_call(FFA_NOTIFICATION_SET, bh_own_id(), peer, bits);
}

uint64_t bh_notifications(void)
{
	uint64_t x[8] = {FFA_NOTIFICATION_GET, (uint64_t)bh_cpu() << 16 | bh_own_id(), FFA_GET_PARTITIONS};
	return bh_ffa_call(x) == 0 ? x[4] | x[5] << 32 : 0;
}

static void put_words(uint64_t x[8], const struct bh_direct *direct)
{
	memcpy(&x[3], direct->word, sizeof(direct->word));
}

static void take_words(const uint64_t x[8], struct bh_direct *direct)
{
	memcpy(direct->word, &x[3], sizeof(direct->word));
}

int bh_direct_request(struct bh_direct *direct)
{
	uint64_t x[8] = {FFA_MSG_SEND_DIRECT_REQ_64, FFA_IDS(bh_own_id(), direct->peer)};
	put_words(x, direct);
	const int result = bh_ffa_call(x);
	if ((uint32_t)x[0] != FFA_MSG_SEND_DIRECT_RESP_64)
		return result;
	take_words(x, direct);
	return 0;
}

static int wait_by(uint64_t x[8], struct bh_direct *direct)
{
	const int result = bh_ffa_call(x);
	interrupts_on();
	if (((uint32_t)x[0] & ~SMCCC_64) == FFA_MSG_SEND_DIRECT_REQ_32) {
		direct->peer = (uint16_t)(x[1] >> 16);
		take_words(x, direct);
		return 1;
	}
	return (uint32_t)x[0] == FFA_INTERRUPT ? 0 : result;
}

int bh_direct_wait(struct bh_direct *direct)
{
	uint64_t x[8] = {FFA_MSG_WAIT, 0, FFA_WAIT_RETAIN_RX};
	return wait_by(x, direct);
}

int bh_direct_answer(struct bh_direct *direct)
{
	uint64_t x[8] = {FFA_MSG_SEND_DIRECT_RESP_64, FFA_IDS(bh_own_id(), direct->peer)};
	put_words(x, direct);
	return wait_by(x, direct);
}
