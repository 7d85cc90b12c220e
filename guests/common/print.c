/* Formats a line and gives it to the platform in one piece, so that a console never shows half of one. */
#include "../platform.h"
#include "print.h"
#include "text.h"

#define LINE_SIZE 256

void print_line(const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;
	va_start(arguments, format);
	size_t used = format_list(line, sizeof(line) - 1, format, arguments);
	va_end(arguments);
	line[used++] = '\n';
	platform_write(line, used);
}
