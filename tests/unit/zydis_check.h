/*
 * Our decoder against Zydis, an independent one: for any bytes, either both know the instruction and agree on
 * all that struct instruction says, or ours does not take it. For unit tests and fuzzers.
 */
#pragma once

#include "arch/x86/decode.h"

/* NULL: they agree; else what they disagree on. */
const char *zydis_check(const uint8_t *bytes, size_t size, enum code_size code);
