/*
 * Registers with bits no guest may have. The architecture: reserved and unsupported bits are #GP(0), also
 * what CPUID does not offer (SDM 3A 2.5 and 2.6, 3B 18.2; APM 2 3.1). Policy for MSRs: those that are the
 * guest's own work, a few constants read, and all others, known or not, inside the CPU's bitmaps or out of
 * them, are #GP(0) to read and to write. An attack that gets through puts the old value back.
 */
#include "hostile.h"

#define CR0_PE (1ull << 0)
#define CR0_NE (1ull << 5)
#define CR0_CD (1ull << 30)
#define CR0_NW (1ull << 29)
#define CR0_PG (1ull << 31)

#define CR4_DE	    (1ull << 3)
#define CR4_PAE	    (1ull << 5)
#define CR4_MCE	    (1ull << 6)
#define CR4_LA57    (1ull << 12)
#define CR4_VMXE    (1ull << 13)
#define CR4_SMXE    (1ull << 14)
#define CR4_OSXSAVE (1ull << 18)

#define MSR_EFER 0xC0000080u
#define EFER_LME (1ull << 8)
#define EFER_LMA (1ull << 10)

#define DR7_CLEAN	   0x400ull
#define DR7_GENERAL_DETECT (1ull << 13)
#define XCR0_AVX	   4u

#define ALL_BITS     UINT64_MAX
#define READABLE_MAX 64

