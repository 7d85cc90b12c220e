; Where a CPU starts after its start-up IPI: real mode, CS = page << 8, IP = 0 (SDM 3A 8.4.3). This code is copied to a page
; below 1 MiB; smp.c fills in the fields at its end. It goes to protected mode, then to 64-bit mode on the loader's page tables,
; which map this page and the hypervisor's image alike, and jumps into the image.

%include "arch/x86/layout.inc"

global trampoline_start
global trampoline_end
global trampoline_boot_cr3
global trampoline_cr3
global trampoline_entry
global trampoline_code32
global trampoline_code64
global trampoline_protected
global trampoline_long
global trampoline_gdt_base
global trampoline_gdt

%define AT(label) (label - trampoline_start)

CR0_PE equ 1 << 0
CR0_ET equ 1 << 4
CR0_NE equ 1 << 5
CR0_WP equ 1 << 16
CR0_PG equ 1 << 31
CR4_PAE equ 1 << 5
MSR_EFER equ 0xC0000080
EFER_LME equ 1 << 8
EFER_NXE equ 1 << 11
SELECTOR_CODE32 equ 0x18

SECTION .rodata align=16

BITS 16
trampoline_start:
	cli
	cld
	mov ax, cs
	mov ds, ax
	movzx ebx, ax
	shl ebx, 4			; EBX: linear address of this page
	o32 lgdt [AT(trampoline_gdt_pointer)]
	mov eax, CR0_PE | CR0_ET | CR0_NE
	mov cr0, eax			; caches on: CD and NW are clear
	jmp dword far [AT(trampoline_code32)]

BITS 32
trampoline_protected:
	mov ax, SELECTOR_DATA
	mov ds, ax
	mov es, ax
	mov ss, ax
	xor ax, ax
	mov fs, ax
	mov gs, ax
	mov eax, CR4_PAE
	mov cr4, eax
	mov eax, [ebx + AT(trampoline_boot_cr3)]
	mov cr3, eax
	mov ecx, MSR_EFER
	rdmsr
	or eax, EFER_LME | EFER_NXE
	wrmsr
	mov eax, CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG
	mov cr0, eax
	jmp far [ebx + AT(trampoline_code64)]

BITS 64
trampoline_long:
	mov ebx, ebx			; the upper half is undefined after the change of mode
	mov rax, [rbx + AT(trampoline_cr3)]
	jmp [rbx + AT(trampoline_entry)]

	align 8
trampoline_gdt:
	dq 0
	dq 0x00AF9B000000FFFF		; SELECTOR_CODE: 64-bit code
	dq 0x00CF93000000FFFF		; SELECTOR_DATA
	dq 0x00CF9B000000FFFF		; SELECTOR_CODE32
trampoline_gdt_pointer:
	dw $ - trampoline_gdt - 1
trampoline_gdt_base:
	dd 0				; filled in: linear address of trampoline_gdt
trampoline_code32:
	dd 0				; filled in: linear address of trampoline_protected
	dw SELECTOR_CODE32
trampoline_code64:
	dd 0				; filled in: linear address of trampoline_long
	dw SELECTOR_CODE
	align 8
trampoline_boot_cr3: dq 0		; filled in
trampoline_cr3: dq 0			; filled in for each CPU: its own tables
trampoline_entry: dq 0			; filled in: secondary_entry
trampoline_end:
