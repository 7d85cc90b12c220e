/*
 * VT-x in the words of the Intel SDM (volume 3C): MSRs, VMCS fields, control bits, exit reasons, and what
 * this back end keeps for each vCPU. A CPU runs one vCPU for life, so its VMCS stays current and nothing is
 * ever switched.
 */
#pragma once

#include "arch/x86/vmx/audit.h"
#include "hv/core/exit.h"
#include "hv/core/virt.h"

/* Capability MSRs (SDM 3D appendix A). */
enum vmx_msr {
	MSR_VMX_BASIC = 0x480,
	MSR_VMX_PINBASED_CTLS,
	MSR_VMX_PROCBASED_CTLS,
	MSR_VMX_EXIT_CTLS,
	MSR_VMX_ENTRY_CTLS,
	MSR_VMX_MISC,
	MSR_VMX_CR0_FIXED0,
	MSR_VMX_CR0_FIXED1,
	MSR_VMX_CR4_FIXED0,
	MSR_VMX_CR4_FIXED1,
	MSR_VMX_PROCBASED_CTLS2 = 0x48B,
	MSR_VMX_EPT_VPID_CAP,
	MSR_VMX_TRUE_PINBASED_CTLS,
	MSR_VMX_TRUE_PROCBASED_CTLS,
	MSR_VMX_TRUE_EXIT_CTLS,
	MSR_VMX_TRUE_ENTRY_CTLS
};

#define FEATURE_CONTROL_LOCK  (1ull << 0)
#define FEATURE_CONTROL_VMXON (1ull << 2) /* outside SMX */

#define VMX_BASIC_REVISION	    0x7FFFFFFFull
#define VMX_BASIC_MEMORY_TYPE_SHIFT 50
#define VMX_BASIC_MEMORY_TYPE	    0xFull
#define VMX_BASIC_STRING_INFO	    (1ull << 54) /* instruction information on INS and OUTS exits */
#define VMX_BASIC_TRUE_CONTROLS	    (1ull << 55)
#define VMX_MISC_TIMER_RATE	    0x1Full /* the preemption timer counts at TSC >> rate */

#define MEMORY_TYPE_UC 0u
#define MEMORY_TYPE_WC 1u
#define MEMORY_TYPE_WB 6u

/* IA32_VMX_EPT_VPID_CAP (A.10). */
#define EPT_CAP_WALK_4	       (1ull << 6)
#define EPT_CAP_UNCACHED       (1ull << 8)
#define EPT_CAP_WRITE_BACK     (1ull << 14)
#define EPT_CAP_2M	       (1ull << 16)
#define EPT_CAP_1G	       (1ull << 17)
#define EPT_CAP_INVEPT	       (1ull << 20)
#define EPT_CAP_ACCESSED       (1ull << 21)
#define EPT_CAP_INVEPT_SINGLE  (1ull << 25)
#define EPT_CAP_INVEPT_ALL     (1ull << 26)
#define EPT_CAP_INVVPID	       (1ull << 32)
#define EPT_CAP_INVVPID_SINGLE (1ull << 41)
#define EPT_CAP_INVVPID_ALL    (1ull << 42)

/* Types of INVEPT and INVVPID: the same numbers for both (SDM 3C chapter 31). */
enum invalidation { INVALIDATE_SINGLE = 1, INVALIDATE_ALL = 2 };

