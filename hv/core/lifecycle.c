/*
 * The life of partitions and vCPUs. Every CPU spends its whole life in cpu_main(): it carries out orders,
 * runs its vCPU, or sleeps. An order (start, stop, reset ...) is posted by anyone; all vCPUs of the partition
 * leave the guest and park; then the CPU of vCPU 0 scrubs, loads and starts. No CPU ever waits for another
 * one with its interrupts off.
 */
#include <bulkhead/abi.h>

#include "arch/x86/apic.h"
#include "arch/x86/clock.h"
#include "arch/x86/percpu.h"
#include "arch/x86/machine.h"
#include "arch/x86/machine_events.h"
#include "hv/call/call.h"
#include "hv/console/console.h"
#include "hv/core/exit.h"
#include "hv/core/image.h"
#include "hv/core/partition.h"
#include "hv/core/share.h"
#include "hv/core/virt.h"
#include "hv/device/acpi.h"
#include "hv/device/full.h"
#include "hv/lib/log.h"
#include "hv/lib/string.h"

static void serve_requests_while_busy(struct vcpu *vcpu);

/*
 * Orders
 */

static bool order_allowed(const struct partition *partition, enum partition_order order)
{
	bool off = atomic_load(&partition->state) == PARTITION_OFF;

	return order == ORDER_START ? off && !partition->refused[0] : !off;
}

enum status partition_command(struct partition *partition, enum partition_order order, const char *reason)
{
	enum status status = OK;
	uint32_t last;

	spin_lock(&partition->lifecycle_lock);
	last = atomic_load(&partition->order);
	if (last & ORDER_KIND)
		status = ERR_BUSY;
	else if (!order_allowed(partition, order))
		status = ERR_INVALID;
	else {
		if (order != ORDER_START)
			string_copy(partition->end_reason, reason, sizeof(partition->end_reason));
		atomic_store(&partition->order, (last + ORDER_NEXT) | order);
	}
	spin_unlock(&partition->lifecycle_lock);
	for (uint32_t i = 0; !status && i < partition->vcpu_count; i++)
		vcpu_request(&partition->vcpu[i], REQUEST_LIFECYCLE);
	return status;
}

static bool all_parked(const struct partition *partition, uint32_t order)
{
	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		if (atomic_load(&partition->vcpu[i].parked) != order)
			return false;
	return true;
}

/* Zeroes the partition's memory, piece by piece, so that CPU 0 goes on serving the console meanwhile. */
static void scrub(struct vcpu *vcpu)
{
	const struct partition *partition = vcpu->partition;

	for (uint32_t i = 0; i < partition->extent_count; i++) {
		const struct memory_extent *extent = &partition->extent[i];

		for (uint64_t done = 0; done < extent->size; done += LARGE_PAGE_SIZE) {
			uint64_t size = MIN(extent->size - done, LARGE_PAGE_SIZE);

			memset(partition_memory(partition, gpa(extent->gpa.value + done), size), 0, size);
			serve_requests_while_busy(vcpu);
		}
	}
}

static void *reach_memory(void *context, gpa_t address, uint64_t size)
{
	return partition_memory(context, address, size);
}

static enum status load_image(struct partition *partition, struct image_result *result,
			      char message[IMAGE_MESSAGE])
{
	const struct partition_config *config = partition->config;
	struct image_target target = {.memory_size = partition->memory_low,
				      .high_memory_size = partition->memory_high,
				      .share_size = partition->stand_in.value ? SHARE_AREA : 0,
				      .context = partition,
				      .reach = reach_memory};
	struct image_request request = {.file = (const uint8_t *)partition->image.window,
					.size = partition->image.size,
					.initrd = (const uint8_t *)partition->initrd.window,
					.initrd_size = partition->initrd.size,
					.rsdp = ACPI_RSDP_GPA,
					/* Linux believes CPUID on Intel's CPUs, and then measures nothing. */
					.tell_frequency = virt == &svm_ops,
					.cmdline = config->cmdline,
					.name = config->name,
					.vcpu_count = partition->vcpu_count,
					.partition_id = partition->id + 1,
					.tsc_khz = tsc_khz};

	if (config->is_kernel)
		return image_load_kernel(&request, &target, result, message);
	return config->mode == MODE_FULL ? image_load_multiboot(&request, &target, result, message)
					 : image_load_para(&request, &target, result, message);
}

