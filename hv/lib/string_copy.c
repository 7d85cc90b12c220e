/*
 * string_copy() stands apart from string.c, so that host builds take it and keep the C library's, and the
 * sanitizers' checked, memory functions.
 */
#include "hv/lib/string.h"

void string_copy(char *to, const char *from, size_t size)
{
	if (size == 0)
		return;
	while (--size && *from)
		*to++ = *from++;
	*to = '\0';
}
