/*
 * How the PC is wired: which device answers at which ports, addresses and MSRs, whose line goes where, and
 * what a device's answer means for the partition. Adding a device is one row in a table, or two.
 *
 * Devices that the vCPUs share stand under partition->device_lock; each local APIC is its own vCPU's alone.
 */
#include "arch/x86/clock.h"
#include "arch/x86/registers.h"
#include "hv/console/console.h"
#include "hv/device/devices.h"
#include "hv/device/lapic_page.h"
#include "hv/mem/pool.h"

#define ALWAYS_INLINE inline __attribute__((always_inline))

/* Ticks that passed while this CPU was kept from serving its timer are made up for, but no more than these.
 */
#define TICKS_OWED_MAX 100

/*
 * Lines
 */

/* NULL while the partition is being built: nothing is pending then. */
static struct lapic *boot_lapic(const struct partition *partition)
{
	return partition->devices->lapic[0];
}

/* Publishes the PIC's output, and has vCPU 0 look when it went up. */
static void update_pic(struct partition *partition)
{
	const bool up = pic_pending(&partition->devices->pic) != PIC_QUIET;
	struct lapic *lapic = boot_lapic(partition);

	if (up == !!(lapic_load(&lapic->attention) & ATTENTION_PIC))
		return;
	if (!up) {
		atomic_fetch_and(&lapic->attention, ~ATTENTION_PIC);
		return;
	}
	atomic_fetch_or(&lapic->attention, ATTENTION_PIC);
	vcpu_request(&partition->vcpu[0], REQUEST_INTERRUPT);
}

/* What the I/O APIC has to say. A level is said once until its end of interrupt, or until somebody may take
 * it whom it has not found before, so there is an end. */
static NOINLINE void send_messages(struct partition *partition)
{
	struct ioapic *ioapic = &partition->devices->ioapic;
	struct ioapic_message message;
	bool taken;

	while (ioapic_take_message(ioapic, &message)) {
		taken = lapic_message(partition, message.command, message.destination, message.level);
		if (message.level && taken)
			ioapic_level_taken(ioapic, message.pin);
	}
}

void full_set_line(struct partition *partition, unsigned line, bool high)
{
	struct ioapic *ioapic = &partition->devices->ioapic;

	pic_set_line(&partition->devices->pic, line, high);
	update_pic(partition);
	ioapic_set_line(ioapic, line == PC_IRQ_TIMER ? PC_PIN_TIMER : line, high);
	if (ioapic->due)
		send_messages(partition);
}

static NOINLINE void change_serial_line(struct partition *partition, bool high)
{
	partition->devices->serial_line = high;
	full_set_line(partition, PC_IRQ_COM1, high);
}

static ALWAYS_INLINE void update_serial_line(struct partition *partition)
{
	const bool high = uart_interrupt(&partition->devices->uart);

	if (unlikely(high != partition->devices->serial_line))
		change_serial_line(partition, high);
}

/* Arms the timer of the PC's devices, which is vCPU 0's; from another vCPU that has to be left to it. */
void full_arm_timer(struct vcpu *vcpu)
{
	struct full_devices *devices = vcpu->partition->devices;

	if (vcpu->shared->index == 0) {
		vcpu_set_timer(vcpu, TIMER_PIT, MIN(devices->pit.edge, devices->board_edge));
		return;
	}
	atomic_fetch_or(&boot_lapic(vcpu->partition)->attention, ATTENTION_PIT);
	vcpu_request(&vcpu->partition->vcpu[0], REQUEST_INTERRUPT);
}

static void raise_tick(struct partition *partition)
{
	full_set_line(partition, PC_IRQ_TIMER, false);
	full_set_line(partition, PC_IRQ_TIMER, true);
}

