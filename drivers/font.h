/*
 * The screen's font, generated at build time (tools/font.py) from a console font of the build machine:
 * printable ASCII, 8x16 pixels, one byte a row, the leftmost pixel in bit 7.
 */
#pragma once

#include "hv/lib/types.h"

#define FONT_FIRST  0x20
#define FONT_LAST   0x7E
#define FONT_HEIGHT 16
#define FONT_WIDTH  8

extern const uint8_t font_glyphs[FONT_LAST - FONT_FIRST + 1][FONT_HEIGHT];
