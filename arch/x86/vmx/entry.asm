; The way into the guest and out of it. HOST_RSP is the end of the vCPU's register block, so an exit saves most registers by
; pushing them in reverse; an entry pops them again. The four below RSP's slot, which the VMCS makes useless, are moved.
; No interrupt comes while the stack is there (IF = 0 after an exit), and NMI and machine check have stacks of their own.

extern this_vcpu            ; struct vcpu of this CPU, at a constant address: regs come first
extern vmx_exit_handlers    ; by reason
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

VMEXIT_HANDLERS equ 128     ; checked in exit.c

VMCS_EXIT_REASON             equ 0x4402 ; SDM 3C appendix B
VMCS_EXIT_INSTRUCTION_LENGTH equ 0x440C
VMCS_GUEST_INTERRUPTIBILITY  equ 0x4824
VMCS_GUEST_RIP               equ 0x681E
VMCS_GUEST_RFLAGS            equ 0x6820

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
; ends backtraces. R8 to R11 get what is of use: the numbers of the fields that most exits read.
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
	mov	eax, VMCS_EXIT_REASON
	vmread	rax, rax
	mov	r8d, VMCS_GUEST_RIP
	mov	r9d, VMCS_GUEST_RFLAGS
	mov	r10d, VMCS_GUEST_INTERRUPTIBILITY
	mov	r11d, VMCS_EXIT_INSTRUCTION_LENGTH
	lea	rdi, [rel this_vcpu]
	vmread	rsi, r8
	xor	ecx, ecx
	xor	ebx, ebx
	xor	ebp, ebp
	xor	r12d, r12d
	xor	r13d, r13d
	xor	r14d, r14d
	xor	r15d, r15d
	and	eax, VMEXIT_HANDLERS - 1 ; what lies beyond, and a failed entry's flag, is for vmx_handle_rare, which looks again
	jmp	[vmx_exit_handlers + rax * 8]

; The frequent instructions: RIP moves on before they are served (and back, should they not be done). Their handlers get RIP,
; interruptibility and RFLAGS as they were.
%macro INSTRUCTION 2
global %1
extern %2
%1:
	vmread	r11, r11
	vmread	rdx, r10
	vmread	rcx, r9
	add	r11, rsi
	vmwrite	r8, r11
	jmp	%2
%endmacro

INSTRUCTION vmx_exit_cpuid, vmx_handle_cpuid
INSTRUCTION vmx_exit_hypercall, vmx_handle_hypercall
INSTRUCTION vmx_exit_msr_read, vmx_handle_msr_read
INSTRUCTION vmx_exit_msr_write, vmx_handle_msr_write
INSTRUCTION vmx_exit_port, vmx_handle_port
