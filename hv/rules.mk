# The hypervisor: build/bulkhead.elf from hv/, arch/x86/ and drivers/.
HV_C    := $(wildcard hv/*.c hv/lib/*.c hv/mem/*.c hv/core/*.c hv/call/*.c hv/device/*.c hv/console/*.c \
             arch/x86/*.c arch/x86/vmx/*.c arch/x86/svm/*.c drivers/*.c)
HV_ASM  := $(wildcard arch/x86/*.asm arch/x86/vmx/*.asm arch/x86/svm/*.asm)
HV_OBJ  := $(HV_C:%.c=$(BUILD)/%.o) $(HV_ASM:%.asm=$(BUILD)/%.asm.o) $(BUILD)/font.o
HV_CFLAGS := -std=gnu17 -O2 -g -ffreestanding -fno-builtin-printf -mgeneral-regs-only -mcmodel=kernel -mno-red-zone \
             -fno-stack-protector -fno-pic -fno-pie -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
             -fno-strict-aliasing -ffile-prefix-map=$(CURDIR)=. -fcf-protection=none $(WARN) -Iinclude -I. -MMD -MP

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HV_CFLAGS) -c $< -o $@

$(BUILD)/%.asm.o: %.asm
	@mkdir -p $(@D)
	$(NASM) -f elf64 -g -F dwarf -Werror -I . -MD $(@:.o=.d) -o $@ $<

-include $(HV_OBJ:.o=.d)

# Between an exit and the next entry every instruction counts. A backtrace ends there: RBP is 0 and stays it.
$(BUILD)/arch/x86/vmx/exit.o: HV_CFLAGS += -fomit-frame-pointer -ffixed-rbp
