/*
 * The text model of the screen, drawn into ordinary memory and read back from there.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "drivers/font.h"
#include "drivers/framebuffer.h"

#define ALL UINT32_MAX

static uint32_t *pixels;
static struct boot_framebuffer info;

static void open_screen(uint32_t width, uint32_t height, uint32_t extra, uint32_t first_row)
{
	free(pixels);
	info = (struct boot_framebuffer){.start = 0x1000,
					 .width = width,
					 .height = height,
					 .pitch = (width + extra) * 4,
					 .format = BOOT_PIXEL_BGRX};
	info.size = (uint64_t)info.pitch * height;
	pixels = malloc(info.size);
	memset(pixels, 0xEE, info.size); /* what the firmware has left */
	assert_true(framebuffer_start(&info, pixels, first_row));
}

/* The character drawn at a cell, 0 if none; *ink gets its colour. */
static int character_at(uint32_t row, uint32_t column, uint32_t *ink)
{
	uint32_t paper = pixels[(info.height - 1) * (info.pitch / 4) + info.width - 1];
	uint8_t seen[FONT_HEIGHT] = {0};

	*ink = 0;
	for (uint32_t y = 0; y < FONT_HEIGHT; y++)
		for (uint32_t x = 0; x < FONT_WIDTH; x++) {
			uint32_t value = pixels[(row * 16 + y) * (info.pitch / 4) + column * 8 + x];

			if (value == 0xEEEEEEEE)
				return 0;
			if (value != paper) {
				seen[y] |= (uint8_t)(0x80 >> x);
				*ink = value;
			}
		}
	for (int c = FONT_FIRST; c <= FONT_LAST; c++)
		if (!memcmp(font_glyphs[c - FONT_FIRST], seen, sizeof(seen)))
			return c;
	return 0;
}

/* A row as text without trailing spaces; rows the firmware's pixels show through read "#". */
static const char *row_text(uint32_t row)
{
	static char text[FRAMEBUFFER_COLUMNS + 1];
	uint32_t length = 0, ink;

	for (uint32_t column = 0; column < framebuffer_columns(); column++) {
		int c = character_at(row, column, &ink);

		text[column] = (char)(c ? c : '#');
		if (c != ' ')
			length = column + 1;
	}
	text[length] = '\0';
	return text[0] == '#' ? "#" : text;
}

static void write_line(const char *text)
{
	framebuffer_line(text, strlen(text), COLOUR_PLAIN);
}

static void test_lines_start_below_what_is_there(void **state)
{
	(void)state;
	open_screen(800, 600, 0, 5);
	write_line("Hello, world");
	write_line("second");
	assert_false(framebuffer_redraw(ALL));
	assert_string_equal(row_text(4), "#");
	assert_string_equal(row_text(5), "Hello, world");
	assert_string_equal(row_text(6), "second");
	assert_string_equal(row_text(7), "");
}

static void test_colours_differ(void **state)
{
	uint32_t red, green;

	(void)state;
	open_screen(640, 480, 0, 0);
	framebuffer_line("R", 1, COLOUR_RED);
	framebuffer_line("G", 1, COLOUR_GREEN);
	framebuffer_redraw(ALL);
	assert_int_equal(character_at(0, 0, &red), 'R');
	assert_int_equal(character_at(1, 0, &green), 'G');
	assert_int_not_equal(red, green);
	assert_true((red >> 16 & 0xFF) > (red & 0xFF)); /* BGRX: red is the third byte */
	assert_true((green >> 8 & 0xFF) > (green & 0xFF));
}

/* The text is the same, only its row's colour is another one. */
static void test_row_of_another_colour_is_drawn_anew(void **state)
{
	uint32_t ink, red = 0;

	(void)state;
	open_screen(640, 480, 0, 0);
	framebuffer_live("a b", 3, COLOUR_GREEN);
	framebuffer_redraw(ALL);
	framebuffer_live("a b", 3, COLOUR_RED);
	framebuffer_redraw(ALL);
	for (uint32_t column = 0; column < 3; column += 2) {
		assert_int_equal(character_at(0, column, &ink), "a b"[column]);
		red = column == 0 ? ink : red;
		assert_true((ink >> 16 & 0xFF) > (ink >> 8 & 0xFF));
		assert_int_equal(ink, red);
	}
	assert_string_equal(row_text(0), "a b");
}

static void test_pixel_order(void **state)
{
	uint32_t red;

	(void)state;
	open_screen(640, 480, 0, 0);
	info.format = BOOT_PIXEL_RGBX;
	assert_true(framebuffer_start(&info, pixels, 0));
	framebuffer_line("R", 1, COLOUR_RED);
	framebuffer_redraw(ALL);
	assert_int_equal(character_at(0, 0, &red), 'R');
	assert_true((red & 0xFF) > (red >> 16 & 0xFF));
}

static void test_scrolls_by_an_eighth(void **state)
{
	char text[32];

	(void)state;
	open_screen(640, 480, 8, 0); /* 30 rows */
	for (int i = 0; i < 40; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		write_line(text);
		framebuffer_redraw(ALL);
	}
	/* 30 lines fill it; then 3 rows at a time are freed: 4 times until line 39. */
	assert_string_equal(row_text(0), "line 12");
	assert_string_equal(row_text(27), "line 39");
	assert_string_equal(row_text(28), "");
}

