# rules of tests/firmware/: the firmware that went wrong, a UEFI program built as the loader is.
VANDAL_OBJ := $(addprefix $(BUILD)/boot/obj/,tests/firmware/vandal.o hv/lib/string.o)

$(BUILD)/firmware/vandal.so: $(VANDAL_OBJ)
	@mkdir -p $(@D)
	$(LD) $(LOADER_LDFLAGS) -o $@ $(EFI_LIB)/crt0-efi-x86_64.o $(VANDAL_OBJ) -L$(EFI_LIB) -lgnuefi

$(BUILD)/firmware/vandal.efi: $(BUILD)/firmware/vandal.so
	$(EFI_OBJCOPY) $< $@

-include $(BUILD)/boot/obj/tests/firmware/vandal.d

.PHONY: vandal
vandal: $(BUILD)/firmware/vandal.efi
