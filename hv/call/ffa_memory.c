/*
 * Memory management (DEN0077A 1.1, chapters 10, 11 and 17): descriptors, read word by word from the caller's
 * TX buffer and written to its RX buffer, on top of agreements (hv/core/share.h). Whatever is checked was
 * copied first, and read once.
 */
#include "hv/call/ffa.h"
#include "hv/core/share.h"
#include "hv/lib/string.h"

#define DESCRIPTOR_ALIGN 16u
#define DATA_MASK	 3u /* of permissions */
#define EXECUTE_SHIFT	 2
#define KIND_MASK	 (3u << FFA_MEMORY_KIND_SHIFT)
#define RETRIEVE_FLAGS	 (FFA_MEMORY_ZERO | FFA_MEMORY_ZERO_AFTER | KIND_MASK)
/* The header, one entry a borrower, the composite, and pieces of single pages. */
#define RANGES_MAX     (FFA_BUFFER_SIZE / sizeof(struct ffa_memory_range)) /* of one fragment */
#define DESCRIPTOR_MAX (FFA_BUFFER_SIZE * 16u)

_Static_assert(sizeof(struct ffa_memory) == 48 && sizeof(struct ffa_memory_access) == 16 &&
		       sizeof(struct ffa_memory_composite) == 16 && sizeof(struct ffa_memory_range) == 16 &&
		       sizeof(struct ffa_memory_relinquish) == 16,
	       "DEN0077A 1.1, tables 10.13, 10.16, 10.18, 10.20 and 16.25");

/* The caller's TX buffer, as far as it is filled. */
struct source {
	const uint8_t *tx;
	uint32_t length;
};

static bool copy(const struct source *from, uint32_t offset, void *to, uint32_t size)
{
	if (!from->tx || offset % sizeof(uint32_t) || offset > from->length || size > from->length - offset)
		return false;
	memcpy(to, from->tx + offset, size);
	return true;
}

static int32_t code_of(enum status status)
{
	switch (status) {
	case OK: return 0;
	case ERR_OWNER: return FFA_DENIED;
	case ERR_FULL:
	case ERR_NO_MEMORY: return FFA_NO_MEMORY;
	default: return FFA_INVALID_PARAMETERS;
	}
}

/*
 * What goes from a map must be gone from all CPUs of the partition. One vCPU at a time waits for that.
 */

static bool own_flushed(struct vcpu *vcpu)
{
	return share_flushed(vcpu->partition);
}

static bool may_wait(const struct vcpu *vcpu)
{
	return !atomic_load(&vcpu->partition->flush_waiter);
}

static enum exit_action flush_and_wait(struct vcpu *vcpu)
{
	enum exit_action action;

	share_flush(vcpu->partition);
	action = vcpu_wait_until(vcpu, own_flushed);
	atomic_store(&vcpu->partition->flush_waiter, NULL);
	return action;
}

/*
 * The owner's description: header, borrowers, composite, ranges; the ranges may come in several fragments.
 */

static const uint8_t kinds[] = {[SHARE_SHARED] = FFA_MEMORY_KIND_SHARE,
				[SHARE_LENT] = FFA_MEMORY_KIND_LEND,
				[SHARE_DONATED] = FFA_MEMORY_KIND_DONATE};

static bool attributes_valid(uint16_t attributes)
{
	return attributes == 0 || attributes == FFA_MEMORY_NORMAL;
}

static bool header_valid(const struct partition *owner, enum share_kind kind, const struct ffa_memory *header)
{
	uint32_t flags = kind == SHARE_SHARED ? 0 : FFA_MEMORY_ZERO;

	return header->sender == ffa_id(owner) && attributes_valid(header->attributes) &&
	       !(header->flags & ~flags) && !header->handle &&
	       header->access_size == sizeof(struct ffa_memory_access) && header->access_count > 0 &&
	       header->access_count <= (kind == SHARE_DONATED ? 1 : SHARE_BORROWERS) &&
	       header->access_offset % DESCRIPTOR_ALIGN == 0 && header->access_offset >= sizeof(*header);
}