static void run_timers(struct vcpu *vcpu)
{
	struct full_devices *devices = vcpu->partition->devices;
	const uint64_t edges = pit_take_edges(&devices->pit, device_now());

	if (edges) {
		devices->ticks_owed =
			(uint32_t)MIN(devices->ticks_owed + edges - 1, (uint64_t)TICKS_OWED_MAX);
		raise_tick(vcpu->partition);
	}
	if (devices->board_edge <= device_now())
		board_settle(vcpu->partition);
	full_arm_timer(vcpu);
}

/* An owed tick follows as soon as the one before has been taken. */
static void repay_tick(struct partition *partition)
{
	struct full_devices *devices = partition->devices;

	if (!devices->ticks_owed || pic_is_requested(&devices->pic, PC_IRQ_TIMER))
		return;
	devices->ticks_owed--;
	raise_tick(partition);
}

/* Bytes wait in partition->input until the receiver has room. */
static NOINLINE void fill_receiver(struct partition *partition, uint32_t tail, uint32_t head)
{
	struct input_queue *input = &partition->input;
	struct uart *uart = &partition->devices->uart;

	while (tail != head && uart_can_receive(uart))
		uart_receive(uart, input->byte[tail++ % INPUT_SIZE]);
	atomic_store_explicit(&input->tail, tail, memory_order_release);
}

static ALWAYS_INLINE void receive(struct partition *partition)
{
	const uint32_t tail = atomic_load_explicit(&partition->input.tail, memory_order_relaxed);
	const uint32_t head = atomic_load_explicit(&partition->input.head, memory_order_acquire);

	if (unlikely(tail != head))
		fill_receiver(partition, tail, head);
}

/*
 * Ports: most devices answer bytes; a wider access is one for each port it covers, as on the ISA bus. Those
 * of board.c that take it whole are asked when no row has the port.
 */

static ALWAYS_INLINE uint8_t read_uart(struct partition *partition, uint16_t port)
{
	const uint8_t value = uart_read(&partition->devices->uart, port % UART_REGISTERS);

	receive(partition);
	update_serial_line(partition);
	return value;
}

static ALWAYS_INLINE void write_uart(struct partition *partition, uint16_t port, uint8_t value)
{
	if (uart_write(&partition->devices->uart, port % UART_REGISTERS, value) &&
	    unlikely(!console_put(partition, value)))
		uart_hold(&partition->devices->uart);
	update_serial_line(partition);
}

static uint8_t uart_in(struct vcpu *vcpu, uint16_t port)
{
	return read_uart(vcpu->partition, port);
}

static enum chipset_order uart_out(struct vcpu *vcpu, uint16_t port, uint32_t value)
{
	write_uart(vcpu->partition, port, (uint8_t)value);
	return CHIPSET_NOTHING;
}

static uint8_t pic_in(struct vcpu *vcpu, uint16_t port)
{
	const uint8_t value = pic_read(&vcpu->partition->devices->pic, port);

	update_pic(vcpu->partition); /* a poll acknowledges */
	return value;
}

static enum chipset_order pic_out(struct vcpu *vcpu, uint16_t port, uint32_t value)
{
	pic_write(&vcpu->partition->devices->pic, port, (uint8_t)value);
	update_pic(vcpu->partition);
	return CHIPSET_NOTHING;
}

static uint8_t pit_in(struct vcpu *vcpu, uint16_t port)
{
	return pit_read(&vcpu->partition->devices->pit, port, device_now());
}

static enum chipset_order pit_out(struct vcpu *vcpu, uint16_t port, uint32_t value)
{
	struct full_devices *devices = vcpu->partition->devices;
	const uint64_t now = device_now(), edge = devices->pit.edge;

	pit_write(&devices->pit, port, (uint8_t)value, now);
	if (devices->pit.edge == edge)
		return CHIPSET_NOTHING;
	devices->ticks_owed = 0;
	full_set_line(vcpu->partition, PC_IRQ_TIMER, pit_output(&devices->pit, 0, now));
	full_arm_timer(vcpu);
	return CHIPSET_NOTHING;
}

