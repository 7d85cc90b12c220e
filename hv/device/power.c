/*
 * The timer first, whose highest bit sets a status bit each time it changes; then the registers, byte by
 * byte.
 */
#include "hv/device/power.h"
#include "hv/device/pc.h"
#include "hv/lib/scale.h"

#define PM_TIMER_HZ    3579545ull
#define CARRY_SHIFT    31 /* of a timer of 32 bits */
#define OFFSET_ENABLE  (PC_PM1_EVENT_SIZE / 2)
#define OFFSET_CONTROL (PC_PORT_PM1_CONTROL - PC_PORT_PM1_EVENT)
#define OFFSET_TIMER   (PC_PORT_PM_TIMER - PC_PORT_PM1_EVENT)

/* Status and enable (tables 4.11, 4.12): of the events there are, the timer's and the clock's can happen. */
#define EVENT_TIMER	(1u << 0)
#define EVENT_GLOBAL	(1u << 5)
#define EVENT_CLOCK	(1u << 10)
#define ENABLE_WRITABLE (EVENT_TIMER | EVENT_GLOBAL | EVENT_CLOCK)

/* Control (table 4.13). */
#define CONTROL_SCI	     (1u << 0) /* always: there is no other mode */
#define CONTROL_WRITABLE     0x1C02u   /* sleep type, bus-master reload */
#define CONTROL_SLEEP_SHIFT  10
#define CONTROL_SLEEP_TYPE   7u
#define CONTROL_SLEEP_ENABLE (1u << 13)

static uint64_t ticks(const struct power *power, uint64_t now)
{
	return scale_ticks(now, power->tsc_hz, PM_TIMER_HZ, false);
}

static void look_at_timer(struct power *power, uint64_t now)
{
	const uint64_t carries = ticks(power, now) >> CARRY_SHIFT;

	if (carries != power->carries)
		power->status |= EVENT_TIMER;
	power->carries = carries;
}

void power_clock_event(struct power *power)
{
	power->status |= EVENT_CLOCK;
}

bool power_interrupt(struct power *power, uint64_t now)
{
	look_at_timer(power, now);
	return power->status & power->enable;
}

uint64_t power_next(const struct power *power, uint64_t now)
{
	if (!(power->enable & ~power->status & EVENT_TIMER))
		return POWER_NEVER;
	return scale_ticks(((ticks(power, now) >> CARRY_SHIFT) + 1) << CARRY_SHIFT, PM_TIMER_HZ,
			   power->tsc_hz, true);
}

uint32_t power_read(struct power *power, unsigned offset, uint64_t now)
{
	look_at_timer(power, now);
	if (offset >= OFFSET_TIMER)
		return (uint32_t)ticks(power, now) >> 8 * (offset - OFFSET_TIMER);
	return (uint32_t)((power->status | (uint32_t)power->enable << 8 * OFFSET_ENABLE |
			   (uint64_t)power->control << 8 * OFFSET_CONTROL) >>
			  8 * offset);
}

/* Replaces the byte of a register that stands at an offset, where its bits can be written. */
static void put_byte(uint16_t *reg, unsigned offset, uint8_t value, unsigned writable)
{
	const unsigned shift = 8 * (offset & 1), mask = writable & 0xFFu << shift;

	*reg = (uint16_t)((*reg & ~mask) | ((unsigned)value << shift & mask));
}

static enum chipset_order write_byte(struct power *power, unsigned offset, uint8_t value)
{
	const unsigned whole = (unsigned)value << 8 * (offset & 1);

	if (offset < OFFSET_ENABLE) {
		power->status &= (uint16_t)~whole; /* writing 1 clears */
	} else if (offset < OFFSET_CONTROL) {
		put_byte(&power->enable, offset, value, ENABLE_WRITABLE);
	} else if (offset < OFFSET_CONTROL + PC_PM1_CONTROL_SIZE) {
		put_byte(&power->control, offset, value, CONTROL_WRITABLE);
		if ((whole & CONTROL_SLEEP_ENABLE) &&
		    (power->control >> CONTROL_SLEEP_SHIFT & CONTROL_SLEEP_TYPE) == PC_SLEEP_TYPE_OFF)
			return CHIPSET_OFF;
	}
	return CHIPSET_NOTHING;
}

enum chipset_order power_write(struct power *power, unsigned offset, unsigned size, uint32_t value,
			       uint64_t now)
{
	enum chipset_order order = CHIPSET_NOTHING;

	look_at_timer(power, now);
	for (unsigned i = 0; i < size && order == CHIPSET_NOTHING; i++)
		order = write_byte(power, offset + i, (uint8_t)(value >> 8 * i));
	return order;
}

void power_reset(struct power *power, uint64_t tsc_hz, uint64_t now)
{
	*power = (struct power){.tsc_hz = tsc_hz, .control = CONTROL_SCI};
	power->carries = ticks(power, now) >> CARRY_SHIFT;
}
