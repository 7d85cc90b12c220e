/*
 * The virtual machine control block (APM 2 appendix B), exit codes (appendix C) and the bits in between, by
 * AMD's names in whole words.
 */
#pragma once

#include "hv/lib/types.h"

/* CPUID leaf of SVM's features, and its EDX (APM 3 E.4.9) */
#define CPUID_SVM	       0x8000000Au
#define SVM_EDX_NESTED_PAGES   (1u << 0)
#define SVM_EDX_NEXT_RIP       (1u << 3)
#define SVM_EDX_FLUSH_BY_ASID  (1u << 6)
#define SVM_EDX_DECODE_ASSISTS (1u << 7)

/* APM 2 15.5.1: segment registers in the save area. `access` is packed like struct segment's in
 * hv/core/virt.h. */
struct vmcb_segment {
	uint16_t selector;
	uint16_t access;
	uint32_t limit;
	uint64_t base;
};

struct vmcb_control {
	uint16_t intercept_cr_read;	/* 000: bit n is CRn */
	uint16_t intercept_cr_write;	/* 002 */
	uint16_t intercept_dr_read;	/* 004 */
	uint16_t intercept_dr_write;	/* 006 */
	uint32_t intercept_exceptions;	/* 008: bit n is vector n */
	uint32_t intercept_instruction; /* 00C: enum intercept */
	uint32_t intercept_svm;		/* 010: enum intercept_svm */
	uint32_t intercept_more;	/* 014: enum intercept_more */
	uint8_t reserved_018[0x24];
	uint16_t pause_filter_threshold; /* 03C */
	uint16_t pause_filter_count;	 /* 03E */
	uint64_t io_permissions;	 /* 040: HPA of 12 KiB */
	uint64_t msr_permissions;	 /* 048: HPA of 8 KiB */
	uint64_t tsc_offset;		 /* 050 */
	uint32_t asid;			 /* 058 */
	uint32_t tlb_control;		 /* 05C */
	uint32_t virtual_interrupt;	 /* 060: V_TPR, V_IRQ ... */
	uint32_t virtual_vector;	 /* 064 */
	uint64_t interrupt_shadow;	 /* 068 */
	uint64_t exit_code;		 /* 070 */
	uint64_t exit_info_1;		 /* 078 */
	uint64_t exit_info_2;		 /* 080 */
	uint32_t exit_event;		 /* 088: EXITINTINFO, the event whose delivery the exit cut short */
	uint32_t exit_event_error;	 /* 08C */
	uint64_t nested_paging;		 /* 090 */
	uint8_t reserved_098[0x10];
	uint32_t event;		     /* 0A8: EVENTINJ, what the next VMRUN delivers */
	uint32_t event_error;	     /* 0AC */
	uint64_t nested_cr3;	     /* 0B0 */
	uint64_t virtual_extensions; /* 0B8: LBR, virtual VMLOAD */
	uint32_t clean;		     /* 0C0: what the CPU may keep from the last VMRUN */
	uint32_t reserved_0c4;
	uint64_t next_rip; /* 0C8 */
	uint8_t reserved_0d0[0x330];
};

struct vmcb_save {
	struct vmcb_segment es, cs, ss, ds, fs, gs; /* 400 */
	struct vmcb_segment gdtr, ldtr, idtr, tr;   /* 460 */
	uint8_t reserved_4a0[0x2B];
	uint8_t cpl; /* 4CB */
	uint32_t reserved_4cc;
	uint64_t efer; /* 4D0 */
	uint8_t reserved_4d8[0x70];
	uint64_t cr4, cr3, cr0, dr7, dr6; /* 548 */
	uint64_t rflags, rip;		  /* 570 */
	uint8_t reserved_580[0x58];
	uint64_t rsp; /* 5D8 */
	uint8_t reserved_5e0[0x18];
	uint64_t rax;				   /* 5F8 */
	uint64_t star, lstar, cstar, syscall_mask; /* 600 */
	uint64_t kernel_gs_base;		   /* 620 */
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2; /* 640 */
	uint8_t reserved_648[0x20];
	uint64_t pat;		/* 668 */
	uint64_t debug_control; /* 670 */
	uint8_t reserved_678[0x988];
};

struct vmcb {
	struct vmcb_control control;
	struct vmcb_save save;
};

#define VMCB_FIELD_AT(field, offset)                                                                         \
	_Static_assert(offsetof(struct vmcb, field) == (offset), "VMCB, APM 2 appendix B")
