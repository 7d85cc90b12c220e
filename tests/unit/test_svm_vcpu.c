/*
 * SVM without VMRUN: the VMCB of a vCPU in each of its start states, which the entry auditor must find
 * nothing in; events on their way into the guest; and the last exit in words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/apic.h"
#include "arch/x86/guest_state.h"
#include "arch/x86/percpu.h"
#include "arch/x86/svm/svm.h"
#include "hv/core/partition.h"
#include "hv/lib/log.h"
#include "hv/mem/pool.h"
#include "tests/unit/fake_cpu.h"

#define NEXT_RIP_SAVE (1u << 3)
#define POOL_PAGES    7u /* VMCB, host page, maps of ports and MSRs */
#define TRAP	      RFLAGS_TF

struct cpu_info cpus[2] = {{.apic_id = 7}, {.apic_id = 9}};
struct percpu this_cpu[1] = {{.index = 1}};

static unsigned pages_left, states_wiped, findings;
static char told[1024];
static uint64_t task_priority;
static unsigned kicks;
static struct partition_config config = {.name = "alpha"};
static struct partition partition = {.config = &config};
static struct vcpu_shared shared;
static struct vcpu vcpu;

void log_line(enum log_level level, const char *text, ...)
{
	va_list arguments;

	(void)level;
	va_start(arguments, text);
	vsnprintf(told, sizeof(told), text, arguments);
	va_end(arguments);
}

void *pool_allocate(size_t pages)
{
	static void *kept[64]; /* of vCPUs of former tests, and the maps that all share */
	static unsigned count;

	if (pages > pages_left || count == ARRAY_SIZE(kept))
		return NULL;
	pages_left -= (unsigned)pages;
	kept[count] = calloc(pages, PAGE_SIZE);
	return kept[count++];
}

void pool_release(void *address, size_t pages)
{
	(void)address;
	pages_left += (unsigned)pages;
}

hpa_t pool_address(const void *address)
{
	static uint64_t next;

	(void)address;
	next += PAGE_SIZE;
	return hpa(next);
}

void apic_kick(uint32_t apic_id)
{
	assert_int_equal(apic_id, cpus[1].apic_id);
	kicks++;
}

void guest_state_reset(struct vcpu *which)
{
	states_wiped++;
	which->xcr0 = XCR0_X87;
}

void svm_restore_host(struct vcpu *which)
{
	svm_state(which)->guest_loaded = false;
	svm_vmcb(which)->control.tlb_control = 0;
}

unsigned svm_audit_vcpu(struct vcpu *which)
{
	const struct svm_capabilities capabilities = {
		.physical_bits = 40, .linear_bits = 48, .asids = 16, .cr4_defined = CR4_PAE | CR4_OSXSAVE};
	unsigned broken = svm_audit(svm_vmcb(which), &capabilities, entry_audit_log, which);

	findings += broken;
	return broken;
}

uint64_t exit_cr8_read(struct vcpu *which)
{
	(void)which;
	return task_priority;
}

enum exit_action exit_cr8_write(struct vcpu *which, uint64_t value)
{
	(void)which;
	task_priority = value;
	return EXIT_NEXT;
}

static struct vmcb_control *control(void)
{
	return &svm_vmcb(&vcpu)->control;
}

static struct vmcb_save *save(void)
{
	return &svm_vmcb(&vcpu)->save;
}

static void start(struct vcpu_start how)
{
	memset(&vcpu.regs, 0xAA, sizeof(vcpu.regs));
	svm_vcpu_reset(&vcpu, &how);
	if (findings)
		fail_msg("the auditor found: %s", told);
}

static int set_up(void **state)
{
	(void)state;
	fake_cpu_reset();
	vcpu = (struct vcpu){.partition = &partition, .shared = &shared};
	pages_left = POOL_PAGES;
	findings = states_wiped = kicks = 0;
	task_priority = 0;
	atomic_store(&shared.requests, 0);
	partition.guest_map.root = hpa(0x123000);
	fake_cpu_leaf(1, 0, (struct cpuid_result){.eax = 0x00A20F10});
	assert_int_equal(svm_vcpu_create(&vcpu), OK);
	start((struct vcpu_start){.kind = START_LONG, .entry = 0x1000, .context = 77, .cr3 = 0x3000});
	return 0;
}

