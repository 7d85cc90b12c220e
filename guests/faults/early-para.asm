; A para guest whose first instruction faults, before it can have said a word: restart policies and early reports.

global _start
section .text
bits 64
_start:
	ud2
