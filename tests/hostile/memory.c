/*
 * Memory that is not the guest's. Policy: RAM is [0, memory_size), a full partition has the local APIC at
 * FEE00000h besides, and nothing else exists, whatever stands at that address of the machine. An access ends
 * the partition with "reads from | writes to | executes at guest-physical A, which is neither its memory nor
 * a device, at RIP R", A being the first byte outside (VT-x and SVM report the address that has no
 * translation), R the instruction. Addresses wider than the CPU's are the guest's own mistake: #PF with the
 * reserved bit, #GP in a control register, #GP (or #SS by way of RSP) when they are not canonical.
 */
#include "hostile.h"

#define TABLE_ENTRIES	512
#define ADDRESS_MASK	0x000FFFFFFFFFF000ull
#define ENTRY_TABLE	3u	       /* present, writable */
#define ENTRY_LARGE	0x83u	       /* and a page of 2 MiB */
#define WINDOW		(511ull << 30) /* a virtual address nobody else uses */
#define NOT_CANONICAL	0x800000000000ull
#define FOUR_GIB	(4ull << 30)
#define GIANT_PAGE_SIZE (1ull << 30)
#define COPY_FROM	0x10000ull
#define PATTERN		0x5A5A5A5A5A5A5A5Aull
#define CODE_RET	0xC3u
#define CODE_PREFIX	0x66u

#define CPUID_ADDRESS_SIZES 0x80000008u

static uint64_t window_table[TABLE_ENTRIES] __attribute__((aligned(4096)));

static uint64_t *level3(void)
{
	const uint64_t *level4 = (const uint64_t *)(read_cr3() & ADDRESS_MASK);

	return (uint64_t *)(level4[0] & ADDRESS_MASK);
}

volatile uint8_t *map_window(uint64_t physical)
{
	const uint64_t base = physical & ~(LARGE_PAGE_SIZE - 1);

	window_table[0] = base | ENTRY_LARGE;
	window_table[1] = (base + LARGE_PAGE_SIZE) | ENTRY_LARGE;
	level3()[WINDOW >> 30] = (uint64_t)window_table | ENTRY_TABLE;
	write_cr3(read_cr3()); /* forgets the window's former place */
	return (volatile uint8_t *)(WINDOW + physical % LARGE_PAGE_SIZE);
}

uint64_t *identity_entry(uint64_t address)
{
	uint64_t *const level2 = (uint64_t *)(level3()[0] & ADDRESS_MASK);

	return &level2[address / LARGE_PAGE_SIZE];
}

uint64_t attack_address(void)
{
	if (attack_a >> 32 == FROM_MEMORY_END >> 32)
		return platform->memory_size + (uint64_t)(int64_t)(int32_t)attack_a;
	return attack_a;
}

static volatile uint8_t *target(void)
{
	return map_window(attack_address());
}

/* An access of `b` bytes, in one instruction. */
static void read_there(void)
{
	volatile uint8_t *const at = target();

	switch (attack->b) {
	case 1: observe(*at); break;
	case 4: observe(*(volatile uint32_t *)at); break;
	default: observe(*(volatile uint64_t *)at); break;
	}
}

static void write_there(void)
{
	volatile uint8_t *const at = target();

	switch (attack->b) {
	case 1: *at = (uint8_t)PATTERN; break;
	case 4: *(volatile uint32_t *)at = (uint32_t)PATTERN; break;
	default: *(volatile uint64_t *)at = PATTERN; break;
	}
}

static void execute_there(void)
{
	((void (*)(void))(uintptr_t)target())();
}

/* An instruction of two bytes, of which the first is the last byte of memory. */
static void execute_straddling(void)
{
	volatile uint8_t *const at = target();

	*at = CODE_PREFIX;
	((void (*)(void))(uintptr_t)at)();
}

/* An instruction that traps in the last bytes of memory is carried out; what follows is not there. */
static void trap_at_end(void)
{
	volatile uint8_t *const at = target();

	at[0] = 0x0F;
	at[1] = 0xA2; /* cpuid */
	__asm__ volatile("call *%0" : : "r"(at) : "rax", "rbx", "rcx", "rdx", CLOBBERS);
}

/* modes.asm */
void run_32_bit(uint32_t from);

/* The last instruction below 4 GiB traps in 32-bit code: EIP is 0 behind it (SDM 1, 3.5). */
static void trap_below_4g(void)
{
	uint64_t *const entry = &level3()[FOUR_GIB / GIANT_PAGE_SIZE - 1], before = *entry;

	interrupts_off();
	((volatile uint8_t *)HIDDEN)[LARGE_PAGE_SIZE - 2] = 0x0F;
	((volatile uint8_t *)HIDDEN)[LARGE_PAGE_SIZE - 1] = 0xA2; /* cpuid */
	window_table[TABLE_ENTRIES - 1] = HIDDEN | ENTRY_LARGE;
	*entry = (uint64_t)window_table | ENTRY_TABLE;
	write_cr3(read_cr3());
	run_32_bit((uint32_t)(FOUR_GIB - 2));
	*entry = before;
	write_cr3(read_cr3());
}