/* Nothing of a former life stays: devices, shared pages, posted interrupts, timers. Without `power_on`, as
 * after INIT. On the vCPU's own CPU. */
static void reset_private_state(struct vcpu *vcpu, bool power_on)
{
	struct vcpu_shared *shared = vcpu->shared;

	for (unsigned kind = 0; kind < TIMERS; kind++)
		if (kind != TIMER_CONSOLE || this_cpu->index != 0)
			vcpu_set_timer(vcpu, kind, TIMER_NEVER);
	for (unsigned i = 0; i < ARRAY_SIZE(shared->interrupts); i++)
		atomic_store(&shared->interrupts[i], 0);
	atomic_store(&shared->events, 0);
	atomic_store(&shared->halted, 0);
	memset(vcpu->trace, 0, sizeof(vcpu->trace));
	exit_forget_instructions(vcpu);
	if (vcpu->lapic)
		full_vcpu_reset(vcpu, power_on);
	else
		vendor_vcpu_reset(vcpu);
}

static void begin(struct vcpu *vcpu)
{
	struct partition *partition = vcpu->partition;
	char message[IMAGE_MESSAGE];
	struct image_result result;
	enum status status;

	atomic_store(&partition->state, PARTITION_STARTING);
	scrub(vcpu);
	atomic_store(&partition->input.tail, atomic_load(&partition->input.head));
	status = load_image(partition, &result, message);
	if (status) {
		log_error("partition %s: image %s: %s", partition_name(partition), partition->config->image,
			  message);
		string_copy(partition->end_reason, message, sizeof(partition->end_reason));
		partition->end = END_FAULT;
		atomic_store(&partition->state, PARTITION_OFF);
		return;
	}
	partition->boot_cr3 = result.start.cr3;
	partition->stolen_time_gpa = result.stolen_time;
	if (partition->devices) {
		partition_map_apic(partition, virt_features.virtual_apic);
		full_devices_reset(partition);
		acpi_place(partition);
	}
	vcpu->shared->start = result.start;
	partition->start_tsc = rdtsc();
	atomic_store(&vcpu->shared->state, VCPU_STARTING);
	atomic_store(&partition->state, PARTITION_RUNNING);
}

static void finish(struct vcpu *vcpu, enum partition_end end)
{
	struct partition *partition = vcpu->partition;

	partition->end = end;
	partition->end_tsc = rdtsc();
	scrub(vcpu);
	log_info("partition %s is off: %s", partition_name(partition), partition->end_reason);
	atomic_store(&partition->state, PARTITION_OFF);
}

static void restart_or_finish(struct vcpu *vcpu)
{
	struct partition *partition = vcpu->partition;
	const struct partition_config *config = partition->config;

	if (config->on_fault == ON_FAULT_RESTART && partition->restarts < config->max_restarts) {
		partition->restarts++;
		log_warn("partition %s restarts (%u of %u)", config->name, partition->restarts,
			 config->max_restarts);
		begin(vcpu);
		return;
	}
	if (config->on_fault == ON_FAULT_RESTART)
		log_warn("partition %s has used up its %u restarts", config->name, config->max_restarts);
	finish(vcpu, END_FAULT);
}

/* Its CPU has not come round to the order to start. */
static bool is_yet_to_start(const struct partition *partition)
{
	return partition->config->autostart && !partition->refused[0] && atomic_load(&partition->order) == 0;
}

/* All ended by themselves, and the config says so: the summary, then off. A partition the user stopped keeps
 * it running. */
static void power_off_when_done(void)
{
	static atomic_flag begun = ATOMIC_FLAG_INIT;
	bool any = false;

	for (uint32_t i = 0; i < partition_count; i++) {
		struct partition *partition = &partitions[i];

		if (atomic_load(&partition->state) != PARTITION_OFF || partition->end == END_STOPPED ||
		    partition_order(partition) != ORDER_NONE || is_yet_to_start(partition))
			return;
		any |= partition->end != END_NEVER_STARTED;
	}
	if (!any || !machine_config->poweroff_when_done || atomic_flag_test_and_set(&begun))
		return;
	console_synchronous();
	console_summary();
	machine_power_off();
}

