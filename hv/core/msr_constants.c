/*
 * One row an MSR. A vendor's MSRs are there on its CPUs only, as a system that finds its way by #GP expects.
 * Sources: SDM 4, table 2-2 and following; AMD's processor programming references, "MSR registers".
 */
#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "hv/core/msr_constants.h"

enum msr_vendor { ANY, INTEL, AMD };

enum msr_write {
	READ_ONLY,     /* #GP */
	WRITE_IGNORED, /* any value, without effect */
	WRITE_SAME     /* the value it has; another is #GP */
};

struct msr_row {
	uint32_t index;
	uint8_t vendor, write;
	uint64_t value;
};

#define FEATURE_CONTROL_LOCKED 1u /* VMX off, and nobody can change it */
#define MISC_FAST_STRINGS      (1u << 0)
#define MISC_NO_BRANCH_TRACE   (1u << 11)
#define MISC_NO_EVENT_SAMPLING (1u << 12)
#define VM_CR_SVM_OFF	       (3u << 3)   /* disabled and locked */
#define HWCR_TSC_FREQUENCY     (1u << 24)  /* the TSC counts at the P0 frequency */
#define DE_CFG_LFENCE	       (1u << 1)   /* LFENCE serialises */
#define VENDOR_AMD_EBX	       0x68747541u /* "Auth" */
#define RATIO_SHIFT	       8	   /* PLATFORM_INFO: the nominal frequency in 100 MHz */
#define RATIO_KHZ	       100000u
#define RATIO_MASK	       0xFFu
/* OS-visible workarounds known: 2; needed: none. Id 1 is a timer that stops in C1E, which is never entered
 * here. */
#define WORKAROUNDS_KNOWN 2

/* IA32_ARCH_CAPABILITIES: what the CPU does not leak, or has an instruction for; not the bits that promise
 * other MSRs. */
#define HARMLESS_CAPABILITIES 0x1D1AE17Full

static const struct msr_row rows[] = {
	{MSR_PLATFORM_ID, INTEL, READ_ONLY, 0},
	{MSR_SMI_COUNT, INTEL, READ_ONLY, 0},
	{MSR_FEATURE_CONTROL, INTEL, READ_ONLY, FEATURE_CONTROL_LOCKED},
	{MSR_MISC_ENABLE, INTEL, WRITE_IGNORED,
	 MISC_FAST_STRINGS | MISC_NO_BRANCH_TRACE | MISC_NO_EVENT_SAMPLING},
	{MSR_TSC_ADJUST, ANY, WRITE_SAME, 0}, /* as the TSC itself, not the guest's to move */
	{MSR_DEBUGCTL, ANY, WRITE_IGNORED, 0},
	{MSR_XSS, ANY, WRITE_SAME, 0},
	{MSR_SYSCFG, AMD, WRITE_IGNORED, 0},
	{MSR_HWCR, AMD, WRITE_IGNORED, HWCR_TSC_FREQUENCY},
	{MSR_NB_CFG, AMD, WRITE_IGNORED, 0},
	{MSR_INT_PENDING, AMD, WRITE_IGNORED, 0},
	{MSR_MMIO_CONF_BASE, AMD, WRITE_IGNORED, 0},
	{MSR_VM_CR, AMD, WRITE_IGNORED, VM_CR_SVM_OFF},
	{MSR_OSVW_ID_LENGTH, AMD, WRITE_IGNORED, WORKAROUNDS_KNOWN},
	{MSR_OSVW_STATUS, AMD, WRITE_IGNORED, 0},
	{MSR_LS_CFG, AMD, WRITE_IGNORED, 0},
	{MSR_DC_CFG, AMD, WRITE_IGNORED, 0},
	{MSR_BU_CFG, AMD, WRITE_IGNORED, 0},
	{MSR_DE_CFG, AMD, WRITE_IGNORED, DE_CFG_LFENCE},
	{MSR_BU_CFG2, AMD, WRITE_IGNORED, 0},
};

static bool is_amd(void)
{
	return cpuid(0, 0).ebx == VENDOR_AMD_EBX;
}

static const struct msr_row *find(uint32_t index)
{
	const uint8_t vendor = is_amd() ? AMD : INTEL;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].index == index && (rows[i].vendor == ANY || rows[i].vendor == vendor))
			return &rows[i];
	return NULL;
}

/* The machine's own, which says what its microcode mends (SDM 3A 10.11.7). */
static uint64_t microcode_revision(void)
{
	if (!is_amd()) {
		wrmsr(MSR_MICROCODE_REV, 0);
		(void)cpuid(1, 0);
	}
	return rdmsr(MSR_MICROCODE_REV);
}

static bool arch_capabilities(uint64_t *value)
{
	if (cpuid(0, 0).eax < 7 || !(cpuid(7, 0).edx & CPUID7_EDX_ARCH_CAPABILITIES))
		return false;
	*value = rdmsr(MSR_ARCH_CAPABILITIES) & HARMLESS_CAPABILITIES;
	return true;
}

bool msr_constant_read(uint32_t index, uint64_t *value)
{
	const struct msr_row *row = find(index);

	if (index == MSR_MICROCODE_REV)
		*value = microcode_revision();
	else if (index == MSR_PLATFORM_INFO && !is_amd())
		*value = (uint64_t)(tsc_khz / RATIO_KHZ & RATIO_MASK) << RATIO_SHIFT;
	else if (row)
		*value = row->value;
	else
		return index == MSR_ARCH_CAPABILITIES && arch_capabilities(value);
	return true;
}

bool msr_constant_write(uint32_t index, uint64_t value)
{
	const struct msr_row *row = find(index);

	if (index == MSR_MICROCODE_REV)
		return true; /* written 0 before CPUID, to read the revision */
	return row && (row->write == WRITE_IGNORED || (row->write == WRITE_SAME && value == row->value));
}
