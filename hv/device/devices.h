/*
 * All devices of one full partition, and the clock they are given. Internal to hv/device.
 */
#pragma once

#include "arch/x86/cpu.h"
#include "hv/device/chipset.h"
#include "hv/device/full.h"
#include "hv/device/ioapic.h"
#include "hv/device/keyboard.h"
#include "hv/device/lapic.h"
#include "hv/device/mtrr.h"
#include "hv/device/pc.h"
#include "hv/device/pci.h"
#include "hv/device/pic.h"
#include "hv/device/pit.h"
#include "hv/device/power.h"
#include "hv/device/rtc.h"
#include "hv/device/uart.h"

struct full_devices {
	/* Under partition->device_lock. */
	struct uart uart;
	struct pic_pair pic;
	struct pit pit;
	struct ioapic ioapic;
	struct rtc rtc;
	struct power power;
	struct keyboard keyboard;
	struct pci pci;
	struct chipset chipset;
	bool serial_line;    /* level of IRQ 4 */
	bool clock_line;     /* level of IRQ 8 */
	uint32_t ticks_owed; /* of channel 0 */
	uint64_t board_edge; /* TSC: when a device of board.c has to be looked at; TIMER_NEVER */

	struct lapic *lapic[CONFIG_MAX_CPUS]; /* each set once, by its own CPU, before the partition starts */
};

/* The time every device lives by: the TSC. */
#ifdef BULKHEAD_HOST
uint64_t device_now(void); /* the test's */
#else
static inline uint64_t device_now(void)
{
	return rdtsc();
}
#endif

/* full.c, for the devices; under the lock. */
void full_set_line(struct partition *partition, unsigned line, bool high); /* an ISA line */
void full_arm_timer(struct vcpu *vcpu);					   /* a deadline has changed */
/* full.c, for the local APICs: takes the lock. */
void full_end_of_interrupt(struct vcpu *vcpu, uint8_t vector);
void full_offer_levels(struct vcpu *vcpu); /* this one may be a taker now */

/* board.c, under the lock. Byte ports are rows in full.c's table; the others tell whether they are theirs. */
void board_reset(struct partition *partition, uint64_t tsc_hz);
void board_settle(struct partition *partition); /* lines and board_edge as they should be now */
uint8_t rtc_in(struct vcpu *vcpu, uint16_t port);
enum chipset_order rtc_out(struct vcpu *vcpu, uint16_t port, uint32_t value);
uint8_t keyboard_in(struct vcpu *vcpu, uint16_t port);
enum chipset_order keyboard_out(struct vcpu *vcpu, uint16_t port, uint32_t value);
bool board_port_in(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t *value);
bool board_port_out(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t value,
		    enum chipset_order *order);
