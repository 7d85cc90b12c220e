/*
 * Memory and port exits from the instruction's bytes in guest memory to registers and flags: in 16-, 32- and
 * 64-bit code, over page borders, and where the guest is wrong. The arithmetic's flags are compared with the
 * CPU this test runs on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/x86/guest_walk.h"
#include "tests/unit/fake_pc.h"

#define CODE	   0x8000u /* linear and physical */
#define TABLES	   0x1000u
#define LDR	   (APIC_DEFAULT_BASE + 0xD0)  /* keeps what is written to bits 31:24 */
#define INITIAL	   (APIC_DEFAULT_BASE + 0x380) /* keeps 32 bits */
#define COM1	   0x3F8
#define LONG_CODE  0x29B
#define CODE_32BIT 0xC9B
#define CODE_16BIT 0x09B
#define STATUS	   0x8D5u
#define ZERO	   0x040u
#define SIGN	   0x080u

#define PAGE_BITS 7ull

static struct vcpu *vcpu;

static void set_entry(uint64_t table, uint64_t index, uint64_t entry)
{
	memcpy(pc.memory + table + index * 8, &entry, 8);
}

/* 64-bit code, the first pages mapped to themselves. */
static int setup(void **state)
{
	(void)state;
	pc_create(1);
	vcpu = &pc.vcpu[0];
	set_entry(TABLES, 0, (TABLES + 0x1000) | PAGE_BITS);
	set_entry(TABLES + 0x1000, 0, (TABLES + 0x2000) | PAGE_BITS);
	set_entry(TABLES + 0x2000, 0, (TABLES + 0x3000) | PAGE_BITS);
	for (uint64_t page = 0; page < PC_MEMORY_PAGES; page++)
		set_entry(TABLES + 0x3000, page, page * PAGE_SIZE | PAGE_BITS);
	pc.registers[VIRT_CR0] = CR0_PE | CR0_PG;
	pc.registers[VIRT_CR3] = TABLES;
	pc.registers[VIRT_CR4] = CR4_PAE;
	pc.registers[VIRT_EFER] = EFER_LMA | EFER_LME;
	pc.registers[VIRT_RIP] = CODE;
	pc.registers[VIRT_RFLAGS] = RFLAGS_RESERVED;
	pc.segment[SEGMENT_CS] = (struct segment){.limit = UINT32_MAX, .access = LONG_CODE};
	pc.segment[SEGMENT_ES] = pc.segment[SEGMENT_DS] =
		(struct segment){.limit = UINT32_MAX, .access = 0xC93};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pc_destroy();
	return 0;
}

/* The instruction at RIP touches `address`: as exit_memory() answers. */
static int touch(uint64_t address, bool write)
{
	const bool long_code =
		code_size_of(pc.registers[VIRT_EFER], pc.segment[SEGMENT_CS].access) == CODE_64;

	return exit_memory(vcpu, gpa(address), pc.registers[VIRT_RIP],
			   long_code ? pc.registers[VIRT_CR3] : NOT_64_BIT_CODE, write ? MEMORY_WRITE : 0);
}

#define RUN(address, ...) run(address, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void run_once(uint64_t address, const uint8_t *bytes, size_t size)
{
	memcpy(pc.memory + pc.segment[SEGMENT_CS].base + pc.registers[VIRT_RIP], bytes, size);
	assert_int_equal(touch(address, true), size);
}

static uint64_t read_device(uint64_t address)
{
	return full_mmio_read(vcpu, gpa(address), 4);
}

/* Each instruction twice from the same state: when it is met, and when it is known. */
static void run(uint64_t address, const uint8_t *bytes, size_t size)
{
	const union guest_registers regs = vcpu->regs;
	const uint64_t rsp = pc.registers[VIRT_RSP], flags = pc.registers[VIRT_RFLAGS];
	const uint64_t device = read_device(address);
	union guest_registers result;

	run_once(address, bytes, size);
	result = vcpu->regs;
	vcpu->regs = regs;
	pc.registers[VIRT_RSP] = rsp;
	pc.registers[VIRT_RFLAGS] = flags;
	full_mmio_write(vcpu, gpa(address), 4, device);
	run_once(address, bytes, size);
	assert_memory_equal(&vcpu->regs, &result, sizeof(result));
}

static void stores(void **state)
{
	(void)state;
	vcpu->regs.rcx = 0xFFFFFFFF12345678;
	RUN(INITIAL, 0x89, 0x08);
	assert_int_equal(read_device(INITIAL), 0x12345678);
	RUN(INITIAL, 0xC7, 0x00, 0x0D, 0xF0, 0xAD, 0x8B);
	assert_int_equal(read_device(INITIAL), 0x8BADF00D);
	pc.registers[VIRT_RSP] = 0x77;
	RUN(INITIAL, 0x89, 0x20); /* mov [rax], esp */
	assert_int_equal(read_device(INITIAL), 0x77);
}

static void loads(void **state)
{
	(void)state;
	full_mmio_write(vcpu, gpa(INITIAL), 4, 0x812345F6);
	vcpu->regs.rdx = UINT64_MAX;
	RUN(INITIAL, 0x8B, 0x10); /* mov edx, [rax] clears the upper half */
	assert_int_equal(vcpu->regs.rdx, 0x812345F6);
	vcpu->regs.rdx = UINT64_MAX;
	RUN(INITIAL, 0x66, 0x8B, 0x10);
	assert_int_equal(vcpu->regs.rdx, 0xFFFFFFFFFFFF45F6);
	vcpu->regs.rdx = 0;
	RUN(INITIAL, 0x8A, 0x30); /* mov dh, [rax] */
	assert_int_equal(vcpu->regs.rdx, 0xF600);
	RUN(INITIAL, 0x0F, 0xB6, 0x10);
	assert_int_equal(vcpu->regs.rdx, 0xF6);
	RUN(INITIAL, 0x48, 0x0F, 0xBE, 0x10);
	assert_int_equal(vcpu->regs.rdx, 0xFFFFFFFFFFFFFFF6);
	RUN(INITIAL, 0x66, 0x0F, 0xBE, 0x10);
	assert_int_equal(vcpu->regs.rdx, 0xFFFFFFFFFFFFFFF6);
	RUN(INITIAL, 0x48, 0x63, 0x10); /* movsxd */
	assert_int_equal(vcpu->regs.rdx, 0xFFFFFFFF812345F6);
	RUN(INITIAL, 0x8B, 0x20); /* mov esp, [rax] */
	assert_int_equal(pc.registers[VIRT_RSP], 0x812345F6);
}

static void exchanges(void **state)
{
	(void)state;
	full_mmio_write(vcpu, gpa(INITIAL), 4, 0x1111);
	vcpu->regs.rbx = 0x2222;
	RUN(INITIAL, 0x87, 0x18);
	assert_int_equal(vcpu->regs.rbx, 0x1111);
	assert_int_equal(read_device(INITIAL), 0x2222);
}

/*
 * Narrow and wide forms, on the window of the I/O APIC: it takes each size, a narrow value as the whole
 * register, and is read in parts. Behind it stands the first half of a redirection entry.
 */

#define WINDOW	   (PC_IOAPIC_ADDRESS + 0x10)
#define ENTRY_KEPT 0x1AFFFu /* a masked edge without delivery status and remote IRR */

static void set_window(uint32_t value)
{
	full_mmio_write(vcpu, gpa(PC_IOAPIC_ADDRESS), 4, 0x12);
	full_mmio_write(vcpu, gpa(WINDOW), 4, value);
	assert_int_equal(read_device(WINDOW), value);
}

static void exchanges_by_form(void **state)
{
	(void)state;
	set_window(0x10234);
	vcpu->regs.rbx = 0x1122334455667788;
	RUN(WINDOW, 0x86, 0x18); /* xchg [rax], bl */
	assert_int_equal(vcpu->regs.rbx, 0x1122334455667734);
	assert_int_equal(read_device(WINDOW), 0x88);
	vcpu->regs.rbx = 0x11223344556655AA;
	RUN(WINDOW, 0x86, 0x38); /* bh */
	assert_int_equal(vcpu->regs.rbx, 0x11223344556688AA);
	assert_int_equal(read_device(WINDOW), 0x55);
	set_window(0x10A5B);
	vcpu->regs.rbx = 0x1122334455660123;
	RUN(WINDOW, 0x66, 0x87, 0x18);
	assert_int_equal(vcpu->regs.rbx, 0x1122334455660A5B);
	assert_int_equal(read_device(WINDOW), 0x123);
	vcpu->regs.rbx = 0x1122334400010C0D;
	RUN(WINDOW, 0xF0, 0x48, 0x87, 0x18); /* lock xchg [rax], rbx */
	assert_int_equal(vcpu->regs.rbx, 0x123);
	assert_int_equal(read_device(WINDOW), 0x10C0D);
}

static void stores_by_form(void **state)
{
	(void)state;
	set_window(0x10000);
	vcpu->regs.rax = 0x1122334455664A3B;
	RUN(WINDOW, 0x88, 0x20); /* mov [rax], ah */
	assert_int_equal(read_device(WINDOW), 0x4A);
	RUN(WINDOW, 0x88, 0x00);
	assert_int_equal(read_device(WINDOW), 0x3B);
	vcpu->regs.rsi = 0x11223344556677C5;
	RUN(WINDOW, 0x40, 0x88, 0x30); /* mov [rax], sil: with REX no DH */
	assert_int_equal(read_device(WINDOW), 0xC5);
	RUN(WINDOW, 0xC6, 0x00, 0xFE);
	assert_int_equal(read_device(WINDOW), 0xFE);
	RUN(WINDOW, 0x66, 0xC7, 0x00, 0x21, 0x0A);
	assert_int_equal(read_device(WINDOW), 0xA21);
	RUN(WINDOW, 0x66, 0x89, 0x00);
	assert_int_equal(read_device(WINDOW), 0x4A3B & ENTRY_KEPT);
	RUN(WINDOW, 0x48, 0xC7, 0x00, 0xFF, 0x07, 0x01, 0x80); /* eight bytes, the upper half ones */
	assert_int_equal(read_device(WINDOW), 0x107FF);
	vcpu->regs.r8 = 0x10099;
	vcpu->regs.r15 = 0x1234567800010877;
	RUN(WINDOW, 0x44, 0x89, 0x00);
	assert_int_equal(read_device(WINDOW), 0x10099);
	RUN(WINDOW, 0x4C, 0x89, 0x38); /* mov [rax], r15 */
	assert_int_equal(read_device(WINDOW), 0x10877);
	RUN(WINDOW, 0x44, 0x88, 0x38); /* r15b */
	assert_int_equal(read_device(WINDOW), 0x77);
}

