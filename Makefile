# Bulkhead: `make help` lists the targets. Each folder's rules stand in its own rules.mk.
SHELL  := /bin/bash
BUILD  := build
PYTHON ?= /usr/bin/python3
CC     := gcc
NASM   := nasm
WARN   := -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Werror

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

include hv/rules.mk
include drivers/rules.mk
include boot/rules.mk
include guests/rules.mk
include tools/rules.mk
include tests/rules.mk

.PHONY: all clean help
all: $(BUILD)/bulkhead.img ## build build/bulkhead.img

# What `make run` starts: PLATFORM=auto|kvm|qemu|bochs, CPUS, MEMORY in MiB, SCREEN=1 for a window.
PLATFORM ?= auto
CPUS     ?= 2
MEMORY   ?= 1024
MACHINE   = $(PYTHON) tools/emulator.py --platform $(PLATFORM) --cpus $(CPUS) --memory $(MEMORY) $(if $(SCREEN),--screen)

.PHONY: run linux debug bench study deps
run: ## boot two guests on this terminal (PLATFORM=auto|kvm|qemu|bochs)
	@tools/deps.sh build $(if $(filter bochs,$(PLATFORM)),bochs,run)
	@$(MAKE) --no-print-directory all
	@$(MACHINE) $(BUILD)/bulkhead.img

# FLAVOUR: of Debian's kernel, regular (linux-image-amd64) or cloud (linux-image-cloud-amd64), which boots faster.
FLAVOUR ?= regular
linux: CPUS = 3
linux: ## boot two Debian Linux guests and a para guest (FLAVOUR=regular|cloud, PLATFORM=...)
	@tools/deps.sh build $(if $(filter bochs,$(PLATFORM)),bochs,run)
	@$(MAKE) --no-print-directory all $(BUILD)/check-config
	@$(PYTHON) tools/linux.py --flavour $(FLAVOUR)
	@$(BUILD)/check-config configs/linux.cfg
	@tools/mkimage --out $(BUILD)/linux.img --config configs/linux.cfg --file '\guests\para.elf=$(BUILD)/guests/para.elf' \
		--file '\linux\vmlinuz=$(BUILD)/linux/vmlinuz-$(FLAVOUR)' --file '\linux\initrd=$(BUILD)/linux/initrd'
	@$(MACHINE) $(BUILD)/linux.img

debug: ## boot on QEMU and stop at the hypervisor's entry, with gdb and symbols
	@tools/deps.sh build run debug
	@$(MAKE) --no-print-directory all
	@tools/debug.sh $(BUILD)/bulkhead.img $(BUILD)/bulkhead.debug.elf

bench: ## count instructions per round trip on both emulators (one: PLATFORM=qemu|bochs)
	@tools/deps.sh build test
	@$(MAKE) --no-print-directory all guests
	@$(PYTHON) tools/bench.py $(if $(filter qemu bochs,$(PLATFORM)),--platform $(PLATFORM))

study: ## full against para: exits and instructions per unit of work (one: PLATFORM=qemu|bochs)
	@tools/deps.sh build test
	@$(MAKE) --no-print-directory all guests
	@$(PYTHON) tools/study.py $(if $(filter qemu bochs,$(PLATFORM)),--platform $(PLATFORM))

deps: ## install the Debian packages that building, running and testing need
	@tools/deps.sh build run bochs debug test

clean: ## remove everything that was built
	rm -rf $(BUILD)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
