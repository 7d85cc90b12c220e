/*
 * Partitions as they are built at boot, by the code that builds them: CPUs and memory of a machine made by
 * hand, the hypervisor's own tables, EPT or NPT. What comes out is held against the config, and then against
 * the audit of hv/core/audit.c: what boots clean on an emulator is clean on every machine drawn here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <bulkhead/boot_info.h>
#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "arch/x86/registers.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/core/audit.h"
#include "hv/core/partition.h"
#include "hv/core/virt.h"
#include "hv/device/full.h"
#include "hv/lib/log.h"
#include "hv/mem/pool.h"

/* Of arch/x86/svm/svm.h, which no file includes beside the other back end. */
extern const struct page_format npt_format;

#define CPUS	    4
#define POOL_START  0x100000ull
#define POOL_PAGES  512
#define POOL_SIZE   (POOL_PAGES * PAGE_SIZE)
#define IMAGE_START 0x600000ull
#define IMAGE_SIZE  0x6000ull /* as the symbols of tests/rules.mk */
#define MODULES	    0x700000ull
#define MODULE_SIZE 0x2345ull
#define RAM	    0x800000ull
#define TOP	    0x4000000ull /* 56 MiB of free memory */

struct cpu_info cpus[CPUS];
uint32_t cpu_count;
const struct virt_ops *virt;

/* Sharing asks for these two. */
void vcpu_request(struct vcpu_shared *target, uint32_t requests)
{
	(void)target, (void)requests;
}

void vcpu_serve_meanwhile(void) {}

struct virt_features virt_features;

static uint8_t pool_memory[POOL_SIZE] ALIGNED(PAGE_SIZE);
static struct boot_info boot;
static struct virt_ops back_end;
static char told[4096];
static unsigned devices_created;

void log_line(enum log_level level, const char *text, ...)
{
	size_t used = strlen(told);
	va_list arguments;

	(void)level;
	va_start(arguments, text);
	vsnprintf(told + used, sizeof(told) - used - 1, text, arguments);
	va_end(arguments);
	strcat(told, "\n");
}

NORETURN void panic(const char *text, ...)
{
	fprintf(stderr, "%s\n", text);
	abort();
}

enum status full_devices_create(struct partition *partition)
{
	(void)partition;
	devices_created++;
	return OK;
}

static void own(uint64_t start, uint64_t end, owner_t owner)
{
	assert_int_equal(frames_add(&machine_frames, hpa(start), end - start, owner), OK);
}

static struct partition_config *want(const char *name, enum partition_mode mode, uint32_t count,
				     uint64_t memory)
{
	uint32_t id = boot.config.partition_count++;
	struct partition_config *config = &boot.config.partition[id];
	uint64_t module = MODULES + id * 0x10000;

	*config = (struct partition_config){.mode = mode, .cpus = count, .memory = memory};
	strcpy(config->name, name);
	strcpy(config->image, "\\image.elf");
	boot.module[id] = (struct boot_module){module, MODULE_SIZE};
	own(module, module + ALIGN_UP(MODULE_SIZE, PAGE_SIZE), OWNER_MODULE(id));
	return config;
}

/* A CPU as smp.c makes it. */
static void start_cpu(uint32_t cpu)
{
	const uint32_t pages = PERCPU_PAGES + STACK_PAGES + FAULT_STACK_PAGES;
	void *area = pool_allocate(pages);
	struct percpu_frames frames;

	assert_non_null(area);
	frames.area = pool_address(area);
	frames.stack = hpa(frames.area.value + PERCPU_PAGES * PAGE_SIZE);
	frames.fault_stack = hpa(frames.stack.value + STACK_PAGES * PAGE_SIZE);
	cpus[cpu] = (struct cpu_info){.apic_id = cpu};
	assert_int_equal(paging_create_cpu(&frames, &cpus[cpu].cr3), OK);
	atomic_store(&cpus[cpu].state, CPU_READY);
}

