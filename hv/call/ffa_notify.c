/*
 * Notifications (DEN0077A 1.1, chapter 9 and 16): 64 bits that others may set at a receiver, which says who
 * may set which. A bit set anew raises BH_EVENT_NOTIFICATION there, so that a receiver never asks in vain.
 */
#include "hv/call/ffa.h"
#include "hv/lib/clamp.h"

#define GET_FLAGS (FFA_GET_SECURE | FFA_GET_PARTITIONS | FFA_GET_SPM | FFA_GET_HYPERVISOR)
#define SET_FLAGS (FFA_NOTIFY_PER_VCPU | FFA_NOTIFY_DELAY | UINT32_MAX << FFA_NOTIFY_VCPU_SHIFT)

/* x3 the lower half, x4 the upper one. */
static uint64_t bitmap_of(const struct vcpu *vcpu, const struct call_arguments *in)
{
	return in->x3 | vcpu->regs.r8 << 32;
}

static uint16_t sender_of(const struct call_arguments *in)
{
	return (uint16_t)(in->x1 >> 16);
}

static uint16_t receiver_of(const struct call_arguments *in)
{
	return (uint16_t)in->x1;
}

/* With the lock. */
static uint64_t all_bound(const struct ffa *ffa)
{
	uint64_t bound = 0;

	for (uint32_t i = 0; i < CONFIG_MAX_PARTITIONS; i++)
		bound |= ffa->bound[i] | ffa->bound_per_vcpu[i];
	return bound;
}

/* What BIND and UNBIND ask of their arguments; 0, with *sender, or the error. */
static int32_t check_binding(struct vcpu *vcpu, const struct call_arguments *in, uint32_t flags,
			     struct partition **sender)
{
	*sender = ffa_peer(vcpu->partition, sender_of(in));
	if (receiver_of(in) != ffa_id(vcpu->partition) || !*sender || in->x2 & ~(uint64_t)flags ||
	    bitmap_of(vcpu, in) == 0)
		return FFA_INVALID_PARAMETERS;
	return ffa_allowed(vcpu->partition, *sender, CHANNEL_NOTIFY) ? 0 : FFA_DENIED;
}

enum exit_action ffa_notification_bind(struct vcpu *vcpu, const struct call_arguments *in,
				       struct call_results *out)
{
	struct ffa *ffa = vcpu->partition->ffa;
	uint64_t bitmap = bitmap_of(vcpu, in);
	struct partition *sender;
	int32_t error = check_binding(vcpu, in, FFA_NOTIFY_PER_VCPU, &sender);

	if (error)
		return ffa_error(out, error);
	spin_lock(&ffa->lock);
	if (all_bound(ffa) & bitmap)
		error = FFA_DENIED;
	else if (in->x2 & FFA_NOTIFY_PER_VCPU)
		ffa->bound_per_vcpu[sender->id] |= bitmap;
	else
		ffa->bound[sender->id] |= bitmap;
	spin_unlock(&ffa->lock);
	return error ? ffa_error(out, error) : ffa_success(out);
}

/* With the lock. */
static uint64_t all_pending(const struct partition *partition)
{
	uint64_t pending = partition->ffa->notifications;

	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		pending |= partition->ffa->vcpu[i].notifications;
	return pending;
}

enum exit_action ffa_notification_unbind(struct vcpu *vcpu, const struct call_arguments *in,
					 struct call_results *out)
{
	struct ffa *ffa = vcpu->partition->ffa;
	uint64_t bitmap = bitmap_of(vcpu, in);
	struct partition *sender;
	int32_t error = check_binding(vcpu, in, 0, &sender);

	if (error)
		return ffa_error(out, error);
	spin_lock(&ffa->lock);
	if (bitmap & ~(ffa->bound[sender->id] | ffa->bound_per_vcpu[sender->id]) ||
	    bitmap & all_pending(vcpu->partition))
		error = FFA_DENIED;
	else {
		ffa->bound[sender->id] &= ~bitmap;
		ffa->bound_per_vcpu[sender->id] &= ~bitmap;
	}
	spin_unlock(&ffa->lock);
	return error ? ffa_error(out, error) : ffa_success(out);
}

_Static_assert((CONFIG_MAX_PARTITIONS & (CONFIG_MAX_PARTITIONS - 1)) == 0, "an index is masked by it");

/*
 * Setting, which is to cost its caller little: registers are read and written here, and what most callers
 * want is tested for first.
 */

