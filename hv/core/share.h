/*
 * Agreements about memory: what a partition shares with others, has lent or given away. The table of frame
 * owners names the agreement as the owner of such frames, and this table says who may see them, so that the
 * two together still account for every mapping there is.
 *
 * An agreement ends when its owner takes the memory back. Where a partition ends first, what it borrowed goes
 * from its map, and what it owned goes back to it, scrubbed; who still borrows that sees a page of its own
 * instead until it gives that back, and nobody faults for another's end, nor loses a place by it.
 */
#pragma once

#include "hv/core/partition.h"
#include "hv/mem/frames.h"

#define SHARE_BORROWERS 4u
#define SHARE_PAGES	4096u	   /* of one agreement */
#define SHARE_AREA	(32 * MIB) /* where borrowed memory is seen, behind the RAM at the next 2 MiB */
#define SHARE_PIECES	128u

enum share_kind { SHARE_SHARED, SHARE_LENT, SHARE_DONATED };

struct share_piece {
	uint64_t gpa, hpa, size; /* of the owner; contiguous in both */
};

struct share_borrower {
	struct partition *partition;
	uint32_t allowed; /* MAP_READ, MAP_WRITE, MAP_EXECUTE */
};

/* In a page of the pool. */
struct share {
	enum share_kind kind;
	struct partition *owner;
	uint64_t handle, tag;
	bool complete; /* the frames are the agreement's; else its description still comes in */
	bool open;     /* the owner's CPUs see it no more, where they are not to: borrowers may retrieve it */
	bool zero;     /* before the owner sees the memory again */
	bool zero_first;				/* before a borrower does */
	uint32_t pages, pages_wanted, length, received; /* while it comes in: bytes of the description */
	uint32_t borrower_count, piece_count;
	struct share_borrower borrower[SHARE_BORROWERS];
	struct share_piece piece[SHARE_PIECES];
};
_Static_assert(sizeof(struct share) <= PAGE_SIZE, "an agreement is one page");

extern struct spinlock share_lock;

/* With the lock. NULL: the owner has SHARES_OF_ONE, or the pool is used up. */
struct share *share_create(struct partition *owner, enum share_kind kind);
struct share *share_find(uint64_t handle);
struct share_borrower *share_find_borrower(struct share *share, const struct partition *partition);
struct share_view *share_find_view(struct partition *partition, uint64_t handle);
void share_drop(struct share *share);
/* The owner of the handle, if it has ended since it gave that out; else NULL. */
struct partition *share_ended_owner(uint64_t handle);

/*
 * With the lock. Each answers an error and leaves all as it was. ERR_RANGE: not the owner's memory;
 * ERR_OWNER: not its alone, or a page that the hypervisor uses for it; ERR_FULL, ERR_NO_MEMORY. What
 * share_commit() and share_unmap() take from a map is gone once share_flushed() says so, and nothing else
 * happens to the memory before: the lock may be dropped, then share_flush() asks the CPUs for it.
 */
enum status share_add(struct share *share, uint64_t gpa, uint64_t pages) MUST_CHECK;
enum status share_commit(struct share *share) MUST_CHECK;
/* A free view of the partition becomes one of the agreement; NULL with the reason in *status. */
struct share_view *share_map(const struct share *share, struct partition *partition, uint32_t flags,
			     enum status *status);
void share_unmap(struct partition *partition, const struct share_view *view);
/* The partition has flushed: it has the memory no more. */
void share_return(struct share_view *view);
/* Nobody has it retrieved: all goes back to the owner, and the agreement is no more. On a CPU of the owner.
 */
void share_end(struct share *share);
bool share_retrieved(const struct share *share);

/* Overwrites the memory: on a CPU of the owner, which has it in its window though not in its map. It takes
 * its time, so without the lock: nobody may have the memory meanwhile. */
void share_scrub(const struct share *share);

/* Makes the partition's CPUs forget what its map was; its flush_waiter is told of each that has. */
void share_flush(struct partition *partition);
bool share_flushed(const struct partition *partition);
/* On each of them: REQUEST_FLUSH, and before a vCPU starts. */
void share_flush_cpu(struct vcpu *vcpu);

/* The owner has given some of this away. */
bool share_is_away(const struct partition *partition, uint64_t gpa, uint64_t size);
/*
 * For the audit, with the lock. The frames are the partition's own or those of its agreements; `seen`: of
 * those only that leave it the memory. And: an agreement lets the partition see this.
 */
bool share_owns(const struct partition *partition, hpa_t frame, uint64_t size, bool seen);
bool share_allows(const struct partition *partition, uint64_t gpa, const struct mapping *leaf);

/* Its map shows memory at `gpa` by now, though an access has just found none: the owner's end was in between.
 */
bool share_sees(const struct partition *partition, gpa_t address, uint32_t flags);

/* The end of a partition's life, on vCPU 0's CPU with nobody in the guest. */
void share_partition_ended(struct partition *partition);
enum status share_partition_created(struct partition *partition) MUST_CHECK;
