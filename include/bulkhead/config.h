/*
 * The parsed form of bulkhead.cfg: what the loader reads, the host tool checks and the hypervisor builds.
 * Plain data with fixed sizes, because it crosses from the loader to the hypervisor inside struct boot_info.
 * docs/config.md describes the text format key by key.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_MAX_PARTITIONS 16
#define CONFIG_MAX_CHANNELS   32
#define CONFIG_MAX_CPUS	      64 /* physical CPUs, and vCPUs of one partition */
#define CONFIG_NAME_SIZE      16 /* with the closing NUL */
#define CONFIG_PATH_SIZE      128
#define CONFIG_CMDLINE_SIZE   1024
#define CONFIG_SHA256_SIZE    32

enum partition_mode { MODE_FULL, MODE_PARA };

/* What happens to a partition that faults (partition_fault()). */
enum fault_policy { ON_FAULT_STOP, ON_FAULT_RESTART };

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

struct partition_config {
	char name[CONFIG_NAME_SIZE];
	enum partition_mode mode;
	uint32_t cpus;		       /* number of vCPUs, each on a physical CPU of its own; default 1 */
	uint32_t pinned;	       /* entries of pin[] given; 0, or equal to cpus */
	uint32_t pin[CONFIG_MAX_CPUS]; /* physical CPU index for vCPU i, counted from 0 in firmware order */
	uint64_t memory;	       /* bytes, a multiple of 4 KiB, at least 1 MiB */
	char image[CONFIG_PATH_SIZE];  /* what `image` or `kernel` names */
	bool is_kernel; /* full only: `kernel` names it, a Linux bzImage or an ELF with a PVH note */
	bool has_sha256;
	uint8_t sha256[CONFIG_SHA256_SIZE];
	char initrd[CONFIG_PATH_SIZE]; /* with a kernel only; empty: none */
	bool has_initrd_sha256;
	uint8_t initrd_sha256[CONFIG_SHA256_SIZE];
	char cmdline[CONFIG_CMDLINE_SIZE];
	enum fault_policy on_fault; /* default ON_FAULT_STOP */
	uint32_t max_restarts;	    /* restarts on_fault allows before it stops for good; default 3 */
	bool autostart;		    /* default true; false waits for the monitor's `start` */
	bool hypervisor_leaf;	    /* full only: show CPUID 4000_00xxh; default true */
	bool manage;		    /* para only: it may list, start, stop and reset all partitions */
	uint32_t line;		    /* where its section begins, for messages */
};

/* What the two partitions of a channel may do with each other; without it they do not know of each other. */
#define CHANNEL_MESSAGE (1u << 0) /* FF-A messages, indirect and direct */
#define CHANNEL_NOTIFY	(1u << 1) /* notifications */
#define CHANNEL_SHARE	(1u << 2) /* share, lend and donate memory */
#define CHANNEL_ALL	(CHANNEL_MESSAGE | CHANNEL_NOTIFY | CHANNEL_SHARE)

struct channel_config {
	char name[CONFIG_NAME_SIZE];
	uint32_t
		between[2]; /* indexes into config.partition[], both para; no other channel joins these two */
	uint32_t allow;	    /* CHANNEL_* */
	uint32_t line;	    /* where its section begins, for messages */
};

/* Whether the CPU may serve local APICs of full partitions, where it offers that. */
enum virtual_apic {
	VIRTUAL_APIC_AUTO, /* if it passes a test */
	VIRTUAL_APIC_YES,  /* untested */
	VIRTUAL_APIC_NO
};

/* What the CPU has to help with and the hypervisor shall do without, to see what it is good for. */
#define WITHOUT_LARGE_PAGES	 (1u << 0) /* partitions' memory in leaves of 4 KiB */
#define WITHOUT_TAGGED_TLB	 (1u << 1) /* VT-x: VPID */
#define WITHOUT_PREEMPTION_TIMER (1u << 2) /* VT-x */
#define WITHOUT_ALL		 (WITHOUT_LARGE_PAGES | WITHOUT_TAGGED_TLB | WITHOUT_PREEMPTION_TIMER)

struct config {
	bool console_serial; /* default true, true */
	bool console_screen;
	uint16_t serial_port;		/* I/O port of the 16550 the hypervisor uses; default 3F8h */
	enum log_level log;		/* default LOG_INFO */
	bool poweroff_when_done;	/* all partitions ended: power off; default true */
	enum virtual_apic virtual_apic; /* default VIRTUAL_APIC_AUTO */
	uint32_t without;		/* WITHOUT_*; default 0 */
	uint32_t partition_count;
	struct partition_config partition[CONFIG_MAX_PARTITIONS];
	uint32_t channel_count;
	struct channel_config channel[CONFIG_MAX_CHANNELS];
};

/* One mistake in the text. `message` says what was found and what was expected, without position or newline.
 */
typedef void config_report_fn(void *context, uint32_t line, uint32_t column, const char *message);

/*
 * Parses `size` bytes of UTF-8 text. Fills *out completely (defaults included) and calls `report` once for
 * every mistake found, in the order of the text. Returns the number of mistakes: 0 means *out can be used.
 * Allocates nothing, keeps no state.
 */
uint32_t config_parse(const char *text, size_t size, struct config *out, config_report_fn *report,
		      void *context);
