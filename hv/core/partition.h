/*
 * A partition: CPUs, memory and devices of one guest, and its life.
 *
 *   OFF -> STARTING -> RUNNING -> OFF (system off, stopped, or faulted: `ended` says which)
 *
 * Every change of state goes through a command: partition_command() posts it, all vCPUs leave the guest and
 * park, and the CPU of vCPU 0 carries it out. No other CPU of the partition touches its memory then, though
 * their windows still show it.
 */
#pragma once

#include <stdatomic.h>
#include <bulkhead/config.h>
#include "hv/core/vcpu.h"
#include "hv/lib/spinlock.h"
#include "hv/mem/page_map.h"

struct full_devices; /* hv/device/full.h */
struct ffa;	     /* hv/call/ffa.h */
struct share;	     /* hv/core/share.h */

enum partition_state { PARTITION_OFF, PARTITION_STARTING, PARTITION_RUNNING };

/* Why a partition is off. */
enum partition_end { END_NEVER_STARTED, END_SYSTEM_OFF, END_STOPPED, END_FAULT };

enum partition_order { ORDER_NONE, ORDER_START, ORDER_STOP, ORDER_OFF, ORDER_RESET, ORDER_FAULT };
/* partition->order: the order being carried out, and above it how many there have been. In one word, so that
 * no vCPU can take one order for the next. */
#define ORDER_KIND 7u
#define ORDER_NEXT 8u

/* A PC has its devices below 4 GiB: RAM of a full partition ends here and goes on at 4 GiB. */
#define FULL_LOW_MEMORY (3 * GIB)

#define PARTITION_EXTENTS 16
struct memory_extent {
	gpa_t gpa;
	hpa_t hpa;
	uint64_t size;
};

/* A file as read from disk, in the module window. */
struct guest_file {
	uint64_t window; /* where the partition's CPUs see it */
	hpa_t start;
	uint64_t size; /* bytes; 0: none */
};

#define SHARES_OF_ONE 8u /* agreements about its memory at a time */
#define VIEWS_OF_ONE  8u /* agreements of others that it has retrieved at a time */

/* Memory of another partition that this one sees (hv/core/share.h). */
struct share_view {
	uint64_t handle; /* of the agreement; 0: a free place */
	uint64_t gpa;
	uint32_t pages;
	uint32_t flags; /* MAP_READ, MAP_WRITE, MAP_EXECUTE */
	bool leaving;	/* it is giving it back, and its CPUs follow */
	bool orphaned;	/* the owner has ended: it sees the page that stands in */
};

/* Pages of guest memory that the hypervisor uses for the partition, beside those of its vCPUs. */
enum { CALL_PAGE_RING, CALL_PAGE_TX, CALL_PAGE_RX, PARTITION_CALL_PAGES };

/* Bytes on their way to a guest: one producer (the console, CPU 0), one consumer (the partition). */
#define INPUT_SIZE 256
struct input_queue {
	_Atomic uint32_t head; /* producer */
	_Atomic uint32_t tail; /* consumer */
	uint8_t byte[INPUT_SIZE];
};

/* A partition's output on its way to the screen and serial line: assembled to lines by hv/console. */
#define CONSOLE_LINE_SIZE 256
struct console_line {
	uint32_t length;
	char text[CONSOLE_LINE_SIZE];
	uint8_t escape; /* inside an escape sequence, which is dropped */
	uint8_t escape_length;
	bool wrapped;	       /* the line is the rest of an over-long one */
	_Atomic bool held;     /* the console had no room: it asks vCPU 0 once it has */
	uint64_t last_tsc;     /* when the last byte came */
	uint64_t bytes, lines; /* statistics */
};

struct partition {
	uint32_t id; /* index in the config, from 0; the user sees id + 1 */
	const struct partition_config *config;
	_Atomic uint32_t state; /* enum partition_state */
	_Atomic uint32_t order; /* see ORDER_KIND */
	uint32_t end;		/* enum partition_end */
	char end_reason[128];	/* one line, for list and summary */
	uint32_t restarts;
	bool started_before;
	uint64_t start_tsc, end_tsc;
	struct spinlock lifecycle_lock;

	uint32_t vcpu_count;
	struct vcpu_shared *vcpu; /* [vcpu_count] */

