/*
 * The PC's I/O APIC (Intel 82093AA data sheet, order 290566; EOI register: ICH9 data sheet 13.5.6): 24 pins
 * in, messages for local APICs out. Who they reach is not its affair: whoever moves a pin or writes a
 * register fetches the messages afterwards, until there are none.
 */
#pragma once

#include "hv/device/pc.h"
#include "hv/lib/types.h"

struct ioapic {
	uint8_t select; /* index register */
	uint8_t id;
	uint32_t lines;			     /* levels of the pins */
	uint32_t due;			     /* pins that have a message to send */
	uint32_t entry[PC_IOAPIC_PINS];	     /* redirection table, bits 31:0 */
	uint8_t destination[PC_IOAPIC_PINS]; /* and bits 63:56 */
};

/* In the terms of the interrupt command register (hv/device/lapic.h), whose bits these are. */
struct ioapic_message {
	uint32_t command; /* vector, delivery mode, destination mode */
	uint8_t destination;
	bool level; /* to be answered: ioapic_level_taken() */
	uint8_t pin;
};

void ioapic_reset(struct ioapic *ioapic);

/* Registers by their offset in the page: 00h, 10h, 40h; 32 bits. */
uint32_t ioapic_read(const struct ioapic *ioapic, unsigned offset);
void ioapic_write(struct ioapic *ioapic, unsigned offset, uint32_t value);

void ioapic_set_line(struct ioapic *ioapic, unsigned pin, bool high);
/* A local APIC has ended the service of a level-triggered interrupt. */
void ioapic_end_of_interrupt(struct ioapic *ioapic, uint8_t vector);

/* The next message to send; false: none. */
bool ioapic_take_message(struct ioapic *ioapic, struct ioapic_message *message);
/* A local APIC has taken the level: the next message waits for its end. */
void ioapic_level_taken(struct ioapic *ioapic, unsigned pin);
/* There may be takers now for levels that nobody took. */
void ioapic_offer_levels(struct ioapic *ioapic);
/* Pin 0, where the 8259s' output is, passes it on to the CPU as it is. */
bool ioapic_passes_pic(const struct ioapic *ioapic);
