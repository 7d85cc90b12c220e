/* The CPUID policy of hv/core/cpuid.c; exit_cpuid() itself is declared in exit.h. */
#pragma once

/* Builds the constant answers from the boot CPU's; once, before any guest starts. */
void cpuid_build(void);
