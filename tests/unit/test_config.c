/*
 * The config parser: what it accepts, with every default, and what it says about each kind of mistake.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <bulkhead/config.h>

#define REPORTS_SIZE 16384

/* The smallest partition without mistakes, in five lines. */
#define PARTITION(name) "[partition " name "]\nmode = full\nmemory = 64M\nimage = \\g.elf\n\n"
#define KEY(text)	PARTITION("a") text "\n" /* `text` stands in line 6 */

struct result {
	struct config config;
	uint32_t mistakes;
	uint32_t calls;
	char reports[REPORTS_SIZE]; /* "line:column message\n" each */
};

static void note(void *context, uint32_t line, uint32_t column, const char *message)
{
	struct result *result = context;
	size_t used = strlen(result->reports);

	result->calls++;
	snprintf(result->reports + used, sizeof(result->reports) - used, "%u:%u %s\n", line, column, message);
}

static struct result result;

static void parse_bytes(const char *text, size_t size)
{
	memset(&result, 0, sizeof(result));
	memset(&result.config, 0xA5, sizeof(result.config));
	result.mistakes = config_parse(text, size, &result.config, note, &result);
	assert_int_equal(result.mistakes, result.calls);
}

static const struct partition_config *parse_good(const char *text)
{
	parse_bytes(text, strlen(text));
	assert_string_equal(result.reports, "");
	return &result.config.partition[0];
}

static void expect_reports(const char *text, const char *reports)
{
	parse_bytes(text, strlen(text));
	assert_string_equal(result.reports, reports);
}

static void test_defaults(void **state)
{
	(void)state;
	const struct partition_config *partition = parse_good(PARTITION("a"));

	assert_true(result.config.console_serial && result.config.console_screen);
	assert_int_equal(result.config.serial_port, 0x3F8);
	assert_int_equal(result.config.log, LOG_INFO);
	assert_true(result.config.poweroff_when_done);
	assert_int_equal(result.config.virtual_apic, VIRTUAL_APIC_AUTO);
	assert_int_equal(result.config.without, 0);
	assert_int_equal(result.config.partition_count, 1);
	assert_string_equal(partition->name, "a");
	assert_int_equal(partition->mode, MODE_FULL);
	assert_int_equal(partition->cpus, 1);
	assert_int_equal(partition->pinned, 0);
	assert_int_equal(partition->memory, 64 << 20);
	assert_string_equal(partition->image, "\\g.elf");
	assert_false(partition->has_sha256);
	assert_string_equal(partition->cmdline, "");
	assert_int_equal(partition->on_fault, ON_FAULT_STOP);
	assert_int_equal(partition->max_restarts, 3);
	assert_true(partition->autostart && partition->hypervisor_leaf && !partition->manage);
	assert_int_equal(partition->line, 1);
}

static void test_every_key(void **state)
{
	(void)state;
	const struct partition_config *partition =
		parse_good("[hypervisor]\nconsole = screen\nserial_port = 0x2F8\nlog = debug\npoweroff = "
			   "no\nvirtual_apic = yes\nwithout = preemption_timer, large_pages\n"
			   "[partition big-One_2]\nmode = para\ncpus = 2\npin = 3, 1\nmemory = 1g\nimage = "
			   "/guests/p.elf\n"
			   "sha256 = 000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F\n"
			   "cmdline = greet=hello a#b\non_fault = restart\nmax_restarts = 0\nautostart = "
			   "no\nmanage = yes\n");

	assert_false(result.config.console_serial);
	assert_true(result.config.console_screen);
	assert_int_equal(result.config.serial_port, 0x2F8);
	assert_int_equal(result.config.log, LOG_DEBUG);
	assert_false(result.config.poweroff_when_done);
	assert_int_equal(result.config.virtual_apic, VIRTUAL_APIC_YES);
	assert_int_equal(result.config.without, WITHOUT_PREEMPTION_TIMER | WITHOUT_LARGE_PAGES);
	assert_string_equal(partition->name, "big-One_2");
	assert_int_equal(partition->mode, MODE_PARA);
	assert_int_equal(partition->cpus, 2);
	assert_int_equal(partition->pinned, 2);
	assert_int_equal(partition->pin[0], 3);
	assert_int_equal(partition->pin[1], 1);
	assert_int_equal(partition->memory, 1ull << 30);
	assert_string_equal(partition->image, "\\guests\\p.elf");
	assert_true(partition->has_sha256);
	for (uint32_t i = 0; i < CONFIG_SHA256_SIZE; i++)
		assert_int_equal(partition->sha256[i], i);
	assert_string_equal(partition->cmdline, "greet=hello a#b");
	assert_int_equal(partition->on_fault, ON_FAULT_RESTART);
	assert_int_equal(partition->max_restarts, 0);
	assert_false(partition->autostart);
	assert_true(partition->manage);
	assert_int_equal(partition->line, 8);
}

