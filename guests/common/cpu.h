/*
 * One stack for each CPU, and who am I: a stack begins at a multiple of its size with a record of the CPU
 * that runs on it. So the CPU's number costs two instructions and no MSR, no CPUID exit and no segment
 * register.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GUEST_MAX_CPUS	 32
#define GUEST_STACK_SIZE 8192 /* also in boot.asm and entry.asm */

struct cpu_stack {
	uint32_t cpu;
	uint32_t reserved;
	void (*entry)(void *context); /* what a further CPU runs */
	void *context;
	uint8_t stack[GUEST_STACK_SIZE - 24];
} __attribute__((aligned(GUEST_STACK_SIZE)));

_Static_assert(sizeof(struct cpu_stack) == GUEST_STACK_SIZE, "a stack's base is found by masking");

extern struct cpu_stack cpu_stacks[GUEST_MAX_CPUS];

/* The record of the CPU that asks; cpu 0 is the one the guest began on. */
static inline struct cpu_stack *this_stack(void)
{
	uint64_t pointer;
	__asm__("mov %%rsp, %0" : "=r"(pointer));
	return (struct cpu_stack *)(pointer & ~(uint64_t)(GUEST_STACK_SIZE - 1));
}

static inline uint32_t this_cpu(void)
{
	return this_stack()->cpu;
}