static int set_up(void **state)
{
	(void)state;
	memset(told, 0, sizeof(told));
	memset(&boot, 0, sizeof(boot));
	machine_frames.count = 0;
	partition_count = devices_created = 0;
	back_end = (struct virt_ops){.name = "fake", .guest_format = &npt_format};
	virt = &back_end;
	virt_features = (struct virt_features){.unrestricted_guest = true, .large_pages = true};
	boot.image_start = IMAGE_START;
	own(POOL_START, POOL_START + POOL_SIZE, OWNER_HYPERVISOR);
	own(IMAGE_START, IMAGE_START + IMAGE_SIZE, OWNER_HYPERVISOR);
	pool_create(hpa(POOL_START), POOL_PAGES, pool_memory);
	assert_int_equal(paging_create(&boot, hpa(POOL_START), POOL_SIZE), OK);
	cpu_count = CPUS;
	for (uint32_t cpu = 0; cpu < CPUS; cpu++)
		start_cpu(cpu);
	return 0;
}

static void assert_told(const char *text)
{
	if (!strstr(told, text))
		fail_msg("not told: %s\nbut: %s", text, told);
}

static void show_finding(void *context, const struct audit_finding *finding)
{
	(void)context;
	fprintf(stderr, "%llx: %s\n", (unsigned long long)finding->address, finding->rule);
}

/* Every table of every CPU and partition, leaf by leaf. */
static struct audit_result audit_now(void)
{
	struct audit_scope scope = {.text_end = (uint64_t)image_text_end,
				    .rodata_end = (uint64_t)image_rodata_end,
				    .image_end = (uint64_t)image_end,
				    .pool = hpa(POOL_START),
				    .pool_bytes = POOL_SIZE,
				    .cpu = 0,
				    .cr3 = cpus[0].cr3};

	return audit_machine(&scope, show_finding, NULL);
}

static void assert_audit_clean(void)
{
	struct audit_result result = audit_now();

	assert_int_equal(result.violations, 0);
	assert_int_equal(result.cpus, CPUS);
	assert_int_equal(result.partitions, partition_count);
}

static void create(void)
{
	if (partitions_create(&boot))
		fail_msg("refused: %s", told);
}

static void assert_refused(enum status status)
{
	assert_int_equal(partitions_create(&boot), status);
	assert_int_equal(partition_count, 0);
	for (uint32_t cpu = 0; cpu < CPUS; cpu++)
		assert_null(cpus[cpu].vcpu);
}

/* Every frame of a partition is mapped for its guest and in the window of its CPUs, and is its own. */
static void assert_mapped(const struct partition *partition, const struct page_map *map, uint64_t base,
			  uint64_t size)
{
	for (uint64_t offset = 0; offset < size; offset += PAGE_SIZE) {
		struct mapping found;
		hpa_t frame;

		if (!page_map_find(map, base + offset, &found))
			fail_msg("%llx is not mapped", (unsigned long long)(base + offset));
		frame = hpa(found.frame.value + (base + offset - found.address));
		assert_int_equal(frames_owner(&machine_frames, frame), OWNER_PARTITION(partition->id));
	}
}

static void test_two_partitions(void **state)
{
	const struct page_format *const formats[] = {&npt_format, &ept_format};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		set_up(NULL);
		back_end.guest_format = formats[i];
		own(RAM, TOP, OWNER_FREE);
		want("alpha", MODE_FULL, 2, 16 * MIB);
		want("beta", MODE_PARA, 1, 7 * MIB + 12 * KIB);
		create();
		assert_int_equal(partition_count, 2);
		for (uint32_t id = 0; id < 2; id++) {
			const struct partition *partition = &partitions[id];

			assert_mapped(partition, &partition->guest_map, 0, partition->config->memory);
			assert_mapped(partition, &partition->window, GUEST_WINDOW, partition->config->memory);
			assert_int_equal(frames_total(&machine_frames, OWNER_PARTITION(id)),
					 partition->config->memory);
			assert_false(page_map_find(&partition->guest_map, partition->config->memory,
						   &(struct mapping){0}));
		}
		assert_int_equal(partitions[0].vcpu[1].cpu, 1);
		assert_ptr_equal(cpus[2].vcpu, &partitions[1].vcpu[0]);
		assert_null(cpus[3].vcpu);
		assert_int_equal(devices_created, 1); /* only alpha is a PC */
		assert_told("partition 1 alpha: full, 2 vCPUs from CPU 0, 16384 KiB in 1 piece");
		assert_audit_clean();
	}
}

