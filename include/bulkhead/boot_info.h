/*
 * What the loader hands to the hypervisor: one structure, versioned, in memory of type BOOT_MEM_LOADER.
 * Every address is physical. The loader enters the hypervisor's ELF entry point
 *   in 64-bit mode, IF = 0, RDI = virtual address of struct boot_info in the identity map,
 *   with CR3 on the loader's boot tables: identity map of all memory the map names (at least 4 GiB) plus the
 *   hypervisor image at its link address (HV_IMAGE_BASE), both RWX; the hypervisor replaces them at once,
 *   and keeps them for two things: the start of the other CPUs, and the way back into firmware at power-off.
 *   RSP is the top of a loader stack of at least 64 KiB inside the identity map.
 *   This structure, the boot tables, the stack and the image lie below 4 GiB. Page 0 is never BOOT_MEM_FREE.
 */
#pragma once

#include <stdint.h>
#include <bulkhead/config.h>

#define BOOT_INFO_MAGIC	  0x444145484B4C5542ull /* "BULKHEAD", first letter in the lowest byte */
#define BOOT_INFO_VERSION 8

#define BOOT_MAX_MEMORY 256

enum boot_memory_kind {
	BOOT_MEM_FREE,	     /* usable from the hypervisor's entry on (conventional, boot services) */
	BOOT_MEM_LOADER,     /* boot_info, boot tables, loader stack: kept */
	BOOT_MEM_IMAGE,	     /* the hypervisor's ELF segments as loaded, bss included */
	BOOT_MEM_MODULE,     /* a guest image or an initrd as read from disk, page-aligned */
	BOOT_MEM_TRAMPOLINE, /* one page below 1 MiB for the start of the other CPUs */
	BOOT_MEM_RUNTIME,    /* firmware runtime code and data: needed by ResetSystem */
	BOOT_MEM_ACPI,	     /* ACPI reclaim and NVS */
	BOOT_MEM_MMIO,	     /* memory-mapped I/O the firmware lists */
	BOOT_MEM_RESERVED    /* anything else: never touched */
};

struct boot_memory {
	uint64_t start; /* page-aligned, sorted by start, no two overlap */
	uint64_t size;
	uint32_t kind;	    /* enum boot_memory_kind */
	uint32_t cacheable; /* 1 when the firmware says write-back is supported */
};

/* A file for a partition. Partitions that name the same file have the same pages. */
struct boot_module {
	uint64_t start; /* page-aligned */
	uint64_t size;	/* bytes of the file; 0: none */
};

enum boot_pixel_format { BOOT_PIXEL_NONE, BOOT_PIXEL_RGBX, BOOT_PIXEL_BGRX };

struct boot_framebuffer {
	uint64_t start; /* 0 when there is none the hypervisor can draw on */
	uint64_t size;
	uint32_t width, height;
	uint32_t pitch;	 /* bytes per scan line */
	uint32_t format; /* enum boot_pixel_format: byte order in memory, 32 bits per pixel */
};

struct boot_cpu {
	uint32_t apic_id;
	uint32_t firmware_id; /* ACPI processor UID, or the MP Services index */
};

struct boot_info {
	uint64_t magic;
	uint32_t version;
	uint32_t size; /* sizeof(struct boot_info) as the loader knows it */

	uint64_t image_start; /* where HV_IMAGE_BASE is loaded; 2 MiB aligned */
	uint64_t image_size;  /* bytes to the end of bss, rounded up to 4 KiB */
	uint64_t boot_cr3;    /* the loader's boot tables */
	uint64_t trampoline;
	uint64_t rsdp;	       /* 0: no ACPI tables */
	uint64_t reset_system; /* EFI ResetSystem(), callable on boot_cr3; 0: none */
	uint64_t ioapic;       /* physical address of the first I/O APIC from the MADT; 0: unknown */
	uint32_t isa_gsi[16];  /* global system interrupt of ISA IRQ i, from the MADT's overrides; identity if
				  none */
	uint32_t isa_flags[16]; /* MPS INTI flags of that override (ACPI 6.5, 5.2.12.5), 0 = bus default */

	uint32_t cpu_count;
	uint32_t cpu_from_madt;		      /* 1: MADT, 0: MP Services */
	struct boot_cpu cpu[CONFIG_MAX_CPUS]; /* cpu[0] is the boot CPU */

	struct boot_framebuffer framebuffer;

	uint32_t memory_count;
	uint32_t screen_row; /* first text row (16 pixels each) below what loader and firmware have drawn */
	uint64_t memory_left_out; /* bytes of free memory in pieces so many and small that memory[] has no
				     room */
	struct boot_memory memory[BOOT_MAX_MEMORY];

	struct boot_module module[CONFIG_MAX_PARTITIONS]; /* images and kernels, in the order of
							     config.partition[] */
	struct boot_module initrd[CONFIG_MAX_PARTITIONS];
	struct config config;
};

#define HV_IMAGE_BASE 0xFFFFFFFF80000000ull
