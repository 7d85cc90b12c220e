; Two ways out of 64-bit mode: switch_task goes
; out of long mode into a protected mode of 32 bits, without paging, where there are still hardware tasks (SDM 3A 7.3), and into one of
; those. Both tasks' segments are there and in order; the new one begins with an undefined instruction and no interrupt table.
; run_32_bit goes to 32-bit code of long mode, and comes back.

global switch_task
global run_32_bit

CODE32      equ 0x08
DATA        equ 0x10
OLD_TASK    equ 0x18
NEW_TASK    equ 0x20
CODE64      equ 0x28
FAR_JUMP    equ 0xEA
TASK_LIMIT  equ 103
TASK_EIP    equ 32
TASK_EFLAGS equ 36
TASK_ES     equ 72
TASK_CS     equ 76
TASK_SS     equ 80
TASK_DS     equ 84
CR0_PG      equ 1 << 31
MSR_EFER    equ 0xC0000080
EFER_LME    equ 1 << 8

section .text
bits 64
switch_task:
	cli
	lidt	[rel no_table]
	lea	rax, [rel old_task]
	mov	[rel gdt.old + 2], ax
	shr	eax, 16
	mov	[rel gdt.old + 4], al
	lea	rax, [rel new_task]
	mov	[rel gdt.new + 2], ax
	shr	eax, 16
	mov	[rel gdt.new + 4], al
	lea	rax, [rel gdt]
	mov	[rel gdt.pointer + 2], rax
	lea	rax, [rel begin]
	mov	[rel new_task + TASK_EIP], eax
	lgdt	[rel gdt.pointer]
	lea	rax, [rel .protected]
	push	CODE32
	push	rax
	retfq
bits 32
.protected:
	mov	ax, DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	eax, cr0
	and	eax, ~CR0_PG
	mov	cr0, eax
	mov	ecx, MSR_EFER
	rdmsr
	and	eax, ~EFER_LME
	wrmsr
	mov	ax, OLD_TASK
	ltr	ax
	jmp	NEW_TASK:0
begin:
	ud2

; void run_32_bit(uint32_t from): with interrupts off. The code ends at address 0, where a jump back is put.
bits 64
run_32_bit:
	push	rbx
	push	rbp
	mov	ebp, cs
	sgdt	[rel own_gdt]
	lea	rax, [rel gdt]
	mov	[rel gdt.pointer + 2], rax
	lgdt	[rel gdt.pointer]
	xor	ecx, ecx
	lea	rax, [rel .back]
	mov	byte [rcx], FAR_JUMP
	mov	[rcx + 1], eax
	mov	word [rcx + 5], CODE64
	mov	edi, edi
	push	CODE32
	push	rdi
	retfq
.back:
	lgdt	[rel own_gdt]
	lea	rax, [rel .own]
	push	rbp
	push	rax
	retfq
.own:
	pop	rbp
	pop	rbx
	ret

section .data align=16
gdt:
	dq	0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
.old:
	dw	TASK_LIMIT, 0
	db	0, 0x89, 0, 0
.new:
	dw	TASK_LIMIT, 0
	db	0, 0x89, 0, 0
.code64:
	dq	0x00AF9B000000FFFF
.end:
.pointer:
	dw	.end - gdt - 1
	dq	0
own_gdt:
	dw	0
	dq	0
no_table:
	dw	0
	dq	0
align 16
old_task:
	times TASK_LIMIT + 1 db 0
new_task:
	times TASK_EFLAGS db 0
	dd	2
	times TASK_ES - TASK_EFLAGS - 4 db 0
	dd	DATA, CODE32, DATA, DATA
	times TASK_LIMIT + 1 - TASK_DS - 4 db 0
