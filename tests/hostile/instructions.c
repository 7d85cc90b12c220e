/*
 * Instructions no guest may have, and storms of those it may. VMX and SVM are not offered: #UD at any
 * privilege (SDM 3C 26.1.2, APM 2 15.4), and so is what CPUID hides (MONITOR, GETSEC, SKINIT, RSM). INVD must
 * not throw away anybody's memory: it acts as WBINVD, and that is nothing on a machine with coherent caches.
 * A storm costs the attacker's own time only.
 */
#include "hostile.h"

#define STORM	    20000u
#define PAUSE_STORM 1000000u
#define PATTERN	    0x1122334455667788ull

#define CPUID_ABI	  0x40000001u
#define CPUID_ABI_VMMCALL 1u
#define UNKNOWN_CALL	  0x8000FFFFu

static uint64_t operand[8] __attribute__((aligned(4096)));

#define INSTRUCTION(name, text)                                                                              \
	static void name(void)                                                                               \
	{                                                                                                    \
		__asm__ volatile(text : : "a"(operand), "c"(0ull), "d"(0ull) : CLOBBERS);                    \
	}
INSTRUCTION(do_vmxon, "vmxon (%%rax)")
INSTRUCTION(do_vmxoff, "vmxoff")
INSTRUCTION(do_vmclear, "vmclear (%%rax)")
INSTRUCTION(do_vmptrld, "vmptrld (%%rax)")
INSTRUCTION(do_vmptrst, "vmptrst (%%rax)")
INSTRUCTION(do_vmread, "vmread %%rcx, %%rdx")
INSTRUCTION(do_vmwrite, "vmwrite %%rcx, %%rdx")
INSTRUCTION(do_vmlaunch, "vmlaunch")
INSTRUCTION(do_vmresume, "vmresume")
INSTRUCTION(do_vmfunc, "vmfunc")
INSTRUCTION(do_invept, "invept (%%rax), %%rcx")
INSTRUCTION(do_invvpid, "invvpid (%%rax), %%rcx")
INSTRUCTION(do_vmrun, "vmrun")
INSTRUCTION(do_vmload, "vmload")
INSTRUCTION(do_vmsave, "vmsave")
INSTRUCTION(do_stgi, "stgi")
INSTRUCTION(do_clgi, "clgi")
INSTRUCTION(do_skinit, "xor %%eax, %%eax; skinit")
INSTRUCTION(do_invlpga, "invlpga")
INSTRUCTION(do_getsec, ".byte 0x0F, 0x37")
INSTRUCTION(do_rsm, "rsm")
INSTRUCTION(do_monitor, "monitor")
INSTRUCTION(do_mwait, "mwait")
INSTRUCTION(do_xsetbv, "mov %%cr4, %%rax; btr $18, %%rax; mov %%rax, %%cr4; mov $1, %%eax; xsetbv")
INSTRUCTION(do_rdpmc, "mov $0x0FFFFFFF, %%ecx; rdpmc")
INSTRUCTION(do_syscall, "syscall")
INSTRUCTION(do_iret_nested, "pushfq; orl $0x4000, (%%rsp); popfq; iretq")
INSTRUCTION(do_ltr_nobody, "mov $0xFFF8, %%ecx; ltr %%cx")
INSTRUCTION(do_interrupt_beyond, "int $0xFF")
INSTRUCTION(do_16_prefixes, ".fill 15, 1, 0x3E; nop")
INSTRUCTION(do_15_prefixed_cpuid, "push %%rbx; .fill 13, 1, 0x3E; cpuid; pop %%rbx")
INSTRUCTION(do_16_prefixed_cpuid, "push %%rbx; .fill 14, 1, 0x3E; cpuid; pop %%rbx")

/*
 * Instructions that trap, where the hypervisor may have to look for them itself: across the end of a page,
 * and changed by another CPU.
 */
#define TRAPS 6
static uint8_t code[TRAPS][2 * PAGE_SIZE] __attribute__((aligned(4096)));
#define CODE_RET    0xC3u
#define CPUID_BYTES 0xA20Fu
#define WBINVD	    0x090Fu

