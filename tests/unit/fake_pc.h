/*
 * A full partition without a machine: memory from the heap, vCPUs that run nowhere, a clock that a test
 * moves, and a back end whose registers are variables. What the devices ask of the core leaves a trace to
 * look at. There is one at a time.
 */
#pragma once

#include "hv/core/exit.h"
#include "hv/core/partition.h"
#include "hv/core/virt.h"
#include "hv/device/devices.h"

#define PC_VCPUS	20
#define PC_MEMORY_PAGES 64
#define PC_MEMORY_SIZE	(PC_MEMORY_PAGES * PAGE_SIZE)
#define PC_TSC_KHZ	2500000u
#define PC_CONSOLE_SIZE 4096

struct fake_pc {
	struct partition partition;
	struct partition_config config;
	struct vcpu vcpu[PC_VCPUS];
	struct vcpu_shared shared[PC_VCPUS];
	uint8_t *memory;
	uint64_t now;

	uint64_t registers[VIRT_REGISTERS];
	struct segment segment[SEGMENTS];
	uint32_t pkru;

	char console[PC_CONSOLE_SIZE];
	size_t console_length;
	enum partition_order order;
	unsigned faults;
	char fault[256];
	unsigned exceptions;
	uint32_t exception_error;
	uint32_t inits, startups, nmis; /* bit i: vCPU i was sent one */
	uint8_t startup_vector;
};

extern struct fake_pc pc;

/* Powers on a PC with that many vCPUs, all APICs in their reset state. Ends the one before. */
void pc_create(uint32_t vcpus);
void pc_destroy(void);

/* Moves the clock, and lets the timers that pass fire, as the run loop does. */
void pc_run_until(uint64_t tsc);

void pc_out(uint16_t port, uint8_t value); /* on vCPU 0 */
uint8_t pc_in(uint16_t port);
