/*
 * What a guest program (workload/, bench/) asks of the machine it runs on. Implemented twice: full/ drives a
 * PC's devices and knows nothing of hypervisors, para/ speaks Bulkhead's hypercall interface through lib/.
 * The same source over both shows what the interface alone costs.
 *
 * CPU 0 is the CPU the guest began on. Unless told otherwise, functions are CPU 0's to call, with interrupts
 * on. Handlers run with interrupts off.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLATFORM_CMDLINE_SIZE 256

struct platform {
	const char *kind; /* "full" or "para" */
	const char *name; /* what this guest is called, unless its command line says otherwise */
	const char *cmdline;
	uint64_t memory_size; /* bytes of RAM from address 0 */
	uint32_t cpu_count;   /* CPUs this guest may start, the one it runs on included */
	uint32_t tsc_khz;
};

/* The program: called once on CPU 0 with everything set up and interrupts on. */
_Noreturn void guest_main(const struct platform *platform);

/* Console. A write holds whole lines and returns when the last byte is on its way. */
void platform_write(const char *text, size_t size);
/* From here on input arrives, and output takes the way meant for steady work. */
void platform_console_start(void);
/* Waits until everything written has left the guest. */
void platform_flush(void);
/* The next byte typed, or -1. Also with interrupts off. */
int platform_read(void);

/* Time. The tick is periodic. Sleeping, for 500 ms at most, uses another timer, but not while the tick runs.
 */
uint64_t platform_time_ns(void); /* monotonic, from an arbitrary start; any CPU */
void platform_tick_start(uint32_t hz, void (*handler)(void));
void platform_tick_stop(void);
void platform_sleep_ms(uint32_t milliseconds);

/* Halts until an interrupt was handled. Called and returns with interrupts off, any CPU. */
void platform_idle(void);

/* Further CPUs. `entry` runs with interrupts on; returning from it stops the CPU. */
bool platform_cpu_start(uint32_t cpu, void (*entry)(void *context),
			void *context); /* false: it did not come */
_Noreturn void platform_cpu_stop(void); /* the calling CPU */
bool platform_cpu_running(uint32_t cpu);
/* Interrupts a CPU, any CPU from any CPU; the handler runs there. */
void platform_ipi(uint32_t cpu);
void platform_on_ipi(void (*handler)(void));

_Noreturn void platform_power_off(void);
_Noreturn void platform_reset(void);

/* Tells what only this platform knows of itself, in lines of its own. */
void platform_report(void);