#define REGISTER(name)                                                                                       \
	static uint64_t read_##name(void)                                                                    \
	{                                                                                                    \
		uint64_t value;                                                                              \
		__asm__ volatile("mov %%" #name ", %0" : "=r"(value));                                       \
		return value;                                                                                \
	}                                                                                                    \
	static void write_##name(uint64_t value)                                                             \
	{                                                                                                    \
		__asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory");                              \
	}
REGISTER(cr0)
REGISTER(cr4)
REGISTER(cr8)
REGISTER(dr6)
REGISTER(dr7)

/* Sets the bits `a` and clears the bits `b`, and tells what of them has become of it. */
#define CHANGE(name)                                                                                         \
	static void change_##name(void)                                                                      \
	{                                                                                                    \
		const uint64_t before = read_##name();                                                       \
		write_##name((before | attack_a) & ~attack->b);                                              \
		const uint64_t after = read_##name();                                                        \
		write_##name(before);                                                                        \
		observe(after &(attack_a | attack->b));                                                      \
	}
CHANGE(cr0)
CHANGE(cr4)
CHANGE(cr8)
CHANGE(dr6)
CHANGE(dr7)

static uint64_t read_efer(void)
{
	return read_msr(MSR_EFER);
}
static void write_efer(uint64_t value)
{
	write_msr(MSR_EFER, value);
}
CHANGE(efer)

/* With CR4.DE set, DR4 and DR5 are #UD (SDM 3B 18.2.2). */
static void use_dr4(void)
{
	write_cr4(read_cr4() | CR4_DE);
	__asm__ volatile("mov %%rax, %%dr4" : : "a"(0ull));
}

/* The next use of a debug register is #DB, and switches the detection off. */
static void detect_debugging(void)
{
	write_dr7(DR7_CLEAN | DR7_GENERAL_DETECT);
	observe(read_dr6());
}

static void set_xcr(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	__asm__ volatile("xsetbv"
			 :
			 : "c"((uint32_t)attack->b), "a"((uint32_t)attack_a),
			   "d"((uint32_t)(attack_a >> 32)));
}

/*
 * MSRs
 */
static void read_it(void)
{
	observe(read_msr((uint32_t)attack_a));
}

static void write_it(void)
{
	write_msr((uint32_t)attack_a, attack->b);
}

static uint32_t swept;
static void read_swept(void)
{
	(void)read_msr(swept);
}

/* Names each of the `b` MSRs from `a` on that can be read, and tells how many there are. */
static void sweep(void)
{
	static uint32_t readable[READABLE_MAX];
	uint64_t found = 0;

	for (swept = (uint32_t)attack_a; swept - (uint32_t)attack_a < attack->b; swept++)
		if (!attempt(read_swept) && found < READABLE_MAX)
			readable[found++] = swept;
	caught.count = 0;
	for (uint64_t i = 0; i < found; i++)
		print_line("attack %s: readable %x", attack->name, readable[i]);
	observe(found);
}

static uint64_t pattern;
static void write_swept(void)
{
	write_msr(swept, pattern);
}

/* Of the same: tells how many can be written that cannot be read. */
static void sweep_writes(void)
{
	uint64_t found = 0;

	for (swept = (uint32_t)attack_a; swept - (uint32_t)attack_a < attack->b; swept++) {
		if (!attempt(read_swept))
			continue;
		pattern = 0;
		found += !attempt(write_swept);
		pattern = ALL_BITS;
		found += !attempt(write_swept);
	}
	caught.count = 0;
	observe(found);
}

static void set_cr3_bits(void)
{
	write_cr3(read_cr3() | attack_a);
}

static void use_dr5(void)
{
	write_cr4(read_cr4() | CR4_DE);
	__asm__ volatile("mov %%dr5, %%rax" : : : "rax");
}

const struct attack register_attacks[] = {
	/* Only with PCIDs (SDM 3A 4.10.4.1). */
	{"cr3-bit-63", set_cr3_bits, 1ull << 63, 0},
	{"cr3-bit-52", set_cr3_bits, 1ull << 52, 0},
	{"cr0-bit-32", change_cr0, 1ull << 32, 0},
	{"cr0-bit-63", change_cr0, 1ull << 63, 0},
	{"cr0-nw-without-cd", change_cr0, CR0_NW, CR0_CD},
	{"cr0-paging-off", change_cr0, 0, CR0_PG},
	{"cr0-protection-off", change_cr0, 0, CR0_PE},
	/* A guest may: the CPU below keeps its own NE. */
	{"cr0-ne-off", change_cr0, 0, CR0_NE},
	{"cr0-caches-off", change_cr0, CR0_CD, 0},
	{"cr4-vmxe", change_cr4, CR4_VMXE, 0},
	{"cr4-smxe", change_cr4, CR4_SMXE, 0},
	{"cr4-la57", change_cr4, CR4_LA57, 0},
	{"cr4-pae-off", change_cr4, 0, CR4_PAE},
	{"cr4-bit-31", change_cr4, 1ull << 31, 0},
	{"cr4-bit-63", change_cr4, 1ull << 63, 0},
	{"cr4-all-bits", change_cr4, ALL_BITS, 0},
	/* A guest may: machine checks go to the hypervisor all the same. */
	{"cr4-mce-off", change_cr4, 0, CR4_MCE},
	{"cr8-bit-4", change_cr8, 1ull << 4, 0},
	{"cr8-all-bits", change_cr8, ALL_BITS, 0},
	{"efer-svme", change_efer, 1ull << 12, 0},
	{"efer-bit-1", change_efer, 1ull << 1, 0},
	{"efer-ffxsr", change_efer, 1ull << 14, 0},
	{"efer-bit-63", change_efer, 1ull << 63, 0},
	{"efer-all-bits", change_efer, ALL_BITS, 0},
	{"efer-lme-off", change_efer, 0, EFER_LME},
	/* Policy: LMA follows paging and ignores what is written. */
	{"efer-lma-off", change_efer, 0, EFER_LMA},
	{"dr6-bit-32", change_dr6, 1ull << 32, 0},
	{"dr7-bit-32", change_dr7, 1ull << 32, 0},
	{"dr4-with-de", use_dr4, 0, 0},
	{"dr5-with-de", use_dr5, 0, 0},
	{"dr7-general-detect", detect_debugging, 0, 0},
	{"xcr0-nothing", set_xcr, 0, 0},
	{"xcr0-without-x87", set_xcr, 2, 0},
	{"xcr0-avx-without-sse", set_xcr, 1 | XCR0_AVX, 0},
	{"xcr0-half-of-avx512", set_xcr, 7 | 1u << 5, 0},
	{"xcr0-supervisor-state", set_xcr, 3 | 1u << 8, 0},
	{"xcr0-bit-63", set_xcr, 3 | 1ull << 63, 0},
	{"xcr0-all-bits", set_xcr, ALL_BITS, 0},
	{"xcr1", set_xcr, 3, 1},
	{"xcr-last", set_xcr, 3, UINT32_MAX},

	/* PAT takes types 0, 1, 4 to 7 in each byte (SDM 3A 12.12.2). */
	{"pat-type-2", write_it, 0x277, 2},
	{"pat-type-3-last", write_it, 0x277, 3ull << 56},
	{"pat-reserved", write_it, 0x277, 0x0007040600070480},
	{"fs-base-not-canonical", write_it, 0xC0000100, 1ull << 47},
	{"kernel-gs-base-not-canonical", write_it, 0xC0000102, 1ull << 62},
	{"lstar-not-canonical", write_it, 0xC0000082, 1ull << 63},
	/* Locked, VMX off: it reads so, and cannot be changed. */
	{"read-feature-control", read_it, 0x3A, 0},
	{"write-feature-control", write_it, 0x3A, 5},
	{"microcode-update", write_it, 0x79, 0x100000},
	{"amd-microcode-update", write_it, 0xC0010020, 0x100000},
	/* Written 0 before CPUID tells the revision: ignored. It reads as the machine's. */
	{"microcode-revision", write_it, 0x8B, 0},
	{"read-microcode-revision", read_it, 0x8B, 0},
	{"smm-monitor", write_it, 0x9B, 1},
	{"smbase", write_it, 0x9E, 0x30000},
	{"read-smi-count", read_it, 0x34, 0},
	{"smrr-base", write_it, 0x1F2, 6},
	{"smrr-mask", write_it, 0x1F3, 0x800},
	{"amd-smbase", write_it, 0xC0010111, 0x30000},
	{"amd-smm-address", write_it, 0xC0010112, 0},
	{"amd-smm-mask", write_it, 0xC0010113, 0},
	{"speculation-control", write_it, 0x48, 1},
	{"read-speculation-control", read_it, 0x48, 0},
	{"predictor-barrier", write_it, 0x49, 1},
	{"cache-flush-command", write_it, 0x10B, 1},
	{"read-architectural-capabilities", read_it, 0x10A, 0},
	{"amd-virtual-speculation-control", write_it, 0xC001011F, 1},
	{"fill-buffer-control", write_it, 0x123, 1},
	{"amd-decode-configuration", write_it, 0xC0011029, 2},
	{"debug-control", write_it, 0x1D9, 1},
	{"debug-control-branch-trace", write_it, 0x1D9, 2},
	{"read-debug-control", read_it, 0x1D9, 0},
	{"read-last-branch", read_it, 0x1DB, 0},
	{"mtrr-default-type", write_it, 0x2FF, 0xC06},
	{"mtrr-fixed", write_it, 0x250, 0x0606060606060606},
	{"mtrr-variable", write_it, 0x200, 6},
	{"read-mtrr-capabilities", read_it, 0xFE, 0},
	{"read-vmx-basic", read_it, 0x480, 0},
	{"read-vmx-last", read_it, 0x493, 0},
	{"write-vmx-basic", write_it, 0x480, 0},
	{"amd-vm-cr", write_it, 0xC0010114, 0},
	{"read-amd-vm-cr", read_it, 0xC0010114, 0},
	{"amd-host-save", write_it, 0xC0010117, 0x100000},
	{"read-amd-host-save", read_it, 0xC0010117, 0},
	{"amd-system-configuration", write_it, 0xC0010010, 0},
	{"amd-hardware-configuration", write_it, 0xC0010015, 0},
	{"amd-top-of-memory", write_it, 0xC001001A, 0},
	{"time-stamp-counter", write_it, 0x10, 0},
	{"time-stamp-adjust", write_it, 0x3B, 1},
	{"performance-control", write_it, 0x199, 0xFFFF},
	{"performance-counters", write_it, 0x38F, 1},
	{"processor-trace", write_it, 0x570, 1},
	{"machine-check-bank", write_it, 0x400, ALL_BITS},
	{"machine-check-status", write_it, 0x17A, 4},
	{"power-limit", write_it, 0x610, 0},
	{"supervisor-xsave", write_it, 0xDA0, 0x100},
	{"hyper-v-guest-id", write_it, 0x40000000, 1},
	{"kvm-clock", write_it, 0x4B564D01, 0x1001},
	{"last-in-low-range", write_it, 0x1FFF, 0},
	{"first-beyond-low-range", read_it, 0x2000, 0},
	{"last-in-high-range", write_it, 0xC0001FFF, 0},
	{"first-beyond-high-range", write_it, 0xC0002000, 0},
	{"last-in-amd-range", write_it, 0xC0011FFF, 0},
	{"first-beyond-amd-range", read_it, 0xC0012000, 0},
	{"msr-last", write_it, 0xFFFFFFFF, ALL_BITS},
	{"sweep-low", sweep, 0, 0x2000},
	{"sweep-hypervisors", sweep, 0x40000000, 0x200},
	{"sweep-high", sweep, 0xC0000000, 0x2000},
	{"sweep-amd", sweep, 0xC0010000, 0x2000},
	{"sweep-writes-low", sweep_writes, 0, 0x2000},
	{"sweep-writes-hypervisors", sweep_writes, 0x40000000, 0x200},
	{"sweep-writes-high", sweep_writes, 0xC0000000, 0x2000},
	{"sweep-writes-amd", sweep_writes, 0xC0010000, 0x2000},
	{0},
};