/* RAX of the instruction at `at`, which RAX and RCX = 0 go into, and the other registers are lost. */
static uint64_t run_at(const uint8_t *at)
{
	uint64_t rax = 0, rcx = 0;

	__asm__ volatile("call *%2" : "+a"(rax), "+c"(rcx) : "r"(at) : "rbx", "rdx", CLOBBERS);
	return rax;
}

/* CPUID, RDMSR of the TSC, MOV from CR0, with prefixes and without, at each place around the end of a page:
 * as in the middle of it. Tells how often not. */
static void across_pages(void)
{
	static const struct {
		uint8_t size, bytes[8];
	} instructions[TRAPS] = {{2, {0x0F, 0xA2}},
				 {6, {0x3E, 0x65, 0x66, 0x48, 0x0F, 0xA2}},
				 {7, {0xB9, 0x77, 0x02, 0, 0, 0x0F, 0x32}},
				 {3, {0x0F, 0x20, 0xC0}},
				 {4, {0x44, 0x0F, 0x20, 0xC0}},
				 {2, {0x0F, 0x09}}};
	uint64_t differ = 0;

	for (size_t i = 0; i < TRAPS; i++)
		for (size_t place = PAGE_SIZE - 8; place <= PAGE_SIZE; place++) {
			memcpy(code[i], instructions[i].bytes, instructions[i].size);
			code[i][instructions[i].size] = CODE_RET;
			memcpy(code[i] + place, instructions[i].bytes, instructions[i].size);
			code[i][place + instructions[i].size] = CODE_RET;
			differ += run_at(code[i]) != run_at(code[i] + place);
		}
	observe(differ);
}

static volatile bool changing_ends;
static void change_instruction(void *context)
{
	volatile uint16_t *const at = context;

	while (!changing_ends)
		*at ^= CPUID_BYTES ^ WBINVD;
}

/* Either of two, each of which traps: what the hypervisor finds there need not be what trapped. */
static void changing_under_it(void)
{
	memcpy(code[0], (const uint8_t[]){0x0F, 0xA2, CODE_RET}, 3);
	changing_ends = false;
	if (!platform_cpu_start(1, change_instruction, code[0])) {
		print_line("attack %s: the other CPU does not start", attack->name);
		return;
	}
	for (uint32_t i = 0; i < STORM; i++)
		(void)run_at(code[0]);
	changing_ends = true;
	while (platform_cpu_running(1))
		spin_hint();
}

/* modes.asm */
void switch_task(void);

/* The other vendor's hypercall: #UD. */
static void call_foreign(void)
{
	if (cpuid(CPUID_ABI, 0).ecx & CPUID_ABI_VMMCALL)
		__asm__ volatile("vmcall" : : "a"(UNKNOWN_CALL) : CLOBBERS);
	else
		__asm__ volatile("vmmcall" : : "a"(UNKNOWN_CALL) : CLOBBERS);
}

static void invalidate_caches(void)
{
	operand[0] = PATTERN;
	__asm__ volatile("invd" : : : CLOBBERS);
	observe(operand[0]);
}

static void flush_storm(void)
{
	for (uint32_t i = 0; i < STORM; i++)
		__asm__ volatile("wbinvd" : : : CLOBBERS);
}

static void pause_storm(void)
{
	for (uint32_t i = 0; i < PAUSE_STORM; i++)
		spin_hint();
}

static void cpuid_storm(void)
{
	for (uint32_t i = 0; i < STORM * 2; i++)
		(void)cpuid(i, 0);
}

/* Leaves that are there and leaves that are not, from each range and its ends. */
static void cpuid_all(void)
{
	static const uint32_t ranges[] = {0,	      0x20000000, 0x40000000, 0x7FFFFFF0,
					  0x80000000, 0x8FFFFFF0, 0xC0000000, 0xFFFFFF00};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++)
		for (uint32_t leaf = 0; leaf < 0x100; leaf++)
			for (uint32_t subleaf = 0; subleaf < 4; subleaf++)
				(void)cpuid(ranges[i] + leaf, subleaf == 3 ? UINT32_MAX : subleaf);
}

