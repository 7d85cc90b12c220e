/*
 * Time to ticks and back; a counter's output and value as functions of the ticks since its start; then the
 * registers. Source: Intel 8254 data sheet (order 231164): "Mode definitions", "Read operations"; port 61h:
 * ICH9 data sheet 13.7.1.
 */
#include "hv/device/pit.h"
#include "hv/lib/scale.h"
#include "hv/lib/string.h"

#define PORT_CONTROL 0x43u
#define PORT_SYSTEM  0x61u
#define PORT_CHANNEL 0x03u /* low bits of ports 40h to 42h */

#define CONTROL_CHANNEL_SHIFT 6
#define CONTROL_ACCESS_SHIFT  4
#define CONTROL_MODE_SHIFT    1
#define CONTROL_BCD	      0x01u
#define READ_BACK	      3u /* as a channel */
#define READ_BACK_NO_COUNT    0x20u
#define READ_BACK_NO_STATUS   0x10u
#define READ_BACK_FIRST	      1 /* bit of channel 0 */

#define STATUS_OUTPUT 0x80u
#define STATUS_NULL   0x40u /* the count has not been taken yet */

#define ACCESS_LATCH 0
#define ACCESS_LOW   1
#define ACCESS_HIGH  2
#define ACCESS_BOTH  3

#define SYSTEM_GATE    0x01u
#define SYSTEM_SPEAKER 0x02u
#define SYSTEM_REFRESH 0x10u
#define SYSTEM_OUTPUT  0x20u
#define REFRESH_TICKS  18u /* the refresh bit toggles every 15 microseconds */

#define COUNT_BINARY 0x10000u /* a reload of 0 */
#define COUNT_BCD    10000u

enum { TERMINAL_COUNT, ONE_SHOT, RATE, SQUARE, STROBE, GATED_STROBE };
#define MODE_PERIODIC_BIT 2u /* modes 2 and 3, also under their second numbers 6 and 7 */
#define MODE_ALIAS_BIT	  4u

static uint64_t elapsed_ticks(const struct pit *pit, const struct pit_channel *channel, uint64_t now)
{
	if (!channel->running || now <= channel->start)
		return channel->ticks_before;
	return channel->ticks_before + scale_ticks(now - channel->start, pit->tsc_hz, PIT_HZ, false);
}

/* When the counter reaches `ticks`, which it has not yet, or has just. */
static uint64_t time_of(const struct pit *pit, const struct pit_channel *channel, uint64_t ticks)
{
	return channel->start + scale_ticks(ticks - channel->ticks_before, PIT_HZ, pit->tsc_hz, true);
}

static bool is_periodic(const struct pit_channel *channel)
{
	return channel->mode == RATE || channel->mode == SQUARE;
}

/* Modes 1 and 5 count only when the gate has triggered them. */
static bool is_triggered(const struct pit_channel *channel)
{
	return channel->mode == ONE_SHOT || channel->mode == GATED_STROBE;
}

/* An odd square wave is high for one tick more than low. */
static uint32_t high_half(uint32_t reload)
{
	return (reload + 1) / 2;
}

static bool output(const struct pit_channel *channel, uint64_t ticks)
{
	const uint32_t reload = channel->reload;

	if (!channel->loaded ||
	    (!channel->running && channel->mode != TERMINAL_COUNT && channel->mode != STROBE))
		return channel->mode != TERMINAL_COUNT; /* waiting to be started */
	switch (channel->mode) {
	case TERMINAL_COUNT:
	case ONE_SHOT: return ticks >= reload;
	case RATE: return ticks % reload != reload - 1;
	case SQUARE: return ticks % reload < high_half(reload);
	default: return ticks != reload;
	}
}

/* Half a square wave counts down by two. */
static uint32_t square_count(uint32_t reload, uint64_t ticks)
{
	const uint32_t phase = (uint32_t)(ticks % reload), half = high_half(reload);

	return (reload & ~1u) - 2 * (phase < half ? phase : phase - half);
}

static uint16_t to_bcd(uint32_t value)
{
	return (uint16_t)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 |
			  value % 10);
}

