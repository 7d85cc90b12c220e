/*
 * Attacks, one tiny function per property, collected in tables: each runs under the net of
 * guests/cpu/probes.asm, and what became of it is told in one line. Above each function or row stands what
 * the architecture and Bulkhead's policy demand; tests/system/test_hostile.py holds the outcome that is
 * demanded word for word.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "../../guests/common/print.h"
#include "../../guests/common/text.h"
#include "../../guests/common/x86.h"
#include "../../guests/cpu/cpu.h"
#include "../../guests/platform.h"

#define PAGE_SIZE	4096ull
#define LARGE_PAGE_SIZE (2ull << 20)

struct attack {
	const char *name;
	attempted *run;
	uint64_t a, b; /* what they mean is the function's affair; a typed number takes the place of `a` */
};

extern const struct platform *platform;
extern const struct attack *attack; /* the one that runs */
extern uint64_t attack_a;	    /* its `a`, or what was typed */

/* A value to be told with the outcome, if the attack gets that far. */
void observe(uint64_t value);

/* Halts this CPU with interrupts off, with `last` running on CPU 1, which waits for that. In instructions.c.
 */
void halt_beside(void (*last)(void *context));
void wait_for_halt(void);

/* Tables end with a row without name. The platform's own are those of calls.c or devices.c. */
extern const struct attack memory_attacks[], register_attacks[], instruction_attacks[], delivery_attacks[];
extern const struct attack *const platform_tables[]; /* up to a NULL */

/* memory.c */
#define FROM_MEMORY_END (1ull << 62) /* the upper half of `a`: the lower is signed, and counts from there */
#define MEMORY_END(by)	(FROM_MEMORY_END | (uint32_t)(by))
uint64_t attack_address(void);
volatile uint8_t *map_window(uint64_t physical); /* two pages of 2 MiB from there on */
uint64_t *identity_entry(uint64_t address);	 /* what maps these 2 MiB of memory at their own address */
#define ENTRY_WRITABLE 2ull
#define HIDDEN	       0x600000ull /* 2 MiB in which nothing stands */

#define CLOBBERS "memory", "cc"
