/*
 * The I/O APIC by its data sheet: identity, the redirection table's fields, edges and levels, masks, the end
 * of interrupt; and what Linux does with it when it takes it over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "hv/device/ioapic.h"
#include "hv/device/lapic.h"

#define SELECT	   0x00
#define WINDOW	   0x10
#define EOI	   0x40
#define ACTIVE_LOW 0x2000u
#define REMOTE_IRR 0x4000u
#define LEVEL	   0x8000u
#define MASKED	   0x10000u

static struct ioapic ioapic;

static void put(uint8_t index, uint32_t value)
{
	ioapic_write(&ioapic, SELECT, index);
	ioapic_write(&ioapic, WINDOW, value);
}

static uint32_t get(uint8_t index)
{
	ioapic_write(&ioapic, SELECT, index);
	return ioapic_read(&ioapic, WINDOW);
}

static void route(unsigned pin, uint32_t low, uint8_t destination)
{
	put((uint8_t)(0x11 + 2 * pin), (uint32_t)destination << 24);
	put((uint8_t)(0x10 + 2 * pin), low);
}

/* The vector of the next message, which a local APIC takes or not, or -1. */
static int sent_to(bool taker)
{
	struct ioapic_message message;

	if (!ioapic_take_message(&ioapic, &message))
		return -1;
	if (message.level && taker)
		ioapic_level_taken(&ioapic, message.pin);
	return (int)(message.command & DELIVERY_VECTOR);
}

static int sent(void)
{
	return sent_to(true);
}

static int setup(void **state)
{
	(void)state;
	ioapic = (struct ioapic){0};
	ioapic_reset(&ioapic);
	return 0;
}

static void identity(void **state)
{
	(void)state;
	assert_int_equal(get(0), (uint32_t)PC_IOAPIC_ID << 24);
	assert_int_equal(get(1), 0x00170020);
	assert_int_equal(get(2), (uint32_t)PC_IOAPIC_ID << 24);
	put(0, 0x0F123456);
	assert_int_equal(get(0), 0x0F000000);
	put(1, 0);
	assert_int_equal(get(1), 0x00170020); /* read-only */
	assert_int_equal(ioapic_read(&ioapic, SELECT), 1);
	assert_int_equal(get(3), 0);
	assert_int_equal(get(0x40), 0); /* behind the table */
	put(0x40, 0xFFFFFFFF);
	put(0xFF, 0xFFFFFFFF);
	assert_int_equal(ioapic_read(&ioapic, 0x20), 0);
	assert_int_equal(ioapic_read(&ioapic, EOI), 0); /* write-only */
	ioapic_write(&ioapic, 0x20, 0xFFFFFFFF);
	for (unsigned pin = 0; pin < PC_IOAPIC_PINS; pin++) {
		assert_int_equal(get((uint8_t)(0x10 + 2 * pin)), MASKED);
		assert_int_equal(get((uint8_t)(0x11 + 2 * pin)), 0);
	}
}

static void fields(void **state)
{
	struct ioapic_message message;

	(void)state;
	put(0x3E, 0xFFFFFFFF);
	assert_int_equal(get(0x3E), 0x0001AFFF); /* delivery status, remote IRR and above are not written */
	put(0x3F, 0xFFFFFFFF);
	assert_int_equal(get(0x3F), 0xFF000000);
	route(4, DELIVERY_LOWEST | DELIVERY_LOGICAL | 0x31, 0x03);
	ioapic_set_line(&ioapic, 4, true);
	assert_true(ioapic_take_message(&ioapic, &message));
	assert_int_equal(message.command, DELIVERY_LOWEST | DELIVERY_LOGICAL | 0x31);
	assert_int_equal(message.destination, 0x03);
	assert_false(message.level);
	assert_false(ioapic_take_message(&ioapic, &message));
}

static void edges(void **state)
{
	(void)state;
	route(4, 0x24, 0);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(sent(), 0x24);
	ioapic_set_line(&ioapic, 4, true); /* no edge */
	assert_int_equal(sent(), -1);
	ioapic_set_line(&ioapic, 4, false);
	assert_int_equal(sent(), -1);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(sent(), 0x24); /* without waiting for an end */
	ioapic_set_line(&ioapic, 4, false);
	put(0x18, 0x24 | MASKED);
	ioapic_set_line(&ioapic, 4, true); /* lost */
	put(0x18, 0x24);
	assert_int_equal(sent(), -1);
	ioapic_set_line(&ioapic, 4, false);
	put(0x18, 0x24 | ACTIVE_LOW);
	assert_int_equal(sent(), -1);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(sent(), -1);
	ioapic_set_line(&ioapic, 4, false);
	assert_int_equal(sent(), 0x24);
}