/* The upper part of the register that stays, is cleared or is filled with the sign. */
static void loads_by_form(void **state)
{
	static const struct {
		uint8_t bytes[4];
		uint64_t r9; /* from all ones, of 109F6h */
	} rows[] = {
		{{0x44, 0x8A, 0x08}, 0xFFFFFFFFFFFFFFF6},	/* mov r9b, [rax] */
		{{0x66, 0x44, 0x8B, 0x08}, 0xFFFFFFFFFFFF09F6}, /* r9w */
		{{0x44, 0x8B, 0x08}, 0x109F6},			/* r9d */
		{{0x4C, 0x8B, 0x08}, 0x109F6},			/* r9 */
		{{0x44, 0x0F, 0xB6, 0x08}, 0xF6},		/* movzx r9d, byte */
		{{0x4C, 0x0F, 0xB6, 0x08}, 0xF6},
		{{0x44, 0x0F, 0xB7, 0x08}, 0x9F6}, /* movzx r9d, word */
		{{0x4C, 0x0F, 0xB7, 0x08}, 0x9F6},
		{{0x44, 0x0F, 0xBE, 0x08}, 0xFFFFFFF6}, /* movsx r9d, byte */
		{{0x4C, 0x0F, 0xBE, 0x08}, 0xFFFFFFFFFFFFFFF6},
		{{0x44, 0x0F, 0xBF, 0x08}, 0x9F6}, /* movsx r9d, word */
		{{0x4C, 0x0F, 0xBF, 0x08}, 0x9F6},
		{{0x4C, 0x63, 0x08}, 0x109F6}, /* movsxd r9, dword */
	};

	(void)state;
	set_window(0x109F6);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		vcpu->regs.r9 = UINT64_MAX;
		run(WINDOW, rows[i].bytes, rows[i].bytes[3] ? 4 : 3);
		assert_int_equal(vcpu->regs.r9, rows[i].r9);
	}
	vcpu->regs.rdx = UINT64_MAX;
	RUN(WINDOW, 0x66, 0x0F, 0xB6, 0x10); /* movzx dx, byte [rax] */
	assert_int_equal(vcpu->regs.rdx, 0xFFFFFFFFFFFF00F6);
	full_mmio_write(vcpu, gpa(INITIAL), 4, 0x80019234);
	RUN(INITIAL, 0x48, 0x0F, 0xBF, 0x10); /* movsx rdx, word: a sign to extend */
	assert_int_equal(vcpu->regs.rdx, 0xFFFFFFFFFFFF9234);
	RUN(INITIAL, 0x0F, 0xBF, 0x10);
	assert_int_equal(vcpu->regs.rdx, 0xFFFF9234);
	RUN(INITIAL, 0x0F, 0xB7, 0x10);
	assert_int_equal(vcpu->regs.rdx, 0x9234);
}

/* A0h to A3h: the accumulator and an address of eight bytes. */
static void accumulator_and_address(void **state)
{
#define AT_WINDOW (uint8_t) WINDOW, WINDOW >> 8 & 0xFF, WINDOW >> 16 & 0xFF, WINDOW >> 24, 0, 0, 0, 0
	(void)state;
	set_window(0x10B5C);
	vcpu->regs.rax = UINT64_MAX;
	RUN(WINDOW, 0xA0, AT_WINDOW);
	assert_int_equal(vcpu->regs.rax, 0xFFFFFFFFFFFFFF5C);
	RUN(WINDOW, 0x66, 0xA1, AT_WINDOW);
	assert_int_equal(vcpu->regs.rax, 0xFFFFFFFFFFFF0B5C);
	RUN(WINDOW, 0xA1, AT_WINDOW);
	assert_int_equal(vcpu->regs.rax, 0x10B5C);
	vcpu->regs.rax = 0xAABBCCDD0001024F;
	RUN(WINDOW, 0xA2, AT_WINDOW);
	assert_int_equal(read_device(WINDOW), 0x4F);
	RUN(WINDOW, 0x66, 0xA3, AT_WINDOW);
	assert_int_equal(read_device(WINDOW), 0x24F);
	RUN(WINDOW, 0x48, 0xA3, AT_WINDOW);
	assert_int_equal(read_device(WINDOW), 0x1024F);
	assert_int_equal(vcpu->regs.rax, 0xAABBCCDD0001024F);
}

static void tests_with_immediates(void **state)
{
	(void)state;
	set_window(0x10380);
	RUN(WINDOW, 0xF6, 0x00, 0x80); /* test byte [rax], 80h: the sign of a byte */
	assert_int_equal(pc.registers[VIRT_RFLAGS] & (ZERO | SIGN), SIGN);
	RUN(WINDOW, 0xF6, 0x08, 0x7F); /* under its other number */
	assert_int_equal(pc.registers[VIRT_RFLAGS] & (ZERO | SIGN), ZERO);
	RUN(WINDOW, 0x66, 0xF7, 0x00, 0x00, 0x02);
	assert_int_equal(pc.registers[VIRT_RFLAGS] & (ZERO | SIGN), 0);
	RUN(WINDOW, 0xF7, 0x00, 0x00, 0x00, 0x02, 0x00);
	assert_int_equal(pc.registers[VIRT_RFLAGS] & (ZERO | SIGN), ZERO);
	RUN(WINDOW, 0x48, 0xF7, 0x00, 0x00, 0x00, 0x01, 0x80);
	assert_int_equal(pc.registers[VIRT_RFLAGS] & (ZERO | SIGN), 0);
	assert_int_equal(read_device(WINDOW), 0x10380); /* flags are all it changes */
}

/* 66h: the immediate has two bytes, and so has what is read and written. */
static void arithmetic_by_form(void **state)
{
	(void)state;
	set_window(0x10280);
	RUN(WINDOW, 0x66, 0x81, 0x00, 0x81, 0x01); /* add word [rax], 181h */
	assert_int_equal(read_device(WINDOW), 0x401);
	set_window(0x10204);
	RUN(WINDOW, 0x66, 0x81, 0x38, 0x04, 0x02); /* cmp */
	assert_true(pc.registers[VIRT_RFLAGS] & ZERO);
	assert_int_equal(read_device(WINDOW), 0x10204);
	RUN(WINDOW, 0x80, 0x28, 0x05); /* sub byte [rax], 5 */
	assert_int_equal(read_device(WINDOW), 0xFF);
	assert_true(pc.registers[VIRT_RFLAGS] & RFLAGS_CF);
	set_window(0x10204);
	vcpu->regs.r10 = 0x11111111111111FF;
	RUN(WINDOW, 0x44, 0x22, 0x10); /* and r10b, [rax] */
	assert_int_equal(vcpu->regs.r10, 0x1111111111111104);
	RUN(WINDOW, 0x44, 0x03, 0x10); /* add r10d, [rax] */
	assert_int_equal(vcpu->regs.r10, 0x11121308);
	vcpu->regs.rcx = 0x1122334455660133;
	RUN(WINDOW, 0x0A, 0x28); /* or ch, [rax] */
	assert_int_equal(vcpu->regs.rcx, 0x1122334455660533);
}

