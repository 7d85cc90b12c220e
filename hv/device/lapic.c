/*
 * The local APIC: how an interrupt comes in, is acknowledged and ended (SDM 3A 11.8), and its registers, each
 * with one row in a table that memory and MSR accesses share (11.4.1, 11.12.1).
 */
#include "arch/x86/registers.h"
#include "hv/device/devices.h"
#include "hv/device/lapic_page.h"

#define VERSION		  0x00050014u /* version 14h, six entries in the local vector table */
#define FORMAT_FLAT	  0xFFFFFFFFu
#define FORMAT_LOW_BITS	  0x0FFFFFFFu /* always 1 */
#define SPURIOUS_RESET	  0xFFu
#define SPURIOUS_FIRMWARE 0x0Fu

/* Bits that can be set; in x2APIC mode any other is a #GP. */
#define MASK_BYTE     0xFFu
#define MASK_SPURIOUS 0x1FFu
#define MASK_LOGICAL  0xFF000000u
#define MASK_COMMAND  0x000CCFFFu
#define MASK_TIMER    0x000700FFu
#define MASK_MONITOR  0x000107FFu /* thermal, performance */
#define MASK_LINT     0x0001A7FFu
#define MASK_ERROR    0x000100FFu
#define MASK_DIVIDE   0x0Bu
#define MASK_ALL      0xFFFFFFFFu

#define PRIORITY_HIGHEST 0xFFu /* lets nothing through */

static bool enabled(const struct lapic *lapic)
{
	return lapic_load(&lapic->mode) != LAPIC_OFF && (lapic_load(&lapic->spurious) & SPURIOUS_ENABLED);
}

/*
 * Interrupts in and out
 */

/* The priority lets higher classes through. */
static void update_priority(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	const uint32_t task = lapic->task_priority, service = vector_set_highest(&lapic->service);
	const uint32_t priority = processor_priority(task, service);
	const unsigned vector = vector_set_highest(&lapic->request);

	lapic_store(&lapic->priority, priority);
	lapic->pending = -1;
	if (held_back(vector, priority))
		return;
	lapic->pending = (int32_t)vector;
	lapic_request(vcpu);
}

/* Whether the run loop has something to look at now. */
static inline __attribute__((always_inline)) bool accept(struct vcpu *vcpu, unsigned vector)
{
	struct lapic *lapic = vcpu->lapic;

	if (!enabled(lapic))
		return false;
	if (vector < FIRST_VALID_VECTOR) {
		lapic_error(vcpu, ERROR_RECEIVE_VECTOR);
		return false;
	}
	vector_set_add(&lapic->request, vector);
	if (held_back(vector, lapic_load(&lapic->priority)))
		return lapic->page != NULL;
	lapic->pending = MAX(lapic->pending, (int32_t)vector);
	return true;
}

void lapic_accept(struct vcpu *vcpu, unsigned vector)
{
	if (accept(vcpu, vector))
		lapic_request(vcpu);
}

void lapic_error(struct vcpu *vcpu, uint32_t error)
{
	struct lapic *lapic = vcpu->lapic;
	const uint32_t lvt = lapic->lvt[LVT_ERROR];

	if (lapic->error_new & error)
		return; /* told already; also ends the recursion when the error's own vector is invalid */
	lapic->error_new |= error;
	if (!(lvt & LVT_MASKED))
		lapic_accept(vcpu, lvt & DELIVERY_VECTOR);
}

void lapic_fetch_posted(struct vcpu *vcpu)
{
	uint32_t words = atomic_fetch_and(&vcpu->lapic->attention, ~ATTENTION_POSTED) & ATTENTION_POSTED;

	while (words) {
		const unsigned word = highest_bit(words);
		uint32_t bits = atomic_exchange(&vcpu->shared->interrupts[word], 0);

		words &= ~(1u << word);
		while (bits) {
			const unsigned bit = highest_bit(bits);

			bits &= ~(1u << bit);
			(void)accept(vcpu, word * 32 + bit);
		}
	}
}

int lapic_acknowledge(struct lapic *lapic)
{
	const int32_t vector = lapic->pending;

	if (vector < 0)
		return -1;
	vector_set_remove(&lapic->request, (unsigned)vector);
	vector_set_add(&lapic->service, (unsigned)vector);
	/* It was above the priority, so it is the priority now; and it was the highest, so nothing is above
	 * it. */
	lapic_store(&lapic->priority, (uint32_t)vector & 0xF0);
	lapic->pending = -1;
	return vector;
}

/* The end of a level-triggered interrupt is told to the I/O APIC (11.8.5). */
static NOINLINE void tell_end(struct vcpu *vcpu, unsigned vector)
{
	if (lapic_load(&vcpu->lapic->level[vector / 32]) >> vector % 32 & 1)
		full_end_of_interrupt(vcpu, (uint8_t)vector);
}

static NOINLINE void end_in_page(struct vcpu *vcpu)
{
	const unsigned vector = lapic_page_end(vcpu->lapic);

	if (!vector)
		return;
	tell_end(vcpu, vector);
	lapic_request(vcpu);
}

void lapic_end_of_interrupt(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	unsigned vector;

	if (!lapic->service.used) {
		if (unlikely(lapic->page))
			end_in_page(vcpu);
		return;
	}
	vector = vector_set_remove_highest(&lapic->service);
	if (unlikely(lapic_load(&lapic->any_level)))
		tell_end(vcpu, vector);
	update_priority(vcpu);
}

void lapic_set_task_priority(struct vcpu *vcpu, uint32_t value)
{
	struct lapic *lapic = vcpu->lapic;

	if (unlikely(lapic->page)) {
		lapic_page_set_task_priority(lapic, value & MASK_BYTE);
		return;
	}
	lapic->task_priority = value & MASK_BYTE;
	update_priority(vcpu);
}

/*
 * Registers that do something when written
 */

/* Only the boot CPU's LINT0 is connected to the PIC. */
static void update_wiring(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	const uint32_t lint0 = lapic->lvt[LVT_LINT0];

	lapic->wired =
		vcpu->shared->index == 0 && (lapic_load(&lapic->mode) == LAPIC_OFF ||
					     (lint0 & (LVT_MASKED | DELIVERY_MODE)) == DELIVERY_EXTINT);
	if (lapic->wired)
		atomic_fetch_or(&vcpu->shared->requests, REQUEST_INTERRUPT);
}

static void write_task_priority(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	(void)index;
	lapic_set_task_priority(vcpu, value);
}

static void write_eoi(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	(void)index, (void)value;
	lapic_end_of_interrupt(vcpu);
}

static void write_logical(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	(void)index;
	lapic_store(&vcpu->lapic->logical_id, value);
	full_offer_levels(vcpu);
}

static void write_format(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	(void)index;
	lapic_store(&vcpu->lapic->format, value | FORMAT_LOW_BITS);
	full_offer_levels(vcpu);
}

static void write_lvt(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	struct lapic *lapic = vcpu->lapic;
	const unsigned entry = index - REG_LVT;

	if (!enabled(lapic))
		value |= LVT_MASKED;
	if (entry == LVT_TIMER)
		lapic_timer_set_vector(vcpu, value);
	lapic->lvt[entry] = value;
	if (entry == LVT_LINT0)
		update_wiring(vcpu);
}

/* An APIC that is switched off still takes what came before (11.4.7.2), and the I/O APIC waits for the end of
 * it. With the lock held nothing is on its way. */
static void store_spurious(struct vcpu *vcpu, uint32_t value)
{
	spin_lock(&vcpu->partition->device_lock);
	lapic_fetch_posted(vcpu);
	lapic_store(&vcpu->lapic->spurious, value);
	spin_unlock(&vcpu->partition->device_lock);
}