#define KERNEL "[partition a]\nmode = full\nmemory = 64M\nkernel = /linux\n" /* four lines */

static void test_kernel(void **state)
{
	(void)state;
	const struct partition_config *partition =
		parse_good(KERNEL "initrd = \\initrd\ninitrd_sha256 = "
				  "1f1e1d1c1b1a191817161514131211100f0e0d0c0b0a09080706050403020100\n");

	assert_string_equal(partition->image, "\\linux");
	assert_true(partition->is_kernel);
	assert_string_equal(partition->initrd, "\\initrd");
	assert_false(partition->has_sha256);
	assert_true(partition->has_initrd_sha256);
	for (uint32_t i = 0; i < CONFIG_SHA256_SIZE; i++)
		assert_int_equal(partition->initrd_sha256[i], CONFIG_SHA256_SIZE - 1 - i);
	assert_string_equal(parse_good(KERNEL)->initrd, "");
	assert_false(parse_good(PARTITION("a"))->is_kernel);
}

static void test_keys_that_need_others(void **state)
{
	(void)state;
	expect_reports(KEY("kernel = /linux"), "6:1 'kernel' cannot stand beside 'image' of line 4\n");
	expect_reports(KERNEL "image = \\i\n", "5:1 'image' cannot stand beside 'kernel' of line 4\n");
	expect_reports(KEY("initrd = /i"), "6:1 'initrd' needs the key 'kernel'\n");
	expect_reports(KERNEL "initrd_sha256 = 00112233445566778899aabbccddeeff"
			      "00112233445566778899aabbccddeeff\n",
		       "5:1 'initrd_sha256' needs the key 'initrd'\n");
	expect_reports("[partition a]\nmode = para\nmemory = 64M\nkernel = /linux\n",
		       "4:1 'kernel' is for mode = full; this partition is para\n");
}

static void test_line_forms(void **state)
{
	(void)state;
	const struct partition_config *partition =
		parse_good("\xEF\xBB\xBF; comment\r\n  [ partition\ta ]  # alpha\r\n\tmode=para ;x\r\n"
			   "memory = \"64M\" # mine\r\nimage = '\\a b.elf'\r\ncmdline = \" # ; \"");

	assert_string_equal(partition->name, "a");
	assert_int_equal(partition->mode, MODE_PARA);
	assert_string_equal(partition->image, "\\a b.elf");
	assert_string_equal(partition->cmdline, " # ; ");

	assert_string_equal(parse_good(KEY("cmdline = gr\xC3\xBC\xC3\x9F"
					   "e # \xE2\x82\xAC"))
				    ->cmdline,
			    "gr\xC3\xBC\xC3\x9F"
			    "e");
	assert_string_equal(parse_good(KEY("cmdline ="))->cmdline, "");
	assert_int_equal(parse_good(PARTITION("a") "[hypervisor]\nlog = warn")->cpus, 1);
	assert_int_equal(result.config.log, LOG_WARN);
}