static void levels(void **state)
{
	struct ioapic_message message;

	(void)state;
	route(9, LEVEL | 0x39, 1);
	ioapic_set_line(&ioapic, 9, true);
	assert_true(ioapic_take_message(&ioapic, &message));
	assert_true(message.level);
	assert_int_equal(message.pin, 9);
	ioapic_level_taken(&ioapic, message.pin);
	assert_int_equal(get(0x22), LEVEL | REMOTE_IRR | 0x39);
	ioapic_set_line(&ioapic, 9, false);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent(), -1); /* in service */
	ioapic_end_of_interrupt(&ioapic, 0x38);
	assert_int_equal(sent(), -1); /* another's */
	ioapic_end_of_interrupt(&ioapic, 0x39);
	assert_int_equal(sent(), 0x39); /* still up */
	ioapic_set_line(&ioapic, 9, false);
	ioapic_end_of_interrupt(&ioapic, 0x39);
	assert_int_equal(sent(), -1);
	assert_int_equal(get(0x22), LEVEL | 0x39);
	put(0x22, LEVEL | MASKED | 0x39);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent(), -1);
	put(0x22, LEVEL | 0x39);
	assert_int_equal(sent(), 0x39); /* a level is not lost by a mask */
	ioapic_write(&ioapic, EOI, 0x39);
	assert_int_equal(sent(), 0x39);
}

static void active_low_levels(void **state)
{
	(void)state;
	ioapic_set_line(&ioapic, 9, true);
	route(9, LEVEL | ACTIVE_LOW | 0x39, 0);
	assert_int_equal(sent(), -1);
	ioapic_set_line(&ioapic, 9, false);
	assert_int_equal(sent(), 0x39);
}

/* Modes without a service of their own have no end to wait for. */
static void other_modes(void **state)
{
	struct ioapic_message message;

	(void)state;
	route(9, LEVEL | DELIVERY_NMI, 0);
	ioapic_set_line(&ioapic, 9, true);
	assert_true(ioapic_take_message(&ioapic, &message));
	assert_int_equal(message.command, DELIVERY_NMI);
	assert_false(message.level);
	assert_false(get(0x22) & REMOTE_IRR);
	assert_false(ioapic_passes_pic(&ioapic));
	route(0, DELIVERY_EXTINT, 0);
	assert_true(ioapic_passes_pic(&ioapic));
	route(0, DELIVERY_EXTINT | MASKED, 0);
	assert_false(ioapic_passes_pic(&ioapic));
}

/* One vector on two pins: an end is an end for both. */
static void shared_vector(void **state)
{
	(void)state;
	route(9, LEVEL | 0x39, 0);
	route(10, LEVEL | 0x39, 0);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent(), 0x39);
	ioapic_set_line(&ioapic, 10, true);
	assert_int_equal(sent(), 0x39);
	ioapic_end_of_interrupt(&ioapic, 0x39);
	assert_int_equal(sent(), 0x39);
	assert_int_equal(sent(), 0x39);
	assert_int_equal(sent(), -1);
}

/* Linux, clear_IO_APIC_pin(): mask; level; edge; level again clears a remote IRR left over by a kernel
 * before. */
static void stuck_remote_irr(void **state)
{
	(void)state;
	route(9, LEVEL | 0x39, 0);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent(), 0x39);
	ioapic_set_line(&ioapic, 9, false);
	put(0x22, LEVEL | MASKED | 0x39);
	assert_true(get(0x22) & REMOTE_IRR);
	put(0x22, MASKED | 0x39);
	assert_false(get(0x22) & REMOTE_IRR);
	put(0x22, LEVEL | MASKED | 0x39);
	assert_false(get(0x22) & REMOTE_IRR);
}

/* Linux, clear_IO_APIC_pin(): everything but the mask is gone, and no service is left over. */
static void linux_clears_the_pins(void)
{
	for (unsigned pin = 0; pin < PC_IOAPIC_PINS; pin++) {
		const uint8_t low = (uint8_t)(0x10 + 2 * pin);

		assert_int_not_equal(get(low) & DELIVERY_MODE, 0x200); /* SMI */
		if (!(get(low) & MASKED))
			put(low, get(low) | MASKED);
		if (get(low) & REMOTE_IRR) {
			put(low, get(low) | LEVEL);
			ioapic_write(&ioapic, EOI, (uint8_t)get(low));
		}
		put(low, MASKED);
		put(low + 1, 0);
		assert_int_equal(get(low), MASKED);
	}
}

/* Linux, mp_register_ioapic(), enable_IO_APIC() and setup_IO_APIC(), after a kernel that ended in an
 * interrupt. */
