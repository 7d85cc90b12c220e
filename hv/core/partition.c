/*
 * Partitions are built here, once, at boot: CPUs and memory are taken from what the machine has, by the
 * config, all or nothing. And this is where guest memory is reached from: always checked, always through the
 * guest window.
 */
#include <bulkhead/abi.h>
#include <bulkhead/boot_info.h>

#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "arch/x86/registers.h"
#include "hv/core/partition.h"
#include "hv/core/share.h"
#include "hv/core/virt.h"
#include "hv/device/full.h"
#include "hv/lib/log.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"
#include "hv/mem/frames.h"
#include "hv/mem/pool.h"

#define NO_CPU UINT32_MAX

struct partition *partitions;
uint32_t partition_count;
const struct config *machine_config;

static bool in_range(const struct partition *partition, gpa_t address, uint64_t size)
{
	uint64_t low = partition->memory_low, high = partition->memory_high;

	if (address.value < low)
		return size <= low - address.value;
	if (address.value < 4 * GIB || address.value - 4 * GIB >= high)
		return false;
	return size <= high - (address.value - 4 * GIB);
}

bool partition_contains(const struct partition *partition, gpa_t address, uint64_t size)
{
	return in_range(partition, address, size) &&
	       (likely(!atomic_load(&partition->away)) || !share_is_away(partition, address.value, size));
}

void *partition_memory(const struct partition *partition, gpa_t address, uint64_t size)
{
	return partition_contains(partition, address, size) ? (void *)(GUEST_WINDOW + address.value) : NULL;
}

void *partition_window(const struct partition *partition, gpa_t address)
{
	(void)partition; /* it is this CPU's: the window shows no other */
	return (void *)(GUEST_WINDOW + address.value);
}

bool partition_read(const struct partition *partition, gpa_t from, void *to, size_t size)
{
	const void *source = partition_memory(partition, from, size);

	if (source)
		memcpy(to, source, size);
	return source != NULL;
}

bool partition_write(const struct partition *partition, gpa_t to, const void *from, size_t size)
{
	void *target = partition_memory(partition, to, size);

	if (target)
		memcpy(target, from, size);
	return target != NULL;
}

const char *partition_state_name(const struct partition *partition)
{
	static const char *const ends[] = {[END_NEVER_STARTED] = "not started",
					   [END_SYSTEM_OFF] = "off",
					   [END_STOPPED] = "stopped",
					   [END_FAULT] = "faulted"};

	if (partition->refused[0])
		return "refused";
	switch (atomic_load(&partition->state)) {
	case PARTITION_STARTING: return "starting";
	case PARTITION_RUNNING: return "running";
	default: return ends[partition->end];
	}
}

/*
 * CPUs
 */

static uint32_t take_cpu(const struct partition_config *config, uint32_t index, bool taken[])
{
	if (config->pinned) {
		uint32_t cpu = config->pin[index];

		if (cpu >= cpu_count || taken[cpu])
			return NO_CPU;
		taken[cpu] = true;
		return cpu;
	}
	for (uint32_t cpu = 0; cpu < cpu_count; cpu++) {
		if (taken[cpu] || atomic_load(&cpus[cpu].state) != CPU_READY)
			continue;
		taken[cpu] = true;
		return cpu;
	}
	return NO_CPU;
}

static enum status assign_cpus(struct partition *partition, bool taken[])
{
	const struct partition_config *config = partition->config;

	for (uint32_t i = 0; i < config->cpus; i++) {
		uint32_t cpu = take_cpu(config, i, taken);

		if (cpu == NO_CPU && config->pinned) {
			log_error("partition %s: cannot have CPU %u: the machine has CPUs 0 to %u, each for "
				  "one vCPU",
				  config->name, config->pin[i], cpu_count - 1);
			return ERR_RANGE;
		}
		if (cpu == NO_CPU || atomic_load(&cpus[cpu].state) != CPU_READY)
			return ERR_RANGE;
		partition->vcpu[i].cpu = cpu;
		partition->vcpu[i].index = i;
		cpus[cpu].vcpu = &partition->vcpu[i];
	}
	return OK;
}

