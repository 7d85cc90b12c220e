/*
 * Guest images: Multiboot 1 ELF32 or ELF64 and Linux kernels (full), ELF64 (para), checked, then laid into
 * guest memory. Pure; the target is reached through a callback, so that tests and fuzzers run it on the host.
 */
#pragma once

#include "hv/lib/status.h"
#include "hv/core/vcpu.h"

struct image_target {
	uint64_t memory_size;	   /* GPA 0 .. memory_size is RAM, zeroed */
	uint64_t high_memory_size; /* full: RAM from 4 GiB on */
	uint64_t share_size;	   /* para: mapped behind the RAM, for memory of others */
	void *context;
	void *(*reach)(void *context, gpa_t address, uint64_t size); /* NULL: not memory */
};

struct image_request {
	const uint8_t *file;
	uint64_t size;
	const uint8_t *initrd; /* kernels only; initrd_size 0: none */
	uint64_t initrd_size;
	uint64_t rsdp;	     /* kernels only: GPA of the ACPI tables' root */
	bool tell_frequency; /* kernels only: on the command line, because CPUID does not */
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
/* A Linux bzImage (64-bit boot protocol) or an ELF with a PVH entry: the file tells which. */
enum status image_load_kernel(const struct image_request *request, const struct image_target *target,
			      struct image_result *result, char message[IMAGE_MESSAGE]) MUST_CHECK;
enum status image_load_para(const struct image_request *request, const struct image_target *target,
			    struct image_result *result, char message[IMAGE_MESSAGE]) MUST_CHECK;

/* For the loaders: "text: found 0x.., expected 0x..". Returns ERR_FORMAT. */
enum status image_complain(char message[IMAGE_MESSAGE], const char *text, uint64_t found, uint64_t expected);

/* The PC's memory as every boot protocol tells it: the types are those of E820 (ACPI 6.5, table 15.4). */
#define IMAGE_LOW_END	 0xA0000u  /* conventional memory */
#define IMAGE_HIGH_START 0x100000u /* between the two: where a PC has video memory and firmware tables */
#define IMAGE_RAM	 1u
#define IMAGE_RESERVED	 2u
#define IMAGE_RANGES	 4
struct image_range {
	uint64_t start, size;
	uint32_t type;
};
uint32_t image_memory_map(const struct image_target *target, struct image_range map[IMAGE_RANGES]);
