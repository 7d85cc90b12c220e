/*
 * Bulkhead's own calls: event pages, IPIs, the deadline, the clock page, and the console ring with an honest
 * and a hostile guest at the other end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/clock.h"
#include "hv/call/call.h"
#include "tests/unit/fake_partition.h"

#define EVENT_GPA 0x1000u
#define RING_GPA  0x2000u
#define CLOCK_GPA 0x3000u
#define VECTOR	  48u
#define BIT(n)	  (1ull << (n))

static int set_up(void **state)
{
	(void)state;
	fake_create(MODE_PARA);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_destroy();
	return 0;
}

static struct bh_event_page *events(void)
{
	return (struct bh_event_page *)(void *)(fake.memory + EVENT_GPA);
}

static struct bh_console_ring *ring(void)
{
	return (struct bh_console_ring *)(void *)(fake.memory + RING_GPA);
}

static void expect(uint32_t function, uint64_t x1, uint64_t x2, int64_t result)
{
	assert_int_equal(fake_call3(0, function, x1, x2, 0), (uint64_t)result);
	assert_int_equal(fake.action, EXIT_NEXT);
}

static void give_event_page(void)
{
	expect(VENDOR_EVENT_PAGE, EVENT_GPA, VECTOR, SMCCC_SUCCESS);
}

static void give_ring(void)
{
	expect(VENDOR_CONSOLE_RING, RING_GPA, 0, SMCCC_SUCCESS);
	vendor_console_input(&fake.vcpu[0]); /* what REQUEST_CONSOLE leads to */
}

/* Every page a guest might name wrongly. */
static const uint64_t bad_pages[] = {1,
				     8,
				     0x1FFF,
				     FAKE_MEMORY_SIZE,
				     FAKE_MEMORY_SIZE + PAGE_SIZE,
				     UINT64_MAX,
				     UINT64_MAX - PAGE_SIZE + 1,
				     1ull << 52};

static void test_bad_pages(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bad_pages); i++) {
		expect(VENDOR_EVENT_PAGE, bad_pages[i], VECTOR, SMCCC_INVALID_PARAMETER);
		expect(VENDOR_CONSOLE_RING, bad_pages[i], 0, SMCCC_INVALID_PARAMETER);
		expect(VENDOR_CLOCK_PAGE, bad_pages[i], 0, SMCCC_INVALID_PARAMETER);
	}
	assert_null(fake.vcpu[0].event_page);
	assert_null(fake.partition.console_ring);
}

/*
 * Events
 */

static void test_event_page(void **state)
{
	(void)state;
	give_event_page();
	assert_ptr_equal(fake.vcpu[0].event_page, events());
	assert_int_equal(atomic_load(&fake.shared[0].call_page[CALL_PAGE_EVENTS]), EVENT_GPA);
	assert_int_equal(fake.vcpu[0].upcall_vector, VECTOR);
	assert_null(fake.vcpu[1].event_page);
	expect(VENDOR_EVENT_PAGE, 0, 0, SMCCC_SUCCESS);
	assert_null(fake.vcpu[0].event_page);
}

static void test_upcall_vectors(void **state)
{
	(void)state;
	expect(VENDOR_EVENT_PAGE, EVENT_GPA, 32, SMCCC_SUCCESS);
	expect(VENDOR_EVENT_PAGE, EVENT_GPA, 255, SMCCC_SUCCESS);
	expect(VENDOR_EVENT_PAGE, EVENT_GPA, 31, SMCCC_INVALID_PARAMETER);
	expect(VENDOR_EVENT_PAGE, EVENT_GPA, 256, SMCCC_INVALID_PARAMETER);
	expect(VENDOR_EVENT_PAGE, EVENT_GPA, BIT(32) | VECTOR, SMCCC_INVALID_PARAMETER);
	assert_int_equal(fake.vcpu[0].upcall_vector, 255);
}

