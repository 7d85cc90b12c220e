/*
 * Bulkhead's guest interface: numbers and layouts shared by the hypervisor and its guests. docs/abi.md tells
 * the contract of each call. Usable from C and, for the constants, from NASM through generated includes.
 *
 * Registers: RAX function id in, x0 out; x1..x7 = RSI RDX RCX R8 R9 R10 R11. VMCALL on Intel, VMMCALL on AMD.
 * Sources: Arm DEN0028 (SMCCC), DEN0022 (PSCI), DEN0098 (TRNG), DEN0057 (PV time), DEN0077 (FF-A).
 */
#pragma once

#include <stdint.h>

/* CPUID leaves (the signature reads "BulkheadHypr" in EBX, ECX, EDX). */
#define BH_CPUID_BASE	     0x40000000u
#define BH_CPUID_ABI	     0x40000001u /* EAX revision; EBX partition id | vCPU index << 16; ECX flags */
#define BH_CPUID_ABI_VMMCALL (1u << 0)
#define BH_CPUID_ABI_PARA    (1u << 1)
#define BH_CPUID_CLOCK	     0x40000010u /* EAX TSC kHz, EBX local APIC timer kHz */
#define BH_SIGNATURE_EBX     0x6B6C7542u /* "Bulk" */
#define BH_SIGNATURE_ECX     0x64616568u /* "head" */
#define BH_SIGNATURE_EDX     0x72707948u /* "Hypr" */
#define BH_ABI_MAJOR	     1u
#define BH_ABI_MINOR	     0u
#define BH_ABI_REVISION	     (BH_ABI_MAJOR << 16 | BH_ABI_MINOR)

/* Function identifier (SMCCC 1.1, 2.5). */
#define SMCCC_FAST	       (1u << 31)
#define SMCCC_64	       (1u << 30)
#define SMCCC_HINT	       (1u << 16)
#define SMCCC_OWNER_SHIFT      24
#define SMCCC_OWNER_ARCH       0u
#define SMCCC_OWNER_STANDARD   4u
#define SMCCC_OWNER_STD_HYP    5u
#define SMCCC_OWNER_VENDOR_HYP 6u

#define SMCCC_SUCCESS		0
#define SMCCC_NOT_SUPPORTED	(-1)
#define SMCCC_NOT_REQUIRED	(-2)
#define SMCCC_INVALID_PARAMETER (-3)

/* Tier 0: discovery. */
#define SMCCC_VERSION	     0x80000000u
#define SMCCC_ARCH_FEATURES  0x80000001u
#define VENDOR_FEATURES	     0x86000000u /* x0..x3: 128-bit map of the vendor call numbers */
#define VENDOR_CALL_UID	     0x8600FF01u
#define VENDOR_CALL_REVISION 0x8600FF03u
#define SMCCC_VERSION_1_1    0x10001u

/* Our UUID 6f2c8d1e-4b57-4c0a-9d3e-b01c4ead5a11, as the four words x0..x3: first byte lowest. */
#define BH_UID_0 0x1E8D2C6Fu
#define BH_UID_1 0x0A4C574Bu
#define BH_UID_2 0x1CB03E9Du
#define BH_UID_3 0x115AAD4Eu

/* Tier 1: PSCI. */
#define PSCI_VERSION		0x84000000u
#define PSCI_CPU_SUSPEND_32	0x84000001u
#define PSCI_CPU_SUSPEND_64	0xC4000001u
#define PSCI_CPU_OFF		0x84000002u
#define PSCI_CPU_ON_32		0x84000003u
#define PSCI_CPU_ON_64		0xC4000003u
#define PSCI_AFFINITY_INFO_32	0x84000004u
#define PSCI_AFFINITY_INFO_64	0xC4000004u
#define PSCI_MIGRATE_INFO_TYPE	0x84000006u
#define PSCI_SYSTEM_OFF		0x84000008u
#define PSCI_SYSTEM_RESET	0x84000009u
#define PSCI_FEATURES		0x8400000Au
#define PSCI_SYSTEM_SUSPEND_32	0x8400000Eu
#define PSCI_SYSTEM_SUSPEND_64	0xC400000Eu
#define PSCI_STAT_RESIDENCY_32	0x84000010u
#define PSCI_STAT_RESIDENCY_64	0xC4000010u
#define PSCI_STAT_COUNT_32	0x84000011u
#define PSCI_STAT_COUNT_64	0xC4000011u
#define PSCI_SYSTEM_RESET2_32	0x84000012u
#define PSCI_SYSTEM_RESET2_64	0xC4000012u
#define PSCI_MEM_PROTECT	0x84000013u
#define PSCI_MEM_CHECK_RANGE_32 0x84000014u
#define PSCI_MEM_CHECK_RANGE_64 0xC4000014u
#define PSCI_VERSION_1_1	0x10001u