/* Switching the APIC off by software masks all local interrupts (11.4.7.2). */
static void write_spurious(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	(void)index;
	store_spurious(vcpu, value);
	if (!(value & SPURIOUS_ENABLED))
		for (unsigned i = 0; i < LVT_COUNT; i++)
			write_lvt(vcpu, REG_LVT + i, vcpu->lapic->lvt[i]);
	if (vcpu->lapic->page && !enabled(vcpu->lapic))
		lapic_leave_page(vcpu);
	full_offer_levels(vcpu);
	lapic_request(vcpu); /* the CPU's help may begin here, or end */
}

static void write_error(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	struct lapic *lapic = vcpu->lapic;

	(void)index, (void)value;
	lapic->error_status = lapic->error_new;
	lapic->error_new = 0;
}

static void write_command(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	struct lapic *lapic = vcpu->lapic;

	(void)index;
	lapic->command = (lapic->command & ~(uint64_t)MASK_ALL) | value;
	lapic_command(vcpu, lapic->command);
}

static void write_command_high(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	(void)index;
	vcpu->lapic->command = (uint64_t)(value >> XAPIC_ID_SHIFT) << 32 | (uint32_t)vcpu->lapic->command;
}

static void write_count(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	(void)index;
	lapic_timer_set_count(vcpu, value);
}

static void write_divide(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	(void)index;
	if (value != vcpu->lapic->divide)
		lapic_timer_set_divide(vcpu, value);
}

static void write_self(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	(void)index;
	if (lapic_load(&vcpu->lapic->mode) != LAPIC_X2APIC)
		lapic_error(vcpu, ERROR_REGISTER); /* there only is it a register */
	else if (value < FIRST_VALID_VECTOR)
		lapic_error(vcpu, ERROR_SEND_VECTOR);
	else
		lapic_accept(vcpu, value);
}

/*
 * Registers that are only read
 */

static uint32_t read_id(struct vcpu *vcpu, unsigned index)
{
	(void)index;
	return lapic_load(&vcpu->lapic->mode) == LAPIC_X2APIC ? vcpu->shared->index
							      : vcpu->shared->index << XAPIC_ID_SHIFT;
}

static uint32_t read_word(struct vcpu *vcpu, unsigned index)
{
	struct lapic *lapic = vcpu->lapic;

	switch (index) {
	case REG_VERSION: return VERSION;
	case REG_LOGICAL: return lapic_load(&lapic->logical_id);
	case REG_FORMAT: return lapic_load(&lapic->format);
	case REG_SPURIOUS: return lapic_load(&lapic->spurious);
	case REG_ERROR: return lapic->error_status;
	case REG_COMMAND: return (uint32_t)lapic->command;
	case REG_COMMAND_HIGH: return (uint32_t)(lapic->command >> 32) << XAPIC_ID_SHIFT;
	case REG_COUNT_INITIAL: return lapic->initial_count;
	case REG_COUNT_CURRENT: return lapic_timer_count(vcpu);
	case REG_DIVIDE: return lapic->divide;
	default: return 0; /* arbitration: none */
	}
}

static uint32_t read_priority(struct vcpu *vcpu, unsigned index)
{
	return index == REG_PRIORITY ? lapic_priority(vcpu->lapic) : lapic_task_priority(vcpu->lapic);
}

static uint32_t read_service(struct vcpu *vcpu, unsigned index)
{
	const struct lapic *lapic = vcpu->lapic;

	return lapic->page ? lapic_page_load(lapic, index) : lapic->service.word[index - REG_SERVICE];
}

static uint32_t read_trigger(struct vcpu *vcpu, unsigned index)
{
	return lapic_load(&vcpu->lapic->level[index - REG_TRIGGER]);
}

static uint32_t read_request(struct vcpu *vcpu, unsigned index)
{
	struct lapic *lapic = vcpu->lapic;

	lapic_fetch_posted(vcpu);
	lapic_request(vcpu);
	if (!lapic->page)
		return lapic->request.word[index - REG_REQUEST];
	lapic_page_take(lapic);
	return lapic_page_load(lapic, index);
}

