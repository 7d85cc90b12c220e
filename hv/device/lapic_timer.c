/*
 * The local APIC's timer (SDM 3A 11.5.4): one-shot, periodic, TSC deadline. As with the 8254 nothing counts;
 * the count and the next interrupt follow from the TSC at which the timer was started, so that periods do not
 * drift. Its input clock is the TSC itself (CPUID 4000_0010h says so): no access has anything to convert.
 */
#include "hv/device/devices.h"

#define TIMER_MODE	    0x60000u
#define TIMER_MODE_PERIODIC 0x20000u
#define TIMER_MODE_DEADLINE 0x40000u

static bool is_deadline(const struct lapic *lapic)
{
	return (lapic->lvt[LVT_TIMER] & TIMER_MODE) == TIMER_MODE_DEADLINE;
}

static bool is_periodic(const struct lapic *lapic)
{
	return (lapic->lvt[LVT_TIMER] & TIMER_MODE) == TIMER_MODE_PERIODIC;
}

/* Divide configuration (figure 11-10): bits 3, 1, 0 are the power of two less one, 7 being "by 1". */
static unsigned divide_shift(const struct lapic *lapic)
{
	const uint32_t code = (lapic->divide & 8) >> 1 | (lapic->divide & 3);

	return (code + 1) & 7;
}

/* Ticks of the divided clock since the start. */
static uint64_t elapsed(const struct lapic *lapic, uint64_t now)
{
	return now <= lapic->timer_start ? 0 : (now - lapic->timer_start) >> divide_shift(lapic);
}

/* When the next interrupt is due, as seen from `now`. */
static uint64_t next_due(const struct lapic *lapic, uint64_t now)
{
	uint64_t ticks = lapic->initial_count;

	if (is_deadline(lapic))
		return lapic->tsc_deadline ? lapic->tsc_deadline : TIMER_NEVER;
	if (!ticks || lapic->timer_fired)
		return TIMER_NEVER;
	if (is_periodic(lapic))
		ticks *= elapsed(lapic, now) / ticks + 1;
	return lapic->timer_start + (ticks << divide_shift(lapic));
}

/* A masked timer counts on, but nobody has to be woken for it. */
static void arm(struct vcpu *vcpu, uint64_t now)
{
	struct lapic *lapic = vcpu->lapic;

	lapic->timer_due = next_due(lapic, now);
	vcpu_set_timer(vcpu, TIMER_LAPIC,
		       lapic->lvt[LVT_TIMER] & LVT_MASKED ? TIMER_NEVER : lapic->timer_due);
}

/* It is not periodic; a deadline reads 0 from then on (11.5.4.1). */
static void run_out(struct lapic *lapic)
{
	lapic->timer_fired = true;
	lapic->tsc_deadline = 0;
	lapic->timer_due = TIMER_NEVER;
}

/* What was due by now has happened, heard or not: a masked interrupt is lost, and only a periodic timer goes
 * on. */
static NOINLINE void settle(struct vcpu *vcpu, uint64_t now)
{
	struct lapic *lapic = vcpu->lapic;
	const uint32_t lvt = lapic->lvt[LVT_TIMER];

	if (now < lapic->timer_due)
		return;
	if (is_periodic(lapic))
		arm(vcpu, now);
	else
		run_out(lapic);
	if (!(lvt & LVT_MASKED))
		lapic_accept(vcpu, lvt & DELIVERY_VECTOR);
}

static NOINLINE void settle_and_arm(struct vcpu *vcpu, uint64_t now)
{
	settle(vcpu, now);
	arm(vcpu, now);
}

/* Its host timer has been disarmed. Most often it is due and heard: that is done without a look at more. */
void lapic_timer_fire(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	const uint64_t now = device_now();
	const uint32_t lvt = lapic->lvt[LVT_TIMER];

	if (now < lapic->timer_due || (lvt & LVT_MASKED)) {
		settle_and_arm(vcpu, now);
		return;
	}
	if (is_periodic(lapic))
		arm(vcpu, now);
	else
		run_out(lapic);
	lapic_accept(vcpu, lvt & DELIVERY_VECTOR);
}

static void start(struct vcpu *vcpu, uint64_t now)
{
	vcpu->lapic->timer_start = now;
	vcpu->lapic->timer_fired = false;
	arm(vcpu, now);
}

void lapic_timer_set_count(struct vcpu *vcpu, uint32_t count)
{
	if (is_deadline(vcpu->lapic))
		return; /* ignored (11.5.4.1) */
	vcpu->lapic->initial_count = count;
	start(vcpu, device_now());
}

static uint32_t count_at(const struct lapic *lapic, uint64_t now)
{
	const uint64_t ticks = elapsed(lapic, now);

	if (is_deadline(lapic) || !lapic->initial_count)
		return 0;
	if (is_periodic(lapic))
		return (uint32_t)(lapic->initial_count - ticks % lapic->initial_count);
	return ticks < lapic->initial_count && !lapic->timer_fired ? (uint32_t)(lapic->initial_count - ticks)
								   : 0;
}

uint32_t lapic_timer_count(const struct vcpu *vcpu)
{
	return count_at(vcpu->lapic, device_now());
}

/* The count goes on from where it is, whatever changes that it follows from. */
static void keep_count(struct lapic *lapic, uint32_t count, uint64_t now)
{
	if (count)
		lapic->timer_start = now - ((uint64_t)(lapic->initial_count - count) << divide_shift(lapic));
}

void lapic_timer_set_divide(struct vcpu *vcpu, uint32_t divide)
{
	struct lapic *lapic = vcpu->lapic;
	const uint64_t now = device_now();
	const uint32_t count = count_at(lapic, now);

	settle(vcpu, now);
	lapic->divide = divide;
	keep_count(lapic, count, now);
	arm(vcpu, now);
}

void lapic_timer_set_vector(struct vcpu *vcpu, uint32_t lvt)
{
	struct lapic *lapic = vcpu->lapic;
	const uint32_t before = lapic->lvt[LVT_TIMER];
	const uint64_t now = device_now();
	const bool crossed = ((before ^ lvt) & TIMER_MODE_DEADLINE) != 0;

	settle(vcpu, now);
	if (is_periodic(lapic) && (lvt & TIMER_MODE) != TIMER_MODE_PERIODIC)
		keep_count(lapic, count_at(lapic, now), now); /* this period ends; those before have */
	lapic->lvt[LVT_TIMER] = lvt;
	if (crossed) { /* to or from deadline mode: disarmed (11.5.4.1) */
		lapic->initial_count = 0;
		lapic->tsc_deadline = 0;
	}
	arm(vcpu, now);
}

void lapic_timer_set_deadline(struct vcpu *vcpu, uint64_t tsc)
{
	struct lapic *lapic = vcpu->lapic;

	if (!is_deadline(lapic))
		return;
	lapic->tsc_deadline = tsc;
	if (tsc && tsc <= device_now()) {
		lapic->timer_due = tsc;
		vcpu_set_timer(vcpu, TIMER_LAPIC, TIMER_NEVER);
		lapic_timer_fire(vcpu);
		return;
	}
	arm(vcpu, 0);
}

/* In another mode it reads 0. */
uint64_t lapic_timer_deadline(struct vcpu *vcpu)
{
	settle(vcpu, device_now());
	return is_deadline(vcpu->lapic) ? vcpu->lapic->tsc_deadline : 0;
}
