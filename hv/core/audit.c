/*
 * One pass over all tables there are. A mapping is judged by where it stands: each region of the hypervisor's
 * address space (hv/mem/layout.h) has a rule for access and a rule for the frame; in a guest's map every
 * frame is the partition's own, or one that an agreement lets it see. The first rule that a mapping breaks is
 * told.
 */
#include "arch/x86/percpu.h"
#include "arch/x86/registers.h"
#include "hv/core/audit.h"
#include "hv/core/partition.h"
#include "hv/core/share.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define HOST_MAX_LEVEL 2

struct audit {
	const struct audit_scope *scope;
	audit_report_fn *report;
	void *context;
	struct audit_result result;
	const struct partition *partition; /* whose map, or whose CPU; NULL: a CPU of none */
	bool guest;
	uint32_t index;
};

/* What a mapping breaks: `rule` is NULL if nothing. */
struct verdict {
	const char *rule;
	hpa_t frame;
};

static void tell(struct audit *audit, uint64_t address, struct verdict verdict)
{
	struct audit_finding finding = {.guest = audit->guest,
					.index = audit->index,
					.address = address,
					.frame = verdict.frame,
					.owner = frames_owner(&machine_frames, verdict.frame),
					.rule = verdict.rule};

	audit->result.violations++;
	audit->report(audit->context, &finding);
}

/*
 * The tables themselves
 */

static struct audit *current; /* for reach_checked(), which takes no context */

/* A table anywhere but in the pool is followed no further. */
static uint64_t *reach_checked(hpa_t frame)
{
	const struct audit_scope *scope = current->scope;

	if (frame.value - scope->pool.value < scope->pool_bytes)
		return pool_reach(frame);
	tell(current, 0, (struct verdict){"page tables outside the pool", frame});
	return NULL;
}

static const struct page_source checked_tables = {.reach = reach_checked};

/*
 * Frames
 */

static const char *wrong_owner(owner_t owner)
{
	switch (owner) {
	case OWNER_FREE: return "a frame that nobody owns";
	case OWNER_FIRMWARE:
	case OWNER_MMIO: return "a frame of firmware or a device";
	case OWNER_HYPERVISOR: return "a frame of the hypervisor";
	default:
		if (owner >= OWNER_AGREEMENT(0))
			return "a frame that an agreement keeps from it";
		return owner >= OWNER_PARTITION(0) ? "a frame of another partition"
						   : "a frame of a guest image";
	}
}

/* All of the leaf must be `owner`'s. The lock keeps the table as it is. */
static struct verdict judge_owner(const struct mapping *leaf, owner_t owner)
{
	struct verdict verdict = {0};
	hpa_t frame = leaf->frame;

	spin_lock(&share_lock);
	if (!frames_owned_by(&machine_frames, leaf->frame, leaf->size, owner)) {
		while (frames_owner(&machine_frames, frame) == owner)
			frame.value += PAGE_SIZE;
		verdict = (struct verdict){wrong_owner(frames_owner(&machine_frames, frame)), frame};
	}
	spin_unlock(&share_lock);
	return verdict;
}

/* Devices, firmware's tables and what the loader left: anything but memory that guests have or may get. */
static struct verdict judge_device(const struct mapping *leaf)
{
	uint64_t end = leaf->frame.value + leaf->size;
	struct verdict verdict = {0};

	spin_lock(&share_lock);
	for (uint32_t i = 0; i < machine_frames.count && !verdict.rule; i++) {
		const struct frame_extent *extent = &machine_frames.extent[i];
		bool guests = extent->owner == OWNER_FREE || extent->owner >= OWNER_MODULE(0);

		if (guests && extent->start < end && extent->start + extent->size > leaf->frame.value)
			verdict = (struct verdict){wrong_owner(extent->owner),
						   hpa(MAX(extent->start, leaf->frame.value))};
	}
	spin_unlock(&share_lock);
	return verdict;
}

/* The partition's APIC-access page, where it belongs: at `address`. */
static bool is_apic_page(const struct partition *partition, uint64_t address, const struct mapping *leaf)
{
	return partition->apic_page.value && leaf->address == address && leaf->size == PAGE_SIZE &&
	       leaf->frame.value == partition->apic_page.value;
}

/* At the guest-physical address that the partition's extents give it. */
static bool in_extents(const struct partition *partition, uint64_t address, const struct mapping *leaf)
{
	for (uint32_t i = 0; i < partition->extent_count; i++) {
		const struct memory_extent *extent = &partition->extent[i];
		uint64_t offset = address - extent->gpa.value;

		if (offset < extent->size && leaf->size <= extent->size - offset &&
		    leaf->frame.value == extent->hpa.value + offset)
			return true;
	}
	return false;
}

/*
 * Memory that agreements speak of: what others may see as well, in the owner's map; in the window of the
 * owner's CPUs, where the hypervisor leaves it alone, also what it has given away; and what a borrower may
 * see.
 */
static bool agreed(const struct audit *audit, uint64_t address, const struct mapping *leaf)
{
	const struct partition *partition = audit->partition;
	struct mapping now;
	bool fine;

	spin_lock(&share_lock);
	fine = (audit->guest && (!page_map_find(&partition->guest_map, address, &now) ||
				 now.frame.value != leaf->frame.value)) || /* it has changed meanwhile */
	       (in_extents(partition, address, leaf) &&
		share_owns(partition, leaf->frame, leaf->size, audit->guest)) ||
	       (audit->guest && share_allows(partition, address, leaf));
	spin_unlock(&share_lock);
	return fine;
}

static struct verdict judge_memory(const struct audit *audit, uint64_t address, const struct mapping *leaf)
{
	struct verdict verdict = judge_owner(leaf, OWNER_PARTITION(audit->partition->id));

	if (!verdict.rule && !in_extents(audit->partition, address, leaf))
		verdict = (struct verdict){"not where the partition's extents put it", leaf->frame};
	if (verdict.rule && agreed(audit, address, leaf))
		return (struct verdict){0};
	return verdict;
}

static bool names_file(const struct partition_config *config, const char *path)
{
	return !strcmp(config->image, path) || !strcmp(config->initrd, path);
}

static bool share_file(const struct partition_config *one, const struct partition_config *other)
{
	return names_file(other, one->image) || (one->initrd[0] != '\0' && names_file(other, one->initrd));
}

/* Where the window shows this file. */
static bool in_file(const struct guest_file *file, const struct mapping *leaf)
{
	const uint64_t offset = leaf->address - file->window, size = ALIGN_UP(file->size, PAGE_SIZE);

	return offset < size && leaf->size <= size - offset &&
	       leaf->frame.value == file->start.value + offset;
}

/* Partitions that name one file share its pages; the first of them owns those. */
static struct verdict judge_module(const struct partition *partition, const struct mapping *leaf)
{
	struct verdict verdict = judge_owner(leaf, OWNER_MODULE(partition->id));

	for (uint32_t i = 0; i < partition->id && verdict.rule; i++)
		if (share_file(partition->config, partitions[i].config) &&
		    !judge_owner(leaf, OWNER_MODULE(i)).rule)
			verdict = (struct verdict){0};
	if (!verdict.rule && !in_file(&partition->image, leaf) && !in_file(&partition->initrd, leaf))
		verdict = (struct verdict){"not where the partition's files are", leaf->frame};
	return verdict;
}

/*
 * A CPU's tables
 */

static bool inside(const struct mapping *leaf, uint64_t start, uint64_t end)
{
	return leaf->address >= start && leaf->address < end && leaf->size <= end - leaf->address;
}

static struct page_map tables_of(uint32_t cpu)
{
	return (struct page_map){.format = &host_format,
				 .source = &checked_tables,
				 .root = cpus[cpu].cr3,
				 .max_level = HOST_MAX_LEVEL};
}

static bool shared_with_other_cpu(const struct audit *audit, const struct mapping *leaf)
{
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++) {
		struct page_map map = tables_of(cpu);
		struct mapping other;

		if (cpu != audit->index && map.root.value && page_map_find(&map, leaf->address, &other) &&
		    other.frame.value == leaf->frame.value)
			return true;
	}
	return false;
}

/* The area and both stacks; between and behind them, guard pages. */
static struct verdict judge_percpu(const struct audit *audit, const struct mapping *leaf)
{
	const uint64_t stack = STACK_PAGES * PAGE_SIZE, fault_stack = FAULT_STACK_PAGES * PAGE_SIZE;

	if (!inside(leaf, PERCPU_BASE, PERCPU_BASE + PERCPU_PAGES * PAGE_SIZE) &&
	    !inside(leaf, STACK_TOP - stack, STACK_TOP) &&
	    !inside(leaf, FAULT_STACK_TOP - fault_stack, FAULT_STACK_TOP))
		return (struct verdict){"a guard page is mapped", leaf->frame};
	if (shared_with_other_cpu(audit, leaf))
		return (struct verdict){"another CPU has the same frame there", leaf->frame};
	return judge_owner(leaf, OWNER_HYPERVISOR);
}

static struct verdict judge_image(const struct audit *audit, const struct mapping *leaf)
{
	const struct audit_scope *scope = audit->scope;

	if ((leaf->flags & MAP_EXECUTE) && !inside(leaf, IMAGE_BASE, ALIGN_UP(scope->text_end, PAGE_SIZE)))
		return (struct verdict){"executable, and not code", leaf->frame};
	if ((leaf->flags & MAP_WRITE) && leaf->address < ALIGN_UP(scope->rodata_end, PAGE_SIZE))
		return (struct verdict){"writable code or constants", leaf->frame};
	return judge_owner(leaf, OWNER_HYPERVISOR);
}

