; Entry stubs of exceptions and interrupts. An exception pushes everything for the report; an interrupt pushes what C may
; change, and calls its handler.

%include "arch/x86/layout.inc"

extern exception_handler
extern interrupt_kick
extern interrupt_timer
extern interrupt_serial
extern interrupt_spurious
extern interrupt_unexpected
extern host_nmi

global exception_stubs
global exception_stub_size
global stub_nmi
global stub_debug
global stub_kick
global stub_timer
global stub_serial
global stub_spurious
global stub_unexpected
global load_descriptors

BITS 64
SECTION .text

EXCEPTIONS equ 32
STUB_SIZE equ 16

; Vectors for which the CPU pushes an error code (SDM 3A table 6-1): 8, 10-14, 17, 21, 29, 30.
HAS_ERROR equ 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30

	align STUB_SIZE
exception_stubs:
%assign vector 0
%rep EXCEPTIONS
	align STUB_SIZE
%if HAS_ERROR & (1 << vector) == 0
	push 0
%endif
	push vector
	jmp exception_common
%assign vector vector + 1
%endrep

; The order of struct exception_frame, from the end.
exception_common:
	cld
	push rax
	push rbx
	push rcx
	push rdx
	push rsi
	push rdi
	push rbp
	push r8
	push r9
	push r10
	push r11
	push r12
	push r13
	push r14
	push r15
	mov rdi, rsp
	call exception_handler		; returns from a machine check that was contained; any other exception is a bug
	pop r15
	pop r14
	pop r13
	pop r12
	pop r11
	pop r10
	pop r9
	pop r8
	pop rbp
	pop rdi
	pop rsi
	pop rdx
	pop rcx
	pop rbx
	pop rax
	add rsp, 16			; vector and error code
	iretq

; #DB. The hypervisor sets neither TF nor breakpoints, so a single-step trap is not its own: under Bochs 2.7's SVM the trap that
; a guest's TF asks for comes after the #VMEXIT that stood in for the instruction. It is dropped (the back end injects the
; guest's); anything else is a bug, as with the other exceptions.
DR6_STEP_HIGH equ 0x40			; bit 14, BS
DR6_RESET equ 0xFFFF0FF0
VECTOR_DB equ 1
stub_debug:
	push rax
	mov rax, dr6
	test ah, DR6_STEP_HIGH
	jz .bug
	mov eax, DR6_RESET
	mov dr6, rax
	pop rax
	iretq
.bug:
	pop rax
	jmp exception_stubs + VECTOR_DB * STUB_SIZE

%macro INTERRUPT 2
%1:
	push rax
	push rcx
	push rdx
	push rsi
	push rdi
	push r8
	push r9
	push r10
	push r11
	cld
	call %2
	pop r11
	pop r10
	pop r9
	pop r8
	pop rdi
	pop rsi
	pop rdx
	pop rcx
	pop rax
	iretq
%endmacro

INTERRUPT stub_nmi, host_nmi
INTERRUPT stub_kick, interrupt_kick
INTERRUPT stub_timer, interrupt_timer
INTERRUPT stub_serial, interrupt_serial
INTERRUPT stub_spurious, interrupt_spurious
INTERRUPT stub_unexpected, interrupt_unexpected

; void load_descriptors(const struct descriptor_pointer *gdt, const struct descriptor_pointer *idt, uint16_t tss)
load_descriptors:
	lgdt [rdi]
	lidt [rsi]
	mov eax, SELECTOR_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	lldt ax
	ltr dx
	pop rax
	push SELECTOR_CODE
	push rax
	o64 retf

SECTION .rodata
exception_stub_size: dd STUB_SIZE