static uint32_t ready_cpus(void)
{
	uint32_t ready = 0;

	for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
		ready += atomic_load(&cpus[cpu].state) == CPU_READY;
	return ready;
}

/* Pinned partitions choose first, so that counting ones do not take their CPUs. */
static enum status assign_all_cpus(const struct config *config)
{
	bool taken[CONFIG_MAX_CPUS] = {false};
	uint32_t wanted = 0;
	enum status status = OK;

	for (uint32_t i = 0; i < partition_count; i++)
		wanted += config->partition[i].cpus;
	if (wanted > ready_cpus()) {
		log_error("the partitions want %u CPUs, the machine has %u (one for each vCPU)", wanted,
			  ready_cpus());
		return ERR_RANGE;
	}
	for (int pinned = 1; pinned >= 0; pinned--)
		for (uint32_t i = 0; i < partition_count; i++)
			if (!!partitions[i].config->pinned == pinned && assign_cpus(&partitions[i], taken))
				status = ERR_RANGE;
	return status;
}

/*
 * Memory
 */

static enum status claim_extent(struct partition *partition, uint64_t address, uint64_t remaining,
				uint64_t *got)
{
	owner_t owner = OWNER_PARTITION(partition->id);
	uint64_t align = remaining >= LARGE_PAGE_SIZE ? LARGE_PAGE_SIZE : PAGE_SIZE;
	uint64_t largest = frames_largest_free(&machine_frames, align), size;
	hpa_t start;

	if (largest < LARGE_PAGE_SIZE && align == LARGE_PAGE_SIZE) {
		align = PAGE_SIZE;
		largest = frames_largest_free(&machine_frames, align);
	}
	size = MIN(remaining, ALIGN_DOWN(largest, align));
	if (size == 0 || partition->extent_count == PARTITION_EXTENTS)
		return ERR_NO_MEMORY;
	if (frames_claim(&machine_frames, size, align, hpa(MIB), owner, &start) &&
	    frames_claim(&machine_frames, size, align, hpa(0), owner, &start))
		return ERR_NO_MEMORY;
	partition->extent[partition->extent_count++] = (struct memory_extent){gpa(address), start, size};
	*got = size;
	return OK;
}

static enum status claim_memory(struct partition *partition, uint64_t address, uint64_t size)
{
	for (uint64_t done = 0, got = 0; done < size; done += got) {
		enum status status = claim_extent(partition, address + done, size - done, &got);

		if (status)
			return status;
	}
	return OK;
}

/* The APIC-access page. A partition has its own, so that whatever a walk of page tables may do there stays
 * with it. */
static enum status claim_apic_page(struct partition *partition)
{
	if (partition->config->mode != MODE_FULL || !virt_features.virtual_apic)
		return OK;
	return frames_claim(&machine_frames, PAGE_SIZE, PAGE_SIZE, hpa(PAGE_SIZE),
			    OWNER_PARTITION(partition->id), &partition->apic_page);
}

static enum status assign_memory(struct partition *partition)
{
	const struct partition_config *config = partition->config;
	enum status status = claim_apic_page(partition); /* first: the figures below are what it has left */
	uint64_t free = frames_total(&machine_frames, OWNER_FREE);
	uint64_t largest = frames_largest_free(&machine_frames, PAGE_SIZE);

