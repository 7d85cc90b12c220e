/*
 * A full guest's devices. Policy: ports and APIC registers that are not there read as ones and swallow
 * writes; the APIC reaches the guest's own CPUs and nobody else; INIT to its boot CPU is a reset, as a PC's
 * firmware would make it; reset and power ports end this partition only. An instruction that touches the APIC
 * is carried out if it is one that drivers use, else the partition ends: "accesses the device at A with B
 * ..., at RIP R: not served".
 */
#include "../../guests/common/interrupts.h"
#include "../../guests/full/devices.h"
#include "hostile.h"

#define PORTS		0x10000u
#define UART_DATA	0x3F8u
#define PORT_RESET	0xCF9u
#define PORT_KEYBOARD	0x64u
#define PORT_FAST_RESET 0x92u
#define PORT_POWER	0x604u
#define STORM		20000u
#define STORM_US	5000u
#define ELCR_MASTER	0x4D0u
#define ELCR_SLAVE	0x4D1u
#define STARTS		100u
#define TRAMPOLINE_PAGE 8u /* where platform_cpu_start() has left the way in */
#define FLOOD_LINES	300u
#define BLIND_FLOOD	10000u
#define RACE_ROUNDS	5000u
#define STI_ROUNDS	1000u

#define APIC_PAGE	 0xFEE00000ull
#define APIC_VERSION	 0x030u
#define APIC_PRIORITY	 0x080u
#define MODES		 8u
#define MODE_SHIFT	 8
#define MODE_INIT	 5u
#define MODE_STARTUP	 6u
#define SHORTHANDS	 4u
#define SHORTHAND_SHIFT	 18
#define SHORTHAND_OTHERS 3u
#define LOGICAL		 (1u << 11)
#define VECTOR_VALID	 VECTOR_IPI
#define ID_FOREIGN	 2u
#define ID_BROADCAST	 0xFFu
#define ICR_NMI		 0x4400u
#define ICR_EVERYBODY	 0x80000u
#define ICR_BUT_SELF	 0xC0000u
#define MSR_DEADLINE	 0x6E0u
#define MSR_X2APIC_ICR	 0x830u
#define APIC_ENABLE	 (1ull << 11)
#define APIC_X2APIC	 (1ull << 10)
#define IOAPIC_PAGE	 0xFEC00000ull
#define IOAPIC_DATA	 0x10u
#define IOAPIC_ENTRY	 0x10u /* register, two for each pin */
#define IOAPIC_PINS	 24u
#define IOAPIC_MASKED	 (1u << 16)
#define PIN_TIMER	 2u
#define CODE_RET	 0xC3u

/*
 * Ports
 */
static uint32_t in32(uint16_t port)
{
	uint32_t value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static uint16_t in16(uint16_t port)
{
	uint16_t value;
	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}
static void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static void devices_anew(void)
{
	uart_init();
	pic_init();
	port_write8(ELCR_MASTER, 0);
	port_write8(ELCR_SLAVE, 0);
	apic_init(false);
	uart_input_on();
}

/* All ports in all widths. What is typed is lost; the devices are set up anew. */
static void read_all_ports(void)
{
	interrupts_off();
	for (uint32_t port = 0; port < PORTS; port++) {
		(void)port_read8((uint16_t)port);
		(void)in16((uint16_t)port);
		(void)in32((uint16_t)port);
	}
	devices_anew();
	interrupts_on();
}

/* Ports that end the partition, which have attacks of their own, and those whose wide neighbours reach them.
 */
static bool ends(uint32_t port)
{
	static const uint16_t ends[] = {PORT_RESET, PORT_KEYBOARD, PORT_FAST_RESET, PORT_POWER};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (port <= ends[i] && port + 3 >= ends[i])
			return true;
	return false;
}

static bool serial(uint32_t port)
{
	return port >= 0x3F5 && port < 0x400;
}

static void write_all_ports(void)
{
	static const uint32_t patterns[] = {0, UINT32_MAX, 0x55AA55AA};

	interrupts_off();
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		for (uint32_t port = 0; port < PORTS; port++) {
			if (ends(port) || serial(port))
				continue;
			if (i + 1 < sizeof(patterns) / sizeof(patterns[0]))
				port_write8((uint16_t)port, (uint8_t)patterns[i]);
			else
				out32((uint16_t)port, patterns[i]);
		}
	devices_anew();
	interrupts_on();
}

/* Modem control with loopback, divisor, FIFO: whatever is left, uart_init() brings it back. */
static void garble_serial(void)
{
	interrupts_off();
	for (uint32_t value = 0; value < 0x100; value++)
		for (uint16_t port = 0x3FF; port > 0x3F8; port--)
			port_write8(port, (uint8_t)value);
	devices_anew();
	interrupts_on();
}

static void out_one(void)
{
	if (attack->b > 0xFF)
		port_write16((uint16_t)attack_a, (uint16_t)attack->b);
	else
		port_write8((uint16_t)attack_a, (uint8_t)attack->b);
}

/* PCI with a host bridge and nothing else: whatever is chosen behind it reads as ones. */
static void pci_configuration(void)
{
	uint32_t all = UINT32_MAX;

	for (uint32_t device = 1; device < 0x100; device++) {
		out32(0xCF8, 0x80000000u | device << 11);
		all &= in32(0xCFC);
	}
	observe(all);
}

/* "string instruction at linear address L, outside its memory": L is in the window. */
static void string_in(void)
{
	volatile uint8_t *to = map_window(attack_address());
	uint64_t count = 16;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(UART_SCRATCH) : CLOBBERS);
}

static void string_out(void)
{
	volatile uint8_t *from = map_window(attack_address());
	uint64_t count = 16;
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(UART_SCRATCH) : CLOBBERS);
}

/* #PF of a write (2), and #GP. */
static void string_at(void)
{
	volatile uint8_t *to = (volatile uint8_t *)attack_a;
	uint64_t count = 16;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(UART_SCRATCH) : CLOBBERS);
}

/* 64 Ki elements in one instruction: the hypervisor looks up in between. */
static void long_string(void)
{
	const uint8_t *from = (const uint8_t *)0x100000;
	uint64_t count = 0x20000;
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(UART_SCRATCH) : CLOBBERS);
	observe(count);
}

/*
 * Interrupt commands
 */
static void ignore(void)
{
	apic_end();
}

static void send_to(uint32_t destination, uint32_t command)
{
	apic_write(APIC_ICR_HIGH, destination << 24);
	apic_write(APIC_ICR_LOW, command);
}

/* One command of `b` to the APIC `a`. */
static void send_one(void)
{
	send_to((uint32_t)attack_a, (uint32_t)attack->b);
	(void)cpuid(0, 0);
}

/* All modes to all ids that are not this guest's. */
static void send_to_foreign(void)
{
	for (uint32_t id = ID_FOREIGN; id < ID_BROADCAST; id++)
		for (uint32_t mode = 0; mode < MODES; mode++)
			send_to(id, 0x4000u | mode << MODE_SHIFT | VECTOR_VALID);
}

/* All modes, shorthands and forms of destination, valid vectors and not, level and edge. INIT that would
 * reach this CPU is left to attacks of its own, and start-up IPIs go to nobody. */
static void send_all(void)
{
	static const uint32_t destinations[] = {0, 2, 3, 0x55, 0xFE, ID_BROADCAST};

	interrupt_handle(VECTOR_IPI, ignore);
	caught.recover = 0; /* NMIs come back to here */
	for (uint32_t mode = 0; mode < MODES; mode++)
		for (uint32_t shorthand = 0; shorthand < SHORTHANDS; shorthand++)
			for (size_t i = 0; i < sizeof(destinations) / sizeof(destinations[0]); i++)
				for (uint32_t form = 0; form < 16; form++) {
					const uint32_t command =
						mode << MODE_SHIFT | shorthand << SHORTHAND_SHIFT |
						(form & 1 ? LOGICAL : 0) | (form & 2 ? 0x4000u : 0) |
						(form & 4 ? 0x8000u : 0) | (form & 8 ? 5u : VECTOR_VALID);
					if (mode == MODE_STARTUP ||
					    (mode == MODE_INIT && shorthand != SHORTHAND_OTHERS))
						continue;
					send_to(destinations[i], command);
				}
	caught.count = 0;
}

