/*
 * One table after the other, each at the next multiple of 64: RSDP, XSDT, FADT, FACS, MADT, DSDT.
 * Sources: ACPI 6.5, chapters 5.2 (tables), 6.4 (resource descriptors) and 20.2 (AML).
 */
#include "arch/x86/registers.h"
#include "hv/device/acpi.h"
#include "hv/device/pc.h"
#include "hv/lib/string.h"

#define TABLE_ALIGNMENT 64u /* what FACS demands; the others do not mind */

/* Where the next table goes. */
struct writer {
	uint8_t *area;
	size_t used;
};

struct header {
	char signature[4];
	uint32_t length;
	uint8_t revision, checksum;
	char maker[6], model[8];
	uint32_t model_revision;
	char tool[4];
	uint32_t tool_revision;
} PACKED;
_Static_assert(sizeof(struct header) == 36, "ACPI 6.5, table 5.4");

static struct header header_of(const char *signature, uint32_t length, uint8_t revision)
{
	struct header header = {.length = length,
				.revision = revision,
				.maker = {'B', 'U', 'L', 'K', 'H', 'D'},
				.model = {'B', 'U', 'L', 'K', 'H', 'E', 'A', 'D'},
				.model_revision = 1,
				.tool = {'B', 'U', 'L', 'K'},
				.tool_revision = 1};

	memcpy(header.signature, signature, sizeof(header.signature));
	return header;
}

/* The byte that makes all of them sum up to 0. */
static uint8_t checksum(const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint8_t sum = 0;

	for (size_t i = 0; i < size; i++)
		sum = (uint8_t)(sum + at[i]);
	return (uint8_t)-sum;
}

/* Room for a table; its GPA is table_address(). */
static void *take(struct writer *writer, size_t size)
{
	void *table = writer->area + writer->used;

	writer->used = ALIGN_UP(writer->used + size, (size_t)TABLE_ALIGNMENT);
	return table;
}

static uint32_t table_address(const struct writer *writer, const void *table)
{
	return (uint32_t)(ACPI_AREA_GPA + ((const uint8_t *)table - writer->area));
}

static uint32_t finish(const struct writer *writer, struct header *header)
{
	header->checksum = checksum(header, header->length);
	return table_address(writer, header);
}

/*
 * DSDT: AML that never changes, so it stands here as it is: a structure for each term, whose lengths the
 * compiler counts. All packages have the two-byte form of PkgLength (20.2.4), which counts itself.
 */

#define AML_ZERO    0x00u
#define AML_NAME    0x08u
#define AML_BYTE    0x0Au
#define AML_DWORD   0x0Cu
#define AML_SCOPE   0x10u
#define AML_BUFFER  0x11u
#define AML_PACKAGE 0x12u
#define AML_DEVICE                                                                                           \
	{                                                                                                    \
		0x5B, 0x82                                                                                   \
	}
#define AML_END_TAG                                                                                          \
	{                                                                                                    \
		0x79, 0                                                                                      \
	} /* a checksum of 0 is not checked (6.4.2.9) */

/* PkgLength from the member `length` of a type to its end. */
#define PACKAGE_SIZE(type) (sizeof(type) - offsetof(type, length))
#define PACKAGE_LENGTH(type)                                                                                 \
	{                                                                                                    \
		0x40 | (PACKAGE_SIZE(type) & 0xF), PACKAGE_SIZE(type) >> 4                                   \
	}

/* A compressed identity (19.3.4): three letters of five bits, four hexadecimal digits. */
#define LETTER(c) ((c)-0x40)
#define PNP_ID(number)                                                                                       \
	{                                                                                                    \
		LETTER('P') << 2 | LETTER('N') >> 3, (LETTER('N') << 5 & 0xFF) | LETTER('P'), (number) >> 8, \
			(number)&0xFF                                                                        \
	}

struct aml_name {
	uint8_t op;
	char name[4];
} PACKED;
#define NAME(a, b, c, d)                                                                                     \
	{                                                                                                    \
		AML_NAME,                                                                                    \
		{                                                                                            \
			a, b, c, d                                                                           \
		}                                                                                            \
	}

struct aml_id {
	struct aml_name name;
	uint8_t prefix, id[4];
} PACKED;
#define HID(number)                                                                                          \
	{                                                                                                    \
		NAME('_', 'H', 'I', 'D'), AML_DWORD, PNP_ID(number)                                          \
	}

