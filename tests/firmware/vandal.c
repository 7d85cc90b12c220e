/*
 * A firmware that went wrong: does to the firmware's tables, memory and screen what \vandal.txt says, then
 * starts the real loader, \loader.efi. For the tests of faults from outside.
 *
 * \vandal.txt holds one word for each fault, by blanks or line ends apart; the table at the end has them all.
 */
#include "boot/acpi.h"
#include "boot/efi_extra.h"
#include "hv/lib/string.h"
#include "hv/lib/types.h"

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

static EFI_HANDLE own_image;
static EFI_SYSTEM_TABLE *system;
static EFI_BOOT_SERVICES *boot;

static _Noreturn void give_up(const CHAR16 *why)
{
	system->ConOut->OutputString(system->ConOut, (CHAR16 *)L"vandal: ");
	system->ConOut->OutputString(system->ConOut, (CHAR16 *)why);
	system->ConOut->OutputString(system->ConOut, (CHAR16 *)L"\r\n");
	for (;;)
		boot->Stall(1000000);
}

static void check(EFI_STATUS status, const CHAR16 *what)
{
	if (EFI_ERROR(status))
		give_up(what);
}

/*
 * ACPI (ACPI 6.5, 5.2.5 to 5.2.12)
 */

#define MADT_FIRST_ENTRY 44
#define GHOST_APIC_ID	 0x7E

static void mend_checksum(struct acpi_header *table)
{
	uint8_t sum = 0;

	table->checksum = 0;
	for (uint32_t i = 0; i < table->size; i++)
		sum = (uint8_t)(sum + ((const uint8_t *)table)[i]);
	table->checksum = (uint8_t)-sum;
}

static struct acpi_root *find_root(void)
{
	EFI_GUID guid = ACPI_20_TABLE_GUID;

	for (UINTN i = 0; i < system->NumberOfTableEntries; i++)
		if (memcmp(&system->ConfigurationTable[i].VendorGuid, &guid, sizeof(guid)) == 0)
			return system->ConfigurationTable[i].VendorTable;
	give_up(L"this firmware has no ACPI tables");
}

static struct acpi_header *find_xsdt(void)
{
	return (struct acpi_header *)find_root()->xsdt;
}

/* The XSDT's entry for the MADT: its pointers are not aligned. */
static uint8_t *find_madt_pointer(void)
{
	struct acpi_header *xsdt = find_xsdt();

	for (uint32_t offset = sizeof(*xsdt); offset + sizeof(uint64_t) <= xsdt->size;
	     offset += sizeof(uint64_t)) {
		uint64_t address;

		memcpy(&address, (uint8_t *)xsdt + offset, sizeof(address));
		if (memcmp((const void *)address, "APIC", 4) == 0)
			return (uint8_t *)xsdt + offset;
	}
	give_up(L"this firmware has no MADT");
}

static struct acpi_header *find_madt(void)
{
	uint64_t address;

	memcpy(&address, find_madt_pointer(), sizeof(address));
	return (struct acpi_header *)address;
}

static void remove_acpi(void)
{
	EFI_GUID guids[] = {ACPI_20_TABLE_GUID, ACPI_TABLE_GUID};

	for (size_t i = 0; i < sizeof(guids) / sizeof(guids[0]); i++)
		boot->InstallConfigurationTable(&guids[i], NULL);
}

/* Both pointers, of ACPI 2.0 and 1.0, lead to roots of their own. */
static void break_root_checksum(void)
{
	EFI_GUID old = ACPI_TABLE_GUID;

	find_root()->checksum ^= 1;
	boot->InstallConfigurationTable(&old, NULL);
}

static void break_root_size(void)
{
	break_root_checksum();
	find_root()->checksum ^= 1;
	find_root()->size = 0x7FFFFFFF;
}

static void break_xsdt_checksum(void)
{
	find_xsdt()->checksum ^= 1;
}

