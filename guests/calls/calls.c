/*
 * Makes every call of docs/abi.md from inside a para partition, rightly and wrongly, and compares what comes
 * back. Prints one line for each mismatch, then "calls: N checks, M wrong", and powers off by way of
 * SYSTEM_SUSPEND and SYSTEM_OFF. With two vCPUs it also starts and stops the second one, and sends IPIs to
 * and fro.
 */
#include "../common/cpu.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "../lib/internal.h"

#define UNKNOWN_FUNCTION 0x84000055u
#define PAGE		 4096u
#define SECOND		 1u /* the other vCPU */
#define PING		 7u /* events 0..55 are ours */
#define PONG		 8u
#define SPIN_LIMIT_MS	 2000u

static uint32_t checks, wrong, tsc_khz;
static uint64_t memory_size;
static volatile uint64_t second_context;
static volatile uint32_t pings_seen;

static void check(bool right, const char *what)
{
	checks++;
	if (right)
		return;
	wrong++;
	bh_printf("calls: wrong: %s\n", what);
}

static void expect(const char *what, uint64_t found, uint64_t expected)
{
	checks++;
	if (found == expected)
		return;
	wrong++;
	bh_printf("calls: wrong: %s: %lx, expected %lx\n", what, found, expected);
}

static uint64_t call(uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3)
{
	return bh_call(function, x1, x2, x3, 0, 0);
}

/* A 32-bit call gives its error zero-extended, a 64-bit one sign-extended. */
static uint64_t error32(int code)
{
	return (uint32_t)code;
}

static uint64_t error64(int code)
{
	return (uint64_t)(int64_t)code;
}

/*
 * Convention and discovery
 */

static void check_unknown(uint32_t function)
{
	uint64_t x[8] = {function, 0xFFFFFFFF00000001, 2, 3, 4, 5, 6, 7};

	bh_call_registers(x);
	expect("unknown call, x0", x[0], UINT64_MAX);
	check(x[1] == 0xFFFFFFFF00000001 && x[2] == 2 && x[3] == 3 && x[4] == 4 && x[5] == 5 && x[6] == 6 &&
		      x[7] == 7,
	      "unknown call changes another register");
}

static void check_discovery(void)
{
	struct bh_identity identity = {0};

	check_unknown(UNKNOWN_FUNCTION);
	check_unknown(UNKNOWN_FUNCTION | SMCCC_64);
	check_unknown(SMCCC_VERSION & ~SMCCC_FAST);
	check_unknown(0x8400007D); /* NOTIFICATION_BITMAP_CREATE: a hypervisor's */
	check(bh_identify(&identity), "identify");
	expect("SMCCC_VERSION", identity.smccc_version, SMCCC_VERSION_1_1);
	expect("PSCI_VERSION", identity.psci_version, PSCI_VERSION_1_1);
	expect("revision", identity.vendor_major << 16 | identity.vendor_minor, BH_ABI_REVISION);
	expect("UID word 0", identity.uid[0], BH_UID_0);
	expect("UID word 1", identity.uid[1], BH_UID_1);
	expect("UID word 2", identity.uid[2], BH_UID_2);
	expect("UID word 3", identity.uid[3], BH_UID_3);
	expect("vendor features", identity.vendor_calls[0], 0x3F007F);
	expect("hint bit", call(SMCCC_VERSION | SMCCC_HINT, 0, 0, 0), SMCCC_VERSION_1_1);
	expect("ARCH_FEATURES", call(SMCCC_ARCH_FEATURES, PV_TIME_FEATURES, 0, 0), SMCCC_SUCCESS);
	expect("ARCH_FEATURES, unknown", call(SMCCC_ARCH_FEATURES, UNKNOWN_FUNCTION, 0, 0),
	       error32(SMCCC_NOT_SUPPORTED));
}

/*
 * PSCI without a second CPU
 */