/* Runs the instruction on this CPU, on numbers of 32 bits, with CF as given; returns the flags after it. */
#define NATIVE(name, text)                                                                                   \
	static uint64_t native_##name(uint32_t *first, uint32_t second, uint32_t carry)                      \
	{                                                                                                    \
		uint64_t flags;                                                                              \
		__asm__("btl $0, %3; " text "; pushfq; pop %1"                                               \
			: "+&r"(*first), "=r"(flags)                                                         \
			: "r"(second), "r"(carry)                                                            \
			: "cc");                                                                             \
		return flags;                                                                                \
	}
NATIVE(add, "addl %2, %0")
NATIVE(adc, "adcl %2, %0")
NATIVE(or, "orl %2, %0")
NATIVE(and, "andl %2, %0")
NATIVE(sub, "subl %2, %0")
NATIVE(sbb, "sbbl %2, %0")
NATIVE(xor, "xorl %2, %0")
NATIVE(cmp, "cmpl %2, %0")
NATIVE(test, "testl %2, %0")
NATIVE(inc, "incl %0")
NATIVE(dec, "decl %0")
NATIVE(not, "notl %0")
NATIVE(neg, "negl %0")
NATIVE(bt, "btl %2, %0")
NATIVE(bts, "btsl %2, %0")
NATIVE(btr, "btrl %2, %0")
NATIVE(btc, "btcl %2, %0")

#define LOGIC (STATUS & ~0x10u) /* AF is undefined after it */

struct native_operation {
	uint8_t bytes[3]; /* on [rax] and, where there is a second operand, ECX */
	uint8_t size;
	uint64_t (*native)(uint32_t *first, uint32_t second, uint32_t carry);
	uint64_t defined; /* flags */
};

static void like_the_cpu(const struct native_operation *operation, uint32_t a, uint32_t b, uint32_t carry)
{
	const uint64_t before = RFLAGS_RESERVED | RFLAGS_IF | carry;
	uint32_t expected = a;
	const uint64_t flags = operation->native(&expected, b, carry);

	full_mmio_write(vcpu, gpa(INITIAL), 4, a);
	vcpu->regs.rcx = b;
	pc.registers[VIRT_RFLAGS] = before;
	run(INITIAL, operation->bytes, operation->size);
	assert_int_equal(read_device(INITIAL), expected);
	assert_int_equal(pc.registers[VIRT_RFLAGS] & operation->defined, flags & operation->defined);
	assert_int_equal(pc.registers[VIRT_RFLAGS] & ~STATUS, before & ~STATUS);
}

static void arithmetic_like_the_cpu(void **state)
{
	static const struct native_operation operations[] = {{{0x01, 0x08}, 2, native_add, STATUS},
							     {{0x11, 0x08}, 2, native_adc, STATUS},
							     {{0x09, 0x08}, 2, native_or, LOGIC},
							     {{0x21, 0x08}, 2, native_and, LOGIC},
							     {{0x29, 0x08}, 2, native_sub, STATUS},
							     {{0x19, 0x08}, 2, native_sbb, STATUS},
							     {{0x31, 0x08}, 2, native_xor, LOGIC},
							     {{0x39, 0x08}, 2, native_cmp, STATUS},
							     {{0x85, 0x08}, 2, native_test, LOGIC},
							     {{0xFF, 0x00}, 2, native_inc, STATUS},
							     {{0xFF, 0x08}, 2, native_dec, STATUS},
							     {{0xF7, 0x10}, 2, native_not, RFLAGS_CF},
							     {{0xF7, 0x18}, 2, native_neg, STATUS},
							     {{0x0F, 0xA3, 0x08}, 3, native_bt, RFLAGS_CF},
							     {{0x0F, 0xAB, 0x08}, 3, native_bts, RFLAGS_CF},
							     {{0x0F, 0xB3, 0x08}, 3, native_btr, RFLAGS_CF},
							     {{0x0F, 0xBB, 0x08}, 3, native_btc, RFLAGS_CF}};
	static const uint32_t values[] = {0,	1,    2,	  0xF,	      0x10,	  0x7F,
					  0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x12345678};

	(void)state;
	for (unsigned o = 0; o < ARRAY_SIZE(operations); o++)
		for (unsigned a = 0; a < ARRAY_SIZE(values); a++)
			for (unsigned b = 0; b < ARRAY_SIZE(values); b++)
				for (uint32_t carry = 0; carry < 2; carry++)
					like_the_cpu(&operations[o], values[a], values[b], carry);
}

/* What stays as it was: NOT changes no flag, BT and its kin none but CF (ZF is defined to stay). */
static void flags_that_stay(void **state)
{
	(void)state;
	full_mmio_write(vcpu, gpa(INITIAL), 4, 0xF0F0F0F0);
	pc.registers[VIRT_RFLAGS] = RFLAGS_RESERVED | STATUS;
	RUN(INITIAL, 0xF7, 0x10); /* not dword [rax] */
	assert_int_equal(pc.registers[VIRT_RFLAGS], RFLAGS_RESERVED | STATUS);
	RUN(INITIAL, 0x0F, 0xBA, 0x20, 0x04); /* bt dword [rax], 4: clear in 0F0F0F0Fh */
	assert_int_equal(pc.registers[VIRT_RFLAGS], RFLAGS_RESERVED | (STATUS & ~RFLAGS_CF));
	assert_int_equal(read_device(INITIAL), 0x0F0F0F0F);
	RUN(INITIAL, 0x0F, 0xBA, 0x28, 0x24); /* bts dword [rax], 36: bit 4 */
	assert_int_equal(read_device(INITIAL), 0x0F0F0F1F);
}

