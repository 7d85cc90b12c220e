/*
 * The loader and the hypervisor are built together, but a stick may hold one of each day: so the structure
 * between them is checked as if a stranger had written it.
 */
#include "hv/boot.h"
#include "hv/core/share.h"
#include "hv/lib/printf.h"
#include "hv/mem/layout.h"

#define LOW_MEMORY_END MIB	    /* start-up IPIs reach pages below 1 MiB */
#define MEMORY_MAX     (1ull << 52) /* bytes: no physical address has more bits (SDM 3A 4.1.4) */
#define BOOT_CR3_END   (4 * GIB)    /* CPUs start in a mode with 32-bit registers */

/* Pool pages, beside those for page tables that grow with memory. */
#define POOL_BASE_PAGES 24 /* shared tables, devices' tables, the pool's bitmap, the partitions */
#define POOL_CPU_PAGES	16 /* per-CPU area, stacks, tables (arch/x86/smp.h) and some spare */
#define POOL_VCPU_PAGES 16 /* VMCS or VMCB, bitmaps, host save area, virtual local APIC */
#define POOL_PARTITION_PAGES                                                                                 \
	32 /* devices, messages, vCPUs' shared state, upper levels of tables, the APIC's, edges of extents   \
	    */
#define POOL_GRANULE_PAGES 16ull

enum status boot_recognise(const struct boot_info *boot, char message[BOOT_MESSAGE])
{
	if (boot->magic != BOOT_INFO_MAGIC)
		format(message, BOOT_MESSAGE,
		       "this was not started by Bulkhead's loader: magic 0x%lx instead of 0x%llx",
		       boot->magic, BOOT_INFO_MAGIC);
	else if (boot->version != BOOT_INFO_VERSION)
		format(message, BOOT_MESSAGE,
		       "the loader speaks version %u, the hypervisor version %u: use both of one build",
		       boot->version, BOOT_INFO_VERSION);
	else if (boot->size != sizeof(*boot))
		format(message, BOOT_MESSAGE,
		       "the loader hands over %u bytes, the hypervisor expects %zu: use both of one build",
		       boot->size, sizeof(*boot));
	else
		return OK;
	return ERR_FORMAT;
}

static bool aligned(uint64_t value)
{
	return value % PAGE_SIZE == 0;
}

static enum status check_counts(const struct boot_info *boot, char message[BOOT_MESSAGE])
{
	if (boot->cpu_count == 0 || boot->cpu_count > CONFIG_MAX_CPUS)
		format(message, BOOT_MESSAGE, "the loader names %u CPUs; 1 to %u are possible",
		       boot->cpu_count, CONFIG_MAX_CPUS);
	else if (boot->memory_count == 0 || boot->memory_count > BOOT_MAX_MEMORY)
		format(message, BOOT_MESSAGE, "the loader names %u memory ranges; 1 to %u are possible",
		       boot->memory_count, BOOT_MAX_MEMORY);
	else if (boot->config.partition_count > CONFIG_MAX_PARTITIONS)
		format(message, BOOT_MESSAGE, "the configuration names %u partitions; up to %u are possible",
		       boot->config.partition_count, CONFIG_MAX_PARTITIONS);
	else if (boot->config.channel_count > CONFIG_MAX_CHANNELS)
		format(message, BOOT_MESSAGE, "the configuration names %u channels; up to %u are possible",
		       boot->config.channel_count, CONFIG_MAX_CHANNELS);
	else
		return OK;
	return ERR_INVALID;
}

