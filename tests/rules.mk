# Tests. Each tests/unit/test_X.c names the sources it needs in one UNIT_X line, each tests/fuzz/fuzz_X.c in one
# FUZZ_X line; nothing else is needed. All of it is built for the host with the address and undefined-behaviour
# sanitizers. `make unit TEST=X` runs one.

UNIT_config := $(CONFIG_C)
UNIT_sha256         := boot/sha256.c
UNIT_memory_table   := boot/memory_table.c
UNIT_hypervisor_elf := boot/hypervisor_elf.c
UNIT_madt           := boot/madt.c
UNIT_frames   := hv/mem/frames.c
UNIT_page_map := hv/mem/page_map.c
UNIT_pool     := hv/mem/pool.c
UNIT_boot     := hv/boot.c hv/mem/frames.c hv/lib/printf.c hv/lib/status.c
UNIT_symbols  := hv/symbols.c
UNIT_printf   := hv/lib/printf.c hv/lib/status.c
UNIT_string   := hv/lib/string_copy.c
IMAGES      := $(addprefix hv/core/,image.c elf.c kernel.c bzimage.c pvh.c) hv/lib/printf.c hv/lib/string_copy.c
UNIT_image  := $(IMAGES)
UNIT_kernel := $(IMAGES)
UNIT_acpi   := hv/device/acpi.c

# Hypercalls stand on a fake partition (tests/unit/fake_partition.h).
CALLS              := $(addprefix hv/call/,call.c smccc.c psci.c trng.c pvtime.c ffa.c ffa_memory.c ffa_message.c ffa_notify.c vendor.c \
                        manage.c) hv/core/share.c hv/core/statistics.c $(addprefix hv/mem/,frames.c page_map.c pool.c) hv/lib/printf.c \
                      tests/unit/fake_partition.c
UNIT_calls         := $(CALLS)
UNIT_psci          := $(CALLS)
UNIT_call_services := $(CALLS)
UNIT_vendor_calls  := $(CALLS)
UNIT_ffa           := $(CALLS)
UNIT_ffa_memory    := $(CALLS)
UNIT_manage        := $(CALLS)

FUZZ_calls  := $(CALLS)

CONSOLE_PURE     := hv/console/line.c hv/console/queue.c hv/console/terminal.c hv/console/keys.c hv/console/edit.c \
                    hv/lib/printf.c
UNIT_console     := hv/console/console.c hv/console/log_ring.c $(CONSOLE_PURE) drivers/framebuffer.c $(BUILD)/font.c
UNIT_framebuffer := drivers/framebuffer.c $(BUILD)/font.c
UNIT_log         := hv/console/log.c hv/console/log_ring.c hv/lib/printf.c
UNIT_monitor     := hv/console/monitor.c hv/core/statistics.c hv/console/edit.c hv/lib/printf.c hv/lib/status.c hv/lib/string_copy.c

# Devices, decoder and exits. LIBS_X: libraries a program needs besides.
UNIT_decode     := arch/x86/decode.c tests/unit/zydis_check.c
LIBS_decode     := -lZydis
FUZZ_decode     := $(UNIT_decode)
UNIT_uart       := hv/device/uart.c
UNIT_pic        := hv/device/pic.c
UNIT_pit        := hv/device/pit.c
UNIT_guest_walk := arch/x86/guest_walk.c
UNIT_arithmetic := hv/core/arithmetic.c arch/x86/decode.c
UNIT_ioapic     := hv/device/ioapic.c
UNIT_rtc        := hv/device/rtc.c
UNIT_mtrr       := hv/device/mtrr.c
UNIT_board      := $(addprefix hv/device/,power.c pci.c keyboard.c chipset.c)
PC              := $(addprefix hv/device/,uart.c pic.c pit.c ioapic.c rtc.c mtrr.c power.c pci.c keyboard.c chipset.c lapic.c \
                     lapic_command.c lapic_page.c lapic_timer.c board.c full.c) \
                   hv/core/exit_memory.c hv/core/arithmetic.c hv/core/exit_string.c hv/core/operand.c hv/core/exit_port.c arch/x86/decode.c arch/x86/guest_walk.c tests/unit/fake_pc.c
UNIT_lapic      := $(PC)
UNIT_full       := $(PC)
UNIT_exits      := $(PC)
FUZZ_devices    := $(PC)

# The auditors.
UNIT_vmx_audit := arch/x86/vmx/audit.c hv/lib/printf.c hv/lib/string_copy.c
UNIT_svm_audit := arch/x86/svm/audit.c hv/lib/string_copy.c
UNIT_audit     := hv/core/audit.c hv/core/share.c hv/mem/frames.c hv/mem/page_map.c hv/mem/pool.c