#define PSCI_SUCCESS		0
#define PSCI_NOT_SUPPORTED	(-1)
#define PSCI_INVALID_PARAMETERS (-2)
#define PSCI_DENIED		(-3)
#define PSCI_ALREADY_ON		(-4)
#define PSCI_ON_PENDING		(-5)
#define PSCI_INTERNAL_FAILURE	(-6)
#define PSCI_NOT_PRESENT	(-7)
#define PSCI_DISABLED		(-8)
#define PSCI_INVALID_ADDRESS	(-9)

#define PSCI_AFFINITY_ON	 0
#define PSCI_AFFINITY_OFF	 1
#define PSCI_AFFINITY_ON_PENDING 2

/* Tier 1: console, entropy, stolen time. */
#define FFA_CONSOLE_LOG_32     0x8400008Au /* x1 count <= 24, characters packed 4 a register from x2 */
#define FFA_CONSOLE_LOG_64     0xC400008Au /* x1 count <= 48, characters packed 8 a register from x2 */
#define FFA_ERROR	       0x84000060u
#define FFA_SUCCESS_32	       0x84000061u
#define FFA_SUCCESS_64	       0xC4000061u
#define FFA_NOT_SUPPORTED      (-1)
#define FFA_INVALID_PARAMETERS (-2)
#define FFA_NO_MEMORY	       (-3)
#define FFA_BUSY	       (-4)
#define FFA_INTERRUPTED	       (-5)
#define FFA_DENIED	       (-6)
#define FFA_RETRY	       (-7) /* CONSOLE_LOG: x3 characters were taken, the console has no room for more */
#define FFA_ABORTED	       (-8)
#define FFA_NO_DATA	       (-9)
#define FFA_NOT_READY	       (-10)

#define TRNG_VERSION		0x84000050u
#define TRNG_FEATURES		0x84000051u
#define TRNG_GET_UUID		0x84000052u
#define TRNG_RND_32		0x84000053u
#define TRNG_RND_64		0xC4000053u
#define TRNG_VERSION_1_0	0x10000u
#define TRNG_INVALID_PARAMETERS (-2)
#define TRNG_NO_ENTROPY		(-3)

/* The generator's UUID 6c6601dd-c808-42c5-91de-f1ab620f0497, in the same form. */
#define BH_TRNG_UUID_0 0xDD01666Cu
#define BH_TRNG_UUID_1 0xC54208C8u
#define BH_TRNG_UUID_2 0xABF1DE91u
#define BH_TRNG_UUID_3 0x97040F62u

#define PV_TIME_FEATURES 0xC5000020u
#define PV_TIME_ST	 0xC5000021u /* x0: GPA of this vCPU's stolen-time record */

struct pv_stolen_time {
	uint32_t revision;   /* 0 */
	uint32_t attributes; /* 0 */
	uint64_t stolen_ns;  /* time the vCPU was ready and did not run: the hypervisor's own */
};

/*
 * Tier 2: FF-A 1.1 between the partitions that a channel joins. An endpoint is named by its partition id
 * (from 1); 0 is the hypervisor. `ids`: sender << 16 | receiver.
 */
#define FFA_VERSION		    0x84000063u
#define FFA_FEATURES		    0x84000064u
#define FFA_RX_RELEASE		    0x84000065u
#define FFA_RXTX_MAP_32		    0x84000066u
#define FFA_RXTX_MAP_64		    0xC4000066u
#define FFA_RXTX_UNMAP		    0x84000067u
#define FFA_PARTITION_INFO_GET	    0x84000068u
#define FFA_ID_GET		    0x84000069u
#define FFA_SPM_ID_GET		    0x84000085u
#define FFA_MSG_WAIT		    0x8400006Bu
#define FFA_YIELD		    0x8400006Cu
#define FFA_MSG_SEND_DIRECT_REQ_32  0x8400006Fu
#define FFA_MSG_SEND_DIRECT_REQ_64  0xC400006Fu
#define FFA_MSG_SEND_DIRECT_RESP_32 0x84000070u
#define FFA_MSG_SEND_DIRECT_RESP_64 0xC4000070u
#define FFA_MSG_SEND2		    0x84000086u
#define FFA_NOTIFICATION_BIND	    0x8400007Fu
#define FFA_NOTIFICATION_UNBIND	    0x84000080u
#define FFA_NOTIFICATION_SET	    0x84000081u
#define FFA_NOTIFICATION_GET	    0x84000082u
#define FFA_INTERRUPT		    0x84000062u /* result of MSG_WAIT: an event is pending */