/*
 * Start states
 */

static void test_long(void **state)
{
	struct code_state code;

	(void)state;
	assert_int_equal(vcpu.regs.rdi, 77);
	assert_int_equal(vcpu.regs.rax, 77);
	assert_int_equal(vcpu.regs.rbx, 0); /* nothing of a former guest */
	assert_int_equal(states_wiped, 1);
	svm_get_code(&vcpu, &code);
	assert_int_equal(code.rip, 0x1000);
	assert_int_equal(code.cr3, 0x3000);
	assert_int_equal(code.code, CODE_64);
	assert_true(code.long_mode);
	assert_int_equal(control()->nested_cr3, 0x123000);
	assert_int_not_equal(control()->asid, 0);
}

static void test_protected(void **state)
{
	(void)state;
	start((struct vcpu_start){.kind = START_PROTECTED, .entry = 0x100000, .context = 0x5000});
	assert_int_equal(vcpu.regs.rax, 0x2BADB002);
	assert_int_equal(vcpu.regs.rbx, 0x5000);
	assert_int_equal(svm_get_register(&vcpu, VIRT_CR0) & (CR0_PE | CR0_PG), CR0_PE);
	assert_int_equal(svm_get_register(&vcpu, VIRT_RFLAGS), RFLAGS_RESERVED);
}

/* The 64-bit boot protocol: a GDT of the loader's, RSI to the parameters. */
static void test_linux(void **state)
{
	(void)state;
	start((struct vcpu_start){
		.kind = START_LINUX, .entry = 0x1000200, .context = 0x7000, .cr3 = 0x9000, .gdt = 0x6000});
	assert_int_equal(vcpu.regs.rsi, 0x7000);
	assert_int_equal(vcpu.regs.rdi | vcpu.regs.rax, 0);
	assert_int_equal(save()->gdtr.base, 0x6000);
	assert_int_equal(save()->gdtr.limit, START_LINUX_GDT_SIZE - 1);
	assert_int_equal(save()->cs.selector, 0x10);
	assert_int_equal(save()->ss.selector, 0x18);
}

static void test_real(void **state)
{
	struct segment cs;

	(void)state;
	start((struct vcpu_start){.kind = START_REAL, .entry = 0x9A});
	svm_get_segment(&vcpu, SEGMENT_CS, &cs);
	assert_int_equal(cs.selector, 0x9A00);
	assert_int_equal(cs.base, 0x9A000);
	assert_int_equal(svm_get_register(&vcpu, VIRT_RIP), 0);
	assert_int_equal(svm_get_register(&vcpu, VIRT_CR0), CR0_ET);
	assert_int_equal(vcpu.regs.rdx, 0x00A20F10);
}

/* A start after a life: no event, window or block of that life is left. */
static void test_nothing_is_left(void **state)
{
	(void)state;
	svm_inject_nmi(&vcpu);
	svm_interrupt_window(&vcpu, true);
	svm_step(&vcpu, STEP_SHADOW);
	start((struct vcpu_start){.kind = START_REAL});
	assert_int_equal(control()->event & EVENT_VALID, 0);
	assert_int_equal(control()->virtual_interrupt, VIRTUAL_MASKING);
	assert_int_equal(control()->intercept_instruction & (INTERCEPT_IRET | INTERCEPT_VINTR), 0);
	assert_false(svm_state(&vcpu)->nmi_blocked || svm_state(&vcpu)->step || vcpu.window_open);
}

