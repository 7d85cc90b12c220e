; Timed loops of what a PC offers: ports, device memory, and the local APIC by memory (RDI = its page) or by MSR.

%include "guests/bench/loops.inc"

APIC_EOI         equ 0x0B0
APIC_ICR_LOW     equ 0x300
APIC_TIMER_START equ 0x380
MSR_X2APIC_EOI   equ 0x80B
MSR_X2APIC_ICR   equ 0x830
MSR_X2APIC_TIMER equ 0x838
ICR_SELF         equ 0x44000                 ; fixed, assert, shorthand "self"
VECTOR_BENCH     equ 50                      ; full.c

global loop_port_write, loop_port_read, loop_mmio_write, loop_mmio_read, loop_x2apic_eoi
global loop_self_ipi, loop_x2apic_self_ipi, loop_hlt_timer, loop_x2apic_hlt_timer
global end_by_memory, end_by_msr

section .text
bits 64

align 16
loop_port_write:                             ; port, value
	BEGIN_LOOP
	mov	edx, edi
	mov	eax, esi
.next:
	out	dx, al
	NEXT	.next
	END_LOOP

align 16
loop_port_read:                              ; port
	BEGIN_LOOP
	mov	edx, edi
.next:
	in	al, dx
	NEXT	.next
	END_LOOP

align 16
loop_mmio_write:                             ; address, value
	BEGIN_LOOP
.next:
	mov	[rdi], esi
	NEXT	.next
	END_LOOP

align 16
loop_mmio_read:                              ; address
	BEGIN_LOOP
.next:
	mov	eax, [rdi]
	NEXT	.next
	END_LOOP

align 16
loop_x2apic_eoi:
	BEGIN_LOOP
	mov	ecx, MSR_X2APIC_EOI
	xor	eax, eax
	xor	edx, edx
.next:
	wrmsr
	NEXT	.next
	END_LOOP

; Sends itself an interrupt, halts, is woken by it and ends it: the handler is one of those below.
align 16
loop_self_ipi:                               ; APIC page
	BEGIN_LOOP
	lea	r15, [rdi + APIC_EOI]
.next:
	cli
	mov	dword [rdi + APIC_ICR_LOW], ICR_SELF | VECTOR_BENCH
	sti
	hlt
	NEXT	.next
	END_LOOP

align 16
loop_x2apic_self_ipi:
	BEGIN_LOOP
	mov	ecx, MSR_X2APIC_ICR
	mov	eax, ICR_SELF | VECTOR_BENCH
	xor	edx, edx
.next:
	cli
	wrmsr
	sti
	hlt
	NEXT	.next
	END_LOOP

; Arms the one-shot timer, halts, is woken by it and ends it.
align 16
loop_hlt_timer:                              ; APIC page, count
	BEGIN_LOOP
	lea	r15, [rdi + APIC_EOI]
.next:
	cli
	mov	[rdi + APIC_TIMER_START], esi
	sti
	hlt
	NEXT	.next
	END_LOOP

align 16
loop_x2apic_hlt_timer:                       ; nothing, count
	BEGIN_LOOP
	mov	ecx, MSR_X2APIC_TIMER
	mov	eax, esi
	xor	edx, edx
.next:
	cli
	wrmsr
	sti
	hlt
	NEXT	.next
	END_LOOP

; The shortest handlers there are. R15 belongs to the loop that was interrupted.
align 16
end_by_memory:
	mov	dword [r15], 0
	iretq

align 16
end_by_msr:
	push	rax
	push	rcx
	push	rdx
	mov	ecx, MSR_X2APIC_EOI
	xor	eax, eax
	xor	edx, edx
	wrmsr
	pop	rdx
	pop	rcx
	pop	rax
	iretq

section .note.GNU-stack noalloc noexec nowrite progbits
