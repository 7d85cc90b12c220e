; The entry stubs of the interrupt descriptor table: one of 16 bytes for each vector, which levels out the error
; code and names the vector, and one common path that saves what C may change (struct interrupt_frame).
; Source: Intel SDM volume 3, 6.14.2 (the CPU aligns RSP to 16 before it pushes) and table 6-1 (error codes).

VECTORS equ 64

extern interrupt_dispatch
global interrupt_stubs

section .text

bits 64

; Exceptions 8, 10 to 14, 17 and 21 push an error code of their own.
ERROR_CODES equ 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21

align 16
interrupt_stubs:
%assign vector 0
%rep VECTORS
align 16
%if vector >= 32 || !(ERROR_CODES >> vector & 1)
	push	0
%endif
	push	vector
	jmp	near save_and_dispatch
%assign vector vector + 1
%endrep

; Frame, error code, vector and nine registers are 128 bytes: the call meets the ABI's alignment.
align 16
save_and_dispatch:
	push	rax
	push	rcx
	push	rdx
	push	rsi
	push	rdi
	push	r8
	push	r9
	push	r10
	push	r11
	mov	rdi, rsp
	cld
	call	interrupt_dispatch
	pop	r11
	pop	r10
	pop	r9
	pop	r8
	pop	rdi
	pop	rsi
	pop	rdx
	pop	rcx
	pop	rax
	add	rsp, 16
	iretq

section .note.GNU-stack noalloc noexec nowrite progbits
