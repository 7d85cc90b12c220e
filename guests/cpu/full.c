/* A PC's CPU: string instructions on ports, and NMIs the local APIC sends. */
#include "../common/interrupts.h"
#include "../common/x86.h"
#include "../full/devices.h"
#include "cpu.h"

#define ICR_NMI	  0x4400u /* NMI, assert */
#define NMIS_SENT 2u

bool apic_prefer_x2apic = true;
const bool cr8_is_priority = true;

static void check_string_ports(void)
{
	static const uint8_t bytes[] = {1, 2, 3, 4, 5};
	uint8_t read[4] = {0};
	const void *from = bytes;
	void *to = read;
	uint64_t count = sizeof(bytes);

	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(UART_SCRATCH) : "memory");
	expect("OUTS: RCX", count, 0);
	expect("OUTS: RSI", (uint64_t)from, (uint64_t)bytes + sizeof(bytes));
	expect("OUTS: the last byte", port_read8(UART_SCRATCH), 5);
	count = 3;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(UART_SCRATCH) : "memory");
	expect("INS: RCX", count, 0);
	expect("INS: RDI", (uint64_t)to, (uint64_t)read + 3);
	expect("INS: bytes", read[0] | read[1] << 8 | read[2] << 16 | read[3] << 24, 0x050505);
	to = read;
	__asm__ volatile("std; insb; cld" : "+D"(to) : "d"(UART_SCRATCH) : "memory");
	expect("INS downwards: RDI", (uint64_t)to, (uint64_t)read - 1);
}

static volatile uint32_t nmis, nmis_within;

static void send_nmi(void)
{
	apic_send(apic_id(), ICR_NMI);
}

/* Called with NMIs blocked: the second one has to wait until the first is through. */
void count_nmi(void);
void count_nmi(void)
{
	const uint32_t number = ++nmis;

	if (number < NMIS_SENT)
		send_nmi();
	(void)cpuid(0, 0);
	nmis_within = nmis - number;
}

/* The entry saves what C may change; the frame needs no more, for no error code comes with an NMI. */
__attribute__((naked)) static void nmi_entry(void)
{
	__asm__("push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9; push %r10; push "
		"%r11\n\t"
		"call count_nmi\n\t"
		"pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx; pop %rax\n\t"
		"iretq");
}

static void check_nmi(void)
{
	interrupt_gate(VECTOR_NMI, nmi_entry);
	interrupts_off();
	send_nmi();
	for (unsigned i = 0; i < 1000 && nmis < NMIS_SENT; i++)
		(void)cpuid(0, 0);
	interrupts_on();
	expect("NMIs taken", nmis, NMIS_SENT);
	expect("NMIs taken within an NMI", nmis_within, 0);
}

void check_platform(void)
{
	check_string_ports();
	check_nmi();
}
