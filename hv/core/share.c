/*
 * What hv/core/share.h promises. Everything here is bounded by what one agreement may hold, and runs under
 * one lock: sharing is rare, using what is shared costs nothing.
 */
#include "hv/core/share.h"
#include "hv/core/virt.h"
#include "hv/lib/clamp.h"
#include "hv/lib/log.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define SERIAL_SHIFT	8 /* below it the place; never used up above */
#define PLACE_MASK	((1u << SERIAL_SHIFT) - 1)
#define OWNER_OF(share) OWNER_AGREEMENT(index_of(share))

struct spinlock share_lock;
static uint32_t frames_at_start; /* extents of the table before there is any agreement */
static uint64_t serial;		 /* so that a handle of old finds nothing */

_Static_assert(CONFIG_MAX_PARTITIONS *SHARES_OF_ONE <= PLACE_MASK, "a place and 0 fit");

/* Places are numbered through all partitions, SHARES_OF_ONE each, and in a handle from 1 on. */
static uint32_t place_in(uint64_t handle)
{
	return ((uint32_t)handle & PLACE_MASK) - 1;
}

static uint32_t index_of(const struct share *share)
{
	return place_in(share->handle);
}

static uint32_t places(void)
{
	return partition_count * SHARES_OF_ONE;
}

static struct share **place_of(uint32_t index)
{
	return &partitions[index / SHARES_OF_ONE].share[index % SHARES_OF_ONE];
}

struct share *share_create(struct partition *owner, enum share_kind kind)
{
	struct share **place = owner->share;
	uint32_t free = 0;

	while (free < SHARES_OF_ONE && place[free])
		free++;
	if (free == SHARES_OF_ONE)
		return NULL;
	place[free] = pool_allocate(1);
	if (place[free])
		*place[free] = (struct share){.kind = kind,
					      .owner = owner,
					      .handle = ++serial << SERIAL_SHIFT |
							(owner->id * SHARES_OF_ONE + free + 1)};
	return place[free];
}

struct share *share_find(uint64_t handle)
{
	uint32_t index = place_in(handle);
	struct share *share = index < places() ? *place_of((uint32_t)clamp_index(index, places())) : NULL;

	return share && share->handle == handle ? share : NULL;
}

static uint64_t serial_of(uint64_t handle)
{
	return handle >> SERIAL_SHIFT;
}

struct partition *share_ended_owner(uint64_t handle)
{
	uint32_t index = place_in(handle);
	struct partition *owner;

	if (index >= places())
		return NULL;
	owner = &partitions[clamp_index(index / SHARES_OF_ONE, partition_count)];
	return serial_of(handle) && serial_of(handle) <= owner->share_ended ? owner : NULL;
}

void share_drop(struct share *share)
{
	*place_of(index_of(share)) = NULL;
	pool_release(share, 1);
}

struct share_borrower *share_find_borrower(struct share *share, const struct partition *partition)
{
	for (uint32_t i = 0; i < share->borrower_count; i++)
		if (share->borrower[i].partition == partition)
			return &share->borrower[i];
	return NULL;
}

struct share_view *share_find_view(struct partition *partition, uint64_t handle)
{
	for (uint32_t i = 0; handle && i < VIEWS_OF_ONE; i++)
		if (partition->view[i].handle == handle)
			return &partition->view[i];
	return NULL;
}

bool share_retrieved(const struct share *share)
{
	for (uint32_t i = 0; i < share->borrower_count; i++)
		if (share_find_view(share->borrower[i].partition, share->handle))
			return true;
	return false;
}

/*
 * The owner's side
 */

/*
 * Each piece ends at two places more in the table of frame owners, and a change of owners asks for two
 * extents more than it may need. So many pieces always have room: each partition may fill its part, and no
 * other's.
 */
static bool has_room(const struct partition *owner)
{
	const uint32_t room = FRAMES_MAX - MIN(frames_at_start + 2, FRAMES_MAX);
	const uint32_t limit = room / 2 / partition_count;
	uint32_t pieces = 0;

	for (uint32_t i = 0; i < SHARES_OF_ONE; i++)
		if (owner->share[i])
			pieces += owner->share[i]->piece_count;
	return pieces < limit;
}