static uint8_t chipset_in(struct vcpu *vcpu, uint16_t port)
{
	return chipset_read(&vcpu->partition->devices->chipset, port);
}

static enum chipset_order chipset_out(struct vcpu *vcpu, uint16_t port, uint32_t value)
{
	return chipset_write(&vcpu->partition->devices->chipset, port, (uint8_t)value);
}

struct port_row {
	uint16_t first, count;
	uint8_t (*in)(struct vcpu *vcpu, uint16_t port);
	enum chipset_order (*out)(struct vcpu *vcpu, uint16_t port, uint32_t value);
};

/* The hottest first: the rows are searched in order. */
static const struct port_row port_rows[] = {
	{PC_PORT_COM1, UART_REGISTERS, uart_in, uart_out},
	{0x20, 2, pic_in, pic_out},
	{0xA0, 2, pic_in, pic_out},
	{0x40, 4, pit_in, pit_out},
	{0x61, 1, pit_in, pit_out},
	{PC_PORT_RTC, 2, rtc_in, rtc_out},
	{PORT_DIAGNOSTICS, 1, chipset_in, chipset_out},
	{PC_PORT_KEYBOARD, 1, keyboard_in, keyboard_out},
	{PC_PORT_KEYBOARD + 4, 1, keyboard_in, keyboard_out},
	{PORT_FAST_RESET, 1, chipset_in, chipset_out},
	{0x4D0, 2, pic_in, pic_out},
	{PC_PORT_RESET, 1, chipset_in, chipset_out},
};

static const struct port_row *find_port(uint16_t port)
{
	for (const struct port_row *row = port_rows; row < port_rows + ARRAY_SIZE(port_rows); row++)
		if ((uint16_t)(port - row->first) < row->count)
			return row;
	return NULL;
}

/* Never under the device lock: the order takes the lifecycle lock. It may be refused when another one is
 * under way. */
static NOINLINE void obey(struct vcpu *vcpu, enum chipset_order order)
{
	enum status status = OK;

	if (order == CHIPSET_RESET)
		status = partition_command(vcpu->partition, ORDER_RESET, "reset by the guest");
	else if (order == CHIPSET_OFF)
		status = partition_command(vcpu->partition, ORDER_OFF, "switched off by the guest");
	(void)status;
}

/* A wide access to a device of byte registers: one after the other. */
static NOINLINE bool out_bytes(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t value)
{
	for (unsigned i = 0; i < size; i++)
		(void)full_port_out(vcpu, (uint16_t)(port + i), 1, value >> 8 * i & 0xFF);
	return true;
}

/* No row's: whole, for a device that may take it so. */
static NOINLINE bool out_whole(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t value)
{
	enum chipset_order order = CHIPSET_NOTHING;
	bool taken;

	spin_lock(&vcpu->partition->device_lock);
	taken = board_port_out(vcpu, port, size, value, &order);
	spin_unlock(&vcpu->partition->device_lock);
	obey(vcpu, order);
	return taken;
}

static NOINLINE bool out_by_row(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t value)
{
	static const uint32_t masks[] = {[1] = 0xFF, [2] = 0xFFFF, [4] = 0xFFFFFFFF};
	const struct port_row *row = find_port(port);
	enum chipset_order order;

	value &= masks[size];
	if (!row)
		return out_whole(vcpu, port, size, value);
	if (size != 1)
		return out_bytes(vcpu, port, size, value);
	spin_lock(&vcpu->partition->device_lock);
	order = row->out(vcpu, port, value);
	spin_unlock(&vcpu->partition->device_lock);
	obey(vcpu, order);
	return true;
}

/* Of all ports the serial port's are the hottest, a byte at a time. */
bool full_port_out(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t value)
{
	struct partition *partition = vcpu->partition;

	if (unlikely((uint16_t)(port - PC_PORT_COM1) >= UART_REGISTERS) || unlikely(size != 1))
		return out_by_row(vcpu, port, size, value);
	spin_lock(&partition->device_lock);
	write_uart(partition, port, (uint8_t)value);
	spin_unlock(&partition->device_lock);
	return true;
}

