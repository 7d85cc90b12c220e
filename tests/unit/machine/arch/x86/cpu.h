/*
 * Stands before arch/x86/cpu.h for the unit tests of code that uses privileged instructions: what a program
 * on a host may not do, or must not leave to chance, is a function of the fake CPU (tests/unit/fake_cpu.h).
 */
#pragma once

#define cpuid		       machine_cpuid
#define rdmsr		       machine_rdmsr
#define wrmsr		       machine_wrmsr
#define rdtsc		       machine_rdtsc
#define rdtsc_low	       machine_rdtsc_low
#define inb		       machine_inb
#define outb		       machine_outb
#define xsetbv		       machine_xsetbv
#define read_cr3	       machine_read_cr3
#define write_cr0	       machine_write_cr0
#define write_cr4	       machine_write_cr4
#define cpu_pause	       machine_cpu_pause
#define cpu_interrupt_window   machine_cpu_interrupt_window
#define cpu_wait_for_interrupt machine_cpu_wait_for_interrupt
#include "../../../../../arch/x86/cpu.h"
#undef cpuid
#undef rdmsr
#undef wrmsr
#undef rdtsc
#undef rdtsc_low
#undef inb
#undef outb
#undef xsetbv
#undef read_cr3
#undef write_cr0
#undef write_cr4
#undef cpu_pause
#undef cpu_interrupt_window
#undef cpu_wait_for_interrupt

struct cpuid_result cpuid(uint32_t leaf, uint32_t subleaf);
uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t value);
uint64_t rdtsc(void);
#define rdtsc_low() ((uint32_t)rdtsc())
uint8_t inb(uint16_t port);
void outb(uint16_t port, uint8_t value);
void xsetbv(uint32_t index, uint64_t value);
uint64_t read_cr3(void);
void write_cr0(uint64_t value);
void write_cr4(uint64_t value);
void cpu_pause(void);
void cpu_interrupt_window(void);
void cpu_wait_for_interrupt(void);
