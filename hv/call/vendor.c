/*
 * Bulkhead's own calls: what Arm leaves to hardware. They set up pages that the guest shares with the
 * hypervisor (events, clock, console), after which the steady state needs no call: a para partition has no
 * other device.
 *
 * The pages lie in the guest's own memory, and it may write anything there at any time. So each word is read
 * once, clamped, then used; a guest that breaks the protocol garbles its own console or loses its own events,
 * and nothing else.
 */
#include <bulkhead/abi.h>

#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "hv/call/call.h"
#include "hv/console/console.h"
#include "hv/core/partition.h"
#include "hv/lib/clamp.h"
#include "hv/lib/string.h"

#define FIRST_UPCALL_VECTOR 32u /* those below are the CPU's exceptions (SDM 3A, 6.2) */
#define LAST_UPCALL_VECTOR  255u
#define CONSOLE_VCPU	    0u /* console events and polling belong to vCPU 0 */
#define RING_POLL_MS	    10u
#define COPY_SIZE	    256u
#define CLOCK_VERSION	    1u
#define NS_PER_MS	    1000000ull
#define FEATURE_NUMBERS	    128u /* that VENDOR_FEATURES tells of */
#define NO_PAGE		    0u	 /* GPA 0 takes a page back */

_Static_assert(sizeof(struct bh_event_page) <= PAGE_SIZE && sizeof(struct bh_clock_page) <= PAGE_SIZE &&
		       sizeof(struct bh_console_ring) <= PAGE_SIZE,
	       "each shared structure fits a page");

static enum exit_action answer(struct call_results *out, int64_t x0)
{
	out->x0 = x0;
	return EXIT_NEXT;
}

/* x0..x3: bit n % 32 of word n / 32 is set when the vendor call number n is there. */
static enum exit_action vendor_features(struct vcpu *vcpu, const struct call_arguments *in,
					struct call_results *out)
{
	const uint32_t base = SMCCC_FAST | SMCCC_OWNER_VENDOR_HYP << SMCCC_OWNER_SHIFT;
	uint32_t map[FEATURE_NUMBERS / 32] = {0};

	(void)in;
	for (uint32_t number = 0; number < FEATURE_NUMBERS; number++)
		if (call_find(vcpu->partition, base | number) ||
		    call_find(vcpu->partition, base | SMCCC_64 | number))
			map[number / 32] |= 1u << number % 32;
	*out = (struct call_results){.x0 = map[0], .x1 = map[1], .x2 = map[2], .x3 = map[3], .count = 4};
	return EXIT_NEXT;
}

/*
 * Events: the interrupt controller of para partitions. Senders post to vcpu_shared.events, which is theirs to
 * reach; the vCPU's own CPU moves them into the guest's page.
 */

static enum exit_action event_page(struct vcpu *vcpu, const struct call_arguments *in,
				   struct call_results *out)
{
	struct bh_event_page *page = NULL;

	if (in->x1 != NO_PAGE) {
		page = call_claim_page(vcpu, CALL_PAGE_CLAIM, in->x1);
		if (!page || in->x2 < FIRST_UPCALL_VECTOR || in->x2 > LAST_UPCALL_VECTOR) {
			call_end_claims(vcpu);
			return answer(out, SMCCC_INVALID_PARAMETER);
		}
		vcpu->upcall_vector = (uint8_t)in->x2;
	}
	vcpu->event_page = page;
	atomic_store(&vcpu->shared->call_page[CALL_PAGE_EVENTS], in->x1);
	call_end_claims(vcpu);
	vcpu_request(vcpu->shared, REQUEST_INTERRUPT); /* events may have come before the page */
	return answer(out, SMCCC_SUCCESS);
}

