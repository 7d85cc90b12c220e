/*
 * The fakes of fake_pc.h, each as short as what the devices need of the original.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/clock.h"
#include "arch/x86/guest_state.h"
#include "hv/console/console.h"
#include "hv/mem/pool.h"
#include "hv/core/share.h"
#include "tests/unit/fake_pc.h"

struct fake_pc pc;
uint32_t tsc_khz = PC_TSC_KHZ, apic_timer_khz;
uint64_t boot_tsc, boot_wall_s;

uint64_t device_now(void)
{
	return pc.now;
}

/* The core */

void vcpu_request(struct vcpu_shared *target, uint32_t requests)
{
	atomic_fetch_or(&target->requests, requests);
}

void vcpu_set_timer(struct vcpu *vcpu, enum timer_kind kind, uint64_t deadline)
{
	vcpu->timer[kind] = deadline;
}

void vcpu_send_init(struct partition *partition, uint32_t target)
{
	(void)partition;
	pc.inits |= 1u << target;
}

void vcpu_send_startup(struct partition *partition, uint32_t target, uint8_t vector)
{
	(void)partition;
	pc.startups |= 1u << target;
	pc.startup_vector = vector;
}

void vcpu_send_nmi(struct partition *partition, uint32_t target)
{
	(void)partition;
	pc.nmis |= 1u << target;
}

enum status partition_command(struct partition *partition, enum partition_order order, const char *reason)
{
	(void)partition, (void)reason;
	pc.order = order;
	return OK;
}

bool partition_contains(const struct partition *partition, gpa_t address, uint64_t size)
{
	(void)partition;
	return address.value < PC_MEMORY_SIZE && size <= PC_MEMORY_SIZE - address.value;
}

void *partition_memory(const struct partition *partition, gpa_t address, uint64_t size)
{
	return partition_contains(partition, address, size) ? pc.memory + address.value : NULL;
}

bool partition_read(const struct partition *partition, gpa_t from, void *to, size_t size)
{
	const void *source = partition_memory(partition, from, size);

	if (source)
		memcpy(to, source, size);
	return source != NULL;
}

enum exit_action exit_fault(struct vcpu *vcpu, const char *text, ...)
{
	va_list arguments;

	(void)vcpu;
	pc.faults++;
	va_start(arguments, text);
	vsnprintf(pc.fault, sizeof(pc.fault), text, arguments);
	va_end(arguments);
	return EXIT_LEAVE;
}

bool console_put(struct partition *partition, uint8_t byte)
{
	if (pc.console_length < sizeof(pc.console))
		pc.console[pc.console_length++] = (char)byte;
	return !atomic_load(&partition->console.held);
}

void *pool_allocate(size_t pages)
{
	return calloc(pages, PAGE_SIZE);
}

/* The back end */

static uint64_t get_register(struct vcpu *vcpu, enum virt_register which)
{
	(void)vcpu;
	return pc.registers[which];
}

static void set_register(struct vcpu *vcpu, enum virt_register which, uint64_t value)
{
	(void)vcpu;
	pc.registers[which] = value;
}

static void get_segment(struct vcpu *vcpu, enum segment_index which, struct segment *segment)
{
	(void)vcpu;
	*segment = pc.segment[which];
}

static void get_code(struct vcpu *vcpu, struct code_state *code)
{
	const struct segment *segment = &pc.segment[SEGMENT_CS];
	const uint64_t efer = pc.registers[VIRT_EFER];

	(void)vcpu;
	*code = (struct code_state){.rip = pc.registers[VIRT_RIP],
				    .cr3 = pc.registers[VIRT_CR3],
				    .base = segment->base,
				    .long_mode = efer & EFER_LMA,
				    .five_levels = pc.registers[VIRT_CR4] & CR4_LA57,
				    .code = (uint8_t)code_size_of(efer, segment->access)};
}

static void inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error)
{
	(void)vcpu, (void)has_error;
	pc.exceptions |= 1u << vector;
	pc.exception_error = error;
}

static const struct virt_ops fake_ops = {.name = "fake",
					 .get_register = get_register,
					 .set_register = set_register,
					 .get_segment = get_segment,
					 .get_code = get_code,
					 .inject_exception = inject_exception};
const struct virt_ops *virt = &fake_ops;

/* The machine */

void pc_create(uint32_t vcpus)
{
	pc_destroy();
	pc.partition.config = &pc.config;
	pc.partition.vcpu = pc.shared;
	pc.partition.vcpu_count = vcpus;
	pc.memory = calloc(1, PC_MEMORY_SIZE);
	pc.now = 1000;
	if (full_devices_create(&pc.partition))
		abort();
	for (uint32_t i = 0; i < vcpus; i++) {
		pc.vcpu[i].shared = &pc.shared[i];
		pc.vcpu[i].partition = &pc.partition;
		pc.shared[i].index = i;
		for (unsigned kind = 0; kind < TIMERS; kind++)
			pc.vcpu[i].timer[kind] = TIMER_NEVER;
		if (lapic_create(&pc.vcpu[i]))
			abort();
		exit_forget_instructions(&pc.vcpu[i]);
		atomic_store(&pc.shared[i].requests, 0);
	}
}

void pc_destroy(void)
{
	for (uint32_t i = 0; i < PC_VCPUS; i++)
		free(pc.vcpu[i].lapic);
	free(pc.partition.devices);
	free(pc.memory);
	memset(&pc, 0, sizeof(pc));
}

/* The timer that is due next, if it is by then. */
static bool fire_next(uint64_t until)
{
	struct vcpu *vcpu = NULL;
	enum timer_kind which = TIMERS;
	uint64_t next = until;

	for (uint32_t i = 0; i < pc.partition.vcpu_count; i++) {
		for (enum timer_kind kind = TIMER_LAPIC; kind <= TIMER_PIT; kind++) {
			if (pc.vcpu[i].timer[kind] > next)
				continue;
			vcpu = &pc.vcpu[i];
			which = kind;
			next = vcpu->timer[kind];
		}
	}
	if (!vcpu)
		return false;
	pc.now = next > pc.now ? next : pc.now;
	vcpu->timer[which] = TIMER_NEVER;
	full_timer(vcpu, which);
	return true;
}

void pc_run_until(uint64_t tsc)
{
	while (fire_next(tsc))
		;
	pc.now = tsc;
}

void pc_out(uint16_t port, uint8_t value)
{
	if (!full_port_out(&pc.vcpu[0], port, 1, value))
		abort();
}

uint8_t pc_in(uint16_t port)
{
	uint32_t value = 0;

	if (!full_port_in(&pc.vcpu[0], port, 1, &value))
		abort();
	return (uint8_t)value;
}

uint32_t guest_state_pkru(void)
{
	return pc.pkru;
}

bool share_sees(const struct partition *partition, gpa_t address, uint32_t flags)
{
	(void)partition, (void)address, (void)flags;
	return false;
}
