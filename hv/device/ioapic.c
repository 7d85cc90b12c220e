/*
 * Pins to messages, then the registers. An edge is sent once, and lost while its pin is masked; a level is
 * sent again after each end of interrupt for as long as it stays (82093AA data sheet, 3.2.4). One that no
 * local APIC takes has no end to wait for: it is sent again when that may be different.
 */
#include "hv/device/ioapic.h"
#include "hv/device/lapic.h"
#include "hv/lib/string.h"

#define OFFSET_SELECT 0x00u
#define OFFSET_WINDOW 0x10u
#define OFFSET_EOI    0x40u

#define REGISTER_ID	     0x00u
#define REGISTER_VERSION     0x01u
#define REGISTER_ARBITRATION 0x02u
#define REGISTER_ENTRIES     0x10u
#define ID_SHIFT	     24

/* 20h: the first version with an EOI register. */
#define VERSION		   0x20u
#define VERSION_LAST_SHIFT 16

/* Redirection table entries, bits 31:0. */
#define ENTRY_ACTIVE_LOW  (1u << 13)
#define ENTRY_REMOTE_IRR  (1u << 14)
#define ENTRY_LEVEL	  (1u << 15)
#define ENTRY_MASKED	  (1u << 16)
#define ENTRY_WRITABLE	  (ENTRY_MASKED | ENTRY_LEVEL | ENTRY_ACTIVE_LOW | ENTRY_MESSAGE)
#define ENTRY_MESSAGE	  (DELIVERY_VECTOR | DELIVERY_MODE | DELIVERY_LOGICAL)
#define DESTINATION_SHIFT 24

static bool asserted(const struct ioapic *ioapic, unsigned pin)
{
	const bool high = ioapic->lines >> pin & 1;

	return high != !!(ioapic->entry[pin] & ENTRY_ACTIVE_LOW);
}

/* A level that stands is due unless its last message is still being served. */
static void consider_level(struct ioapic *ioapic, unsigned pin)
{
	const uint32_t entry = ioapic->entry[pin];

	if ((entry & (ENTRY_LEVEL | ENTRY_MASKED | ENTRY_REMOTE_IRR)) == ENTRY_LEVEL && asserted(ioapic, pin))
		ioapic->due |= 1u << pin;
}

void ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool high)
{
	const uint32_t bit = 1u << pin;
	const bool before = asserted(ioapic, pin);

	ioapic->lines = high ? ioapic->lines | bit : ioapic->lines & ~bit;
	if (ioapic->entry[pin] & ENTRY_LEVEL)
		consider_level(ioapic, pin);
	else if (!before && asserted(ioapic, pin) && !(ioapic->entry[pin] & ENTRY_MASKED))
		ioapic->due |= bit;
}

/* Delivery modes that wait for an end of interrupt; the others have no vector to end. */
static bool has_service(uint32_t entry)
{
	return (entry & DELIVERY_MODE) == DELIVERY_FIXED || (entry & DELIVERY_MODE) == DELIVERY_LOWEST;
}

bool ioapic_take_message(struct ioapic *ioapic, struct ioapic_message *message)
{
	uint32_t entry;
	unsigned pin;

	if (!ioapic->due)
		return false;
	pin = (unsigned)__builtin_ctz(ioapic->due);
	ioapic->due &= ioapic->due - 1;
	entry = ioapic->entry[pin];
	message->level = (entry & ENTRY_LEVEL) && has_service(entry);
	message->command = entry & ENTRY_MESSAGE;
	message->destination = ioapic->destination[pin];
	message->pin = (uint8_t)pin;
	return true;
}

void ioapic_level_taken(struct ioapic *ioapic, unsigned pin)
{
	ioapic->entry[pin] |= ENTRY_REMOTE_IRR;
}

/* Levels without a service have been sent, whoever took them. */
static void offer_level(struct ioapic *ioapic, unsigned pin)
{
	if (has_service(ioapic->entry[pin]))
		consider_level(ioapic, pin);
}