bool events_due(struct vcpu *vcpu)
{
	struct bh_event_page *page = vcpu->event_page;

	if (!page)
		return false;
	if (atomic_load_explicit(&vcpu->shared->events, memory_order_relaxed)) {
		uint64_t raised = atomic_exchange(&vcpu->shared->events, 0);

		__atomic_fetch_or(&page->pending, raised, __ATOMIC_SEQ_CST);
	}
	return __atomic_load_n(&page->pending, __ATOMIC_ACQUIRE) &
	       ~__atomic_load_n(&page->mask, __ATOMIC_RELAXED);
}

static enum exit_action ipi(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	const struct partition *partition = vcpu->partition;
	struct vcpu_shared *target;

	if (in->x1 >= partition->vcpu_count || in->x2 >= BH_EVENT_IPIS)
		return answer(out, SMCCC_INVALID_PARAMETER);
	target = &partition->vcpu[clamp_index(in->x1, partition->vcpu_count)];
	if (atomic_load(&target->state) != VCPU_ON)
		return answer(out, SMCCC_INVALID_PARAMETER);
	vcpu_raise_event(target, (unsigned)in->x2);
	return answer(out, SMCCC_SUCCESS);
}

static enum exit_action deadline(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out)
{
	vcpu_set_timer(vcpu, TIMER_DEADLINE, in->x1 ? in->x1 : TIMER_NEVER);
	return answer(out, SMCCC_SUCCESS);
}

void vendor_timer(struct vcpu *vcpu)
{
	vcpu_raise_event(vcpu->shared, BH_EVENT_TIMER);
}

/*
 * The clock page is written once: the TSC is the clock, and never changes its pace.
 */
static enum exit_action clock_page(struct vcpu *vcpu, const struct call_arguments *in,
				   struct call_results *out)
{
	struct bh_clock_page *page;

	if (in->x1 == NO_PAGE)
		return answer(out, SMCCC_SUCCESS);
	page = call_claim_page(vcpu, CALL_PAGE_CLAIM, in->x1);
	if (page)
		*page = (struct bh_clock_page){.version = CLOCK_VERSION,
					       .tsc_khz = tsc_khz,
					       .tsc_base = boot_tsc,
					       .mul = (NS_PER_MS << 32) / tsc_khz,
					       .wall_s = boot_wall_s};
	call_end_claims(vcpu);
	return answer(out, page ? SMCCC_SUCCESS : SMCCC_INVALID_PARAMETER);
}

/*
 * The console ring. It is the partition's, so the device lock guards it: a kick may come from any of its
 * CPUs.
 */

/* What became of the ring's bytes. */
struct drained {
	uint32_t moved, left;
};

/*
 * Moves bytes from the ring to the console: at most the size of the ring, whatever its positions claim, and
 * no more than the console has room for. `last`: the ring goes away, and what finds no room is lost.
 */
static struct drained drain(struct partition *partition, struct bh_console_ring *ring, bool last)
{
	uint32_t head = __atomic_load_n(&ring->out_head, __ATOMIC_ACQUIRE);
	uint32_t total = MIN(head - __atomic_load_n(&ring->out_tail, __ATOMIC_RELAXED), BH_RING_OUT_SIZE);
	uint32_t left = total, part, taken = 0;
	uint8_t copy[COPY_SIZE];

	for (part = 0; left > 0 && taken == part; left -= taken) {
		uint32_t place = (head - left) % BH_RING_OUT_SIZE;

		part = MIN(MIN(left, COPY_SIZE), BH_RING_OUT_SIZE - place);
		memcpy(copy, ring->out + place, part);
		taken = part;
		if (last)
			console_write_last(partition, copy, part);
		else
			taken = (uint32_t)console_write(partition, copy, part);
	}
	if (left < total)
		__atomic_store_n(&ring->out_tail, head - left, __ATOMIC_RELEASE);
	return (struct drained){.moved = total - left, .left = left};
}

