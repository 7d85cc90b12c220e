/*
 * The local APIC behind one pair of accessors: MSRs in x2APIC mode, memory-mapped registers in xAPIC mode.
 * All CPUs use the mode of the boot CPU.
 *
 * Bochs 2.7 clears the x2APIC enable bit at INIT (hardware keeps it), so each CPU sets it anew. It also
 * leaves the boot CPU's logical destination register 0 in x2APIC mode; only physical destinations are used
 * here.
 */
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/paging.h"

/* Registers by their x2APIC MSR number less 800h, which is their MMIO offset / 16 (SDM 3A tables 11-1, 11-6).
 */
enum apic_register {
	APIC_ID = 0x02,
	APIC_VERSION = 0x03,
	APIC_TASK_PRIORITY = 0x08,
	APIC_EOI = 0x0B,
	APIC_SPURIOUS = 0x0F,
	APIC_IN_SERVICE = 0x10, /* eight words of 32 vectors */
	APIC_ERROR_STATUS = 0x28,
	APIC_LVT_CMCI = 0x2F,
	APIC_COMMAND = 0x30,
	APIC_COMMAND_HIGH = 0x31, /* xAPIC only */
	APIC_LVT_TIMER = 0x32,
	APIC_LVT_THERMAL = 0x33,
	APIC_LVT_COUNTER = 0x34,
	APIC_LVT_LINT0 = 0x35,
	APIC_LVT_LINT1 = 0x36,
	APIC_LVT_ERROR = 0x37,
	APIC_INITIAL_COUNT = 0x38,
	APIC_CURRENT_COUNT = 0x39,
	APIC_DIVIDE = 0x3E
};

#define APIC_REGISTER_SHIFT 4 /* register number to MMIO offset */
#define APIC_MMIO_SIZE	    0x400
#define APIC_BASE_ADDRESS   0x000FFFFFFFFFF000ull
#define XAPIC_ID_SHIFT	    24

#define SPURIOUS_ENABLE	   (1u << 8)
#define LVT_MASKED	   (1u << 16)
#define LVT_NMI		   (4u << 8)
#define LVT_TIMER_DEADLINE (2u << 17)
#define DIVIDE_BY_1	   0xBu

/* Index of the last LVT entry from which on an entry exists (SDM 3A 11.5.1, "Max LVT entry"). */
#define VERSION_LAST_LVT(version) ((version) >> 16 & 0xFF)
#define LAST_LVT_COUNTER	  4
#define LAST_LVT_THERMAL	  5
#define LAST_LVT_CMCI		  6

/* Interrupt command register (11.6.1). */
#define COMMAND_NMI	(4u << 8)
#define COMMAND_INIT	(5u << 8)
#define COMMAND_STARTUP (6u << 8)
#define COMMAND_PENDING (1u << 12)
#define COMMAND_ASSERT	(1u << 14)
#define COMMAND_OTHERS	(3u << 18) /* all CPUs but this one */
#define COMMAND_SELF	(1u << 18)
#define COMMAND_WAIT	1000000u /* reads until a stuck APIC is given up */

static enum { MODE_NONE, MODE_XAPIC, MODE_X2APIC } mode;
static volatile uint32_t *registers;

static volatile uint32_t *in_memory(enum apic_register which)
{
	return &registers[which << APIC_REGISTER_SHIFT >> 2];
}

static uint32_t apic_read(enum apic_register which)
{
	return mode == MODE_X2APIC ? (uint32_t)rdmsr(MSR_X2APIC_FIRST + which) : *in_memory(which);
}

static void apic_write(enum apic_register which, uint32_t value)
{
	if (mode == MODE_X2APIC)
		wrmsr(MSR_X2APIC_FIRST + which, value);
	else
		*in_memory(which) = value;
}

static bool has_x2apic(void)
{
	return (cpuid(1, 0).ecx & CPUID1_ECX_X2APIC) != 0;
}

/* The boot CPU, first of all, decides for all. */
static enum status choose_mode(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE) & APIC_BASE_ADDRESS;

	if (has_x2apic()) {
		mode = MODE_X2APIC;
		return OK;
	}
	registers = device_map(hpa(base), APIC_MMIO_SIZE, MAP_READ | MAP_WRITE | MAP_UNCACHED);
	if (!registers)
		return ERR_NO_MEMORY;
	mode = MODE_XAPIC;
	return OK;
}

/* Off to xAPIC to x2APIC is the only way up (SDM 3A figure 11-27); a CPU that is in x2APIC mode already stays
 * there. */
static void switch_on(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if (!(base & APIC_BASE_ENABLE))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	if (mode == MODE_X2APIC && !(base & APIC_BASE_X2APIC))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
}

/* What the firmware has left in the local vectors is silenced; LINT1 is the NMI pin, as on every PC. */
static void set_local_vectors(void)
{
	uint32_t last = VERSION_LAST_LVT(apic_read(APIC_VERSION));

	apic_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, LVT_NMI);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
	if (last >= LAST_LVT_COUNTER)
		apic_write(APIC_LVT_COUNTER, LVT_MASKED);
	if (last >= LAST_LVT_THERMAL)
		apic_write(APIC_LVT_THERMAL, LVT_MASKED);
	if (last >= LAST_LVT_CMCI)
		apic_write(APIC_LVT_CMCI, LVT_MASKED);
}

enum status apic_enable(void)
{
	enum status status = mode == MODE_NONE ? choose_mode() : OK;

	if (status)
		return status;
	if ((mode == MODE_X2APIC && !has_x2apic()) ||
	    (mode == MODE_XAPIC && rdmsr(MSR_APIC_BASE) & APIC_BASE_X2APIC))
		return ERR_UNSUPPORTED;
	switch_on();
	set_local_vectors();
	apic_write(APIC_TASK_PRIORITY, 0);
	apic_write(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_ERROR_STATUS, 0);
	return OK;
}

uint32_t apic_id(void)
{
	return mode == MODE_X2APIC ? apic_read(APIC_ID) : apic_read(APIC_ID) >> XAPIC_ID_SHIFT;
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

int apic_in_service(void)
{
	for (int word = 7; word >= 0; word--) {
		uint32_t bits = apic_read((enum apic_register)(APIC_IN_SERVICE + word));

		if (bits)
			return word * 32 + 31 - __builtin_clz(bits);
	}
	return -1;
}

static NOINLINE void send_by_memory(uint32_t target, uint32_t command)
{
	for (unsigned i = 0; i < COMMAND_WAIT && *in_memory(APIC_COMMAND) & COMMAND_PENDING; i++)
		cpu_pause();
	*in_memory(APIC_COMMAND_HIGH) = target << XAPIC_ID_SHIFT;
	*in_memory(APIC_COMMAND) = command;
}

static inline void send(uint32_t target, uint32_t command)
{
	if (mode != MODE_X2APIC) {
		send_by_memory(target, command);
		return;
	}
	/* WRMSR does not wait for earlier stores, which the target is meant to see (SDM 3A 11.12.3). */
	__asm__ volatile("mfence; lfence" ::: "memory");
	wrmsr_halves(MSR_X2APIC_FIRST + APIC_COMMAND, command, target);
}

void apic_kick(uint32_t target)
{
	send(target, COMMAND_ASSERT | VECTOR_KICK);
}

void apic_send_init(uint32_t target)
{
	send(target, COMMAND_ASSERT | COMMAND_INIT);
}

void apic_send_startup(uint32_t target, uint8_t page)
{
	send(target, COMMAND_ASSERT | COMMAND_STARTUP | page);
}

/* The shorthand leaves the target's half of the register alone: a handler may interrupt send(). */
void apic_send_self(uint8_t vector)
{
	if (mode == MODE_X2APIC)
		wrmsr(MSR_X2APIC_FIRST + APIC_COMMAND, COMMAND_ASSERT | COMMAND_SELF | vector);
	else if (mode != MODE_NONE)
		apic_write(APIC_COMMAND, COMMAND_ASSERT | COMMAND_SELF | vector);
}

void apic_send_nmi_to_others(void)
{
	if (mode != MODE_NONE)
		send(0, COMMAND_ASSERT | COMMAND_NMI | COMMAND_OTHERS);
}

void apic_timer_use_deadline(void)
{
	apic_write(APIC_LVT_TIMER, LVT_TIMER_DEADLINE | VECTOR_TIMER);
	/* In xAPIC mode the mode must be set before the deadline is written (SDM 3A 11.5.4.1). */
	__asm__ volatile("mfence" ::: "memory");
}

void apic_timer_use_count(void)
{
	apic_write(APIC_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
}

void apic_timer_start(uint32_t count)
{
	apic_write(APIC_INITIAL_COUNT, count);
}

uint32_t apic_timer_count(void)
{
	return apic_read(APIC_CURRENT_COUNT);
}