/* VMCS field encodings (appendix B). */
enum vmcs_field {
	VMCS_VPID = 0x0000,
	VMCS_GUEST_ES_SELECTOR =
		0x0800, /* CS SS DS FS GS LDTR TR follow in steps of 2, as in enum segment_index */
	VMCS_GUEST_INTERRUPT_STATUS = 0x0810,
	VMCS_HOST_ES_SELECTOR = 0x0C00,
	VMCS_HOST_CS_SELECTOR = 0x0C02,
	VMCS_HOST_SS_SELECTOR = 0x0C04,
	VMCS_HOST_DS_SELECTOR = 0x0C06,
	VMCS_HOST_FS_SELECTOR = 0x0C08,
	VMCS_HOST_GS_SELECTOR = 0x0C0A,
	VMCS_HOST_TR_SELECTOR = 0x0C0C,
	VMCS_IO_BITMAP_A = 0x2000,
	VMCS_IO_BITMAP_B = 0x2002,
	VMCS_MSR_BITMAP = 0x2004,
	VMCS_EXIT_MSR_STORE = 0x2006,
	VMCS_EXIT_MSR_LOAD = 0x2008,
	VMCS_ENTRY_MSR_LOAD = 0x200A,
	VMCS_PML_ADDRESS = 0x200E,
	VMCS_VIRTUAL_APIC = 0x2012,
	VMCS_APIC_ACCESS = 0x2014,
	VMCS_EPT_POINTER = 0x201A,
	VMCS_EOI_EXIT_BITMAP0 = 0x201C, /* 1 to 3 follow in steps of 2 */
	VMCS_XSS_EXITING_BITMAP = 0x202C,
	VMCS_GUEST_PHYSICAL_ADDRESS = 0x2400,
	VMCS_LINK_POINTER = 0x2800,
	VMCS_GUEST_DEBUGCTL = 0x2802,
	VMCS_GUEST_PAT = 0x2804,
	VMCS_GUEST_EFER = 0x2806,
	VMCS_GUEST_PDPTE0 = 0x280A, /* PDPTE1..3 follow in steps of 2 */
	VMCS_HOST_PAT = 0x2C00,
	VMCS_HOST_EFER = 0x2C02,
	VMCS_PIN_CONTROLS = 0x4000,
	VMCS_PROCESSOR_CONTROLS = 0x4002,
	VMCS_EXCEPTION_BITMAP = 0x4004,
	VMCS_PAGE_FAULT_MASK = 0x4006,
	VMCS_PAGE_FAULT_MATCH = 0x4008,
	VMCS_CR3_TARGET_COUNT = 0x400A,
	VMCS_EXIT_CONTROLS = 0x400C,
	VMCS_EXIT_MSR_STORE_COUNT = 0x400E,
	VMCS_EXIT_MSR_LOAD_COUNT = 0x4010,
	VMCS_ENTRY_CONTROLS = 0x4012,
	VMCS_ENTRY_MSR_LOAD_COUNT = 0x4014,
	VMCS_ENTRY_EVENT = 0x4016,
	VMCS_ENTRY_ERROR_CODE = 0x4018,
	VMCS_ENTRY_INSTRUCTION_LENGTH = 0x401A,
	VMCS_TPR_THRESHOLD = 0x401C,
	VMCS_SECONDARY_CONTROLS = 0x401E,
	VMCS_INSTRUCTION_ERROR = 0x4400,
	VMCS_EXIT_REASON = 0x4402,
	VMCS_EXIT_EVENT = 0x4404,
	VMCS_EXIT_ERROR_CODE = 0x4406,
	VMCS_VECTORING_EVENT = 0x4408,
	VMCS_VECTORING_ERROR_CODE = 0x440A,
	VMCS_EXIT_INSTRUCTION_LENGTH = 0x440C,
	VMCS_EXIT_INSTRUCTION_INFO = 0x440E,
	VMCS_GUEST_ES_LIMIT = 0x4800, /* as the selectors */
	VMCS_GUEST_GDTR_LIMIT = 0x4810,
	VMCS_GUEST_IDTR_LIMIT = 0x4812,
	VMCS_GUEST_ES_ACCESS = 0x4814, /* as the selectors */
	VMCS_GUEST_CS_ACCESS = 0x4816,
	VMCS_GUEST_SS_ACCESS = 0x4818,
	VMCS_GUEST_INTERRUPTIBILITY = 0x4824,
	VMCS_GUEST_ACTIVITY = 0x4826,
	VMCS_GUEST_SYSENTER_CS = 0x482A,
	VMCS_PREEMPTION_TIMER = 0x482E,
	VMCS_HOST_SYSENTER_CS = 0x4C00,
	VMCS_CR0_MASK = 0x6000,
	VMCS_CR4_MASK = 0x6002,
	VMCS_CR0_SHADOW = 0x6004,
	VMCS_CR4_SHADOW = 0x6006,
	VMCS_EXIT_QUALIFICATION = 0x6400,
	VMCS_GUEST_LINEAR_ADDRESS = 0x640A,
	VMCS_GUEST_CR0 = 0x6800,
	VMCS_GUEST_CR3 = 0x6802,
	VMCS_GUEST_CR4 = 0x6804,
	VMCS_GUEST_ES_BASE = 0x6806, /* as the selectors */
	VMCS_GUEST_CS_BASE = 0x6808,
	VMCS_GUEST_GDTR_BASE = 0x6816,
	VMCS_GUEST_IDTR_BASE = 0x6818,
	VMCS_GUEST_DR7 = 0x681A,
	VMCS_GUEST_RSP = 0x681C,
	VMCS_GUEST_RIP = 0x681E,
	VMCS_GUEST_RFLAGS = 0x6820,
	VMCS_GUEST_PENDING_DEBUG = 0x6822,
	VMCS_GUEST_SYSENTER_ESP = 0x6824,
	VMCS_GUEST_SYSENTER_EIP = 0x6826,
	VMCS_HOST_CR0 = 0x6C00,
	VMCS_HOST_CR3 = 0x6C02,
	VMCS_HOST_CR4 = 0x6C04,
	VMCS_HOST_FS_BASE = 0x6C06,
	VMCS_HOST_GS_BASE = 0x6C08,
	VMCS_HOST_TR_BASE = 0x6C0A,
	VMCS_HOST_GDTR_BASE = 0x6C0C,
	VMCS_HOST_IDTR_BASE = 0x6C0E,
	VMCS_HOST_SYSENTER_ESP = 0x6C10,
	VMCS_HOST_SYSENTER_EIP = 0x6C12,
	VMCS_HOST_RSP = 0x6C14,
	VMCS_HOST_RIP = 0x6C16
};