/* A range of ports, decoded with 16 bits, at one place only (6.4.2.5). */
struct aml_ports {
	uint8_t tag, decoding;
	uint16_t lowest, highest;
	uint8_t alignment, count;
} PACKED;
#define PORTS(first, number)                                                                                 \
	{                                                                                                    \
		0x47, 1, first, first, 1, number                                                             \
	}

/* One edge-triggered line (6.4.2.1). */
struct aml_irq {
	uint8_t tag;
	uint16_t mask;
} PACKED;
#define IRQ(line)                                                                                            \
	{                                                                                                    \
		0x22, 1u << (line)                                                                           \
	}

/* What a bus hands down to its devices (6.4.3.5): types 0 memory, 1 ports, 2 bus numbers. */
#define WINDOW_TYPE_MEMORY 0u
#define WINDOW_TYPE_PORTS  1u
#define WINDOW_TYPE_BUS	   2u
#define WINDOW_FIXED	   0x0Cu /* minimum and maximum are */
#define WINDOW_WRITABLE	   0x01u /* memory: uncached, read and write */
#define WINDOW_WHOLE_ISA   0x03u /* ports: not only ISA's, not only others */

struct aml_window16 {
	uint8_t tag;
	uint16_t length;
	uint8_t type, flags, type_flags;
	uint16_t granularity, lowest, highest, offset, count;
} PACKED;
#define WINDOW16(kind, kind_flags, first, last)                                                              \
	{                                                                                                    \
		0x88, sizeof(struct aml_window16) - 3, kind, WINDOW_FIXED, kind_flags, 0, first, last, 0,    \
			(last) - (first) + 1                                                                 \
	}

struct aml_window32 {
	uint8_t tag;
	uint16_t length;
	uint8_t type, flags, type_flags;
	uint32_t granularity, lowest, highest, offset, count;
} PACKED;
#define WINDOW32(first, last)                                                                                \
	{                                                                                                    \
		0x87, sizeof(struct aml_window32) - 3, WINDOW_TYPE_MEMORY, WINDOW_FIXED, WINDOW_WRITABLE, 0, \
			first, last, 0, (last) - (first) + 1                                                 \
	}

/* Name (_CRS, Buffer () {...}): `resources` is a structure that ends with the end tag. */
#define RESOURCES(type, resources)                                                                           \
	struct type {                                                                                        \
		struct aml_name name;                                                                        \
		uint8_t op, length[2], prefix, size;                                                         \
		struct resources content;                                                                    \
	} PACKED
#define CRS(type, resources)                                                                                 \
	.name = NAME('_', 'C', 'R', 'S'), .op = AML_BUFFER, .length = PACKAGE_LENGTH(struct type),           \
	.prefix = AML_BYTE, .size = sizeof(struct resources)

struct bridge_resources {
	struct aml_window16 buses;
	struct aml_ports configuration;
	struct aml_window16 low_ports, high_ports;
	struct aml_window32 memory;
	uint8_t end[2];
} PACKED;

struct serial_resources {
	struct aml_ports ports;
	struct aml_irq irq;
	uint8_t end[2];
} PACKED;

RESOURCES(bridge_crs, bridge_resources);
RESOURCES(device_crs, serial_resources);

struct bridge {
	uint8_t op[2], length[2];
	char name[4];
	struct aml_id id;
	struct bridge_crs crs;
} PACKED;

struct isa_device {
	uint8_t op[2], length[2];
	char name[4];
	struct aml_id id;
	struct device_crs crs;
} PACKED;

struct system_bus {
	uint8_t op, length[2];
	char root, name[4];
	struct bridge bridge;
	struct isa_device clock, serial;
} PACKED;

struct sleep_state {
	struct aml_name name;
	uint8_t op, length[2], count;
	uint8_t values[5]; /* SLP_TYP of PM1a, as a byte; of PM1b, which is not there; two reserved */
} PACKED;

struct aml {
	struct sleep_state off;
	struct system_bus bus;
} PACKED;

#define PCI_PORTS_END	(PC_PORT_PCI_DATA + 3)
#define PCI_MEMORY_LAST (PC_IOAPIC_ADDRESS - 1)

