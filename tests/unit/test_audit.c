/*
 * The audit of the machine's page tables, on a machine made by hand: two CPUs, two partitions, tables in a
 * pool. Clean, it has no violation; then each kind of violation is planted, and has to be named with who,
 * where, which frame and whose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/percpu.h"
#include "hv/core/audit.h"
#include "hv/core/partition.h"
#include "hv/core/share.h"
#include "hv/core/virt.h"
#include "hv/lib/log.h"
#include "hv/mem/pool.h"

/* The machine's frames. */
#define POOL_START   0x100000ull
#define POOL_PAGES   256
#define POOL_SIZE    (POOL_PAGES * PAGE_SIZE)
#define IMAGE_START  0x200000ull
#define IMAGE_SIZE   0x6000ull
#define MODULE_START 0x300000ull /* one file, which both partitions name */
#define MODULE_SIZE  0x3000ull
#define MEMORY_START 0x400000ull
#define MEMORY_SIZE  (4 * MIB) /* of each partition */
#define FREE_START   0x1000000ull
#define DEVICE_FRAME 0xFEE00000ull /* nobody has named it */

#define FINDINGS 8

NORETURN void panic(const char *format, ...)
{
	(void)format;
	abort();
}

/* Sharing asks for these; who follows the flush is no matter here. */
const struct virt_ops *virt;

void vcpu_request(struct vcpu_shared *target, uint32_t requests)
{
	(void)target, (void)requests;
}

void vcpu_serve_meanwhile(void) {}

void *partition_window(const struct partition *partition, gpa_t address)
{
	(void)partition, (void)address;
	return NULL;
}

/*
 * A format of the hypervisor's and of the guests' tables
 */

#define PRESENT	   1ull
#define LARGE	   (1ull << 7)
#define FLAG_SHIFT 52

static uint64_t leaf(hpa_t frame, uint32_t flags, unsigned level)
{
	return frame.value | PRESENT | (level > 1 ? LARGE : 0) | (uint64_t)flags << FLAG_SHIFT;
}

static uint32_t flags_of(uint64_t entry)
{
	return (uint32_t)(entry >> FLAG_SHIFT);
}

const struct page_format host_format = {.name = "test",
					.leaf = leaf,
					.table_bits = PRESENT,
					.present_bits = PRESENT,
					.large_bit = LARGE,
					.flags = flags_of};

/*
 * The machine
 */

static uint8_t pool_memory[POOL_SIZE] ALIGNED(PAGE_SIZE);
static struct page_map tables[2];
static struct vcpu_shared vcpus[2];
static struct partition_config configs[2] = {{.name = "alpha", .image = "one.elf"},
					     {.name = "beta", .image = "one.elf"}};
static struct partition two[2];

struct cpu_info cpus[2];
uint32_t cpu_count;
struct partition *partitions = two;
uint32_t partition_count;

static struct audit_scope scope;
static struct audit_result result;
static struct audit_finding found[FINDINGS];

static void map(struct page_map *in, uint64_t address, uint64_t frame, uint64_t size, uint32_t flags)
{
	assert_int_equal(page_map_add(in, address, hpa(frame), size, flags), OK);
}

static void unmap(struct page_map *in, uint64_t address, uint64_t size)
{
	assert_int_equal(page_map_remove(in, address, size), OK);
}

#define RW (MAP_READ | MAP_WRITE)
#define RX (MAP_READ | MAP_EXECUTE)

static void own(uint64_t start, uint64_t size, owner_t owner)
{
	assert_int_equal(frames_add(&machine_frames, hpa(start), size, owner), OK);
}

static void create_partition(uint32_t id)
{
	struct partition *partition = &two[id];
	uint64_t memory = MEMORY_START + id * MEMORY_SIZE;

	*partition =
		(struct partition){.id = id, .config = &configs[id], .vcpu_count = 1, .vcpu = &vcpus[id]};
	own(memory, MEMORY_SIZE, OWNER_PARTITION(id));
	partition->memory_low = MEMORY_SIZE;
	partition->extent_count = 1;
	partition->extent[0] = (struct memory_extent){gpa(0), hpa(memory), MEMORY_SIZE};
	assert_int_equal(page_map_create(&partition->guest_map, &host_format, &pool_pages, 2), OK);
	partition->image = (struct guest_file){MODULE_WINDOW, hpa(MODULE_START), MODULE_SIZE};
	map(&partition->guest_map, 0, memory, MEMORY_SIZE, MAP_READ | MAP_WRITE | MAP_EXECUTE);
}