static void check_psci(void)
{
	expect("PSCI_FEATURES", call(PSCI_FEATURES, PSCI_CPU_ON_64, 0, 0), 0);
	expect("PSCI_FEATURES, missing", call(PSCI_FEATURES, 0x84000015, 0, 0), error32(PSCI_NOT_SUPPORTED));
	expect("MIGRATE_INFO_TYPE", call(PSCI_MIGRATE_INFO_TYPE, 0, 0, 0), 2);
	expect("AFFINITY_INFO", call(PSCI_AFFINITY_INFO_64, 0, 0, 0), PSCI_AFFINITY_ON);
	expect("AFFINITY_INFO, level", call(PSCI_AFFINITY_INFO_64, 0, 1, 0),
	       error64(PSCI_INVALID_PARAMETERS));
	expect("AFFINITY_INFO 32, CPU", call(PSCI_AFFINITY_INFO_32, 99, 0, 0),
	       error32(PSCI_INVALID_PARAMETERS));
	expect("CPU_ON, CPU", call(PSCI_CPU_ON_64, 99, 0, 0), error64(PSCI_INVALID_PARAMETERS));
	expect("CPU_ON, self", call(PSCI_CPU_ON_64, 0, PAGE, 0), error64(PSCI_ALREADY_ON));
	expect("CPU_OFF, last", call(PSCI_CPU_OFF, 0, 0, 0), error32(PSCI_DENIED));
	expect("CPU_SUSPEND, power down", call(PSCI_CPU_SUSPEND_64, 1u << 16, 0, 0),
	       error64(PSCI_INVALID_PARAMETERS));
	expect("SYSTEM_SUSPEND, entry", call(PSCI_SYSTEM_SUSPEND_64, memory_size, 0, 0),
	       error64(PSCI_INVALID_ADDRESS));
	expect("SYSTEM_RESET2, type", call(PSCI_SYSTEM_RESET2_32, 1, 0, 0), error32(PSCI_INVALID_PARAMETERS));
	expect("MEM_PROTECT, on", call(PSCI_MEM_PROTECT, 1, 0, 0), 0);
	expect("MEM_PROTECT, off", call(PSCI_MEM_PROTECT, 0, 0, 0), 1);
	expect("CHECK_RANGE", call(PSCI_MEM_CHECK_RANGE_64, 0, memory_size, 0), PSCI_SUCCESS);
	expect("CHECK_RANGE, too long", call(PSCI_MEM_CHECK_RANGE_64, 0, memory_size + 1, 0),
	       error64(PSCI_DENIED));
	expect("CHECK_RANGE, empty", call(PSCI_MEM_CHECK_RANGE_32, 0, 0, 0), error32(PSCI_DENIED));
}

/*
 * Time: the deadline wakes CPU_SUSPEND though IF = 0, near the time asked for, and the statistics tell.
 */
static void check_suspend(void)
{
	const uint64_t before = bh_suspend_count(0), residency = bh_suspend_residency_us(0);
	const uint64_t wanted = bh_tsc() + 20ull * tsc_khz;
	struct bh_event_page *page = bh_event_page();

	interrupts_off();
	expect("DEADLINE", call(VENDOR_DEADLINE, wanted, 0, 0), 0);
	expect("CPU_SUSPEND", call(PSCI_CPU_SUSPEND_64, 0, 0, 0), PSCI_SUCCESS);
	check(bh_tsc() >= wanted, "woken before the deadline");
	expect("pending after the deadline", __atomic_load_n(&page->pending, __ATOMIC_ACQUIRE),
	       1ull << BH_EVENT_TIMER);
	expect("CPU_SUSPEND with an event pending", call(PSCI_CPU_SUSPEND_32, 0, 0, 0), PSCI_SUCCESS);
	__atomic_and_fetch(&page->pending, ~(1ull << BH_EVENT_TIMER), __ATOMIC_SEQ_CST);
	interrupts_on();
	expect("STAT_COUNT", bh_suspend_count(0) - before, 2);
	check(bh_suspend_residency_us(0) - residency >= 10000, "STAT_RESIDENCY of 20 ms");
	expect("STAT_COUNT, no such CPU", bh_suspend_count(99), 0);
	expect("DEADLINE, disarm", call(VENDOR_DEADLINE, 0, 0, 0), 0);
}

