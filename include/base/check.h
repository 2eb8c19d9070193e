/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions in three grades. REQUIRE: what cannot be; the process ends (a wrong byte is worse than a
 * restart). CHECK: a bug that can be survived; it is logged and counted, and aborts in debug builds. Expected
 * errors are neither: they are returned.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stddef.h>

_Noreturn void check_fatal(const char *file, int line, const char *what);
void check_failed(const char *file, int line, const char *what);

/* How many CHECKs have failed since the start; shown by /stats, so that a survivable bug is still seen. */
unsigned long check_failed_count(void);

#define REQUIRE(condition)                               \
    do {                                                 \
        if (__builtin_expect(!(condition), 0))           \
            check_fatal(__FILE__, __LINE__, #condition); \
    } while (0)

/* Yields the condition, so that a caller can write: if (!CHECK(x)) return -EINVAL; */
#define CHECK(condition) \
    (__builtin_expect(!!(condition), 1) ? 1 : (check_failed(__FILE__, __LINE__, #condition), 0))

#define UNREACHABLE() check_fatal(__FILE__, __LINE__, "unreachable")

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define ARRAY_COUNT(array)                  (sizeof(array) / sizeof((array)[0]))

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
