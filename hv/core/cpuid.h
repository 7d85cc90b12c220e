/* The CPUID policy of hv/core/cpuid.c; exit_cpuid() itself is declared in exit.h. */
#pragma once

#include "hv/lib/types.h"

/* Extended states (SDM 1 13.1). */
#define XCR0_AVX512 (7ull << 5)
#define XCR0_PKRU   (1ull << 9)

/* Those that guests may enable: set by cpuid_build(). */
extern uint64_t xcr0_offered;

/* Builds the constant answers from the boot CPU's; once, before any guest starts. */
void cpuid_build(void);
