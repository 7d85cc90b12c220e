/*
 * The end of the hypervisor by its own mistake: panic() (hv/lib/log.h) and every exception come here.
 */
#pragma once

#include "arch/x86/interrupts.h"

/* Called by the stubs of interrupts.asm. Returns only from a machine check that the machine survives. */
void exception_handler(const struct exception_frame *frame);