static void test_memory_in_pieces(void **state)
{
	(void)state;
	own(0x1000000, 0x1400000, OWNER_FREE);
	own(0x1400000, 0x1500000, OWNER_FIRMWARE);
	own(0x1500000, 0x1A03000, OWNER_FREE);
	want("alpha", MODE_PARA, 1, 8 * MIB);
	create();
	assert_int_equal(partitions[0].extent_count, 2);
	assert_mapped(&partitions[0], &partitions[0].guest_map, 0, 8 * MIB);
	assert_int_equal(frames_total(&machine_frames, OWNER_FIRMWARE), MIB);
	assert_audit_clean();
}

/* Where the CPU serves local APICs each PC has a page of its own in the APIC's place, until one of its vCPUs
 * has no use for that. */
static void test_apic_pages(void **state)
{
	struct mapping found;

	(void)state;
	own(RAM, TOP, OWNER_FREE);
	virt_features.virtual_apic = true;
	want("alpha", MODE_FULL, 1, MIB);
	want("beta", MODE_FULL, 1, MIB);
	want("gamma", MODE_PARA, 1, MIB);
	create();
	for (uint32_t id = 0; id < 2; id++) {
		assert_true(page_map_find(&partitions[id].guest_map, APIC_DEFAULT_BASE, &found));
		assert_int_equal(found.frame.value, partitions[id].apic_page.value);
		assert_int_equal(found.size, PAGE_SIZE);
		assert_int_equal(found.flags & MAP_EXECUTE, 0);
		assert_int_equal(frames_owner(&machine_frames, found.frame), OWNER_PARTITION(id));
		assert_true(page_map_find(&partitions[id].window, partitions[id].apic_window, &found));
		assert_int_equal(found.frame.value, partitions[id].apic_page.value);
	}
	assert_false(page_map_find(&partitions[2].guest_map, APIC_DEFAULT_BASE, &found));
	assert_int_equal(partitions[2].apic_page.value, 0);
	assert_null(partition_memory(&partitions[0], gpa(APIC_DEFAULT_BASE), 1));
	assert_audit_clean();
	partition_map_apic(&partitions[0], false);
	partition_map_apic(&partitions[0], false);
	partition_map_apic(&partitions[2], false);
	assert_false(page_map_find(&partitions[0].guest_map, APIC_DEFAULT_BASE, &found));
	assert_true(page_map_find(&partitions[1].guest_map, APIC_DEFAULT_BASE, &found));
	assert_audit_clean();
	partitions[1].apic_page = partitions[0].apic_page;
	assert_int_not_equal(audit_now().violations, 0);
}

/* A partition that wants all there is wants a page too much where it needs one for its APICs, and is told
 * what that leaves. */
static void test_no_page_for_the_apic(void **state)
{
	(void)state;
	own(RAM, RAM + 8 * MIB, OWNER_FREE);
	virt_features.virtual_apic = true;
	want("alpha", MODE_FULL, 1, 8 * MIB);
	assert_int_equal(partitions_create(&boot), ERR_NO_MEMORY);
	assert_told("partition alpha: wants 8192 KiB of memory, 8188 KiB are free in all");
}

