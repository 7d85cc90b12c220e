/*
 * The way back into firmware, as the rest of arch/x86 needs to know it.
 */
#pragma once

#include <bulkhead/boot_info.h>
#include "hv/lib/types.h"

/* Remembers what the loader said of firmware's ResetSystem() and of the tables it needs. */
void machine_remember_firmware(const struct boot_info *boot);

/* An exception while firmware runs ends that call, and does not return here; else it does nothing. */
void machine_abandon_firmware(void);

/* On CPU 0: does what another CPU has asked for with machine_power_off(). */
void machine_follow_power_off(void);
