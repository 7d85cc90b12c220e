; Timed loops of what Bulkhead offers a para guest, each with Intel's and with AMD's instruction.
; RDI = the event page, which the upcall handler clears: that is all there is to an event.

%include "guests/bench/loops.inc"

VENDOR_IPI      equ 0xC6000002               ; include/bulkhead/abi.h
VENDOR_DEADLINE equ 0xC6000003

global loop_event_vmcall, loop_event_vmmcall, loop_deadline_vmcall, loop_deadline_vmmcall, take_events

section .text
bits 64

; Event 0 to vCPU 0, which is itself; halts and is woken by it.
%macro EVENT_LOOP 1
	BEGIN_LOOP
	mov	r15, rdi
%%next:
	cli
	mov	eax, VENDOR_IPI
	xor	esi, esi
	xor	edx, edx
	%1
	sti
	hlt
	NEXT	%%next
	END_LOOP
%endmacro

align 16
loop_event_vmcall:
	EVENT_LOOP vmcall

align 16
loop_event_vmmcall:
	EVENT_LOOP vmmcall

; Asks to be woken one interval from now, halts and is woken.
%macro DEADLINE_LOOP 1
	BEGIN_LOOP
	mov	r15, rdi
%%next:
	cli
	READ_TSC
	lea	rsi, [rax + BENCH_INTERVAL]
	mov	eax, VENDOR_DEADLINE
	%1
	sti
	hlt
	NEXT	%%next
	END_LOOP
%endmacro

align 16
loop_deadline_vmcall:
	DEADLINE_LOOP vmcall

align 16
loop_deadline_vmmcall:
	DEADLINE_LOOP vmmcall

; The shortest upcall handler there is. R15 belongs to the loop that was interrupted.
align 16
take_events:
	lock and qword [r15], 0
	iretq

section .note.GNU-stack noalloc noexec nowrite progbits
