/*
 * The further CPUs of a PC: how many there are, starting one with INIT and two start-up IPIs, and parking it
 * again. A parked CPU halts with interrupts on and nothing to interrupt it until the next INIT. Sources:
 * Intel MultiProcessor Specification 1.4, chapter 4 and B.4; Intel SDM volume 3, 9.4.4.
 */
#include "../common/cpu.h"
#include "../common/interrupts.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "devices.h"

#define TRAMPOLINE	0x8000u /* boot.asm is written for this place */
#define TRAMPOLINE_PAGE (TRAMPOLINE >> 12)

#define EBDA_SEGMENT	  0x40Eu /* BIOS data area: segment of the extended BIOS data area */
#define EBDA_SEARCHED	  1024u
#define ROM_START	  0xF0000u
#define ROM_SIZE	  0x10000u
#define POINTER_SIGNATURE 0x5F504D5Fu /* "_MP_" */
#define TABLE_SIGNATURE	  0x504D4350u /* "PCMP" */
#define TABLE_HEADER	  44u
#define ENTRY_CPU	  0
#define ENTRY_CPU_SIZE	  20u
#define ENTRY_OTHER_SIZE  8u
#define CPU_USABLE	  1u

#define CPUID_1_EDX_HTT	 (1u << 28)
#define CPUID_TOPOLOGY	 0xBu
#define TOPOLOGY_PACKAGE 1u /* subleaf: EBX counts the package's logical CPUs */

#define INIT_DELAY_US	 10000u
#define STARTUP_DELAY_US 200u
#define START_TRIES	 20000u /* of 100 µs each */

/* The fields that are read of the floating pointer, the table's header and a processor entry. */
struct mp_pointer {
	uint32_t signature, table;
	uint8_t length, revision, checksum, features[5];
};

struct mp_table {
	uint32_t signature;
	uint16_t length;
	uint8_t revision, checksum, names[20];
	uint32_t oem_table;
	uint16_t oem_size, entries;
	uint32_t apic;
	uint32_t reserved;
};

struct mp_cpu {
	uint8_t type, apic_id, version, flags;
};

_Static_assert(sizeof(struct mp_pointer) == 16, "MP specification, 4.1");
_Static_assert(sizeof(struct mp_table) == TABLE_HEADER, "MP specification, 4.2");

extern const uint8_t trampoline_start[];
extern const uint32_t trampoline_size;
extern uint32_t trampoline_stack;
void full_cpu_main(void);

static uint8_t apic_ids[GUEST_MAX_CPUS];
static uint32_t count;
static volatile bool running[GUEST_MAX_CPUS];

static bool sum_is_zero(const void *bytes, size_t size)
{
	uint8_t sum = 0;
	for (const uint8_t *byte = bytes; size--; byte++)
		sum = (uint8_t)(sum + *byte);
	return !sum;
}

static const struct mp_table *find_table(uintptr_t start, size_t size)
{
	for (uintptr_t at = start; at < start + size; at += sizeof(struct mp_pointer)) {
		const struct mp_pointer *pointer = (const struct mp_pointer *)at;
		if (pointer->signature != POINTER_SIGNATURE || !sum_is_zero(pointer, sizeof(*pointer)) ||
		    !pointer->table)
			continue;
		const struct mp_table *table = (const struct mp_table *)(uintptr_t)pointer->table;
		if (table->signature == TABLE_SIGNATURE && sum_is_zero(table, table->length))
			return table;
	}
	return NULL;
}

/* Logical CPUs in one package: the smaller of what the two leaves say, as either may count places nobody sits
 * in. */
static uint32_t package_cpus(void)
{
	const struct cpuid_result features = cpuid(1, 0);
	uint32_t cpus = features.edx & CPUID_1_EDX_HTT ? features.ebx >> 16 & 0xFF : 1;
	if (cpuid(0, 0).eax >= CPUID_TOPOLOGY) {
		const uint32_t enabled = cpuid(CPUID_TOPOLOGY, TOPOLOGY_PACKAGE).ebx & 0xFFFF;
		if (enabled && enabled < cpus)
			cpus = enabled;
	}
	return cpus;
}

static bool is_known(uint32_t id)
{
	for (uint32_t cpu = 0; cpu < count; cpu++)
		if (apic_ids[cpu] == id)
			return true;
	return false;
}

/* Some firmware lists one CPU of each package; its siblings follow it. */
static void add_package(uint32_t first_id)
{
	const uint32_t end = first_id + package_cpus();
	for (uint32_t id = first_id; id < end && count < GUEST_MAX_CPUS; id++)
		if (!is_known(id))
			apic_ids[count++] = (uint8_t)id;
}

static void add_from_table(const struct mp_table *table)
{
	const uint8_t *entry = (const uint8_t *)table + TABLE_HEADER;
	for (uint32_t i = 0; i < table->entries; i++) {
		const struct mp_cpu *cpu = (const struct mp_cpu *)entry;
		if (cpu->type == ENTRY_CPU && cpu->flags & CPU_USABLE && !is_known(cpu->apic_id))
			add_package(cpu->apic_id);
		entry += cpu->type == ENTRY_CPU ? ENTRY_CPU_SIZE : ENTRY_OTHER_SIZE;
	}
}

/* A real-mode address: nothing an array of C could be there. */
static uintptr_t ebda(void)
{
	uint16_t segment;
	__asm__ volatile("movw (%1), %0" : "=r"(segment) : "r"((uintptr_t)EBDA_SEGMENT));
	return (uintptr_t)segment << 4;
}

uint32_t smp_count(void)
{
	apic_ids[0] = (uint8_t)apic_id();
	count = 1;
	running[0] = true;
	const struct mp_table *table = ebda() ? find_table(ebda(), EBDA_SEARCHED) : NULL;
	if (!table)
		table = find_table(ROM_START, ROM_SIZE);
	add_package(apic_ids[0]);
	if (table)
		add_from_table(table);
	return count;
}

uint32_t smp_apic_id(uint32_t cpu)
{
	return apic_ids[cpu];
}

bool smp_running(uint32_t cpu)
{
	return running[cpu];
}

static bool wait_until_running(uint32_t cpu)
{
	for (uint32_t i = 0; i < START_TRIES && !running[cpu]; i++)
		delay_us(100);
	return running[cpu];
}

bool smp_start(uint32_t cpu, void (*entry)(void *context), void *context)
{
	if (cpu >= count || running[cpu])
		return false;
	cpu_stacks[cpu].cpu = cpu;
	cpu_stacks[cpu].entry = entry;
	cpu_stacks[cpu].context = context;
	trampoline_stack = (uint32_t)(uintptr_t)&cpu_stacks[cpu + 1];
	memcpy((void *)(uintptr_t)TRAMPOLINE, trampoline_start, trampoline_size);

	apic_send(apic_ids[cpu], ICR_INIT);
	delay_us(INIT_DELAY_US);
	apic_send(apic_ids[cpu], ICR_STARTUP | TRAMPOLINE_PAGE);
	delay_us(STARTUP_DELAY_US);
	if (!running[cpu])
		apic_send(apic_ids[cpu], ICR_STARTUP | TRAMPOLINE_PAGE);
	return wait_until_running(cpu);
}

void smp_park(void)
{
	running[this_cpu()] = false;
	for (;;)
		interrupts_on_and_halt();
}

/* Where boot.asm leaves a further CPU: on its own stack, interrupts off. */
void full_cpu_main(void)
{
	const struct cpu_stack *own = this_stack();
	interrupts_load();
	apic_init(apic_is_x2apic());
	running[own->cpu] = true;
	interrupts_on();
	own->entry(own->context);
	smp_park();
}