/* On the CPU of vCPU 0, with every vCPU of the partition out of the guest. */
static void carry_out(struct vcpu *vcpu, uint32_t order)
{
	struct partition *partition = vcpu->partition;

	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		atomic_store(&partition->vcpu[i].state, VCPU_OFF);
	call_partition_reset(partition);
	switch (order & ORDER_KIND) {
	case ORDER_START:
		partition->restarts = 0;
		begin(vcpu);
		break;
	case ORDER_RESET:
		log_info("partition %s resets: %s", partition_name(partition), partition->end_reason);
		begin(vcpu);
		break;
	case ORDER_FAULT: restart_or_finish(vcpu); break;
	case ORDER_OFF: finish(vcpu, END_SYSTEM_OFF); break;
	default: finish(vcpu, END_STOPPED); break;
	}
	atomic_store(&partition->order, order & ~ORDER_KIND);
	for (uint32_t i = 1; i < partition->vcpu_count; i++)
		vcpu_request(&partition->vcpu[i], REQUEST_LIFECYCLE);
	calls_tell_others(partition);
	power_off_when_done();
}

/* By the time this is read, the order may have been carried out: then the vCPU has parked for it before. */
static void follow_order(struct vcpu *vcpu)
{
	struct partition *partition = vcpu->partition;
	struct vcpu_shared *shared = vcpu->shared;
	const uint32_t order = atomic_load(&partition->order);

	if (!(order & ORDER_KIND))
		return;
	if (atomic_load(&shared->parked) != order) {
		reset_private_state(vcpu, true);
		atomic_store(&shared->parked, order);
		if (shared->index != 0)
			vcpu_request(&partition->vcpu[0], REQUEST_LIFECYCLE);
	}
	if (shared->index == 0 && all_parked(partition, order))
		carry_out(vcpu, order);
}

/*
 * Starting and ending single vCPUs (full: INIT and SIPI; PSCI stands in hv/call)
 */

void vcpu_send_init(struct partition *partition, uint32_t target)
{
	struct vcpu_shared *shared;

	if (target >= partition->vcpu_count)
		return;
	if (target == 0) {
		/* On a PC the boot CPU would go back to the firmware. */
		(void)partition_command(partition, ORDER_RESET, "INIT to the boot CPU");
		return;
	}
	shared = &partition->vcpu[target];
	atomic_store(&shared->state, VCPU_OFF);
	vcpu_request(shared, REQUEST_INIT);
	partition_check_alive(partition); /* it may be its own */
}

void vcpu_send_startup(struct partition *partition, uint32_t target, uint8_t vector)
{
	uint32_t off = VCPU_OFF;
	struct vcpu_shared *shared;

	if (target >= partition->vcpu_count)
		return;
	shared = &partition->vcpu[target];
	/* A second start-up IPI finds the CPU running, and is ignored as on hardware. */
	if (atomic_load(&shared->state) != VCPU_OFF)
		return;
	shared->start = (struct vcpu_start){.kind = START_REAL, .entry = vector};
	if (atomic_compare_exchange_strong(&shared->state, &off, VCPU_STARTING))
		vcpu_request(shared, REQUEST_START);
}

void vcpu_send_nmi(struct partition *partition, uint32_t target)
{
	if (target < partition->vcpu_count)
		vcpu_request(&partition->vcpu[target], REQUEST_NMI);
}

/* An NMI on its way counts: a vCPU that wakes says that it is not halted before it takes its requests, so
 * they are looked at first. One that starts may still say what its life before had come to. */
static bool is_alive(struct vcpu_shared *shared)
{
	const uint32_t requests = atomic_load(&shared->requests), state = atomic_load(&shared->state);

	return state == VCPU_STARTING ||
	       (state == VCPU_ON &&
		((requests & REQUEST_NMI) || atomic_load(&shared->halted) != HALTED_FOR_GOOD));
}

void partition_check_alive(struct partition *partition)
{
	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		if (is_alive(&partition->vcpu[i]))
			return;
	if (partition_order(partition) == ORDER_NONE)
		partition_fault(this_vcpu, "all its CPUs are off or halted with interrupts off");
}

