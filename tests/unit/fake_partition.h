/*
 * A partition without a machine: memory from the heap (so that the address sanitizer guards its end), vCPUs
 * that run nowhere, and fakes of what the hypercalls ask of the core, the console and the clock, each leaving
 * a trace to look at. For unit tests and fuzzers; there is one at a time. It has two peers: a channel to the
 * first allows all, one to the second everything but messages; the two do not know each other.
 */
#pragma once

#include <bulkhead/abi.h>
#include <bulkhead/config.h>

#include "hv/core/exit.h"
#include "hv/core/partition.h"

#define FAKE_VCPUS	  4
#define FAKE_PEER_VCPUS	  2
#define FAKE_PEERS	  2
#define FAKE_MEMORY_PAGES 16
#define FAKE_MEMORY_SIZE  (FAKE_MEMORY_PAGES * PAGE_SIZE)
#define FAKE_CONSOLE_SIZE 16384
#define FAKE_STOLEN_GPA	  (15 * PAGE_SIZE)
#define FAKE_BOOT_CR3	  0x7000u
#define FAKE_TSC_KHZ	  2500000u
#define FAKE_POOL_PAGES	  512
#define FAKE_POOL_HPA	  0x80000000u
#define FAKE_HPA(id)	  (0x10000000u * ((id) + 1ull)) /* where GPA 0 is */

struct fake_peer {
	struct partition_config config;
	struct vcpu vcpu[FAKE_PEER_VCPUS];
	struct vcpu_shared shared[FAKE_PEER_VCPUS];
	uint8_t *memory;
};

struct fake {
	union {
		struct partition partition;
		struct partition all[1 + FAKE_PEERS];
	};
	struct partition_config config;
	struct fake_peer peer[FAKE_PEERS]; /* all[1] and all[2]: para, running */
	struct config machine;		   /* its channels */
	void *pool;
	unsigned flushes; /* of vCPUs' maps */
	struct vcpu vcpu[FAKE_VCPUS];
	struct vcpu_shared shared[FAKE_VCPUS];
	uint8_t *memory; /* GPA 0 .. FAKE_MEMORY_SIZE */

	char console[FAKE_CONSOLE_SIZE];     /* what was written */
	size_t console_length, console_room; /* takes no more than that */

	enum partition_order order; /* the last one posted, to whom, and why */
	const struct partition *ordered;
	char reason[128];
	enum status command_status; /* what partition_command() shall answer */

	enum exit_action wait_result; /* what vcpu_wait() shall answer */
	void (*wait_hook)(struct vcpu *vcpu);
	unsigned checks; /* whether anybody is left awake */
	unsigned waits;
	bool wait_wakes;

	bool entropy_present;
	unsigned entropy_left;	/* words until the generator runs dry */
	uint64_t entropy_value; /* the next word; each is two more, so odd stays odd */

	enum exit_action action; /* of the last call */
};

extern struct fake fake;

/* vCPU 0 on, the others off, nothing registered. Ends what was there before. */
void fake_create(enum partition_mode mode);
void fake_destroy(void);

/*
 * A hypercall of vCPU `cpu`. Aborts if a register that every call preserves has changed. x0 to x3 come back
 * in `x`, as does what was in them before the call wherever the call has left it.
 */
struct fake_registers {
	uint64_t x[8];
};
struct fake_registers fake_call(unsigned cpu, struct fake_registers in);
/* The same for any vCPU. */
struct fake_registers fake_call_on(struct vcpu *vcpu, struct fake_registers in);
/* The short form: x0 only. */
uint64_t fake_call3(unsigned cpu, uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3);

/* Types into the partition's input queue. */
void fake_type(const char *text);
