/*
 * The life of partitions and vCPUs on a machine of three CPUs: alpha (para) has CPU 0 and 1, beta (full) has
 * CPU 2. Each CPU is a thread that runs cpu_main(), but only while the test lets it (resume()), until it
 * sleeps or has entered its guest once: every interleaving is the test's choice. What a guest does at its
 * next entry is a function of the test.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/apic.h"
#include "arch/x86/clock.h"
#include "arch/x86/machine.h"
#include "arch/x86/machine_events.h"
#include "arch/x86/percpu.h"
#include "hv/call/call.h"
#include "hv/console/console.h"
#include "hv/core/cpuid.h"
#include "hv/core/exit.h"
#include "hv/core/image.h"
#include "hv/core/share.h"
#include "hv/core/virt.h"
#include "hv/device/acpi.h"
#include "hv/device/full.h"
#include "tests/unit/fake_cpu.h"

#define CPUS	    3
#define MEMORY_SIZE (3 * MIB)
#define JUNK	    0x5A
#define IMAGE_MARK  0xC3
#define ENTRY	    0x1000
#define LOG_SIZE    16384

struct percpu this_cpu[1];
struct vcpu this_vcpu[1];
struct cpu_info cpus[CPUS];
uint32_t cpu_count = CPUS;
uint32_t tsc_khz = 1000000;
uint64_t boot_tsc;
static struct config config;
const struct config *machine_config = &config;
static struct partition two[2];
struct partition *partitions = two;
uint32_t partition_count = 2;
static struct vcpu_shared vcpus[CPUS];
static uint8_t *memory[2];

/* What the code under test asked of its surroundings. */
static struct {
	char log[LOG_SIZE];
	uint64_t armed[CPUS];
	unsigned kicks[CPUS];	     /* IPIs sent to a CPU */
	uint64_t device_timer_again; /* when the device wants it next */
	unsigned peeks, arms, ticks, summaries, polls, inputs, deadlines, device_timers, power_ons,
		device_resets, call_resets, tables, told_managers;
	unsigned nmis, windows_asked, reports, messages, flushes;
	unsigned listening; /* bit i: CPU i takes NMIs and machine checks */
	bool off, dirty, image_bad;
	int vector;	 /* what full_peek_interrupt() answers */
	bool from_pic;	 /* it is the 8259s' */
	bool withdrawn;	 /* it is gone when it is to be taken */
	bool event_due;	 /* para */
	bool apic_on;	 /* what serve_apic() answers */
	unsigned served; /* how often it was asked */
	unsigned stall;	 /* CPU + 1 that is held up when it starts a vCPU */
	unsigned apic_mapped;
	int injected; /* the last vector, -1: none */
	bool closed;  /* the guest takes no interrupt now */
	uint8_t priority;
	enum status create_answer;
	struct vcpu_start started[CPUS];
	unsigned starts[CPUS], entries[CPUS];
	uint64_t registers[VIRT_REGISTERS];
	enum exit_action (*guest[CPUS])(struct vcpu *vcpu);
} seen;

/*
 * The CPUs take turns
 */

static pthread_mutex_t baton_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t baton_moved = PTHREAD_COND_INITIALIZER;
#define TEST_HAS_IT (-1)
static long baton;	   /* TEST_HAS_IT, or age * CPUS + CPU */
static long age;	   /* of the machine: threads of former tests wait for ever */
static __thread long self; /* as in baton */
static struct percpu saved_cpu[CPUS];
static struct vcpu saved_vcpu[CPUS];

static void pass_baton(long to, long me)
{
	pthread_mutex_lock(&baton_lock);
	baton = to;
	pthread_cond_broadcast(&baton_moved);
	while (baton != me)
		pthread_cond_wait(&baton_moved, &baton_lock);
	pthread_mutex_unlock(&baton_lock);
}

static void back_to_test(void)
{
	pass_baton(TEST_HAS_IT, self);
}

static void *cpu_thread(void *number)
{
	self = (long)number;
	pthread_mutex_lock(&baton_lock);
	while (baton != self)
		pthread_cond_wait(&baton_moved, &baton_lock);
	pthread_mutex_unlock(&baton_lock);
	cpu_main();
}

static void use_cpu(unsigned index)
{
	*this_cpu = saved_cpu[index];
	*this_vcpu = saved_vcpu[index];
}

static void leave_cpu(unsigned index)
{
	saved_cpu[index] = *this_cpu;
	saved_vcpu[index] = *this_vcpu;
}

/* Lets a CPU go on until it sleeps or has been in its guest. */
static void resume(unsigned index)
{
	use_cpu(index);
	pass_baton(age * CPUS + index, TEST_HAS_IT);
	leave_cpu(index);
}

/* Lets all CPUs go on until nothing more comes of it. */
static void run(void)
{
	for (unsigned round = 0; round < 6; round++)
		for (unsigned index = 0; index < CPUS; index++)
			resume(index);
}

/*
 * Surroundings
 */

void log_line(enum log_level level, const char *text, ...)
{
	size_t used = strlen(seen.log);
	va_list arguments;

	(void)level;
	va_start(arguments, text);
	vsnprintf(seen.log + used, LOG_SIZE - used - 1, text, arguments);
	va_end(arguments);
	strcat(seen.log, "\n");
}

NORETURN void panic(const char *text, ...)
{
	log_line(LOG_ERROR, "panic: %s", text);
	for (;;)
		back_to_test();
}

NORETURN void machine_power_off(void)
{
	seen.off = true;
	for (;;)
		back_to_test();
}

void apic_kick(uint32_t apic_id)
{
	seen.kicks[apic_id]++;
}

void machine_events_enable(void)
{
	seen.listening |= 1u << this_cpu->index;
}

void machine_events_report(void)
{
	seen.reports++;
}

void host_timer_arm(uint64_t deadline)
{
	seen.armed[this_cpu->index] = deadline;
	seen.arms++;
}

void console_tick(void)
{
	seen.ticks++;
}

void console_synchronous(void) {}

void console_summary(void)
{
	seen.summaries++;
}

void call_partition_reset(struct partition *partition)
{
	(void)partition;
	seen.call_resets++;
}

void calls_tell_others(const struct partition *partition)
{
	(void)partition;
	seen.told_managers++;
}

void ffa_take_message(struct vcpu *vcpu)
{
	(void)vcpu;
	seen.messages++;
}

void share_flush_cpu(struct vcpu *vcpu)
{
	(void)vcpu;
	seen.flushes++;
}

void vendor_vcpu_reset(struct vcpu *vcpu)
{
	vcpu->upcall_vector = 0;
}

void vendor_timer(struct vcpu *vcpu)
{
	(void)vcpu;
	seen.deadlines++;
}

