/*
 * Typed lines: a known first word is a command, anything else comes back as `echo: …`. Nothing is shown until
 * the line ends, because a console shared by several guests shows whole lines only.
 */
#include "workload.h"

#define FAST_MS 100u
#define SLOW_MS 1000u

struct command {
	const char *name, *help;
	void (*run)(const char *argument); /* what follows the name, without spaces in front */
};

static void help(const char *argument);

static uint32_t chosen_cpu(const char *argument)
{
	return *argument ? parse_number(argument) : 1;
}

static void run_off(const char *argument)
{
	(void)argument;
	print_line("powering off");
	platform_power_off();
}

static void run_reset(const char *argument)
{
	(void)argument;
	print_line("resetting");
	platform_reset();
}

static void run_crash(const char *argument)
{
	if (*argument)
		crash(argument);
	else
		crash_list();
}

static void run_cpu_off(const char *argument)
{
	const uint32_t cpu = chosen_cpu(argument);
	print_line("cpu %u %s", cpu, messages_stop_cpu(cpu) ? "off" : "could NOT be stopped");
}

static void run_cpu_on(const char *argument)
{
	const uint32_t cpu = chosen_cpu(argument);
	const bool up = messages_start_cpu(cpu);
	print_line("cpu %u %s", cpu, up ? "up" : "did NOT start");
	if (up)
		(void)messages_talk(cpu, MESSAGES); /* prints what it found */
}

static void run_talk(const char *argument)
{
	(void)messages_talk(chosen_cpu(argument), MESSAGES); /* prints what it found */
}

static void run_stat(const char *argument)
{
	(void)argument;
	beat_report();
	for (uint32_t cpu = 1; cpu < platform->cpu_count; cpu++)
		print_line("cpu %u is %s", cpu, platform_cpu_running(cpu) ? "on" : "off");
	platform_report();
}

static void run_fast(const char *argument)
{
	(void)argument;
	beat_set_period(FAST_MS);
}

static void run_slow(const char *argument)
{
	(void)argument;
	beat_set_period(SLOW_MS);
}

static void run_period(const char *argument)
{
	beat_set_period(parse_number(argument));
}

static void run_compute(const char *argument)
{
	(void)argument;
	compute();
}

static const struct command commands[] = {
	{"help", "this list", help},
	{"off", "power off", run_off},
	{"reset", "reset", run_reset},
	{"crash", "KIND: go wrong; without KIND, list the kinds", run_crash},
	{"cpuoff", "N (1): stop a CPU", run_cpu_off},
	{"cpuon", "N (1): start a CPU", run_cpu_on},
	{"talk", "N (1): pass messages with a CPU", run_talk},
	{"stat", "what this guest knows of itself", run_stat},
	{"fast", "ten heartbeats a second", run_fast},
	{"slow", "one heartbeat a second", run_slow},
	{"period", "MS: heartbeat period", run_period},
	{"compute", "compute again", run_compute},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(const char *argument)
{
	(void)argument;
	for (size_t i = 0; i < COMMANDS; i++)
		print_line("  %s - %s", commands[i].name, commands[i].help);
}

/* The rest of `line` when its first word is `name`, else NULL. */
static const char *argument_of(const char *line, const char *name)
{
	while (*name && *line == *name)
		line++, name++;
	if (*name || (*line && *line != ' '))
		return NULL;
	while (*line == ' ')
		line++;
	return line;
}

static void run_line(const char *line)
{
	for (size_t i = 0; i < COMMANDS; i++) {
		const char *argument = argument_of(line, commands[i].name);
		if (!argument)
			continue;
		commands[i].run(argument);
		return;
	}
	print_line("echo: %s", line);
}

void commands_serve_byte(uint8_t byte)
{
	static struct typed_line typed;
	const char *line = typed_line_take(&typed, byte);

	beat_disturb();
	if (line)
		run_line(line);
	beat_disturb();
}
