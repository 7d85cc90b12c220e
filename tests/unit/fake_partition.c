/*
 * The fakes themselves: each does what its original promises, as simply as can be.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/clock.h"
#include "hv/call/call.h"
#include "hv/call/entropy.h"
#include "hv/console/console.h"
#include "hv/core/share.h"
#include "hv/core/virt.h"
#include "hv/lib/log.h"
#include "hv/mem/pool.h"
#include "tests/unit/fake_partition.h"

/* Full partitions have one, and calls never look into it. */
#define FAKE_LAPIC ((struct lapic *)&fake)

struct fake fake;

struct partition *partitions = fake.all;
uint32_t partition_count = 1 + FAKE_PEERS;
const struct config *machine_config = &fake.machine;

uint32_t tsc_khz = FAKE_TSC_KHZ;
uint32_t apic_timer_khz = 1000000;
uint64_t boot_tsc = 1000;
uint64_t boot_wall_s = 1700000000;

/* Whose call is being served; NULL: none. */
static const struct partition *caller;

static void require(bool promise, const char *what)
{
	if (promise)
		return;
	(void)fprintf(stderr, "broken promise: %s\n", what);
	abort();
}

/*
 * Maps: entries say everything in the low bits.
 */

static uint64_t fake_leaf(hpa_t frame, uint32_t flags, unsigned level)
{
	return frame.value | flags << 2 | (level > 1 ? 2 : 0) | 1;
}

static uint32_t fake_flags(uint64_t entry)
{
	return (uint32_t)(entry >> 2) & 7;
}

static const struct page_format fake_format = {.name = "fake",
					       .leaf = fake_leaf,
					       .table_bits = 1,
					       .present_bits = 1,
					       .large_bit = 2,
					       .flags = fake_flags};

static void create_map(struct partition *partition)
{
	const hpa_t start = hpa(FAKE_HPA(partition->id));

	partition->extent_count = 1;
	partition->extent[0] = (struct memory_extent){gpa(0), start, FAKE_MEMORY_SIZE};
	require(frames_add(&machine_frames, start, FAKE_MEMORY_SIZE, OWNER_PARTITION(partition->id)) == OK &&
			page_map_create(&partition->guest_map, &fake_format, &pool_pages, 2) == OK &&
			page_map_add(&partition->guest_map, 0, start, FAKE_MEMORY_SIZE,
				     MAP_READ | MAP_WRITE | MAP_EXECUTE) == OK,
		"a map");
}

static void flush_guest_tlb(struct vcpu *vcpu)
{
	(void)vcpu;
	fake.flushes++;
}

static const struct virt_ops fake_virt = {.name = "fake", .flush_guest_tlb = flush_guest_tlb};
const struct virt_ops *virt = &fake_virt;

static void flush(struct vcpu *vcpu)
{
	if (atomic_fetch_and(&vcpu->shared->requests, ~REQUEST_FLUSH) & REQUEST_FLUSH)
		share_flush_cpu(vcpu);
}

/* What the CPUs of all do when they are asked to. */
static void flush_all(void)
{
	for (unsigned i = 0; i < FAKE_VCPUS; i++)
		flush(&fake.vcpu[i]);
	for (unsigned i = 0; i < FAKE_PEERS * FAKE_PEER_VCPUS; i++)
		flush(&fake.peer[i / FAKE_PEER_VCPUS].vcpu[i % FAKE_PEER_VCPUS]);
}

void vcpu_serve_meanwhile(void)
{
	flush_all();
}

void *partition_window(const struct partition *partition, gpa_t address)
{
	return (partition->id ? fake.peer[partition->id - 1].memory : fake.memory) + address.value;
}

void panic(const char *pattern, ...)
{
	require(false, pattern);
	abort();
}

static void create_vcpu(struct partition *partition, struct vcpu *vcpu, struct vcpu_shared *shared,
			uint32_t index)
{
	shared->index = index;
	vcpu->shared = shared;
	vcpu->partition = partition;
	vcpu->lapic = partition->config->mode == MODE_FULL ? FAKE_LAPIC : NULL;
	for (unsigned kind = 0; kind < TIMERS; kind++)
		vcpu->timer[kind] = TIMER_NEVER;
	if (partition->config->mode == MODE_PARA)
		vendor_vcpu_reset(vcpu);
}

static void create_peer(uint32_t index)
{
	struct fake_peer *peer = &fake.peer[index];
	struct partition *partition = &fake.all[1 + index];

	peer->config = fake.config;
	peer->config.mode = MODE_PARA;
	peer->config.cpus = FAKE_PEER_VCPUS;
	peer->memory = calloc(FAKE_MEMORY_PAGES, PAGE_SIZE);
	require(peer->memory != NULL, "memory for the test");
	partition->id = 1 + index;
	partition->config = &peer->config;
	partition->vcpu_count = FAKE_PEER_VCPUS;
	partition->vcpu = peer->shared;
	partition->memory_low = FAKE_MEMORY_SIZE;
	atomic_store(&partition->state, PARTITION_RUNNING);
}

