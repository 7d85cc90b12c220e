/*
 * The end of the loader: the firmware's boot services are closed, and the hypervisor is entered on the boot
 * tables.
 */
#include "boot/loader.h"

#define STACK_SIZE    (64 * KIB)
#define EXIT_ATTEMPTS 8u

/*
 * ExitBootServices() refuses a memory map that is not the newest, and it may itself cause events that change
 * the map: the map is read again and the call repeated (UEFI 2.10, 7.4.6).
 */
static void leave_firmware(struct boot_info *info)
{
	EFI_STATUS status = EFI_SUCCESS;

	for (uint32_t i = 0; i < EXIT_ATTEMPTS; i++) {
		UINTN key;

		status = pages_describe(info, &key);
		if (!EFI_ERROR(status))
			status = firmware->BootServices->ExitBootServices(loader_image, key);
		if (!EFI_ERROR(status))
			return;
	}
	fail("update the firmware", "the firmware does not end its boot services: %s", status_name(status));
}

_Noreturn void hand_over(struct boot_info *info, uint64_t entry)
{
	uint8_t *stack = pages_take(STACK_SIZE, BELOW_4_GIB, BOOT_MEM_LOADER, "a stack");

	leave_firmware(info);
	__asm__ volatile("cli\n\t"
			 "cld\n\t"
			 "mov %[tables], %%cr3\n\t"
			 "mov %[stack], %%rsp\n\t"
			 "jmp *%[entry]"
			 :
			 : [tables] "a"(info->boot_cr3), [stack] "d"(stack + STACK_SIZE), [entry] "c"(entry),
			   "D"(info)
			 : "memory");
	__builtin_unreachable();
}
