/*
 * The virtual-APIC page: the local APIC's requests, service and priorities where the CPU keeps them (SDM 3C
 * 30.1.1), the way from struct lapic into the page and back, and the copies of all other registers.
 */
#include "hv/device/lapic_page.h"

static unsigned highest(const struct lapic *lapic, unsigned first)
{
	for (unsigned i = 0; i < LAPIC_WORDS; i++) {
		const unsigned word = LAPIC_WORDS - 1 - i;
		const uint32_t bits = lapic_page_load(lapic, first + word);

		if (bits)
			return word * 32 + highest_bit(bits);
	}
	return 0;
}

uint32_t lapic_task_priority(const struct lapic *lapic)
{
	return lapic->page ? lapic_page_load(lapic, REG_TASK_PRIORITY) & 0xFF : lapic->task_priority;
}

/* The page is given up by its own CPU while others ask: looked at once. */
uint32_t lapic_priority(const struct lapic *lapic)
{
	_Atomic uint32_t *const page = *(_Atomic uint32_t *const volatile *)&lapic->page;

	return page ? lapic_load(&page[REG_PRIORITY * 4]) : lapic_load(&lapic->priority);
}

void lapic_page_take(struct lapic *lapic)
{
	uint32_t words = lapic->request.used;

	lapic->request.used = 0;
	while (words) {
		const unsigned word = highest_bit(words), index = REG_REQUEST + word;
		const uint32_t bits = lapic->request.word[word];

		words &= ~(1u << word);
		lapic->request.word[word] = 0;
		lapic_page_store(lapic, index, lapic_page_load(lapic, index) | bits);
		lapic->raised = MAX(lapic->raised, word * 32 + highest_bit(bits));
	}
}

int lapic_page_pending(struct lapic *lapic)
{
	unsigned vector;

	lapic_page_take(lapic);
	vector = highest(lapic, REG_REQUEST);
	return held_back(vector, lapic_page_load(lapic, REG_PRIORITY)) ? -1 : (int)vector;
}

/* PPR, after TPR or service has changed. */
static void settle(struct lapic *lapic)
{
	lapic_page_store(lapic, REG_PRIORITY,
			 processor_priority(lapic_task_priority(lapic), highest(lapic, REG_SERVICE)));
}

void lapic_page_set_task_priority(struct lapic *lapic, uint32_t value)
{
	lapic_page_store(lapic, REG_TASK_PRIORITY, value);
	settle(lapic);
}

unsigned lapic_page_end(struct lapic *lapic)
{
	const unsigned vector = highest(lapic, REG_SERVICE), index = REG_SERVICE + vector / 32;

	lapic_page_store(lapic, index, lapic_page_load(lapic, index) & ~(1u << vector % 32));
	lapic->raised = RAISED_ANEW;
	settle(lapic);
	return vector;
}

uint16_t lapic_page_status(const struct lapic *lapic)
{
	return (uint16_t)(highest(lapic, REG_SERVICE) << 8 | highest(lapic, REG_REQUEST));
}

/* Requests follow when they are taken there. */
void lapic_page_fill(struct lapic *lapic, _Atomic uint32_t *page)
{
	lapic->page = page;
	for (unsigned i = 0; i < LAPIC_WORDS; i++) {
		lapic_page_store(lapic, REG_SERVICE + i, lapic->service.word[i]);
		lapic_page_store(lapic, REG_REQUEST + i, 0);
	}
	lapic_page_store(lapic, REG_EOI, 0); /* where reads would find what was written */
	lapic_page_mirror_trigger(lapic);
	lapic_page_set_task_priority(lapic, lapic->task_priority);
	lapic->service = (struct vector_set){0};
	lapic->pending = -1;
	lapic->raised = RAISED_ANEW;
	atomic_fetch_or(&lapic->attention, ATTENTION_PAGE);
}

void lapic_page_give_up(struct lapic *lapic)
{
	lapic->page = NULL;
	lapic->raised = 0;
	atomic_fetch_and(&lapic->attention, ~ATTENTION_PAGE);
}

static void take_words(struct lapic *lapic, struct vector_set *set, unsigned first)
{
	*set = (struct vector_set){0};
	for (unsigned i = 0; i < LAPIC_WORDS; i++) {
		set->word[i] = lapic_page_load(lapic, first + i);
		set->used |= (set->word[i] ? 1u : 0) << i;
	}
}

void lapic_page_drain(struct lapic *lapic)
{
	lapic_page_take(lapic);
	take_words(lapic, &lapic->service, REG_SERVICE);
	take_words(lapic, &lapic->request, REG_REQUEST);
	lapic->task_priority = lapic_task_priority(lapic);
	lapic_page_give_up(lapic);
}

void lapic_page_mirror_trigger(struct lapic *lapic)
{
	for (unsigned i = 0; i < LAPIC_WORDS; i++)
		lapic_page_store(lapic, REG_TRIGGER + i, lapic_load(&lapic->level[i]));
}

/* The count runs: it is not for the page. */
void lapic_page_mirror(struct vcpu *vcpu)
{
	static const uint8_t copied[] = {
		REG_ID,
		REG_VERSION,
		REG_LOGICAL,
		REG_FORMAT,
		REG_SPURIOUS,
		REG_ERROR,
		REG_COMMAND,
		REG_COMMAND_HIGH,
		REG_LVT + LVT_TIMER,
		REG_LVT + LVT_THERMAL,
		REG_LVT + LVT_PERFORMANCE,
		REG_LVT + LVT_LINT0,
		REG_LVT + LVT_LINT1,
		REG_LVT + LVT_ERROR,
		REG_COUNT_INITIAL,
		REG_DIVIDE,
	};

	for (unsigned i = 0; i < ARRAY_SIZE(copied); i++)
		lapic_page_store(vcpu->lapic, copied[i], lapic_register(vcpu, copied[i]));
}

void lapic_page_refresh(struct vcpu *vcpu, unsigned index)
{
	if (index == REG_SPURIOUS || index == REG_LVT + LVT_TIMER)
		lapic_page_mirror(vcpu); /* masks the others; sets the count to 0 */
	else if (index != REG_TASK_PRIORITY)
		lapic_page_store(vcpu->lapic, index, lapic_register(vcpu, index));
}

void lapic_page_fetch_command(struct lapic *lapic)
{
	if (lapic_load(&lapic->mode) == LAPIC_XAPIC)
		lapic->command = (uint64_t)(lapic_page_load(lapic, REG_COMMAND_HIGH) >> XAPIC_ID_SHIFT)
					 << 32 |
				 lapic_page_load(lapic, REG_COMMAND);
}