static uint32_t from_bcd(uint16_t value)
{
	return (value >> 12) * 1000u + (value >> 8 & 0xFu) * 100u + (value >> 4 & 0xFu) * 10u +
	       (value & 0xFu);
}

/* What the counting element holds, as it is read. */
static uint16_t counter(const struct pit_channel *channel, uint64_t ticks)
{
	const uint32_t modulus = channel->bcd ? COUNT_BCD : COUNT_BINARY;
	uint32_t count;

	if (!channel->loaded)
		return 0;
	if (channel->mode == RATE)
		count = channel->reload - (uint32_t)(ticks % channel->reload);
	else if (channel->mode == SQUARE)
		count = square_count(channel->reload, ticks);
	else
		count = (uint32_t)(channel->reload + modulus - ticks % modulus); /* goes on below zero */
	return channel->bcd ? to_bcd(count) : (uint16_t)count;
}

/*
 * A count that waits: in modes 2 and 3 for the end of the period or of the half that the output is in, in
 * modes 1 and 5 for the gate, which is what the others go by when it comes first ("Mode definitions").
 */

/* The tick at which a count written at `ticks` is taken. */
static uint64_t next_turn(const struct pit_channel *channel, uint64_t ticks)
{
	const uint32_t reload = channel->reload, half = high_half(reload);
	const uint64_t begin = ticks - ticks % reload;

	return begin + (channel->mode == SQUARE && ticks - begin < half ? half : reload);
}

/* Where in the new period the counter is then: a square wave that was high goes on low. */
static uint32_t ticks_at_turn(const struct pit_channel *channel)
{
	return channel->turn % channel->reload ? high_half(channel->next_reload) % channel->next_reload : 0;
}

static void take_count(struct pit_channel *channel)
{
	if (channel->next_reload)
		channel->reload = channel->next_reload;
	channel->next_reload = 0;
}

static bool awaits_turn(const struct pit_channel *channel)
{
	return channel->next_reload && channel->running && is_periodic(channel);
}

/* Before a channel is looked at or changed. */
static void catch_up(const struct pit *pit, struct pit_channel *channel, uint64_t now)
{
	uint32_t ticks;

	if (likely(!awaits_turn(channel)) || elapsed_ticks(pit, channel, now) < channel->turn)
		return;
	ticks = ticks_at_turn(channel);
	channel->start = time_of(pit, channel, channel->turn);
	channel->ticks_before = ticks;
	take_count(channel);
}

/*
 * Channel 0's interrupt
 */

/* The first tick after `ticks` at which the output rises, or PIT_NEVER. */
static uint64_t next_rise(const struct pit_channel *channel, uint64_t ticks)
{
	uint64_t at;

	if (!channel->running)
		return PIT_NEVER;
	if (is_periodic(channel))
		return (ticks / channel->reload + 1) * channel->reload;
	at = channel->reload + (channel->mode >= STROBE ? 1 : 0);
	return ticks < at ? at : PIT_NEVER;
}

/* The turn is a rise itself, or the fall before one of the new count. */
static uint64_t edge_after_turn(const struct pit *pit, const struct pit_channel *channel)
{
	const uint32_t ticks = ticks_at_turn(channel), rest = ticks ? channel->next_reload - ticks : 0;

	return time_of(pit, channel, channel->turn) + scale_ticks(rest, PIT_HZ, pit->tsc_hz, true);
}

static void find_edge(struct pit *pit, uint64_t now)
{
	const struct pit_channel *channel = &pit->channel[0];
	const uint64_t rise = next_rise(channel, elapsed_ticks(pit, channel, now));

	pit->edge = rise == PIT_NEVER ? PIT_NEVER : time_of(pit, channel, rise);
	if (unlikely(awaits_turn(channel)))
		pit->edge = edge_after_turn(pit, channel);
}

uint64_t pit_take_edges(struct pit *pit, uint64_t now)
{
	struct pit_channel *channel = &pit->channel[0];
	uint64_t edges = 1;

	if (now < pit->edge)
		return 0;
	catch_up(pit, channel, now);
	if (is_periodic(channel))
		edges += elapsed_ticks(pit, channel, now) / channel->reload -
			 elapsed_ticks(pit, channel, pit->edge) / channel->reload;
	find_edge(pit, now);
	return edges;
}