	struct page_map guest_map; /* EPT or NPT */
	/* Full, where the CPU serves local APICs: the APIC-access page that stands for them; 0: none. */
	hpa_t apic_page;
	uint64_t apic_window;		  /* where its CPUs see it: in the module window, behind the files */
	bool apic_mapped;		  /* device_lock: it is in the guest's map */
	uint64_t memory_low, memory_high; /* bytes from GPA 0; full: bytes from 4 GiB */
	struct page_map window; /* host tables of vCPU 0's CPU; below GUEST_WINDOW and MODULE_WINDOW of all
				   its CPUs */
	uint32_t extent_count;
	struct memory_extent extent[PARTITION_EXTENTS]; /* sorted by GPA */
	struct guest_file image, initrd;

	uint64_t boot_cr3;	  /* para: the tables every vCPU starts on */
	uint64_t stolen_time_gpa; /* para: PV time records, PV_TIME_STRIDE apart */
	char refused[96];	  /* why it can never start on this machine; empty: it can */

	struct spinlock device_lock;  /* devices the partition's vCPUs share */
	struct full_devices *devices; /* full; NULL in para */

	struct input_queue input;
	struct console_line console;
	_Atomic uint32_t memory_protected;    /* PSCI MEM_PROTECT: what the guest asked for */
	struct bh_console_ring *console_ring; /* in the guest window: only this partition's CPUs */
	struct ffa *ffa;		      /* para; NULL in full */
	_Atomic uint64_t call_page[PARTITION_CALL_PAGES]; /* pages given to the hypervisor; 0: none */

	/* hv/core/share.h */
	struct share *share[SHARES_OF_ONE]; /* its agreements; NULL: a free place */
	uint64_t share_ended;		    /* all its agreements up to this serial number have ended */
	struct share_view view[VIEWS_OF_ONE];
	hpa_t stand_in;				  /* seen in place of memory whose owner has ended */
	_Atomic uint32_t away;			  /* agreements that some of its memory has gone to */
	_Atomic uint32_t map_version;		  /* counts what was taken out of guest_map */
	struct vcpu_shared *_Atomic flush_waiter; /* told when a CPU has followed; NULL: nobody waits */
};

extern struct partition *partitions; /* [partition_count], in the pool */
extern uint32_t partition_count;
extern const struct config *machine_config; /* the hypervisor's own copy, set before partitions_create() */

/* Puts the APIC-access page where the local APIC is, zeroed and before any vCPU starts; or takes it away, for
 * the caller to invalidate. */
void partition_map_apic(struct partition *partition, bool there);

/* Guest memory, from a CPU of the partition. */
bool partition_contains(const struct partition *partition, gpa_t address, uint64_t size);
/* A pointer into the guest window, or NULL unless all of it is the partition's memory. Contiguous across
 * extents. */
void *partition_memory(const struct partition *partition, gpa_t address, uint64_t size);
/* Where CPUs of the partition see its RAM, also what it has lent: not checked. */
void *partition_window(const struct partition *partition, gpa_t address);
/* Copy once, then check, then use. false: not all of it is the partition's memory, nothing copied. */
bool partition_read(const struct partition *partition, gpa_t from, void *to, size_t size) MUST_CHECK;
bool partition_write(const struct partition *partition, gpa_t to, const void *from, size_t size) MUST_CHECK;

static inline enum partition_order partition_order(const struct partition *partition)
{
	return (enum partition_order)(atomic_load(&partition->order) & ORDER_KIND);
}

/* Posts an order from any CPU. ERR_BUSY while another one is under way, ERR_INVALID where the state does not
 * allow it. */
enum status partition_command(struct partition *partition, enum partition_order order, const char *reason);

/*
 * A guest did what cannot be served: reports it in full (reason, registers, last exits), then stops or
 * restarts the partition by its policy. The vCPU must leave its run loop afterwards (return EXIT_LEAVE).
 */
void partition_fault(struct vcpu *vcpu, const char *format, ...) PRINTF_LIKE(2, 3);

/* "alpha" */
static inline const char *partition_name(const struct partition *partition)
{
	return partition->config->name;
}
const char *partition_state_name(const struct partition *partition);

/* statistics.c: exits of all its vCPUs, by class and by rare reason, and microseconds of its present or last
 * life. From any CPU. */
struct exit_statistics partition_exits(const struct partition *partition, unsigned class);
uint64_t partition_reasons(const struct partition *partition, unsigned reason);
uint64_t partition_run_us(const struct partition *partition);

struct boot_info;
/* Boot CPU, all CPUs ready: builds every partition of the config. Refuses, with figures, what does not add
 * up: all of it. */
enum status partitions_create(const struct boot_info *boot) MUST_CHECK;

/* lifecycle.c */
void partition_check_alive(struct partition *partition); /* all vCPUs off, or halted for good: a fault */
NORETURN void cpu_main(void);				 /* what every CPU does after bring-up */
