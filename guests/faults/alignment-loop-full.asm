; A full guest that loops its CPU in the delivery of #AC: at privilege level 3, with alignment checks on and a misaligned stack, each
; delivery raises the next with no instruction in between. The hypervisor has to get its CPU back.

section .multiboot align=4
	dd	0x1BADB002, 0, -0x1BADB002

global _start

CR0_AM      equ 1 << 18
EFLAGS_AC   equ 1 << 18
CODE        equ 0x08
DATA        equ 0x10
USER_CODE   equ 0x18 | 3
USER_DATA   equ 0x20 | 3
VECTOR_AC   equ 17

section .text
bits 32
_start:
	lgdt	[gdt.pointer]
	jmp	CODE:.flat
.flat:
	mov	ax, DATA
	mov	ss, ax
	mov	esp, stack_end
	mov	eax, handler
	mov	[idt + VECTOR_AC * 8], ax
	shr	eax, 16
	mov	[idt + VECTOR_AC * 8 + 6], ax
	lidt	[idt.pointer]
	mov	eax, cr0
	or	eax, CR0_AM
	mov	cr0, eax
	mov	ax, USER_DATA
	mov	ds, ax
	push	USER_DATA
	push	user_stack_end - 1
	push	EFLAGS_AC | 2
	push	USER_CODE
	push	.user
	iret
.user:
	push	eax
handler:
	jmp	handler

section .data align=16
gdt:
	dq	0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF
.end:
.pointer:
	dw	gdt.end - gdt - 1
	dd	gdt
align 8
idt:
	times VECTOR_AC dq 0
	dw	0, USER_CODE
	db	0, 0xEE          ; interrupt gate, DPL 3
	dw	0
.end:
.pointer:
	dw	idt.end - idt - 1
	dd	idt
align 16
	times 64 db 0
stack_end:
	times 256 db 0
user_stack_end:
