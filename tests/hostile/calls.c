/*
 * A para guest's way in: hypercalls. The contract is docs/abi.md; what it does not name is NOT_SUPPORTED and
 * changes nothing else. Pages offered must be whole, aligned and the partition's own. What is in shared pages
 * is believed by nobody. The guest's ports and APIC are the other half: it has none, so each is #GP(0).
 */
#include "../../guests/lib/bulkhead.h"
#include "calls.h"

#define OWNERS		 64u
#define NUMBERS		 0x10000u
#define FEW_NUMBERS	 0x100u
#define NUMBER_BITS	 16
#define MARK		 0x1234567800000000ull
#define STORM		 20000u
#define FLOOD_LINES	 300u
#define BLIND_FLOOD	 3000u
#define RACE_ROUNDS	 2000u
#define SECOND		 1u  /* vCPU */
#define EVERYBODY	 17u /* ids of partitions, and one more */
#define STARTS		 50u
#define UPCALL		 BH_UPCALL_VECTOR
#define PORTS		 0x10000u
#define TOO_MANY_BITS	 193u
#define CONSOLE_TOO_LONG 49u

/* Pages of its own that it shares, overlays and takes back. */
static uint8_t spare[3][4096] __attribute__((aligned(4096)));

/* Arch and the vendor's own are known; the rest of a known range is in the list of docs/abi.md. */
static bool known(uint32_t function)
{
	static const uint32_t calls[] = {SMCCC_VERSION,
					 SMCCC_ARCH_FEATURES,
					 VENDOR_FEATURES,
					 VENDOR_CALL_UID,
					 VENDOR_CALL_REVISION,
					 PSCI_VERSION,
					 PSCI_CPU_SUSPEND_32,
					 PSCI_CPU_SUSPEND_64,
					 PSCI_CPU_OFF,
					 PSCI_CPU_ON_32,
					 PSCI_CPU_ON_64,
					 PSCI_AFFINITY_INFO_32,
					 PSCI_AFFINITY_INFO_64,
					 PSCI_MIGRATE_INFO_TYPE,
					 PSCI_SYSTEM_OFF,
					 PSCI_SYSTEM_RESET,
					 PSCI_FEATURES,
					 PSCI_SYSTEM_SUSPEND_32,
					 PSCI_SYSTEM_SUSPEND_64,
					 PSCI_STAT_RESIDENCY_32,
					 PSCI_STAT_RESIDENCY_64,
					 PSCI_STAT_COUNT_32,
					 PSCI_STAT_COUNT_64,
					 PSCI_SYSTEM_RESET2_32,
					 PSCI_SYSTEM_RESET2_64,
					 PSCI_MEM_PROTECT,
					 PSCI_MEM_CHECK_RANGE_32,
					 PSCI_MEM_CHECK_RANGE_64,
					 FFA_CONSOLE_LOG_32,
					 FFA_CONSOLE_LOG_64,
					 FFA_VERSION,
					 FFA_FEATURES,
					 FFA_RX_RELEASE,
					 FFA_RXTX_MAP_32,
					 FFA_RXTX_MAP_64,
					 FFA_RXTX_UNMAP,
					 FFA_PARTITION_INFO_GET,
					 FFA_ID_GET,
					 FFA_SPM_ID_GET,
					 FFA_MSG_WAIT,
					 FFA_YIELD,
					 FFA_MSG_SEND_DIRECT_REQ_32,
					 FFA_MSG_SEND_DIRECT_REQ_64,
					 FFA_MSG_SEND_DIRECT_RESP_32,
					 FFA_MSG_SEND_DIRECT_RESP_64,
					 FFA_MSG_SEND2,
					 FFA_NOTIFICATION_BIND,
					 FFA_NOTIFICATION_UNBIND,
					 FFA_NOTIFICATION_SET,
					 FFA_NOTIFICATION_GET,
					 FFA_MEM_DONATE_32,
					 FFA_MEM_DONATE_64,
					 FFA_MEM_LEND_32,
					 FFA_MEM_LEND_64,
					 FFA_MEM_SHARE_32,
					 FFA_MEM_SHARE_64,
					 FFA_MEM_RETRIEVE_REQ_32,
					 FFA_MEM_RETRIEVE_REQ_64,
					 FFA_MEM_RELINQUISH,
					 FFA_MEM_RECLAIM,
					 FFA_MEM_FRAG_TX,
					 TRNG_VERSION,
					 TRNG_FEATURES,
					 TRNG_GET_UUID,
					 TRNG_RND_32,
					 TRNG_RND_64,
					 PV_TIME_FEATURES,
					 PV_TIME_ST,
					 VENDOR_EVENT_PAGE,
					 VENDOR_IPI,
					 VENDOR_DEADLINE,
					 VENDOR_CONSOLE_RING,
					 VENDOR_CONSOLE_KICK,
					 VENDOR_CLOCK_PAGE,
					 VENDOR_PARTITION_COUNT,
					 VENDOR_PARTITION_INFO,
					 VENDOR_PARTITION_EXITS,
					 VENDOR_PARTITION_START,
					 VENDOR_PARTITION_STOP,
					 VENDOR_PARTITION_RESET};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i] == function)
			return true;
	return false;
}

