/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The growable buffer. It doubles until its maximum; one byte more than the capacity is always allocated, so
 * that vsnprintf may put its terminator behind text that fills the buffer exactly.
 */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

#define CAPACITY_FIRST 64

void buf_init(struct buf *b, size_t max)
{
    REQUIRE(max < SIZE_MAX / 2); /* so that neither doubling nor the spare byte overflows */
    *b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){.max = b->max};
}

void buf_clear(struct buf *b)
{
    b->size = 0;
    b->failed = false;
}

static bool grow(struct buf *b, size_t needed)
{
    size_t capacity = size_max(needed, size_max(CAPACITY_FIRST, b->capacity * 2));
    char *data;

    capacity = size_min(capacity, b->max);
    data = realloc(b->data, capacity + 1);
    if (!data)
        return false;
    b->data = data;
    b->capacity = capacity;
    return true;
}

char *buf_reserve(struct buf *b, size_t extra)
{
    if (b->failed)
        return NULL;
    if (extra > b->max - b->size)
        b->failed = true;
    else if (!b->data || extra > b->capacity - b->size)
        b->failed = !grow(b, b->size + extra);
    return b->failed ? NULL : b->data + b->size;
}

void buf_consume(struct buf *b, size_t count)
{
    if (!CHECK(count <= b->size))
        count = b->size;
    if (count == 0)
        return;
    b->size -= count;
    memmove(b->data, b->data + count, b->size);
}

bool buf_append_slow(struct buf *b, const void *data, size_t size)
{
    char *at = buf_reserve(b, size);

    if (!at)
        return false;
    if (size > 0)
        memcpy(at, data, size);
    b->size += size;
    return true;
}

bool buf_append_char(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

bool buf_append_u64(struct buf *b, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return buf_append(b, digits + at, sizeof(digits) - at);
}

bool buf_vprintf(struct buf *b, const char *format, va_list args)
{
    va_list again;
    int size;
    char *at;

    va_copy(again, args);
    size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (!CHECK(size >= 0))
        return false;
    at = buf_reserve(b, (size_t)size);
    if (!at)
        return false;
    vsnprintf(at, (size_t)size + 1, format, args);
    b->size += (size_t)size;
    return true;
}

bool buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    bool fits;

    va_start(args, format);
    fits = buf_vprintf(b, format, args);
    va_end(args);
    return fits;
}
