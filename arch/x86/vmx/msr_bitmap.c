/*
 * Which MSRs a guest reads and writes without an exit (SDM 3C 25.6.9): those the VMCS switches, and those
 * that are the guest's alone while it has the CPU. Everything else exits, reads and writes apart. No guest
 * value can harm the hypervisor here: it uses none of these registers itself, and the CPU checks what is
 * written.
 */
#include "arch/x86/registers.h"
#include "arch/x86/speculation.h"
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

/* Registers of the x2APIC, a bit each, from that at `offset` of the xAPIC on. */
#define X2APIC_REGISTERS	 64
#define REGISTERS(offset, count) (((1ull << (count)) - 1) << (offset) / 16)

/* The command is told in one piece only, and the current count runs: both exit. */
static const uint64_t x2apic_reads = REGISTERS(0x020, 2)     /* ID, version */
				     | REGISTERS(0x080, 1)   /* TPR */
				     | REGISTERS(0x0A0, 1)   /* PPR */
				     | REGISTERS(0x0D0, 1)   /* LDR */
				     | REGISTERS(0x0F0, 26)  /* SVR, ISR, TMR, IRR, ESR */
				     | REGISTERS(0x320, 7)   /* LVT, initial count */
				     | REGISTERS(0x3E0, 1);  /* divide */
static const uint64_t x2apic_writes = REGISTERS(0x080, 1)    /* TPR */
				      | REGISTERS(0x0B0, 1)  /* EOI */
				      | REGISTERS(0x3F0, 1); /* self IPI */

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
	for (unsigned i = 0; i < SPECULATION_MSRS; i++)
		if (speculation_msr(i))
			allow(bitmap, speculation_msr(i), ALLOW);
}

/* Registers of the x2APIC that the virtual-APIC page answers for, and writes that it takes (30.5). Without
 * "virtualize x2APIC mode" these would be the machine's own. */
static void fill_x2apic(uint8_t *bitmap)
{
	for (unsigned i = 0; i < X2APIC_REGISTERS; i++) {
		if (x2apic_reads >> i & 1)
			allow(bitmap, MSR_X2APIC_FIRST + i, ALLOW_READ);
		if (x2apic_writes >> i & 1)
			allow(bitmap, MSR_X2APIC_FIRST + i, ALLOW_WRITE);
	}
}

const void *vmx_msr_bitmap(const struct vmx_controls *controls, bool x2apic)
{
	static struct spinlock lock;
	static uint8_t *bitmaps[2];
	uint8_t *bitmap;

	spin_lock(&lock);
	bitmap = bitmaps[x2apic];
	if (!bitmap) {
		bitmap = bitmaps[x2apic] = pool_allocate(1);
		if (bitmap)
			fill(bitmap, controls);
		if (bitmap && x2apic)
			fill_x2apic(bitmap);
	}
	spin_unlock(&lock);
	return bitmap;
}
