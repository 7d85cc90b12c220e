/*
 * Which CPUs there are: from ACPI's MADT, or from the firmware's own MP services where no ACPI is to be had.
 */
#include <cpuid.h>

#include "boot/loader.h"
#include "boot/madt.h"

#define CPUID_TOPOLOGY	    0x0Bu
#define LEAF1_APIC_ID_SHIFT 24
#define ADVICE		    "switch on ACPI, or multiprocessor support, in the firmware's setup"

static bool guids_are_equal(const EFI_GUID *first, const EFI_GUID *second)
{
	const uint8_t *a = (const uint8_t *)first, *b = (const uint8_t *)second;

	for (size_t i = 0; i < sizeof(EFI_GUID); i++)
		if (a[i] != b[i])
			return false;
	return true;
}

static void *configuration_table(EFI_GUID guid)
{
	for (UINTN i = 0; i < firmware->NumberOfTableEntries; i++)
		if (guids_are_equal(&firmware->ConfigurationTable[i].VendorGuid, &guid))
			return firmware->ConfigurationTable[i].VendorTable;
	return NULL;
}

/* ACPI 2.0's pointer first: it leads to the tables with 64-bit addresses. */
static void *find_root(void)
{
	void *roots[] = {
		configuration_table((EFI_GUID)ACPI_20_TABLE_GUID),
		configuration_table((EFI_GUID)ACPI_TABLE_GUID),
	};

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		if (roots[i] == NULL)
			continue;
		if (acpi_root_is_sound(roots[i]))
			return roots[i];
		say("warning: the ACPI root pointer at 0x%lx has a wrong signature, length or checksum and "
		    "is not used",
		    (uint64_t)roots[i]);
	}
	say("the firmware has no ACPI tables that can be used");
	return NULL;
}

/* The x2APIC id where the CPU tells it (SDM 3A, 11.12.8), else the 8-bit one. */
static uint32_t own_apic_id(void)
{
	uint32_t eax, ebx, ecx, edx;

	if (__get_cpuid_max(0, NULL) >= CPUID_TOPOLOGY) {
		__cpuid_count(CPUID_TOPOLOGY, 0, eax, ebx, ecx, edx);
		if (ebx != 0)
			return edx;
	}
	__cpuid(1, eax, ebx, ecx, edx);
	return ebx >> LEAF1_APIC_ID_SHIFT;
}

static uint32_t read_madt(struct boot_info *info, const void *root)
{
	const void *madt = acpi_find_table(root, "APIC");

	if (madt == NULL) {
		say("warning: ACPI has no MADT with a right length and checksum");
		return 0;
	}

	uint32_t count = madt_read(madt, info), flaw = madt_flaw(madt);

	if (flaw > 0)
		say("warning: the MADT's entry at byte %u has an impossible length; it and what follows are "
		    "not read",
		    flaw);
	if (cpu_list_put_first(info, own_apic_id()))
		return count;
	say("warning: the MADT does not list the boot CPU, APIC id %u, and is not used", own_apic_id());
	return 0;
}

static uint32_t read_mp_services(struct boot_info *info)
{
	EFI_GUID guid = MP_SERVICES_GUID;
	struct mp_services *services;
	UINTN count, enabled;
	uint32_t found = 0;

	info->cpu_count = 0;
	if (EFI_ERROR(firmware->BootServices->LocateProtocol(&guid, NULL, (void **)&services)) ||
	    EFI_ERROR(services->get_count(services, &count, &enabled)))
		return 0;
	for (UINTN i = 0; i < count; i++) {
		struct mp_cpu cpu;

		if (EFI_ERROR(services->get_cpu(services, i, &cpu)) || (cpu.flags & MP_CPU_IS_ENABLED) == 0)
			continue;
		cpu_list_add(info, (uint32_t)cpu.apic_id, (uint32_t)i);
		found++;
	}
	return cpu_list_put_first(info, own_apic_id()) ? found : 0;
}

void cpus_find(struct boot_info *info)
{
	const void *root = find_root();
	uint32_t count = 0;

	for (uint32_t irq = 0; irq < sizeof(info->isa_gsi) / sizeof(info->isa_gsi[0]); irq++)
		info->isa_gsi[irq] = irq;
	info->rsdp = (uint64_t)root;
	if (root != NULL)
		count = read_madt(info, root);
	info->cpu_from_madt = count > 0;
	if (count == 0)
		count = read_mp_services(info);
	if (count == 0)
		fail(ADVICE,
		     "no list of CPUs: neither a sound ACPI MADT nor the firmware's MP services name the "
		     "boot CPU");

	say("%u CPU%s, from %s", count, count == 1 ? "" : "s",
	    info->cpu_from_madt ? "the ACPI MADT" : "the firmware's MP services");
	if (count > info->cpu_count)
		say("warning: only %u CPUs are used, the most this version can", info->cpu_count);
}