/* A guest that waits is woken by progress only: it may ask again at once. */
static void tell_space(struct partition *partition, struct bh_console_ring *ring, struct drained drained)
{
	if (!__atomic_load_n(&ring->out_waiting, __ATOMIC_RELAXED) || (drained.left && !drained.moved))
		return;
	__atomic_store_n(&ring->out_waiting, 0, __ATOMIC_SEQ_CST);
	vcpu_raise_event(&partition->vcpu[CONSOLE_VCPU], BH_EVENT_CONSOLE_SPACE);
}

/* Empties the ring and asks for a kick; looks once more, for a byte written before the guest could see that.
 */
static struct drained drain_and_sleep(struct partition *partition, struct bh_console_ring *ring)
{
	struct drained first = drain(partition, ring, false), second;

	__atomic_store_n(&ring->kick_wanted, 1, __ATOMIC_SEQ_CST);
	second = drain(partition, ring, false);
	return (struct drained){.moved = first.moved + second.moved, .left = second.left};
}

/*
 * True while bytes flow: then the ring is looked at again later, and the guest need not call. Nor need it
 * while the console has no room: that asks for the rest once it has.
 */
static bool fetch_output(struct partition *partition)
{
	struct drained drained = {0};
	struct bh_console_ring *ring;

	spin_lock(&partition->device_lock);
	ring = partition->console_ring;
	if (ring) {
		drained = drain_and_sleep(partition, ring);
		if (drained.moved || drained.left)
			__atomic_store_n(&ring->kick_wanted, 0, __ATOMIC_SEQ_CST);
		tell_space(partition, ring, drained);
	}
	spin_unlock(&partition->device_lock);
	return drained.moved > 0;
}

bool vendor_console_settle(struct partition *partition)
{
	struct drained drained = {0};

	spin_lock(&partition->device_lock);
	if (partition->console_ring) {
		drained = drain_and_sleep(partition, partition->console_ring);
		tell_space(partition, partition->console_ring, drained);
	}
	spin_unlock(&partition->device_lock);
	return drained.left == 0;
}

void vendor_console_last_words(struct partition *partition)
{
	spin_lock(&partition->device_lock);
	if (partition->console_ring)
		(void)drain(partition, partition->console_ring, true);
	spin_unlock(&partition->device_lock);
}

/* Runs on the CPU of vCPU 0. CPU 0 uses the same timer for its own console tick: never put that off. */
void vendor_console_poll(struct vcpu *vcpu)
{
	uint64_t again = rdtsc() + ms_to_tsc(RING_POLL_MS);

	if (fetch_output(vcpu->partition) && again < vcpu->timer[TIMER_CONSOLE])
		vcpu_set_timer(vcpu, TIMER_CONSOLE, again);
}

/* One byte of input, if there is one and the ring has room. */
static bool move_byte(struct input_queue *input, struct bh_console_ring *ring, uint32_t *position)
{
	uint32_t tail = atomic_load_explicit(&input->tail, memory_order_relaxed);
	uint32_t used = *position - __atomic_load_n(&ring->in_tail, __ATOMIC_ACQUIRE);

	if (tail == atomic_load_explicit(&input->head, memory_order_acquire) || used >= BH_RING_IN_SIZE)
		return false;
	ring->in[(*position)++ % BH_RING_IN_SIZE] = input->byte[tail % INPUT_SIZE];
	atomic_store_explicit(&input->tail, tail + 1, memory_order_release);
	return true;
}

static uint32_t fetch_input(struct partition *partition, struct bh_console_ring *ring)
{
	uint32_t position = __atomic_load_n(&ring->in_head, __ATOMIC_RELAXED), moved = 0;

	while (moved < INPUT_SIZE && move_byte(&partition->input, ring, &position))
		moved++;
	if (moved > 0)
		__atomic_store_n(&ring->in_head, position, __ATOMIC_RELEASE);
	return moved;
}