static void self_storm(void)
{
	interrupt_handle(VECTOR_IPI, ignore);
	for (uint32_t i = 0; i < STORM; i++)
		send_to(0, ICR_FIXED | ICR_SELF | VECTOR_IPI);
}

static void nmi_storm(void)
{
	caught.recover = 0;
	for (uint32_t i = 0; i < STORM; i++)
		send_to(0, ICR_NMI);
	caught.count = 0;
}

/* As short as periods can be, for a while. */
static void timer_storm(void)
{
	apic_timer_periodic(1);
	delay_us(STORM_US);
	apic_timer_arm(0);
}

static void deadline_storm(void)
{
	for (uint32_t i = 0; i < STORM; i++)
		write_msr(MSR_DEADLINE, i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : read_tsc());
	write_msr(MSR_DEADLINE, 0);
}

/* The 8254 at its fastest. Where each tick is followed by the next before its handler has returned, nothing
 * else of the guest ever runs: as on a PC. */
static void pit_storm(void)
{
	pic_unmask(IRQ_PIT);
	port_write8(0x43, 0x34);
	port_write8(0x40, 2);
	port_write8(0x40, 0);
	for (;;)
		spin_hint();
}

/*
 * The APIC's page
 */
static void read_all_registers(void)
{
	volatile uint8_t *const page = (volatile uint8_t *)APIC_PAGE;

	for (uint32_t offset = 0; offset < PAGE_SIZE; offset += 4)
		(void)*(volatile uint32_t *)(page + offset);
	for (uint32_t offset = 0; offset < PAGE_SIZE; offset++)
		(void)page[offset];
	for (uint32_t offset = 0; offset + 8 <= PAGE_SIZE; offset += 8)
		(void)*(volatile uint64_t *)(page + offset);
}

/* All but the command register. */
static void write_all_registers(void)
{
	static const uint32_t patterns[] = {0, UINT32_MAX, 0x55555555, 0xAAAAAAAA};
	volatile uint8_t *const page = (volatile uint8_t *)APIC_PAGE;

	interrupts_off();
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		for (uint32_t offset = 0; offset < PAGE_SIZE; offset += 4)
			if (offset != APIC_ICR_LOW)
				*(volatile uint32_t *)(page + offset) = patterns[i];
	for (uint32_t lvt = APIC_LVT_TIMER; lvt <= 0x370; lvt += 0x10)
		apic_write(lvt, 0x10000);
	for (unsigned i = 0; i < 16; i++)
		apic_end();
	devices_anew();
	interrupts_on();
}

/* An access that begins in the APIC's page is the APIC's: what lies behind its end reads 0. */
static void read_across_end(void)
{
	observe(*(volatile uint32_t *)(APIC_PAGE + PAGE_SIZE - 2));
}

/* The APIC elsewhere: policy is that it stays where it is, #GP. */
static void move_apic(void)
{
	write_msr(MSR_APIC_BASE, attack_a);
}

static void read_x2apic(void)
{
	observe(read_msr((uint32_t)attack_a));
}

/*
 * The I/O APIC: 24 pins, whose messages reach the guest's own CPUs and nobody else
 */
static void ioapic_write(volatile uint8_t *page, uint32_t number, uint32_t value)
{
	*(volatile uint32_t *)page = number;
	*(volatile uint32_t *)(page + IOAPIC_DATA) = value;
}

static void ioapic_mask_all(volatile uint8_t *page)
{
	for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++)
		ioapic_write(page, IOAPIC_ENTRY + 2 * pin, IOAPIC_MASKED);
}

/* Each register there could be, each place in the page. Pins stay masked; what they send comes below. */
static void ioapic_registers(void)
{
	static const uint32_t patterns[] = {0, UINT32_MAX, 0x55555555, 0xAAAAAAAA};
	volatile uint8_t *const page = map_window(IOAPIC_PAGE);

	interrupts_off();
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		for (uint32_t number = 0; number < 0x100; number++) {
			ioapic_write(page, number, patterns[i] | IOAPIC_MASKED);
			(void)*(volatile uint32_t *)(page + IOAPIC_DATA);
		}
		for (uint32_t offset = 4; offset < PAGE_SIZE; offset += 4)
			if (offset != IOAPIC_DATA) {
				*(volatile uint32_t *)(page + offset) = patterns[i];
				(void)*(volatile uint64_t *)(page + offset - 1);
			}
	}
	ioapic_mask_all(page);
	devices_anew();
	interrupts_on();
}

