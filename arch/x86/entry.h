/*
 * entry.asm's side of the boot CPU's way in.
 */
#pragma once

#include <bulkhead/boot_info.h>
#include "hv/lib/types.h"

/* hv/main.c: called on the loader's tables and stack. */
NORETURN void hypervisor_main(const struct boot_info *from_loader);

/* Goes on at `next` on this CPU's own tables, at the top of its own stack. */
NORETURN void enter_own_tables(hpa_t cr3, void (*next)(void));

/* entry.asm: top of the loader's stack, which firmware runs on again. */
extern uint64_t boot_stack;