#define FFA_VERSION_1_1	     0x10001u
#define FFA_VERSION_RESERVED (1u << 31)
#define FFA_FEATURE_NPI	     1u /* FFA_FEATURES: x2 is the event of notifications */
#define FFA_IDS(from, to)    ((uint32_t)(from) << 16 | (uint32_t)(to))
#define FFA_HYPERVISOR_ID    0u

/* NOTIFICATION_BIND and SET, x2. */
#define FFA_NOTIFY_PER_VCPU   (1u << 0)
#define FFA_NOTIFY_DELAY      (1u << 1) /* SET: no effect, each vCPU has a CPU of its own */
#define FFA_NOTIFY_VCPU_SHIFT 16	/* SET: the vCPU of a per-vCPU notification */
/* NOTIFICATION_GET, x2: which bitmaps; they come in x2/x3 (secure: none), x4/x5, x6 (none), x7. */
#define FFA_GET_SECURE		  (1u << 0)
#define FFA_GET_PARTITIONS	  (1u << 1)
#define FFA_GET_SPM		  (1u << 2)
#define FFA_GET_HYPERVISOR	  (1u << 3)
#define FFA_FRAMEWORK_RX_FULL	  (1u << 0) /* in x7: a message has come into the RX buffer */
#define FFA_WAIT_RETAIN_RX	  (1u << 0) /* MSG_WAIT, x2: keep the RX buffer */
#define FFA_SEND_DELAY		  (1u << 1) /* MSG_SEND2, x2: no effect */
#define FFA_PARTITION_COUNT_ONLY  (1u << 0) /* PARTITION_INFO_GET, x5 */
#define FFA_PROPERTY_DIRECT_RECV  (1u << 0) /* struct ffa_partition_info */
#define FFA_PROPERTY_DIRECT_SEND  (1u << 1)
#define FFA_PROPERTY_INDIRECT	  (1u << 2)
#define FFA_PROPERTY_NOTIFICATION (1u << 3)
#define FFA_PROPERTY_64		  (1u << 8)

/* Tier 3: memory, as far as a channel allows to share it. */
#define FFA_MEM_DONATE_32	0x84000071u
#define FFA_MEM_DONATE_64	0xC4000071u
#define FFA_MEM_LEND_32		0x84000072u
#define FFA_MEM_LEND_64		0xC4000072u
#define FFA_MEM_SHARE_32	0x84000073u
#define FFA_MEM_SHARE_64	0xC4000073u
#define FFA_MEM_RETRIEVE_REQ_32 0x84000074u
#define FFA_MEM_RETRIEVE_REQ_64 0xC4000074u
#define FFA_MEM_RETRIEVE_RESP	0x84000075u /* result of RETRIEVE_REQ */
#define FFA_MEM_RELINQUISH	0x84000076u
#define FFA_MEM_RECLAIM		0x84000077u
#define FFA_MEM_FRAG_RX		0x8400007Au /* result: send the next fragment */
#define FFA_MEM_FRAG_TX		0x8400007Bu

#define FFA_MEMORY_NORMAL      0x2Fu /* attributes: normal, write-back, inner shareable; 0: not specified */
#define FFA_MEMORY_ZERO	       (1u << 0) /* flags: overwrite before the other side sees it */
#define FFA_MEMORY_ZERO_AFTER  (1u << 2) /* flags of RETRIEVE_REQ: when it is relinquished */
#define FFA_MEMORY_KIND_SHIFT  3	 /* flags of RETRIEVE_REQ, two bits: 0 any, else which */
#define FFA_MEMORY_KIND_SHARE  1u
#define FFA_MEMORY_KIND_LEND   2u
#define FFA_MEMORY_KIND_DONATE 3u
#define FFA_ACCESS_READ	       1u /* permissions: data in bits 1:0, instructions in bits 3:2; 0: not specified */
#define FFA_ACCESS_WRITE       2u
#define FFA_ACCESS_NO_EXECUTE  (1u << 2)
#define FFA_ACCESS_EXECUTE     (2u << 2)