static void test_events_reach_the_page(void **state)
{
	(void)state;
	give_event_page();
	assert_false(events_due(&fake.vcpu[0]));
	vcpu_raise_event(&fake.shared[0], 3);
	vcpu_raise_event(&fake.shared[0], 63);
	assert_int_equal(events()->pending, 0);
	assert_int_equal(fake.shared[0].requests & REQUEST_INTERRUPT, REQUEST_INTERRUPT);
	assert_true(events_due(&fake.vcpu[0]));
	assert_int_equal(events()->pending, BIT(3) | BIT(63));
	assert_int_equal(fake.shared[0].events, 0);
	events()->pending = BIT(3);
	assert_true(events_due(&fake.vcpu[0]));
	events()->pending = 0;
	assert_false(events_due(&fake.vcpu[0]));
}

static void test_masked_events_wait(void **state)
{
	(void)state;
	give_event_page();
	events()->mask = BIT(5);
	vcpu_raise_event(&fake.shared[0], 5);
	assert_false(events_due(&fake.vcpu[0]));
	assert_int_equal(events()->pending, BIT(5));
	vcpu_raise_event(&fake.shared[0], 6);
	assert_true(events_due(&fake.vcpu[0]));
	events()->pending = BIT(5);
	events()->mask = 0;
	assert_true(events_due(&fake.vcpu[0]));
}

static void test_events_wait_for_the_page(void **state)
{
	(void)state;
	vcpu_raise_event(&fake.shared[0], 9);
	assert_false(events_due(&fake.vcpu[0]));
	atomic_store(&fake.shared[0].requests, 0);
	give_event_page();
	assert_int_equal(fake.shared[0].requests & REQUEST_INTERRUPT, REQUEST_INTERRUPT);
	assert_true(events_due(&fake.vcpu[0]));
	assert_int_equal(events()->pending, BIT(9));
}

static void test_vcpu_reset_forgets_the_page(void **state)
{
	(void)state;
	give_event_page();
	vcpu_raise_event(&fake.shared[0], 1);
	vendor_vcpu_reset(&fake.vcpu[0]);
	assert_false(events_due(&fake.vcpu[0]));
	assert_int_equal(events()->pending, 0);
}

static void test_ipi(void **state)
{
	(void)state;
	atomic_store(&fake.shared[2].state, VCPU_ON);
	expect(VENDOR_IPI, 2, 0, SMCCC_SUCCESS);
	expect(VENDOR_IPI, 2, 55, SMCCC_SUCCESS);
	assert_int_equal(fake.shared[2].events, BIT(0) | BIT(55));
	assert_int_equal(fake.shared[2].requests & REQUEST_INTERRUPT, REQUEST_INTERRUPT);
	expect(VENDOR_IPI, 0, 7, SMCCC_SUCCESS);
	assert_int_equal(fake.shared[0].events, BIT(7));
}

static void test_ipi_errors(void **state)
{
	(void)state;
	expect(VENDOR_IPI, 0, 56, SMCCC_INVALID_PARAMETER);
	expect(VENDOR_IPI, 0, BH_EVENT_TIMER, SMCCC_INVALID_PARAMETER);
	expect(VENDOR_IPI, 0, BIT(32), SMCCC_INVALID_PARAMETER);
	expect(VENDOR_IPI, FAKE_VCPUS, 0, SMCCC_INVALID_PARAMETER);
	expect(VENDOR_IPI, BIT(32), 0, SMCCC_INVALID_PARAMETER);
	expect(VENDOR_IPI, 1, 0, SMCCC_INVALID_PARAMETER); /* off */
	atomic_store(&fake.shared[1].state, VCPU_STARTING);
	expect(VENDOR_IPI, 1, 0, SMCCC_INVALID_PARAMETER);
	for (unsigned i = 0; i < FAKE_VCPUS; i++)
		assert_int_equal(fake.shared[i].events, 0);
}