static void arithmetic_to_a_register(void **state)
{
	(void)state;
	full_mmio_write(vcpu, gpa(INITIAL), 4, 5);
	vcpu->regs.rcx = 7;
	RUN(INITIAL, 0x2B, 0x08); /* sub ecx, [rax] */
	assert_int_equal(vcpu->regs.rcx, 2);
	RUN(INITIAL, 0x3B, 0x08); /* cmp ecx, [rax]: 2 < 5 */
	assert_true(pc.registers[VIRT_RFLAGS] & RFLAGS_CF);
	RUN(INITIAL, 0x83, 0x38, 0x05); /* cmp dword [rax], 5 */
	assert_false(pc.registers[VIRT_RFLAGS] & RFLAGS_CF);
	RUN(INITIAL, 0xF0, 0x83, 0x00, 0xFF); /* lock add dword [rax], -1 */
	assert_int_equal(read_device(INITIAL), 4);
}

/*
 * Strings. The page of the local APIC is mapped at DEVICE.
 */

#define DEVICE	(0x30000ull + INITIAL % PAGE_SIZE)
#define MEMORY	0x10000u
#define NO_PAGE 0x38000u

#define WINDOW_PAGE 0x34000u /* the I/O APIC's page is mapped here */

static enum exit_action run_string(uint64_t address, const char *bytes, size_t size)
{
	int length;

	set_entry(TABLES + 0x3000, DEVICE / PAGE_SIZE, APIC_DEFAULT_BASE | PAGE_BITS);
	set_entry(TABLES + 0x3000, NO_PAGE / PAGE_SIZE, 0);
	memcpy(pc.memory + CODE, bytes, size);
	length = touch(address, true);
	if (length < 0)
		return (enum exit_action) - length;
	assert_int_equal(length, size);
	return EXIT_NEXT;
}

static void store_strings(void **state)
{
	(void)state;
	vcpu->regs.rax = 0xFFFFFFFF55667788;
	vcpu->regs.rdi = DEVICE;
	assert_int_equal(run_string(INITIAL, "\xAB", 1), EXIT_NEXT);
	assert_int_equal(read_device(INITIAL), 0x55667788);
	assert_int_equal(vcpu->regs.rdi, DEVICE + 4);
	vcpu->regs.rdi = DEVICE;
	vcpu->regs.rcx = 3;
	pc.registers[VIRT_RFLAGS] |= RFLAGS_DF;
	assert_int_equal(run_string(INITIAL, "\xF3\x66\xAB", 3), EXIT_AGAIN);
	assert_int_equal(run_string(INITIAL, "\xF3\x66\xAB", 3), EXIT_AGAIN);
	assert_int_equal(run_string(INITIAL, "\xF3\x66\xAB", 3), EXIT_NEXT);
	assert_int_equal(vcpu->regs.rcx, 0);
	assert_int_equal(vcpu->regs.rdi, DEVICE - 6);
	vcpu->regs.rdi = 0xABCD00000000ull | DEVICE; /* 32-bit addresses: the upper half goes */
	vcpu->regs.rcx = 0x100000001ull;
	assert_int_equal(run_string(INITIAL, "\x67\xF3\xAB", 3), EXIT_NEXT);
	assert_int_equal(vcpu->regs.rdi, DEVICE - 4);
	assert_int_equal(vcpu->regs.rcx, 0);
}

static void load_strings(void **state)
{
	(void)state;
	full_mmio_write(vcpu, gpa(INITIAL), 4, 0x11223344);
	vcpu->regs.rsi = DEVICE;
	vcpu->regs.rax = UINT64_MAX;
	assert_int_equal(run_string(INITIAL, "\xAD", 1), EXIT_NEXT);
	assert_int_equal(vcpu->regs.rax, 0x11223344);
	assert_int_equal(vcpu->regs.rsi, DEVICE + 4);
	vcpu->regs.rax = UINT64_MAX;
	assert_int_equal(run_string(INITIAL, "\xAC", 1), EXIT_NEXT);
	assert_int_equal(vcpu->regs.rax, 0xFFFFFFFFFFFFFF44);
	assert_int_equal(vcpu->regs.rsi, DEVICE + 5);
}

static void move_strings(void **state)
{
	uint32_t value = 0xCAFEF00D;

	(void)state;
	memcpy(pc.memory + MEMORY, &value, 4);
	vcpu->regs.rsi = MEMORY;
	vcpu->regs.rdi = DEVICE;
	vcpu->regs.rcx = 1;
	assert_int_equal(run_string(INITIAL, "\xF3\xA5", 2), EXIT_NEXT); /* to the device */
	assert_int_equal(read_device(INITIAL), 0xCAFEF00D);
	assert_int_equal(vcpu->regs.rsi, MEMORY + 4);
	assert_int_equal(vcpu->regs.rdi, DEVICE + 4);
	vcpu->regs.rsi = DEVICE;
	vcpu->regs.rdi = MEMORY + PAGE_SIZE - 2; /* from it, over a page border */
	assert_int_equal(run_string(INITIAL, "\xA5", 1), EXIT_NEXT);
	assert_memory_equal(pc.memory + MEMORY + PAGE_SIZE - 2, "\x0D\xF0\xFE\xCA", 4);
	vcpu->regs.rsi = DEVICE;
	vcpu->regs.rdi = (DEVICE & ~0xFFFull) | (LDR & 0xFFF); /* from device to device */
	assert_int_equal(run_string(INITIAL, "\xA5", 1), EXIT_NEXT);
	assert_int_equal(read_device(LDR), 0xCA000000);
	assert_int_equal(pc.exceptions, 0);
}