static uint32_t read_lvt(struct vcpu *vcpu, unsigned index)
{
	return vcpu->lapic->lvt[index - REG_LVT];
}

enum availability { BOTH_MODES, XAPIC_ONLY };

struct register_row {
	uint32_t (*read)(struct vcpu *vcpu, unsigned index);		  /* NULL: write-only */
	void (*write)(struct vcpu *vcpu, unsigned index, uint32_t value); /* NULL: read-only */
	uint32_t mask;
	enum availability availability;
};

#define EIGHT(first, function) [first... first + 7] = {function, NULL, 0, BOTH_MODES}

static const struct register_row registers[REGISTER_COUNT] = {
	[REG_ID] = {read_id, NULL, 0, BOTH_MODES},
	[REG_VERSION] = {read_word, NULL, 0, BOTH_MODES},
	[REG_TASK_PRIORITY] = {read_priority, write_task_priority, MASK_BYTE, BOTH_MODES},
	[REG_ARBITRATION] = {read_word, NULL, 0, XAPIC_ONLY},
	[REG_PRIORITY] = {read_priority, NULL, 0, BOTH_MODES},
	[REG_EOI] = {NULL, write_eoi, 0, BOTH_MODES},
	[REG_LOGICAL] = {read_word, write_logical, MASK_LOGICAL, BOTH_MODES},
	[REG_FORMAT] = {read_word, write_format, MASK_ALL, XAPIC_ONLY},
	[REG_SPURIOUS] = {read_word, write_spurious, MASK_SPURIOUS, BOTH_MODES},
	EIGHT(REG_SERVICE, read_service),
	EIGHT(REG_TRIGGER, read_trigger),
	EIGHT(REG_REQUEST, read_request),
	[REG_ERROR] = {read_word, write_error, 0, BOTH_MODES},
	[REG_COMMAND] = {read_word, write_command, MASK_COMMAND, BOTH_MODES},
	[REG_COMMAND_HIGH] = {read_word, write_command_high, MASK_LOGICAL, XAPIC_ONLY},
	[REG_LVT + LVT_TIMER] = {read_lvt, write_lvt, MASK_TIMER, BOTH_MODES},
	[REG_LVT + LVT_THERMAL] = {read_lvt, write_lvt, MASK_MONITOR, BOTH_MODES},
	[REG_LVT + LVT_PERFORMANCE] = {read_lvt, write_lvt, MASK_MONITOR, BOTH_MODES},
	[REG_LVT + LVT_LINT0] = {read_lvt, write_lvt, MASK_LINT, BOTH_MODES},
	[REG_LVT + LVT_LINT1] = {read_lvt, write_lvt, MASK_LINT, BOTH_MODES},
	[REG_LVT + LVT_ERROR] = {read_lvt, write_lvt, MASK_ERROR, BOTH_MODES},
	[REG_COUNT_INITIAL] = {read_word, write_count, MASK_ALL, BOTH_MODES},
	[REG_COUNT_CURRENT] = {read_word, NULL, 0, BOTH_MODES},
	[REG_DIVIDE] = {read_word, write_divide, MASK_DIVIDE, BOTH_MODES},
	[REG_SELF] = {NULL, write_self, MASK_BYTE, BOTH_MODES},
};

/*
 * Beside a virtual-APIC page, which answers reads by itself and takes some writes before they are told
 */

uint32_t lapic_register(struct vcpu *vcpu, unsigned index)
{
	return registers[index].read(vcpu, index);
}

static NOINLINE void write_beside_page(struct vcpu *vcpu, unsigned index, uint32_t value)
{
	const struct register_row *row = &registers[index];

	lapic_page_fetch_command(vcpu->lapic);
	if (row->write)
		row->write(vcpu, index, value & row->mask);
	else
		lapic_error(vcpu, ERROR_REGISTER);
	if (row->read && vcpu->lapic->page)
		lapic_page_refresh(vcpu, index);
}

void lapic_page_written(struct vcpu *vcpu, unsigned offset)
{
	const unsigned index = (offset >> REGISTER_SHIFT) % REGISTER_COUNT;

	write_beside_page(vcpu, index, lapic_page_load(vcpu->lapic, index));
}

