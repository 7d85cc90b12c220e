; The way into the guest and out of it. HOST_RSP is the end of the vCPU's register block, so an exit saves most registers by
; pushing them in reverse; an entry pops them again. The four below RSP's slot, which the VMCS makes useless, are moved.
; No interrupt comes while the stack is there (IF = 0 after an exit), and NMI and machine check have stacks of their own.

extern this_vcpu            ; struct vcpu of this CPU, at a constant address: regs come first
extern vmx_exit_handlers    ; by reason
extern vmx_handle_rare
extern vmx_entry_refused
global vmx_enter
global vmx_resume
global vmx_leave
global vmx_exit_stub

; Offsets into struct vcpu, checked in vmcs.c.
RAX_SLOT  equ 0
RCX_SLOT  equ 8
RDX_SLOT  equ 16
RBX_SLOT  equ 24
RBP_SLOT  equ 40
RUN_STACK equ 128
EXIT_TSC  equ 136

VMEXIT_REASONS   equ 65     ; checked in exit.c
VMCS_EXIT_REASON equ 0x4402

section .text

%macro LOAD_GUEST 0
	mov	rax, [rel this_vcpu + RAX_SLOT]
	mov	rcx, [rel this_vcpu + RCX_SLOT]
	mov	rdx, [rel this_vcpu + RDX_SLOT]
	mov	rbx, [rel this_vcpu + RBX_SLOT]
	lea	rsp, [rel this_vcpu + RBP_SLOT]
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
	mov	[rel this_vcpu + RUN_STACK], rsp 
	test	dil, dil
	jnz	vmx_resume
	LOAD_GUEST
	vmlaunch
	jmp	refused

; void vmx_resume(void)
vmx_resume:
	LOAD_GUEST
	vmresume
refused:                        ; behind it only if nothing was entered: CF says that there is no current VMCS
	setc	dil
	mov	rsp, [rel this_vcpu + RUN_STACK]
	sub	rsp, 8
	call	vmx_entry_refused

; void vmx_leave(void)
vmx_leave:
	mov	rsp, [rel this_vcpu + RUN_STACK]
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

; HOST_RIP. Every register gets a value of ours, so that none of the guest's is there to be used by mispredicted code; RBP = 0
; ends backtraces.
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
	mov	[rel this_vcpu + RBX_SLOT], rbx
	mov	[rel this_vcpu + RDX_SLOT], rdx
	mov	[rel this_vcpu + RCX_SLOT], rcx
	mov	[rel this_vcpu + RAX_SLOT], rax
	mov	rsp, [rel this_vcpu + RUN_STACK]
	rdtsc
	mov	[rel this_vcpu + EXIT_TSC], eax
	mov	ecx, VMCS_EXIT_REASON
	vmread	rsi, rcx
	lea	rdi, [rel this_vcpu]
	xor	ebx, ebx
	xor	ebp, ebp
	xor	r8d, r8d
	xor	r9d, r9d
	xor	r10d, r10d
	xor	r11d, r11d
	xor	r12d, r12d
	xor	r13d, r13d
	xor	r14d, r14d
	xor	r15d, r15d
	cmp	esi, VMEXIT_REASONS
	jae	vmx_handle_rare
	jmp	[vmx_exit_handlers + rsi * 8]
