/*
 * The exits that are rare or long, each in a function of its own, found by exit code in one table. And what
 * SVM adds to the neutral MSR and string exits.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/svm/svm.h"

/*
 * Host events
 */

static enum exit_action on_interrupt(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	svm_restore_host(vcpu);
	exit_host_interrupt(vcpu);
	return EXIT_AGAIN;
}

/* The NMI itself is still pending: STGI lets it in (APM 2 15.13.2). */
static enum exit_action on_nmi(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	svm_restore_host(vcpu);
	return EXIT_AGAIN;
}

/* The exception itself is gone with the exit (APM 2 15.12.15). */
static enum exit_action on_machine_check(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	svm_restore_host(vcpu);
	__asm__ volatile("int %0"
			 :
			 : "i"(VECTOR_MC)
			 : "memory"); /* the exit has taken it: to the host's handler */
	return EXIT_AGAIN;
}

/*
 * Guest events
 */

static enum exit_action on_window(struct vcpu *vcpu, uint64_t *next)
{
	struct svm_vcpu *svm = svm_state(vcpu);

	(void)next;
	svm_interrupt_window(vcpu, false);
	if (svm->shadow_rip == svm->vmcb->save.rip)
		svm_step(vcpu, STEP_SHADOW); /* the CPU has not moved: it forgot the shadow */
	else
		vcpu_offer_interrupt(vcpu);
	return EXIT_AGAIN;
}

static enum exit_action on_debug_exception(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	if (svm_state(vcpu)->step)
		svm_step_done(vcpu);
	else
		svm_inject_exception(vcpu, VECTOR_DB, false, 0);
	return EXIT_AGAIN;
}

/* #AC; and while the guest steps, whatever its instruction raises. The exit has kept CR2 from changing (APM 2
 * 15.12.15). */
static enum exit_action on_fault(struct vcpu *vcpu, uint64_t *next)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	const uint8_t vector = (uint8_t)(vmcb->control.exit_code - VMEXIT_DE);

	(void)next;
	if (vector == VECTOR_PF) {
		vmcb->save.cr2 = vmcb->control.exit_info_2;
		vmcb_touch(vmcb);
	}
	svm_inject_exception(vcpu, vector, HAS_ERROR_CODE(vector), (uint32_t)vmcb->control.exit_info_1);
	return EXIT_AGAIN;
}

static enum exit_action on_iret(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	svm_step(vcpu, STEP_IRET);
	return EXIT_AGAIN;
}

/* Intercepted while the guest steps only, as it would save the step's TF. */
static enum exit_action on_software_interrupt(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	if (svm_state(vcpu)->step)
		svm_break_step(vcpu);
	return EXIT_AGAIN;
}

static enum exit_action on_cr8(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	svm_step(vcpu, STEP_CR8);
	return EXIT_AGAIN;
}

/*
 * Instructions
 */

/* RIP behind the instruction; its opcode is the one or the other. False: neither, the partition has been
 * faulted. */
static bool find_next_rip(struct vcpu *vcpu, const struct opcode *one, const struct opcode *other,
			  uint64_t *next)
{
	const struct svm_vcpu *svm = svm_state(vcpu);
	unsigned length;

	*next = svm->vmcb->control.next_rip;
	if (svm->next_rip)
		return true;
	length = exit_instruction_length(vcpu, one->bytes, one->size);
	if (!length)
		length = exit_instruction_length(vcpu, other->bytes, other->size);
	if (!length)
		(void)exit_fault(vcpu, "the instruction at RIP is not the one that trapped");
	*next = svm->vmcb->save.rip + length;
	return length != 0;
}

static enum exit_action on_xsetbv(struct vcpu *vcpu, uint64_t *next)
{
	static const struct opcode xsetbv = {3, {0x0F, 0x01, 0xD1}};

	if (svm_vmcb(vcpu)->save.cpl != 0)
		return EXIT_GP;
	return find_next_rip(vcpu, &xsetbv, &xsetbv, next) ? exit_xsetbv(vcpu) : EXIT_LEAVE;
}

/*
 * INVD and WBINVD. Caches are coherent and no device goes past them: nothing to write back, and nothing may
 * be lost. QEMU TCG reports both as WBINVD.
 */
static enum exit_action on_cache_flush(struct vcpu *vcpu, uint64_t *next)
{
	static const struct opcode invd = {2, {0x0F, 0x08}}, wbinvd = {2, {0x0F, 0x09}};

