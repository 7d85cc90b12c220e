/*
 * Every way to go wrong, by name. On a bare PC some kinds are harmless and some end it; under a hypervisor
 * each must hurt nobody else. A kind that is survived says so.
 */
#include "../common/interrupts.h"
#include "../common/x86.h"
#include "workload.h"

#define PAGE_SIZE	4096
#define LARGE_PAGE_SIZE (2u << 20)
#define TABLE_ENTRIES	512
#define ADDRESS_MASK	0x000FFFFFFFFFF000ull
#define ENTRY_TABLE	3u	       /* present, writable */
#define ENTRY_LARGE	0x83u	       /* and a page of 2 MiB */
#define WINDOW		(511ull << 30) /* a virtual address nobody else uses */

#define PORT_NOBODY 0x5A5Au
#define MSR_NOBODY  0xDEADu
#define MMIO_NOBODY 0xFEB00000ull /* no device of any PC of ours, and far beyond the RAM of a small guest */

static uint64_t window_table[TABLE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));

/* Makes a physical address reachable at WINDOW through this guest's own page tables. */
static volatile uint8_t *map_window(uint64_t physical)
{
	uint64_t *level4 = (uint64_t *)(read_cr3() & ADDRESS_MASK);
	uint64_t *level3 = (uint64_t *)(level4[0] & ADDRESS_MASK);
	window_table[0] = (physical & ~(uint64_t)(LARGE_PAGE_SIZE - 1)) | ENTRY_LARGE;
	level3[WINDOW >> 30] = (uint64_t)window_table | ENTRY_TABLE;
	write_cr3(read_cr3()); /* forgets the window's former place */
	return (volatile uint8_t *)(WINDOW + physical % LARGE_PAGE_SIZE);
}

/* The first large page behind the RAM. */
static uint64_t beyond_memory(void)
{
	return (platform->memory_size + LARGE_PAGE_SIZE - 1) & ~(uint64_t)(LARGE_PAGE_SIZE - 1);
}

static void crash_read(void)
{
	print_line("read %02x", *map_window(beyond_memory()));
}

static void crash_memory(void)
{
	*map_window(beyond_memory()) = 1;
}

static void crash_jump(void)
{
	((void (*)(void))(uintptr_t)map_window(beyond_memory()))();
}

static void crash_tables(void)
{
	write_cr3(beyond_memory());
}

static void crash_mmio(void)
{
	*(volatile uint32_t *)map_window(MMIO_NOBODY) = 1;
}

static void crash_halt(void)
{
	interrupts_off();
	halt();
}

static void crash_spin(void)
{
	interrupts_off();
	for (;;)
		spin_hint();
}

static void crash_port(void)
{
	port_write8(PORT_NOBODY, 1);
	print_line("port %02x", port_read8(PORT_NOBODY));
}

static void crash_msr(void)
{
	write_msr(MSR_NOBODY, 1);
}

static void crash_exception(void)
{
	__asm__ volatile("ud2");
}

/* Intel's and AMD's first instruction of a hypervisor: undefined for a guest. */
static void crash_vmxon(void)
{
	static uint64_t region[PAGE_SIZE / 8] __attribute__((aligned(PAGE_SIZE)));
	const uint64_t address = (uint64_t)region;
	__asm__ volatile("vmxon %0" ::"m"(address) : "cc", "memory");
}

static void crash_vmrun(void)
{
	__asm__ volatile("vmrun" ::"a"(0) : "cc", "memory");
}

static const struct kind {
	const char *name, *what;
	void (*run)(void);
} kinds[] = {
	{"triple", "an exception without a table: triple fault", triple_fault},
	{"memory", "write behind the RAM", crash_memory},
	{"read", "read behind the RAM", crash_read},
	{"jump", "execute behind the RAM", crash_jump},
	{"tables", "page tables behind the RAM", crash_tables},
	{"mmio", "write to a device that is not there", crash_mmio},
	{"halt", "halt with interrupts off", crash_halt},
	{"spin", "spin with interrupts off", crash_spin},
	{"port", "use a port that is not there", crash_port},
	{"msr", "write an MSR that is not there", crash_msr},
	{"exception", "an undefined instruction", crash_exception},
	{"vmxon", "VMXON", crash_vmxon},
	{"vmrun", "VMRUN", crash_vmrun},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

void crash_list(void)
{
	for (size_t i = 0; i < KINDS; i++)
		print_line("  crash %s - %s", kinds[i].name, kinds[i].what);
}

void crash(const char *name)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (!string_equal(name, kinds[i].name))
			continue;
		print_line("crash %s: %s", name, kinds[i].what);
		platform_flush();
		kinds[i].run();
		print_line("crash %s: survived", name);
		return;
	}
	print_line("crash: no kind %s", name);
}