static void test_words(void **state)
{
	(void)state;
	expect_reports(KEY("on_fault = reboot"), "6:12 found 'reboot', expected one of: stop, restart\n");
	expect_reports(KEY("autostart = true"), "6:13 found 'true', expected one of: yes, no\n");
	expect_reports(KEY("autostart = "), "6:12 found '', expected one of: yes, no\n");
	expect_reports(KEY("[hypervisor]\nlog = INFO"),
		       "7:7 found 'INFO', expected one of: error, warn, info, debug\n");
	expect_reports(
		KEY("[hypervisor]\nconsole = serial,, vga"),
		"7:18 found '', expected one of: serial, screen\n7:20 found 'vga', expected one of: serial, "
		"screen\n");
	expect_reports(KEY("[hypervisor]\nconsole = serial, serial"), "7:19 'serial' is listed twice\n");
}

static void test_numbers(void **state)
{
	(void)state;
	assert_int_equal(parse_good(KEY("cpus = 64"))->cpus, 64);
	assert_int_equal(parse_good(KEY("cpus = 0x10"))->cpus, 16);
	expect_reports(KEY("cpus = 0"), "6:8 found 0, expected a number from 1 to 64\n");
	expect_reports(KEY("cpus = 65"), "6:8 found 65, expected a number from 1 to 64\n");
	expect_reports(KEY("cpus = -1"), "6:8 found '-1', expected a number (hexadecimal begins with 0x)\n");
	expect_reports(KEY("cpus = 1 2"),
		       "6:8 found '1 2', expected a number (hexadecimal begins with 0x)\n");
	expect_reports(KEY("cpus = 0x"), "6:8 found '0x', expected a number (hexadecimal begins with 0x)\n");
	expect_reports(KEY("max_restarts = 18446744073709551616"),
		       "6:16 found 18446744073709551616, expected a number from 0 to 1000000\n");
	assert_int_equal(parse_good(KEY("[hypervisor]\nserial_port = 760"))->cpus, 1);
	assert_int_equal(result.config.serial_port, 0x2F8);
	expect_reports(KEY("[hypervisor]\nserial_port = 3f8"),
		       "7:15 found '3f8', expected an I/O port such as 0x3f8\n");
	expect_reports(KEY("[hypervisor]\nserial_port = 0x10000"),
		       "7:15 found 0x10000, expected an I/O port from 0x100 to 0xfff8\n");
}

static void expect_bytes(const char *value, const char *report)
{
	char text[256];

	snprintf(text, sizeof(text), "[partition a]\nmode = para\nimage = \\a\nmemory = %s\n", value);
	expect_reports(text, report);
}

static void test_memory(void **state)
{
	(void)state;
	expect_bytes("1048576", "");
	assert_int_equal(result.config.partition[0].memory, 1 << 20);
	expect_bytes("1028K", "");
	assert_int_equal(result.config.partition[0].memory, 1028 << 10);
	expect_bytes("1024G", "");
	assert_int_equal(result.config.partition[0].memory, 1ull << 40);
	expect_bytes("1023K", "4:10 found 1023K, expected memory from 1M to 1024G\n");
	expect_bytes("1025G", "4:10 found 1025G, expected memory from 1M to 1024G\n");
	expect_bytes("99999999999999999999G",
		     "4:10 found 99999999999999999999G, expected memory from 1M to 1024G\n");
	expect_bytes("17179869184G", "4:10 found 17179869184G, expected memory from 1M to 1024G\n");
	expect_bytes("1030K", "4:10 found 1030K, expected a multiple of 4K\n");
	expect_bytes("M", "4:10 found 'M', expected bytes with an optional K, M or G, such as 64M\n");
	expect_bytes("64MB", "4:10 found '64MB', expected bytes with an optional K, M or G, such as 64M\n");
}