/* NOT_SUPPORTED, in the call's width, and all other registers as they were. */
static bool refused(uint32_t function)
{
	uint64_t x[8] = {function};

	for (uint64_t i = 1; i < 8; i++)
		x[i] = MARK + i;
	bh_call_registers(x);
	for (uint64_t i = 1; i < 8; i++)
		if (x[i] != MARK + i)
			return false;
	return (int32_t)x[0] == SMCCC_NOT_SUPPORTED && (x[0] >> 32 == 0 || x[0] >> 32 == UINT32_MAX);
}

static uint64_t wrong;
static void check_refused(uint32_t function)
{
	if (known(function & ~SMCCC_HINT) || refused(function))
		return;
	if (wrong++ == 0)
		print_line("attack %s: %x is not refused", attack->name, function);
}

/* Each owner's numbers, fast calls (a) or not, 32 and 64 bits. Tells how many were served that nobody knows.
 */
static void sweep_calls(void)
{
	wrong = 0;
	for (uint32_t owner = 0; owner < OWNERS; owner++)
		for (uint32_t form = 0; form < 2; form++) {
			const uint32_t base =
				(uint32_t)attack_a | form * SMCCC_64 | owner << SMCCC_OWNER_SHIFT;
			for (uint32_t number = 0; number < FEW_NUMBERS; number++) {
				check_refused(base | number);
				check_refused(base | (NUMBERS - 1 - number));
			}
		}
	observe(wrong);
}

/* Every number there is, of the owners whose calls there are. */
static void sweep_numbers(void)
{
	static const uint32_t owners[] = {SMCCC_OWNER_ARCH, SMCCC_OWNER_STANDARD, SMCCC_OWNER_STD_HYP,
					  SMCCC_OWNER_VENDOR_HYP};

	wrong = 0;
	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++)
		for (uint32_t number = 0; number < NUMBERS; number++)
			check_refused(SMCCC_FAST | (number & 1) * SMCCC_64 | owners[i] << SMCCC_OWNER_SHIFT |
				      number);
	observe(wrong);
}

/* The bits between owner and number must be zero, but for the hint. */
static void sweep_middle(void)
{
	wrong = 0;
	for (uint32_t bits = 2; bits < 0x100; bits += 2)
		for (uint32_t number = 0; number < 0x20; number++)
			check_refused(PSCI_VERSION | bits << NUMBER_BITS | number);
	for (uint32_t shift = 8; shift < NUMBER_BITS; shift++)
		for (uint32_t number = 0; number < 0x10; number++)
			check_refused(PSCI_VERSION | 1u << shift | number);
	observe(wrong);
}