static void test_svme_is_hidden(void **state)
{
	(void)state;
	assert_int_equal(svm_get_register(&vcpu, VIRT_EFER), EFER_LME | EFER_LMA);
	svm_set_register(&vcpu, VIRT_EFER, EFER_NXE);
	assert_int_equal(save()->efer, EFER_NXE | EFER_SVME);
	for (enum virt_register which = VIRT_RIP; which < VIRT_REGISTERS; which++) {
		svm_set_register(&vcpu, which, 0x100 + which);
		assert_int_equal(svm_get_register(&vcpu, which), 0x100 + which);
	}
}

static void test_pool_used_up(void **state)
{
	struct vcpu other = {.partition = &partition, .shared = &shared};

	(void)state;
	pages_left = 1;
	assert_int_equal(svm_vcpu_create(&other), ERR_NO_MEMORY);
	assert_int_equal(pages_left, 1); /* what it got was given back */
}

static void test_flush(void **state)
{
	(void)state;
	control()->tlb_control = 0;
	svm_state(&vcpu)->guest_loaded = true;
	svm_flush_guest_tlb(&vcpu);
	assert_int_equal(control()->tlb_control, 1);
	assert_false(svm_state(&vcpu)->guest_loaded);
}

/*
 * Events
 */

static void test_when_an_interrupt_can_be_taken(void **state)
{
	(void)state;
	assert_false(svm_can_interrupt(&vcpu)); /* IF = 0 */
	save()->rflags |= RFLAGS_IF;
	assert_true(svm_can_interrupt(&vcpu));
	control()->interrupt_shadow = SHADOW_ACTIVE;
	assert_false(svm_can_interrupt(&vcpu));
	svm_note_shadow(svm_state(&vcpu));
	control()->interrupt_shadow = 0; /* a CPU that forgets it */
	assert_false(svm_can_interrupt(&vcpu));
	save()->rip++;
	assert_true(svm_can_interrupt(&vcpu));
	svm_inject_interrupt(&vcpu, 0x31);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_INTERRUPT | 0x31);
	assert_false(svm_can_interrupt(&vcpu));
}

static void test_exception_with_error(void **state)
{
	(void)state;
	svm_inject_exception(&vcpu, VECTOR_PF, true, 6);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_VALID | VECTOR_PF);
	assert_int_equal(control()->event_error, 6);
	svm_inject_exception(&vcpu, VECTOR_UD, false, 0);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_EXCEPTION | VECTOR_UD);
}

/* A second NMI waits for the IRET of the first. */
static void test_nmis_do_not_nest(void **state)
{
	(void)state;
	svm_inject_nmi(&vcpu);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_NMI | VECTOR_NMI);
	control()->event = 0; /* it was taken */
	svm_inject_nmi(&vcpu);
	assert_int_equal(control()->event, 0);
	assert_true(control()->intercept_instruction & INTERCEPT_IRET);
	svm_step(&vcpu, STEP_IRET);
	svm_step_done(&vcpu);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_NMI | VECTOR_NMI);
}

static void take_event(void)
{
	control()->event = 0;
	atomic_store(&shared.requests, 0);
}

/* It loads RFLAGS. */
static void run_iret(void)
{
	save()->rflags &= ~TRAP;
	svm_step_done(&vcpu);
}

/* Host interrupts cut the step of an IRET short, and NMIs come with them: the IRET runs, and one NMI follows.
 */
static void test_nmi_before_the_iret_has_run(void **state)
{
	(void)state;
	svm_inject_nmi(&vcpu);
	take_event();
	svm_step(&vcpu, STEP_IRET);
	svm_inject_nmi(&vcpu);
	svm_inject_nmi(&vcpu);
	assert_false(control()->intercept_instruction & INTERCEPT_IRET);
	assert_int_equal(control()->event, 0);
	run_iret();
	assert_int_equal(control()->event, EVENT_VALID | EVENT_NMI | VECTOR_NMI);
	assert_true(control()->intercept_instruction & INTERCEPT_IRET);
	take_event();
	svm_step(&vcpu, STEP_IRET);
	run_iret();
	assert_int_equal(control()->event, 0);
	assert_false(atomic_load(&shared.requests) & REQUEST_NMI);
}

