/*
 * Hypercalls. A function identifier names an owner and a number (Arm DEN0028); each service, a range of
 * numbers of one owner, stands in its own file with a table of rows indexed by number. To add a call is to
 * add a row.
 */
#pragma once

#include "hv/core/exit.h"

/*
 * x1 to x3 of the call, already truncated for 32-bit calls; `function` without the hint bit. The rare call
 * that has more arguments reads them in vcpu->regs.
 */
struct call_arguments {
	uint64_t function, x1, x2, x3;
};

/* What goes back. The dispatcher prepares x0 = 0 and count = 1, and truncates for 32-bit calls. */
struct call_results {
	int64_t x0;
	uint64_t x1, x2, x3;
	unsigned count; /* 1..4; the guest's other registers stay as they are */
};

/*
 * One call. Answers EXIT_NEXT (results go to the guest), EXIT_LEAVE_NEXT (the same, but the vCPU leaves its
 * run loop), or EXIT_LEAVE (the call does not return: no results).
 */
typedef enum exit_action call_fn(struct vcpu *vcpu, const struct call_arguments *in,
				 struct call_results *out);

enum call_form { CALL_32 = 1, CALL_64 = 2, CALL_BOTH = 3 };

struct call_row {
	call_fn *call;
	uint8_t forms;	/* enum call_form: the conventions it exists in; 0: a hole in the table */
	bool para_only; /* a full partition gets NOT_SUPPORTED */
	bool swift;	/* it reads and writes vcpu->regs itself: `in` and `out` are NULL */
};

struct call_service {
	uint16_t first; /* number of row 0 */
	uint16_t count;
	const struct call_row *row;
};

#define CALL_NUMBER_MASK      0xFFFFu
#define CALL_NUMBER(function) ((function)&CALL_NUMBER_MASK)

extern const struct call_service arch_service, identity_service; /* smccc.c */
/*
 * A page that a call gives to the hypervisor: a pointer, or NULL unless it is page-aligned and the
 * partition's memory. From the claim on it cannot be lent, so that it stays what it was found to be; the call
 * notes it in a call_page of the vCPU or the partition if it keeps it, then ends its claims.
 */
void *call_claim_page(struct vcpu *vcpu, unsigned claim, uint64_t address) MUST_CHECK;
void call_end_claims(struct vcpu *vcpu);

/* At boot, behind partitions_create(): what calls keep for each partition. */
enum status calls_create(void) MUST_CHECK;

extern const struct call_service psci_service, trng_service, ffa_service, pvtime_service, vendor_service,
	manage_service;

/* The row of a function identifier (hint bit clear) for this partition, or NULL: NOT_SUPPORTED. */
const struct call_row *call_find(const struct partition *partition, uint32_t function);

/* The partition has started or ended: BH_EVENT_MANAGE to those that may manage others, BH_EVENT_PEER to those
 * that a channel leads to from there. From any CPU. */
void calls_tell_others(const struct partition *partition);

/* Between two lives of a partition, on vCPU 0's CPU, nobody in the guest: forgets what was set up by calls.
 */
void call_partition_reset(struct partition *partition);

/*
 * Events of para partitions. Raising works from any CPU of the partition and from the hypervisor; the vCPU's
 * own CPU moves what was raised into the event page, and asks whether anything there is due (not masked).
 * Events raised while a vCPU is off are forgotten when it starts.
 */
static inline void vcpu_raise_event(struct vcpu_shared *target, unsigned event)
{
	atomic_fetch_or(&target->events, 1ull << event);
	/* vcpu_request(), but for a single bit the CPU has an instruction. */
	if (!(atomic_fetch_or(&target->requests, REQUEST_INTERRUPT) & REQUEST_INTERRUPT))
		vcpu_kick(target);
}
bool events_due(struct vcpu *vcpu);

/*
 * The other devices of a para vCPU, on its own CPU: reset when it starts or goes off (forgets event page,
 * vector and deadline), TIMER_DEADLINE has passed, partition->input to the ring, the ring's output to the
 * console. The last asks for TIMER_CONSOLE while bytes flow.
 */
void vendor_vcpu_reset(struct vcpu *vcpu);
void vendor_timer(struct vcpu *vcpu);
void vendor_console_input(struct vcpu *vcpu);
void vendor_console_poll(struct vcpu *vcpu);

/* Any of the partition's CPUs: empties the ring's output, as far as the console has room (false: not all),
 * and makes the guest kick for the next byte. */
bool vendor_console_settle(struct partition *partition);
/* The ring goes away: all of it is read, and what the console has no room for is lost. */
void vendor_console_last_words(struct partition *partition);

/* Stolen time, on the vCPU's own CPU: `ticks` of the TSC that it was ready to run and the hypervisor used. */
void pvtime_vcpu_reset(struct vcpu *vcpu);
void pvtime_account(struct vcpu *vcpu, uint64_t ticks);

/*
 * FF-A. What came for the partition is put into its RX buffer, on vCPU 0's CPU. Where a vCPU is reset and
 * where a partition's life ends, nothing of its part stays, and whoever waits for it is told.
 */
void ffa_take_message(struct vcpu *vcpu);
void ffa_vcpu_reset(struct vcpu *vcpu);
void ffa_partition_reset(struct partition *partition);