/* One call, `a` its x1; the other arguments are hostile too. Tells the answer. */
static void call_with(uint32_t function, uint64_t x2, uint64_t x3)
{
	uint64_t x[8] = {function, attack_address(), x2, x3, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};

	bh_call_registers(x);
	observe((uint32_t)x[0] == FFA_ERROR ? (uint32_t)x[2] : (uint32_t)x[0]);
}

static void give_event_page(void)
{
	call_with(VENDOR_EVENT_PAGE, UPCALL, 0);
}
static void give_clock_page(void)
{
	call_with(VENDOR_CLOCK_PAGE, 0, 0);
}
static void give_ring(void)
{
	call_with(VENDOR_CONSOLE_RING, 0, 0);
}

static void choose_vector(void)
{
	const uint64_t page = (uint64_t)spare[0];
	observe((uint32_t)bh_call(VENDOR_EVENT_PAGE, page, attack_a, 0, 0, 0));
}

static void send_event(void)
{
	call_with(VENDOR_IPI, attack->b, 0);
}
static void start_cpu(void)
{
	call_with(PSCI_CPU_ON_64, attack->b, 0);
}
static void ask_affinity(void)
{
	call_with(PSCI_AFFINITY_INFO_64, attack->b, 0);
}
static void check_range(void)
{
	call_with(PSCI_MEM_CHECK_RANGE_64, attack->b, 0);
}
static void suspend_to(void)
{
	call_with(PSCI_SYSTEM_SUSPEND_64, 0, 0);
}
static void reset_kind(void)
{
	call_with(PSCI_SYSTEM_RESET2_64, 0, 0);
}
static void log_much(void)
{
	call_with(FFA_CONSOLE_LOG_64, 0, 0);
}
static void random_bits(void)
{
	call_with(TRNG_RND_64, 0, 0);
}

/* Orders to and questions about everybody, itself among them, by one that may not manage. Tells how many were
 * not denied. */
static void manage_all(void)
{
	uint64_t served = 0;

	for (uint32_t call = VENDOR_PARTITION_COUNT; call <= VENDOR_PARTITION_RESET; call++) {
		for (uint64_t id = 0; id <= EVERYBODY; id++)
			served += (int64_t)bh_call(call, id, 0, 0, 0, 0) != PSCI_DENIED;
		served += (int64_t)bh_call(call, UINT64_MAX, UINT64_MAX, 0, 0, 0) != PSCI_DENIED;
		served += (int64_t)bh_call(call, 1ull << 32 | 1, 0, 0, 0, 0) != PSCI_DENIED;
	}
	observe(served);
}

/* A page that the guest's own tables do not show (b: 0), or show for reading only: a call names
 * guest-physical memory, and that is there. */
static void page_of_hidden_memory(void)
{
	struct bh_event_page *const page = (struct bh_event_page *)(HIDDEN + LARGE_PAGE_SIZE / 2);
	uint64_t *const entry = identity_entry(HIDDEN);
	const uint64_t before = *entry;

	page->pending = page->mask = 0;
	interrupts_off();
	*entry = attack->b ? before & ~ENTRY_WRITABLE : 0;
	write_cr3(read_cr3());
	const int64_t answer = (int64_t)bh_call(VENDOR_EVENT_PAGE, (uint64_t)page, UPCALL, 0, 0, 0);
	(void)bh_call(VENDOR_IPI, 0, 7, 0, 0, 0);
	(void)bh_call(VENDOR_EVENT_PAGE, (uint64_t)bh_event_page(), UPCALL, 0, 0, 0);
	*entry = before;
	write_cr3(read_cr3());
	interrupts_on();
	observe(answer == SMCCC_SUCCESS ? page->pending : UINT64_MAX);
}

/* What the guest says of the ring in it may be anything; the hypervisor moves no more than the ring holds,
 * and the console goes on. `a` is where the head is put, seen from the tail. */
