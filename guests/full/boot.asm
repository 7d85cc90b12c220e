; A full guest from its first instruction to C: entered by a Multiboot loader in 32-bit protected mode on CPU 0, or by
; a start-up IPI in real mode on the others. Both ways meet on one set of page tables (identity, 2 MiB pages, 4 GiB,
; the last of them uncached because devices live there) and one descriptor table.
; Sources: Multiboot Specification 0.6.96, 3.1 and 3.2; Intel SDM volume 3, 10.8.5 (entering IA-32e mode) and 9.4.

MULTIBOOT_MAGIC  equ 0x1BADB002
MULTIBOOT_LOADED equ 0x2BADB002
MULTIBOOT_FLAGS  equ 1 << 1          ; wants memory information
STACK_SIZE       equ 8192            ; common/cpu.h
TRAMPOLINE       equ 0x8000          ; full/smp.c copies it there: start-up vector 08h

CR0_PE           equ 1 << 0
CR0_WP           equ 1 << 16
CR0_PG           equ 1 << 31
CR0_CD_NW        equ 3 << 29         ; INIT and reset leave the caches off
CR4_PAE          equ 1 << 5
MSR_EFER         equ 0xC0000080
EFER_LME         equ 1 << 8

PAGE_TABLE       equ 3               ; present, writable
PAGE_2M          equ 0x83            ; present, writable, 2 MiB
PAGE_2M_DEVICE   equ 0x9B            ; the same, write-through and cache-disable
DEVICES_FROM     equ 1536            ; entries of 2 MiB: 3 GiB
ENTRIES          equ 2048            ; 4 GiB

CODE64           equ 0x08
DATA             equ 0x10
CODE32           equ 0x18

extern full_main, full_cpu_main, cpu_stacks
global _start, trampoline_start, trampoline_size, trampoline_stack

section .multiboot align=4
	dd	MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

section .text

bits 32

_start:
	cli
	cld
	cmp	eax, MULTIBOOT_LOADED
	jne	.not_multiboot
	mov	esp, cpu_stacks + STACK_SIZE
	mov	esi, ebx                     ; the Multiboot information
	call	build_tables
	call	enter_long_mode
	jmp	CODE64:long_start
.not_multiboot:
	hlt
	jmp	.not_multiboot

; Fills the page tables. Changes EAX, ECX, EDX, EDI.
build_tables:
	mov	dword [level4], level3 + PAGE_TABLE
	mov	eax, level2 + PAGE_TABLE
	mov	edi, level3
.directory:
	mov	[edi], eax
	add	eax, 4096
	add	edi, 8
	cmp	edi, level3 + 4 * 8
	jb	.directory
	mov	eax, PAGE_2M
	mov	edi, level2
	mov	ecx, ENTRIES
.page:
	cmp	ecx, ENTRIES - DEVICES_FROM
	jne	.store
	or	eax, PAGE_2M_DEVICE
.store:
	mov	[edi], eax
	add	eax, 1 << 21
	add	edi, 8
	dec	ecx
	jnz	.page
	ret

; Paging and long mode on, descriptor table loaded; the caller jumps to 64-bit code. Changes EAX, ECX, EDX.
enter_long_mode:
	mov	eax, cr4
	or	eax, CR4_PAE
	mov	cr4, eax
	mov	eax, level4
	mov	cr3, eax
	mov	ecx, MSR_EFER
	rdmsr
	or	eax, EFER_LME
	wrmsr
	mov	eax, cr0
	and	eax, ~CR0_CD_NW
	or	eax, CR0_PG | CR0_WP | CR0_PE
	mov	cr0, eax
	lgdt	[descriptor_pointer]
	ret

; A further CPU, in protected mode by now.
cpu_protected:
	mov	ax, DATA
	mov	ds, ax
	mov	es, ax
	mov	ss, ax
	mov	esp, [trampoline_stack]
	call	enter_long_mode
	jmp	CODE64:long_cpu

bits 64

%macro LOAD_DATA_SEGMENTS 0
	mov	eax, DATA
	mov	ds, eax
	mov	es, eax
	mov	ss, eax
	xor	eax, eax
	mov	fs, eax
	mov	gs, eax
%endmacro

long_start:
	LOAD_DATA_SEGMENTS
	mov	edi, esi
	call	full_main
	ud2

long_cpu:
	LOAD_DATA_SEGMENTS
	call	full_cpu_main
	ud2

; Copied to TRAMPOLINE below 1 MiB: from real mode into protected mode, nothing more.
section .rodata
bits 16
align 16
trampoline_start:
	cli
	xor	ax, ax
	mov	ds, ax
	o32 lgdt [TRAMPOLINE + trampoline_pointer - trampoline_start]
	mov	eax, cr0
	or	al, CR0_PE
	mov	cr0, eax
	jmp	dword CODE32:cpu_protected
align 4
trampoline_pointer:
	dw	descriptors_end - descriptors - 1
	dd	descriptors
trampoline_end:
align 4
trampoline_size:
	dd	trampoline_end - trampoline_start

section .data
align 8
descriptors:
	dq	0
	dq	0x00AF9B000000FFFF           ; 64-bit code
	dq	0x00CF93000000FFFF           ; data
	dq	0x00CF9B000000FFFF           ; 32-bit code
descriptors_end:
descriptor_pointer:
	dw	descriptors_end - descriptors - 1
	dq	descriptors
trampoline_stack:
	dd	0                            ; top of the stack for the CPU being started

section .bss nobits alloc write align=4096
level4:	resb	4096
level3:	resb	4096
level2:	resb	4 * 4096

section .note.GNU-stack noalloc noexec nowrite progbits
