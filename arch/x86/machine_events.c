/*
 * NMIs from outside, and machine checks: noted by their handlers, told here. An uncorrected error in the
 * memory of one partition ends that partition alone; one that concerns the hypervisor, or whose place or
 * context is unknown, ends the machine (arch/x86/panic.c).
 */
#include "arch/x86/apic.h"
#include "arch/x86/interrupts.h"
#include "arch/x86/machine_events.h"
#include "arch/x86/percpu.h"
#include "hv/core/partition.h"
#include "hv/lib/log.h"
#include "hv/mem/frames.h"

/* Machine-check architecture (SDM 3B 16.3, APM 2 9.3). */
#define CPUID1_EDX_MCA	      (1u << 14)
#define MCG_CAP_BANKS	      0xFFu
#define MCG_CAP_CONTROL	      (1u << 8)
#define MCG_STATUS_RIP_VALID  (1u << 0)
#define MSR_MCG_CONTROL	      0x17Bu
#define MSR_MC_CONTROL(bank)  (0x400u + 4 * (bank))
#define MSR_MC_STATUS(bank)   (0x401u + 4 * (bank))
#define MSR_MC_ADDRESS(bank)  (0x402u + 4 * (bank))
#define MC_STATUS_VALID	      (1ull << 63)
#define MC_STATUS_UNCORRECTED (1ull << 61)
#define MC_STATUS_ADDRESS     (1ull << 58)
#define MC_STATUS_CORRUPT     (1ull << 57) /* PCC: the CPU's state cannot be trusted */
#define REPORT_ALL	      UINT64_MAX

/* System control port B: who raised the NMI, on machines that still say so. */
#define PORT_SYSTEM_CONTROL_B	0x61
#define SYSTEM_CONTROL_SERR	(1u << 7)
#define SYSTEM_CONTROL_IO_CHECK (1u << 6)

#define NMIS_REPORTED 8

static uint32_t bank_count(void)
{
	return cpuid(1, 0).edx & CPUID1_EDX_MCA ? rdmsr(MSR_MCG_CAP) & MCG_CAP_BANKS : 0;
}

static struct machine_check read_bank(uint32_t bank)
{
	struct machine_check check = {.status = rdmsr(MSR_MC_STATUS(bank)), .bank = bank};

	if (!(check.status & MC_STATUS_VALID))
		check.status = 0;
	if (check.status & MC_STATUS_ADDRESS)
		check.address = rdmsr(MSR_MC_ADDRESS(bank));
	return check;
}

static void tell(const struct machine_check *check)
{
	log_warn("machine check on CPU %u: bank %u, status %016lx (%s), address 0x%lx, memory of %s",
		 this_cpu->index, check->bank, check->status,
		 check->status & MC_STATUS_UNCORRECTED ? "not corrected" : "corrected", check->address,
		 check->status & MC_STATUS_ADDRESS
			 ? owner_kind(frames_owner(&machine_frames, hpa(check->address)))
			 : "unknown place");
}

void machine_check_tell(void)
{
	uint32_t banks = bank_count();

	for (uint32_t bank = 0; bank < banks; bank++) {
		struct machine_check check = read_bank(bank);

		if (check.status)
			tell(&check);
	}
}

void machine_events_enable(void)
{
	uint32_t banks = bank_count();

	if (banks && rdmsr(MSR_MCG_CAP) & MCG_CAP_CONTROL)
		wrmsr(MSR_MCG_CONTROL, REPORT_ALL);
	for (uint32_t bank = 0; bank < banks; bank++) {
		struct machine_check check = read_bank(bank);

		if (check.status) {
			tell(&check);
			wrmsr(MSR_MC_STATUS(bank), 0);
		}
		wrmsr(MSR_MC_CONTROL(bank), REPORT_ALL);
	}
}

/*
 * The handlers' side
 */

/* An IPI to itself waits for the next HLT: the CPU may stand right before one. By shorthand, which leaves an
 * interrupted use of the command register as it was. */
