/*
 * The UEFI loader, from top to bottom: read the config, read the images it names, find CPUs, screen and
 * memory, and hand all of it to the hypervisor in one structure.
 */
#include "boot/hypervisor_elf.h"
#include "boot/loader.h"
#include "boot/memory_table.h"
#include "boot/sha256.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

#define CONFIG_PATH	 "\\bulkhead.cfg"
#define HYPERVISOR_PATH	 "\\bulkhead.elf"
#define CONFIG_LIMIT	 (1 * MIB)
#define HYPERVISOR_LIMIT (64 * MIB)
#define BELOW_1_MIB	 0xFFFFFull
#define MISTAKES_SHOWN	 40u /* a few screens; the rest is counted */
#define WATCHDOG_OFF	 0
#define HASH_TEXT_SIZE	 (2 * SHA256_SIZE + 1)

_Static_assert(SHA256_SIZE == CONFIG_SHA256_SIZE, "the config's hash is a SHA-256");

EFI_HANDLE loader_image;
EFI_SYSTEM_TABLE *firmware;

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

static void say_mistake(void *context, uint32_t line, uint32_t column, const char *message)
{
	uint32_t *count = context;

	if (++*count <= MISTAKES_SHOWN)
		say("%s:%u:%u: %s", CONFIG_PATH + 1, line, column, message);
}

static void read_config(struct boot_info *info)
{
	struct file file =
		file_read(CONFIG_PATH, "the configuration", CONFIG_LIMIT,
			  "put a bulkhead.cfg into the root of the boot volume; docs/config.md describes it");
	uint32_t shown = 0;

	say("read %s, %lu bytes", CONFIG_PATH, file.size);

	uint32_t mistakes =
		config_parse((const char *)file.data, file.size, &info->config, say_mistake, &shown);

	if (mistakes > MISTAKES_SHOWN)
		say("... and %u more", mistakes - MISTAKES_SHOWN);
	if (mistakes > 0)
		fail("correct the lines above; `make check-config CONFIG=FILE` checks a file without booting "
		     "it",
		     "%u mistake%s in %s", mistakes, mistakes == 1 ? "" : "s", CONFIG_PATH);
	output_set_serial(info->config.serial_port, info->config.console_serial);
}

static uint64_t load_hypervisor(struct boot_info *info)
{
	static const char advice[] = "copy build/bulkhead.elf to the root of the boot volume again";
	struct file file = file_read(HYPERVISOR_PATH, "the hypervisor", HYPERVISOR_LIMIT, advice);
	struct elf_image image;
	const char *flaw = elf_check(file.data, file.size, &image);

	say("read %s, %lu KiB", HYPERVISOR_PATH, to_kib(file.size));
	if (flaw != NULL)
		fail(advice, "%s cannot be started: %s", HYPERVISOR_PATH, flaw);

	void *place = pages_take_large(image.image_size, BOOT_MEM_IMAGE, "the hypervisor");

	elf_load(&image, place);
	info->image_start = (uint64_t)place;
	info->image_size = image.image_size;
	return image.entry;
}

static void hash_text(const uint8_t hash[SHA256_SIZE], char text[HASH_TEXT_SIZE])
{
	for (uint32_t i = 0; i < SHA256_SIZE; i++) {
		text[2 * i] = "0123456789abcdef"[hash[i] >> 4];
		text[2 * i + 1] = "0123456789abcdef"[hash[i] & 0xF];
	}
	text[2 * SHA256_SIZE] = '\0';
}

/* What one key of a partition names: a file to be read for it. */
struct wanted_file {
	const struct partition_config *partition;
	const char *kind; /* for messages: "image" */
	const char *path;
	const char *hash_key;
	const uint8_t *hash; /* NULL: not to be checked */
};

static void check_hash(const struct wanted_file *wanted, const struct boot_module *module)
{
	uint8_t found[SHA256_SIZE];
	char found_text[HASH_TEXT_SIZE], expected_text[HASH_TEXT_SIZE];
	uint8_t difference = 0;

	sha256((const void *)module->start, module->size, found);
	for (uint32_t i = 0; i < SHA256_SIZE; i++)
		difference |= found[i] ^ wanted->hash[i];
	if (difference == 0)
		return;

	hash_text(found, found_text);
	hash_text(wanted->hash, expected_text);
	say("sha256 found    %s", found_text);
	say("sha256 expected %s", expected_text);
	fail("copy the right file to the boot volume, or correct the hash in bulkhead.cfg",
	     "the %s of partition '%s', %s, has a wrong %s", wanted->kind, wanted->partition->name,
	     wanted->path, wanted->hash_key);
}

