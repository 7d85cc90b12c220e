# rules of tests/hostile/: the attackers, one image for each mode, and the victim.
HOSTILE_COMMON := $(addprefix $(GUESTS)/hostile/,hostile.o memory.o registers.o instructions.o delivery.o modes.asm.o) $(GUESTS)/cpu/probes.asm.o
HOSTILE_IMAGES := $(GUESTS)/hostile-full.elf $(GUESTS)/hostile-para.elf $(GUESTS)/victim.elf

.PHONY: hostile
hostile: $(HOSTILE_IMAGES) ## build the hostile guests of the isolation tests

$(GUESTS)/hostile/%.o: tests/hostile/%.c tests/hostile/hostile.h
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -c $< -o $@

$(GUESTS)/hostile/%.asm.o: tests/hostile/%.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -o $@ $<

$(GUESTS)/hostile-full.debug: $(GUEST_FULL) $(HOSTILE_COMMON) $(GUESTS)/hostile/devices.o
$(GUESTS)/hostile-para.debug: $(GUEST_PARA) $(HOSTILE_COMMON) $(GUESTS)/hostile/calls.o $(GUESTS)/hostile/sharing.o
$(GUESTS)/victim.debug: $(GUESTS)/hostile/victim.o $(GUEST_PARA)

$(GUESTS)/hostile-full.elf: $(GUESTS)/hostile-full.debug
	objcopy --strip-all -O elf32-i386 $< $@

$(GUESTS)/hostile-para.elf $(GUESTS)/victim.elf: %.elf: %.debug
	objcopy --strip-all $< $@
