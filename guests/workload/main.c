/*
 * The workload: a guest that does a little of everything and says so, the same source over both platforms.
 *
 * Command line, words separated by spaces:
 *   name=N greet=WORD   who greets, and with what word           beats=N     power off after N heartbeats
 *   period=MS           of the heartbeat (1000)                  drift=S     seconds between drift checks (5)
 *   quiet               heartbeats count but are not printed      study[=PHASE] measured phases instead of
 * the steady state crash=KIND after=N  crash after N heartbeats (0: at once)     (tick=apic, xapic,
 * console=log: see the platforms)
 */
#include "../common/x86.h"
#include "workload.h"

const struct platform *platform;

#define WORD_SIZE 32
#define KIB	  1024u

static void greet(void)
{
	char name[WORD_SIZE], word[WORD_SIZE];
	option_text(platform->cmdline, "name", platform->name, name, sizeof(name));
	option_text(platform->cmdline, "greet", "hello", word, sizeof(word));
	print_line("%s from %s, a %s guest", word, name, platform->kind);
	print_line("cpus %u, memory %lu KiB, clock %u.%03u MHz", platform->cpu_count,
		   platform->memory_size / KIB, platform->tsc_khz / 1000, platform->tsc_khz % 1000);
}

static void crash_at_once_if_asked(void)
{
	char kind[WORD_SIZE];
	option_text(platform->cmdline, "crash", "", kind, sizeof(kind));
	if (kind[0] && !option_number(platform->cmdline, "after", 0))
		crash(kind);
}

/* Serves what is typed and what is due; sleeps when neither is. Deciding to sleep happens with interrupts
 * off. */
_Noreturn static void serve(void)
{
	for (;;) {
		interrupts_off();
		const int byte = platform_read();
		if (byte < 0 && !beat_is_due())
			platform_idle();
		interrupts_on();
		if (byte >= 0)
			commands_serve_byte((uint8_t)byte);
		if (beat_is_due())
			beat_serve();
	}
}

void guest_main(const struct platform *machine)
{
	platform = machine;
	greet();
	crash_at_once_if_asked();
	compute();
	if (option_flag(platform->cmdline, "study"))
		study();
	platform_console_start();
	beat_start();
	messages_start_all();
	print_line("ready, type help");
	serve();
}