static void check_clock(void)
{
	const uint64_t first = bh_time_ns(), tsc = bh_tsc();

	while (bh_tsc() - tsc < 5ull * tsc_khz)
		spin_hint();
	check(bh_time_ns() - first >= 5000000 && bh_time_ns() - first < 1000000000, "5 ms on the clock page");
	expect("CLOCK_PAGE, misaligned", call(VENDOR_CLOCK_PAGE, 8, 0, 0), error64(SMCCC_INVALID_PARAMETER));
	expect("CLOCK_PAGE, outside", call(VENDOR_CLOCK_PAGE, memory_size, 0, 0),
	       error64(SMCCC_INVALID_PARAMETER));
	expect("CLOCK_PAGE, back", call(VENDOR_CLOCK_PAGE, 0, 0, 0), 0);
	expect("CLOCK_PAGE, again", (uint64_t)bh_clock_register(), 0);
}

static void check_stolen_time(void)
{
	const uint64_t address = call(PV_TIME_ST, 0, 0, 0);
	const struct pv_stolen_time *record = (const struct pv_stolen_time *)address;

	expect("PV_TIME_FEATURES", call(PV_TIME_FEATURES, PV_TIME_ST, 0, 0), 0);
	expect("PV_TIME_FEATURES, unknown", call(PV_TIME_FEATURES, 0xC5000022, 0, 0),
	       error64(SMCCC_NOT_SUPPORTED));
	check(address && address % 64 == 0 && address < memory_size, "PV_TIME_ST address");
	if (address < memory_size)
		check(record->revision == 0 && record->attributes == 0, "stolen-time record");
}

/*
 * Entropy, console
 */

static void check_random(void)
{
	uint64_t words[6] = {0};
	uint64_t bad[8] = {TRNG_RND_64, 193}, narrow[8] = {TRNG_RND_32, 33};

	expect("TRNG_VERSION", call(TRNG_VERSION, 0, 0, 0), TRNG_VERSION_1_0);
	expect("TRNG_FEATURES", call(TRNG_FEATURES, TRNG_RND_64, 0, 0), 0);
	expect("TRNG_GET_UUID", call(TRNG_GET_UUID, 0, 0, 0), BH_TRNG_UUID_0);
	expect("random bytes", (uint64_t)bh_random(words, sizeof(words)), 0);
	for (int i = 1; i < 6; i++)
		check(words[i] != words[i - 1] && words[i], "random words differ");
	bh_call_registers(bad);
	expect("TRNG_RND, 193 bits", bad[0], error64(TRNG_INVALID_PARAMETERS));
	bh_call_registers(narrow);
	expect("TRNG_RND 32", narrow[0], 0);
	check(narrow[1] == 0 && narrow[2] <= 1 && narrow[3] <= UINT32_MAX, "TRNG_RND 32 gives 33 bits");
}

static void check_console(void)
{
	uint64_t bad[8] = {FFA_CONSOLE_LOG_64, 49};

	bh_call_registers(bad);
	expect("CONSOLE_LOG, 49 characters", bad[0], FFA_ERROR);
	expect("CONSOLE_LOG, code", bad[2], error64(FFA_INVALID_PARAMETERS));
	expect("CONSOLE_LOG", (uint64_t)bh_console_log("calls: by CONSOLE_LOG\n", 22), 0);
	expect("CONSOLE_KICK", call(VENDOR_CONSOLE_KICK, 0, 0, 0), 0);
	expect("CONSOLE_RING, outside", call(VENDOR_CONSOLE_RING, memory_size, 0, 0),
	       error64(SMCCC_INVALID_PARAMETER));
	expect("CONSOLE_RING, back", call(VENDOR_CONSOLE_RING, 0, 0, 0), 0);
	expect("CONSOLE_KICK without a ring", call(VENDOR_CONSOLE_KICK, 0, 0, 0),
	       error64(SMCCC_NOT_REQUIRED));
	expect("CONSOLE_RING, again", (uint64_t)bh_console_register(), 0);
}

