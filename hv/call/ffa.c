/*
 * FF-A: who is there, what is there, the RX and TX buffers, and FFA_CONSOLE_LOG, a guest's words before it
 * has a console ring (Arm DEN0077A). FF-A answers with another call's identifier: FFA_SUCCESS, or FFA_ERROR
 * with the code in x2.
 */
#include "hv/call/ffa.h"
#include "hv/console/console.h"
#include "hv/core/share.h"
#include "hv/lib/clamp.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define LOG_REGISTERS 6 /* x2..x7 */
#define LOG_BYTES_MAX (LOG_REGISTERS * sizeof(uint64_t))
#define CACHE_LINE    64u /* no two partitions share one */

enum exit_action ffa_success(struct call_results *out)
{
	*out = (struct call_results){.x0 = FFA_SUCCESS_32, .count = 4};
	return EXIT_NEXT;
}

enum exit_action ffa_error(struct call_results *out, int32_t code)
{
	*out = (struct call_results){.x0 = FFA_ERROR, .x2 = (uint64_t)(int64_t)code, .count = 4};
	return EXIT_NEXT;
}

static enum exit_action answer(struct call_results *out, uint64_t x2)
{
	*out = (struct call_results){.x0 = FFA_SUCCESS_32, .x2 = x2, .count = 4};
	return EXIT_NEXT;
}

struct partition *ffa_peer(const struct partition *partition, uint16_t id)
{
	uint32_t index = id - 1u;

	if (index >= partition_count || !partition->ffa->rights[clamp_index(index, partition_count)])
		return NULL;
	return &partitions[clamp_index(index, partition_count)];
}

void ffa_raise(struct partition *partition, uint32_t vcpu, unsigned event)
{
	if (atomic_load(&partition->state) == PARTITION_RUNNING)
		vcpu_raise_event(&partition->vcpu[vcpu], event);
}

/*
 * Discovery
 */

static enum exit_action ffa_version(struct vcpu *vcpu, const struct call_arguments *in,
				    struct call_results *out)
{
	(void)vcpu;
	out->x0 = in->x1 & FFA_VERSION_RESERVED ? FFA_NOT_SUPPORTED : (int64_t)FFA_VERSION_1_1;
	return EXIT_NEXT;
}

static bool is_ffa(uint32_t function)
{
	return (function >> SMCCC_OWNER_SHIFT & 0x3F) == SMCCC_OWNER_STANDARD &&
	       CALL_NUMBER(function) - ffa_service.first < ffa_service.count;
}

/* Interfaces that calls answer with, and nobody calls. */
static bool is_answer(uint32_t function)
{
	static const uint32_t answers[] = {FFA_ERROR, FFA_SUCCESS_32, FFA_INTERRUPT, FFA_MEM_RETRIEVE_RESP,
					   FFA_MEM_FRAG_RX};

	for (unsigned i = 0; i < ARRAY_SIZE(answers); i++)
		if (answers[i] == function)
			return true;
	return false;
}

/* No call has properties to tell: buffers are of one page, memory is retrieved once. */
static enum exit_action ffa_features(struct vcpu *vcpu, const struct call_arguments *in,
				     struct call_results *out)
{
	uint32_t wanted = (uint32_t)in->x1;

	if (wanted == FFA_FEATURE_NPI)
		return answer(out, BH_EVENT_NOTIFICATION);
	if (is_answer(wanted) || (is_ffa(wanted) && call_find(vcpu->partition, wanted)))
		return ffa_success(out);
	return ffa_error(out, FFA_NOT_SUPPORTED);
}

static enum exit_action ffa_id_get(struct vcpu *vcpu, const struct call_arguments *in,
				   struct call_results *out)
{
	(void)in;
	return answer(out, ffa_id(vcpu->partition));
}

static enum exit_action ffa_spm_id_get(struct vcpu *vcpu, const struct call_arguments *in,
				       struct call_results *out)
{
	(void)vcpu, (void)in;
	return answer(out, FFA_HYPERVISOR_ID);
}

/* A vCPU has its CPU for itself: there is nobody to yield to. */
static enum exit_action ffa_yield(struct vcpu *vcpu, const struct call_arguments *in,
				  struct call_results *out)
{
	(void)vcpu, (void)in;
	return ffa_success(out);
}

/*
 * Who is there: oneself, and those that a channel leads to.
 */

static struct ffa_partition_info describe(const struct partition *partition, const struct partition *of)
{
	uint32_t rights = partition == of ? UINT32_MAX : partition->ffa->rights[of->id];
	struct ffa_partition_info info = {
		.id = ffa_id(of), .contexts = (uint16_t)of->vcpu_count, .properties = FFA_PROPERTY_64};

