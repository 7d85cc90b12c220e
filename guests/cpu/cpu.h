/*
 * What the CPU checks share: code run under a net, and what the net caught (probes.asm).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define NO_EXCEPTION 0xFFu
#define VECTOR_DB    1u
#define VECTOR_NMI   2u
#define VECTOR_UD    6u
#define VECTOR_GP    13u
#define VECTOR_PF    14u

struct caught {
	uint64_t vector, error, rip, count, recover;
	uint64_t steps[16]; /* RIP of each exception */
};
extern struct caught caught;

/* The entries of its net, one for each exception. */
void catch_de(void), catch_db(void), catch_nmi(void), catch_bp(void), catch_ud(void), catch_nm(void),
	catch_df(void), catch_ts(void), catch_np(void), catch_ss(void), catch_gp(void), catch_pf(void),
	catch_mf(void), catch_ac(void);

typedef void attempted(void);
uint64_t attempt(attempted *code); /* exceptions raised: 0 or 1 */

/* Count a check, and tell of it in a line when it is wrong. */
void expect(const char *what, uint64_t found, uint64_t expected);
void expect_vector(const char *what, attempted *code, uint64_t vector);

/* The platform's own: full has ports and NMIs. */
void check_platform(void);
/* CR8 as the platform has it: a task priority, or a register of no effect. */
extern const bool cr8_is_priority;
