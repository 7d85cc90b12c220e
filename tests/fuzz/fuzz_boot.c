/*
 * Any structure at all as what the loader hands over: a good one of a small machine, with words of it
 * overwritten. What is accepted must be sound in every part that the hypervisor goes by afterwards; what is
 * not must be refused with a message, and the frame table that follows must give each frame one owner.
 *
 * Input: steps of ten bytes, the place of a 32-bit word (16 bits), and a 64-bit value for it and the next.
 */
#include <stdlib.h>
#include <string.h>

#include "hv/boot.h"
#include "hv/mem/layout.h"

#define IMAGE_BYTES 0x42000u
#define STEP_SIZE   10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct boot_info boot;
static struct frame_table table;

static void require(bool promise)
{
	if (!promise)
		abort();
}

static void memory(uint64_t start, uint64_t end, enum boot_memory_kind kind)
{
	boot.memory[boot.memory_count++] = (struct boot_memory){start, end - start, kind, 1};
}

static void partition(const char *name, uint32_t cpus, uint64_t bytes, uint64_t module)
{
	uint32_t id = boot.config.partition_count++;
	struct partition_config *config = &boot.config.partition[id];

	*config = (struct partition_config){.mode = MODE_PARA, .cpus = cpus, .memory = bytes};
	strcpy(config->name, name);
	strcpy(config->image, "\\guests\\para.elf");
	boot.module[id] = (struct boot_module){module, 0x4321};
}

static void good_machine(void)
{
	memset(&boot, 0, sizeof(boot));
	memset(&table, 0, sizeof(table));
	boot.magic = BOOT_INFO_MAGIC;
	boot.version = BOOT_INFO_VERSION;
	boot.size = sizeof(boot);
	boot.image_start = 0x200000;
	boot.image_size = IMAGE_BYTES;
	boot.boot_cr3 = 0x300000;
	boot.trampoline = 0x8000;
	boot.cpu_count = 4;
	memory(0x0, 0x8000, BOOT_MEM_FREE);
	memory(0x8000, 0x9000, BOOT_MEM_TRAMPOLINE);
	memory(0x100000, 0x200000, BOOT_MEM_FREE);
	memory(0x200000, 0x200000 + IMAGE_BYTES, BOOT_MEM_IMAGE);
	memory(0x300000, 0x310000, BOOT_MEM_LOADER);
	memory(0x310000, 0x330000, BOOT_MEM_MODULE);
	memory(0x330000, 0x4000000, BOOT_MEM_FREE);
	memory(0xFEC00000, 0xFEC01000, BOOT_MEM_MMIO);
	partition("alpha", 1, 32 * MIB, 0x310000);
	partition("beta", 2, 16 * MIB, 0x318000);
	boot.config.channel_count = 1;
	boot.config.channel[0] = (struct channel_config){.between = {0, 1}, .allow = CHANNEL_ALL};
}

static void overwrite(const uint8_t *data, size_t size)
{
	for (; size >= STEP_SIZE; size -= STEP_SIZE, data += STEP_SIZE) {
		uint64_t value;
		uint16_t word;
		size_t place;

		memcpy(&word, data, sizeof(word));
		memcpy(&value, data + sizeof(word), sizeof(value));
		place = word * sizeof(uint32_t) % sizeof(boot);
		memcpy((uint8_t *)&boot + place, &value, MIN(sizeof(value), sizeof(boot) - place));
	}
}

static bool ends(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* What config_parse() promises, and everything behind boot_check() relies on. */
static void require_sound(const struct partition_config *config)
{
	require(ends(config->name, CONFIG_NAME_SIZE) && ends(config->image, CONFIG_PATH_SIZE) &&
		ends(config->cmdline, CONFIG_CMDLINE_SIZE) && ends(config->initrd, CONFIG_PATH_SIZE));
	require(config->mode == MODE_FULL || config->mode == MODE_PARA);
	require(config->on_fault == ON_FAULT_STOP || config->on_fault == ON_FAULT_RESTART);
	require(config->cpus >= 1 && config->cpus <= CONFIG_MAX_CPUS);
	require(config->pinned == 0 || config->pinned == config->cpus);
	require(config->memory > 0 && config->memory % PAGE_SIZE == 0);
}

static void require_joined(const struct channel_config *channel)
{
	for (unsigned side = 0; side < 2; side++) {
		require(channel->between[side] < boot.config.partition_count);
		require(boot.config.partition[channel->between[side]].mode == MODE_PARA);
	}
	require(channel->between[0] != channel->between[1] && !(channel->allow & ~CHANNEL_ALL));
}

static void require_sorted(void)
{
	for (uint32_t i = 0; i < table.count; i++) {
		const struct frame_extent *extent = &table.extent[i];

		require(extent->size > 0 && extent->start % PAGE_SIZE == 0 && extent->size % PAGE_SIZE == 0);
		require(extent->start + extent->size > extent->start);
		require(i == 0 || extent[-1].start + extent[-1].size <= extent->start);
	}
}

static void require_owned(const struct boot_module *module, uint32_t id)
{
	owner_t owner = frames_owner(&table, hpa(module->start));

	if (module->size == 0)
		return;
	require(owner >= OWNER_MODULE(0) && owner <= OWNER_MODULE(id));
	require(frames_owned_by(&table, hpa(module->start), ALIGN_UP(module->size, PAGE_SIZE), owner));
}

static void require_modules_owned(void)
{
	for (uint32_t i = 0; i < boot.config.partition_count; i++) {
		require_owned(&boot.module[i], i);
		require_owned(&boot.initrd[i], i);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char message[BOOT_MESSAGE] = "";
	enum status status;

	good_machine();
	overwrite(data, size);
	status = boot_recognise(&boot, message);
	if (!status)
		status = boot_check(&boot, IMAGE_BYTES, message);
	if (!status) {
		require(boot.cpu_count >= 1 && boot.cpu_count <= CONFIG_MAX_CPUS);
		for (uint32_t i = 0; i < boot.config.partition_count; i++)
			require_sound(&boot.config.partition[i]);
		for (uint32_t i = 0; i < boot.config.channel_count; i++)
			require_joined(&boot.config.channel[i]);
		status = boot_fill_frames(&boot, &table, message);
	}
	require(ends(message, sizeof(message)) && (status == OK) == (message[0] == '\0'));
	if (status)
		return 0;
	require_sorted();
	require_modules_owned();
	require(boot_pool_pages(&boot) <= POOL_MAX_SIZE / PAGE_SIZE);
	return 0;
}
