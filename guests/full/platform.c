/*
 * platform.h on a PC: Multiboot information in, devices set up, then the guest program. This file and its
 * neighbours would run on any PC since 2004; nothing in them knows that a hypervisor may be underneath.
 * Sources: Multiboot Specification 0.6.96, 3.3; Intel ICH9 data sheet, 13.7.5 (reset control), 13.8.3.2 (PM1
 * control).
 */
#include "../common/cpu.h"
#include "../common/interrupts.h"
#include "../common/print.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "../platform.h"
#include "devices.h"

#define INFO_MEMORY  (1u << 0)
#define INFO_CMDLINE (1u << 2)

/* The PM1a control register as firmware places it on the PCs QEMU models; S5 is sleep type 0 there. */
#define PM1_CONTROL 0x604u
#define PM1_SLEEP   0x2000u

#define RESET_CONTROL	   0xCF9u
#define RESET_HARD	   0x06u
#define KEYBOARD_COMMAND   0x64u
#define KEYBOARD_RESET_CPU 0xFEu

#define NS_PER_MS 1000000ull

struct multiboot_info {
	uint32_t flags, memory_lower, memory_upper; /* KiB below 640 KiB, and from 1 MiB up */
	uint32_t boot_device, cmdline;
};

void full_main(const struct multiboot_info *info);

static char cmdline[PLATFORM_CMDLINE_SIZE];
static struct platform self = {.kind = "full", .name = "full", .cmdline = cmdline};
static void (*tick_handler)(void);
static void (*ipi_handler)(void);
static volatile bool alarm_rang;
static bool tick_by_apic;

__attribute__((weak)) bool apic_prefer_x2apic = true; /* not const: gcc would take the weak value as final */

static void on_pit(void)
{
	pic_end();
	if (tick_handler)
		tick_handler();
}

static void on_apic_timer(void)
{
	apic_end();
	if (tick_by_apic && tick_handler)
		tick_handler();
	else
		alarm_rang = true;
}

static void on_ipi(void)
{
	apic_end();
	if (ipi_handler)
		ipi_handler();
}

void full_main(const struct multiboot_info *info)
{
	if (info->flags & INFO_CMDLINE)
		string_copy(cmdline, (const char *)(uintptr_t)info->cmdline, sizeof(cmdline));
	if (info->flags & INFO_MEMORY)
		self.memory_size = (1024ull + info->memory_upper) * 1024;
	uart_init();
	interrupts_init();
	pic_init();
	apic_init(apic_prefer_x2apic && apic_x2apic_offered() && !option_flag(cmdline, "xapic"));
	self.tsc_khz = clocks_measure()->tsc_khz;
	self.cpu_count = smp_count();
	interrupt_handle(VECTOR_PIC + IRQ_PIT, on_pit);
	interrupt_handle(VECTOR_APIC_TICK, on_apic_timer);
	interrupt_handle(VECTOR_IPI, on_ipi);

	char tick[8];
	option_text(cmdline, "tick", "pit", tick, sizeof(tick));
	tick_by_apic = string_equal(tick, "apic");
	interrupts_on();
	guest_main(&self);
}

void platform_write(const char *text, size_t size)
{
	uart_write(text, size);
}

void platform_console_start(void)
{
	uart_input_on();
}

void platform_flush(void)
{
	uart_flush();
}

int platform_read(void)
{
	return uart_read();
}

uint64_t platform_time_ns(void)
{
	const uint64_t tsc = read_tsc();
	return tsc / self.tsc_khz * NS_PER_MS + tsc % self.tsc_khz * NS_PER_MS / self.tsc_khz;
}

/* Unmasking first lets go of an edge the 8259 kept from the calibration: it finds no handler yet. */
void platform_tick_start(uint32_t hz, void (*handler)(void))
{
	if (tick_by_apic) {
		tick_handler = handler;
		apic_timer_periodic(clocks_known()->apic_khz * 1000 / hz);
		return;
	}
	pic_unmask(IRQ_PIT);
	tick_handler = handler;
	pit_periodic(hz);
}

void platform_tick_stop(void)
{
	if (tick_by_apic)
		apic_timer_arm(0);
	else
		pic_mask(IRQ_PIT);
	tick_handler = NULL;
}

void platform_sleep_ms(uint32_t milliseconds)
{
	alarm_rang = false;
	interrupts_off();
	apic_timer_arm(clocks_known()->apic_khz * milliseconds);
	while (!alarm_rang)
		platform_idle();
	interrupts_on();
}

void platform_idle(void)
{
	interrupts_on_and_halt();
	interrupts_off();
}

bool platform_cpu_start(uint32_t cpu, void (*entry)(void *context), void *context)
{
	return smp_start(cpu, entry, context);
}

void platform_cpu_stop(void)
{
	smp_park();
}

bool platform_cpu_running(uint32_t cpu)
{
	return smp_running(cpu);
}

void platform_ipi(uint32_t cpu)
{
	apic_send(smp_apic_id(cpu), ICR_FIXED | VECTOR_IPI);
}

void platform_on_ipi(void (*handler)(void))
{
	ipi_handler = handler;
}

void platform_power_off(void)
{
	uart_flush();
	port_write16(PM1_CONTROL, PM1_SLEEP);
	interrupts_off();
	for (;;)
		halt();
}

void platform_reset(void)
{
	uart_flush();
	port_write8(RESET_CONTROL, RESET_HARD);
	port_write8(KEYBOARD_COMMAND, KEYBOARD_RESET_CPU);
	triple_fault();
}

void platform_report(void)
{
	print_line("apic %s id %u, timer %u kHz, tick by %s, uart %s", apic_is_x2apic() ? "x2apic" : "xapic",
		   apic_id(), clocks_known()->apic_khz, tick_by_apic ? "apic" : "pit",
		   uart_has_fifo() ? "with fifo" : "without fifo");
}

void exception_report(const struct interrupt_frame *frame)
{
	print_line("exception %lu error %lx at %lx, cpu %u", frame->vector, frame->error, frame->rip,
		   this_cpu());
	uart_flush();
	triple_fault();
}
