/*
 * The monitor: commands a person types once Ctrl-] 0 has given it the keyboard. One table row a command.
 */
#include "arch/x86/machine.h"
#include "hv/console/console.h"
#include "hv/console/edit.h"
#include "hv/core/virt.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

#define MONITOR_WORDS 3
#define MS_US	      1000u

struct command {
	const char *name;
	const char *argument; /* as help shows it; empty: takes none */
	bool optional;	      /* the argument may be left out */
	void (*run)(const struct command *command, struct partition *partition);
	const char *help;
	enum partition_order order; /* start, stop, reset: what is posted */
};

/* ------------------------------------------------------------------------------------------------------ what
 * they show */

static const char *mode_name(const struct partition *partition)
{
	return partition->config->mode == MODE_PARA ? "para" : "full";
}

static const char *vcpu_state_name(const struct vcpu_shared *vcpu)
{
	static const char *const halted[] = {"running", "halted", "halted with interrupts off"};

	switch (atomic_load(&vcpu->state)) {
	case VCPU_OFF: return "off";
	case VCPU_STARTING: return "starting";
	default: return halted[MIN(atomic_load(&vcpu->halted), ARRAY_SIZE(halted) - 1)];
	}
}

/* Why it does not run; nothing for one that does. */
static const char *why_off(const struct partition *partition)
{
	if (partition->refused[0])
		return partition->refused;
	if (atomic_load(&partition->state) == PARTITION_OFF && partition->end_reason[0])
		return partition->end_reason;
	return "-";
}

static void show_list(const struct command *command, struct partition *unused)
{
	(void)command;
	(void)unused;
	console_print("  %2s  %-15s %-9s %-5s %4s %10s %8s  %s", "no", "name", "state", "mode", "cpus",
		      "memory", "restarts", "why off");
	for (uint32_t i = 0; i < partition_count; i++) {
		const struct partition *partition = &partitions[i];

		console_print("  %2u  %-15s %-9s %-5s %4u %6llu MiB %8u  %s", i + 1,
			      partition_name(partition), partition_state_name(partition),
			      mode_name(partition), partition->vcpu_count,
			      (unsigned long long)(partition->config->memory / MIB), partition->restarts,
			      why_off(partition));
	}
}

static void show_memory(const struct partition *partition)
{
	console_print("  memory    %llu KiB in %u extent%s",
		      (unsigned long long)(partition->config->memory / KIB), partition->extent_count,
		      partition->extent_count == 1 ? "" : "s");
	for (uint32_t i = 0; i < partition->extent_count; i++) {
		const struct memory_extent *extent = &partition->extent[i];

		console_print("            guest %012llXh at %012llXh, %llu KiB",
			      (unsigned long long)extent->gpa.value, (unsigned long long)extent->hpa.value,
			      (unsigned long long)(extent->size / KIB));
	}
}

static void show_info(const struct command *command, struct partition *partition)
{
	const struct partition_config *config = partition->config;
	unsigned long long ms = partition_run_us(partition) / MS_US;

	(void)command;
	console_print("partition %u, %s: %s, mode %s", partition->id + 1, partition_name(partition),
		      partition_state_name(partition), mode_name(partition));
	console_print("  %-9s %s, %llu bytes", config->is_kernel ? "kernel" : "image", config->image,
		      (unsigned long long)partition->image.size);
	if (config->initrd[0])
		console_print("  initrd    %s, %llu bytes", config->initrd,
			      (unsigned long long)partition->initrd.size);
	console_print("  cmdline   %s", config->cmdline[0] ? config->cmdline : "(none)");
	show_memory(partition);
	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		console_print("  vcpu %-4u on CPU %u, %s", i, partition->vcpu[i].cpu,
			      vcpu_state_name(&partition->vcpu[i]));
	console_print("  policy    on_fault = %s, max_restarts = %u, autostart = %s",
		      config->on_fault == ON_FAULT_RESTART ? "restart" : "stop", config->max_restarts,
		      config->autostart ? "yes" : "no");
	console_print("  run time  %llu.%03llu s, restarts %u", ms / 1000, ms % 1000, partition->restarts);
	console_print("  console   %llu lines, %llu bytes", (unsigned long long)partition->console.lines,
		      (unsigned long long)partition->console.bytes);
	console_print("  why off   %s", why_off(partition));
}

static void show_exits(const char *name, struct exit_statistics exits)
{
	console_print("  %-22s %12llu %16llu %10llu", name, (unsigned long long)exits.count,
		      (unsigned long long)exits.tsc,
		      (unsigned long long)(exits.count ? exits.tsc / exits.count : 0));
}

/* Those that share a class, or are rare. */
static void show_reasons(const struct partition *partition)
{
	for (unsigned reason = 0; reason < EXIT_REASONS; reason++) {
		uint64_t count = partition_reasons(partition, reason);

		if (count)
			console_print("  reason %s: %llu", virt->reason_name(reason),
				      (unsigned long long)count);
	}
}

static void show_statistics(const struct command *command, struct partition *partition)
{
	struct exit_statistics total = {0};

	(void)command;
	console_print("exits of %s, all its vCPUs:", partition_name(partition));
	console_print("  %-22s %12s %16s %10s", "class", "count", "TSC ticks", "mean");
	for (unsigned class = 0; class < EXIT_CLASSES; class ++) {
		struct exit_statistics exits = partition_exits(partition, class);

		if (!exits.count)
			continue;
		show_exits(exit_class_name(class), exits);
		total.count += exits.count;
		total.tsc += exits.tsc;
	}
	show_exits("all", total);
	show_reasons(partition);
}

