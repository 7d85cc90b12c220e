/*
 * The slow devices by their books: ACPI fixed hardware, PCI configuration, the keyboard controller; with the
 * sequences by which Linux and memtest86+ find out about them. Those for other devices stand in the files of
 * these: linux_* and memtest86_* in test_uart.c, test_pic.c, test_pit.c, test_lapic.c, test_ioapic.c and
 * test_acpi.c. That the timer's tick comes through the I/O APIC, which Linux waits for (check_timer()), is
 * timer_through_the_ioapic in test_full.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hv/device/keyboard.h"
#include "hv/device/pc.h"
#include "hv/device/pci.h"
#include "hv/device/power.h"

#define TSC_HZ	 2500000000ull
#define TIMER_HZ 3579545ull

enum { STATUS = 0, ENABLE = 2, CONTROL = 4, TIMER = 8 };

static struct power power;
static struct pci pci;
static struct keyboard keyboard;

static int setup(void **state)
{
	(void)state;
	power_reset(&power, TSC_HZ, 0);
	pci = (struct pci){0};
	keyboard_reset(&keyboard);
	return 0;
}

/*
 * ACPI
 */

static void timer_counts(void **state)
{
	uint32_t before, after;

	(void)state;
	before = power_read(&power, TIMER, 7 * TSC_HZ);
	after = power_read(&power, TIMER, 8 * TSC_HZ);
	assert_int_equal(after - before, TIMER_HZ);
	assert_int_equal(power_read(&power, TIMER + 1, 8 * TSC_HZ), after >> 8);
	/* Over a wrap of 32 bits, at about 1200 s. */
	before = power_read(&power, TIMER, 1199 * TSC_HZ);
	after = power_read(&power, TIMER, 1200 * TSC_HZ);
	assert_true(after < before);
	assert_int_equal((uint32_t)(after - before), TIMER_HZ);
	power_write(&power, TIMER, 4, 0, 1200 * TSC_HZ); /* read-only */
	assert_int_equal(power_read(&power, TIMER, 1200 * TSC_HZ), after);
}

/* The status bit at each change of bit 31, about every 600 s, and the interrupt with it. */
static void timer_carry(void **state)
{
	uint64_t next;

	(void)state;
	assert_int_equal(power_next(&power, 0), POWER_NEVER);
	power_write(&power, ENABLE, 2, 1, 0);
	next = power_next(&power, 0);
	assert_in_range(next / TSC_HZ, 599, 600);
	assert_false(power_interrupt(&power, next - 1000));
	assert_true(power_interrupt(&power, next));
	assert_int_equal(power_next(&power, next), POWER_NEVER); /* the line is up */
	assert_int_equal(power_read(&power, STATUS, next) & 0xFFFF, 1);
	power_write(&power, STATUS, 2, 0xFFFE, next); /* only ones clear */
	assert_true(power_interrupt(&power, next));
	power_write(&power, STATUS, 2, 1, next);
	assert_false(power_interrupt(&power, next));
	assert_in_range(power_next(&power, next) / TSC_HZ, 1199, 1200);
	power_write(&power, ENABLE, 2, 0, next);
	assert_int_equal(power_next(&power, next), POWER_NEVER);
	assert_false(power_interrupt(&power, 1300 * TSC_HZ));
	assert_int_equal(power_read(&power, STATUS, 1300 * TSC_HZ) & 1, 1);
}

static void registers(void **state)
{
	(void)state;
	power_write(&power, STATUS, 4, 0xFFFFFFFF, 0);
	assert_int_equal(power_read(&power, STATUS, 0), 0x04210000);
	power_write(&power, ENABLE + 1, 1, 0xFF, 0);
	assert_int_equal(power_read(&power, ENABLE, 0) & 0xFFFF, 0x0421);
	/* Linux, acpi_hw_get_mode(): SCI_EN says that ACPI is on; clearing it does nothing. */
	assert_int_equal(power_read(&power, CONTROL, 0) & 0xFFFF, 1);
	power_write(&power, CONTROL, 2, 0, 0);
	assert_int_equal(power_read(&power, CONTROL, 0) & 0xFFFF, 1);
	power_write(&power, CONTROL, 2, 0x1402, 0);
	assert_int_equal(power_read(&power, CONTROL, 0) & 0xFFFF, 0x1403);
	assert_int_equal(power_read(&power, CONTROL + 2, 0) & 0xFFFF, 0); /* nothing there */
	assert_int_equal(power_write(&power, CONTROL + 2, 2, 0xFFFF, 0), CHIPSET_NOTHING);
}

