; Times one call: FFA_NOTIFICATION_SET, with Intel's and with AMD's instruction, and with an idle one for comparison. TSC ticks from
; before the registers are loaded to behind the call.

FFA_NOTIFICATION_SET equ 0x84000081          ; include/bulkhead/abi.h

global time_nop, time_set_vmcall, time_set_vmmcall

section .text
bits 64

; RDI: ids of sender and receiver, RSI: the bits. RDI survives calls, as RBX and R12 do.
%macro TIME_SET 1+
	push	rbx
	push	r12
	mov	rbx, rsi
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	mov	r12, rax
	mov	eax, FFA_NOTIFICATION_SET
	mov	esi, edi
	xor	edx, edx
	mov	ecx, ebx
	mov	r8, rbx
	shr	r8, 32
	%1
	rdtsc
	shl	rdx, 32
	or	rax, rdx
	sub	rax, r12
	pop	r12
	pop	rbx
	ret
%endmacro

align 16
time_nop:
	TIME_SET nop

align 16
time_set_vmcall:
	TIME_SET vmcall

align 16
time_set_vmmcall:
	TIME_SET vmmcall

section .note.GNU-stack noalloc noexec nowrite progbits