static void test_deadline(void **state)
{
	(void)state;
	give_event_page();
	expect(VENDOR_DEADLINE, 12345, 0, SMCCC_SUCCESS);
	assert_int_equal(fake.vcpu[0].timer[TIMER_DEADLINE], 12345);
	expect(VENDOR_DEADLINE, 0, 0, SMCCC_SUCCESS);
	assert_int_equal(fake.vcpu[0].timer[TIMER_DEADLINE], TIMER_NEVER);
	vendor_timer(&fake.vcpu[0]);
	assert_true(events_due(&fake.vcpu[0]));
	assert_int_equal(events()->pending, BIT(BH_EVENT_TIMER));
}

static void test_clock_page(void **state)
{
	const struct bh_clock_page *clock = (struct bh_clock_page *)(void *)(fake.memory + CLOCK_GPA);
	const unsigned __int128 second = FAKE_TSC_KHZ * 1000ull;

	(void)state;
	expect(VENDOR_CLOCK_PAGE, CLOCK_GPA, 0, SMCCC_SUCCESS);
	assert_int_equal(clock->version, 1);
	assert_int_equal(clock->tsc_khz, FAKE_TSC_KHZ);
	assert_int_equal(clock->tsc_base, boot_tsc);
	assert_int_equal(clock->ns_base, 0);
	assert_int_equal(clock->wall_s, boot_wall_s);
	assert_in_range((uint64_t)(second * clock->mul >> 32), 999999999, 1000000000);
	expect(VENDOR_CLOCK_PAGE, 0, 0, SMCCC_SUCCESS);
	assert_int_equal(clock->version, 1);
}

/*
 * Console ring, output
 */

static void guest_writes(const char *text)
{
	for (; *text; text++)
		ring()->out[ring()->out_head++ % BH_RING_OUT_SIZE] = (uint8_t)*text;
}

static void assert_console(const char *text)
{
	assert_int_equal(fake.console_length, strlen(text));
	assert_memory_equal(fake.console, text, strlen(text));
	fake.console_length = 0;
}

static void test_kick_fetches(void **state)
{
	(void)state;
	give_ring();
	assert_int_equal(ring()->kick_wanted, 1);
	guest_writes("hello\n");
	expect(VENDOR_CONSOLE_KICK, 0, 0, SMCCC_SUCCESS);
	assert_console("hello\n");
	assert_int_equal(ring()->out_tail, ring()->out_head);
}

static void test_kick_without_a_ring(void **state)
{
	(void)state;
	expect(VENDOR_CONSOLE_KICK, 0, 0, SMCCC_NOT_REQUIRED);
}

/* While bytes flow the timer looks again and no kick is wanted; an empty look sends both to sleep. */
static void test_steady_flow_needs_no_kick(void **state)
{
	(void)state;
	give_ring();
	guest_writes("one");
	expect(VENDOR_CONSOLE_KICK, 0, 0, SMCCC_SUCCESS);
	assert_int_equal(ring()->kick_wanted, 0);
	assert_true(fake.vcpu[0].timer[TIMER_CONSOLE] != TIMER_NEVER);
	guest_writes("two");
	fake.vcpu[0].timer[TIMER_CONSOLE] = TIMER_NEVER;
	vendor_console_poll(&fake.vcpu[0]);
	assert_console("onetwo");
	assert_int_equal(ring()->kick_wanted, 0);
	assert_true(fake.vcpu[0].timer[TIMER_CONSOLE] != TIMER_NEVER);
	fake.vcpu[0].timer[TIMER_CONSOLE] = TIMER_NEVER;
	vendor_console_poll(&fake.vcpu[0]);
	assert_int_equal(ring()->kick_wanted, 1);
	assert_int_equal(fake.vcpu[0].timer[TIMER_CONSOLE], TIMER_NEVER);
}