static enum status check_addresses(const struct boot_info *boot, uint64_t image_bytes,
				   char message[BOOT_MESSAGE])
{
	if (boot->image_start % LARGE_PAGE_SIZE != 0 || !aligned(boot->image_size) ||
	    boot->image_size < image_bytes)
		format(message, BOOT_MESSAGE,
		       "the image is at 0x%lx with %lu bytes; expected: 2 MiB-aligned, %lu bytes",
		       boot->image_start, boot->image_size, image_bytes);
	else if (boot->boot_cr3 == 0 || !aligned(boot->boot_cr3) || boot->boot_cr3 >= BOOT_CR3_END)
		format(message, BOOT_MESSAGE,
		       "the boot tables are at 0x%lx; expected: page-aligned below 4 GiB", boot->boot_cr3);
	else if (boot->trampoline == 0 || !aligned(boot->trampoline) || boot->trampoline >= LOW_MEMORY_END)
		format(message, BOOT_MESSAGE,
		       "the trampoline page is at 0x%lx; expected: page-aligned below 1 MiB",
		       boot->trampoline);
	else
		return OK;
	return ERR_INVALID;
}

static enum status check_memory(const struct boot_info *boot, char message[BOOT_MESSAGE])
{
	uint64_t end = 0;

	for (uint32_t i = 0; i < boot->memory_count; i++) {
		const struct boot_memory *memory = &boot->memory[i];

		if (memory->start < end || !aligned(memory->start) || !aligned(memory->size) ||
		    memory->size == 0 || memory->start + memory->size <= memory->start ||
		    memory->kind > BOOT_MEM_RESERVED) {
			format(message, BOOT_MESSAGE,
			       "memory range %u (0x%lx, 0x%lx bytes, kind %u) is empty, unaligned, unsorted "
			       "or unknown",
			       i, memory->start, memory->size, memory->kind);
			return ERR_INVALID;
		}
		end = memory->start + memory->size;
	}
	return OK;
}

static bool ends(const char *text, size_t size)
{
	while (size > 0 && text[size - 1] != '\0')
		size--;
	return size > 0;
}

/* What comes from elsewhere may hold anything: looked at as a bool, it would have to be one. */
static bool is_bool(const bool *value)
{
	return *(const uint8_t *)value <= true;
}

static bool has_bools(const struct partition_config *partition)
{
	return is_bool(&partition->is_kernel) && is_bool(&partition->has_sha256) &&
	       is_bool(&partition->has_initrd_sha256) && is_bool(&partition->autostart) &&
	       is_bool(&partition->hypervisor_leaf) && is_bool(&partition->manage);
}

/* What a partition's figures must be before anything is built, or printed, by them. */
static const char *config_mistake(const struct partition_config *partition)
{
	if (!ends(partition->name, sizeof(partition->name)) ||
	    !ends(partition->image, sizeof(partition->image)) ||
	    !ends(partition->initrd, sizeof(partition->initrd)) ||
	    !ends(partition->cmdline, sizeof(partition->cmdline)))
		return "a name, path or command line that does not end";
	if (partition->mode > MODE_PARA || partition->on_fault > ON_FAULT_RESTART || !has_bools(partition))
		return "an unknown mode or on_fault, or a yes or no that is neither";
	if (partition->cpus == 0 || partition->cpus > CONFIG_MAX_CPUS)
		return "no CPUs, or more than there can be";
	if (partition->pinned != 0 && partition->pinned != partition->cpus)
		return "another number of CPUs than it is pinned to";
	if (partition->memory == 0 || !aligned(partition->memory) || partition->memory > MEMORY_MAX)
		return "no memory, more than there can be, or part of a page";
	if (partition->manage && partition->mode != MODE_PARA)
		return "the right to manage, and no calls to use it";
	return NULL;
}

static bool has_known_words(const struct config *config)
{
	return config->log <= LOG_DEBUG && config->virtual_apic <= VIRTUAL_APIC_NO &&
	       !(config->without & ~WITHOUT_ALL) && is_bool(&config->console_serial) &&
	       is_bool(&config->console_screen) && is_bool(&config->poweroff_when_done);
}

