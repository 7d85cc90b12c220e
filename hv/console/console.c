/*
 * The console multiplexer, wired: guest bytes to lines (line.c), lines to queues (queue.c), queues to the
 * serial line (terminal.c) and the screen (drivers/framebuffer.c); keys (keys.c) to partitions or the
 * monitor.
 *
 * Two locks. console_lock guards the lines being assembled and the queues: held for tens of instructions, by
 * any CPU. output_lock guards the outputs: port writes are slow, so in normal running it is only ever tried,
 * and who does not get it leaves the work to the holder or to the next tick. Order: output_lock, then
 * console_lock.
 *
 * The life of the console: silent, early (each line is written at once), running (queued, drained by ticks),
 * last (again at once).
 */
#include "hv/console/console.h"
#include <bulkhead/boot_info.h>
#include "arch/x86/clock.h"
#include "arch/x86/cpu.h"
#include "drivers/framebuffer.h"
#include "drivers/serial.h"
#include "hv/console/edit.h"
#include "hv/console/keys.h"
#include "hv/console/line.h"
#include "hv/console/log_ring.h"
#include "hv/console/queue.h"
#include "hv/console/terminal.h"
#include "hv/lib/printf.h"
#include "hv/lib/string.h"

#define TICK_IDLE_MS	 10
#define TICK_BUSY_MS	 1   /* output is waiting, or somebody types: the UART's FIFO lasts 1.4 ms */
#define LIVE_SILENCE_MS	 50  /* after which an unfinished line is worth showing */
#define INPUT_BUSY_MS	 100 /* after the last byte typed */
#define INPUT_PER_TICK	 64
#define FIFOS_PER_TICK	 8
#define REDRAW_CELLS	 64 /* drawn in one go */
#define REDRAW_SHARE	 16 /* drawing takes at most one part in so many of CPU 0's time */
#define REDRAW_ALL	 UINT32_MAX
#define SCREEN_ONLY_ROOM 512 /* bytes let through a pump where there is no serial port to set the pace */

#define QUEUE_BYTES	(20 * 1024u)
#define QUEUE_OWN_BYTES (8 * 1024u)					 /* several fault reports at once */
#define LINE_ROOM	(sizeof(struct line_header) + CONSOLE_LINE_SIZE) /* what one byte may finish */
#define BURST_BYTES	16 /* written by a guest that finds its UART's transmitter empty */
#define BURST_ROOM	(LINE_ROOM + (BURST_BYTES - 1) * sizeof(struct line_header)) /* all of them newlines */
/* Of a source's part, half is free when it may go on: what it is allowed then must fit in there. */
_Static_assert((QUEUE_BYTES - QUEUE_OWN_BYTES) / CONFIG_MAX_PARTITIONS / 2 >= BURST_ROOM,
	       "every partition's part is large enough");

#define STUCK_TICKS 1000u /* the line moves nothing for so many busy ticks: a second, or nobody reads it */

#define NAME_COLUMN   8	       /* "bulkhead" */
#define LOCK_PATIENCE 1000000u /* tries for a lock before its holder is taken for dead */

#define OWN_NAME "bulkhead"
#define PROMPT	 "bulkhead> "
#define BELL	 "\a"

enum console_phase { CONSOLE_SILENT, CONSOLE_EARLY, CONSOLE_RUNNING, CONSOLE_LAST };

static _Atomic uint32_t phase;
static struct spinlock output_lock;
static struct spinlock console_lock;

static struct line_queues queues; /* console_lock */
static uint8_t queue_bytes[QUEUE_BYTES];
static struct terminal terminal; /* output_lock, as is the text on the screen */
static char prefix[QUEUE_SOURCES][TERMINAL_PREFIX_SIZE + 1];

/* Touched by CPU 0's tick only. */
static struct {
	uint32_t owner; /* of the keyboard: 0 the monitor, else partition owner - 1 */
	struct key_state keys;
	struct line_edit edit;
	uint64_t last_input;
	bool bell;
} keyboard;
static struct {
	bool shown;
	uint64_t position;
} log_output;
static uint64_t redraw_due;
static bool serial_stuck;		      /* output_lock: the screen goes on alone */
static _Atomic uint32_t ticks_without_output; /* while there was some; from STUCK_TICKS on nobody waits */

