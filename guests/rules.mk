# rules of guests/: the guests that ship with the project, and libbulkhead.a that para guests link.
GUESTS := $(BUILD)/guests

GUEST_CFLAGS := -std=c17 -O2 -g -ffreestanding -mgeneral-regs-only -mno-red-zone -fno-stack-protector -fno-pic -fno-pie \
	-mcmodel=small -fno-asynchronous-unwind-tables -fcf-protection=none -ffile-prefix-map=$(CURDIR)/= \
	-Iinclude -Iguests/lib $(WARN)
GUEST_LDFLAGS := -m elf_x86_64 -nostdlib -static -T guests/linker.ld -z max-page-size=4096 -z noexecstack --build-id=none

# The objects of the sources named by folder, C and assembly.
guest_objects = $(foreach folder,$(1),\
	$(patsubst guests/%.c,$(GUESTS)/%.o,$(wildcard guests/$(folder)/*.c)) \
	$(patsubst guests/%.asm,$(GUESTS)/%.asm.o,$(wildcard guests/$(folder)/*.asm)))

GUEST_COMMON   := $(filter-out %/print.o,$(call guest_objects,common))
GUEST_PRINT    := $(GUESTS)/common/print.o
GUEST_FULL     := $(call guest_objects,full) $(GUEST_COMMON) $(GUEST_PRINT)
GUEST_PARA     := $(call guest_objects,para) $(GUEST_PRINT) $(GUESTS)/libbulkhead.a
GUEST_WORKLOAD := $(call guest_objects,workload)
GUEST_BENCH    := $(GUESTS)/bench/bench.o $(GUESTS)/bench/loops.asm.o

GUEST_FULL_IMAGES := $(GUESTS)/full.elf $(GUESTS)/bench-full.elf $(GUESTS)/cpu-full.elf
GUEST_PARA_IMAGES := $(GUESTS)/para.elf $(GUESTS)/bench-para.elf $(GUESTS)/hello-para.elf $(GUESTS)/calls-para.elf \
	$(GUESTS)/cpu-para.elf $(GUESTS)/ping-para.elf $(GUESTS)/pong-para.elf $(GUESTS)/manager-para.elf \
	$(GUESTS)/stress-para.elf $(GUESTS)/parallel-para.elf
GUEST_FAULTS      := $(addprefix $(GUESTS)/faults/,early-full.elf early-para.elf no-header.elf large.elf outside.elf \
	entry-full.elf entry-para.elf alignment-loop-full.elf debug-loop-para.elf)
GUEST_IMAGES      := $(GUEST_FULL_IMAGES) $(GUEST_PARA_IMAGES) $(GUEST_FAULTS)

.PHONY: guests
guests: $(GUEST_IMAGES) ## build the guests that ship with the project

$(GUESTS)/%.o: guests/%.c guests/rules.mk
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

$(GUESTS)/%.asm.o: guests/%.asm guests/rules.mk
	@mkdir -p $(@D)
	$(NASM) -f elf64 -w+all -Werror -MD $(@:.o=.d) -MP $< -o $@

# NASM's -MD does not name what is included from the source's own folder.
$(patsubst guests/%.asm,$(GUESTS)/%.asm.o,$(wildcard guests/bench/*.asm)): guests/bench/loops.inc

$(GUESTS)/libbulkhead.a: $(call guest_objects,lib) $(GUEST_COMMON)
	rm -f $@
	$(AR) rcsD $@ $^

$(GUESTS)/full.debug: $(GUEST_FULL) $(GUEST_WORKLOAD)
$(GUESTS)/bench-full.debug: $(GUEST_FULL) $(GUEST_BENCH) $(GUESTS)/bench/full.o $(GUESTS)/bench/full_loops.asm.o
$(GUESTS)/para.debug: $(GUEST_PARA) $(GUEST_WORKLOAD)
$(GUESTS)/bench-para.debug: $(GUEST_PARA) $(GUEST_BENCH) $(GUESTS)/bench/para.o $(GUESTS)/bench/para_loops.asm.o
$(GUESTS)/cpu-full.debug: $(GUEST_FULL) $(GUESTS)/cpu/cpu.o $(GUESTS)/cpu/probes.asm.o $(GUESTS)/cpu/full.o
$(GUESTS)/cpu-para.debug: $(GUEST_PARA) $(GUESTS)/cpu/cpu.o $(GUESTS)/cpu/probes.asm.o $(GUESTS)/cpu/para.o
$(GUESTS)/hello-para.debug: $(GUESTS)/hello/hello.o $(GUESTS)/libbulkhead.a
$(GUESTS)/ping-para.debug: $(GUESTS)/ping/ping.o $(GUESTS)/ping/time.asm.o $(GUESTS)/libbulkhead.a
$(GUESTS)/pong-para.debug: $(GUESTS)/pong/pong.o $(GUESTS)/libbulkhead.a
$(GUESTS)/stress-para.debug: $(call guest_objects,stress) $(GUESTS)/libbulkhead.a
$(GUESTS)/parallel-para.debug: $(GUESTS)/parallel/parallel.o $(GUESTS)/libbulkhead.a
$(GUESTS)/manager-para.debug: $(GUESTS)/manager/manager.o $(GUESTS)/libbulkhead.a
$(GUESTS)/calls-para.debug: $(call guest_objects,calls) $(GUESTS)/libbulkhead.a

# With symbols, for the debugger.
$(GUESTS)/%.debug: guests/linker.ld
	@mkdir -p $(@D)
	ld $(GUEST_LDFLAGS) -o $@ $(filter %.o %.a,$^)

# A Multiboot loader takes 32-bit ELF only, whatever the code in it is.
$(GUEST_FULL_IMAGES): %.elf: %.debug
	objcopy --strip-all -O elf32-i386 $< $@

$(GUEST_PARA_IMAGES): %.elf: %.debug
	objcopy --strip-all $< $@

# Images that are wrong, or go wrong in their first instruction: guests/faults/ says how. Those for full partitions are 32-bit ELF.
$(GUESTS)/faults/%.asm.o: guests/faults/%.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -w+all -Werror $< -o $@

$(GUESTS)/faults/%.elf: $(GUESTS)/faults/%.asm.o guests/rules.mk
	ld -m elf_x86_64 -nostdlib -static -Ttext-segment=0x100000 -z noseparate-code -z max-page-size=4096 \
		-z noexecstack --build-id=none $(if $(filter outside,$*),-e 0x40000000) -o $@.tmp $<
	objcopy --strip-all $(if $(filter %-full no-header,$*),-O elf32-i386) $@.tmp $@
	rm -f $@.tmp

-include $(shell find $(GUESTS) -name '*.d' 2>/dev/null)
