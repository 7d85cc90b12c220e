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
		bound |= ffa->bound[i];
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
	else {
		ffa->bound[sender->id] |= bitmap;
		if (in->x2 & FFA_NOTIFY_PER_VCPU)
			ffa->per_vcpu |= bitmap;
	}
	spin_unlock(&ffa->lock);
	return error ? ffa_error(out, error) : ffa_success(out);
}

static uint64_t all_pending(const struct partition *partition)
{
	uint64_t pending = atomic_load(&partition->ffa->notifications);

	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		pending |= atomic_load(&partition->ffa->vcpu[i].notifications);
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
	if (bitmap & ~ffa->bound[sender->id] || bitmap & all_pending(vcpu->partition))
		error = FFA_DENIED;
	else {
		ffa->bound[sender->id] &= ~bitmap;
		ffa->per_vcpu &= ~bitmap;
	}
	spin_unlock(&ffa->lock);
	return error ? ffa_error(out, error) : ffa_success(out);
}

/* With the receiver's lock: are all of them the caller's to set, and of the kind it says? */
static bool may_set(const struct ffa *receiver, uint32_t sender, uint64_t bitmap, uint64_t flags)
{
	uint64_t of_kind = flags & FFA_NOTIFY_PER_VCPU ? receiver->per_vcpu : ~receiver->per_vcpu;

	return !(bitmap & ~(receiver->bound[sender] & of_kind));
}

enum exit_action ffa_notification_set(struct vcpu *vcpu, const struct call_arguments *in,
				      struct call_results *out)
{
	struct partition *partition = vcpu->partition, *receiver = ffa_peer(partition, receiver_of(in));
	uint64_t bitmap = bitmap_of(vcpu, in), index = in->x2 >> FFA_NOTIFY_VCPU_SHIFT, before;
	_Atomic uint64_t *pending;
	bool allowed;

	if (sender_of(in) != ffa_id(partition) || !receiver || !bitmap || in->x2 & ~(uint64_t)SET_FLAGS ||
	    index >= receiver->vcpu_count || (index && !(in->x2 & FFA_NOTIFY_PER_VCPU)))
		return ffa_error(out, FFA_INVALID_PARAMETERS);
	index = clamp_index(index, receiver->vcpu_count);
	pending = in->x2 & FFA_NOTIFY_PER_VCPU ? &receiver->ffa->vcpu[index].notifications
					       : &receiver->ffa->notifications;
	spin_lock(&receiver->ffa->lock);
	allowed = may_set(receiver->ffa, partition->id, bitmap, in->x2);
	before = allowed ? atomic_fetch_or(pending, bitmap) : bitmap;
	spin_unlock(&receiver->ffa->lock);
	if (!allowed)
		return ffa_error(out, FFA_DENIED);
	if (bitmap & ~before)
		ffa_raise(receiver, (uint32_t)index, BH_EVENT_NOTIFICATION);
	return ffa_success(out);
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
	if (in->x2 & FFA_GET_PARTITIONS)
		bitmap = atomic_exchange(&ffa->notifications, 0) |
			 atomic_exchange(&ffa->vcpu[index].notifications, 0);
	if (in->x2 & FFA_GET_HYPERVISOR)
		framework = atomic_exchange(&ffa->framework, 0);
	vcpu->regs.r8 = (uint32_t)bitmap;
	vcpu->regs.r9 = bitmap >> 32;
	vcpu->regs.r10 = 0;
	vcpu->regs.r11 = framework;
	return ffa_success(out);
}