static void linux_takes_it_over(void **state)
{
	(void)state;
	route(9, LEVEL | 0x39, 0);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent(), 0x39);
	ioapic_set_line(&ioapic, 9, false);
	assert_int_not_equal(get(0) & get(1) & get(2), 0xFFFFFFFF); /* there is one */
	assert_int_equal((get(1) >> 16 & 0xFF) + 1, PC_IOAPIC_PINS);
	assert_int_equal(get(1) & 0xFF, 0x20);		    /* so it has a register for EOI */
	for (unsigned pin = 0; pin < PC_IOAPIC_PINS; pin++) /* the 8259s do not come through it */
		assert_int_not_equal(get((uint8_t)(0x10 + 2 * pin)) & (MASKED | DELIVERY_MODE),
				     DELIVERY_EXTINT);
	linux_clears_the_pins();
	assert_int_equal(sent(), -1);
	assert_int_equal(get(0) >> 24, PC_IOAPIC_ID); /* unique, so it stays */
	for (unsigned pin = 0; pin < 16; pin++)
		route(pin, MASKED | DELIVERY_LOGICAL | (pin == 9 ? LEVEL : 0) | (0x30 + pin), 0x01);
	for (unsigned pin = 0; pin < 16; pin++) {
		const uint8_t low = (uint8_t)(0x10 + 2 * pin);

		ioapic_set_line(&ioapic, pin, true);
		ioapic_set_line(&ioapic, pin, false);
		assert_int_equal(sent(), -1);
		put(low, get(low) & ~MASKED); /* unmask_ioapic_irq() */
		assert_int_equal(sent(), -1); /* what came before is not made up for */
		ioapic_set_line(&ioapic, pin, true);
		assert_int_equal(sent(), 0x30 + (int)pin);
		ioapic_set_line(&ioapic, pin, false);
	}
	ioapic_write(&ioapic, EOI, 0x39);
	assert_false(get(0x22) & REMOTE_IRR);
}

/* No remote IRR without a local APIC that takes the message (82093AA data sheet, 3.2.4); each write of the
 * entry and of the line tries again, and so does whoever knows of a new taker. */
static void levels_that_nobody_takes(void **state)
{
	(void)state;
	route(9, LEVEL | 0x39, 1);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent_to(false), 0x39);
	assert_int_equal(sent_to(false), -1); /* once */
	assert_int_equal(get(0x22), LEVEL | 0x39);
	put(0x23, 2u << 24);
	assert_int_equal(sent_to(false), 0x39);
	put(0x22, LEVEL | 0x39);
	assert_int_equal(sent_to(false), 0x39);
	ioapic_set_line(&ioapic, 9, true);
	assert_int_equal(sent_to(false), 0x39);
	ioapic_end_of_interrupt(&ioapic, 0x39); /* of another pin's, perhaps */
	assert_int_equal(sent_to(false), -1);
	ioapic_offer_levels(&ioapic);
	assert_int_equal(sent_to(true), 0x39);
	assert_int_equal(get(0x22), LEVEL | REMOTE_IRR | 0x39);
	ioapic_offer_levels(&ioapic);
	put(0x23, 1u << 24);
	put(0x22, LEVEL | 0x39);
	assert_int_equal(sent(), -1); /* in service */
}

/* What is not to be offered: other levels, masked ones, edges, and modes without a service. */
static void offers_only_levels_that_stand(void **state)
{
	struct ioapic_message message;

	(void)state;
	route(4, 0x34, 0);
	route(9, LEVEL | 0x39, 0);
	route(10, LEVEL | MASKED | 0x3A, 0);
	route(11, LEVEL | DELIVERY_NMI, 0);
	ioapic_set_line(&ioapic, 4, true);
	ioapic_set_line(&ioapic, 9, true);
	ioapic_set_line(&ioapic, 10, true);
	ioapic_set_line(&ioapic, 11, true);
	while (ioapic_take_message(&ioapic, &message))
		;
	ioapic_set_line(&ioapic, 9, false);
	ioapic_offer_levels(&ioapic);
	for (uint8_t pin = 4; pin <= 11; pin++)
		put((uint8_t)(0x11 + 2 * pin), 1u << 24);
	assert_false(ioapic_take_message(&ioapic, &message));
}

/* What drives them is reset with it. */
static void reset_forgets_the_wires(void **state)
{
	(void)state;
	route(9, LEVEL | 0x39, 0);
	ioapic_set_line(&ioapic, 9, true);
	ioapic_set_line(&ioapic, 4, true);
	ioapic_reset(&ioapic);
	assert_int_equal(sent(), -1);
	assert_int_equal(get(0x22), MASKED);
	route(9, LEVEL | 0x39, 0);
	assert_int_equal(sent(), -1);
	route(4, 0x34, 0);
	ioapic_set_line(&ioapic, 4, true);
	assert_int_equal(sent(), 0x34);
}

int main(void)
{
#undef TEST
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {TEST(identity),
					   TEST(fields),
					   TEST(edges),
					   TEST(levels),
					   TEST(active_low_levels),
					   TEST(other_modes),
					   TEST(shared_vector),
					   TEST(stuck_remote_irr),
					   TEST(linux_takes_it_over),
					   TEST(levels_that_nobody_takes),
					   TEST(offers_only_levels_that_stand),
					   TEST(reset_forgets_the_wires)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
