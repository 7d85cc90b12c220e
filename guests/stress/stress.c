/*
 * PSCI under stress: all vCPUs start each other, go off, ask about each other, send each other events and
 * sleep, in an order that a random number generator chooses; vCPU 0 is one of them. Every attempt to start a
 * CPU has a ticket of its own, which the new CPU gets as its context. What must hold:
 *
 *   - a CPU that CPU_ON has accepted starts once, with that ticket; one that was refused never does
 *   - no CPU runs twice at a time
 *   - CPU_OFF is DENIED to the last one only: then all others are off
 *   - whoever asks about itself is on; and no call answers what its contract does not name
 *
 * Then a token goes round by events, which nothing but events wakes the CPUs for. `rounds=N` tickets,
 * `laps=N` of the token.
 */
#include "../common/cpu.h"
#include "../common/text.h"
#include "../common/x86.h"
#include "../lib/internal.h"

#define LINE_SIZE  160
#define TICKETS	   50000u
#define ROUNDS	   2000u
#define LAPS	   200u
#define POKE	   3u /* an event that only wakes */
#define TOKEN	   4u
#define NAP_US	   200u
#define US_PER_MS  1000u
#define MULTIPLIER 0x2545F4914F6CDD1Dull /* xorshift64*: G. Marsaglia, S. Vigna */

struct ticket {
	uint32_t cpu;	  /* first: entry.asm */
	uint32_t given;	  /* CPU_ON has accepted it */
	uint32_t started; /* how often the CPU came with it */
};

struct player {
	uint64_t random;
	uint32_t running;			 /* 1 between its begin and CPU_OFF */
	uint32_t denied, pending, already, naps; /* what it has seen */
} __attribute__((aligned(64)));

static struct ticket tickets[TICKETS];
static struct player players[BH_MAX_CPUS];
static uint32_t next_ticket, rounds, laps, cpus, tsc_khz, wrong, token_laps;

void stress_entry(void);
void stress_begin(void *context);

/* By call: the ring is one CPU's at a time, and its events are vCPU 0's, which may be off. */
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;
	va_start(arguments, format);
	const size_t used = format_list(line, sizeof(line), format, arguments);
	va_end(arguments);
	(void)bh_console_log(line, used); /* there is no other way to tell of its failure */
}

static void complain(const char *what, int64_t found)
{
	__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
	say("stress: wrong: cpu %u: %s: %ld\n", this_cpu(), what, found);
}

static uint64_t draw(struct player *player)
{
	player->random ^= player->random >> 12;
	player->random ^= player->random << 25;
	player->random ^= player->random >> 27;
	return player->random * MULTIPLIER;
}

static bool over(void)
{
	return __atomic_load_n(&next_ticket, __ATOMIC_RELAXED) >= rounds;
}

static void start(struct player *player, uint32_t target)
{
	const uint32_t number = __atomic_fetch_add(&next_ticket, 1, __ATOMIC_RELAXED);
	if (number >= rounds)
		return;
	struct ticket *ticket = &tickets[number];
	ticket->cpu = target;
	const int64_t result =
		(int64_t)bh_call(PSCI_CPU_ON_64, target, (uint64_t)stress_entry, (uint64_t)ticket, 0, 0);
	if (result == PSCI_SUCCESS)
		ticket->given = 1;
	else if (result == PSCI_ON_PENDING && target != this_cpu())
		player->pending++;
	else if (result == PSCI_ALREADY_ON)
		player->already++;
	else
		complain("CPU_ON", result);
}

static void ask(uint32_t target)
{
	const int64_t result = (int64_t)bh_call(PSCI_AFFINITY_INFO_64, target, 0, 0, 0, 0);
	const int64_t highest = target == this_cpu() ? PSCI_AFFINITY_ON : PSCI_AFFINITY_ON_PENDING;
	if (result < PSCI_AFFINITY_ON || result > highest)
		complain("AFFINITY_INFO", result);
}

static void poke(uint32_t target)
{
	const int result = bh_ipi(target, POKE);
	if (result != 0 && (result != SMCCC_INVALID_PARAMETER || target == this_cpu()))
		complain("IPI", result);
}

/* The alarm may come at once: with interrupts off it then ends the sleep before it began. */
static void nap(struct player *player)
{
	player->naps++;
	interrupts_off();
	(void)bh_deadline(bh_tsc() + draw(player) % NAP_US * tsc_khz / US_PER_MS);
	bh_idle();
	interrupts_on();
}

