/*
 * The MC146818 real-time clock as ports 70h and 71h show it: read-only, 24 hours, BCD, never in update; its
 * time is given.
 */
#pragma once

#include "hv/lib/types.h"

/* The register `index` (0..7Fh) at `seconds` since 1970. */
uint8_t rtc_read(uint8_t index, uint64_t seconds);
