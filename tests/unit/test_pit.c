/*
 * The 8254 by its data sheet: modes, when each takes a new count, latches, read-back, gate; no drift over a
 * day of ticks; and how Linux and memtest86+ measure their CPU by it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
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

/* Only the count, both bytes: no control word. */
static void rewrite(unsigned channel, uint16_t count)
{
	pit_write(&pit, (uint16_t)(0x40 + channel), (uint8_t)count, now);
	pit_write(&pit, (uint16_t)(0x40 + channel), (uint8_t)(count >> 8), now);
}

/* Read-back of the status alone: bit 6 until the count that was written last is taken. */
static bool null_count(unsigned channel)
{
	pit_write(&pit, CONTROL, (uint8_t)(0xE0 | 2u << channel), now);
	return pit_read(&pit, (uint16_t)(0x40 + channel), now) & 0x40;
}

/* Mode 2: the period goes on to its end, and the next is the first of the new length. */
static void rate_takes_a_count_at_its_end(void **state)
{
	const uint64_t start = now;

	(void)state;
	program(0, 2, 1000);
	assert_false(null_count(0));
	now = after(start, 300);
	rewrite(0, 5000);
	rewrite(0, 200); /* the last one counts */
	assert_true(null_count(0));
	assert_int_equal(pit.edge, after(start, 1000));
	now = after(start, 999);
	assert_int_equal(read_count(0), 1);
	assert_false(pit_output(&pit, 0, now));
	assert_true(null_count(0));
	now = after(start, 1000);
	assert_int_equal(1, pit_take_edges(&pit, now));
	assert_false(null_count(0));
	assert_int_equal(read_count(0), 200);
	assert_int_equal(pit.edge, after(after(start, 1000), 200));
	now = pit.edge;
	assert_int_equal(1, pit_take_edges(&pit, now));
}

/* As before, but nobody looks until long after; or only the guest, who reads the counter first. */
static void edges_around_a_new_rate(void **state)
{
	(void)state;
	for (unsigned looks = 0; looks < 2; looks++) {
		const uint64_t start = now;

		program(0, 2, 1000);
		now = after(start, 300);
		rewrite(0, 200);
		now = after(start, 1000 + 5 * 200 + 50);
		if (looks)
			assert_int_equal(read_count(0), 150);
		assert_int_equal(6, pit_take_edges(&pit, now));
		assert_int_equal(0, pit_take_edges(&pit, now));
		assert_int_equal(read_count(0), 150);
		assert_int_equal(pit.edge, after(after(start, 1000), 6 * 200));
	}
}

/* An edge that has passed, and nobody has taken, is not lost to a count that waits. */
static void overdue_edge_outlives_a_new_rate(void **state)
{
	const uint64_t start = now;

	(void)state;
	program(0, 2, 1000);
	now = after(start, 1100);
	rewrite(0, 200);
	assert_int_equal(pit.edge, after(start, 1000));
	assert_int_equal(1, pit_take_edges(&pit, now));
	assert_int_equal(pit.edge, after(start, 2000));
	now = after(start, 2100);
	assert_int_equal(1, pit_take_edges(&pit, now));
	assert_int_equal(pit.edge, after(after(start, 2000), 200));
}

/* A guest that writes a count in each period loses no time by it. */
static void new_rates_do_not_drift(void **state)
{
	const uint64_t start = now;

	(void)state;
	program(0, 2, 1000);
	for (unsigned i = 1; i <= 10000; i++) {
		rewrite(0, i % 2 ? 999 : 1000);
		now = pit.edge;
		assert_int_equal(1, pit_take_edges(&pit, now));
	}
	assert_in_range(now, after(start, 5000 * 1999 + 1), after(start, 5000 * 1999 + 1) + 10000);
}