void lapic_page_ended(struct vcpu *vcpu, unsigned vector)
{
	tell_end(vcpu, vector);
}

enum lapic_mode lapic_page_mode(const struct lapic *lapic)
{
	return enabled(lapic) ? (enum lapic_mode)lapic_load(&lapic->mode) : LAPIC_OFF;
}

void lapic_enter_page(struct vcpu *vcpu, _Atomic uint32_t *page)
{
	lapic_page_fill(vcpu->lapic, page);
	lapic_store(&vcpu->lapic->priority, PRIORITY_HIGHEST);
	lapic_page_mirror(vcpu);
}

void lapic_leave_page(struct vcpu *vcpu)
{
	lapic_page_fetch_command(vcpu->lapic);
	lapic_page_drain(vcpu->lapic);
	update_priority(vcpu);
}

/*
 * By memory (11.4.1): aligned words of 32 bits. Narrower reads get their part of the word, other writes are
 * ignored.
 */

uint32_t lapic_mmio_read(struct vcpu *vcpu, unsigned offset, unsigned size)
{
	const struct register_row *row = &registers[(offset >> REGISTER_SHIFT) % REGISTER_COUNT];
	const unsigned byte = offset & ((1u << REGISTER_SHIFT) - 1);

	if (lapic_load(&vcpu->lapic->mode) != LAPIC_XAPIC)
		return MASK_ALL; /* no APIC there: the bus reads ones */
	if (byte + size > 4)
		return 0;
	if (unlikely(vcpu->lapic->page))
		lapic_page_fetch_command(vcpu->lapic);
	if (offset >= REGISTER_COUNT << REGISTER_SHIFT || !row->read) {
		lapic_error(vcpu, ERROR_REGISTER);
		return 0;
	}
	return row->read(vcpu, offset >> REGISTER_SHIFT) >> byte * 8;
}

void lapic_mmio_write(struct vcpu *vcpu, unsigned offset, unsigned size, uint32_t value)
{
	const struct register_row *row = &registers[(offset >> REGISTER_SHIFT) % REGISTER_COUNT];

	if (lapic_load(&vcpu->lapic->mode) != LAPIC_XAPIC || size != 4 ||
	    (offset & ((1u << REGISTER_SHIFT) - 1)))
		return;
	if (offset >= REGISTER_COUNT << REGISTER_SHIFT || !row->write) {
		lapic_error(vcpu, ERROR_REGISTER);
		return;
	}
	if (unlikely(vcpu->lapic->page))
		write_beside_page(vcpu, offset >> REGISTER_SHIFT, value);
	else
		row->write(vcpu, offset >> REGISTER_SHIFT, value & row->mask);
}

/*
 * By MSR (11.12.1.2): each access that a register does not know is a #GP.
 */

static const struct register_row *msr_row(const struct vcpu *vcpu, uint32_t msr)
{
	const uint32_t index = msr - MSR_X2APIC_FIRST;

	if (index >= REGISTER_COUNT || lapic_load(&vcpu->lapic->mode) != LAPIC_X2APIC)
		return NULL;
	return registers[index].availability == XAPIC_ONLY ? NULL : &registers[index];
}

bool lapic_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct register_row *row = msr_row(vcpu, msr);

	if (!row || !row->read)
		return false;
	*value = msr == MSR_X2APIC_FIRST + REG_COMMAND ? vcpu->lapic->command
						       : row->read(vcpu, msr - MSR_X2APIC_FIRST);
	return true;
}

bool lapic_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct register_row *row = msr_row(vcpu, msr);
	const uint32_t index = msr - MSR_X2APIC_FIRST;

	if (!row || !row->write || index == REG_LOGICAL)
		return false;
	if (index == REG_COMMAND) {
		if ((uint32_t)value & ~row->mask)
			return false;
		vcpu->lapic->command = value;
		lapic_command(vcpu, value);
		return true;
	}
	if (value & ~(uint64_t)row->mask)
		return false;
	if (unlikely(vcpu->lapic->page))
		write_beside_page(vcpu, index, (uint32_t)value);
	else
		row->write(vcpu, index, (uint32_t)value);
	return true;
}

