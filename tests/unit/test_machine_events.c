/*
 * NMIs and machine checks of a CPU with three banks: what can be survived and what cannot, whose partition
 * ends, and what is told, once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/apic.h"
#include "arch/x86/interrupts.h"
#include "arch/x86/machine_events.h"
#include "arch/x86/percpu.h"
#include "hv/core/partition.h"
#include "hv/lib/log.h"
#include "hv/mem/frames.h"
#include "tests/unit/fake_cpu.h"

#define BANKS	      3
#define STATUS(bank)  (0x401u + 4 * (bank))
#define ADDRESS(bank) (0x402u + 4 * (bank))
#define CONTROL(bank) (0x400u + 4 * (bank))
#define MCG_CONTROL   0x17Bu
#define VALID	      (1ull << 63)
#define UNCORRECTED   (1ull << 61)
#define HAS_ADDRESS   (1ull << 58)
#define CORRUPT	      (1ull << 57)
#define BETAS_MEMORY  0x500000ull
#define OUR_MEMORY    0x200000ull
#define FREE_MEMORY   0x900000ull

struct percpu this_cpu[1];
struct vcpu this_vcpu[1];
static struct vcpu_shared shared;
static struct partition_config configs[2] = {{.name = "alpha"}, {.name = "beta"}};
static struct partition two[2] = {{.config = &configs[0]}, {.config = &configs[1]}};
struct partition *partitions = two;
uint32_t partition_count = 2;

static char told[4096];
static unsigned kicks, orders;
static const struct partition *ordered;
static enum status order_answer;
static uint8_t port_61h;

void log_line(enum log_level level, const char *text, ...)
{
	size_t used = strlen(told);
	va_list arguments;

	(void)level;
	va_start(arguments, text);
	vsnprintf(told + used, sizeof(told) - used - 1, text, arguments);
	va_end(arguments);
	strcat(told, "\n");
}

void apic_send_self(uint8_t vector)
{
	assert_int_equal(vector, VECTOR_KICK);
	kicks++;
}

enum status partition_command(struct partition *partition, enum partition_order order, const char *reason)
{
	assert_int_equal(order, ORDER_FAULT);
	assert_string_equal(reason, "machine check in its memory");
	ordered = partition;
	orders++;
	return order_answer;
}

static uint8_t in(uint16_t port)
{
	return port == 0x61 ? port_61h : 0xFF;
}

static void own(uint64_t start, owner_t owner)
{
	assert_int_equal(frames_add(&machine_frames, hpa(start), MIB, owner), OK);
}

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	memset(this_cpu, 0, sizeof(this_cpu));
	memset(told, 0, sizeof(told));
	kicks = orders = 0;
	ordered = NULL;
	order_answer = OK;
	port_61h = 0;
	atomic_store(&shared.requests, 0);
	this_vcpu->shared = &shared;
	machine_frames.count = 0;
	own(OUR_MEMORY, OWNER_HYPERVISOR);
	own(BETAS_MEMORY, OWNER_PARTITION(1));
	own(FREE_MEMORY, OWNER_FREE);
	cpu.in = in;
	fake_cpu_leaf(1, 0, (struct cpuid_result){.edx = 1u << 14});
	wrmsr(MSR_MCG_CAP, 1u << 8 | BANKS);
	wrmsr(MSR_MCG_STATUS, 1 | 1u << 2); /* RIP valid, in progress */
	return 0;
}

static void break_memory(unsigned bank, uint64_t status, uint64_t address)
{
	wrmsr(STATUS(bank), VALID | status);
	wrmsr(ADDRESS(bank), address);
}

static void assert_told(const char *text)
{
	if (!strstr(told, text))
		fail_msg("not told: %s\nbut: %s", text, told);
}

static void test_enable(void **state)
{
	(void)state;
	break_memory(2, 0, 0);
	machine_events_enable();
	assert_int_equal(rdmsr(MCG_CONTROL), UINT64_MAX);
	for (unsigned bank = 0; bank < BANKS; bank++) {
		assert_int_equal(rdmsr(CONTROL(bank)), UINT64_MAX);
		assert_int_equal(rdmsr(STATUS(bank)), 0);
	}
	assert_told("bank 2"); /* from before */
}

static void test_cpu_without(void **state)
{
	(void)state;
	fake_cpu_leaf(1, 0, (struct cpuid_result){0});
	break_memory(0, UNCORRECTED, 0);
	machine_events_enable();
	machine_check_tell();
	assert_string_equal(told, "");
	assert_int_equal(rdmsr(MCG_CONTROL), 0);
}

/* Its own partition ends, and the CPU can take the next one. */
static void test_partitions_memory(void **state)
{
	(void)state;
	break_memory(1, UNCORRECTED | HAS_ADDRESS, BETAS_MEMORY + 0x1234);
	assert_true(machine_check_note());
	assert_int_equal(rdmsr(STATUS(1)), 0);
	assert_int_equal(rdmsr(MSR_MCG_STATUS), 0);
	assert_int_equal(kicks, 1);
	assert_true(atomic_load(&shared.requests) & REQUEST_MACHINE);
	assert_int_equal(orders, 0); /* not in the handler */
	machine_events_report();
	assert_ptr_equal(ordered, &two[1]);
	assert_told("partition beta: machine check: its memory is damaged at HPA 0x501234");
	machine_events_report();
	assert_int_equal(orders, 1);
}

