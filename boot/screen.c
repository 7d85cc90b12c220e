/*
 * The framebuffer the hypervisor will draw on: the firmware's current mode where it can be drawn on directly,
 * so that what is on the screen stays there; else the largest mode that can. Source: UEFI 2.10, 12.9.
 */
#include "boot/loader.h"

#define BYTES_PER_PIXEL 4u
#define FIRMWARE_ROW	19u /* pixel rows of a text row in EDK II (EFI_GLYPH_HEIGHT, UEFI 2.10, 33.2.7) */
#define HYPERVISOR_ROW	16u /* boot_info.screen_row counts these */
#define LOW_BYTE	0x000000FFu
#define SECOND_BYTE	0x0000FF00u
#define THIRD_BYTE	0x00FF0000u

typedef EFI_GRAPHICS_OUTPUT_MODE_INFORMATION mode_information;

static enum boot_pixel_format format_of(const mode_information *mode)
{
	const EFI_PIXEL_BITMASK *mask = &mode->PixelInformation;

	if (mode->PixelFormat == PixelRedGreenBlueReserved8BitPerColor)
		return BOOT_PIXEL_RGBX;
	if (mode->PixelFormat == PixelBlueGreenRedReserved8BitPerColor)
		return BOOT_PIXEL_BGRX;
	if (mode->PixelFormat != PixelBitMask || mask->GreenMask != SECOND_BYTE)
		return BOOT_PIXEL_NONE;
	if (mask->RedMask == LOW_BYTE && mask->BlueMask == THIRD_BYTE)
		return BOOT_PIXEL_RGBX;
	if (mask->RedMask == THIRD_BYTE && mask->BlueMask == LOW_BYTE)
		return BOOT_PIXEL_BGRX;
	return BOOT_PIXEL_NONE;
}

static EFI_GRAPHICS_OUTPUT_PROTOCOL *find_output(void)
{
	EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_BOOT_SERVICES *boot = firmware->BootServices;
	EFI_GRAPHICS_OUTPUT_PROTOCOL *output;

	/* The console's own first: with two graphics cards it is the one that is watched. */
	if (!EFI_ERROR(boot->HandleProtocol(firmware->ConsoleOutHandle, &guid, (void **)&output)) &&
	    output->Mode->FrameBufferBase != 0)
		return output;
	if (!EFI_ERROR(boot->LocateProtocol(&guid, NULL, (void **)&output)))
		return output;
	return NULL;
}

static bool is_usable(const EFI_GRAPHICS_OUTPUT_PROTOCOL *output)
{
	return format_of(output->Mode->Info) != BOOT_PIXEL_NONE && output->Mode->FrameBufferBase != 0;
}

/* Switches to the largest mode with pixels the hypervisor can draw. False when there is none. */
static bool switch_mode(EFI_GRAPHICS_OUTPUT_PROTOCOL *output)
{
	uint64_t best_area = 0;
	uint32_t best = 0;

	for (uint32_t i = 0; i < output->Mode->MaxMode; i++) {
		mode_information *mode;
		UINTN size;
		uint64_t area;

		if (EFI_ERROR(output->QueryMode(output, i, &size, &mode)))
			continue;
		area = (uint64_t)mode->HorizontalResolution * mode->VerticalResolution;
		if (format_of(mode) != BOOT_PIXEL_NONE && area > best_area) {
			best_area = area;
			best = i;
		}
		firmware->BootServices->FreePool(mode);
	}
	return best_area > 0 && !EFI_ERROR(output->SetMode(output, best));
}

/* The firmware centres its text rows on the screen. */
static uint32_t first_free_row(uint32_t height)
{
	SIMPLE_TEXT_OUTPUT_INTERFACE *console = firmware->ConOut;
	UINTN columns, rows;
	uint64_t top, used;

	if (EFI_ERROR(console->QueryMode(console, (UINTN)console->Mode->Mode, &columns, &rows)))
		return 0;
	top = rows * FIRMWARE_ROW < height ? (height - rows * FIRMWARE_ROW) / 2 : 0;
	used = top + ((uint64_t)console->Mode->CursorRow + 1) * FIRMWARE_ROW;
	used = used < height ? used : height;
	return (uint32_t)((used + HYPERVISOR_ROW - 1) / HYPERVISOR_ROW);
}

void screen_find(struct boot_info *info)
{
	EFI_GRAPHICS_OUTPUT_PROTOCOL *output = find_output();

	info->framebuffer = (struct boot_framebuffer){0};
	if (output == NULL || output->Mode == NULL || output->Mode->Info == NULL ||
	    (!is_usable(output) && (!switch_mode(output) || !is_usable(output)))) {
		say("no screen that the hypervisor can draw on");
		return;
	}

	const mode_information *mode = output->Mode->Info;

	info->framebuffer = (struct boot_framebuffer){
		.start = output->Mode->FrameBufferBase,
		.size = output->Mode->FrameBufferSize,
		.width = mode->HorizontalResolution,
		.height = mode->VerticalResolution,
		.pitch = mode->PixelsPerScanLine * BYTES_PER_PIXEL,
		.format = format_of(mode),
	};
	say("screen of %u x %u pixels", mode->HorizontalResolution, mode->VerticalResolution);
	info->screen_row = first_free_row(mode->VerticalResolution);
}
