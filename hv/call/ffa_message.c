/*
 * Messages (DEN0077A 1.1, chapters 7 and 15). Indirect ones are copied, from the sender's TX buffer to the
 * receiver's inbox and by the receiver's CPU to its RX buffer, so that neither sees the other's memory.
 * Direct ones travel in registers: the client's CPU sleeps until a vCPU of the receiver that waited has
 * answered.
 */
#include "hv/call/ffa.h"
#include "hv/lib/string.h"

/*
 * Indirect
 */

/* Reads once what is checked, and copies the rest unseen. 0 or an error. With the receiver's lock. */
static int32_t post(struct ffa *receiver, const struct ffa_message *header, const uint8_t *tx)
{
	if (!receiver->rx)
		return FFA_DENIED;
	if (receiver->rx_state != RX_EMPTY)
		return FFA_BUSY;
	memset(receiver->inbox, 0, header->offset);
	memcpy(receiver->inbox, header, sizeof(*header));
	memcpy(receiver->inbox + header->offset, tx + header->offset, header->size);
	receiver->length = header->offset + header->size;
	receiver->rx_state = RX_ARRIVING;
	return 0;
}

static bool header_valid(const struct partition *sender, const struct ffa_message *header)
{
	return !header->flags && !header->reserved && header->sender == ffa_id(sender) &&
	       header->offset >= sizeof(*header) && header->offset <= FFA_BUFFER_SIZE &&
	       header->size <= FFA_BUFFER_SIZE - header->offset;
}

static int32_t send(const struct partition *partition, const uint8_t *tx, struct partition **receiver)
{
	struct ffa_message header;
	int32_t error;

	memcpy(&header, tx, sizeof(header));
	*receiver = ffa_peer(partition, header.receiver);
	if (!*receiver || !header_valid(partition, &header))
		return FFA_INVALID_PARAMETERS;
	if (!ffa_allowed(partition, *receiver, CHANNEL_MESSAGE))
		return FFA_DENIED;
	spin_lock(&(*receiver)->ffa->lock);
	error = post((*receiver)->ffa, &header, tx);
	spin_unlock(&(*receiver)->ffa->lock);
	return error;
}

/* x1: the sender, where a hypervisor forwards; x2: flags. */
enum exit_action ffa_msg_send2(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	const uint8_t *tx = ffa_claim_tx(vcpu);
	struct partition *receiver;
	int32_t error = FFA_DENIED;

	if (tx && (in->x1 || in->x2 & ~(uint64_t)FFA_SEND_DELAY))
		error = FFA_INVALID_PARAMETERS;
	else if (tx)
		error = send(vcpu->partition, tx, &receiver);
	call_end_claims(vcpu);
	if (error)
		return ffa_error(out, error);
	vcpu_request(&receiver->vcpu[0], REQUEST_MESSAGE);
	return ffa_success(out);
}

void ffa_take_message(struct vcpu *vcpu)
{
	struct ffa *ffa = vcpu->partition->ffa;
	bool arrived;

	spin_lock(&ffa->lock);
	arrived = ffa->rx_state == RX_ARRIVING;
	if (arrived) {
		memcpy(ffa->rx, ffa->inbox, ffa->length);
		ffa->rx_state = RX_FULL;
	}
	spin_unlock(&ffa->lock);
	if (!arrived)
		return;
	atomic_fetch_or(&ffa->framework, FFA_FRAMEWORK_RX_FULL);
	vcpu_raise_event(vcpu->shared, BH_EVENT_NOTIFICATION);
}

/*
 * Direct. One lock for all: it is held for a look at the vCPUs of one partition at most.
 */

static struct spinlock direct_lock;

static void wake(struct ffa_vcpu *vcpu, enum ffa_wait wait)
{
	atomic_store(&vcpu->wait, wait);
	vcpu_request(vcpu->shared, REQUEST_INTERRUPT);
}

