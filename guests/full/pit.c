/*
 * Channel 0 of the 8254 interval timer. Source: Intel 8254 data sheet (control word, counter latch command).
 */
#include "../common/x86.h"
#include "devices.h"

#define CHANNEL_0 0x40u
#define CONTROL	  0x43u

#define CONTROL_RATE  0x34u /* channel 0, low byte then high byte, mode 2, binary */
#define CONTROL_LATCH 0x00u /* channel 0 */

static void start(uint16_t reload)
{
	port_write8(CONTROL, CONTROL_RATE);
	port_write8(CHANNEL_0, (uint8_t)reload);
	port_write8(CHANNEL_0, (uint8_t)(reload >> 8));
}

void pit_periodic(uint32_t hz)
{
	start((uint16_t)((PIT_HZ + hz / 2) / hz));
}

void pit_free_running(void)
{
	start(0);
}

uint16_t pit_count(void)
{
	port_write8(CONTROL, CONTROL_LATCH);
	const uint8_t low = port_read8(CHANNEL_0);
	return (uint16_t)(port_read8(CHANNEL_0) << 8 | low);
}
