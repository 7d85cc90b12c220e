; A full guest whose first instruction faults, before it can have said a word: restart policies and early reports.

section .multiboot align=4
	dd	0x1BADB002, 0, -0x1BADB002

global _start
section .text
bits 32
_start:
	ud2
