/*
 * Sources: Intel ICH9 data sheet 13.7 (ports 70h, 92h, CF9h), IBM PC/AT technical reference (8042);
 * ACPI 6.5, 4.8.3.2 (PM1 control; its port and the sleep type of S5, 0, are those of the PCs QEMU models,
 * which guests know).
 */
#include "hv/device/chipset.h"
#include "hv/device/rtc.h"

#define KEYBOARD_READY	   0x14u /* buffers empty, self-test passed, not locked */
#define KEYBOARD_RESET_CPU 0xFEu
#define RTC_INDEX_BITS	   0x7Fu /* bit 7 masks NMIs */
#define FAST_A20	   0x02u
#define FAST_INIT	   0x01u
#define RESET_NOW	   0x04u
#define RESET_KEPT	   0x0Au /* full or CPU-only: what it would do */
#define ACPI_SLEEP_ENABLE  0x2000u
#define ACPI_SLEEP_TYPE	   0x1C00u

uint8_t chipset_read(const struct chipset *chipset, uint16_t port, uint64_t seconds)
{
	switch (port) {
	case PORT_KEYBOARD_DATA: return 0;
	case PORT_KEYBOARD_COMMAND: return KEYBOARD_READY;
	case PORT_RTC_DATA: return rtc_read(chipset->rtc_index, seconds);
	case PORT_FAST_RESET: return FAST_A20;
	case PORT_RESET_CONTROL: return chipset->reset_control;
	case PORT_ACPI_CONTROL: return 0;
	default: return 0xFF;
	}
}

static enum chipset_order write_reset_control(struct chipset *chipset, uint8_t value)
{
	chipset->reset_control = value & RESET_KEPT;
	return value & RESET_NOW ? CHIPSET_RESET : CHIPSET_NOTHING;
}

enum chipset_order chipset_write(struct chipset *chipset, uint16_t port, uint32_t value)
{
	switch (port) {
	case PORT_RTC_INDEX: chipset->rtc_index = value & RTC_INDEX_BITS; return CHIPSET_NOTHING;
	case PORT_RESET_CONTROL: return write_reset_control(chipset, (uint8_t)value);
	case PORT_KEYBOARD_COMMAND: return value == KEYBOARD_RESET_CPU ? CHIPSET_RESET : CHIPSET_NOTHING;
	case PORT_FAST_RESET: return value & FAST_INIT ? CHIPSET_RESET : CHIPSET_NOTHING;
	case PORT_ACPI_CONTROL:
		return (value & (ACPI_SLEEP_ENABLE | ACPI_SLEEP_TYPE)) == ACPI_SLEEP_ENABLE ? CHIPSET_OFF
											    : CHIPSET_NOTHING;
	default: return CHIPSET_NOTHING;
	}
}