/* The timer's pin in each mode to CPUs it has and to such as it has not, level and edge. INIT goes to others
 * only, as above. A level would come again and again, as nobody takes it down: once here, behind IF = 0. */
static void ioapic_messages(void)
{
	static const uint32_t destinations[] = {0, 2, 3, 0x55, ID_BROADCAST};
	volatile uint8_t *const page = map_window(IOAPIC_PAGE);

	interrupt_handle(VECTOR_IPI, ignore);
	caught.recover = 0;	 /* NMIs come back to here */
	port_write8(0x43, 0x34); /* channel 0 periodic, some hundred times a second */
	port_write8(0x40, 0);
	port_write8(0x40, 0x10);
	for (uint32_t mode = 0; mode < MODES; mode++)
		for (size_t i = 0; i < sizeof(destinations) / sizeof(destinations[0]); i++)
			for (uint32_t level = 0; level < 2; level++) {
				const uint32_t to = destinations[i];
				if (mode >= MODE_INIT && (to == 0 || to == ID_BROADCAST))
					continue;
				if (level)
					interrupts_off();
				ioapic_write(page, IOAPIC_ENTRY + 2 * PIN_TIMER + 1, to << 24);
				ioapic_write(page, IOAPIC_ENTRY + 2 * PIN_TIMER,
					     level << 15 | mode << MODE_SHIFT | VECTOR_IPI);
				delay_us(4000);
				ioapic_write(page, IOAPIC_ENTRY + 2 * PIN_TIMER, IOAPIC_MASKED);
				interrupts_on();
			}
	ioapic_mask_all(page);
	caught.count = 0;
	devices_anew();
}

/*
 * The instruction decoder. Code stands in RAM so that it can cross pages and change.
 */
static uint8_t code_pages[2 * 4096] __attribute__((aligned(4096)));

typedef uint64_t emitted(volatile void *apic, uint64_t value);

/* Runs machine code at a place in code_pages, with RDI = `at` and RSI = `value`. */
static uint64_t run_code(unsigned place, const uint8_t *code, size_t size, uint64_t at, uint64_t value)
{
	memcpy(code_pages + place, code, size);
	code_pages[place + size] = CODE_RET;
	return ((emitted *)(uintptr_t)(code_pages + place))((volatile void *)at, value);
}

#define RUN(place, register, value, ...)                                                                     \
	run_code(place, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}),              \
		 APIC_PAGE + (register), value)

/* mov eax, [rdi], each byte of it on either side of a page's end. Tells the version register. */
static void across_pages(void)
{
	uint64_t all = 0;

	for (unsigned place = 4090; place < 4097; place++)
		all |= RUN(place, APIC_VERSION, 0, 0x8B, 0x87, 0, 0, 0, 0);
	observe(all & 0xFF);
}

/* 13 prefixes that change nothing: 15 bytes, the most there can be. */
static void longest(void)
{
	observe(RUN(0, APIC_VERSION, 0, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E,
		    0x3E, 0x3E, 0x8B, 0x07) &
		0xFF);
}

/* And one more: #GP from the CPU. */
static void too_long(void)
{
	(void)RUN(0, APIC_VERSION, 0, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E, 0x3E,
		  0x3E, 0x3E, 0x8B, 0x07);
}

/* At one place a load and a store by turns: what is carried out is what stands there now. Tells how often it
 * was not. */
static void changing(void)
{
	uint64_t stale = 0;

	for (uint32_t i = 0; i < 1000; i++) {
		const uint64_t priority = (i & 0xF) << 4;
		(void)RUN(0, APIC_PRIORITY, priority, 0x89, 0x37);	   /* mov [rdi], esi */
		stale += RUN(0, APIC_PRIORITY, 0, 0x8B, 0x07) != priority; /* mov eax, [rdi] */
	}
	apic_write(APIC_PRIORITY, 0);
	observe(stale);
}