static void wild_ring(void)
{
	struct bh_console_ring *ring = (struct bh_console_ring *)spare[0];

	memset(ring, '\n', sizeof(*ring));
	ring->out_tail = 0x80000000u;
	ring->out_head = ring->out_tail + (uint32_t)attack_a;
	ring->in_head = (uint32_t)attack_a;
	ring->in_tail = 0;
	observe((uint32_t)bh_call(VENDOR_CONSOLE_RING, (uint64_t)ring, 0, 0, 0, 0));
	for (uint32_t i = 0; i < 10; i++) {
		ring->out_head += (uint32_t)attack_a;
		ring->in_tail -= (uint32_t)attack_a;
		(void)bh_call(VENDOR_CONSOLE_KICK, 0, 0, 0, 0, 0);
	}
	(void)bh_call(VENDOR_CONSOLE_RING, 0, 0, 0, 0, 0);
	bh_system_reset(); /* its console is lost */
}

/* One page for everything at once, and each structure written over by the others. */
static void overlaid_pages(void)
{
	const uint64_t page = (uint64_t)spare[0];

	(void)bh_call(VENDOR_CONSOLE_RING, page, 0, 0, 0, 0);
	(void)bh_call(VENDOR_CLOCK_PAGE, page, 0, 0, 0, 0);
	interrupts_off();
	(void)bh_call(VENDOR_EVENT_PAGE, page, UPCALL, 0, 0, 0);
	for (uint32_t i = 0; i < 1000; i++) {
		(void)bh_call(VENDOR_IPI, 0, i % BH_EVENT_IPIS, 0, 0, 0);
		(void)bh_call(VENDOR_CONSOLE_KICK, 0, 0, 0, 0, 0);
		(void)bh_call(VENDOR_CLOCK_PAGE, page, 0, 0, 0, 0);
	}
	bh_system_reset();
}

/* A page that was given and taken back is written no more. Tells what the hypervisor put there since:
 * nothing. */
static void page_taken_back(void)
{
	volatile uint64_t *const page = (volatile uint64_t *)spare[1];
	const uint64_t own = (uint64_t)bh_event_page();

	interrupts_off();
	(void)bh_call(VENDOR_EVENT_PAGE, (uint64_t)page, UPCALL, 0, 0, 0);
	(void)bh_call(VENDOR_IPI, 0, 7, 0, 0, 0);
	(void)cpuid(0, 0);
	(void)bh_call(VENDOR_EVENT_PAGE, own, UPCALL, 0, 0, 0);
	page[0] = 0;
	for (uint32_t i = 0; i < 100; i++) {
		(void)bh_call(VENDOR_IPI, 0, 8, 0, 0, 0);
		(void)cpuid(0, 0);
	}
	interrupts_on();
	observe(page[0]);
}

/* Storms: its own time only. */
static void event_storm(void)
{
	for (uint32_t i = 0; i < STORM; i++)
		(void)bh_ipi(0, 1);
}

static void deadline_storm(void)
{
	for (uint32_t i = 0; i < STORM; i++)
		(void)bh_call(VENDOR_DEADLINE, i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : read_tsc(), 0, 0, 0, 0);
	(void)bh_deadline(0);
}

static void call_storm(void)
{
	for (uint32_t i = 0; i < STORM * 2; i++)
		(void)bh_call(SMCCC_FAST | i, 0, 0, 0, 0, 0);
}

/* Waits when it is told to, and loses nothing. */
static void flood(void)
{
	for (uint32_t i = 0; i < FLOOD_LINES; i++)
		print_line("flood %u of a line that is long enough to fill whatever holds it", i);
}

static void flood_by_call(void)
{
	char line[32];

	platform_flush();
	for (uint32_t i = 0; i < FLOOD_LINES; i++)
		(void)bh_console_log(line, format_text(line, sizeof(line), "flood %u by call\n", i));
}