/* The VMCS field of segment `index`, given that of ES. */
static inline enum vmcs_field vmcs_segment_field(enum vmcs_field es, enum segment_index index)
{
	return es + 2 * index;
}

/* Control bits (SDM 3C 25.6 to 25.8). */
#define PIN_EXTERNAL_INTERRUPT (1u << 0)
#define PIN_NMI		       (1u << 3)
#define PIN_VIRTUAL_NMI	       (1u << 5)
#define PIN_PREEMPTION_TIMER   (1u << 6)
#define PIN_POSTED_INTERRUPTS  (1u << 7)

#define PROCESSOR_INTERRUPT_WINDOW (1u << 2)
#define PROCESSOR_HLT		   (1u << 7)
#define PROCESSOR_MWAIT		   (1u << 10)
#define PROCESSOR_RDPMC		   (1u << 11)
#define PROCESSOR_CR3_LOAD	   (1u << 15)
#define PROCESSOR_CR3_STORE	   (1u << 16)
#define PROCESSOR_CR8_LOAD	   (1u << 19)
#define PROCESSOR_CR8_STORE	   (1u << 20)
#define PROCESSOR_TPR_SHADOW	   (1u << 21)
#define PROCESSOR_NMI_WINDOW	   (1u << 22)
#define PROCESSOR_IO		   (1u << 24)
#define PROCESSOR_IO_BITMAPS	   (1u << 25)
#define PROCESSOR_MSR_BITMAP	   (1u << 28)
#define PROCESSOR_MONITOR	   (1u << 29)
#define PROCESSOR_SECONDARY	   (1u << 31)

#define SECONDARY_APIC_ACCESS	     (1u << 0)
#define SECONDARY_EPT		     (1u << 1)
#define SECONDARY_RDTSCP	     (1u << 3)
#define SECONDARY_X2APIC	     (1u << 4)
#define SECONDARY_VPID		     (1u << 5)
#define SECONDARY_WBINVD	     (1u << 6)
#define SECONDARY_UNRESTRICTED	     (1u << 7)
#define SECONDARY_APIC_REGISTERS     (1u << 8)
#define SECONDARY_INTERRUPT_DELIVERY (1u << 9)
#define SECONDARY_INVPCID	     (1u << 12)
#define SECONDARY_PML		     (1u << 17)
#define SECONDARY_XSAVES	     (1u << 20)

#define VMEXIT_SAVE_DEBUG  (1u << 2)
#define VMEXIT_HOST_64	   (1u << 9)
#define VMEXIT_ACKNOWLEDGE (1u << 15)
#define VMEXIT_SAVE_PAT	   (1u << 18)
#define VMEXIT_LOAD_PAT	   (1u << 19)
#define VMEXIT_SAVE_EFER   (1u << 20)
#define VMEXIT_LOAD_EFER   (1u << 21)
#define VMEXIT_SAVE_TIMER  (1u << 22)