static void create_channels(void)
{
	fake.machine.channel_count = 2;
	fake.machine.channel[0] = (struct channel_config){.between = {0, 1}, .allow = CHANNEL_ALL};
	fake.machine.channel[1] =
		(struct channel_config){.between = {2, 0}, .allow = CHANNEL_NOTIFY | CHANNEL_SHARE};
}

void fake_create(enum partition_mode mode)
{
	fake_destroy();
	fake.memory = calloc(FAKE_MEMORY_PAGES, PAGE_SIZE);
	fake.pool = aligned_alloc(PAGE_SIZE, FAKE_POOL_PAGES * PAGE_SIZE);
	require(fake.pool != NULL, "a pool for the test");
	pool_create(hpa(FAKE_POOL_HPA), FAKE_POOL_PAGES, fake.pool);
	require(fake.memory != NULL, "memory for the test");
	fake.config = (struct partition_config){.name = "fake",
						.mode = mode,
						.cpus = FAKE_VCPUS,
						.memory = FAKE_MEMORY_SIZE,
						.hypervisor_leaf = true};
	fake.partition.config = &fake.config;
	fake.partition.vcpu_count = FAKE_VCPUS;
	fake.partition.vcpu = fake.shared;
	fake.partition.memory_low = FAKE_MEMORY_SIZE;
	fake.partition.boot_cr3 = FAKE_BOOT_CR3;
	fake.partition.stolen_time_gpa = mode == MODE_PARA ? FAKE_STOLEN_GPA : 0;
	fake.entropy_present = true;
	fake.entropy_left = UINT32_MAX;
	fake.entropy_value = 0x1122334455667788;
	for (uint32_t i = 0; i < FAKE_PEERS; i++)
		create_peer(i);
	create_channels();
	for (uint32_t i = 0; i < 1 + FAKE_PEERS; i++)
		create_map(&fake.all[i]);
	require(calls_create() == OK, "the calls' own memory");
	for (uint32_t i = 0; i < FAKE_VCPUS; i++)
		create_vcpu(&fake.partition, &fake.vcpu[i], &fake.shared[i], i);
	for (uint32_t i = 0; i < FAKE_PEERS * FAKE_PEER_VCPUS; i++) {
		struct fake_peer *peer = &fake.peer[i / FAKE_PEER_VCPUS];
		uint32_t index = i % FAKE_PEER_VCPUS;

		create_vcpu(&fake.all[1 + i / FAKE_PEER_VCPUS], &peer->vcpu[index], &peer->shared[index],
			    index);
		atomic_store(&peer->shared[index].state, VCPU_ON);
	}
	atomic_store(&fake.partition.state, PARTITION_RUNNING);
	atomic_store(&fake.shared[0].state, VCPU_ON);
}

void fake_destroy(void)
{
	free(fake.memory);
	for (unsigned i = 0; i < FAKE_PEERS; i++)
		free(fake.peer[i].memory);
	if (fake.pool)
		for (unsigned i = 0; i < 1 + FAKE_PEERS; i++)
			share_partition_ended(&fake.all[i]);
	free(fake.pool);
	memset(&fake, 0, sizeof(fake));
	machine_frames.count = 0;
	fake.console_room = FAKE_CONSOLE_SIZE;
}

/* Calls with more than four results. */
static bool fills_eight(uint64_t function)
{
	switch (function & ~(uint64_t)SMCCC_64) {
	case VENDOR_PARTITION_INFO & ~SMCCC_64:
	case FFA_NOTIFICATION_GET:
	case FFA_MSG_WAIT:
	case FFA_MSG_SEND_DIRECT_REQ_32:
	case FFA_MSG_SEND_DIRECT_RESP_32: return true;
	default: return false;
	}
}

static bool is_result(unsigned reg, bool eight)
{
	return reg == RAX || reg == RSI || reg == RDX || reg == RCX || (eight && reg >= R8 && reg <= R11);
}

struct fake_registers fake_call_on(struct vcpu *vcpu, struct fake_registers in)
{
	static const uint8_t passed[8] = {RAX, RSI, RDX, RCX, R8, R9, R10, R11};
	union guest_registers *regs = &vcpu->regs;
	union guest_registers before;
	struct fake_registers out;

