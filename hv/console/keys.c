/*
 * The state machine of the console keys: one bit of state.
 */
#include "hv/console/keys.h"

struct key key_feed(struct key_state *state, uint8_t byte)
{
	if (!state->prefixed) {
		state->prefixed = byte == KEY_PREFIX;
		return (struct key){.kind = state->prefixed ? KEY_NOTHING : KEY_BYTE, .byte = byte};
	}
	state->prefixed = false;
	if (byte >= '0' && byte <= '9')
		return (struct key){.kind = KEY_OWNER, .owner = byte - (uint32_t)'0'};
	switch (byte) {
	case KEY_PREFIX: return (struct key){.kind = KEY_BYTE, .byte = KEY_PREFIX};
	case 'x': return (struct key){.kind = KEY_POWER_OFF};
	case '?': return (struct key){.kind = KEY_HELP};
	default: return (struct key){.kind = KEY_UNKNOWN, .byte = byte};
	}
}
