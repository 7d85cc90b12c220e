/*
 * The 8254 by its data sheet: modes, latches, read-back, gate; and no drift over a day of ticks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hv/device/pit.h"

#define TSC_KHZ 2400123u
#define CONTROL 0x43
#define SYSTEM	0x61

static struct pit pit;
static uint64_t now;

static int reset(void **state)
{
	(void)state;
	pit_reset(&pit, TSC_KHZ);
	now = 123456789;
	return 0;
}

/* The first TSC value at which `ticks` have passed since `start`. */
static uint64_t after(uint64_t start, uint64_t ticks)
{
	const unsigned __int128 product = (unsigned __int128)ticks * TSC_KHZ * 1000 + PIT_HZ - 1;

	return start + (uint64_t)(product / PIT_HZ);
}

static void program(unsigned channel, unsigned mode, uint16_t count)
{
	pit_write(&pit, CONTROL, (uint8_t)(channel << 6 | 0x30 | mode << 1), now);
	pit_write(&pit, (uint16_t)(0x40 + channel), (uint8_t)count, now);
	pit_write(&pit, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8), now);
}

static uint16_t read_count(unsigned channel)
{
	const uint16_t port = (uint16_t)(0x40 + channel);
	uint16_t low;

	pit_write(&pit, CONTROL, (uint8_t)(channel << 6), now);
	low = pit_read(&pit, port, now);
	return (uint16_t)(pit_read(&pit, port, now) << 8 | low);
}

static void rate_generator(void **state)
{
	const uint64_t start = now;

	(void)state;
	program(0, 2, 1000);
	assert_int_equal(pit.edge, after(start, 1000));
	assert_int_equal(read_count(0), 1000);
	now = after(start, 1);
	assert_int_equal(read_count(0), 999);
	now = after(start, 999);
	assert_int_equal(read_count(0), 1);
	assert_false(pit_output(&pit, 0, now));
	assert_int_equal(0, pit_take_edges(&pit, now));
	now = after(start, 1000);
	assert_int_equal(read_count(0), 1000);
	assert_true(pit_output(&pit, 0, now));
	assert_int_equal(1, pit_take_edges(&pit, now));
	assert_int_equal(0, pit_take_edges(&pit, now));
	assert_int_equal(pit.edge, after(start, 2000));
	now = after(start, 5500); /* late: four edges have passed */
	assert_int_equal(4, pit_take_edges(&pit, now));
	assert_int_equal(pit.edge, after(start, 6000));
}

static void never_drifts(void **state)
{
	const uint64_t start = now, reload = 11932; /* 100 Hz */
	const uint64_t edges = 24 * 3600 * 100;

	(void)state;
	program(0, 2, (uint16_t)reload);
	for (uint64_t i = 1; i <= edges; i++) {
		now = pit.edge;
		if (now != after(start, i * reload) || pit_take_edges(&pit, now) != 1)
			fail_msg("edge %llu", (unsigned long long)i);
	}
}

static void square_wave(void **state)
{
	const uint64_t start = now;

	(void)state;
	program(0, 3, 5);
	static const uint8_t high[] = {1, 1, 1, 0, 0, 1};
	static const uint8_t count[] = {4, 2, 0, 4, 2, 4};
	for (unsigned tick = 0; tick < 6; tick++) {
		now = after(start, tick);
		assert_int_equal(pit_output(&pit, 0, now), high[tick]);
		assert_int_equal(read_count(0), count[tick]);
	}
	assert_int_equal(pit.edge, after(start, 5));
	program(0, 7, 0); /* mode 3 under its other number, 65536 */
	assert_int_equal(pit.edge, after(now, 65536));
}

static void terminal_count(void **state)
{
	const uint64_t start = now;

	(void)state;
	program(0, 0, 100);
	assert_false(pit_output(&pit, 0, now));
	now = after(start, 99);
	assert_int_equal(read_count(0), 1);
	assert_false(pit_output(&pit, 0, now));
	now = pit.edge;
	assert_int_equal(now, after(start, 100));
	assert_int_equal(1, pit_take_edges(&pit, now));
	assert_true(pit_output(&pit, 0, now));
	assert_int_equal(pit.edge, PIT_NEVER);
	now = after(start, 101);
	assert_int_equal(read_count(0), 0xFFFF); /* counts on */
	now = after(start, 100 + 65536ull * 1000000);
	assert_int_equal(read_count(0), 0);
	pit_write(&pit, 0x40, 5, now); /* the first byte stops it */
	assert_false(pit_output(&pit, 0, now));
	assert_int_equal(pit.edge, PIT_NEVER);
	pit_write(&pit, 0x40, 0, now);
	assert_int_equal(pit.edge, after(now, 5));
}

static void software_strobe(void **state)
{
	const uint64_t start = now;

	(void)state;
	program(0, 4, 10);
	assert_true(pit_output(&pit, 0, now));
	now = after(start, 10);
	assert_false(pit_output(&pit, 0, now));
	assert_int_equal(pit.edge, after(start, 11));
	now = pit.edge;
	assert_true(pit_output(&pit, 0, now));
	assert_int_equal(1, pit_take_edges(&pit, now));
	assert_int_equal(pit.edge, PIT_NEVER);
}

static void one_byte_access(void **state)
{
	(void)state;
	pit_write(&pit, CONTROL, 0x14, now); /* channel 0, low byte, mode 2 */
	pit_write(&pit, 0x40, 200, now);
	assert_int_equal(pit.edge, after(now, 200));
	assert_int_equal(pit_read(&pit, 0x40, now), 200);
	assert_int_equal(pit_read(&pit, 0x40, now), 200);
	pit_write(&pit, CONTROL, 0x24, now); /* high byte */
	pit_write(&pit, 0x40, 2, now);
	assert_int_equal(pit.edge, after(now, 512));
	assert_int_equal(pit_read(&pit, 0x40, now), 2);
}

