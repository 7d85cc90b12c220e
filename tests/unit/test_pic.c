/*
 * The 8259 pair by its data sheet: initialisation, priorities, every end of interrupt, masks, level and edge,
 * cascade; and what Linux does to find and to use them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hv/device/pic.h"

#define MASTER	    0x20
#define MASTER_DATA 0x21
#define SLAVE	    0xA0
#define SLAVE_DATA  0xA1
#define EOI	    0x20

static struct pic_pair pair;

static void initialise(uint8_t word4)
{
	static const uint16_t command[] = {MASTER, SLAVE};

	for (unsigned i = 0; i < 2; i++) {
		pic_write(&pair, command[i], 0x11);
		pic_write(&pair, command[i] + 1, i ? 0x28 : 0x20);
		pic_write(&pair, command[i] + 1, i ? 2 : 4);
		pic_write(&pair, command[i] + 1, word4);
	}
}

static int setup(void **state)
{
	(void)state;
	pic_reset(&pair);
	initialise(0x01);
	return 0;
}

static void pulse(unsigned line)
{
	pic_set_line(&pair, line, false);
	pic_set_line(&pair, line, true);
}

static void quiet_at_power_on(void **state)
{
	(void)state;
	pic_reset(&pair);
	for (unsigned line = 0; line < PIC_LINES; line++)
		pulse(line);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	assert_int_equal(pic_read(&pair, MASTER_DATA), 0xFF);
}

static void edge(void **state)
{
	(void)state;
	pic_set_line(&pair, 4, true);
	assert_int_equal(pic_pending(&pair), 0x24);
	assert_int_equal(pic_read(&pair, MASTER), 0x10);
	assert_int_equal(pic_acknowledge(&pair), 0x24);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	pic_write(&pair, MASTER, 0x0B);
	assert_int_equal(pic_read(&pair, MASTER), 0x10); /* in service */
	pic_write(&pair, MASTER, EOI);
	assert_int_equal(pic_read(&pair, MASTER), 0);
	assert_int_equal(pic_pending(&pair), PIC_QUIET); /* still up, but no edge */
	pulse(4);
	assert_int_equal(pic_pending(&pair), 0x24);
}

static void falls_before_acknowledge(void **state)
{
	(void)state;
	pic_set_line(&pair, 3, true);
	pic_set_line(&pair, 3, false);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	assert_int_equal(pic_acknowledge(&pair), 0x27); /* spurious, and not in service */
	pic_write(&pair, MASTER, 0x0B);
	assert_int_equal(pic_read(&pair, MASTER), 0);
}

static void level(void **state)
{
	(void)state;
	pic_write(&pair, 0x4D0, 0xFF);
	pic_write(&pair, 0x4D1, 0xFF);
	assert_int_equal(pic_read(&pair, 0x4D0), 0xF8);
	assert_int_equal(pic_read(&pair, 0x4D1), 0xDE);
	pic_set_line(&pair, 5, true);
	assert_int_equal(pic_acknowledge(&pair), 0x25);
	pic_write(&pair, MASTER, EOI);
	assert_int_equal(pic_pending(&pair), 0x25); /* again as long as it is up */
	pic_set_line(&pair, 5, false);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
}

static void nesting(void **state)
{
	(void)state;
	pulse(4);
	pulse(3);
	assert_int_equal(pic_acknowledge(&pair), 0x23);
	assert_int_equal(pic_pending(&pair), PIC_QUIET); /* 4 waits for 3 */
	pulse(1);
	assert_int_equal(pic_acknowledge(&pair), 0x21); /* 1 does not */
	pic_write(&pair, MASTER, EOI);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	pic_write(&pair, MASTER, 0x63); /* specific */
	assert_int_equal(pic_acknowledge(&pair), 0x24);
}

static void mask(void **state)
{
	(void)state;
	pic_write(&pair, MASTER_DATA, 0x10);
	assert_int_equal(pic_read(&pair, MASTER_DATA), 0x10);
	pulse(4);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	pic_write(&pair, MASTER_DATA, 0);
	assert_int_equal(pic_pending(&pair), 0x24);
}

static void cascade(void **state)
{
	(void)state;
	pulse(12);
	assert_int_equal(pic_pending(&pair), 0x2C);
	assert_int_equal(pic_acknowledge(&pair), 0x2C);
	pulse(9);
	assert_int_equal(pic_pending(&pair), PIC_QUIET); /* the master serves line 2 */
	pic_write(&pair, SLAVE, EOI);
	pic_write(&pair, MASTER, EOI);
	assert_int_equal(pic_acknowledge(&pair), 0x29);
	pic_write(&pair, SLAVE, EOI);
	pic_write(&pair, MASTER, EOI);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
}

static void spurious_slave(void **state)
{
	(void)state;
	pic_set_line(&pair, 14, true);
	pic_write(&pair, SLAVE, 0x0C); /* poll: acknowledged behind the master's back */
	assert_int_equal(pic_read(&pair, SLAVE), 0x86);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	pair.master.request |= 4;
	assert_int_equal(pic_pending(&pair), 0x2F);
	assert_int_equal(pic_acknowledge(&pair), 0x2F);
}

static void special_fully_nested(void **state)
{
	(void)state;
	initialise(0x11);
	pulse(12);
	assert_int_equal(pic_acknowledge(&pair), 0x2C);
	pulse(9);
	assert_int_equal(pic_acknowledge(&pair), 0x29); /* a higher one of the same slave */
}

static void automatic_end(void **state)
{
	(void)state;
	initialise(0x03);
	pulse(4);
	assert_int_equal(pic_acknowledge(&pair), 0x24);
	pulse(6);
	assert_int_equal(pic_acknowledge(&pair), 0x26);
	pic_write(&pair, MASTER, 0x80); /* rotate on automatic end */
	pulse(3);
	assert_int_equal(pic_acknowledge(&pair), 0x23);
	pulse(1);
	pulse(5);
	assert_int_equal(pic_acknowledge(&pair), 0x25); /* 3 is lowest now, 4 highest */
}

