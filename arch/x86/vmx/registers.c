/*
 * Guest registers that live in the VMCS. CR0 and CR4 have two owners (SDM 3C 25.6.6): bits the guest may
 * change freely go straight to the CPU; the others it reads from the shadow, and changing them exits to the
 * rules below. EFER writes exit too.
 */
#include "arch/x86/cpu.h"
#include "arch/x86/vmx/vmx.h"
#include "hv/core/partition.h"

#define CR0_CACHE      (CR0_CD | CR0_NW)
#define EFER_ALLOWED   (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)
#define CR3_PCID       0xFFFull
#define CR3_PDPT       0xFFFFFFE0ull
#define PDPTES	       4
#define PDPTE_RESERVED 0x1E6ull /* and what the CPU has no address lines for, SDM 3A 4.4.1 */
#define PDPTE_PRESENT  1ull

static bool unrestricted(const struct vmx_controls *controls)
{
	return controls->secondary & SECONDARY_UNRESTRICTED;
}

uint64_t vmx_cr0_guest_owned(const struct vmx_controls *controls)
{
	uint64_t owned = CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_WP | CR0_AM;

	return unrestricted(controls) ? owned | CR0_PE | CR0_PG : owned;
}

/* MCE is ours: a machine check with MCE = 0 would shut the CPU down. VMXE, SMXE, CET and what is yet unknown
 * are refused. */
uint64_t vmx_cr4_guest_owned(const struct vmx_controls *controls)
{
	uint64_t known = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCE |
			 CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_LA57 | CR4_FSGSBASE | CR4_PCIDE |
			 CR4_OSXSAVE | CR4_SMEP | CR4_SMAP | CR4_PKE;

	return known & controls->cr4_fixed1;
}

/* Caches stay on, whatever the guest thinks: its memory is the hypervisor's, too. */
void vmx_load_cr0(struct vcpu *vcpu, uint64_t value)
{
	const struct vmx_controls *controls = &vmx_of(vcpu)->controls;
	uint64_t forced = controls->cr0_fixed0;

	if (unrestricted(controls))
		forced &= ~(CR0_PE | CR0_PG);
	vmwrite(VMCS_GUEST_CR0, ((value & ~CR0_CACHE) | forced) & controls->cr0_fixed1);
	vmwrite(VMCS_CR0_SHADOW, value);
}

void vmx_load_cr4(struct vcpu *vcpu, uint64_t value)
{
	const struct vmx_controls *controls = &vmx_of(vcpu)->controls;
	uint64_t forced = controls->cr4_fixed0 | (read_cr4() & CR4_MCE);

	vmwrite(VMCS_GUEST_CR4, (value & vmx_cr4_guest_owned(controls)) | forced);
	vmwrite(VMCS_CR4_SHADOW, value);
}

static uint64_t seen_by_guest(enum vmcs_field real, enum vmcs_field mask, enum vmcs_field shadow)
{
	uint64_t ours = vmread(mask);

	return (vmread(real) & ~ours) | (vmread(shadow) & ours);
}

/* PAE paging keeps its four top entries in the CPU (SDM 3A 4.4.1). false: not memory, or malformed. */
static bool load_pdptes(struct vcpu *vcpu)
{
	const uint64_t no_address = UINT64_MAX << (cpuid(CPUID_ADDRESS_SIZES, 0).eax & CPUID_PHYSICAL_BITS);
	uint64_t entry[PDPTES];

	if (!partition_read(vcpu->partition, gpa(vmread(VMCS_GUEST_CR3) & CR3_PDPT), entry, sizeof(entry)))
		return false;
	for (unsigned i = 0; i < PDPTES; i++)
		if ((entry[i] & PDPTE_PRESENT) && (entry[i] & (PDPTE_RESERVED | no_address)))
			return false;
	for (unsigned i = 0; i < PDPTES; i++)
		vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, entry[i]);
	return true;
}

static bool pae_paging(uint64_t cr0, uint64_t cr4, uint64_t efer)
{
	return (cr0 & CR0_PG) && (cr4 & CR4_PAE) && !(efer & EFER_LMA);
}

static void load_efer(uint64_t value)
{
	uint64_t controls = vmread(VMCS_ENTRY_CONTROLS) & ~(uint64_t)VMENTRY_IA32E;

	vmwrite(VMCS_GUEST_EFER, value);
	vmwrite(VMCS_ENTRY_CONTROLS, controls | (value & EFER_LMA ? VMENTRY_IA32E : 0));
}