/* MAP_* of the permissions an owner may give in this kind of agreement; 0: none such. */
static uint32_t granted(enum share_kind kind, uint32_t borrowers, uint8_t permissions)
{
	uint32_t data = permissions & DATA_MASK, execute = permissions >> EXECUTE_SHIFT;

	if (kind == SHARE_DONATED)
		return permissions ? 0 : MAP_READ | MAP_WRITE | MAP_EXECUTE;
	if ((data != FFA_ACCESS_READ && data != FFA_ACCESS_WRITE) || execute > 2 ||
	    (execute == 2 && (kind == SHARE_SHARED || borrowers > 1)))
		return 0;
	return MAP_READ | (data == FFA_ACCESS_WRITE ? MAP_WRITE : 0) |
	       (kind == SHARE_LENT && borrowers == 1 && execute != 1 ? MAP_EXECUTE : 0);
}

static int32_t add_borrower(struct share *share, uint32_t borrowers, const struct ffa_memory_access *access)
{
	struct partition *peer = ffa_peer(share->owner, access->receiver);
	uint32_t allowed = granted(share->kind, borrowers, access->permissions);

	if (!peer || !allowed || access->flags || access->reserved || share_find_borrower(share, peer))
		return FFA_INVALID_PARAMETERS;
	if (!ffa_allowed(share->owner, peer, CHANNEL_SHARE))
		return FFA_DENIED;
	share->borrower[share->borrower_count++] =
		(struct share_borrower){.partition = peer, .allowed = allowed};
	return 0;
}

/* All borrowers; *composite is where all of them say that the ranges are. */
static int32_t read_borrowers(struct share *share, const struct source *from, const struct ffa_memory *header,
			      uint32_t *composite)
{
	for (uint32_t i = 0; i < header->access_count && i < SHARE_BORROWERS; i++) {
		struct ffa_memory_access access;
		int32_t error;

		if (!copy(from, header->access_offset + i * (uint32_t)sizeof(access), &access,
			  sizeof(access)))
			return FFA_INVALID_PARAMETERS;
		error = add_borrower(share, header->access_count, &access);
		if (error)
			return error;
		if (i > 0 && access.composite_offset != *composite)
			return FFA_INVALID_PARAMETERS;
		*composite = access.composite_offset;
	}
	return 0;
}

/* The ranges in bytes [offset, from->length) of the buffer. */
static int32_t read_ranges(struct share *share, const struct source *from, uint32_t offset)
{
	for (uint32_t i = 0; i < RANGES_MAX; i++) {
		struct ffa_memory_range range;
		int32_t error;

		if (offset == from->length)
			return 0;
		if (!copy(from, offset, &range, sizeof(range)) || range.reserved)
			return FFA_INVALID_PARAMETERS;
		error = code_of(share_add(share, range.address, range.pages));
		if (error)
			return error;
		offset += (uint32_t)sizeof(range);
	}
	return 0;
}

static int32_t read_description(struct share *share, const struct source *from, uint32_t total)
{
	struct ffa_memory_composite composite;
	struct ffa_memory header;
	uint32_t offset = 0, ranges;
	int32_t error;

	if (!copy(from, 0, &header, sizeof(header)) || !header_valid(share->owner, share->kind, &header))
		return FFA_INVALID_PARAMETERS;
	error = read_borrowers(share, from, &header, &offset);
	if (error)
		return error;
	ranges = offset + (uint32_t)sizeof(composite);
	if (offset % DESCRIPTOR_ALIGN ||
	    offset < header.access_offset + header.access_count * sizeof(struct ffa_memory_access) ||
	    !copy(from, offset, &composite, sizeof(composite)) || composite.reserved ||
	    composite.count == 0 || total < ranges ||
	    composite.count != (total - ranges) / sizeof(struct ffa_memory_range) ||
	    (total - ranges) % sizeof(struct ffa_memory_range))
		return FFA_INVALID_PARAMETERS;
	share->tag = header.tag;
	share->zero_first = header.flags & FFA_MEMORY_ZERO;
	share->pages_wanted = composite.pages;
	share->length = total;
	share->received = from->length;
	return read_ranges(share, from, ranges);
}

