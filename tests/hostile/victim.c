/*
 * The victim: fills the last MiB of its memory with a pattern and checks a slice of it ten times a second,
 * for ever: "victim ok N". A byte that somebody else changed, or a number left out, is a hole in the wall.
 *
 * Two of these pages it shares, one with the attacker and one with a bystander. It tells the console what
 * their handles are, and nobody else.
 */
#include "../../guests/lib/bulkhead.h"
#include "hostile.h"

#define ATTACKER  3 /* endpoint */
#define BYSTANDER 4

#define HZ	   10u
#define GUARDED	   (1ull << 20)
#define SLICE	   (64ull << 10)
#define MULTIPLIER 0x9E3779B97F4A7C15ull

static volatile uint32_t ticks;

static void on_tick(void)
{
	ticks++;
}

static uint64_t pattern(uint64_t address)
{
	return address * MULTIPLIER;
}

/* The address of the first wrong word, or 0. */
static uint64_t check(uint64_t start)
{
	for (uint64_t at = start; at < start + SLICE; at += sizeof(at))
		if (*(volatile uint64_t *)at != pattern(at))
			return at;
	return 0;
}

static void share(uint16_t peer, uint64_t address)
{
	uint64_t handle = 0;
	const int result = bh_memory_share(peer, (const void *)address, 1, &handle);

	print_line("victim shares with %u: %d, handle %lx", peer, result, handle);
}

void guest_main(const struct platform *machine)
{
	const uint64_t start = machine->memory_size - GUARDED;
	uint32_t beat = 0;

	for (uint64_t at = start; at < start + GUARDED; at += sizeof(at))
		*(volatile uint64_t *)at = pattern(at);
	share(ATTACKER, start);
	share(BYSTANDER, start + PAGE_SIZE);
	(void)bh_call(FFA_RXTX_UNMAP, 0, 0, 0, 0, 0); /* it takes no messages */
	platform_console_start();
	platform_tick_start(HZ, on_tick);
	for (;;) {
		interrupts_off();
		if (ticks == beat)
			platform_idle();
		interrupts_on();
		if (ticks == beat)
			continue;
		const uint64_t wrong = check(start + beat % (GUARDED / SLICE) * SLICE);
		beat++;
		if (wrong)
			print_line("victim BROKEN at %lx: %lx", wrong, *(volatile uint64_t *)wrong);
		else
			print_line("victim ok %u", beat);
	}
}