/* Long mode comes and goes with paging while EFER.LME is set (SDM 3A 9.8.5). false: #GP. */
static bool switch_long_mode(uint64_t old_cr0, uint64_t cr0, uint64_t cr4, uint64_t *efer)
{
	bool long_code = vmread(VMCS_GUEST_CS_ACCESS) & ACCESS_LONG_CODE;

	if (!((old_cr0 ^ cr0) & CR0_PG))
		return true;
	if (!(cr0 & CR0_PG)) {
		if (((*efer & EFER_LMA) && long_code) || (cr4 & CR4_PCIDE))
			return false;
		*efer &= ~EFER_LMA;
	} else if (*efer & EFER_LME) {
		if (!(cr4 & CR4_PAE) || long_code)
			return false;
		*efer |= EFER_LMA;
	}
	return true;
}

/* MOV to CR0 that touches CD, NW, NE or a reserved bit; without unrestricted guest also PE or PG (SDM
 * 3A 2.5). */
enum exit_action vmx_write_cr0(struct vcpu *vcpu, uint64_t value)
{
	const struct vmx_controls *controls = &vmx_of(vcpu)->controls;
	uint64_t known = vmx_cr0_guest_owned(controls) | CR0_PE | CR0_PG | CR0_NE | CR0_CACHE;
	uint64_t cr4 = vmx_get_register(vcpu, VIRT_CR4), efer = vmread(VMCS_GUEST_EFER);

	if (value >> 32 || ((value & CR0_NW) && !(value & CR0_CD)) || ((value & CR0_PG) && !(value & CR0_PE)))
		return EXIT_GP;
	value = (value & known) | CR0_ET; /* the CPU drops unknown bits, too */
	if (!switch_long_mode(vmx_get_register(vcpu, VIRT_CR0), value, cr4, &efer))
		return EXIT_GP;
	if (!unrestricted(controls) && (value & (CR0_PE | CR0_PG)) != (CR0_PE | CR0_PG))
		return exit_fault(
			vcpu, "paging switched off, which takes unrestricted guest, and this CPU lacks it");
	if (pae_paging(value, cr4, efer) && !load_pdptes(vcpu))
		return EXIT_GP;
	load_efer(efer);
	vmx_load_cr0(vcpu, value);
	vpid_invalidate(controls);
	return EXIT_NEXT;
}

/* MOV to CR4 that touches MCE or a bit we do not offer. */
enum exit_action vmx_write_cr4(struct vcpu *vcpu, uint64_t value)
{
	const struct vmx_controls *controls = &vmx_of(vcpu)->controls;
	uint64_t old = vmx_get_register(vcpu, VIRT_CR4), efer = vmread(VMCS_GUEST_EFER);
	bool long_mode = efer & EFER_LMA;

	if (value & ~(vmx_cr4_guest_owned(controls) | CR4_MCE))
		return EXIT_GP;
	if (long_mode && (!(value & CR4_PAE) || ((value ^ old) & CR4_LA57)))
		return EXIT_GP;
	if ((value & ~old & CR4_PCIDE) && (!long_mode || (vmread(VMCS_GUEST_CR3) & CR3_PCID)))
		return EXIT_GP;
	if (pae_paging(vmread(VMCS_GUEST_CR0), value, efer) && !load_pdptes(vcpu))
		return EXIT_GP;
	vmx_load_cr4(vcpu, value);
	vpid_invalidate(controls);
	return EXIT_NEXT;
}

