/*
 * The monitor's `audit`: what hv/core/audit.c finds on this machine, in lines.
 */
#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "hv/console/console.h"
#include "hv/core/audit.h"
#include "hv/mem/pool.h"

#define TOLD_MAX 20 /* findings told one by one: a table that is wrong throughout has thousands */

static void show_finding(void *context, const struct audit_finding *finding)
{
	uint32_t *told = context;
	const char *name = "";

	if (finding->owner >= OWNER_PARTITION(0) && finding->owner < OWNER_PARTITION(partition_count))
		name = partition_name(&partitions[finding->owner - OWNER_PARTITION(0)]);
	if ((*told)++ < TOLD_MAX)
		console_print("audit: %s %u: address %llx, frame %llx (%s%s%s): %s",
			      finding->guest ? "partition" : "CPU", finding->index + finding->guest,
			      (unsigned long long)finding->address, (unsigned long long)finding->frame.value,
			      owner_kind(finding->owner), *name ? " " : "", name, finding->rule);
}

void console_audit(void)
{
	struct audit_scope scope = {
		.text_end = (uint64_t)image_text_end,
		.rodata_end = (uint64_t)image_rodata_end,
		.image_end = (uint64_t)image_end,
		.pool = pool_address((const void *)POOL_BASE),
		.pool_bytes = pool_size() * PAGE_SIZE,
		.cpu = this_cpu->index,
		.cr3 = hpa(read_cr3()),
	};
	uint32_t told = 0;
	struct audit_result result = audit_machine(&scope, show_finding, &told);

	if (result.violations)
		console_print("audit: %llu violations", (unsigned long long)result.violations);
	else
		console_print("audit: %llu mappings of %u CPUs and %u partitions checked, no violation",
			      (unsigned long long)result.mappings, result.cpus, result.partitions);
}
