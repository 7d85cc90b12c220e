; A para guest that loops its CPU in the delivery of #DB: the handler's stack, which the IST puts at the same place each time, lies under a
; data breakpoint, so that each delivery raises the next with no instruction in between. The hypervisor has to get its CPU back.

global _start

BREAK_ON_WRITE_OF_8 equ 0x90002 ; DR7: breakpoint 0, global, on writes, 8 bytes (SDM 3B 18.2.4)
TSS_LIMIT           equ 103
IST1                equ 36
HANDLER_STACK       equ 64

section .text
bits 64
_start:
	lea	rax, [rel tss]
	mov	[rel gdt.tss + 2], ax
	shr	rax, 16
	mov	[rel gdt.tss + 4], al
	lgdt	[rel gdt.pointer]
	mov	ax, gdt.tss - gdt
	ltr	ax
	lea	rax, [rel stack + HANDLER_STACK]
	mov	[rel tss + IST1], rax
	lea	rax, [rel handler]
	mov	[rel idt + 16], ax
	shr	rax, 16
	mov	[rel idt + 16 + 6], ax
	lidt	[rel idt.pointer]
	lea	rax, [rel stack + HANDLER_STACK - 8] ; where delivery pushes SS
	mov	dr0, rax
	mov	ecx, BREAK_ON_WRITE_OF_8
	mov	dr7, rcx
	mov	[rax], rcx
handler:
	jmp	handler

section .data align=16
gdt:
	dq	0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
.tss:
	dw	TSS_LIMIT, 0
	db	0, 0x89, 0, 0
	dq	0
.end:
.pointer:
	dw	gdt.end - gdt - 1
	dq	gdt
idt:
	dq	0, 0
	dw	0, 0x08
	db	1, 0x8E          ; IST 1, interrupt gate
	dw	0
	dq	0
.end:
.pointer:
	dw	idt.end - idt - 1
	dq	idt
align 16
tss:
	times TSS_LIMIT + 1 db 0
align 16
stack:
	times HANDLER_STACK db 0