/* ---------------------------------------------------------------------------------------------------------
 * what they do */

static const char *why_not(const struct partition *partition, enum partition_order order, enum status status)
{
	if (partition->refused[0])
		return partition->refused;
	if (status != ERR_INVALID)
		return status_name(status);
	return order == ORDER_START ? "expected it to be off" : "expected it to run";
}

static void post_order(const struct command *command, struct partition *partition)
{
	enum status status = partition_command(partition, command->order, "by the monitor");

	if (status != OK)
		console_print("%s: %s is %s: %s", command->name, partition_name(partition),
			      partition_state_name(partition), why_not(partition, command->order, status));
}

static void give_keyboard(const struct command *command, struct partition *partition)
{
	(void)command;
	if (!partition)
		console_key_help();
	else
		(void)console_give_keyboard(partition->id + 1); /* a partition that exists: cannot fail */
}

static void show_log(const struct command *command, struct partition *unused)
{
	(void)command;
	(void)unused;
	console_show_log();
}

static void run_audit(const struct command *command, struct partition *unused)
{
	(void)command;
	(void)unused;
	console_audit();
}

static void power_off(const struct command *command, struct partition *unused)
{
	(void)command;
	(void)unused;
	console_summary();
	machine_power_off();
}

static void show_help(const struct command *command, struct partition *unused);

static const struct command commands[] = {
	{.name = "help", .run = show_help, .help = "this list"},
	{.name = "list", .run = show_list, .help = "all partitions, a line each"},
	{.name = "info",
	 .argument = "P",
	 .run = show_info,
	 .help = "all about partition P (a number or a name)"},
	{.name = "stats",
	 .argument = "P",
	 .run = show_statistics,
	 .help = "exits of P by class: count, TSC ticks, mean"},
	{.name = "start", .argument = "P", .run = post_order, .order = ORDER_START, .help = "start P afresh"},
	{.name = "stop", .argument = "P", .run = post_order, .order = ORDER_STOP, .help = "stop P"},
	{.name = "reset",
	 .argument = "P",
	 .run = post_order,
	 .order = ORDER_RESET,
	 .help = "stop P and start it afresh"},
	{.name = "keys",
	 .argument = "[P]",
	 .optional = true,
	 .run = give_keyboard,
	 .help = "the console keys; with P: give it the keyboard"},
	{.name = "log", .run = show_log, .help = "the hypervisor's own lines since the start"},
	{.name = "audit", .run = run_audit, .help = "check every page table against the owners of memory"},
	{.name = "off", .run = power_off, .help = "print the summary, power the machine off"},
};

static void show_help(const struct command *command, struct partition *unused)
{
	(void)command;
	(void)unused;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		console_print("  %-5s %-4s %s", commands[i].name,
			      commands[i].argument ? commands[i].argument : "", commands[i].help);
}

/* --------------------------------------------------------------------------------------------------- what is
 * understood */

/* Cuts a line at its spaces. Returns how many words there are, of which at most MONITOR_WORDS are kept. */
static unsigned split(char *line, char *words[MONITOR_WORDS])
{
	unsigned count = 0;

	while (*line) {
		if (*line == ' ') {
			*line++ = '\0';
			continue;
		}
		if (count < MONITOR_WORDS)
			words[count] = line;
		count++;
		while (*line && *line != ' ')
			line++;
	}
	return count;
}

static uint32_t parse_number(const char *word)
{
	uint32_t number = 0;

	for (; *word >= '0' && *word <= '9' && number <= CONFIG_MAX_PARTITIONS; word++)
		number = number * 10 + (uint32_t)(*word - '0');
	return *word ? 0 : number;
}

/* By name, else by number from 1; NULL after telling what would have done. */
static struct partition *find_partition(const char *word)
{
	uint32_t number = parse_number(word);

	for (uint32_t i = 0; i < partition_count; i++)
		if (!strcmp(word, partition_name(&partitions[i])))
			return &partitions[i];
	if (number >= 1 && number <= partition_count)
		return &partitions[number - 1];
	console_print("no partition '%s': expected a number from 1 to %u or a name that 'list' shows", word,
		      partition_count);
	return NULL;
}

static const struct command *find_command(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(word, commands[i].name))
			return &commands[i];
	return NULL;
}

static void run_command(const struct command *command, unsigned words, const char *argument)
{
	struct partition *partition = NULL;

	if (words > (command->argument ? 2u : 1u)) {
		console_print("%s: found %u words, expected '%s%s%s'", command->name, words, command->name,
			      command->argument ? " " : "", command->argument ? command->argument : "");
		return;
	}
	if (words < 2 && command->argument && !command->optional) {
		console_print("%s: expected a partition: '%s %s'", command->name, command->name,
			      command->argument);
		return;
	}
	if (words == 2) {
		partition = find_partition(argument);
		if (!partition)
			return;
	}
	command->run(command, partition);
}

void monitor_execute(const char *line)
{
	char copy[EDIT_SIZE];
	char *words[MONITOR_WORDS];
	unsigned count;
	const struct command *command;

	string_copy(copy, line, sizeof(copy));
	count = split(copy, words);
	if (!count)
		return;
	command = find_command(words[0]);
	if (command)
		run_command(command, count, count > 1 ? words[1] : "");
	else
		console_print("no command '%s': 'help' lists them", words[0]);
}