static void look_again(void)
{
	if (this_vcpu->shared)
		atomic_fetch_or(&this_vcpu->shared->requests, REQUEST_MACHINE);
	apic_send_self(VECTOR_KICK);
}

void machine_nmi_note(void)
{
	atomic_fetch_add(&this_cpu->nmi_count, 1);
	look_again();
}

static bool is_survivable(const struct machine_check *check)
{
	owner_t owner = frames_owner(&machine_frames, hpa(check->address));

	if (!(check->status & MC_STATUS_UNCORRECTED))
		return true;
	if (check->status & MC_STATUS_CORRUPT || !(check->status & MC_STATUS_ADDRESS))
		return false;
	return owner == OWNER_FREE || owner >= OWNER_PARTITION(0);
}

bool machine_check_note(void)
{
	uint32_t banks = bank_count();
	struct machine_check found = {0};

	/* The one noted before has not been told yet: too many at once to reason about. */
	if (!(rdmsr(MSR_MCG_STATUS) & MCG_STATUS_RIP_VALID) || this_cpu->machine_check.status)
		return false;
	for (uint32_t bank = 0; bank < banks; bank++) {
		struct machine_check check = read_bank(bank);

		if (!check.status)
			continue;
		if (!is_survivable(&check) || found.status)
			return false;
		found = check;
	}
	if (found.status)
		wrmsr(MSR_MC_STATUS(found.bank), 0);
	/* Machine check in progress: the next one would shut the machine down otherwise. */
	wrmsr(MSR_MCG_STATUS, 0);
	this_cpu->machine_check = found;
	look_again();
	return true;
}

/*
 * The report
 */

static void report_nmis(uint32_t before, uint32_t now)
{
	uint8_t port = inb(PORT_SYSTEM_CONTROL_B);

	if (before >= NMIS_REPORTED)
		return;
	log_warn("CPU %u: NMI from outside, %u in all (port 61h: 0x%x,%s%s%s); the guests run on",
		 this_cpu->index, now, port, port & SYSTEM_CONTROL_SERR ? " SERR#" : "",
		 port & SYSTEM_CONTROL_IO_CHECK ? " IOCHK#" : "",
		 port & (SYSTEM_CONTROL_SERR | SYSTEM_CONTROL_IO_CHECK) ? "" : " no source named");
	if (now >= NMIS_REPORTED)
		log_warn("  further NMIs of CPU %u are counted in silence", this_cpu->index);
}

/* Memory of an agreement is the partition's that has made it. NULL: nobody's. */
static struct partition *partition_of(owner_t owner)
{
	uint32_t id = owner;

	if (owner < OWNER_PARTITION(0))
		return NULL;
	id = owner >= OWNER_AGREEMENT(0) ? (id - OWNER_AGREEMENT(0)) / SHARES_OF_ONE
					 : id - OWNER_PARTITION(0);
	return id < partition_count ? &partitions[id] : NULL;
}

static void end_partition_of(const struct machine_check *check)
{
	struct partition *partition = partition_of(frames_owner(&machine_frames, hpa(check->address)));
	enum status status;

	if (!(check->status & MC_STATUS_UNCORRECTED) || !partition)
		return;
	log_error("partition %s: machine check: its memory is damaged at HPA 0x%lx",
		  partition_name(partition), check->address);
	status = partition_command(partition, ORDER_FAULT, "machine check in its memory");
	if (status)
		log_warn("  it is not running, or is being ended already: %s", status_name(status));
}

void machine_events_report(void)
{
	struct machine_check check = this_cpu->machine_check;
	uint32_t now = atomic_load(&this_cpu->nmi_count);

	if (now != this_cpu->nmis_told)
		report_nmis(this_cpu->nmis_told, now);
	this_cpu->nmis_told = now;
	if (!check.status)
		return;
	tell(&check);
	end_partition_of(&check);
	this_cpu->machine_check.status = 0;
}