static void break_madt_checksum(void)
{
	find_madt()->checksum ^= 1;
}

static void break_madt_size(void)
{
	find_madt()->size = 0xFFFFFFF0u;
}

/* An entry of no length, with a right checksum over all of it: who walks the table by it never ends. */
static void break_madt_entry(void)
{
	struct acpi_header *madt = find_madt();

	((uint8_t *)madt)[MADT_FIRST_ENTRY + 1] = 0;
	mend_checksum(madt);
}

/* One more enabled CPU in the MADT, which is not in the machine. */
static void add_ghost_cpu(void)
{
	static const uint8_t ghost[] = {0, 8, 0x77, GHOST_APIC_ID, 1, 0, 0, 0};
	const struct acpi_header *madt = find_madt();
	struct acpi_header *longer;

	check(boot->AllocatePool(EfiACPIReclaimMemory, madt->size + sizeof(ghost), (void **)&longer),
	      L"no memory for a longer MADT");
	memcpy(longer, madt, madt->size);
	memcpy((uint8_t *)longer + madt->size, ghost, sizeof(ghost));
	longer->size += (uint32_t)sizeof(ghost);
	mend_checksum(longer);
	memcpy(find_madt_pointer(), &longer, sizeof(longer));
	mend_checksum(find_xsdt());
}

/*
 * Memory
 */

#define HOLE_DISTANCE (3 * MIB)
#define CRUMBS	      1024

static bool take_page(uint64_t address)
{
	return !EFI_ERROR(boot->AllocatePages(AllocateAddress, EfiReservedMemoryType, 1, &address));
}

/* A reserved page in every 3 MiB of all memory below 4 GiB. */
static void make_holes(void)
{
	for (uint64_t address = MIB; address < 4 * GIB; address += HOLE_DISTANCE)
		(void)take_page(address);
}

/* So many reserved pages, with a free one between each two, that no table can hold them. */
static void make_crumbs(void)
{
	EFI_PHYSICAL_ADDRESS start = 0;

	check(boot->AllocatePages(AllocateAnyPages, EfiBootServicesData, 2 * CRUMBS, &start),
	      L"no memory for crumbs");
	boot->FreePages(start, 2 * CRUMBS);
	for (uint32_t i = 0; i < CRUMBS; i++)
		(void)take_page(start + 2 * i * PAGE_SIZE);
}

/* Takes pieces of a size until there are no more, or they come from the first MiB. */
static void take_pieces(UINTN pages)
{
	EFI_PHYSICAL_ADDRESS address = 0;

	while (!EFI_ERROR(boot->AllocatePages(AllocateAnyPages, EfiReservedMemoryType, pages, &address))) {
		if (address < MIB) {
			boot->FreePages(address, pages);
			return;
		}
	}
}

/* Leaves 24 MiB in one piece, and what is below 1 MiB. */
static void take_memory(void)
{
	EFI_PHYSICAL_ADDRESS kept = 0;
	const UINTN left = 24 * MIB / PAGE_SIZE;

	check(boot->AllocatePages(AllocateAnyPages, EfiLoaderData, left, &kept), L"no memory to leave");
	for (UINTN pages = 512 * MIB / PAGE_SIZE; pages > 0; pages /= 2)
		take_pieces(pages);
	boot->FreePages(kept, left);
}

/*
 * The screen
 */

/* A driver that is stopped takes its own screens away; what is left is taken from it. */
static void remove_screen(void)
{
	EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
	EFI_HANDLE *handles;
	void *output;
	UINTN count;

	check(boot->LocateHandleBuffer(ByProtocol, &guid, NULL, &count, &handles),
	      L"there is no screen to remove");
	for (UINTN i = 0; i < count; i++) {
		boot->DisconnectController(handles[i], NULL, NULL);
		if (!EFI_ERROR(boot->HandleProtocol(handles[i], &guid, &output)))
			boot->UninstallProtocolInterface(handles[i], &guid, output);
	}
	if (!EFI_ERROR(boot->LocateProtocol(&guid, NULL, &output)))
		give_up(L"a screen cannot be removed");
}

