/*
 * A virtual CPU. It is pinned to one physical CPU for life and comes in two parts:
 *
 *   struct vcpu         private: registers and all that only its own CPU touches. It lives in the per-CPU
 * area. struct vcpu_shared  what other CPUs may read or post to: state, requests, statistics. It lives in the
 * pool.
 *
 * To get a vCPU to do something, set a bit in shared->requests and kick its CPU (vcpu_request()). The run
 * loop looks at the requests before every VM entry.
 */
#pragma once

#include <stdatomic.h>
#include <bulkhead/abi.h>
#include "arch/x86/decode.h"
#include "hv/lib/status.h"

struct partition;
struct lapic;

/* General registers in the order of instruction encoding, so that a decoder can index them. RSP is a
 * placeholder here: the guest's RSP is in the VMCS or VMCB (virt->get_register). */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GENERAL_REGISTERS };

union guest_registers {
	struct {
		uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	};
	uint64_t at[GENERAL_REGISTERS];
};

/* Neutral classes of exits, for statistics and reports. A back end maps each hardware reason to one of them.
 */
#define EXIT_CLASS_ENUM(name, text) EXIT_##name,
enum exit_class { BH_EXIT_CLASS_LIST(EXIT_CLASS_ENUM) EXIT_CLASSES };
#undef EXIT_CLASS_ENUM
const char *exit_class_name(unsigned exit_class);

#define EXIT_REASONS 256u /* reasons are counted modulo this: no two of a back end meet */

struct exit_statistics {
	uint64_t count;
	uint64_t tsc; /* TSC ticks between exit and the next entry, summed */
};

/* Requests to a vCPU; several may be pending. */
#define REQUEST_LIFECYCLE (1u << 0) /* partition->command wants all vCPUs out of the guest */
#define REQUEST_INTERRUPT (1u << 1) /* look for a virtual interrupt to deliver (local APIC, PIC, events) */
#define REQUEST_TIMER	  (1u << 2) /* the host timer fired, or a deadline has changed */
#define REQUEST_START	  (1u << 3) /* state went to VCPU_STARTING */
#define REQUEST_INIT	  (1u << 4) /* full: INIT received */
#define REQUEST_NMI	  (1u << 5) /* full: virtual NMI received */
#define REQUEST_MACHINE	  (1u << 7) /* the machine has something to tell (arch/x86/machine_events.h) */
#define REQUEST_CONSOLE	  (1u << 6) /* para: fetch console input into the ring; CPU 0: console work */
#define REQUEST_FLUSH	  (1u << 9) /* para: something went from the partition's map */
#define REQUEST_MESSAGE	  (1u << 8) /* para, vCPU 0: a message is in the partition's inbox */

enum vcpu_state {
	VCPU_OFF,      /* PSCI OFF; full: waits for a start-up IPI */
	VCPU_STARTING, /* PSCI ON_PENDING: shared->start says how */
	VCPU_ON	       /* runs, or is halted */
};

enum vcpu_halt { NOT_HALTED, HALTED, HALTED_FOR_GOOD /* IF = 0: only NMI, INIT or an order can end it */ };

/* The state a vCPU starts in. */
struct vcpu_start {
	enum {
		START_PROTECTED, /* 32-bit protected mode, paging off (Multiboot 0.6.96, 3.2; PVH): EAX, EBX
				  */
		START_REAL,	 /* real mode after SIPI: CS:IP = vector << 8 : 0 */
		START_LONG,	 /* 64-bit, paging on `cr3`, RDI = RAX = context (para) */
		START_LINUX	 /* 64-bit, paging on `cr3`, RSI = context, segments from `gdt` */
	} kind;
	uint64_t entry;	  /* RIP; START_REAL: the start-up vector */
	uint64_t context; /* START_LONG: RDI = RAX; START_PROTECTED: EBX; START_LINUX: RSI */
	uint64_t cr3;	  /* START_LONG, START_LINUX */
	uint64_t gdt;	  /* START_LINUX: null, null, 64-bit code, data */
};
#define START_LINUX_GDT_SIZE 32u

/* GPAs of a vCPU's pages that the hypervisor uses, and those it is about to; 0: none. */
enum { CALL_PAGE_EVENTS, CALL_PAGE_CLAIM, CALL_PAGE_CLAIM_2, VCPU_CALL_PAGES };

struct vcpu_shared {
	_Atomic uint32_t requests;
	_Atomic uint32_t state;		/* enum vcpu_state */
	_Atomic uint32_t halted;	/* enum vcpu_halt */
	uint32_t cpu;			/* index of the physical CPU */
	uint32_t index;			/* vCPU index in its partition, its APIC id */
	_Atomic uint32_t parked;	/* the value of partition->order for which it is out of the guest */
	_Atomic uint64_t events;	/* para: events raised by another CPU, not yet in the event page */
	_Atomic uint32_t interrupts[8]; /* full: vectors posted by another CPU (local APIC IRR to be) */
	_Atomic uint64_t call_page[VCPU_CALL_PAGES];
	_Atomic uint32_t map_seen;	/* the partition's map_version that its CPU has followed */
	struct vcpu_start start;	/* valid while VCPU_STARTING */
	_Atomic uint64_t suspend_count; /* PSCI_STAT_COUNT: times it was suspended */
	_Atomic uint64_t suspend_tsc;	/* PSCI_STAT_RESIDENCY: TSC ticks spent suspended */
	struct exit_statistics statistics[EXIT_CLASSES];
	uint32_t reasons[EXIT_REASONS]; /* exits that have not a class of their own, by the hardware's reason
					 */
};

