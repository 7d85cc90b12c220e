/*
 * What a vendor back end offers. Both are in every image; cpu_select_virt() picks one at boot. The exit path
 * never goes through this table: each back end owns its run loop and calls hv/core/exit.h directly.
 */
#pragma once

#include "arch/x86/registers.h"
#include "hv/core/vcpu.h"
#include "hv/mem/page_map.h"

enum segment_index {
	SEGMENT_ES,
	SEGMENT_CS,
	SEGMENT_SS,
	SEGMENT_DS,
	SEGMENT_FS,
	SEGMENT_GS,
	SEGMENT_LDTR,
	SEGMENT_TR,
	SEGMENTS
};

#define SEGMENT_LONG (1u << 9)	/* L: 64-bit code */
#define SEGMENT_BIG  (1u << 10) /* D/B: 32-bit code */
struct segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint16_t access; /* as in the descriptor: type, S, DPL, P in bits 7:0, AVL, L, D/B, G in bits 11:8 */
};

/* Registers outside struct guest_registers. */
enum virt_register {
	VIRT_RIP,
	VIRT_RSP,
	VIRT_RFLAGS,
	VIRT_CR0,
	VIRT_CR2,
	VIRT_CR3,
	VIRT_CR4,
	VIRT_EFER,
	VIRT_REGISTERS
};

/* All that fetching the instruction at RIP depends on, but for the tables themselves. */
struct code_state {
	uint64_t rip, cr3, base; /* base: of CS */
	bool long_mode;		 /* EFER.LMA: 4-level or 5-level paging */
	bool five_levels;	 /* CR4.LA57 */
	uint8_t code;		 /* enum code_size */
};

/* `access` as in struct segment. */
static inline enum code_size code_size_of(uint64_t efer, uint32_t access)
{
	if ((efer & EFER_LMA) && (access & SEGMENT_LONG))
		return CODE_64;
	return access & SEGMENT_BIG ? CODE_32 : CODE_16;
}

struct virt_features {
	bool nested_paging;	      /* EPT or NPT: required */
	bool unrestricted_guest;      /* VT-x: full partitions need it; always true on SVM */
	bool large_pages;	      /* 2 MiB leaves in the guest map */
	bool giant_pages;	      /* 1 GiB leaves */
	bool tagged_tlb;	      /* VPID or ASID */
	bool next_rip;		      /* the CPU tells the length of trapped instructions */
	bool preemption_timer;	      /* VT-x */
	bool virtual_apic;	      /* VT-x: the CPU serves local APICs; serve_apic is there */
	bool invpcid, rdtscp, xsaves; /* need not trap or fault in a guest; RDPID comes with RDTSCP */
	uint32_t tags;		      /* number of ASIDs or VPIDs */
};

#define VIRT_MESSAGE 160

struct virt_ops {
	const char *name; /* "VT-x" or "SVM" */

	/*
	 * Is this CPU able to? Called on every CPU before anything is touched. ERR_UNSUPPORTED with *message
	 * saying which feature is missing, what was found and what to do (firmware setup); fills *features.
	 */
	enum status (*probe)(struct virt_features *features, char message[VIRT_MESSAGE]);

	enum status (*cpu_enable)(char message[VIRT_MESSAGE]); /* VMXON, EFER.SVME: this CPU */
	void (*cpu_disable)(void);

	const struct page_format *guest_format;

	/* Once a vCPU, on its own CPU: VMCS or VMCB, bitmaps. */
	enum status (*vcpu_create)(struct vcpu *vcpu);
	/* Architectural start state. Also clears what a former guest left in the CPU: DRs, FPU, XCR0, syscall
	 * MSRs. */
	void (*vcpu_reset)(struct vcpu *vcpu, const struct vcpu_start *start);
	/* Runs the guest until it has to leave (EXIT_LEAVE, or vcpu_service() said so). */
	void (*vcpu_run)(struct vcpu *vcpu);

	uint64_t (*get_register)(struct vcpu *vcpu, enum virt_register which);
	void (*set_register)(struct vcpu *vcpu, enum virt_register which, uint64_t value);
	void (*get_segment)(struct vcpu *vcpu, enum segment_index which, struct segment *segment);
	void (*get_code)(struct vcpu *vcpu, struct code_state *code); /* the same in one go */

	/* True if RFLAGS.IF = 1, no interrupt shadow, and no event is waiting for the next entry. */
	bool (*can_interrupt)(struct vcpu *vcpu);
	void (*inject_interrupt)(struct vcpu *vcpu, uint8_t vector);
	void (*inject_nmi)(struct vcpu *vcpu);
	void (*inject_exception)(struct vcpu *vcpu, uint8_t vector, bool has_error, uint32_t error);
	/* Exit as soon as an interrupt can be taken (true), or no longer (false). */
	void (*interrupt_window)(struct vcpu *vcpu, bool open);
	/*
	 * Where vcpu->cpu_serves_apic: before an entry for which REQUEST_INTERRUPT was set,
	 * hands the local APIC's state to the CPU, which delivers its interrupts and takes their ends (true);
	 * or back to the model while the APIC is off (false).
	 */
	bool (*serve_apic)(struct vcpu *vcpu);

	/*
	 * Makes the CPU wholly the host's before it waits or lets interrupts in within an exit: some exits
	 * run with part of the guest's state still loaded. Harmless when nothing is left to do. NULL: every
	 * exit is the host's from its start.
	 */
	void (*restore_host)(struct vcpu *vcpu);

	void (*flush_guest_tlb)(struct vcpu *vcpu); /* after the guest map has shrunk: own CPU */

	/* The hardware's word for a reason, as vcpu_shared.reasons counts them. */
	const char *(*reason_name)(uint32_t reason);
	/* The last exit in the vendor's own words: reason, qualification, addresses. For fault reports. */
	void (*describe_exit)(struct vcpu *vcpu, char *out, size_t size);
};

extern const struct virt_ops vmx_ops, svm_ops;

/* The chosen one, NULL before cpu_select_virt(). */
extern const struct virt_ops *virt;
extern struct virt_features virt_features; /* what all CPUs have */