VMCB_FIELD_AT(control.intercept_more, 0x014);
VMCB_FIELD_AT(control.pause_filter_threshold, 0x03C);
VMCB_FIELD_AT(control.io_permissions, 0x040);
VMCB_FIELD_AT(control.asid, 0x058);
VMCB_FIELD_AT(control.virtual_interrupt, 0x060);
VMCB_FIELD_AT(control.interrupt_shadow, 0x068);
VMCB_FIELD_AT(control.exit_event, 0x088);
VMCB_FIELD_AT(control.nested_paging, 0x090);
VMCB_FIELD_AT(control.event, 0x0A8);
VMCB_FIELD_AT(control.nested_cr3, 0x0B0);
VMCB_FIELD_AT(control.clean, 0x0C0);
VMCB_FIELD_AT(control.next_rip, 0x0C8);
VMCB_FIELD_AT(save.es, 0x400);
VMCB_FIELD_AT(save.tr, 0x490);
VMCB_FIELD_AT(save.cpl, 0x4CB);
VMCB_FIELD_AT(save.efer, 0x4D0);
VMCB_FIELD_AT(save.cr4, 0x548);
VMCB_FIELD_AT(save.rip, 0x578);
VMCB_FIELD_AT(save.rsp, 0x5D8);
VMCB_FIELD_AT(save.rax, 0x5F8);
VMCB_FIELD_AT(save.kernel_gs_base, 0x620);
VMCB_FIELD_AT(save.cr2, 0x640);
VMCB_FIELD_AT(save.pat, 0x668);
_Static_assert(sizeof(struct vmcb) == PAGE_SIZE, "VMCB, APM 2 15.5");

/* Intercept bits, by the word they stand in. */
enum intercept {
	INTERCEPT_INTR = 1u << 0,
	INTERCEPT_NMI = 1u << 1,
	INTERCEPT_INIT = 1u << 3,
	INTERCEPT_VINTR = 1u << 4,
	INTERCEPT_RDPMC = 1u << 15,
	INTERCEPT_CPUID = 1u << 18,
	INTERCEPT_IRET = 1u << 20,
	INTERCEPT_INTN = 1u << 21,
	INTERCEPT_INVD = 1u << 22,
	INTERCEPT_HLT = 1u << 24,
	INTERCEPT_INVLPGA = 1u << 26,
	INTERCEPT_IO = 1u << 27,
	INTERCEPT_MSR = 1u << 28,
	INTERCEPT_FERR_FREEZE = 1u << 30
};
#define INTERCEPT_SHUTDOWN (1u << 31)

enum intercept_svm {
	INTERCEPT_VMRUN = 1u << 0,
	INTERCEPT_VMMCALL = 1u << 1,
	INTERCEPT_VMLOAD = 1u << 2,
	INTERCEPT_VMSAVE = 1u << 3,
	INTERCEPT_STGI = 1u << 4,
	INTERCEPT_CLGI = 1u << 5,
	INTERCEPT_SKINIT = 1u << 6,
	INTERCEPT_WBINVD = 1u << 9,
	INTERCEPT_MONITOR = 1u << 10,
	INTERCEPT_MWAIT = 1u << 11,
	INTERCEPT_MWAIT_ARMED = 1u << 12,
	INTERCEPT_XSETBV = 1u << 13,
	INTERCEPT_RDPRU = 1u << 14
};

enum intercept_more { INTERCEPT_MCOMMIT = 1u << 3 };

#define CONTROL_REGISTER_8 (1u << 8)

/* 05C, APM 2 15.16.1 */
#define TLB_KEEP  0u
#define TLB_FLUSH 1u

/* 060, APM 2 15.21 */
#define VIRTUAL_TPR	     0x0Fu
#define VIRTUAL_IRQ	     (1u << 8)
#define VIRTUAL_PRIORITY_MAX (0xFu << 16)
#define VIRTUAL_IGNORE_TPR   (1u << 20)
#define VIRTUAL_MASKING	     (1u << 24)

/* 068, APM 2 15.21.5 */
#define SHADOW_ACTIVE 1ull

/* 090, APM 2 15.25.3 */
#define NESTED_PAGING_ENABLE 1ull

/* EVENTINJ and EXITINTINFO, APM 2 15.20, 15.7.2 */
#define EVENT_VECTOR	  0xFFu
#define EVENT_TYPE	  (7u << 8)
#define EVENT_INTERRUPT	  (0u << 8)
#define EVENT_NMI	  (2u << 8)
#define EVENT_EXCEPTION	  (3u << 8)
#define EVENT_SOFTWARE	  (4u << 8)
#define EVENT_ERROR_VALID (1u << 11)
#define EVENT_VALID	  (1u << 31)

#define EXCEPTION_VECTORS      32
#define HAS_ERROR_CODE(vector) (0x60227D00u >> (vector)&1) /* 8, 10-14, 17, 21, 29, 30 (APM 2 table 8-1) */

/* VMCB clean bits, APM 2 15.15.3: all that the hypervisor may leave as it is from exit to exit. */
#define CLEAN_ALL  0x3FFu
#define CLEAN_NONE 0u

/* EXITINFO1 of IN, OUT, INS, OUTS (APM 2 15.10.2). EXITINFO2 is the next RIP. */
#define IO_IN		 (1u << 0)
#define IO_STRING	 (1u << 2)
#define IO_REP		 (1u << 3)
#define IO_SIZE_SHIFT	 4 /* one bit each: 1, 2, 4 bytes, so that the field is the size */
#define IO_SIZE_MASK	 7u
#define IO_ADDRESS_SHIFT 7 /* one bit each: 2, 4, 8 bytes, so that twice the field is the size */
#define IO_ADDRESS_MASK	 7u
#define IO_SEGMENT_SHIFT 10
#define IO_SEGMENT_MASK	 7u
#define IO_PORT_SHIFT	 16