/* The memory transaction descriptor, and what its offsets lead to. */
struct ffa_memory {
	uint16_t sender;
	uint16_t attributes;
	uint32_t flags;
	uint64_t handle, tag;
	uint32_t access_size; /* of struct ffa_memory_access */
	uint32_t access_count;
	uint32_t access_offset; /* a multiple of 16 */
	uint32_t reserved[3];
};
struct ffa_memory_access {
	uint16_t receiver;
	uint8_t permissions, flags;
	uint32_t composite_offset;
	uint64_t reserved;
};
struct ffa_memory_composite {
	uint32_t pages, count;
	uint64_t reserved;
};
struct ffa_memory_range {
	uint64_t address;
	uint32_t pages, reserved;
};
struct ffa_memory_relinquish {
	uint64_t handle;
	uint32_t flags, count;
	uint16_t endpoint[];
};

struct ffa_partition_info {
	uint16_t id;
	uint16_t contexts; /* vCPUs */
	uint32_t properties;
	uint32_t uuid[4]; /* 0: partitions have no protocol UUIDs */
};

/* At the start of an indirect message in TX and RX. */
struct ffa_message {
	uint32_t flags;	   /* 0 */
	uint32_t reserved; /* 0 */
	uint32_t offset;   /* of the payload, from the start of the buffer; 20 at least */
	uint16_t receiver, sender;
	uint32_t size; /* of the payload */
};

/*
 * Vendor calls (owner 6). Para partitions only; a full partition gets NOT_SUPPORTED. All take 64-bit
 * arguments. Shared pages are page-aligned GPAs in the partition's own memory; x1 = 0 takes the page back.
 */
#define VENDOR_EVENT_PAGE   0xC6000001u /* x1 GPA of struct bh_event_page, x2 upcall vector 32..255 */
#define VENDOR_IPI	    0xC6000002u /* x1 target vCPU, x2 event number 0..55 */
#define VENDOR_DEADLINE	    0xC6000003u /* x1 absolute TSC value that raises BH_EVENT_TIMER; 0 disarms */
#define VENDOR_CONSOLE_RING 0xC6000004u /* x1 GPA of struct bh_console_ring */
#define VENDOR_CONSOLE_KICK 0xC6000005u /* tells that `out` has bytes: after kick_wanted was seen set */
#define VENDOR_CLOCK_PAGE   0xC6000006u /* x1 GPA of struct bh_clock_page */

/*
 * Management: for partitions with `manage = yes` in the config; others get PSCI_DENIED. Codes are PSCI's. x1
 * is the id of a partition, from 1; only COUNT has none.
 */
#define VENDOR_PARTITION_COUNT 0xC6000010u /* x0: how many there are */
#define VENDOR_PARTITION_INFO                                                                                \
	0xC6000011u /* x1 BH_INFO_*, x2 and x3 name, x4 bytes of memory, x5 run time in us, x6 restarts, x7  \
		       0 */
#define VENDOR_PARTITION_EXITS 0xC6000012u /* x2 a class of exits; x1 how many, x2 TSC ticks they took */
#define VENDOR_PARTITION_START 0xC6000013u
#define VENDOR_PARTITION_STOP  0xC6000014u
#define VENDOR_PARTITION_RESET 0xC6000015u

/* PARTITION_INFO, x1. */
#define BH_INFO_STATE_MASK 0xFFu /* 0 off, 1 starting, 2 running */
#define BH_INFO_MODE_SHIFT 8	 /* 8 bits: 0 full, 1 para */
#define BH_INFO_END_SHIFT                                                                                    \
	16 /* 8 bits, of its last end: 0 none yet, 1 off by itself or a manager, 2 stopped by a person, 3    \
	      fault */
#define BH_INFO_REFUSED	    (1u << 24) /* this machine cannot run it */
#define BH_INFO_BUSY	    (1u << 25) /* an order to it is being carried out */
#define BH_INFO_VCPUS_SHIFT 32	       /* 16 bits */

/* Classes of exits, numbered from 0; new ones come last. */
#define BH_EXIT_CLASS_LIST(X)                                                                                \
	X(HYPERCALL, "hypercall")                                                                            \
	X(CPUID, "cpuid")                                                                                    \
	X(MSR_READ, "msr read")                                                                              \
	X(MSR_WRITE, "msr write")                                                                            \
	X(IO, "port")                                                                                        \
	X(MEMORY, "memory") /* EPT violation, nested page fault: MMIO or out of bounds */                    \
	X(HLT, "hlt")                                                                                        \
	X(INTERRUPT, "host interrupt")                                                                       \
	X(WINDOW, "interrupt window")                                                                        \
	X(TIMER, "preemption timer")                                                                         \
	X(EXCEPTION, "exception")                                                                            \
	X(NMI, "nmi")                                                                                        \
	X(CONTROL_REGISTER, "control register")                                                              \
	X(XSETBV, "xsetbv")                                                                                  \
	X(UNDEFINED, "undefined instruction") /* VMX, SVM, MONITOR ...: answered with #UD */                 \
	X(SHUTDOWN, "triple fault")                                                                          \
	X(INIT_SIPI, "init or sipi")                                                                         \
	X(OTHER, "other")                                                                                    \
	X(APIC, "local apic") /* VT-x: what is left where the CPU serves it */