/* What was read for a partition before; NULL when nobody named this file yet. */
static const struct boot_module *find_read(const struct boot_info *info, const char *path)
{
	for (uint32_t i = 0; i < info->config.partition_count; i++) {
		const struct partition_config *partition = &info->config.partition[i];

		if (info->module[i].size != 0 && strcmp(partition->image, path) == 0)
			return &info->module[i];
		if (info->initrd[i].size != 0 && strcmp(partition->initrd, path) == 0)
			return &info->initrd[i];
	}
	return NULL;
}

static struct boot_module read_new(const struct wanted_file *wanted)
{
	char role[CONFIG_NAME_SIZE + 32];

	format(role, sizeof(role), "the %s of partition '%s'", wanted->kind, wanted->partition->name);

	struct file file =
		file_read(wanted->path, role, wanted->partition->memory,
			  "correct the path or the memory key of the partition in bulkhead.cfg, or copy the "
			  "file to the boot volume");

	pages_keep(file.data, file.size, BOOT_MEM_MODULE);
	return (struct boot_module){.start = (uint64_t)file.data, .size = file.size};
}

static void read_module(const struct boot_info *info, const struct wanted_file *wanted,
			struct boot_module *module)
{
	const struct boot_module *before = find_read(info, wanted->path);

	*module = before != NULL ? *before : read_new(wanted);
	if (wanted->hash != NULL)
		check_hash(wanted, module);
	say("%s %s, %lu KiB, for partition %s%s", before != NULL ? "share" : "read", wanted->path,
	    to_kib(module->size), wanted->partition->name, wanted->hash != NULL ? ", sha256 fine" : "");
}

static void read_files(struct boot_info *info, uint32_t index)
{
	const struct partition_config *partition = &info->config.partition[index];
	const struct wanted_file image = {.partition = partition,
					  .kind = partition->is_kernel ? "kernel" : "image",
					  .path = partition->image,
					  .hash_key = "sha256",
					  .hash = partition->has_sha256 ? partition->sha256 : NULL};
	const struct wanted_file initrd = {.partition = partition,
					   .kind = "initrd",
					   .path = partition->initrd,
					   .hash_key = "initrd_sha256",
					   .hash = partition->has_initrd_sha256 ? partition->initrd_sha256
										: NULL};

	read_module(info, &image, &info->module[index]);
	if (partition->initrd[0] != '\0')
		read_module(info, &initrd, &info->initrd[index]);
}

static struct boot_info *make_boot_info(void)
{
	struct boot_info *info =
		pages_take(sizeof(*info), BELOW_4_GIB, BOOT_MEM_LOADER, "the boot structure");

	memset(info, 0, sizeof(*info));
	info->magic = BOOT_INFO_MAGIC;
	info->version = BOOT_INFO_VERSION;
	info->size = sizeof(*info);
	info->reset_system = (uint64_t)firmware->RuntimeServices->ResetSystem;
	return info;
}

/* The first look at memory: for the report, and for what the boot tables must map. */
static void look_at_memory(struct boot_info *info)
{
	UINTN key;
	EFI_STATUS status = pages_describe(info, &key);

	if (EFI_ERROR(status))
		fail("update the firmware", "the firmware does not tell its memory map: %s",
		     status_name(status));
	say("%lu MiB of memory are free", to_kib(memory_table_total(info, BOOT_MEM_FREE)) / 1024);
	if (info->memory_left_out > 0)
		say("warning: the firmware's memory map is in too many pieces: %lu KiB in the smallest ones "
		    "are not used",
		    to_kib(info->memory_left_out));
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
	loader_image = image;
	firmware = system_table;
	firmware->BootServices->SetWatchdogTimer(WATCHDOG_OFF, 0, 0, NULL);
	output_init();
	say("Bulkhead's loader");

	struct boot_info *info = make_boot_info();

	file_open_volume();
	read_config(info);
	uint64_t entry = load_hypervisor(info);
	for (uint32_t i = 0; i < info->config.partition_count; i++)
		read_files(info, i);

	cpus_find(info);
	info->trampoline =
		(uint64_t)pages_take(PAGE_SIZE, BELOW_1_MIB, BOOT_MEM_TRAMPOLINE, "the CPU start page");
	look_at_memory(info);
	screen_find(info);
	page_tables_build(info);
	say("starting the hypervisor");
	hand_over(info, entry);
}