/* Nobody is left to wake it: "all its CPUs are off or halted with interrupts off". */
static void halt_for_good(void)
{
	interrupts_off();
	halt();
}

static volatile bool halting;

/* It says so right before: some time later it is true. */
void wait_for_halt(void)
{
	while (!halting)
		spin_hint();
	for (uint32_t i = 0; i < PAUSE_STORM; i++)
		spin_hint();
}

void halt_beside(void (*last)(void *context))
{
	if (!platform_cpu_start(1, last, NULL)) {
		print_line("attack %s: the other CPU does not start", attack->name);
		return;
	}
	halting = true;
	halt_for_good();
}

/* No exit of its own ever: only the hypervisor's own interrupts get the CPU back, for the monitor's `reset`.
 */
static void spin_for_ever(void)
{
	interrupts_off();
	for (;;)
		spin_hint();
}

const struct attack instruction_attacks[] = {
	{"vmxon", do_vmxon, 0, 0},
	{"vmxoff", do_vmxoff, 0, 0},
	{"vmclear", do_vmclear, 0, 0},
	{"vmptrld", do_vmptrld, 0, 0},
	{"vmptrst", do_vmptrst, 0, 0},
	{"vmread", do_vmread, 0, 0},
	{"vmwrite", do_vmwrite, 0, 0},
	{"vmlaunch", do_vmlaunch, 0, 0},
	{"vmresume", do_vmresume, 0, 0},
	{"vmfunc", do_vmfunc, 0, 0},
	{"invept", do_invept, 0, 0},
	{"invvpid", do_invvpid, 0, 0},
	{"vmrun", do_vmrun, 0, 0},
	{"vmload", do_vmload, 0, 0},
	{"vmsave", do_vmsave, 0, 0},
	{"stgi", do_stgi, 0, 0},
	{"clgi", do_clgi, 0, 0},
	{"skinit", do_skinit, 0, 0},
	{"invlpga", do_invlpga, 0, 0},
	{"getsec", do_getsec, 0, 0},
	{"rsm", do_rsm, 0, 0},
	{"monitor", do_monitor, 0, 0},
	{"mwait", do_mwait, 0, 0},
	{"call-of-the-other-vendor", call_foreign, 0, 0},
	/* CR4.OSXSAVE is clear. */
	{"xsetbv-switched-off", do_xsetbv, 0, 0},
	{"rdpmc", do_rdpmc, 0, 0},
	/* EFER.SCE is clear. */
	{"syscall-switched-off", do_syscall, 0, 0},
	/* A return to the outer task: there are no tasks in 64-bit mode. */
	{"iret-nested-task", do_iret_nested, 0, 0},
	/* A task register from beyond the descriptor table: #GP with the selector. */
	{"task-register-nobody", do_ltr_nobody, 0, 0},
	/* Beyond the interrupt table: #GP with the vector, in the table's form (8 times, bit 1). */
	{"interrupt-beyond-table", do_interrupt_beyond, 0, 0},
	/* An instruction has 15 bytes at most: 15 of them trap and are carried out, one more is #GP from the
	   CPU. */
	/* VT-x leaves a switch of tasks to the hypervisor, which has none; SVM's CPU carries it out, and the
	   new task ends itself. */
	{"task-switch", switch_task, 0, 0},
	{"traps-across-pages", across_pages, 0, 0},
	{"trap-changing-under-it", changing_under_it, 0, 0},
	{"prefixes-16", do_16_prefixes, 0, 0},
	{"cpuid-15-bytes", do_15_prefixed_cpuid, 0, 0},
	{"cpuid-16-bytes", do_16_prefixed_cpuid, 0, 0},
	{"invd", invalidate_caches, 0, 0},
	{"wbinvd-storm", flush_storm, 0, 0},
	{"pause-storm", pause_storm, 0, 0},
	{"cpuid-storm", cpuid_storm, 0, 0},
	{"cpuid-all", cpuid_all, 0, 0},
	{"halt-for-good", halt_for_good, 0, 0},
	{"spin-for-ever", spin_for_ever, 0, 0},
	{0},
};