enum timer_kind {
	TIMER_DEADLINE, /* para: VENDOR_DEADLINE */
	TIMER_LAPIC,	/* full: local APIC timer */
	TIMER_PIT,	/* full, vCPU 0: 8254 channel 0, and what else of the PC keeps time */
	TIMER_CONSOLE,	/* CPU 0: console tick */
	TIMERS
};
#define TIMER_NEVER UINT64_MAX

/* A fixed-size trace of the last exits, for fault reports. */
#define VCPU_TRACE 16
struct trace_entry {
	uint64_t rip;
	uint64_t reason; /* enum exit_class | hardware reason << 8; 0: no exit yet */
};
_Static_assert(VCPU_TRACE * sizeof(struct trace_entry) == UINT8_MAX + 1, "a byte wraps where the trace does");

#define NEVER_A_RIP (1ull << 63) /* not canonical */

/* An instruction in 64-bit code that has reached for a device, and all that this knowledge rests on. */
#define KNOWN_INSTRUCTIONS_LOG2 4
#define KNOWN_INSTRUCTIONS	(1u << KNOWN_INSTRUCTIONS_LOG2)
struct known_instruction {
	uint64_t rip, cr3;		   /* NEVER_A_RIP: none */
	const volatile uint64_t *entry[4]; /* of the guest's page tables, from the top; in the guest window */
	uint64_t value[4];		   /* what stood there */
	const volatile uint64_t *code;	   /* where the tables led to */
	uint64_t bytes[2];
	struct instruction instruction;
};
_Static_assert(sizeof(struct known_instruction) == 128, "found by a shift");

struct vcpu {
	union guest_registers regs; /* first: the exit stub pushes them here */
	uint64_t run_stack;	    /* RSP of the run loop, for the exit stub */
	uint32_t exit_tsc;	    /* low half of the TSC at the last exit */
	uint32_t exit_class;	    /* enum exit_class of the last exit */

	struct vcpu_shared *shared;
	struct partition *partition;
	struct lapic *lapic; /* full: the local APIC model; NULL in para */

	uint64_t timer[TIMERS]; /* absolute TSC; TIMER_NEVER: off */
	uint64_t host_timer;	/* what the host timer is armed for */

	/* Para: the interrupt controller. NULL while the guest has not given a page. */
	struct bh_event_page *event_page; /* in the guest window */
	uint8_t upcall_vector;
	struct pv_stolen_time *stolen_time; /* in the guest window; NULL: none */
	uint64_t stolen_tsc;		    /* TSC ticks the hypervisor took since the vCPU started */

	bool hypervisor_hidden; /* full: the config says hypervisor_leaf = no */
	bool cpu_serves_apic;	/* as the back end has found: virt->serve_apic is asked */
	bool window_open;	/* the back end exits as soon as an interrupt can be taken */
	uint64_t apic_base;	/* full: IA32_APIC_BASE as the guest sees it */
	uint64_t misc_enable;
	uint64_t xcr0;
	uint64_t tsc_aux;

	struct known_instruction known[KNOWN_INSTRUCTIONS]; /* hv/core/exit_memory.c */

	uint8_t trace_next; /* offset of the oldest entry, in bytes: the next to be written */
	struct trace_entry trace[VCPU_TRACE];

	/* A back end's own: struct vmx_vcpu or struct svm_vcpu, whose start the back end checks against the
	 * size. */
	uint64_t backend[64];
};

/* The vCPU of the CPU this runs on (constant address); its partition is NULL on a CPU without one. */
extern struct vcpu this_vcpu[1];

/* Off the short paths: what those do shows in the count of its class. */
static inline void vcpu_count_reason(struct vcpu *vcpu, uint32_t reason)
{
	vcpu->shared->reasons[reason % EXIT_REASONS]++;
}

static inline void vcpu_note_exit(struct vcpu *vcpu, uint64_t rip, uint64_t reason)
{
	uint8_t offset = vcpu->trace_next;
	struct trace_entry *entry = (struct trace_entry *)((uint8_t *)vcpu->trace + offset);

	/* What a compiler takes three instructions for, on the way of every exit. */
	__asm__("addb %1, %0" : "+m"(vcpu->trace_next) : "i"((uint8_t)sizeof(*entry)));
	entry->rip = rip;
	entry->reason = reason;
}

/* The last exit (age 0) or one before it, below VCPU_TRACE. */
static inline const struct trace_entry *vcpu_past_exit(const struct vcpu *vcpu, unsigned age)
{
	uint8_t offset = (uint8_t)(vcpu->trace_next - (age + 1) * sizeof(struct trace_entry));

	return (const struct trace_entry *)((const uint8_t *)vcpu->trace + offset);
}

/* Sets request bits and makes the vCPU's CPU look at them at once (an IPI unless it is this one). Any CPU. */
void vcpu_request(struct vcpu_shared *target, uint32_t requests);
/* For one that has just set a request bit itself, which was clear before. */
void vcpu_kick(const struct vcpu_shared *target);

/* Arms or disarms (TIMER_NEVER) a timer of this CPU's vCPU. */
void vcpu_set_timer(struct vcpu *vcpu, enum timer_kind kind, uint64_t deadline);

/* In a wait or long work of the hypervisor's own, between two lives of the partition or within a call. */
void vcpu_serve_meanwhile(void);