# Code that uses privileged instructions stands on a fake CPU: tests/unit/machine comes before arch/x86/cpu.h.
MACHINE_TESTS    := lifecycle partition cpuid serial clock summary cpu svm_vcpu machine_events speculation
FAKE_CPU         := tests/unit/fake_cpu.c
UNIT_lifecycle   := hv/core/lifecycle.c hv/core/exit.c hv/core/msr_constants.c hv/lib/printf.c hv/lib/status.c hv/lib/string_copy.c $(FAKE_CPU)
UNIT_cpuid       := hv/core/cpuid.c arch/x86/speculation.c $(FAKE_CPU)
UNIT_serial      := drivers/serial.c $(FAKE_CPU)
UNIT_summary     := hv/console/summary.c hv/core/statistics.c hv/console/audit.c $(FAKE_CPU)
UNIT_machine_events := arch/x86/machine_events.c hv/mem/frames.c hv/lib/status.c $(FAKE_CPU)
UNIT_cpu         := arch/x86/cpu.c hv/lib/printf.c $(FAKE_CPU)
UNIT_svm_vcpu    := arch/x86/svm/vmcb.c arch/x86/svm/event.c arch/x86/svm/describe.c arch/x86/svm/permissions.c arch/x86/speculation.c \
                    arch/x86/svm/audit.c arch/x86/entry_audit.c hv/lib/printf.c hv/lib/string_copy.c $(FAKE_CPU)
UNIT_speculation := arch/x86/speculation.c $(FAKE_CPU)
UNIT_clock       := arch/x86/clock.c $(FAKE_CPU)
UNIT_partition   := hv/core/partition.c hv/core/audit.c hv/core/share.c arch/x86/paging.c arch/x86/vmx/ept.c arch/x86/svm/npt.c \
                    $(addprefix hv/mem/,frames.c page_map.c pool.c) $(addprefix hv/lib/,printf.c status.c string_copy.c)
# The image's sections, as hv/linker.ld would place them: addresses no program on a host can have of itself.
IMAGE_SYMBOLS    := text_start=0 text_end=1F00 rodata_start=2000 rodata_end=3100 data_start=4000 end=5800
LIBS_partition   := -no-pie -Wl,--no-relax $(foreach pair,$(IMAGE_SYMBOLS),-Wl,--defsym,image_$(word 1,$(subst =, ,$(pair)))=0xFFFFFFFF80000000+0x$(word 2,$(subst =, ,$(pair))))
$(BUILD)/unit/machine/arch/x86/paging.o $(BUILD)/unit/machine/tests/unit/test_partition.o: TEST_FLAGS += -fPIC
UNIT_permissions := arch/x86/vmx/msr_bitmap.c arch/x86/svm/permissions.c

FUZZ_config := $(UNIT_config)
FUZZ_hypervisor_elf := boot/hypervisor_elf.c
FUZZ_image  := $(IMAGES)
FUZZ_console := $(CONSOLE_PURE)
FUZZ_boot   := $(UNIT_boot)
FUZZ_printf := hv/lib/printf.c
FUZZ_ring   := $(CALLS) hv/console/log_ring.c

# --- how they are built -------------------------------------------------------------------------------------------

FUZZ_CC    ?= clang
FUZZ_TIME  ?= 5
TARGET     ?= config
TIME       ?= 60

TEST_FLAGS := -std=gnu17 -g -O1 $(WARN) -Iinclude -I. -DBULKHEAD_HOST -fno-omit-frame-pointer -MMD -MP
MACHINE_INCLUDE := -Itests/unit/machine
SANITIZE   := -fsanitize=address,undefined -fno-sanitize-recover=all

UNIT_ALL   := $(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c))
UNIT_NAMES := $(or $(TEST),$(UNIT_ALL))
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

UNIT_PROGRAMS := $(UNIT_NAMES:%=$(BUILD)/unit/test_%)
FUZZ_PROGRAMS := $(FUZZ_NAMES:%=$(BUILD)/fuzz/fuzz_%)

$(BUILD)/unit/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(TEST_FLAGS) $(SANITIZE) -c -o $@ $<

$(BUILD)/unit/machine/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(MACHINE_INCLUDE) $(TEST_FLAGS) $(SANITIZE) -c -o $@ $<

$(BUILD)/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	$(FUZZ_CC) $(TEST_FLAGS) $(SANITIZE) -fsanitize=fuzzer-no-link -c -o $@ $<