/*
 * Requests
 */

void vcpu_kick(const struct vcpu_shared *target)
{
	if (target->cpu != this_cpu->index)
		apic_kick(cpus[target->cpu].apic_id);
}

void vcpu_request(struct vcpu_shared *target, uint32_t requests)
{
	uint32_t before = atomic_fetch_or(&target->requests, requests);

	/* Bits that were set already have been kicked for, and are looked at before the next entry. */
	if ((before & requests) != requests)
		vcpu_kick(target);
}

/* However short a period a guest asks for, it gets so many ticks of the TSC for itself before that fires
 * again: else not one instruction of it would run. */
#define GUEST_TICKS_MIN 5000u

static void rearm_host_timer(struct vcpu *vcpu, bool armed, bool storm)
{
	uint64_t next = vcpu->timer[0];

#pragma GCC unroll 4
	for (unsigned kind = 1; kind < TIMERS; kind++)
		next = MIN(next, vcpu->timer[kind]);
	vcpu->host_timer = storm ? MAX(next, rdtsc() + GUEST_TICKS_MIN) : next;
	if (next != TIMER_NEVER || armed)
		host_timer_arm(vcpu->host_timer);
}

/* A later deadline than the armed one needs no write: the timer fires early once, and is armed anew then. */
void vcpu_set_timer(struct vcpu *vcpu, enum timer_kind kind, uint64_t deadline)
{
	vcpu->timer[kind] = deadline;
	if (deadline < vcpu->host_timer) {
		vcpu->host_timer = deadline;
		host_timer_arm(deadline);
	}
}

static void console_timer(struct vcpu *vcpu)
{
	if (vcpu->partition && vcpu->partition->console_ring && vcpu->shared->index == 0)
		vendor_console_poll(vcpu);
	if (this_cpu->index == 0)
		console_tick();
}

static void fire_timer(struct vcpu *vcpu, enum timer_kind kind)
{
	vcpu->timer[kind] = TIMER_NEVER;
	switch (kind) {
	case TIMER_DEADLINE: vendor_timer(vcpu); break;
	case TIMER_CONSOLE: console_timer(vcpu); break;
	default: full_timer(vcpu, kind); break;
	}
}

static void run_timers(struct vcpu *vcpu)
{
	bool armed = vcpu->host_timer != TIMER_NEVER;
	bool storm = false; /* one that has fired wants to fire again at once */
	uint64_t now = rdtsc();

	vcpu->host_timer = 0; /* what is set meanwhile is armed once, at the end */
#pragma GCC unroll 4
	for (unsigned kind = 0; kind < TIMERS; kind++)
		if (vcpu->timer[kind] <= now) {
			fire_timer(vcpu, kind);
			storm |= vcpu->timer[kind] < now + GUEST_TICKS_MIN;
		}
	rearm_host_timer(vcpu, armed, storm);
}

static void fetch_console_input(struct vcpu *vcpu)
{
	if (!vcpu->partition || vcpu->shared->index != 0)
		return;
	if (vcpu->partition->devices)
		full_console_input(vcpu);
	else
		vendor_console_input(vcpu);
}

/* What does not touch the guest's registers, and may be done at any time on this CPU. */
static void serve(struct vcpu *vcpu, uint32_t requests)
{
	if (requests & REQUEST_TIMER)
		run_timers(vcpu);
	if (requests & REQUEST_CONSOLE) {
		fetch_console_input(vcpu);
		if (this_cpu->index == 0)
			console_tick();
	}
	if (requests & REQUEST_INIT)
		reset_private_state(vcpu, false);
	if (likely(!(requests & (REQUEST_MACHINE | REQUEST_MESSAGE | REQUEST_FLUSH))))
		return;
	if (requests & REQUEST_FLUSH)
		share_flush_cpu(vcpu);
	if (requests & REQUEST_MACHINE)
		machine_events_report();
	if (requests & REQUEST_MESSAGE)
		ffa_take_message(vcpu);
}