#define LOAD  0x078Bu /* mov eax, [rdi] */
#define STORE 0x3789u /* mov [rdi], esi */

static volatile bool changing_ends;
static void change_code(void *context)
{
	volatile uint16_t *const code = context;

	while (!changing_ends)
		*code ^= LOAD ^ STORE;
}

/* The same from another CPU, between the exit and the decoding: it is either of two that are served. */
static void changing_under_it(void)
{
	static const uint8_t load[] = {0x8B, 0x07};

	memcpy(code_pages, load, sizeof(load));
	code_pages[2] = CODE_RET;
	changing_ends = false;
	if (!platform_cpu_start(1, change_code, code_pages)) {
		print_line("attack %s: the other CPU does not start", attack->name);
		return;
	}
	for (uint32_t i = 0; i < STORM; i++)
		(void)((emitted *)(uintptr_t)code_pages)((volatile void *)(APIC_PAGE + APIC_PRIORITY), 0);
	changing_ends = true;
	apic_write(APIC_PRIORITY, 0);
	delay_us(1000);
}

/* Served, though no driver does it: the version stays as it is. */
static void increment_register(void)
{
	(void)RUN(0, APIC_VERSION, 0, 0xF0, 0xFF, 0x07); /* lock inc dword [rdi] */
}

/* Instructions no driver uses on an APIC: "... with BYTES, at RIP R: not served". */
static void push_register(void)
{
	(void)RUN(0, APIC_VERSION, 0, 0xFF, 0x37); /* push qword [rdi] */
}
static void compare_exchange(void)
{
	(void)RUN(0, APIC_VERSION, 0, 0x0F, 0xB1, 0x37); /* cmpxchg [rdi], esi */
}
static void copy_to_registers(void)
{
	(void)RUN(0, APIC_VERSION, 0x100000, 0xB9, 8, 0, 0, 0, 0xF3, 0xA4); /* mov ecx, 8; rep movsb */
}
static void table_in_registers(void)
{
	(void)RUN(0, APIC_VERSION, 0, 0x0F, 0x01, 0x17); /* lgdt [rdi] */
}
static void call_through_register(void)
{
	(void)RUN(0, APIC_VERSION, 0, 0xFF, 0x17); /* call [rdi] */
}

/* Delivery whose stack is the APIC's page, and tables in it. */
static void stack_in_apic(void)
{
	interrupts_off();
	__asm__ volatile("mov %0, %%rsp; ud2" : : "r"(APIC_PAGE + 0x800) : CLOBBERS);
}

/*
 * The other CPU
 */
static void fault_there(void *context)
{
	(void)context;
	triple_fault();
}

/* The report names vCPU 1. */
static void other_faults(void)
{
	(void)platform_cpu_start(1, fault_there, NULL);
	delay_us(5000000); /* goes by only where the fault is not seen */
}

static void init_itself(void *context)
{
	(void)context;
	wait_for_halt();
	send_to(1, ICR_INIT);
}

/* INIT takes the last CPU away that was awake. */
static void last_awake_inits_itself(void)
{
	halt_beside(init_itself);
}

static void fault_together(void *context)
{
	volatile uint32_t *const gate = context;

	while (!*gate)
		spin_hint();
	*map_window(platform->memory_size) = 1;
}

/* Both at once: one report, one restart. */
static void both_fault(void)
{
	static volatile uint32_t gate;

	(void)platform_cpu_start(1, fault_together, (void *)(uintptr_t)&gate);
	volatile uint8_t *const beyond = map_window(platform->memory_size);
	gate = 1;
	*beyond = 1;
}

static void ask_for_ever(void *context)
{
	(void)context;
	for (;;)
		(void)cpuid(0, 0);
}

/* INIT takes a CPU out of a tight loop of exits, and a start-up IPI brings it back into it, again and again.
 */
static void init_storm(void)
{
	(void)platform_cpu_start(1, ask_for_ever, NULL);
	for (uint32_t i = 0; i < STARTS; i++) {
		send_to(1, ICR_INIT);
		send_to(1, ICR_STARTUP | TRAMPOLINE_PAGE);
		delay_us(100);
	}
	platform_reset(); /* it does not know of the other CPU any more */
}

