/* The UEFI headers, with what GNU-EFI does not declare. Source: UEFI 2.10 and PI 1.8, sections named below.
 */
#pragma once

#include <efi.h>

/* PI 1.8 volume 2, 13.4: EFI_MP_SERVICES_PROTOCOL, the first services only. */
#define MP_SERVICES_GUID                                                                                     \
	{                                                                                                    \
		0x3fdda605, 0xa76e, 0x4f46,                                                                  \
		{                                                                                            \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08                                       \
		}                                                                                            \
	}

#define MP_CPU_IS_BOOT_CPU (1u << 0)
#define MP_CPU_IS_ENABLED  (1u << 1)

struct mp_cpu {
	uint64_t apic_id;
	uint32_t flags;
	uint32_t package, core, thread;
	uint32_t extended_location[6];
};

struct mp_services {
	EFI_STATUS(EFIAPI *get_count)(struct mp_services *self, UINTN *count, UINTN *enabled);
	EFI_STATUS(EFIAPI *get_cpu)(struct mp_services *self, UINTN index, struct mp_cpu *cpu);
};

/* EDK II marks with it the text outputs that the firmware's console is made of. */
#define CONSOLE_OUT_DEVICE_GUID                                                                              \
	{                                                                                                    \
		0xd3b36f2c, 0xd551, 0x11d4,                                                                  \
		{                                                                                            \
			0x9a, 0x46, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d                                       \
		}                                                                                            \
	}
