/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slice is bytes owned by somebody else: a pointer and a length, never terminated. Heads, URLs and
 * playlists are handled as slices of the buffer they arrived in.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *data;
    size_t size;
};

/* printf: "%.*s", SLICE_ARG(s) */
#define SLICE_ARG(s)       (int)(s).size, (s).data
#define SLICE_LITERAL(lit) ((struct slice){(lit), sizeof(lit) - 1})
#define SLICE_EMPTY        ((struct slice){"", 0})

static inline struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

static inline struct slice slice_make(const char *data, size_t size)
{
    return (struct slice){data, size};
}

/* Compares bytes. */
static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.size == b.size &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0); /* data may be NULL then */
}

/* Compares with ASCII letters folded, as RFC 9110 does for field names and most tokens. */
bool slice_bytes_equal_nocase(const char *a, const char *b, size_t size);

static inline bool slice_equal_nocase(struct slice a, struct slice b)
{
    return a.size == b.size &&
           slice_bytes_equal_nocase(a.data, b.data, a.size); /* sizes tell most names apart */
}

bool slice_starts_with(struct slice s, struct slice prefix);
bool slice_ends_with(struct slice s, struct slice suffix);

/* The part after the first `count` bytes (all of them when there are fewer). */
struct slice slice_skip(struct slice s, size_t count);

/* Without leading and trailing SP and HTAB (RFC 9110 section 5.6.3, OWS). */
struct slice slice_trim(struct slice s);

/* Cuts off what stands before `separator` (all of it when there is none), moves *rest behind the separator,
 * and returns false when *rest was already used up (its data is NULL then). An empty last part is still a
 * part. */
bool slice_split(struct slice *rest, char separator, struct slice *ret_part);

/* Decimal digits only, no sign, no spaces; false on anything else or on overflow of 64 bits. */
bool slice_to_u64(struct slice s, uint64_t *ret_value);

/* How many bytes the UTF-8 sequence takes that `s` begins with; 0 when it begins with none (RFC 3629 section
 * 4), or is empty. */
size_t slice_utf8_sequence(struct slice s);

/* Index of the first `c`, or s.size. */
size_t slice_find(struct slice s, char c);

#endif