/* Does not wait: one call after the other, whatever each answers. `a`: eight characters, again and again. */
static void blind_flood(void)
{
	for (uint32_t i = 0; i < BLIND_FLOOD; i++) {
		uint64_t x[8] = {FFA_CONSOLE_LOG_64, 48,       attack_a, attack_a,
				 attack_a,	     attack_a, attack_a, attack_a};
		bh_call_registers(x);
	}
	(void)bh_console_log("\n", 1);
}

/*
 * Both vCPUs
 */
volatile bool race_ends;

static void scribble(void *context)
{
	volatile uint64_t *const page = context;
	uint64_t noise = 1;

	for (uint32_t i = 0; !race_ends; i++) {
		noise = noise * 6364136223846793005ull + 1442695040888963407ull;
		page[i % (4096 / sizeof(*page))] = noise;
	}
}

bool second_begins(void (*entry)(void *context), void *context)
{
	race_ends = false;
	if (platform_cpu_start(SECOND, entry, context))
		return true;
	print_line("attack %s: the other CPU does not start", attack->name);
	return false;
}

void second_ends(void)
{
	race_ends = true;
	while (platform_cpu_running(SECOND))
		spin_hint();
}

/* A ring whose positions and bytes change while they are read. */
static void changing_ring(void)
{
	if (!second_begins(scribble, spare[0]))
		return;
	(void)bh_call(VENDOR_CONSOLE_RING, (uint64_t)spare[0], 0, 0, 0, 0);
	for (uint32_t i = 0; i < RACE_ROUNDS; i++)
		(void)bh_call(VENDOR_CONSOLE_KICK, 0, 0, 0, 0, 0);
	bh_system_reset(); /* its console is lost */
}

/* An event page and a clock page that change while they are written. */
static void changing_pages(void)
{
	if (!second_begins(scribble, spare[1]))
		return;
	interrupts_off();
	(void)bh_call(VENDOR_EVENT_PAGE, (uint64_t)spare[1], UPCALL, 0, 0, 0);
	for (uint32_t i = 0; i < RACE_ROUNDS; i++) {
		(void)bh_call(VENDOR_CLOCK_PAGE, (uint64_t)spare[1], 0, 0, 0, 0);
		(void)bh_call(VENDOR_IPI, 0, i % BH_EVENT_IPIS, 0, 0, 0);
	}
	(void)bh_call(VENDOR_EVENT_PAGE, (uint64_t)bh_event_page(), UPCALL, 0, 0, 0);
	interrupts_on();
	second_ends();
}

static void storm(void *context)
{
	for (uint32_t i = 0; context ? !race_ends : i < STORM; i++) {
		(void)bh_call(SMCCC_FAST | i, 0, 0, 0, 0, 0);
		(void)cpuid(i, 0);
		(void)bh_call(VENDOR_IPI, i & 1, 1, 0, 0, 0);
		(void)bh_call(VENDOR_CONSOLE_KICK, 0, 0, 0, 0, 0);
	}
}

/* Both call all the time, and interrupt each other. */
static void storm_of_both(void)
{
	if (!second_begins(storm, spare))
		return;
	storm(NULL);
	second_ends();
}

static void nothing(void *context)
{
	(void)context;
}

/* On and off again and again. Tells how often it did not come. */
static void starts_and_stops(void)
{
	uint64_t missed = 0;

	for (uint32_t i = 0; i < STARTS; i++) {
		missed += !platform_cpu_start(SECOND, nothing, NULL);
		while (platform_cpu_running(SECOND))
			spin_hint();
	}
	observe(missed);
}

static void stop_last(void *context)
{
	(void)context;
	wait_for_halt();
	platform_cpu_stop();
}

/* "All its CPUs are off or halted with interrupts off": the other one, while it was on, could have woken this
 * one. */
static void last_awake_stops(void)
{
	halt_beside(stop_last);
}

/* Outside its memory: the call tells, not the vCPU's first fetch. */
static void start_outside(void)
{
	observe((uint32_t)bh_call(PSCI_CPU_ON_64, SECOND, attack_address(), 0, 0, 0));
}