/*
 * What to do, and the loader
 */

static const struct {
	const char *word;
	void (*act)(void);
} faults[] = {
	{"no-acpi", remove_acpi},
	{"root-checksum", break_root_checksum},
	{"root-size", break_root_size},
	{"xsdt-checksum", break_xsdt_checksum},
	{"madt-checksum", break_madt_checksum},
	{"madt-size", break_madt_size},
	{"madt-entry", break_madt_entry},
	{"ghost-cpu", add_ghost_cpu},
	{"holes", make_holes},
	{"crumbs", make_crumbs},
	{"little-memory", take_memory},
	{"no-screen", remove_screen},
};

static EFI_FILE_PROTOCOL *open_file(EFI_HANDLE device, const CHAR16 *path)
{
	EFI_GUID guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
	EFI_FILE_IO_INTERFACE *file_system;
	EFI_FILE_PROTOCOL *volume, *file;

	check(boot->HandleProtocol(device, &guid, (void **)&file_system), L"no file system");
	check(file_system->OpenVolume(file_system, &volume), L"no volume");
	check(volume->Open(volume, &file, (CHAR16 *)path, EFI_FILE_MODE_READ, 0), path);
	return file;
}

#define LOADER_LIMIT (1 * MIB)

static bool is_blank(char character)
{
	return character <= ' ';
}

static bool is_word(const char *text, size_t size, const char *word)
{
	for (size_t i = 0; i < size; i++)
		if (word[i] == '\0' || word[i] != text[i])
			return false;
	return word[size] == '\0';
}

static void do_word(const char *word, size_t size)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (is_word(word, size, faults[i].word)) {
			faults[i].act();
			return;
		}
	}
	give_up(L"an unknown word in \\vandal.txt");
}

static void do_all(const char *text, size_t size)
{
	for (size_t start = 0, end; start < size; start = end) {
		for (end = start; end < size && !is_blank(text[end]); end++)
			;
		if (end > start)
			do_word(text + start, end - start);
		end += end < size;
	}
}

/* The firmware finds the device's own path in front of the file's. */
static EFI_HANDLE load(EFI_HANDLE device, const CHAR16 *path)
{
	void *file;
	EFI_FILE_PROTOCOL *handle = open_file(device, path);
	EFI_GUID guid = LOADED_IMAGE_PROTOCOL;
	UINTN size = LOADER_LIMIT;
	EFI_LOADED_IMAGE *loaded;
	EFI_HANDLE child;

	check(boot->AllocatePool(EfiBootServicesData, size, &file), L"no memory for the loader");
	check(handle->Read(handle, &size, file), L"the loader cannot be read");
	check(boot->LoadImage(FALSE, own_image, NULL, file, size, &child), L"the loader cannot be loaded");
	check(boot->HandleProtocol(child, &guid, (void **)&loaded), L"the loader is no loaded image");
	loaded->DeviceHandle = device;
	return child;
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
	EFI_GUID guid = LOADED_IMAGE_PROTOCOL;
	EFI_LOADED_IMAGE *loaded;
	EFI_FILE_PROTOCOL *list;
	EFI_HANDLE loader;
	char text[512];
	UINTN size = sizeof(text);

	own_image = image;
	system = system_table;
	boot = system->BootServices;
	check(boot->HandleProtocol(image, &guid, (void **)&loaded), L"no loaded image");
	list = open_file(loaded->DeviceHandle, L"\\vandal.txt");
	check(list->Read(list, &size, text), L"\\vandal.txt cannot be read");
	loader = load(loaded->DeviceHandle, L"\\loader.efi");
	do_all(text, size);
	return boot->StartImage(loader, NULL, NULL);
}