	if (rights & CHANNEL_MESSAGE)
		info.properties |=
			FFA_PROPERTY_DIRECT_RECV | FFA_PROPERTY_DIRECT_SEND | FFA_PROPERTY_INDIRECT;
	if (rights & CHANNEL_NOTIFY)
		info.properties |= FFA_PROPERTY_NOTIFICATION;
	return info;
}

/* Writes them unless `to` is NULL; answers how many. */
static uint32_t list_partitions(const struct partition *partition, uint8_t *to)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < partition_count; i++) {
		struct ffa_partition_info info;

		if (i != partition->id && !partition->ffa->rights[i])
			continue;
		info = describe(partition, &partitions[i]);
		if (to)
			memcpy(to + count * sizeof(info), &info, sizeof(info));
		count++;
	}
	return count;
}

/* x1 to x4: a UUID; all zero asks for every partition, and no partition has another one. */
static enum exit_action ffa_partition_info_get(struct vcpu *vcpu, const struct call_arguments *in,
					       struct call_results *out)
{
	const union guest_registers *regs = &vcpu->regs;
	struct ffa *ffa = vcpu->partition->ffa;
	uint32_t flags = (uint32_t)regs->r9;
	uint32_t count = 0;
	int32_t error = 0;

	if ((in->x1 | in->x2 | in->x3 | (uint32_t)regs->r8) != 0 || flags & ~FFA_PARTITION_COUNT_ONLY)
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	if (flags & FFA_PARTITION_COUNT_ONLY)
		return answer(out, list_partitions(vcpu->partition, NULL));
	spin_lock(&ffa->lock);
	if (!ffa->rx)
		error = FFA_DENIED;
	else if (ffa->rx_state != RX_EMPTY)
		error = FFA_BUSY;
	else {
		ffa->rx_state = RX_FULL;
		count = list_partitions(vcpu->partition, ffa->rx);
	}
	spin_unlock(&ffa->lock);
	if (error)
		return ffa_error(out, error);
	*out = (struct call_results){
		.x0 = FFA_SUCCESS_32, .x2 = count, .x3 = sizeof(struct ffa_partition_info), .count = 4};
	return EXIT_NEXT;
}

/*
 * Buffers: one page each, in the partition's own memory.
 */

/* With the lock. */
static bool map_buffers(struct partition *partition, const struct call_arguments *in, uint8_t *tx,
			uint8_t *rx)
{
	struct ffa *ffa = partition->ffa;

	if (ffa->tx)
		return false;
	atomic_store(&partition->call_page[CALL_PAGE_TX], in->x1);
	atomic_store(&partition->call_page[CALL_PAGE_RX], in->x2);
	ffa->tx = tx;
	ffa->rx = rx;
	ffa->rx_state = RX_EMPTY;
	return true;
}

static enum exit_action ffa_rxtx_map(struct vcpu *vcpu, const struct call_arguments *in,
				     struct call_results *out)
{
	struct ffa *ffa = vcpu->partition->ffa;
	uint8_t *tx = call_claim_page(vcpu, CALL_PAGE_CLAIM, in->x1);
	uint8_t *rx = call_claim_page(vcpu, CALL_PAGE_CLAIM_2, in->x2);
	int32_t error = FFA_INVALID_PARAMETERS;

	if (in->x3 == 1 && in->x1 && in->x2 && tx && rx && tx != rx) {
		spin_lock(&ffa->lock);
		error = map_buffers(vcpu->partition, in, tx, rx) ? 0 : FFA_DENIED;
		spin_unlock(&ffa->lock);
	}
	call_end_claims(vcpu);
	return error ? ffa_error(out, error) : ffa_success(out);
}

/* With the lock. What is in the inbox is lost. */
static bool unmap_buffers(struct partition *partition)
{
	struct ffa *ffa = partition->ffa;
	bool mapped = ffa->tx;

	ffa->tx = ffa->rx = NULL;
	atomic_store(&partition->call_page[CALL_PAGE_TX], 0);
	atomic_store(&partition->call_page[CALL_PAGE_RX], 0);
	ffa->rx_state = RX_EMPTY;
	return mapped;
}

/* x1: an endpoint of somebody else's, which only a hypervisor may name. */
static enum exit_action ffa_rxtx_unmap(struct vcpu *vcpu, const struct call_arguments *in,
				       struct call_results *out)
{
	struct ffa *ffa = vcpu->partition->ffa;
	bool mapped;

