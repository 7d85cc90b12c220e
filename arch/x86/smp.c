/*
 * From one CPU to all. The boot CPU makes every CPU's area and tables, then starts one after the other, and
 * waits for each: a CPU says that it is ready, or why it is not. Nothing is shared that way while it comes
 * up.
 */
#include "arch/x86/apic.h"
#include "arch/x86/clock.h"
#include "arch/x86/interrupts.h"
#include "arch/x86/machine.h"
#include "arch/x86/paging.h"
#include "arch/x86/smp.h"
#include "hv/core/partition.h"
#include "hv/lib/log.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

/* Waiting times of the start-up sequence (SDM 3A 8.4.4.1), and what a CPU gets to come up. */
#define INIT_WAIT_US	10000
#define STARTUP_WAIT_US 200
#define READY_WAIT_US	1000000

/* Descriptors (SDM 3A 3.4.5.1, 8.2.3). */
#define DESCRIPTOR_CODE 0x00AF9B000000FFFFull
#define DESCRIPTOR_DATA 0x00CF93000000FFFFull
#define DESCRIPTOR_TSS	0x0000890000000000ull /* present, available 64-bit TSS */

/* layout.inc says the same to the assembler. */
_Static_assert(SELECTOR_CODE == 0x08 && SELECTOR_DATA == 0x10, "layout.inc");
_Static_assert(STACK_TOP == 0xFFFFFFFFC0005000, "layout.inc");
_Static_assert(sizeof(struct percpu) <= PERCPU_PAGES * PAGE_SIZE, "struct percpu fits its pages");
_Static_assert(offsetof(struct percpu, vcpu) == 0, "this_vcpu is where this_cpu is");

struct cpu_info cpus[CONFIG_MAX_CPUS];
uint32_t cpu_count;

static _Atomic bool released;
/* Why the CPU that is being started is refused: one at a time is. */
static char refusal[160];

/* trampoline.asm: code and the fields to fill in. */
extern const char trampoline_start[], trampoline_end[], trampoline_protected[], trampoline_long[],
	trampoline_gdt[];
extern const char trampoline_gdt_base[], trampoline_code32[], trampoline_code64[];
extern const char trampoline_boot_cr3[], trampoline_cr3[], trampoline_entry[];
/* entry.asm */
extern const char secondary_entry[];
NORETURN void cpu_main_secondary(void);

static void fill_descriptors(struct percpu *area)
{
	uint64_t tss = PERCPU_BASE + offsetof(struct percpu, tss);
	uint64_t limit = sizeof(struct tss) - 1;

	area->gdt.entry[1] = DESCRIPTOR_CODE;
	area->gdt.entry[2] = DESCRIPTOR_DATA;
	area->gdt.entry[3] = DESCRIPTOR_TSS | limit | (tss & 0xFFFFFF) << 16 | (tss >> 24 & 0xFF) << 56;
	area->gdt.entry[4] = tss >> 32;
	area->tss.ist[IST_NMI - 1] = FAULT_STACK_TOP;
	area->tss.ist[IST_FAULT - 1] = FAULT_STACK_TOP - NMI_STACK_SIZE;
	area->tss.io_map_base = sizeof(struct tss);
}

static void fill_area(struct percpu *area, uint32_t index, uint32_t apic_id)
{
	area->index = index;
	area->apic_id = apic_id;
	area->area = pool_address(area);
	area->vcpu.host_timer = TIMER_NEVER;
	for (unsigned kind = 0; kind < TIMERS; kind++)
		area->vcpu.timer[kind] = TIMER_NEVER;
	fill_descriptors(area);
}

static enum status create_cpu(uint32_t index, uint32_t apic_id)
{
	struct percpu *area = pool_allocate(PERCPU_PAGES);
	void *stack = pool_allocate(STACK_PAGES), *fault_stack = pool_allocate(FAULT_STACK_PAGES);
	struct percpu_frames frames;
	enum status status;

	if (!area || !stack || !fault_stack)
		return ERR_NO_MEMORY;
	frames.area = pool_address(area);
	frames.stack = pool_address(stack);
	frames.fault_stack = pool_address(fault_stack);
	fill_area(area, index, apic_id);
	status = paging_create_cpu(&frames, &area->cr3);
	cpus[index].apic_id = apic_id;
	cpus[index].cr3 = area->cr3;
	return status;
}

enum status cpus_create(const struct boot_info *boot)
{
	enum status status = OK;

	for (uint32_t i = 0; i < boot->cpu_count && !status; i++) {
		status = create_cpu(i, boot->cpu[i].apic_id);
		cpu_count = i + 1;
	}
	return status;
}

/*
 * The other CPU's side
 */