static uint8_t read_row(struct vcpu *vcpu, const struct port_row *row, uint16_t port)
{
	uint8_t value;

	spin_lock(&vcpu->partition->device_lock);
	value = row->in(vcpu, port);
	spin_unlock(&vcpu->partition->device_lock);
	return value;
}

static NOINLINE uint32_t in_bytes(struct vcpu *vcpu, const struct port_row *row, uint16_t port, unsigned size)
{
	uint32_t value = read_row(vcpu, row, port);

	for (unsigned i = 1; i < MIN(size, 4u); i++) {
		row = find_port((uint16_t)(port + i));
		/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): size is 2 or 4 */
		value |= (row ? read_row(vcpu, row, (uint16_t)(port + i)) : 0xFFu) << 8 * i;
	}
	return value;
}

static NOINLINE bool in_whole(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t *value)
{
	bool taken;

	spin_lock(&vcpu->partition->device_lock);
	taken = board_port_in(vcpu, port, size, value);
	spin_unlock(&vcpu->partition->device_lock);
	return taken;
}

static NOINLINE bool in_by_row(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t *value)
{
	const struct port_row *row = find_port(port);

	if (!row)
		return in_whole(vcpu, port, size, value);
	*value = size == 1 ? read_row(vcpu, row, port) : in_bytes(vcpu, row, port, size);
	return true;
}

bool full_port_in(struct vcpu *vcpu, uint16_t port, unsigned size, uint32_t *value)
{
	struct partition *partition = vcpu->partition;

	if (unlikely((uint16_t)(port - PC_PORT_COM1) >= UART_REGISTERS) || unlikely(size != 1))
		return in_by_row(vcpu, port, size, value);
	spin_lock(&partition->device_lock);
	*value = read_uart(partition, port);
	spin_unlock(&partition->device_lock);
	return true;
}

/*
 * Memory
 */

/* The 8259s' output may reach vCPU 0 through the I/O APIC, too. */
static void update_pic_wiring(struct partition *partition)
{
	struct lapic *lapic = boot_lapic(partition);

	if (!ioapic_passes_pic(&partition->devices->ioapic)) {
		atomic_fetch_and(&lapic->attention, ~ATTENTION_THROUGH);
		return;
	}
	atomic_fetch_or(&lapic->attention, ATTENTION_THROUGH);
	vcpu_request(&partition->vcpu[0], REQUEST_INTERRUPT);
}

static NOINLINE uint64_t ioapic_in(struct vcpu *vcpu, unsigned offset)
{
	uint32_t value;

	spin_lock(&vcpu->partition->device_lock);
	value = ioapic_read(&vcpu->partition->devices->ioapic, offset - offset % 4);
	spin_unlock(&vcpu->partition->device_lock);
	return value >> 8 * (offset % 4);
}

static NOINLINE void ioapic_out(struct vcpu *vcpu, unsigned offset, uint32_t value)
{
	spin_lock(&vcpu->partition->device_lock);
	ioapic_write(&vcpu->partition->devices->ioapic, offset, value);
	send_messages(vcpu->partition);
	update_pic_wiring(vcpu->partition);
	spin_unlock(&vcpu->partition->device_lock);
}

void full_end_of_interrupt(struct vcpu *vcpu, uint8_t vector)
{
	spin_lock(&vcpu->partition->device_lock);
	ioapic_end_of_interrupt(&vcpu->partition->devices->ioapic, vector);
	send_messages(vcpu->partition);
	spin_unlock(&vcpu->partition->device_lock);
}

void full_offer_levels(struct vcpu *vcpu)
{
	spin_lock(&vcpu->partition->device_lock);
	ioapic_offer_levels(&vcpu->partition->devices->ioapic);
	send_messages(vcpu->partition);
	spin_unlock(&vcpu->partition->device_lock);
}