/* Bytes that find no room stay in the queue: the console asks again as long as there are some. */
void vendor_console_input(struct vcpu *vcpu)
{
	struct partition *partition = vcpu->partition;
	uint32_t moved = 0;

	spin_lock(&partition->device_lock);
	if (partition->console_ring)
		moved = fetch_input(partition, partition->console_ring);
	spin_unlock(&partition->device_lock);
	if (moved > 0)
		vcpu_raise_event(&partition->vcpu[CONSOLE_VCPU], BH_EVENT_CONSOLE_INPUT);
	vendor_console_poll(vcpu); /* a kick on another CPU asks for this */
}

static void set_ring(struct partition *partition, struct bh_console_ring *ring, uint64_t address)
{
	spin_lock(&partition->device_lock);
	partition->console_ring = ring;
	atomic_store(&partition->call_page[CALL_PAGE_RING], address);
	spin_unlock(&partition->device_lock);
}

/* vCPU 0 looks at the ring at once: bytes may wait on both sides. */
static enum exit_action console_ring(struct vcpu *vcpu, const struct call_arguments *in,
				     struct call_results *out)
{
	struct partition *partition = vcpu->partition;
	struct bh_console_ring *ring = NULL;

	if (in->x1 != NO_PAGE) {
		ring = call_claim_page(vcpu, CALL_PAGE_CLAIM, in->x1);
		if (!ring) {
			call_end_claims(vcpu);
			return answer(out, SMCCC_INVALID_PARAMETER);
		}
	}
	vendor_console_last_words(partition);
	set_ring(partition, ring, in->x1);
	call_end_claims(vcpu);
	if (ring)
		vcpu_request(&partition->vcpu[CONSOLE_VCPU], REQUEST_CONSOLE);
	return answer(out, SMCCC_SUCCESS);
}

static enum exit_action console_kick(struct vcpu *vcpu, const struct call_arguments *in,
				     struct call_results *out)
{
	struct partition *partition = vcpu->partition;

	(void)in;
	if (!partition->console_ring)
		return answer(out, SMCCC_NOT_REQUIRED);
	if (vcpu->shared->index == CONSOLE_VCPU)
		vendor_console_poll(vcpu);
	else if (fetch_output(partition))
		vcpu_request(&partition->vcpu[CONSOLE_VCPU], REQUEST_CONSOLE); /* it goes on looking */
	return answer(out, SMCCC_SUCCESS);
}

/*
 * Every reset and every end of a vCPU. With vCPU 0 goes the timer that looks at the ring, so the guest's
 * other CPUs are asked to kick.
 */
void vendor_vcpu_reset(struct vcpu *vcpu)
{
	vcpu->event_page = NULL;
	atomic_store(&vcpu->shared->call_page[CALL_PAGE_EVENTS], 0);
	vcpu->upcall_vector = 0;
	vcpu_set_timer(vcpu, TIMER_DEADLINE, TIMER_NEVER);
	pvtime_vcpu_reset(vcpu);
	ffa_vcpu_reset(vcpu);
	if (vcpu->shared->index == CONSOLE_VCPU)
		(void)vendor_console_settle(vcpu->partition); /* the rest follows by itself */
}

static const struct call_row vendor_rows[] = {
	[CALL_NUMBER(VENDOR_FEATURES)] = {vendor_features, CALL_32, false, false},
	[CALL_NUMBER(VENDOR_EVENT_PAGE)] = {event_page, CALL_64, true, false},
	[CALL_NUMBER(VENDOR_IPI)] = {ipi, CALL_64, true, false},
	[CALL_NUMBER(VENDOR_DEADLINE)] = {deadline, CALL_64, true, false},
	[CALL_NUMBER(VENDOR_CONSOLE_RING)] = {console_ring, CALL_64, true, false},
	[CALL_NUMBER(VENDOR_CONSOLE_KICK)] = {console_kick, CALL_64, true, false},
	[CALL_NUMBER(VENDOR_CLOCK_PAGE)] = {clock_page, CALL_64, true, false},
};
const struct call_service vendor_service = {0, ARRAY_SIZE(vendor_rows), vendor_rows};
