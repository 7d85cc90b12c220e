# rules of tools/

TOOL_FLAGS   := -std=gnu17 -g -O2 $(WARN) -Iinclude -I.
CONFIG       ?= configs/default.cfg
CHECK_CONFIG := tools/check-config.c $(CONFIG_C)

$(BUILD)/check-config: $(CHECK_CONFIG) $(wildcard boot/*.h) include/bulkhead/config.h
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -o $@ $(CHECK_CONFIG)

.PHONY: check-config
check-config: $(BUILD)/check-config ## check a config file (CONFIG=configs/default.cfg)
	@$(BUILD)/check-config $(CONFIG)

# The image that `make` builds; tools/mkimage makes others from any config and any files.
IMAGE_GUESTS := $(BUILD)/guests/full.elf $(BUILD)/guests/para.elf

$(BUILD)/bulkhead.img: tools/mkimage $(BUILD)/boot/BOOTX64.EFI $(BUILD)/bulkhead.elf configs/default.cfg $(IMAGE_GUESTS) | $(BUILD)/check-config
	@$(BUILD)/check-config configs/default.cfg
	tools/mkimage --out $@ --config configs/default.cfg --loader $(BUILD)/boot/BOOTX64.EFI \
		--hypervisor $(BUILD)/bulkhead.elf $(foreach guest,$(IMAGE_GUESTS),--file '\guests\$(notdir $(guest))=$(guest)')

.PHONY: lint
lint: $(HV_OBJ) $(BUILD)/font.c ## check the source text (one: CHECK=format)
	@HV_CFLAGS="$(HV_CFLAGS)" LOADER_CFLAGS="$(LOADER_CFLAGS)" GUEST_CFLAGS="$(GUEST_CFLAGS)" \
		TEST_CFLAGS="$(MACHINE_INCLUDE) $(TEST_FLAGS)" $(PYTHON) tools/lint.py $(CHECK)
