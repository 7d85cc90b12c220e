/*
 * Registers of a guest that neither VMCS nor VMCB hold, so that they stay in the CPU from exit to exit: debug
 * address registers, FPU and vector state, XCR0, TSC_AUX. The hypervisor uses none of them
 * (-mgeneral-regs-only), hence no exit pays for them; what has to be done is to leave nothing of a former
 * guest to the next.
 */
#pragma once

#include "hv/core/vcpu.h"

/*
 * On the vCPU's own CPU: DR0-3 0, DR6 and XCR0 as after reset, all FPU and vector state initial (SDM 3A table
 * 9-1), TSC_AUX 0 where there is one; vcpu->xcr0 and vcpu->tsc_aux follow.
 */
void guest_state_reset(struct vcpu *vcpu);
