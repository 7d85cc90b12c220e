/*
 * libbulkhead: all a paravirtualised guest needs to live on Bulkhead. Link it, write bh_main(), done;
 * guests/hello shows the smallest one.
 *
 * The library brings the entry point, a stack of 8 KiB for each CPU, segment and interrupt tables, and before
 * bh_main() it has checked that this is Bulkhead, chosen VMCALL or VMMCALL, and registered event page, clock
 * page and console ring. Addresses are physical and virtual at once: memory is identity-mapped from 0 to
 * bh_start.memory_size.
 *
 * Results: 0 or more is success; negative values are the codes of the call's family in <bulkhead/abi.h>
 * (PSCI_…, SMCCC_…, TRNG_…). Functions are for any CPU with interrupts on, unless they say otherwise; the
 * console belongs to one CPU at a time.
 *
 * Sources: Arm DEN0028 (SMCCC), DEN0022 (PSCI), DEN0098 (TRNG), DEN0057 (PV time), DEN0077A (FF-A); the
 * vendor calls are Bulkhead's own.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bulkhead/abi.h>

#define BH_MAX_CPUS	 32 /* stacks and event pages there are; further vCPUs cannot be started */
#define BH_UPCALL_VECTOR 48

/*
 * Yours. Runs on vCPU 0 with interrupts on; returning from it powers the partition off.
 * `start` is the record the hypervisor left in memory, valid for ever.
 */
void bh_main(const struct bh_start *start);

/* ---- Raw calls ---- */

/*
 * One call with up to five arguments; x0 comes back as the hypervisor left it in RAX. A 32-bit call's
 * negative result is zero-extended, so cast to int32_t before comparing.
 */
uint64_t bh_call(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3, uint64_t x4, uint64_t x5);

/* One call with all registers: x[0] holds the function identifier, afterwards x[0] to x[7] hold what came
 * back. */
void bh_call_registers(uint64_t x[8]);

/* ---- Discovery ---- */

struct bh_identity {
	uint32_t abi_revision; /* major << 16 | minor, from CPUID */
	uint32_t partition_id;
	uint32_t vcpu;		/* index of the CPU that asks */
	uint32_t smccc_version; /* major << 16 | minor */
	uint32_t psci_version;
	uint32_t vendor_major, vendor_minor;
	uint32_t uid[4];	  /* BH_UID_0 to BH_UID_3, or this is not Bulkhead */
	uint32_t vendor_calls[4]; /* bit n: the vendor call number n is there */
};

/* False when the CPUID signature is not Bulkhead's: then nothing else here may be called. */
bool bh_identify(struct bh_identity *identity);

/* 0 when the hypervisor knows this function (Arch, TRNG, PV time …), SMCCC_NOT_SUPPORTED when not. */
int bh_arch_feature(uint32_t function);

/* 0 or a feature word when this PSCI function is there, PSCI_NOT_SUPPORTED when not. */
int bh_psci_feature(uint32_t function);

/* ---- Life of the partition and its CPUs (PSCI) ---- */

/* The vCPU that asks. Costs no call. */
uint32_t bh_cpu(void);

/*
 * Starts vCPU `cpu` in entry(context), on a stack of its own, with interrupts on and events enabled.
 * Returning from `entry` is CPU_OFF. 0, PSCI_INVALID_PARAMETERS (no such vCPU), PSCI_ALREADY_ON,
 * PSCI_ON_PENDING.
 */
int bh_cpu_on(uint32_t cpu, void (*entry)(void *context), void *context);

/* Stops the calling vCPU. Returns only when it was refused: PSCI_DENIED. */
int bh_cpu_off(void);

/* PSCI_AFFINITY_ON, _OFF, _ON_PENDING, or PSCI_INVALID_PARAMETERS. */
int bh_cpu_state(uint32_t cpu);

/* Microseconds this vCPU has spent suspended, and how often (PSCI_STAT). */
uint64_t bh_suspend_residency_us(uint32_t cpu);
uint64_t bh_suspend_count(uint32_t cpu);

/*
 * Waits for an event: turns interrupts on, suspends, and turns them off again after the event's handler has
 * run. Call with interrupts off, after looking whether there is work: an event in between is not missed.
 */
void bh_idle(void);

/* This partition only; others do not notice. Write out the console first: bh_console_flush(). */
_Noreturn void bh_system_off(void);
_Noreturn void bh_system_reset(void);

/* 0 when all of [start, start + size) is this partition's memory, else PSCI_DENIED. */
int bh_memory_check(uint64_t start, uint64_t size);

/* ---- Events ---- */

