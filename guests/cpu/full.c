/* A PC's CPU: string instructions on ports, NMIs the local APIC sends, and what stands right behind STI. */
#include "../common/interrupts.h"
#include "../common/x86.h"
#include "../full/devices.h"
#include "cpu.h"

#define ICR_NMI	  0x4400u /* NMI, assert */
#define NMIS_SENT 2u
#define RFLAGS_TF (1u << 8)
#define RFLAGS_IF (1u << 9)

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

/*
 * The instruction behind STI, with an interrupt waiting: it is executed first, whatever it is.
 */

static volatile uint32_t interrupts_taken, taken_in_fault;
static volatile uint64_t flags_at_fault;

static void count_interrupt(void)
{
	interrupts_taken++;
	apic_end();
}

static void let_one_wait(void)
{
	interrupts_off();
	interrupts_taken = 0;
	apic_send(apic_id(), ICR_FIXED | VECTOR_IPI);
}

static void check_cr8_behind_sti(void)
{
	const uint64_t highest = 15, none = 0;
	uint32_t held_back;

	let_one_wait();
	__asm__ volatile("sti; mov %0, %%cr8; nop" ::"r"(highest) : "memory");
	held_back = interrupts_taken;
	__asm__ volatile("mov %0, %%cr8; nop" ::"r"(none) : "memory");
	expect("interrupts over a priority set behind STI", held_back, 0);
	expect("interrupts once it is taken back", interrupts_taken, 1);
}

/* The trap behind an instruction comes before the interrupt that the instruction sends. */
static void check_step_of_a_self_ipi(void)
{
	uint64_t behind;

	interrupts_taken = 0;
	caught.count = caught.recover = 0;
	caught.steps[0] = 0;
	__asm__ volatile("pushfq; orl %4, (%%rsp); popfq; wrmsr; 1: pushfq; andl %5, (%%rsp); popfq; lea "
			 "1b(%%rip), %0"
			 : "=&r"(behind)
			 : "c"(MSR_X2APIC_FIRST + APIC_ICR_LOW / 16), "a"(ICR_FIXED | ICR_SELF | VECTOR_IPI),
			   "d"(0), "i"(RFLAGS_TF | RFLAGS_IF), "i"(~RFLAGS_TF)
			 : "cc", "memory");
	expect("step of a self-IPI", caught.steps[0], behind);
	expect("interrupts behind it", interrupts_taken, 1);
}

/* Lets interrupts in itself, and goes on behind the UD2. */
void count_fault(const uint64_t *frame);
void count_fault(const uint64_t *frame)
{
	flags_at_fault = frame[2];
	interrupts_on();
	(void)cpuid(0, 0);
	taken_in_fault = interrupts_taken;
	interrupts_off();
}

__attribute__((naked)) static void fault_entry(void)
{
	__asm__("addq $2, (%rsp); mov %rsp, %rdi; call count_fault; iretq");
}

static void check_fault_behind_sti(void)
{
	let_one_wait();
	interrupt_gate(VECTOR_UD, fault_entry);
	__asm__ volatile("sti; ud2" ::
				 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "cc",
				   "memory");
	interrupt_gate(VECTOR_UD, catch_ud);
	expect("RFLAGS.IF and .TF of a fault behind STI", flags_at_fault & (RFLAGS_IF | RFLAGS_TF),
	       RFLAGS_IF);
	expect("interrupts in the fault's handler", taken_in_fault, 1);
}

/* Its handler ends with STI and IRET. */
static uint32_t nmis_behind_sti;
__attribute__((naked)) static void nmi_entry_sti(void)
{
	__asm__("incl %0; sti; iretq" : "+m"(nmis_behind_sti));
}

static void check_iret_behind_sti(void)
{
	let_one_wait();
	interrupt_gate(VECTOR_NMI, nmi_entry_sti);
	for (unsigned i = 1; i <= NMIS_SENT; i++) {
		send_nmi();
		(void)cpuid(0, 0);
		expect("NMIs whose handler ends with STI and IRET", nmis_behind_sti, i);
	}
	expect("interrupts behind that STI, with IF = 0 on return", interrupts_taken, 0);
	interrupts_on();
	(void)cpuid(0, 0);
	expect("interrupts once IF = 1", interrupts_taken, 1);
}

void check_platform(void)
{
	check_string_ports();
	check_nmi();
	interrupt_handle(VECTOR_IPI, count_interrupt);
	if (apic_is_x2apic())
		check_step_of_a_self_ipi();
	check_cr8_behind_sti();
	check_fault_behind_sti();
	check_iret_behind_sti();
}