/*
 * What it does not have
 */
static uint16_t port;
static void in8(void)
{
	(void)port_read8(port);
}
static void out8(void)
{
	port_write8(port, 0xFF);
}
static void out16(void)
{
	port_write16(port, 0x2000);
}
static void in32(void)
{
	uint32_t value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
}

/* Tells how many accesses were not #GP. */
static void sweep_ports(void)
{
	uint64_t passed = 0;

	for (uint32_t i = 0; i < PORTS; i++) {
		port = (uint16_t)i;
		passed += !attempt(in8) || caught.vector != VECTOR_GP;
		passed += !attempt(out8) || caught.vector != VECTOR_GP;
		passed += !attempt(i & 1 ? in32 : out16) || caught.vector != VECTOR_GP;
	}
	caught.count = 0;
	observe(passed);
}

static void out_one(void)
{
	__asm__ volatile("outl %0, %1" : : "a"((uint32_t)attack->b), "Nd"((uint16_t)attack_a));
}

static void in_string(void)
{
	const void *to = spare[2];
	uint64_t count = 16;
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"((uint16_t)attack_a) : CLOBBERS);
}

static uint32_t swept;
static void read_swept(void)
{
	(void)read_msr(swept);
}
static void write_swept(void)
{
	write_msr(swept, 0);
}

/* x2APIC registers: tells how many accesses were not #GP. */
static void sweep_x2apic(void)
{
	uint64_t passed = 0;

	for (swept = 0x800; swept < 0x900; swept++)
		passed += 2 - attempt(read_swept) - attempt(write_swept);
	caught.count = 0;
	observe(passed);
}

static void write_apic_msr(void)
{
	write_msr((uint32_t)attack_a, attack->b);
}

#define NOT_ALIGNED 0x100008
#define TOP_PAGE    0xFFFFFFFFFFFFF000ull
#define HIGH_PAGE   0x8000000000000000ull

