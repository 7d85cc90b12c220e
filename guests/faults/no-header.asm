; A 32-bit ELF without a Multiboot header: no full guest, and to be refused by name.

global _start
section .text
bits 32
_start:
	hlt
	jmp	_start
