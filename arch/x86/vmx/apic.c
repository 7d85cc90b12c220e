/*
 * The guest's local APIC served by the CPU (SDM 3C chapter 30): in xAPIC mode through the APIC-access page,
 * which stands in the partition's map where the APIC would be, in x2APIC mode through MSRs that do not exit.
 * Each vCPU follows its own APIC from mode to mode. One that is off is served by the model alone, as all are
 * where the CPU lacks a part of this.
 */
#include "arch/x86/apic.h"
#include "arch/x86/percpu.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/core/partition.h"
#include "hv/device/lapic_page.h"
#include "hv/lib/log.h"
#include "hv/lib/string.h"
#include "hv/mem/pool.h"

#define COLD __attribute__((cold, noinline))

#define CR8_EXITS   (PROCESSOR_CR8_LOAD | PROCESSOR_CR8_STORE)
#define SERVED	    (SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY)
#define EOI_BITMAPS 4 /* of 64 vectors */

/* While the APIC is off, each access to its page exits and is the model's. */
static uint32_t secondary_controls(const struct vmx_controls *controls, enum lapic_mode mode)
{
	static const uint32_t added[] = {
		[LAPIC_OFF] = SECONDARY_APIC_ACCESS,
		[LAPIC_XAPIC] = SECONDARY_APIC_ACCESS | SERVED,
		[LAPIC_X2APIC] = SECONDARY_X2APIC | SERVED,
	};

	return controls->secondary | added[mode];
}

/* The MSRs that x2APIC mode lets through are the machine's own without the control that virtualises them. */
static void write_controls(struct vmx_vcpu *vmx, enum lapic_mode mode)
{
	const void *bitmap = mode == LAPIC_X2APIC ? vmx->x2apic_bitmap : vmx->msr_bitmap;

	vmx->processor &= ~(PROCESSOR_TPR_SHADOW | CR8_EXITS);
	vmx->processor |= mode == LAPIC_OFF ? CR8_EXITS : PROCESSOR_TPR_SHADOW;
	vmx->apic_mode = mode;
	vmwrite(VMCS_PROCESSOR_CONTROLS, vmx->processor);
	vmwrite(VMCS_SECONDARY_CONTROLS, secondary_controls(&vmx->controls, mode));
	vmwrite(VMCS_MSR_BITMAP, pool_address(bitmap).value);
}

/*
 * Not all that offer this do it right: to a guest that has interrupts off, Bochs 2.7 delivers a virtual
 * interrupt as soon as one of the host comes, because it asks whether there is one and not whether it is
 * masked. So each vCPU begins with an experiment: a guest without an IDT, with both pending, that comes no
 * further than to a CLI. A sound CPU exits for the host's interrupt. The guest's memory serves, since nothing
 * is in it before the partition starts.
 */
#define TEST_PAGE     1u /* a start-up vector */
#define TEST_VECTOR   0x40u
#define TEST_ATTEMPTS 8 /* an interrupt of the host may be slow, or an NMI faster */

static const uint8_t test_code[] = {0xFB /* sti */, 0xFA /* cli */, 0xF4 /* hlt */};

/* IF = 0: the interrupt waits until the guest is entered. An exit goes straight back to here. */
static COLD uint32_t enter_test(struct vcpu *vcpu)
{
	const struct vcpu_start start = {.kind = START_REAL, .entry = TEST_PAGE};
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	vmx_vcpu_reset(vcpu, &start);
	write_controls(vmx, LAPIC_X2APIC);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, TEST_VECTOR);
	vmwrite(VMCS_HOST_RIP, (uint64_t)vmx_leave);
	apic_send_self(VECTOR_KICK);
	vmx_enter(false);
	vmwrite(VMCS_HOST_RIP, (uint64_t)vmx_exit_stub);
	memset((void *)vmx->virtual_apic, 0, PAGE_SIZE);
	return (uint32_t)vmread(VMCS_EXIT_REASON);
}

static COLD uint32_t test_masking(struct vcpu *vcpu)
{
	void *code = partition_memory(vcpu->partition, gpa(TEST_PAGE * PAGE_SIZE), sizeof(test_code));
	uint32_t reason = VMEXIT_HLT;

	if (!code)
		return reason;
	memcpy(code, test_code, sizeof(test_code));
	for (unsigned i = 0; i < TEST_ATTEMPTS; i++) {
		reason = enter_test(vcpu);
		if (reason == VMEXIT_EXCEPTION_OR_NMI)
			(void)vmx_slow_exit(vcpu, reason);
		else if (reason != VMEXIT_HLT)
			break;
	}
	return reason;
}