uint64_t full_mmio_read(struct vcpu *vcpu, gpa_t address, unsigned size)
{
	if (unlikely(address.value < APIC_DEFAULT_BASE))
		return ioapic_in(vcpu, address.value % PAGE_SIZE);
	return lapic_mmio_read(vcpu, address.value % PAGE_SIZE, size);
}

void full_mmio_write(struct vcpu *vcpu, gpa_t address, unsigned size, uint64_t value)
{
	if (unlikely(address.value < APIC_DEFAULT_BASE))
		ioapic_out(vcpu, address.value % PAGE_SIZE,
			   (uint32_t)(size < 4 ? value & ((1u << 8 * size) - 1) : value));
	else
		lapic_mmio_write(vcpu, address.value % PAGE_SIZE, size, (uint32_t)value);
}

/*
 * MSRs
 */

/* What a vCPU has for itself: one page of the pool. */
struct private_devices {
	struct lapic lapic; /* first: vcpu->lapic leads to all of it */
	struct mtrr mtrr;
};
_Static_assert(sizeof(struct private_devices) <= PAGE_SIZE, "one page of the pool");

static struct mtrr *mtrr_of(const struct vcpu *vcpu)
{
	return &((struct private_devices *)vcpu->lapic)->mtrr;
}

bool full_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	if (msr - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST)
		return lapic_msr_read(vcpu, msr, value);
	if (msr != MSR_TSC_DEADLINE && msr != MSR_APIC_BASE)
		return mtrr_read(mtrr_of(vcpu), msr, value);
	*value = msr == MSR_TSC_DEADLINE ? lapic_timer_deadline(vcpu) : vcpu->apic_base;
	return true;
}

bool full_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	if (msr - MSR_X2APIC_FIRST <= MSR_X2APIC_LAST - MSR_X2APIC_FIRST)
		return lapic_msr_write(vcpu, msr, value);
	if (msr == MSR_APIC_BASE)
		return lapic_base_write(vcpu, value);
	if (msr != MSR_TSC_DEADLINE)
		return mtrr_write(mtrr_of(vcpu), msr, value);
	lapic_timer_set_deadline(vcpu, value);
	return true;
}

uint8_t full_task_priority(const struct vcpu *vcpu)
{
	return (uint8_t)lapic_task_priority(vcpu->lapic);
}

void full_set_task_priority(struct vcpu *vcpu, uint8_t priority)
{
	lapic_set_task_priority(vcpu, priority);
}

/*
 * Interrupts
 */

static int pic_vector(struct vcpu *vcpu)
{
	int vector;

	spin_lock(&vcpu->partition->device_lock);
	vector = pic_pending(&vcpu->partition->devices->pic);
	spin_unlock(&vcpu->partition->device_lock);
	return vector;
}

static NOINLINE int acknowledge_pic(struct vcpu *vcpu)
{
	int vector;

	spin_lock(&vcpu->partition->device_lock);
	vector = pic_acknowledge(&vcpu->partition->devices->pic);
	repay_tick(vcpu->partition);
	update_pic(vcpu->partition);
	spin_unlock(&vcpu->partition->device_lock);
	return vector;
}

static bool takes_from_pic(const struct lapic *lapic)
{
	const uint32_t attention = lapic_load(&lapic->attention);

	return (attention & ATTENTION_PIC) && (lapic->wired || (attention & ATTENTION_THROUGH));
}

void full_attend(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	const uint32_t attention = lapic_load(&lapic->attention);

	if (attention & ATTENTION_POSTED)
		lapic_fetch_posted(vcpu);
	if (unlikely(attention & ATTENTION_PIT)) {
		atomic_fetch_and(&lapic->attention, ~ATTENTION_PIT);
		spin_lock(&vcpu->partition->device_lock);
		full_arm_timer(vcpu);
		spin_unlock(&vcpu->partition->device_lock);
	}
}

