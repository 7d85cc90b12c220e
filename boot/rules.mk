# The UEFI loader: build/boot/BOOTX64.EFI, from boot/ and the freestanding helpers of hv/lib, with GNU-EFI's start-up
# code, which relocates the program and calls efi_main().
EFI_LIB     ?= /usr/lib
EFI_INCLUDE ?= /usr/include/efi

CONFIG_C   := boot/config.c boot/config_values.c boot/config_text.c hv/lib/printf.c
LOADER_C   := $(filter-out $(CONFIG_C),$(wildcard boot/*.c)) $(CONFIG_C) hv/lib/string.c
LOADER_OBJ := $(LOADER_C:%.c=$(BUILD)/boot/obj/%.o)
LOADER_CFLAGS := -std=gnu17 -O2 -g -ffreestanding -fno-builtin-printf -fpic -fshort-wchar -fvisibility=hidden -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -fno-strict-aliasing -fcf-protection=none \
	-ffile-prefix-map=$(CURDIR)=. -DGNU_EFI_USE_MS_ABI $(WARN) -Iinclude -I. -isystem $(EFI_INCLUDE) \
	-isystem $(EFI_INCLUDE)/x86_64 -MMD -MP
LOADER_LDFLAGS := -nostdlib -shared -Bsymbolic -znocombreloc --no-undefined --build-id=none -T $(EFI_LIB)/elf_x86_64_efi.lds

EFI_OBJCOPY := objcopy -j .text -j .sdata -j .data -j .dynamic -j .dynsym -j .rel -j .rela -j '.rel.*' -j '.rela.*' -j .reloc \
	--target efi-app-x86_64

$(BUILD)/boot/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(LOADER_CFLAGS) -c $< -o $@

$(BUILD)/boot/loader.so: $(LOADER_OBJ)
	$(LD) $(LOADER_LDFLAGS) -o $@ $(EFI_LIB)/crt0-efi-x86_64.o $(LOADER_OBJ) -L$(EFI_LIB) -lgnuefi

$(BUILD)/boot/BOOTX64.EFI: $(BUILD)/boot/loader.so
	$(EFI_OBJCOPY) $< $@

-include $(LOADER_OBJ:.o=.d)
