/*
 * What a run came to: the last lines before power-off, for people and for scripts.
 */
#include "hv/console/console.h"

#define MILLISECONDS_US 1000u

static uint64_t exits_of(const struct partition *partition)
{
	uint64_t exits = 0;

	for (unsigned class = 0; class < EXIT_CLASSES; class ++)
		exits += partition_exits(partition, class).count;
	return exits;
}

/* Of a partition that runs, end_reason tells of its last order. */
static const char *ended_why(const struct partition *partition)
{
	return atomic_load(&partition->state) == PARTITION_OFF ? partition->end_reason : "";
}

static const char *ended_how(const struct partition *partition)
{
	static const char *const words[] = {[END_NEVER_STARTED] = "never started",
					    [END_SYSTEM_OFF] = "system off",
					    [END_STOPPED] = "stopped",
					    [END_FAULT] = "fault"};

	if (atomic_load(&partition->state) != PARTITION_OFF)
		return "was running";
	return partition->end < ARRAY_SIZE(words) ? words[partition->end] : "unknown";
}

void console_summary(void)
{
	console_synchronous();
	console_print("summary");
	console_print("  %-15s %-13s %12s %12s %10s %8s", "partition", "ended", "run time", "exits", "lines",
		      "restarts");
	for (uint32_t i = 0; i < partition_count; i++) {
		const struct partition *partition = &partitions[i];
		unsigned long long ms = partition_run_us(partition) / MILLISECONDS_US;

		console_print("  %-15s %-13s %6llu.%03llu s %12llu %10llu %8u  %s", partition_name(partition),
			      ended_how(partition), ms / 1000, ms % 1000,
			      (unsigned long long)exits_of(partition),
			      (unsigned long long)partition->console.lines, partition->restarts,
			      ended_why(partition));
	}
}
