/*
 * The one FF-A call of the first tiers: FFA_CONSOLE_LOG (Arm DEN0077A), a guest's words before it
 * has a console ring. FF-A answers with another call's identifier: FFA_SUCCESS, or FFA_ERROR with the code in
 * x2.
 */
#include <bulkhead/abi.h>

#include "hv/call/call.h"
#include "hv/console/console.h"
#include "hv/lib/string.h"

#define LOG_REGISTERS 6 /* x2..x7 */
#define LOG_BYTES_MAX (LOG_REGISTERS * sizeof(uint64_t))

static enum exit_action ffa_success(struct call_results *out)
{
	*out = (struct call_results){.x0 = FFA_SUCCESS_32, .count = 4};
	return EXIT_NEXT;
}

/* `done`: how much of it was carried out all the same. */
static enum exit_action ffa_error(struct call_results *out, int32_t code, size_t done)
{
	*out = (struct call_results){.x0 = FFA_ERROR, .x2 = (uint64_t)(int64_t)code, .x3 = done, .count = 4};
	return EXIT_NEXT;
}

static enum exit_action console_log(struct vcpu *vcpu, const struct call_arguments *in,
				    struct call_results *out)
{
	const union guest_registers *regs = &vcpu->regs;
	const uint64_t words[LOG_REGISTERS] = {in->x2, in->x3, regs->r8, regs->r9, regs->r10, regs->r11};
	size_t width = in->function & SMCCC_64 ? sizeof(uint64_t) : sizeof(uint32_t);
	uint8_t text[LOG_BYTES_MAX];
	size_t taken = 0;

	if (in->x1 == 0 || in->x1 > LOG_REGISTERS * width)
		return ffa_error(out, FFA_INVALID_PARAMETERS, 0);
	for (size_t i = 0; i < LOG_REGISTERS; i++)
		memcpy(text + i * width, &words[i], width);
	if (vendor_console_settle(vcpu->partition)) /* what was written to the ring earlier is read earlier */
		taken = console_write(vcpu->partition, text, in->x1);
	return taken == in->x1 ? ffa_success(out) : ffa_error(out, FFA_RETRY, taken);
}

#define FFA_FIRST CALL_NUMBER(FFA_CONSOLE_LOG_32)
static const struct call_row ffa_rows[] = {
	[CALL_NUMBER(FFA_CONSOLE_LOG_32) - FFA_FIRST] = {console_log, CALL_BOTH, false},
};
const struct call_service ffa_service = {FFA_FIRST, ARRAY_SIZE(ffa_rows), ffa_rows};