static void hand_over(struct ffa_vcpu *to, const uint64_t message[FFA_MESSAGE_WORDS])
{
	memcpy(to->message, message, sizeof(to->message));
	wake(to, FFA_HAS_MESSAGE);
}

/* With the lock; NULL: all are at work. */
static struct ffa_vcpu *find_waiting(const struct partition *partition)
{
	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		if (atomic_load(&partition->ffa->vcpu[i].wait) == FFA_WAITS_FOR_REQUEST)
			return &partition->ffa->vcpu[i];
	return NULL;
}

/* The words as they arrive: x2 is zero, the payload in x3 to x7. */
static void collect(const struct vcpu *vcpu, const struct call_arguments *in,
		    uint64_t message[FFA_MESSAGE_WORDS])
{
	const union guest_registers *regs = &vcpu->regs;
	const uint64_t mask = in->function & SMCCC_64 ? UINT64_MAX : UINT32_MAX;

	message[0] = in->function;
	message[1] = in->x1;
	message[2] = 0;
	message[3] = in->x3;
	message[4] = regs->r8 & mask;
	message[5] = regs->r9 & mask;
	message[6] = regs->r10 & mask;
	message[7] = regs->r11 & mask;
}

/* All eight registers, whole: the form of the call that waited does not matter. */
static enum exit_action give(struct vcpu *vcpu, const uint64_t message[FFA_MESSAGE_WORDS],
			     struct call_results *out)
{
	union guest_registers *regs = &vcpu->regs;

	*out = (struct call_results){.x0 = (int64_t)message[0], .count = 1};
	regs->rsi = message[1];
	regs->rdx = message[2];
	regs->rcx = message[3];
	regs->r8 = message[4];
	regs->r9 = message[5];
	regs->r10 = message[6];
	regs->r11 = message[7];
	return EXIT_NEXT;
}

static bool answered(struct vcpu *vcpu)
{
	return atomic_load(&ffa_vcpu_of(vcpu)->wait) != FFA_WAITS_FOR_RESPONSE;
}

static enum exit_action wait_for_response(struct vcpu *vcpu, struct call_results *out)
{
	struct ffa_vcpu *own = ffa_vcpu_of(vcpu);
	enum exit_action action = vcpu_wait_until(vcpu, answered);
	uint32_t outcome;

	if (action != EXIT_NEXT)
		return action; /* an order ends the vCPU: ffa_direct_reset() tells the server */
	outcome = atomic_exchange(&own->wait, FFA_NOT_WAITING);
	return outcome == FFA_HAS_MESSAGE ? give(vcpu, own->message, out) : ffa_error(out, FFA_ABORTED);
}

/* With the lock: 0, and the request is under way, or an error. */
static int32_t request(struct ffa_vcpu *client, const struct partition *receiver,
		       const uint64_t message[FFA_MESSAGE_WORDS])
{
	struct ffa_vcpu *server = find_waiting(receiver);

	if (atomic_load(&receiver->state) != PARTITION_RUNNING)
		return FFA_ABORTED;
	if (!server)
		return FFA_BUSY;
	server->serving = true;
	server->client = client;
	client->server = server;
	atomic_store(&client->wait, FFA_WAITS_FOR_RESPONSE);
	hand_over(server, message);
	return 0;
}

/* x1 sender and receiver, x2 0: framework messages are the hypervisor's. */
enum exit_action ffa_direct_request(struct vcpu *vcpu, const struct call_arguments *in,
				    struct call_results *out)
{
	struct partition *partition = vcpu->partition, *receiver = ffa_peer(partition, (uint16_t)in->x1);
	uint64_t message[FFA_MESSAGE_WORDS];
	int32_t error;