/* EXITINFO1 of a nested page fault (APM 2 15.25.6); EXITINFO2 is the guest-physical address. */
#define NPF_WRITE      (1ull << 1)
#define NPF_RESERVED   (1ull << 3)
#define NPF_FETCH      (1ull << 4)
#define NPF_TABLE_WALK (1ull << 33) /* the address is one of the guest's page tables */

/* Exit codes. X(name, code, text) */
#define VMEXIT_LIST(X)                                                                                       \
	X(VMEXIT_CR8_READ, 0x008, "CR8_READ")                                                                \
	X(VMEXIT_CR8_WRITE, 0x018, "CR8_WRITE")                                                              \
	X(VMEXIT_DE, 0x040, "EXCP_DE") /* the first of EXCEPTION_VECTORS */                                  \
	X(VMEXIT_DB, 0x041, "EXCP_DB")                                                                       \
	X(VMEXIT_BR, 0x045, "EXCP_BR")                                                                       \
	X(VMEXIT_UD, 0x046, "EXCP_UD")                                                                       \
	X(VMEXIT_NM, 0x047, "EXCP_NM")                                                                       \
	X(VMEXIT_TS, 0x04A, "EXCP_TS")                                                                       \
	X(VMEXIT_NP, 0x04B, "EXCP_NP")                                                                       \
	X(VMEXIT_SS, 0x04C, "EXCP_SS")                                                                       \
	X(VMEXIT_GP, 0x04D, "EXCP_GP")                                                                       \
	X(VMEXIT_PF, 0x04E, "EXCP_PF")                                                                       \
	X(VMEXIT_MF, 0x050, "EXCP_MF")                                                                       \
	X(VMEXIT_AC, 0x051, "EXCP_AC")                                                                       \
	X(VMEXIT_MC, 0x052, "EXCP_MC")                                                                       \
	X(VMEXIT_XM, 0x053, "EXCP_XM")                                                                       \
	X(VMEXIT_INTR, 0x060, "INTR")                                                                        \
	X(VMEXIT_NMI, 0x061, "NMI")                                                                          \
	X(VMEXIT_SMI, 0x062, "SMI")                                                                          \
	X(VMEXIT_INIT, 0x063, "INIT")                                                                        \
	X(VMEXIT_VINTR, 0x064, "VINTR")                                                                      \
	X(VMEXIT_RDPMC, 0x06F, "RDPMC")                                                                      \
	X(VMEXIT_CPUID, 0x072, "CPUID")                                                                      \
	X(VMEXIT_IRET, 0x074, "IRET")                                                                        \
	X(VMEXIT_SWINT, 0x075, "SWINT")                                                                      \
	X(VMEXIT_INVD, 0x076, "INVD")                                                                        \
	X(VMEXIT_HLT, 0x078, "HLT")                                                                          \
	X(VMEXIT_INVLPGA, 0x07A, "INVLPGA")                                                                  \
	X(VMEXIT_IO, 0x07B, "IOIO")                                                                          \
	X(VMEXIT_MSR, 0x07C, "MSR")                                                                          \
	X(VMEXIT_FERR_FREEZE, 0x07E, "FERR_FREEZE")                                                          \
	X(VMEXIT_SHUTDOWN, 0x07F, "SHUTDOWN")                                                                \
	X(VMEXIT_VMRUN, 0x080, "VMRUN")                                                                      \
	X(VMEXIT_VMMCALL, 0x081, "VMMCALL")                                                                  \
	X(VMEXIT_VMLOAD, 0x082, "VMLOAD")                                                                    \
	X(VMEXIT_VMSAVE, 0x083, "VMSAVE")                                                                    \
	X(VMEXIT_STGI, 0x084, "STGI")                                                                        \
	X(VMEXIT_CLGI, 0x085, "CLGI")                                                                        \
	X(VMEXIT_SKINIT, 0x086, "SKINIT")                                                                    \
	X(VMEXIT_WBINVD, 0x089, "WBINVD")                                                                    \
	X(VMEXIT_MONITOR, 0x08A, "MONITOR")                                                                  \
	X(VMEXIT_MWAIT, 0x08B, "MWAIT")                                                                      \
	X(VMEXIT_MWAIT_ARMED, 0x08C, "MWAIT_CONDITIONAL")                                                    \
	X(VMEXIT_XSETBV, 0x08D, "XSETBV")                                                                    \
	X(VMEXIT_RDPRU, 0x08E, "RDPRU")                                                                      \
	X(VMEXIT_MCOMMIT, 0x0A3, "MCOMMIT")                                                                  \
	X(VMEXIT_NPF, 0x400, "NPF")                                                                          \
	X(VMEXIT_BUSY, 0xFFFFFFFE, "BUSY")                                                                   \
	X(VMEXIT_INVALID, 0xFFFFFFFF, "INVALID") /* 64 bits of ones on CPUs, 32 under QEMU TCG */

#define VMEXIT_ENUM(name, code, text) name = code,
enum vmexit { VMEXIT_LIST(VMEXIT_ENUM) };
#undef VMEXIT_ENUM
