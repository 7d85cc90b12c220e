; A para guest whose segments need 1 GiB of memory: more than any test gives it, and to be refused with the figures.

global _start
section .text
bits 64
_start:
	hlt
	jmp	_start

section .bss nobits alloc write align=4096
	resb	1 << 30
