; Timed loops of the operations both platforms have (bench.h), and the probe of an MSR that may not be there.

%include "guests/bench/loops.inc"

global loop_cpuid, loop_vmcall, loop_vmmcall, loop_msr_read, loop_msr_write, probe_msr_read, probe_msr_write, probe_fault
extern probe_failed

section .text
bits 64

align 16
loop_cpuid:
	BEGIN_LOOP
.next:
	mov	eax, edi
	cpuid
	NEXT	.next
	END_LOOP

%macro HYPERCALL_LOOP 1
	BEGIN_LOOP
%%next:
	mov	eax, edi
	%1
	NEXT	%%next
	END_LOOP
%endmacro

align 16
loop_vmcall:
	HYPERCALL_LOOP vmcall

align 16
loop_vmmcall:
	HYPERCALL_LOOP vmmcall

align 16
loop_msr_read:
	BEGIN_LOOP
	mov	ecx, edi
.next:
	rdmsr
	NEXT	.next
	END_LOOP

align 16
loop_msr_write:
	BEGIN_LOOP
	mov	ecx, edi
	mov	eax, esi
	mov	rdx, rsi
	shr	rdx, 32
.next:
	wrmsr
	NEXT	.next
	END_LOOP

; bool probe_msr_read(uint32_t msr, uint64_t *value), with probe_fault as the handler of #GP
align 16
probe_msr_read:
	mov	ecx, edi
	xor	eax, eax
	xor	edx, edx
	mov	byte [probe_failed], 0
	rdmsr
	mov	[rsi], eax
	mov	[rsi + 4], edx
	cmp	byte [probe_failed], 0
	sete	al
	movzx	eax, al
	ret

; bool probe_msr_write(uint32_t msr, uint64_t value)
align 16
probe_msr_write:
	mov	ecx, edi
	mov	eax, esi
	mov	rdx, rsi
	shr	rdx, 32
	mov	byte [probe_failed], 0
	wrmsr
	cmp	byte [probe_failed], 0
	sete	al
	movzx	eax, al
	ret

; Skips the RDMSR or WRMSR (two bytes) that faulted.
align 16
probe_fault:
	mov	byte [probe_failed], 1
	add	rsp, 8
	add	qword [rsp], 2
	iretq

section .note.GNU-stack noalloc noexec nowrite progbits