static void create_cpu(uint32_t cpu)
{
	struct page_map *own_tables = &tables[cpu];
	uint64_t area;

	assert_int_equal(page_map_create(own_tables, &host_format, &pool_pages, 2), OK);
	area = pool_address(pool_allocate(PERCPU_PAGES + STACK_PAGES + FAULT_STACK_PAGES)).value;
	map(own_tables, IMAGE_BASE, IMAGE_START, 0x2000, RX);
	map(own_tables, IMAGE_BASE + 0x2000, IMAGE_START + 0x2000, 0x2000, MAP_READ);
	map(own_tables, IMAGE_BASE + 0x4000, IMAGE_START + 0x4000, 0x2000, RW);
	map(own_tables, PERCPU_BASE, area, PERCPU_PAGES * PAGE_SIZE, RW);
	area += PERCPU_PAGES * PAGE_SIZE;
	map(own_tables, STACK_TOP - STACK_PAGES * PAGE_SIZE, area, STACK_PAGES * PAGE_SIZE, RW);
	area += STACK_PAGES * PAGE_SIZE;
	map(own_tables, FAULT_STACK_TOP - FAULT_STACK_PAGES * PAGE_SIZE, area, FAULT_STACK_PAGES * PAGE_SIZE,
	    RW);
	map(own_tables, POOL_BASE, POOL_START, POOL_SIZE, RW);
	map(own_tables, DEVICE_BASE, DEVICE_FRAME, PAGE_SIZE, RW | MAP_UNCACHED);
	map(own_tables, DEVICE_BASE + PAGE_SIZE, IMAGE_START, PAGE_SIZE, MAP_READ);
	map(own_tables, GUEST_WINDOW, MEMORY_START + cpu * MEMORY_SIZE, MEMORY_SIZE, RW);
	map(own_tables, MODULE_WINDOW, MODULE_START, MODULE_SIZE, MAP_READ);
	cpus[cpu].cr3 = own_tables->root;
	cpus[cpu].vcpu = &vcpus[cpu];
}

static int set_up(void **state)
{
	(void)state;
	machine_frames.count = 0;
	own(POOL_START, POOL_SIZE, OWNER_HYPERVISOR);
	own(IMAGE_START, IMAGE_SIZE, OWNER_HYPERVISOR);
	own(MODULE_START, MODULE_SIZE, OWNER_MODULE(0));
	own(FREE_START, MIB, OWNER_FREE);
	own(0xF0000, 0x10000, OWNER_FIRMWARE);
	pool_create(hpa(POOL_START), POOL_PAGES, pool_memory);
	cpu_count = partition_count = 2;
	for (uint32_t i = 0; i < 2; i++) {
		create_partition(i);
		create_cpu(i);
	}
	scope = (struct audit_scope){.text_end = IMAGE_BASE + 0x1F00,
				     .rodata_end = IMAGE_BASE + 0x3100,
				     .image_end = IMAGE_BASE + 0x5800,
				     .pool = hpa(POOL_START),
				     .pool_bytes = POOL_SIZE,
				     .cpu = 0,
				     .cr3 = cpus[0].cr3};
	return 0;
}

static void note(void *context, const struct audit_finding *finding)
{
	uint32_t *count = context;

	if (*count < FINDINGS)
		found[*count] = *finding;
	(*count)++;
}

static uint64_t audit(void)
{
	uint32_t count = 0;

	result = audit_machine(&scope, note, &count);
	assert_int_equal(result.violations, count);
	return count;
}

static void expect_clean(void)
{
	if (audit())
		fail_msg("%llx: %s", (unsigned long long)found[0].address, found[0].rule);
}

#define CPU	  false
#define PARTITION true

/* One finding, and no other. */
static void expect(bool guest, uint32_t index, uint64_t address, uint64_t frame, owner_t owner,
		   const char *rule)
{
	if (audit() != 1)
		fail_msg("%llu findings, first: %s", (unsigned long long)result.violations,
			 result.violations ? found[0].rule : "none");
	assert_string_equal(found[0].rule, rule);
	assert_int_equal(found[0].guest, guest);
	assert_int_equal(found[0].index, index);
	assert_int_equal(found[0].address, address);
	assert_int_equal(found[0].frame.value, frame);
	assert_int_equal(found[0].owner, owner);
}

/*
 * Tests
 */

static void a_clean_machine(void **state)
{
	const uint64_t percpu = PERCPU_PAGES + STACK_PAGES + FAULT_STACK_PAGES;

	(void)state;
	expect_clean();
	assert_int_equal(result.cpus, 2);
	assert_int_equal(result.partitions, 2);
	/* Image, per-CPU pages, pool, devices, window, module, and the guest's map; 2 MiB pages where they
	 * fit. */
	assert_int_equal(result.mappings, 2 * (6 + percpu + POOL_PAGES + 2 + 2 + 3 + 2));
}

/* Beta sees a page and more than 2 MiB of alpha's as agreed, and alpha sees them no more if it has lent them.
 */
static void what_is_agreed_is_fine(void **state)
{
	(void)state;
	for (enum share_kind kind = SHARE_SHARED; kind <= SHARE_LENT; kind++) {
		struct share *share = share_create(&two[0], kind);
		struct share_view *view;
		enum status status;

		assert_non_null(share);
		assert_int_equal(share_add(share, 0x5000, 1), OK);
		assert_int_equal(share_add(share, 0x100000, 0x280), OK);
		share->borrower[share->borrower_count++] = (struct share_borrower){.partition = &two[1]};
		assert_int_equal(share_commit(share), OK);
		expect_clean();
		view = share_map(share, &two[1], RW, &status);
		assert_non_null(view);
		expect_clean();
		map(&two[1].guest_map, 0x40000000, MEMORY_START + 0x5000, PAGE_SIZE, RW);
		expect(PARTITION, 1, 0x40000000, MEMORY_START + 0x5000, OWNER_AGREEMENT(0),
		       "a frame that an agreement keeps from it");
		unmap(&two[1].guest_map, 0x40000000, PAGE_SIZE);
		view->flags = MAP_READ; /* it may only read, and its map lets it write */
		assert_true(audit() > 0);
		share_unmap(&two[1], view);
		if (kind == SHARE_LENT) {
			map(&two[0].guest_map, 0x5000, MEMORY_START + 0x5000, PAGE_SIZE, RW);
			expect(PARTITION, 0, 0x5000, MEMORY_START + 0x5000, OWNER_AGREEMENT(0),
			       "a frame that an agreement keeps from it");
			unmap(&two[0].guest_map, 0x5000, PAGE_SIZE);
		}
		share_return(view);
		share_end(share);
		expect_clean();
	}
}

static void a_cpu_that_does_not_run_is_passed_over(void **state)
{
	(void)state;
	cpus[1].cr3 = hpa(0);
	expect_clean();
	assert_int_equal(result.cpus, 1);
}

static void writable_and_executable(void **state)
{
	(void)state;
	unmap(&tables[1], IMAGE_BASE, PAGE_SIZE);
	map(&tables[1], IMAGE_BASE, IMAGE_START, PAGE_SIZE, RW | MAP_EXECUTE);
	expect(CPU, 1, IMAGE_BASE, IMAGE_START, OWNER_HYPERVISOR, "writable and executable");
}

static void executable_data(void **state)
{
	(void)state;
	unmap(&tables[0], IMAGE_BASE + 0x3000, PAGE_SIZE);
	map(&tables[0], IMAGE_BASE + 0x3000, IMAGE_START + 0x3000, PAGE_SIZE, RX);
	expect(CPU, 0, IMAGE_BASE + 0x3000, IMAGE_START + 0x3000, OWNER_HYPERVISOR,
	       "executable, and not code");
}

static void an_executable_window(void **state)
{
	(void)state;
	unmap(&tables[0], GUEST_WINDOW, 2 * MIB);
	map(&tables[0], GUEST_WINDOW, MEMORY_START, 2 * MIB, RX);
	expect(CPU, 0, GUEST_WINDOW, MEMORY_START, OWNER_PARTITION(0), "executable, and not code");
}

