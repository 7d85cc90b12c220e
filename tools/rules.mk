# rules of tools/

TOOL_FLAGS   := -std=gnu17 -g -O2 $(WARN) -Iinclude -I.
CONFIG       ?= configs/default.cfg
CHECK_CONFIG := tools/check-config.c boot/config.c boot/config_values.c boot/config_text.c boot/format.c

$(BUILD)/check-config: $(CHECK_CONFIG) $(wildcard boot/*.h) include/bulkhead/config.h
	@mkdir -p $(@D)
	$(CC) $(TOOL_FLAGS) -o $@ $(CHECK_CONFIG)

.PHONY: check-config
check-config: $(BUILD)/check-config ## check a config file (CONFIG=configs/default.cfg)
	@$(BUILD)/check-config $(CONFIG)
