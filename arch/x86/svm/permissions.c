/*
 * The permission maps: which ports and which MSRs trap (APM 2 15.10.1, 15.11). All ports do. An MSR goes past
 * the hypervisor where the CPU itself keeps the guest's value apart from the host's, or where it is the
 * guest's own because the vCPU owns its CPU: TSC_AUX, SPEC_CTRL, PRED_CMD and FLUSH_CMD. What the maps say is
 * the same for every guest, so one set serves all vCPUs of the machine.
 */
#include "arch/x86/registers.h"
#include "arch/x86/speculation.h"
#include "arch/x86/svm/svm.h"
#include "hv/lib/spinlock.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define IO_MAP_PAGES  3 /* 64 Ki ports, and three more bits that a 4-byte access to the last one looks at */
#define MSR_MAP_PAGES 2

/* Two bits an MSR, read then write, in three ranges of 2000h MSRs. */
static const struct msr_range {
	uint32_t first;
	uint32_t offset; /* bytes into the map */
} msr_ranges[] = {
	{0x00000000, 0x0000},
	{0xC0000000, 0x0800},
	{0xC0010000, 0x1000},
};
#define MSR_RANGE_SIZE 0x2000u

/*
 * Switched by VMLOAD and VMSAVE, or used by no one else (TSC_AUX). Not PAT: CPUs keep the guest's in the
 * VMCB, but QEMU TCG knows one PAT only, the host's.
 */
static const uint32_t guest_owned_msrs[] = {
	MSR_FS_BASE,	  MSR_GS_BASE,	   MSR_KERNEL_GS_BASE, MSR_STAR,	 MSR_LSTAR,   MSR_CSTAR,
	MSR_SYSCALL_MASK, MSR_SYSENTER_CS, MSR_SYSENTER_ESP,   MSR_SYSENTER_EIP, MSR_TSC_AUX,
};

static struct spinlock lock;
static uint8_t *io_map, *msr_map;

static void pass_through(uint32_t msr)
{
	for (unsigned i = 0; i < ARRAY_SIZE(msr_ranges); i++) {
		uint32_t index = msr - msr_ranges[i].first;

		if (index < MSR_RANGE_SIZE)
			msr_map[msr_ranges[i].offset + index / 4] &= (uint8_t) ~(3u << index % 4 * 2);
	}
}

static enum status create_maps(void)
{
	io_map = pool_allocate(IO_MAP_PAGES);
	msr_map = pool_allocate(MSR_MAP_PAGES);
	if (!io_map || !msr_map) {
		if (io_map)
			pool_release(io_map, IO_MAP_PAGES);
		if (msr_map)
			pool_release(msr_map, MSR_MAP_PAGES);
		io_map = msr_map = NULL;
		return ERR_NO_MEMORY;
	}
	memset(io_map, 0xFF, IO_MAP_PAGES * PAGE_SIZE);
	memset(msr_map, 0xFF, MSR_MAP_PAGES * PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(guest_owned_msrs); i++)
		pass_through(guest_owned_msrs[i]);
	for (unsigned i = 0; i < SPECULATION_MSRS; i++)
		if (speculation_msr(i))
			pass_through(speculation_msr(i));
	return OK;
}

enum status svm_permissions(hpa_t *io, hpa_t *msr)
{
	enum status status = OK;

	spin_lock(&lock);
	if (!io_map)
		status = create_maps();
	spin_unlock(&lock);
	if (status)
		return status;
	*io = pool_address(io_map);
	*msr = pool_address(msr_map);
	return OK;
}