static void writable_constants(void **state)
{
	(void)state;
	unmap(&tables[0], IMAGE_BASE + 0x2000, PAGE_SIZE);
	map(&tables[0], IMAGE_BASE + 0x2000, IMAGE_START + 0x2000, PAGE_SIZE, RW);
	expect(CPU, 0, IMAGE_BASE + 0x2000, IMAGE_START + 0x2000, OWNER_HYPERVISOR,
	       "writable code or constants");
}

static void an_image_elsewhere(void **state)
{
	(void)state;
	unmap(&tables[0], IMAGE_BASE + 0x4000, PAGE_SIZE);
	map(&tables[0], IMAGE_BASE + 0x4000, FREE_START, PAGE_SIZE, RW);
	expect(CPU, 0, IMAGE_BASE + 0x4000, FREE_START, OWNER_FREE, "a frame that nobody owns");
}

static void guard_pages(void **state)
{
	static const uint64_t guards[] = {PERCPU_BASE + PERCPU_PAGES * PAGE_SIZE, STACK_TOP, FAULT_STACK_TOP};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(guards); i++) {
		map(&tables[1], guards[i], POOL_START, PAGE_SIZE, RW);
		expect(CPU, 1, guards[i], POOL_START, OWNER_HYPERVISOR, "a guard page is mapped");
		unmap(&tables[1], guards[i], PAGE_SIZE);
	}
	expect_clean();
}

static void one_stack_for_two_cpus(void **state)
{
	struct mapping other;
	const uint64_t address = STACK_TOP - PAGE_SIZE;

	(void)state;
	assert_true(page_map_find(&tables[0], address, &other));
	unmap(&tables[1], address, PAGE_SIZE);
	map(&tables[1], address, other.frame.value, PAGE_SIZE, RW);
	assert_int_equal(audit(), 2); /* seen from either side */
	assert_string_equal(found[0].rule, "another CPU has the same frame there");
	assert_int_equal(found[0].index, 0);
	assert_int_equal(found[1].index, 1);
	assert_int_equal(found[1].frame.value, other.frame.value);
}

static void a_pool_that_is_not_the_pool(void **state)
{
	(void)state;
	unmap(&tables[0], POOL_BASE + 0x5000, PAGE_SIZE);
	map(&tables[0], POOL_BASE + 0x5000, POOL_START + 0x6000, PAGE_SIZE, RW);
	expect(CPU, 0, POOL_BASE + 0x5000, POOL_START + 0x6000, OWNER_HYPERVISOR,
	       "not the frame of the pool that belongs there");
}

static void a_device_that_is_guest_memory(void **state)
{
	(void)state;
	map(&tables[0], DEVICE_BASE + 2 * MIB, 0x200000, 2 * MIB, RW);
	expect(CPU, 0, DEVICE_BASE + 2 * MIB, MODULE_START, OWNER_MODULE(0), "a frame of a guest image");
	unmap(&tables[0], DEVICE_BASE + 2 * MIB, 2 * MIB);
	map(&tables[0], DEVICE_BASE + 2 * MIB, MEMORY_START + MEMORY_SIZE, PAGE_SIZE, RW);
	expect(CPU, 0, DEVICE_BASE + 2 * MIB, MEMORY_START + MEMORY_SIZE, OWNER_PARTITION(1),
	       "a frame of another partition");
}

static void a_mapping_in_no_region(void **state)
{
	static const uint64_t places[] = {0, 0x10000000, IMAGE_BASE + 0x6000, POOL_BASE + POOL_SIZE,
					  DEVICE_BASE + DEVICE_SIZE};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
		map(&tables[0], places[i], POOL_START, PAGE_SIZE, MAP_READ);
		expect(CPU, 0, places[i], POOL_START, OWNER_HYPERVISOR, "mapped where nothing is to be");
		unmap(&tables[0], places[i], PAGE_SIZE);
	}
}