bool pit_output(struct pit *pit, unsigned channel, uint64_t now)
{
	struct pit_channel *one = &pit->channel[channel];

	catch_up(pit, one, now);
	return output(one, elapsed_ticks(pit, one, now));
}

/*
 * Registers
 */

/* Channel 0 was told something that moves its next edge. */
static void replan(struct pit *pit, const struct pit_channel *channel, uint64_t now)
{
	if (channel == &pit->channel[0])
		find_edge(pit, now);
}

static uint32_t reload_of(const struct pit_channel *channel, uint16_t value)
{
	if (channel->bcd)
		return value ? from_bcd(value) : COUNT_BCD;
	return value ? value : COUNT_BINARY;
}

/* An edge that is due already stays so until it is taken. */
static void wait_for_turn(struct pit *pit, struct pit_channel *channel, uint64_t now)
{
	channel->turn = next_turn(channel, elapsed_ticks(pit, channel, now));
	if (channel == &pit->channel[0] && now < pit->edge)
		find_edge(pit, now);
}

static void load(struct pit *pit, struct pit_channel *channel, uint16_t value, uint64_t now)
{
	const bool first = !channel->loaded;

	catch_up(pit, channel, now);
	channel->next_reload = reload_of(channel, value);
	channel->loaded = true;
	if (first && is_triggered(channel))
		channel->reload = channel->next_reload; /* something to be read before the trigger */
	if (is_triggered(channel) || (is_periodic(channel) && !first)) {
		if (awaits_turn(channel))
			wait_for_turn(pit, channel, now);
		return;
	}
	take_count(channel);
	channel->ticks_before = 0;
	channel->start = now;
	channel->running = channel->gate;
	replan(pit, channel, now);
}

static void write_count(struct pit *pit, struct pit_channel *channel, uint8_t value, uint64_t now)
{
	switch (channel->access) {
	case ACCESS_LOW: load(pit, channel, value, now); return;
	case ACCESS_HIGH: load(pit, channel, (uint16_t)(value << 8), now); return;
	default: break;
	}
	if (channel->write_high) {
		load(pit, channel, (uint16_t)(value << 8 | channel->low_byte), now);
	} else if (channel->mode == TERMINAL_COUNT) {
		channel->loaded = channel->running = false; /* the first byte stops the counting */
		replan(pit, channel, now);
	}
	channel->low_byte = value;
	channel->write_high = !channel->write_high;
}

static void latch_count(const struct pit *pit, struct pit_channel *channel, uint64_t now)
{
	if (channel->count_latched)
		return;
	catch_up(pit, channel, now);
	channel->latch = counter(channel, elapsed_ticks(pit, channel, now));
	channel->count_latched = true;
}

static void latch_status(const struct pit *pit, struct pit_channel *channel, uint64_t now)
{
	if (channel->status_latched)
		return;
	catch_up(pit, channel, now);
	channel->status =
		(uint8_t)((output(channel, elapsed_ticks(pit, channel, now)) ? STATUS_OUTPUT : 0u) |
			  (channel->loaded && !channel->next_reload ? 0u : STATUS_NULL) |
			  (unsigned)channel->access << CONTROL_ACCESS_SHIFT |
			  (unsigned)channel->mode << CONTROL_MODE_SHIFT | (channel->bcd ? CONTROL_BCD : 0u));
	channel->status_latched = true;
}

static void read_back(struct pit *pit, uint8_t value, uint64_t now)
{
	for (unsigned i = 0; i < PIT_CHANNELS; i++) {
		if (!(value & 1u << (i + READ_BACK_FIRST)))
			continue;
		if (!(value & READ_BACK_NO_COUNT))
			latch_count(pit, &pit->channel[i], now);
		if (!(value & READ_BACK_NO_STATUS))
			latch_status(pit, &pit->channel[i], now);
	}
}

static void set_mode(struct pit_channel *channel, uint8_t access, uint8_t value)
{
	const uint8_t mode = value >> CONTROL_MODE_SHIFT & 7;

	channel->access = access;
	channel->mode = mode & MODE_PERIODIC_BIT ? mode & (uint8_t)~MODE_ALIAS_BIT : mode;
	channel->bcd = value & CONTROL_BCD;
	channel->loaded = channel->running = false;
	channel->write_high = channel->read_high = false;
	channel->count_latched = channel->status_latched = false;
	channel->ticks_before = 0;
	channel->next_reload = 0;
}

