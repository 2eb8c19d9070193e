/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading bytes that somebody else owns. Nothing here allocates, and nothing depends on the locale: letters
 * are ASCII letters.
 */
#include "base/slice.h"

static unsigned char fold(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? u | 0x20 : u;
}

static bool is_ows(char c)
{
    return c == ' ' || c == '\t';
}

bool slice_bytes_equal_nocase(const char *a, const char *b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (fold(a[i]) != fold(b[i]))
            return false;
    return true;
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
    return s.size >= prefix.size && slice_equal(slice_make(s.data, prefix.size), prefix);
}

bool slice_ends_with(struct slice s, struct slice suffix)
{
    return s.size >= suffix.size && slice_equal(slice_skip(s, s.size - suffix.size), suffix);
}

struct slice slice_skip(struct slice s, size_t count)
{
    if (count >= s.size)
        return slice_make(s.size ? s.data + s.size : s.data, 0);
    return slice_make(s.data + count, s.size - count);
}

struct slice slice_trim(struct slice s)
{
    while (s.size > 0 && is_ows(s.data[0]))
        s = slice_skip(s, 1);
    while (s.size > 0 && is_ows(s.data[s.size - 1]))
        s.size--;
    return s;
}

bool slice_split(struct slice *rest, char separator, struct slice *ret_part)
{
    size_t end;

    if (!rest->data)
        return false;
    end = slice_find(*rest, separator);
    *ret_part = slice_make(rest->data, end);
    *rest = end < rest->size ? slice_skip(*rest, end + 1) : slice_make(NULL, 0);
    return true;
}

bool slice_to_u64(struct slice s, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (s.size == 0)
        return false;
    for (size_t i = 0; i < s.size; i++) {
        unsigned digit = (unsigned char)s.data[i] - (unsigned)'0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

size_t slice_utf8_sequence(struct slice s)
{
    const unsigned char *u = (const unsigned char *)s.data;
    size_t size;

    if (s.size == 0)
        return 0;
    size = u[0] < 0x80 ? 1 : u[0] < 0xc2 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : u[0] < 0xf5 ? 4 : 0;
    if (size > s.size)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((u[i] & 0xc0) != 0x80)
            return 0;
    if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f)) /* overlong; surrogates */
        return 0;
    if ((u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f)) /* overlong; beyond U+10FFFF */
        return 0;
    return size;
}

size_t slice_find(struct slice s, char c)
{
    const char *at = s.size ? memchr(s.data, c, s.size) : NULL;
    return at ? (size_t)(at - s.data) : s.size;
}
