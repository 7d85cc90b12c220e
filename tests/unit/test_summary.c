/*
 * The two tables a machine leaves behind: the summary before power-off, and what `audit` found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/paging.h"
#include "arch/x86/percpu.h"
#include "hv/console/console.h"
#include "hv/core/audit.h"
#include "hv/mem/pool.h"
#include "tests/unit/fake_cpu.h"

#define POOL_FRAME 0x100000ull

static char told[8192];
static bool synchronous;
static uint64_t findings; /* how many the audit has, and of whom */
static owner_t owner;
static struct audit_scope scope;

uint32_t tsc_khz = 1000000;
uint64_t boot_tsc;
struct percpu this_cpu[1] = {{.index = 3}};
const char image_text_end[1], image_rodata_end[1];
char image_end[1];
static struct partition_config configs[2] = {{.name = "alpha"}, {.name = "beta"}};
static struct vcpu_shared vcpus[3];
static struct partition two[2];
struct partition *partitions = two;
uint32_t partition_count = 2;

void console_print(const char *text, ...)
{
	size_t used = strlen(told);
	va_list arguments;

	va_start(arguments, text);
	vsnprintf(told + used, sizeof(told) - used - 1, text, arguments);
	va_end(arguments);
	strcat(told, "\n");
}

void console_synchronous(void)
{
	synchronous = true;
}

hpa_t pool_address(const void *address)
{
	assert_int_equal((uint64_t)address, POOL_BASE);
	return hpa(POOL_FRAME);
}

size_t pool_size(void)
{
	return 16;
}

const char *owner_kind(owner_t which)
{
	return which >= OWNER_PARTITION(0) ? "partition" : "free";
}

struct audit_result audit_machine(const struct audit_scope *given, audit_report_fn *report, void *context)
{
	scope = *given;
	for (uint64_t i = 0; i < findings; i++)
		report(context, &(struct audit_finding){.guest = i % 2,
							.index = 0,
							.address = 0x7000 + i,
							.frame = hpa(0x9000),
							.owner = owner,
							.rule = "not its own"});
	return (struct audit_result){.mappings = 77, .cpus = 4, .partitions = 2, .violations = findings};
}

static int set_up(void **state)
{
	(void)state;
	memset(told, 0, sizeof(told));
	memset(vcpus, 0, sizeof(vcpus));
	synchronous = false;
	findings = 0;
	fake_cpu_reset();
	cpu.tsc = 9000000000;
	cpu.cr3 = 0x5000;
	for (uint32_t i = 0; i < 2; i++)
		two[i] = (struct partition){.id = i, .config = &configs[i], .vcpu = &vcpus[i * 2]};
	two[0].vcpu_count = 2;
	two[1].vcpu_count = 1;
	return 0;
}

static void assert_told(const char *text)
{
	if (!strstr(told, text))
		fail_msg("not told: %s\nbut: %s", text, told);
}

static void test_summary(void **state)
{
	(void)state;
	two[0].state = PARTITION_RUNNING;
	two[0].start_tsc = 1000000000;
	two[0].restarts = 3;
	two[0].console.lines = 12;
	strcpy(two[0].end_reason, "of an order before");
	vcpus[0].statistics[EXIT_CPUID].count = 40;
	vcpus[1].statistics[EXIT_OTHER].count = 2;
	two[1].start_tsc = 1000000000;
	two[1].end_tsc = 3500000000;
	two[1].end = END_FAULT;
	strcpy(two[1].end_reason, "triple fault");
	console_summary();
	assert_true(synchronous);
	assert_told("  alpha           was running        8.000 s           42         12        3  \n");
	assert_told("  beta            fault              2.500 s            0          0        0  triple "
		    "fault\n");
}

static void test_summary_of_other_ends(void **state)
{
	(void)state;
	two[1].end = END_SYSTEM_OFF;
	two[1].start_tsc = two[1].end_tsc = 1;
	console_summary();
	assert_told("  alpha           never started      0.000 s");
	assert_told("  beta            system off         0.000 s");
	two[0].end = END_STOPPED;
	console_summary();
	assert_told("  alpha           stopped ");
	two[0].end = 99;
	console_summary();
	assert_told("  alpha           unknown ");
}

static void test_clean_audit(void **state)
{
	(void)state;
	console_audit();
	assert_string_equal(told, "audit: 77 mappings of 4 CPUs and 2 partitions checked, no violation\n");
	assert_int_equal(scope.cpu, 3);
	assert_int_equal(scope.cr3.value, 0x5000);
	assert_int_equal(scope.pool.value, POOL_FRAME);
	assert_int_equal(scope.pool_bytes, 16 * PAGE_SIZE);
}

static void test_findings(void **state)
{
	(void)state;
	findings = 2;
	owner = OWNER_PARTITION(1);
	console_audit();
	assert_told("audit: CPU 0: address 7000, frame 9000 (partition beta): not its own\n");
	assert_told("audit: partition 1: address 7001, frame 9000 (partition beta): not its own\n");
	assert_told("audit: 2 violations\n");
}

/* Tables that are wrong throughout do not flood the console. */
static void test_many_findings(void **state)
{
	unsigned lines = 0;

	(void)state;
	findings = 5000;
	owner = OWNER_FREE;
	console_audit();
	for (const char *at = told; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 21);
	assert_told("(free): not its own");
	assert_told("audit: 5000 violations\n");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_summary), TEST(test_summary_of_other_ends),
					   TEST(test_clean_audit), TEST(test_findings),
					   TEST(test_many_findings)};

	return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