define unit_program
$(BUILD)/unit/test_$(1): $(patsubst %.c,$(BUILD)/unit/$(if $(filter $(1),$(MACHINE_TESTS)),machine,obj)/%.o,tests/unit/test_$(1).c $(UNIT_$(1)))
	$(CC) $(SANITIZE) -o $$@ $$^ -lcmocka $(LIBS_$(1))
endef

define fuzz_program
$(BUILD)/fuzz/fuzz_$(1): $(patsubst %.c,$(BUILD)/fuzz/obj/%.o,tests/fuzz/fuzz_$(1).c $(FUZZ_$(1)))
	$(FUZZ_CC) $(SANITIZE) -fsanitize=fuzzer -o $$@ $$^ $(LIBS_$(1))
endef

$(foreach name,$(UNIT_NAMES),$(eval $(call unit_program,$(name))))
$(foreach name,$(FUZZ_NAMES),$(eval $(call fuzz_program,$(name))))

-include $(shell find $(BUILD)/unit $(BUILD)/fuzz -name '*.d' 2>/dev/null)

# Seeds stand in tests/fuzz/corpus_X; what a run discovers stays under build/.
fuzz_run = mkdir -p $(BUILD)/fuzz/corpus/$(1) && $(BUILD)/fuzz/fuzz_$(1) -max_total_time=$(2) -print_final_stats=0 \
	-artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/corpus/$(1) $(wildcard tests/fuzz/corpus_$(1))

include tests/hostile/rules.mk
include tests/firmware/rules.mk

.PHONY: unit fuzz fuzz-smoke
unit: $(UNIT_PROGRAMS) ## run the unit tests on the host (one: TEST=config)
	@failed=; for test in $^; do echo "== $${test##*/}"; $$test || failed="$$failed $${test##*/}"; done; \
	if [ -n "$$failed" ]; then echo "unit tests failed:$$failed"; exit 1; fi

fuzz: $(BUILD)/fuzz/fuzz_$(TARGET) ## fuzz one target (TARGET=config TIME=60)
	$(call fuzz_run,$(TARGET),$(TIME))

fuzz-smoke: $(FUZZ_PROGRAMS) ## run each fuzz target for FUZZ_TIME=5 seconds
	@set -e; $(foreach name,$(FUZZ_NAMES),echo "== fuzz_$(name)"; $(call fuzz_run,$(name),$(FUZZ_TIME)) >$(BUILD)/fuzz/$(name).log 2>&1 \
		|| { tail -40 $(BUILD)/fuzz/$(name).log; exit 1; }; tail -1 $(BUILD)/fuzz/$(name).log; )true

# What the unit tests reach of the code, file by file, and that it is enough.
.PHONY: unit-programs fuzz-programs coverage test
unit-programs: $(UNIT_PROGRAMS)
fuzz-programs: $(FUZZ_PROGRAMS)

coverage: ## how much of the code the unit tests reach, at least 90 % of lines
	@mkdir -p $(BUILD)/coverage
	@find $(BUILD)/coverage -name '*.gcda' -delete
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/coverage SANITIZE=--coverage unit >$(BUILD)/coverage/log 2>&1 \
		|| { tail -40 $(BUILD)/coverage/log; exit 1; }
	@$(PYTHON) tools/coverage.py $(BUILD)/coverage

# STEP: build, lint, unit, coverage, fuzz or system alone.
test: ## build and test everything, on both emulators (STEP="unit fuzz" for parts)
	@tools/deps.sh build run bochs debug test
	@$(PYTHON) tools/run-tests.py $(STEP)

.PHONY: attack
attack: all guests hostile ## attack the partitions from inside (PLATFORM=qemu|bochs)
	$(PYTHON) -m pytest -q -p no:cacheprovider tests/system/test_hostile.py \
		$(if $(filter qemu bochs,$(PLATFORM)),--platform=$(PLATFORM))

# Proofs of the absence of run-time errors: docs/proofs.md. Not a part of `make test`.
PROVE_decode     := arch/x86/decode.c
PROVE_guest_walk := arch/x86/guest_walk.c

.PHONY: prove
prove: ## prove the decoder and the guest page walk free of run-time errors (Frama-C; one: TARGET=decode)
	@tools/deps.sh prove
	@set -e; $(foreach name,$(if $(findstring command,$(origin TARGET)),$(TARGET),$(patsubst tests/proof/prove_%.c,%,$(wildcard tests/proof/prove_*.c))),$(PYTHON) tools/prove.py $(name) $(PROVE_$(name));)
