/*
 * What the hypervisor makes of the loader's word: each thing that cannot be is refused with its figures, and
 * the frame table and the pool's size follow from the rest.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "hv/boot.h"

#define IMAGE_BYTES 0x42000

static struct boot_info boot;
static struct frame_table table;
static char message[BOOT_MESSAGE];

static void memory(uint64_t start, uint64_t end, enum boot_memory_kind kind)
{
	boot.memory[boot.memory_count++] = (struct boot_memory){start, end - start, kind, 1};
}

/* A machine with 2 CPUs and 64 MiB, and one partition. */
static int setup(void **state)
{
	(void)state;
	memset(&boot, 0, sizeof(boot));
	memset(&table, 0, sizeof(table));
	message[0] = '\0';
	boot.magic = BOOT_INFO_MAGIC;
	boot.version = BOOT_INFO_VERSION;
	boot.size = sizeof(boot);
	boot.image_start = 0x200000;
	boot.image_size = IMAGE_BYTES;
	boot.boot_cr3 = 0x300000;
	boot.trampoline = 0x8000;
	boot.cpu_count = 2;
	memory(0x0, 0x8000, BOOT_MEM_FREE);
	memory(0x8000, 0x9000, BOOT_MEM_TRAMPOLINE);
	memory(0x9000, 0xA0000, BOOT_MEM_FREE);
	memory(0x100000, 0x200000, BOOT_MEM_FREE);
	memory(0x200000, 0x200000 + IMAGE_BYTES, BOOT_MEM_IMAGE);
	memory(0x300000, 0x310000, BOOT_MEM_LOADER);
	memory(0x310000, 0x320000, BOOT_MEM_MODULE);
	memory(0x320000, 0x3F00000, BOOT_MEM_FREE);
	memory(0x3F00000, 0x4000000, BOOT_MEM_RUNTIME);
	memory(0xFEC00000, 0xFEC01000, BOOT_MEM_MMIO);
	boot.config.partition_count = 1;
	strcpy(boot.config.partition[0].name, "alpha");
	boot.config.partition[0].cpus = 1;
	boot.config.partition[0].memory = 32 * MIB;
	boot.module[0] = (struct boot_module){0x310000, 0x4321};
	return 0;
}

static void expect_refused(enum status status, const char *part)
{
	assert_int_not_equal(status, OK);
	if (!strstr(message, part))
		fail_msg("\"%s\" does not say \"%s\"", message, part);
}

static void a_sound_structure_is_accepted(void **state)
{
	(void)state;
	assert_int_equal(boot_recognise(&boot, message), OK);
	assert_int_equal(boot_check(&boot, IMAGE_BYTES, message), OK);
	assert_int_equal(boot_fill_frames(&boot, &table, message), OK);
}

static void strangers_are_not_recognised(void **state)
{
	(void)state;
	boot.size--;
	expect_refused(boot_recognise(&boot, message), "use both of one build");
	boot.version = BOOT_INFO_VERSION - 1;
	expect_refused(boot_recognise(&boot, message), "version 7, the hypervisor version 8");
	boot.magic++;
	expect_refused(boot_recognise(&boot, message), "not started by Bulkhead's loader");
}

static void counts_are_bounded(void **state)
{
	(void)state;
	boot.cpu_count = CONFIG_MAX_CPUS + 1;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "65 CPUs; 1 to 64");
	boot.cpu_count = 0;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "0 CPUs");
	setup(NULL);
	boot.memory_count = BOOT_MAX_MEMORY + 1;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "257 memory ranges");
	setup(NULL);
	boot.config.partition_count = CONFIG_MAX_PARTITIONS + 1;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "17 partitions");
	setup(NULL);
	boot.config.channel_count = CONFIG_MAX_CHANNELS + 1;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "33 channels");
}

