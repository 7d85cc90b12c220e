/*
 * The other CPUs: CPU 0 starts them and plays ping-pong with each, one counted message at a time through
 * memory, with an interrupt each way. Both sides sleep while they wait.
 */
#include "../common/cpu.h"
#include "../common/x86.h"
#include "workload.h"

#define WAIT_NS 2000000000ull
#define STOP	UINT32_MAX /* a request no exchange reaches */

/* One cache line for each CPU: CPU 0 writes `request`, the other writes `answer` and `up`. */
struct mailbox {
	uint32_t request, answer;
	bool up;
} __attribute__((aligned(64)));

static struct mailbox mailboxes[GUEST_MAX_CPUS];

/* An answer is a function of its request, so that an echo of stale memory is not taken for one. */
static uint32_t answer_to(uint32_t request)
{
	return request * 2654435761u + 1; /* Knuth's multiplicative hash */
}

/* The handler of both sides: having been woken is the message. */
static void on_ipi(void) {}

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* What a further CPU runs: answers until it is told to stop. */
static void serve_messages(void *context)
{
	struct mailbox *box = context;
	uint32_t seen = load(&box->request);
	__atomic_store_n(&box->up, true, __ATOMIC_RELEASE);
	while (seen != STOP) {
		interrupts_off();
		const uint32_t request = load(&box->request);
		if (request == seen)
			platform_idle();
		interrupts_on();
		if (request == seen || request == STOP) {
			seen = request;
			continue;
		}
		seen = request;
		__atomic_store_n(&box->answer, answer_to(request), __ATOMIC_RELEASE);
		platform_ipi(0);
	}
	__atomic_store_n(&box->up, false, __ATOMIC_RELEASE);
	platform_cpu_stop();
}

/* Spins until the CPU is up (or down, and off as far as the platform can tell), or two seconds are over. */
static bool wait_state(uint32_t cpu, bool up)
{
	const uint64_t start = platform_time_ns();
	while (platform_time_ns() - start < WAIT_NS) {
		const bool reached = __atomic_load_n(&mailboxes[cpu].up, __ATOMIC_ACQUIRE) == up;
		if (reached && platform_cpu_running(cpu) == up)
			return true;
		spin_hint();
	}
	return false;
}

bool messages_start_cpu(uint32_t cpu)
{
	if (!cpu || cpu >= platform->cpu_count)
		return false;
	struct mailbox *box = &mailboxes[cpu];
	*box = (struct mailbox){0};
	platform_on_ipi(on_ipi);
	return platform_cpu_start(cpu, serve_messages, box) && wait_state(cpu, true);
}

bool messages_stop_cpu(uint32_t cpu)
{
	if (!cpu || cpu >= platform->cpu_count || !mailboxes[cpu].up)
		return false;
	__atomic_store_n(&mailboxes[cpu].request, STOP, __ATOMIC_RELEASE);
	platform_ipi(cpu);
	return wait_state(cpu, false);
}

/* One message there and back; the tick ends the sleep when the answer never comes. */
static bool exchange_one(uint32_t cpu, uint32_t request)
{
	struct mailbox *box = &mailboxes[cpu];
	const uint64_t start = platform_time_ns();
	__atomic_store_n(&box->request, request, __ATOMIC_RELEASE);
	platform_ipi(cpu);
	while (load(&box->answer) != answer_to(request)) {
		if (platform_time_ns() - start > WAIT_NS)
			return false;
		interrupts_off();
		if (load(&box->answer) != answer_to(request))
			platform_idle();
		interrupts_on();
	}
	return true;
}

bool messages_exchange(uint32_t cpu, uint32_t count, uint32_t *answered)
{
	*answered = 0;
	if (!cpu || cpu >= platform->cpu_count || !mailboxes[cpu].up)
		return false;
	const uint32_t first = mailboxes[cpu].request + 1;
	while (*answered < count && exchange_one(cpu, first + *answered))
		++*answered;
	return *answered == count;
}

bool messages_talk(uint32_t cpu, uint32_t count)
{
	uint32_t answered;
	const uint64_t start = read_tsc();
	const bool good = messages_exchange(cpu, count, &answered);
	const uint64_t each = (read_tsc() - start) / count;
	print_line("messages %s: cpu %u answered %u of %u, %lu TSC ticks each", good ? "ok" : "FAILED", cpu,
		   answered, count, each);
	return good;
}

void messages_start_all(void)
{
	for (uint32_t cpu = 1; cpu < platform->cpu_count; cpu++) {
		if (messages_start_cpu(cpu)) {
			print_line("cpu %u up", cpu);
			(void)messages_talk(cpu, MESSAGES); /* prints what it found */
		} else {
			print_line("cpu %u did NOT start", cpu);
		}
	}
}