static NORETURN void refuse(const char *what, const char *why)
{
	struct cpu_info *info = &cpus[this_cpu->index];

	format(refusal, sizeof(refusal), "%s: %s", what, why);
	atomic_store(&info->state, CPU_REFUSED);
	cpu_halt();
}

void cpu_main_secondary(void)
{
	char message[VIRT_MESSAGE] = "";
	enum status status;

	cpu_set_controls();
	interrupts_load_cpu();
	atomic_store(&cpus[this_cpu->index].state, CPU_STARTED);
	status = apic_enable();
	if (status)
		refuse("local APIC", status_name(status));
	host_timer_enable();
	if (cpu_enable_virt(message))
		refuse(virt->name, message);
	atomic_store(&cpus[this_cpu->index].state, CPU_READY);

	/* The release comes with an interrupt, which gets in only while the CPU sleeps: it cannot be missed.
	 */
	while (!atomic_load(&released))
		cpu_wait_for_interrupt();
	cpu_main();
}

/*
 * The boot CPU's side
 */

/* Where a label of trampoline.asm lies in its page. */
static uint64_t trampoline_offset(const char *label)
{
	return (uint64_t)label - (uint64_t)trampoline_start;
}

static void set_field(uint8_t *page, const char *field, uint64_t value, size_t size)
{
	memcpy(page + trampoline_offset(field), &value, size);
}

/* Copies the code to its page below 1 MiB, and tells it where it is. */
static uint8_t *prepare_trampoline(const struct boot_info *boot)
{
	uint64_t base = boot->trampoline;
	uint8_t *page = device_map(hpa(base), PAGE_SIZE, MAP_READ | MAP_WRITE);

	if (!page)
		return NULL;
	memcpy(page, trampoline_start, trampoline_offset(trampoline_end));
	set_field(page, trampoline_gdt_base, base + trampoline_offset(trampoline_gdt), sizeof(uint32_t));
	set_field(page, trampoline_code32, base + trampoline_offset(trampoline_protected), sizeof(uint32_t));
	set_field(page, trampoline_code64, base + trampoline_offset(trampoline_long), sizeof(uint32_t));
	set_field(page, trampoline_boot_cr3, boot->boot_cr3, sizeof(uint64_t));
	set_field(page, trampoline_entry, (uint64_t)secondary_entry, sizeof(uint64_t));
	return page;
}

static bool wait_while(const struct cpu_info *info, enum cpu_state state, uint64_t us)
{
	uint64_t end = rdtsc() + us * tsc_khz / 1000;

	while (atomic_load(&info->state) == state) {
		if (rdtsc() > end)
			return false;
		cpu_pause();
	}
	return true;
}

static void send_startup(const struct cpu_info *info, uint8_t page)
{
	apic_send_startup(info->apic_id, page);
	if (!wait_while(info, CPU_ABSENT, STARTUP_WAIT_US))
		apic_send_startup(info->apic_id, page);
}

static void start_cpu(uint32_t index, uint8_t *trampoline, uint64_t page)
{
	struct cpu_info *info = &cpus[index];

	set_field(trampoline, trampoline_cr3, info->cr3.value, sizeof(uint64_t));
	send_startup(info, (uint8_t)(page / PAGE_SIZE));
	if (!wait_while(info, CPU_ABSENT, READY_WAIT_US) || !wait_while(info, CPU_STARTED, READY_WAIT_US)) {
		/* Back to waiting for a start-up IPI, so that it does not come up later in another one's
		 * place. */
		apic_send_init(info->apic_id);
		atomic_store(&info->state, CPU_ABSENT);
		string_copy(refusal, "it does not answer to INIT and start-up IPIs", sizeof(refusal));
	}
	if (atomic_load(&info->state) != CPU_READY)
		log_error("CPU %u (APIC id %u) is left out: %s", index, info->apic_id, refusal);
}

void cpus_start(const struct boot_info *boot)
{
	uint8_t *trampoline = prepare_trampoline(boot);
	uint32_t ready = 1;

	if (!trampoline)
		panic("the trampoline page at 0x%lx cannot be mapped", boot->trampoline);
	for (uint32_t i = 1; i < cpu_count; i++)
		apic_send_init(cpus[i].apic_id);
	clock_delay_us(cpu_count > 1 ? INIT_WAIT_US : 0);
	for (uint32_t i = 1; i < cpu_count; i++) {
		start_cpu(i, trampoline, boot->trampoline);
		ready += atomic_load(&cpus[i].state) == CPU_READY;
	}
	log_info("CPUs: %u of %u are ready", ready, cpu_count);
}

void cpus_release(void)
{
	atomic_store(&released, true);
	for (uint32_t i = 1; i < cpu_count; i++)
		if (atomic_load(&cpus[i].state) == CPU_READY)
			apic_kick(cpus[i].apic_id);
}
