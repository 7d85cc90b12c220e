; One hypercall with every register in known hands: all sixteen general registers and RFLAGS go in from one record and come out into
; another, so that whatever the hypervisor has changed shows.
;
; struct registers (table.h): general registers in the order of instruction encoding, RSP (comes out only), then RFLAGS.

extern bh_use_vmmcall
global call_with_registers

RAX_ equ 0
RCX_ equ 8
RDX_ equ 16
RBX_ equ 24
RSP_ equ 32
RBP_ equ 40
RSI_ equ 48
RDI_ equ 56
R8_  equ 64
R9_  equ 72
R10_ equ 80
R11_ equ 88
R12_ equ 96
R13_ equ 104
R14_ equ 112
R15_ equ 120
FLAGS_ equ 128

section .bss align=8
out_record:
	resq	1
stack_before:
	resq	1

section .text
bits 64

; void call_with_registers(const struct registers *in, struct registers *out): one CPU at a time.
; Behind the call no register may be touched before it is kept: the record's address waits on the stack, RSP itself in memory.
align 16
call_with_registers:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	pushfq
	mov	[rel out_record], rsi
	mov	[rel stack_before], rsp
	cmp	byte [rel bh_use_vmmcall], 0    ; decided before the flags go in
	jne	.amd
	call	load
	vmcall
	jmp	.keep
.amd:
	call	load
	vmmcall
.keep:
	pushfq                                  ; changes no flag and no register but RSP
	push	rax
	mov	rax, [rel out_record]
	mov	[rax + RCX_], rcx
	mov	[rax + RDX_], rdx
	mov	[rax + RBX_], rbx
	mov	[rax + RBP_], rbp
	mov	[rax + RSI_], rsi
	mov	[rax + RDI_], rdi
	mov	[rax + R8_], r8
	mov	[rax + R9_], r9
	mov	[rax + R10_], r10
	mov	[rax + R11_], r11
	mov	[rax + R12_], r12
	mov	[rax + R13_], r13
	mov	[rax + R14_], r14
	mov	[rax + R15_], r15
	pop	rcx
	mov	[rax + RAX_], rcx
	pop	rcx
	mov	[rax + FLAGS_], rcx
	mov	rcx, rsp                        ; what the call left, less what it was before: 0
	sub	rcx, [rel stack_before]
	mov	[rax + RSP_], rcx
	mov	rsp, [rel stack_before]
	popfq
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

; From the record at RDI; the flags last, RDI last but those.
load:
	push	qword [rdi + FLAGS_]
	mov	rax, [rdi + RAX_]
	mov	rcx, [rdi + RCX_]
	mov	rdx, [rdi + RDX_]
	mov	rbx, [rdi + RBX_]
	mov	rbp, [rdi + RBP_]
	mov	rsi, [rdi + RSI_]
	mov	r8, [rdi + R8_]
	mov	r9, [rdi + R9_]
	mov	r10, [rdi + R10_]
	mov	r11, [rdi + R11_]
	mov	r12, [rdi + R12_]
	mov	r13, [rdi + R13_]
	mov	r14, [rdi + R14_]
	mov	r15, [rdi + R15_]
	mov	rdi, [rdi + RDI_]
	popfq
	ret

section .note.GNU-stack noalloc noexec nowrite progbits
