/*
 * What belongs to one physical CPU. The area is at the same virtual address on every CPU (PERCPU_BASE), so
 * this_cpu is a constant; other CPUs cannot reach it. The boot CPU fills each area before it starts the CPU.
 *
 *   struct percpu (PERCPU_PAGES), guard page, stack, guard page, fault stack (NMI, #DF, #MC by IST), guard
 * page
 *
 * this_cpu and this_vcpu are two names of one address (hv/linker.ld), which the compiler must take for two
 * objects: what is in struct vcpu is reached through this_vcpu only, the rest through this_cpu only.
 */
#pragma once

#include "arch/x86/cpu.h"
#include "arch/x86/machine_events.h"
#include "hv/core/vcpu.h"
#include "hv/mem/layout.h"

#define PERCPU_PAGES	  1
#define STACK_PAGES	  3
#define FAULT_STACK_PAGES 2
#define STACK_TOP	  (PERCPU_BASE + (PERCPU_PAGES + 1 + STACK_PAGES) * PAGE_SIZE)
#define FAULT_STACK_TOP	  (STACK_TOP + (1 + FAULT_STACK_PAGES) * PAGE_SIZE)
/* Entries of the interrupt stack table. NMI gets the uppermost part of the fault stack for itself, since one
 * may come while a double fault is being reported. */
#define IST_NMI	       1
#define IST_FAULT      2
#define NMI_STACK_SIZE 1024

struct percpu {
	struct vcpu vcpu; /* first: this_vcpu is PERCPU_BASE */
	uint32_t index;	  /* 0 is the boot CPU */
	uint32_t apic_id;
	hpa_t area; /* HPA of this area's first page */
	hpa_t cr3;
	_Atomic uint32_t nmi_count; /* NMIs from outside */
	uint32_t nmis_told;	    /* of those, how many machine_events_report() has seen */
	struct machine_check machine_check;
	bool virt_enabled; /* virt->cpu_enable() was called, cpu_disable() was not */
	struct gdt gdt ALIGNED(16);
	struct tss tss ALIGNED(16);
};

extern struct percpu this_cpu[1];

/* What other CPUs may know of a CPU; in the image's data. */
struct cpu_info {
	uint32_t apic_id;
	_Atomic uint32_t state; /* enum cpu_state */
	hpa_t cr3;
	struct vcpu_shared *vcpu; /* NULL: no partition */
};
enum cpu_state { CPU_ABSENT, CPU_STARTED, CPU_READY, CPU_REFUSED };
extern struct cpu_info cpus[];
extern uint32_t cpu_count;