static const struct aml aml = {
	.off = {.name = NAME('_', 'S', '5', '_'),
		.op = AML_PACKAGE,
		.length = PACKAGE_LENGTH(struct sleep_state),
		.count = 4,
		.values = {AML_BYTE, PC_SLEEP_TYPE_OFF, AML_ZERO, AML_ZERO, AML_ZERO}},
	.bus = {.op = AML_SCOPE,
		.length = PACKAGE_LENGTH(struct system_bus),
		.root = '\\',
		.name = {'_', 'S', 'B', '_'},
		.bridge = {.op = AML_DEVICE,
			   .length = PACKAGE_LENGTH(struct bridge),
			   .name = {'P', 'C', 'I', '0'},
			   .id = HID(0x0A03),
			   .crs = {CRS(bridge_crs, bridge_resources),
				   .content = {.buses = WINDOW16(WINDOW_TYPE_BUS, 0, 0, 0),
					       .configuration = PORTS(PC_PORT_PCI_ADDRESS, 8),
					       .low_ports = WINDOW16(WINDOW_TYPE_PORTS, WINDOW_WHOLE_ISA, 0,
								     PC_PORT_PCI_ADDRESS - 1),
					       .high_ports = WINDOW16(WINDOW_TYPE_PORTS, WINDOW_WHOLE_ISA,
								      PCI_PORTS_END + 1, 0xFFFF),
					       .memory = WINDOW32(FULL_LOW_MEMORY, PCI_MEMORY_LAST),
					       .end = AML_END_TAG}}},
		.clock = {.op = AML_DEVICE,
			  .length = PACKAGE_LENGTH(struct isa_device),
			  .name = {'R', 'T', 'C', '_'},
			  .id = HID(0x0B00),
			  .crs = {CRS(device_crs, serial_resources),
				  .content = {.ports = PORTS(PC_PORT_RTC, 2),
					      .irq = IRQ(PC_IRQ_RTC),
					      .end = AML_END_TAG}}},
		.serial = {.op = AML_DEVICE,
			   .length = PACKAGE_LENGTH(struct isa_device),
			   .name = {'C', 'O', 'M', '1'},
			   .id = HID(0x0501),
			   .crs = {CRS(device_crs, serial_resources),
				   .content = {.ports = PORTS(PC_PORT_COM1, 8),
					       .irq = IRQ(PC_IRQ_COM1),
					       .end = AML_END_TAG}}}},
};

static uint32_t write_dsdt(struct writer *writer)
{
	struct {
		struct header header;
		struct aml aml;
	} PACKED *dsdt = take(writer, sizeof(*dsdt));

	dsdt->header = header_of("DSDT", sizeof(*dsdt), 2); /* 2: 64-bit integers */
	dsdt->aml = aml;
	return finish(writer, &dsdt->header);
}

/*
 * MADT (5.2.12)
 */

#define MADT_LOCAL_APIC	    0u
#define MADT_IO_APIC	    1u
#define MADT_OVERRIDE	    2u
#define MADT_LOCAL_NMI	    4u
#define MADT_ENABLED	    1u
#define MADT_HAS_8259S	    1u
#define MADT_ALL_PROCESSORS 0xFFu
#define MADT_CONFORMS	    0u	    /* to the bus: edge, active high */
#define MADT_LEVEL_HIGH	    0x000Du /* level-triggered, active high */
#define MADT_NMI_INPUT	    1u	    /* LINT1, as on every PC */

struct madt {
	struct header header;
	uint32_t apic_address, flags;
} PACKED;

struct madt_local_apic {
	uint8_t type, length, processor, apic_id;
	uint32_t flags;
} PACKED;

struct madt_io_apic {
	uint8_t type, length, id, reserved;
	uint32_t address, first_interrupt;
} PACKED;

struct madt_override {
	uint8_t type, length, bus, line;
	uint32_t interrupt;
	uint16_t flags;
} PACKED;

struct madt_local_nmi {
	uint8_t type, length, processor;
	uint16_t flags;
	uint8_t input;
} PACKED;

struct madt_fixed {
	struct madt_io_apic io_apic;
	struct madt_override timer, sci;
	struct madt_local_nmi nmi;
} PACKED;

static const struct madt_fixed madt_fixed = {
	.io_apic = {MADT_IO_APIC, sizeof(struct madt_io_apic), PC_IOAPIC_ID, 0, PC_IOAPIC_ADDRESS, 0},
	.timer = {MADT_OVERRIDE, sizeof(struct madt_override), 0, PC_IRQ_TIMER, PC_PIN_TIMER, MADT_CONFORMS},
	.sci = {MADT_OVERRIDE, sizeof(struct madt_override), 0, PC_IRQ_SCI, PC_IRQ_SCI, MADT_LEVEL_HIGH},
	.nmi = {MADT_LOCAL_NMI, sizeof(struct madt_local_nmi), MADT_ALL_PROCESSORS, MADT_CONFORMS,
		MADT_NMI_INPUT},
};

