/*
 * The slow devices and how they are wired: clock, keyboard controller, ACPI, PCI. None of them is touched
 * often, so all share one look at what their lines and timers should be. Under partition->device_lock.
 */
#include "arch/x86/clock.h"
#include "hv/device/devices.h"
#include "hv/lib/scale.h"

/* The clock's time: ticks of its crystal since 1970. */
static uint64_t rtc_time(const struct full_devices *devices)
{
	return (boot_wall_s << RTC_HZ_LOG2) +
	       scale_ticks(device_now() - boot_tsc, devices->power.tsc_hz, 1ull << RTC_HZ_LOG2, false);
}

static uint64_t rtc_deadline(const struct full_devices *devices, uint64_t time)
{
	if (time == RTC_NEVER)
		return TIMER_NEVER;
	return boot_tsc + scale_ticks(time - (boot_wall_s << RTC_HZ_LOG2), 1ull << RTC_HZ_LOG2,
				      devices->power.tsc_hz, true);
}

void board_settle(struct partition *partition)
{
	struct full_devices *devices = partition->devices;
	const uint64_t now = device_now(), time = rtc_time(devices);
	const bool clock = rtc_interrupt(&devices->rtc, time);

	if (clock && !devices->clock_line)
		power_clock_event(&devices->power);
	devices->clock_line = clock;
	full_set_line(partition, PC_IRQ_KEYBOARD, keyboard_interrupt(&devices->keyboard));
	full_set_line(partition, PC_IRQ_RTC, clock);
	full_set_line(partition, PC_IRQ_SCI, power_interrupt(&devices->power, now));
	devices->board_edge =
		MIN(rtc_deadline(devices, rtc_next(&devices->rtc, time)), power_next(&devices->power, now));
}

static void settle(struct vcpu *vcpu)
{
	board_settle(vcpu->partition);
	full_arm_timer(vcpu);
}

uint8_t rtc_in(struct vcpu *vcpu, uint16_t port)
{
	struct full_devices *devices = vcpu->partition->devices;
	const uint8_t value = rtc_read(&devices->rtc, port, rtc_time(devices));

	settle(vcpu);
	return value;
}

enum chipset_order rtc_out(struct vcpu *vcpu, uint16_t port, uint32_t value)
{
	struct full_devices *devices = vcpu->partition->devices;

	rtc_write(&devices->rtc, port, (uint8_t)value, rtc_time(devices));
	settle(vcpu);
	return CHIPSET_NOTHING;
}

uint8_t keyboard_in(struct vcpu *vcpu, uint16_t port)
{
	const uint8_t value = keyboard_read(&vcpu->partition->devices->keyboard, port);

	settle(vcpu);
	return value;
}

enum chipset_order keyboard_out(struct vcpu *vcpu, uint16_t port, uint32_t value)
{
	const enum chipset_order order =
		keyboard_write(&vcpu->partition->devices->keyboard, port, (uint8_t)value);

	settle(vcpu);
	return order;
}

/*
 * Ports of more than a byte
 */

static bool in_power_block(uint16_t port)
{
	return (unsigned)port - PC_PORT_PM1_EVENT < PC_PORT_PM_TIMER + PC_PM_TIMER_SIZE - PC_PORT_PM1_EVENT;
}

static bool is_pci(uint16_t port)
{
	return port / 8 == PC_PORT_PCI_ADDRESS / 8;
}

bool board_port_in(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t *value)
{
	struct full_devices *devices = vcpu->partition->devices;

	if (is_pci(port)) {
		*value = pci_read(&devices->pci, port, size);
		return true;
	}
	if (!in_power_block(port))
		return false;
	*value = power_read(&devices->power, port - PC_PORT_PM1_EVENT, device_now());
	return true;
}

bool board_port_out(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t value,
		    enum chipset_order *order)
{
	struct full_devices *devices = vcpu->partition->devices;

	if (is_pci(port)) {
		pci_write(&devices->pci, port, size, value);
		return true;
	}
	if (!in_power_block(port))
		return false;
	*order = power_write(&devices->power, port - PC_PORT_PM1_EVENT, size, value, device_now());
	settle(vcpu);
	return true;
}

void board_reset(struct partition *partition, uint64_t tsc_hz)
{
	struct full_devices *devices = partition->devices;

	power_reset(&devices->power, tsc_hz, device_now());
	rtc_reset(&devices->rtc, rtc_time(devices));
	keyboard_reset(&devices->keyboard);
	devices->pci = (struct pci){0};
	devices->chipset = (struct chipset){0};
	devices->clock_line = false;
	devices->board_edge = TIMER_NEVER;
}