/* An agreement's memory is its owner's trouble; and no index is believed. */
static void test_memory_of_an_agreement(void **state)
{
	(void)state;
	machine_frames.count = 0;
	own(OUR_MEMORY, OWNER_HYPERVISOR);
	own(BETAS_MEMORY, OWNER_AGREEMENT(SHARES_OF_ONE + 3));
	own(FREE_MEMORY, OWNER_AGREEMENT(SHARES_OF_ONE * 2));
	break_memory(1, UNCORRECTED | HAS_ADDRESS, BETAS_MEMORY + 0x1234);
	assert_true(machine_check_note());
	machine_events_report();
	assert_ptr_equal(ordered, &two[1]);
	wrmsr(MSR_MCG_STATUS, 1 | 1u << 2);
	break_memory(1, UNCORRECTED | HAS_ADDRESS, FREE_MEMORY);
	assert_true(machine_check_note());
	machine_events_report();
	assert_int_equal(orders, 1);
}

static void test_partition_that_is_off(void **state)
{
	(void)state;
	order_answer = ERR_INVALID;
	break_memory(0, UNCORRECTED | HAS_ADDRESS, BETAS_MEMORY);
	assert_true(machine_check_note());
	machine_events_report();
	assert_told("it is not running, or is being ended already");
}

static void test_survivable(void **state)
{
	(void)state;
	break_memory(0, HAS_ADDRESS, OUR_MEMORY); /* corrected */
	assert_true(machine_check_note());
	machine_events_report();
	assert_int_equal(orders, 0);
	assert_told("(corrected)");
	wrmsr(MSR_MCG_STATUS, 1);
	break_memory(0, UNCORRECTED | HAS_ADDRESS, FREE_MEMORY);
	assert_true(machine_check_note());
	machine_events_report();
	assert_int_equal(orders, 0);
	wrmsr(MSR_MCG_STATUS, 1); /* no bank has anything: spurious */
	assert_true(machine_check_note());
}

static void test_not_survivable(void **state)
{
	static const struct {
		uint64_t status, address;
	} rows[] = {{UNCORRECTED | HAS_ADDRESS, OUR_MEMORY},
		    {UNCORRECTED | HAS_ADDRESS, 0xFFFF0000}, /* nobody has named it */
		    {UNCORRECTED, 0},			     /* somewhere */
		    {UNCORRECTED | HAS_ADDRESS | CORRUPT, BETAS_MEMORY}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		set_up(state);
		break_memory(0, rows[i].status, rows[i].address);
		assert_false(machine_check_note());
		assert_int_not_equal(rdmsr(STATUS(0)), 0); /* the report still finds it */
		machine_check_tell();
		assert_told("bank 0");
	}
	set_up(state);
	break_memory(0, UNCORRECTED | HAS_ADDRESS, BETAS_MEMORY);
	wrmsr(MSR_MCG_STATUS, 0); /* what was interrupted cannot go on */
	assert_false(machine_check_note());
}

static void test_too_many_at_once(void **state)
{
	(void)state;
	break_memory(0, UNCORRECTED | HAS_ADDRESS, BETAS_MEMORY);
	break_memory(2, UNCORRECTED | HAS_ADDRESS, BETAS_MEMORY);
	assert_false(machine_check_note());
	set_up(state);
	break_memory(0, HAS_ADDRESS, BETAS_MEMORY);
	assert_true(machine_check_note());
	wrmsr(MSR_MCG_STATUS, 1);
	break_memory(0, HAS_ADDRESS, BETAS_MEMORY);
	assert_false(machine_check_note()); /* the first has not been told */
}

static void test_nmis(void **state)
{
	(void)state;
	port_61h = 0x80;
	machine_nmi_note();
	machine_nmi_note();
	assert_int_equal(kicks, 2);
	machine_events_report();
	assert_told("NMI from outside, 2 in all (port 61h: 0x80, SERR#)");
	told[0] = '\0';
	machine_events_report(); /* nothing new */
	assert_string_equal(told, "");
}

/* A line of NMIs does not flood the console, nor a CPU without a vCPU. */
static void test_storm(void **state)
{
	unsigned lines = 0;

	(void)state;
	this_vcpu->shared = NULL;
	for (unsigned i = 0; i < 1000; i++) {
		machine_nmi_note();
		machine_events_report();
	}
	for (const char *at = told; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 9);
	assert_told("no source named");
	assert_told("are counted in silence");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_enable),
					   TEST(test_cpu_without),
					   TEST(test_partitions_memory),
					   TEST(test_memory_of_an_agreement),
					   TEST(test_partition_that_is_off),
					   TEST(test_survivable),
					   TEST(test_not_survivable),
					   TEST(test_too_many_at_once),
					   TEST(test_nmis),
					   TEST(test_storm)};

	return cmocka_run_group_tests_name("machine_events", tests, NULL, NULL);
}
