/*
 * Where things are in the PC of a full partition: ports, addresses, interrupt lines, identities. The devices
 * answer there, the ACPI tables say so. A line's number is that of its 8259 input; the I/O APIC has it on the
 * pin of the same number, but for the timer's.
 */
#pragma once

/* Interrupt lines (IBM PC AT). All are edge-triggered and active high, but for the SCI. */
#define PC_IRQ_TIMER	0u
#define PC_IRQ_KEYBOARD 1u
#define PC_IRQ_COM1	4u
#define PC_IRQ_RTC	8u
#define PC_IRQ_SCI	9u /* level-triggered, active high: an interrupt source override has to say so */
#define PC_PIN_TIMER	2u /* I/O APIC pin of PC_IRQ_TIMER: another override (flags: conforms) */

/* I/O APIC: ISA lines and 8 pins with nothing on them. Global system interrupts begin at 0. */
#define PC_IOAPIC_ADDRESS 0xFEC00000ull
#define PC_IOAPIC_ID	  64u /* behind the vCPUs' ids: CONFIG_MAX_CPUS */
#define PC_IOAPIC_PINS	  24u

#define PC_PORT_COM1 0x3F8u

/* Real-time clock: index and data; the byte of the century is at this index (FADT CENTURY). */
#define PC_PORT_RTC    0x70u
#define PC_RTC_CENTURY 0x32u
#define PC_PORT_KEYBOARD                                                                                     \
	0x60u /* an 8042 at 60h and 64h with nothing plugged in: FADT IAPC_BOOT_ARCH 8042 = 0 */

/*
 * ACPI fixed hardware (ACPI 6.5, 4.8). There is no SMI command port: ACPI mode is on from the start
 * (SCI_EN = 1). No power or sleep button (FADT PWR_BUTTON = 1, SLP_BUTTON = 1), no GPE block.
 */
#define PC_PORT_PM1_EVENT   0x600u /* status and enable, 2 bytes each */
#define PC_PM1_EVENT_SIZE   4u
#define PC_PORT_PM1_CONTROL 0x604u
#define PC_PM1_CONTROL_SIZE 2u
#define PC_PORT_PM_TIMER    0x608u /* 32 bits: FADT TMR_VAL_EXT = 1 */
#define PC_PM_TIMER_SIZE    4u
#define PC_SLEEP_TYPE_OFF   0u /* \_S5: SLP_TYP of soft-off */

/* FADT RESET_REG: a byte in I/O space, and RESET_VALUE. */
#define PC_PORT_RESET  0xCF9u
#define PC_RESET_VALUE 0x06u

/* PCI configuration mechanism #1: bus 0 with the host bridge at 0:0.0, and nothing else. No ECAM. */
#define PC_PORT_PCI_ADDRESS 0xCF8u
#define PC_PORT_PCI_DATA    0xCFCu