static NOINLINE enum exit_action refuse(union guest_registers *regs, int32_t code)
{
	regs->rax = FFA_ERROR;
	regs->rsi = 0;
	regs->rcx = 0;
	regs->rdx = (uint32_t)code;
	return EXIT_NEXT;
}

/* `bound`: what the sender may set in `pending`, of which `vcpu` is told. */
static inline enum exit_action set(union guest_registers *regs, struct spinlock *lock, const uint64_t *bound,
				   uint64_t *pending, struct vcpu_shared *vcpu)
{
	const uint64_t bitmap = (uint32_t)regs->rcx | regs->r8 << 32;
	uint64_t before;

	spin_lock(lock);
	before = *pending;
	if (unlikely(bitmap & ~*bound)) {
		spin_unlock(lock);
		return refuse(regs, FFA_DENIED);
	}
	*pending = before | bitmap;
	spin_unlock(lock);
	regs->rax = FFA_SUCCESS_32;
	regs->rsi = 0;
	regs->rdx = 0;
	regs->rcx = 0;
	if (likely(bitmap & ~before))
		vcpu_raise_event(vcpu, BH_EVENT_NOTIFICATION);
	else if (!bitmap)
		return refuse(regs, FFA_INVALID_PARAMETERS);
	return EXIT_NEXT;
}

/* Those that anybody of the receiver's may take, or of one of its vCPUs alone. */
static NOINLINE enum exit_action set_by_flags(union guest_registers *regs, struct ffa *receiver,
					      uint32_t sender)
{
	const uint32_t flags = (uint32_t)regs->rdx, index = flags >> FFA_NOTIFY_VCPU_SHIFT;
	const uint32_t count = receiver->vcpu[0].partition->vcpu_count;
	struct ffa_vcpu *vcpu = &receiver->vcpu[clamp_index(index, count)];

	if (flags & ~SET_FLAGS || index >= count || (index && !(flags & FFA_NOTIFY_PER_VCPU)))
		return refuse(regs, FFA_INVALID_PARAMETERS);
	if (flags & FFA_NOTIFY_PER_VCPU)
		return set(regs, &receiver->lock, &receiver->bound_per_vcpu[sender], &vcpu->notifications,
			   vcpu->shared);
	return set(regs, &receiver->lock, &receiver->bound[sender], &receiver->notifications, vcpu->shared);
}

enum exit_action ffa_notification_set(struct vcpu *vcpu, const struct call_arguments *in,
				      struct call_results *out)
{
	union guest_registers *regs = &vcpu->regs;
	const uint32_t sender = vcpu->partition->id, ids = (uint32_t)regs->rsi;
	const struct ffa_peer *peer = &vcpu->partition->ffa->peer[ffa_place(ids)];
	struct ffa *receiver = peer->ffa;

	(void)in, (void)out;
	if (unlikely(peer->ids != ids))
		return refuse(regs, FFA_INVALID_PARAMETERS);
	if (unlikely((uint32_t)regs->rdx))
		return set_by_flags(regs, receiver, sender);
	return set(regs, &receiver->lock, &receiver->bound[sender], &receiver->notifications,
		   receiver->vcpu[0].shared);
}

/* With the lock: those of all vCPUs and of this one. */
static uint64_t take_pending(struct ffa *ffa, struct ffa_vcpu *own)
{
	uint64_t pending = ffa->notifications | own->notifications;

	ffa->notifications = own->notifications = 0;
	return pending;
}

/* x1: the vCPU in the upper half, oneself in the lower. */
enum exit_action ffa_notification_get(struct vcpu *vcpu, const struct call_arguments *in,
				      struct call_results *out)
{
	const struct partition *partition = vcpu->partition;
	struct ffa *ffa = partition->ffa;
	uint64_t index = in->x1 >> 16, bitmap = 0;
	uint32_t framework = 0;

	if (receiver_of(in) != ffa_id(partition) || index >= partition->vcpu_count ||
	    in->x2 & ~(uint64_t)GET_FLAGS)
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	index = clamp_index(index, partition->vcpu_count);
	if (in->x2 & FFA_GET_PARTITIONS) {
		spin_lock(&ffa->lock);
		bitmap = take_pending(ffa, &ffa->vcpu[index]);
		spin_unlock(&ffa->lock);
	}
	if (in->x2 & FFA_GET_HYPERVISOR)
		framework = atomic_exchange(&ffa->framework, 0);
	vcpu->regs.r8 = (uint32_t)bitmap;
	vcpu->regs.r9 = bitmap >> 32;
	vcpu->regs.r10 = 0;
	vcpu->regs.r11 = framework;
	return ffa_success(out);
}