/*
 * Modes (11.12.5) and reset (11.4.7)
 */

static void reset_registers(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;

	lapic_page_give_up(lapic);
	lapic->request = lapic->service = (struct vector_set){0};
	for (unsigned i = 0; i < LAPIC_WORDS; i++)
		lapic_store(&lapic->level[i], 0);
	lapic_store(&lapic->any_level, 0);
	lapic_store(&lapic->level_changed, 0);
	lapic->task_priority = 0;
	lapic->error_status = lapic->error_new = 0;
	lapic->command = 0;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		lapic->lvt[i] = LVT_MASKED;
	lapic->divide = 0;
	lapic_timer_set_count(vcpu, 0);
	lapic_store(&lapic->logical_id, 0);
	lapic_store(&lapic->format, FORMAT_FLAT);
	lapic_store(&lapic->spurious, SPURIOUS_RESET);
	update_priority(vcpu);
}

static enum lapic_mode mode_of(uint64_t base)
{
	if (!(base & APIC_BASE_ENABLE))
		return LAPIC_OFF;
	return base & APIC_BASE_X2APIC ? LAPIC_X2APIC : LAPIC_XAPIC;
}

static void enter_mode(struct vcpu *vcpu, enum lapic_mode mode)
{
	const uint32_t id = vcpu->shared->index;

	if (mode == LAPIC_OFF)
		reset_registers(vcpu);
	else if (vcpu->lapic->page)
		lapic_leave_page(vcpu); /* it is another one in the other mode */
	if (mode ==
	    LAPIC_X2APIC) { /* cluster in the upper half, one bit of sixteen in the lower (11.12.10.2) */
		lapic_store(&vcpu->lapic->logical_id, id >> 4 << 16 | 1u << (id & 15));
		vcpu->lapic->command = 0;
	}
	lapic_store(&vcpu->lapic->mode, mode);
	update_wiring(vcpu);
	lapic_request(vcpu);
}

/* The APIC stays where it is: its page is a hole in the partition's memory, and no other page may become one.
 */
bool lapic_base_write(struct vcpu *vcpu, uint64_t value)
{
	const enum lapic_mode from = mode_of(vcpu->apic_base), to = mode_of(value);
	const uint64_t fixed = APIC_DEFAULT_BASE | (vcpu->apic_base & APIC_BASE_BSP);

	if ((value & ~(APIC_BASE_ENABLE | APIC_BASE_X2APIC)) != fixed)
		return false;
	if (to == LAPIC_OFF && (value & APIC_BASE_X2APIC))
		return false;
	if ((from == LAPIC_X2APIC && to == LAPIC_XAPIC) || (from == LAPIC_OFF && to == LAPIC_X2APIC))
		return false;
	vcpu->apic_base = value;
	if (from == to)
		return true;
	enter_mode(vcpu, to);
	full_offer_levels(vcpu);
	return true;
}

void lapic_reset(struct vcpu *vcpu, bool power_on)
{
	struct lapic *lapic = vcpu->lapic;
	const bool boot_cpu = vcpu->shared->index == 0;

	reset_registers(vcpu);
	if (power_on)
		vcpu->apic_base = APIC_DEFAULT_BASE | APIC_BASE_ENABLE | (boot_cpu ? APIC_BASE_BSP : 0);
	lapic_store(&lapic->attention, 0);
	if (boot_cpu) {
		lapic_store(&lapic->spurious, SPURIOUS_ENABLED | SPURIOUS_FIRMWARE);
		lapic->lvt[LVT_LINT0] = DELIVERY_EXTINT;
		lapic->lvt[LVT_LINT1] = DELIVERY_NMI;
	}
	enter_mode(vcpu, mode_of(vcpu->apic_base));
}