static void write_control(struct pit *pit, uint8_t value, uint64_t now)
{
	const unsigned index = value >> CONTROL_CHANNEL_SHIFT;
	const uint8_t access = value >> CONTROL_ACCESS_SHIFT & 3;

	if (index == READ_BACK) {
		read_back(pit, value, now);
	} else if (access == ACCESS_LATCH) {
		latch_count(pit, &pit->channel[index], now);
	} else {
		set_mode(&pit->channel[index], access, value);
		replan(pit, &pit->channel[index], now);
	}
}

static uint8_t read_count(const struct pit *pit, struct pit_channel *channel, uint64_t now)
{
	uint16_t count;
	bool high;

	if (channel->status_latched) {
		channel->status_latched = false;
		return channel->status;
	}
	catch_up(pit, channel, now);
	count = channel->count_latched ? channel->latch : counter(channel, elapsed_ticks(pit, channel, now));
	high = channel->access == ACCESS_HIGH || (channel->access == ACCESS_BOTH && channel->read_high);
	if (channel->access == ACCESS_BOTH)
		channel->read_high = !channel->read_high;
	if (channel->access != ACCESS_BOTH || high)
		channel->count_latched = false;
	return (uint8_t)(high ? count >> 8 : count);
}

/* The gate stops modes 0 and 4 and lets them go on; its rising edge starts the others from their reload
 * (table 4-3). */
static void set_gate(struct pit *pit, struct pit_channel *channel, bool gate, uint64_t now)
{
	const bool resumes = channel->mode == TERMINAL_COUNT || channel->mode == STROBE;

	if (gate == channel->gate)
		return;
	catch_up(pit, channel, now);
	channel->gate = gate;
	if (gate) {
		take_count(channel);
		channel->ticks_before = resumes ? channel->ticks_before : 0;
		channel->start = now;
		channel->running = channel->loaded;
	} else if (resumes || is_periodic(channel)) {
		channel->ticks_before = elapsed_ticks(pit, channel, now);
		channel->running = false;
	}
}

static uint8_t read_system(struct pit *pit, uint64_t now)
{
	const uint64_t ticks = scale_ticks(now, pit->tsc_hz, PIT_HZ, false);

	return (uint8_t)((pit->channel[2].gate ? SYSTEM_GATE : 0) | (pit->speaker ? SYSTEM_SPEAKER : 0) |
			 (ticks / REFRESH_TICKS & 1 ? SYSTEM_REFRESH : 0) |
			 (pit_output(pit, 2, now) ? SYSTEM_OUTPUT : 0));
}

void pit_reset(struct pit *pit, uint32_t tsc_khz)
{
	memset(pit, 0, sizeof(*pit));
	pit->tsc_hz = tsc_khz ? tsc_khz * 1000ull : PIT_HZ;
	pit->edge = PIT_NEVER;
	for (unsigned i = 0; i < PIT_CHANNELS; i++) {
		pit->channel[i].access = ACCESS_BOTH;
		pit->channel[i].mode = SQUARE;
		pit->channel[i].gate = i != 2; /* the speaker's is port 61h's */
	}
}

uint8_t pit_read(struct pit *pit, uint16_t port, uint64_t now)
{
	if (port == PORT_SYSTEM)
		return read_system(pit, now);
	if (port == PORT_CONTROL)
		return 0xFF; /* write-only */
	return read_count(pit, &pit->channel[port & PORT_CHANNEL], now);
}

void pit_write(struct pit *pit, uint16_t port, uint8_t value, uint64_t now)
{
	if (port == PORT_SYSTEM) {
		pit->speaker = value & SYSTEM_SPEAKER;
		set_gate(pit, &pit->channel[2], value & SYSTEM_GATE, now);
	} else if (port == PORT_CONTROL) {
		write_control(pit, value, now);
	} else {
		write_count(pit, &pit->channel[port & PORT_CHANNEL], value, now);
	}
}