/* Comes back when it is denied: then nobody else is on, nor can anybody start one. */
static void go_off(struct player *player)
{
	interrupts_off();
	__atomic_store_n(&player->running, 0, __ATOMIC_RELEASE);
	const int result = bh_cpu_off();
	if (result != PSCI_DENIED)
		complain("CPU_OFF", result);
	if (__atomic_exchange_n(&player->running, 1, __ATOMIC_ACQUIRE))
		complain("another of this CPU runs", 0);
	for (uint32_t cpu = 0; cpu < cpus; cpu++)
		if (cpu != this_cpu() && bh_cpu_state(cpu) != PSCI_AFFINITY_OFF)
			complain("CPU_OFF denied, and another is not off", cpu);
	interrupts_on();
	player->denied++;
}

static void play(struct player *player)
{
	while (!over()) {
		const uint64_t random = draw(player);
		const uint32_t target = (uint32_t)(random >> 32) % cpus;
		switch (random >> 60) {
		case 0: go_off(player); break;
		case 1: nap(player); break;
		case 2:
		case 3: poke(target); break;
		case 4:
		case 5: ask(target); break;
		default: start(player, target); break;
		}
	}
}

/*
 * The end of the game: all go off, and the last one judges.
 */

static void judge(void)
{
	struct player sum = {0};
	uint32_t given = 0;
	for (uint32_t i = 0; i < rounds; i++) {
		given += tickets[i].given;
		if (tickets[i].given != tickets[i].started)
			complain("CPU_ON was accepted, and its CPU started otherwise", tickets[i].started);
	}
	for (uint32_t i = 0; i < cpus; i++) {
		sum.denied += players[i].denied;
		sum.pending += players[i].pending;
		sum.already += players[i].already;
		sum.naps += players[i].naps;
	}
	say("stress: %u tickets, %u starts, %u pending, %u on already, %u denied, %u naps, %u wrong\n",
	    rounds, given, sum.pending, sum.already, sum.denied, sum.naps, wrong);
}

/*
 * The token: each CPU sleeps until it comes, and hands it to the next.
 */

static void pass_token(void *unused)
{
	const uint32_t next = (this_cpu() + 1) % cpus;
	(void)unused;
	for (uint32_t lap = 0; lap < laps; lap++) {
		bh_wait_for(TOKEN);
		if (this_cpu() == 0)
			token_laps++;
		if (bh_ipi(next, TOKEN) != 0)
			complain("the token", next);
	}
}

/* On whatever CPU is left. Its own vCPU may not be 0: then 0 is started like the others. */
static void run_token(void)
{
	for (uint32_t cpu = 0; cpu < cpus; cpu++) {
		if (cpu == this_cpu())
			continue;
		const int result = bh_cpu_on(cpu, pass_token, NULL);
		if (result < 0)
			complain("a CPU for the token", result);
		while (bh_cpu_state(cpu) != PSCI_AFFINITY_ON)
			spin_hint();
	}
	(void)bh_ipi(this_cpu(), TOKEN);
	pass_token(NULL);
	/* The last of them is on its way off: it has the token still. */
	for (uint32_t cpu = 0; cpu < cpus; cpu++)
		while (cpu != this_cpu() && bh_cpu_state(cpu) != PSCI_AFFINITY_OFF)
			spin_hint();
	say("stress: the token went round %u times, %u wrong\n", token_laps, wrong);
	bh_system_off();
}

static void live(void)
{
	struct player *player = &players[this_cpu()];
	for (;;) {
		play(player);
		go_off(player);
		judge();
		run_token();
	}
}

void stress_begin(void *context)
{
	struct ticket *ticket = context;
	if (ticket->cpu != this_cpu())
		complain("a ticket of another CPU", ticket->cpu);
	if (__atomic_exchange_n(&players[this_cpu()].running, 1, __ATOMIC_ACQUIRE))
		complain("this CPU runs already", this_cpu());
	__atomic_add_fetch(&ticket->started, 1, __ATOMIC_RELAXED);
	live();
}

void bh_main(const struct bh_start *start)
{
	const char *const cmdline = (const char *)start->cmdline;
	rounds = option_number(cmdline, "rounds", ROUNDS);
	laps = option_number(cmdline, "laps", LAPS);
	if (rounds > TICKETS)
		rounds = TICKETS;
	cpus = start->vcpu_count < BH_MAX_CPUS ? start->vcpu_count : BH_MAX_CPUS;
	tsc_khz = start->tsc_khz;
	for (uint32_t i = 0; i < BH_MAX_CPUS; i++)
		players[i].random = MULTIPLIER * (i + 1);
	players[0].running = 1;
	say("stress: begin, %u vCPUs\n", cpus);
	live();
}
