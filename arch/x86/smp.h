/*
 * The CPUs of the machine, brought up by the hypervisor itself: INIT and two start-up IPIs (SDM 3A 8.4.4, APM
 * 2 15.28).
 */
#pragma once

#include <bulkhead/boot_info.h>
#include "arch/x86/percpu.h"
#include "hv/core/virt.h"

/* Pages of the pool that one CPU takes for its area, stacks and tables. */
#define CPU_POOL_PAGES (PERCPU_PAGES + STACK_PAGES + FAULT_STACK_PAGES + 4)

/* Per-CPU areas and tables for all CPUs the loader names. Boot CPU, on the boot tables. */
enum status cpus_create(const struct boot_info *boot) MUST_CHECK;

/* Starts all other CPUs, one after the other. One that does not answer or refuses is named, and left out. */
void cpus_start(const struct boot_info *boot);

/* Lets all CPUs that are ready go to cpu_main(). */
void cpus_release(void);

/* Picks virt by what the CPU offers, and probes it: ERR_UNSUPPORTED with the reason in *message. Boot CPU. */
enum status cpu_select_virt(char message[VIRT_MESSAGE]) MUST_CHECK;

/* Control registers and PAT as every CPU has them in the hypervisor. */
void cpu_set_controls(void);
/* Virtualisation on, on this CPU: probe and enable. Takes features this CPU lacks from virt_features. */
enum status cpu_enable_virt(char message[VIRT_MESSAGE]) MUST_CHECK;