/* An event is delivered first. Not the end of its handler is waited for, which may never be. */
static void test_nmi_behind_an_event(void **state)
{
	(void)state;
	svm_inject_interrupt(&vcpu, 0x31);
	svm_inject_nmi(&vcpu);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_INTERRUPT | 0x31);
	assert_int_equal(atomic_load(&shared.requests), REQUEST_NMI);
	assert_int_equal(kicks, 1);
	assert_false(svm_state(&vcpu)->nmi_blocked);
	take_event();
	svm_inject_nmi(&vcpu);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_NMI | VECTOR_NMI);
}

static void test_nmi_in_a_step(void **state)
{
	(void)state;
	svm_step(&vcpu, STEP_SHADOW);
	svm_inject_nmi(&vcpu);
	assert_int_equal(control()->event, 0);
	assert_int_equal(atomic_load(&shared.requests), REQUEST_NMI);
	assert_int_equal(kicks, 0); /* the step comes back by itself */
	svm_step_done(&vcpu);
	assert_int_equal(atomic_load(&shared.requests), REQUEST_NMI | REQUEST_INTERRUPT);
}

static void test_window(void **state)
{
	(void)state;
	svm_interrupt_window(&vcpu, true);
	assert_true(control()->intercept_instruction & INTERCEPT_VINTR);
	assert_true(control()->virtual_interrupt & VIRTUAL_IRQ);
	svm_interrupt_window(&vcpu, false);
	assert_false(control()->intercept_instruction & INTERCEPT_VINTR);
	assert_int_equal(control()->virtual_interrupt, VIRTUAL_MASKING);
	svm_step(&vcpu, STEP_SHADOW);
	svm_interrupt_window(&vcpu, true); /* the end of the step offers it anew */
	assert_false(vcpu.window_open);
}

/* An exit cut a delivery short: hardware events are delivered anew, software ones run again. */
static void test_requeue(void **state)
{
	static const struct {
		uint32_t event;
		bool again;
	} rows[] = {{EVENT_VALID | EVENT_INTERRUPT | 0x40, true},
		    {EVENT_VALID | EVENT_NMI | 2, true},
		    {EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_VALID | VECTOR_PF, true},
		    {EVENT_VALID | EVENT_SOFTWARE | 0x80, false},
		    {EVENT_VALID | EVENT_EXCEPTION | VECTOR_BP, false},
		    {EVENT_VALID | EVENT_EXCEPTION | VECTOR_OF, false}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		control()->event = 0;
		control()->exit_event = rows[i].event;
		control()->exit_event_error = 9;
		svm_requeue_event(svm_vmcb(&vcpu));
		assert_int_equal(control()->event, rows[i].again ? rows[i].event : 0);
	}
}

/*
 * Single steps behind the guest's back
 */

static void test_step_leaves_no_trace(void **state)
{
	(void)state;
	svm_step(&vcpu, STEP_SHADOW);
	assert_true(save()->rflags & TRAP);
	save()->dr6 |= 1u << 14;
	svm_trap_after_instruction(&vcpu);
	assert_false(save()->rflags & TRAP);
	assert_false(save()->dr6 & 1u << 14);
	assert_int_equal(control()->event, 0);
	assert_true(atomic_load(&shared.requests) & REQUEST_INTERRUPT);
}

static void test_step_of_a_guest_that_steps_itself(void **state)
{
	(void)state;
	save()->rflags |= TRAP;
	svm_step(&vcpu, STEP_SHADOW);
	svm_step_done(&vcpu);
	assert_true(save()->rflags & TRAP);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB);
}

static void test_trap_of_a_skipped_instruction(void **state)
{
	(void)state;
	svm_trap_after_instruction(&vcpu);
	assert_true(save()->dr6 & 1u << 14);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_EXCEPTION | VECTOR_DB);
}

