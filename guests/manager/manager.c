/*
 * A partition that manages the others: a small shell on its console. Commands come a line each; what happens
 * to partitions is told as it happens, whoever has caused it. With `reset=N` on the command line it resets
 * partition 2 N times first, as fast as that goes.
 */
#include <bulkhead.h>

#include "../common/text.h"
#include "../common/x86.h"

#define OTHER	      2u  /* whom reset=N means */
#define MOST	      16u /* partitions */
#define US_PER_MS     1000u
#define BYTES_PER_KIB 1024u

struct command {
	const char *name, *help;
	void (*run)(uint32_t id);
	int (*order)(uint32_t id); /* what run_order() posts */
};

static const char *state_name(uint8_t state)
{
	static const char *const names[] = {"off", "starting", "running"};
	return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static const char *end_name(uint8_t end)
{
	static const char *const names[] = {"never ended", "system off", "stopped", "fault"};
	return end < sizeof(names) / sizeof(names[0]) ? names[end] : "unknown";
}

static const char *code_name(int code)
{
	switch (code) {
	case PSCI_INVALID_PARAMETERS: return "there is no such partition";
	case PSCI_DENIED: return "denied: the config does not say manage = yes";
	case PSCI_ALREADY_ON: return "it is on already";
	case PSCI_ON_PENDING: return "another order is being carried out";
	case PSCI_NOT_PRESENT: return "it is off";
	case PSCI_DISABLED: return "this machine cannot run it";
	default: return "unknown code";
	}
}

static void run_list(uint32_t unused)
{
	struct bh_partition info;
	const int count = bh_manage_count();
	(void)unused;
	if (count < 0)
		bh_printf("list: %s\n", code_name(count));
	for (uint32_t id = 1; (int)id <= count; id++)
		if (bh_manage_info(id, &info) == 0)
			bh_printf("%u %s: %s, %s, %u vCPUs, %lu KiB, %lu ms, %u restarts, %s\n", id,
				  info.name, state_name(info.state), info.mode ? "para" : "full", info.vcpus,
				  info.memory / BYTES_PER_KIB, info.run_us / US_PER_MS, info.restarts,
				  end_name(info.end));
}

static const char *class_name(uint32_t class)
{
#define CLASS_TEXT(name, text) text,
	static const char *const names[] = {BH_EXIT_CLASS_LIST(CLASS_TEXT)};
	return class < sizeof(names) / sizeof(names[0]) ? names[class] : "new";
}

static void run_stats(uint32_t id)
{
	uint64_t count, ticks;
	struct bh_partition info;
	const int result = bh_manage_info(id, &info);
	if (result < 0)
		bh_printf("stats: %s\n", code_name(result));
	for (uint32_t class = 0; bh_manage_exits(id, class, &count, &ticks) == 0; class ++)
		if (count)
			bh_printf("%s: %s %lu exits, %lu ticks\n", info.name, class_name(class), count,
				  ticks);
}

static void run_quit(uint32_t unused)
{
	(void)unused;
	bh_printf("bye\n");
	bh_console_flush();
	bh_system_off();
}

static void run_help(uint32_t unused);

static const struct command commands[] = {
	{"help", "this list", run_help, NULL},
	{"list", "all partitions", run_list, NULL},
	{"stats", "N: exits of partition N", run_stats, NULL},
	{"start", "N: start it", NULL, bh_manage_start},
	{"stop", "N: stop it", NULL, bh_manage_stop},
	{"reset", "N: start it afresh", NULL, bh_manage_reset},
	{"quit", "end this partition", run_quit, NULL},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void run_help(uint32_t unused)
{
	(void)unused;
	for (size_t i = 0; i < COMMANDS; i++)
		bh_printf("  %s - %s\n", commands[i].name, commands[i].help);
}

static void run_order(const struct command *command, uint32_t id)
{
	const int result = command->order(id);
	bh_printf("%s %u: %s\n", command->name, id, result < 0 ? code_name(result) : "ordered");
}

static void run_line(char *line)
{
	char *argument = line;
	while (*argument && *argument != ' ')
		argument++;
	if (*argument)
		*argument++ = '\0';
	for (size_t i = 0; i < COMMANDS; i++) {
		if (!string_equal(line, commands[i].name))
			continue;
		if (commands[i].order)
			run_order(&commands[i], parse_number(argument));
		else
			commands[i].run(parse_number(argument));
		return;
	}
	bh_printf("no command '%s': help lists them\n", line);
}

/* An order to the one that is not finished yet holds back the next: it is posted once that is done. So is the
 * first one if the other has not started yet. */
static void reset_often(uint32_t times)
{
	uint32_t waits = 0;
	if (!times)
		return;
	for (uint32_t done = 0; done < times;) {
		const int result = bh_manage_reset(OTHER);
		if (result == PSCI_ON_PENDING || (result == PSCI_NOT_PRESENT && !done)) {
			bh_wait_for(BH_EVENT_MANAGE);
			waits++;
			continue;
		}
		if (result < 0) {
			bh_printf("reset: %s\n", code_name(result));
			return;
		}
		done++;
	}
	bh_printf("%u resets, waited %u times\n", times, waits);
}

static uint8_t last[MOST + 1];

/* Tells whose state is another one than last time. */
static void tell_changes(void)
{
	struct bh_partition info;
	for (uint32_t id = 1; id <= MOST && bh_manage_info(id, &info) == 0; id++) {
		if (last[id] != info.state)
			bh_printf("partition %s is %s\n", info.name, state_name(info.state));
		last[id] = info.state;
	}
}

static volatile bool changed;

static void on_change(uint32_t event)
{
	(void)event;
	changed = true;
}

/* Input needs no handling but must end the sleep; taking the event is all. */
static void on_input(uint32_t event)
{
	(void)event;
}

/* Sleeps unless there is something to do: seen with interrupts off, so nothing is missed in between. */
static void serve(void)
{
	static struct typed_line typed;
	char *line;

	interrupts_off();
	const int byte = bh_console_read();
	if (byte < 0 && !changed)
		bh_idle();
	interrupts_on();
	line = byte < 0 ? NULL : typed_line_take(&typed, (uint8_t)byte);
	if (line)
		run_line(line);
	if (changed) {
		changed = false;
		tell_changes();
	}
}

void bh_main(const struct bh_start *start)
{
	run_list(0);
	reset_often(option_number((const char *)start->cmdline, "reset", 0));
	tell_changes();
	bh_event_handle(BH_EVENT_MANAGE, on_change);
	bh_event_handle(BH_EVENT_CONSOLE_INPUT, on_input);
	bh_printf("ready, type help\n");
	for (;;)
		serve();
}