/* On CPU 0 the same timer is the console's own tick. */
static void test_earlier_console_tick_stays(void **state)
{
	(void)state;
	give_ring();
	fake.vcpu[0].timer[TIMER_CONSOLE] = 1;
	guest_writes("x");
	expect(VENDOR_CONSOLE_KICK, 0, 0, SMCCC_SUCCESS);
	assert_int_equal(fake.vcpu[0].timer[TIMER_CONSOLE], 1);
}

static void test_kick_from_another_cpu(void **state)
{
	(void)state;
	give_ring();
	atomic_store(&fake.shared[0].requests, 0);
	guest_writes("from afar");
	assert_int_equal(fake_call3(1, VENDOR_CONSOLE_KICK, 0, 0, 0), SMCCC_SUCCESS);
	assert_console("from afar");
	assert_int_equal(fake.shared[0].requests & REQUEST_CONSOLE, REQUEST_CONSOLE);
	assert_int_equal(fake.vcpu[1].timer[TIMER_CONSOLE], TIMER_NEVER);
}

static void test_ring_wraps(void **state)
{
	char line[] = "0123456789abcdef0123456789abcdef0123456789abcdef\n";

	(void)state;
	give_ring();
	ring()->out_head = ring()->out_tail = UINT32_MAX - 100; /* positions wrap as well */
	for (unsigned i = 0; i < 100; i++) {
		guest_writes(line);
		vendor_console_poll(&fake.vcpu[0]);
		assert_console(line);
	}
}

static void test_full_ring(void **state)
{
	(void)state;
	give_ring();
	for (unsigned i = 0; i < BH_RING_OUT_SIZE; i++)
		ring()->out[ring()->out_head++ % BH_RING_OUT_SIZE] = (uint8_t)i;
	vendor_console_poll(&fake.vcpu[0]);
	assert_int_equal(fake.console_length, BH_RING_OUT_SIZE);
	for (unsigned i = 0; i < BH_RING_OUT_SIZE; i++)
		assert_int_equal((uint8_t)fake.console[i], (uint8_t)i);
}

static void test_space_event(void **state)
{
	(void)state;
	give_event_page();
	give_ring();
	guest_writes("x");
	vendor_console_poll(&fake.vcpu[0]);
	assert_int_equal(fake.shared[0].events, 0);
	ring()->out_waiting = 1;
	vendor_console_poll(&fake.vcpu[0]);
	assert_int_equal(ring()->out_waiting, 0);
	assert_true(events_due(&fake.vcpu[0]));
	assert_int_equal(events()->pending, BIT(BH_EVENT_CONSOLE_SPACE));
}

/* What the console does not take stays in the ring; the console itself asks for it, so nobody polls or kicks.
 */
static void test_ring_waits_for_room(void **state)
{
	(void)state;
	give_ring();
	guest_writes("0123456789");
	fake.console_room = 4;
	expect(VENDOR_CONSOLE_KICK, 0, 0, SMCCC_SUCCESS);
	assert_int_equal(fake.console_length, 4);
	assert_int_equal(ring()->out_tail, 4);
	assert_int_equal(ring()->kick_wanted, 0);
	fake.vcpu[0].timer[TIMER_CONSOLE] = TIMER_NEVER;
	vendor_console_poll(&fake.vcpu[0]);
	assert_int_equal(ring()->out_tail, 4);
	assert_int_equal(ring()->kick_wanted, 0);
	assert_int_equal(fake.vcpu[0].timer[TIMER_CONSOLE], TIMER_NEVER);
	fake.console_room = FAKE_CONSOLE_SIZE;
	vendor_console_input(&fake.vcpu[0]); /* what REQUEST_CONSOLE leads to */
	assert_console("0123456789");
}

