/*
 * FF-A's memory management: descriptions with every field wrong in its turn, fragments, and the ways of a
 * page there and back, with pong at the other end.
 */
#include "../common/text.h"
#include "../pong/pong.h"
#include "peers.h"

#define PERMISSIONS (FFA_ACCESS_WRITE | FFA_ACCESS_NO_EXECUTE)
#define MOST	    8u /* agreements of one owner */

/* One borrower, one range. */
struct description {
	struct ffa_memory header;
	struct ffa_memory_access access;
	struct ffa_memory_composite composite;
	struct ffa_memory_range range;
};
#define LENGTH	   sizeof(struct description)
#define REQUEST	   offsetof(struct description, composite)
#define RELINQUISH (sizeof(struct ffa_memory_relinquish) + sizeof(uint16_t))
#define FIRST_PART offsetof(struct description, range)
#define UNKNOWN                                                                                              \
	{                                                                                                    \
		.what = "an unknown handle", .x = {1, 1}, .expected = FFA_INVALID_PARAMETERS                 \
	}

static uint8_t pages[MOST + 1][PAGE] __attribute__((aligned(PAGE)));

static const struct row describe_rows[] = {
	{.what = "without buffers", .x = {LENGTH, LENGTH}, .expected = FFA_INVALID_PARAMETERS}};
static const struct row retrieve_rows[] = {
	{.what = "without buffers", .x = {REQUEST, REQUEST}, .expected = FFA_INVALID_PARAMETERS}};
static const struct row relinquish_rows[] = {{.what = "without buffers", .expected = FFA_INVALID_PARAMETERS}};
static const struct row handle_rows[] = {UNKNOWN};

#define BOTH(name, rows)                                                                                     \
	{                                                                                                    \
		"FFA_" #name, FFA_##name##_32, FORM_BOTH, FAMILY_FFA, 4, 4, ROWS(rows)                       \
	}
#define ONE(name, rows)                                                                                      \
	{                                                                                                    \
		"FFA_" #name, FFA_##name, FORM_32, FAMILY_FFA, 4, 4, ROWS(rows)                              \
	}
enum { SHARE, LEND, DONATE, RETRIEVE, RELINQUISHING, RECLAIM, FRAGMENT, CALLS };
static const struct call calls[CALLS] = {
	[SHARE] = BOTH(MEM_SHARE, describe_rows),
	[LEND] = BOTH(MEM_LEND, describe_rows),
	[DONATE] = BOTH(MEM_DONATE, describe_rows),
	[RETRIEVE] = BOTH(MEM_RETRIEVE_REQ, retrieve_rows),
	[RELINQUISHING] = ONE(MEM_RELINQUISH, relinquish_rows),
	[RECLAIM] = ONE(MEM_RECLAIM, handle_rows),
	[FRAGMENT] = ONE(MEM_FRAG_TX, handle_rows),
};

#define REFUSED(call, words, code, ...) CHECK_ROW(&calls[call], 0, words, code, 0, __VA_ARGS__)
#define DONE(call, words, ...)		CHECK_ROW(&calls[call], 0, words, 0, ROW_ONCE, __VA_ARGS__)

void check_memory(void)
{
	check_calls(calls, CALLS);
}

/*
 * The owner's side
 */

static void put_description(unsigned page, uint8_t permissions)
{
	const struct description right = {
		.header = {.sender = SELF,
			   .attributes = FFA_MEMORY_NORMAL,
			   .access_size = sizeof(right.access),
			   .access_count = 1,
			   .access_offset = offsetof(struct description, access)},
		.access = {.receiver = PEER,
			   .permissions = permissions,
			   .composite_offset = offsetof(struct description, composite)},
		.composite = {.pages = 1, .count = 1},
		.range = {.address = (uint64_t)pages[page], .pages = 1}};

	memcpy(bh_tx, &right, sizeof(right));
}

