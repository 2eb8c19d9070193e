/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list "key=value,key,...", keys in any order; a value in quotes may hold commas.
 */
#include "cmcd.h"

#include "base/check.h"

#define TEXT_MAX   2048 /* what is longer is not read */
#define NUMBER_MAX 1000000000000ull

static bool parse_number(struct slice text, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > NUMBER_MAX)
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *ret_value = value;
    return true;
}

static struct slice take_item(struct slice *rest)
{
    bool is_quoted = false;
    size_t size = 0;

    for (; size < rest->size && (is_quoted || rest->data[size] != ','); size++) {
        if (rest->data[size] == '"')
            is_quoted = !is_quoted;
        else if (rest->data[size] == '\\' && is_quoted && size + 1 < rest->size)
            size++;
    }
    struct slice item = slice_make(rest->data, size);
    *rest = slice_skip(*rest, size_min(size + 1, rest->size));
    return slice_trim(item);
}

static bool find_number(struct slice list, struct slice key, uint64_t *ret_value)
{
    while (list.size > 0) {
        struct slice item = take_item(&list);
        size_t size = slice_find(item, '=');

        if (size < item.size && slice_equal(slice_make(item.data, size), key))
            return parse_number(slice_skip(item, size + 1), ret_value);
    }
    return false;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static struct slice decode(struct slice text, char *out)
{
    size_t size = 0;

    for (size_t i = 0; i < text.size && size < TEXT_MAX; i++) {
        int high = text.data[i] == '%' && i + 2 < text.size ? hex_value(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex_value(text.data[i + 2]) : -1;

        out[size++] = low >= 0 ? (char)(high * 16 + low) : text.data[i];
        i += low >= 0 ? 2 : 0;
    }
    return slice_make(out, size);
}

static bool find_in_query(struct slice query, struct slice key, uint64_t *ret_value)
{
    char text[TEXT_MAX];
    struct slice part;

    while (query.data && slice_split(&query, '&', &part))
        if (slice_starts_with(part, SLICE_LITERAL("CMCD=")))
            return find_number(decode(slice_skip(part, 5), text), key, ret_value);
    return false;
}

uint64_t cmcd_number(const struct http_head *head, struct slice query, const char *key)
{
    static const char *const fields[] = {"cmcd-status", "cmcd-request", "cmcd-object", "cmcd-session"};
    uint64_t value = 0;

    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        struct slice list = http_head_get(head, fields[i]);

        if (list.data && find_number(list, slice_of(key), &value))
            return value;
    }
    find_in_query(query, slice_of(key), &value);
    return value;
}