/* Linux, acpi_hw_legacy_sleep(): the type, then the type with the enable bit. */
static void soft_off(void **state)
{
	(void)state;
	assert_int_equal(power_write(&power, CONTROL, 2, PC_SLEEP_TYPE_OFF << 10 | 1, 0), CHIPSET_NOTHING);
	assert_int_equal(power_write(&power, CONTROL, 2, PC_SLEEP_TYPE_OFF << 10 | 0x2001, 0), CHIPSET_OFF);
	assert_int_equal(power_write(&power, CONTROL, 2, 3u << 10 | 0x2000, 0), CHIPSET_NOTHING);
	assert_int_equal(power_write(&power, CONTROL + 1, 1, 0x20, 0), CHIPSET_OFF);
	assert_int_equal(power_read(&power, CONTROL, 0) & 0x2000, 0); /* write-only */
}

/* Linux enables it for an alarm that is to wake the machine. */
static void clock_event(void **state)
{
	(void)state;
	power_clock_event(&power);
	assert_int_equal(power_read(&power, STATUS, 0) & 0xFFFF, 0x400);
	assert_false(power_interrupt(&power, 0));
	power_write(&power, ENABLE, 2, 0x400, 0);
	assert_true(power_interrupt(&power, 0));
	power_write(&power, STATUS, 2, 0x400, 0);
	assert_false(power_interrupt(&power, 0));
}

/*
 * PCI
 */

/* Linux, pci_check_type1(), and its check that there is a host bridge. */
static void linux_finds_type_1(void **state)
{
	(void)state;
	pci_write(&pci, PC_PORT_PCI_ADDRESS + 3, 1, 0x01);
	pci_write(&pci, PC_PORT_PCI_ADDRESS, 4, 0x80000000);
	assert_int_equal(pci_read(&pci, PC_PORT_PCI_ADDRESS, 4), 0x80000000);
	pci_write(&pci, PC_PORT_PCI_ADDRESS, 4, 0x80000008);
	assert_int_equal(pci_read(&pci, PC_PORT_PCI_DATA + 2, 2) & 0xFFFF, 0x0600);
	pci_write(&pci, PC_PORT_PCI_ADDRESS, 4, 0x80000000);
	assert_int_equal(pci_read(&pci, PC_PORT_PCI_DATA, 4), 0x00014842);
	assert_int_equal(pci_read(&pci, PC_PORT_PCI_DATA + 1, 1) & 0xFF, 0x48);
	pci_write(&pci, PC_PORT_PCI_ADDRESS, 4, 0x8000000C);
	assert_int_equal(pci_read(&pci, PC_PORT_PCI_DATA + 2, 1) & 0xFF, 0); /* one function, header type 0 */
}

static void nobody_else(void **state)
{
	(void)state;
	for (uint32_t device = 1; device < 0x10000; device++) {
		pci_write(&pci, PC_PORT_PCI_ADDRESS, 4, 0x80000000 | device << 8);
		assert_int_equal(pci_read(&pci, PC_PORT_PCI_DATA, 4), 0xFFFFFFFF);
	}
	pci_write(&pci, PC_PORT_PCI_ADDRESS, 4, 0); /* not enabled: a port with nobody behind it */
	assert_int_equal(pci_read(&pci, PC_PORT_PCI_DATA, 4), 0xFFFFFFFF);
}

static void address_register(void **state)
{
	(void)state;
	pci_write(&pci, PC_PORT_PCI_ADDRESS, 4, 0xFFFFFFFF);
	assert_int_equal(pci_read(&pci, PC_PORT_PCI_ADDRESS, 4), 0x80FFFFFC);
	pci_write(&pci, PC_PORT_PCI_ADDRESS, 1, 0);
	pci_write(&pci, PC_PORT_PCI_ADDRESS, 2, 0);
	assert_int_equal(pci_read(&pci, PC_PORT_PCI_ADDRESS, 4), 0x80FFFFFC); /* whole, or not at all */
	assert_int_equal(pci_read(&pci, PC_PORT_PCI_ADDRESS, 2) & 0xFFFF, 0xFFFF);
}

/* Nothing in the bridge can be written: sizing its base addresses finds none. */
static void bridge_is_fixed(void **state)
{
	(void)state;
	for (uint32_t reg = 0; reg < 0x100; reg += 4) {
		uint32_t before;

		pci_write(&pci, PC_PORT_PCI_ADDRESS, 4, 0x80000000 | reg);
		before = pci_read(&pci, PC_PORT_PCI_DATA, 4);
		pci_write(&pci, PC_PORT_PCI_DATA, 4, 0xFFFFFFFF);
		assert_int_equal(pci_read(&pci, PC_PORT_PCI_DATA, 4), before);
		if (reg >= 0x10)
			assert_int_equal(before, 0);
	}
}

