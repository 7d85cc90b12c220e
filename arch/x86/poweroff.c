/*
 * Powering off. Firmware knows how, so CPU 0 goes back onto the loader's tables and stack and asks it; the
 * emulators' own ports come next; and if nothing helps, the user is told.
 */
#include <stdatomic.h>

#include "arch/x86/apic.h"
#include "arch/x86/clock.h"
#include "arch/x86/machine.h"
#include "arch/x86/percpu.h"
#include "arch/x86/poweroff.h"
#include "drivers/serial.h"
#include "hv/console/console.h"
#include "hv/core/virt.h"
#include "hv/lib/log.h"

/* ACPI PM1a control of QEMU's q35: SLP_EN, type 0 (S5 there). */
#define QEMU_PM1A_CONTROL 0x604
#define QEMU_SLEEP	  0x2000
/* Bochs takes this word, letter by letter. */
#define BOCHS_SHUTDOWN 0x8900

/* How long CPU 0 gets to take over before the asking CPU goes on by itself. */
#define TAKE_OVER_US	  2000000
#define TAKE_OVER_STEP_US 1000

#define FIRMWARE_CRASHED UINT64_MAX /* as in entry.asm */

uint64_t firmware_call(uint64_t function, hpa_t boot_cr3);
NORETURN void firmware_abort(void);

static uint64_t reset_system;
static hpa_t boot_cr3;
static bool in_firmware;
static _Atomic bool stopping, power_off_wanted;

void machine_remember_firmware(const struct boot_info *boot)
{
	reset_system = boot->reset_system;
	boot_cr3 = hpa(boot->boot_cr3);
}

void machine_abandon_firmware(void)
{
	if (!in_firmware)
		return;
	in_firmware = false;
	firmware_abort();
}

void machine_stop_others(void)
{
	if (!atomic_exchange(&stopping, true))
		apic_send_nmi_to_others();
}

bool machine_stopping(void)
{
	return atomic_load(&stopping);
}

void cpu_halt(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}

static void ask_firmware(void)
{
	uint64_t status;

	if (!reset_system) {
		log_warn("the firmware offers no ResetSystem()");
		return;
	}
	in_firmware = true;
	status = firmware_call(reset_system, boot_cr3);
	in_firmware = false;
	if (status == FIRMWARE_CRASHED)
		log_warn("the firmware's ResetSystem() crashed");
	else
		log_warn("the firmware's ResetSystem() returned 0x%lx", status);
}

static void try_ports(void)
{
	serial_finish();
	outw(QEMU_PM1A_CONTROL, QEMU_SLEEP);
	for (const char *letter = "Shutdown"; *letter; letter++)
		outb(BOCHS_SHUTDOWN, (uint8_t)*letter);
}

static NORETURN void power_off_here(void)
{
	machine_stop_others();
	console_synchronous();
	if (this_cpu->virt_enabled)
		virt->cpu_disable();
	this_cpu->virt_enabled = false;
	serial_finish();
	ask_firmware();
	try_ports();
	log_error("The machine does not power off by itself: you can switch it off now.");
	cpu_halt();
}

void machine_follow_power_off(void)
{
	if (this_cpu->index == 0 && atomic_load(&power_off_wanted))
		power_off_here();
}

void machine_power_off(void)
{
	if (this_cpu->index != 0) {
		atomic_store(&power_off_wanted, true);
		apic_kick(cpus[0].apic_id);
		for (unsigned waited = 0; waited < TAKE_OVER_US; waited += TAKE_OVER_STEP_US)
			clock_delay_us(TAKE_OVER_STEP_US);
		log_warn("CPU 0 does not answer: powering off from CPU %u", this_cpu->index);
	}
	power_off_here();
}