static void check_events(void)
{
	const uint64_t page = (uint64_t)bh_event_page();

	expect("EVENT_PAGE, vector", call(VENDOR_EVENT_PAGE, page, 31, 0), error64(SMCCC_INVALID_PARAMETER));
	expect("EVENT_PAGE, misaligned", call(VENDOR_EVENT_PAGE, page + 8, 48, 0),
	       error64(SMCCC_INVALID_PARAMETER));
	expect("EVENT_PAGE, back", call(VENDOR_EVENT_PAGE, 0, 0, 0), 0);
	expect("CPU_SUSPEND without event page", call(PSCI_CPU_SUSPEND_64, 0, 0, 0), error64(PSCI_DENIED));
	expect("EVENT_PAGE, again", (uint64_t)bh_events_register(), 0);
	expect("IPI, event", call(VENDOR_IPI, 0, 56, 0), error64(SMCCC_INVALID_PARAMETER));
	expect("IPI, CPU", call(VENDOR_IPI, 99, 0, 0), error64(SMCCC_INVALID_PARAMETER));
	expect("IPI to itself", (uint64_t)bh_ipi(0, PING), 0);
	bh_wait_for(PING);
	check(true, "IPI to itself arrives");
}

/*
 * FF-A, with a peer where the config has one: then that is pong, in partition 2.
 */

#define SELF   1u
#define PEER   2u
#define NOBODY 9u

static uint8_t buffers[2][PAGE] __attribute__((aligned(PAGE)));

/* x0 and the code in x2 in one: 0 or the negative code; x4 to x7 must stay. */
static void ffa(const char *what, int expected, uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3,
		uint64_t x4)
{
	uint64_t x[8] = {function, x1, x2, x3, x4, 0, 0x66, 0x77};

	bh_call_registers(x);
	expect(what, x[0], expected ? FFA_ERROR : FFA_SUCCESS_32);
	expect(what, (uint32_t)x[2], expected ? error32(expected) : (uint32_t)x[2]);
	check(x[4] == x4 && x[5] == 0 && x[6] == 0x66 && x[7] == 0x77, what);
}

static void check_ffa_discovery(void)
{
	uint64_t x[8] = {FFA_FEATURES, FFA_FEATURE_NPI};

	expect("FFA_VERSION", call(FFA_VERSION, FFA_VERSION_1_1, 0, 0), FFA_VERSION_1_1);
	expect("FFA_VERSION, bit 31", call(FFA_VERSION, 1u << 31, 0, 0), error32(FFA_NOT_SUPPORTED));
	ffa("FEATURES", 0, FFA_FEATURES, FFA_MSG_SEND2, 0, 0, 0);
	ffa("FEATURES, unknown", FFA_NOT_SUPPORTED, FFA_FEATURES, 0x8400007D, 0, 0, 0);
	ffa("FEATURES, not FF-A", FFA_NOT_SUPPORTED, FFA_FEATURES, PSCI_VERSION, 0, 0, 0);
	bh_call_registers(x);
	expect("FEATURES, interrupt", x[2], BH_EVENT_NOTIFICATION);
	expect("ID_GET", bh_own_id(), SELF);
	ffa("SPM_ID_GET", 0, FFA_SPM_ID_GET, 0, 0, 0, 0);
	ffa("YIELD", 0, FFA_YIELD, 0, 0, 0, 0);
}

