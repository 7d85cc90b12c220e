/*
 * The bench guest: what one trip from the guest to whatever is underneath and back costs, in TSC ticks (on an
 * emulator that counts instructions, one tick is one instruction). loops.asm times 1,000 operations between
 * two RDTSC.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BENCH_OPERATIONS 1000u	     /* also in loops.inc */
#define BENCH_INTERVAL	 40000u	     /* TSC ticks a timer is armed for */
#define BENCH_NO_CALL	 0x8600EEEEu /* a vendor call that does not exist */

/* Does its operation BENCH_OPERATIONS times and returns the TSC ticks that took. The arguments are the loop's
 * own. */
typedef uint64_t bench_loop(uint64_t first, uint64_t second);

/*
 * Runs a loop eleven times and prints `bench NAME median=… min=… n=1000`, in TSC ticks for one operation,
 * rounded to the nearest. `expected` ticks of each operation are waiting, not cost.
 */
void bench_measure(const char *name, bench_loop *loop, uint64_t first, uint64_t second, uint64_t expected);

/* Each platform's own operations. */
void bench_platform(void);

/* loops.asm */
bench_loop loop_cpuid;	/* leaf */
bench_loop loop_vmcall; /* function identifier */
bench_loop loop_vmmcall;
bench_loop loop_msr_read;			    /* MSR */
bench_loop loop_msr_write;			    /* MSR, value */
bool probe_msr_read(uint32_t msr, uint64_t *value); /* false: #GP */
bool probe_msr_write(uint32_t msr, uint64_t value);