/* A read-modify-write counts as a write. */
static void exchange_there(void)
{
	(void)__atomic_exchange_n((uint64_t *)(uintptr_t)target(), PATTERN, __ATOMIC_SEQ_CST);
}

static void push_there(void)
{
	__asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax; mov %%rbx, %%rsp"
			 :
			 : "r"(target())
			 : "rbx", CLOBBERS);
}

/* The last 8 bytes of memory, and 8 more. */
static void copy_there(void)
{
	volatile uint8_t *to = target();
	const uint8_t *from = (const uint8_t *)COPY_FROM;
	uint64_t count = 16;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : CLOBBERS);
}

/* CR3 leads to a table that is not there: "page tables in memory it does not have, at GPA A". */
static void tables_there(void)
{
	write_cr3(attack_address());
	observe(*(volatile uint8_t *)WINDOW);
}

/* The same with the table of the lowest level. */
static void directory_there(void)
{
	level3()[WINDOW >> 30] = attack_address() | ENTRY_TABLE;
	write_cr3(read_cr3());
	observe(*(volatile uint8_t *)WINDOW);
}

static unsigned address_bits(void)
{
	return cpuid(CPUID_ADDRESS_SIZES, 0).eax & 0xFF;
}

/* The last page the CPU can name. The line names the width. */
static void read_widest(void)
{
	print_line("attack %s has %u bits", attack->name, address_bits());
	platform_flush();
	observe(*map_window((1ull << address_bits()) - PAGE_SIZE));
}

/* A bit above the width, in a page table entry. #PF, present and reserved: 9. */
static void read_beyond_width(void)
{
	observe(*map_window(1ull << address_bits()));
}

/* The same in CR3 (SDM 3A 2.5; AMD: APM 2 3.1.3). */
static void tables_beyond_width(void)
{
	write_cr3(read_cr3() | 1ull << address_bits());
}

static void read_not_canonical(void)
{
	observe(*(volatile uint8_t *)NOT_CANONICAL);
}

static void jump_not_canonical(void)
{
	__asm__ volatile("jmp *%0" : : "r"(NOT_CANONICAL) : CLOBBERS);
}

/* #SS whose handler has no stack either, #DF neither: triple fault. */
static void push_not_canonical(void)
{
	__asm__ volatile("mov %0, %%rsp; push %%rax" : : "r"(NOT_CANONICAL) : CLOBBERS);
}

const struct attack memory_attacks[] = {
	/* Its own to the last byte. */
	{"read-last-byte", read_there, MEMORY_END(-1), 1},
	{"write-last-quad", write_there, MEMORY_END(-8), 8},
	/* And not one further. */
	{"read-beyond", read_there, MEMORY_END(0), 1},
	{"write-beyond", write_there, MEMORY_END(0), 1},
	{"execute-beyond", execute_there, MEMORY_END(0), 0},
	{"read-straddling", read_there, MEMORY_END(-4), 8},
	{"write-straddling", write_there, MEMORY_END(-4), 8},
	{"execute-straddling", execute_straddling, MEMORY_END(-1), 0},
	{"trap-at-the-end", trap_at_end, MEMORY_END(-2), 0},
	{"trap-below-4g", trap_below_4g, 0, 0},
	{"exchange-beyond", exchange_there, MEMORY_END(0), 0},
	{"push-beyond", push_there, MEMORY_END(8), 0},
	{"copy-beyond", copy_there, MEMORY_END(-8), 0},
	{"tables-beyond", tables_there, MEMORY_END(0), 0},
	{"directory-beyond", directory_there, MEMORY_END(0), 0},
	/* Where others are: the test types the address. */
	{"read-at", read_there, 0, 8},
	{"write-at", write_there, 0, 8},
	{"execute-at", execute_there, 0, 0},
	{"tables-at", tables_there, 0, 0},
	/* Devices of the machine below, its firmware, its APICs (a full partition has some of its own,
	   that is no code). */
	{"write-beside-io-apic", write_there, 0xFEC01000, 4},
	{"read-hpet", read_there, 0xFED00000, 8},
	{"write-tpm", write_there, 0xFED40000, 4},
	{"read-pci-configuration", read_there, 0xE0000000, 4},
	{"read-firmware", read_there, 0xFFFFFFF0, 8},
	{"write-firmware", write_there, 0xFFC00000, 1},
	{"execute-firmware", execute_there, 0xFFFFFFF0, 0},
	{"execute-apic", execute_there, 0xFEE00000, 0},
	{"write-beside-apic", write_there, 0xFEE01000, 4},
	{"read-messages", read_there, 0xFEEFF000, 4},
	{"tables-in-apic", tables_there, 0xFEE00000, 0},
	{"read-above-4g", read_there, 1ull << 32, 8},
	{"write-above-4g", write_there, (1ull << 32) + 0x12345678, 8},
	{"read-widest", read_widest, 0, 0},
	{"read-beyond-width", read_beyond_width, 0, 0},
	{"tables-beyond-width", tables_beyond_width, 0, 0},
	{"read-not-canonical", read_not_canonical, 0, 0},
	{"jump-not-canonical", jump_not_canonical, 0, 0},
	{"push-not-canonical", push_not_canonical, 0, 0},
	{0},
};