static void test_texts(void **state)
{
	char text[2048];
	char word[1100];

	(void)state;
	memset(word, 'x', sizeof(word));
	snprintf(text, sizeof(text), KEY("cmdline = %.1023s"), word);
	assert_int_equal(strlen(parse_good(text)->cmdline), 1023);
	snprintf(text, sizeof(text), KEY("cmdline = %.1024s"), word);
	expect_reports(text, "6:11 found 1024 bytes, expected at most 1023\n");
	snprintf(text, sizeof(text), "[partition a]\nmode = full\nmemory = 2M\nimage = /%.127s\n", word);
	expect_reports(text, "4:9 found 128 bytes, expected at most 127\n");
	expect_reports("[partition a]\nmode = full\nmemory = 2M\nimage = guest.elf\n",
		       "4:9 found 'guest.elf', expected a path from the root of the boot volume, such as "
		       "\\guests\\full.elf\n");
	expect_reports("[partition a]\nmode = full\nmemory = 2M\nimage = C:\\guest.elf\n",
		       "4:9 found 'C:\\guest.elf', expected a path from the root of the boot volume, such as "
		       "\\guests\\full.elf\n");
	expect_reports(
		"[partition a]\nmode = full\nmemory = 2M\nimage = \\a*.elf\n",
		"4:11 this character cannot stand in a path, expected plain ASCII without : * ? \" < > |\n");
	expect_reports(KEY("sha256 = 00112233"), "6:10 found 8 digits, expected 64 hexadecimal digits\n");
	expect_reports(KEY("sha256 = 00g1"), "6:12 found 'g1', expected a hexadecimal digit\n");
	expect_reports(KEY("cmdline = \"a"), "6:11 expected a closing \"\n");
	expect_reports(KEY("cmdline = 'a' b"),
		       "6:15 found 'b' after the closing quote, expected the end of the line\n");
}

static void test_pins(void **state)
{
	(void)state;
	expect_reports(KEY("cpus = 2\npin = 1"), "7:7 found 1 CPUs, expected 2: as many as 'cpus' says\n");
	expect_reports(KEY("pin = 1,2\ncpus = 1"), "6:7 found 2 CPUs, expected 1: as many as 'cpus' says\n");
	expect_reports(KEY("pin = 1,2\ncpus = x"),
		       "7:8 found 'x', expected a number (hexadecimal begins with 0x)\n");
	expect_reports(KEY("cpus = 2\npin = 1,1"), "7:9 CPU 1 is listed twice\n");
	expect_reports(KEY("pin = 64"), "6:7 found '64', expected the index of a CPU, 0 to 63\n");
	expect_reports(KEY("pin = "), "6:6 found '', expected the index of a CPU, 0 to 63\n");
	expect_reports(KEY("pin = 1") PARTITION("b") "pin = 1\n",
		       "12:7 CPU 1 is pinned by partition 'a' (line 1) already\n");
	assert_int_equal(parse_good(KEY("pin = 1") PARTITION("b") "pin = 0\n")->pinned, 1);
}

static void test_cpu_total(void **state)
{
	(void)state;
	parse_good(KEY("cpus = 60") PARTITION("b") "cpus = 4");
	expect_reports(KEY("cpus = 60") PARTITION("b") "cpus = 5",
		       "7:12 the partitions up to this one want 65 CPUs, expected at most 64\n");
}

static void test_sections(void **state)
{
	(void)state;
	expect_reports("", "1:1 the file has no partition, expected [partition NAME]\n");
	expect_reports("[hypervisor]\n\n", "2:1 the file has no partition, expected [partition NAME]\n");
	expect_reports("mode = full\n" PARTITION("a"),
		       "1:1 found 'mode = full' before the first section, expected "
		       "[hypervisor] or [partition NAME]\n");
	expect_reports(KEY("[hypervisor] log = info"),
		       "6:14 found 'log = info' after the section header, expected the end of the line\n");
	expect_reports(KEY("[hypervisor"), "6:12 expected ']' at the end of the section header\n");
	expect_reports(KEY("[hypervisor x]"), "6:13 found 'x', expected ']' after 'hypervisor'\n");
	expect_reports(KEY("[hypervisor]\n[hypervisor]\nlog=info"),
		       "7:2 a second [hypervisor] section; the first is in line 6\n");
	expect_reports(KEY("[network]\nkey = value"),
		       "6:2 unknown section 'network', expected one of: [hypervisor], [partition NAME], "
		       "[channel NAME]\n");
	expect_reports("[Partition a]\nmode = full\nmemory = 64M\n",
		       "1:2 unknown section 'Partition', did you mean 'partition'?\n"
		       "1:12 partition 'a' lacks the key 'image' or 'kernel'\n");
	expect_reports(KEY("hello"), "6:1 found 'hello', expected 'key = value' or a [section]\n");
	expect_reports(KEY("= hello"), "6:1 found '= hello', expected 'key = value' or a [section]\n");
}