static void bcd(void **state)
{
	const uint64_t start = now;

	(void)state;
	pit_write(&pit, CONTROL, 0x35, now); /* channel 0, both bytes, mode 2, BCD */
	pit_write(&pit, 0x40, 0x34, now);
	pit_write(&pit, 0x40, 0x12, now);
	assert_int_equal(pit.edge, after(start, 1234));
	assert_int_equal(read_count(0), 0x1234);
	now = after(start, 235);
	assert_int_equal(read_count(0), 0x0999);
	pit_write(&pit, CONTROL, 0x35, now);
	pit_write(&pit, 0x40, 0, now);
	pit_write(&pit, 0x40, 0, now);
	assert_int_equal(pit.edge, after(now, 10000));
}

static void latch_holds(void **state)
{
	const uint64_t start = now;

	(void)state;
	program(0, 2, 1000);
	pit_write(&pit, CONTROL, 0x00, now);
	now = after(start, 500);
	pit_write(&pit, CONTROL, 0x00, now); /* latched already: ignored */
	assert_int_equal(pit_read(&pit, 0x40, now), 1000 & 0xFF);
	assert_int_equal(pit_read(&pit, 0x40, now), 1000 >> 8);
	assert_int_equal(pit_read(&pit, 0x40, now), 500 & 0xFF); /* live */
	assert_int_equal(pit_read(&pit, 0x40, now), 500 >> 8);
	assert_int_equal(pit.edge, after(start, 1000)); /* looking moves nothing */
}

static void read_back(void **state)
{
	(void)state;
	pit_write(&pit, CONTROL, 0x34, now);
	pit_write(&pit, CONTROL, 0xE2, now);		   /* status of channel 0 */
	assert_int_equal(pit_read(&pit, 0x40, now), 0xF4); /* output high, nothing loaded */
	program(0, 2, 1000);
	program(1, 0, 7);
	pit_write(&pit, CONTROL, 0xC6, now); /* count and status of channels 0 and 1 */
	assert_int_equal(pit_read(&pit, 0x40, now), 0xB4);
	assert_int_equal(pit_read(&pit, 0x40, now), 1000 & 0xFF);
	assert_int_equal(pit_read(&pit, 0x40, now), 1000 >> 8);
	assert_int_equal(pit_read(&pit, 0x41, now), 0x30);
	assert_int_equal(pit_read(&pit, 0x41, now), 7);
	assert_int_equal(pit_read(&pit, CONTROL, now), 0xFF);
}

static void gate_of_channel_2(void **state)
{
	uint64_t start;

	(void)state;
	program(2, 0, 1000);
	now = after(now, 5000);
	assert_int_equal(read_count(2), 1000); /* the gate is closed */
	assert_int_equal(pit_read(&pit, SYSTEM, now) & 0x23, 0);
	pit_write(&pit, SYSTEM, 0x03, now);
	start = now;
	now = after(start, 400);
	assert_int_equal(read_count(2), 600);
	pit_write(&pit, SYSTEM, 0x00, now);
	now = after(start, 4000);
	assert_int_equal(read_count(2), 600);
	pit_write(&pit, SYSTEM, 0x01, now);
	start = now;
	now = after(start, 599);
	assert_int_equal(pit_read(&pit, SYSTEM, now) & 0x23, 0x01);
	now = after(start, 600);
	assert_int_equal(pit_read(&pit, SYSTEM, now) & 0x23, 0x21);
}

static void gated_modes(void **state)
{
	uint64_t start;

	(void)state;
	program(2, 1, 50);
	assert_true(pit_output(&pit, 2, now)); /* waits for its trigger */
	pit_write(&pit, SYSTEM, 0x01, now);
	start = now;
	assert_false(pit_output(&pit, 2, now));
	pit_write(&pit, SYSTEM, 0x00, now); /* the level does not matter */
	assert_false(pit_output(&pit, 2, after(start, 49)));
	assert_true(pit_output(&pit, 2, after(start, 50)));
	program(2, 3, 100);
	pit_write(&pit, SYSTEM, 0x01, now);
	start = now;
	now = after(start, 60);
	assert_false(pit_output(&pit, 2, now));
	pit_write(&pit, SYSTEM, 0x00, now);
	assert_true(pit_output(&pit, 2, now)); /* forced high */
	pit_write(&pit, SYSTEM, 0x01, now);
	assert_int_equal(read_count(2), 100); /* from the start */
}

static void refresh_toggles(void **state)
{
	unsigned changes = 0;
	uint8_t last = pit_read(&pit, SYSTEM, now);

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		now = after(now, 1);
		changes += (pit_read(&pit, SYSTEM, now) ^ last) >> 4 & 1;
		last = pit_read(&pit, SYSTEM, now);
	}
	assert_in_range(changes, 54, 57);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup(rate_generator, reset),
					   cmocka_unit_test_setup(never_drifts, reset),
					   cmocka_unit_test_setup(square_wave, reset),
					   cmocka_unit_test_setup(terminal_count, reset),
					   cmocka_unit_test_setup(software_strobe, reset),
					   cmocka_unit_test_setup(one_byte_access, reset),
					   cmocka_unit_test_setup(bcd, reset),
					   cmocka_unit_test_setup(latch_holds, reset),
					   cmocka_unit_test_setup(read_back, reset),
					   cmocka_unit_test_setup(gate_of_channel_2, reset),
					   cmocka_unit_test_setup(gated_modes, reset),
					   cmocka_unit_test_setup(refresh_toggles, reset)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