/* RAM of a PC ends at 3 GiB and goes on at 4 GiB. Frames are numbers only here: nobody touches them. */
static void test_hole_below_4_gib(void **state)
{
	const struct partition *partition;

	(void)state;
	own(GIB, 8 * GIB, OWNER_FREE);
	virt_features.giant_pages = true;
	want("alpha", MODE_FULL, 1, 5 * GIB);
	create();
	partition = &partitions[0];
	assert_int_equal(partition->memory_low, 3 * GIB);
	assert_int_equal(partition->memory_high, 2 * GIB);
	assert_true(partition_contains(partition, gpa(3 * GIB - 1), 1));
	assert_false(partition_contains(partition, gpa(3 * GIB - 1), 2));
	assert_false(partition_contains(partition, gpa(3 * GIB), 1));
	assert_false(partition_contains(partition, gpa(4 * GIB - 1), 1));
	assert_true(partition_contains(partition, gpa(4 * GIB), 2 * GIB));
	assert_false(partition_contains(partition, gpa(4 * GIB), 2 * GIB + 1));
	assert_false(partition_contains(partition, gpa(6 * GIB), 1));
	assert_false(partition_contains(partition, gpa(UINT64_MAX), 1));
	assert_false(partition_contains(partition, gpa(0), UINT64_MAX));
	assert_int_equal((uint64_t)partition_memory(partition, gpa(4 * GIB), 1), GUEST_WINDOW + 4 * GIB);
	assert_null(partition_memory(partition, gpa(3 * GIB), 1));
	assert_audit_clean();
}

static void test_copies_outside_copy_nothing(void **state)
{
	uint32_t word = 0x12345678;

	(void)state;
	own(RAM, TOP, OWNER_FREE);
	want("alpha", MODE_PARA, 1, MIB);
	create();
	assert_false(partition_read(&partitions[0], gpa(MIB - 3), &word, sizeof(word)));
	assert_int_equal(word, 0x12345678);
	assert_false(partition_write(&partitions[0], gpa(MIB), &word, 1));
	assert_false(partition_write(&partitions[0], gpa(UINT64_MAX - 1), &word, sizeof(word)));
}

/*
 * CPUs
 */

static void test_pinned_choose_first(void **state)
{
	struct partition_config *config;

	(void)state;
	own(RAM, TOP, OWNER_FREE);
	want("alpha", MODE_PARA, 2, MIB);
	config = want("beta", MODE_PARA, 2, MIB);
	config->pinned = 2;
	config->pin[0] = 1;
	config->pin[1] = 0;
	create();
	assert_int_equal(partitions[1].vcpu[0].cpu, 1);
	assert_int_equal(partitions[1].vcpu[1].cpu, 0);
	assert_int_equal(partitions[0].vcpu[0].cpu, 2);
	assert_int_equal(partitions[0].vcpu[1].cpu, 3);
	assert_audit_clean();
}

static void test_too_many_cpus(void **state)
{
	(void)state;
	own(RAM, TOP, OWNER_FREE);
	atomic_store(&cpus[3].state, CPU_REFUSED);
	want("alpha", MODE_PARA, 2, MIB);
	want("beta", MODE_PARA, 2, MIB);
	assert_refused(ERR_RANGE);
	assert_told("the partitions want 4 CPUs, the machine has 3 (one for each vCPU)");
}

static void test_pinned_to_what_is_not_there(void **state)
{
	struct partition_config *config;

	(void)state;
	own(RAM, TOP, OWNER_FREE);
	config = want("alpha", MODE_PARA, 1, MIB);
	config->pinned = 1;
	config->pin[0] = CPUS;
	assert_refused(ERR_RANGE);
	assert_told("partition alpha: cannot have CPU 4: the machine has CPUs 0 to 3, each for one vCPU");
}

static void test_pinned_twice(void **state)
{
	(void)state;
	own(RAM, TOP, OWNER_FREE);
	for (unsigned i = 0; i < 2; i++) {
		struct partition_config *config = want(i ? "beta" : "alpha", MODE_PARA, 1, MIB);

		config->pinned = 1;
		config->pin[0] = 2;
	}
	assert_refused(ERR_RANGE);
	assert_told("partition beta: cannot have CPU 2");
}