/* ------------------------------------------------------------------------------------------------ what lines
 * look like */

static const enum text_colour partition_colours[] = {COLOUR_CYAN, COLOUR_GREEN, COLOUR_MAGENTA, COLOUR_BLUE,
						     COLOUR_ORANGE};

static enum text_colour line_colour(uint32_t source, enum line_style style)
{
	switch (style) {
	case LINE_WARNING:
	case LINE_LOST: return COLOUR_YELLOW;
	case LINE_ERROR: return COLOUR_RED;
	case LINE_DEBUG: return COLOUR_GREY;
	default: break;
	}
	if (source == QUEUE_OWN)
		return COLOUR_PLAIN;
	return partition_colours[(source - 1) % ARRAY_SIZE(partition_colours)];
}

static enum line_style level_style(enum log_level level)
{
	switch (level) {
	case LOG_ERROR: return LINE_ERROR;
	case LOG_WARN: return LINE_WARNING;
	case LOG_DEBUG: return LINE_DEBUG;
	default: return LINE_TEXT;
	}
}

/* "alpha   | ": names padded to the longest one. */
static void set_prefix(uint32_t source, const char *name, size_t column)
{
	size_t length = strlen(name);

	memset(prefix[source], ' ', sizeof(prefix[source]));
	memcpy(prefix[source], name, length);
	prefix[source][column] = '|';
	prefix[source][column + 2] = '\0';
}

static void set_prefixes(const struct config *config)
{
	size_t column = NAME_COLUMN;

	for (uint32_t i = 0; i < config->partition_count; i++)
		column = MAX(column, strlen(config->partition[i].name));
	set_prefix(QUEUE_OWN, OWN_NAME, column);
	for (uint32_t i = 0; i < config->partition_count; i++)
		set_prefix(i + 1, config->partition[i].name, column);
}

static struct terminal_text present(uint32_t source, enum line_style style, const char *text, size_t length)
{
	return (struct terminal_text){.source = source,
				      .colour = line_colour(source, style),
				      .prefix = style == LINE_PROMPT ? PROMPT : prefix[source],
				      .text = text,
				      .length = length};
}

/* --------------------------------------------------------------------------------------- lines to the
 * outputs: output_lock */

static void output_line(const struct terminal_text *text)
{
	char row[TERMINAL_PREFIX_SIZE + CONSOLE_LINE_SIZE];
	size_t start = strlen(text->prefix);

	terminal_line(&terminal, text);
	memcpy(row, text->prefix, start);
	memcpy(row + start, text->text, text->length);
	framebuffer_line(row, start + text->length, text->colour);
}

/* The next line from the queues goes to the screen and is staged for the serial line. */
static bool output_next_line(void)
{
	struct queued_line line;
	struct terminal_text text;
	bool found;

	spin_lock(&console_lock);
	found = queue_pop(&queues, &line);
	spin_unlock(&console_lock);
	if (!found)
		return false;
	text = present(line.source, line.style, line.text, line.length);
	output_line(&text);
	return true;
}

/*
 * The bytes that may go out at this moment. A serial line that is stuck does not hold up the screen: what
 * would have gone to the line is dropped, until the line moves again.
 */
static size_t output_room(void)
{
	size_t room = serial_usable() ? serial_room() : SCREEN_ONLY_ROOM;

	if (room && serial_stuck) {
		serial_stuck = false;
		serial_put("\r\n", 2);
		return 0;
	}
	if (!room && atomic_load_explicit(&ticks_without_output, memory_order_relaxed) >= STUCK_TICKS)
		serial_stuck = true;
	return serial_stuck ? SCREEN_ONLY_ROOM : room;
}

/* Hands the UART what its FIFO takes at this moment. false: nothing is left, or it takes nothing. */
static bool pump(void)
{
	size_t room = output_room();
	bool took = room && !serial_stuck;

	while (room) {
		size_t count;

		if (!terminal_pending(&terminal) && !output_next_line())
			return false;
		count = MIN(room, (size_t)terminal_pending(&terminal));
		atomic_store_explicit(&ticks_without_output, 0, memory_order_relaxed);
		if (!serial_stuck)
			serial_put(terminal_bytes(&terminal), count);
		terminal_sent(&terminal, count);
		room -= count;
	}
	return took;
}

