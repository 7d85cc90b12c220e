/*
 * Which MSRs a guest reads and writes without an exit (SDM 3C 25.6.9): those the VMCS switches, and those
 * that are the guest's alone while it has the CPU. Everything else exits, reads and writes apart. No guest
 * value can harm the hypervisor here: it uses none of these registers itself, and the CPU checks what is
 * written.
 */
#include "arch/x86/registers.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/lib/spinlock.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define ALLOW_READ  1u
#define ALLOW_WRITE 2u
#define ALLOW	    (ALLOW_READ | ALLOW_WRITE)

#define BITMAP_HIGH    0x400u /* MSRs from C0000000h on */
#define BITMAP_WRITE   0x800u
#define HIGH_FIRST     0xC0000000u
#define MSRS_IN_BITMAP 0x2000u

static const struct {
	uint32_t msr;
	unsigned allow;
} passed_through[] = {
	{MSR_TSC, ALLOW_READ},
	{MSR_SYSENTER_CS, ALLOW},
	{MSR_SYSENTER_ESP, ALLOW},
	{MSR_SYSENTER_EIP, ALLOW},
	{MSR_PAT, ALLOW},
	{MSR_EFER, ALLOW_READ}, /* writes: reserved bits are checked first */
	{MSR_STAR, ALLOW},
	{MSR_LSTAR, ALLOW},
	{MSR_CSTAR, ALLOW},
	{MSR_SYSCALL_MASK, ALLOW},
	{MSR_FS_BASE, ALLOW},
	{MSR_GS_BASE, ALLOW},
	{MSR_KERNEL_GS_BASE, ALLOW},
};

static void clear_bit(uint8_t *bitmap, uint32_t msr)
{
	if (msr >= HIGH_FIRST)
		bitmap += BITMAP_HIGH;
	msr %= MSRS_IN_BITMAP;
	bitmap[msr / 8] &= (uint8_t) ~(1u << msr % 8);
}

static void allow(uint8_t *bitmap, uint32_t msr, unsigned access)
{
	if (access & ALLOW_READ)
		clear_bit(bitmap, msr);
	if (access & ALLOW_WRITE)
		clear_bit(bitmap + BITMAP_WRITE, msr);
}

static void fill(uint8_t *bitmap, const struct vmx_controls *controls)
{
	memset(bitmap, 0xFF, PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(passed_through); i++)
		allow(bitmap, passed_through[i].msr, passed_through[i].allow);
	if (controls->secondary & SECONDARY_RDTSCP)
		allow(bitmap, MSR_TSC_AUX, ALLOW);
}

const void *vmx_msr_bitmap(const struct vmx_controls *controls)
{
	static struct spinlock lock;
	static uint8_t *bitmap;

	spin_lock(&lock);
	if (!bitmap) {
		bitmap = pool_allocate(1);
		if (bitmap)
			fill(bitmap, controls);
	}
	spin_unlock(&lock);
	return bitmap;
}