static enum exit_action tell_handle(struct call_results *out, uint64_t handle)
{
	*out = (struct call_results){
		.x0 = FFA_SUCCESS_32, .x2 = (uint32_t)handle, .x3 = handle >> 32, .count = 4};
	return EXIT_NEXT;
}

static enum exit_action ask_for_more(struct call_results *out, const struct share *share)
{
	*out = (struct call_results){.x0 = FFA_MEM_FRAG_RX,
				     .x1 = (uint32_t)share->handle,
				     .x2 = share->handle >> 32,
				     .x3 = share->received,
				     .count = 4};
	return EXIT_NEXT;
}

/* With the lock: all of it has come. */
static int32_t commit(const struct vcpu *vcpu, struct share *share)
{
	int32_t error;

	if (share->pages != share->pages_wanted)
		return FFA_INVALID_PARAMETERS;
	if (share->kind == SHARE_SHARED) {
		error = code_of(share_commit(share));
		share->open = !error;
		return error;
	}
	if (!may_wait(vcpu))
		return FFA_BUSY;
	error = code_of(share_commit(share));
	if (!error)
		atomic_store(&vcpu->partition->flush_waiter, vcpu->shared);
	return error;
}

/* Behind commit(): borrowers may come once no CPU of the owner sees it any more. */
static enum exit_action open_share(struct vcpu *vcpu, uint64_t handle, struct call_results *out)
{
	enum exit_action action = flush_and_wait(vcpu);
	struct share *share;

	if (action != EXIT_NEXT)
		return action;
	spin_lock(&share_lock);
	share = share_find(handle); /* still there: reclaiming it takes an open one */
	spin_unlock(&share_lock);
	if (share->zero_first)
		share_scrub(share);
	spin_lock(&share_lock);
	share->open = true;
	spin_unlock(&share_lock);
	return tell_handle(out, handle);
}

/* With the lock, which it drops. Goes on with a description that was read as far as it has come. */
static enum exit_action proceed(struct vcpu *vcpu, struct share *share, int32_t error,
				struct call_results *out)
{
	uint64_t handle = share->handle;
	bool more = !error && share->received < share->length, wait = share->kind != SHARE_SHARED;

	if (more)
		(void)ask_for_more(out, share);
	else if (!error)
		error = commit(vcpu, share);
	if (error)
		share_drop(share);
	spin_unlock(&share_lock);
	if (error)
		return ffa_error(out, error);
	if (more)
		return EXIT_NEXT;
	return wait ? open_share(vcpu, handle, out) : tell_handle(out, handle);
}

/* x1 length in all, x2 of this fragment, x3 and x4 0: it is in TX. */
static enum exit_action describe(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out,
				 enum share_kind kind)
{
	struct source from;
	struct share *share;
	int32_t error = FFA_NO_MEMORY;

	if (in->x3 || (uint32_t)vcpu->regs.r8 || in->x1 > DESCRIPTOR_MAX || in->x2 > in->x1 ||
	    in->x2 > FFA_BUFFER_SIZE)
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	from = (struct source){ffa_claim_tx(vcpu), (uint32_t)in->x2};
	spin_lock(&share_lock);
	share = share_create(vcpu->partition, kind);
	if (share)
		error = read_description(share, &from, (uint32_t)in->x1);
	call_end_claims(vcpu);
	if (share)
		return proceed(vcpu, share, error, out);
	spin_unlock(&share_lock);
	return ffa_error(out, error);
}

enum exit_action ffa_mem_share(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	return describe(vcpu, in, out, SHARE_SHARED);
}

enum exit_action ffa_mem_lend(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	return describe(vcpu, in, out, SHARE_LENT);
}

enum exit_action ffa_mem_donate(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	return describe(vcpu, in, out, SHARE_DONATED);
}

static uint64_t handle_in(uint64_t low, uint64_t high)
{
	return (uint32_t)low | high << 32;
}

/* With the lock: the caller's own agreement; NULL: none. */
static struct share *find_own(const struct vcpu *vcpu, uint64_t handle)
{
	struct share *share = share_find(handle);