/* In long work of the hypervisor itself: timers and console only, everything else stays pending. */
static void serve_requests_while_busy(struct vcpu *vcpu)
{
	const uint32_t now = REQUEST_TIMER | REQUEST_CONSOLE;
	uint32_t requests;

	if (this_cpu->index != 0)
		return;
	cpu_interrupt_window();
	requests = atomic_fetch_and(&vcpu->shared->requests, ~now) & now;
	serve(vcpu, requests);
}

void vcpu_serve_meanwhile(void)
{
	if (virt->restore_host) {
		virt->restore_host(this_vcpu);
		/* Without a request the next entry would not look for what has to be the guest's again. */
		atomic_fetch_or(&this_vcpu->shared->requests, REQUEST_INTERRUPT);
	}
	serve_requests_while_busy(this_vcpu);
}

/* The order first: whoever sees none has not parked for the next one, so the state is not of a life that is
 * being ended. */
static bool is_to_live(const struct vcpu *vcpu, enum vcpu_state state)
{
	return partition_order(vcpu->partition) == ORDER_NONE && atomic_load(&vcpu->shared->state) == state;
}

static bool may_run(const struct vcpu *vcpu)
{
	return is_to_live(vcpu, VCPU_ON);
}

static void offer_events(struct vcpu *vcpu, uint32_t requests)
{
	if (requests & REQUEST_NMI)
		virt->inject_nmi(vcpu);
	vcpu_offer_interrupt(vcpu);
}

bool vcpu_service(struct vcpu *vcpu)
{
	uint32_t requests, all = 0;

	while ((requests = atomic_exchange(&vcpu->shared->requests, 0)) != 0) {
		all |= requests;
		serve(vcpu, requests);
	}
	if (!may_run(vcpu))
		return false;
	offer_events(vcpu, all);
	return true;
}

/*
 * Waiting
 */

static bool interrupt_due(struct vcpu *vcpu)
{
	return vcpu->lapic ? full_peek_interrupt(vcpu) >= 0 : events_due(vcpu);
}

/*
 * A timer that is due already is not waited for: QEMU TCG changes a CPU's pending interrupts at #VMEXIT
 * without its lock, and loses one that another thread raises at that moment.
 */
static void sleep_until_requested(struct vcpu *vcpu)
{
	struct vcpu_shared *shared = vcpu->shared;

	while (atomic_load(&shared->requests) == 0)
		if (rdtsc() >= vcpu->host_timer)
			atomic_fetch_or(&shared->requests, REQUEST_TIMER);
		else
			cpu_wait_for_interrupt();
}

static void halt_until_requested(struct vcpu *vcpu, uint32_t halted)
{
	struct vcpu_shared *shared = vcpu->shared;
	uint32_t before = rdtsc_low();

	atomic_store(&shared->halted, halted);
	if (halted == HALTED_FOR_GOOD)
		partition_check_alive(vcpu->partition);
	sleep_until_requested(vcpu);
	/* Sleep is not work: keep it out of the exit's cost. */
	vcpu->exit_tsc += rdtsc_low() - before;
	atomic_store(&shared->halted, 0);
}

/* All of them, but an NMI stays requested: vcpu_service() injects it on the way back into the guest. */
static uint32_t take_requests(struct vcpu_shared *shared)
{
	const uint32_t requests = atomic_load(&shared->requests) ? atomic_exchange(&shared->requests, 0) : 0;

	if (unlikely(requests & REQUEST_NMI))
		atomic_fetch_or(&shared->requests, REQUEST_NMI);
	return requests;
}

enum exit_action vcpu_wait(struct vcpu *vcpu, bool wakes)
{
	struct vcpu_shared *shared = vcpu->shared;

	if (virt->restore_host)
		virt->restore_host(vcpu);
	for (;;) {
		uint32_t requests = take_requests(shared);

		if (requests) {
			serve(vcpu, requests);
			if (!may_run(vcpu))
				return EXIT_LEAVE_NEXT;
			if (requests & REQUEST_NMI)
				return EXIT_NEXT;
		}
		/* Asked in any case: the timer of the PC's devices is armed there, whoever they interrupt. */
		if (interrupt_due(vcpu) && wakes) {
			atomic_fetch_or(&shared->requests, REQUEST_INTERRUPT);
			return EXIT_NEXT;
		}
		halt_until_requested(vcpu, wakes ? HALTED : HALTED_FOR_GOOD);
	}
}