static uint32_t write_madt(struct writer *writer, uint32_t vcpu_count)
{
	const uint32_t size = (uint32_t)(sizeof(struct madt) + vcpu_count * sizeof(struct madt_local_apic) +
					 sizeof(madt_fixed));
	struct madt *madt = take(writer, size);
	struct madt_local_apic *apic = (void *)(madt + 1);

	*madt = (struct madt){.header = header_of("APIC", size, 5),
			      .apic_address = APIC_DEFAULT_BASE,
			      .flags = MADT_HAS_8259S};
	for (uint32_t i = 0; i < vcpu_count; i++)
		apic[i] = (struct madt_local_apic){MADT_LOCAL_APIC, sizeof(*apic), (uint8_t)i, (uint8_t)i,
						   MADT_ENABLED};
	memcpy(apic + vcpu_count, &madt_fixed, sizeof(madt_fixed));
	return finish(writer, &madt->header);
}

/*
 * FADT (5.2.9) and FACS (5.2.10)
 */

/* A register in I/O space (5.2.3.2); access sizes 1 byte, 2 word, 3 double word. */
struct address {
	uint8_t space, bits, offset, access;
	uint64_t address;
} PACKED;
#define SPACE_PORTS 1u
#define REGISTER(port, bytes)                                                                                \
	{                                                                                                    \
		SPACE_PORTS, 8 * (bytes), 0, (bytes) == 4 ? 3 : (bytes), port                                \
	}

struct fadt {
	struct header header;
	uint32_t facs, dsdt;
	uint8_t reserved, profile;
	uint16_t sci;
	uint32_t smi_command;
	uint8_t acpi_enable, acpi_disable, s4_bios, p_state;
	uint32_t pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
	uint8_t pm1_event_size, pm1_control_size, pm2_control_size, pm_timer_size, gpe0_size, gpe1_size,
		gpe1_base, c_state;
	uint16_t c2_latency, c3_latency, flush_size, flush_stride;
	uint8_t duty_offset, duty_width, day_alarm, month_alarm, century;
	uint16_t boot_architecture;
	uint8_t reserved2;
	uint32_t flags;
	struct address reset;
	uint8_t reset_value;
	uint16_t arm_boot_architecture;
	uint8_t minor_version;
	uint64_t wide_facs, wide_dsdt;
	struct address wide_pm1a_event, wide_pm1b_event, wide_pm1a_control, wide_pm1b_control,
		wide_pm2_control, wide_pm_timer, wide_gpe0, wide_gpe1, sleep_control, sleep_status;
	uint64_t hypervisor;
} PACKED;
_Static_assert(offsetof(struct fadt, flags) == 112 && offsetof(struct fadt, wide_facs) == 132, "table 5.9");
_Static_assert(sizeof(struct fadt) == 276, "ACPI 6.5, table 5.9");

#define FADT_NO_C2		101u /* microseconds: above 100 there is no C2 */
#define FADT_NO_C3		1001u
#define FADT_LEGACY_DEVICES	(1u << 0)
#define FADT_NO_VGA		(1u << 2)
#define FADT_WBINVD		(1u << 0)
#define FADT_C1			(1u << 2)
#define FADT_NO_POWER_BUTTON	(1u << 4)
#define FADT_NO_SLEEP_BUTTON	(1u << 5)
#define FADT_RTC_NO_WAKE_STATUS (1u << 6)
#define FADT_TIMER_32_BITS	(1u << 8)
#define FADT_HAS_RESET		(1u << 10)
#define FADT_REVISION		6u