/* Event numbers. The guest names 0..55 for its own IPIs; the hypervisor raises the rest, console events on
 * vCPU 0. */
#define BH_EVENT_IPIS	       56
#define BH_EVENT_TIMER	       63
#define BH_EVENT_CONSOLE_INPUT 62
#define BH_EVENT_CONSOLE_SPACE 61
#define BH_EVENT_NOTIFICATION  60 /* NOTIFICATION_GET has something: on vCPU 0, or the one it was set for */
#define BH_EVENT_PEER	       59 /* a partition that a channel leads to has started or ended: on vCPU 0 */
#define BH_EVENT_MANAGE	       58 /* for a partition that manages: another one has started or ended. On vCPU 0 */

/*
 * One page for each vCPU. After an event was raised, and (pending & ~mask) is not zero, the upcall vector is
 * delivered as an external interrupt as soon as IF = 1. One upcall stands for all events raised until it is
 * delivered, so the handler takes every unmasked bit (an atomic exchange or AND) before IRET. There is no
 * end-of-interrupt call. A guest that unmasks looks at `pending` itself first. HLT and CPU_SUSPEND do not
 * sleep while (pending & ~mask) is not zero.
 */
struct bh_event_page {
	uint64_t pending; /* set by the hypervisor and by senders, cleared by the guest: always atomically */
	uint64_t mask;	  /* the guest's: 1 = does not upcall, and does not end CPU_SUSPEND */
};

/* Clock: ns = ((tsc - tsc_base) * mul >> 32) + ns_base, exact to the read; constant, so no sequence count. */
struct bh_clock_page {
	uint32_t version; /* 1 */
	uint32_t tsc_khz;
	uint64_t tsc_base;
	uint64_t ns_base; /* nanoseconds since the hypervisor started, at tsc_base */
	uint64_t mul;	  /* 2^32 * 10^6 / tsc_khz */
	uint64_t wall_s;  /* seconds since 1970 at tsc_base, from the machine's RTC; 0: unknown */
};

/*
 * Console ring: one page. Positions count bytes for ever and are used modulo the size (a power of two). The
 * guest writes out[], then out_head, then looks at kick_wanted (a full barrier between): if 1, it calls
 * VENDOR_CONSOLE_KICK. The hypervisor reads `out` every 10 ms while bytes flow, so a steady flow needs no
 * call; when it finds the ring empty it sets kick_wanted, looks once more, and stops polling. `in` is the
 * other way round: BH_EVENT_CONSOLE_INPUT.
 */
#define BH_RING_OUT_SIZE 2048u
#define BH_RING_IN_SIZE	 1024u
struct bh_console_ring {
	uint32_t out_head;    /* guest writes */
	uint32_t out_tail;    /* hypervisor writes */
	uint32_t in_head;     /* hypervisor writes */
	uint32_t in_tail;     /* guest writes */
	uint32_t out_waiting; /* guest sets to 1 to ask for BH_EVENT_CONSOLE_SPACE when out drains */
	uint32_t kick_wanted; /* hypervisor sets to 1: it sleeps, the next write needs a kick */
	uint32_t reserved[10];
	uint8_t out[BH_RING_OUT_SIZE];
	uint8_t in[BH_RING_IN_SIZE];
};

/*
 * How a para guest starts (vCPU 0 at boot; others through CPU_ON): 64-bit mode, flat segments, paging on with
 * identity-mapped boot tables of 2 MiB pages over the partition's memory, IF = 0, RIP = ELF entry (CPU_ON:
 * x2), RSP = 0, RDI = RAX = context (vCPU 0: GPA of struct bh_start; CPU_ON: x3).
 */
#define BH_START_MAGIC 0x7472617453684220ull /* " BhStart" read as bytes */
struct bh_start {
	uint64_t magic;
	uint32_t size; /* sizeof(struct bh_start) */
	uint32_t vcpu_count;
	uint64_t memory_size; /* bytes of RAM, from GPA 0 */
	uint64_t
		free_start; /* first GPA above everything the hypervisor placed: image, tables, this record */
	uint64_t cmdline;   /* GPA of a NUL-terminated string */
	uint32_t tsc_khz;
	uint32_t partition_id;
	char name[16];
};
