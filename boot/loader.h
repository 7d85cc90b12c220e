/*
 * What the parts of the UEFI loader share. Each part fills its own piece of struct boot_info; a part that
 * cannot do its work calls fail(), which does not return.
 */
#pragma once

#include <bulkhead/boot_info.h>
#include "boot/efi_extra.h"
#include "hv/lib/types.h"

#define BELOW_4_GIB 0xFFFFFFFFull

extern EFI_HANDLE loader_image;
extern EFI_SYSTEM_TABLE *firmware;

/* For messages: bytes in KiB, rounded up. */
static inline uint64_t to_kib(uint64_t bytes)
{
	return (bytes + KIB - 1) / KIB;
}

/* ---- output.c ---- */

void output_init(void);
/* Where the hypervisor's configuration wants its serial line; `enabled` false keeps the loader off it, too.
 */
void output_set_serial(uint16_t port, bool enabled);
/* A line, with its prefix and its end. */
void say(const char *pattern, ...) __attribute__((format(printf, 1, 2)));
/* Says what went wrong and what to do about it, waits for a key and returns to the firmware. */
_Noreturn void fail(const char *advice, const char *pattern, ...) __attribute__((format(printf, 2, 3)));
/* The name of a UEFI status. */
const char *status_name(EFI_STATUS status);

/* ---- file.c ---- */

struct file {
	uint8_t *data; /* page-aligned, pages of its own */
	uint64_t size;
};
void file_open_volume(void);
/* `role` names the file in messages, e.g. "the hypervisor"; a file above `limit` bytes is refused. */
struct file file_read(const char *path, const char *role, uint64_t limit, const char *advice);

/* ---- pages.c ---- */

/* Pages that the hypervisor will find marked as `kind`. `highest`: the last address they may touch. */
void *pages_take(uint64_t size, uint64_t highest, enum boot_memory_kind kind, const char *purpose);
/* The same, aligned to 2 MiB and below 4 GiB. */
void *pages_take_large(uint64_t size, enum boot_memory_kind kind, const char *purpose);
/* Pages for the loader's own use: free again for the hypervisor. */
void *pages_take_scratch(uint64_t size, const char *purpose);
/* Has the hypervisor find scratch pages marked as `kind` after all. */
void pages_keep(const void *start, uint64_t size, enum boot_memory_kind kind);
/* Describes memory as it is now in *info. On return *key is what ExitBootServices() wants. */
EFI_STATUS pages_describe(struct boot_info *info, UINTN *key);

/* ---- cpus.c, screen.c, page_tables.c, handover.c ---- */

void cpus_find(struct boot_info *info);
void screen_find(struct boot_info *info);
void page_tables_build(struct boot_info *info);
_Noreturn void hand_over(struct boot_info *info, uint64_t entry);
