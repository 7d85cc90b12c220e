/*
 * Any sequence of hypercalls from any vCPU, with any bytes in the pages shared with the hypervisor: nothing
 * outside the partition's memory is touched (the address sanitizer watches), calls keep the registers they
 * must (fake_call() checks), and what the calls leave behind stays within the partition.
 *
 * Input: a byte for the mode, then steps: a kind, and what that kind takes.
 */
#include <stdlib.h>
#include <string.h>

#include "hv/call/call.h"
#include "tests/unit/fake_partition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at;
	size_t left;
};

static void require(bool promise)
{
	if (!promise)
		abort();
}

static uint64_t take(struct input *input, size_t size)
{
	uint64_t value = 0;
	size_t taken = MIN(size, input->left);

	memcpy(&value, input->at, taken);
	input->at += taken;
	input->left -= taken;
	return value;
}

/* A function: mostly one that exists, else any. */
static uint32_t take_function(struct input *input)
{
	static const uint32_t functions[] = {
		SMCCC_VERSION,
		SMCCC_ARCH_FEATURES,
		VENDOR_CALL_UID,
		VENDOR_CALL_REVISION,
		VENDOR_FEATURES,
		PSCI_VERSION,
		PSCI_CPU_SUSPEND_64,
		PSCI_CPU_OFF,
		PSCI_CPU_ON_32,
		PSCI_CPU_ON_64,
		PSCI_AFFINITY_INFO_64,
		PSCI_SYSTEM_OFF,
		PSCI_SYSTEM_RESET,
		PSCI_FEATURES,
		PSCI_SYSTEM_SUSPEND_64,
		PSCI_STAT_COUNT_64,
		PSCI_STAT_RESIDENCY_64,
		PSCI_SYSTEM_RESET2_64,
		PSCI_MEM_PROTECT,
		PSCI_MEM_CHECK_RANGE_64,
		FFA_CONSOLE_LOG_32,
		FFA_CONSOLE_LOG_64,
		TRNG_VERSION,
		TRNG_FEATURES,
		TRNG_GET_UUID,
		TRNG_RND_32,
		TRNG_RND_64,
		PV_TIME_FEATURES,
		PV_TIME_ST,
		VENDOR_EVENT_PAGE,
		VENDOR_IPI,
		VENDOR_DEADLINE,
		VENDOR_CONSOLE_RING,
		VENDOR_CONSOLE_KICK,
		VENDOR_CLOCK_PAGE,
		FFA_VERSION,
		FFA_FEATURES,
		FFA_RX_RELEASE,
		FFA_RXTX_MAP_64,
		FFA_RXTX_UNMAP,
		FFA_PARTITION_INFO_GET,
		FFA_MSG_WAIT,
		FFA_MSG_SEND_DIRECT_REQ_64,
		FFA_MSG_SEND_DIRECT_RESP_64,
		FFA_MSG_SEND2,
		FFA_NOTIFICATION_BIND,
		FFA_NOTIFICATION_UNBIND,
		FFA_NOTIFICATION_SET,
		FFA_NOTIFICATION_GET,
		VENDOR_PARTITION_COUNT,
		VENDOR_PARTITION_INFO,
		VENDOR_PARTITION_EXITS,
		VENDOR_PARTITION_START,
		VENDOR_PARTITION_STOP,
		VENDOR_PARTITION_RESET,
		FFA_MEM_DONATE_64,
		FFA_MEM_LEND_64,
		FFA_MEM_SHARE_64,
		FFA_MEM_RETRIEVE_REQ_64,
		FFA_MEM_RELINQUISH,
		FFA_MEM_RECLAIM,
		FFA_MEM_FRAG_TX,
	};
	uint8_t which = (uint8_t)take(input, 1);

	return which < ARRAY_SIZE(functions) ? functions[which] : (uint32_t)take(input, 4);
}

/* An argument: mostly a small number or a page of the partition, else anything. */
static uint64_t take_argument(struct input *input)
{
	uint8_t kind = (uint8_t)take(input, 1);

	if (kind < 64)
		return kind;
	if (kind < 128)
		return (kind - 64u) % (FAKE_MEMORY_PAGES + 1) * PAGE_SIZE;
	if (kind < 192)
		return (kind - 128u) * 4u;
	return take(input, 8);
}

