/*
 * Source: ICH9 data sheet (316972), 13.7.3 (port 92h) and 13.7.5 (CF9h).
 */
#include "hv/device/chipset.h"
#include "hv/device/pc.h"

#define FAST_A20   0x02u
#define FAST_INIT  0x01u
#define RESET_NOW  0x04u
#define RESET_KEPT 0x0Au /* full or CPU-only: what it would do */

uint8_t chipset_read(const struct chipset *chipset, uint16_t port)
{
	switch (port) {
	case PORT_FAST_RESET: return FAST_A20;
	case PC_PORT_RESET: return chipset->reset_control;
	default: return 0xFF;
	}
}

enum chipset_order chipset_write(struct chipset *chipset, uint16_t port, uint8_t value)
{
	if (port == PORT_FAST_RESET)
		return value & FAST_INIT ? CHIPSET_RESET : CHIPSET_NOTHING;
	if (port != PC_PORT_RESET)
		return CHIPSET_NOTHING;
	chipset->reset_control = value & RESET_KEPT;
	return value & RESET_NOW ? CHIPSET_RESET : CHIPSET_NOTHING;
}