static void test_foreign_rows_scroll_away(void **state)
{
	char text[32];

	(void)state;
	open_screen(640, 480, 0, 28);
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "line %d", i);
		write_line(text);
	}
	framebuffer_redraw(ALL);
	/* 48 rows were needed: seven times three have scrolled away. */
	assert_string_equal(row_text(6), "#");
	assert_string_equal(row_text(7), "line 0");
	assert_string_equal(row_text(26), "line 19");
}

static void test_first_row_beyond_the_end(void **state)
{
	(void)state;
	open_screen(640, 480, 0, 1000);
	write_line("last");
	write_line("more");
	framebuffer_redraw(ALL);
	assert_string_equal(row_text(26), "last");
	assert_string_equal(row_text(27), "more");
}

static void test_long_lines_wrap(void **state)
{
	char text[101];

	(void)state;
	memset(text, 'a', 100);
	text[99] = 'z';
	text[100] = '\0';
	open_screen(640, 480, 0, 0); /* 80 columns */
	write_line(text);
	write_line("next");
	framebuffer_redraw(ALL);
	assert_int_equal(strlen(row_text(0)), 80);
	assert_string_equal(row_text(1), "aaaaaaaaaaaaaaaaaaaz");
	assert_string_equal(row_text(2), "next");
}

static void test_live_line_is_replaced(void **state)
{
	(void)state;
	open_screen(640, 480, 0, 0);
	framebuffer_live("bulkhead> lis", 13, COLOUR_PLAIN);
	framebuffer_redraw(ALL);
	assert_string_equal(row_text(0), "bulkhead> lis");
	write_line("beta");
	framebuffer_live("bulkhead> l", 11, COLOUR_PLAIN);
	framebuffer_redraw(ALL);
	assert_string_equal(row_text(0), "beta");
	assert_string_equal(row_text(1), "bulkhead> l");
}

static void test_draws_in_small_parts(void **state)
{
	unsigned calls = 0;

	(void)state;
	open_screen(640, 480, 0, 0);
	write_line("0123456789");
	write_line("abcdefghij");
	while (framebuffer_redraw(3))
		calls++;
	assert_in_range(calls, 6, 8);
	assert_string_equal(row_text(0), "0123456789");
	assert_string_equal(row_text(1), "abcdefghij");
}

static void test_only_differences_are_drawn(void **state)
{
	(void)state;
	open_screen(640, 480, 0, 0);
	write_line("same");
	framebuffer_redraw(ALL);
	memset(pixels, 0x11, 16 * info.pitch);
	write_line("new");
	framebuffer_redraw(ALL);
	assert_int_equal(pixels[0], 0x11111111); /* row 0 has not changed: untouched */
	assert_string_equal(row_text(1), "new");
}

static void test_unmapped_for_a_while(void **state)
{
	(void)state;
	open_screen(640, 480, 0, 0);
	framebuffer_move(NULL);
	write_line("later");
	assert_false(framebuffer_redraw(ALL));
	framebuffer_move(pixels);
	framebuffer_redraw(ALL);
	assert_string_equal(row_text(0), "later");
}

static void test_big_and_small_modes(void **state)
{
	(void)state;
	open_screen(1920, 1200, 0, 0);
	assert_int_equal(framebuffer_columns(), FRAMEBUFFER_COLUMNS);
	assert_int_equal(framebuffer_rows(), FRAMEBUFFER_ROWS);
	for (int i = 0; i < 200; i++)
		write_line("x");
	framebuffer_redraw(ALL);
	open_screen(8, 16, 1, 7);
	write_line("abc");
	framebuffer_redraw(ALL);
	assert_int_equal(framebuffer_rows(), 1);
}

static void test_bytes_without_glyph(void **state)
{
	(void)state;
	open_screen(640, 480, 0, 0);
	framebuffer_line("a\x01\xFF"
			 "b",
			 4, COLOUR_PLAIN);
	framebuffer_redraw(ALL);
	assert_string_equal(row_text(0), "a??b");
}

static void test_refuses_what_cannot_be_drawn(void **state)
{
	static const struct boot_framebuffer good = {.start = 0x1000,
						     .size = 640 * 480 * 4,
						     .width = 640,
						     .height = 480,
						     .pitch = 640 * 4,
						     .format = BOOT_PIXEL_BGRX};
	struct boot_framebuffer bad[] = {good, good, good, good, good};

	(void)state;
	bad[0].start = 0;
	bad[1].format = BOOT_PIXEL_NONE;
	bad[2].pitch = 639 * 4;
	bad[3].size--;
	bad[4].height = 15;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(framebuffer_start(&bad[i], pixels, 0));
		assert_false(framebuffer_usable());
		write_line("nothing happens");
		assert_false(framebuffer_redraw(ALL));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines_start_below_what_is_there),
		cmocka_unit_test(test_colours_differ),
		cmocka_unit_test(test_row_of_another_colour_is_drawn_anew),
		cmocka_unit_test(test_pixel_order),
		cmocka_unit_test(test_scrolls_by_an_eighth),
		cmocka_unit_test(test_foreign_rows_scroll_away),
		cmocka_unit_test(test_first_row_beyond_the_end),
		cmocka_unit_test(test_long_lines_wrap),
		cmocka_unit_test(test_live_line_is_replaced),
		cmocka_unit_test(test_draws_in_small_parts),
		cmocka_unit_test(test_only_differences_are_drawn),
		cmocka_unit_test(test_unmapped_for_a_while),
		cmocka_unit_test(test_big_and_small_modes),
		cmocka_unit_test(test_bytes_without_glyph),
		cmocka_unit_test(test_refuses_what_cannot_be_drawn),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	free(pixels);
	return failed;
}
