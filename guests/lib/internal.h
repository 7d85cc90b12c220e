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

/* messages.c: maps TX and RX if that is still to be done, 0 or a code; and gives RX back. */
int bh_map_buffers(void);
void bh_release_buffer(void);
extern uint8_t bh_tx[], bh_rx[];

/* Each registers its shared page: 0 or the call's negative code. */
int bh_events_register(void); /* of this vCPU */
int bh_clock_register(void);
int bh_console_register(void);