#define VMENTRY_LOAD_DEBUG   (1u << 2)
#define VMENTRY_IA32E	     (1u << 9)
#define VMENTRY_SMM	     (1u << 10)
#define VMENTRY_DUAL_MONITOR (1u << 11)
#define VMENTRY_LOAD_PAT     (1u << 14)
#define VMENTRY_LOAD_EFER    (1u << 15)

/* Guest interruptibility and pending debug exceptions (25.4.2). */
#define BLOCKING_STI	   (1u << 0)
#define BLOCKING_MOV_SS	   (1u << 1)
#define BLOCKING_NMI	   (1u << 3)
#define PENDING_DEBUG_STEP (1ull << 14) /* BS */

/* VM-entry, VM-exit and IDT-vectoring information of events (25.8.3, 25.9.2, 25.9.3). */
#define EVENT_VECTOR	 0xFFu
#define EVENT_TYPE(info) ((info) >> 8 & 7)
#define EVENT_HAS_ERROR	 (1u << 11)
#define EVENT_NMI_UNBLOCKED                                                                                  \
	(1u << 12) /* an IRET had ended NMI blocking; undefined in IDT-vectoring information */
#define EVENT_VALID (1u << 31)
enum event_type {
	EVENT_INTERRUPT = 0,
	EVENT_NMI = 2,
	EVENT_EXCEPTION = 3,
	EVENT_SOFT_INTERRUPT = 4,
	EVENT_PRIVILEGED_SOFT = 5, /* INT1 */
	EVENT_SOFT_EXCEPTION = 6   /* INT3, INTO */
};

/* Access rights of a segment (25.4.1). */
#define ACCESS_DPL_SHIFT 5
#define ACCESS_DPL	 3u
#define ACCESS_LONG_CODE (1u << 13)
#define ACCESS_UNUSABLE	 (1u << 16)

#define VMX_NO_LINK UINT64_MAX
#define VMX_VPID    1 /* tags are a CPU's own, and a CPU has one vCPU (30.1) */

/*
 * Exit reasons (appendix C): number, name, text, and the neutral class. ENTRY_FAILED is a flag beside the
 * reason.
 */