static void test_pinned_to_a_refused_cpu(void **state)
{
	struct partition_config *config;

	(void)state;
	own(RAM, TOP, OWNER_FREE);
	atomic_store(&cpus[1].state, CPU_REFUSED);
	config = want("alpha", MODE_PARA, 1, MIB);
	config->pinned = 1;
	config->pin[0] = 1;
	assert_refused(ERR_RANGE);
}

/*
 * What does not add up
 */

static void test_too_little_memory(void **state)
{
	(void)state;
	own(RAM, RAM + 4 * MIB, OWNER_FREE);
	want("alpha", MODE_PARA, 1, 8 * MIB);
	assert_refused(ERR_NO_MEMORY);
	assert_told("partition alpha: wants 8192 KiB of memory, 4096 KiB are free in all, 4096 KiB in one");
}

/* There is enough, but in more pieces than a partition can have. */
static void test_too_many_pieces(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < PARTITION_EXTENTS + 1; i++)
		own(RAM + 2 * i * PAGE_SIZE, RAM + (2 * i + 1) * PAGE_SIZE, OWNER_FREE);
	want("alpha", MODE_PARA, 1, (PARTITION_EXTENTS + 1) * PAGE_SIZE);
	assert_refused(ERR_NO_MEMORY);
	assert_told("at most 16 pieces can be used");
}

static void test_no_page_tables(void **state)
{
	(void)state;
	own(RAM, TOP, OWNER_FREE);
	virt_features.large_pages = false; /* 40 MiB in 4 KiB pages need 20 tables, twice */
	want("alpha", MODE_PARA, 1, 40 * MIB);
	assert_non_null(pool_allocate(pool_size() - pool_used() - 16));
	assert_refused(ERR_NO_MEMORY);
	assert_told("partition alpha: no page tables: out of memory");
}

static void test_no_memory_for_partitions(void **state)
{
	(void)state;
	own(RAM, TOP, OWNER_FREE);
	want("alpha", MODE_PARA, 1, MIB);
	assert_non_null(pool_allocate(pool_size() - pool_used()));
	assert_int_equal(partitions_create(&boot), ERR_NO_MEMORY);
	assert_told("no memory for 1 partitions");
}

static void test_full_without_unrestricted_guest(void **state)
{
	(void)state;
	own(RAM, TOP, OWNER_FREE);
	virt_features.unrestricted_guest = false;
	want("alpha", MODE_FULL, 1, MIB);
	want("beta", MODE_PARA, 1, MIB);
	create();
	assert_string_equal(partition_state_name(&partitions[0]), "refused");
	assert_string_equal(partition_state_name(&partitions[1]), "not started");
	assert_told("mode = full needs \"unrestricted guest\"");
}

static void test_state_names(void **state)
{
	struct partition partition = {.state = PARTITION_STARTING};

	(void)state;
	assert_string_equal(partition_state_name(&partition), "starting");
	atomic_store(&partition.state, PARTITION_RUNNING);
	assert_string_equal(partition_state_name(&partition), "running");
	atomic_store(&partition.state, PARTITION_OFF);
	partition.end = END_FAULT;
	assert_string_equal(partition_state_name(&partition), "faulted");
	partition.end = END_STOPPED;
	assert_string_equal(partition_state_name(&partition), "stopped");
	partition.end = END_SYSTEM_OFF;
	assert_string_equal(partition_state_name(&partition), "off");
}

/*
 * The hypervisor's own tables
 */

static bool find_on_cpu(uint32_t cpu, uint64_t address, struct mapping *found)
{
	const struct page_map map = {&host_format, &pool_pages, cpus[cpu].cr3, 2};

	return page_map_find(&map, address, found);
}