	spin_lock(&ffa->lock);
	mapped = in->x1 == 0 && unmap_buffers(vcpu->partition);
	spin_unlock(&ffa->lock);
	return mapped ? ffa_success(out) : ffa_error(out, FFA_INVALID_PARAMETERS);
}

const uint8_t *ffa_claim_tx(struct vcpu *vcpu)
{
	const uint64_t address = atomic_load(&vcpu->partition->call_page[CALL_PAGE_TX]);

	return address ? call_claim_page(vcpu, CALL_PAGE_CLAIM, address) : NULL;
}

bool ffa_release_rx(struct ffa *ffa)
{
	bool had = ffa->rx_state == RX_FULL;

	if (had)
		ffa->rx_state = RX_EMPTY;
	return had;
}

static enum exit_action ffa_rx_release(struct vcpu *vcpu, const struct call_arguments *in,
				       struct call_results *out)
{
	struct ffa *ffa = vcpu->partition->ffa;
	bool had;

	if (in->x1 != 0)
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	spin_lock(&ffa->lock);
	had = ffa_release_rx(ffa);
	spin_unlock(&ffa->lock);
	return had ? ffa_success(out) : ffa_error(out, FFA_DENIED);
}

/*
 * Console
 */

static enum exit_action console_log(struct vcpu *vcpu, const struct call_arguments *in,
				    struct call_results *out)
{
	const union guest_registers *regs = &vcpu->regs;
	const uint64_t words[LOG_REGISTERS] = {in->x2, in->x3, regs->r8, regs->r9, regs->r10, regs->r11};
	size_t width = in->function & SMCCC_64 ? sizeof(uint64_t) : sizeof(uint32_t);
	uint8_t text[LOG_BYTES_MAX];
	size_t taken = 0;

	if (in->x1 == 0 || in->x1 > LOG_REGISTERS * width)
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	for (size_t i = 0; i < LOG_REGISTERS; i++)
		memcpy(text + i * width, &words[i], width);
	if (vendor_console_settle(vcpu->partition)) /* what was written to the ring earlier is read earlier */
		taken = console_write(vcpu->partition, text, in->x1);
	if (taken == in->x1)
		return ffa_success(out);
	(void)ffa_error(out, FFA_RETRY);
	out->x3 = taken;
	return EXIT_NEXT;
}

/*
 * Lives
 */

static void read_channels(struct partition *partition)
{
	for (uint32_t i = 0; i < machine_config->channel_count; i++) {
		const struct channel_config *channel = &machine_config->channel[i];

		for (unsigned side = 0; side < 2; side++)
			if (channel->between[side] == partition->id)
				partition->ffa->rights[channel->between[!side]] = (uint8_t)channel->allow;
	}
}

/* Behind create() of all. */
static void find_peers(const struct partition *partition)
{
	struct ffa *ffa = partition->ffa;

	/* A stranger's ids lead elsewhere, so that none are ever his. */
	for (uint32_t i = 0; i < CONFIG_MAX_PARTITIONS; i++)
		ffa->peer[i].ids = i;
	for (uint32_t i = 0; i < partition_count; i++)
		if (ffa->rights[i])
			ffa->peer[i] = (struct ffa_peer){partitions[i].ffa,
							 FFA_IDS(ffa_id(partition), ffa_id(&partitions[i]))};
}

static bool any_right(const struct ffa *ffa, uint32_t right)
{
	for (uint32_t i = 0; i < CONFIG_MAX_PARTITIONS; i++)
		if (ffa->rights[i] & right)
			return true;
	return false;
}

static size_t size_of(const struct partition *partition)
{
	size_t size = sizeof(struct ffa) + partition->vcpu_count * sizeof(struct ffa_vcpu);

	return partition->config->mode == MODE_PARA ? ALIGN_UP(size, CACHE_LINE) : 0;
}

static enum status create(struct partition *partition, struct ffa *ffa)
{
	partition->ffa = ffa;
	read_channels(partition);
	for (uint32_t i = 0; i < partition->vcpu_count; i++) {
		ffa->vcpu[i].shared = &partition->vcpu[i];
		ffa->vcpu[i].partition = partition;
	}
	if (any_right(ffa, CHANNEL_SHARE) && share_partition_created(partition))
		return ERR_NO_MEMORY;
	if (!any_right(ffa, CHANNEL_MESSAGE))
		return OK;
	ffa->inbox = pool_allocate(FFA_BUFFER_SIZE / PAGE_SIZE);
	return ffa->inbox ? OK : ERR_NO_MEMORY;
}

enum status calls_create(void)
{
	enum status status = OK;
	size_t size = 0;
	uint8_t *place;

