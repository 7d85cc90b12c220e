; The way into the guest and out of it. HOST_RSP is the end of the vCPU's register block, so an exit saves the registers by
; pushing them in reverse, and the stack pointer ends at the block's start; an entry pops them again. RSP's slot is a
; placeholder: the VMCS holds the guest's. No interrupt comes while the stack is there (IF = 0 after an exit), and NMI and
; machine check have stacks of their own.

extern this_vcpu            ; struct vcpu of this CPU, at a constant address: regs come first
extern vmx_handle_exit
extern vmx_entry_refused
global vmx_enter
global vmx_leave
global vmx_exit_stub

RUN_STACK equ 128           ; offset of vcpu.run_stack, checked in vmcs.c

section .text

%macro LOAD_GUEST 0
	lea	rsp, [rel this_vcpu]
	pop	rax
	pop	rcx
	pop	rdx
	pop	rbx
	pop	rbp             ; placeholder
	pop	rbp
	pop	rsi
	pop	rdi
	pop	r8
	pop	r9
	pop	r10
	pop	r11
	pop	r12
	pop	r13
	pop	r14
	pop	r15
%endmacro

; void vmx_enter(bool launched)
vmx_enter:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	sub	rsp, 8
	mov	[rel this_vcpu + RUN_STACK], rsp
	test	dil, dil
	jnz	resume
	LOAD_GUEST
	vmlaunch
	jmp	refused

; HOST_RIP. Registers are cleared, so that no value of the guest's is there to be used by mispredicted code.
vmx_exit_stub:
	push	r15
	push	r14
	push	r13
	push	r12
	push	r11
	push	r10
	push	r9
	push	r8
	push	rdi
	push	rsi
	push	rbp
	push	rax             ; placeholder
	push	rbx
	push	rdx
	push	rcx
	push	rax
	mov	rsp, [rel this_vcpu + RUN_STACK]
	xor	ebx, ebx
	xor	ebp, ebp
	xor	esi, esi
	xor	edi, edi
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	xor	r11d, r11d
	xor	r12d, r12d
	xor	r13d, r13d
	xor	r14d, r14d
	xor	r15d, r15d
	call	vmx_handle_exit

resume:
	LOAD_GUEST
	vmresume
refused:                        ; behind it only if nothing was entered: CF says that there is no current VMCS
	setc	dil
	mov	rsp, [rel this_vcpu + RUN_STACK]
	call	vmx_entry_refused

; void vmx_leave(void)
vmx_leave:
	mov	rsp, [rel this_vcpu + RUN_STACK]
	add	rsp, 8
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret
