/*
 * What the proofs are made of. Each tests/proof/prove_X.c has a function prove() that calls the code with
 * everything it could ever be given: Frama-C's Eva then follows all executions at once, and has to show for
 * every memory access, shift and signed operation on the way that it is defined.
 */
#pragma once

#include "hv/lib/types.h"

/* Frama-C's, from its share/libc. */
extern int Frama_C_interval(int low, int high);
extern unsigned long long Frama_C_unsigned_long_long_interval(unsigned long long low,
							      unsigned long long high);
extern void Frama_C_make_unknown(char *bytes, unsigned long size);

static inline uint64_t any_between(uint64_t low, uint64_t high)
{
	return Frama_C_unsigned_long_long_interval(low, high);
}

static inline bool any_bool(void)
{
	return Frama_C_interval(0, 1);
}

static inline void any_bytes(void *bytes, size_t size)
{
	Frama_C_make_unknown(bytes, size);
}

void prove(void);
