/*
 * Ticks of one clock as ticks of another.
 */
#pragma once

#include "hv/lib/types.h"

/* Whole seconds and the rest apart, so that no product overflows while both clocks stay below 4 GHz. `up`:
 * rounded up. */
static inline uint64_t scale_ticks(uint64_t value, uint64_t from_hz, uint64_t to_hz, bool up)
{
	const uint64_t rest = value % from_hz * to_hz;

	return value / from_hz * to_hz + (rest + (up ? from_hz - 1 : 0)) / from_hz;
}