	return find_next_rip(vcpu, &wbinvd, &invd, next) ? EXIT_NEXT : EXIT_LEAVE;
}

/* What CPUID does not offer: SVM itself, MONITOR and MWAIT, RDPRU, MCOMMIT. */
static enum exit_action on_undefined(struct vcpu *vcpu, uint64_t *next)
{
	(void)vcpu, (void)next;
	return EXIT_UD;
}

/* Performance counters count the hypervisor's work too, and CPUID offers none. */
static enum exit_action on_rdpmc(struct vcpu *vcpu, uint64_t *next)
{
	(void)vcpu, (void)next;
	return EXIT_GP;
}

/*
 * Memory
 */

enum exit_action svm_memory_fault(struct vcpu *vcpu)
{
	const struct vmcb_control *control = &svm_vmcb(vcpu)->control;
	unsigned long long address = control->exit_info_2;

	if (control->exit_event & EVENT_VALID)
		return exit_fault(vcpu, "delivery of vector %u needs memory it does not have, at GPA 0x%llx",
				  control->exit_event & EVENT_VECTOR, address);
	if (control->exit_info_1 & NPF_TABLE_WALK)
		return exit_fault(vcpu, "page tables in memory it does not have, at GPA 0x%llx", address);
	return exit_fault(vcpu, "a nested page table entry for GPA 0x%llx is malformed", address);
}

/*
 * Ends
 */

static enum exit_action on_shutdown(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	return exit_fault(vcpu, "triple fault");
}

/* QEMU TCG saves what it had loaded before it refused: of a fault in CR0, CR3 or CR4 nothing is left to be
 * found. */
static enum exit_action on_invalid(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	exit_fault(vcpu, "VMRUN refused the VMCB");
	entry_audit_conclude(vcpu, svm_audit_vcpu(vcpu));
	return EXIT_LEAVE;
}

static enum exit_action on_ferr_freeze(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	return exit_fault(vcpu, "x87 error with CR0.NE = 0: FERR# is not emulated");
}

static enum exit_action on_unknown(struct vcpu *vcpu, uint64_t *next)
{
	(void)next;
	return exit_fault(vcpu, "exit code 0x%llx is not served",
			  (unsigned long long)svm_vmcb(vcpu)->control.exit_code);
}

static const struct exit_row exit_rows[] = {
	[VMEXIT_CR8_READ] = {EXIT_CONTROL_REGISTER, on_cr8},
	[VMEXIT_CR8_WRITE] = {EXIT_CONTROL_REGISTER, on_cr8},
	[VMEXIT_DB] = {EXIT_EXCEPTION, on_debug_exception},
	[VMEXIT_MC] = {EXIT_EXCEPTION, on_machine_check},
	[VMEXIT_INTR] = {EXIT_INTERRUPT, on_interrupt},
	[VMEXIT_NMI] = {EXIT_NMI, on_nmi},
	[VMEXIT_INIT] = {EXIT_INIT_SIPI, on_unknown},
	[VMEXIT_VINTR] = {EXIT_WINDOW, on_window},
	[VMEXIT_RDPMC] = {EXIT_OTHER, on_rdpmc},
	[VMEXIT_IRET] = {EXIT_OTHER, on_iret},
	[VMEXIT_SWINT] = {EXIT_OTHER, on_software_interrupt},
	[VMEXIT_INVD] = {EXIT_OTHER, on_cache_flush},
	[VMEXIT_INVLPGA] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_FERR_FREEZE] = {EXIT_OTHER, on_ferr_freeze},
	[VMEXIT_SHUTDOWN] = {EXIT_SHUTDOWN, on_shutdown},
	[VMEXIT_VMRUN] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_VMLOAD] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_VMSAVE] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_STGI] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_CLGI] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_SKINIT] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_WBINVD] = {EXIT_OTHER, on_cache_flush},
	[VMEXIT_MONITOR] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_MWAIT] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_MWAIT_ARMED] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_XSETBV] = {EXIT_XSETBV, on_xsetbv},
	[VMEXIT_RDPRU] = {EXIT_UNDEFINED, on_undefined},
	[VMEXIT_MCOMMIT] = {EXIT_UNDEFINED, on_undefined},
};
static const struct exit_row fault_row = {EXIT_EXCEPTION, on_fault};
static const struct exit_row invalid_row = {EXIT_OTHER, on_invalid};
static const struct exit_row unknown_row = {EXIT_OTHER, on_unknown};