static void step_call(struct input *input)
{
	unsigned cpu = (unsigned)take(input, 1) % FAKE_VCPUS;
	struct fake_registers in = {{take_function(input)}};

	for (unsigned i = 1; i <= 3; i++)
		in.x[i] = take_argument(input);
	/* Every fourth caller is a peer. */
	if (fake.config.mode == MODE_PARA && cpu == 3)
		(void)fake_call_on(&fake.peer[in.x[1] & 1].vcpu[in.x[2] & 1], in);
	else
		(void)fake_call(cpu, in);
	if (fake.action != EXIT_NEXT && fake.action != EXIT_LEAVE && fake.action != EXIT_LEAVE_NEXT)
		require(fake.action == EXIT_UD && fake.config.mode == MODE_FULL);
}

/* The guest writes to its own memory, wherever that is. */
static void step_scribble(struct input *input)
{
	size_t offset = take(input, 2) % FAKE_MEMORY_SIZE;
	size_t wanted = take(input, 1);
	size_t length = MIN(MIN(wanted, input->left), FAKE_MEMORY_SIZE - offset);

	memcpy(fake.memory + offset, input->at, length);
	input->at += length;
	input->left -= length;
}

static void step_core(struct input *input)
{
	struct vcpu *vcpu = &fake.vcpu[take(input, 1) % FAKE_VCPUS];

	if (fake.config.mode != MODE_PARA)
		return;
	switch (take(input, 1) % 8) {
	case 0: vendor_console_input(vcpu); break;
	case 1: vendor_console_poll(vcpu); break;
	case 2: vendor_timer(vcpu); break;
	case 3: vendor_vcpu_reset(vcpu); break;
	case 4: pvtime_account(vcpu, take(input, 8)); break;
	case 5: call_partition_reset(&fake.partition); break;
	case 6: ffa_take_message(&fake.vcpu[0]); break;
	default: (void)events_due(vcpu); break;
	}
	fake.console_length = 0;
}

static void step_world(struct input *input)
{
	static const enum exit_action waits[] = {EXIT_NEXT, EXIT_LEAVE_NEXT};
	uint8_t what = (uint8_t)take(input, 1);
	struct input_queue *queue = &fake.partition.input;

	fake.wait_result = waits[what & 1];
	fake.command_status = what & 2 ? ERR_BUSY : OK;
	fake.entropy_left = what >> 2 & 7;
	fake.console_room = what & 0x80 ? FAKE_CONSOLE_SIZE : what;
	if (atomic_load(&queue->head) - atomic_load(&queue->tail) < INPUT_SIZE)
		fake_type((const char[]){(char)(what | 1), 0});
	atomic_store(&fake.shared[what >> 2 & 3].state, what >> 4 & 3 ? VCPU_ON : VCPU_OFF);
}

static bool inside(const void *pointer, size_t size)
{
	const uint8_t *start = pointer;

	return start == NULL || (start >= fake.memory && start + size <= fake.memory + FAKE_MEMORY_SIZE);
}

static void require_contained(void)
{
	for (unsigned i = 0; i < FAKE_VCPUS; i++) {
		const struct vcpu_shared *shared = &fake.shared[i];

		require(inside(fake.vcpu[i].event_page, PAGE_SIZE));
		require(inside(fake.vcpu[i].stolen_time, sizeof(struct pv_stolen_time)));
		require(atomic_load(&shared->state) <= VCPU_ON);
		if (atomic_load(&shared->state) == VCPU_STARTING)
			require(shared->start.entry < FAKE_MEMORY_SIZE && shared->start.cr3 == FAKE_BOOT_CR3);
	}
	require(inside(fake.partition.console_ring, PAGE_SIZE));
	require(fake.config.mode == MODE_PARA || fake.partition.console_ring == NULL);
	require(atomic_load(&fake.partition.device_lock.next) ==
		atomic_load(&fake.partition.device_lock.serving));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const steps[])(struct input *) = {step_call, step_call, step_call, step_scribble,
							step_core, step_core, step_world};
	struct input input = {data, size};
	uint8_t mode = (uint8_t)take(&input, 1);

	fake_create(mode % 4 ? MODE_PARA : MODE_FULL);
	fake.config.manage = mode % 4 == 2;
	for (unsigned i = 0; i < FAKE_VCPUS; i++)
		fake.vcpu[i].hypervisor_hidden = mode % 4 == 0 && mode >= 240;
	while (input.left > 0) {
		steps[take(&input, 1) % ARRAY_SIZE(steps)](&input);
		require_contained();
	}
	fake_destroy();
	return 0;
}
