/*
 * A PC's devices as a full guest drives them: interrupt controllers, timers, serial line, further CPUs.
 * Each function names the register or sequence it uses; the data sheets are named in the .c files.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Vectors: the two 8259s take sixteen from 32, the local APIC's own follow. */
#define VECTOR_PIC	 32
#define VECTOR_APIC_TICK 48
#define VECTOR_IPI	 49
#define VECTOR_SPURIOUS	 63 /* the low four bits set, as the oldest APICs want */

#define IRQ_PIT	   0
#define IRQ_SERIAL 4

/* 8259 pair */
void pic_init(void); /* remaps to VECTOR_PIC, masks every line */
void pic_unmask(uint8_t irq);
void pic_mask(uint8_t irq);
void pic_end(void); /* the line in service among 0 to 7 */

/* 8254, channel 0 */
#define PIT_HZ 1193182u
void pit_periodic(uint32_t hz); /* 19 and more */
void pit_free_running(void);	/* counts 65536 down, again and again */
uint16_t pit_count(void);	/* latches and reads the count */

/* 16550 at 3F8h */
#define UART_SCRATCH 0x3FFu
void uart_init(void);
void uart_write(const char *bytes, size_t size);
void uart_flush(void);
void uart_input_on(void); /* IRQ 4 from here on */
int uart_read(void);	  /* -1: nothing typed */
bool uart_has_fifo(void);

/* Local APIC: memory-mapped (xAPIC), or by MSR (x2APIC) where the CPU offers it */
#define APIC_ID		 0x020u
#define APIC_EOI	 0x0B0u
#define APIC_SPURIOUS	 0x0F0u
#define APIC_ICR_LOW	 0x300u
#define APIC_ICR_HIGH	 0x310u
#define APIC_LVT_TIMER	 0x320u
#define APIC_LVT_LINT0	 0x350u
#define APIC_TIMER_START 0x380u
#define APIC_TIMER_COUNT 0x390u
#define APIC_TIMER_DIV	 0x3E0u

#define MSR_APIC_BASE	 0x1Bu
#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)
#define MSR_X2APIC_FIRST 0x800u

#define ICR_INIT    0x4500u /* INIT, assert */
#define ICR_STARTUP 0x4600u /* start-up, assert; low byte: page number */
#define ICR_FIXED   0x4000u /* fixed, assert; low byte: vector */
#define ICR_SELF    0x40000u

/* Whether a CPU that offers x2APIC is put into it at once; a program that measures both says false. */
extern bool apic_prefer_x2apic;
bool apic_x2apic_offered(void);
void apic_init(bool use_x2apic); /* this CPU's; CPU 0 keeps the 8259s through LINT0 */
bool apic_is_x2apic(void);
volatile uint32_t *apic_page(void);
uint32_t apic_read(uint32_t offset);
void apic_write(uint32_t offset, uint32_t value);
void apic_end(void);
uint32_t apic_id(void);
void apic_send(uint32_t target_id, uint32_t command);
void apic_timer_arm(uint32_t count); /* one shot, VECTOR_APIC_TICK; 0 disarms */
void apic_timer_periodic(uint32_t count);

/* Clocks, measured against the 8254 */
struct clocks {
	uint32_t tsc_khz;
	uint32_t apic_khz; /* of the APIC timer, undivided */
};
const struct clocks *clocks_measure(void); /* takes 60 ms; CPU 0, before any tick */
const struct clocks *clocks_known(void);   /* as measured */
void delay_us(uint32_t microseconds);

/* CPUs */
uint32_t smp_count(void); /* finds the CPUs: MP table, else CPUID */
bool smp_start(uint32_t cpu, void (*entry)(void *context), void *context);
_Noreturn void smp_park(void);
bool smp_running(uint32_t cpu);
uint32_t smp_apic_id(uint32_t cpu);
