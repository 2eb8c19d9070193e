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

static bool find_value(struct slice list, struct slice key, struct slice *ret_value)
{
    while (list.size > 0) {
        struct slice item = take_item(&list);
        size_t size = slice_find(item, '=');

        if (size < item.size && slice_equal(slice_make(item.data, size), key)) {
            *ret_value = slice_skip(item, size + 1);
            return true;
        }
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

/* `text` holds the value. */
static bool find_in_query(struct slice query, struct slice key, char text[TEXT_MAX], struct slice *ret_value)
{
    struct slice part;

    while (query.data && slice_split(&query, '&', &part))
        if (slice_starts_with(part, SLICE_LITERAL("CMCD=")))
            return find_value(decode(slice_skip(part, 5), text), key, ret_value);
    return false;
}

uint64_t cmcd_number(const struct http_head *head, struct slice query, const char *key)
{
    static const char *const fields[] = {"cmcd-status", "cmcd-request", "cmcd-object", "cmcd-session"};
    char text[TEXT_MAX];
    struct slice found;
    uint64_t value = 0;

    for (size_t i = 0; i < ARRAY_COUNT(fields); i++) {
        struct slice list = http_head_get(head, fields[i]);

        if (list.data && find_value(list, slice_of(key), &found) && parse_number(found, &value))
            return value;
    }
    if (find_in_query(query, slice_of(key), text, &found))
        parse_number(found, &value);
    return value;
}

size_t cmcd_session(const struct http_head *head, struct slice query, char ret_id[CMCD_SESSION_MAX])
{
    char text[TEXT_MAX];
    struct slice list = http_head_get(head, "cmcd-session"), id, key = SLICE_LITERAL("sid");

    if (!(list.data && find_value(list, key, &id)) && !find_in_query(query, key, text, &id))
        return 0;
    if (id.size >= 2 && id.data[0] == '"' && id.data[id.size - 1] == '"')
        id = slice_make(id.data + 1, id.size - 2);
    if (id.size > CMCD_SESSION_MAX)
        id.size = CMCD_SESSION_MAX;
    memcpy(ret_id, id.data, id.size);
    return id.size;
}