static void a_window_onto_another_partition(void **state)
{
	const uint64_t foreign = MEMORY_START + MEMORY_SIZE + 0x7000;

	(void)state;
	unmap(&tables[0], GUEST_WINDOW + 0x7000, PAGE_SIZE);
	map(&tables[0], GUEST_WINDOW + 0x7000, foreign, PAGE_SIZE, RW);
	expect(CPU, 0, GUEST_WINDOW + 0x7000, foreign, OWNER_PARTITION(1), "a frame of another partition");
}

static void a_window_askew(void **state)
{
	(void)state;
	unmap(&tables[0], GUEST_WINDOW + 0x7000, PAGE_SIZE);
	map(&tables[0], GUEST_WINDOW + 0x7000, MEMORY_START + 0x8000, PAGE_SIZE, RW);
	expect(CPU, 0, GUEST_WINDOW + 0x7000, MEMORY_START + 0x8000, OWNER_PARTITION(0),
	       "not where the partition's extents put it");
	unmap(&tables[0], GUEST_WINDOW + 0x7000, PAGE_SIZE);
	map(&tables[0], GUEST_WINDOW + MEMORY_SIZE, MEMORY_START, PAGE_SIZE, RW);
	expect(CPU, 0, GUEST_WINDOW + MEMORY_SIZE, MEMORY_START, OWNER_PARTITION(0),
	       "not where the partition's extents put it");
}

static void windows_on_a_cpu_of_no_partition(void **state)
{
	(void)state;
	unmap(&tables[1], GUEST_WINDOW, MEMORY_SIZE);
	unmap(&tables[1], MODULE_WINDOW, MODULE_SIZE);
	cpus[1].vcpu = NULL;
	expect_clean();
	map(&tables[1], GUEST_WINDOW, MEMORY_START, PAGE_SIZE, RW);
	expect(CPU, 1, GUEST_WINDOW, MEMORY_START, OWNER_PARTITION(0),
	       "guest memory on a CPU of no partition");
	unmap(&tables[1], GUEST_WINDOW, PAGE_SIZE);
	map(&tables[1], MODULE_WINDOW, MODULE_START, PAGE_SIZE, MAP_READ);
	expect(CPU, 1, MODULE_WINDOW, MODULE_START, OWNER_MODULE(0),
	       "a guest image on a CPU of no partition");
}

static void modules(void **state)
{
	(void)state;
	unmap(&tables[0], MODULE_WINDOW, PAGE_SIZE);
	map(&tables[0], MODULE_WINDOW, MODULE_START, PAGE_SIZE, RW);
	expect(CPU, 0, MODULE_WINDOW, MODULE_START, OWNER_MODULE(0), "a writable guest image");
	unmap(&tables[0], MODULE_WINDOW, PAGE_SIZE);
	map(&tables[0], MODULE_WINDOW, IMAGE_START, PAGE_SIZE, MAP_READ);
	expect(CPU, 0, MODULE_WINDOW, IMAGE_START, OWNER_HYPERVISOR, "a frame of the hypervisor");
}

/* Only because both name one file may the second one read the image that the first one owns. */
static void a_module_of_another_partition(void **state)
{
	(void)state;
	strcpy(configs[1].image, "two.elf");
	assert_int_equal(audit(), MODULE_SIZE / PAGE_SIZE);
	assert_string_equal(found[0].rule, "a frame of a guest image");
	assert_int_equal(found[0].index, 1);
	strcpy(configs[1].image, "one.elf");
}

/* An initrd shared is shared like an image; what is not at its place in the file is no part of it. */
static void an_initrd(void **state)
{
	const uint64_t window = MODULE_WINDOW + LARGE_PAGE_SIZE;

	(void)state;
	strcpy(configs[1].image, "two.elf");
	strcpy(configs[0].initrd, "rd");
	strcpy(configs[1].initrd, "rd");
	unmap(&tables[1], MODULE_WINDOW, MODULE_SIZE);
	two[1].initrd = (struct guest_file){window, hpa(MODULE_START), MODULE_SIZE - 1};
	map(&tables[1], window, MODULE_START, MODULE_SIZE, MAP_READ);
	expect_clean();
	unmap(&tables[1], window, MODULE_SIZE);
	map(&tables[1], window, MODULE_START + PAGE_SIZE, PAGE_SIZE, MAP_READ);
	expect(CPU, 1, window, MODULE_START + PAGE_SIZE, OWNER_MODULE(0),
	       "not where the partition's files are");
	strcpy(configs[1].image, "one.elf");
	configs[0].initrd[0] = configs[1].initrd[0] = '\0';
}