	return share && share->owner == vcpu->partition ? share : NULL;
}

/* x1 and x2 the handle, x3 the bytes of this fragment, x4 an endpoint that a hypervisor may name. */
enum exit_action ffa_mem_frag_tx(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	const struct source from = {ffa_claim_tx(vcpu), (uint32_t)in->x3};
	struct share *share;
	int32_t error;

	spin_lock(&share_lock);
	share = find_own(vcpu, handle_in(in->x1, in->x2));
	if (!share || share->complete || (uint32_t)vcpu->regs.r8 || in->x3 == 0 || in->x3 > FFA_BUFFER_SIZE ||
	    in->x3 > share->length - share->received) {
		spin_unlock(&share_lock);
		call_end_claims(vcpu);
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	}
	share->received += from.length;
	error = read_ranges(share, &from, 0);
	call_end_claims(vcpu);
	return proceed(vcpu, share, error, out);
}

/* With the lock: nobody can retrieve it any more, or an error. */
static int32_t close_share(struct share *share, uint64_t flags)
{
	if (!share || !share->complete || flags & ~(uint64_t)FFA_MEMORY_ZERO)
		return FFA_INVALID_PARAMETERS;
	if (share_retrieved(share) || !share->open)
		return FFA_DENIED;
	share->open = false;
	share->zero |= flags & FFA_MEMORY_ZERO;
	return 0;
}

/* x1 and x2 the handle, x3 flags. */
enum exit_action ffa_mem_reclaim(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	struct share *share;
	int32_t error;

	spin_lock(&share_lock);
	share = find_own(vcpu, handle_in(in->x1, in->x2));
	error = close_share(share, in->x3);
	spin_unlock(&share_lock);
	if (error)
		return ffa_error(out, error);
	if (share->zero)
		share_scrub(share);
	spin_lock(&share_lock);
	share_end(share);
	spin_unlock(&share_lock);
	return ffa_success(out);
}

/*
 * The borrower
 */

static bool flags_valid(const struct share *share, uint32_t flags, uint32_t map)
{
	uint32_t kind = (flags & KIND_MASK) >> FFA_MEMORY_KIND_SHIFT;
	bool writes = (map & MAP_WRITE) && share->kind != SHARE_SHARED;

	return !(flags & ~RETRIEVE_FLAGS) && (!kind || kind == kinds[share->kind]) &&
	       (!(flags & FFA_MEMORY_ZERO_AFTER) || writes);
}

/* MAP_* that a borrower asks for; 0: no such permissions. Not specified: what it may have, but not execute.
 */
static uint32_t asked_for(const struct share_borrower *borrower, uint8_t permissions)
{
	uint32_t data = permissions & DATA_MASK, execute = permissions >> EXECUTE_SHIFT;

	if (data == DATA_MASK || execute > 2)
		return 0;
	return MAP_READ | (data == FFA_ACCESS_WRITE ? MAP_WRITE : 0) |
	       (data == 0 ? borrower->allowed & MAP_WRITE : 0) | (execute == 2 ? MAP_EXECUTE : 0);
}

/* Its own entry among those of all borrowers it names. */
static bool find_entry(struct share *share, const struct partition *partition, const struct source *from,
		       const struct ffa_memory *header, struct ffa_memory_access *own)
{
	bool found = false;

	for (uint32_t i = 0; i < header->access_count && i < SHARE_BORROWERS; i++) {
		struct ffa_memory_access access;
		uint32_t offset = header->access_offset + i * (uint32_t)sizeof(access);
		const struct partition *named;

		if (!copy(from, offset, &access, sizeof(access)) || access.composite_offset ||
		    access.reserved)
			return false;
		named = access.receiver == ffa_id(partition) ? partition
							     : ffa_peer(share->owner, access.receiver);
		if (!named || !share_find_borrower(share, named))
			return false;
		if (named == partition) {
			found = true;
			*own = access;
		}
	}
	return found;
}

