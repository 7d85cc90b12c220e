/*
 * Ticket lock. The hypervisor never takes an interrupt while it holds one (IF = 0), so there is no irqsave
 * variant.
 *
 * Lock order, outermost first; a CPU may only take a lock that stands below those it holds:
 *   partition.device_lock > partition.lifecycle_lock > share_lock > pool lock > console lock > log lock
 * share_lock guards the table of frame owners, too. The locks of FF-A's messages stand alone: nobody who
 * holds one takes another.
 */
#pragma once

#include <stdatomic.h>
#include "hv/lib/types.h"

struct spinlock {
	_Atomic uint16_t next;
	_Atomic uint16_t serving;
};

/* Out of line: seldom, and the way past it is short. */
static __attribute__((noinline, cold, unused)) void spin_wait(struct spinlock *lock, uint16_t ticket)
{
	while (atomic_load_explicit(&lock->serving, memory_order_acquire) != ticket)
		__builtin_ia32_pause();
}

static inline void spin_lock(struct spinlock *lock)
{
	uint16_t ticket = atomic_fetch_add_explicit(&lock->next, 1, memory_order_relaxed);

	if (__builtin_expect(atomic_load_explicit(&lock->serving, memory_order_acquire) != ticket, 0))
		spin_wait(lock, ticket);
}

static inline bool spin_try_lock(struct spinlock *lock)
{
	uint16_t serving = atomic_load_explicit(&lock->serving, memory_order_acquire);
	uint16_t expected = serving;

	return atomic_compare_exchange_strong_explicit(&lock->next, &expected, (uint16_t)(serving + 1),
						       memory_order_acquire, memory_order_relaxed);
}

/* Only the holder writes `serving`, so one plain addition will do; x86 keeps it behind all stores before it
 * (SDM 3A 8.2.2). */
static inline void spin_unlock(struct spinlock *lock)
{
	__asm__ volatile("incw %0" : "+m"(lock->serving) : : "memory", "cc");
}
