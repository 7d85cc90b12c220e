/*
 * The table of calls: for each the forms it has, and rows of arguments with what must come back. Every row is
 * called in each form, with all registers marked, and leaves one line on the console:
 *
 *     call 84000004 AFFINITY_INFO, level 1: -2 INVALID_PARAMETERS
 *
 * What is not as it must be is told in lines of their own, "calls: wrong: ...".
 */
#pragma once

#include "../lib/internal.h"

enum form { FORM_32 = 1, FORM_64 = 2, FORM_BOTH = 3 };

/* Whose codes a call answers with. FFA: x0 is FFA_SUCCESS, or FFA_ERROR with the code in x2. */
enum family { FAMILY_SMCCC, FAMILY_PSCI, FAMILY_TRNG, FAMILY_FFA };

enum row_flag {
	ROW_ONCE =
		1, /* a second time something else comes: no repetition with other flags and the hint bit */
	ROW_VALUE = 2,	 /* any value that is no error */
	ROW_ONLY_64 = 4, /* not in the 32-bit form: it needs more than 32 bits */
	ROW_COMPARE = 8, /* `result` too */
	ROW_PATIENT = 16 /* FFA_RETRY: again */
};

struct row {
	const char *what;   /* in words */
	uint64_t x[7];	    /* x1 to x7 */
	int64_t expected;   /* x0; FFA: 0 or the code. Codes are negative. */
	unsigned flags;	    /* enum row_flag */
	uint64_t result[3]; /* x1 to x3, with ROW_COMPARE */
	/* Brings a moment about that may be over when the call comes: then both again. Called with x1. */
	void (*before)(uint64_t id);
};

struct call {
	const char *name;
	uint32_t function; /* without SMCCC_64 where it has both forms */
	enum form forms;
	enum family family;
	unsigned results;   /* how many registers, from x0, are results of success, */
	unsigned of_errors; /* and of an error */
	const struct row *rows;
	size_t count;
};

#define ROWS(rows) rows, sizeof(rows) / sizeof((rows)[0])

/* A page that is no partition's memory, in both forms. */
#define OUTSIDE 0xFFFFF000u
#define PAGE	4096u

/* All rows, the form that is not there, and identifiers with reserved bits. */
void check_call(const struct call *call);
void check_calls(const struct call *calls, size_t count);

/* One more row of a call, in one form (SMCCC_64 or 0), for what must be done at one certain moment. x0 to x7
 * in `x` if not NULL. */
void check_row(const struct call *call, uint32_t form, const struct row *row, uint64_t x[8]);

#define CHECK_ROW(call, form, words, code, row_flags, ...)                                                   \
	check_row(call, form,                                                                                \
		  &(const struct row){                                                                       \
			  .what = words, .expected = code, .flags = row_flags, .x = {__VA_ARGS__}},          \
		  NULL)

/* An identifier that nobody knows: -1, and nothing else changes. */
void check_unknown(const char *name, const char *what, uint32_t function);

/* What is no call. */
void check(bool right, const char *what);
void expect(const char *what, uint64_t found, uint64_t expected);

/* A line for a call that cannot come back; what follows proves it. */
void tell_call(const char *name, uint32_t function, const char *what, const char *outcome);

extern uint32_t checks, wrong;

/* What the config gives, by the command line. */
struct given {
	bool manage, peers, second;
};
extern struct given given;
extern uint64_t memory_size;
extern uint32_t tsc_khz;

/* Sections, in their order. */
void check_discovery(void);
void check_psci(void);
void check_vendor(void);
void check_manage(void);
void check_ffa(void);

/* manage.c: sleeps until no order to the partition is under way, and it is in this state. */
void wait_until(uint32_t id, uint8_t state);
