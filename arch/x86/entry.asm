; The hypervisor's first instructions on each CPU, and the two ways between page tables.
;
; The boot CPU comes from the loader (include/bulkhead/boot_info.h): RDI = struct boot_info, on the loader's tables and
; stack. The other CPUs come from trampoline.asm, on the same tables, with RAX = their own CR3.

%include "arch/x86/layout.inc"

extern hypervisor_main
extern cpu_main_secondary

global hypervisor_entry
global secondary_entry
global enter_own_tables
global firmware_call
global firmware_abort
global boot_stack

BITS 64

SECTION .text

hypervisor_entry:
	cli
	cld
	lgdt [rel boot_gdt_pointer]
	mov eax, SELECTOR_DATA
	mov ds, eax
	mov es, eax
	mov ss, eax
	xor eax, eax
	mov fs, eax
	mov gs, eax
	push SELECTOR_CODE
	lea rax, [rel .selectors_loaded]
	push rax
	o64 retf
.selectors_loaded:
	and rsp, -16
	mov [rel boot_stack], rsp
	xor ebp, ebp			; ends backtraces
	call hypervisor_main		; does not return

secondary_entry:
	mov cr3, rax
	mov rsp, STACK_TOP
	xor ebp, ebp
	call cpu_main_secondary		; does not return

; NORETURN void enter_own_tables(hpa_t cr3, void (*next)(void)): from the loader's tables and stack to this CPU's own.
enter_own_tables:
	mov cr3, rdi
	mov rsp, STACK_TOP
	xor ebp, ebp
	call rsi			; does not return

; uint64_t firmware_call(uint64_t function, hpa_t boot_cr3): calls ResetSystem(EfiResetShutdown, EFI_SUCCESS, 0, NULL)
; (UEFI 2.10, 8.5.1) in the firmware's calling convention (2.3.4.2: Microsoft's: RCX, RDX, R8, R9, 32 bytes of home space) on
; the loader's tables and stack. Returns what it returns, or FIRMWARE_CRASHED from firmware_abort().
EFI_RESET_SHUTDOWN equ 2
HOME_SPACE equ 32

firmware_call:
	push rbp
	push rbx
	push r12
	push r13
	push r14
	push r15
	sub rsp, 16
	sgdt [rsp]
	mov rax, cr3
	mov [rel own_cr3], rax
	mov [rel own_stack], rsp
	lgdt [rel boot_gdt_pointer]	; this CPU's own GDT is not mapped on the loader's tables
	mov rax, rdi
	mov rsp, [rel boot_stack]
	mov cr3, rsi
	sub rsp, HOME_SPACE
	mov ecx, EFI_RESET_SHUTDOWN
	xor edx, edx
	xor r8d, r8d
	xor r9d, r9d
	call rax
firmware_return:
	cli
	cld
	mov rcx, [rel own_cr3]
	mov cr3, rcx
	mov rsp, [rel own_stack]
	lgdt [rsp]
	add rsp, 16
	pop r15
	pop r14
	pop r13
	pop r12
	pop rbx
	pop rbp
	ret

; NORETURN void firmware_abort(void): from an exception inside firmware_call(), ends that call.
FIRMWARE_CRASHED equ -1
firmware_abort:
	mov rax, FIRMWARE_CRASHED
	jmp firmware_return

SECTION .rodata align=8
; Flat 64-bit code and data, already marked as accessed, so that it can stand in read-only memory (SDM 3A 3.4.5).
boot_gdt:
	dq 0
	dq 0x00AF9B000000FFFF
	dq 0x00CF93000000FFFF
boot_gdt_pointer:
	dw $ - boot_gdt - 1
	dq boot_gdt

SECTION .bss align=8
boot_stack: resq 1			; the loader's stack, as we found it
own_cr3: resq 1
own_stack: resq 1
