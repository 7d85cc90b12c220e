/*
 * What an instruction computes of a device register and its other operand, with the flags the CPU would set.
 * Pure: the exit reads and writes.
 */
#pragma once

#include "arch/x86/decode.h"

/*
 * `memory` is what the register holds, `source` the register or value of the instruction; bits above the
 * instruction's size are ignored. Returns the result in that size. `flags` is RFLAGS, changed as SDM 1,
 * 3.4.3.1 and the instruction's page in SDM 2 say; where they leave a flag undefined it is as after a logic
 * operation (AF clear), or as it was (BT and its kin).
 */
uint64_t arithmetic(const struct instruction *instruction, uint64_t memory, uint64_t source, uint64_t *flags);

/* False: it sets flags only. */
bool arithmetic_stores(unsigned operation);