void vendor_console_input(struct vcpu *vcpu)
{
	(void)vcpu;
	seen.inputs++;
}

void vendor_console_poll(struct vcpu *vcpu)
{
	(void)vcpu;
	seen.polls++;
}

bool events_due(struct vcpu *vcpu)
{
	(void)vcpu;
	return seen.event_due;
}

void pvtime_account(struct vcpu *vcpu, uint64_t ticks)
{
	vcpu->stolen_tsc += ticks;
}

void full_devices_reset(struct partition *partition)
{
	(void)partition;
	seen.device_resets++;
}

enum status lapic_create(struct vcpu *vcpu)
{
	static char some_lapic;

	vcpu->lapic = (struct lapic *)&some_lapic;
	return OK;
}

/* The tables stand beside an image that is there already. */
void acpi_place(const struct partition *partition)
{
	seen.dirty |= memory[partition->id][ENTRY] != IMAGE_MARK;
	seen.tables++;
}

void exit_forget_instructions(struct vcpu *vcpu)
{
	(void)vcpu;
}

void full_vcpu_reset(struct vcpu *vcpu, bool power_on)
{
	seen.power_ons += power_on;
	vcpu->apic_base = APIC_DEFAULT_BASE | APIC_BASE_ENABLE;
}

void full_timer(struct vcpu *vcpu, enum timer_kind kind)
{
	seen.device_timers++;
	if (seen.device_timer_again)
		vcpu_set_timer(vcpu, kind, seen.device_timer_again);
}

void full_console_input(struct vcpu *vcpu)
{
	(void)vcpu;
	seen.inputs++;
}

int full_peek_interrupt(struct vcpu *vcpu)
{
	(void)vcpu;
	seen.peeks++;
	return seen.vector;
}

void full_attend(struct vcpu *vcpu)
{
	(void)vcpu;
}

bool full_pic_due(struct vcpu *vcpu)
{
	(void)vcpu;
	return seen.vector >= 0 && seen.from_pic;
}

int full_take_interrupt(struct vcpu *vcpu)
{
	int vector = seen.vector;

	(void)vcpu;
	seen.vector = -1;
	return seen.withdrawn ? -1 : vector;
}

uint8_t full_task_priority(const struct vcpu *vcpu)
{
	(void)vcpu;
	return seen.priority;
}

void full_set_task_priority(struct vcpu *vcpu, uint8_t priority)
{
	(void)vcpu;
	seen.priority = priority;
}

#define KNOWN_MSR 0x808u

bool full_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	(void)vcpu;
	*value = 0x1122334455667788;
	return msr == KNOWN_MSR;
}

bool full_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	vcpu->tsc_aux = value;
	return msr == KNOWN_MSR;
}

void *partition_memory(const struct partition *partition, gpa_t address, uint64_t size)
{
	return address.value + size <= MEMORY_SIZE ? memory[partition->id] + address.value : NULL;
}

/* An image lands in memory that holds nothing of before. */
static enum status load(const struct image_request *request, const struct image_target *target,
			struct image_result *result, char message[IMAGE_MESSAGE])
{
	uint8_t *bytes = target->reach(target->context, gpa(0), target->memory_size);

	for (uint64_t i = 0; i < target->memory_size; i++)
		seen.dirty |= bytes[i] != 0;
	if (seen.image_bad) {
		snprintf(message, IMAGE_MESSAGE, "found no image of %s", request->name);
		return ERR_FORMAT;
	}
	bytes[ENTRY] = IMAGE_MARK;
	*result = (struct image_result){.start = {.entry = ENTRY, .cr3 = 0x3000}, .stolen_time = 0x2000};
	return OK;
}

enum status image_load_multiboot(const struct image_request *request, const struct image_target *target,
				 struct image_result *result, char message[IMAGE_MESSAGE])
{
	enum status status = load(request, target, result, message);

	result->start.kind = START_PROTECTED;
	return status;
}

enum status image_load_kernel(const struct image_request *request, const struct image_target *target,
			      struct image_result *result, char message[IMAGE_MESSAGE])
{
	enum status status = load(request, target, result, message);

	result->start.kind = START_LINUX;
	return status;
}

enum status image_load_para(const struct image_request *request, const struct image_target *target,
			    struct image_result *result, char message[IMAGE_MESSAGE])
{
	enum status status = load(request, target, result, message);

	result->start.kind = START_LONG;
	return status;
}

/*
 * The back end
 */

static enum status vcpu_create(struct vcpu *vcpu)
{
	(void)vcpu;
	return seen.create_answer;
}

static void vcpu_reset(struct vcpu *vcpu, const struct vcpu_start *start)
{
	(void)vcpu;
	seen.started[this_cpu->index] = *start;
	seen.starts[this_cpu->index]++;
	if (seen.stall == this_cpu->index + 1) {
		seen.stall = 0;
		back_to_test();
	}
}

static void vcpu_run(struct vcpu *vcpu)
{
	for (;;) {
		enum exit_action (*guest)(struct vcpu *);

		if (atomic_load(&vcpu->shared->requests) && !vcpu_service(vcpu))
			return;
		seen.entries[this_cpu->index]++;
		back_to_test();
		guest = seen.guest[this_cpu->index];
		seen.guest[this_cpu->index] = NULL;
		if (guest && guest(vcpu) >= EXIT_LEAVE)
			return;
	}
}

static uint64_t get_register(struct vcpu *vcpu, enum virt_register which)
{
	(void)vcpu;
	return seen.registers[which];
}

static void get_segment(struct vcpu *vcpu, enum segment_index which, struct segment *segment)
{
	(void)vcpu;
	*segment = (struct segment){.selector = (uint16_t)(which * 8), .limit = 0xFFFF};
}

static bool can_interrupt(struct vcpu *vcpu)
{
	(void)vcpu;
	return !seen.closed;
}

static void inject_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	(void)vcpu;
	seen.injected = vector;
}

static void inject_nmi(struct vcpu *vcpu)
{
	(void)vcpu;
	seen.nmis++;
}

static void interrupt_window(struct vcpu *vcpu, bool open)
{
	vcpu->window_open = open;
	seen.windows_asked += open;
}

static void describe_exit(struct vcpu *vcpu, char *out, size_t size)
{
	(void)vcpu;
	snprintf(out, size, "reason 2, qualification 0");
}

static bool serve_apic(struct vcpu *vcpu)
{
	(void)vcpu;
	seen.served++;
	return seen.apic_on;
}

void partition_map_apic(struct partition *partition, bool there)
{
	(void)partition;
	seen.apic_mapped += there;
}

struct virt_features virt_features;
uint64_t xcr0_offered;