/* One element an exit, either way, over a page border and in bytes and words. */
static void repeated_moves(void **state)
{
	static const uint16_t words[] = {0x0111, 0x0222, 0x0333};

	(void)state;
	memcpy(pc.memory + MEMORY + PAGE_SIZE - 3, words, sizeof(words));
	set_window(0x10000);
	set_entry(TABLES + 0x3000, WINDOW_PAGE / PAGE_SIZE, PC_IOAPIC_ADDRESS | PAGE_BITS);
	vcpu->regs.rsi = MEMORY + PAGE_SIZE - 3;
	vcpu->regs.rcx = 3;
	for (unsigned i = 0; i < 3; i++) {
		vcpu->regs.rdi = WINDOW_PAGE + WINDOW % PAGE_SIZE; /* a window is one register */
		assert_int_equal(run_string(WINDOW, "\xF3\x66\xA5", 3), i < 2 ? EXIT_AGAIN : EXIT_NEXT);
		assert_int_equal(read_device(WINDOW), words[i]);
		assert_int_equal(vcpu->regs.rcx, 2 - i);
	}
	assert_int_equal(vcpu->regs.rsi, MEMORY + PAGE_SIZE + 3);
	assert_int_equal(vcpu->regs.rdi, WINDOW_PAGE + WINDOW % PAGE_SIZE + 2);
	set_window(0x10A5B);
	pc.registers[VIRT_RFLAGS] |= RFLAGS_DF;
	vcpu->regs.rsi = WINDOW_PAGE + WINDOW % PAGE_SIZE + 1; /* backwards, byte by byte */
	vcpu->regs.rdi = MEMORY + PAGE_SIZE;
	vcpu->regs.rcx = 2;
	assert_int_equal(run_string(WINDOW + 1, "\xF3\xA4", 2), EXIT_AGAIN);
	assert_int_equal(run_string(WINDOW, "\xF3\xA4", 2), EXIT_NEXT);
	assert_memory_equal(pc.memory + MEMORY + PAGE_SIZE - 1, "\x5B\x0A", 2);
	assert_int_equal(vcpu->regs.rdi, MEMORY + PAGE_SIZE - 2);
	assert_int_equal(vcpu->regs.rcx, 0);
}

static void moves_that_fault(void **state)
{
	(void)state;
	vcpu->regs.rsi = DEVICE;
	vcpu->regs.rdi = NO_PAGE;
	assert_int_equal(run_string(INITIAL, "\xA5", 1), EXIT_PF);
	assert_int_equal(pc.registers[VIRT_CR2], NO_PAGE);
	assert_int_equal(pc.exception_error & 3, 2); /* a write, not present */
	assert_int_equal(vcpu->regs.rsi, DEVICE);
	assert_int_equal(vcpu->regs.rdi, NO_PAGE);
	vcpu->regs.rsi = NO_PAGE;
	vcpu->regs.rdi = DEVICE;
	assert_int_equal(run_string(INITIAL, "\xA5", 1), EXIT_PF);
	assert_int_equal(pc.exception_error & 3, 0);
	vcpu->regs.rsi = 1ull << 60;
	assert_int_equal(run_string(INITIAL, "\xA5", 1), EXIT_GP);
	vcpu->regs.rsi = DEVICE;
	vcpu->regs.rdi = MEMORY;
	set_entry(TABLES + 0x3000, MEMORY / PAGE_SIZE, 0x7FFFF000 | PAGE_BITS);
	assert_int_equal(run_string(INITIAL, "\xA5", 1), EXIT_LEAVE);
	assert_non_null(strstr(pc.fault, "string instruction at linear address 0x10000, outside its memory"));
}

static void over_a_page_border(void **state)
{
	static const uint8_t store[] = {0xC7, 0x80, 0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11};

	(void)state;
	set_entry(TABLES + 0x3000, CODE / PAGE_SIZE + 1,
		  0x20000 | PAGE_BITS); /* the next page is elsewhere */
	for (unsigned before = 1; before <= sizeof(store); before++) {
		full_mmio_write(vcpu, gpa(INITIAL), 4, 0);
		memcpy(pc.memory + CODE + PAGE_SIZE - before, store, before);
		memcpy(pc.memory + 0x20000, store + before, sizeof(store) - before);
		pc.registers[VIRT_RIP] = CODE + PAGE_SIZE - before;
		assert_int_equal(touch(INITIAL, true), sizeof(store));
		assert_int_equal(read_device(INITIAL), 0x11223344);
	}
	/* The next page is not there, but the instruction ends before it. */
	set_entry(TABLES + 0x3000, CODE / PAGE_SIZE + 1, 0);
	pc.registers[VIRT_RIP] = CODE + PAGE_SIZE - 2;
	RUN(INITIAL, 0x89, 0x08);
	/* ... or does not. */
	pc.registers[VIRT_RIP] = CODE + PAGE_SIZE - 5;
	memcpy(pc.memory + CODE + PAGE_SIZE - 5, store, 5);
	assert_int_equal(touch(INITIAL, true), -EXIT_LEAVE);
	assert_int_equal(pc.faults, 1);
}

/* What the guest may change behind a known instruction's back, each without an exit. */
static void known_instructions(void **state)
{
	static const uint8_t store[] = {0xC7, 0x80, 0, 0, 0, 0, 0x44, 0x33, 0x22, 0x11};

	(void)state;
	RUN(INITIAL, 0xC7, 0x80, 0, 0, 0, 0, 0x01, 0x02, 0x03, 0x04);
	assert_int_equal(read_device(INITIAL), 0x04030201);
	memcpy(pc.memory + CODE, store, sizeof(store)); /* other bytes, behind the first eight */
	assert_int_equal(touch(INITIAL, true), sizeof(store));
	assert_int_equal(read_device(INITIAL), 0x11223344);
	memcpy(pc.memory + 0x21000, "\x89\x08", 2);
	vcpu->regs.rcx = 0x55;
	set_entry(TABLES + 0x3000, CODE / PAGE_SIZE, 0x21000 | PAGE_BITS); /* another page */
	assert_int_equal(touch(INITIAL, true), 2);
	assert_int_equal(read_device(INITIAL), 0x55);
	memcpy(pc.memory + 0x22000 + CODE / PAGE_SIZE * 8, pc.memory + TABLES + 0x3000 + CODE / PAGE_SIZE * 8,
	       8);
	set_entry(0x22000, CODE / PAGE_SIZE, CODE | PAGE_BITS);
	set_entry(TABLES + 0x2000, 0, 0x22000 | PAGE_BITS); /* another table */
	assert_int_equal(touch(INITIAL, true), sizeof(store));
	set_entry(0x23000, 0, (TABLES + 0x1000) | PAGE_BITS); /* another top: the same in the end */
	pc.registers[VIRT_CR3] = 0x23000;
	assert_int_equal(touch(INITIAL, true), sizeof(store));
	set_entry(0x23000, 0, 0); /* ... and no more */
	assert_int_equal(touch(INITIAL, true), -EXIT_LEAVE);
	assert_non_null(strstr(pc.fault, "cannot be fetched"));
}

