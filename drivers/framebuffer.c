/*
 * Text on a linear framebuffer.
 *
 * text[] is what the screen should show, a ring of rows so that scrolling moves no text; drawn[] is what it
 * does show. The writer of lines changes text[] and then bumps `generation`; the drawer compares row by row
 * and draws the cells that differ, until it has made a whole pass over a generation. Cells are relaxed
 * atomics: a cell read too early is drawn again in the next pass.
 *
 * Video memory can be slow (uncached, or emulated), and a scrolled screen has to be drawn anew. So the text
 * jumps up by an eighth of the screen when its end is reached, which costs no more than a scroll by one line
 * and is needed less often.
 */
#include <stdatomic.h>
#include "drivers/framebuffer.h"
#include "drivers/font.h"

#define SCROLL_PART	8 /* of the screen: how much a scroll moves */
#define BYTES_PER_PIXEL 4

typedef uint64_t pixel_pair __attribute__((aligned(BYTES_PER_PIXEL)));

/* A cell is a character; its ink is its row's, for a line has one colour. Foreign: what was on the screen
 * before us, left alone; in what is drawn: not known. */
typedef uint8_t cell_t;
#define CELL_FOREIGN 0
#define CELL_BLANK   ((cell_t)' ')

struct rgb {
	uint8_t red, green, blue;
};
static const struct rgb palette[COLOURS] = {
	[COLOUR_PLAIN] = {0xD8, 0xD8, 0xD8}, [COLOUR_RED] = {0xFF, 0x60, 0x60},
	[COLOUR_GREEN] = {0x70, 0xE0, 0x70}, [COLOUR_YELLOW] = {0xF0, 0xE0, 0x60},
	[COLOUR_BLUE] = {0x80, 0xA8, 0xFF},  [COLOUR_MAGENTA] = {0xF0, 0x80, 0xF0},
	[COLOUR_CYAN] = {0x60, 0xE0, 0xE8},  [COLOUR_ORANGE] = {0xFF, 0xB0, 0x60},
	[COLOUR_GREY] = {0x98, 0x98, 0x98},
};
static const struct rgb background = {0x10, 0x14, 0x1C};

static struct {
	uint8_t *_Atomic pixels; /* NULL: not mapped now */
	bool usable;
	uint32_t pitch; /* bytes per scan line */
	uint32_t columns, rows;
	uint32_t ink[COLOURS], paper; /* pixel values */

	uint32_t bottom;	     /* screen row of the unfinished line */
	_Atomic uint32_t top;	     /* index in text[] of screen row 0 */
	_Atomic uint32_t generation; /* of text[] */
	uint32_t pass_generation;    /* the one the current pass brings onto the screen */
	uint32_t drawn_generation;   /* the one the screen shows */
	uint32_t pass_row;	     /* where the current pass goes on */

	struct text_row {
		_Atomic uint8_t colour; /* enum text_colour */
		_Atomic cell_t cell[FRAMEBUFFER_COLUMNS];
	} text[FRAMEBUFFER_ROWS];
	struct drawn_row {
		uint8_t colour;
		cell_t cell[FRAMEBUFFER_COLUMNS];
	} drawn[FRAMEBUFFER_ROWS];
} screen;

static struct text_row *text_row(uint32_t row)
{
	uint32_t index = atomic_load_explicit(&screen.top, memory_order_relaxed) + row;

	return &screen.text[index < screen.rows ? index : index - screen.rows];
}

static void fill_row(uint32_t row, uint32_t from, cell_t value)
{
	_Atomic cell_t *cells = text_row(row)->cell;

	for (uint32_t column = from; column < screen.columns; column++)
		atomic_store_explicit(&cells[column], value, memory_order_relaxed);
}

static void text_changed(void)
{
	atomic_fetch_add_explicit(&screen.generation, 1, memory_order_release);
}

