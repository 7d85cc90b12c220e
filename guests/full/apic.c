/*
 * The local APIC of the CPU that calls, by memory or by MSR. Which of the two is one decision for the
 * machine: a CPU that offers x2APIC is used that way. Source: Intel SDM volume 3, chapter 11 (11.4 local
 * APIC, 11.5.4 timer, 11.6 IPIs, 11.12 x2APIC).
 */
#include "../common/cpu.h"
#include "../common/x86.h"
#include "devices.h"

#define CPUID_1_ECX_X2APIC (1u << 21)

#define SPURIOUS_ENABLE (1u << 8)
#define LVT_MASKED	(1u << 16)
#define LVT_EXTINT	0x700u
#define TIMER_PERIODIC	(1u << 17)
#define DIVIDE_BY_1	0xBu
#define ICR_BUSY	(1u << 12)
#define ID_SHIFT	24 /* xAPIC: of the ID register and of ICR_HIGH */

static volatile uint32_t *page;
static bool x2apic;

bool apic_x2apic_offered(void)
{
	return cpuid(1, 0).ecx & CPUID_1_ECX_X2APIC;
}

bool apic_is_x2apic(void)
{
	return x2apic;
}

volatile uint32_t *apic_page(void)
{
	return page;
}

uint32_t apic_read(uint32_t offset)
{
	return x2apic ? (uint32_t)read_msr(MSR_X2APIC_FIRST + offset / 16) : page[offset / 4];
}

void apic_write(uint32_t offset, uint32_t value)
{
	if (x2apic)
		write_msr(MSR_X2APIC_FIRST + offset / 16, value);
	else
		page[offset / 4] = value;
}

void apic_init(bool use_x2apic)
{
	uint64_t base = read_msr(MSR_APIC_BASE);
	const uint64_t wanted = base | APIC_BASE_ENABLE | (use_x2apic ? APIC_BASE_X2APIC : 0);
	page = (volatile uint32_t *)(base & ~0xFFFull);
	x2apic = use_x2apic;
	if (wanted != base)
		write_msr(MSR_APIC_BASE, wanted);
	apic_write(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_LVT_LINT0, this_cpu() ? LVT_MASKED : LVT_EXTINT);
	apic_write(APIC_TIMER_DIV, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_APIC_TICK);
}

void apic_end(void)
{
	apic_write(APIC_EOI, 0);
}

uint32_t apic_id(void)
{
	return x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> ID_SHIFT;
}

void apic_send(uint32_t target_id, uint32_t command)
{
	if (x2apic) {
		write_msr(MSR_X2APIC_FIRST + APIC_ICR_LOW / 16, (uint64_t)target_id << 32 | command);
		return;
	}
	while (apic_read(APIC_ICR_LOW) & ICR_BUSY)
		spin_hint();
	apic_write(APIC_ICR_HIGH, target_id << ID_SHIFT);
	apic_write(APIC_ICR_LOW, command);
}

void apic_timer_arm(uint32_t count)
{
	apic_write(APIC_LVT_TIMER, VECTOR_APIC_TICK);
	apic_write(APIC_TIMER_START, count);
}

void apic_timer_periodic(uint32_t count)
{
	apic_write(APIC_LVT_TIMER, VECTOR_APIC_TICK | TIMER_PERIODIC);
	apic_write(APIC_TIMER_START, count);
}