static void test_cr8_step(void **state)
{
	(void)state;
	task_priority = 5;
	svm_step(&vcpu, STEP_CR8);
	assert_int_equal(control()->virtual_interrupt & VIRTUAL_TPR, 5);
	assert_int_equal(control()->intercept_cr_write, 0);
	control()->virtual_interrupt = (control()->virtual_interrupt & ~VIRTUAL_TPR) | 9; /* MOV CR8 */
	svm_step_done(&vcpu);
	assert_int_equal(task_priority, 9);
	assert_int_equal(control()->intercept_cr_write, 1u << 8);
}

/* STI, MOV to CR8, and STI, IRET at the end of an NMI handler: the instruction behind has both reasons. */
static void test_steps_add_up(void **state)
{
	(void)state;
	svm_inject_nmi(&vcpu);
	take_event();
	task_priority = 5;
	svm_step(&vcpu, STEP_SHADOW);
	svm_step(&vcpu, STEP_CR8);
	assert_int_equal(control()->intercept_cr_write, 0);
	control()->virtual_interrupt = (control()->virtual_interrupt & ~VIRTUAL_TPR) | 15;
	svm_step_done(&vcpu);
	assert_int_equal(task_priority, 15);
	assert_false(save()->rflags & TRAP);
	svm_step(&vcpu, STEP_SHADOW);
	svm_step(&vcpu, STEP_IRET);
	assert_false(control()->intercept_instruction & INTERCEPT_IRET);
	svm_step_done(&vcpu);
	assert_false(svm_state(&vcpu)->nmi_blocked);
}

/* MOV SS, and an NMI before the MOV to RSP: the stack is neither the old nor the new one. */
static void test_nmi_in_a_shadow(void **state)
{
	(void)state;
	control()->interrupt_shadow = SHADOW_ACTIVE;
	svm_inject_nmi(&vcpu);
	assert_int_equal(control()->event, 0);
	assert_int_equal(svm_state(&vcpu)->step, STEP_SHADOW);
	assert_int_equal(atomic_load(&shared.requests), REQUEST_NMI);
	control()->interrupt_shadow = 0;
	svm_step_done(&vcpu);
	svm_inject_nmi(&vcpu);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_NMI | VECTOR_NMI);
}

/* SYSCALL has masked TF, and no trap comes. INT n does not get as far. */
static void test_step_without_a_trap(void **state)
{
	(void)state;
	save()->rflags |= RFLAGS_IF;
	svm_step(&vcpu, STEP_SHADOW);
	assert_false(svm_can_interrupt(&vcpu));
	save()->rflags &= ~TRAP;
	save()->rip++;
	assert_true(svm_can_interrupt(&vcpu));
	assert_int_equal(svm_state(&vcpu)->step, STEP_NONE);
	svm_step(&vcpu, STEP_SHADOW);
	assert_true(control()->intercept_instruction & INTERCEPT_INTN);
	svm_break_step(&vcpu);
	assert_false(control()->intercept_instruction & INTERCEPT_INTN);
	assert_false(save()->rflags & TRAP);
	assert_true(svm_can_interrupt(&vcpu));
}

/* The fault is delivered as if nobody had stepped, and its handler can be interrupted. */
static void test_fault_ends_a_step(void **state)
{
	const uint32_t intercepted = control()->intercept_exceptions;

	(void)state;
	svm_inject_nmi(&vcpu);
	take_event();
	svm_step(&vcpu, STEP_IRET);
	svm_step(&vcpu, STEP_CR8);
	assert_true(control()->intercept_exceptions & 1u << VECTOR_PF);
	svm_inject_exception(&vcpu, VECTOR_PF, true, 2);
	assert_int_equal(control()->event, EVENT_VALID | EVENT_EXCEPTION | EVENT_ERROR_VALID | VECTOR_PF);
	assert_int_equal(svm_state(&vcpu)->step, STEP_NONE);
	assert_false(save()->rflags & TRAP);
	assert_int_equal(control()->intercept_exceptions, intercepted);
	assert_int_equal(control()->intercept_cr_write, 1u << 8);
	assert_true(control()->intercept_instruction & INTERCEPT_IRET); /* the NMI's handler is not through */
	assert_true(svm_state(&vcpu)->nmi_blocked);
	assert_true(atomic_load(&shared.requests) & REQUEST_INTERRUPT);
}

