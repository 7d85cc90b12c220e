; A full guest that goes to long mode with the TSS of a 16-bit task, and changes CD on the way. A CPU by itself would not go (#GP, SDM 3A 9.8.5);
; the hypervisor, to which CD is left, does not look at the task register, so that on VT-x the next entry fails: the report of a VM-entry
; failure, reached from inside. Where the entry succeeds the guest goes on to halt.

section .multiboot align=4
	dd	0x1BADB002, 0, -0x1BADB002

global _start

TASK        equ 0x08
TASK_LIMIT  equ 43
CR0_PG_CD   equ 1 << 31 | 1 << 30
CR4_PAE     equ 1 << 5
MSR_EFER    equ 0xC0000080
EFER_LME    equ 1 << 8
TABLE       equ 3                 ; present, writable
LARGE       equ 0x83              ; and a page of 2 MiB

section .text
bits 32
_start:
	mov	eax, task
	mov	[gdt.task + 2], ax
	shr	eax, 16
	mov	[gdt.task + 4], al
	lgdt	[gdt.pointer]
	mov	ax, TASK
	ltr	ax
	mov	dword [level4], level3 + TABLE
	mov	dword [level3], level2 + TABLE
	mov	dword [level2], LARGE
	mov	eax, level4
	mov	cr3, eax
	mov	eax, CR4_PAE
	mov	cr4, eax
	mov	ecx, MSR_EFER
	mov	eax, EFER_LME
	xor	edx, edx
	wrmsr
	mov	eax, cr0
	or	eax, CR0_PG_CD
	mov	cr0, eax
	cli
	hlt

section .data align=16
gdt:
	dq	0
.task:
	dw	TASK_LIMIT, 0
	db	0, 0x81, 0, 0     ; available TSS of 16 bits
.end:
.pointer:
	dw	gdt.end - gdt - 1
	dd	gdt
task:
	times TASK_LIMIT + 1 db 0

section .bss nobits alloc write align=4096
level4:
	resb	4096
level3:
	resb	4096
level2:
	resb	4096
