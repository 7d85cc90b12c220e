/*
 * The console keys: Ctrl-] and one more. All other bytes pass. Ctrl-A and Ctrl-B would collide with QEMU,
 * screen and tmux. Pure.
 */
#pragma once

#include "hv/lib/types.h"

#define KEY_PREFIX 0x1D /* Ctrl-] */

enum key_kind {
	KEY_NOTHING, /* the prefix: more is to come */
	KEY_BYTE,    /* `byte` for the owner of the keyboard */
	KEY_OWNER,   /* the keyboard goes to `owner`: 0 the monitor, 1..9 a partition */
	KEY_POWER_OFF,
	KEY_HELP,
	KEY_UNKNOWN /* `byte` has no meaning after the prefix */
};

struct key {
	enum key_kind kind;
	uint8_t byte;
	uint32_t owner;
};

struct key_state {
	bool prefixed;
};

struct key key_feed(struct key_state *state, uint8_t byte);
