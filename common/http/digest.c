/* SPDX-License-Identifier: Apache-2.0 */
/* A dictionary of byte sequences (RFC 8941), of which one member is of interest. */
#include "http/digest.h"

/* Four characters for three bytes, the last byte of 32 leaves one '='. */
#define ENCODED_SIZE 44

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Base64 of exactly DIGEST_SIZE bytes. */
static bool decode(struct slice text, uint8_t ret_value[DIGEST_SIZE])
{
    uint32_t bits = 0;
    size_t out = 0;

    if (text.size != ENCODED_SIZE || text.data[ENCODED_SIZE - 1] != '=')
        return false;
    for (size_t i = 0; i < ENCODED_SIZE - 1; i++) {
        int digit = digit_of(text.data[i]);

        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 > 0) /* each character but the first of four completes a byte */
            ret_value[out++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
    }
    return true;
}

bool http_digest_sha256(struct slice line, uint8_t ret_value[DIGEST_SIZE])
{
    struct slice name = SLICE_LITERAL("sha-256=:"), member;
    uint8_t value[DIGEST_SIZE];

    while (slice_split(&line, ',', &member)) {
        member = slice_trim(member);
        if (!slice_starts_with(member, name))
            continue;
        member = slice_skip(member, name.size);
        size_t size = slice_find(member, ':');
        if (size == member.size || !decode(slice_make(member.data, size), value))
            return false;
        memcpy(ret_value, value, sizeof(value));
        return true;
    }
    return false;
}