/* Mode 3: at the end of the half, so that the other half is the new wave's. */
static void square_wave_takes_a_count_at_its_half(void **state)
{
	const uint64_t start = now;
	uint64_t turn;

	(void)state;
	program(0, 3, 1000);
	now = after(start, 100); /* high */
	rewrite(0, 301);
	turn = after(start, 500);
	assert_int_equal(pit.edge, after(turn, 150));
	now = after(start, 499);
	assert_true(pit_output(&pit, 0, now));
	assert_true(null_count(0));
	now = turn;
	assert_false(pit_output(&pit, 0, now));
	assert_false(null_count(0));
	assert_int_equal(read_count(0), 300);
	assert_false(pit_output(&pit, 0, after(turn, 149)));
	now = after(turn, 150);
	assert_int_equal(1, pit_take_edges(&pit, now));
	assert_true(pit_output(&pit, 0, now));
	assert_int_equal(pit.edge, after(turn, 150 + 301));
	now = after(turn, 150 + 200); /* low */
	assert_false(pit_output(&pit, 0, now));
	rewrite(0, 10);
	assert_int_equal(pit.edge, after(turn, 150 + 301));
	turn = pit.edge;
	now = after(turn, 35); /* late: four edges */
	assert_int_equal(4, pit_take_edges(&pit, now));
	assert_int_equal(pit.edge, after(turn, 40));
}

static void edges_around_a_new_square_wave(void **state)
{
	(void)state;
	for (unsigned looks = 0; looks < 2; looks++) {
		const uint64_t start = now;

		program(0, 3, 1000);
		now = after(start, 100);
		rewrite(0, 100);
		now = after(start, 500 + 50 + 3 * 100 + 70);
		if (looks)
			assert_false(pit_output(&pit, 0, now));
		assert_int_equal(4, pit_take_edges(&pit, now));
		assert_false(pit_output(&pit, 0, now));
		assert_int_equal(pit.edge, after(after(start, 500), 50 + 4 * 100));
	}
}

/*
 * Modes 2 and 3 against a chip that really counts, tick by tick, while counts are written at any moment and
 * edges taken late. One TSC tick is one of the 8254's here.
 */

struct chip {
	unsigned mode, reload, phase, waiting;
	uint64_t rises;
};

static unsigned half_of(unsigned reload)
{
	return (reload + 1) / 2;
}

static void take_waiting(struct chip *chip, bool at_half)
{
	if (chip->waiting)
		chip->reload = chip->waiting;
	chip->waiting = 0;
	chip->phase = at_half ? half_of(chip->reload) : 0;
}

static void tick(struct chip *chip)
{
	chip->phase++;
	if (chip->phase == chip->reload) {
		chip->rises++;
		take_waiting(chip, false);
	} else if (chip->mode == 3 && chip->phase == half_of(chip->reload)) {
		take_waiting(chip, true);
	}
}

static bool output_of(const struct chip *chip)
{
	return chip->mode == 2 ? chip->phase != chip->reload - 1 : chip->phase < half_of(chip->reload);
}

static unsigned count_of(const struct chip *chip)
{
	const unsigned half = half_of(chip->reload);

	if (chip->mode == 2)
		return chip->reload - chip->phase;
	return (chip->reload & ~1u) - 2 * (chip->phase < half ? chip->phase : chip->phase - half);
}

static uint64_t next_rise_of(struct chip chip)
{
	const uint64_t rises = chip.rises;
	uint64_t at = now;

	for (; chip.rises == rises; at++)
		tick(&chip);
	return at;
}

static unsigned some(unsigned least, unsigned below)
{
	return least + (unsigned)rand() % (below - least);
}

static void compare_with(struct chip *chip)
{
	uint64_t taken = 0;

	for (unsigned i = 0; i < 200; i++) {
		for (unsigned ticks = some(0, 40); ticks; ticks--, now++)
			tick(chip);
		if (some(0, 2)) {
			assert_int_equal(read_count(0), count_of(chip));
			assert_int_equal(pit_output(&pit, 0, now), output_of(chip));
			assert_int_equal(null_count(0), chip->waiting != 0);
		}
		if (!some(0, 3))
			continue; /* late */
		taken += pit_take_edges(&pit, now);
		assert_int_equal(taken, chip->rises);
		assert_int_equal(pit.edge, next_rise_of(*chip));
		if (some(0, 2)) {
			chip->waiting = some(2, 30);
			rewrite(0, (uint16_t)chip->waiting);
			assert_int_equal(pit.edge, next_rise_of(*chip));
		}
	}
}