typedef void bh_event_handler(uint32_t event);

/*
 * Calls `handler` on the vCPU at which the event arrives, with interrupts off. NULL: the event is remembered
 * for bh_wait_for() instead, which is how every event begins. Events 0 to 55 are the guest's own.
 */
void bh_event_handle(uint32_t event, bh_event_handler *handler);

/* Holds an event back on this vCPU, or lets it through and delivers it if it came meanwhile. */
void bh_event_mask(uint32_t event);
void bh_event_unmask(uint32_t event);

/* Sleeps until an event without handler has come to this vCPU since the last time, and takes it. */
void bh_wait_for(uint32_t event);

/* The calling vCPU's event page, for those who take events without the library (with interrupts off). */
struct bh_event_page *bh_event_page(void);

/* Sends one of the guest's own events to a vCPU: 0, or SMCCC_INVALID_PARAMETER. */
int bh_ipi(uint32_t cpu, uint32_t event);

/* ---- Other partitions (FF-A), as far as the config's channels allow ---- */

/*
 * Results: 0 or more, or an FFA_ code of <bulkhead/abi.h>. `peer` is a partition's id. The first function
 * that needs buffers maps them; a partition has one pair, so one CPU at a time sends, and one receives.
 * BH_EVENT_NOTIFICATION tells of messages and notifications, BH_EVENT_PEER that a peer has started or ended.
 */
uint16_t bh_own_id(void);

/* 0 when this FF-A function is there, FFA_NOT_SUPPORTED when not. */
int bh_ffa_feature(uint32_t function);

/* Copies the descriptors of this partition and its peers, at most `room`. How many there are. */
int bh_partitions(struct ffa_partition_info *list, uint32_t room);

#define BH_MESSAGE_SIZE (4096u - sizeof(struct ffa_message))

/* Copies `size` bytes to the peer's RX buffer; FFA_BUSY while it holds another message. */
int bh_message_send(uint16_t peer, const void *bytes, uint32_t size);

/* Takes the message in RX, at most `room` bytes of it: its size and sender; FFA_NO_DATA if there is none. */
int bh_message_receive(uint16_t *peer, void *bytes, uint32_t room);

/* Notifications: the receiver names who may set which of its 64 bits. */
int bh_notification_bind(uint16_t peer, uint64_t bits);
int bh_notification_unbind(uint16_t peer, uint64_t bits);
int bh_notification_set(uint16_t peer, uint64_t bits);
/* Those set at this partition or this vCPU since the last time. */
uint64_t bh_notifications(void);

/* Direct messages: five words there and five back. */
#define BH_DIRECT_WORDS 5
struct bh_direct {
	uint16_t peer;
	uint64_t word[BH_DIRECT_WORDS];
};
/* Sends the words to direct->peer and sleeps until its answer, which takes their place: 0, FFA_BUSY (none of
 * its vCPUs waits), FFA_ABORTED (it ended). */
int bh_direct_request(struct bh_direct *direct);
/*
 * The other side. Call with interrupts off, after looking whether there is other work; they are on
 * afterwards. bh_direct_wait() sleeps until a request (1) or an event (0) comes; bh_direct_answer() sends the
 * words back and then waits in the same way. FFA_ABORTED: the asker is gone.
 */
int bh_direct_wait(struct bh_direct *direct);
int bh_direct_answer(struct bh_direct *direct);

/*
 * Memory. Sharing keeps it, lending hides it from this partition until it is reclaimed. `address` is
 * page-aligned; the peer may write. The handle is the peer's to know: tell it in a message.
 */
int bh_memory_share(uint16_t peer, const void *address, uint32_t pages, uint64_t *handle);
int bh_memory_lend(uint16_t peer, const void *address, uint32_t pages, uint64_t *handle);
/* FFA_DENIED while the peer has it. */
int bh_memory_reclaim(uint64_t handle);
/* The peer's side: *address is where it is seen, which the tables this partition started on map. Pages, or a
 * code. */
int bh_memory_retrieve(uint16_t peer, uint64_t handle, void **address);
int bh_memory_relinquish(uint64_t handle);

/*
 * A queue of bytes in shared memory, one writer and one reader. While both are at work it needs no call: only
 * who finds the other asleep sets its notification. Zeroed memory is an empty queue, and a zeroed position
 * its end.
 *
 * The peer may write anything there at any time, and a byte read is its word; but its position is checked
 * each time, and an end's own is not looked up there. All four answer FFA_INVALID_PARAMETERS where the peer's
 * position cannot be, more than `size` away: it has spoilt the queue, or it has ended and its memory is gone
 * (BH_EVENT_PEER). Such a queue is of no use any more.
 */