/* Somebody has left something for this vCPU, or it is the virtual-APIC page that knows. */
static __attribute__((noinline)) int attend(struct vcpu *vcpu)
{
	struct lapic *lapic = vcpu->lapic;
	int vector = PIC_QUIET;

	full_attend(vcpu);
	if (takes_from_pic(lapic))
		vector = pic_vector(vcpu);
	if (vector != PIC_QUIET)
		return vector;
	return lapic->page ? lapic_page_pending(lapic) : lapic->pending;
}

int full_peek_interrupt(struct vcpu *vcpu)
{
	if (unlikely(lapic_load(&vcpu->lapic->attention)))
		return attend(vcpu);
	return vcpu->lapic->pending;
}

bool full_pic_due(struct vcpu *vcpu)
{
	return unlikely(takes_from_pic(vcpu->lapic)) && pic_vector(vcpu) != PIC_QUIET;
}

int full_take_interrupt(struct vcpu *vcpu)
{
	if (unlikely(takes_from_pic(vcpu->lapic)))
		return acknowledge_pic(vcpu);
	return lapic_acknowledge(vcpu->lapic);
}

/*
 * What happens to the devices from outside
 */

static NOINLINE void pc_timer(struct vcpu *vcpu)
{
	spin_lock(&vcpu->partition->device_lock);
	run_timers(vcpu);
	spin_unlock(&vcpu->partition->device_lock);
}

void full_timer(struct vcpu *vcpu, enum timer_kind kind)
{
	if (kind == TIMER_LAPIC)
		lapic_timer_fire(vcpu);
	else
		pc_timer(vcpu);
}

void full_console_input(struct vcpu *vcpu)
{
	spin_lock(&vcpu->partition->device_lock);
	receive(vcpu->partition);
	if (!atomic_load(&vcpu->partition->console.held))
		uart_release(&vcpu->partition->devices->uart);
	update_serial_line(vcpu->partition);
	spin_unlock(&vcpu->partition->device_lock);
}

/*
 * Power-on
 */

enum status full_devices_create(struct partition *partition)
{
	_Static_assert(sizeof(struct full_devices) <= PAGE_SIZE, "one page of the pool");

	partition->devices = pool_allocate(1);
	if (!partition->devices)
		return ERR_NO_MEMORY;
	full_devices_reset(partition);
	return OK;
}

void full_devices_reset(struct partition *partition)
{
	struct full_devices *devices = partition->devices;
	bool idle;

	uart_reset(&devices->uart);
	pic_reset(&devices->pic);
	pit_reset(&devices->pit, tsc_khz);
	ioapic_reset(&devices->ioapic);
	board_reset(partition, devices->pit.tsc_hz);
	/* The timer's output idles high, so that programming it is no edge. */
	idle = pit_output(&devices->pit, 0, device_now());
	pic_set_line(&devices->pic, PC_IRQ_TIMER, idle);
	ioapic_set_line(&devices->ioapic, PC_PIN_TIMER, idle);
	devices->serial_line = false;
	devices->ticks_owed = 0;
	if (boot_lapic(partition))
		update_pic(partition);
}

enum status lapic_create(struct vcpu *vcpu)
{
	struct private_devices *devices;

	if (!vcpu->lapic) {
		devices = pool_allocate(1);
		if (!devices)
			return ERR_NO_MEMORY;
		vcpu->lapic = &devices->lapic;
		vcpu->partition->devices->lapic[vcpu->shared->index] = vcpu->lapic;
	}
	full_vcpu_reset(vcpu, true);
	return OK;
}

void full_vcpu_reset(struct vcpu *vcpu, bool power_on)
{
	lapic_reset(vcpu, power_on);
	if (power_on)
		mtrr_reset(mtrr_of(vcpu), cpuid(CPUID_ADDRESS_SIZES, 0).eax & CPUID_PHYSICAL_BITS);
}
