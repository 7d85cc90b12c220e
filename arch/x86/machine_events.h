/*
 * What the machine itself has to say: NMIs from outside, and machine checks. Their handlers may interrupt
 * anything, so they only note and, where it goes on, have this CPU look again; machine_events_report() then
 * tells, and ends the partition that was hit.
 */
#pragma once

#include "hv/lib/types.h"

/* What one bank of the machine-check architecture reported (SDM 3B 16.3.2, APM 2 9.3.2). */
struct machine_check {
	uint64_t status;  /* MCi_STATUS; 0: nothing noted */
	uint64_t address; /* MCi_ADDR: HPA, 0 if the bank gives none */
	uint32_t bank;
};

/* Each CPU, once it can log: switches error reporting on, and tells what banks hold from before. */
void machine_events_enable(void);

/* In the NMI handler. */
void machine_nmi_note(void);

/*
 * In the machine-check handler. True: every error is corrected, or lies in memory that is a partition's or
 * nobody's, and what was interrupted can go on; it is noted, and the banks are cleared. False: the machine
 * cannot go on, and the banks still tell why.
 */
bool machine_check_note(void);

/* For the report of a machine that stops: the banks that hold an error. */
void machine_check_tell(void);

/* Outside of any handler: REQUEST_MACHINE, or a CPU without a vCPU. */
void machine_events_report(void);