static const struct virt_ops fake_ops = {.name = "fake",
					 .vcpu_create = vcpu_create,
					 .vcpu_reset = vcpu_reset,
					 .vcpu_run = vcpu_run,
					 .get_register = get_register,
					 .get_segment = get_segment,
					 .can_interrupt = can_interrupt,
					 .inject_interrupt = inject_interrupt,
					 .inject_nmi = inject_nmi,
					 .interrupt_window = interrupt_window,
					 .serve_apic = serve_apic,
					 .describe_exit = describe_exit};
const struct virt_ops *virt = &fake_ops;
const struct virt_ops svm_ops;

/*
 * The machine
 */

static struct partition *const alpha = &two[0], *const beta = &two[1];

static void build_partition(uint32_t id, const char *name, enum partition_mode mode, uint32_t first,
			    uint32_t count)
{
	struct partition_config *its = &config.partition[id];
	struct partition *partition = &two[id];

	*its = (struct partition_config){.mode = mode,
					 .memory = MEMORY_SIZE,
					 .image = "\\x.elf",
					 .autostart = true,
					 .max_restarts = 2};
	strcpy(its->name, name);
	*partition = (struct partition){.id = id,
					.config = its,
					.vcpu_count = count,
					.vcpu = &vcpus[first],
					.memory_low = MEMORY_SIZE,
					.extent_count = 2};
	/* Two extents, neither of them whole large pages. */
	partition->extent[0] = (struct memory_extent){gpa(0), hpa(0), MEMORY_SIZE - PAGE_SIZE};
	partition->extent[1] = (struct memory_extent){gpa(MEMORY_SIZE - PAGE_SIZE), hpa(0), PAGE_SIZE};
	for (uint32_t i = 0; i < count; i++) {
		vcpus[first + i].cpu = first + i;
		vcpus[first + i].index = i;
		cpus[first + i].vcpu = &vcpus[first + i];
	}
	memset(memory[id], JUNK, MEMORY_SIZE);
}

static int set_up(void **state)
{
	static char some_devices;

	(void)state;
	fake_cpu_reset();
	memset(&seen, 0, sizeof(seen));
	memset(vcpus, 0, sizeof(vcpus));
	memset(saved_vcpu, 0, sizeof(saved_vcpu));
	memset(&config, 0, sizeof(config));
	seen.vector = seen.injected = -1;
	cpu.tsc = 1000;
	cpu.wait = back_to_test;
	age++;
	for (unsigned i = 0; i < 2; i++)
		if (!memory[i])
			memory[i] = malloc(MEMORY_SIZE);
	build_partition(0, "alpha", MODE_PARA, 0, 2);
	build_partition(1, "beta", MODE_FULL, 2, 1);
	beta->devices = (struct full_devices *)&some_devices;
	for (unsigned i = 0; i < CPUS; i++) {
		pthread_t thread;

		cpus[i].apic_id = i;
		saved_cpu[i] = (struct percpu){.index = i};
		if (pthread_create(&thread, NULL, cpu_thread, (void *)(age * CPUS + i)))
			return -1;
		pthread_detach(thread);
	}
	return 0;
}

static void boot(void)
{
	run();
	assert_int_equal(atomic_load(&alpha->state), PARTITION_RUNNING);
	assert_int_equal(atomic_load(&beta->state), PARTITION_RUNNING);
	memset(seen.log, 0, sizeof(seen.log));
}

static void order(struct partition *partition, enum partition_order what, const char *reason)
{
	assert_int_equal(partition_command(partition, what, reason), OK);
}

static bool zeroed(const struct partition *partition)
{
	for (size_t i = 0; i < MEMORY_SIZE; i++)
		if (memory[partition->id][i])
			return false;
	return true;
}

#define assert_told(text)                                                                                    \
	do {                                                                                                 \
		if (!strstr(seen.log, text))                                                                 \
			fail_msg("not told: %s\nbut: %s", text, seen.log);                                   \
	} while (0)

/*
 * Starting
 */

static void test_autostart(void **state)
{
	(void)state;
	boot();
	assert_false(seen.dirty);
	assert_int_equal(memory[0][ENTRY], IMAGE_MARK);
	assert_int_equal(seen.started[0].kind, START_LONG);
	assert_int_equal(seen.started[0].entry, ENTRY);
	assert_int_equal(seen.started[2].kind, START_PROTECTED);
	assert_true(seen.entries[0] > 0 && seen.entries[2] > 0);
	/* Only vCPU 0 is started: the other waits for CPU_ON. */
	assert_int_equal(seen.starts[1], 0);
	assert_int_equal(atomic_load(&vcpus[1].state), VCPU_OFF);
	assert_int_equal(alpha->boot_cr3, 0x3000);
	assert_int_equal(alpha->stolen_time_gpa, 0x2000);
	assert_int_equal(seen.device_resets, 1);
	assert_int_equal(seen.tables, 1);
}

static void test_kernel(void **state)
{
	(void)state;
	config.partition[1].is_kernel = true;
	boot();
	assert_int_equal(seen.started[2].kind, START_LINUX);
	assert_int_equal(seen.started[0].kind, START_LONG);
}

static void test_no_autostart(void **state)
{
	(void)state;
	config.partition[1].autostart = false;
	run();
	assert_int_equal(atomic_load(&beta->state), PARTITION_OFF);
	assert_int_equal(beta->end, END_NEVER_STARTED);
	order(beta, ORDER_START, "by hand");
	run();
	assert_int_equal(atomic_load(&beta->state), PARTITION_RUNNING);
}

static void test_refused_never_starts(void **state)
{
	(void)state;
	strcpy(beta->refused, "this CPU lacks it");
	run();
	assert_int_equal(atomic_load(&beta->state), PARTITION_OFF);
	assert_int_equal(partition_command(beta, ORDER_START, "by hand"), ERR_INVALID);
	assert_int_equal(atomic_load(&alpha->state), PARTITION_RUNNING);
}

static void test_bad_image(void **state)
{
	(void)state;
	seen.image_bad = true;
	run();
	assert_int_equal(atomic_load(&alpha->state), PARTITION_OFF);
	assert_int_equal(alpha->end, END_FAULT);
	assert_string_equal(alpha->end_reason, "found no image of alpha");
	assert_told("partition beta: image \\x.elf: found no image of beta");
	assert_int_equal(seen.entries[0], 0);
}

static void test_back_end_that_cannot(void **state)
{
	(void)state;
	seen.create_answer = ERR_NO_MEMORY;
	resume(0);
	assert_told("panic: cannot build vCPU");
}