static void pump_if_free(void)
{
	if (!spin_try_lock(&output_lock))
		return;
	(void)pump();
	spin_unlock(&output_lock);
}

/* The UART of a virtual machine, or of a management controller, is empty again at once. */
static void pump_repeatedly(void)
{
	for (unsigned i = 0; i < FIFOS_PER_TICK && pump(); i++)
		;
}

static void send_slowly(void)
{
	serial_put_slowly(terminal_bytes(&terminal), terminal_pending(&terminal));
	terminal_sent(&terminal, terminal_pending(&terminal));
}

static void output_now(enum line_style style, const char *text, size_t length)
{
	struct terminal_text line = present(QUEUE_OWN, style, text, length);

	spin_lock(&output_lock);
	send_slowly();
	output_line(&line);
	send_slowly();
	(void)framebuffer_redraw(REDRAW_ALL);
	spin_unlock(&output_lock);
}

/* ------------------------------------------------------------------------------------------------ lines of
 * the hypervisor */

static void own_line(enum line_style style, const char *text, size_t length)
{
	length = MIN(length, (size_t)CONSOLE_LINE_SIZE);
	switch (atomic_load(&phase)) {
	case CONSOLE_RUNNING:
		spin_lock(&console_lock);
		(void)queue_push(&queues, QUEUE_OWN, style, text, length); /* the queue counts what is lost */
		spin_unlock(&console_lock);
		pump_if_free();
		break;
	case CONSOLE_EARLY:
	case CONSOLE_LAST: output_now(style, text, length); break;
	default: break;
	}
}

void console_own_line(enum log_level level, const char *text, size_t length)
{
	own_line(level_style(level), text, length);
}

void console_print(const char *text, ...)
{
	char line[CONSOLE_LINE_SIZE + 1];
	va_list arguments;
	size_t length;

	va_start(arguments, text);
	length = format_v(line, sizeof(line), text, arguments);
	va_end(arguments);
	own_line(LINE_TEXT, line, MIN(length, sizeof(line) - 1));
}

/* ---------------------------------------------------------------------------------------------------------
 * guest output */

static void partition_line(void *context, const char *text, size_t length)
{
	const struct partition *partition = context;

	(void)queue_push(&queues, partition->id + 1, LINE_TEXT, text,
			 length); /* the queue counts what is lost */
}

/* One byte, console_lock held. */
static inline void assemble(struct partition *partition, uint8_t byte)
{
	struct console_line *line = &partition->console;

	if (likely(line_is_plain(line, byte)))
		line->text[line->length++] = (char)byte;
	else
		line_feed(line, byte, partition_line, partition);
}

/* console_lock held. */
static bool has_room(const struct partition *partition, uint32_t room)
{
	return queue_room(&queues, partition->id + 1) >= room ||
	       atomic_load_explicit(&ticks_without_output, memory_order_relaxed) >= STUCK_TICKS;
}

static void hold(struct partition *partition)
{
	atomic_store_explicit(&partition->console.held, true, memory_order_relaxed);
}

static void pump_if_running(void)
{
	if (atomic_load_explicit(&phase, memory_order_relaxed) == CONSOLE_RUNNING)
		pump_if_free();
}

bool console_put(struct partition *partition, uint8_t byte)
{
	struct console_line *line = &partition->console;
	uint64_t lines;
	bool finished;

	spin_lock(&console_lock);
	lines = line->lines;
	line->bytes++;
	line->last_tsc = rdtsc();
	assemble(partition, byte);
	finished = line->lines != lines;
	if (finished && !has_room(partition, BURST_ROOM))
		hold(partition);
	spin_unlock(&console_lock);
	if (finished)
		pump_if_running();
	return !atomic_load_explicit(&line->held, memory_order_relaxed);
}

/* Stops before the byte that might finish a line for which there is no room, unless `all` must be taken. */
static size_t write(struct partition *partition, const uint8_t *bytes, size_t count, bool all)
{
	struct console_line *line = &partition->console;
	uint64_t lines;
	bool finished;
	size_t taken;

	spin_lock(&console_lock);
	lines = line->lines;
	for (taken = 0; taken < count; taken++) {
		if (!all && !line_is_plain(line, bytes[taken]) && !has_room(partition, LINE_ROOM)) {
			hold(partition);
			break;
		}
		assemble(partition, bytes[taken]);
	}
	line->bytes += taken;
	line->last_tsc = rdtsc();
	finished = line->lines != lines;
	spin_unlock(&console_lock);
	if (finished)
		pump_if_running();
	return taken;
}

