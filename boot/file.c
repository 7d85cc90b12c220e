/*
 * Files of the volume the loader itself was started from: opened, measured against a limit, read whole.
 */
#include "boot/loader.h"

#define READ_STEP	MIB	  /* some firmware fails on very large reads */
#define TELL_STEP	(8 * MIB) /* so that a large file on a slow disk does not look like a hang */
#define FILE_INFO_EXTRA 512u	  /* the info record ends with the file's name */

static EFI_FILE_PROTOCOL *volume;

void file_open_volume(void)
{
	static const char advice[] = "start the loader from a disk with a FAT file system";
	EFI_GUID loaded_image_guid = LOADED_IMAGE_PROTOCOL;
	EFI_GUID file_system_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
	EFI_BOOT_SERVICES *boot = firmware->BootServices;
	EFI_LOADED_IMAGE *loaded_image;
	EFI_FILE_IO_INTERFACE *file_system;
	EFI_STATUS status;

	status = boot->HandleProtocol(loader_image, &loaded_image_guid, (void **)&loaded_image);
	if (EFI_ERROR(status))
		fail(advice, "the firmware does not say where the loader came from: %s", status_name(status));
	status = boot->HandleProtocol(loaded_image->DeviceHandle, &file_system_guid, (void **)&file_system);
	if (EFI_ERROR(status))
		fail(advice, "the boot device has no file system the firmware knows: %s",
		     status_name(status));
	status = file_system->OpenVolume(file_system, &volume);
	if (EFI_ERROR(status))
		fail(advice, "the boot volume cannot be opened: %s", status_name(status));
}

/* Paths are ASCII: the config parser refuses others. */
static void widen(CHAR16 *wide, const char *path)
{
	size_t i = 0;

	for (; i < CONFIG_PATH_SIZE - 1 && path[i] != '\0'; i++)
		wide[i] = (CHAR16)path[i];
	wide[i] = 0;
}

static EFI_FILE_PROTOCOL *open_file(const char *path, const char *role, const char *advice)
{
	CHAR16 wide[CONFIG_PATH_SIZE];
	EFI_FILE_PROTOCOL *handle;
	EFI_STATUS status;

	widen(wide, path);
	status = volume->Open(volume, &handle, wide, EFI_FILE_MODE_READ, 0);
	if (EFI_ERROR(status))
		fail(advice, "%s, %s, cannot be opened on the boot volume: %s", role, path,
		     status_name(status));
	return handle;
}

static uint64_t measure(EFI_FILE_PROTOCOL *handle, const char *path, const char *role, const char *advice)
{
	union {
		EFI_FILE_INFO info;
		uint8_t bytes[sizeof(EFI_FILE_INFO) + FILE_INFO_EXTRA];
	} record;
	EFI_GUID file_info_guid = EFI_FILE_INFO_ID;
	UINTN size = sizeof(record);
	EFI_STATUS status = handle->GetInfo(handle, &file_info_guid, &size, &record);

	if (EFI_ERROR(status))
		fail(advice, "%s, %s, does not tell its size: %s", role, path, status_name(status));
	if (record.info.Attribute & EFI_FILE_DIRECTORY)
		fail(advice, "%s, %s, is a directory, expected a file", role, path);
	if (record.info.FileSize == 0)
		fail(advice, "%s, %s, is empty", role, path);
	return record.info.FileSize;
}

static void read_all(EFI_FILE_PROTOCOL *handle, struct file *file, const char *path, const char *role)
{
	uint64_t done = 0;

	while (done < file->size) {
		UINTN step = file->size - done < READ_STEP ? file->size - done : READ_STEP;
		EFI_STATUS status = handle->Read(handle, &step, file->data + done);

		if (EFI_ERROR(status) || step == 0)
			fail("check the disk, or write the image to it again",
			     "%s, %s, cannot be read beyond byte %lu of %lu: %s", role, path, done,
			     file->size, EFI_ERROR(status) ? status_name(status) : "the file ends");
		done += step;
		if (done % TELL_STEP == 0 && done < file->size)
			say("reading %s, %lu of %lu KiB", path, to_kib(done), to_kib(file->size));
	}
}

struct file file_read(const char *path, const char *role, uint64_t limit, const char *advice)
{
	EFI_FILE_PROTOCOL *handle = open_file(path, role, advice);
	struct file file = {.size = measure(handle, path, role, advice)};

	if (file.size > limit)
		fail(advice, "%s, %s, is too large: %lu KiB, expected at most %lu KiB", role, path,
		     to_kib(file.size), to_kib(limit));
	file.data = pages_take_scratch(file.size, role);
	read_all(handle, &file, path, role);
	handle->Close(handle);
	return file;
}