static void test_idle_cpu(void **state)
{
	(void)state;
	cpus[2].vcpu = NULL;
	partition_count = 1;
	run();
	partition_count = 2;
	assert_int_equal(seen.starts[2], 0);
	assert_int_equal(atomic_load(&alpha->state), PARTITION_RUNNING);
}

/* CPU 0 has the console to serve, with a partition or without. */
static void test_console_without_partition(void **state)
{
	(void)state;
	cpus[0].vcpu = NULL;
	alpha->vcpu = &vcpus[1];
	resume(0);
	assert_true(seen.ticks > 0);
}

/*
 * Orders
 */

static void test_order_rules(void **state)
{
	(void)state;
	boot();
	assert_int_equal(partition_command(alpha, ORDER_START, "again"), ERR_INVALID);
	order(alpha, ORDER_STOP, "first");
	assert_int_equal(partition_command(alpha, ORDER_RESET, "second"), ERR_BUSY);
	run();
	assert_string_equal(alpha->end_reason, "first");
	assert_int_equal(partition_command(alpha, ORDER_STOP, "off already"), ERR_INVALID);
}

/* Nothing is touched before the last vCPU is out of the guest. */
static void start_second(void)
{
	vcpus[1].start = (struct vcpu_start){.kind = START_LONG, .entry = 0x4000};
	atomic_store(&vcpus[1].state, VCPU_STARTING);
	vcpu_request(&vcpus[1], REQUEST_START);
	resume(1);
	resume(1);
	assert_int_equal(atomic_load(&vcpus[1].state), VCPU_ON);
}

static void test_all_park_first(void **state)
{
	(void)state;
	boot();
	start_second();
	order(alpha, ORDER_STOP, "by hand");
	for (unsigned i = 0; i < 4; i++)
		resume(0);
	assert_int_equal(atomic_load(&alpha->state), PARTITION_RUNNING);
	assert_int_equal(memory[0][ENTRY], IMAGE_MARK);
	run();
	assert_int_equal(atomic_load(&alpha->state), PARTITION_OFF);
	assert_int_equal(alpha->end, END_STOPPED);
	assert_true(zeroed(alpha));
	assert_int_equal(atomic_load(&vcpus[1].state), VCPU_OFF);
	assert_told("partition alpha is off: by hand");
	/* And beta has not noticed. */
	assert_int_equal(atomic_load(&beta->state), PARTITION_RUNNING);
	assert_int_equal(memory[1][ENTRY], IMAGE_MARK);
}

/* To have parked for one order is not to have parked for the next. */
static void test_all_park_for_each_order(void **state)
{
	(void)state;
	boot();
	for (unsigned round = 0; round < 3; round++) {
		start_second();
		order(alpha, ORDER_RESET, "by hand");
		for (unsigned i = 0; i < 4; i++)
			resume(0);
		assert_int_equal(atomic_load(&vcpus[1].state), VCPU_ON);
		assert_int_equal(partition_order(alpha), ORDER_RESET);
		run();
		assert_int_equal(atomic_load(&vcpus[1].state), VCPU_OFF);
		assert_int_equal(partition_order(alpha), ORDER_NONE);
	}
}

static void test_reset(void **state)
{
	(void)state;
	boot();
	memset(memory[1], JUNK, MEMORY_SIZE);
	atomic_store(&vcpus[2].interrupts[3], 7);
	saved_vcpu[2].timer[TIMER_PIT] = 5000;
	atomic_store(&beta->input.head, 3);
	order(beta, ORDER_RESET, "by the keyboard controller");
	run();
	assert_false(seen.dirty);
	assert_int_equal(atomic_load(&beta->state), PARTITION_RUNNING);
	assert_int_equal(seen.starts[2], 2);
	assert_int_equal(atomic_load(&vcpus[2].interrupts[3]), 0);
	assert_int_equal(saved_vcpu[2].timer[TIMER_PIT], TIMER_NEVER);
	assert_int_equal(atomic_load(&beta->input.tail),
			 3); /* what was typed before is not for the new life */
	assert_told("partition beta resets: by the keyboard controller");
}

static void test_system_off(void **state)
{
	(void)state;
	boot();
	seen.told_managers = 0;
	order(beta, ORDER_OFF, "SYSTEM_OFF");
	run();
	assert_int_equal(seen.told_managers, 1);
	assert_int_equal(beta->end, END_SYSTEM_OFF);
	assert_true(zeroed(beta));
	assert_false(seen.off); /* poweroff_when_done is off, and alpha runs */
}

/*
 * Faults
 */

static enum exit_action fault(struct vcpu *vcpu)
{
	return exit_fault(vcpu, "triple fault at %x", 0x1234);
}

static enum exit_action fault_twice(struct vcpu *vcpu)
{
	(void)exit_fault(vcpu, "the first");
	return exit_fault(vcpu, "the second");
}

static void test_fault_report(void **state)
{
	(void)state;
	boot();
	seen.registers[VIRT_RIP] = 0xABCDE;
	for (unsigned i = 0; i < 3; i++)
		vcpu_note_exit(&saved_vcpu[2], 0x7000, EXIT_CPUID | 10 << 8);
	vcpu_note_exit(&saved_vcpu[2], 0x7002, EXIT_SHUTDOWN | 2 << 8);
	seen.guest[2] = fault;
	run();
	assert_told("partition beta: vCPU 0 on CPU 2: fault: triple fault at 1234");
	assert_told("last exit: reason 2, qualification 0");
	assert_told("rip 00000000000abcde");
	assert_told("tr   0038");
	assert_told("exit -0: triple fault (reason 0x2) at 7002, 1 time\n");
	assert_told("exit -1: cpuid (reason 0xa) at 7000, 3 times\n");
	assert_int_equal(beta->end, END_FAULT);
	assert_true(zeroed(beta));
	assert_int_equal(atomic_load(&alpha->state), PARTITION_RUNNING);
}

static void test_second_fault_is_silent(void **state)
{
	(void)state;
	boot();
	seen.guest[2] = fault_twice;
	run();
	assert_told("fault: the first");
	assert_null(strstr(seen.log, "the second"));
	assert_string_equal(beta->end_reason, "the first");
}

static void test_restarts_are_counted(void **state)
{
	(void)state;
	config.partition[1].on_fault = ON_FAULT_RESTART;
	boot();
	for (unsigned restart = 1; restart <= 2; restart++) {
		seen.guest[2] = fault;
		run();
		assert_int_equal(atomic_load(&beta->state), PARTITION_RUNNING);
		assert_int_equal(beta->restarts, restart);
	}
	seen.guest[2] = fault;
	run();
	assert_int_equal(atomic_load(&beta->state), PARTITION_OFF);
	assert_told("partition beta has used up its 2 restarts");
	order(beta, ORDER_START, "by hand");
	run();
	assert_int_equal(beta->restarts, 0);
	assert_false(seen.dirty);
}