size_t console_write(struct partition *partition, const uint8_t *bytes, size_t count)
{
	return write(partition, bytes, count, false);
}

void console_write_last(struct partition *partition, const uint8_t *bytes, size_t count)
{
	(void)write(partition, bytes, count, true);
}

/* Who was held goes on once half of its part is free, so that it is not woken for every line. console_lock
 * held. */
static void release_writers(void)
{
	for (uint32_t i = 0; i < partition_count; i++) {
		struct partition *partition = &partitions[i];
		bool held = atomic_load_explicit(&partition->console.held, memory_order_relaxed);

		if (!held || !has_room(partition, queues.ring[i + 1].size / 2))
			continue;
		atomic_store_explicit(&partition->console.held, false, memory_order_relaxed);
		if (atomic_load(&partition->state) == PARTITION_RUNNING)
			vcpu_request(&partition->vcpu[0], REQUEST_CONSOLE);
	}
}

void console_end_line(struct partition *partition)
{
	spin_lock(&console_lock);
	line_finish(&partition->console, partition_line, partition);
	spin_unlock(&console_lock);
}

/* ------------------------------------------------------------------------------------------------------------
 * keyboard */

uint32_t console_keyboard(void)
{
	return keyboard.owner;
}

static const char *owner_name(uint32_t owner)
{
	return owner ? partition_name(&partitions[owner - 1]) : "monitor";
}

bool console_give_keyboard(uint32_t owner)
{
	if (owner > partition_count)
		return false;
	keyboard.owner = owner;
	console_print("keyboard: %s", owner_name(owner));
	return true;
}

void console_key_help(void)
{
	console_print("keyboard: %s; the keys:", owner_name(keyboard.owner));
	for (uint32_t i = 0; i < partition_count && i < 9; i++)
		console_print("  Ctrl-] %u       keyboard to %s", i + 1, partition_name(&partitions[i]));
	console_print("  Ctrl-] 0       keyboard to the monitor");
	console_print("  Ctrl-] x       power the machine off");
	console_print("  Ctrl-] ?       this list");
	console_print("  Ctrl-] Ctrl-]  a literal Ctrl-]");
}

static void byte_for_partition(struct partition *partition, uint8_t byte)
{
	struct input_queue *input = &partition->input;
	uint32_t head = atomic_load_explicit(&input->head, memory_order_relaxed);
	uint32_t tail = atomic_load_explicit(&input->tail, memory_order_acquire);

	if (atomic_load(&partition->state) != PARTITION_RUNNING || head - tail >= INPUT_SIZE) {
		keyboard.bell = true;
		return;
	}
	input->byte[head % INPUT_SIZE] = byte;
	atomic_store_explicit(&input->head, head + 1, memory_order_release);
	vcpu_request(&partition->vcpu[0], REQUEST_CONSOLE);
}

static void byte_for_monitor(uint8_t byte)
{
	struct line_edit *edit = &keyboard.edit;

	if (!edit_feed(edit, byte))
		return;
	own_line(LINE_PROMPT, edit->text, edit->length);
	edit->length = 0;
	monitor_execute(edit->text);
}

static void serve_key(struct key key)
{
	switch (key.kind) {
	case KEY_NOTHING: break;
	case KEY_BYTE:
		if (keyboard.owner)
			byte_for_partition(&partitions[keyboard.owner - 1], key.byte);
		else
			byte_for_monitor(key.byte);
		break;
	case KEY_OWNER:
		if (!console_give_keyboard(key.owner))
			console_print("keyboard: no partition %u, there are %u", key.owner, partition_count);
		break;
	case KEY_POWER_OFF: monitor_execute("off"); break;
	case KEY_HELP: console_key_help(); break;
	case KEY_UNKNOWN:
		console_print("Ctrl-] and byte %02Xh mean nothing: Ctrl-] ? lists the keys", key.byte);
		break;
	}
}

