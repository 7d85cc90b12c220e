/*
 * Memory and strings. Copies and fills use the CPU's string instructions, eight bytes at a time: short to
 * call, and as fast as the CPU can for the large areas a hypervisor clears.
 */
#include "hv/lib/string.h"

#define WORD sizeof(uint64_t)

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	void *target = to;
	size_t count = size / WORD;

	__asm__ volatile("rep movsq" : "+D"(target), "+S"(from), "+c"(count) : : "memory");
	count = size % WORD;
	__asm__ volatile("rep movsb" : "+D"(target), "+S"(from), "+c"(count) : : "memory");
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	uint8_t *target = to;
	const uint8_t *source = from;

	if ((uintptr_t)target - (uintptr_t)source >= size)
		return memcpy(to, from, size);
	/* The target begins inside the source: backwards, so that no byte is overwritten before it is read.
	 */
	target += size - 1;
	source += size - 1;
	__asm__ volatile("std; rep movsb; cld" : "+D"(target), "+S"(source), "+c"(size) : : "memory");
	return to;
}

void *memset(void *to, int byte, size_t size)
{
	void *target = to;
	uint64_t pattern = (uint8_t)byte * 0x0101010101010101ull;
	size_t count = size / WORD;

	__asm__ volatile("rep stosq" : "+D"(target), "+c"(count) : "a"(pattern) : "memory");
	count = size % WORD;
	__asm__ volatile("rep stosb" : "+D"(target), "+c"(count) : "a"(pattern) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *left = a, *right = b;

	for (; size; size--, left++, right++)
		if (*left != *right)
			return *left - *right;
	return 0;
}

size_t strlen(const char *text)
{
	const char *end = text;

	while (*end)
		end++;
	return (size_t)(end - text);
}

int strncmp(const char *a, const char *b, size_t size)
{
	for (; size; size--, a++, b++)
		if (*a != *b || *a == '\0')
			return (uint8_t)*a - (uint8_t)*b;
	return 0;
}

int strcmp(const char *a, const char *b)
{
	while (*a == *b && *a) {
		a++;
		b++;
	}
	return (uint8_t)*a - (uint8_t)*b;
}