/* A field, and what must not stand in it. */
struct mistake {
	const char *what;
	size_t offset, size;
	uint64_t value;
	int code;
};

#define AT(field) offsetof(struct description, field), sizeof(((struct description *)0)->field)
#define INVALID	  FFA_INVALID_PARAMETERS

static const struct mistake mistakes[] = {
	{"another's name", AT(header.sender), PEER, INVALID},
	{"device memory", AT(header.attributes), 0x10, INVALID},
	{"a reserved flag", AT(header.flags), 1u << 5, INVALID},
	{"a handle", AT(header.handle), 1, INVALID},
	{"entries of another size", AT(header.access_size), 32, INVALID},
	{"no borrower", AT(header.access_count), 0, INVALID},
	{"five borrowers", AT(header.access_count), 5, INVALID},
	{"borrowers inside the header", AT(header.access_offset), 32, INVALID},
	{"borrowers misaligned", AT(header.access_offset), 52, INVALID},
	{"borrowers far away", AT(header.access_offset), 0xFFFFFFF0, INVALID},
	{"to nobody", AT(access.receiver), NOBODY, INVALID},
	{"to itself", AT(access.receiver), SELF, INVALID},
	{"to a stranger", AT(access.receiver), STRANGER, INVALID},
	{"no right", AT(access.receiver), MUTE, FFA_DENIED},
	{"permissions nobody knows", AT(access.permissions), 3, INVALID},
	{"a reserved permission", AT(access.permissions), 0x40 | PERMISSIONS, INVALID},
	{"flags of a borrower", AT(access.flags), 1, INVALID},
	{"a reserved word of a borrower", AT(access.reserved), 1, INVALID},
	{"ranges inside the header", AT(access.composite_offset), 16, INVALID},
	{"ranges far away", AT(access.composite_offset), 0xFFFFFFF0, INVALID},
	{"more pages than ranges have", AT(composite.pages), 2, INVALID},
	{"no ranges", AT(composite.count), 0, INVALID},
	{"more ranges than there are", AT(composite.count), 2, INVALID},
	{"a reserved word of the composite", AT(composite.reserved), 1, INVALID},
	{"a range misaligned", AT(range.address), (uint64_t)pages + 8, INVALID},
	{"a range that is no memory", AT(range.address), OUTSIDE, INVALID},
	{"a range of no pages", AT(range.pages), 0, INVALID},
	{"a range beyond memory", AT(range.pages), 4096, INVALID},
	{"a range too long", AT(range.pages), 4097, FFA_NO_MEMORY},
	{"a reserved word of a range", AT(range.reserved), 1, INVALID},
};

/* In each kind of agreement. A donation has no permissions. */
static void check_mistakes(void)
{
	for (unsigned kind = SHARE; kind <= DONATE; kind++) {
		const uint8_t permissions = kind == DONATE ? 0 : PERMISSIONS;

		for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
			put_description(0, permissions);
			memcpy(bh_tx + mistakes[i].offset, &mistakes[i].value, mistakes[i].size);
			REFUSED(kind, mistakes[i].what, mistakes[i].code, LENGTH, LENGTH);
		}
		put_description(0, permissions);
		REFUSED(kind, "a fragment longer than all", INVALID, LENGTH, LENGTH + 16);
		REFUSED(kind, "too long", INVALID, 1u << 20, LENGTH);
		REFUSED(kind, "not a whole range", INVALID, LENGTH + 8, LENGTH + 8);
		REFUSED(kind, "shorter than its header", INVALID, 16, 16);
		REFUSED(kind, "a buffer of its own", INVALID, LENGTH, LENGTH, (uint64_t)pages);
		REFUSED(kind, "pages of a buffer", INVALID, LENGTH, LENGTH, 0, 1);
	}
	put_description(0, FFA_ACCESS_READ | FFA_ACCESS_EXECUTE);
	REFUSED(SHARE, "to execute", INVALID, LENGTH, LENGTH);
	put_description(0, PERMISSIONS);
	REFUSED(DONATE, "permissions", INVALID, LENGTH, LENGTH);
}