#define BH_QUEUE_HEADER 128u
struct bh_queue {
	uint32_t head;		/* the writer's: bytes ever written */
	uint32_t writer_sleeps; /* until there is room */
	uint8_t pad[56];
	uint32_t tail;		/* the reader's: bytes ever read */
	uint32_t reader_sleeps; /* until there are bytes */
	uint8_t pad_2[56];
	uint8_t byte[];
};
struct bh_queue_end {
	struct bh_queue *queue;
	uint32_t size;	   /* of byte[], a power of two; whoever is told it by the peer checks it */
	uint32_t position; /* this end's: head or tail */
	uint16_t peer;
	uint64_t bit;	/* the notification to wake the other end with */
	uint64_t wakes; /* how often that was done */
};
/* As many bytes as there are or fit at once: 0 when the queue is full or empty. */
int bh_queue_write(struct bh_queue_end *end, const void *bytes, uint32_t size);
int bh_queue_read(struct bh_queue_end *end, void *bytes, uint32_t size);
/* After a moment's look: 1: the other end will wake this one when there is room (bytes); 0: there is by now.
 */
int bh_queue_sleep_writer(struct bh_queue_end *end);
int bh_queue_sleep_reader(struct bh_queue_end *end);

/* ---- Managing all partitions: for one that the config gives `manage = yes` ---- */

/*
 * Results: 0 or more, or PSCI_DENIED (this partition has not the right), PSCI_INVALID_PARAMETERS (no such
 * partition); of orders also PSCI_ON_PENDING (another one is being carried out: wait for BH_EVENT_MANAGE),
 * PSCI_ALREADY_ON, PSCI_NOT_PRESENT (it is off), PSCI_DISABLED (this machine cannot run it). An order is
 * carried out behind the call; BH_EVENT_MANAGE on vCPU 0 tells that a partition has started or ended.
 */
struct bh_partition {
	char name[16];
	uint8_t state; /* 0 off, 1 starting, 2 running */
	uint8_t mode;  /* 0 full, 1 para */
	uint8_t end;   /* its last one: 0 none yet, 1 system off, 2 stopped by a person, 3 fault */
	bool refused;  /* this machine cannot run it */
	bool busy;     /* an order to it is being carried out */
	uint16_t vcpus;
	uint64_t memory; /* bytes */
	uint64_t run_us; /* of its present or last life */
	uint32_t restarts;
};

/* How many there are: their ids are 1 to that. */
int bh_manage_count(void);
int bh_manage_info(uint32_t id, struct bh_partition *info);
/* Exits of a class (BH_EXIT_CLASS_LIST, counted from 0) since the machine started, and the TSC ticks they
 * took. */
int bh_manage_exits(uint32_t id, uint32_t class, uint64_t *count, uint64_t *ticks);
int bh_manage_start(uint32_t id);
int bh_manage_stop(uint32_t id);
int bh_manage_reset(uint32_t id);

/* ---- Time ---- */

uint64_t bh_tsc(void);

/* Nanoseconds since the hypervisor started, and seconds since 1970 (0: unknown). Read from the clock page: no
 * call. */
uint64_t bh_time_ns(void);
uint64_t bh_wall_s(void);

/* Raises BH_EVENT_TIMER on this vCPU when the TSC reaches `tsc`, at once if it has already; 0 disarms. */
int bh_deadline(uint64_t tsc);

/* Nanoseconds this vCPU was ready and did not run (PV time); 0 when the hypervisor does not count them. */
uint64_t bh_stolen_ns(void);

/* ---- Entropy (TRNG) ---- */

/* Fills with true random bytes: 0, TRNG_NO_ENTROPY (ask again later) or SMCCC_NOT_SUPPORTED. */
int bh_random(void *bytes, size_t size);

/* ---- Console ---- */

/* By call, at once, 48 bytes each: for the first and the last words of a guest. 0 or a negative FF-A code. */
int bh_console_log(const void *bytes, size_t size);

/*
 * By the shared ring: one call when the hypervisor had stopped looking, none while bytes flow. Waits when the
 * ring is full. Write whole lines. Falls back to bh_console_log() when there is no ring.
 */
void bh_console_write(const void *bytes, size_t size);

/* Waits until the hypervisor has fetched everything. */
void bh_console_flush(void);

/* The next byte typed, or -1. Each arrival raises BH_EVENT_CONSOLE_INPUT on vCPU 0. */
int bh_console_read(void);

/* Formats %s %c %d %u %x with `0`, width and `l`, into at most 255 characters, and writes them to the
 * console. */
void bh_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
