/*
 * The neutral exits that need no device: MSRs, XSETBV, interrupt delivery, and the end of a guest that went
 * too far. CPUID, ports, memory and hypercalls have files of their own.
 */
#include <bulkhead/abi.h>

#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "arch/x86/percpu.h"
#include "hv/call/call.h"
#include "hv/core/cpuid.h"
#include "hv/core/exit.h"
#include "hv/core/msr_constants.h"
#include "hv/core/partition.h"
#include "hv/core/virt.h"
#include "hv/device/full.h"
#include "hv/lib/log.h"
#include "hv/lib/printf.h"

#define EXIT_CLASS_TEXT(name, text) text,
const char *exit_class_name(unsigned exit_class)
{
	static const char *const names[] = {BH_EXIT_CLASS_LIST(EXIT_CLASS_TEXT)};

	return exit_class < ARRAY_SIZE(names) ? names[exit_class] : "unknown";
}

/*
 * MSRs: the local APIC's and the like first, then what is only there to be read. All others, and all not
 * trapped here, get #GP.
 */

static void set_edx_eax(struct vcpu *vcpu, uint64_t value)
{
	vcpu->regs.rax = (uint32_t)value;
	vcpu->regs.rdx = value >> 32;
}

static uint64_t edx_eax(const struct vcpu *vcpu)
{
	return vcpu->regs.rdx << 32 | (uint32_t)vcpu->regs.rax;
}

enum exit_action exit_msr_read(struct vcpu *vcpu)
{
	uint32_t index = (uint32_t)vcpu->regs.rcx;
	uint64_t value;

	if (index == MSR_APIC_BASE) {
		set_edx_eax(vcpu, vcpu->apic_base);
		return EXIT_NEXT;
	}
	if (vcpu->lapic && full_msr_read(vcpu, index, &value)) {
		set_edx_eax(vcpu, value);
		return EXIT_NEXT;
	}
	if (!msr_constant_read(index, &value))
		return EXIT_GP;
	set_edx_eax(vcpu, value);
	return EXIT_NEXT;
}

enum exit_action exit_msr_write(struct vcpu *vcpu)
{
	uint32_t index = (uint32_t)vcpu->regs.rcx;

	if (vcpu->lapic && full_msr_write(vcpu, index, edx_eax(vcpu)))
		return EXIT_NEXT;
	return msr_constant_write(index, edx_eax(vcpu)) ? EXIT_NEXT : EXIT_GP;
}

/*
 * XSETBV (SDM 1, 13.3): x87 always, AVX only with SSE, the three AVX-512 parts together, nothing the CPU
 * lacks or we hide.
 */
static bool xcr0_valid(uint64_t value)
{
	if (value & ~xcr0_offered || !(value & XCR0_X87))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	if ((value & XCR0_AVX512) && ((value & XCR0_AVX512) != XCR0_AVX512 || !(value & XCR0_AVX)))
		return false;
	return true;
}

enum exit_action exit_xsetbv(struct vcpu *vcpu)
{
	uint64_t value = edx_eax(vcpu);

	if ((uint32_t)vcpu->regs.rcx != 0 || !xcr0_valid(value))
		return EXIT_GP;
	xsetbv(0, value); /* the hypervisor has no use of its own for XCR0: the guest's stays in the CPU */
	vcpu->xcr0 = value;
	return EXIT_NEXT;
}

/*
 * CR8: bits 7:4 of the task priority (SDM 3A 10.8.6.1)
 */
#define CR8_PRIORITY	   0xFull
#define CR8_PRIORITY_SHIFT 4

uint64_t exit_cr8_read(struct vcpu *vcpu)
{
	return vcpu->lapic ? full_task_priority(vcpu) >> CR8_PRIORITY_SHIFT : 0;
}

enum exit_action exit_cr8_write(struct vcpu *vcpu, uint64_t value)
{
	if (value & ~CR8_PRIORITY)
		return EXIT_GP;
	if (vcpu->lapic)
		full_set_task_priority(vcpu, (uint8_t)(value << CR8_PRIORITY_SHIFT));
	return EXIT_NEXT;
}

void exit_host_interrupt(struct vcpu *vcpu)
{
	uint64_t begin = rdtsc();

	cpu_interrupt_window();
	pvtime_account(vcpu, rdtsc() - begin);
}

/*
 * Interrupts on their way in
 */

static inline void set_window(struct vcpu *vcpu, bool open)
{
	if (vcpu->window_open != open)
		virt->interrupt_window(vcpu, open);
}

static void inject_full(struct vcpu *vcpu)
{
	int vector = full_take_interrupt(vcpu);

	if (likely(vector >= 0))
		virt->inject_interrupt(vcpu, (uint8_t)vector);
	/* What is still due waits for the guest to open up; most often nothing is. */
	set_window(vcpu, full_peek_interrupt(vcpu) >= 0);
}

/* The CPU delivers the local APIC's; those of the 8259s come before, as they do where it does not. */
static void offer_pic(struct vcpu *vcpu)
{
	bool due = full_pic_due(vcpu);

	if (due && virt->can_interrupt(vcpu)) {
		const int vector = full_take_interrupt(vcpu);

		if (vector >= 0) /* another vCPU may have taken it away */
			virt->inject_interrupt(vcpu, (uint8_t)vector);
		due = full_pic_due(vcpu);
	}
	set_window(vcpu, due);
}