static void addresses_are_checked(void **state)
{
	(void)state;
	expect_refused(boot_check(&boot, IMAGE_BYTES + 1, message), "the image");
	boot.image_start += PAGE_SIZE;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "2 MiB-aligned");
	setup(NULL);
	boot.boot_cr3 = 4 * GIB;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "below 4 GiB");
	boot.boot_cr3 = 0x300010;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "the boot tables");
	setup(NULL);
	boot.trampoline = MIB;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "below 1 MiB");
	boot.trampoline = 0;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "trampoline");
}

static void the_memory_map_is_checked(void **state)
{
	(void)state;
	boot.memory[3].start -= 0x80000; /* into the one before */
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "memory range 3");
	setup(NULL);
	boot.memory[2].size = 0;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "memory range 2");
	setup(NULL);
	boot.memory[9].size = 0 - boot.memory[9].start;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "memory range 9");
	setup(NULL);
	boot.memory[0].size++;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "memory range 0");
	setup(NULL);
	boot.memory[9].kind = BOOT_MEM_RESERVED + 1;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "kind 9");
}

/* The config was checked by whoever parsed it; this one may have been parsed by another build, or spoilt
 * since. */
static void the_config_is_checked(void **state)
{
	static const struct {
		const char *says;
		uint32_t cpus, pinned, mode, on_fault;
		uint64_t memory, module;
	} rows[] = {
		{"no CPUs", 0, 0, MODE_PARA, ON_FAULT_STOP, MIB, 1},
		{"more than there can be", CONFIG_MAX_CPUS + 1, 0, MODE_PARA, ON_FAULT_STOP, MIB, 1},
		{"than it is pinned to", 1, CONFIG_MAX_CPUS + 1, MODE_PARA, ON_FAULT_STOP, MIB, 1},
		{"unknown mode", 1, 0, MODE_PARA + 1, ON_FAULT_STOP, MIB, 1},
		{"unknown mode or on_fault", 1, 0, MODE_PARA, ON_FAULT_RESTART + 1, MIB, 1},
		{"no memory", 1, 0, MODE_PARA, ON_FAULT_STOP, 0, 1},
		{"part of a page", 1, 0, MODE_PARA, ON_FAULT_STOP, MIB + 1, 1},
		{"more than there can be", 1, 0, MODE_PARA, ON_FAULT_STOP, UINT64_MAX - 0xFFF, 1},
		{"a file larger", 1, 0, MODE_PARA, ON_FAULT_STOP, MIB, UINT64_MAX},
	};
	struct partition_config *config = &boot.config.partition[0];

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		setup(state);
		config->cpus = rows[i].cpus;
		config->pinned = rows[i].pinned;
		config->mode = rows[i].mode;
		config->on_fault = rows[i].on_fault;
		config->memory = rows[i].memory;
		boot.module[0].size = rows[i].module;
		expect_refused(boot_check(&boot, IMAGE_BYTES, message), rows[i].says);
		expect_refused(ERR_INVALID, "partition 1 of the configuration has");
	}
	setup(state);
	memset(config->cmdline, 'x', sizeof(config->cmdline));
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "that does not end");
	setup(state);
	config->manage = true;
	config->mode = MODE_PARA;
	assert_int_equal(boot_check(&boot, IMAGE_BYTES, message), OK);
	config->mode = MODE_FULL;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "the right to manage");
	setup(state);
	memset(&config->manage, 43, sizeof(config->manage));
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "a yes or no that is neither");
	setup(state);
	boot.config.virtual_apic = VIRTUAL_APIC_NO + 1;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message),
		       "a word for log, console, poweroff, virtual_apic or without");
	setup(state);
	boot.config.without = WITHOUT_ALL + 1;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message),
		       "a word for log, console, poweroff, virtual_apic or without");
	setup(state);
	memset(&boot.config.poweroff_when_done, 43, sizeof(bool));
	expect_refused(boot_check(&boot, IMAGE_BYTES, message),
		       "a word for log, console, poweroff, virtual_apic or without");
}