static bool request_valid(const struct share *share, const struct ffa_memory *header)
{
	return share->open && header->sender == ffa_id(share->owner) && header->tag == share->tag &&
	       attributes_valid(header->attributes) &&
	       header->access_size == sizeof(struct ffa_memory_access) && header->access_count > 0 &&
	       header->access_count <= SHARE_BORROWERS && header->access_offset % DESCRIPTOR_ALIGN == 0 &&
	       header->access_offset >= sizeof(*header);
}

static uint8_t permissions_of(uint32_t map)
{
	return (uint8_t)((map & MAP_WRITE ? FFA_ACCESS_WRITE : FFA_ACCESS_READ) |
			 (map & MAP_EXECUTE ? FFA_ACCESS_EXECUTE : FFA_ACCESS_NO_EXECUTE));
}

/* The answer in RX: where the borrower sees all of it, in one range. */
struct response {
	struct ffa_memory header;
	struct ffa_memory_access access;
	struct ffa_memory_composite composite;
	struct ffa_memory_range range;
};

static struct response respond(const struct share *share, const struct partition *partition,
			       const struct share_view *view)
{
	return (struct response){.header = {.sender = ffa_id(share->owner),
					    .attributes = FFA_MEMORY_NORMAL,
					    .flags = (uint32_t)kinds[share->kind] << FFA_MEMORY_KIND_SHIFT |
						     (share->zero_first ? FFA_MEMORY_ZERO : 0),
					    .handle = share->handle,
					    .tag = share->tag,
					    .access_size = sizeof(struct ffa_memory_access),
					    .access_count = 1,
					    .access_offset = offsetof(struct response, access)},
				 .access = {.receiver = ffa_id(partition),
					    .permissions = permissions_of(view->flags),
					    .composite_offset = offsetof(struct response, composite)},
				 .composite = {.pages = share->pages, .count = 1},
				 .range = {.address = view->gpa, .pages = share->pages}};
}

/* It was one of a peer's, which has ended since. */
static bool has_ended(const struct partition *partition, uint64_t handle)
{
	const struct partition *owner = share_ended_owner(handle);

	return owner && owner != partition && ffa_allowed(partition, owner, CHANNEL_SHARE);
}

/* With the lock: 0, and the memory is in the caller's map. */
static int32_t retrieve(struct partition *partition, const struct source *from,
			const struct ffa_memory *header, struct response *response)
{
	struct share *share = share_find(header->handle);
	const struct share_borrower *borrower;
	const struct share_view *view;
	struct ffa_memory_access own;
	enum status status;
	uint32_t map;

	if (has_ended(partition, header->handle))
		return FFA_ABORTED;
	if (!share || !request_valid(share, header) || !find_entry(share, partition, from, header, &own))
		return FFA_INVALID_PARAMETERS;
	borrower = share_find_borrower(share, partition);
	map = asked_for(borrower, own.permissions);
	if (!map || !flags_valid(share, header->flags, map))
		return FFA_INVALID_PARAMETERS;
	if (share_find_view(partition, share->handle) || map & ~borrower->allowed ||
	    (header->flags & FFA_MEMORY_ZERO && !share->zero_first))
		return FFA_DENIED;
	view = share_map(share, partition, map, &status);
	if (!view)
		return code_of(status);
	share->zero |= header->flags & FFA_MEMORY_ZERO_AFTER;
	*response = respond(share, partition, view);
	return 0;
}

/* The buffer for the answer: 0, and it is the caller's from now on. */
static int32_t take_rx(struct ffa *ffa)
{
	int32_t error = 0;

	spin_lock(&ffa->lock);
	if (!ffa->rx)
		error = FFA_INVALID_PARAMETERS;
	else if (ffa->rx_state != RX_EMPTY)
		error = FFA_BUSY;
	else
		ffa->rx_state = RX_FULL;
	spin_unlock(&ffa->lock);
	return error;
}

static void give_rx(struct ffa *ffa)
{
	spin_lock(&ffa->lock);
	(void)ffa_release_rx(ffa);
	spin_unlock(&ffa->lock);
}

