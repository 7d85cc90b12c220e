/*
 * Isolation, read off the machine: walks the page tables that the CPUs run on, and the map of each guest, and
 * holds every mapping against the table of frame owners. Pure but for the tables it reads; what it trusts is
 * that table, which gives each frame one owner, so that a frame in the maps of two partitions is a violation
 * in one of them.
 */
#pragma once

#include "hv/lib/types.h"
#include "hv/mem/frames.h"

/* Where things must be. */
struct audit_scope {
	uint64_t text_end, rodata_end, image_end; /* the image: code from IMAGE_BASE on, constants, data */
	hpa_t pool;
	uint64_t pool_bytes;
	uint32_t cpu; /* that runs the audit, and what is in its CR3 */
	hpa_t cr3;
};

struct audit_finding {
	bool guest;	/* a partition's guest map, or else a CPU's tables */
	uint32_t index; /* of the partition or the CPU */
	uint64_t address;
	hpa_t frame; /* the first one that breaks the rule */
	owner_t owner;
	const char *rule;
};
typedef void audit_report_fn(void *context, const struct audit_finding *finding);

struct audit_result {
	uint64_t mappings; /* leaves */
	uint32_t cpus, partitions;
	uint64_t violations;
};

/* On one CPU at a time; maps are built at boot and stay, so others may run meanwhile. */
struct audit_result audit_machine(const struct audit_scope *scope, audit_report_fn *report, void *context);