/*
 * INIT, start-up, NMI
 */

static void test_start_up_ipi(void **state)
{
	(void)state;
	boot();
	vcpu_send_startup(alpha, 1, 0x9A);
	assert_int_equal(seen.kicks[1] > 0, true);
	run();
	assert_int_equal(seen.started[1].kind, START_REAL);
	assert_int_equal(seen.started[1].entry, 0x9A);
	vcpu_send_startup(alpha, 1, 0x77); /* it runs: ignored */
	run();
	assert_int_equal(seen.starts[1], 1);
	saved_vcpu[1].lapic = saved_vcpu[2].lapic;
	seen.power_ons = 0;
	vcpu_send_init(alpha, 1);
	run();
	assert_int_equal(atomic_load(&vcpus[1].state), VCPU_OFF);
	vcpu_send_startup(alpha, 1, 0x55);
	run();
	assert_int_equal(seen.started[1].entry, 0x55);
	assert_int_equal(seen.power_ons, 0);
	assert_int_equal(partition_command(alpha, ORDER_RESET, "test"), OK);
	run();
	assert_int_equal(seen.power_ons, 1);
}

static void test_ipis_to_nobody(void **state)
{
	unsigned kicks;

	(void)state;
	boot();
	kicks = seen.kicks[0] + seen.kicks[1] + seen.kicks[2];
	vcpu_send_init(alpha, 2);
	vcpu_send_startup(alpha, 2, 1);
	vcpu_send_nmi(alpha, 2);
	assert_int_equal(seen.kicks[0] + seen.kicks[1] + seen.kicks[2], kicks);
	assert_int_equal(atomic_load(&vcpus[2].state), VCPU_ON);
}

static void test_init_to_boot_cpu(void **state)
{
	(void)state;
	boot();
	vcpu_send_init(beta, 0);
	run();
	assert_int_equal(seen.starts[2], 2);
	assert_told("INIT to the boot CPU");
}

static void test_nmi(void **state)
{
	(void)state;
	boot();
	vcpu_send_nmi(beta, 0);
	run();
	assert_int_equal(seen.nmis, 1);
}

/*
 * Requests, timers, waiting
 */

static void test_one_kick_is_enough(void **state)
{
	(void)state;
	use_cpu(0);
	vcpu_request(&vcpus[2], REQUEST_INTERRUPT);
	vcpu_request(&vcpus[2], REQUEST_INTERRUPT);
	assert_int_equal(seen.kicks[2], 1);
	vcpu_request(&vcpus[2], REQUEST_NMI);
	assert_int_equal(seen.kicks[2], 2);
	vcpu_request(&vcpus[0], REQUEST_NMI); /* itself */
	assert_int_equal(seen.kicks[0], 0);
}

static void test_timers(void **state)
{
	struct vcpu *vcpu = &saved_vcpu[2];

	(void)state;
	boot();
	use_cpu(2);
	vcpu_set_timer(this_vcpu, TIMER_LAPIC, 90000);
	assert_int_equal(seen.armed[2], 90000);
	vcpu_set_timer(this_vcpu, TIMER_PIT, 80000);
	assert_int_equal(seen.armed[2], 80000);
	vcpu_set_timer(this_vcpu, TIMER_DEADLINE, 95000); /* later than what is armed: no write */
	assert_int_equal(seen.armed[2], 80000);
	leave_cpu(2);
	cpu.tsc = 80500;
	atomic_fetch_or(&vcpus[2].requests, REQUEST_TIMER);
	resume(2);
	assert_int_equal(seen.device_timers, 1);
	assert_int_equal(seen.armed[2], 90000);
	cpu.tsc = 96000;
	atomic_fetch_or(&vcpus[2].requests, REQUEST_TIMER);
	resume(2);
	assert_int_equal(seen.device_timers, 2);
	assert_int_equal(seen.deadlines, 1);
	assert_int_equal(seen.armed[2], TIMER_NEVER);
	assert_int_equal(vcpu->host_timer, TIMER_NEVER);
}

/* A timer that is due again at once leaves the guest some time all the same. */
static void test_timer_storm(void **state)
{
	(void)state;
	boot();
	use_cpu(2);
	saved_vcpu[2].timer[TIMER_LAPIC] = cpu.tsc - 1;
	saved_vcpu[2].host_timer = TIMER_NEVER; /* its interrupt has come */
	seen.arms = 0;
	seen.device_timer_again = cpu.tsc + 1;
	atomic_fetch_or(&vcpus[2].requests, REQUEST_TIMER);
	resume(2);
	assert_int_equal(seen.device_timers, 1);
	assert_int_equal(seen.arms, 1);
	assert_true(seen.armed[2] >= cpu.tsc + 5000);
	assert_int_equal(saved_vcpu[2].host_timer, seen.armed[2]);
}

/* Only then: behind one that fires now and then another one is on time. */
static void test_timer_delays_no_other(void **state)
{
	const uint64_t due = cpu.tsc + 700;

	(void)state;
	boot();
	use_cpu(2);
	saved_vcpu[2].timer[TIMER_PIT] = cpu.tsc - 1;
	saved_vcpu[2].timer[TIMER_LAPIC] = due;
	saved_vcpu[2].host_timer = TIMER_NEVER;
	seen.device_timer_again = cpu.tsc + 9000;
	atomic_fetch_or(&vcpus[2].requests, REQUEST_TIMER);
	resume(2);
	assert_int_equal(seen.device_timers, 1);
	assert_int_equal(seen.armed[2], due);
}

static void test_console_work(void **state)
{
	unsigned ticks;

	(void)state;
	boot();
	ticks = seen.ticks;
	atomic_fetch_or(&vcpus[0].requests, REQUEST_CONSOLE);
	resume(0);
	assert_int_equal(seen.ticks, ticks + 1);
	assert_int_equal(seen.inputs, 1);
	atomic_fetch_or(&vcpus[2].requests, REQUEST_CONSOLE);
	resume(2);
	assert_int_equal(seen.inputs, 2);
	assert_int_equal(seen.ticks, ticks + 1); /* the console is CPU 0's */
	alpha->console_ring = (struct bh_console_ring *)memory[0];
	saved_vcpu[0].timer[TIMER_CONSOLE] = 0;
	atomic_fetch_or(&vcpus[0].requests, REQUEST_TIMER);
	resume(0);
	assert_int_equal(seen.polls, 1);
	assert_int_equal(seen.ticks, ticks + 2);
}