/* CPUs of one machine are alike: partitions that start from now on do without the page. */
static COLD void do_without(struct vmx_vcpu *vmx, uint32_t reason)
{
	vmx->controls.virtual_apic = false;
	vmx->apic_mode = LAPIC_OFF;
	vmwrite(VMCS_SECONDARY_CONTROLS, vmx->controls.secondary);
	vmwrite(VMCS_MSR_BITMAP, pool_address(vmx->msr_bitmap).value);
	if (__atomic_exchange_n(&virt_features.virtual_apic, false, __ATOMIC_RELAXED))
		log_info("local APICs are not left to VT-x: a guest with interrupts off, and one due, ended "
			 "by %s "
			 "(expected: external interrupt)",
			 vmx_reason_name(reason));
}

/* The config may not want to hear of it. */
static COLD void decide_by_test(struct vcpu *vcpu)
{
	const uint32_t reason = test_masking(vcpu);

	if (reason == VMEXIT_EXTERNAL_INTERRUPT || machine_config->virtual_apic != VIRTUAL_APIC_AUTO)
		return;
	do_without(vmx_of(vcpu), reason);
	partition_map_apic(vcpu->partition, false);
}

enum status vmx_apic_create(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	vmx->controls.virtual_apic &= vcpu->partition->apic_page.value != 0;
	if (!vmx->controls.virtual_apic)
		return OK;
	vmx->virtual_apic = pool_allocate(1);
	vmx->x2apic_bitmap = vmx_msr_bitmap(&vmx->controls, true);
	if (!vmx->virtual_apic || !vmx->x2apic_bitmap)
		return ERR_NO_MEMORY;
	vmwrite(VMCS_VIRTUAL_APIC, pool_address(vmx->virtual_apic).value);
	vmwrite(VMCS_APIC_ACCESS, vcpu->partition->apic_page.value);
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	decide_by_test(vcpu);
	vcpu->cpu_serves_apic = vmx->controls.virtual_apic;
	return OK;
}

/* A level-triggered vector's end has to be heard of. Whoever changes the bits says so, and sends after that.
 */
static COLD void write_eoi_exits(struct lapic *lapic)
{
	atomic_exchange(&lapic->level_changed, 0);
	for (unsigned i = 0; i < EOI_BITMAPS; i++)
		vmwrite(VMCS_EOI_EXIT_BITMAP0 + 2 * i, (uint64_t)lapic_load(&lapic->level[2 * i + 1]) << 32 |
							       lapic_load(&lapic->level[2 * i]));
	lapic_page_mirror_trigger(lapic);
}

void vmx_apic_reset(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	if (!vmx->controls.virtual_apic)
		return;
	write_controls(vmx, LAPIC_OFF);
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, 0);
}

/*
 * Translations that this CPU has cached may know the page as what it was before (29.4.3.1). In x2APIC mode no
 * page may be where the APIC was: it leaves the map, and vCPUs still in xAPIC mode exit for each access from
 * then on, or go on as before for as long as they have it cached.
 */
static void change_mode(struct vcpu *vcpu, enum lapic_mode mode)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);

	if (mode == LAPIC_X2APIC)
		partition_map_apic(vcpu->partition, false);
	write_controls(vmx, mode);
	ept_invalidate(&vmx->controls, vcpu->partition->guest_map.root);
	vpid_invalidate(&vmx->controls);
}

/* The model has the APIC: it took it back when its mode changed, or has it since the reset. */
static COLD bool begin_to_serve(struct vcpu *vcpu)
{
	struct vmx_vcpu *vmx = vmx_of(vcpu);
	const enum lapic_mode mode = lapic_page_mode(vcpu->lapic);

	if (mode != vmx->apic_mode)
		change_mode(vcpu, mode);
	if (mode == LAPIC_OFF)
		return false;
	lapic_enter_page(vcpu, vmx->virtual_apic);
	write_eoi_exits(vcpu->lapic);
	return true;
}

#define REQUESTED 0xFFu

/* What the page has got from us is the CPU's to deliver once it is told of the highest. */
static void tell_requests(struct lapic *lapic)
{
	uint64_t status;

	if (unlikely(lapic->raised == RAISED_ANEW)) {
		status = lapic_page_status(lapic);
	} else {
		status = vmread(VMCS_GUEST_INTERRUPT_STATUS);
		if ((status & REQUESTED) < lapic->raised)
			status = (status & ~(uint64_t)REQUESTED) | lapic->raised;
	}
	vmwrite(VMCS_GUEST_INTERRUPT_STATUS, status);
	lapic->raised = 0;
}

bool vmx_serve_apic(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;

	if (unlikely(!lapic->page) && !begin_to_serve(vcpu))
		return false;
	if (unlikely(lapic_load(&lapic->level_changed)))
		write_eoi_exits(lapic);
	lapic_page_take(lapic);
	if (lapic->raised)
		tell_requests(lapic);
	return true;
}

bool vmx_apic_interrupt_due(const struct vcpu *vcpu)
{
	const struct lapic *lapic = vcpu->lapic;

	return lapic->page && !held_back((unsigned)vmread(VMCS_GUEST_INTERRUPT_STATUS) & REQUESTED,
					 lapic_page_load(lapic, REG_PRIORITY));
}