	if (in->x1 >> 16 != ffa_id(partition) || !receiver || in->x2)
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	if (!ffa_allowed(partition, receiver, CHANNEL_MESSAGE))
		return ffa_error(out, FFA_DENIED);
	collect(vcpu, in, message);
	spin_lock(&direct_lock);
	error = request(ffa_vcpu_of(vcpu), receiver, message);
	spin_unlock(&direct_lock);
	return error ? ffa_error(out, error) : wait_for_response(vcpu, out);
}

static bool asked(struct vcpu *vcpu)
{
	return atomic_load(&ffa_vcpu_of(vcpu)->wait) != FFA_WAITS_FOR_REQUEST || events_due(vcpu);
}

/* A request that came at the last moment is served before the event. */
static enum exit_action wait_for_request(struct vcpu *vcpu, struct call_results *out)
{
	struct ffa_vcpu *own = ffa_vcpu_of(vcpu);
	enum exit_action action = vcpu_wait_until(vcpu, asked);
	uint32_t came;

	if (action != EXIT_NEXT)
		return action;
	spin_lock(&direct_lock);
	came = atomic_exchange(&own->wait, FFA_NOT_WAITING);
	spin_unlock(&direct_lock);
	if (came == FFA_HAS_MESSAGE)
		return give(vcpu, own->message, out);
	*out = (struct call_results){
		.x0 = FFA_INTERRUPT, .x1 = FFA_IDS(ffa_id(vcpu->partition), vcpu->shared->index), .count = 4};
	return EXIT_NEXT;
}

/* x2: whether to keep the RX buffer. */
enum exit_action ffa_msg_wait(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	struct ffa *ffa = vcpu->partition->ffa;
	struct ffa_vcpu *own = ffa_vcpu_of(vcpu);

	if (in->x2 & ~(uint64_t)FFA_WAIT_RETAIN_RX)
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	if (own->serving)
		return ffa_error(out, FFA_DENIED);
	if (!(in->x2 & FFA_WAIT_RETAIN_RX)) {
		spin_lock(&ffa->lock);
		(void)ffa_release_rx(ffa);
		spin_unlock(&ffa->lock);
	}
	atomic_store(&own->wait, FFA_WAITS_FOR_REQUEST);
	return wait_for_request(vcpu, out);
}

/* With the lock: 0, and the client goes on, or an error. */
static int32_t respond(struct ffa_vcpu *server, const struct call_arguments *in,
		       const uint64_t message[FFA_MESSAGE_WORDS])
{
	struct ffa_vcpu *client = server->client;

	if (!server->serving)
		return FFA_DENIED;
	if (client && (in->x1 != FFA_IDS(ffa_id(server->partition), ffa_id(client->partition)) || in->x2))
		return FFA_INVALID_PARAMETERS;
	server->serving = false;
	server->client = NULL;
	if (!client)
		return FFA_ABORTED;
	hand_over(client, message);
	atomic_store(&server->wait, FFA_WAITS_FOR_REQUEST);
	return 0;
}

/* Answers, and waits for the next request. */
enum exit_action ffa_direct_response(struct vcpu *vcpu, const struct call_arguments *in,
				     struct call_results *out)
{
	uint64_t message[FFA_MESSAGE_WORDS];
	int32_t error;

	collect(vcpu, in, message);
	spin_lock(&direct_lock);
	error = respond(ffa_vcpu_of(vcpu), in, message);
	spin_unlock(&direct_lock);
	return error ? ffa_error(out, error) : wait_for_request(vcpu, out);
}

void ffa_direct_reset(struct ffa_vcpu *vcpu)
{
	spin_lock(&direct_lock);
	if (vcpu->client)
		wake(vcpu->client, FFA_WAIT_ABORTED);
	if (atomic_load(&vcpu->wait) == FFA_WAITS_FOR_RESPONSE)
		vcpu->server->client = NULL;
	vcpu->serving = false;
	vcpu->client = vcpu->server = NULL;
	atomic_store(&vcpu->wait, FFA_NOT_WAITING);
	spin_unlock(&direct_lock);
}
