/*
 * Hypercalls. The dispatcher finds a row by function id; each Arm service stands in its own file with its own rows.
 */
#pragma once

#include "hv/core/exit.h"

struct call_arguments { uint64_t function, x1, x2, x3, x4, x5, x6, x7; }; /* truncated for 32-bit calls */
struct call_results { int64_t x0; uint64_t x1, x2, x3; unsigned count; /* registers that are results: 1..4 */ };

/* EXIT_NEXT, or EXIT_LEAVE / EXIT_LEAVE_NEXT when the vCPU goes off. */
typedef enum exit_action call_fn(struct vcpu *vcpu, const struct call_arguments *in, struct call_results *out);

struct call_row {
	uint32_t function; /* exact id, hint bit clear */
	const char *name;
	call_fn *call;
	bool para_only;
};
extern const struct call_row smccc_calls[], psci_calls[], trng_calls[], pvtime_calls[], ffa_calls[], vendor_calls[];

/* The row for a function id in this partition, or NULL: NOT_SUPPORTED. */
const struct call_row *call_find(const struct partition *partition, uint32_t function);

/* PSCI and events as the core needs them. */
void vcpu_raise_event(struct vcpu_shared *target, unsigned event);  /* para, any CPU of the partition or the hypervisor */
bool events_due(struct vcpu *vcpu);                                 /* folds shared->events into the page, then looks */
void vendor_timer(struct vcpu *vcpu);                               /* TIMER_DEADLINE has passed */
void vendor_vcpu_reset(struct vcpu *vcpu);                          /* forget pages, vector, deadline */
void vendor_console_input(struct vcpu *vcpu);                       /* REQUEST_CONSOLE: partition->input to the ring */
void vendor_console_poll(struct vcpu *vcpu);                        /* reads `out` of the ring to the console */
