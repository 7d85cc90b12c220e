/*
 * Memory that partitions share, lend and give away: descriptors byte by byte, who may see what before, during
 * and after, every error, and what is left when one of them ends. Partition 1 owns; 2 and 3 borrow.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/call/ffa.h"
#include "hv/core/share.h"
#include "hv/mem/pool.h"
#include "tests/unit/fake_partition.h"

#define TX     0x3000u
#define RX     0x5000u
#define PAGES  0x8000u /* what is shared: two pages */
#define MORE   0xB000u /* and one */
#define AREA   (2 * MIB)
#define TAG    0x1122334455667788u
#define RW     FFA_ACCESS_WRITE
#define JUNK   0x5A
#define RANGES 96 /* offset of the ranges: header, two borrowers, composite */

static struct vcpu *const owner = &fake.vcpu[0], *const second = &fake.peer[0].vcpu[0],
			  *const third = &fake.peer[1].vcpu[0];

static uint8_t *memory_of(const struct vcpu *vcpu)
{
	return partition_window(vcpu->partition, gpa(0));
}

static struct fake_registers call(struct vcpu *vcpu, uint32_t function, uint64_t x1, uint64_t x2, uint64_t x3)
{
	return fake_call_on(vcpu, (struct fake_registers){{function, x1, x2, x3}});
}

static int set_up(void **state)
{
	(void)state;
	fake_create(MODE_PARA);
	for (unsigned i = 0; i < 3; i++)
		call(i == 0 ? owner : i == 1 ? second : third, FFA_RXTX_MAP_64, TX, RX, 1);
	memset(fake.memory + PAGES, JUNK, 4 * PAGE_SIZE);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fake_destroy();
	return 0;
}

static void expect_error(struct fake_registers out, int32_t code)
{
	assert_int_equal(out.x[0], FFA_ERROR);
	assert_int_equal((int32_t)out.x[2], code);
}

/*
 * Descriptors, as bytes: so that they are right whatever the structures say.
 */

static void put(uint8_t *to, size_t offset, uint64_t value, size_t size)
{
	memcpy(to + offset, &value, size);
}

static void put_access(uint8_t *to, size_t offset, uint16_t id, uint8_t permissions, uint32_t composite)
{
	put(to, offset, id, 2);
	put(to, offset + 2, permissions, 1);
	put(to, offset + 4, composite, 4);
}

static void put_range(uint8_t *to, size_t offset, uint64_t address, uint32_t pages)
{
	put(to, offset, address, 8);
	put(to, offset + 8, pages, 8);
}

/* Two pages and one, for the second partition and, with `borrowers` 2, the third. Its length. */
static uint32_t describe(uint8_t permissions, uint32_t borrowers)
{
	uint8_t *tx = fake.memory + TX;

	memset(tx, 0, PAGE_SIZE);
	put(tx, 0, 1, 2);
	put(tx, 2, 0x2F, 2);
	put(tx, 16, TAG, 8);
	put(tx, 24, 16, 4);
	put(tx, 28, borrowers, 4);
	put(tx, 32, 48, 4);
	for (uint32_t i = 0; i < borrowers; i++)
		put_access(tx, 48 + 16 * i, (uint16_t)(2 + i), permissions, RANGES - 16);
	put(tx, RANGES - 16, 3, 4);
	put(tx, RANGES - 12, 2, 4);
	put_range(tx, RANGES, PAGES, 2);
	put_range(tx, RANGES + 16, MORE, 1);
	return RANGES + 32;
}

/* One page for the second partition. */
static uint32_t describe_at(uint64_t address)
{
	uint32_t length = describe(RW, 1) - 16;

	put(fake.memory + TX, RANGES - 16, 1, 4);
	put(fake.memory + TX, RANGES - 12, 1, 4);
	put_range(fake.memory + TX, RANGES, address, 1);
	return length;
}

static struct fake_registers offer(uint32_t function, uint32_t length)
{
	return call(owner, function, length, length, 0);
}

static uint64_t handle_of(struct fake_registers out)
{
	assert_int_equal(out.x[0], FFA_SUCCESS_32);
	return out.x[2] | out.x[3] << 32;
}

static uint64_t share(uint32_t borrowers)
{
	return handle_of(offer(FFA_MEM_SHARE_32, describe(RW, borrowers)));
}

static uint64_t lend(void)
{
	return handle_of(offer(FFA_MEM_LEND_64, describe(RW, 1)));
}

static uint8_t *request(struct vcpu *vcpu, uint64_t handle, uint8_t permissions)
{
	uint8_t *tx = memory_of(vcpu) + TX;

	memset(tx, 0, PAGE_SIZE);
	put(tx, 0, 1, 2);
	put(tx, 8, handle, 8);
	put(tx, 16, TAG, 8);
	put(tx, 24, 16, 4);
	put(tx, 28, 1, 4);
	put(tx, 32, 48, 4);
	put_access(tx, 48, ffa_id(vcpu->partition), permissions, 0);
	return tx;
}

static struct fake_registers retrieve(struct vcpu *vcpu)
{
	return call(vcpu, FFA_MEM_RETRIEVE_REQ_64, 64, 64, 0);
}

/* Where the borrower sees it. */
static uint64_t borrow(struct vcpu *vcpu, uint64_t handle, uint8_t permissions)
{
	struct fake_registers out;
	uint64_t address;

	request(vcpu, handle, permissions);
	out = retrieve(vcpu);
	assert_int_equal(out.x[0], FFA_MEM_RETRIEVE_RESP);
	memcpy(&address, memory_of(vcpu) + RX + 80, 8);
	assert_int_equal(call(vcpu, FFA_RX_RELEASE, 0, 0, 0).x[0], FFA_SUCCESS_32);
	return address;
}

static struct fake_registers relinquish(struct vcpu *vcpu, uint64_t handle, uint32_t flags)
{
	uint8_t *tx = memory_of(vcpu) + TX;

	put(tx, 0, handle, 8);
	put(tx, 8, flags, 4);
	put(tx, 12, 1, 4);
	put(tx, 16, ffa_id(vcpu->partition), 2);
	return call(vcpu, FFA_MEM_RELINQUISH, 0, 0, 0);
}

static struct fake_registers reclaim(uint64_t handle, uint64_t flags)
{
	return call(owner, FFA_MEM_RECLAIM, (uint32_t)handle, handle >> 32, flags);
}

static void expect_success(struct fake_registers out)
{
	assert_int_equal(out.x[0], FFA_SUCCESS_32);
}

/* What a partition's map shows at an address: the frame, or 0. */
static uint64_t frame_at(const struct vcpu *vcpu, uint64_t address, uint32_t *flags)
{
	struct mapping mapping;

	if (!page_map_find(&vcpu->partition->guest_map, address, &mapping))
		return 0;
	if (flags)
		*flags = mapping.flags;
	return mapping.frame.value;
}

static bool audited(const struct vcpu *vcpu, uint64_t address)
{
	struct mapping leaf;

	assert_true(page_map_find(&vcpu->partition->guest_map, address, &leaf));
	return share_allows(vcpu->partition, address, &leaf);
}

static owner_t owner_at(uint64_t address)
{
	return frames_owner(&machine_frames, hpa(FAKE_HPA(0) + address));
}

/*
 * Rightly
 */

static void test_share(void **state)
{
	uint64_t handle = share(2), first, other;
	uint32_t flags = 0;

	(void)state;
	assert_int_equal(owner_at(PAGES), OWNER_AGREEMENT(0));
	assert_int_equal(owner_at(PAGES - 1), OWNER_PARTITION(0));
	first = borrow(second, handle, RW);
	other = borrow(third, handle, FFA_ACCESS_READ);
	assert_int_equal(first, AREA);
	assert_int_equal(frame_at(second, first, &flags), FAKE_HPA(0) + PAGES);
	assert_int_equal(flags, MAP_READ | MAP_WRITE);
	assert_int_equal(frame_at(second, first + 2 * PAGE_SIZE, NULL), FAKE_HPA(0) + MORE);
	assert_int_equal(frame_at(second, first + 3 * PAGE_SIZE, NULL), 0);
	assert_int_equal(frame_at(third, other, &flags), FAKE_HPA(0) + PAGES);
	assert_int_equal(flags, MAP_READ);
	assert_int_equal(frame_at(owner, PAGES, NULL), FAKE_HPA(0) + PAGES); /* it keeps it */
	assert_true(partition_contains(&fake.partition, gpa(PAGES), PAGE_SIZE));
	assert_true(audited(second, first) && audited(third, other) &&
		    audited(second, first + 2 * PAGE_SIZE));
	assert_true(share_owns(&fake.partition, hpa(FAKE_HPA(0)), FAKE_MEMORY_SIZE, true));
	expect_error(reclaim(handle, 0), FFA_DENIED);
	expect_success(relinquish(second, handle, 0));
	assert_int_equal(frame_at(second, first, NULL), 0);
	expect_error(reclaim(handle, 0), FFA_DENIED);
	expect_success(relinquish(third, handle, 0));
	assert_true(fake.flushes >= FAKE_PEER_VCPUS);
	expect_success(reclaim(handle, 0));
	assert_int_equal(owner_at(PAGES), OWNER_PARTITION(0));
	assert_int_equal(fake.memory[PAGES], JUNK);
	expect_error(reclaim(handle, 0), FFA_INVALID_PARAMETERS);
	request(second, handle, RW);
	expect_error(retrieve(second), FFA_INVALID_PARAMETERS);
}

/* The answer, byte by byte. */
static void test_response(void **state)
{
	uint64_t handle = share(1);
	uint8_t expected[96] = {0};
	struct fake_registers out;

	(void)state;
	request(second, handle, RW);
	out = retrieve(second);
	assert_int_equal(out.x[1], 96);
	assert_int_equal(out.x[2], 96);
	put(expected, 0, 1, 2);
	put(expected, 2, 0x2F, 2);
	put(expected, 4, 1 << 3, 4);
	put(expected, 8, handle, 8);
	put(expected, 16, TAG, 8);
	put(expected, 24, 16, 4);
	put(expected, 28, 1, 4);
	put(expected, 32, 48, 4);
	put_access(expected, 48, 2, RW | FFA_ACCESS_NO_EXECUTE, 64);
	put(expected, 64, 3, 4);
	put(expected, 68, 1, 4);
	put_range(expected, 80, AREA, 3);
	assert_memory_equal(fake.peer[0].memory + RX, expected, sizeof(expected));
}

static void test_lend(void **state)
{
	uint64_t handle = lend();

	(void)state;
	assert_int_equal(frame_at(owner, PAGES, NULL), 0);
	assert_int_equal(frame_at(owner, PAGES + 2 * PAGE_SIZE, NULL), FAKE_HPA(0) + PAGES + 2 * PAGE_SIZE);
	assert_false(partition_contains(&fake.partition, gpa(PAGES), 1));
	assert_false(partition_contains(&fake.partition, gpa(0), FAKE_MEMORY_SIZE));
	assert_true(partition_contains(&fake.partition, gpa(0), PAGES));
	assert_false(share_owns(&fake.partition, hpa(FAKE_HPA(0)), FAKE_MEMORY_SIZE, true));
	assert_true(share_owns(&fake.partition, hpa(FAKE_HPA(0)), FAKE_MEMORY_SIZE, false));
	assert_int_equal(borrow(second, handle, RW | FFA_ACCESS_EXECUTE), AREA);
	expect_success(relinquish(second, handle, FFA_MEMORY_ZERO));
	expect_success(reclaim(handle, 0));
	assert_int_equal(frame_at(owner, PAGES, NULL), FAKE_HPA(0) + PAGES);
	assert_true(partition_contains(&fake.partition, gpa(0), FAKE_MEMORY_SIZE));
	assert_int_equal(fake.memory[PAGES] | fake.memory[PAGES + 2 * PAGE_SIZE - 1] | fake.memory[MORE], 0);
	assert_int_equal(fake.memory[PAGES + 2 * PAGE_SIZE], JUNK);
}

static void test_lend_scrubbed(void **state)
{
	uint32_t length = describe(RW, 1);

	(void)state;
	put(fake.memory + TX, 4, FFA_MEMORY_ZERO, 4);
	put(request(second, handle_of(offer(FFA_MEM_LEND_32, length)), 0), 4,
	    FFA_MEMORY_ZERO | 2u << 3 | FFA_MEMORY_ZERO_AFTER, 4);
	assert_int_equal(fake.memory[PAGES], 0);
	assert_int_equal(retrieve(second).x[0], FFA_MEM_RETRIEVE_RESP);
}

static void test_donate(void **state)
{
	uint64_t handle = handle_of(offer(FFA_MEM_DONATE_32, describe(0, 1)));

	(void)state;
	assert_int_equal(frame_at(owner, PAGES, NULL), 0);
	assert_int_equal(borrow(second, handle, RW | FFA_ACCESS_EXECUTE), AREA);
	expect_error(relinquish(second, handle, 0), FFA_DENIED);
	expect_error(reclaim(handle, 0), FFA_DENIED);
}

static void test_reclaim_before_anybody_came(void **state)
{
	(void)state;
	expect_success(reclaim(handle_of(offer(FFA_MEM_DONATE_32, describe(0, 1))), FFA_MEMORY_ZERO));
	assert_int_equal(fake.memory[PAGES], 0);
}

/* The first with one range, the second with the other. */
static void test_fragments(void **state)
{
	uint32_t length = describe(RW, 1);
	uint8_t range[16];
	struct fake_registers out;
	uint64_t handle;

	(void)state;
	memcpy(range, fake.memory + TX + RANGES + 16, sizeof(range));
	out = call(owner, FFA_MEM_SHARE_32, length, length - 16, 0);
	assert_int_equal(out.x[0], FFA_MEM_FRAG_RX);
	assert_int_equal(out.x[3], length - 16);
	handle = out.x[1] | out.x[2] << 32;
	request(second, handle, RW);
	expect_error(retrieve(second), FFA_INVALID_PARAMETERS); /* not yet */
	expect_error(reclaim(handle, 0), FFA_INVALID_PARAMETERS);
	memcpy(fake.memory + TX, range, sizeof(range));
	expect_error(call(owner, FFA_MEM_FRAG_TX, out.x[1], out.x[2], 0), FFA_INVALID_PARAMETERS);
	expect_error(call(owner, FFA_MEM_FRAG_TX, out.x[1], out.x[2], 32), FFA_INVALID_PARAMETERS);
	expect_error(call(second, FFA_MEM_FRAG_TX, out.x[1], out.x[2], 16), FFA_INVALID_PARAMETERS);
	out = call(owner, FFA_MEM_FRAG_TX, out.x[1], out.x[2], 16);
	assert_int_equal(handle_of(out), handle);
	assert_int_equal(borrow(second, handle, RW), AREA);
	assert_int_equal(frame_at(second, AREA + 2 * PAGE_SIZE, NULL), FAKE_HPA(0) + MORE);
	expect_error(call(owner, FFA_MEM_FRAG_TX, (uint32_t)handle, handle >> 32, 16),
		     FFA_INVALID_PARAMETERS);
}

/* A fragment that is wrong takes the whole with it. */
static void test_bad_fragment(void **state)
{
	uint32_t length = describe(RW, 1);
	struct fake_registers out = call(owner, FFA_MEM_SHARE_32, length, length - 16, 0);

	(void)state;
	put_range(fake.memory + TX, 0, MORE + 1, 1);
	expect_error(call(owner, FFA_MEM_FRAG_TX, out.x[1], out.x[2], 16), FFA_INVALID_PARAMETERS);
	assert_null(share_find(out.x[1] | out.x[2] << 32));
}

/*
 * Wrongly
 */

/* One field of a right description changed, at `offset`. */
struct change {
	uint32_t offset, size;
	uint64_t value;
	int32_t code;
};

static void test_description_errors(void **state)
{
	static const struct change changes[] = {
		{0, 2, 2, FFA_INVALID_PARAMETERS},	     /* sender */
		{2, 2, 0x13, FFA_INVALID_PARAMETERS},	     /* attributes: a device */
		{4, 4, 1, FFA_INVALID_PARAMETERS},	     /* flags: zero what is shared */
		{4, 4, 2, FFA_INVALID_PARAMETERS},	     /* time slices */
		{8, 8, 1, FFA_INVALID_PARAMETERS},	     /* handle */
		{24, 4, 32, FFA_INVALID_PARAMETERS},	     /* entries of another size */
		{28, 4, 0, FFA_INVALID_PARAMETERS},	     /* no borrower */
		{28, 4, 5, FFA_INVALID_PARAMETERS},	     /* too many */
		{32, 4, 32, FFA_INVALID_PARAMETERS},	     /* entries in the header */
		{32, 4, 50, FFA_INVALID_PARAMETERS},	     /* misaligned */
		{32, 4, 0xFFFFFFF0, FFA_INVALID_PARAMETERS}, /* outside */
		{48, 2, 1, FFA_INVALID_PARAMETERS},	     /* to itself */
		{48, 2, 9, FFA_INVALID_PARAMETERS},	     /* to nobody */
		{48, 2, 3, FFA_INVALID_PARAMETERS},	     /* twice to the same */
		{50, 1, 0, FFA_INVALID_PARAMETERS},	     /* no permissions */
		{50, 1, 3, FFA_INVALID_PARAMETERS},	     /* reserved ones */
		{50, 1, RW | FFA_ACCESS_EXECUTE, FFA_INVALID_PARAMETERS},
		{50, 1, RW | 3 << 2, FFA_INVALID_PARAMETERS},
		{51, 1, 1, FFA_INVALID_PARAMETERS},		   /* flags of an entry */
		{56, 8, 1, FFA_INVALID_PARAMETERS},		   /* reserved */
		{68, 4, 88, FFA_INVALID_PARAMETERS},		   /* two composites */
		{80, 4, 4, FFA_INVALID_PARAMETERS},		   /* more pages than ranges */
		{84, 4, 0, FFA_INVALID_PARAMETERS},		   /* no range */
		{84, 4, 3, FFA_INVALID_PARAMETERS},		   /* more than come */
		{88, 8, 1, FFA_INVALID_PARAMETERS},		   /* reserved */
		{96, 8, PAGES + 8, FFA_INVALID_PARAMETERS},	   /* misaligned */
		{96, 8, FAKE_MEMORY_SIZE, FFA_INVALID_PARAMETERS}, /* not its memory */
		{96, 8, FAKE_MEMORY_SIZE - PAGE_SIZE, FFA_INVALID_PARAMETERS},
		{96, 8, MORE - PAGE_SIZE, FFA_DENIED}, /* one page twice */
		{104, 4, 0, FFA_INVALID_PARAMETERS},   /* no page */
		{104, 4, SHARE_PAGES + 1, FFA_NO_MEMORY},
		{108, 4, 1, FFA_INVALID_PARAMETERS}, /* reserved */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
		uint32_t length = describe(RW, 2);

		put(fake.memory + TX, changes[i].offset, changes[i].value, changes[i].size);
		expect_error(offer(FFA_MEM_SHARE_32, length), changes[i].code);
		assert_int_equal(machine_frames.count, 3);
	}
	handle_of(offer(FFA_MEM_SHARE_32, describe(RW, 2)));
}

static void test_offer_errors(void **state)
{
	uint32_t length = describe(RW, 1);

	(void)state;
	expect_error(call(owner, FFA_MEM_SHARE_32, length, length, 0x6000), FFA_INVALID_PARAMETERS);
	expect_error(call(owner, FFA_MEM_SHARE_32, length, length + 16, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(owner, FFA_MEM_SHARE_32, 1u << 20, length, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(owner, FFA_MEM_SHARE_32, 8192, 8192, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(owner, FFA_MEM_SHARE_32, length + 8, length, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(owner, FFA_MEM_SHARE_32, 40, 40, 0), FFA_INVALID_PARAMETERS);
	expect_error(offer(FFA_MEM_DONATE_32, describe(RW, 1)), FFA_INVALID_PARAMETERS);
	expect_error(offer(FFA_MEM_DONATE_32, describe(0, 2)), FFA_INVALID_PARAMETERS);
	expect_error(offer(FFA_MEM_LEND_32, describe(RW | FFA_ACCESS_EXECUTE, 2)), FFA_INVALID_PARAMETERS);
	fake.partition.ffa->rights[1] = CHANNEL_MESSAGE;
	expect_error(offer(FFA_MEM_SHARE_32, describe(RW, 1)), FFA_DENIED);
	fake.partition.ffa->rights[1] = CHANNEL_SHARE;
	expect_success(call(owner, FFA_RXTX_UNMAP, 0, 0, 0));
	expect_error(offer(FFA_MEM_SHARE_32, length), FFA_INVALID_PARAMETERS);
}

/* What is shared or lent already, or used by the hypervisor, is not the owner's alone. */
static void test_exclusive(void **state)
{
	static const uint64_t used[] = {TX, RX, FAKE_STOLEN_GPA, 0x6000, 0x7000};
	uint64_t handle = share(1);

	(void)state;
	expect_error(offer(FFA_MEM_SHARE_32, describe(RW, 1)), FFA_DENIED);
	expect_error(offer(FFA_MEM_LEND_32, describe(RW, 1)), FFA_DENIED);
	expect_success(reclaim(handle, 0));
	assert_int_equal(call(owner, VENDOR_EVENT_PAGE, 0x6000, 48, 0).x[0], 0);
	assert_int_equal(call(owner, VENDOR_CONSOLE_RING, 0x7000, 0, 0).x[0], 0);
	for (unsigned i = 0; i < ARRAY_SIZE(used); i++) {
		uint32_t length = describe(RW, 1);

		put_range(fake.memory + TX, RANGES + 16, used[i], 1);
		expect_error(offer(FFA_MEM_LEND_32, length), FFA_DENIED);
		assert_int_equal(owner_at(PAGES), OWNER_PARTITION(0));
		assert_int_equal(atomic_load(&fake.partition.away), 0);
	}
	(void)lend();
	assert_int_equal(call(owner, VENDOR_EVENT_PAGE, PAGES, 48, 0).x[0],
			 (uint64_t)SMCCC_INVALID_PARAMETER);
	assert_int_equal(call(owner, VENDOR_CONSOLE_RING, PAGES, 0, 0).x[0],
			 (uint64_t)SMCCC_INVALID_PARAMETER);
	assert_int_equal(call(owner, VENDOR_CLOCK_PAGE, PAGES, 0, 0).x[0], (uint64_t)SMCCC_INVALID_PARAMETER);
}

static void test_retrieve_errors(void **state)
{
	static const struct change changes[] = {
		{0, 2, 3, FFA_INVALID_PARAMETERS},
		{2, 2, 1, FFA_INVALID_PARAMETERS},
		{4, 4, 1 << 10, FFA_INVALID_PARAMETERS},
		{4, 4, 2 << 3, FFA_INVALID_PARAMETERS},
		{4, 4, 4, FFA_INVALID_PARAMETERS},
		{4, 4, 1, FFA_DENIED},
		{8, 8, 99, FFA_INVALID_PARAMETERS},
		{16, 8, 0, FFA_INVALID_PARAMETERS},
		{24, 4, 8, FFA_INVALID_PARAMETERS},
		{28, 4, 0, FFA_INVALID_PARAMETERS},
		{28, 4, 5, FFA_INVALID_PARAMETERS},
		{32, 4, 40, FFA_INVALID_PARAMETERS},
		{32, 4, 16, FFA_INVALID_PARAMETERS},
		{32, 4, 64, FFA_INVALID_PARAMETERS},
		{48, 2, 9, FFA_INVALID_PARAMETERS},
		{48, 2, 3, FFA_INVALID_PARAMETERS},
		{50, 1, 3, FFA_INVALID_PARAMETERS},
		{50, 1, RW | 3 << 2, FFA_INVALID_PARAMETERS},
		{50, 1, RW | FFA_ACCESS_EXECUTE, FFA_DENIED},
		{52, 4, 64, FFA_INVALID_PARAMETERS},
		{56, 8, 1, FFA_INVALID_PARAMETERS},
	};
	uint64_t handle = share(1);

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
		put(request(second, handle, RW), changes[i].offset, changes[i].value, changes[i].size);
		expect_error(retrieve(second), changes[i].code);
	}
	request(third, handle, RW);
	expect_error(retrieve(third), FFA_INVALID_PARAMETERS); /* not for it */
	request(second, handle, RW);
	expect_error(call(second, FFA_MEM_RETRIEVE_REQ_32, 64, 48, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(second, FFA_MEM_RETRIEVE_REQ_32, 40, 40, 0), FFA_INVALID_PARAMETERS);
	expect_error(call(second, FFA_MEM_RETRIEVE_REQ_32, 64, 64, 1), FFA_INVALID_PARAMETERS);
	assert_int_equal(retrieve(second).x[0], FFA_MEM_RETRIEVE_RESP);
	expect_error(retrieve(second), FFA_BUSY); /* RX is full */
	expect_success(call(second, FFA_RX_RELEASE, 0, 0, 0));
	expect_error(retrieve(second), FFA_DENIED); /* it has it */
}

static void test_read_only(void **state)
{
	uint64_t handle = handle_of(offer(FFA_MEM_LEND_32, describe(FFA_ACCESS_READ, 1)));
	uint32_t flags = 0;

	(void)state;
	request(second, handle, RW);
	expect_error(retrieve(second), FFA_DENIED);
	(void)frame_at(second, borrow(second, handle, 0), &flags);
	assert_int_equal(flags, MAP_READ);
	assert_true(share_sees(second->partition, gpa(AREA), MAP_READ));
	assert_false(share_sees(second->partition, gpa(AREA), MAP_WRITE));
	expect_error(relinquish(second, handle, FFA_MEMORY_ZERO), FFA_INVALID_PARAMETERS);
}

static void test_relinquish_errors(void **state)
{
	uint64_t handle = share(1);
	uint8_t *tx = fake.peer[0].memory + TX;

	(void)state;
	expect_error(relinquish(second, handle, 0), FFA_DENIED); /* not retrieved */
	borrow(second, handle, RW);
	expect_error(relinquish(second, handle, 2), FFA_INVALID_PARAMETERS);
	expect_error(relinquish(second, handle, FFA_MEMORY_ZERO), FFA_INVALID_PARAMETERS);
	expect_error(relinquish(second, handle + 1, 0), FFA_INVALID_PARAMETERS);
	expect_error(relinquish(third, handle, 0), FFA_INVALID_PARAMETERS);
	put(tx, 0, handle, 8);
	put(tx, 12, 2, 4);
	expect_error(call(second, FFA_MEM_RELINQUISH, 0, 0, 0), FFA_INVALID_PARAMETERS);
	put(tx, 12, 1, 4);
	put(tx, 16, 3, 2);
	expect_error(call(second, FFA_MEM_RELINQUISH, 0, 0, 0), FFA_INVALID_PARAMETERS);
	expect_error(reclaim(handle, 2), FFA_INVALID_PARAMETERS);
	/* One of its vCPUs waits already. */
	atomic_store(&second->partition->flush_waiter, &fake.peer[0].shared[1]);
	expect_error(relinquish(second, handle, 0), FFA_BUSY);
	atomic_store(&fake.partition.flush_waiter, &fake.shared[1]);
	expect_success(offer(FFA_MEM_SHARE_32, describe_at(0x6000)));
	expect_error(offer(FFA_MEM_LEND_32, describe_at(0x7000)), FFA_BUSY);
}

/* From the moment that the map has shrunk, nobody may take the partition's CPUs for up to date. */
static void test_unmapped_is_not_flushed(void **state)
{
	uint64_t handle = share(1);

	(void)state;
	borrow(second, handle, RW);
	assert_true(share_flushed(second->partition));
	share_unmap(second->partition, share_find_view(second->partition, handle));
	assert_false(share_flushed(second->partition));
}

static void test_limits(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SHARES_OF_ONE; i++)
		handle_of(offer(FFA_MEM_SHARE_32, describe_at(0x6000 + i * PAGE_SIZE)));
	expect_error(offer(FFA_MEM_SHARE_32, describe(RW, 1)), FFA_NO_MEMORY);
}

/* Frames of others far away, until the table of owners has `count` entries. */
static void fill_frames(uint64_t at, uint32_t count)
{
	for (; machine_frames.count < count; at += 2 * PAGE_SIZE)
		assert_int_equal(frames_add(&machine_frames, hpa(at), PAGE_SIZE, OWNER_FIRMWARE), OK);
}

/* The table has no room for its pieces; and where it has, they come back whatever way they stand. */
static void test_full_table(void **state)
{
	const uint32_t count = FRAMES_MAX - 2;
	uint64_t handle;

	(void)state;
	fill_frames(1ull << 40, count);
	assert_int_equal(share_partition_created(&fake.partition),
			 OK); /* it counts what is there before any */
	expect_error(offer(FFA_MEM_LEND_32, describe(RW, 1)), FFA_NO_MEMORY);
	assert_int_equal(machine_frames.count, count);
	machine_frames.count = count - 2 * 3 * partition_count;
	assert_int_equal(share_partition_created(&fake.partition), OK);
	(void)describe(RW, 1); /* three pieces side by side, the middle first: each end of one is another's */
	put_range(fake.memory + TX, RANGES, MORE + PAGE_SIZE, 1);
	put_range(fake.memory + TX, RANGES + 16, MORE, 1);
	put_range(fake.memory + TX, RANGES + 32, MORE + 2 * PAGE_SIZE, 1);
	put(fake.memory + TX, RANGES - 12, 3, 4);
	put(fake.memory + TX, RANGES - 16, 3, 4);
	handle = handle_of(offer(FFA_MEM_LEND_32, RANGES + 48));
	fill_frames(1ull << 41, FRAMES_MAX - 2); /* the others use all that is theirs */
	share_partition_ended(&fake.partition);
	assert_null(share_find(handle));
}

/*
 * Ends
 */

static void end(struct partition *partition)
{
	for (unsigned i = 0; i < partition->vcpu_count; i++)
		atomic_store(&partition->vcpu[i].state, VCPU_OFF);
	call_partition_reset(partition);
	calls_tell_others(partition);
}

/* The borrower goes on with a page of its own, until it gives that back. */
static void test_owner_ends(void **state)
{
	uint64_t handle = lend();

	(void)state;
	borrow(second, handle, RW);
	end(&fake.partition);
	assert_int_equal(frame_at(second, AREA, NULL), second->partition->stand_in.value);
	assert_int_equal(frame_at(second, AREA + 2 * PAGE_SIZE, NULL), second->partition->stand_in.value);
	assert_true(audited(second, AREA));
	assert_true(share_flushed(second->partition));
	assert_int_equal(owner_at(PAGES), OWNER_PARTITION(0));
	assert_int_equal(frame_at(owner, PAGES, NULL), FAKE_HPA(0) + PAGES);
	assert_int_equal(atomic_load(&fake.partition.away), 0);
	assert_int_equal(machine_frames.count, 3);
	assert_true(atomic_load(&second->shared->events) & 1ull << BH_EVENT_PEER);
	request(second, handle, RW);
	expect_error(retrieve(second), FFA_ABORTED);
	expect_success(relinquish(second, handle, 0));
	assert_int_equal(frame_at(second, AREA, NULL), 0);
	assert_null(share_find(handle));
}

static void test_owner_ends_with_nothing_out(void **state)
{
	uint64_t handle = share(2), other;
	uint32_t length = describe(RW, 1);

	(void)state;
	put_range(fake.memory + TX, RANGES, 0x6000, 2);
	other = call(owner, FFA_MEM_SHARE_32, length, length - 16, 0).x[1];
	end(&fake.partition);
	assert_null(share_find(handle));
	assert_true(other != 0);
	assert_int_equal(machine_frames.count, 3);
}

static void test_borrower_ends(void **state)
{
	uint64_t handle = handle_of(offer(FFA_MEM_DONATE_32, describe(0, 1)));

	(void)state;
	borrow(second, handle, 0);
	end(second->partition);
	assert_int_equal(frame_at(second, AREA, NULL), 0);
	assert_int_equal(fake.memory[PAGES], JUNK);
	expect_success(reclaim(handle, 0)); /* what was given away is there again, scrubbed */
	assert_int_equal(fake.memory[PAGES], 0);
	assert_int_equal(frame_at(owner, PAGES, NULL), FAKE_HPA(0) + PAGES);
}

static void test_both_end(void **state)
{
	uint64_t handle = share(2);

	(void)state;
	borrow(second, handle, RW);
	borrow(third, handle, RW);
	end(&fake.partition);
	assert_null(share_find(handle));
	end(second->partition);
	assert_int_equal(frame_at(second, AREA, NULL), 0);
	assert_int_equal(frame_at(third, AREA, NULL), third->partition->stand_in.value);
	end(third->partition);
	assert_int_equal(frame_at(third, AREA, NULL), 0);
}

static void start_again(struct vcpu *vcpu)
{
	atomic_store(&vcpu->shared->state, VCPU_ON);
	expect_success(call(vcpu, FFA_RXTX_MAP_64, TX, RX, 1));
}

/* Whoever keeps what is gone loses by it, not the owner. */
static void test_borrower_never_gives_back(void **state)
{
	uint64_t handle[VIEWS_OF_ONE + 1];

	(void)state;
	for (unsigned i = 0; i < VIEWS_OF_ONE; i++) {
		handle[i] = lend();
		borrow(second, handle[i], RW);
		end(&fake.partition);
		start_again(owner);
	}
	handle[VIEWS_OF_ONE] = lend();
	request(second, handle[VIEWS_OF_ONE], RW);
	expect_error(retrieve(second), FFA_NO_MEMORY);
	request(second, handle[0], RW);
	expect_error(retrieve(second), FFA_ABORTED);
	expect_success(relinquish(second, handle[0], FFA_MEMORY_ZERO));
	borrow(second, handle[VIEWS_OF_ONE], RW);
	expect_error(reclaim(handle[0], 0), FFA_INVALID_PARAMETERS);
	/* It is told to none but those that may share with the owner. */
	third->partition->ffa->rights[0] = CHANNEL_NOTIFY;
	request(third, handle[0], RW);
	expect_error(retrieve(third), FFA_INVALID_PARAMETERS);
}

static void owner_ends(struct vcpu *vcpu)
{
	assert_false(share_flushed(vcpu->partition));
	share_partition_ended(&fake.partition);
	assert_true(share_flushed(vcpu->partition));
}

/* While its CPUs forget what it gives back. */
static void test_owner_ends_meanwhile(void **state)
{
	uint64_t handle = lend();

	(void)state;
	borrow(second, handle, RW);
	fake.wait_hook = owner_ends;
	expect_success(relinquish(second, handle, 0));
	assert_null(share_find_view(second->partition, handle));
	assert_int_equal(frame_at(second, AREA, NULL), 0);
	assert_int_equal(owner_at(PAGES), OWNER_PARTITION(0));
}

/* An order that comes while the borrower waits for its CPUs. */
static void test_giving_back_is_cut_short(void **state)
{
	uint64_t handle = lend();

	(void)state;
	borrow(second, handle, RW);
	fake.wait_result = EXIT_LEAVE_NEXT;
	(void)relinquish(second, handle, 0);
	assert_int_equal(fake.action, EXIT_LEAVE_NEXT);
	expect_error(reclaim(handle, 0), FFA_DENIED);
	end(second->partition);
	expect_success(reclaim(handle, 0));
}

/* An order that comes while the owner waits for its CPUs. */
static void test_lending_is_cut_short(void **state)
{
	(void)state;
	fake.wait_result = EXIT_LEAVE_NEXT;
	(void)offer(FFA_MEM_LEND_32, describe(RW, 1));
	assert_int_equal(fake.action, EXIT_LEAVE_NEXT);
	end(&fake.partition);
	assert_int_equal(machine_frames.count, 3);
	assert_int_equal(frame_at(owner, PAGES, NULL), FAKE_HPA(0) + PAGES);
}

/* The borrower's other vCPU takes the buffers back as soon as the map asks for a page. */
static enum status allocate_meanwhile(hpa_t *frame)
{
	struct vcpu *other = &fake.peer[0].vcpu[1];

	other->regs.rax = FFA_RXTX_UNMAP;
	other->regs.rsi = 0;
	assert_int_equal(exit_hypercall(other), EXIT_NEXT);
	return pool_pages.allocate(frame);
}

static void test_buffers_go_during_a_retrieval(void **state)
{
	const struct page_source source = {allocate_meanwhile, pool_pages.release, pool_pages.reach};
	struct page_map *map = &second->partition->guest_map;
	const uint64_t handle = share(1);
	struct fake_registers out;

	(void)state;
	(void)request(second, handle, RW);
	map->source = &source;
	out = retrieve(second);
	map->source = &pool_pages;
	assert_int_equal(out.x[0], FFA_MEM_RETRIEVE_RESP);
	assert_null(second->partition->ffa->rx);
	expect_error(call(second, FFA_RX_RELEASE, 0, 0, 0), FFA_DENIED);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_share),
		CASE(test_response),
		CASE(test_lend),
		CASE(test_lend_scrubbed),
		CASE(test_donate),
		CASE(test_reclaim_before_anybody_came),
		CASE(test_fragments),
		CASE(test_bad_fragment),
		CASE(test_description_errors),
		CASE(test_offer_errors),
		CASE(test_exclusive),
		CASE(test_retrieve_errors),
		CASE(test_read_only),
		CASE(test_relinquish_errors),
		CASE(test_unmapped_is_not_flushed),
		CASE(test_limits),
		CASE(test_full_table),
		CASE(test_owner_ends),
		CASE(test_owner_ends_with_nothing_out),
		CASE(test_borrower_ends),
		CASE(test_both_end),
		CASE(test_borrower_never_gives_back),
		CASE(test_owner_ends_meanwhile),
		CASE(test_giving_back_is_cut_short),
		CASE(test_lending_is_cut_short),
		CASE(test_buffers_go_during_a_retrieval),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
