/*
 * The monitor: each command against two partitions made by hand, and every way of mistyping it; line editing.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arch/x86/clock.h"
#include "arch/x86/machine.h"
#include "hv/console/console.h"
#include "hv/console/edit.h"
#include "hv/core/virt.h"
#include "hv/lib/printf.h"

#define OUTPUT_SIZE 8192

uint32_t tsc_khz = 1000000;
uint64_t boot_tsc;

static char output[OUTPUT_SIZE];
static char last_order[64];
static enum status order_answer;
static uint32_t keyboard;
static bool log_shown, summary_shown;
static jmp_buf powered_off;

void console_print(const char *text, ...)
{
	va_list arguments;
	size_t used = strlen(output);

	va_start(arguments, text);
	format_v(output + used, sizeof(output) - used - 1, text, arguments);
	va_end(arguments);
	strcat(output, "\n");
}

void console_show_log(void)
{
	log_shown = true;
}

void console_audit(void)
{
	console_print("audit: done");
}

void console_summary(void)
{
	summary_shown = true;
}

bool console_give_keyboard(uint32_t owner)
{
	keyboard = owner;
	return true;
}

void console_key_help(void)
{
	console_print("the keys");
}

void machine_power_off(void)
{
	longjmp(powered_off, 1);
}

enum status partition_command(struct partition *partition, enum partition_order order, const char *reason)
{
	snprintf(last_order, sizeof(last_order), "%s %d %s", partition_name(partition), (int)order, reason);
	return order_answer;
}

const char *partition_state_name(const struct partition *partition)
{
	return partition->state == PARTITION_RUNNING ? "running" : "off";
}

const char *exit_class_name(unsigned exit_class)
{
	return exit_class == EXIT_HYPERCALL ? "hypercall" : "another";
}

static const char *reason_name(uint32_t reason)
{
	return reason == 0x1B ? "VMXON" : "unknown";
}

static const struct virt_ops ops = {.reason_name = reason_name};
const struct virt_ops *virt = &ops;

static struct partition_config configs[2] = {
	{.name = "alpha",
	 .mode = MODE_FULL,
	 .memory = 64 * MIB,
	 .image = "\\guests\\full.elf",
	 .on_fault = ON_FAULT_RESTART,
	 .max_restarts = 3,
	 .autostart = true},
	{.name = "beta",
	 .mode = MODE_PARA,
	 .memory = 32 * MIB,
	 .image = "\\guests\\para.elf",
	 .cmdline = "greet=hello"},
};
static struct vcpu_shared vcpus[3];
static struct partition two[2];
struct partition *partitions = two;
uint32_t partition_count = 2;

static int set_up(void **state)
{
	(void)state;
	memset(two, 0, sizeof(two));
	memset(vcpus, 0, sizeof(vcpus));
	two[0] = (struct partition){.id = 0,
				    .config = &configs[0],
				    .state = PARTITION_RUNNING,
				    .vcpu_count = 2,
				    .vcpu = vcpus,
				    .extent_count = 1,
				    .start_tsc = 1,
				    .image = {.size = 12345}};
	two[0].extent[0] = (struct memory_extent){.gpa = gpa(0), .hpa = hpa(0x4000000), .size = 64 * MIB};
	two[1] = (struct partition){.id = 1,
				    .config = &configs[1],
				    .vcpu_count = 1,
				    .vcpu = vcpus + 2,
				    .end = END_FAULT,
				    .end_reason = "triple fault",
				    .start_tsc = 1000000000,
				    .end_tsc = 3500000000};
	vcpus[0].state = VCPU_ON;
	vcpus[0].halted = 1;
	vcpus[1].cpu = 3;
	output[0] = last_order[0] = '\0';
	order_answer = OK;
	keyboard = 99;
	log_shown = summary_shown = false;
	return 0;
}

static void execute(const char *line)
{
	output[0] = '\0';
	monitor_execute(line);
}

#define assert_says(text) assert_non_null(strstr(output, text))

static void test_help_names_every_command(void **state)
{
	static const char *const names[] = {"help",  "list", "info", "stats", "start", "stop",
					    "reset", "keys", "log",  "audit", "off"};

	(void)state;
	execute("help");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_says(names[i]);
}

static void test_list(void **state)
{
	(void)state;
	execute("list");
	assert_says(" 1  alpha           running   full     2     64 MiB        0  -");
	assert_says(" 2  beta            off       para     1     32 MiB        0  triple fault");
}

static void test_info_by_name_and_number(void **state)
{
	(void)state;
	execute("info beta");
	assert_says("partition 2, beta: off, mode para");
	assert_says("run time  2.500 s");
	assert_says("cmdline   greet=hello");
	assert_says("why off   triple fault");
	execute("  info   1  ");
	assert_says("partition 1, alpha: running, mode full");
	assert_says("vcpu 0    on CPU 0, halted");
	assert_says("vcpu 1    on CPU 3, off");
	assert_says("guest 000000000000h at 000004000000h, 65536 KiB");
	assert_says("on_fault = restart, max_restarts = 3, autostart = yes");
	assert_says("\\guests\\full.elf, 12345 bytes");
	assert_says("cmdline   (none)");
}

static void test_stats_sum_all_vcpus(void **state)
{
	(void)state;
	vcpus[0].statistics[EXIT_HYPERCALL] = (struct exit_statistics){.count = 10, .tsc = 1000};
	vcpus[1].statistics[EXIT_HYPERCALL] = (struct exit_statistics){.count = 30, .tsc = 7000};
	vcpus[1].statistics[EXIT_HLT] = (struct exit_statistics){.count = 1, .tsc = 5};
	vcpus[0].reasons[0x1B] = 2;
	vcpus[1].reasons[0x1B] = 3;
	execute("stats alpha");
	assert_says("  reason VMXON: 5");
	assert_says("  hypercall                        40             8000        200");
	assert_says("  all                              41             8005        195");
	execute("stats 2");
	assert_says("  all                               0                0          0");
}

static void test_orders(void **state)
{
	(void)state;
	execute("start 2");
	assert_string_equal(last_order, "beta 1 by the monitor");
	execute("stop alpha");
	assert_string_equal(last_order, "alpha 2 by the monitor");
	execute("reset 1");
	assert_string_equal(last_order, "alpha 4 by the monitor");
	assert_string_equal(output, "");
	order_answer = ERR_BUSY;
	execute("start alpha");
	assert_string_equal(output, "start: alpha is running: busy\n");
	order_answer = ERR_INVALID;
	execute("start alpha");
	assert_string_equal(output, "start: alpha is running: expected it to be off\n");
	execute("stop beta");
	assert_string_equal(output, "stop: beta is off: expected it to run\n");
	strcpy(two[1].refused, "2 CPUs wanted, 1 is there");
	execute("start beta");
	assert_string_equal(output, "start: beta is off: 2 CPUs wanted, 1 is there\n");
}

static void test_keys(void **state)
{
	(void)state;
	execute("keys");
	assert_string_equal(output, "the keys\n");
	execute("keys beta");
	assert_int_equal(keyboard, 2);
}

static void test_log_and_off(void **state)
{
	(void)state;
	execute("log");
	assert_true(log_shown);
	if (!setjmp(powered_off)) {
		execute("off");
		fail();
	}
	assert_true(summary_shown);
}

static void test_mistakes_are_explained(void **state)
{
	(void)state;
	execute("");
	assert_string_equal(output, "");
	execute("    ");
	assert_string_equal(output, "");
	execute("frobnicate now");
	assert_string_equal(output, "no command 'frobnicate': 'help' lists them\n");
	execute("info");
	assert_string_equal(output, "info: expected a partition: 'info P'\n");
	execute("info alpha beta");
	assert_string_equal(output, "info: found 3 words, expected 'info P'\n");
	execute("list 1");
	assert_string_equal(output, "list: found 2 words, expected 'list'\n");
	execute("stop gamma");
	assert_string_equal(
		output, "no partition 'gamma': expected a number from 1 to 2 or a name that 'list' shows\n");
	execute("stop 0");
	assert_says("no partition '0'");
	execute("stop 3");
	assert_says("no partition '3'");
	execute("stop 99999999999999999999999999");
	assert_says("no partition '9999");
	execute("stop 1x");
	assert_says("no partition '1x'");
	execute("a b c d e f g h i j k l m n o p");
	assert_says("no command 'a'");
	assert_string_equal(last_order, "");
}

static struct line_edit edit;

static bool type(const char *text)
{
	bool done = false;

	for (; *text; text++)
		done = edit_feed(&edit, (uint8_t)*text);
	return done;
}

static void test_editing(void **state)
{
	(void)state;
	memset(&edit, 0, sizeof(edit));
	assert_false(type("lisd\bt"));
	assert_true(type("\r"));
	assert_string_equal(edit.text, "list");
	edit.length = 0;
	assert_false(type("\n")); /* of the same Enter */
	assert_true(type("\b\b\x7F"
			 "abc\x15 off\n"));
	assert_string_equal(edit.text, " off");
	edit.length = 0;
	assert_true(type("\033[A\033[1;5Cl\033OPog\x03ok\t\x01\r"));
	assert_string_equal(edit.text, "ok");
}

static void test_editing_a_line_too_long(void **state)
{
	(void)state;
	memset(&edit, 0, sizeof(edit));
	for (int i = 0; i < 1000; i++)
		assert_false(edit_feed(&edit, 'x'));
	assert_true(edit_feed(&edit, '\r'));
	assert_int_equal(strlen(edit.text), EDIT_SIZE - 1);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_help_names_every_command),
		TEST(test_list),
		TEST(test_info_by_name_and_number),
		TEST(test_stats_sum_all_vcpus),
		TEST(test_orders),
		TEST(test_keys),
		TEST(test_log_and_off),
		TEST(test_editing),
		TEST(test_editing_a_line_too_long),
		TEST(test_mistakes_are_explained),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
