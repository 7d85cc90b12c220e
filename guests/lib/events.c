/*
 * Events: a page for each vCPU with pending bits, one upcall vector, and the handlers it fans out to. Taking
 * an event is clearing its bit; there is nothing to acknowledge, so an event costs no call.
 */
#include "../common/cpu.h"
#include "../common/interrupts.h"
#include "../common/x86.h"
#include "internal.h"

#define PAGE_SIZE 4096
#define EVENTS	  64u

union event_page {
	struct bh_event_page shared;
	uint8_t bytes[PAGE_SIZE];
};

static union event_page pages[BH_MAX_CPUS] __attribute__((aligned(PAGE_SIZE)));
static uint64_t arrived[BH_MAX_CPUS]; /* came and had no handler; each vCPU touches only its own */
static bh_event_handler *handlers[EVENTS];

struct bh_event_page *bh_event_page(void)
{
	return &pages[this_cpu()].shared;
}

static void deliver(uint32_t event)
{
	if (handlers[event])
		handlers[event](event);
	else
		arrived[this_cpu()] |= 1ull << event;
}

/* Takes everything that is pending and not masked, until nothing is left. Interrupts are off. */
static void upcall(void)
{
	struct bh_event_page *page = bh_event_page();
	uint64_t taken;
	while ((taken = __atomic_load_n(&page->pending, __ATOMIC_ACQUIRE) & ~page->mask) != 0) {
		__atomic_and_fetch(&page->pending, ~taken, __ATOMIC_SEQ_CST);
		for (; taken; taken &= taken - 1)
			deliver((uint32_t)__builtin_ctzll(taken));
	}
}

int bh_events_register(void)
{
	struct bh_event_page *page = bh_event_page();
	*page = (struct bh_event_page){0};
	arrived[this_cpu()] = 0;
	interrupt_handle(BH_UPCALL_VECTOR, upcall);
	return (int)bh_call(VENDOR_EVENT_PAGE, (uint64_t)page, BH_UPCALL_VECTOR, 0, 0, 0);
}

void bh_event_handle(uint32_t event, bh_event_handler *handler)
{
	if (event < EVENTS)
		__atomic_store_n(&handlers[event], handler, __ATOMIC_RELEASE);
}

void bh_event_mask(uint32_t event)
{
	if (event < EVENTS)
		__atomic_or_fetch(&bh_event_page()->mask, 1ull << event, __ATOMIC_SEQ_CST);
}

/* The hypervisor cannot see a mask change, so whoever unmasks looks for what came meanwhile. */
void bh_event_unmask(uint32_t event)
{
	if (event >= EVENTS)
		return;
	interrupts_off();
	__atomic_and_fetch(&bh_event_page()->mask, ~(1ull << event), __ATOMIC_SEQ_CST);
	upcall();
	interrupts_on();
}

void bh_wait_for(uint32_t event)
{
	if (event >= EVENTS)
		return;
	volatile uint64_t *came = &arrived[this_cpu()];
	interrupts_off();
	while (!(*came & 1ull << event))
		bh_idle();
	*came &= ~(1ull << event);
	interrupts_on();
}

int bh_ipi(uint32_t cpu, uint32_t event)
{
	return (int)bh_call(VENDOR_IPI, cpu, event, 0, 0, 0);
}
