/*
 * How a row is called and judged: marks in all registers before, a comparison behind.
 */
#include "../common/text.h"
#include "../common/x86.h"
#include "table.h"

#define GENERAL 16
#define RSP	4
#define MARK	0x5EED0000A5A50000ull
#define TRIES	1000u
#define DIRT	0xDEADBEEF00000000ull /* in the upper halves of a 32-bit call's arguments: they do not count */

/* All that arithmetic leaves, DF, AC and ID: what a guest may have set. Interrupts stay as they are. */
#define FLAGS_FIXED 0x2ull
#define FLAGS_IF    0x200ull
#define FLAGS_MARK  0x240CD5ull

struct registers {
	uint64_t general[GENERAL]; /* in the order of encoding; RSP: what the call has added to it */
	uint64_t flags;
};

void call_with_registers(const struct registers *in, struct registers *out);

/* Where x0 to x7 stand: RAX RSI RDX RCX R8 to R11. */
static const uint8_t place[8] = {0, 6, 2, 1, 8, 9, 10, 11};

uint32_t checks, wrong;

void check(bool right, const char *what)
{
	checks++;
	if (right)
		return;
	wrong++;
	bh_printf("calls: wrong: %s\n", what);
}

void expect(const char *what, uint64_t found, uint64_t expected)
{
	checks++;
	if (found == expected)
		return;
	wrong++;
	bh_printf("calls: wrong: %s: %lx, expected %lx\n", what, found, expected);
}

static const char *code_name(enum family family, int64_t code)
{
	static const char *const smccc[] = {"", "NOT_SUPPORTED", "NOT_REQUIRED", "INVALID_PARAMETER"};
	static const char *const psci[] = {
		"",	      "NOT_SUPPORTED",	  "INVALID_PARAMETERS", "DENIED",   "ALREADY_ON",
		"ON_PENDING", "INTERNAL_FAILURE", "NOT_PRESENT",	"DISABLED", "INVALID_ADDRESS"};
	static const char *const trng[] = {"", "NOT_SUPPORTED", "INVALID_PARAMETERS", "NO_ENTROPY"};
	static const char *const ffa[] = {"",	       "NOT_SUPPORTED", "INVALID_PARAMETERS",
					  "NO_MEMORY", "BUSY",		"INTERRUPTED",
					  "DENIED",    "RETRY",		"ABORTED",
					  "NO_DATA",   "NOT_READY"};
	static const struct {
		const char *const *names;
		size_t count;
	} families[] = {[FAMILY_SMCCC] = {ROWS(smccc)},
			[FAMILY_PSCI] = {ROWS(psci)},
			[FAMILY_TRNG] = {ROWS(trng)},
			[FAMILY_FFA] = {ROWS(ffa)}};

	return (size_t)-code < families[family].count ? families[family].names[-code] : "unknown";
}

static void tell_outcome(const struct call *call, uint32_t function, const struct row *row)
{
	char outcome[48];

	if (row->expected < 0)
		format_text(outcome, sizeof(outcome), "%ld %s", row->expected,
			    code_name(call->family, row->expected));
	else if (row->flags & ROW_VALUE)
		format_text(outcome, sizeof(outcome), "a value");
	else
		format_text(outcome, sizeof(outcome), "%lx", (uint64_t)row->expected);
	tell_call(call->name, function, row->what, outcome);
}

void tell_call(const char *name, uint32_t function, const char *what, const char *outcome)
{
	bh_printf("call %08x %s, %s: %s\n", function, name, what, outcome);
}

static void complain(const struct call *call, uint32_t function, const struct row *row, const char *what,
		     uint64_t found, uint64_t expected)
{
	wrong++;
	bh_printf("calls: wrong: %08x %s, %s: %s is %lx, expected %lx\n", function, call->name, row->what,
		  what, found, expected);
}

static uint64_t flags_now(void)
{
	uint64_t flags;

	__asm__ volatile("pushfq; pop %0" : "=r"(flags));
	return flags;
}

/* Those that a hypervisor has values of its own in, and may put back late or not at all (SDM 4 table 2-2). */
#define SYSTEM_MARK 0x00005EED00000000ull
static const struct {
	uint32_t msr;
	const char *name;
} system_registers[] = {
	{0xC0000082, "LSTAR"},
	{0xC0000100, "FS base"},
	{0xC0000101, "GS base"},
	{0xC0000102, "KERNEL_GS_BASE"},
};
#define SYSTEM_REGISTERS (sizeof(system_registers) / sizeof(system_registers[0]))

static void mark(struct registers *in, uint32_t function, const uint64_t x[7], uint64_t dirt, uint64_t flags)
{
	for (unsigned i = 0; i < GENERAL; i++)
		in->general[i] = MARK + i;
	in->general[RSP] = 0;
	in->general[place[0]] = function | DIRT;
	for (unsigned i = 1; i < 8; i++)
		in->general[place[i]] = x[i - 1] | dirt;
	for (unsigned i = 0; i < SYSTEM_REGISTERS; i++)
		write_msr(system_registers[i].msr, SYSTEM_MARK + i);
	in->flags = flags | FLAGS_FIXED | (flags_now() & FLAGS_IF);
}

static bool is_result(unsigned reg, unsigned results)
{
	for (unsigned i = 0; i < results; i++)
		if (place[i] == reg)
			return true;
	return false;
}

/* All registers that are no results are what they were. */
static void compare(const struct call *call, uint32_t function, const struct row *row,
		    const struct registers *in, const struct registers *out, unsigned results)
{
	static const char *const names[GENERAL] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
						   "R8",  "R9",	 "R10", "R11", "R12", "R13", "R14", "R15"};

	checks++;
	for (unsigned i = 0; i < GENERAL; i++)
		if (!is_result(i, results) && out->general[i] != in->general[i])
			complain(call, function, row, names[i], out->general[i], in->general[i]);
	for (unsigned i = 0; i < SYSTEM_REGISTERS; i++)
		if (read_msr(system_registers[i].msr) != SYSTEM_MARK + i)
			complain(call, function, row, system_registers[i].name,
				 read_msr(system_registers[i].msr), SYSTEM_MARK + i);
	if (out->flags != in->flags)
		complain(call, function, row, "RFLAGS", out->flags, in->flags);
}

/* Negative codes in the width of the form. */
static uint64_t in_form(uint32_t function, int64_t value)
{
	return function & SMCCC_64 ? (uint64_t)value : (uint32_t)value;
}

static uint64_t expected_x0(const struct call *call, uint32_t function, const struct row *row)
{
	if (call->family == FAMILY_FFA && row->expected < 0)
		return FFA_ERROR;
	if (call->family == FAMILY_FFA && !row->expected)
		return FFA_SUCCESS_32;
	return in_form(function, row->expected);
}

static void judge_results(const struct call *call, uint32_t function, const struct row *row,
			  const uint64_t x[8])
{
	static const char *const names[] = {"x1", "x2", "x3"};
	const uint64_t wanted = expected_x0(call, function, row);

	checks++;
	if (row->flags & ROW_VALUE ? (int64_t)(function & SMCCC_64 ? x[0] : (uint64_t)(int32_t)x[0]) < 0
				   : x[0] != wanted)
		complain(call, function, row, "x0", x[0], wanted);
	if (call->family == FAMILY_FFA && row->expected < 0 && x[2] != in_form(function, row->expected))
		complain(call, function, row, "the code in x2", x[2], in_form(function, row->expected));
	if (row->flags & ROW_COMPARE)
		for (unsigned i = 0; i < 3; i++)
			if (x[i + 1] != row->result[i])
				complain(call, function, row, names[i], x[i + 1], row->result[i]);
}

static void call_row(const struct call *call, uint32_t function, const struct row *row, uint64_t flags,
		     uint64_t x[8])
{
	const bool narrow = !(function & SMCCC_64);
	const uint64_t wanted = expected_x0(call, function, row);
	struct registers in, out;
	uint32_t tries = 0;

	mark(&in, function, row->x, narrow ? DIRT : 0, flags);
	do {
		if (row->before)
			row->before(row->x[0]);
		call_with_registers(&in, &out);
	} while ((row->flags & ROW_PATIENT && (int32_t)out.general[place[2]] == FFA_RETRY) ||
		 (row->before && out.general[place[0]] != wanted && ++tries < TRIES));
	for (unsigned i = 0; i < 8; i++)
		x[i] = out.general[place[i]];
	compare(call, function, row, &in, &out, row->expected < 0 ? call->of_errors : call->results);
	judge_results(call, function, row, x);
}

void check_row(const struct call *call, uint32_t form, const struct row *row, uint64_t x[8])
{
	const uint32_t function = call->function | form;
	uint64_t other[8];

	call_row(call, function, row, FLAGS_MARK, x ? x : other);
	if (!(row->flags & ROW_ONCE))
		call_row(call, function | SMCCC_HINT, row, 0, other);
	tell_outcome(call, function, row);
}

void check_unknown(const char *name, const char *what, uint32_t function)
{
	static const struct row row = {.what = "unknown", .x = {DIRT | 1, 2, 3, 4, 5, 6, 7}};
	struct registers in, out;
	const struct call call = {.name = name};

	mark(&in, function, row.x, 0, FLAGS_MARK);
	call_with_registers(&in, &out);
	compare(&call, function, &row, &in, &out, 1);
	expect(what, out.general[place[0]], UINT64_MAX); /* in both forms */
}

/* A yielding call, and each of the bits that are zero. */
static void check_reserved_bits(const struct call *call)
{
	const uint32_t function = call->function;

	check_unknown(call->name, "a call that is not fast", function & ~SMCCC_FAST);
	for (unsigned bit = 17; bit <= 23; bit++)
		check_unknown(call->name, "a reserved bit of the identifier", function | 1u << bit);
	tell_call(call->name, function, "reserved bits of the identifier", "-1 NOT_SUPPORTED");
}

static void check_form(const struct call *call, uint32_t form)
{
	for (size_t i = 0; i < call->count; i++)
		if (form || !(call->rows[i].flags & ROW_ONLY_64))
			check_row(call, form, &call->rows[i], NULL);
}

void check_call(const struct call *call)
{
	const uint32_t base = call->function & ~SMCCC_64;

	if (call->forms & FORM_32)
		check_form(call, 0);
	if (call->forms & FORM_64)
		check_form(call, SMCCC_64);
	if (call->forms != FORM_BOTH) {
		const uint32_t other = call->forms == FORM_32 ? base | SMCCC_64 : base;

		check_unknown(call->name, "a form that is not there", other);
		tell_call(call->name, other, "a form that is not there", "-1 NOT_SUPPORTED");
	}
	check_reserved_bits(call);
}

void check_calls(const struct call *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		check_call(&calls[i]);
}