static uint32_t pixel(struct rgb colour, uint32_t format)
{
	uint32_t first = format == BOOT_PIXEL_RGBX ? colour.red : colour.blue;
	uint32_t third = format == BOOT_PIXEL_RGBX ? colour.blue : colour.red;

	return first | (uint32_t)colour.green << 8 | third << 16;
}

static bool drawable(const struct boot_framebuffer *info)
{
	uint64_t line = (uint64_t)info->width * BYTES_PER_PIXEL;

	return info->start && (info->format == BOOT_PIXEL_RGBX || info->format == BOOT_PIXEL_BGRX) &&
	       info->width >= FONT_WIDTH && info->height >= FONT_HEIGHT && info->pitch >= line &&
	       info->pitch % BYTES_PER_PIXEL == 0 && (uint64_t)info->pitch * info->height <= info->size;
}

static void clear_below(const struct boot_framebuffer *info, uint8_t *pixels, uint32_t first_row)
{
	for (uint32_t y = first_row * FONT_HEIGHT; y < info->height; y++) {
		volatile uint32_t *line = (volatile uint32_t *)(void *)(pixels + (size_t)y * info->pitch);

		for (uint32_t x = 0; x < info->width; x++)
			line[x] = screen.paper;
	}
}

static void start_text(uint32_t first_row)
{
	screen.top = 0;
	screen.bottom = MIN(first_row, screen.rows - 1);
	screen.generation = screen.pass_generation = screen.drawn_generation = 0;
	screen.pass_row = 0;
	for (uint32_t row = 0; row < screen.rows; row++) {
		cell_t value = row < screen.bottom ? CELL_FOREIGN : CELL_BLANK;

		fill_row(row, 0, value);
		for (uint32_t column = 0; column < screen.columns; column++)
			screen.drawn[row].cell[column] = value;
	}
}

bool framebuffer_start(const struct boot_framebuffer *info, void *pixels, uint32_t first_row)
{
	screen.usable = false;
	if (!drawable(info))
		return false;
	screen.pitch = info->pitch;
	screen.columns = MIN(info->width / FONT_WIDTH, FRAMEBUFFER_COLUMNS);
	screen.rows = MIN(info->height / FONT_HEIGHT, FRAMEBUFFER_ROWS);
	for (unsigned colour = 0; colour < COLOURS; colour++)
		screen.ink[colour] = pixel(palette[colour], info->format);
	screen.paper = pixel(background, info->format);
	screen.pixels = pixels;
	start_text(first_row);
	clear_below(info, pixels, screen.bottom);
	screen.usable = true;
	return true;
}

void framebuffer_move(void *pixels)
{
	atomic_store_explicit(&screen.pixels, pixels, memory_order_relaxed);
}

bool framebuffer_usable(void)
{
	return screen.usable;
}

uint32_t framebuffer_columns(void)
{
	return screen.columns;
}

uint32_t framebuffer_rows(void)
{
	return screen.rows;
}

static void scroll(void)
{
	uint32_t step = MAX(screen.rows / SCROLL_PART, 1u);
	uint32_t top = atomic_load_explicit(&screen.top, memory_order_relaxed) + step;

	for (uint32_t row = 0; row < step; row++) /* the rows that leave at the top come back below, blank */
		fill_row(row, 0, CELL_BLANK);
	atomic_store_explicit(&screen.top, top < screen.rows ? top : top - screen.rows, memory_order_relaxed);
	screen.bottom -= step;
}

static void next_row(void)
{
	if (++screen.bottom == screen.rows)
		scroll();
}

/* Writes text into the bottom row and blanks the rest of it; what does not fit is left out. Returns how much
 * fitted. */
static size_t write_row(const char *text, size_t length, enum text_colour colour)
{
	struct text_row *row = text_row(screen.bottom);
	size_t fits = MIN(length, (size_t)screen.columns);

	atomic_store_explicit(&row->colour, (uint8_t)colour, memory_order_relaxed);
	for (size_t i = 0; i < fits; i++) {
		uint8_t character = (uint8_t)text[i];

		if (character < FONT_FIRST || character > FONT_LAST)
			character = '?';
		atomic_store_explicit(&row->cell[i], character, memory_order_relaxed);
	}
	fill_row(screen.bottom, (uint32_t)fits, CELL_BLANK);
	return fits;
}