/*
 * In words
 */

static void expect_words(uint64_t code, uint64_t info_1, uint64_t info_2, const char *words)
{
	char text[128];

	control()->exit_code = code;
	control()->exit_info_1 = info_1;
	control()->exit_info_2 = info_2;
	svm_describe_exit(&vcpu, text, sizeof(text));
	assert_string_equal(text, words);
}

static void test_words(void **state)
{
	char text[128];

	(void)state;
	control()->exit_event = 0;
	expect_words(VMEXIT_IO, 0x3F80000 | IO_IN | IO_REP | 1 << IO_SIZE_SHIFT, 0,
		     "IOIO (0x7b): rep in port 0x3f8, 1 bytes");
	expect_words(VMEXIT_MSR, 1, 0, "MSR (0x7c): write");
	expect_words(VMEXIT_NPF, NPF_WRITE, 0xFEE00000, "NPF (0x400): write at GPA 0xfee00000, error 0x2");
	expect_words(VMEXIT_NPF, NPF_FETCH, 0x5000, "NPF (0x400): fetch at GPA 0x5000, error 0x10");
	expect_words(VMEXIT_NPF, NPF_TABLE_WALK, 0x5000,
		     "NPF (0x400): read of a page table at GPA 0x5000, error 0x200000000");
	expect_words(0x999, 1, 2, "unknown exit (0x999), info 0x1 0x2");
	control()->exit_event = EVENT_VALID | EVENT_SOFTWARE | 0x80;
	svm_describe_exit(&vcpu, text, sizeof(text));
	assert_non_null(strstr(text, ", while delivering INT n 128"));
	control()->exit_event = EVENT_VALID | EVENT_NMI | 2;
	svm_describe_exit(&vcpu, text, sizeof(text));
	assert_non_null(strstr(text, "while delivering NMI 2"));
	/* However little room there is, the text ends inside it. */
	for (size_t size = 1; size < sizeof(text); size++) {
		memset(text, '#', sizeof(text));
		svm_describe_exit(&vcpu, text, size);
		assert_true(memchr(text, '\0', size) && text[size] == '#');
	}
}

/* What becomes of a finding, and of a refusal that no rule explains. */
static void test_findings_are_told(void **state)
{
	(void)state;
	control()->asid = 0;
	assert_int_equal(svm_audit_vcpu(&vcpu), 1);
	assert_non_null(strstr(told, "partition alpha: vCPU 0: VM entry: "));
	assert_non_null(strstr(told, " is 0x0: expected "));
	entry_audit_conclude(&vcpu, 0);
	assert_non_null(strstr(told, "the manual's rules all hold"));
	told[0] = '\0';
	entry_audit_conclude(&vcpu, 1);
	assert_string_equal(told, "");
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_long),
					   TEST(test_protected),
					   TEST(test_linux),
					   TEST(test_real),
					   TEST(test_nothing_is_left),
					   TEST(test_svme_is_hidden),
					   TEST(test_pool_used_up),
					   TEST(test_flush),
					   TEST(test_when_an_interrupt_can_be_taken),
					   TEST(test_exception_with_error),
					   TEST(test_nmis_do_not_nest),
					   TEST(test_nmi_before_the_iret_has_run),
					   TEST(test_nmi_behind_an_event),
					   TEST(test_nmi_in_a_step),
					   TEST(test_window),
					   TEST(test_requeue),
					   TEST(test_step_leaves_no_trace),
					   TEST(test_step_of_a_guest_that_steps_itself),
					   TEST(test_trap_of_a_skipped_instruction),
					   TEST(test_cr8_step),
					   TEST(test_steps_add_up),
					   TEST(test_fault_ends_a_step),
					   TEST(test_nmi_in_a_shadow),
					   TEST(test_step_without_a_trap),
					   TEST(test_words),
					   TEST(test_findings_are_told)};

	return cmocka_run_group_tests_name("svm_vcpu", tests, NULL, NULL);
}