#define VMEXIT_LIST(X)                                                                                       \
	X(0, EXCEPTION_OR_NMI, "exception or NMI", EXIT_EXCEPTION)                                           \
	X(1, EXTERNAL_INTERRUPT, "external interrupt", EXIT_INTERRUPT)                                       \
	X(2, TRIPLE_FAULT, "triple fault", EXIT_SHUTDOWN)                                                    \
	X(3, INIT, "INIT", EXIT_INIT_SIPI)                                                                   \
	X(4, SIPI, "start-up IPI", EXIT_INIT_SIPI)                                                           \
	X(5, IO_SMI, "I/O SMI", EXIT_OTHER)                                                                  \
	X(6, OTHER_SMI, "SMI", EXIT_OTHER)                                                                   \
	X(7, INTERRUPT_WINDOW, "interrupt window", EXIT_WINDOW)                                              \
	X(8, NMI_WINDOW, "NMI window", EXIT_WINDOW)                                                          \
	X(9, TASK_SWITCH, "task switch", EXIT_OTHER)                                                         \
	X(10, CPUID, "CPUID", EXIT_CPUID)                                                                    \
	X(11, GETSEC, "GETSEC", EXIT_UNDEFINED)                                                              \
	X(12, HLT, "HLT", EXIT_HLT)                                                                          \
	X(13, INVD, "INVD", EXIT_OTHER)                                                                      \
	X(14, INVLPG, "INVLPG", EXIT_OTHER)                                                                  \
	X(15, RDPMC, "RDPMC", EXIT_UNDEFINED)                                                                \
	X(16, RDTSC, "RDTSC", EXIT_OTHER)                                                                    \
	X(17, RSM, "RSM", EXIT_UNDEFINED)                                                                    \
	X(18, VMCALL, "VMCALL", EXIT_HYPERCALL)                                                              \
	X(19, VMCLEAR, "VMCLEAR", EXIT_UNDEFINED)                                                            \
	X(20, VMLAUNCH, "VMLAUNCH", EXIT_UNDEFINED)                                                          \
	X(21, VMPTRLD, "VMPTRLD", EXIT_UNDEFINED)                                                            \
	X(22, VMPTRST, "VMPTRST", EXIT_UNDEFINED)                                                            \
	X(23, VMREAD, "VMREAD", EXIT_UNDEFINED)                                                              \
	X(24, VMRESUME, "VMRESUME", EXIT_UNDEFINED)                                                          \
	X(25, VMWRITE, "VMWRITE", EXIT_UNDEFINED)                                                            \
	X(26, VMXOFF, "VMXOFF", EXIT_UNDEFINED)                                                              \
	X(27, VMXON, "VMXON", EXIT_UNDEFINED)                                                                \
	X(28, CONTROL_REGISTER, "control-register access", EXIT_CONTROL_REGISTER)                            \
	X(29, MOV_DR, "MOV DR", EXIT_OTHER)                                                                  \
	X(30, IO, "I/O instruction", EXIT_IO)                                                                \
	X(31, RDMSR, "RDMSR", EXIT_MSR_READ)                                                                 \
	X(32, WRMSR, "WRMSR", EXIT_MSR_WRITE)                                                                \
	X(33, INVALID_GUEST_STATE, "invalid guest state", EXIT_OTHER)                                        \
	X(34, MSR_LOADING, "MSR loading", EXIT_OTHER)                                                        \
	X(36, MWAIT, "MWAIT", EXIT_UNDEFINED)                                                                \
	X(37, MONITOR_TRAP, "monitor trap flag", EXIT_OTHER)                                                 \
	X(39, MONITOR, "MONITOR", EXIT_UNDEFINED)                                                            \
	X(40, PAUSE, "PAUSE", EXIT_OTHER)                                                                    \
	X(41, MACHINE_CHECK_AT_ENTRY, "machine check at VM entry", EXIT_OTHER)                               \
	X(43, TPR_BELOW_THRESHOLD, "TPR below threshold", EXIT_OTHER)                                        \
	X(44, APIC_ACCESS, "APIC access", EXIT_APIC)                                                         \
	X(45, VIRTUAL_EOI, "virtualised EOI", EXIT_APIC)                                                     \
	X(46, GDTR_IDTR, "GDTR or IDTR access", EXIT_OTHER)                                                  \
	X(47, LDTR_TR, "LDTR or TR access", EXIT_OTHER)                                                      \
	X(48, EPT_VIOLATION, "EPT violation", EXIT_MEMORY)                                                   \
	X(49, EPT_MISCONFIGURATION, "EPT misconfiguration", EXIT_MEMORY)                                     \
	X(50, INVEPT, "INVEPT", EXIT_UNDEFINED)                                                              \
	X(51, RDTSCP, "RDTSCP", EXIT_OTHER)                                                                  \
	X(52, PREEMPTION_TIMER, "preemption timer", EXIT_TIMER)                                              \
	X(53, INVVPID, "INVVPID", EXIT_UNDEFINED)                                                            \
	X(54, WBINVD, "WBINVD", EXIT_OTHER)                                                                  \
	X(55, XSETBV, "XSETBV", EXIT_XSETBV)                                                                 \
	X(56, APIC_WRITE, "APIC write", EXIT_APIC)                                                           \
	X(57, RDRAND, "RDRAND", EXIT_OTHER)                                                                  \
	X(58, INVPCID, "INVPCID", EXIT_OTHER)                                                                \
	X(59, VMFUNC, "VMFUNC", EXIT_UNDEFINED)                                                              \
	X(60, ENCLS, "ENCLS", EXIT_UNDEFINED)                                                                \
	X(61, RDSEED, "RDSEED", EXIT_OTHER)                                                                  \
	X(62, LOG_FULL, "page-modification log full", EXIT_OTHER)                                            \
	X(63, XSAVES, "XSAVES", EXIT_OTHER)                                                                  \
	X(64, XRSTORS, "XRSTORS", EXIT_OTHER)

#define VMEXIT_ENUM(number, name, text, class) VMEXIT_##name = (number),
enum vmx_exit_reason { VMEXIT_LIST(VMEXIT_ENUM) VMEXIT_REASONS };
#undef VMEXIT_ENUM
#define VMEXIT_REASON_MASK  0xFFFFu
#define VMEXIT_ENTRY_FAILED (1u << 31)

