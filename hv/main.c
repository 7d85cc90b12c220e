/*
 * The hypervisor from entry to guests, in order.
 */
#include "arch/x86/apic.h"
#include "arch/x86/clock.h"
#include "arch/x86/entry.h"
#include "arch/x86/interrupts.h"
#include "arch/x86/machine.h"
#include "arch/x86/paging.h"
#include "arch/x86/poweroff.h"
#include "arch/x86/smp.h"
#include "drivers/framebuffer.h"
#include "drivers/serial.h"
#include "hv/boot.h"
#include "hv/call/call.h"
#include "hv/console/console.h"
#include "hv/core/cpuid.h"
#include "hv/core/partition.h"
#include "hv/lib/log.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define DEFAULT_SERIAL_PORT 0x3F8

static const struct boot_info *boot; /* on the loader's tables first, then read-only on our own */
static void *screen;

/* What is missing was named. */
static NORETURN void stop(void)
{
	log_error("Bulkhead stops here; no partition was started.");
	cpu_halt();
}

static NORETURN void main_on_own_tables(void);

/*
 * On the loader's tables
 */

/* A stranger's structure does not even tell where to talk: the first serial port is as good a guess as any.
 */
static void recognise_loader(void)
{
	char message[BOOT_MESSAGE];

	if (!boot_recognise(boot, message))
		return;
	if (!serial_start(DEFAULT_SERIAL_PORT)) {
		serial_put_slowly(message, strlen(message));
		serial_put_slowly("\r\n", strlen("\r\n"));
	}
	cpu_halt();
}

static void believe_loader(void)
{
	uint64_t image_bytes = (uint64_t)image_end - (uint64_t)image_text_start;
	char message[BOOT_MESSAGE];

	if (boot_check(boot, image_bytes, message) || boot_fill_frames(boot, &machine_frames, message)) {
		log_error("%s", message);
		stop();
	}
	log_info("memory: %llu MiB free, in pieces of up to %llu MiB",
		 frames_total(&machine_frames, OWNER_FREE) / MIB,
		 frames_largest_free(&machine_frames, PAGE_SIZE) / MIB);
}

/* Returns where the pool is. On the loader's tables memory is seen at its own address. */
static hpa_t create_pool(uint64_t pages)
{
	hpa_t start;
	enum status status = frames_claim(&machine_frames, pages * PAGE_SIZE, PAGE_SIZE, hpa(MIB),
					  OWNER_HYPERVISOR, &start);

	if (status) {
		log_error("%llu KiB of contiguous memory for the hypervisor: %s", pages * PAGE_SIZE / KIB,
			  status_name(status));
		stop();
	}
	pool_create(start, pages, (void *)start.value);
	return start;
}

/* What the loader has told stays where it is, and so do the pixels: both are seen elsewhere from now on. */
static void map_what_is_kept(void)
{
	const struct boot_framebuffer *framebuffer = &boot->framebuffer;

	if (framebuffer->start)
		screen = device_map(hpa(framebuffer->start), framebuffer->size,
				    MAP_READ | MAP_WRITE | MAP_WRITE_COMBINING);
	boot = device_map(hpa((uint64_t)boot), sizeof(*boot), MAP_READ);
	if (!boot || (framebuffer_usable() && !screen)) {
		log_error("no room to map what the loader has left");
		stop();
	}
}

static void create_tables(void)
{
	uint64_t pages = boot_pool_pages(boot);
	hpa_t pool = create_pool(pages);
	enum status status = paging_create(boot, pool, pages * PAGE_SIZE);

	if (!status)
		status = cpus_create(boot);
	if (status) {
		log_error("the hypervisor's own tables: %s", status_name(status));
		stop();
	}
	map_what_is_kept();
}

void hypervisor_main(const struct boot_info *from_loader)
{
	boot_tsc = rdtsc();
	boot = from_loader;
	interrupts_early();
	recognise_loader();
	console_early(boot);
	log_info("Bulkhead: the hypervisor runs");
	believe_loader();
	machine_remember_firmware(boot);
	cpu_set_controls();
	create_tables();
	enter_own_tables(cpus[0].cr3, main_on_own_tables);
}

/*
 * On our own
 */

static void settle(void)
{
	pool_move((void *)POOL_BASE);
	interrupts_load_cpu();
	interrupts_own_stacks();
	framebuffer_move(screen);
}

static void stop_on(enum status status, const char *what, const char *message)
{
	if (!status)
		return;
	log_error("%s: %s", what, message);
	stop();
}

/* The CPUs that come later can only take more away. */
static void do_without(uint32_t unwanted)
{
	virt_features.virtual_apic &= boot->config.virtual_apic != VIRTUAL_APIC_NO;
	virt_features.large_pages &= !(unwanted & WITHOUT_LARGE_PAGES);
	virt_features.giant_pages &= !(unwanted & WITHOUT_LARGE_PAGES);
	virt_features.tagged_tlb &= !(unwanted & WITHOUT_TAGGED_TLB);
	virt_features.preemption_timer &= !(unwanted & WITHOUT_PREEMPTION_TIMER);
}

static void start_virtualisation(void)
{
	char message[VIRT_MESSAGE] = "";

	stop_on(cpu_select_virt(message), "virtualisation", message);
	stop_on(cpu_enable_virt(message), virt->name, message);
	do_without(boot->config.without);
	log_info("virtualisation: %s, %s%s pages%s%s%s%s", virt->name,
		 virt_features.large_pages ? "2 MiB" : "4 KiB", virt_features.giant_pages ? " and 1 GiB" : "",
		 virt_features.tagged_tlb ? ", tagged TLB" : "",
		 virt_features.preemption_timer ? ", preemption timer" : "",
		 virt_features.virtual_apic ? ", local APICs" : "",
		 virt_features.unrestricted_guest ? "" : ", no unrestricted guest");
}

static void start_clock(void)
{
	enum status status = apic_enable();

	stop_on(status, "local APIC", status_name(status));
	clock_calibrate();
	host_timer_enable();
}

static void start_cpus(void)
{
	atomic_store(&cpus[0].state, CPU_READY);
	if (apic_id() != cpus[0].apic_id)
		log_warn("the loader says APIC id %u for the boot CPU, which says %u", cpus[0].apic_id,
			 apic_id());
	cpus_start(boot);
}

static void report_size(void)
{
	uint64_t image = ((uint64_t)image_end - (uint64_t)image_text_start) / KIB;
	uint64_t pool = pool_used() * PAGE_SIZE / KIB;

	log_info("hypervisor: %lu KiB resident: image %lu KiB at 0x%llx, CPUs, tables and partitions %lu of "
		 "%llu KiB at 0x%llx",
		 image + pool, image, (unsigned long long)boot->image_start, pool,
		 pool_size() * PAGE_SIZE / KIB,
		 (unsigned long long)pool_address((const void *)POOL_BASE).value);
}

static void main_on_own_tables(void)
{
	enum status status;

	settle();
	start_virtualisation();
	start_clock();
	start_cpus();
	cpuid_build();
	status = partitions_create(boot);
	stop_on(status, "partitions", status_name(status));
	status = calls_create();
	stop_on(status, "memory for messages between partitions", status_name(status));
	report_size();
	console_start();
	cpus_release();
	cpu_main();
}
