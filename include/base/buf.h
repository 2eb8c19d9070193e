/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable buffer that has a maximum. Appending beyond the maximum (or when memory is out) fails once and
 * for all: the buffer is marked `failed` and later appends do nothing, so that a writer may check one time at
 * the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>

#include "base/slice.h"

struct buf {
    char *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t max;      /* bytes it may grow to */
    bool failed;     /* an append did not fit, or memory was out */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);

/* Forgets the content and the failure, keeps the memory. */
void buf_clear(struct buf *b);

/* Makes room for `extra` bytes behind the content; returns where, or NULL (and marks the failure). */
char *buf_reserve(struct buf *b, size_t extra);

/* Drops the first `count` bytes. */
void buf_consume(struct buf *b, size_t count);

bool buf_append_slow(struct buf *b, const void *data, size_t size);

/* Inline where it fits already: heads are written in dozens of small pieces. */
static inline bool buf_append(struct buf *b, const void *data, size_t size)
{
    if (b->failed || !b->data || size > b->capacity - b->size)
        return buf_append_slow(b, data, size);
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
    return true;
}

static inline bool buf_append_slice(struct buf *b, struct slice s)
{
    return buf_append(b, s.data, s.size);
}

static inline bool buf_append_text(struct buf *b, const char *text)
{
    return buf_append(b, text, strlen(text)); /* a constant's length is known to the compiler */
}

bool buf_append_char(struct buf *b, char c);
bool buf_append_u64(struct buf *b, uint64_t value);
bool buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_vprintf(struct buf *b, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->data ? b->data : "", b->size};
}

#endif
