/*
 * Ticket lock. The hypervisor never takes an interrupt while it holds one (IF = 0), so there is no irqsave
 * variant.
 *
 * Lock order, outermost first; a CPU may only take a lock that stands below those it holds:
 *   partition.lifecycle_lock > partition.device_lock > frames lock > pool lock > console lock > log lock
 */
#pragma once

#include <stdatomic.h>
#include "hv/lib/types.h"

struct spinlock {
	_Atomic uint16_t next;
	_Atomic uint16_t serving;
};

static inline void spin_lock(struct spinlock *lock)
{
	uint16_t ticket = atomic_fetch_add_explicit(&lock->next, 1, memory_order_relaxed);

	while (atomic_load_explicit(&lock->serving, memory_order_acquire) != ticket)
		__builtin_ia32_pause();
}

static inline bool spin_try_lock(struct spinlock *lock)
{
	uint16_t serving = atomic_load_explicit(&lock->serving, memory_order_acquire);
	uint16_t expected = serving;

	return atomic_compare_exchange_strong_explicit(&lock->next, &expected, (uint16_t)(serving + 1),
						       memory_order_acquire, memory_order_relaxed);
}

static inline void spin_unlock(struct spinlock *lock)
{
	uint16_t serving = atomic_load_explicit(&lock->serving, memory_order_relaxed);

	atomic_store_explicit(&lock->serving, (uint16_t)(serving + 1), memory_order_release);
}