/* The owner's extents cut a range into pieces. */
static enum status add_piece(struct share *share, uint64_t gpa, uint64_t size)
{
	const struct partition *owner = share->owner;

	for (uint32_t i = 0; i < owner->extent_count && size; i++) {
		const struct memory_extent *extent = &owner->extent[i];
		uint64_t offset = gpa - extent->gpa.value, part;

		if (offset >= extent->size)
			continue;
		if (share->piece_count == SHARE_PIECES || !has_room(owner))
			return ERR_FULL;
		part = MIN(size, extent->size - offset);
		share->piece[share->piece_count++] =
			(struct share_piece){gpa, extent->hpa.value + offset, part};
		gpa += part;
		size -= part;
	}
	return size ? ERR_RANGE : OK;
}

enum status share_add(struct share *share, uint64_t gpa, uint64_t pages)
{
	if (pages == 0 || pages > SHARE_PAGES - share->pages)
		return pages ? ERR_NO_MEMORY : ERR_INVALID;
	if (gpa % PAGE_SIZE)
		return ERR_INVALID;
	share->pages += (uint32_t)pages;
	return add_piece(share, gpa, pages * PAGE_SIZE);
}

/* Frames from one owner to another, the first `count` pieces. */
static void move_frames(const struct share *share, uint32_t count, owner_t from, owner_t to)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct share_piece *piece = &share->piece[i];

		if (frames_transfer(&machine_frames, hpa(piece->hpa), piece->size, from, to))
			panic("frames of an agreement at 0x%llx have another owner",
			      (unsigned long long)piece->hpa);
	}
}

static enum status take_frames(const struct share *share)
{
	owner_t from = OWNER_PARTITION(share->owner->id), to = OWNER_OF(share);

	for (uint32_t i = 0; i < share->piece_count; i++) {
		const struct share_piece *piece = &share->piece[i];
		enum status status = frames_transfer(&machine_frames, hpa(piece->hpa), piece->size, from, to);

		if (!status)
			continue;
		move_frames(share, i, to, from);
		return status;
	}
	return OK;
}

/* What was taken out of the map was there before, and its tables still are. */
static void give_back(const struct share *share, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct share_piece *piece = &share->piece[i];

		if (page_map_add(&share->owner->guest_map, piece->gpa, hpa(piece->hpa), piece->size,
				 MAP_READ | MAP_WRITE | MAP_EXECUTE))
			panic("memory of an agreement cannot go back to 0x%llx",
			      (unsigned long long)piece->gpa);
	}
}

/* In the same breath as the map: nobody may find its CPUs up to date in between. */
static void map_has_shrunk(struct partition *partition)
{
	atomic_fetch_add(&partition->map_version, 1);
}

/* The pool was sized for all of the map in small pages. */
static void take_away(const struct share *share)
{
	for (uint32_t i = 0; i < share->piece_count; i++)
		if (page_map_remove(&share->owner->guest_map, share->piece[i].gpa, share->piece[i].size))
			panic("no page tables to take 0x%llx from its owner",
			      (unsigned long long)share->piece[i].gpa);
	map_has_shrunk(share->owner);
}

static bool covers(const struct share_piece *piece, uint64_t gpa, uint64_t size)
{
	return gpa < piece->gpa + piece->size && piece->gpa < gpa + size;
}

static bool touches(const struct share *share, uint64_t gpa, uint64_t size)
{
	for (uint32_t i = 0; i < share->piece_count; i++)
		if (covers(&share->piece[i], gpa, size))
			return true;
	return false;
}