	partition->memory_low = config->memory;
	if (config->mode == MODE_FULL && config->memory > FULL_LOW_MEMORY) {
		partition->memory_low = FULL_LOW_MEMORY;
		partition->memory_high = config->memory - FULL_LOW_MEMORY;
	}
	if (!status)
		status = claim_memory(partition, 0, partition->memory_low);
	if (!status)
		status = claim_memory(partition, 4 * GIB, partition->memory_high);
	if (status)
		log_error("partition %s: wants %llu KiB of memory, %llu KiB are free in all, %llu KiB in one "
			  "piece (at most "
			  "%u pieces can be used)",
			  config->name, (unsigned long long)(config->memory / KIB),
			  (unsigned long long)(free / KIB), (unsigned long long)(largest / KIB),
			  PARTITION_EXTENTS);
	return status;
}

/*
 * Maps
 */

static enum status map_memory(struct partition *partition)
{
	for (uint32_t i = 0; i < partition->extent_count; i++) {
		const struct memory_extent *extent = &partition->extent[i];
		enum status status = page_map_add(&partition->guest_map, extent->gpa.value, extent->hpa,
						  extent->size, MAP_READ | MAP_WRITE | MAP_EXECUTE);

		if (!status)
			status = page_map_add(&partition->window, GUEST_WINDOW + extent->gpa.value,
					      extent->hpa, extent->size, MAP_READ | MAP_WRITE);
		if (status)
			return status;
	}
	return OK;
}

static unsigned largest_leaf(bool large, bool giant)
{
	return giant ? 3 : large ? 2 : 1;
}

/* At an address that lies in its large page as the file does in memory, so that the window can use those. */
static enum status map_file(struct partition *partition, struct guest_file *file,
			    const struct boot_module *module, uint64_t floor)
{
	*file = (struct guest_file){.window = floor + module->start % LARGE_PAGE_SIZE,
				    .start = hpa(module->start),
				    .size = module->size};
	if (module->size == 0)
		return OK;
	return page_map_add(&partition->window, file->window, file->start, ALIGN_UP(file->size, PAGE_SIZE),
			    MAP_READ);
}

static enum status map_files(struct partition *partition, const struct boot_module *image,
			     const struct boot_module *initrd)
{
	enum status status = map_file(partition, &partition->image, image, MODULE_WINDOW);
	const uint64_t end = partition->image.window + partition->image.size;

	return status ? status
		      : map_file(partition, &partition->initrd, initrd, ALIGN_UP(end, LARGE_PAGE_SIZE));
}

/*
 * Where the CPU serves local APICs (SDM 3C 30.4) a page stands in the APIC's place that no access reaches:
 * the CPU takes each for itself, or exits. The hypervisor sees it behind the partition's files, where tables
 * for small pages are.
 */

static uint64_t apic_window(const struct partition *partition)
{
	const struct guest_file *last = partition->initrd.size ? &partition->initrd : &partition->image;

	return ALIGN_UP(last->window + last->size, PAGE_SIZE);
}

static enum status map_apic_page(struct partition *partition)
{
	return page_map_add(&partition->guest_map, APIC_DEFAULT_BASE, partition->apic_page, PAGE_SIZE,
			    MAP_READ | MAP_WRITE);
}

static enum status place_apic_page(struct partition *partition)
{
	enum status status;

	if (!partition->apic_page.value)
		return OK;
	partition->apic_window = apic_window(partition);
	status = page_map_add(&partition->window, partition->apic_window, partition->apic_page, PAGE_SIZE,
			      MAP_READ | MAP_WRITE);
	if (!status)
		status = map_apic_page(partition);
	partition->apic_mapped = !status;
	return status;
}

/* The tables are there since the page was first placed: nothing can fail. */
void partition_map_apic(struct partition *partition, bool there)
{
	enum status status = OK;

	if (!partition->apic_page.value)
		return;
	spin_lock(&partition->device_lock);
	if (there && !partition->apic_mapped)
		status = map_apic_page(partition);
	else if (!there && partition->apic_mapped)
		status = page_map_remove(&partition->guest_map, APIC_DEFAULT_BASE, PAGE_SIZE);
	partition->apic_mapped = there;
	spin_unlock(&partition->device_lock);
	if (status)
		panic("partition %s: APIC-access page: %s", partition_name(partition), status_name(status));
	if (there)
		memset((void *)partition->apic_window, 0, PAGE_SIZE);
}

