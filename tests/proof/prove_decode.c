/* The decoder, on any bytes, any number of them, in any mode. */
#include "arch/x86/decode.h"
#include "tests/proof/proof.h"

static void decode_any(enum code_size code, size_t available)
{
	uint8_t bytes[INSTRUCTION_MAX], opcode[3];
	struct instruction instruction;

	any_bytes(bytes, sizeof(bytes));
	any_bytes(opcode, sizeof(opcode));
	(void)decode_mmio(bytes, available, code, &instruction);
	(void)decode_length(bytes, available, code, opcode, any_between(1, sizeof(opcode)));
}

void prove(void)
{
	/* Each length for itself: what is behind the last byte must never be read. */
	for (size_t available = 0; available <= INSTRUCTION_MAX; available++) {
		decode_any(CODE_16, available);
		decode_any(CODE_32, available);
		decode_any(CODE_64, available);
	}
}