/* Another vCPU may have taken the buffers back by now: then nobody wants it any more. */
static void write_rx(struct ffa *ffa, const struct response *response)
{
	spin_lock(&ffa->lock);
	if (ffa->rx)
		memcpy(ffa->rx, response, sizeof(*response));
	spin_unlock(&ffa->lock);
}

static int32_t answer_retrieval(struct partition *partition, const struct source *from)
{
	struct ffa_memory header;
	struct response response;
	int32_t error;

	if (!copy(from, 0, &header, sizeof(header)))
		return FFA_INVALID_PARAMETERS;
	error = take_rx(partition->ffa);
	if (error)
		return error;
	spin_lock(&share_lock);
	error = retrieve(partition, from, &header, &response);
	spin_unlock(&share_lock);
	if (error)
		give_rx(partition->ffa);
	else
		write_rx(partition->ffa, &response);
	return error;
}

/* x1 and x2 the length, x3 and x4 0: the request is in TX, in one fragment. */
enum exit_action ffa_mem_retrieve(struct vcpu *vcpu, const struct call_arguments *in,
				  struct call_results *out)
{
	struct source from;
	int32_t error;

	if (in->x1 > FFA_BUFFER_SIZE || in->x2 != in->x1 || in->x3 || (uint32_t)vcpu->regs.r8)
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	from = (struct source){ffa_claim_tx(vcpu), (uint32_t)in->x1};
	error = answer_retrieval(vcpu->partition, &from);
	call_end_claims(vcpu);
	if (error)
		return ffa_error(out, error);
	*out = (struct call_results){.x0 = FFA_MEM_RETRIEVE_RESP,
				     .x1 = sizeof(struct response),
				     .x2 = sizeof(struct response),
				     .count = 4};
	return EXIT_NEXT;
}

/* With the lock: 0, and the memory is out of the caller's map, not yet out of all its CPUs. */
static int32_t relinquish(const struct vcpu *vcpu, uint64_t handle, uint32_t flags)
{
	struct share_view *view = share_find_view(vcpu->partition, handle);
	struct share *share = share_find(handle); /* NULL: the owner has ended */

	if ((!view && !(share && share_find_borrower(share, vcpu->partition))) || flags & ~FFA_MEMORY_ZERO)
		return FFA_INVALID_PARAMETERS;
	if (!view || view->leaving || (!view->orphaned && share->kind == SHARE_DONATED))
		return FFA_DENIED;
	if (flags && !view->orphaned && (share->kind == SHARE_SHARED || !(view->flags & MAP_WRITE)))
		return FFA_INVALID_PARAMETERS;
	if (!may_wait(vcpu))
		return FFA_BUSY;
	atomic_store(&vcpu->partition->flush_waiter, vcpu->shared);
	if (!view->orphaned)
		share->zero |= flags & FFA_MEMORY_ZERO;
	view->leaving = true;
	share_unmap(vcpu->partition, view);
	return 0;
}

/* Which, is in TX. */
static bool read_relinquish(struct vcpu *vcpu, struct ffa_memory_relinquish *which)
{
	const struct source from = {ffa_claim_tx(vcpu), FFA_BUFFER_SIZE};
	uint16_t endpoint = 0;
	const bool read = copy(&from, 0, which, sizeof(*which)) &&
			  copy(&from, sizeof(*which), &endpoint, sizeof(endpoint));

	call_end_claims(vcpu);
	return read && which->count == 1 && endpoint == ffa_id(vcpu->partition);
}

enum exit_action ffa_mem_relinquish(struct vcpu *vcpu, const struct call_arguments *in,
				    struct call_results *out)
{
	struct ffa_memory_relinquish which;
	enum exit_action action;
	int32_t error;

	(void)in;
	if (!read_relinquish(vcpu, &which))
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	spin_lock(&share_lock);
	error = relinquish(vcpu, which.handle, which.flags);
	spin_unlock(&share_lock);
	if (error)
		return ffa_error(out, error);
	action = flush_and_wait(vcpu);
	if (action != EXIT_NEXT)
		return action;
	spin_lock(&share_lock);
	share_return(share_find_view(vcpu->partition, which.handle));
	spin_unlock(&share_lock);
	return ffa_success(out);
}