static enum status build_maps(struct partition *partition, const struct boot_info *boot)
{
	enum status status =
		page_map_create(&partition->guest_map, virt->guest_format, &pool_pages,
				largest_leaf(virt_features.large_pages, virt_features.giant_pages));

	if (!status)
		status = cpu_open_window(partition->vcpu[0].cpu, &partition->window);
	if (!status)
		status = map_memory(partition);
	if (!status)
		status = map_files(partition, &boot->module[partition->id], &boot->initrd[partition->id]);
	if (!status)
		status = place_apic_page(partition);
	for (uint32_t i = 1; !status && i < partition->vcpu_count; i++)
		status = cpu_attach_window(partition->vcpu[i].cpu, &partition->window);
	if (status)
		log_error("partition %s: no page tables: %s", partition_name(partition), status_name(status));
	return status;
}

/* What this machine cannot do for a partition is no reason to hold back the others. */
static void check_capabilities(struct partition *partition)
{
	if (partition->config->mode == MODE_FULL && !virt_features.unrestricted_guest) {
		format(partition->refused, sizeof(partition->refused),
		       "mode = full needs \"unrestricted guest\" of VT-x, which this CPU lacks");
		log_warn("partition %s: refused: %s; para partitions run", partition_name(partition),
			 partition->refused);
	}
}

static enum status build_partition(struct partition *partition, const struct boot_info *boot)
{
	enum status status = build_maps(partition, boot);

	check_capabilities(partition);
	if (!status && partition->config->mode == MODE_FULL)
		status = full_devices_create(partition);
	return status;
}

static enum status allocate_partitions(const struct config *config)
{
	size_t size = config->partition_count * sizeof(*partitions);

	partitions = pool_allocate(ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE);
	if (!partitions)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < config->partition_count; i++) {
		struct partition *partition = &partitions[i];

		partition->id = i;
		partition->config = &config->partition[i];
		partition->vcpu_count = config->partition[i].cpus;
		size = partition->vcpu_count * sizeof(struct vcpu_shared);
		partition->vcpu = pool_allocate(ALIGN_UP(size, PAGE_SIZE) / PAGE_SIZE);
		if (!partition->vcpu)
			return ERR_NO_MEMORY;
	}
	partition_count = config->partition_count;
	return OK;
}

static void announce(const struct partition *partition)
{
	const struct partition_config *config = partition->config;

	log_info("partition %u %s: %s, %u vCPU%s from CPU %u, %llu KiB in %u piece%s from 0x%llx, image %s",
		 partition->id + 1, config->name, config->mode == MODE_FULL ? "full" : "para", config->cpus,
		 config->cpus == 1 ? "" : "s", partition->vcpu[0].cpu,
		 (unsigned long long)(config->memory / KIB), partition->extent_count,
		 partition->extent_count == 1 ? "" : "s", (unsigned long long)partition->extent[0].hpa.value,
		 config->image);
}

__attribute__((cold)) enum status partitions_create(const struct boot_info *boot)
{
	enum status status = allocate_partitions(&boot->config);

	machine_config = &boot->config;
	if (status) {
		log_error("no memory for %u partitions", boot->config.partition_count);
		return status;
	}
	status = assign_all_cpus(&boot->config);
	for (uint32_t i = 0; i < partition_count; i++)
		if (assign_memory(&partitions[i]))
			status = ERR_NO_MEMORY;
	for (uint32_t i = 0; !status && i < partition_count; i++)
		status = build_partition(&partitions[i], boot);
	if (status) {
		for (uint32_t cpu = 0; cpu < cpu_count; cpu++)
			cpus[cpu].vcpu = NULL;
		partition_count = 0;
		return status;
	}
	for (uint32_t i = 0; i < partition_count; i++)
		announce(&partitions[i]);
	return OK;
}
