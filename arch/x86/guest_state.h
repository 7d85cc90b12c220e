/*
 * Registers of a guest that neither VMCS nor VMCB hold, so that they stay in the CPU from exit to exit: debug
 * address registers, FPU and vector state, XCR0, PKRU, TSC_AUX, the speculation controls. The hypervisor uses
 * none of them (-mgeneral-regs-only), hence no exit pays for them; what has to be done is to leave nothing of
 * a former guest to the next.
 */
#pragma once

#include "hv/core/vcpu.h"

/*
 * On the vCPU's own CPU: DR0-3 0, DR6 and XCR0 as after reset, all FPU and vector state initial (SDM 3A table
 * 9-1), PKRU, TSC_AUX and SPEC_CTRL 0 where there are such; vcpu->xcr0 and vcpu->tsc_aux follow.
 */
void guest_state_reset(struct vcpu *vcpu);

/* PKRU, for a guest with CR4.PKE = 1: elsewhere nothing can read it. */
uint32_t guest_state_pkru(void);