static void like_a_chip_that_counts(void **state)
{
	(void)state;
	for (unsigned seed = 0; seed < 500; seed++) {
		struct chip chip = {.mode = 2 + seed % 2};

		srand(seed);
		chip.reload = some(2, 30);
		pit_reset(&pit, 0);
		program(0, chip.mode, (uint16_t)chip.reload);
		compare_with(&chip);
	}
}

/* Modes 0 and 4: at once, and for mode 0 the output is low until the new count has run out. */
static void a_count_that_does_not_wait(void **state)
{
	uint64_t start;

	(void)state;
	program(0, 0, 100);
	now = after(now, 200);
	assert_true(pit_output(&pit, 0, now));
	start = now;
	rewrite(0, 50);
	assert_false(pit_output(&pit, 0, now));
	assert_false(null_count(0));
	assert_int_equal(pit.edge, after(start, 50));
	now = after(start, 20);
	pit_write(&pit, CONTROL, 0x10, now); /* low byte alone: no first byte that would stop it */
	pit_write(&pit, 0x40, 30, now);
	assert_int_equal(pit.edge, after(now, 30));
	program(0, 4, 100);
	now = after(now, 60);
	pit_write(&pit, 0x40, 10, now); /* the first byte of mode 4 changes nothing */
	assert_int_equal(read_count(0), 40);
	pit_write(&pit, 0x40, 0, now);
	assert_false(null_count(0));
	assert_int_equal(read_count(0), 10);
	assert_int_equal(pit.edge, after(now, 11));
}

static void trigger(void)
{
	pit_write(&pit, SYSTEM, 0x00, now);
	pit_write(&pit, SYSTEM, 0x01, now);
}

/* Modes 1 and 5: the pulse goes on as it was; the next trigger takes the count. */
static void a_count_that_waits_for_its_trigger(void **state)
{
	static const uint8_t modes[] = {1, 5};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		uint64_t start;

		program(2, modes[i], 50);
		assert_true(null_count(2));
		trigger();
		start = now;
		assert_false(null_count(2));
		now = after(start, 20);
		rewrite(2, 80);
		assert_true(null_count(2));
		assert_int_equal(read_count(2), 30);
		assert_int_not_equal(pit_output(&pit, 2, after(start, 49)),
				     pit_output(&pit, 2, after(start, 50)));
		now = after(start, 60); /* run out, and not begun anew */
		assert_true(null_count(2));
		assert_int_equal(read_count(2), 0x10000 - 10);
		trigger();
		start = now;
		assert_false(null_count(2));
		assert_int_equal(read_count(2), 80);
		now = after(start, 30);
		trigger(); /* in the middle: from the beginning, the same count */
		assert_int_equal(read_count(2), 80);
	}
}

/* A trigger that comes before the end of the period takes the count, too; a closed gate stops both. */
static void the_gate_overtakes_the_period(void **state)
{
	(void)state;
	for (unsigned mode = 2; mode <= 3; mode++) {
		uint64_t start = now;

		pit_write(&pit, SYSTEM, 0x01, now);
		program(2, mode, 1000);
		now = after(start, 100);
		rewrite(2, 300);
		trigger();
		assert_false(null_count(2));
		assert_int_equal(read_count(2), 300);
		start = now;
		now = after(start, 10);
		pit_write(&pit, SYSTEM, 0x00, now);
		rewrite(2, 40);
		now = after(start, 100000);
		assert_true(null_count(2));
		assert_int_equal(read_count(2), mode == 2 ? 290 : 280);
		assert_true(pit_output(&pit, 2, now));
		pit_write(&pit, SYSTEM, 0x01, now);
		assert_false(null_count(2));
		assert_int_equal(read_count(2), 40);
	}
}

