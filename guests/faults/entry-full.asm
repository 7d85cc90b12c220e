; A full guest whose trapped instruction ends at 4 GiB of its 32-bit code segment. EIP would wrap to 0; the hypervisor does not wrap RIP, so that
; on VT-x the next entry fails: the report of a VM-entry failure, reached from inside. Where the entry succeeds the guest goes on to halt.

section .multiboot align=4
	dd	0x1BADB002, 0, -0x1BADB002

global _start

CODE      equ 0x08
LAST_EIP  equ 0xFFFFFFFE         ; a two-byte instruction ends the segment

section .text
bits 32
_start:
	mov	eax, last + 2    ; the segment's base, so that `last` is its last instruction
	mov	[gdt.code + 2], ax
	shr	eax, 16
	mov	[gdt.code + 4], al
	mov	[gdt.code + 7], ah
	lgdt	[gdt.pointer]
	jmp	CODE:LAST_EIP
last:
	cpuid
	cli
	hlt

section .data align=16
gdt:
	dq	0
.code:
	dq	0x00CF9B000000FFFF
.end:
.pointer:
	dw	gdt.end - gdt - 1
	dd	gdt
