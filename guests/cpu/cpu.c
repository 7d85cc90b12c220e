/*
 * What a CPU owes the software on it, under a hypervisor or not: exceptions where the manuals demand them, a
 * single-step trap behind each instruction, control registers that read back what was written, registers that
 * are clean at the start. Prints a line for each mismatch, then "cpu: N checks, M wrong". Told `twice`, it
 * spoils what it can and ends by a fault: restarted, it sees whether the registers are clean again. Source:
 * Intel SDM volumes 2 and 3, by section below.
 */
#include <bulkhead/abi.h>
#include "../common/interrupts.h"
#include "../common/print.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "../platform.h"
#include "cpu.h"

#define CR0_CD	    (1ull << 30)
#define CR0_NW	    (1ull << 29)
#define CR0_PG	    (1ull << 31)
#define CR4_PAE	    (1ull << 5)
#define CR4_MCE	    (1ull << 6)
#define CR4_VMXE    (1ull << 13)
#define CR4_OSXSAVE (1ull << 18)
#define CR4_PKE	    (1ull << 22)
#define CR4_UNKNOWN (1ull << 31)

#define MSR_SPEC_CTRL	      0x48u
#define MSR_PRED_CMD	      0x49u
#define MSR_ARCH_CAPABILITIES 0x10Au
#define MSR_PAT		      0x277u
#define MSR_EFER	      0xC0000080u
#define MSR_STAR	      0xC0000081u
#define MSR_LSTAR	      0xC0000082u
#define MSR_KERNEL_GS_BASE    0xC0000102u
#define MSR_TSC_AUX	      0xC0000103u
#define MSR_NOBODYS	      0x0000DEADu
#define EFER_LME	      (1ull << 8)
#define EFER_UNKNOWN	      (1ull << 1)
#define EFER_SVME	      (1ull << 12)

#define CPUID1_ECX_XSAVE      (1u << 26)
#define CPUID1_ECX_OSXSAVE    (1u << 27)
#define CPUID1_ECX_HYPERVISOR (1u << 31)
#define CPUIDE1_EDX_RDTSCP    (1u << 27)
#define CPUID7_ECX_PKU	      (1u << 3)
#define CPUID7_ECX_OSPKE      (1u << 4)
#define CPUID7_EDX_IBRS	      (1u << 26)
#define CPUID7_EDX_STIBP      (1u << 27)
#define CPUID7_EDX_ARCH	      (1u << 29)
#define CPUID7_EDX_SSBD	      (1u << 31)
#define LEAF_CRYSTAL	      0x15u

#define DR6_CLEAN 0xFFFF0FF0ull
#define DR7_CLEAN 0x400ull
#define POISON	  0x5A5A5A5A5A5Aull

uint64_t step_plain(void), step_shadow(void), keeps_registers(void);
extern const uint64_t step_plain_expected[], step_shadow_expected[];

static uint32_t checks, wrong;
/* Of what is attempted. Aligned: an emulator may look at the address of VMRUN before anything else. */
static uint64_t operand __attribute__((aligned(4096)));

void expect(const char *what, uint64_t found, uint64_t expected)
{
	checks++;
	if (found == expected)
		return;
	wrong++;
	print_line("cpu: wrong: %s: %lx, expected %lx", what, found, expected);
}

void expect_vector(const char *what, attempted *code, uint64_t vector)
{
	const uint64_t raised = attempt(code);
	expect(what, raised ? caught.vector : NO_EXCEPTION, vector);
	if (raised && vector == VECTOR_GP)
		expect(what, caught.error, 0);
}

