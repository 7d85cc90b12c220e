; Where a CPU of the stress test begins. The library hands a new CPU its stack, and what it shall run, in the record at the stack's base
; (common/cpu.h). But here several CPUs try to start the same one at once, and only the one that succeeds may write there: so it is the new
; CPU itself that does, from the ticket it was started with (stress.c).

STACK_SHIFT equ 13                           ; common/cpu.h: 8192 bytes
RECORD_ENTRY   equ 8
RECORD_CONTEXT equ 16

extern bh_secondary_entry, cpu_stacks, stress_begin
global stress_entry

section .text
bits 64

; RDI: struct ticket, which begins with the number of the CPU.
stress_entry:
	mov	eax, [rdi]
	mov	ecx, eax
	shl	rcx, STACK_SHIFT
	lea	rdx, [rel cpu_stacks]
	add	rcx, rdx
	lea	rdx, [rel stress_begin]
	mov	[rcx], eax
	mov	[rcx + RECORD_ENTRY], rdx
	mov	[rcx + RECORD_CONTEXT], rdi
	mov	rdi, rcx
	jmp	bh_secondary_entry

section .note.GNU-stack noalloc noexec nowrite progbits
