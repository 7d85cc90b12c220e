/*
 * FF-A between partitions (Arm DEN0077A 1.1): what its files share. Nothing here happens without a channel of
 * the config that names both partitions and the right.
 *
 * The hypervisor on a CPU reaches memory of no partition but that CPU's own: a message goes through a
 * page of the pool, the receiver's inbox, and its own CPU takes it from there.
 */
#pragma once

#include <bulkhead/abi.h>
#include <bulkhead/config.h>

#include "hv/call/call.h"
#include "hv/core/partition.h"

#define FFA_BUFFER_SIZE 4096u /* RX and TX: one page each */

/* What a vCPU waits for. */
enum ffa_wait {
	FFA_NOT_WAITING,
	FFA_WAITS_FOR_REQUEST,	/* in MSG_WAIT, or behind a response: a direct request may be handed to it */
	FFA_WAITS_FOR_RESPONSE, /* to its direct request */
	FFA_HAS_MESSAGE,	/* either has come: ffa_vcpu.message */
	FFA_WAIT_ABORTED	/* the response will never come */
};

#define FFA_MESSAGE_WORDS 8

/* Direct messages: guarded by direct_lock, but for `wait`, which its own CPU reads at any time. */
struct ffa_vcpu {
	struct vcpu_shared *shared;
	struct partition *partition;
	_Atomic uint32_t wait;	 /* enum ffa_wait */
	bool serving;		 /* it has taken a request, and not answered yet */
	struct ffa_vcpu *client; /* whose; NULL: that one is gone */
	struct ffa_vcpu *server; /* while it waits for a response: whose */
	uint64_t notifications;	 /* pending ones of this vCPU alone; with the lock of its struct ffa */
	uint64_t message[FFA_MESSAGE_WORDS];
};

enum ffa_rx {
	RX_EMPTY,
	RX_ARRIVING, /* in the inbox */
	RX_FULL	     /* the guest owns the buffer */
};

/* One for each para partition, in the pool. */
struct ffa {
	uint8_t rights[CONFIG_MAX_PARTITIONS]; /* CHANNEL_* towards partition i; 0: strangers */
	struct ffa_peer {
		struct ffa *ffa;
		uint32_t ids; /* FFA_IDS of this partition and the peer, who stands where they lead to */
	} peer[CONFIG_MAX_PARTITIONS];
	struct spinlock lock; /* RX and TX, notifications */

	uint8_t *tx, *rx; /* in the guest window; NULL: not mapped */
	enum ffa_rx rx_state;
	uint8_t *inbox;	 /* in the pool; NULL: no channel allows messages */
	uint32_t length; /* of what is in it */

	/* Notifications that partition i may set: those of the partition, and those of single vCPUs. */
	uint64_t bound[CONFIG_MAX_PARTITIONS], bound_per_vcpu[CONFIG_MAX_PARTITIONS];
	uint64_t notifications;	    /* pending */
	_Atomic uint32_t framework; /* FFA_FRAMEWORK_* pending */

	struct ffa_vcpu vcpu[]; /* [vcpu_count] */
};

/* Results of a call. Codes of failure stand in x2. */
enum exit_action ffa_success(struct call_results *out);
enum exit_action ffa_error(struct call_results *out, int32_t code);

static inline uint16_t ffa_id(const struct partition *partition)
{
	return (uint16_t)(partition->id + 1);
}

static inline struct ffa_vcpu *ffa_vcpu_of(const struct vcpu *vcpu)
{
	return &vcpu->partition->ffa->vcpu[vcpu->shared->index];
}

/* The partition of an endpoint id with which `partition` shares a channel, whatever that allows; NULL: none,
 * or itself. */
struct partition *ffa_peer(const struct partition *partition, uint16_t id);
static inline bool ffa_allowed(const struct partition *partition, const struct partition *peer,
			       uint32_t right)
{
	return partition->ffa->rights[peer->id] & right;
}

/* Where a peer stands among the peers. */
static inline uint32_t ffa_place(uint32_t ids)
{
	return (ids - 1) & (CONFIG_MAX_PARTITIONS - 1);
}

/*
 * The caller's TX buffer; NULL: it has none. Until call_end_claims() no other vCPU can give the page away,
 * though it may take the buffers back. Not with share_lock, which this takes.
 */
const uint8_t *ffa_claim_tx(struct vcpu *vcpu);

/* Its RX buffer goes back to the hypervisor. False: it did not have it. With the lock. */
bool ffa_release_rx(struct ffa *ffa);

/* Raises an event at one of its vCPUs, unless the partition does not run. */
void ffa_raise(struct partition *partition, uint32_t vcpu, unsigned event);

/* ffa_memory.c */
call_fn ffa_mem_donate, ffa_mem_lend, ffa_mem_share, ffa_mem_frag_tx, ffa_mem_retrieve, ffa_mem_relinquish,
	ffa_mem_reclaim;
/* ffa_message.c */
call_fn ffa_msg_send2, ffa_msg_wait, ffa_direct_request, ffa_direct_response;
void ffa_direct_reset(struct ffa_vcpu *vcpu); /* whoever waits for it hears of that */
/* ffa_notify.c */
call_fn ffa_notification_bind, ffa_notification_unbind, ffa_notification_set, ffa_notification_get;
