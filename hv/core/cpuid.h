/* The CPUID policy of hv/core/cpuid.c; exit_cpuid() itself is declared in exit.h. */
#pragma once

/* Extended states that guests may enable (SDM 1 13.1): x87 SSE AVX, AVX-512, protection keys; none that only
 * the supervisor has. */
#define XCR0_AVX512  (7ull << 5)
#define XCR0_PKRU    (1ull << 9)
#define XCR0_OFFERED (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU)

/* Builds the constant answers from the boot CPU's; once, before any guest starts. */
void cpuid_build(void);
