/*
 * The console both ways: CONSOLE_LOG by call for first and last words, the shared ring without a call for
 * everything else. Positions count bytes for ever; each side writes only its own (include/bulkhead/abi.h).
 */
#include "../common/text.h"
#include "../common/x86.h"
#include "internal.h"

#define PAGE_SIZE      4096
#define LOG_BYTES      48u /* FFA_CONSOLE_LOG_64: six registers of eight */
#define LINE_SIZE      256
#define FLUSH_LIMIT_NS 5000000000ull /* a full ring behind those of others takes seconds */
#define RETRY_TICKS    1000000u	     /* of the TSC: the line moves a few characters */

union ring_page {
	struct bh_console_ring shared;
	uint8_t bytes[PAGE_SIZE];
};

_Static_assert(sizeof(union ring_page) == PAGE_SIZE, "the ring fits its page");

static union ring_page page __attribute__((aligned(PAGE_SIZE)));
static struct bh_console_ring *const ring = &page.shared;
static bool registered;

int bh_console_register(void)
{
	const int result = (int)bh_call(VENDOR_CONSOLE_RING, (uint64_t)ring, 0, 0, 0, 0);
	registered = result >= 0;
	return result;
}

/* The console is behind. There may be no event page yet to sleep for, and no clock page. */
static void wait_to_retry(void)
{
	const uint64_t start = read_tsc();
	while (read_tsc() - start < RETRY_TICKS)
		spin_hint();
}

/* One call. Returns how many characters were taken: fewer than `size` where the console is behind; or the
 * call's negative code. */
static int log_some(const uint8_t *from, size_t size)
{
	uint64_t x[8] = {FFA_CONSOLE_LOG_64, size};
	memcpy(&x[2], from, size);
	const int result = bh_ffa_call(x);
	if (result == 0)
		return (int)size;
	return result == FFA_RETRY ? (int)x[3] : result;
}

int bh_console_log(const void *bytes, size_t size)
{
	const uint8_t *from = bytes;
	while (size) {
		const size_t part = size < LOG_BYTES ? size : LOG_BYTES;
		const int taken = log_some(from, part);
		if (taken < 0)
			return taken;
		if ((size_t)taken < part)
			wait_to_retry();
		from += taken;
		size -= (size_t)taken;
	}
	return 0;
}

static uint32_t out_used(void)
{
	return ring->out_head - __atomic_load_n(&ring->out_tail, __ATOMIC_ACQUIRE);
}

static void kick(void)
{
	(void)bh_call(VENDOR_CONSOLE_KICK, 0, 0, 0, 0, 0); /* fails only without a ring */
}

/* Asks for BH_EVENT_CONSOLE_SPACE and sleeps until there is less in the ring, or another event came. The
 * event of a part that is read at the kick stays pending, so that it ends the sleep. */
static void wait_for_drain(uint32_t used)
{
	interrupts_off();
	__atomic_store_n(&ring->out_waiting, 1, __ATOMIC_SEQ_CST);
	if (out_used() > used) {
		kick();
		if (out_used() > used)
			bh_idle();
	}
	interrupts_on();
}

/* The exchange is the full barrier between showing the bytes and asking whether the hypervisor sleeps. */
static void publish(uint32_t head)
{
	__atomic_exchange_n(&ring->out_head, head, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&ring->kick_wanted, __ATOMIC_RELAXED))
		kick();
}

void bh_console_write(const void *bytes, size_t size)
{
	if (!registered) {
		(void)bh_console_log(bytes, size); /* there is no other way to tell of its failure */
		return;
	}
	const uint8_t *from = bytes;
	uint32_t head = ring->out_head;
	while (size--) {
		while (head - __atomic_load_n(&ring->out_tail, __ATOMIC_ACQUIRE) >= BH_RING_OUT_SIZE) {
			publish(head);
			wait_for_drain(BH_RING_OUT_SIZE / 2);
		}
		ring->out[head++ % BH_RING_OUT_SIZE] = *from++;
	}
	publish(head);
}

void bh_console_flush(void)
{
	const uint64_t start = bh_time_ns();
	while (registered && out_used() && bh_time_ns() - start < FLUSH_LIMIT_NS)
		wait_for_drain(0);
}

int bh_console_read(void)
{
	const uint32_t tail = ring->in_tail;
	if (__atomic_load_n(&ring->in_head, __ATOMIC_ACQUIRE) == tail)
		return -1;
	const uint8_t byte = ring->in[tail % BH_RING_IN_SIZE];
	__atomic_store_n(&ring->in_tail, tail + 1, __ATOMIC_RELEASE);
	return byte;
}

void bh_printf(const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;
	va_start(arguments, format);
	const size_t used = format_list(line, sizeof(line), format, arguments);
	va_end(arguments);
	bh_console_write(line, used);
}