	for (unsigned i = 0; i < GENERAL_REGISTERS; i++)
		regs->at[i] = 0xC0DE000000000000u + i;
	for (unsigned i = 0; i < 8; i++)
		regs->at[passed[i]] = in.x[i];
	before = *regs;
	caller = vcpu->partition;
	fake.action = exit_hypercall(vcpu);
	caller = NULL;
	for (unsigned i = 0; i < GENERAL_REGISTERS; i++)
		if (!is_result(i, fills_eight((uint32_t)in.x[0])))
			require(regs->at[i] == before.at[i],
				"every call preserves RDI, RBX, RBP, RSP and R8 to R15");
	for (unsigned i = 0; i < 8; i++)
		out.x[i] = regs->at[passed[i]];
	return out;
}

struct fake_registers fake_call(unsigned cpu, struct fake_registers in)
{
	return fake_call_on(&fake.vcpu[cpu], in);
}

uint64_t fake_call3(unsigned cpu, uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3)
{
	return fake_call(cpu, (struct fake_registers){{function, x1, x2, x3, 0, 0, 0, 0}}).x[0];
}

void fake_type(const char *text)
{
	struct input_queue *input = &fake.partition.input;

	for (; *text; text++) {
		uint32_t head = atomic_load(&input->head);

		require(head - atomic_load(&input->tail) < INPUT_SIZE, "room in the input queue");
		input->byte[head % INPUT_SIZE] = (uint8_t)*text;
		atomic_store(&input->head, head + 1);
	}
}

/*
 * The core.
 */

bool partition_contains(const struct partition *partition, gpa_t address, uint64_t size)
{
	return address.value < partition->memory_low && size <= partition->memory_low - address.value &&
	       !(atomic_load(&partition->away) && share_is_away(partition, address.value, size));
}

void *partition_memory(const struct partition *partition, gpa_t address, uint64_t size)
{
	uint8_t *memory = partition->id ? fake.peer[partition->id - 1].memory : fake.memory;

	return partition_contains(partition, address, size) ? memory + address.value : NULL;
}

enum status partition_command(struct partition *partition, enum partition_order order, const char *reason)
{
	require(reason != NULL && strlen(reason) > 0, "an order has a reason");
	if (fake.command_status == OK) {
		fake.order = order;
		fake.ordered = partition;
		(void)snprintf(fake.reason, sizeof(fake.reason), "%s", reason);
	}
	return fake.command_status;
}

void partition_check_alive(struct partition *partition)
{
	require(partition->vcpu_count != 0, "a question about a partition");
	fake.checks++;
}

void vcpu_request(struct vcpu_shared *target, uint32_t requests)
{
	atomic_fetch_or(&target->requests, requests);
}

void vcpu_kick(const struct vcpu_shared *target)
{
	require(atomic_load(&target->requests) != 0, "a kick for something");
}

void vcpu_set_timer(struct vcpu *vcpu, enum timer_kind kind, uint64_t deadline)
{
	vcpu->timer[kind] = deadline;
}

enum exit_action vcpu_wait(struct vcpu *vcpu, bool wakes)
{
	fake.waits++;
	fake.wait_wakes = wakes;
	if (fake.wait_hook)
		fake.wait_hook(vcpu);
	return fake.wait_result;
}

/* Where nothing wakes the vCPU an order ends the wait, which resets it. */
enum exit_action vcpu_wait_until(struct vcpu *vcpu, bool (*woken)(struct vcpu *vcpu))
{
	fake.waits++;
	if (fake.wait_hook)
		fake.wait_hook(vcpu);
	flush_all();
	if (fake.wait_result == EXIT_NEXT && woken(vcpu))
		return EXIT_NEXT;
	vendor_vcpu_reset(vcpu);
	return EXIT_LEAVE_NEXT;
}

/*
 * The console and the random number generator.
 */

size_t console_write(struct partition *partition, const uint8_t *bytes, size_t count)
{
	size_t taken = MIN(count, fake.console_room - MIN(fake.console_length, fake.console_room));

	require(!caller || partition == caller, "output is the caller's own");
	if (partition != &fake.partition)
		return count; /* a peer's is not looked at */
	memcpy(fake.console + fake.console_length, bytes, taken);
	fake.console_length += taken;
	return taken;
}

void console_write_last(struct partition *partition, const uint8_t *bytes, size_t count)
{
	(void)!console_write(partition, bytes, count);
}

void console_end_line(struct partition *partition)
{
	console_write_last(partition, (const uint8_t *)"|", 1);
}

bool entropy_present(void)
{
	return fake.entropy_present;
}

bool entropy_word(uint64_t *word)
{
	if (fake.entropy_left == 0)
		return false;
	fake.entropy_left--;
	*word = fake.entropy_value;
	fake.entropy_value += 2;
	return true;
}