/* A guest that asks again and again is woken by progress, not by its asking. */
static void test_space_event_needs_progress(void **state)
{
	(void)state;
	give_event_page();
	give_ring();
	guest_writes("0123456789");
	fake.console_room = 4;
	ring()->out_waiting = 1;
	expect(VENDOR_CONSOLE_KICK, 0, 0, SMCCC_SUCCESS);
	assert_int_equal(ring()->out_waiting, 0);
	assert_true(events_due(&fake.vcpu[0]));
	events()->pending = 0;
	ring()->out_waiting = 1;
	expect(VENDOR_CONSOLE_KICK, 0, 0, SMCCC_SUCCESS);
	assert_int_equal(ring()->out_waiting, 1);
	assert_false(events_due(&fake.vcpu[0]));
	fake.console_room = 5;
	vendor_console_input(&fake.vcpu[0]);
	assert_int_equal(ring()->out_waiting, 0);
	assert_true(events_due(&fake.vcpu[0]));
}

/* Positions that cannot be: never more than the ring's size is read, never outside of it. */
static void test_hostile_positions(void **state)
{
	static const uint32_t heads[] = {BH_RING_OUT_SIZE + 1, 0x7FFFFFFF, 0x80000000, UINT32_MAX};

	(void)state;
	give_ring();
	for (unsigned i = 0; i < ARRAY_SIZE(heads); i++) {
		fake.console_length = 0;
		ring()->out_tail = 0;
		ring()->out_head = heads[i];
		vendor_console_poll(&fake.vcpu[0]);
		assert_int_equal(fake.console_length, BH_RING_OUT_SIZE);
		assert_int_equal(ring()->out_tail, heads[i]);
	}
	fake.console_length = 0;
	ring()->out_tail = ring()->out_head + 1;
	vendor_console_poll(&fake.vcpu[0]);
	assert_int_equal(fake.console_length, BH_RING_OUT_SIZE);
}

static void test_ring_taken_back(void **state)
{
	(void)state;
	give_ring();
	guest_writes("last words");
	expect(VENDOR_CONSOLE_RING, 0, 0, SMCCC_SUCCESS);
	assert_console("last words");
	guest_writes("unheard");
	vendor_console_poll(&fake.vcpu[0]);
	assert_console("");
}

static void test_log_keeps_the_order(void **state)
{
	uint64_t word;

	(void)state;
	give_ring();
	guest_writes("first ");
	memcpy(&word, "second", 6);
	fake_call(0, (struct fake_registers){{FFA_CONSOLE_LOG_64, 6, word}});
	assert_console("first second");
}

static void test_log_waits_for_the_ring(void **state)
{
	struct fake_registers out;
	uint64_t word;

	(void)state;
	give_ring();
	guest_writes("first ");
	memcpy(&word, "second", 6);
	fake.console_room = 4;
	out = fake_call(0, (struct fake_registers){{FFA_CONSOLE_LOG_64, 6, word}});
	assert_int_equal(out.x[0], FFA_ERROR);
	assert_int_equal(out.x[2], (uint64_t)FFA_RETRY);
	assert_int_equal(out.x[3], 0);
	fake.console_room = 10;
	out = fake_call(0, (struct fake_registers){{FFA_CONSOLE_LOG_64, 6, word}});
	assert_int_equal(out.x[2], (uint64_t)FFA_RETRY);
	assert_int_equal(out.x[3], 4);
	assert_console("first seco");
}

static void test_partition_end_reads_the_rest(void **state)
{
	(void)state;
	give_ring();
	guest_writes("bye");
	call_partition_reset(&fake.partition);
	assert_console("bye|"); /* the fake's sign for the end of a life */
	assert_null(fake.partition.console_ring);
	assert_int_equal(atomic_load(&fake.partition.call_page[CALL_PAGE_RING]), 0);
}

