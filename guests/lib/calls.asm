; Hypercalls: the C calling convention and Bulkhead's differ only in x0, so a call is a move and an instruction.
; C: RDI RSI RDX RCX R8 R9. Bulkhead: RAX RSI RDX RCX R8 R9 R10 R11 (include/bulkhead/abi.h).

PSCI_CPU_SUSPEND_64 equ 0xC4000001

global bh_call, bh_call_registers, bh_suspend, bh_use_vmmcall

section .data
bh_use_vmmcall:
	db	0

section .text
bits 64

; The instruction of this CPU's vendor; the flag comes from CPUID.
%macro HYPERCALL 0
	cmp	byte [rel bh_use_vmmcall], 0
	jne	%%amd
	vmcall
	jmp	%%done
%%amd:
	vmmcall
%%done:
%endmacro

; uint64_t bh_call(uint32_t function, x1, x2, x3, x4, x5)
align 16
bh_call:
	mov	eax, edi
	cmp	byte [rel bh_use_vmmcall], 0
	jne	.amd
	vmcall
	ret
.amd:
	vmmcall
	ret

; void bh_call_registers(uint64_t x[8]): RDI is preserved by every call.
align 16
bh_call_registers:
	mov	rax, [rdi]
	mov	rsi, [rdi + 8]
	mov	rdx, [rdi + 16]
	mov	rcx, [rdi + 24]
	mov	r8, [rdi + 32]
	mov	r9, [rdi + 40]
	mov	r10, [rdi + 48]
	mov	r11, [rdi + 56]
	HYPERCALL
	mov	[rdi], rax
	mov	[rdi + 8], rsi
	mov	[rdi + 16], rdx
	mov	[rdi + 24], rcx
	mov	[rdi + 32], r8
	mov	[rdi + 40], r9
	mov	[rdi + 48], r10
	mov	[rdi + 56], r11
	ret

; void bh_suspend(void): STI holds interrupts off until the call, so an event either is seen by the hypervisor as
; pending or wakes the call. Standby state: x1 to x3 are 0.
align 16
bh_suspend:
	xor	esi, esi
	xor	edx, edx
	xor	ecx, ecx
	mov	eax, PSCI_CPU_SUSPEND_64
	cmp	byte [rel bh_use_vmmcall], 0
	jne	.amd
	sti
	vmcall
	ret
.amd:
	sti
	vmmcall
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
