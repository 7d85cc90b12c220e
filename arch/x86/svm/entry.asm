; The loop around VMRUN: general registers in, the guest runs, general registers out, C decides.
;
; The vCPU is at a constant address (this_vcpu), so every register goes straight to its place in vcpu->regs. RAX and RSP are
; in the VMCB (APM 2 15.5.1): VMRUN takes the VMCB's address in RAX and gives the hypervisor's RSP back.
;
; svm_exit() is C, so RBP and R12 to R15 come back from it as the guest left them. They are stored, for reports, but
; loaded again only on the long way round, svm_resume(); what short exits may change is loaded always.

bits 64
default abs

extern this_vcpu
extern svm_exit

; struct vcpu, as asserted in svm.h
%define REGISTER(n) [this_vcpu + 8 * (n)]
%define RCX_AT      REGISTER(1)
%define RDX_AT      REGISTER(2)
%define RBX_AT      REGISTER(3)
%define RBP_AT      REGISTER(5)
%define RSI_AT      REGISTER(6)
%define RDI_AT      REGISTER(7)
%define RUN_STACK   [this_vcpu + 128]
%define EXIT_TSC    [this_vcpu + 136]

section .text

; void svm_enter(uint64_t vmcb): until svm_leave().
; With GIF = 0, RFLAGS.IF = 1 (so that a physical interrupt ends the guest's run) and the guest's VMLOAD state in place.
global svm_enter
svm_enter:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	RUN_STACK, rsp
	mov	rax, rdi
load_all:
	mov	rbp, RBP_AT
	mov	r12, REGISTER(12)
	mov	r13, REGISTER(13)
	mov	r14, REGISTER(14)
	mov	r15, REGISTER(15)
load_changed:
	mov	rcx, RCX_AT
	mov	rdx, RDX_AT
	mov	rbx, RBX_AT
	mov	rsi, RSI_AT
	mov	rdi, RDI_AT
	mov	r8, REGISTER(8)
	mov	r9, REGISTER(9)
	mov	r10, REGISTER(10)
	mov	r11, REGISTER(11)
	vmrun

	mov	RCX_AT, rcx
	mov	RDX_AT, rdx
	mov	RBX_AT, rbx
	mov	RBP_AT, rbp
	mov	RSI_AT, rsi
	mov	RDI_AT, rdi
	mov	REGISTER(8), r8
	mov	REGISTER(9), r9
	mov	REGISTER(10), r10
	mov	REGISTER(11), r11
	mov	REGISTER(12), r12
	mov	REGISTER(13), r13
	mov	REGISTER(14), r14
	mov	REGISTER(15), r15
	rdtsc
	mov	EXIT_TSC, eax
	call	svm_exit		; RAX: the VMCB again
	jmp	load_changed

; noreturn void svm_resume(uint64_t vmcb): back into the guest from anywhere below svm_exit().
global svm_resume
svm_resume:
	mov	rsp, RUN_STACK
	mov	rax, rdi
	jmp	load_all

; noreturn void svm_leave(void): svm_enter() returns.
global svm_leave
svm_leave:
	mov	rsp, RUN_STACK
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