enum exit_action vcpu_wait_until(struct vcpu *vcpu, bool (*woken)(struct vcpu *vcpu))
{
	struct vcpu_shared *shared = vcpu->shared;

	if (virt->restore_host)
		virt->restore_host(vcpu);
	for (;;) {
		serve(vcpu, atomic_exchange(&shared->requests, 0));
		if (!may_run(vcpu))
			return EXIT_LEAVE_NEXT;
		if (woken(vcpu)) {
			atomic_fetch_or(&shared->requests, REQUEST_INTERRUPT); /* what came meanwhile */
			return EXIT_NEXT;
		}
		halt_until_requested(vcpu, HALTED);
	}
}

/*
 * A CPU's life
 */

static struct partition *find_partition(const struct vcpu_shared *shared)
{
	for (uint32_t i = 0; i < partition_count; i++) {
		struct partition *partition = &partitions[i];

		if (shared >= partition->vcpu && shared < partition->vcpu + partition->vcpu_count)
			return partition;
	}
	return NULL;
}

static void adopt_vcpu(struct vcpu *vcpu)
{
	/* CPU 0 keeps the console even when no partition uses it. */
	static struct vcpu_shared console_only;
	struct partition *partition;
	enum status status;

	vcpu->shared = cpus[this_cpu->index].vcpu ? cpus[this_cpu->index].vcpu : &console_only;
	for (unsigned kind = 0; kind < TIMERS; kind++)
		vcpu->timer[kind] = TIMER_NEVER;
	vcpu->host_timer = TIMER_NEVER;
	partition = find_partition(vcpu->shared);
	vcpu->partition = partition;
	if (!partition || partition->refused[0])
		return;
	vcpu->hypervisor_hidden = partition->devices && !partition->config->hypervisor_leaf;
	/* The pool was sized for this, and the CPU was probed: failing here is our own mistake. */
	status = virt->vcpu_create(vcpu);
	if (!status && partition->devices)
		status = lapic_create(vcpu);
	if (status)
		panic("cannot build vCPU %u of partition %s: %s", vcpu->shared->index,
		      partition_name(partition), status_name(status));
}

/* The cost of a boot, told once for each partition. */
static void report_first_start(struct partition *partition)
{
	if (partition->started_before)
		return;
	partition->started_before = true;
	log_info("partition %s: first guest instruction after %llu TSC ticks in the hypervisor",
		 partition_name(partition), (unsigned long long)(rdtsc() - boot_tsc));
}

static void start_vcpu(struct vcpu *vcpu)
{
	uint32_t starting = VCPU_STARTING;

	if (vcpu->shared->index == 0)
		report_first_start(vcpu->partition);
	reset_private_state(vcpu, false);
	virt->vcpu_reset(vcpu, &vcpu->shared->start);
	if (!vcpu->lapic)
		share_flush_cpu(vcpu);
	atomic_compare_exchange_strong(&vcpu->shared->state, &starting, VCPU_ON);
}

static void live(struct vcpu *vcpu)
{
	if (vcpu->partition)
		follow_order(vcpu);
	if (vcpu->partition && is_to_live(vcpu, VCPU_STARTING))
		start_vcpu(vcpu);
	if (vcpu->partition && may_run(vcpu)) {
		virt->vcpu_run(vcpu);
		return;
	}
	sleep_until_requested(vcpu);
	serve(vcpu, atomic_exchange(&vcpu->shared->requests, 0));
}

void cpu_main(void)
{
	struct vcpu *vcpu = this_vcpu;

	machine_events_enable();
	if (this_cpu->index != 0 && !cpus[this_cpu->index].vcpu) {
		for (;;) {
			cpu_wait_for_interrupt();
			machine_events_report();
		}
	}
	adopt_vcpu(vcpu);
	if (this_cpu->index == 0)
		vcpu_set_timer(vcpu, TIMER_CONSOLE, rdtsc());
	if (vcpu->partition && vcpu->shared->index == 0 && vcpu->partition->config->autostart)
		(void)partition_command(vcpu->partition, ORDER_START,
					"autostart"); /* refused ones stay off */
	for (;;)
		live(vcpu);
}