/* What this CPU's capability MSRs allow, chosen for us: values for the control fields of the VMCS. */
struct vmx_controls {
	uint32_t pin, processor, secondary, exit, entry;
	uint64_t ept_caps;
	uint64_t cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	unsigned timer_rate;
	bool virtual_apic; /* all that serving a local APIC takes; its controls are not among those above */
};

/* This back end's part of struct vcpu. */
struct vmx_vcpu {
	void *vmxon_region, *vmcs; /* one page of the pool each */
	struct vmx_controls controls;
	uint32_t processor;		/* VMCS_PROCESSOR_CONTROLS as it is now, with its windows */
	uint32_t timer_reload;		/* preemption timer, in its own ticks */
	uint32_t apic_mode;		/* enum lapic_mode that the CPU serves by itself */
	_Atomic uint32_t *virtual_apic; /* a page of the pool */
	const void *msr_bitmap, *x2apic_bitmap;
	bool launched; /* VMRESUME, not VMLAUNCH */
};
_Static_assert(sizeof(struct vmx_vcpu) <= sizeof(((struct vcpu *)0)->backend),
	       "struct vmx_vcpu fits into struct vcpu");

static inline struct vmx_vcpu *vmx_of(struct vcpu *vcpu)
{
	return (struct vmx_vcpu *)vcpu->backend;
}

/*
 * Of fields that every CPU with our required features has, so neither can fail while a VMCS is current. The
 * encoding is loaded here and now: kept in a register for the next use of the same field, it would cost more
 * than it saves.
 */
static inline uint64_t vmread(enum vmcs_field field)
{
	uint64_t value;

	__asm__ volatile("mov %k1, %k0\n\tvmread %0, %0" : "=r"(value) : "ri"((uint32_t)field) : "cc");
	return value;
}

static inline void vmwrite(enum vmcs_field field, uint64_t value)
{
	uint64_t encoding;

	__asm__ volatile("mov %k1, %k0\n\tvmwrite %2, %0"
			 : "=&r"(encoding)
			 : "ri"((uint32_t)field), "r"(value)
			 : "cc");
}

static inline void vmx_rearm_preemption(struct vcpu *vcpu)
{
	const struct vmx_vcpu *vmx = vmx_of(vcpu);

	if (vmx->controls.pin & PIN_PREEMPTION_TIMER)
		vmwrite(VMCS_PREEMPTION_TIMER, vmx->timer_reload);
}

/* vmx.c: capabilities. ERR_UNSUPPORTED with *message naming what is missing. */
enum status vmx_read_controls(struct vmx_controls *controls, char message[VIRT_MESSAGE]) MUST_CHECK;
void vmx_read_capabilities(struct vmx_capabilities *capabilities);

/* vmcs.c: the VMCS of a vCPU, created and put into an architectural start state. */
enum status vmx_vcpu_create(struct vcpu *vcpu) MUST_CHECK;
void vmx_vcpu_reset(struct vcpu *vcpu, const struct vcpu_start *start);
void vmx_set_processor_control(struct vcpu *vcpu, uint32_t bit, bool on);
/* Audits the current VMCS against the rules of VM entry, into the log; returns how many it breaks. */
unsigned vmx_audit_current(struct vcpu *vcpu);

/* msr_bitmap.c: which MSRs a guest reaches without an exit, `x2apic`: while the CPU serves its x2APIC, too.
 * NULL: the pool is used up. */
const void *vmx_msr_bitmap(const struct vmx_controls *controls, bool x2apic);

/* apic.c: a full partition's local APICs. */
enum status vmx_apic_create(struct vcpu *vcpu) MUST_CHECK;
void vmx_apic_reset(struct vcpu *vcpu);
bool vmx_serve_apic(struct vcpu *vcpu);
/* While vmx->apic_mode is not LAPIC_OFF: the CPU delivers an interrupt as soon as the guest takes any. */
bool vmx_apic_interrupt_due(const struct vcpu *vcpu);

/* ept.c */
extern const struct page_format ept_format;
uint64_t ept_pointer(hpa_t root);
void ept_invalidate(const struct vmx_controls *controls, hpa_t root);
void vpid_invalidate(const struct vmx_controls *controls);
void ept_log_walk(const struct page_map *map, gpa_t address); /* every level, to the log */

