/*
 * The report: what happened, where, the registers, and who called whom, on every output there is. The other
 * CPUs are stopped first. One CPU reports; whoever else gets here stops. A mistake within the report is named
 * shortly.
 */
#include <stdarg.h>

#include "arch/x86/entry.h"
#include "arch/x86/machine.h"
#include "arch/x86/machine_events.h"
#include "arch/x86/paging.h"
#include "arch/x86/panic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/poweroff.h"
#include "hv/console/console.h"
#include "hv/lib/log.h"
#include "hv/lib/printf.h"
#include "hv/symbols.h"

#define MESSAGE_SIZE	 192
#define BACKTRACE_DEPTH	 24
#define BOOT_STACK_LIMIT (64 * KIB) /* of the loader's stack, at most this much is searched for frames */

#define OUR_MISTAKE "This is a mistake in Bulkhead"

/* Page-fault error code (SDM 3A figure 4-12). */
#define FAULT_PRESENT  (1u << 0)
#define FAULT_WRITE    (1u << 1)
#define FAULT_RESERVED (1u << 3)
#define FAULT_FETCH    (1u << 4)

static const char *const exception_names[] = {
	"division error",
	"debug exception",
	"NMI",
	"breakpoint",
	"overflow",
	"bound range exceeded",
	"undefined instruction",
	"no FPU",
	"double fault",
	"coprocessor overrun",
	"invalid TSS",
	"segment not present",
	"stack segment fault",
	"general protection",
	"page fault",
	"reserved exception 15",
	"FPU error",
	"alignment check",
	"machine check",
	"SIMD error",
	"virtualisation exception",
	"control protection",
};

static const char *exception_name(uint64_t vector)
{
	return vector < ARRAY_SIZE(exception_names) ? exception_names[vector] : "reserved exception";
}

/* Volatile, or the compiler reads it before it asks whether it is mapped: to it, this_cpu is an object like
 * any other. */
static uint32_t current_cpu(void)
{
	return percpu_mapped ? *(const volatile uint32_t *)&this_cpu->index : 0;
}

/* Where the backtrace may read: the stack this CPU is on. */
static bool on_stack(uint64_t address)
{
	uint64_t stack = STACK_TOP - STACK_PAGES * PAGE_SIZE;
	uint64_t fault_stack = FAULT_STACK_TOP - FAULT_STACK_PAGES * PAGE_SIZE;

	if (address % sizeof(uint64_t))
		return false;
	if (!percpu_mapped)
		return address < boot_stack && boot_stack - address <= BOOT_STACK_LIMIT;
	return (address >= stack && address < STACK_TOP) ||
	       (address >= fault_stack && address < FAULT_STACK_TOP);
}

/* `inside` is the address whose function is named: a call may be the last instruction of its function. */
static void report_place(const char *what, uint64_t address, uint64_t inside)
{
	char name[SYMBOL_NAME];
	uint64_t offset;

	if (symbol_find(inside, name, &offset))
		log_error("  %s %016lx %s+0x%lx", what, address, name, offset + (address - inside));
	else
		log_error("  %s %016lx (%s)", what, address, paging_region(address));
}

static void report_caller(uint64_t return_address)
{
	report_place("from", return_address, return_address - 1);
}

/* Frames are chained through RBP: the caller's RBP, then the return address. A recursion is shown once, and
 * counted. */
static void report_backtrace(uint64_t frame)
{
	uint64_t before = 0, repeated = 0;

	for (unsigned depth = 0; depth < BACKTRACE_DEPTH; frame = *(const uint64_t *)frame) {
		const uint64_t *at = (const uint64_t *)frame;

		if (!on_stack(frame) || !on_stack(frame + sizeof(uint64_t)) || !at[1])
			break;
		if (at[1] == before) {
			repeated++;
		} else {
			if (repeated)
				log_error("       (%lu times more)", repeated);
			repeated = 0;
			before = at[1];
			report_caller(before);
			depth++;
		}
		if (at[0] <= frame)
			break;
	}
}

