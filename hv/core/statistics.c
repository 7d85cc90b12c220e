/*
 * What a partition has used: for the monitor, the summary, and partitions that manage others. The figures
 * belong to other CPUs, which go on counting meanwhile.
 */
#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "hv/core/partition.h"

struct exit_statistics partition_exits(const struct partition *partition, unsigned class)
{
	struct exit_statistics sum = {0};

	for (uint32_t i = 0; i < partition->vcpu_count; i++) {
		sum.count += partition->vcpu[i].statistics[class].count;
		sum.tsc += partition->vcpu[i].statistics[class].tsc;
	}
	return sum;
}

uint64_t partition_reasons(const struct partition *partition, unsigned reason)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		sum += partition->vcpu[i].reasons[reason];
	return sum;
}

uint64_t partition_run_us(const struct partition *partition)
{
	uint64_t start = partition->start_tsc;
	uint64_t end = atomic_load(&partition->state) == PARTITION_OFF ? partition->end_tsc : rdtsc();

	/* It may be starting at this moment, behind our end. */
	return start && end > start ? tsc_to_us(end - start) : 0;
}