/* With vCPU 0 the polling ends, so the guest must kick again. */
static void test_vcpu_0_goes_off(void **state)
{
	(void)state;
	give_ring();
	atomic_store(&fake.shared[1].state, VCPU_ON);
	guest_writes("a");
	expect(VENDOR_CONSOLE_KICK, 0, 0, SMCCC_SUCCESS);
	assert_int_equal(ring()->kick_wanted, 0);
	guest_writes("b");
	fake_call3(0, PSCI_CPU_OFF, 0, 0, 0);
	assert_console("ab");
	assert_int_equal(ring()->kick_wanted, 1);
	assert_non_null(fake.partition.console_ring);
}

/*
 * Console ring, input
 */

static void test_input(void **state)
{
	(void)state;
	give_event_page();
	give_ring();
	fake_type("ls\r");
	vendor_console_input(&fake.vcpu[0]);
	assert_int_equal(ring()->in_head, 3);
	assert_memory_equal(ring()->in, "ls\r", 3);
	assert_true(events_due(&fake.vcpu[0]));
	assert_int_equal(events()->pending, BIT(BH_EVENT_CONSOLE_INPUT));
	events()->pending = 0;
	vendor_console_input(&fake.vcpu[0]);
	assert_false(events_due(&fake.vcpu[0]));
}

static void test_input_waits_for_the_ring(void **state)
{
	(void)state;
	fake_type("early");
	vendor_console_input(&fake.vcpu[0]);
	give_ring();
	assert_int_equal(ring()->in_head, 5);
	assert_memory_equal(ring()->in, "early", 5);
}

static void test_input_waits_for_room(void **state)
{
	(void)state;
	give_ring();
	ring()->in_head = UINT32_MAX - 3;
	ring()->in_tail = ring()->in_head - BH_RING_IN_SIZE + 2;
	fake_type("abcd");
	vendor_console_input(&fake.vcpu[0]);
	assert_int_equal(ring()->in_head, UINT32_MAX - 1);
	vendor_console_input(&fake.vcpu[0]);
	assert_int_equal(ring()->in_head, UINT32_MAX - 1);
	ring()->in_tail = ring()->in_head;
	vendor_console_input(&fake.vcpu[0]);
	assert_int_equal(ring()->in_head, 0);
	assert_int_equal(ring()->in[BH_RING_IN_SIZE - 1], 'd');
}

static void test_hostile_input_positions(void **state)
{
	(void)state;
	give_ring();
	fake_type("abc");
	ring()->in_tail = 1; /* ahead of the hypervisor: the ring counts as full */
	vendor_console_input(&fake.vcpu[0]);
	assert_int_equal(ring()->in_head, 0);
	ring()->in_tail = 0x12345678;
	ring()->in_head = 0x12345678;
	vendor_console_input(&fake.vcpu[0]);
	assert_int_equal(ring()->in_head, 0x1234567B);
}

#define PARA(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PARA(test_bad_pages),
		PARA(test_event_page),
		PARA(test_upcall_vectors),
		PARA(test_events_reach_the_page),
		PARA(test_masked_events_wait),
		PARA(test_events_wait_for_the_page),
		PARA(test_vcpu_reset_forgets_the_page),
		PARA(test_ipi),
		PARA(test_ipi_errors),
		PARA(test_deadline),
		PARA(test_clock_page),
		PARA(test_kick_fetches),
		PARA(test_kick_without_a_ring),
		PARA(test_steady_flow_needs_no_kick),
		PARA(test_earlier_console_tick_stays),
		PARA(test_kick_from_another_cpu),
		PARA(test_ring_wraps),
		PARA(test_full_ring),
		PARA(test_space_event),
		PARA(test_ring_waits_for_room),
		PARA(test_space_event_needs_progress),
		PARA(test_hostile_positions),
		PARA(test_ring_taken_back),
		PARA(test_log_keeps_the_order),
		PARA(test_log_waits_for_the_ring),
		PARA(test_partition_end_reads_the_rest),
		PARA(test_vcpu_0_goes_off),
		PARA(test_input),
		PARA(test_input_waits_for_the_ring),
		PARA(test_input_waits_for_room),
		PARA(test_hostile_input_positions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