static void check_ffa_buffers(void)
{
	const uint64_t tx = (uint64_t)buffers[0], rx = (uint64_t)buffers[1];

	ffa("INFO_GET without buffers", FFA_DENIED, FFA_PARTITION_INFO_GET, 0, 0, 0, 0);
	ffa("SEND2 without buffers", FFA_DENIED, FFA_MSG_SEND2, 0, 0, 0, 0);
	ffa("RXTX_MAP, misaligned", FFA_INVALID_PARAMETERS, FFA_RXTX_MAP_64, tx + 8, rx, 1, 0);
	ffa("RXTX_MAP, outside", FFA_INVALID_PARAMETERS, FFA_RXTX_MAP_64, tx, memory_size, 1, 0);
	ffa("RXTX_MAP, one page for both", FFA_INVALID_PARAMETERS, FFA_RXTX_MAP_64, tx, tx, 1, 0);
	ffa("RXTX_MAP, two pages", FFA_INVALID_PARAMETERS, FFA_RXTX_MAP_64, tx, rx, 2, 0);
	ffa("RXTX_UNMAP, none", FFA_INVALID_PARAMETERS, FFA_RXTX_UNMAP, 0, 0, 0, 0);
	ffa("RXTX_MAP 32", 0, FFA_RXTX_MAP_32, tx, rx, 1, 0);
	ffa("RXTX_MAP, again", FFA_DENIED, FFA_RXTX_MAP_64, tx, rx, 1, 0);
	ffa("RX_RELEASE, not owned", FFA_DENIED, FFA_RX_RELEASE, 0, 0, 0, 0);
	ffa("RX_RELEASE, another's", FFA_INVALID_PARAMETERS, FFA_RX_RELEASE, PEER, 0, 0, 0);
	ffa("INFO_GET", 0, FFA_PARTITION_INFO_GET, 0, 0, 0, 0);
	expect("INFO_GET, own id", ((const struct ffa_partition_info *)rx)->id, SELF);
	ffa("INFO_GET, RX full", FFA_BUSY, FFA_PARTITION_INFO_GET, 0, 0, 0, 0);
	ffa("INFO_GET, UUID", FFA_INVALID_PARAMETERS, FFA_PARTITION_INFO_GET, 1, 0, 0, 0);
	ffa("RX_RELEASE", 0, FFA_RX_RELEASE, 0, 0, 0, 0);
}

/* Wrong headers, and receivers that are none. */
static void check_ffa_messages(void)
{
	struct ffa_message *const header = (struct ffa_message *)buffers[0];

	*header = (struct ffa_message){.offset = 20, .receiver = NOBODY, .sender = SELF, .size = 4};
	ffa("SEND2, nobody", FFA_INVALID_PARAMETERS, FFA_MSG_SEND2, 0, 0, 0, 0);
	header->receiver = SELF;
	ffa("SEND2, itself", FFA_INVALID_PARAMETERS, FFA_MSG_SEND2, 0, 0, 0, 0);
	ffa("DIRECT_REQ, nobody", FFA_INVALID_PARAMETERS, FFA_MSG_SEND_DIRECT_REQ_32, FFA_IDS(SELF, NOBODY),
	    0, 0, 0);
	ffa("DIRECT_REQ, not the sender", FFA_INVALID_PARAMETERS, FFA_MSG_SEND_DIRECT_REQ_64,
	    FFA_IDS(NOBODY, PEER), 0, 0, 0);
	ffa("DIRECT_RESP without request", FFA_DENIED, FFA_MSG_SEND_DIRECT_RESP_64, FFA_IDS(SELF, PEER), 0, 0,
	    0);
	ffa("MSG_WAIT, flags", FFA_INVALID_PARAMETERS, FFA_MSG_WAIT, 0, 2, 0, 0);
	ffa("BIND, nobody", FFA_INVALID_PARAMETERS, FFA_NOTIFICATION_BIND, FFA_IDS(NOBODY, SELF), 0, 1, 0);
	ffa("SET, nobody", FFA_INVALID_PARAMETERS, FFA_NOTIFICATION_SET, FFA_IDS(SELF, NOBODY), 0, 1, 0);
	ffa("GET, another's", FFA_INVALID_PARAMETERS, FFA_NOTIFICATION_GET, NOBODY, 0, 0, 0);
}

