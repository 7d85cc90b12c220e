/*
 * The words every file uses: address types that cannot be mixed, sizes, and a few compiler attributes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Guest-physical and host-physical addresses are types of their own, so that one is never passed for the
 * other. */
typedef struct {
	uint64_t value;
} gpa_t;
typedef struct {
	uint64_t value;
} hpa_t;

static inline gpa_t gpa(uint64_t value)
{
	return (gpa_t){value};
}
static inline hpa_t hpa(uint64_t value)
{
	return (hpa_t){value};
}

#define KIB		1024ull
#define MIB		(1024 * KIB)
#define GIB		(1024 * MIB)
#define PAGE_SIZE	(4 * KIB)
#define PAGE_SHIFT	12
#define LARGE_PAGE_SIZE (2 * MIB)
#define GIANT_PAGE_SIZE GIB

#define ALIGN_DOWN(x, a) ((x) & ~((a)-1))
#define ALIGN_UP(x, a)	 (((x) + (a)-1) & ~((a)-1))
#define ARRAY_SIZE(a)	 (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)	 ((a) < (b) ? (a) : (b))
#define MAX(a, b)	 ((a) > (b) ? (a) : (b))

#define MUST_CHECK	  __attribute__((warn_unused_result))
#define NORETURN	  __attribute__((noreturn))
#define NOINLINE	  __attribute__((noinline))
#define PACKED		  __attribute__((packed))
#define ALIGNED(n)	  __attribute__((aligned(n)))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define likely(x)	  __builtin_expect(!!(x), 1)
#define unlikely(x)	  __builtin_expect(!!(x), 0)