/* registers.c: registers outside struct guest_registers, and the rules of CR0, CR4 and EFER. */
uint64_t vmx_get_register(struct vcpu *vcpu, enum virt_register which);
void vmx_set_register(struct vcpu *vcpu, enum virt_register which, uint64_t value);
void vmx_get_segment(struct vcpu *vcpu, enum segment_index which, struct segment *segment);
void vmx_get_code(struct vcpu *vcpu, struct code_state *code);
void vmx_set_segment(enum segment_index which, const struct segment *segment);
uint64_t vmx_cr0_guest_owned(const struct vmx_controls *controls);
uint64_t vmx_cr4_guest_owned(const struct vmx_controls *controls);
/* Not checked: bits the guest may have. */
void vmx_load_cr0(struct vcpu *vcpu, uint64_t value);
void vmx_load_cr4(struct vcpu *vcpu, uint64_t value);
/* A guest's own write: EXIT_NEXT, or EXIT_GP as the architecture demands. */
enum exit_action vmx_write_cr0(struct vcpu *vcpu, uint64_t value);
enum exit_action vmx_write_cr4(struct vcpu *vcpu, uint64_t value);
enum exit_action vmx_write_efer(struct vcpu *vcpu, uint64_t value);

/* events.c: injection, windows, and what an exit interrupted. */
bool vmx_can_interrupt(struct vcpu *vcpu);
void vmx_inject_interrupt(struct vcpu *vcpu, uint8_t vector);
void vmx_inject_nmi(struct vcpu *vcpu);
void vmx_inject_exception(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error);
void vmx_interrupt_window(struct vcpu *vcpu, bool open);
void vmx_nmi_window(struct vcpu *vcpu); /* the exit that says an NMI can be taken */
/* Delivers again at the next entry what this exit cut short; false: nothing was. `nmi_unblocked` from the
 * exit's information. */
bool vmx_requeue_event(struct vcpu *vcpu, bool nmi_unblocked);
/* Before an entry at an instruction that was not completed: makes the pending single step what it was. */
void vmx_settle_single_step(void);

/*
 * exit.c, and entry.asm that jumps to it: one handler a reason. None returns: each ends in vmx_resume() or
 * vmx_leave(). For the frequent instructions entry.asm has an entry of its own before the handler, which
 * moves RIP on; the handler is told what was before.
 */
typedef void vmx_exit_handler(struct vcpu *vcpu, uint64_t rip);
#define VMEXIT_HANDLERS 128 /* a power of two above all reasons */
extern vmx_exit_handler *const vmx_exit_handlers[];
vmx_exit_handler vmx_exit_cpuid, vmx_exit_hypercall, vmx_exit_msr_read, vmx_exit_msr_write, vmx_exit_port;
NORETURN void vmx_handle_cpuid(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility, uint64_t rflags);
NORETURN void vmx_handle_hypercall(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility,
				   uint64_t rflags);
NORETURN void vmx_handle_msr_read(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility,
				  uint64_t rflags);
NORETURN void vmx_handle_msr_write(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility,
				   uint64_t rflags);
NORETURN void vmx_handle_port(struct vcpu *vcpu, uint64_t rip, uint64_t interruptibility, uint64_t rflags);
NORETURN void vmx_handle_rare(struct vcpu *vcpu, uint64_t rip);
void vmx_enter(bool launched);	/* runs the guest until it has to be left */
NORETURN void vmx_resume(void); /* from a handler: back into the guest */
NORETURN void vmx_leave(void);	/* from a handler: vmx_enter() returns to its caller */
void vmx_exit_stub(void);	/* HOST_RIP */

/* slow.c */
enum exit_class vmx_slow_class(uint32_t reason);
enum exit_action vmx_slow_exit(struct vcpu *vcpu, uint32_t reason);
void vmx_entry_refused(bool no_vmcs); /* VMLAUNCH or VMRESUME did not enter at all */

/* describe.c: reports. */
const char *vmx_reason_name(uint32_t reason);
enum exit_class vmx_reason_class(uint32_t reason);
const char *vmx_instruction_error_name(uint32_t error);
const char *vmx_entry_failure_name(uint64_t qualification);
void vmx_describe_exit(struct vcpu *vcpu, char *out, size_t size);