/* NMIs and machine checks: every CPU listens, in use or not, and tells what came. */
static void test_machine_events(void **state)
{
	(void)state;
	cpus[2].vcpu = NULL;
	partition_count = 1;
	resume(0);
	resume(2);
	partition_count = 2;
	assert_int_equal(seen.listening, 5);
	assert_int_equal(seen.reports, 0);
	resume(2); /* something woke it */
	assert_int_equal(seen.reports, 1);
	atomic_fetch_or(&vcpus[0].requests, REQUEST_MACHINE);
	resume(0);
	assert_int_equal(seen.reports, 2);
}

/* As a back end serves HLT. */
static enum exit_action halt(struct vcpu *vcpu)
{
	return vcpu_wait(vcpu, seen.registers[VIRT_RFLAGS] & RFLAGS_IF);
}

static void test_halt(void **state)
{
	uint64_t entries;

	(void)state;
	boot();
	seen.registers[VIRT_RFLAGS] = RFLAGS_IF;
	seen.guest[2] = halt;
	entries = seen.entries[2];
	resume(2);
	resume(2);
	assert_int_equal(seen.entries[2], entries);
	assert_int_equal(atomic_load(&vcpus[2].halted), HALTED);
	seen.vector = 0x41;
	use_cpu(0);
	vcpu_request(&vcpus[2], REQUEST_INTERRUPT);
	resume(2);
	assert_int_equal(seen.injected, 0x41);
	assert_int_equal(atomic_load(&vcpus[2].halted), NOT_HALTED);
	assert_int_equal(seen.entries[2], entries + 1);
}

/* With interrupts off an interrupt does not end the sleep, an NMI does. */
static void test_halt_masked(void **state)
{
	(void)state;
	boot();
	vcpu_send_startup(alpha, 1, 1);
	run();
	seen.guest[1] = halt;
	resume(1);
	assert_int_equal(atomic_load(&vcpus[1].halted), HALTED_FOR_GOOD);
	seen.event_due = true;
	vcpu_request(&vcpus[1], REQUEST_INTERRUPT);
	resume(1);
	assert_int_equal(atomic_load(&vcpus[1].halted), HALTED_FOR_GOOD);
	vcpu_send_nmi(alpha, 1);
	resume(1);
	assert_int_equal(atomic_load(&vcpus[1].halted), NOT_HALTED);
	assert_int_equal(seen.nmis, 1);
	assert_int_equal(partition_order(alpha), ORDER_NONE);
}

static enum exit_action suspend(struct vcpu *vcpu)
{
	return vcpu_wait(vcpu, true);
}

static void test_suspend_wakes_while_masked(void **state)
{
	(void)state;
	boot();
	seen.guest[0] = suspend;
	resume(0);
	assert_int_equal(atomic_load(&vcpus[0].halted), HALTED);
	seen.event_due = true;
	atomic_fetch_or(&vcpus[0].requests, REQUEST_INTERRUPT);
	resume(0);
	assert_int_equal(atomic_load(&vcpus[0].halted), NOT_HALTED);
}

static bool event_came(struct vcpu *vcpu)
{
	(void)vcpu;
	return seen.event_due;
}

static enum exit_action block(struct vcpu *vcpu)
{
	return vcpu_wait_until(vcpu, event_came);
}

/* A call that blocks: other requests are served meanwhile, and then it sleeps again. */
static void test_wait_until(void **state)
{
	(void)state;
	boot();
	seen.guest[0] = block;
	resume(0);
	assert_int_equal(atomic_load(&vcpus[0].halted), HALTED);
	atomic_fetch_or(&vcpus[0].requests, REQUEST_MESSAGE | REQUEST_FLUSH);
	seen.flushes = 0;
	resume(0);
	assert_int_equal(seen.messages, 1);
	assert_int_equal(seen.flushes, 1);
	assert_int_equal(atomic_load(&vcpus[0].halted), HALTED);
	seen.event_due = true;
	atomic_fetch_or(&vcpus[0].requests, REQUEST_INTERRUPT);
	resume(0);
	assert_int_equal(atomic_load(&vcpus[0].halted), NOT_HALTED);
}

static void test_order_ends_wait(void **state)
{
	(void)state;
	boot();
	seen.guest[0] = block;
	resume(0);
	order(alpha, ORDER_STOP, "by hand");
	run();
	assert_int_equal(alpha->end, END_STOPPED);
}

/* Nobody is left who could ever wake it. */
static void test_halted_for_good(void **state)
{
	(void)state;
	boot();
	seen.guest[2] = halt;
	run();
	assert_told("fault: all its CPUs are off or halted with interrupts off");
	assert_int_equal(beta->end, END_FAULT);
}

/* The other CPU sleeps still, but an NMI is on its way to it; or it starts, and has not said that it is
 * awake. */
static void test_woken_is_not_halted_for_good(void **state)
{
	(void)state;
	boot();
	start_second();
	seen.guest[0] = seen.guest[1] = halt;
	resume(1);
	assert_int_equal(atomic_load(&vcpus[1].halted), HALTED_FOR_GOOD);
	atomic_fetch_or(&vcpus[1].requests, REQUEST_NMI);
	resume(0);
	assert_int_equal(partition_order(alpha), ORDER_NONE);
	atomic_store(&vcpus[1].requests, 0);
	atomic_store(&vcpus[1].state, VCPU_STARTING);
	partition_check_alive(alpha);
	assert_int_equal(partition_order(alpha), ORDER_NONE);
}

/* Somebody has programmed a timer of the PC's, which this CPU runs for all, asleep for good or not. */
static void test_devices_are_attended_to_in_any_halt(void **state)
{
	unsigned peeks;

	(void)state;
	boot();
	start_second();
	saved_vcpu[0].lapic = saved_vcpu[2].lapic;
	seen.guest[0] = halt;
	resume(0);
	assert_int_equal(atomic_load(&vcpus[0].halted), HALTED_FOR_GOOD);
	peeks = seen.peeks;
	use_cpu(1);
	vcpu_request(&vcpus[0], REQUEST_INTERRUPT);
	leave_cpu(1);
	resume(0);
	assert_int_equal(atomic_load(&vcpus[0].halted), HALTED_FOR_GOOD);
	assert_true(seen.peeks > peeks);
}

/* INIT to itself takes the last one away that was awake. */
static void test_nobody_is_left_awake(void **state)
{
	(void)state;
	boot();
	start_second();
	seen.guest[0] = halt;
	resume(0);
	assert_int_equal(partition_order(alpha), ORDER_NONE);
	use_cpu(1);
	vcpu_send_init(alpha, 1);
	leave_cpu(1);
	assert_int_equal(partition_order(alpha), ORDER_FAULT);
}

