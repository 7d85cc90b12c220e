/*
 * What CPUID says of the MSRs that control speculation, in Intel's words (7 EDX; SDM 4 table 2-2) and in
 * AMD's (8000_0008h EBX; APM 3 E.4.6): any of the bits tells that the MSR is there.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/speculation.h"

static const struct {
	uint32_t msr, intel, amd;
} rows[SPECULATION_MSRS] = {
	{MSR_SPEC_CTRL, 1u << 26 | 1u << 27 | 1u << 31, 1u << 14 | 1u << 15 | 1u << 24}, /* IBRS STIBP SSBD */
	{MSR_PRED_CMD, 1u << 26, 1u << 12},						 /* IBPB */
	{MSR_FLUSH_CMD, 1u << 28, 0},							 /* L1D_FLUSH */
};

uint32_t speculation_msr(unsigned index)
{
	if (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).edx & rows[index].intel))
		return rows[index].msr;
	if (cpuid(CPUID_EXTENDED, 0).eax >= CPUID_ADDRESS_SIZES &&
	    (cpuid(CPUID_ADDRESS_SIZES, 0).ebx & rows[index].amd))
		return rows[index].msr;
	return 0;
}