#define REGISTER(name)                                                                                       \
	static uint64_t read_##name(void)                                                                    \
	{                                                                                                    \
		uint64_t value;                                                                              \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value));                                       \
		return value;                                                                                \
	}                                                                                                    \
	static void write_##name(void)                                                                       \
	{                                                                                                    \
		__asm__ volatile("mov %0, %%" #name : : "r"(operand) : "memory");                            \
	}
REGISTER(cr0)
REGISTER(cr4)
REGISTER(cr8)
REGISTER(dr0)
REGISTER(dr1)
REGISTER(dr2)
REGISTER(dr3)
REGISTER(dr6)
REGISTER(dr7)

static void expect_write(const char *what, attempted *write, uint64_t value, uint64_t vector)
{
	operand = value;
	expect_vector(what, write, vector);
}

/*
 * Instructions nobody here may have (SDM 3C 26.1, APM 2 15.4): #UD, whatever the CPU below could do
 */
#define ATTEMPT(name, text)                                                                                  \
	static void name(void)                                                                               \
	{                                                                                                    \
		__asm__ volatile(text : : "a"(&operand), "c"(0ull), "d"(0ull) : "memory", "cc");             \
	}
ATTEMPT(try_vmclear, "vmclear (%%rax)")
ATTEMPT(try_vmptrst, "vmptrst (%%rax)")
ATTEMPT(try_vmread, "vmread %%rcx, %%rdx")
ATTEMPT(try_vmwrite, "vmwrite %%rcx, %%rdx")
ATTEMPT(try_vmlaunch, "vmlaunch")
ATTEMPT(try_vmresume, "vmresume")
ATTEMPT(try_vmxoff, "vmxoff")
ATTEMPT(try_vmxon, "vmxon (%%rax)")
ATTEMPT(try_invept, "invept (%%rax), %%rcx")
ATTEMPT(try_invvpid, "invvpid (%%rax), %%rcx")
ATTEMPT(try_vmrun, "vmrun")
ATTEMPT(try_vmload, "vmload")
ATTEMPT(try_vmsave, "vmsave")
ATTEMPT(try_clgi, "clgi")
ATTEMPT(try_stgi, "stgi")
ATTEMPT(try_rsm, "rsm")
ATTEMPT(try_monitor, "monitor")
ATTEMPT(try_mwait, "mwait")
ATTEMPT(try_ud2, "ud2")
ATTEMPT(try_rdpmc, "mov $0x0FFFFFFF, %%ecx; rdpmc")
ATTEMPT(try_wbinvd, "wbinvd")
ATTEMPT(try_int1, ".byte 0xF1")
ATTEMPT(try_prefixed_cpuid, "push %%rbx; .byte 0xF3, 0x2E; cpuid; pop %%rbx")
ATTEMPT(try_xsetbv_without, "xsetbv")

/* Icebp is a trap, where the CPU has it: QEMU's own does not know the instruction. */
static void check_int1(void)
{
	if (attempt(try_int1) && caught.vector == VECTOR_UD)
		return;
	expect("int1", caught.vector, VECTOR_DB);
}

static void check_instructions(void)
{
	static const struct {
		const char *name;
		attempted *code;
		uint32_t vector;
	} rows[] = {
		{"vmclear", try_vmclear, VECTOR_UD},
		{"vmptrst", try_vmptrst, VECTOR_UD},
		{"vmread", try_vmread, VECTOR_UD},
		{"vmwrite", try_vmwrite, VECTOR_UD},
		{"vmlaunch", try_vmlaunch, VECTOR_UD},
		{"vmresume", try_vmresume, VECTOR_UD},
		{"vmxoff", try_vmxoff, VECTOR_UD},
		{"vmxon", try_vmxon, VECTOR_UD},
		{"invept", try_invept, VECTOR_UD},
		{"invvpid", try_invvpid, VECTOR_UD},
		{"vmrun", try_vmrun, VECTOR_UD},
		{"vmload", try_vmload, VECTOR_UD},
		{"vmsave", try_vmsave, VECTOR_UD},
		{"clgi", try_clgi, VECTOR_UD},
		{"stgi", try_stgi, VECTOR_UD},
		{"rsm", try_rsm, VECTOR_UD},
		{"monitor", try_monitor, VECTOR_UD},
		{"mwait", try_mwait, VECTOR_UD},
		{"ud2", try_ud2, VECTOR_UD},
		{"xsetbv without OSXSAVE", try_xsetbv_without, VECTOR_UD},
		{"rdpmc", try_rdpmc, VECTOR_GP},
		{"wbinvd", try_wbinvd, NO_EXCEPTION},
		{"prefixed cpuid", try_prefixed_cpuid, NO_EXCEPTION},
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_vector(rows[i].name, rows[i].code, rows[i].vector);
	check_int1();
	expect("registers CPUID must keep", keeps_registers(), 0);
}

/*
 * Control registers (SDM 3A 2.5)
 */

/*
 * QEMU's own CPU takes into registers what none may hold, and VMRUN may refuse it later. CR8
 * tells, where it does no harm.
 */
static bool registers_checked;

static void find_strictness(void)
{
	operand = 16;
	registers_checked = attempt(write_cr8);
	operand = 0;
	(void)attempt(write_cr8);
}

static void check_cr0(void)
{
	const uint64_t cr0 = read_cr0();

	expect_write("CR0.CD set", write_cr0, cr0 | CR0_CD, NO_EXCEPTION);
	expect("CR0 with CD", read_cr0(), cr0 | CR0_CD);
	expect_write("CR0 back", write_cr0, cr0, NO_EXCEPTION);
	expect("CR0", read_cr0(), cr0);
	if (!registers_checked)
		return;
	expect_write("CR0.NW without CD", write_cr0, cr0 | CR0_NW, VECTOR_GP);
	expect_write("CR0.PG cleared in 64-bit mode", write_cr0, cr0 & ~CR0_PG, VECTOR_GP);
	expect_write("CR0 bit 32", write_cr0, cr0 | 1ull << 32, VECTOR_GP);
}

static void check_cr4(void)
{
	const uint64_t cr4 = read_cr4();

	expect_write("CR4.MCE flipped", write_cr4, cr4 ^ CR4_MCE, NO_EXCEPTION);
	expect("CR4 with MCE flipped", read_cr4(), cr4 ^ CR4_MCE);
	expect_write("CR4 back", write_cr4, cr4, NO_EXCEPTION);
	expect("CR4", read_cr4(), cr4);
	if (!registers_checked)
		return;
	expect_write("CR4.VMXE", write_cr4, cr4 | CR4_VMXE, VECTOR_GP);
	expect_write("CR4 bit nobody has", write_cr4, cr4 | CR4_UNKNOWN, VECTOR_GP);
	expect_write("CR4.PAE cleared in 64-bit mode", write_cr4, cr4 & ~CR4_PAE, VECTOR_GP);
	expect("CR4", read_cr4(), cr4);
}

static void check_cr8(void)
{
	expect_write("CR8", write_cr8, 5, NO_EXCEPTION);
	expect("CR8", read_cr8(), cr8_is_priority ? 5 : 0);
	if (registers_checked)
		expect_write("CR8 bit 4", write_cr8, 16, VECTOR_GP);
	expect_write("CR8 back", write_cr8, 0, NO_EXCEPTION);
}

static uint32_t xsetbv_index;
static void try_xsetbv(void)
{
	__asm__ volatile("xsetbv"
			 :
			 : "c"(xsetbv_index), "a"((uint32_t)operand), "d"((uint32_t)(operand >> 32)));
}

static uint64_t read_xcr0(void)
{
	uint32_t low, high;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

/* The TSC is the crystal of both the TSC and the local APIC's timer, in all places that tell. */
static void check_clock_leaves(void)
{
	const struct cpuid_result crystal = cpuid(LEAF_CRYSTAL, 0);
	if (cpuid(0, 0).eax < LEAF_CRYSTAL)
		return;
	expect("TSC per crystal, denominator", crystal.eax, 1);
	expect("TSC per crystal, numerator", crystal.ebx, 1);
	expect("crystal kHz", crystal.ecx / 1000, cpuid(BH_CPUID_CLOCK, 0).eax);
}

static void check_xcr0(void)
{
	if (!(cpuid(1, 0).ecx & CPUID1_ECX_XSAVE))
		return;
	expect("OSXSAVE before", cpuid(1, 0).ecx & CPUID1_ECX_OSXSAVE, 0);
	expect_write("CR4.OSXSAVE", write_cr4, read_cr4() | CR4_OSXSAVE, NO_EXCEPTION);
	expect("OSXSAVE mirrors CR4", cpuid(1, 0).ecx & CPUID1_ECX_OSXSAVE, CPUID1_ECX_OSXSAVE);
	expect("XCR0 at the start", read_xcr0(), 1);
	expect_write("XCR0 = x87 and SSE", try_xsetbv, 3, NO_EXCEPTION);
	expect("XCR0", read_xcr0(), 3);
	expect_write("XCR0 without x87", try_xsetbv, 2, VECTOR_GP);
	expect_write("XCR0 with a bit nobody has", try_xsetbv, 1ull << 61 | 1, VECTOR_GP);
	xsetbv_index = 1;
	expect_write("XCR1", try_xsetbv, 1, VECTOR_GP);
	xsetbv_index = 0;
	expect_write("CR4.OSXSAVE off", write_cr4, read_cr4() & ~CR4_OSXSAVE, NO_EXCEPTION);
}

/*
 * Protection keys (SDM 3A 4.6.2): the register is the guest's own, and clean at the start
 */
static uint32_t read_pkru(void)
{
	uint32_t low, high;
	__asm__ volatile("rdpkru" : "=a"(low), "=d"(high) : "c"(0));
	return low;
}

static void try_rdpkru(void)
{
	operand = read_pkru();
}

static void try_wrpkru(void)
{
	__asm__ volatile("wrpkru" : : "a"((uint32_t)operand), "c"(0), "d"(0) : "memory");
}

/* CR4 may take the bit where CPUID does not tell of keys: they are clean all the same. */
static bool take_protection_keys(void)
{
	operand = read_cr4() | CR4_PKE;
	return !attempt(write_cr4);
}

static void check_protection_keys(void)
{
	const uint32_t told = cpuid(7, 0).ecx & CPUID7_ECX_PKU;

	if (!take_protection_keys()) {
		expect("protection keys that are told of", told, 0);
		return;
	}
	print_line("cpu: has protection keys%s", told ? "" : " that nobody told of");
	expect_write("CR4.PKE off", write_cr4, read_cr4() & ~CR4_PKE, NO_EXCEPTION);
	expect("OSPKE before", cpuid(7, 0).ecx & CPUID7_ECX_OSPKE, 0);
	expect_vector("RDPKRU without CR4.PKE", try_rdpkru, VECTOR_UD);
	expect_write("CR4.PKE", write_cr4, read_cr4() | CR4_PKE, NO_EXCEPTION);
	expect("OSPKE mirrors CR4", cpuid(7, 0).ecx & CPUID7_ECX_OSPKE, told ? CPUID7_ECX_OSPKE : 0);
	expect("PKRU at the start", read_pkru(), 0);
	expect_write("PKRU", try_wrpkru, 0x55555554, NO_EXCEPTION);
	expect("PKRU after an exit", (cpuid(0, 0), read_pkru()), 0x55555554);
	expect_write("PKRU back", try_wrpkru, 0, NO_EXCEPTION);
	expect_write("CR4.PKE off", write_cr4, read_cr4() & ~CR4_PKE, NO_EXCEPTION);
}

/*
 * MSRs
 */
static uint32_t msr;
static void try_rdmsr(void)
{
	operand = read_msr(msr);
}
static void try_wrmsr(void)
{
	write_msr(msr, operand);
}

static void expect_msr_write(const char *what, uint32_t index, uint64_t value, uint64_t vector)
{
	msr = index;
	expect_write(what, try_wrmsr, value, vector);
	if (vector == NO_EXCEPTION)
		expect(what, read_msr(index), value);
}

static bool has_speculation_controls(void)
{
	return cpuid(7, 0).edx & (CPUID7_EDX_IBRS | CPUID7_EDX_STIBP | CPUID7_EDX_SSBD);
}

/* What controls speculation is the guest's own, where CPUID says it is there. */
static void check_speculation(void)
{
	const uint32_t offered = cpuid(7, 0).edx;

	msr = MSR_SPEC_CTRL;
	if (!has_speculation_controls()) {
		expect_vector("SPEC_CTRL that is not there", try_rdmsr, VECTOR_GP);
		return;
	}
	print_line("cpu: has speculation controls");
	expect("SPEC_CTRL at the start", read_msr(MSR_SPEC_CTRL), 0);
	expect_msr_write("SPEC_CTRL", MSR_SPEC_CTRL, 1, NO_EXCEPTION);
	expect("SPEC_CTRL after an exit", (cpuid(0, 0), read_msr(MSR_SPEC_CTRL)), 1);
	expect_msr_write("SPEC_CTRL with a bit nobody has", MSR_SPEC_CTRL, 1ull << 63, VECTOR_GP);
	expect_msr_write("SPEC_CTRL back", MSR_SPEC_CTRL, 0, NO_EXCEPTION);
	msr = MSR_PRED_CMD;
	if (offered & CPUID7_EDX_IBRS)
		expect_write("predictor barrier", try_wrmsr, 1, NO_EXCEPTION);
	expect_vector("predictor barrier, read", try_rdmsr, VECTOR_GP);
	msr = MSR_ARCH_CAPABILITIES;
	expect_vector("ARCH_CAPABILITIES", try_rdmsr, offered & CPUID7_EDX_ARCH ? NO_EXCEPTION : VECTOR_GP);
	expect_msr_write("ARCH_CAPABILITIES written", MSR_ARCH_CAPABILITIES, 0, VECTOR_GP);
}

static bool has_tsc_aux(void)
{
	return cpuid(0x80000001, 0).edx & CPUIDE1_EDX_RDTSCP;
}

static void check_msrs(void)
{
	const uint64_t efer = read_msr(MSR_EFER), pat = read_msr(MSR_PAT);

	msr = MSR_NOBODYS;
	operand = POISON;
	expect_vector("MSR nobody has, read", try_rdmsr, VECTOR_GP);
	expect("and nothing else changed", operand, POISON);
	expect_msr_write("MSR nobody has, written", MSR_NOBODYS, 0, VECTOR_GP);
	expect_msr_write("EFER with a bit nobody has", MSR_EFER, efer | EFER_UNKNOWN, VECTOR_GP);
	expect_msr_write("EFER.SVME", MSR_EFER, efer | EFER_SVME, VECTOR_GP);
	expect_msr_write("EFER.LME cleared under paging", MSR_EFER, efer & ~EFER_LME, VECTOR_GP);
	expect_msr_write("EFER as it was", MSR_EFER, efer, NO_EXCEPTION);
	expect_msr_write("PAT", MSR_PAT, pat ^ 7, NO_EXCEPTION);
	expect_msr_write("PAT with a type nobody has", MSR_PAT, 2, VECTOR_GP);
	expect_msr_write("PAT back", MSR_PAT, pat, NO_EXCEPTION);
	expect_msr_write("KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, POISON, NO_EXCEPTION);
	expect_msr_write("STAR", MSR_STAR, POISON, NO_EXCEPTION);
	expect_msr_write("LSTAR", MSR_LSTAR, POISON, NO_EXCEPTION);
	if (registers_checked)
		expect_msr_write("LSTAR not canonical", MSR_LSTAR, 1ull << 62, VECTOR_GP);
	if (has_tsc_aux())
		expect_msr_write("TSC_AUX", MSR_TSC_AUX, 0x1234, NO_EXCEPTION);
}

/*
 * Debugging (SDM 3B chapter 18)
 */
static void expect_steps(const char *what, uint64_t (*stepped)(void), const uint64_t *expected)
{
	const uint64_t count = stepped();

	for (unsigned i = 0; expected[i]; i++)
		expect(what, i < count ? caught.steps[i] : 0, expected[i]);
}

static volatile uint64_t watched;
static void write_watched(void)
{
	watched = 1;
}

static void check_debugging(void)
{
	expect_steps("step", step_plain, step_plain_expected);
	expect_steps("step behind MOV SS", step_shadow, step_shadow_expected);
	operand = DR6_CLEAN;
	write_dr6();
	operand = (uint64_t)&watched;
	write_dr0();
	operand = DR7_CLEAN | 0xD0002; /* breakpoint 0, global: writes of 4 bytes */
	write_dr7();
	expect_vector("watched write", write_watched, VECTOR_DB);
	expect("DR6 after it", read_dr6(), DR6_CLEAN | 1);
	operand = DR7_CLEAN;
	write_dr7();
}

/*
 * Nothing of the guest before: what INIT and power-on leave (SDM 3A table 10-1), as do the checks of PKRU,
 * SPEC_CTRL and XCR0. At the end all of it is spoilt, for the next one.
 */
static void check_start(void)
{
	expect("DR0 at the start", read_dr0(), 0);
	expect("DR1 at the start", read_dr1(), 0);
	expect("DR2 at the start", read_dr2(), 0);
	expect("DR3 at the start", read_dr3(), 0);
	expect("DR6 at the start", read_dr6(), DR6_CLEAN);
	expect("DR7 at the start", read_dr7(), DR7_CLEAN);
	expect("KERNEL_GS_BASE at the start", read_msr(MSR_KERNEL_GS_BASE), 0);
	expect("STAR at the start", read_msr(MSR_STAR), 0);
	expect("LSTAR at the start", read_msr(MSR_LSTAR), 0);
	expect("PAT at the start", read_msr(MSR_PAT), 0x0007040600070406ull);
	if (has_tsc_aux())
		expect("TSC_AUX at the start", read_msr(MSR_TSC_AUX), 0);
}

static void spoil_debug_registers(void)
{
	operand = POISON;
	write_dr0();
	write_dr1();
	write_dr2();
	write_dr3();
	operand = DR6_CLEAN | 1;
	write_dr6();
	operand = DR7_CLEAN | 2; /* breakpoint 0, global: an instruction where there is none */
	write_dr7();
}

static void spoil_msrs(void)
{
	write_msr(MSR_KERNEL_GS_BASE, POISON);
	write_msr(MSR_STAR, POISON);
	write_msr(MSR_LSTAR, POISON);
	write_msr(MSR_PAT, read_msr(MSR_PAT) ^ 7);
	if (has_tsc_aux())
		write_msr(MSR_TSC_AUX, 0x1234);
	if (has_speculation_controls())
		write_msr(MSR_SPEC_CTRL, 1);
}

static void spoil_protection_keys(void)
{
	if (!take_protection_keys())
		return;
	operand = 0x55555554;
	try_wrpkru();
}

static void spoil(void)
{
	spoil_debug_registers();
	spoil_msrs();
	spoil_protection_keys();
}

void guest_main(const struct platform *platform)
{
	print_line("cpu: begin %s", platform->kind);
	interrupt_gate(0, catch_de);
	interrupt_gate(1, catch_db);
	interrupt_gate(2, catch_nmi);
	interrupt_gate(3, catch_bp);
	interrupt_gate(6, catch_ud);
	interrupt_gate(13, catch_gp);
	interrupt_gate(14, catch_pf);
	check_start();
	check_instructions();
	find_strictness();
	check_cr0();
	check_cr4();
	check_cr8();
	check_clock_leaves();
	check_xcr0();
	check_protection_keys();
	check_msrs();
	check_speculation();
	check_debugging();
	check_platform();
	print_line("cpu: %u checks, %u wrong", checks, wrong);
	platform_flush();
	spoil();
	if (option_flag(platform->cmdline, "twice"))
		triple_fault();
	platform_power_off();
}