/*
 * Keyboard controller
 */

static uint8_t status(void)
{
	return keyboard_read(&keyboard, 0x64);
}

static uint8_t answer(void)
{
	assert_true(status() & 1);
	return keyboard_read(&keyboard, 0x60);
}

static void command(uint8_t value)
{
	assert_int_equal(keyboard_write(&keyboard, 0x64, value), CHIPSET_NOTHING);
}

static void data(uint8_t value)
{
	assert_int_equal(keyboard_write(&keyboard, 0x60, value), CHIPSET_NOTHING);
}

static void idle(void **state)
{
	(void)state;
	assert_int_equal(status(), 0x14);
	assert_int_equal(keyboard_read(&keyboard, 0x60), 0);
	assert_false(keyboard_interrupt(&keyboard));
}

/* Linux, i8042_controller_selftest() and i8042_controller_init(). */
static void linux_probes(void **state)
{
	(void)state;
	command(0xAA);
	assert_int_equal(answer(), 0x55);
	assert_false(status() & 1);
	command(0x20);
	assert_int_equal(answer(), 0x24);
	command(0x60);
	data(0x34);
	command(0x20);
	assert_int_equal(answer(), 0x34);
	command(0xAB);
	assert_int_equal(answer(), 0x00);
	command(0xA7);
	command(0x20);
	assert_true(answer() & 0x20);
	command(0xA8);
	command(0x20);
	assert_false(answer() & 0x20);
	command(0xD3); /* loops back as from the mouse */
	data(0x5A);
	assert_int_equal(status() & 0x21, 0x21);
	assert_int_equal(answer(), 0x5A);
	assert_false(status() & 0x20);
}

/* What goes to a device comes back: nobody took it. */
static void no_devices(void **state)
{
	(void)state;
	data(0xFF); /* keyboard reset */
	assert_int_equal(status() & 0x61, 0x41);
	assert_int_equal(answer(), 0xFE);
	assert_int_equal(status() & 0x61, 0);
	command(0xD4);
	data(0xF2);
	assert_int_equal(status() & 0x61, 0x61);
	assert_int_equal(answer(), 0xFE);
}

/* memtest86+, get_key(): looks at the status whenever it has time, and there is never a key. */
static void memtest86_polls_for_keys(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(status() & 0x21, 0);
	command(0xD3); /* as if a mouse had moved: it has to be told from a key */
	data(0x5A);
	assert_int_equal(status() & 0x21, 0x21);
	(void)answer();
	assert_int_equal(status() & 0x21, 0);
}

static void interrupt(void **state)
{
	(void)state;
	command(0xD2);
	data(0x1C);
	assert_false(keyboard_interrupt(&keyboard)); /* not enabled */
	assert_int_equal(answer(), 0x1C);
	command(0x60);
	data(0x25);
	command(0xD2);
	data(0x1C);
	assert_true(keyboard_interrupt(&keyboard));
	assert_int_equal(answer(), 0x1C);
	assert_false(keyboard_interrupt(&keyboard));
}

static void ways_to_reset(void **state)
{
	(void)state;
	assert_int_equal(keyboard_write(&keyboard, 0x64, 0xFE), CHIPSET_RESET);
	assert_int_equal(keyboard_write(&keyboard, 0x64, 0xF0), CHIPSET_RESET);
	command(0xFF); /* pulses nothing */
	command(0xD1);
	data(0xDF); /* A20 on */
	command(0xD0);
	assert_int_equal(answer(), 0xDF);
	command(0xD1);
	assert_int_equal(keyboard_write(&keyboard, 0x60, 0xDE), CHIPSET_RESET);
}

int main(void)
{
#undef TEST
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {TEST(timer_counts),
					   TEST(timer_carry),
					   TEST(registers),
					   TEST(soft_off),
					   TEST(clock_event),
					   TEST(linux_finds_type_1),
					   TEST(nobody_else),
					   TEST(address_register),
					   TEST(bridge_is_fixed),
					   TEST(idle),
					   TEST(linux_probes),
					   TEST(no_devices),
					   TEST(memtest86_polls_for_keys),
					   TEST(interrupt),
					   TEST(ways_to_reset)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
