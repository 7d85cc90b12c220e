/*
 * The hypervisor's virtual address space, the same shape on every CPU (4-level paging):
 *
 *   0xFFFF8000'00000000  guest window   memory of the partition this CPU runs, at window + GPA; NX
 *   0xFFFFC000'00000000  module window  the partition's own files as read from disk; read-only, NX. Behind
 * them its APIC-access page, if it has one; RW, NX 0xFFFFFFFF'80000000  image          text RX, rodata R,
 * data and bss RW; shared by all CPUs 0xFFFFFFFF'C0000000  per-CPU area   struct percpu with guard pages
 * around its stacks; this CPU's only 0xFFFFFFFF'D0000000  pool           frames the hypervisor allocates
 * from; RW, NX; shared by all CPUs 0xFFFFFFFF'E0000000  devices        local APIC, I/O APIC, framebuffer; RW,
 * NX, uncached or write-combining
 *
 * Nothing else is mapped. The upper four lie within 2 GiB of the top, so the code model `kernel` reaches them
 * with 32-bit displacements: this CPU's data is at a constant address, and no exit needs a segment base to
 * find it.
 */
#pragma once

#include "hv/lib/types.h"

#define GUEST_WINDOW  0xFFFF800000000000ull
#define MODULE_WINDOW 0xFFFFC00000000000ull
#define IMAGE_BASE    0xFFFFFFFF80000000ull
#define PERCPU_BASE   0xFFFFFFFFC0000000ull
#define POOL_BASE     0xFFFFFFFFD0000000ull
#define POOL_MAX_SIZE (256 * MIB)
#define DEVICE_BASE   0xFFFFFFFFE0000000ull
#define DEVICE_SIZE   (256 * MIB)