/* A device mapped late is there on every CPU, where large pages fit, and never executable. */
static void test_devices(void **state)
{
	struct mapping found;
	uint64_t small, large;

	(void)state;
	small = (uint64_t)device_map(hpa(0xFEC00010), 0x20, MAP_READ | MAP_WRITE | MAP_UNCACHED);
	assert_int_equal(small % PAGE_SIZE, 0x10);
	large = (uint64_t)device_map(hpa(0xC0200000), 4 * MIB, MAP_READ | MAP_WRITE | MAP_WRITE_COMBINING);
	assert_int_equal(large % LARGE_PAGE_SIZE, 0);
	for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
		assert_true(find_on_cpu(cpu, small, &found));
		assert_int_equal(found.frame.value, 0xFEC00000);
		assert_int_equal(found.flags, MAP_READ | MAP_WRITE | MAP_UNCACHED);
		assert_true(find_on_cpu(cpu, large, &found));
		assert_int_equal(found.size, LARGE_PAGE_SIZE);
		assert_int_equal(found.flags, MAP_READ | MAP_WRITE | MAP_WRITE_COMBINING);
	}
	assert_null(device_map(hpa(0xFEC00000), 0, MAP_READ));
	assert_null(device_map(hpa(GIB), DEVICE_SIZE, MAP_READ));
	assert_null(device_map(hpa(UINT64_MAX - PAGE_SIZE), 4 * PAGE_SIZE, MAP_READ));
}

/* A CPU sees its own area and stacks; between them nothing is. */
static void test_guard_pages(void **state)
{
	static const uint64_t guards[] = {STACK_TOP - (STACK_PAGES + 1) * PAGE_SIZE, STACK_TOP,
					  FAULT_STACK_TOP, 0, MODULE_WINDOW};
	struct mapping one, two;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(guards); i++)
		assert_false(find_on_cpu(1, guards[i], &one));
	assert_true(find_on_cpu(0, STACK_TOP - 1, &one));
	assert_true(find_on_cpu(1, STACK_TOP - 1, &two));
	assert_int_not_equal(one.frame.value, two.frame.value);
	assert_true(find_on_cpu(0, (uint64_t)image_text_start, &one));
	assert_int_equal(one.flags, MAP_READ | MAP_EXECUTE);
	assert_true(find_on_cpu(0, (uint64_t)image_rodata_start, &one));
	assert_int_equal(one.flags, MAP_READ);
	assert_true(find_on_cpu(0, (uint64_t)image_data_start, &one));
	assert_int_equal(one.flags, MAP_READ | MAP_WRITE);
}

static void test_windows_are_the_partitions_own(void **state)
{
	struct mapping found;

	(void)state;
	own(RAM, TOP, OWNER_FREE);
	want("alpha", MODE_PARA, 1, MIB);
	want("beta", MODE_PARA, 1, MIB);
	create();
	assert_true(find_on_cpu(1, GUEST_WINDOW, &found));
	assert_int_equal(frames_owner(&machine_frames, found.frame), OWNER_PARTITION(1));
	assert_true(find_on_cpu(1, partitions[1].image.window, &found));
	assert_int_equal(found.flags, MAP_READ);
	assert_int_equal(frames_owner(&machine_frames, found.frame), OWNER_MODULE(1));
	assert_false(find_on_cpu(2, GUEST_WINDOW, &found));
	assert_int_equal(cpu_attach_window(CPUS, &partitions[0].window), ERR_INVALID);
}

static void test_regions(void **state)
{
	(void)state;
	assert_string_equal(paging_region(8), "the null page");
	assert_string_equal(paging_region(GUEST_WINDOW + GIB), "guest window");
	assert_string_equal(paging_region(STACK_TOP - STACK_PAGES * PAGE_SIZE - 8),
			    "guard page below the stack");
	assert_string_equal(paging_region(STACK_TOP - 8), "the stack");
	assert_string_equal(paging_region((uint64_t)image_data_start), "the image's data");
	assert_string_equal(paging_region(0x1234567890), "nowhere in the hypervisor's address space");
}