/* Waits for the transmitter, and loses nothing. */
static void flood(void)
{
	for (uint32_t i = 0; i < FLOOD_LINES; i++)
		print_line("flood %u of a line that is long enough to fill whatever holds it", i);
}

/* Does not wait, whatever the line status says. `a`: eight characters, again and again. */
static void blind_flood(void)
{
	for (uint32_t i = 0; i < BLIND_FLOOD; i++)
		port_write8(UART_DATA, (uint8_t)(attack_a >> i % 8 * 8));
	port_write8(UART_DATA, '\n');
}

/*
 * Both CPUs
 */
static volatile bool race_ends;

static bool second_begins(void (*entry)(void *context))
{
	race_ends = false;
	if (platform_cpu_start(1, entry, NULL))
		return true;
	print_line("attack %s: the other CPU does not start", attack->name);
	return false;
}

static void second_ends(void)
{
	race_ends = true;
	while (platform_cpu_running(1))
		spin_hint();
}

/* One exit of each kind. */
static void all_exits(uint32_t i)
{
	(void)cpuid(i, 0);
	(void)read_msr(MSR_APIC_BASE);
	(void)apic_read(APIC_VERSION);
	port_write8(UART_SCRATCH, (uint8_t)i);
	(void)port_read8(0x21);
	(void)port_read8(0x40);
	write_cr3(read_cr3());
}

static void exit_until_end(void *context)
{
	(void)context;
	for (uint32_t i = 0; !race_ends; i++)
		all_exits(i);
}

static void storm_of_both(void)
{
	if (!second_begins(exit_until_end))
		return;
	for (uint32_t i = 0; i < RACE_ROUNDS; i++)
		all_exits(i);
	second_ends();
}

/*
 * The instruction right behind STI comes before any interrupt, also where a hypervisor steps it. While the
 * other CPU sends interrupts and NMIs without a pause, every order of the two is met sooner or later: in the
 * shadow, in an NMI's handler, before its IRET.
 */
static volatile uint32_t interrupts_taken, nmis_taken, faults_taken, faults_with_trap;

static void count_interrupt(void)
{
	interrupts_taken++;
	apic_end();
}

/* Every other one ends with STI itself. */
__attribute__((naked)) static void count_nmi(void)
{
	__asm__("incl %0; testb $1, %0; jz 1f; sti; 1: iretq" : "+m"(nmis_taken));
}

/* RFLAGS.TF in the frame would be the hypervisor's. Goes on behind the UD2. */
__attribute__((naked)) static void fault_behind_sti(void)
{
	__asm__("testb $1, 17(%%rsp); jz 1f; incl %0; 1: incl %1; addq $2, (%%rsp); iretq"
		: "+m"(faults_with_trap), "+m"(faults_taken));
}

static void send_until_end(void *context)
{
	(void)context;
	while (!race_ends) {
		send_to(0, ICR_FIXED | VECTOR_IPI);
		send_to(0, ICR_NMI);
	}
}

/* Did an interrupt come between STI and the priority that keeps it out? Behind an NMI it may. */
static bool raise_priority_behind_sti(void)
{
	const uint64_t highest = 15, none = 0;
	interrupts_off();
	const uint32_t interrupts = interrupts_taken, nmis = nmis_taken;
	__asm__ volatile("sti; mov %0, %%cr8" ::"r"(highest) : "memory");
	(void)cpuid(0, 0);
	const bool came = interrupts_taken != interrupts && nmis_taken == nmis;
	__asm__ volatile("mov %0, %%cr8" ::"r"(none) : "memory");
	return came;
}