static enum status check_config(const struct boot_info *boot, char message[BOOT_MESSAGE])
{
	if (!has_known_words(&boot->config)) {
		format(message, BOOT_MESSAGE,
		       "the configuration has a word for log, console, poweroff, virtual_apic or without "
		       "that is none of theirs");
		return ERR_INVALID;
	}
	for (uint32_t i = 0; i < boot->config.partition_count; i++) {
		const char *mistake = config_mistake(&boot->config.partition[i]);

		if (!mistake && (boot->module[i].size > MEMORY_MAX || boot->initrd[i].size > MEMORY_MAX))
			mistake = "a file larger than memory can be";
		if (mistake) {
			format(message, BOOT_MESSAGE, "partition %u of the configuration has %s", i + 1,
			       mistake);
			return ERR_INVALID;
		}
	}
	return OK;
}

/* Its ends become indexes, and its partitions are taken to serve calls. */
static const char *channel_mistake(const struct config *config, const struct channel_config *channel)
{
	const uint32_t from = channel->between[0], to = channel->between[1];

	if (from >= config->partition_count || to >= config->partition_count)
		return "an end that is not there";
	if (from == to)
		return "a way from a partition to itself";
	if (config->partition[from].mode != MODE_PARA || config->partition[to].mode != MODE_PARA)
		return "a full partition at one end";
	return channel->allow & ~CHANNEL_ALL ? "unknown rights" : NULL;
}

static uint64_t small_page_tables(uint64_t bytes)
{
	return bytes / LARGE_PAGE_SIZE + 2;
}

/* What agreements may need: the guest's map in small pages, those and tables for what is borrowed. */
static uint64_t share_pages(const struct config *config, uint32_t partition)
{
	for (uint32_t i = 0; i < config->channel_count; i++) {
		const struct channel_config *channel = &config->channel[i];

		if ((channel->allow & CHANNEL_SHARE) &&
		    (channel->between[0] == partition || channel->between[1] == partition))
			return small_page_tables(config->partition[partition].memory) + SHARES_OF_ONE +
			       small_page_tables(SHARE_AREA);
	}
	return 0;
}

/*
 * Memory that is lent page by page needs tables for small pages, which are found in the pool when it happens:
 * so it must hold those of all that can be. Half of it is for the rest.
 */
static enum status check_shared_memory(const struct config *config, char message[BOOT_MESSAGE])
{
	const uint64_t room = POOL_MAX_SIZE / PAGE_SIZE / 2;
	uint64_t needed = 0;

	for (uint32_t i = 0; i < config->partition_count; i++)
		needed += share_pages(config, i);
	if (needed <= room)
		return OK;
	format(message, BOOT_MESSAGE,
	       "the partitions that may share memory have so much that its page tables can take %llu pages: "
	       "at most "
	       "%llu, about %llu GiB of memory in all",
	       (unsigned long long)needed, (unsigned long long)room,
	       (unsigned long long)(room * LARGE_PAGE_SIZE / GIB));
	return ERR_INVALID;
}

static enum status check_channels(const struct boot_info *boot, char message[BOOT_MESSAGE])
{
	for (uint32_t i = 0; i < boot->config.channel_count; i++) {
		const char *mistake = channel_mistake(&boot->config, &boot->config.channel[i]);

		if (mistake) {
			format(message, BOOT_MESSAGE, "channel %u of the configuration has %s", i + 1,
			       mistake);
			return ERR_INVALID;
		}
	}
	return check_shared_memory(&boot->config, message);
}

enum status boot_check(const struct boot_info *boot, uint64_t image_bytes, char message[BOOT_MESSAGE])
{
	enum status status = check_counts(boot, message);

	if (!status)
		status = check_addresses(boot, image_bytes, message);
	if (!status)
		status = check_memory(boot, message);
	if (!status)
		status = check_config(boot, message);
	if (!status)
		status = check_channels(boot, message);
	return status;
}

/* Memory that the firmware does not want cached is not for guests. */
static owner_t first_owner(const struct boot_memory *memory)
{
	switch ((enum boot_memory_kind)memory->kind) {
	case BOOT_MEM_FREE: return memory->cacheable ? OWNER_FREE : OWNER_FIRMWARE;
	case BOOT_MEM_LOADER:
	case BOOT_MEM_IMAGE:
	case BOOT_MEM_MODULE:
	case BOOT_MEM_TRAMPOLINE: return OWNER_HYPERVISOR;
	case BOOT_MEM_MMIO: return OWNER_MMIO;
	default: return OWNER_FIRMWARE;
	}
}