/* Makes an agreement about a page; its handle. */
static uint64_t agree(unsigned kind, uint32_t form, const char *what, unsigned page)
{
	const struct row row = {.what = what, .x = {LENGTH, LENGTH}, .flags = ROW_ONCE};
	uint64_t x[8];

	put_description(page, kind == DONATE ? 0 : PERMISSIONS);
	check_row(&calls[kind], form, &row, x);
	return (uint32_t)x[2] | x[3] << 32;
}

#define HANDLE(handle) (uint32_t)(handle), (handle) >> 32

/* pong takes a page as an empty queue, and gives it back. */
static void have_pong(uint64_t what, uint64_t handle)
{
	struct bh_direct direct = {.peer = PEER, .word = {what, handle, 1024}};
	int result;

	while ((result = bh_direct_request(&direct)) == FFA_BUSY)
		;
	expect("pong's answer", (uint64_t)result | direct.word[0], 0);
}

static void check_sharing(void)
{
	const uint64_t handle = agree(SHARE, SMCCC_64, "a page", 0);

	put_description(0, PERMISSIONS);
	REFUSED(SHARE, "a page that is shared", FFA_DENIED, LENGTH, LENGTH);
	REFUSED(LEND, "a page that is shared", FFA_DENIED, LENGTH, LENGTH);
	REFUSED(FRAGMENT, "of one that is complete", INVALID, HANDLE(handle), 16);
	REFUSED(RECLAIM, "a reserved flag", INVALID, HANDLE(handle), 2);
	have_pong(PONG_OPEN_QUEUE, handle);
	REFUSED(RECLAIM, "somebody has it", FFA_DENIED, HANDLE(handle), 0);
	have_pong(PONG_CLOSE_QUEUE, handle);
	DONE(RECLAIM, "shared", HANDLE(handle), 0);
	REFUSED(RECLAIM, "again", INVALID, HANDLE(handle), 0);
}

/* What is lent is overwritten where that is asked for. */
static void check_lending(void)
{
	uint64_t handle;

	memset(pages[1], 0x55, PAGE);
	handle = agree(LEND, SMCCC_64, "a page", 1);
	REFUSED(SHARE, "a page that is lent", FFA_DENIED, LENGTH, LENGTH);
	DONE(RECLAIM, "lent", HANDLE(handle), 0);
	check(pages[1][0] == 0x55, "a page that came back");
	handle = agree(LEND, 0, "a page", 1);
	DONE(RECLAIM, "to be overwritten", HANDLE(handle), FFA_MEMORY_ZERO);
	check(pages[1][0] == 0, "a page that came back overwritten");
	handle = agree(DONATE, SMCCC_64, "a page", 1);
	DONE(RECLAIM, "donated, not taken", HANDLE(handle), 0);
	handle = agree(DONATE, 0, "a page", 1);
	DONE(RECLAIM, "donated, not taken, in 32 bits", HANDLE(handle), 0);
	put_description(1, PERMISSIONS);
	const uint64_t events = (uint64_t)bh_event_page();
	memcpy(bh_tx + offsetof(struct description, range.address), &events, sizeof(events));
	REFUSED(LEND, "the event page", FFA_DENIED, LENGTH, LENGTH);
}

/* A description of one range in two parts. */
static void check_fragments(void)
{
	struct row first = {.what = "in fragments",
			    .x = {LENGTH, FIRST_PART},
			    .expected = FFA_MEM_FRAG_RX,
			    .flags = ROW_ONCE};
	uint64_t x[8];

	put_description(2, PERMISSIONS);
	check_row(&calls[SHARE], 0, &first, x);
	expect("bytes so far", x[3], FIRST_PART);
	REFUSED(FRAGMENT, "nothing", INVALID, x[1], x[2], 0);
	REFUSED(FRAGMENT, "too much", INVALID, x[1], x[2], 32);
	REFUSED(FRAGMENT, "an endpoint", INVALID, x[1], x[2], 16, 1u << 16);
	REFUSED(RECLAIM, "one that is not complete", INVALID, x[1], x[2], 0);
	memcpy(bh_tx, bh_tx + FIRST_PART, sizeof(struct ffa_memory_range));
	DONE(FRAGMENT, "the last", x[1], x[2], sizeof(struct ffa_memory_range));
	DONE(RECLAIM, "of fragments", x[1], x[2], 0);
	put_description(2, PERMISSIONS);
	first.what = "in fragments, the second wrong";
	check_row(&calls[SHARE], 0, &first, x);
	REFUSED(FRAGMENT, "no range", INVALID, x[1], x[2], sizeof(struct ffa_memory_range));
	REFUSED(FRAGMENT, "of one that was dropped", INVALID, x[1], x[2], sizeof(struct ffa_memory_range));
}

static void check_too_many(void)
{
	uint64_t handle[MOST] = {0};

	for (unsigned i = 0; i < MOST; i++)
		expect("one of many", (uint64_t)bh_memory_share(PEER, pages[i], 1, &handle[i]), 0);
	put_description(MOST, PERMISSIONS);
	REFUSED(SHARE, "too many agreements", FFA_NO_MEMORY, LENGTH, LENGTH);
	for (unsigned i = 0; i < MOST; i++)
		expect("one of many back", (uint64_t)bh_memory_reclaim(handle[i]), 0);
}

void check_owning(void)
{
	expect("buffers", (uint64_t)bh_map_buffers(), 0);
	check_mistakes();
	check_sharing();
	check_lending();
	check_fragments();
	check_too_many();
}

/*
 * The borrower's side: pong shares a page, to be read and written
 */

static void put_request(uint64_t handle)
{
	const struct description right = {.header = {.sender = PEER,
						     .handle = handle,
						     .access_size = sizeof(right.access),
						     .access_count = 1,
						     .access_offset = offsetof(struct description, access)},
					  .access = {.receiver = SELF}};

	memcpy(bh_tx, &right, REQUEST);
}

static const struct mistake request_mistakes[] = {
	{"in another's name", AT(header.sender), MUTE, INVALID},
	{"an unknown handle", AT(header.handle), 1, INVALID},
	{"another tag", AT(header.tag), 1, INVALID},
	{"device memory", AT(header.attributes), 0x10, INVALID},
	{"a reserved flag", AT(header.flags), 1u << 1, INVALID},
	{"as lent", AT(header.flags), FFA_MEMORY_KIND_LEND << FFA_MEMORY_KIND_SHIFT, INVALID},
	{"overwritten when given back, but shared", AT(header.flags), FFA_MEMORY_ZERO_AFTER, INVALID},
	{"overwritten, but it was not", AT(header.flags), FFA_MEMORY_ZERO, FFA_DENIED},
	{"entries of another size", AT(header.access_size), 32, INVALID},
	{"no borrower", AT(header.access_count), 0, INVALID},
	{"five borrowers", AT(header.access_count), 5, INVALID},
	{"borrowers inside the header", AT(header.access_offset), 16, INVALID},
	{"without itself", AT(access.receiver), NOBODY, INVALID},
	{"permissions nobody knows", AT(access.permissions), 3, INVALID},
	{"to execute", AT(access.permissions), FFA_ACCESS_EXECUTE | FFA_ACCESS_WRITE, FFA_DENIED},
	{"with ranges", AT(access.composite_offset), 64, INVALID},
	{"a reserved word", AT(access.reserved), 1, INVALID},
};

static void put_relinquish(uint64_t handle, uint32_t flags, uint32_t count, uint16_t endpoint)
{
	const struct ffa_memory_relinquish which = {.handle = handle, .flags = flags, .count = count};

	memcpy(bh_tx, &which, sizeof(which));
	memcpy(bh_tx + sizeof(which), &endpoint, sizeof(endpoint));
}

static void refuse_relinquish(const char *what, int code)
{
	REFUSED(RELINQUISHING, what, code, 0);
}

static void check_requests(uint64_t handle)
{
	for (size_t i = 0; i < sizeof(request_mistakes) / sizeof(request_mistakes[0]); i++) {
		put_request(handle);
		memcpy(bh_tx + request_mistakes[i].offset, &request_mistakes[i].value,
		       request_mistakes[i].size);
		REFUSED(RETRIEVE, request_mistakes[i].what, request_mistakes[i].code, REQUEST, REQUEST);
	}
	put_request(handle);
	REFUSED(RETRIEVE, "in fragments", INVALID, REQUEST, REQUEST - 16);
	REFUSED(RETRIEVE, "longer than a page", INVALID, PAGE + 16, PAGE + 16);
	REFUSED(RETRIEVE, "a buffer of its own", INVALID, REQUEST, REQUEST, (uint64_t)pages);
	put_relinquish(handle, 0, 1, SELF);
	refuse_relinquish("not retrieved", FFA_DENIED);
}

static void check_relinquishing(uint64_t handle)
{
	put_relinquish(1, 0, 1, SELF);
	refuse_relinquish("an unknown handle", INVALID);
	put_relinquish(handle, 0, 2, SELF);
	refuse_relinquish("two endpoints", INVALID);
	put_relinquish(handle, 0, 1, PEER);
	refuse_relinquish("for another", INVALID);
	put_relinquish(handle, 2, 1, SELF);
	refuse_relinquish("a reserved flag", INVALID);
	put_relinquish(handle, FFA_MEMORY_ZERO, 1, SELF);
	refuse_relinquish("shared, to be overwritten", INVALID);
	put_relinquish(handle, 0, 1, SELF);
	DONE(RELINQUISHING, "retrieved", 0);
}

/* pong has written its own id there. */
static void check_retrieved(uint64_t handle, uint32_t form)
{
	const struct row take = {.what = "a page of pong's",
				 .x = {REQUEST, REQUEST},
				 .expected = FFA_MEM_RETRIEVE_RESP,
				 .flags = ROW_ONCE | ROW_COMPARE,
				 .result = {LENGTH, LENGTH, 0}};
	const struct description *const answer = (const struct description *)bh_rx;

	put_request(handle);
	check_row(&calls[RETRIEVE], form, &take, NULL);
	REFUSED(RETRIEVE, form ? "RX is full" : "RX is full, in 32 bits", FFA_BUSY, REQUEST, REQUEST);
	check(answer->header.sender == PEER && answer->header.handle == handle &&
		      answer->composite.pages == 1 && answer->range.pages == 1 &&
		      answer->access.receiver == SELF,
	      "the answer to a retrieve request");
	check(answer->range.address >= memory_size, "retrieved memory is above the RAM");
	volatile uint8_t *const seen = (volatile uint8_t *)answer->range.address;
	expect("what pong wrote", *seen, PEER);
	*seen = SELF;
	expect("what was written there", *seen, SELF);
	*seen = PEER;
	bh_release_buffer();
}

void check_borrowing(uint64_t handle)
{
	check(handle != 0, "pong shares a page");
	check_requests(handle);
	check_retrieved(handle, SMCCC_64);
	put_request(handle);
	REFUSED(RETRIEVE, "what it has", FFA_DENIED, REQUEST, REQUEST);
	REFUSED(RECLAIM, "another's", INVALID, HANDLE(handle), 0);
	check_relinquishing(handle);
	check_retrieved(handle, 0);
	expect("given back again", (uint64_t)bh_memory_relinquish(handle), 0);
}
