/*
 * The ends of the machine: power off in order, or stop for good.
 */
#pragma once

#include "hv/lib/types.h"

/*
 * Firmware's ResetSystem(EfiResetShutdown) (UEFI 2.10, 8.5.1), then the shutdown ports of the emulators;
 * where none works it says so and halts. From any CPU: CPU 0 does it. All other CPUs are stopped.
 */
NORETURN void machine_power_off(void);

/* Stops this CPU for good. */
NORETURN void cpu_halt(void);

/* NMI to all other CPUs: those stop where they are. */
void machine_stop_others(void);
/* True once machine_stop_others() was called: what the NMI handler looks at. */
bool machine_stopping(void);
