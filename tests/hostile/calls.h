/*
 * What the para guest's attacks share: the other vCPU, which begins an attack and is waited for at its end.
 */
#pragma once

#include "hostile.h"

extern const struct attack sharing_attacks[];

/* What it runs returns soon after `race_ends` is set. */
bool second_begins(void (*entry)(void *context), void *context);
void second_ends(void);
extern volatile bool race_ends;
