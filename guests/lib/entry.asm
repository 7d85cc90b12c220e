; From the hypervisor's hands to C: the boot vCPU at _start with RDI = struct bh_start, every other at
; bh_secondary_entry with RDI = the base of its stack. Both come in 64-bit mode, identity-mapped, interrupts off, RSP = 0
; (include/bulkhead/abi.h), and leave the hypervisor's segments for a descriptor table of their own.

STACK_SIZE equ 8192                          ; common/cpu.h
CODE64     equ 0x08
DATA       equ 0x10

extern bh_first_cpu, bh_further_cpu, cpu_stacks
global _start, bh_secondary_entry

section .text
bits 64

_start:
	lea	rsp, [rel cpu_stacks + STACK_SIZE]
	call	load_segments
	call	bh_first_cpu
	ud2

bh_secondary_entry:
	lea	rsp, [rdi + STACK_SIZE]
	call	load_segments
	call	bh_further_cpu
	ud2

; Keeps RDI.
load_segments:
	cld
	lgdt	[rel descriptor_pointer]
	mov	eax, DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	pop	rax
	push	CODE64
	push	rax
	retfq

section .rodata
align 8
descriptors:
	dq	0
	dq	0x00AF9B000000FFFF           ; 64-bit code
	dq	0x00CF93000000FFFF           ; data
descriptors_end:
descriptor_pointer:
	dw	descriptors_end - descriptors - 1
	dq	descriptors

section .note.GNU-stack noalloc noexec nowrite progbits