static void test_names(void **state)
{
	(void)state;
	parse_good(PARTITION("fifteen-letters"));
	expect_reports(PARTITION("sixteen-letters-"), "1:12 a name of 16 characters, expected at most 15\n");
	expect_reports(PARTITION(""), "1:11 expected a name: [partition NAME]\n");
	expect_reports(PARTITION("a b"),
		       "1:13 found ' b' in a name, expected letters, digits, '-' and '_' only\n");
	expect_reports(PARTITION("bulkhead"), "1:12 the name 'bulkhead' is reserved\n");
	expect_reports(PARTITION("hypervisor"), "1:12 the name 'hypervisor' is reserved\n");
	expect_reports(PARTITION("a") PARTITION("a"),
		       "6:12 a second partition 'a'; the first is in line 1\n");
}

static void test_keys(void **state)
{
	(void)state;
	expect_reports(KEY("cpu = 1"), "6:1 unknown key 'cpu', did you mean 'cpus'?\n");
	expect_reports(KEY("onfault = stop"), "6:1 unknown key 'onfault', did you mean 'on_fault'?\n");
	expect_reports(KEY("Mode = full"), "6:1 unknown key 'Mode', did you mean 'mode'?\n");
	expect_reports(KEY("[hypervisor]\nvolume = 11"),
		       "7:1 unknown key 'volume', expected one of: console, serial_port, log, poweroff, "
		       "virtual_apic, without\n");
	expect_reports(KEY("[hypervisor]\nwithout = vpid, large_pages, large_pages"),
		       "7:11 found 'vpid', expected one of: large_pages, tagged_tlb, preemption_timer\n"
		       "7:30 'large_pages' is listed twice\n");
	expect_reports(KEY("log = info"), "6:1 the key 'log' belongs in a [hypervisor] section\n");
	expect_reports(KEY("[hypervisor]\ncpus = 2"),
		       "7:1 the key 'cpus' belongs in a [partition NAME] section\n");
	expect_reports(KEY("mode = para"), "6:1 a second 'mode'; the first is in line 2\n");
	expect_reports("[partition a]\nhypervisor_leaf = no\nmode = para\nmemory = 1M\nimage = \\a\n",
		       "2:1 'hypervisor_leaf' is for mode = full; this partition is para\n");
	expect_reports("[partition a]\nmanage = no\nmode = full\nmemory = 1M\nimage = \\a\n",
		       "2:1 'manage' is for mode = para; this partition is full\n");
	expect_reports("[partition a]\nmanage = yes\nmode = fool\nmemory = 1M\nimage = \\a\n",
		       "3:8 found 'fool', expected one of: full, para\n");
	expect_reports("[partition a]\n",
		       "1:12 partition 'a' lacks the key 'mode'\n1:12 partition 'a' lacks the key "
		       "'memory'\n1:12 partition 'a' lacks the key 'image' or 'kernel'\n");
}

static void test_too_many_partitions(void **state)
{
	char text[4096] = "";

	(void)state;
	for (uint32_t i = 0; i < CONFIG_MAX_PARTITIONS; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), PARTITION("p%u"), i);
	parse_good(text);
	assert_int_equal(result.config.partition_count, CONFIG_MAX_PARTITIONS);
	strcat(text, "[partition p17]\nmode = none\n");
	expect_reports(text, "81:12 partition number 17 or higher, expected at most 16 partitions\n"
			     "82:8 found 'none', expected one of: full, para\n");
}

/* Two para partitions in eight lines. */
#define PAIR                                                                                                 \
	"[partition a]\nmode = para\nmemory = 8M\nimage = /p\n"                                              \
	"[partition b]\nmode = para\nmemory = 8M\nimage = /p\n"
#define CHANNEL(keys) "[channel c]\n" keys PAIR /* the keys stand in line 2 and 3 */

static void test_channel(void **state)
{
	(void)state;
	const struct channel_config *channel = result.config.channel;

	parse_good(PARTITION("z") PAIR);
	assert_int_equal(result.config.channel_count, 0);
	parse_good(PAIR "[channel first]\nbetween = b, a\nallow = notify, share\n"
			"[partition d]\nmode = para\nmemory = 8M\nimage = /p\n"
			"[channel a]\nallow = message\nbetween = d, a\n");
	assert_int_equal(result.config.channel_count, 2);
	assert_string_equal(channel[0].name, "first");
	assert_int_equal(channel[0].between[0], 1);
	assert_int_equal(channel[0].between[1], 0);
	assert_int_equal(channel[0].allow, CHANNEL_NOTIFY | CHANNEL_SHARE);
	assert_int_equal(channel[0].line, 9);
	assert_string_equal(channel[1].name, "a");
	assert_int_equal(channel[1].between[0], 2);
	assert_int_equal(channel[1].allow, CHANNEL_MESSAGE);
	/* Partitions may stand behind the channel that names them. */
	parse_good(CHANNEL("between = a, b\nallow = message\n"));
}

static void test_channel_pair(void **state)
{
	(void)state;
	expect_reports(CHANNEL("allow = notify\n"), "1:10 channel 'c' lacks the key 'between'\n");
	expect_reports(CHANNEL("between = a\nallow = notify\n"), "2:11 found 1 partition, expected two\n");
	expect_reports(CHANNEL("between = a, b, a\nallow = notify\n"),
		       "2:11 found 3 partitions, expected two\n");
	expect_reports(CHANNEL("between = a, a\nallow = notify\n"),
		       "2:11 found 'a' twice, expected two different partitions\n");
	expect_reports(CHANNEL("between = a, q\nallow = notify\n"),
		       "2:14 found 'q', expected the name of a partition\n");
	expect_reports(CHANNEL("between = f, b\nallow = notify\n") PARTITION("f"),
		       "2:11 partition 'f' is full, expected one of mode = para: channels are for those\n");
	expect_reports(PAIR
		       "[channel c]\nbetween = a, m\nallow = notify\n[partition m]\nmode = fool\nmemory = "
		       "8M\nimage = /p\n",
		       "13:8 found 'fool', expected one of: full, para\n");
	expect_reports(PAIR
		       "[channel c]\nbetween = a, b\nallow = notify\n[channel d]\nbetween = b, a\nallow = "
		       "notify\n",
		       "13:11 channel 'c' (line 9) joins these two already\n");
}

static void test_channel_rights(void **state)
{
	(void)state;
	expect_reports(CHANNEL("between = a, b\n"), "1:10 channel 'c' lacks the key 'allow'\n");
	expect_reports(CHANNEL("between = a, b\nallow = notify, shout\n"),
		       "3:17 found 'shout', expected one of: message, notify, share\n");
	expect_reports(CHANNEL("between = a, b\nallow =\n"),
		       "3:8 found '', expected one of: message, notify, share\n");
	expect_reports(CHANNEL("between = a, b\nallow = notify, notify\n"),
		       "3:17 'notify' is listed twice\n");
}

static void test_channel_names(void **state)
{
	char text[16384] = PAIR;
	size_t used = strlen(text);

	(void)state;
	expect_reports("[channel]\nbetween = a, b\nallow = notify\n" PAIR,
		       "1:9 expected a name: [channel NAME]\n");
	expect_reports(PAIR "[channel c]\nbetween = a, b\nallow = notify\nmode = para\n",
		       "12:1 the key 'mode' belongs in a [partition NAME] section\n");
	expect_reports(KEY("allow = notify"), "6:1 the key 'allow' belongs in a [channel NAME] section\n");
	expect_reports(PAIR "[chanel c]\nbetween = a, b\nallow = notify\n",
		       "9:2 unknown section 'chanel', did you mean 'channel'?\n");
	expect_reports(PAIR "[partition d]\nmode = para\nmemory = 8M\nimage = /p\n"
			    "[channel c]\nbetween = a, b\nallow = notify\n"
			    "[channel c]\nbetween = a, d\nallow = notify\n",
		       "16:10 a second channel 'c'; the first is in line 13\n");
	for (unsigned i = 0; i <= CONFIG_MAX_CHANNELS; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "[channel c%u]\n", i);
	parse_bytes(text, used);
	assert_non_null(
		strstr(result.reports, "41:10 channel number 33 or higher, expected at most 32 channels\n"));
}

static void test_not_text(void **state)
{
	static const char with_nul[] = PARTITION("a") "cmdline = a\0b\n";

	(void)state;
	parse_bytes(with_nul, sizeof(with_nul) - 1);
	assert_string_equal(result.reports, "6:12 a NUL byte, expected text in UTF-8\n");
	expect_reports(KEY("cmdline = \xC3\xBC\xFF"), "6:12 a stray byte 0xff, expected text in UTF-8\n");
	expect_reports(KEY("# \xC0\x80"), "6:3 a stray byte 0xc0, expected text in UTF-8\n");
	expect_reports(KEY("# \xED\xA0\x80"), "6:3 a stray byte 0xed, expected text in UTF-8\n");
	expect_reports(KEY("# \xF0\x9F\x98"), "6:3 a stray byte 0xf0, expected text in UTF-8\n");
	parse_good(KEY("# \xF0\x9F\x98\x80"));
	expect_reports(KEY("cmdline = a\x1B[1m"), "6:12 a control character 0x1b, expected text in UTF-8\n");
	expect_reports("\xFF\xFE[", "1:1 the file is UTF-16, expected UTF-8: save it again as UTF-8\n");
	expect_reports("[parti\xFFtion a]\nmode = none\n", "1:7 a stray byte 0xff, expected text in UTF-8\n");
	/* A key whose value is not text is not also called missing. */
	expect_reports("[partition a]\nmode = \xFF\nmemory = 1M\nimage = \\a\n",
		       "2:8 a stray byte 0xff, expected text in UTF-8\n");
}

static void test_all_mistakes_in_order(void **state)
{
	(void)state;
	expect_reports(
		"[partition a]\nmode = ful\ncolour = red\ncpus = none\n[partition b]\nmode = para\nmemory = "
		"1\n",
		"1:12 partition 'a' lacks the key 'memory'\n1:12 partition 'a' lacks the key 'image' or "
		"'kernel'\n"
		"2:8 found 'ful', expected one of: full, para\n"
		"3:1 unknown key 'colour', expected one of: mode, cpus, pin, memory, image, kernel, sha256, "
		"initrd, "
		"initrd_sha256, cmdline, on_fault, max_restarts, autostart, hypervisor_leaf, manage\n"
		"4:8 found 'none', expected a number (hexadecimal begins with 0x)\n"
		"5:12 partition 'b' lacks the key 'image' or 'kernel'\n"
		"7:10 found 1, expected memory from 1M to 1024G\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_keys_that_need_others),
		cmocka_unit_test(test_line_forms),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_cpu_total),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_too_many_partitions),
		cmocka_unit_test(test_channel),
		cmocka_unit_test(test_channel_pair),
		cmocka_unit_test(test_channel_rights),
		cmocka_unit_test(test_channel_names),
		cmocka_unit_test(test_not_text),
		cmocka_unit_test(test_all_mistakes_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