/* A control word forgets a count that waited, and the first one after it does not wait. */
static void a_control_word_starts_anew(void **state)
{
	(void)state;
	program(0, 2, 1000);
	now = after(now, 10);
	rewrite(0, 500);
	pit_write(&pit, CONTROL, 0x34, now);
	assert_true(null_count(0));
	assert_int_equal(pit.edge, PIT_NEVER);
	rewrite(0, 700);
	assert_false(null_count(0));
	assert_int_equal(pit.edge, after(now, 700));
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

#define POLL 700 /* TSC ticks from one look at a port to the next */

/* Channel 2 in mode 0, its gate open and the speaker off; returns how long the output was low. */
static uint64_t measure(uint16_t ticks)
{
	const uint64_t start = now;

	pit_write(&pit, SYSTEM, (uint8_t)((pit_read(&pit, SYSTEM, now) & ~0x02) | 0x01), now);
	pit_write(&pit, CONTROL, 0xB0, now);
	pit_write(&pit, 0x42, (uint8_t)ticks, now);
	pit_write(&pit, 0x42, (uint8_t)(ticks >> 8), now);
	while (!(pit_read(&pit, SYSTEM, now) & 0x20))
		now += POLL;
	return now - start;
}

/* Linux, pit_calibrate_tsc(), three times 10 ms and, if it does not like them, 50 ms. */
static void linux_calibrates_the_tsc(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(measure(11931), after(0, 11931), after(0, 11931) + POLL);
	assert_in_range(measure(59659), after(0, 59659), after(0, 59659) + POLL);
}

/* memtest86+, correct_tsc(), where it finds no ACPI timer: 50 ms. */
static void memtest86_measures_50_ms(void **state)
{
	(void)state;
	assert_in_range(measure(59659) / 50, TSC_KHZ, TSC_KHZ + TSC_KHZ / 10000);
}

/* Linux, quick_pit_calibrate(): the upper byte goes down by one each 256 ticks, and is seen with each value.
 * It reads both bytes without a latch. */
static void linux_calibrates_quickly(void **state)
{
	uint64_t start;

	(void)state;
	pit_write(&pit, SYSTEM, 0x01, now);
	pit_write(&pit, CONTROL, 0xB0, now);
	pit_write(&pit, 0x42, 0xFF, now);
	pit_write(&pit, 0x42, 0xFF, now);
	start = now;
	for (unsigned high = 0xFF; high > 0; high--) {
		unsigned reads = 0;

		for (;; reads++, now += POLL) {
			(void)pit_read(&pit, 0x42, now);
			if (pit_read(&pit, 0x42, now) != high)
				break;
		}
		assert_true(reads > 5); /* or Linux thinks that it came too late */
		assert_in_range(now - start, after(0, (0x100 - high) * 256),
				after(0, (0x100 - high) * 256) + POLL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rate_generator, reset),
		cmocka_unit_test_setup(never_drifts, reset),
		cmocka_unit_test_setup(square_wave, reset),
		cmocka_unit_test_setup(terminal_count, reset),
		cmocka_unit_test_setup(software_strobe, reset),
		cmocka_unit_test_setup(rate_takes_a_count_at_its_end, reset),
		cmocka_unit_test_setup(edges_around_a_new_rate, reset),
		cmocka_unit_test_setup(overdue_edge_outlives_a_new_rate, reset),
		cmocka_unit_test_setup(new_rates_do_not_drift, reset),
		cmocka_unit_test_setup(square_wave_takes_a_count_at_its_half, reset),
		cmocka_unit_test_setup(edges_around_a_new_square_wave, reset),
		cmocka_unit_test_setup(like_a_chip_that_counts, reset),
		cmocka_unit_test_setup(a_count_that_does_not_wait, reset),
		cmocka_unit_test_setup(a_count_that_waits_for_its_trigger, reset),
		cmocka_unit_test_setup(the_gate_overtakes_the_period, reset),
		cmocka_unit_test_setup(a_control_word_starts_anew, reset),
		cmocka_unit_test_setup(one_byte_access, reset),
		cmocka_unit_test_setup(bcd, reset),
		cmocka_unit_test_setup(latch_holds, reset),
		cmocka_unit_test_setup(read_back, reset),
		cmocka_unit_test_setup(gate_of_channel_2, reset),
		cmocka_unit_test_setup(gated_modes, reset),
		cmocka_unit_test_setup(refresh_toggles, reset),
		cmocka_unit_test_setup(linux_calibrates_the_tsc, reset),
		cmocka_unit_test_setup(linux_calibrates_quickly, reset),
		cmocka_unit_test_setup(memtest86_measures_50_ms, reset)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
