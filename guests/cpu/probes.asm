; Runs code that may raise an exception, and tells which and where; code that is single-stepped; and one that keeps all
; registers busy across an instruction that a hypervisor traps.

global attempt, caught, catch_de, catch_db, catch_nmi, catch_bp, catch_ud, catch_nm, catch_df, catch_ts, catch_np, catch_ss
global catch_gp, catch_pf, catch_mf, catch_ac
global step_plain, step_plain_expected, step_shadow, step_shadow_expected, keeps_registers

RFLAGS_TF equ 0x100
STEPS     equ 16

section .bss
align 8
; struct caught of cpu.h
caught:
.vector  resq 1
.error   resq 1
.rip     resq 1
.count   resq 1
.recover resq 1
.steps   resq STEPS
saved_rsp: resq 1

section .text
bits 64

%macro CATCH_WITHOUT_ERROR 2
%1:
	push	0
	push	%2
	jmp	catch
%endmacro
%macro CATCH_WITH_ERROR 2
%1:
	push	%2
	jmp	catch
%endmacro

CATCH_WITHOUT_ERROR catch_de, 0
CATCH_WITHOUT_ERROR catch_db, 1
CATCH_WITHOUT_ERROR catch_nmi, 2
CATCH_WITHOUT_ERROR catch_bp, 3
CATCH_WITHOUT_ERROR catch_ud, 6
CATCH_WITHOUT_ERROR catch_nm, 7
CATCH_WITH_ERROR catch_df, 8
CATCH_WITH_ERROR catch_ts, 10
CATCH_WITH_ERROR catch_np, 11
CATCH_WITH_ERROR catch_ss, 12
CATCH_WITH_ERROR catch_gp, 13
CATCH_WITH_ERROR catch_pf, 14
CATCH_WITHOUT_ERROR catch_mf, 16
CATCH_WITH_ERROR catch_ac, 17

; Notes the exception; goes on at caught.recover, with TF off, or where it came from if that is 0.
catch:
	push	rax
	push	rbx
	mov	rax, [rsp + 16]
	mov	[caught.vector], rax
	mov	rax, [rsp + 24]
	mov	[caught.error], rax
	mov	rax, [rsp + 32]
	mov	[caught.rip], rax
	mov	rbx, [caught.count]
	cmp	rbx, STEPS
	jae	.full
	mov	[caught.steps + rbx * 8], rax
.full:
	inc	qword [caught.count]
	mov	rax, [caught.recover]
	test	rax, rax
	jz	.back
	mov	[rsp + 32], rax
	and	qword [rsp + 48], ~RFLAGS_TF
.back:
	pop	rbx
	pop	rax
	add	rsp, 16
	iretq

; uint64_t attempt(void (*code)(void)): the number of exceptions, 0 or 1, that `code` raised. `code` may attempt other code.
attempt:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	push	qword [saved_rsp]
	push	qword [caught.recover]
	sub	rsp, 8
	mov	[saved_rsp], rsp
	mov	qword [caught.count], 0
	mov	rax, .after
	mov	[caught.recover], rax
	call	rdi
.after:
	mov	rsp, [saved_rsp]
	mov	rax, [caught.count]
	add	rsp, 8
	pop	qword [caught.recover]
	pop	qword [saved_rsp]
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

%macro STEP_BEGIN 0
	push	rbx
	mov	qword [caught.count], 0
	mov	qword [caught.recover], 0
	pushfq
	pushfq
	or	qword [rsp], RFLAGS_TF
	popfq
%endmacro

%macro STEP_END 0
	popfq
	pop	rbx
	mov	rax, [caught.count]
	ret
%endmacro

; A trap is due behind every instruction, those that a hypervisor carries out among them.
step_plain:
	STEP_BEGIN
	nop
.behind_nop:
	cpuid
.behind_cpuid:
	mov	ecx, 0x1B
.behind_mov:
	rdmsr
.behind_rdmsr:
	wbinvd
.behind_wbinvd:
	hlt			; the trap ends it
.behind_hlt:
	STEP_END

; MOV SS holds the trap behind itself back; the one behind the next instruction comes.
step_shadow:
	STEP_BEGIN
	mov	eax, ss
.behind_load:
	mov	ss, eax
	cpuid
.behind_cpuid:
	nop
.behind_nop:
	STEP_END

; uint64_t keeps_registers(void): 0, or a bit for each register that CPUID should have left alone and did not
keeps_registers:
	push	rbx
	push	rbp
	push	r12
	push	r13
	push	r14
	push	r15
	mov	rsi, 0x1111111111111111
	mov	rdi, 0x2222222222222222
	mov	rbp, 0x3333333333333333
	mov	r8,  0x4444444444444444
	mov	r9,  0x5555555555555555
	mov	r10, 0x6666666666666666
	mov	r11, 0x7777777777777777
	mov	r12, 0x8888888888888888
	mov	r13, 0x9999999999999999
	mov	r14, 0xAAAAAAAAAAAAAAAA
	mov	r15, 0xBBBBBBBBBBBBBBBB
	xor	eax, eax
	cpuid
	xor	eax, eax
%assign bit 0
%macro KEPT 2
	mov	rcx, %2
	cmp	%1, rcx
	je	%%kept
	or	eax, 1 << bit
%%kept:
%assign bit bit + 1
%endmacro
	KEPT	rsi, 0x1111111111111111
	KEPT	rdi, 0x2222222222222222
	KEPT	rbp, 0x3333333333333333
	KEPT	r8,  0x4444444444444444
	KEPT	r9,  0x5555555555555555
	KEPT	r10, 0x6666666666666666
	KEPT	r11, 0x7777777777777777
	KEPT	r12, 0x8888888888888888
	KEPT	r13, 0x9999999999999999
	KEPT	r14, 0xAAAAAAAAAAAAAAAA
	KEPT	r15, 0xBBBBBBBBBBBBBBBB
	pop	r15
	pop	r14
	pop	r13
	pop	r12
	pop	rbp
	pop	rbx
	ret

section .rodata
align 8
step_plain_expected:
	dq	step_plain.behind_nop, step_plain.behind_cpuid, step_plain.behind_mov, step_plain.behind_rdmsr
	dq	step_plain.behind_wbinvd, step_plain.behind_hlt, 0
step_shadow_expected:
	dq	step_shadow.behind_load, step_shadow.behind_cpuid, step_shadow.behind_nop, 0

section .note.GNU-stack noalloc noexec nowrite progbits