/* Tells how often something was wrong. */
static void events_behind_sti(void)
{
	uint32_t wrong = 0;

	interrupt_handle(VECTOR_IPI, count_interrupt);
	interrupt_gate(VECTOR_UD, fault_behind_sti);
	interrupt_gate(VECTOR_NMI, count_nmi);
	interrupts_taken = faults_taken = faults_with_trap = 0;
	if (!second_begins(send_until_end))
		return;
	for (uint32_t i = 0; i < STI_ROUNDS; i++) {
		wrong += raise_priority_behind_sti();
		interrupts_off();
		__asm__ volatile("sti; ud2" ::: "memory");
		interrupts_on_and_halt();
	}
	second_ends();
	interrupt_gate(VECTOR_UD, catch_ud);
	interrupt_gate(VECTOR_NMI, catch_nmi);
	observe(wrong + faults_with_trap + (faults_taken != STI_ROUNDS));
}

/* The table through which the hypervisor finds the string: memory, another piece of it, nothing. */
static void change_tables(void *context)
{
	uint64_t *const entry = identity_entry(HIDDEN);
	const uint64_t before = *entry;

	(void)context;
	for (uint32_t i = 0; !race_ends; i++)
		*(volatile uint64_t *)entry = i % 3 == 0 ? before : i % 3 == 1 ? before - LARGE_PAGE_SIZE : 0;
	*entry = before;
}

static void string_there(void)
{
	const uint8_t *from = (const uint8_t *)HIDDEN + PAGE_SIZE - 8;
	uint64_t count = 16;
	write_cr3(read_cr3());
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(UART_SCRATCH) : CLOBBERS);
}

/* The bytes go out, or it is the guest's own #PF. Tells which exception it was else. */
static void tables_changing(void)
{
	uint64_t other = 0;

	if (!second_begins(change_tables))
		return;
	for (uint32_t i = 0; i < RACE_ROUNDS; i++)
		if (attempt(string_there) && caught.vector != VECTOR_PF)
			other = caught.vector;
	second_ends();
	caught.count = 0;
	write_cr3(read_cr3());
	observe(other);
}

/* The same destinations by 32 bits: x2APIC, and back to xAPIC by way of off. */
static void x2apic_commands(void)
{
	static const uint32_t ids[] = {2, 3, 0x55, 0xFF, 0x100, 0x12345678, 0x80000000, 0xFFFFFFFE};
	const uint64_t base = read_msr(MSR_APIC_BASE);

	interrupts_off();
	write_msr(MSR_APIC_BASE, base | APIC_X2APIC);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		for (uint32_t mode = 0; mode < MODES; mode++)
			if (mode != 1 && mode != 3 && mode != 7) /* reserved */
				write_msr(MSR_X2APIC_ICR, (uint64_t)ids[i] << 32 | 0x4000u |
								  mode << MODE_SHIFT | VECTOR_VALID);
	write_msr(MSR_APIC_BASE, base & ~(APIC_X2APIC | APIC_ENABLE));
	write_msr(MSR_APIC_BASE, base);
	devices_anew();
	interrupts_on();
}

static void unknown_call(void)
{
	uint64_t answer;
	if (cpuid(0x40000001, 0).ecx & 1)
		__asm__ volatile("vmmcall" : "=a"(answer) : "a"(attack_a), "S"(attack->b) : CLOBBERS);
	else
		__asm__ volatile("vmcall" : "=a"(answer) : "a"(attack_a), "S"(attack->b) : CLOBBERS);
	observe(answer);
}