void framebuffer_line(const char *text, size_t length, enum text_colour colour)
{
	if (!screen.usable)
		return;
	for (;;) {
		size_t written = write_row(text, length, colour);

		next_row();
		text += written;
		length -= written;
		if (!length)
			break;
	}
	text_changed();
}

void framebuffer_live(const char *text, size_t length, enum text_colour colour)
{
	if (!screen.usable)
		return;
	(void)write_row(text, length, colour);
	text_changed();
}

/* Two pixels a store: half as many crossings to the device. */
static void draw_cell(uint8_t *pixels, uint32_t row, uint32_t column, cell_t value)
{
	const uint8_t *glyph = font_glyphs[value - FONT_FIRST];
	uint64_t ink = screen.ink[screen.drawn[row].colour], paper = screen.paper;
	const uint64_t pair[4] = {paper << 32 | paper, ink << 32 | paper, paper << 32 | ink, ink << 32 | ink};
	uint8_t *at = pixels + (size_t)row * FONT_HEIGHT * screen.pitch +
		      (size_t)column * FONT_WIDTH * BYTES_PER_PIXEL;

	for (unsigned y = 0; y < FONT_HEIGHT; y++, at += screen.pitch) {
		volatile pixel_pair *out = (volatile pixel_pair *)(void *)at;

		for (unsigned i = 0; i < FONT_WIDTH / 2; i++)
			out[i] = pair[glyph[y] >> (FONT_WIDTH - 2 - 2 * i) & 3];
	}
}

/* A row of another colour is drawn anew, but for its blanks. */
static void take_colour(struct drawn_row *drawn, uint8_t colour)
{
	if (drawn->colour == colour)
		return;
	drawn->colour = colour;
	for (uint32_t column = 0; column < screen.columns; column++)
		if (drawn->cell[column] != CELL_BLANK)
			drawn->cell[column] = CELL_FOREIGN;
}

/* Returns how many of `cells` it has drawn; all of them: there may be more in this row. */
static uint32_t redraw_row(uint8_t *pixels, uint32_t row, uint32_t cells)
{
	struct text_row *text = text_row(row);
	_Atomic cell_t *wanted = text->cell;
	cell_t *drawn = screen.drawn[row].cell;
	uint32_t done = 0;

	take_colour(&screen.drawn[row], atomic_load_explicit(&text->colour, memory_order_relaxed));

	for (uint32_t column = 0; column < screen.columns && done < cells; column++) {
		cell_t value = atomic_load_explicit(&wanted[column], memory_order_relaxed);

		if (value == drawn[column] || value == CELL_FOREIGN)
			continue;
		draw_cell(pixels, row, column, value);
		drawn[column] = value;
		done++;
	}
	return done;
}

/*
 * At the end of the machine another CPU may start to draw while the usual one still does: then cells are
 * drawn twice, or their pixels are mixed until the next line; hence the row in a variable of its own, which
 * stays in range.
 */
bool framebuffer_redraw(uint32_t cells)
{
	uint32_t generation = atomic_load_explicit(&screen.generation, memory_order_acquire);
	uint8_t *pixels = atomic_load_explicit(&screen.pixels, memory_order_relaxed);
	uint32_t row = screen.pass_row;

	if (!screen.usable || !pixels)
		return false;
	if (row == 0) {
		if (generation == screen.drawn_generation)
			return false;
		screen.pass_generation = generation;
	}
	for (; row < screen.rows; row++) {
		uint32_t done = redraw_row(pixels, row, cells);

		cells -= done;
		if (!cells) {
			screen.pass_row =
				row; /* once more next time: what is drawn already is only compared */
			return true;
		}
	}
	screen.pass_row = 0;
	screen.drawn_generation = screen.pass_generation;
	return generation != screen.drawn_generation;
}