const struct exit_row *svm_exit_row(uint32_t code)
{
	if (code < ARRAY_SIZE(exit_rows) && exit_rows[code].handler)
		return &exit_rows[code];
	if (code - VMEXIT_DE < EXCEPTION_VECTORS)
		return &fault_row;
	return code == VMEXIT_INVALID ? &invalid_row : &unknown_row;
}

/*
 * EFER: the guest's, with SVME set underneath (APM 2 3.1.7)
 */

#define EFER_GUEST_WRITES (EFER_SCE | EFER_LME | EFER_NXE)

static uint64_t edx_eax(const struct vcpu *vcpu)
{
	return vcpu->regs.rdx << 32 | (uint32_t)vcpu->regs.rax;
}

static enum exit_action efer_write(struct vcpu *vcpu)
{
	uint64_t value = edx_eax(vcpu);
	uint64_t now = svm_get_register(vcpu, VIRT_EFER);

	if (value & ~(EFER_GUEST_WRITES | EFER_LMA))
		return EXIT_GP;
	/* LME may change while paging is off only; LMA follows CR0.PG, whatever is written. */
	if (((value ^ now) & EFER_LME) && (svm_get_register(vcpu, VIRT_CR0) & CR0_PG))
		return EXIT_GP;
	svm_set_register(vcpu, VIRT_EFER, (value & EFER_GUEST_WRITES) | (now & EFER_LMA));
	return EXIT_NEXT;
}

/*
 * PAT: the guest's stands in the VMCB (APM 2 15.25.2). Eight memory types, of which 2, 3 and 8 up do not
 * exist (7.8.1).
 */

#define PAT_VALID_TYPES (1u << 0 | 1u << 1 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7)

static bool pat_valid(uint64_t value)
{
	for (unsigned i = 0; i < 64; i += 8) {
		unsigned type = value >> i & 0xFF;

		if (type > 7 || !(PAT_VALID_TYPES >> type & 1))
			return false;
	}
	return true;
}

static enum exit_action pat_write(struct vcpu *vcpu)
{
	struct vmcb *vmcb = svm_vmcb(vcpu);
	uint64_t value = edx_eax(vcpu);

	if (!pat_valid(value))
		return EXIT_GP;
	vmcb->save.pat = value;
	vmcb_touch(vmcb);
	return EXIT_NEXT;
}

enum exit_action svm_own_msr_read(struct vcpu *vcpu)
{
	uint64_t value = svm_vmcb(vcpu)->save.pat;

	if ((uint32_t)vcpu->regs.rcx == MSR_EFER)
		value = svm_get_register(vcpu, VIRT_EFER);
	vcpu->regs.rax = (uint32_t)value;
	vcpu->regs.rdx = value >> 32;
	return EXIT_NEXT;
}

enum exit_action svm_own_msr_write(struct vcpu *vcpu)
{
	return (uint32_t)vcpu->regs.rcx == MSR_EFER ? efer_write(vcpu) : pat_write(vcpu);
}

/*
 * INS and OUTS. The address size is there on CPUs, not under QEMU TCG; the segment with decode assists only
 * (APM 2 15.10.2). Without, what the code segment and the instruction default to is taken.
 */

#define ACCESS_LONG    (1u << 9)  /* L */
#define ACCESS_DEFAULT (1u << 10) /* D/B */

static uint8_t default_address_size(const struct vmcb *vmcb)
{
	if ((vmcb->save.efer & EFER_LMA) && (vmcb->save.cs.access & ACCESS_LONG))
		return 8;
	return vmcb->save.cs.access & ACCESS_DEFAULT ? 4 : 2;
}

enum exit_action svm_port_string(struct vcpu *vcpu, uint32_t information)
{
	uint8_t address_size = (uint8_t)(2 * (information >> IO_ADDRESS_SHIFT & IO_ADDRESS_MASK));
	bool assists = cpuid(CPUID_SVM, 0).edx & SVM_EDX_DECODE_ASSISTS;
	struct string_io io = {
		.port = (uint16_t)(information >> IO_PORT_SHIFT),
		.size = (uint8_t)(information >> IO_SIZE_SHIFT & IO_SIZE_MASK),
		.address_size = address_size ? address_size : default_address_size(svm_vmcb(vcpu)),
		.in = information & IO_IN,
		.rep = information & IO_REP,
		.segment = SEGMENT_ES,
	};

	if (!io.in)
		io.segment =
			assists ? (uint8_t)(information >> IO_SEGMENT_SHIFT & IO_SEGMENT_MASK) : SEGMENT_DS;
	return exit_port_string(vcpu, &io);
}