/* A page that calls have given to the hypervisor, which goes on writing there. */
static bool in_use(const struct share *share)
{
	const struct partition *owner = share->owner;
	uint64_t stolen = owner->stolen_time_gpa;

	for (uint32_t i = 0; i < PARTITION_CALL_PAGES; i++)
		if (owner->call_page[i] && touches(share, owner->call_page[i], PAGE_SIZE))
			return true;
	for (uint32_t i = 0; i < owner->vcpu_count * VCPU_CALL_PAGES; i++) {
		uint64_t page = atomic_load(&owner->vcpu[i / VCPU_CALL_PAGES].call_page[i % VCPU_CALL_PAGES]);

		if (page && touches(share, page, PAGE_SIZE))
			return true;
	}
	return stolen && touches(share, stolen, PAGE_SIZE);
}

static bool leaves_the_owner(const struct share *share)
{
	return share->kind != SHARE_SHARED;
}

enum status share_commit(struct share *share)
{
	struct partition *owner = share->owner;
	enum status status;

	status = take_frames(share);
	if (status)
		return status;
	share->complete = true;
	if (!leaves_the_owner(share))
		return OK;
	atomic_fetch_add(&owner->away, 1); /* from here on no call takes a page of it */
	if (!in_use(share)) {
		take_away(share);
		return OK;
	}
	atomic_fetch_sub(&owner->away, 1);
	share->complete = false;
	move_frames(share, share->piece_count, OWNER_OF(share), OWNER_PARTITION(owner->id));
	return ERR_OWNER;
}

/* All but the agreement itself. */
static void restore(struct share *share)
{
	move_frames(share, share->piece_count, OWNER_OF(share), OWNER_PARTITION(share->owner->id));
	if (!leaves_the_owner(share))
		return;
	give_back(share, share->piece_count);
	atomic_fetch_sub(&share->owner->away, 1);
}

void share_scrub(const struct share *share)
{
	for (uint32_t i = 0; i < share->piece_count; i++) {
		const struct share_piece *piece = &share->piece[i];

		for (uint64_t done = 0; done < piece->size; done += LARGE_PAGE_SIZE) {
			memset(partition_window(share->owner, gpa(piece->gpa + done)), 0,
			       MIN(piece->size - done, LARGE_PAGE_SIZE));
			vcpu_serve_meanwhile();
		}
	}
}

void share_end(struct share *share)
{
	restore(share);
	share_drop(share);
}

bool share_is_away(const struct partition *partition, uint64_t gpa, uint64_t size)
{
	bool away = false;

	spin_lock(&share_lock);
	for (uint32_t i = 0; i < SHARES_OF_ONE && !away; i++) {
		const struct share *share = partition->share[i];

		away = share && share->complete && leaves_the_owner(share) && touches(share, gpa, size);
	}
	spin_unlock(&share_lock);
	return away;
}

/*
 * The borrowers' side
 */

static uint64_t size_of(const struct share_view *view)
{
	return view->pages * PAGE_SIZE;
}

/* A view within the range: its end; 0: the range is free. */
static uint64_t taken_until(const struct partition *partition, uint64_t gpa, uint64_t size)
{
	for (uint32_t i = 0; i < VIEWS_OF_ONE; i++) {
		const struct share_view *view = &partition->view[i];

		if (view->handle && view->gpa < gpa + size && gpa < view->gpa + size_of(view))
			return view->gpa + size_of(view);
	}
	return 0;
}

/* The lowest room in the area; 0: there is none. */
static uint64_t find_room(const struct partition *partition, uint64_t size)
{
	const uint64_t start = ALIGN_UP(partition->memory_low, LARGE_PAGE_SIZE);
	uint64_t gpa = start, next;

	for (uint32_t i = 0; i <= VIEWS_OF_ONE && gpa + size <= start + SHARE_AREA; i++) {
		next = taken_until(partition, gpa, size);
		if (next == 0)
			return gpa;
		gpa = next;
	}
	return 0;
}

static struct share_view *find_free_view(struct partition *partition)
{
	for (uint32_t i = 0; i < VIEWS_OF_ONE; i++)
		if (!partition->view[i].handle)
			return &partition->view[i];
	return NULL;
}

/* All of it or nothing. */
static enum status map_pieces(const struct share *share, struct partition *partition, uint64_t start,
			      uint32_t flags)
{
	uint64_t gpa = start;

	for (uint32_t i = 0; i < share->piece_count; i++) {
		const struct share_piece *piece = &share->piece[i];
		enum status status =
			page_map_add(&partition->guest_map, gpa, hpa(piece->hpa), piece->size, flags);

		/* What was added whole is taken away whole. */
		if (status && gpa > start && page_map_remove(&partition->guest_map, start, gpa - start))
			panic("half an agreement stays in the map of partition %u", partition->id);
		if (status)
			return status;
		gpa += piece->size;
	}
	return OK;
}

struct share_view *share_map(const struct share *share, struct partition *partition, uint32_t flags,
			     enum status *status)
{
	struct share_view *view = find_free_view(partition);
	const uint64_t gpa = find_room(partition, share->pages * PAGE_SIZE);

	*status = view && gpa ? map_pieces(share, partition, gpa, flags) : ERR_NO_MEMORY;
	if (*status)
		return NULL;
	*view = (struct share_view){
		.handle = share->handle, .gpa = gpa, .pages = share->pages, .flags = flags};
	return view;
}

/* All of it was mapped in one go: there is nothing to split. */
void share_unmap(struct partition *partition, const struct share_view *view)
{
	if (page_map_remove(&partition->guest_map, view->gpa, size_of(view)))
		panic("an agreement does not go from the map of partition %u", partition->id);
	map_has_shrunk(partition);
}

/* The address of `frame` in the agreement as a borrower counts it. */
static bool offset_of(const struct share *share, hpa_t frame, uint64_t *offset)
{
	*offset = 0;
	for (uint32_t i = 0; i < share->piece_count; i++) {
		const struct share_piece *piece = &share->piece[i];

		if (frame.value - piece->hpa < piece->size) {
			*offset += frame.value - piece->hpa;
			return true;
		}
		*offset += piece->size;
	}
	return false;
}

static bool allows(const struct partition *partition, const struct share_view *view, uint64_t gpa,
		   const struct mapping *leaf)
{
	const hpa_t last = hpa(leaf->frame.value + leaf->size - PAGE_SIZE);
	const struct share *share = share_find(view->handle);
	uint64_t first_offset, last_offset;

	if (view->orphaned)
		return leaf->frame.value == partition->stand_in.value && leaf->size == PAGE_SIZE &&
		       gpa - view->gpa < size_of(view);
	return share && !(leaf->flags & ~view->flags) && offset_of(share, leaf->frame, &first_offset) &&
	       offset_of(share, last, &last_offset) && gpa == view->gpa + first_offset &&
	       last_offset == first_offset + leaf->size - PAGE_SIZE;
}

bool share_allows(const struct partition *partition, uint64_t gpa, const struct mapping *leaf)
{
	for (uint32_t i = 0; i < VIEWS_OF_ONE; i++)
		if (partition->view[i].handle && allows(partition, &partition->view[i], gpa, leaf))
			return true;
	return false;
}

bool share_owns(const struct partition *partition, hpa_t frame, uint64_t size, bool seen)
{
	for (uint32_t i = 0; i < machine_frames.count; i++) {
		const struct frame_extent *extent = &machine_frames.extent[i];
		uint32_t index = extent->owner - (uint32_t)OWNER_AGREEMENT(0);
		const struct share *share = index < places() ? *place_of(index) : NULL;

		if (extent->start >= frame.value + size || extent->start + extent->size <= frame.value ||
		    extent->owner == OWNER_PARTITION(partition->id))
			continue;
		if (!share || share->owner != partition || (seen && leaves_the_owner(share)))
			return false;
	}
	return true;
}

bool share_sees(const struct partition *partition, gpa_t address, uint32_t flags)
{
	struct mapping mapping;
	bool sees;

	if (!partition->stand_in.value) /* it shares with nobody */
		return false;
	spin_lock(&share_lock);
	sees = page_map_find(&partition->guest_map, address.value, &mapping) && !(flags & ~mapping.flags);
	spin_unlock(&share_lock);
	return sees;
}

/*
 * Other CPUs
 */

void share_flush(struct partition *partition)
{
	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		vcpu_request(&partition->vcpu[i], REQUEST_FLUSH);
}

bool share_flushed(const struct partition *partition)
{
	const uint32_t version = atomic_load(&partition->map_version);

	for (uint32_t i = 0; i < partition->vcpu_count; i++)
		if (atomic_load(&partition->vcpu[i].state) != VCPU_OFF &&
		    atomic_load(&partition->vcpu[i].map_seen) != version)
			return false;
	return true;
}

void share_flush_cpu(struct vcpu *vcpu)
{
	const uint32_t version = atomic_load(&vcpu->partition->map_version);
	struct vcpu_shared *waiter = atomic_load(&vcpu->partition->flush_waiter);

	virt->flush_guest_tlb(vcpu);
	atomic_store(&vcpu->shared->map_seen, version);
	if (waiter && waiter != vcpu->shared)
		vcpu_request(waiter, REQUEST_INTERRUPT);
}

/*
 * Ends
 */

void share_return(struct share_view *view)
{
	*view = (struct share_view){0};
}

/* What it had borrowed is scrubbed before the owner sees it again: it may hold more than was meant for that.
 */
static void return_borrowed(struct partition *partition, struct share_view *view)
{
	struct share *share = view->orphaned ? NULL : share_find(view->handle);

	share_unmap(partition, view);
	if (share) {
		share->zero |= leaves_the_owner(share);
		if (share->kind == SHARE_DONATED)
			share->kind = SHARE_LENT; /* the owner may take it back */
	}
	share_return(view);
}

/* Puts the borrower's own page wherever it sees the memory. */
static void stand_in(struct partition *partition, const struct share_view *view)
{
	share_unmap(partition, view);
	for (uint32_t i = 0; i < view->pages; i++)
		if (page_map_add(&partition->guest_map, view->gpa + i * PAGE_SIZE, partition->stand_in,
				 PAGE_SIZE, MAP_READ | MAP_WRITE))
			panic("no page stands in for what partition %u borrowed", partition->id);
	share_flush(partition);
}

static void withdraw(const struct share *share)
{
	for (uint32_t i = 0; i < share->borrower_count; i++) {
		struct partition *partition = share->borrower[i].partition;
		struct share_view *view = share_find_view(partition, share->handle);

		if (!view)
			continue;
		view->orphaned = true;
		if (!view->leaving)
			stand_in(partition, view);
	}
}

static bool borrowers_flushed(const struct share *share)
{
	for (uint32_t i = 0; i < share->borrower_count; i++)
		if (!share_flushed(share->borrower[i].partition))
			return false;
	return true;
}

/* Its owner's memory is scrubbed as a whole behind this. */
static void end_own(struct share *share)
{
	spin_lock(&share_lock);
	if (share->complete)
		withdraw(share);
	spin_unlock(&share_lock);
	while (!borrowers_flushed(share)) /* each CPU leaves its guest at once for that */
		vcpu_serve_meanwhile();
	spin_lock(&share_lock);
	if (share->complete)
		restore(share);
	share_drop(share);
	spin_unlock(&share_lock);
}

void share_partition_ended(struct partition *partition)
{
	spin_lock(&share_lock);
	partition->share_ended = serial; /* from here on nobody retrieves what was its */
	for (uint32_t i = 0; i < VIEWS_OF_ONE; i++)
		if (partition->view[i].handle)
			return_borrowed(partition, &partition->view[i]);
	spin_unlock(&share_lock);
	for (uint32_t i = 0; i < SHARES_OF_ONE; i++)
		if (partition->share[i])
			end_own(partition->share[i]);
	atomic_store(&partition->flush_waiter, NULL);
}

enum status share_partition_created(struct partition *partition)
{
	void *page = pool_allocate(1);

	frames_at_start = machine_frames.count;

	if (!page)
		return ERR_NO_MEMORY;
	partition->stand_in = pool_address(page);
	return OK;
}