static void read_input(uint64_t now)
{
	for (unsigned i = 0; i < INPUT_PER_TICK; i++) {
		int byte = serial_get();

		if (byte < 0)
			return;
		keyboard.last_input = now;
		serve_key(key_feed(&keyboard.keys, (uint8_t)byte));
	}
}

/* -----------------------------------------------------------------------------------------------------------
 * live line */

/* What the owner of the keyboard has not finished. Returns false if there is nothing worth showing. */
static bool copy_unfinished(uint64_t now, char text[CONSOLE_LINE_SIZE], size_t *length)
{
	const struct console_line *line;
	bool worth;

	if (!keyboard.owner) {
		*length = keyboard.edit.length;
		memcpy(text, keyboard.edit.text, *length);
		return true;
	}
	line = &partitions[keyboard.owner - 1].console;
	spin_lock(&console_lock);
	worth = line->length && ((terminal.live && terminal.live_source == keyboard.owner) ||
				 now - line->last_tsc >= ms_to_tsc(LIVE_SILENCE_MS));
	*length = line->length;
	memcpy(text, line->text, *length);
	spin_unlock(&console_lock);
	return worth;
}

/* Shows, changes or takes away the live line. output_lock held, nothing pending, no line waiting. */
static void update_live_line(uint64_t now)
{
	char text[CONSOLE_LINE_SIZE], visible[TERMINAL_WIDTH];
	size_t length;
	struct terminal_text live;
	bool whole;

	if (!copy_unfinished(now, text, &length)) {
		if (terminal.live) {
			terminal_erase(&terminal);
			framebuffer_live("", 0, COLOUR_PLAIN);
		}
		return;
	}
	live = present(keyboard.owner, keyboard.owner ? LINE_TEXT : LINE_PROMPT, text, length);
	terminal_live(&terminal, &live);
	if (terminal_pending(&terminal)) {
		length = terminal_visible(&live, visible, &whole);
		framebuffer_live(visible, length, live.colour);
	}
}

/* ----------------------------------------------------------------------------------------------------------------
 * tick */

/* The memory log follows as its queue drains, so that it is not its own flood. */
static void feed_log(void)
{
	char line[CONSOLE_LINE_SIZE];

	while (log_output.shown) {
		int length;
		bool room;

		spin_lock(&console_lock);
		room = queue_room(&queues, QUEUE_OWN) >= 2 * LINE_ROOM;
		spin_unlock(&console_lock);
		if (!room)
			return;
		length = log_read(&log_output.position, line, sizeof(line));
		if (length < 0)
			log_output.shown = false;
		else
			own_line(LINE_TEXT, line, (size_t)length);
	}
}

void console_show_log(void)
{
	log_output.position = 0;
	log_output.shown = true;
}

static void report_stuck_line(bool stuck)
{
	static bool told;

	if (stuck == told)
		return;
	told = stuck;
	if (stuck)
		log_warn("the serial line is stuck: the screen goes on without it");
	else
		log_warn("the serial line moves again; `log` shows what it has missed of the hypervisor's "
			 "lines");
}

static bool drain_output(uint64_t now)
{
	bool waiting = true, stuck;

	if (!spin_try_lock(&output_lock))
		return true;
	atomic_fetch_add_explicit(&ticks_without_output, 1, memory_order_relaxed);
	pump_repeatedly();
	if (!terminal_pending(&terminal)) {
		spin_lock(&console_lock);
		waiting = queue_waiting(&queues);
		if (!waiting)
			atomic_store_explicit(&ticks_without_output, 0, memory_order_relaxed);
		spin_unlock(&console_lock);
		if (!waiting)
			update_live_line(now);
		waiting = waiting || terminal_pending(&terminal);
		if (keyboard.bell && serial_room())
			serial_put(BELL, sizeof(BELL) - 1);
		keyboard.bell = false;
	}
	stuck = serial_stuck;
	spin_unlock(&output_lock);
	report_stuck_line(stuck);
	return waiting;
}

/* true: the screen is behind, and may be drawn further at redraw_due. */
static bool draw_screen(uint64_t now)
{
	bool more = true;

	if (now >= redraw_due) {
		more = framebuffer_redraw(REDRAW_CELLS);
		redraw_due = now + (rdtsc() - now) * REDRAW_SHARE;
	}
	return more;
}

