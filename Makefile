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

clean: ## remove everything that was built
	rm -rf $(BUILD)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