static void rotation(void **state)
{
	(void)state;
	pic_write(&pair, MASTER, 0xC4); /* 4 is lowest: 5 is highest */
	pulse(0);
	pulse(5);
	assert_int_equal(pic_acknowledge(&pair), 0x25);
	pic_write(&pair, MASTER, 0xA0); /* rotating end: 6 is highest */
	pulse(6);
	assert_int_equal(pic_acknowledge(&pair), 0x26);
	pic_write(&pair, MASTER, 0xE6); /* the same, specific: 7 is highest */
	pulse(7);
	assert_int_equal(pic_acknowledge(&pair), 0x27);
}

static void special_mask(void **state)
{
	(void)state;
	pulse(3);
	assert_int_equal(pic_acknowledge(&pair), 0x23);
	pulse(5);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	pic_write(&pair, MASTER_DATA, 0x08);
	pic_write(&pair, MASTER, 0x68);
	assert_int_equal(pic_acknowledge(&pair), 0x25); /* lower ones get through */
	pic_write(&pair, MASTER, EOI);			/* ends 5: 3 is masked */
	pic_write(&pair, MASTER, 0x0B);
	assert_int_equal(pic_read(&pair, MASTER), 0x08);
	pic_write(&pair, MASTER, 0x48);
	pic_write(&pair, MASTER, EOI);
	assert_int_equal(pic_read(&pair, MASTER), 0);
}

static void poll(void **state)
{
	(void)state;
	pic_write(&pair, MASTER, 0x0C);
	assert_int_equal(pic_read(&pair, MASTER), 0);
	pulse(6);
	pic_write(&pair, MASTER, 0x0C);
	assert_int_equal(pic_read(&pair, MASTER), 0x86);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	pic_write(&pair, MASTER, 0x0B);
	assert_int_equal(pic_read(&pair, MASTER), 0x40);
}

/* Linux, probe_8259A() and init_8259A(), on chips that nobody has initialised. */
static void linux_probes_and_initialises(void **state)
{
	static const uint8_t words[][4] = {{0x11, 0x30, 4, 0x01}, {0x11, 0x38, 2, 0x01}};

	(void)state;
	pic_reset(&pair);
	pic_write(&pair, SLAVE_DATA, 0xFF);
	pic_write(&pair, MASTER_DATA, 0xFB); /* all but the cascade */
	assert_int_equal(pic_read(&pair, MASTER_DATA), 0xFB);
	pic_write(&pair, MASTER_DATA, 0xFF);
	for (unsigned chip = 0; chip < 2; chip++)
		for (unsigned i = 0; i < 4; i++)
			pic_write(&pair, (uint16_t)((chip ? SLAVE : MASTER) + (i > 0)), words[chip][i]);
	pic_write(&pair, MASTER_DATA, 0xFB);
	pic_write(&pair, SLAVE_DATA, 0xFF);
	pulse(4);
	pulse(8);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	pic_write(&pair, MASTER_DATA, 0xEB);
	assert_int_equal(pic_acknowledge(&pair), 0x34);
	pic_write(&pair, MASTER, 0x64);
	pic_write(&pair, SLAVE_DATA, 0xFE);
	assert_int_equal(pic_acknowledge(&pair), 0x38);
}

/* Linux, mask_and_ack_8259A(): reads and sets the mask, then ends the line by name; i8259A_irq_real() looks
 * whether one was in service when it seems spurious. */
static void linux_masks_and_acknowledges(void **state)
{
	(void)state;
	pic_write(&pair, SLAVE_DATA, 0x00);
	pulse(12);
	assert_int_equal(pic_acknowledge(&pair), 0x2C);
	assert_int_equal(pic_read(&pair, SLAVE_DATA), 0x00);
	pic_write(&pair, SLAVE_DATA, 0x10);
	pic_write(&pair, SLAVE, 0x64);
	pic_write(&pair, MASTER, 0x62);
	pulse(12);
	assert_int_equal(pic_pending(&pair), PIC_QUIET);
	pulse(9); /* a lower one is not held back any more */
	assert_int_equal(pic_acknowledge(&pair), 0x29);
	pic_write(&pair, SLAVE, 0x61);
	pic_write(&pair, MASTER, 0x62);
	pic_set_line(&pair, 3, true);
	pic_set_line(&pair, 3, false);
	assert_int_equal(pic_acknowledge(&pair), 0x27);
	pic_write(&pair, MASTER, 0x0B);
	assert_int_equal(pic_read(&pair, MASTER) & 0x80, 0); /* not real */
	pic_write(&pair, MASTER, 0x0A);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup(quiet_at_power_on, setup),
					   cmocka_unit_test_setup(edge, setup),
					   cmocka_unit_test_setup(falls_before_acknowledge, setup),
					   cmocka_unit_test_setup(level, setup),
					   cmocka_unit_test_setup(nesting, setup),
					   cmocka_unit_test_setup(mask, setup),
					   cmocka_unit_test_setup(cascade, setup),
					   cmocka_unit_test_setup(spurious_slave, setup),
					   cmocka_unit_test_setup(special_fully_nested, setup),
					   cmocka_unit_test_setup(automatic_end, setup),
					   cmocka_unit_test_setup(rotation, setup),
					   cmocka_unit_test_setup(special_mask, setup),
					   cmocka_unit_test_setup(poll, setup),
					   cmocka_unit_test_setup(linux_probes_and_initialises, setup),
					   cmocka_unit_test_setup(linux_masks_and_acknowledges, setup)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