static void a_frame_in_two_guests_maps(void **state)
{
	(void)state;
	unmap(&two[1].guest_map, 0x3000, PAGE_SIZE);
	map(&two[1].guest_map, 0x3000, MEMORY_START + 0x3000, PAGE_SIZE, RW);
	expect(PARTITION, 1, 0x3000, MEMORY_START + 0x3000, OWNER_PARTITION(0),
	       "a frame of another partition");
}

static void what_no_guest_may_have(void **state)
{
	static const struct {
		uint64_t frame;
		owner_t owner;
		const char *rule;
	} bad[] = {
		{POOL_START + 0x4000, OWNER_HYPERVISOR, "a frame of the hypervisor"},
		{IMAGE_START, OWNER_HYPERVISOR, "a frame of the hypervisor"},
		{FREE_START, OWNER_FREE, "a frame that nobody owns"},
		{0xF0000, OWNER_FIRMWARE, "a frame of firmware or a device"},
		{DEVICE_FRAME, OWNER_FIRMWARE, "a frame of firmware or a device"},
		{MODULE_START, OWNER_MODULE(0), "a frame of a guest image"},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		map(&two[0].guest_map, 0xFEE00000, bad[i].frame, PAGE_SIZE, RW);
		expect(PARTITION, 0, 0xFEE00000, bad[i].frame, bad[i].owner, bad[i].rule);
		unmap(&two[0].guest_map, 0xFEE00000, PAGE_SIZE);
	}
}

/* Of a large page, the frame that is not the partition's is told, be it the last. */
static void a_large_page_that_reaches_too_far(void **state)
{
	const uint64_t last = MEMORY_START + 2 * MIB - PAGE_SIZE;

	(void)state;
	assert_int_equal(
		frames_transfer(&machine_frames, hpa(last), PAGE_SIZE, OWNER_PARTITION(0), OWNER_HYPERVISOR),
		OK);
	assert_int_equal(audit(), 2); /* in the guest's map, and in its CPU's window */
	assert_int_equal(found[0].frame.value, last);
	assert_int_equal(found[1].frame.value, last);
	assert_true(found[1].guest);
	assert_string_equal(found[1].rule, "a frame of the hypervisor");
}

static void tables_outside_the_pool(void **state)
{
	uint64_t *top = pool_reach(tables[1].root);

	(void)state;
	top[0] = FREE_START | PRESENT;
	expect(CPU, 1, 0, FREE_START, OWNER_FREE, "page tables outside the pool");
	top[0] = 0;
	two[0].guest_map.root = hpa(MEMORY_START);
	expect(PARTITION, 0, 0, MEMORY_START, OWNER_PARTITION(0), "page tables outside the pool");
}

static void a_cpu_on_other_tables(void **state)
{
	(void)state;
	scope.cr3 = hpa(FREE_START);
	expect(CPU, 0, 0, FREE_START, OWNER_FREE, "CR3 with other tables than its own");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_clean_machine),
		TEST(what_is_agreed_is_fine),
		TEST(a_cpu_that_does_not_run_is_passed_over),
		TEST(writable_and_executable),
		TEST(executable_data),
		TEST(an_executable_window),
		TEST(writable_constants),
		TEST(an_image_elsewhere),
		TEST(guard_pages),
		TEST(one_stack_for_two_cpus),
		TEST(a_pool_that_is_not_the_pool),
		TEST(a_device_that_is_guest_memory),
		TEST(a_mapping_in_no_region),
		TEST(a_window_onto_another_partition),
		TEST(a_window_askew),
		TEST(windows_on_a_cpu_of_no_partition),
		TEST(modules),
		TEST(a_module_of_another_partition),
		TEST(an_initrd),
		TEST(a_frame_in_two_guests_maps),
		TEST(what_no_guest_may_have),
		TEST(a_large_page_that_reaches_too_far),
		TEST(tables_outside_the_pool),
		TEST(a_cpu_on_other_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