/* Before its first instruction a function has no frame yet: the return address is on top of the stack. */
static void report_callers(const struct exception_frame *frame)
{
	char name[SYMBOL_NAME];
	uint64_t offset;

	if (symbol_find(frame->rip, name, &offset) && offset == 0 && on_stack(frame->rsp))
		report_caller(*(const uint64_t *)frame->rsp);
	report_backtrace(frame->rbp);
}

static const char *access_name(uint64_t error)
{
	if (error & FAULT_FETCH)
		return "execution of";
	return error & FAULT_WRITE ? "write to" : "read of";
}

static const char *protection_name(uint64_t error)
{
	if (error & FAULT_RESERVED)
		return "malformed page-table entry for";
	if (!(error & FAULT_PRESENT))
		return "unmapped";
	if (error & FAULT_FETCH)
		return "not executable";
	return error & FAULT_WRITE ? "read-only" : "protected";
}

static void describe_cause(const struct exception_frame *frame, char *out, size_t size)
{
	const char *name = exception_name(frame->vector);
	uint64_t address = read_cr2();

	if (frame->vector == VECTOR_PF)
		format(out, size, "%s: %s %s 0x%lx, %s", name, access_name(frame->error),
		       protection_name(frame->error), address, paging_region(address));
	else if (frame->vector == VECTOR_DF && !on_stack(frame->rsp - sizeof(uint64_t)))
		format(out, size, "%s: stack overflow at 0x%lx, %s", name, frame->rsp,
		       paging_region(frame->rsp - 1));
	else if (frame->error)
		format(out, size, "%s, error code 0x%lx", name, frame->error);
	else
		format(out, size, "%s", name);
}

static void report_registers(const struct exception_frame *f)
{
	log_error("  rax %016lx rbx %016lx rcx %016lx rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
	log_error("  rsi %016lx rdi %016lx rbp %016lx rsp %016lx", f->rsi, f->rdi, f->rbp, f->rsp);
	log_error("  r8  %016lx r9  %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10, f->r11);
	log_error("  r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14, f->r15);
	log_error("  rflags %lx cs %lx ss %lx vector %lu error %lx", f->rflags, f->cs, f->ss, f->vector,
		  f->error);
}

static void report_control_registers(void)
{
	log_error("  cr0 %lx cr2 %lx cr3 %lx cr4 %lx", read_cr0(), read_cr2(), read_cr3(), read_cr4());
}

/* True for the one CPU that reports. A second time on the same CPU is a mistake within the report. */
static bool begin_report(const char *message)
{
	static _Atomic uint32_t reporter; /* CPU index + 1 */
	static bool again;
	uint32_t me = current_cpu() + 1, nobody = 0;

	if (atomic_compare_exchange_strong(&reporter, &nobody, me)) {
		machine_stop_others();
		console_synchronous();
		log_error("PANIC on CPU %u: %s", me - 1, message);
		return true;
	}
	if (nobody == me && !again) {
		again = true;
		console_synchronous();
		log_error("another mistake within the report: %s", message);
	}
	return false;
}

static NORETURN void end_report(const char *blame)
{
	log_error("%s. The machine is stopped: note the lines above, then switch it off.", blame);
	cpu_halt();
}

void exception_handler(const struct exception_frame *frame)
{
	char message[MESSAGE_SIZE];

	if (frame->vector == VECTOR_MC && percpu_mapped && machine_check_note())
		return;
	machine_abandon_firmware();
	describe_cause(frame, message, sizeof(message));
	if (!begin_report(message))
		cpu_halt();
	report_place("at  ", frame->rip, frame->rip);
	report_callers(frame);
	report_registers(frame);
	report_control_registers();
	if (frame->vector == VECTOR_MC) {
		machine_check_tell();
		end_report("The machine's hardware has failed");
	}
	end_report(OUR_MISTAKE);
}

void panic(const char *text, ...)
{
	char message[MESSAGE_SIZE];
	va_list arguments;

	va_start(arguments, text);
	format_v(message, sizeof(message), text, arguments);
	va_end(arguments);
	if (!begin_report(message))
		cpu_halt();
	report_backtrace((uint64_t)__builtin_frame_address(0));
	report_control_registers();
	end_report(OUR_MISTAKE);
}