static void test_order_ends_halt(void **state)
{
	(void)state;
	boot();
	seen.registers[VIRT_RFLAGS] = RFLAGS_IF;
	seen.guest[2] = halt;
	resume(2);
	order(beta, ORDER_STOP, "by hand");
	run();
	assert_int_equal(beta->end, END_STOPPED);
}

/* A sleeping CPU whose timer is due does not wait for the interrupt. */
static void test_due_timer_is_not_slept_over(void **state)
{
	(void)state;
	boot();
	seen.registers[VIRT_RFLAGS] = RFLAGS_IF;
	seen.guest[2] = halt;
	resume(2);
	saved_vcpu[2].timer[TIMER_LAPIC] = saved_vcpu[2].host_timer = cpu.tsc + 10;
	cpu.tsc += 20;
	resume(2);
	assert_int_equal(seen.device_timers, 1);
}

/*
 * Interrupts on their way in
 */

/* Where the CPU delivers the local APIC's interrupts by itself, only the 8259s' are put in by hand. */
static void test_served_apic_is_left_alone(void **state)
{
	(void)state;
	boot();
	seen.apic_on = true;
	seen.vector = 0x41;
	use_cpu(2);
	this_vcpu->cpu_serves_apic = true;
	vcpu_offer_interrupt(this_vcpu);
	assert_int_equal(seen.served, 1);
	assert_int_equal(seen.injected, -1);
	assert_false(this_vcpu->window_open);
	seen.from_pic = true;
	vcpu_offer_interrupt(this_vcpu);
	assert_int_equal(seen.injected, 0x41);
	seen.closed = true;
	seen.vector = 0x42;
	vcpu_offer_interrupt(this_vcpu);
	assert_int_equal(seen.injected, 0x41);
	assert_true(this_vcpu->window_open);
	seen.closed = false;
	seen.withdrawn = true; /* by another vCPU, which masked the line */
	vcpu_offer_interrupt(this_vcpu);
	assert_int_equal(seen.injected, 0x41);
	assert_false(this_vcpu->window_open);
	this_vcpu->cpu_serves_apic = false;
	leave_cpu(2);
}

/* A vCPU whose APIC is off, or whose CPU lacks the help, is offered interrupts by the model. */
static void test_apic_that_is_off_is_the_models(void **state)
{
	(void)state;
	boot();
	seen.vector = 0x41;
	use_cpu(2);
	this_vcpu->cpu_serves_apic = true;
	vcpu_offer_interrupt(this_vcpu);
	assert_int_equal(seen.injected, 0x41);
	this_vcpu->cpu_serves_apic = false;
	seen.served = 0;
	seen.vector = 0x42;
	vcpu_offer_interrupt(this_vcpu);
	assert_int_equal(seen.served, 0);
	assert_int_equal(seen.injected, 0x42);
	leave_cpu(2);
}

static void test_closed_guest_gets_a_window(void **state)
{
	(void)state;
	boot();
	seen.closed = true;
	seen.vector = 0x33;
	atomic_fetch_or(&vcpus[2].requests, REQUEST_INTERRUPT);
	resume(2);
	assert_int_equal(seen.injected, -1);
	assert_true(saved_vcpu[2].window_open);
	seen.closed = false;
	use_cpu(2);
	vcpu_offer_interrupt(this_vcpu);
	leave_cpu(2);
	assert_int_equal(seen.injected, 0x33);
	assert_false(saved_vcpu[2].window_open);
}

static void test_para_upcall(void **state)
{
	(void)state;
	boot();
	seen.event_due = true;
	saved_vcpu[0].upcall_vector = 0x20;
	atomic_fetch_or(&vcpus[0].requests, REQUEST_INTERRUPT);
	resume(0);
	assert_int_equal(seen.injected, 0x20);
	assert_false(saved_vcpu[0].window_open);
	seen.closed = true;
	atomic_fetch_or(&vcpus[0].requests, REQUEST_INTERRUPT);
	resume(0);
	assert_true(saved_vcpu[0].window_open);
}

static void test_host_interrupt_is_stolen_time(void **state)
{
	struct vcpu vcpu = {0};

	(void)state;
	cpu.tsc_step = 100;
	exit_host_interrupt(&vcpu);
	assert_int_equal(cpu.windows, 1);
	assert_int_equal(vcpu.stolen_tsc, 100);
}

/*
 * Exits without a device
 */

static enum exit_action msr(struct vcpu *vcpu, uint32_t index, bool write)
{
	vcpu->regs.rcx = 0xFFFFFFFF00000000 | index; /* the upper half does not count */
	return write ? exit_msr_write(vcpu) : exit_msr_read(vcpu);
}

static void test_msrs(void **state)
{
	struct vcpu para = {.apic_base = 0xFEE00900}, full = {.lapic = (struct lapic *)&para};
	static const uint32_t refused[] = {MSR_MICROCODE_UPDATE, MSR_SPEC_CTRL, MSR_VM_HSAVE_PA, 0x12345678};

	(void)state;
	assert_int_equal(msr(&para, MSR_APIC_BASE, false), EXIT_NEXT);
	assert_int_equal(para.regs.rax, 0xFEE00900);
	assert_int_equal(msr(&para, MSR_FEATURE_CONTROL, false), EXIT_NEXT);
	assert_int_equal(para.regs.rax, 1); /* locked, VMX off */
	assert_int_equal(msr(&para, MSR_FEATURE_CONTROL, true), EXIT_GP);
	assert_int_equal(msr(&para, MSR_MISC_ENABLE, true), EXIT_NEXT);
	assert_int_equal(msr(&para, KNOWN_MSR, false), EXIT_GP); /* a para guest has no local APIC */
	assert_int_equal(msr(&full, KNOWN_MSR, false), EXIT_NEXT);
	assert_int_equal(full.regs.rax, 0x55667788);
	assert_int_equal(full.regs.rdx, 0x11223344);
	full.regs.rax = 0xFFFFFFFF00000007;
	full.regs.rdx = 9;
	assert_int_equal(msr(&full, KNOWN_MSR, true), EXIT_NEXT);
	assert_int_equal(full.tsc_aux, 9ull << 32 | 7);
	for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
		para.regs.rax = 0x11;
		para.regs.rdx = 0x22;
		assert_int_equal(msr(&para, refused[i], false), EXIT_GP);
		assert_int_equal(msr(&para, refused[i], true), EXIT_GP);
		assert_int_equal(para.regs.rax, 0x11);
		assert_int_equal(para.regs.rdx, 0x22);
	}
}