static bool same_module(const struct boot_module *one, const struct boot_module *other)
{
	return one->start == other->start && one->size == other->size;
}

/* A guest's file becomes its partition's. Partitions that name one file share its pages: the first one has
 * them. */
static enum status own_module(const struct boot_info *boot, uint32_t index, const struct boot_module *module,
			      struct frame_table *table)
{
	uint64_t size = ALIGN_UP(module->size, PAGE_SIZE);

	for (uint32_t i = 0; i < index; i++)
		if (same_module(module, &boot->module[i]) || same_module(module, &boot->initrd[i]))
			return OK;
	return frames_transfer(table, hpa(module->start), size, OWNER_HYPERVISOR, OWNER_MODULE(index));
}

static enum status own_files(const struct boot_info *boot, uint32_t index, struct frame_table *table,
			     char message[BOOT_MESSAGE])
{
	const struct {
		const struct boot_module *module;
		const char *name;
	} files[] = {{&boot->module[index], "image"}, {&boot->initrd[index], "initrd"}};

	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		const struct boot_module *module = files[i].module;
		bool done = module->size == 0 || (i > 0 && same_module(module, files[0].module));
		enum status status = done ? OK : own_module(boot, index, module, table);

		if (status) {
			format(message, BOOT_MESSAGE, "the %s of partition %s at 0x%lx, %lu bytes: %s",
			       files[i].name, boot->config.partition[index].name, module->start, module->size,
			       status_name(status));
			return status;
		}
	}
	return OK;
}

enum status boot_fill_frames(const struct boot_info *boot, struct frame_table *table,
			     char message[BOOT_MESSAGE])
{
	for (uint32_t i = 0; i < boot->memory_count; i++) {
		const struct boot_memory *memory = &boot->memory[i];
		enum status status = frames_add(table, hpa(memory->start), memory->size, first_owner(memory));

		if (status) {
			format(message, BOOT_MESSAGE, "memory range %u at 0x%lx: %s", i, memory->start,
			       status_name(status));
			return status;
		}
	}
	for (uint32_t i = 0; i < boot->config.partition_count; i++) {
		enum status status = own_files(boot, i, table, message);

		if (status)
			return status;
	}
	return OK;
}

/* Tables for `bytes` in pages of 2 MiB, and of 4 KiB. */
static uint64_t large_page_tables(uint64_t bytes)
{
	return bytes / GIANT_PAGE_SIZE + 2;
}

/* The window shows a file where large pages can be used: small ones are left for its two ends. */
static uint64_t module_tables(const struct boot_module *module)
{
	return module->size == 0 ? 0 : large_page_tables(module->size) + 2;
}

uint64_t boot_pool_pages(const struct boot_info *boot)
{
	uint64_t pages = POOL_BASE_PAGES + (uint64_t)boot->cpu_count * POOL_CPU_PAGES;

	for (uint32_t i = 0; i < boot->config.partition_count; i++) {
		const struct partition_config *partition = &boot->config.partition[i];

		/* The guest's map and the hypervisor's window onto its memory, the image it is loaded from.
		 * Should memory come in pieces that are not aligned to 2 MiB, one of the two still fits. */
		pages += POOL_PARTITION_PAGES + (uint64_t)partition->cpus * POOL_VCPU_PAGES;
		pages += large_page_tables(partition->memory) + small_page_tables(partition->memory);
		pages += share_pages(&boot->config, i);
		pages += module_tables(&boot->module[i]) + module_tables(&boot->initrd[i]);
	}
	pages += pages / (PAGE_SIZE * 8) +
		 pages / (LARGE_PAGE_SIZE / PAGE_SIZE); /* its bitmap, its own tables */
	return MIN(ALIGN_UP(pages, POOL_GRANULE_PAGES), POOL_MAX_SIZE / PAGE_SIZE);
}
