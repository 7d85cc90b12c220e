/*
 * Architectural registers by their manuals' names: control registers, RFLAGS, MSRs, exception vectors, CPUID
 * bits. Intel SDM vol. 3 (2.5, 2.2.1, vol. 4), AMD APM vol. 2 (3.1, appendix A).
 */
#pragma once

#define CR0_PE (1ull << 0)
#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_ET (1ull << 4)
#define CR0_NE (1ull << 5)
#define CR0_WP (1ull << 16)
#define CR0_AM (1ull << 18)
#define CR0_NW (1ull << 29)
#define CR0_CD (1ull << 30)
#define CR0_PG (1ull << 31)

#define CR4_VME	       (1ull << 0)
#define CR4_PVI	       (1ull << 1)
#define CR4_TSD	       (1ull << 2)
#define CR4_DE	       (1ull << 3)
#define CR4_PSE	       (1ull << 4)
#define CR4_PAE	       (1ull << 5)
#define CR4_MCE	       (1ull << 6)
#define CR4_PGE	       (1ull << 7)
#define CR4_PCE	       (1ull << 8)
#define CR4_OSFXSR     (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)
#define CR4_UMIP       (1ull << 11)
#define CR4_LA57       (1ull << 12)
#define CR4_VMXE       (1ull << 13)
#define CR4_SMXE       (1ull << 14)
#define CR4_FSGSBASE   (1ull << 16)
#define CR4_PCIDE      (1ull << 17)
#define CR4_OSXSAVE    (1ull << 18)
#define CR4_SMEP       (1ull << 20)
#define CR4_SMAP       (1ull << 21)
#define CR4_PKE	       (1ull << 22)

#define EFER_SCE  (1ull << 0)
#define EFER_LME  (1ull << 8)
#define EFER_LMA  (1ull << 10)
#define EFER_NXE  (1ull << 11)
#define EFER_SVME (1ull << 12)

#define RFLAGS_CF	(1ull << 0)
#define RFLAGS_RESERVED (1ull << 1) /* always 1 */
#define RFLAGS_TF	(1ull << 8)
#define RFLAGS_IF	(1ull << 9)
#define RFLAGS_DF	(1ull << 10)
#define RFLAGS_RF	(1ull << 16)
#define RFLAGS_VM	(1ull << 17)

#define XCR0_X87 (1ull << 0)
#define XCR0_SSE (1ull << 1)
#define XCR0_AVX (1ull << 2)

#define VECTOR_DE  0
#define VECTOR_DB  1
#define VECTOR_NMI 2
#define VECTOR_BP  3
#define VECTOR_OF  4
#define VECTOR_BR  5
#define VECTOR_UD  6
#define VECTOR_NM  7
#define VECTOR_DF  8
#define VECTOR_TS  10
#define VECTOR_NP  11
#define VECTOR_SS  12
#define VECTOR_GP  13
#define VECTOR_PF  14
#define VECTOR_MF  16
#define VECTOR_AC  17
#define VECTOR_MC  18
#define VECTOR_XM  19 /* SIMD floating point */

#define MSR_TSC		      0x00000010u
#define MSR_PLATFORM_ID	      0x00000017u
#define MSR_APIC_BASE	      0x0000001Bu
#define MSR_SMI_COUNT	      0x00000034u
#define MSR_FEATURE_CONTROL   0x0000003Au
#define MSR_TSC_ADJUST	      0x0000003Bu
#define MSR_SPEC_CTRL	      0x00000048u
#define MSR_PRED_CMD	      0x00000049u
#define MSR_MICROCODE_UPDATE  0x00000079u
#define MSR_MICROCODE_REV     0x0000008Bu
#define MSR_PLATFORM_INFO     0x000000CEu
#define MSR_MTRR_CAP	      0x000000FEu
#define MSR_ARCH_CAPABILITIES 0x0000010Au
#define MSR_FLUSH_CMD	      0x0000010Bu
#define MSR_SYSENTER_CS	      0x00000174u
#define MSR_SYSENTER_ESP      0x00000175u
#define MSR_SYSENTER_EIP      0x00000176u
#define MSR_MCG_CAP	      0x00000179u
#define MSR_MCG_STATUS	      0x0000017Au
#define MSR_MISC_ENABLE	      0x000001A0u
#define MSR_DEBUGCTL	      0x000001D9u
#define MSR_PAT		      0x00000277u
#define MSR_MTRR_DEF_TYPE     0x000002FFu
#define MSR_TSC_DEADLINE      0x000006E0u
#define MSR_X2APIC_FIRST      0x00000800u
#define MSR_X2APIC_LAST	      0x000008FFu
#define MSR_XSS		      0x00000DA0u
#define MSR_EFER	      0xC0000080u
#define MSR_STAR	      0xC0000081u
#define MSR_LSTAR	      0xC0000082u
#define MSR_CSTAR	      0xC0000083u
#define MSR_SYSCALL_MASK      0xC0000084u
#define MSR_FS_BASE	      0xC0000100u
#define MSR_GS_BASE	      0xC0000101u
#define MSR_KERNEL_GS_BASE    0xC0000102u
#define MSR_TSC_AUX	      0xC0000103u
#define MSR_SYSCFG	      0xC0010010u
#define MSR_HWCR	      0xC0010015u
#define MSR_NB_CFG	      0xC001001Fu
#define MSR_INT_PENDING	      0xC0010055u
#define MSR_MMIO_CONF_BASE    0xC0010058u
#define MSR_VM_CR	      0xC0010114u
#define MSR_VM_HSAVE_PA	      0xC0010117u
#define MSR_OSVW_ID_LENGTH    0xC0010140u
#define MSR_OSVW_STATUS	      0xC0010141u
#define MSR_LS_CFG	      0xC0011020u
#define MSR_DC_CFG	      0xC0011022u
#define MSR_BU_CFG	      0xC0011023u
#define MSR_DE_CFG	      0xC0011029u
#define MSR_BU_CFG2	      0xC001102Au

#define APIC_BASE_BSP	  (1ull << 8)
#define APIC_BASE_X2APIC  (1ull << 10)
#define APIC_BASE_ENABLE  (1ull << 11)
#define APIC_DEFAULT_BASE 0xFEE00000ull

#define CPUID_EXTENDED		      0x80000000u
#define CPUID_ADDRESS_SIZES	      0x80000008u
#define CPUID_PHYSICAL_BITS	      0xFFu /* of EAX there */
#define CPUID_LINEAR_SHIFT	      8
#define CPUID_LINEAR_BITS	      0xFFu
#define CPUID7_EDX_ARCH_CAPABILITIES  (1u << 29)
#define CPUID1_ECX_MONITOR	      (1u << 3)
#define CPUID1_ECX_VMX		      (1u << 5)
#define CPUID1_ECX_PCID		      (1u << 17)
#define CPUID1_ECX_X2APIC	      (1u << 21)
#define CPUID1_ECX_TSC_DEADLINE	      (1u << 24)
#define CPUID1_ECX_XSAVE	      (1u << 26)
#define CPUID1_ECX_OSXSAVE	      (1u << 27)
#define CPUID1_ECX_RDRAND	      (1u << 30)
#define CPUID1_ECX_HYPERVISOR	      (1u << 31)
#define CPUID7_EBX_SMEP		      (1u << 7)
#define CPUID7_EBX_RDSEED	      (1u << 18)
#define CPUID80000001_ECX_SVM	      (1u << 2)
#define CPUID80000001_EDX_GIANT_PAGES (1u << 26)
