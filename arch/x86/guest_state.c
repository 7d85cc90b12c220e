/*
 * Wipes what a former guest left in the CPU, by loading every register with its state after reset.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/guest_state.h"
#include "arch/x86/speculation.h"

#define DR6_RESET   0xFFFF0FF0ull /* SDM 3B 17.2.3, APM 2 13.1.1.3 */
#define FCW_RESET   0x037Fu	  /* FNINIT, SDM 1 8.1.5 */
#define MXCSR_RESET 0x1F80u	  /* SDM 1 10.2.3 */

#define CPUID80000001_EDX_RDTSCP (1u << 27)
#define CPUID7_ECX_RDPID	 (1u << 22)

/*
 * An XSAVE area whose header says that nothing was saved: XRSTOR then gives every component it is asked for
 * its initial state (SDM 1 13.8). FXRSTOR takes the same bytes as they stand. Only MXCSR is read by both.
 */
struct initial_state {
	uint16_t fcw, fsw;
	uint8_t ftw[4];
	uint64_t fip, fdp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t registers[480];
	uint64_t header[8];
} ALIGNED(64);
_Static_assert(offsetof(struct initial_state, mxcsr) == 24, "FXSAVE area, SDM 1 10.5.1");
_Static_assert(offsetof(struct initial_state, header) == 512, "XSAVE header, SDM 1 13.4.2");

static const struct initial_state initial_state = {.fcw = FCW_RESET, .mxcsr = MXCSR_RESET};

static void reset_extended_state(void)
{
	struct cpuid_result supported = cpuid(0xD, 0);

	/* With every component enabled first: what is not in XCR0 would be passed over. */
	xsetbv(0, (uint64_t)supported.edx << 32 | supported.eax);
	__asm__ volatile("xrstor %0" : : "m"(initial_state), "a"(UINT32_MAX), "d"(UINT32_MAX));
	xsetbv(0, XCR0_X87);
}

static void reset_debug_registers(void)
{
	write_dr0(0);
	write_dr1(0);
	write_dr2(0);
	write_dr3(0);
	write_dr6(DR6_RESET);
}

static bool has_tsc_aux(void)
{
	if (cpuid(0x80000001, 0).edx & CPUID80000001_EDX_RDTSCP)
		return true;
	return cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ecx & CPUID7_ECX_RDPID);
}

uint32_t guest_state_pkru(void)
{
	uint32_t pkru;

	write_cr4(read_cr4() | CR4_PKE);
	__asm__ volatile("rdpkru" : "=a"(pkru) : "c"(0) : "rdx");
	write_cr4(read_cr4() & ~CR4_PKE);
	return pkru;
}

void guest_state_reset(struct vcpu *vcpu)
{
	reset_debug_registers();
	if (cpuid(1, 0).ecx & CPUID1_ECX_OSXSAVE)
		reset_extended_state();
	else
		__asm__ volatile("fxrstor %0" : : "m"(initial_state));
	if (has_tsc_aux())
		wrmsr(MSR_TSC_AUX, 0);
	if (speculation_msr(0))
		wrmsr(MSR_SPEC_CTRL, 0);
	vcpu->xcr0 = XCR0_X87;
	vcpu->tsc_aux = 0;
}