	for (uint32_t i = 0; i < partition_count; i++)
		size += size_of(&partitions[i]);
	if (size == 0)
		return OK;
	place = pool_allocate(ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE);
	if (!place)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; !status && i < partition_count; i++) {
		if (partitions[i].config->mode == MODE_PARA)
			status = create(&partitions[i], (struct ffa *)place);
		place += size_of(&partitions[i]);
	}
	for (uint32_t i = 0; i < partition_count; i++)
		if (partitions[i].ffa)
			find_peers(&partitions[i]);
	return status;
}

void ffa_vcpu_reset(struct vcpu *vcpu)
{
	struct ffa_vcpu *own = ffa_vcpu_of(vcpu);
	struct ffa *ffa = vcpu->partition->ffa;

	ffa_direct_reset(own);
	spin_lock(&ffa->lock);
	own->notifications = 0;
	spin_unlock(&ffa->lock);
}

/* Others may still set and send what they may towards the next life, once it has bound and mapped anew. */
void ffa_partition_reset(struct partition *partition)
{
	struct ffa *ffa = partition->ffa;

	spin_lock(&ffa->lock);
	(void)unmap_buffers(partition);
	memset(ffa->bound, 0, sizeof(ffa->bound));
	memset(ffa->bound_per_vcpu, 0, sizeof(ffa->bound_per_vcpu));
	ffa->notifications = 0;
	atomic_store(&ffa->framework, 0);
	spin_unlock(&ffa->lock);
	share_partition_ended(partition);
}

#define FFA_FIRST     CALL_NUMBER(FFA_ERROR)
#define ROW(function) [CALL_NUMBER(function) - FFA_FIRST]
static const struct call_row ffa_rows[] = {
	ROW(FFA_VERSION) = {ffa_version, CALL_32, true, false},
	ROW(FFA_FEATURES) = {ffa_features, CALL_32, true, false},
	ROW(FFA_RX_RELEASE) = {ffa_rx_release, CALL_32, true, false},
	ROW(FFA_RXTX_MAP_32) = {ffa_rxtx_map, CALL_BOTH, true, false},
	ROW(FFA_RXTX_UNMAP) = {ffa_rxtx_unmap, CALL_32, true, false},
	ROW(FFA_PARTITION_INFO_GET) = {ffa_partition_info_get, CALL_32, true, false},
	ROW(FFA_ID_GET) = {ffa_id_get, CALL_32, true, false},
	ROW(FFA_SPM_ID_GET) = {ffa_spm_id_get, CALL_32, true, false},
	ROW(FFA_MSG_WAIT) = {ffa_msg_wait, CALL_32, true, false},
	ROW(FFA_YIELD) = {ffa_yield, CALL_32, true, false},
	ROW(FFA_MSG_SEND_DIRECT_REQ_32) = {ffa_direct_request, CALL_BOTH, true, false},
	ROW(FFA_MSG_SEND_DIRECT_RESP_32) = {ffa_direct_response, CALL_BOTH, true, false},
	ROW(FFA_MEM_DONATE_32) = {ffa_mem_donate, CALL_BOTH, true, false},
	ROW(FFA_MEM_LEND_32) = {ffa_mem_lend, CALL_BOTH, true, false},
	ROW(FFA_MEM_SHARE_32) = {ffa_mem_share, CALL_BOTH, true, false},
	ROW(FFA_MEM_RETRIEVE_REQ_32) = {ffa_mem_retrieve, CALL_BOTH, true, false},
	ROW(FFA_MEM_RELINQUISH) = {ffa_mem_relinquish, CALL_32, true, false},
	ROW(FFA_MEM_RECLAIM) = {ffa_mem_reclaim, CALL_32, true, false},
	ROW(FFA_MEM_FRAG_TX) = {ffa_mem_frag_tx, CALL_32, true, false},
	ROW(FFA_MSG_SEND2) = {ffa_msg_send2, CALL_32, true, false},
	ROW(FFA_NOTIFICATION_BIND) = {ffa_notification_bind, CALL_32, true, false},
	ROW(FFA_NOTIFICATION_UNBIND) = {ffa_notification_unbind, CALL_32, true, false},
	ROW(FFA_NOTIFICATION_SET) = {ffa_notification_set, CALL_32, true, true},
	ROW(FFA_NOTIFICATION_GET) = {ffa_notification_get, CALL_32, true, false},
	ROW(FFA_CONSOLE_LOG_32) = {console_log, CALL_BOTH, false, false},
};
const struct call_service ffa_service = {FFA_FIRST, ARRAY_SIZE(ffa_rows), ffa_rows};