static const struct attack device_attacks[] = {
	{"all-ports-read", read_all_ports, 0, 0},
	{"all-ports-written", write_all_ports, 0, 0},
	{"serial-garbled", garble_serial, 0, 0},
	{"pci-configuration", pci_configuration, 0, 0},
	/* "partition P resets: reset by the guest", and power off: the partition's. */
	{"reset-port", out_one, PORT_RESET, 6},
	{"reset-port-full", out_one, PORT_RESET, 0xE},
	{"keyboard-reset", out_one, PORT_KEYBOARD, 0xFE},
	{"fast-reset", out_one, PORT_FAST_RESET, 1},
	{"power-port", out_one, PORT_POWER, 0x2000},
	/* Sleep states it does not have. */
	{"sleep-port", out_one, PORT_POWER, 0x2400},
	{"string-in-beyond", string_in, MEMORY_END(-8), 0},
	{"string-out-beyond", string_out, MEMORY_END(-8), 0},
	{"string-in-unmapped", string_at, 0x7000000000, 0},
	{"string-in-not-canonical", string_at, 0x800000000000, 0},
	{"long-string", long_string, 0, 0},
	{"nmi-to-itself", send_one, 0, ICR_NMI},
	{"init-to-itself", send_one, 0, ICR_INIT},
	{"init-to-everybody", send_one, 0, ICR_INIT | ICR_EVERYBODY},
	{"init-to-others", send_one, 0, ICR_INIT | ICR_BUT_SELF},
	{"startup-to-itself", send_one, 0, ICR_STARTUP | 8},
	{"init-to-foreign", send_one, ID_FOREIGN, ICR_INIT},
	{"nmi-to-foreign", send_one, ID_FOREIGN, ICR_NMI},
	{"startup-to-foreign", send_one, ID_FOREIGN, ICR_STARTUP | 8},
	{"all-commands-to-foreign", send_to_foreign, 0, 0},
	{"all-commands", send_all, 0, 0},
	{"self-storm", self_storm, 0, 0},
	{"nmi-storm", nmi_storm, 0, 0},
	{"timer-storm", timer_storm, 0, 0},
	{"deadline-storm", deadline_storm, 0, 0},
	{"pit-storm", pit_storm, 0, 0},
	{"all-registers-read", read_all_registers, 0, 0},
	{"all-registers-written", write_all_registers, 0, 0},
	{"read-across-apic-end", read_across_end, 0, 0},
	{"io-apic-registers", ioapic_registers, 0, 0},
	{"io-apic-messages", ioapic_messages, 0, 0},
	{"apic-moved", move_apic, 0x200900, 0},
	{"apic-base-reserved", move_apic, 0xFEE00901, 0},
	{"apic-base-beyond-width", move_apic, 1ull << 60 | 0xFEE00900, 0},
	/* x2APIC without the APIC itself. */
	{"apic-mode-nobody-has", move_apic, 0xFEE00500, 0},
	/* x2APIC registers in xAPIC mode. */
	{"x2apic-register", read_x2apic, 0x803, 0},
	{"decode-across-pages", across_pages, 0, 0},
	{"decode-15-bytes", longest, 0, 0},
	{"decode-16-bytes", too_long, 0, 0},
	{"decode-changing", changing, 0, 0},
	{"decode-changing-under-it", changing_under_it, 0, 0},
	{"decode-push", push_register, 0, 0},
	{"decode-increment", increment_register, 0, 0},
	{"decode-compare-exchange", compare_exchange, 0, 0},
	{"decode-string", copy_to_registers, 0, 0},
	{"decode-table", table_in_registers, 0, 0},
	{"decode-call", call_through_register, 0, 0},
	{"stack-in-apic", stack_in_apic, 0, 0},
	{"other-cpu-faults", other_faults, 0, 0},
	{"last-awake-inits-itself", last_awake_inits_itself, 0, 0},
	{"both-cpus-fault", both_fault, 0, 0},
	{"init-storm", init_storm, 0, 0},
	{"storm-of-both", storm_of_both, 0, 0},
	{"events-behind-sti", events_behind_sti, 0, 0},
	{"tables-changing-under-it", tables_changing, 0, 0},
	{"x2apic-commands-to-foreign", x2apic_commands, 0, 0},
	{"flood", flood, 0, 0},
	/* Text without an end, empty lines, escape sequences, bytes that are shown as four. */
	{"blind-flood", blind_flood, 0x6161616161616161, 0},
	{"blind-flood-of-lines", blind_flood, 0x0A0A0A0A0A0A0A0A, 0},
	{"blind-flood-of-escapes", blind_flood, 0x5B1B5D1B48325B1B, 0},
	{"blind-flood-of-bytes", blind_flood, 0x08FF0900810D0780, 0},
	/* Calls that are for para partitions only, and one nobody knows: NOT_SUPPORTED. */
	{"para-event-page", unknown_call, 0xC6000001, 0x100000},
	{"para-console-ring", unknown_call, 0xC6000004, 0x100000},
	{"para-cpu-on", unknown_call, 0xC4000003, 1},
	{"unknown-call", unknown_call, 0x8000FFFF, 0},
	{0},
};

const struct attack *const platform_tables[] = {device_attacks, NULL};