static const struct attack call_attacks[] = {
	/* Ids. Fast calls, and such as might yield: there are none. */
	{"calls-of-all-owners", sweep_calls, SMCCC_FAST, 0},
	{"yielding-calls-of-all-owners", sweep_calls, 0, 0},
	{"calls-of-all-numbers", sweep_numbers, 0, 0},
	{"calls-with-middle-bits", sweep_middle, 0, 0},
	/* Pages: INVALID_PARAMETER (-3) unless they are whole pages of its own memory. */
	{"event-page-not-aligned", give_event_page, NOT_ALIGNED, 0},
	{"event-page-beyond", give_event_page, MEMORY_END(0), 0},
	{"event-page-high", give_event_page, HIGH_PAGE, 0},
	{"event-page-top", give_event_page, TOP_PAGE, 0},
	{"event-page-apic", give_event_page, 0xFEE00000, 0},
	{"clock-page-not-aligned", give_clock_page, NOT_ALIGNED, 0},
	{"clock-page-beyond", give_clock_page, MEMORY_END(0), 0},
	{"clock-page-top", give_clock_page, TOP_PAGE, 0},
	{"ring-not-aligned", give_ring, NOT_ALIGNED, 0},
	{"ring-beyond", give_ring, MEMORY_END(0), 0},
	{"ring-top", give_ring, TOP_PAGE, 0},
	{"event-page-unmapped", page_of_hidden_memory, 0, 0},
	{"event-page-read-only", page_of_hidden_memory, 0, 1},
	{"upcall-vector-31", choose_vector, 31, 0},
	{"upcall-vector-256", choose_vector, 256, 0},
	{"upcall-vector-huge", choose_vector, 0x100000030, 0},
	/* Targets and numbers that are not its own. */
	{"event-to-nobody", send_event, 2, 0},
	{"event-to-far-nobody", send_event, UINT64_MAX, 0},
	{"event-56", send_event, 0, 56},
	{"event-huge", send_event, 0, UINT64_MAX},
	{"cpu-on-itself", start_cpu, 0, 0x100000},
	{"cpu-on-nobody", start_cpu, 2, 0x100000},
	{"cpu-on-far-nobody", start_cpu, UINT64_MAX, 0x100000},
	{"affinity-of-nobody", ask_affinity, 5, 0},
	{"affinity-of-level-1", ask_affinity, 0, 1},
	{"range-beyond", check_range, MEMORY_END(-16), 17},
	{"range-that-wraps", check_range, 0x100000, UINT64_MAX},
	{"range-from-top", check_range, TOP_PAGE, 2 * 4096},
	{"range-of-nothing", check_range, 0x100000, 0},
	{"range-of-its-own", check_range, MEMORY_END(-16), 16},
	{"suspend-to-beyond", suspend_to, MEMORY_END(0), 0},
	{"reset-of-a-kind-nobody-knows", reset_kind, 1, 0},
	{"manage-without-the-right", manage_all, 0, 0},
	{"log-49-characters", log_much, CONSOLE_TOO_LONG, 0},
	{"log-endlessly", log_much, UINT64_MAX, 0},
	{"random-193-bits", random_bits, TOO_MANY_BITS, 0},
	{"random-0-bits", random_bits, 0, 0},
	{"random-endlessly", random_bits, UINT64_MAX, 0},
	/* Pages in use. Those that lose their console end in a reset: "partition P resets: SYSTEM_RESET". */
	{"ring-head-far", wild_ring, 0x7FFFFFFF, 0},
	{"ring-head-behind", wild_ring, 0xFFFFFFFF, 0},
	{"ring-one-too-many", wild_ring, BH_RING_OUT_SIZE + 1, 0},
	{"pages-overlaid", overlaid_pages, 0, 0},
	{"page-taken-back", page_taken_back, 0, 0},
	{"event-storm", event_storm, 0, 0},
	{"deadline-storm", deadline_storm, 0, 0},
	{"call-storm", call_storm, 0, 0},
	{"flood", flood, 0, 0},
	{"flood-by-call", flood_by_call, 0, 0},
	/* Text without an end, empty lines, escape sequences, bytes that are shown as four. */
	{"blind-flood", blind_flood, 0x6161616161616161, 0},
	{"blind-flood-of-lines", blind_flood, 0x0A0A0A0A0A0A0A0A, 0},
	{"blind-flood-of-escapes", blind_flood, 0x5B1B5D1B48325B1B, 0},
	{"blind-flood-of-bytes", blind_flood, 0x08FF0900810D0780, 0},
	/* Both vCPUs. */
	{"ring-changing", changing_ring, 0, 0},
	{"pages-changing", changing_pages, 0, 0},
	{"storm-of-both", storm_of_both, 0, 0},
	{"starts-and-stops", starts_and_stops, 0, 0},
	{"cpu-on-beyond", start_outside, MEMORY_END(0), 0},
	{"cpu-on-high", start_outside, HIGH_PAGE, 0},
	{"cpu-on-not-canonical", start_outside, 1ull << 47, 0},
	/* Devices: none. */
	{"reset-port", out_one, 0xCF9, 6},
	{"keyboard-reset", out_one, 0x64, 0xFE},
	{"fast-reset", out_one, 0x92, 1},
	{"power-port", out_one, 0x604, 0x2000},
	{"pci-configuration-port", out_one, 0xCF8, 0x80000000},
	{"serial-port", out_one, 0x3F8, 'x'},
	{"string-from-port", in_string, 0x3F8, 0},
	{"all-ports", sweep_ports, 0, 0},
	{"last-awake-stops", last_awake_stops, 0, 0},
	{"x2apic-registers", sweep_x2apic, 0, 0},
	{"apic-base", write_apic_msr, 0x1B, 0xFEE00C00},
	{"apic-deadline", write_apic_msr, 0x6E0, 1},
	{0},
};

const struct attack *const platform_tables[] = {call_attacks, sharing_attacks, NULL};
