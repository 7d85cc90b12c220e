/*
 * The attacker: reads `NAME [HEXADECIMAL NUMBER]` from its console, attacks, and tells what came of it:
 *   attack NAME: goes on[, VALUE]      nothing kept it from it
 *   attack NAME: #GP(0)                it was kept from it by an exception of its own
 * and nothing when it did not live to tell. Each attack finds the guest as it was before, or ends it.
 */
#include "../../guests/common/interrupts.h"
#include "hostile.h"

#define EXCEPTIONS 20

const struct platform *platform;
const struct attack *attack;
uint64_t attack_a;

static uint64_t observed;
static bool has_observed;

static const struct {
	const char *name;
	attempted *stub;
	bool has_error;
} exceptions[EXCEPTIONS] = {
	[0] = {"#DE", catch_de, false},	 [1] = {"#DB", catch_db, false}, [2] = {"NMI", catch_nmi, false},
	[3] = {"#BP", catch_bp, false},	 [6] = {"#UD", catch_ud, false}, [7] = {"#NM", catch_nm, false},
	[8] = {"#DF", catch_df, true},	 [10] = {"#TS", catch_ts, true}, [11] = {"#NP", catch_np, true},
	[12] = {"#SS", catch_ss, true},	 [13] = {"#GP", catch_gp, true}, [14] = {"#PF", catch_pf, true},
	[16] = {"#MF", catch_mf, false}, [17] = {"#AC", catch_ac, true},
};

void observe(uint64_t value)
{
	observed = value;
	has_observed = true;
}

static void tell(void)
{
	if (caught.vector < EXCEPTIONS && exceptions[caught.vector].has_error)
		print_line("attack %s: %s(%lx)", attack->name, exceptions[caught.vector].name, caught.error);
	else
		print_line("attack %s: %s", attack->name, exceptions[caught.vector].name);
}

static void run(const struct attack *chosen, uint64_t a)
{
	attack = chosen;
	attack_a = a;
	has_observed = false;
	print_line("attack %s begins", attack->name);
	platform_flush();
	if (attempt(attack->run))
		tell();
	else if (has_observed)
		print_line("attack %s: goes on, %lx", attack->name, observed);
	else
		print_line("attack %s: goes on", attack->name);
}

static uint64_t parse_hexadecimal(const char *text)
{
	uint64_t value = 0;

	for (; *text; text++)
		value = value << 4 | (uint64_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
	return value;
}

static const struct attack *find(const struct attack *table, const char *name)
{
	for (; table->name; table++)
		if (string_equal(table->name, name))
			return table;
	return NULL;
}

static void run_line(char *line)
{
	static const struct attack *const tables[] = {memory_attacks, register_attacks, instruction_attacks,
						      delivery_attacks};
	const char *argument = NULL;

	for (char *c = line; *c; c++)
		if (*c == ' ') {
			*c = '\0';
			argument = c + 1;
		}
	const struct attack *row = NULL;
	for (size_t i = 0; !row && i < sizeof(tables) / sizeof(tables[0]); i++)
		row = find(tables[i], line);
	for (size_t i = 0; !row && platform_tables[i]; i++)
		row = find(platform_tables[i], line);
	if (row)
		run(row, argument ? parse_hexadecimal(argument) : row->a);
	else
		print_line("no attack %s", line);
}

static void serve_byte(uint8_t byte)
{
	static struct typed_line typed;
	char *line = typed_line_take(&typed, byte);

	if (line)
		run_line(line);
}

void guest_main(const struct platform *machine)
{
	platform = machine;
	for (uint8_t vector = 0; vector < EXCEPTIONS; vector++)
		if (exceptions[vector].stub)
			interrupt_gate(vector, (const void *)exceptions[vector].stub);
	platform_console_start();
	print_line("hostile: ready");
	for (;;) {
		interrupts_off();
		const int byte = platform_read();
		if (byte < 0)
			platform_idle();
		interrupts_on();
		if (byte >= 0)
			serve_byte((uint8_t)byte);
	}
}
