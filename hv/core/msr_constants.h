/*
 * MSRs that real CPUs have and systems read or write as a matter of course, here without effect.
 */
#pragma once

#include "hv/lib/types.h"

/* What a read gives; false: #GP. */
bool msr_constant_read(uint32_t index, uint64_t *value);
/* Whether a write is taken; false: #GP. */
bool msr_constant_write(uint32_t index, uint64_t value);