static struct verdict judge_pool(const struct audit *audit, const struct mapping *leaf)
{
	if (leaf->frame.value - audit->scope->pool.value != leaf->address - POOL_BASE)
		return (struct verdict){"not the frame of the pool that belongs there", leaf->frame};
	return judge_owner(leaf, OWNER_HYPERVISOR);
}

static struct verdict judge_window(const struct audit *audit, const struct mapping *leaf)
{
	if (!audit->partition)
		return (struct verdict){"guest memory on a CPU of no partition", leaf->frame};
	return judge_memory(audit, leaf->address - GUEST_WINDOW, leaf);
}

static struct verdict judge_module_window(const struct audit *audit, const struct mapping *leaf)
{
	if (!audit->partition)
		return (struct verdict){"a guest image on a CPU of no partition", leaf->frame};
	if (is_apic_page(audit->partition, audit->partition->apic_window, leaf))
		return judge_owner(leaf, OWNER_PARTITION(audit->partition->id));
	if (leaf->flags & MAP_WRITE)
		return (struct verdict){"a writable guest image", leaf->frame};
	return judge_module(audit->partition, leaf);
}

static struct verdict judge_host(const struct audit *audit, const struct mapping *leaf)
{
	const struct audit_scope *scope = audit->scope;

	if ((leaf->flags & MAP_WRITE) && (leaf->flags & MAP_EXECUTE))
		return (struct verdict){"writable and executable", leaf->frame};
	if (inside(leaf, IMAGE_BASE, ALIGN_UP(scope->image_end, PAGE_SIZE)))
		return judge_image(audit, leaf);
	if (leaf->flags & MAP_EXECUTE)
		return (struct verdict){"executable, and not code", leaf->frame};
	if (inside(leaf, GUEST_WINDOW, MODULE_WINDOW))
		return judge_window(audit, leaf);
	if (inside(leaf, MODULE_WINDOW, IMAGE_BASE))
		return judge_module_window(audit, leaf);
	if (inside(leaf, PERCPU_BASE, POOL_BASE))
		return judge_percpu(audit, leaf);
	if (inside(leaf, POOL_BASE, POOL_BASE + scope->pool_bytes))
		return judge_pool(audit, leaf);
	if (inside(leaf, DEVICE_BASE, DEVICE_BASE + DEVICE_SIZE))
		return judge_device(leaf);
	return (struct verdict){"mapped where nothing is to be", leaf->frame};
}

static struct verdict judge_guest(const struct audit *audit, const struct mapping *leaf)
{
	if (is_apic_page(audit->partition, APIC_DEFAULT_BASE, leaf))
		return judge_owner(leaf, OWNER_PARTITION(audit->partition->id));
	return judge_memory(audit, leaf->address, leaf);
}

/*
 * The walk
 */

static bool visit(void *context, const struct mapping *leaf)
{
	struct audit *audit = context;
	struct verdict verdict = audit->guest ? judge_guest(audit, leaf) : judge_host(audit, leaf);

	audit->result.mappings++;
	if (verdict.rule)
		tell(audit, leaf->address, verdict);
	return true;
}

static const struct partition *partition_on(uint32_t cpu)
{
	const struct vcpu_shared *vcpu = cpus[cpu].vcpu;

	for (uint32_t i = 0; i < partition_count; i++)
		if (vcpu >= partitions[i].vcpu && vcpu < partitions[i].vcpu + partitions[i].vcpu_count)
			return &partitions[i];
	return NULL;
}

static void audit_cpu(struct audit *audit, uint32_t cpu)
{
	struct page_map map = tables_of(cpu);

	audit->guest = false;
	audit->index = cpu;
	audit->partition = partition_on(cpu);
	if (cpu == audit->scope->cpu && map.root.value != audit->scope->cr3.value)
		tell(audit, 0, (struct verdict){"CR3 with other tables than its own", audit->scope->cr3});
	page_map_walk(&map, visit, audit);
	audit->result.cpus++;
}

static void audit_partition(struct audit *audit, const struct partition *partition)
{
	struct page_map map = partition->guest_map;

	audit->guest = true;
	audit->index = partition->id;
	audit->partition = partition;
	map.source = &checked_tables;
	page_map_walk(&map, visit, audit);
	audit->result.partitions++;
}

struct audit_result audit_machine(const struct audit_scope *scope, audit_report_fn *report, void *context)
{
	struct audit audit = {.scope = scope, .report = report, .context = context};

	current = &audit;
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		if (cpus[cpu].cr3.value)
			audit_cpu(&audit, cpu);
	for (uint32_t i = 0; i < partition_count; i++)
		audit_partition(&audit, &partitions[i]);
	current = NULL;
	return audit.result;
}