static void arm_tick(uint64_t now, bool busy, bool behind)
{
	uint64_t due = now + ms_to_tsc(TICK_IDLE_MS);

	if (busy)
		due = now + ms_to_tsc(TICK_BUSY_MS);
	else if (behind)
		due = MIN(due, MAX(redraw_due, now + ms_to_tsc(TICK_BUSY_MS)));
	vcpu_set_timer(this_vcpu, TIMER_CONSOLE, due);
}

void console_tick(void)
{
	uint64_t now = rdtsc();
	bool busy, behind;

	if (atomic_load(&phase) != CONSOLE_RUNNING)
		return;
	read_input(now);
	feed_log();
	spin_lock(&console_lock);
	queue_settle(&queues);
	spin_unlock(&console_lock);

	busy = drain_output(now) || log_output.shown || now - keyboard.last_input < ms_to_tsc(INPUT_BUSY_MS);
	spin_lock(&console_lock);
	release_writers();
	spin_unlock(&console_lock);
	now = rdtsc();
	behind = draw_screen(now);
	arm_tick(now, busy, behind);
}

/* ---------------------------------------------------------------------------------------------------------------
 * phases */

static void report_serial(const struct config *config, const char *trouble)
{
	if (!config->console_serial)
		return;
	if (trouble)
		log_warn("serial port %Xh is not used: %s", config->serial_port, trouble);
	else
		log_info("console: serial port %Xh, 115200 baud, 8N1", config->serial_port);
}

static void report_screen(const struct boot_info *boot)
{
	const struct boot_framebuffer *info = &boot->framebuffer;

	if (!boot->config.console_screen)
		return;
	if (framebuffer_usable())
		log_info("console: screen %ux%u, %ux%u characters", info->width, info->height,
			 framebuffer_columns(), framebuffer_rows());
	else
		log_warn("the screen is not used: %s",
			 info->start ? "its pixel format or size is not one that can be drawn"
				     : "the firmware offers none");
}

/* Both are started before either is reported on, so that each tells of the other's trouble. */
void console_early(const struct boot_info *boot)
{
	const struct config *config = &boot->config;
	const struct boot_framebuffer *info = &boot->framebuffer;
	const char *trouble = NULL;

	log_set_level(config->log);
	set_prefixes(config);
	if (config->console_serial)
		trouble = serial_start(config->serial_port);
	/* On the loader's tables memory is where its address says. */
	if (config->console_screen)
		(void)framebuffer_start(info, (void *)(uintptr_t)info->start, boot->screen_row);
	atomic_store(&phase, CONSOLE_EARLY);
	report_serial(config, trouble);
	report_screen(boot);
}

void console_start(void)
{
	queue_start(&queues, queue_bytes, sizeof(queue_bytes), QUEUE_OWN_BYTES, partition_count);
	atomic_store(&phase, CONSOLE_RUNNING);
	keyboard.owner = partition_count ? 1 : 0;
	console_print("keyboard: %s (Ctrl-] ? lists the keys)", owner_name(keyboard.owner));
	vcpu_set_timer(this_vcpu, TIMER_CONSOLE, rdtsc() + ms_to_tsc(TICK_IDLE_MS));
}

/* Takes a lock; from a holder that does not let go of it, by force. */
static void take_lock(struct spinlock *lock)
{
	for (uint32_t i = 0; i < LOCK_PATIENCE; i++) {
		if (spin_try_lock(lock))
			return;
		cpu_pause();
	}
	*lock = (struct spinlock){0};
	spin_lock(lock);
}

void console_synchronous(void)
{
	uint32_t before = atomic_exchange(&phase, CONSOLE_LAST);

	if (before == CONSOLE_LAST)
		return;
	log_break_lock();
	take_lock(&console_lock);
	for (uint32_t i = 0; before == CONSOLE_RUNNING && i < partition_count; i++)
		line_finish(&partitions[i].console, partition_line, &partitions[i]);
	spin_unlock(&console_lock);
	take_lock(&output_lock);
	do
		send_slowly();
	while (before == CONSOLE_RUNNING && output_next_line());
	(void)framebuffer_redraw(REDRAW_ALL);
	spin_unlock(&output_lock);
}