/* WRMSR to IA32_EFER: LME is fixed while paging is on, LMA is the CPU's own (SDM 3A 2.2.1). */
enum exit_action vmx_write_efer(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old = vmread(VMCS_GUEST_EFER);

	(void)vcpu;
	if (value & ~EFER_ALLOWED)
		return EXIT_GP;
	if (((value ^ old) & EFER_LME) && (vmread(VMCS_GUEST_CR0) & CR0_PG))
		return EXIT_GP;
	vmwrite(VMCS_GUEST_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
	return EXIT_NEXT;
}

uint64_t vmx_get_register(struct vcpu *vcpu, enum virt_register which)
{
	(void)vcpu;
	switch (which) {
	case VIRT_RIP: return vmread(VMCS_GUEST_RIP);
	case VIRT_RSP: return vmread(VMCS_GUEST_RSP);
	case VIRT_RFLAGS: return vmread(VMCS_GUEST_RFLAGS);
	case VIRT_CR0: return seen_by_guest(VMCS_GUEST_CR0, VMCS_CR0_MASK, VMCS_CR0_SHADOW);
	case VIRT_CR2: return read_cr2(); /* not switched: the hypervisor takes no page faults */
	case VIRT_CR3: return vmread(VMCS_GUEST_CR3);
	case VIRT_CR4: return seen_by_guest(VMCS_GUEST_CR4, VMCS_CR4_MASK, VMCS_CR4_SHADOW);
	case VIRT_EFER: return vmread(VMCS_GUEST_EFER);
	default: return 0;
	}
}

void vmx_set_register(struct vcpu *vcpu, enum virt_register which, uint64_t value)
{
	switch (which) {
	case VIRT_RIP: vmwrite(VMCS_GUEST_RIP, value); break;
	case VIRT_RSP: vmwrite(VMCS_GUEST_RSP, value); break;
	case VIRT_RFLAGS: vmwrite(VMCS_GUEST_RFLAGS, value); break;
	case VIRT_CR0: vmx_load_cr0(vcpu, value); break;
	case VIRT_CR2: write_cr2(value); break;
	case VIRT_CR3: vmwrite(VMCS_GUEST_CR3, value); break;
	case VIRT_CR4: vmx_load_cr4(vcpu, value); break;
	case VIRT_EFER: load_efer(value); break;
	default: break;
	}
}

/* Descriptor form: AVL, L, D/B, G in bits 11:8. VMCS form: in bits 15:12, and bit 16 says "unusable". */
#define ACCESS_LOW	  0xFFu
#define ACCESS_HIGH	  0xF00u
#define ACCESS_HIGH_SHIFT 4
#define ACCESS_PRESENT	  (1u << 7)

static uint16_t descriptor_access(uint32_t access)
{
	return (uint16_t)((access & ACCESS_LOW) | (access >> ACCESS_HIGH_SHIFT & ACCESS_HIGH));
}

void vmx_get_code(struct vcpu *vcpu, struct code_state *code)
{
	uint64_t efer = vmread(VMCS_GUEST_EFER);
	uint32_t access = (uint32_t)vmread(VMCS_GUEST_CS_ACCESS);

	(void)vcpu;
	code->rip = vmread(VMCS_GUEST_RIP);
	code->cr3 = vmread(VMCS_GUEST_CR3);
	code->long_mode = efer & EFER_LMA;
	code->five_levels = vmread(VMCS_GUEST_CR4) & CR4_LA57;
	code->base = 0;
	code->code = CODE_64;
	if (likely((efer & EFER_LMA) && (access & ACCESS_LONG_CODE)))
		return; /* where bases do not count */
	code->base = vmread(VMCS_GUEST_CS_BASE);
	code->code = (uint8_t)code_size_of(efer, descriptor_access(access));
}

void vmx_get_segment(struct vcpu *vcpu, enum segment_index which, struct segment *segment)
{
	uint32_t access = (uint32_t)vmread(vmcs_segment_field(VMCS_GUEST_ES_ACCESS, which));

	(void)vcpu;
	if (access & ACCESS_UNUSABLE)
		access = 0;
	*segment = (struct segment){
		.base = vmread(vmcs_segment_field(VMCS_GUEST_ES_BASE, which)),
		.limit = (uint32_t)vmread(vmcs_segment_field(VMCS_GUEST_ES_LIMIT, which)),
		.selector = (uint16_t)vmread(vmcs_segment_field(VMCS_GUEST_ES_SELECTOR, which)),
		.access = descriptor_access(access),
	};
}

void vmx_set_segment(enum segment_index which, const struct segment *segment)
{
	uint32_t access = segment->access;
	uint32_t rights = (access & ACCESS_LOW) | (access & ACCESS_HIGH) << ACCESS_HIGH_SHIFT;

	vmwrite(vmcs_segment_field(VMCS_GUEST_ES_BASE, which), segment->base);
	vmwrite(vmcs_segment_field(VMCS_GUEST_ES_LIMIT, which), segment->limit);
	vmwrite(vmcs_segment_field(VMCS_GUEST_ES_SELECTOR, which), segment->selector);
	vmwrite(vmcs_segment_field(VMCS_GUEST_ES_ACCESS, which),
		access & ACCESS_PRESENT ? rights : ACCESS_UNUSABLE);
}
