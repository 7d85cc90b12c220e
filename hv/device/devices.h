/*
 * All devices of one full partition, and the clock they are given. Internal to hv/device.
 */
#pragma once

#include "arch/x86/cpu.h"
#include "hv/device/chipset.h"
#include "hv/device/full.h"
#include "hv/device/lapic.h"
#include "hv/device/pic.h"
#include "hv/device/pit.h"
#include "hv/device/uart.h"

struct full_devices {
	/* Under partition->device_lock. */
	struct uart uart;
	struct pic_pair pic;
	struct pit pit;
	struct chipset chipset;
	bool serial_line;    /* level of IRQ 4 */
	uint32_t ticks_owed; /* of channel 0 */

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
