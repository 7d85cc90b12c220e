/* What the library's files tell each other. */
#pragma once

#include "bulkhead.h"

/* calls.asm */
extern uint8_t bh_use_vmmcall;
void bh_suspend(void); /* STI and CPU_SUSPEND as one: no event slips in between */

/* entry.asm */
void bh_secondary_entry(void);

/* start.c, called by entry.asm */
void bh_first_cpu(const struct bh_start *start);
void bh_further_cpu(void);

/* An FF-A call: 0, its negative code, or that of a call that does not exist. `x` as bh_call_registers(). */
int bh_ffa_call(uint64_t x[8]);

/* Each registers its shared page: 0 or the call's negative code. */
int bh_events_register(void); /* of this vCPU */
int bh_clock_register(void);
int bh_console_register(void);