/* The 8042 is not told of: nothing is plugged in. */
static const struct fadt fadt_fixed = {
	.sci = PC_IRQ_SCI,
	.pm1a_event = PC_PORT_PM1_EVENT,
	.pm1a_control = PC_PORT_PM1_CONTROL,
	.pm_timer = PC_PORT_PM_TIMER,
	.pm1_event_size = PC_PM1_EVENT_SIZE,
	.pm1_control_size = PC_PM1_CONTROL_SIZE,
	.pm_timer_size = PC_PM_TIMER_SIZE,
	.c2_latency = FADT_NO_C2,
	.c3_latency = FADT_NO_C3,
	.century = PC_RTC_CENTURY,
	.boot_architecture = FADT_LEGACY_DEVICES | FADT_NO_VGA,
	.flags = FADT_WBINVD | FADT_C1 | FADT_NO_POWER_BUTTON | FADT_NO_SLEEP_BUTTON |
		 FADT_RTC_NO_WAKE_STATUS | FADT_TIMER_32_BITS | FADT_HAS_RESET,
	.reset = REGISTER(PC_PORT_RESET, 1),
	.reset_value = PC_RESET_VALUE,
	/* Event registers are accessed by half: status, then enable. */
	.wide_pm1a_event = {SPACE_PORTS, 8 * PC_PM1_EVENT_SIZE, 0, 2, PC_PORT_PM1_EVENT},
	.wide_pm1a_control = REGISTER(PC_PORT_PM1_CONTROL, PC_PM1_CONTROL_SIZE),
	.wide_pm_timer = REGISTER(PC_PORT_PM_TIMER, PC_PM_TIMER_SIZE),
};

struct facs {
	char signature[4];
	uint32_t length, hardware_signature, waking_vector, global_lock, flags;
	uint64_t wide_waking_vector;
	uint8_t version, reserved[31];
} PACKED;
_Static_assert(sizeof(struct facs) == 64, "ACPI 6.5, table 5.12");

static uint32_t write_facs(struct writer *writer)
{
	struct facs *facs = take(writer, sizeof(*facs));

	*facs = (struct facs){.signature = {'F', 'A', 'C', 'S'}, .length = sizeof(*facs), .version = 2};
	return table_address(writer, facs);
}

static uint32_t write_fadt(struct writer *writer, uint32_t facs, uint32_t dsdt)
{
	struct fadt *fadt = take(writer, sizeof(*fadt));

	*fadt = fadt_fixed;
	fadt->header = header_of("FACP", sizeof(*fadt), FADT_REVISION);
	fadt->facs = facs;
	fadt->dsdt = dsdt;
	fadt->wide_dsdt = dsdt;
	return finish(writer, &fadt->header);
}

/*
 * RSDP (5.2.5) and XSDT (5.2.8)
 */

struct rsdp {
	char signature[8];
	uint8_t checksum;
	char maker[6];
	uint8_t revision;
	uint32_t rsdt, length;
	uint64_t xsdt;
	uint8_t whole_checksum, reserved[3];
} PACKED;
#define RSDP_FIRST_SIZE 20u /* what the first checksum covers */
_Static_assert(sizeof(struct rsdp) == 36, "ACPI 6.5, table 5.3");

struct xsdt {
	struct header header;
	uint64_t table[2];
} PACKED;

static void fill_rsdp(struct rsdp *rsdp, uint32_t xsdt)
{
	*rsdp = (struct rsdp){.signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
			      .maker = {'B', 'U', 'L', 'K', 'H', 'D'},
			      .revision = 2,
			      .length = sizeof(*rsdp),
			      .xsdt = xsdt};
	rsdp->checksum = checksum(rsdp, RSDP_FIRST_SIZE);
	rsdp->whole_checksum = checksum(rsdp, sizeof(*rsdp));
}

size_t acpi_build(uint8_t area[ACPI_AREA_SIZE], uint32_t vcpu_count)
{
	struct writer writer = {.area = area};
	struct rsdp *rsdp = take(&writer, sizeof(*rsdp));
	struct xsdt *xsdt = take(&writer, sizeof(*xsdt));
	uint32_t facs = write_facs(&writer), dsdt = write_dsdt(&writer);

	*xsdt = (struct xsdt){.header = header_of("XSDT", sizeof(*xsdt), 1),
			      .table = {write_fadt(&writer, facs, dsdt), write_madt(&writer, vcpu_count)}};
	fill_rsdp(rsdp, finish(&writer, &xsdt->header));
	return writer.used;
}

void acpi_place(const struct partition *partition)
{
	_Static_assert(sizeof(struct madt) + CONFIG_MAX_CPUS * sizeof(struct madt_local_apic) +
				       sizeof(struct madt_fixed) + sizeof(struct fadt) + sizeof(struct aml) +
				       16 * TABLE_ALIGNMENT <
			       ACPI_AREA_SIZE,
		       "all tables fit");
	uint8_t *area = partition_memory(partition, gpa(ACPI_AREA_GPA), ACPI_AREA_SIZE);

	if (area) /* a partition has at least 1 MiB */
		acpi_build(area, partition->vcpu_count);
}
