/* Output of the guests that run on a platform: whole lines, nothing less. CPU 0 only. */
#pragma once

/* Formats one line (see format_list()), closes it with a newline and writes it in one piece. */
void print_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
