/*
 * A CPU that a test owns: its clock stands still unless moved, its CPUID answers are rows of the test, ports
 * go to the test's device, and sleeping is a call. There is one; fake_cpu_reset() makes it new.
 */
#pragma once

#include "arch/x86/cpu.h"

#define FAKE_LEAVES 32
#define FAKE_MSRS   32

struct fake_leaf {
	uint32_t leaf, subleaf;
	struct cpuid_result result;
};

struct fake_cpu {
	uint64_t tsc, tsc_step; /* tsc_step: what each look at the clock adds */
	uint64_t cr0, cr3, cr4, xcr0;
	unsigned xsetbvs, windows;
	unsigned leaf_count, msr_count;
	struct fake_leaf leaf[FAKE_LEAVES];
	struct {
		uint32_t index;
		uint64_t value;
	} msr[FAKE_MSRS]; /* what was written last to each */
	uint8_t (*in)(uint16_t port);
	void (*out)(uint16_t port, uint8_t value);
	void (*wait)(void);   /* the CPU sleeps; returns when it woke */
	void (*window)(void); /* interrupts are let in */
};

extern struct fake_cpu cpu;

void fake_cpu_reset(void);
void fake_cpu_leaf(uint32_t leaf, uint32_t subleaf, struct cpuid_result result);