static void add_channel(uint32_t from, uint32_t to, uint32_t allow)
{
	boot.config.partition_count = 2;
	boot.config.partition[0].mode = MODE_PARA;
	boot.config.partition[1] = boot.config.partition[0];
	boot.config.channel_count = 1;
	boot.config.channel[0] = (struct channel_config){.between = {from, to}, .allow = allow};
}

/* Its ends are indexes: a table of rights is written by them. */
static void channels_are_checked(void **state)
{
	static const struct {
		const char *says;
		uint32_t from, to, allow;
	} rows[] = {
		{"that is not there", 0, 2, CHANNEL_NOTIFY},
		{"that is not there", UINT32_MAX, 1, CHANNEL_NOTIFY},
		{"to itself", 1, 1, CHANNEL_NOTIFY},
		{"unknown rights", 0, 1, 1u << 31},
	};

	add_channel(0, 1, CHANNEL_ALL);
	assert_int_equal(boot_check(&boot, IMAGE_BYTES, message), OK);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		setup(state);
		add_channel(rows[i].from, rows[i].to, rows[i].allow);
		expect_refused(boot_check(&boot, IMAGE_BYTES, message), rows[i].says);
		expect_refused(ERR_INVALID, "channel 1 of the configuration has");
	}
	setup(state);
	add_channel(0, 1, CHANNEL_NOTIFY);
	boot.config.partition[1].mode = MODE_FULL;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message), "a full partition");
}

/* What may be lent a page at a time may need a table for each 2 MiB of it, and those come from the pool. */
static void tables_for_shared_memory_must_fit(void **state)
{
	(void)state;
	add_channel(0, 1, CHANNEL_SHARE);
	boot.config.partition[0].memory = 63ull << 30;
	assert_int_equal(boot_check(&boot, IMAGE_BYTES, message), OK);
	boot.config.partition[1].memory = 2ull << 30;
	expect_refused(boot_check(&boot, IMAGE_BYTES, message),
		       "at most 32768, about 64 GiB of memory in all");
	boot.config.channel[0].allow = CHANNEL_MESSAGE;
	assert_int_equal(boot_check(&boot, IMAGE_BYTES, message), OK);
}

static void every_frame_gets_its_owner(void **state)
{
	(void)state;
	boot.memory[0].cacheable = 0;
	assert_int_equal(boot_fill_frames(&boot, &table, message), OK);
	assert_int_equal(frames_owner(&table, hpa(0x1000)),
			 OWNER_FIRMWARE); /* not cacheable: not for guests */
	assert_int_equal(frames_owner(&table, hpa(0x8000)), OWNER_HYPERVISOR);
	assert_int_equal(frames_owner(&table, hpa(0x9000)), OWNER_FREE);
	assert_int_equal(frames_owner(&table, hpa(0xA0000)), OWNER_FIRMWARE); /* not named at all */
	assert_int_equal(frames_owner(&table, hpa(0x200000)), OWNER_HYPERVISOR);
	assert_int_equal(frames_owner(&table, hpa(0x300000)), OWNER_HYPERVISOR);
	assert_int_equal(frames_owner(&table, hpa(0x314000)), OWNER_MODULE(0));
	assert_int_equal(frames_owner(&table, hpa(0x315000)), OWNER_HYPERVISOR);
	assert_int_equal(frames_owner(&table, hpa(0x3F00000)), OWNER_FIRMWARE);
	assert_int_equal(frames_owner(&table, hpa(0xFEC00000)), OWNER_MMIO);
}

static void a_guest_image_must_be_where_images_are(void **state)
{
	(void)state;
	boot.module[0].start = 0x400000;
	expect_refused(boot_fill_frames(&boot, &table, message), "the image of partition alpha at 0x400000");
}

static void partitions_may_share_an_image(void **state)
{
	(void)state;
	boot.config.partition_count = 2;
	boot.config.partition[1] = boot.config.partition[0];
	boot.module[1] = boot.module[0];
	assert_int_equal(boot_fill_frames(&boot, &table, message), OK);
	assert_int_equal(frames_owner(&table, hpa(0x310000)), OWNER_MODULE(0));
}

static void an_initrd_is_its_partitions(void **state)
{
	(void)state;
	boot.initrd[0] = (struct boot_module){0x318000, 0x1001};
	boot.config.partition_count = 2;
	boot.config.partition[1] = boot.config.partition[0];
	boot.module[1] = boot.module[0];
	boot.initrd[1] = boot.initrd[0];
	assert_int_equal(boot_fill_frames(&boot, &table, message), OK);
	assert_int_equal(frames_owner(&table, hpa(0x319000)), OWNER_MODULE(0));
	assert_int_equal(frames_owner(&table, hpa(0x31A000)), OWNER_HYPERVISOR);
}

/* One file may be both, of one partition or of two. */
static void an_image_may_be_an_initrd_too(void **state)
{
	(void)state;
	boot.initrd[0] = boot.module[0];
	boot.config.partition_count = 2;
	boot.config.partition[1] = boot.config.partition[0];
	boot.module[1] = (struct boot_module){0x318000, 0x1000};
	boot.initrd[1] = boot.module[0];
	assert_int_equal(boot_fill_frames(&boot, &table, message), OK);
	assert_int_equal(frames_owner(&table, hpa(0x310000)), OWNER_MODULE(0));
	assert_int_equal(frames_owner(&table, hpa(0x318000)), OWNER_MODULE(1));
}

static void an_initrd_must_be_where_images_are(void **state)
{
	(void)state;
	boot.initrd[0] = (struct boot_module){0x400000, 0x1000};
	expect_refused(boot_fill_frames(&boot, &table, message), "the initrd of partition alpha at 0x400000");
}

static void overlapping_images_are_refused(void **state)
{
	(void)state;
	boot.config.partition_count = 2;
	boot.config.partition[1] = boot.config.partition[0];
	boot.module[1] = (struct boot_module){0x311000, 0x1000};
	expect_refused(boot_fill_frames(&boot, &table, message), "owned by another");
}

static void the_pool_grows_with_what_it_serves(void **state)
{
	uint64_t small = boot_pool_pages(&boot), more_cpus, more_memory;

	(void)state;
	assert_true(small * PAGE_SIZE <= MIB);
	boot.cpu_count = 8;
	more_cpus = boot_pool_pages(&boot);
	assert_true(more_cpus >= small + 6 * 12);
	boot.config.partition[0].memory = 8 * GIB;
	more_memory = boot_pool_pages(&boot);
	/* Enough for tables of 4 KiB pages under 2 MiB ones everywhere. */
	assert_true(more_memory >= more_cpus + 8 * GIB / LARGE_PAGE_SIZE);
	boot.config.partition[0].memory = 1ull << 46;
	assert_int_equal(boot_pool_pages(&boot), 256 * MIB / PAGE_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_sound_structure_is_accepted, setup),
		cmocka_unit_test_setup(strangers_are_not_recognised, setup),
		cmocka_unit_test_setup(counts_are_bounded, setup),
		cmocka_unit_test_setup(addresses_are_checked, setup),
		cmocka_unit_test_setup(the_memory_map_is_checked, setup),
		cmocka_unit_test_setup(the_config_is_checked, setup),
		cmocka_unit_test_setup(channels_are_checked, setup),
		cmocka_unit_test_setup(tables_for_shared_memory_must_fit, setup),
		cmocka_unit_test_setup(every_frame_gets_its_owner, setup),
		cmocka_unit_test_setup(a_guest_image_must_be_where_images_are, setup),
		cmocka_unit_test_setup(partitions_may_share_an_image, setup),
		cmocka_unit_test_setup(an_initrd_is_its_partitions, setup),
		cmocka_unit_test_setup(an_image_may_be_an_initrd_too, setup),
		cmocka_unit_test_setup(an_initrd_must_be_where_images_are, setup),
		cmocka_unit_test_setup(overlapping_images_are_refused, setup),
		cmocka_unit_test_setup(the_pool_grows_with_what_it_serves, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