/* SDM 1, 13.3, on a CPU with everything up to AVX-512, and with protection keys. */
static void test_xsetbv(void **state)
{
	static const uint64_t good[] = {1, 3, 7, 0xE7, 0x201, 0x2E7};
	static const uint64_t bad[] = {0, 2, 5, 6, 0x27, 0xE3, 0xE5, 0x9, 0x107, 0x200, 1ull << 63 | 1};
	struct vcpu vcpu = {0};

	(void)state;
	xcr0_offered = 0x2E7;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		vcpu.regs.rax = good[i];
		assert_int_equal(exit_xsetbv(&vcpu), EXIT_NEXT);
		assert_int_equal(cpu.xcr0, good[i]);
		assert_int_equal(vcpu.xcr0, good[i]);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		vcpu.regs.rax = (uint32_t)bad[i];
		vcpu.regs.rdx = bad[i] >> 32;
		assert_int_equal(exit_xsetbv(&vcpu), EXIT_GP);
	}
	vcpu.regs = (union guest_registers){.rax = 1, .rcx = 1}; /* there is XCR0 only */
	assert_int_equal(exit_xsetbv(&vcpu), EXIT_GP);
	assert_int_equal(cpu.xsetbvs, ARRAY_SIZE(good));
	/* A CPU without AVX: SSE at most. */
	xcr0_offered = 3;
	vcpu.regs = (union guest_registers){.rax = 7};
	assert_int_equal(exit_xsetbv(&vcpu), EXIT_GP);
}

static void test_cr8(void **state)
{
	struct vcpu para = {0}, full = {.lapic = (struct lapic *)&para};

	(void)state;
	assert_int_equal(exit_cr8_write(&full, 0xB), EXIT_NEXT);
	assert_int_equal(seen.priority, 0xB0);
	assert_int_equal(exit_cr8_read(&full), 0xB);
	assert_int_equal(exit_cr8_write(&full, 0x10), EXIT_GP);
	assert_int_equal(exit_cr8_write(&para, 0xF), EXIT_NEXT);
	assert_int_equal(exit_cr8_read(&para), 0);
	assert_int_equal(seen.priority, 0xB0);
}

static void test_class_names(void **state)
{
	(void)state;
	assert_string_equal(exit_class_name(EXIT_HYPERCALL), "hypercall");
	assert_string_equal(exit_class_name(EXIT_OTHER), "other");
	assert_string_equal(exit_class_name(EXIT_CLASSES), "unknown");
}

/*
 * The end of all. The hypervisor powers off once in its life, so this comes last.
 */

static void test_power_off_when_done(void **state)
{
	(void)state;
	config.poweroff_when_done = true;
	boot();
	order(alpha, ORDER_STOP, "by a person");
	run();
	order(beta, ORDER_OFF, "SYSTEM_OFF");
	run();
	assert_false(seen.off); /* a person stopped alpha, and may start it again */
	order(alpha, ORDER_START, "by hand");
	run();
	order(alpha, ORDER_OFF, "SYSTEM_OFF");
	run();
	assert_true(seen.off);
	assert_int_equal(seen.summaries, 1);
}

/* One whose CPU has not come round to its start is not one that has ended. */
static void test_power_off_waits_for_the_first_start(void **state)
{
	(void)state;
	config.poweroff_when_done = true;
	for (int i = 0; i < 5; i++) {
		resume(0);
		resume(1);
	}
	order(alpha, ORDER_OFF, "SYSTEM_OFF");
	for (int i = 0; i < 5; i++) {
		resume(0);
		resume(1);
	}
	assert_int_equal(atomic_load(&alpha->state), PARTITION_OFF);
	assert_false(seen.off);
}

/* A vCPU that was about to start when the order came does not: the next life has starts of its own. */
static void test_no_start_over_an_order(void **state)
{
	(void)state;
	boot();
	vcpus[1].start = (struct vcpu_start){.kind = START_LONG, .entry = 0x4000};
	atomic_store(&vcpus[1].state, VCPU_STARTING);
	vcpu_request(&vcpus[1], REQUEST_START);
	order(alpha, ORDER_RESET, "by hand");
	seen.stall = 2;
	for (int i = 0; i < 4 && seen.stall; i++)
		resume(1);
	for (int i = 0; i < 6; i++)
		resume(0);
	assert_int_equal(partition_order(alpha), ORDER_NONE);
	vcpus[1].start = (struct vcpu_start){.kind = START_LONG, .entry = 0x5000};
	atomic_store(&vcpus[1].state, VCPU_STARTING);
	vcpu_request(&vcpus[1], REQUEST_START);
	for (int i = 0; i < 4; i++)
		resume(1);
	assert_int_equal(atomic_load(&vcpus[1].state), VCPU_ON);
	assert_int_equal(seen.started[1].entry, 0x5000);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_autostart),
		TEST(test_kernel),
		TEST(test_no_autostart),
		TEST(test_refused_never_starts),
		TEST(test_bad_image),
		TEST(test_back_end_that_cannot),
		TEST(test_idle_cpu),
		TEST(test_console_without_partition),
		TEST(test_order_rules),
		TEST(test_all_park_first),
		TEST(test_all_park_for_each_order),
		TEST(test_reset),
		TEST(test_system_off),
		TEST(test_fault_report),
		TEST(test_second_fault_is_silent),
		TEST(test_restarts_are_counted),
		TEST(test_start_up_ipi),
		TEST(test_ipis_to_nobody),
		TEST(test_init_to_boot_cpu),
		TEST(test_nmi),
		TEST(test_one_kick_is_enough),
		TEST(test_timers),
		TEST(test_timer_storm),
		TEST(test_timer_delays_no_other),
		TEST(test_console_work),
		TEST(test_machine_events),
		TEST(test_halt),
		TEST(test_halt_masked),
		TEST(test_suspend_wakes_while_masked),
		TEST(test_wait_until),
		TEST(test_order_ends_wait),
		TEST(test_halted_for_good),
		TEST(test_woken_is_not_halted_for_good),
		TEST(test_order_ends_halt),
		TEST(test_due_timer_is_not_slept_over),
		TEST(test_served_apic_is_left_alone),
		TEST(test_apic_that_is_off_is_the_models),
		TEST(test_closed_guest_gets_a_window),
		TEST(test_para_upcall),
		TEST(test_host_interrupt_is_stolen_time),
		TEST(test_msrs),
		TEST(test_xsetbv),
		TEST(test_cr8),
		TEST(test_class_names),
		TEST(test_no_start_over_an_order),
		TEST(test_devices_are_attended_to_in_any_halt),
		TEST(test_nobody_is_left_awake),
		TEST(test_power_off_waits_for_the_first_start),
		TEST(test_power_off_when_done)}; /* last: a machine goes off once */

	return cmocka_run_group_tests_name("lifecycle", tests, NULL, NULL);
}
