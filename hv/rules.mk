# The hypervisor: build/bulkhead.elf from hv/, arch/x86/ and drivers/.
HV_C    := $(sort $(wildcard hv/*.c hv/lib/*.c hv/mem/*.c hv/core/*.c hv/call/*.c hv/device/*.c hv/console/*.c \
             arch/x86/*.c arch/x86/vmx/*.c arch/x86/svm/*.c drivers/*.c))
HV_ASM  := $(sort $(wildcard arch/x86/*.asm arch/x86/vmx/*.asm arch/x86/svm/*.asm))
HV_OBJ  := $(HV_C:%.c=$(BUILD)/%.o) $(HV_ASM:%.asm=$(BUILD)/%.asm.o) $(BUILD)/font.o
HV_CFLAGS := -std=gnu17 -Os -g -ffreestanding -fno-builtin-printf -mgeneral-regs-only -mcmodel=kernel -mno-red-zone \
             -fno-stack-protector -fno-pic -fno-pie -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
             -fno-strict-aliasing -mpreferred-stack-boundary=3 -ffile-prefix-map=$(CURDIR)=. -fcf-protection=none $(WARN) -fstack-usage \
             -fcallgraph-info=su \
             -Iinclude -I. -MMD -MP

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HV_CFLAGS) -c $< -o $@

$(BUILD)/%.asm.o: %.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -g -F dwarf -Werror -I . -MD $(@:.o=.d) -o $@ $<

-include $(HV_OBJ:.o=.d)

# The image is linked twice: once for the addresses of the functions, then with the table of their names, which stands
# behind the code and so does not move it. The table of the result must be the one it was linked with.
HV_SYMBOLS := $(BUILD)/hv/symbol_table
HV_LINK    := $(LD) -nostdlib -static --build-id=none -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments \
              -T hv/linker.ld

$(HV_SYMBOLS).none.c: tools/symbols.py
	@mkdir -p $(@D)
	tools/symbols.py </dev/null >$@

$(HV_SYMBOLS).c: $(HV_OBJ) $(HV_SYMBOLS).none.o hv/linker.ld
	$(HV_LINK) -o $(BUILD)/hv/first_pass.elf $(HV_OBJ) $(HV_SYMBOLS).none.o
	nm $(BUILD)/hv/first_pass.elf | tools/symbols.py >$@

$(HV_SYMBOLS)%o: $(HV_SYMBOLS)%c
	$(CC) $(HV_CFLAGS) -c $< -o $@

# With debug information, for gdb; what is booted is the same without it.
$(BUILD)/bulkhead.debug.elf: $(HV_OBJ) $(HV_SYMBOLS).o hv/linker.ld
	$(HV_LINK) -o $@ $(HV_OBJ) $(HV_SYMBOLS).o
	@nm $@ | tools/symbols.py | cmp - $(HV_SYMBOLS).c

$(BUILD)/bulkhead.elf: $(BUILD)/bulkhead.debug.elf
	objcopy --strip-all $< $@

.PHONY: size
size: $(BUILD)/bulkhead.elf ## the hypervisor's size by section
	@size -A -d $(BUILD)/bulkhead.debug.elf | awk '/^\.(text|rodata|data|bss)/ { printf "%-8s %7d\n", $$1, $$2; sum += $$2 } \
		END { printf "image    %7d bytes, %d KiB in memory\n", sum, sum / 1024 }'

# Between an exit and the next entry every instruction counts: no frame pointers there. RBP is left alone instead, so that a
# backtrace passes over these functions to whoever called them; at the exit itself it ends.
HOT := arch/x86/svm/exit arch/x86/svm/event arch/x86/svm/run arch/x86/svm/slow arch/x86/svm/vmcb arch/x86/vmx/apic arch/x86/vmx/exit \
       hv/call/call hv/call/ffa_notify hv/core/cpuid hv/core/exit hv/core/exit_memory hv/core/exit_port hv/core/lifecycle \
       hv/device/full hv/device/lapic hv/device/lapic_command hv/device/lapic_page hv/device/lapic_timer hv/device/uart
$(HOT:%=$(BUILD)/%.o): HV_CFLAGS += -fomit-frame-pointer -ffixed-rbp -fno-align-loops -fno-align-jumps \
                           -fno-align-labels --param=logical-op-non-short-circuit=0

# What else runs while guests do. All that is not named here runs at boot, at a guest's end, or when a person asks for it:
# that is to be small.
WARM := arch/x86/apic arch/x86/decode arch/x86/guest_walk arch/x86/interrupts arch/x86/svm/npt arch/x86/vmx/ept arch/x86/vmx/events \
        arch/x86/vmx/slow drivers/framebuffer drivers/serial hv/call/pvtime hv/call/smccc hv/call/ffa_message hv/call/vendor \
        hv/console/console hv/console/line hv/core/partition hv/device/chipset hv/device/ioapic hv/lib/string
$(HOT:%=$(BUILD)/%.o) $(WARM:%=$(BUILD)/%.o): HV_CFLAGS += -O2
$(WARM:%=$(BUILD)/%.o): HV_CFLAGS += -fno-align-functions -fno-align-loops -fno-align-jumps -fno-align-labels
