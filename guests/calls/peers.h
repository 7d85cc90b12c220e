/* Who stands in the config with `peers`, and what of FF-A is checked where. */
#pragma once

#include "table.h"

#define SELF	 1u
#define PEER	 2u /* pong: it may do all with this one */
#define MUTE	 3u /* its channel allows notifications only */
#define STRANGER 4u /* no channel */
#define NOBODY	 99u

/* memory.c: what there is to refuse before there are buffers; with peers: memory lent to pong, and memory of
 * pong's. */
void check_memory(void);
void check_owning(void);
void check_borrowing(uint64_t handle);