/* The same bytes at the same place are another instruction in a narrower mode. */
static void known_in_one_mode_only(void **state)
{
	(void)state;
	vcpu->regs.rcx = 0x12345678;
	vcpu->regs.rdx = 0x1111;
	RUN(INITIAL, 0x89, 0x88, 0, 0, 0, 0); /* mov [rax + 0], ecx */
	assert_int_equal(read_device(INITIAL), 0x12345678);
	pc.segment[SEGMENT_CS].access = CODE_16BIT;
	assert_int_equal(touch(INITIAL, true),
			 4); /* mov [bx + si + 0], cx: 16 bits, which this register ignores */
	assert_int_equal(read_device(INITIAL), 0x12345678);
}

/* A 2 MiB page ends the walk one level early. */
static void known_in_a_large_page(void **state)
{
	(void)state;
	set_entry(TABLES + 0x2000, 0, 0 | PAGE_BITS | 0x80);
	vcpu->regs.rcx = 0x99;
	RUN(INITIAL, 0x89, 0x08);
	assert_int_equal(read_device(INITIAL), 0x99);
	set_entry(TABLES + 0x2000, 0, 0);
	assert_int_equal(touch(INITIAL, true), -EXIT_LEAVE);
	assert_non_null(strstr(pc.fault, "cannot be fetched"));
}

/* One table above the four; code in a 4 KiB page is fetched each time, code in a larger one is known. */
static void five_levels(void **state)
{
	const uint64_t top = 0x23000, far = 1ull << 48, entry = (TABLES + 0x2000) | PAGE_BITS;

	(void)state;
	set_entry(top, 1, TABLES | PAGE_BITS);
	pc.registers[VIRT_CR3] = top;
	pc.registers[VIRT_CR4] |= CR4_LA57;
	pc.registers[VIRT_RIP] = far + CODE;
	vcpu->regs.rcx = 0x77;
	memcpy(pc.memory + CODE, "\x89\x08", 2);
	for (unsigned page = 0; page < 2; page++) { /* 4 KiB, 2 MiB */
		for (unsigned time = 0; time < 2; time++) {
			assert_int_equal(touch(INITIAL, true), 2);
			assert_int_equal(read_device(INITIAL), vcpu->regs.rcx++);
		}
		set_entry(top, 1, 0);
		assert_int_equal(touch(INITIAL, true), -EXIT_LEAVE);
		set_entry(top, 1, TABLES | PAGE_BITS);
		set_entry(TABLES + 0x2000, 0, PAGE_BITS | 0x80);
	}
	set_entry(TABLES + 0x1000, 0, 0);
	assert_int_equal(touch(INITIAL, true), -EXIT_LEAVE);
	set_entry(TABLES + 0x1000, 0, entry);
	assert_int_equal(touch(INITIAL, true), 2);
}

static void real_mode(void **state)
{
	(void)state;
	pc.registers[VIRT_CR0] = 0;
	pc.registers[VIRT_EFER] = 0;
	pc.segment[SEGMENT_CS] = (struct segment){.base = 0x6000, .limit = 0xFFFF, .access = CODE_16BIT};
	pc.registers[VIRT_RIP] = 0x100;
	vcpu->regs.rax = 0xABCD;
	RUN(INITIAL, 0x67, 0x66, 0x89, 0x03); /* mov [ebx], eax */
	assert_int_equal(read_device(INITIAL), 0xABCD);
}

static void protected_mode(void **state)
{
	(void)state;
	pc.registers[VIRT_CR0] = CR0_PE;
	pc.registers[VIRT_EFER] = 0;
	pc.segment[SEGMENT_CS] = (struct segment){.limit = UINT32_MAX, .access = CODE_32BIT};
	vcpu->regs.rbx = 0x1234;
	RUN(INITIAL, 0x89, 0x1D, 0x80, 0x03, 0xE0, 0xFE); /* mov [0FEE00380h], ebx */
	assert_int_equal(read_device(INITIAL), 0x1234);
}

static void out_of_bounds(void **state)
{
	(void)state;
	assert_int_equal(touch(PC_MEMORY_SIZE, true), -EXIT_LEAVE);
	assert_non_null(strstr(pc.fault, "writes to guest-physical 0x40000"));
	assert_non_null(strstr(pc.fault, "RIP 0x8000"));
	assert_int_equal(touch(0xFEC01000, false), -EXIT_LEAVE);
	assert_non_null(strstr(pc.fault, "reads from guest-physical 0xfec01000"));
	exit_out_of_bounds(vcpu, gpa(APIC_DEFAULT_BASE), "executes at");
	assert_non_null(strstr(pc.fault, "executes at"));
	pc.memory[CODE] = 0xDB; /* FPU store */
	assert_int_equal(touch(INITIAL, true), -EXIT_LEAVE);
	assert_non_null(strstr(pc.fault, "with db 00 00"));
	pc.registers[VIRT_CR3] = PC_MEMORY_SIZE;
	assert_int_equal(touch(INITIAL, true), -EXIT_LEAVE);
	assert_non_null(strstr(pc.fault, "cannot be fetched"));
	assert_int_equal(pc.faults, 5);
}

static void lengths(void **state)
{
	static const uint8_t cpuid[] = {0x0F, 0xA2};

	(void)state;
	memcpy(pc.memory + CODE, "\x48\x0F\xA2", 3);
	assert_int_equal(exit_instruction_length(vcpu, cpuid, 2), 3);
	pc.memory[CODE] = 0xF4;
	assert_int_equal(exit_instruction_length(vcpu, cpuid, 2), 0);
}

static void ports(void **state)
{
	(void)state;
	vcpu->regs.rax = 0x1122334455667788;
	assert_int_equal(exit_port_out(vcpu, COM1 + 7, 1), EXIT_NEXT);
	vcpu->regs.rax = 0x1122334455667700;
	assert_int_equal(exit_port_in(vcpu, COM1 + 7, 1), EXIT_NEXT);
	assert_int_equal(vcpu->regs.rax, 0x1122334455667788);
	assert_int_equal(exit_port_in(vcpu, 0xCFC, 2), EXIT_NEXT);
	assert_int_equal(vcpu->regs.rax, 0x112233445566FFFF);
	assert_int_equal(exit_port_in(vcpu, 0xCFC, 4), EXIT_NEXT);
	assert_int_equal(vcpu->regs.rax, 0xFFFFFFFF);
}

static void para_has_no_ports(void **state)
{
	const struct string_io io = {.port = COM1, .size = 1, .address_size = 8};
	struct lapic *const lapic = vcpu->lapic;

	(void)state;
	vcpu->lapic = NULL;
	assert_int_equal(exit_port_in(vcpu, COM1, 1), EXIT_GP);
	assert_int_equal(exit_port_out(vcpu, COM1, 1), EXIT_GP);
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_GP);
	assert_int_equal(touch(APIC_DEFAULT_BASE, true), -EXIT_LEAVE);
	vcpu->lapic = lapic;
}

static void string_out(void **state)
{
	const struct string_io io = {
		.port = COM1, .size = 1, .address_size = 8, .rep = true, .segment = SEGMENT_DS};
	unsigned exits = 1;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		pc.memory[0x9FA0 + i] = (uint8_t)('0' + i % 10);
	vcpu->regs.rsi = 0x9FA0; /* over a page border */
	vcpu->regs.rcx = 200;
	while (exit_port_string(vcpu, &io) == EXIT_AGAIN)
		exits++;
	assert_int_equal(exits, 4);
	assert_int_equal(vcpu->regs.rcx, 0);
	assert_int_equal(vcpu->regs.rsi, 0x9FA0 + 200);
	assert_int_equal(pc.console_length, 200);
	assert_memory_equal(pc.console, "01234567890123456789", 20);
}

static void string_in_backwards(void **state)
{
	const struct string_io io = {
		.port = 0xCFC, .size = 4, .address_size = 4, .in = true, .segment = SEGMENT_ES};

	(void)state;
	pc.registers[VIRT_RFLAGS] |= RFLAGS_DF;
	vcpu->regs.rdi = 0xFFFFFFFF00009FFE; /* four bytes on two pages; 32-bit addressing */
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_NEXT);
	assert_int_equal(vcpu->regs.rdi, 0x9FFA);
	assert_memory_equal(pc.memory + 0x9FFD, "\x00\xFF\xFF\xFF\xFF\x00", 6);
}

static void string_faults(void **state)
{
	struct string_io io = {
		.port = 0xCFC, .size = 4, .address_size = 8, .in = true, .segment = SEGMENT_ES};

	(void)state;
	set_entry(TABLES + 0x3000, 10, 0); /* A000h is not there */
	vcpu->regs.rdi = 0x9FFE;
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_PF);
	assert_int_equal(pc.registers[VIRT_CR2], 0xA000);
	assert_int_equal(pc.exceptions, 1u << VECTOR_PF);
	assert_int_equal(pc.exception_error, 2);
	assert_int_equal(pc.memory[0x9FFE], 0); /* nothing done */
	set_entry(TABLES + 0x3000, 10, 0xA000 | PAGE_BITS | 1ull << 59);
	pc.registers[VIRT_CR4] |= CR4_PKE;
	pc.pkru = 1u << 2; /* key 1: no access */
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_PF);
	assert_int_equal(pc.exception_error, FAULT_PROTECTION | FAULT_WRITE | FAULT_KEY);
	pc.pkru = 1u << 4;
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_NEXT);
	pc.registers[VIRT_CR4] &= ~CR4_PKE;
	vcpu->regs.rdi = 0x0000900000000000;
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_GP);
	pc.registers[VIRT_CR4] |= CR4_LA57; /* an address like others */
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_PF);
	vcpu->regs.rdi = 1ull << 56;
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_GP);
	pc.registers[VIRT_CR4] &= ~CR4_LA57;
	pc.segment[SEGMENT_CS].access = CODE_32BIT;
	pc.segment[SEGMENT_ES].limit = 0x1002;
	io.address_size = 4;
	vcpu->regs.rdi = 0x1000;
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_GP);
	set_entry(TABLES + 0x3000, 11, 0xFEE00000ull | PAGE_BITS);
	pc.segment[SEGMENT_ES].limit = UINT32_MAX;
	vcpu->regs.rdi = 0xB000;
	assert_int_equal(exit_port_string(vcpu, &io), EXIT_LEAVE);
	assert_int_equal(pc.faults, 1);
}

int main(void)
{
#undef TEST
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {TEST(stores),
					   TEST(loads),
					   TEST(exchanges),
					   TEST(exchanges_by_form),
					   TEST(stores_by_form),
					   TEST(loads_by_form),
					   TEST(accumulator_and_address),
					   TEST(tests_with_immediates),
					   TEST(arithmetic_by_form),
					   TEST(arithmetic_like_the_cpu),
					   TEST(flags_that_stay),
					   TEST(arithmetic_to_a_register),
					   TEST(store_strings),
					   TEST(load_strings),
					   TEST(move_strings),
					   TEST(repeated_moves),
					   TEST(moves_that_fault),
					   TEST(over_a_page_border),
					   TEST(known_instructions),
					   TEST(known_in_one_mode_only),
					   TEST(known_in_a_large_page),
					   TEST(five_levels),
					   TEST(real_mode),
					   TEST(protected_mode),
					   TEST(out_of_bounds),
					   TEST(lengths),
					   TEST(ports),
					   TEST(para_has_no_ports),
					   TEST(string_out),
					   TEST(string_in_backwards),
					   TEST(string_faults)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
