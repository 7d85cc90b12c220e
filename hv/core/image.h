/*
 * Guest images: Multiboot 1 ELF32 or ELF64 (full) and ELF64 (para), checked, then laid into guest memory.
 * Pure; the target is reached through a callback, so that tests and fuzzers run it on the host.
 */
#pragma once

#include "hv/lib/status.h"
#include "hv/core/vcpu.h"

struct image_target {
	uint64_t memory_size;	   /* GPA 0 .. memory_size is RAM, zeroed */
	uint64_t high_memory_size; /* full: RAM from 4 GiB on */
	void *context;
	void *(*reach)(void *context, gpa_t address, uint64_t size); /* NULL: not memory */
};

struct image_request {
	const uint8_t *file;
	uint64_t size;
	const char *cmdline;
	const char *name; /* partition name */
	uint32_t vcpu_count, partition_id, tsc_khz;
};

struct image_result {
	struct vcpu_start start; /* of vCPU 0 */
	uint64_t stolen_time; /* para: GPA of one struct pv_stolen_time for each vCPU, PV_TIME_STRIDE apart */
};
#define PV_TIME_STRIDE 64

#define IMAGE_MESSAGE 128
/* Loads, and tells how to start vCPU 0. On error *message says what was found and what was expected. */
enum status image_load_multiboot(const struct image_request *request, const struct image_target *target,
				 struct image_result *result, char message[IMAGE_MESSAGE]) MUST_CHECK;
enum status image_load_para(const struct image_request *request, const struct image_target *target,
			    struct image_result *result, char message[IMAGE_MESSAGE]) MUST_CHECK;