/*
 * The formats
 */

static void test_guest_formats(void **state)
{
	const struct page_format *const formats[] = {&npt_format, &ept_format, &host_format};
	static const uint32_t flags[] = {MAP_READ, MAP_READ | MAP_WRITE, MAP_READ | MAP_EXECUTE,
					 MAP_READ | MAP_WRITE | MAP_EXECUTE,
					 MAP_READ | MAP_WRITE | MAP_UNCACHED};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++)
		for (unsigned j = 0; j < ARRAY_SIZE(flags); j++)
			for (unsigned level = 1; level <= 3; level++) {
				uint64_t entry = formats[i]->leaf(hpa(0x40000000), flags[j], level);

				assert_int_equal(formats[i]->flags(entry), flags[j]);
				assert_int_equal(entry & 0x000FFFFFFFE00000, 0x40000000);
				assert_true(entry & formats[i]->present_bits);
				assert_int_equal(!!(entry & formats[i]->large_bit), level > 1);
			}
	/* APM 2 15.25.5: a nested walk is one of a user. */
	assert_true(npt_format.table_bits & 4);
	assert_true(npt_format.leaf(hpa(0), MAP_READ, 1) & 4);
	/* SDM 3C 29.3.3.1: write or execute without read is a misconfiguration. */
	assert_int_equal(ept_format.leaf(hpa(0), MAP_WRITE, 1) & 7, 3);
	/* 29.3.7: a guest's PAT does not choose the type; RAM is write-back, devices are not cached. */
	assert_int_equal(ept_format.leaf(hpa(0), MAP_READ, 1) >> 3 & 0xF, 8 | 6);
	assert_int_equal(ept_format.leaf(hpa(0), MAP_READ | MAP_UNCACHED, 1) >> 3 & 0xF, 8 | 0);
	assert_int_equal(ept_format.flags(ept_format.leaf(hpa(0), MAP_READ | MAP_WRITE_COMBINING, 1)),
			 MAP_READ | MAP_WRITE_COMBINING);
	assert_int_equal(ept_pointer(hpa(0x5000)), 0x501E);
}

static void test_walk_is_told(void **state)
{
	(void)state;
	own(RAM, TOP, OWNER_FREE);
	back_end.guest_format = &ept_format;
	want("alpha", MODE_PARA, 1, 4 * MIB);
	create();
	memset(told, 0, sizeof(told));
	ept_log_walk(&partitions[0].guest_map, gpa(2 * MIB));
	assert_told("EPT level 4: table");
	assert_told("EPT level 2: table");
	assert_told("entry 1 is a000f7");
	assert_null(strstr(told, "level 1"));
	memset(told, 0, sizeof(told));
	ept_log_walk(&partitions[0].guest_map, gpa(GIB));
	assert_told("EPT level 3: table");
	assert_null(strstr(told, "level 2"));
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_two_partitions),
					   TEST(test_memory_in_pieces),
					   TEST(test_apic_pages),
					   TEST(test_no_page_for_the_apic),
					   TEST(test_hole_below_4_gib),
					   TEST(test_copies_outside_copy_nothing),
					   TEST(test_pinned_choose_first),
					   TEST(test_too_many_cpus),
					   TEST(test_pinned_to_what_is_not_there),
					   TEST(test_pinned_twice),
					   TEST(test_pinned_to_a_refused_cpu),
					   TEST(test_too_little_memory),
					   TEST(test_too_many_pieces),
					   TEST(test_no_page_tables),
					   TEST(test_no_memory_for_partitions),
					   TEST(test_full_without_unrestricted_guest),
					   TEST(test_state_names),
					   TEST(test_devices),
					   TEST(test_guard_pages),
					   TEST(test_windows_are_the_partitions_own),
					   TEST(test_regions),
					   TEST(test_guest_formats),
					   TEST(test_walk_is_told)};

	return cmocka_run_group_tests_name("partition", tests, NULL, NULL);
}
