/*
 * The MSRs that control speculation. A guest may use them at will: they say how its own CPU speculates, and
 * on whose behalf that forgets what it has learnt.
 */
#pragma once

#include "hv/lib/types.h"

#define SPECULATION_MSRS 3 /* SPEC_CTRL, PRED_CMD, FLUSH_CMD */

/* The MSR, or 0 where this CPU lacks it. */
uint32_t speculation_msr(unsigned index);