/* An event ends MSG_WAIT though IF = 0. */
static void check_ffa_wait(void)
{
	uint64_t x[8] = {FFA_MSG_WAIT};

	interrupts_off();
	(void)bh_ipi(0, PING);
	bh_call_registers(x);
	interrupts_on();
	expect("MSG_WAIT", x[0], FFA_INTERRUPT);
	expect("MSG_WAIT, ids", x[1], FFA_IDS(SELF, 0));
	bh_wait_for(PING);
}

static void check_ffa_peer(void)
{
	struct ffa_message *const header = (struct ffa_message *)buffers[0];

	*header = (struct ffa_message){.flags = 1, .offset = 20, .receiver = PEER, .sender = SELF, .size = 4};
	ffa("SEND2, flags", FFA_INVALID_PARAMETERS, FFA_MSG_SEND2, 0, 0, 0, 0);
	*header = (struct ffa_message){.offset = 19, .receiver = PEER, .sender = SELF, .size = 4};
	ffa("SEND2, offset", FFA_INVALID_PARAMETERS, FFA_MSG_SEND2, 0, 0, 0, 0);
	*header = (struct ffa_message){.offset = 20, .receiver = PEER, .sender = SELF, .size = PAGE - 19};
	ffa("SEND2, size", FFA_INVALID_PARAMETERS, FFA_MSG_SEND2, 0, 0, 0, 0);
	ffa("BIND, no bits", FFA_INVALID_PARAMETERS, FFA_NOTIFICATION_BIND, FFA_IDS(PEER, SELF), 0, 0, 0);
	ffa("BIND", 0, FFA_NOTIFICATION_BIND, FFA_IDS(PEER, SELF), 0, 3, 0);
	ffa("BIND, bound", FFA_DENIED, FFA_NOTIFICATION_BIND, FFA_IDS(PEER, SELF), 0, 2, 0);
	ffa("UNBIND, not bound", FFA_DENIED, FFA_NOTIFICATION_UNBIND, FFA_IDS(PEER, SELF), 0, 7, 0);
	ffa("UNBIND", 0, FFA_NOTIFICATION_UNBIND, FFA_IDS(PEER, SELF), 0, 2, 0);
	ffa("SET, no such vCPU", FFA_INVALID_PARAMETERS, FFA_NOTIFICATION_SET, FFA_IDS(SELF, PEER),
	    9 << 16 | 1, 1, 0);
	ffa("SET, of another kind", FFA_DENIED, FFA_NOTIFICATION_SET, FFA_IDS(SELF, PEER), 1, 1, 0);
	ffa("SET", 0, FFA_NOTIFICATION_SET, FFA_IDS(SELF, PEER), 0, 1, 0);
	bh_wait_for(BH_EVENT_NOTIFICATION);
	expect("notification that came back", bh_notifications(), 1);
	expect("and is taken", bh_notifications(), 0);
}

static void check_direct(void)
{
	uint64_t x[8];

	do {
		const uint64_t request[8] = {
			FFA_MSG_SEND_DIRECT_REQ_64, FFA_IDS(SELF, PEER), 0, UINT64_MAX, 4, 5, 6, 7};
		for (int i = 0; i < 8; i++)
			x[i] = request[i];
		bh_call_registers(x);
	} while (x[0] == FFA_ERROR &&
		 ((int32_t)x[2] == FFA_BUSY || (int32_t)x[2] == FFA_ABORTED)); /* not there yet */
	expect("direct response", x[0], FFA_MSG_SEND_DIRECT_RESP_64);
	expect("direct response, ids", x[1], FFA_IDS(PEER, SELF));
	check(x[2] == 0 && x[3] == 0 && x[4] == 4 && x[5] == 5 && x[6] == 6 && x[7] == 7,
	      "direct response, words");
}