void ioapic_offer_levels(struct ioapic *ioapic)
{
	for (unsigned pin = 0; pin < PC_IOAPIC_PINS; pin++)
		offer_level(ioapic, pin);
}

void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector)
{
	const uint32_t ended = ENTRY_LEVEL | ENTRY_REMOTE_IRR | vector;

	for (unsigned pin = 0; pin < PC_IOAPIC_PINS; pin++) {
		const uint32_t entry = ioapic->entry[pin];

		if ((entry & (ENTRY_LEVEL | ENTRY_REMOTE_IRR | DELIVERY_VECTOR)) != ended)
			continue;
		ioapic->entry[pin] &= ~ENTRY_REMOTE_IRR;
		consider_level(ioapic, pin);
	}
}

bool ioapic_passes_pic(const struct ioapic *ioapic)
{
	return (ioapic->entry[0] & (ENTRY_MASKED | DELIVERY_MODE)) == DELIVERY_EXTINT;
}

/*
 * Registers
 */

static uint32_t read_entry(const struct ioapic *ioapic, unsigned index)
{
	const unsigned pin = index / 2;

	if (pin >= PC_IOAPIC_PINS)
		return 0;
	return index & 1 ? (uint32_t)ioapic->destination[pin] << DESTINATION_SHIFT : ioapic->entry[pin];
}

static void write_entry(struct ioapic *ioapic, unsigned index, uint32_t value)
{
	const unsigned pin = index / 2;
	uint32_t kept;

	if (pin >= PC_IOAPIC_PINS)
		return;
	if (index & 1) {
		ioapic->destination[pin] = (uint8_t)(value >> DESTINATION_SHIFT);
		offer_level(ioapic, pin);
		return;
	}
	/* Edges have no remote IRR: going over to them is how systems of old clear a stuck one. */
	kept = value & ENTRY_LEVEL ? ioapic->entry[pin] & ENTRY_REMOTE_IRR : 0;
	ioapic->entry[pin] = (value & ENTRY_WRITABLE) | kept;
	consider_level(ioapic, pin);
}

static uint32_t read_register(const struct ioapic *ioapic)
{
	switch (ioapic->select) {
	case REGISTER_ID:
	case REGISTER_ARBITRATION: return (uint32_t)ioapic->id << ID_SHIFT;
	case REGISTER_VERSION: return VERSION | (PC_IOAPIC_PINS - 1) << VERSION_LAST_SHIFT;
	default:
		return ioapic->select < REGISTER_ENTRIES
			       ? 0
			       : read_entry(ioapic, ioapic->select - REGISTER_ENTRIES);
	}
}

uint32_t ioapic_read(const struct ioapic *ioapic, unsigned offset)
{
	if (offset == OFFSET_SELECT)
		return ioapic->select;
	return offset == OFFSET_WINDOW ? read_register(ioapic) : 0;
}

void ioapic_write(struct ioapic *ioapic, unsigned offset, uint32_t value)
{
	if (offset == OFFSET_SELECT)
		ioapic->select = (uint8_t)value;
	else if (offset == OFFSET_EOI)
		ioapic_end_of_interrupt(ioapic, (uint8_t)value);
	else if (offset != OFFSET_WINDOW)
		return;
	else if (ioapic->select == REGISTER_ID)
		ioapic->id = (uint8_t)(value >> ID_SHIFT);
	else if (ioapic->select >= REGISTER_ENTRIES)
		write_entry(ioapic, ioapic->select - REGISTER_ENTRIES, value);
}

void ioapic_reset(struct ioapic *ioapic)
{
	memset(ioapic, 0, sizeof(*ioapic));
	ioapic->id = PC_IOAPIC_ID;
	for (unsigned pin = 0; pin < PC_IOAPIC_PINS; pin++)
		ioapic->entry[pin] = ENTRY_MASKED;
}
