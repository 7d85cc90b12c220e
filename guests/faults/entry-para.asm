; A para guest in a state that SVM must not enter: 64-bit mode with CS.L and CS.D both 1. A CPU refuses to load such a segment; QEMU's TCG
; lets it in, so that the first VMRUN after that is refused. Where the segment is refused, the guest ends in a triple fault.

global _start

CODE_BOTH equ gdt.both - gdt

section .text
bits 64
_start:
	lea	rsp, [rel stack_end]
	lgdt	[rel gdt.pointer]
	push	CODE_BOTH
	lea	rax, [rel .loaded]
	push	rax
	o64 retf
.loaded:
	xor	eax, eax
	cpuid
.halt:
	cli
	hlt
	jmp	.halt

section .data align=16
gdt:
	dq	0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
.both:
	dq	0x00EF9B000000FFFF
.pointer:
	dw	.pointer - gdt - 1
	dq	gdt

section .bss nobits alloc write align=16
	resb	64
stack_end:
