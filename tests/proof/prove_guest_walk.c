/* The walk through a guest's own page tables, with any control registers, any address and any tables. */
#include "arch/x86/guest_walk.h"
#include "tests/proof/proof.h"

/* Whatever is asked for may be no memory, and may hold anything. */
static bool read_anything(void *context, gpa_t address, void *to, size_t size)
{
	(void)context, (void)address;
	any_bytes(to, size);
	return any_bool();
}

void prove(void)
{
	struct guest_paging paging = {
		.user = any_bool(), .write = any_bool(), .fetch = any_bool(), .alignment_check = any_bool()};
	uint32_t error;
	gpa_t address;

	paging.cr0 = any_between(0, UINT64_MAX);
	paging.cr3 = any_between(0, UINT64_MAX);
	paging.cr4 = any_between(0, UINT64_MAX);
	paging.efer = any_between(0, UINT64_MAX);
	(void)guest_translate(&paging, any_between(0, UINT64_MAX), read_anything, NULL, &address, &error);
}