static void offer_full(struct vcpu *vcpu)
{
	bool due;

	if (vcpu->cpu_serves_apic) {
		full_attend(vcpu);
		if (likely(virt->serve_apic(vcpu))) {
			offer_pic(vcpu);
			return;
		}
	}
	due = full_peek_interrupt(vcpu) >= 0;
	if (due && virt->can_interrupt(vcpu))
		inject_full(vcpu);
	else
		set_window(vcpu, due);
}

static void offer_para(struct vcpu *vcpu)
{
	bool due = events_due(vcpu);

	if (due && virt->can_interrupt(vcpu)) {
		virt->inject_interrupt(vcpu, vcpu->upcall_vector);
		due = false; /* one upcall stands for all events up to now */
	}
	set_window(vcpu, due);
}

void vcpu_offer_interrupt(struct vcpu *vcpu)
{
	if (vcpu->lapic)
		offer_full(vcpu);
	else
		offer_para(vcpu);
}

/*
 * The end
 */

static void report_registers(struct vcpu *vcpu)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};
	uint64_t value[GENERAL_REGISTERS];

	for (unsigned i = 0; i < GENERAL_REGISTERS; i++)
		value[i] = i == RSP ? virt->get_register(vcpu, VIRT_RSP) : vcpu->regs.at[i];
	log_error("  rip %016llx rflags %08llx cr0 %08llx cr2 %016llx",
		  (unsigned long long)virt->get_register(vcpu, VIRT_RIP),
		  (unsigned long long)virt->get_register(vcpu, VIRT_RFLAGS),
		  (unsigned long long)virt->get_register(vcpu, VIRT_CR0),
		  (unsigned long long)virt->get_register(vcpu, VIRT_CR2));
	log_error("  cr3 %016llx cr4 %08llx efer %08llx",
		  (unsigned long long)virt->get_register(vcpu, VIRT_CR3),
		  (unsigned long long)virt->get_register(vcpu, VIRT_CR4),
		  (unsigned long long)virt->get_register(vcpu, VIRT_EFER));
	for (unsigned i = 0; i < GENERAL_REGISTERS; i += 4)
		log_error("  %s %016llx %s %016llx %s %016llx %s %016llx", names[i],
			  (unsigned long long)value[i], names[i + 1], (unsigned long long)value[i + 1],
			  names[i + 2], (unsigned long long)value[i + 2], names[i + 3],
			  (unsigned long long)value[i + 3]);
}

static void report_segments(struct vcpu *vcpu)
{
	static const char *const names[] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};

	for (unsigned i = 0; i < SEGMENTS; i += 2) {
		struct segment a, b;

		virt->get_segment(vcpu, i, &a);
		virt->get_segment(vcpu, i + 1, &b);
		log_error("  %-4s %04x base %llx limit %x access %x   %-4s %04x base %llx limit %x access %x",
			  names[i], a.selector, (unsigned long long)a.base, a.limit, a.access, names[i + 1],
			  b.selector, (unsigned long long)b.base, b.limit, b.access);
	}
}

/* Newest first, a run of the same exit at the same place told once. */
static void report_trace(struct vcpu *vcpu)
{
	for (unsigned i = 0; i < VCPU_TRACE;) {
		const struct trace_entry *entry = vcpu_past_exit(vcpu, i);
		unsigned run = 1;

		if (entry->reason == 0)
			return;
		while (i + run < VCPU_TRACE) {
			const struct trace_entry *next = vcpu_past_exit(vcpu, i + run);

			if (next->rip != entry->rip || next->reason != entry->reason)
				break;
			run++;
		}
		log_error("  exit -%u: %s (reason 0x%llx) at %llx, %u time%s", i,
			  exit_class_name((unsigned)(entry->reason & 0xFF)),
			  (unsigned long long)(entry->reason >> 8), (unsigned long long)entry->rip, run,
			  run == 1 ? "" : "s");
		i += run;
	}
}

static void fault_v(struct vcpu *vcpu, const char *text, va_list arguments)
{
	struct partition *partition = vcpu->partition;
	char reason[sizeof(partition->end_reason)], hardware[128];

	format_v(reason, sizeof(reason), text, arguments);
	if (partition_command(partition, ORDER_FAULT, reason))
		return; /* it is on its way out already, and was reported */
	virt->describe_exit(vcpu, hardware, sizeof(hardware));
	log_error("partition %s: vCPU %u on CPU %u: fault: %s", partition_name(partition),
		  vcpu->shared->index, this_cpu->index, reason);
	log_error("  last exit: %s", hardware);
	report_registers(vcpu);
	report_segments(vcpu);
	report_trace(vcpu);
}

void partition_fault(struct vcpu *vcpu, const char *text, ...)
{
	va_list arguments;

	va_start(arguments, text);
	fault_v(vcpu, text, arguments);
	va_end(arguments);
}

enum exit_action exit_fault(struct vcpu *vcpu, const char *text, ...)
{
	va_list arguments;

	va_start(arguments, text);
	fault_v(vcpu, text, arguments);
	va_end(arguments);
	return EXIT_LEAVE;
}