static void check_ffa(void)
{
	uint64_t x[8] = {FFA_PARTITION_INFO_GET, 0, 0, 0, 0, FFA_PARTITION_COUNT_ONLY};

	check_ffa_discovery();
	check_ffa_buffers();
	check_ffa_messages();
	check_ffa_wait();
	bh_call_registers(x);
	if (x[2] > 1) {
		check_direct();
		check_ffa_peer();
	}
	ffa("RXTX_UNMAP", 0, FFA_RXTX_UNMAP, 0, 0, 0, 0);
	bh_printf("calls: FF-A with %u partitions\n", (uint32_t)x[2]);
}

/*
 * The second CPU
 */

static void second_main(void *context)
{
	second_context = (uint64_t)context;
	for (uint32_t i = 0; i < 100; i++) {
		bh_wait_for(PING);
		pings_seen = i + 1;
		(void)bh_ipi(0, PONG);
	}
}

static bool second_becomes(int state)
{
	const uint64_t start = bh_tsc();

	while (bh_cpu_state(SECOND) != state)
		if (bh_tsc() - start > (uint64_t)SPIN_LIMIT_MS * tsc_khz)
			return false;
	return true;
}

static void check_second_cpu(uint32_t vcpu_count)
{
	if (vcpu_count < 2)
		return;
	expect("second CPU is off", (uint64_t)bh_cpu_state(SECOND), PSCI_AFFINITY_OFF);
	expect("IPI to a CPU that is off", call(VENDOR_IPI, SECOND, PING, 0),
	       error64(SMCCC_INVALID_PARAMETER));
	expect("CPU_ON, entry", call(PSCI_CPU_ON_64, SECOND, memory_size, 0), error64(PSCI_INVALID_ADDRESS));
	for (uint64_t round = 1; round <= 3; round++) {
		expect("CPU_ON", (uint64_t)bh_cpu_on(SECOND, second_main, (void *)round), 0);
		check(second_becomes(PSCI_AFFINITY_ON), "second CPU comes on");
		expect("CPU_ON, on", call(PSCI_CPU_ON_64, SECOND, PAGE, 0), error64(PSCI_ALREADY_ON));
		expect("SYSTEM_SUSPEND, not alone", call(PSCI_SYSTEM_SUSPEND_64, PAGE, 0, 0),
		       error64(PSCI_DENIED));
		for (uint32_t i = 1; i <= 100; i++) {
			(void)bh_ipi(SECOND, PING);
			bh_wait_for(PONG);
			expect("pings seen", pings_seen, i);
		}
		expect("context", second_context, round);
		check(second_becomes(PSCI_AFFINITY_OFF), "second CPU goes off");
	}
}

/*
 * The end: sleeps alone for 50 ms, wakes up at the entry point on a fresh CPU, and powers off.
 */

static void wake_up(void *context)
{
	expect("context after SYSTEM_SUSPEND", (uint64_t)context, 77);
	bh_printf("calls: %u checks, %u wrong\n", checks, wrong);
	bh_console_flush();
	bh_system_off();
}

static void suspend_system(void)
{
	struct cpu_stack *stack = this_stack();

	bh_console_flush();
	stack->entry = wake_up;
	stack->context = (void *)77;
	interrupts_off();
	(void)call(VENDOR_DEADLINE, bh_tsc() + 50ull * tsc_khz, 0, 0);
	expect("SYSTEM_SUSPEND",
	       call(PSCI_SYSTEM_SUSPEND_64, (uint64_t)bh_secondary_entry, (uint64_t)stack, 0), 0);
	interrupts_on();
	check(false, "SYSTEM_SUSPEND came back");
	bh_printf("calls: %u checks, %u wrong\n", checks, wrong);
}

void bh_main(const struct bh_start *start)
{
	tsc_khz = start->tsc_khz;
	memory_size = start->memory_size;
	bh_printf("calls: begin, %u vCPUs\n", start->vcpu_count);
	check_discovery();
	check_psci();
	check_events();
	check_suspend();
	check_clock();
	check_stolen_time();
	check_random();
	check_console();
	check_ffa();
	check_second_cpu(start->vcpu_count);
	suspend_system();
}
