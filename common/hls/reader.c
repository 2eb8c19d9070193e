/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all tags need: attribute lists read by a table, and variables (RFC 8216bis section 4.3).
 */
#include "reader.h"

#include "base/check.h"

static bool is_variable_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* The name in "{$name}" at the front of `text`, or nothing. */
static struct slice variable_name(struct slice text)
{
    size_t size = 2;

    if (!slice_starts_with(text, SLICE_LITERAL("{$")))
        return SLICE_EMPTY;
    while (size < text.size && is_variable_char(text.data[size]))
        size++;
    return size < text.size && text.data[size] == '}' ? slice_make(text.data + 2, size - 2) : SLICE_EMPTY;
}

static bool has_reference(struct slice text)
{
    const char *at = text.size > 0 ? memmem(text.data, text.size, "{$", 2) : NULL;

    return at != NULL;
}

static const struct slice *find_variable(const struct hls_reader *r, struct slice name)
{
    for (size_t i = 0; i < r->variable_count; i++)
        if (slice_equal(r->variables[i].name, name))
            return &r->variables[i].value;
    return NULL;
}

static bool put(struct hls_reader *r, struct hls_expanded *into, struct slice text)
{
    if (text.size > sizeof(into->text) - into->size || text.size > r->expand_budget)
        return false;
    if (text.size > 0)
        memcpy(into->text + into->size, text.data, text.size);
    into->size += text.size;
    r->expand_budget -= text.size;
    return true;
}

static bool expand(struct hls_reader *r, struct slice text, struct hls_expanded *into)
{
    while (text.size > 0) {
        struct slice name = variable_name(text);
        const struct slice *value = name.size > 0 ? find_variable(r, name) : NULL;
        if (name.size > 0 && !value)
            return false;
        if (!put(r, into, value ? *value : slice_make(text.data, 1)))
            return false;
        text = slice_skip(text, value ? name.size + 3 : 1);
    }
    return true;
}

struct slice hls_reader_expand(struct hls_reader *r, struct slice text, struct hls_expanded *into)
{
    size_t start = into->size;

    if (!r->has_defines || !has_reference(text))
        return text;
    if (expand(r, text, into))
        return slice_make(into->text + start, into->size - start);
    r->is_unresolved = true;
    r->summary.has_unresolved_variables = true;
    return text;
}

enum hls_error_code hls_reader_define(struct hls_reader *r, struct slice value)
{
    struct hls_variable v = {0};
    const struct hls_wanted wanted[] = {
        HLS_OPTIONAL("NAME", RAW, &v.name),
        HLS_OPTIONAL("VALUE", RAW, &v.value),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code != HLS_ERROR_OK)
        return code;
    r->has_defines = true;
    if (v.name.data && v.value.data && r->variable_count < HLS_VARIABLES_MAX)
        r->variables[r->variable_count++] = v;
    else
        r->summary.has_unresolved_variables = true; /* IMPORT, QUERYPARAM, or one too many */
    return HLS_ERROR_OK;
}

static bool read_ms(struct slice text, int64_t *ret_ms)
{
    int64_t us;

    if (!hls_parse_duration_us(text, &us))
        return false;
    *ret_ms = us / 1000;
    return true;
}

static bool read_value(struct hls_reader *r, const struct hls_wanted *wanted, struct slice value)
{
    switch (wanted->type) {
    case HLS_WANTED_TEXT:
        *(struct slice *)wanted->target = hls_reader_expand(r, value, &r->expanded);
        return true;
    case HLS_WANTED_RAW: *(struct slice *)wanted->target = value; return true;
    case HLS_WANTED_U64: return slice_to_u64(value, wanted->target);
    case HLS_WANTED_US: return hls_parse_duration_us(value, wanted->target);
    case HLS_WANTED_MS: return read_ms(value, wanted->target);
    case HLS_WANTED_YES: *(bool *)wanted->target = slice_equal(value, SLICE_LITERAL("YES")); return true;
    case HLS_WANTED_RANGE: return hls_parse_byterange(value, wanted->target);
    }
    UNREACHABLE();
}

/* The index of the wanted attribute of that name, or `count`. */
static size_t wanted_index(struct slice name, const struct hls_wanted *wanted, size_t count)
{
    size_t i = 0;

    while (i < count && !slice_equal(wanted[i].name, name))
        i++;
    return i;
}

enum hls_error_code hls_reader_attributes(struct hls_reader *r, struct slice list,
                                          const struct hls_wanted *wanted, size_t count)
{
    enum hls_attribute_outcome outcome;
    struct hls_attribute a;
    uint32_t seen = 0;

    while ((outcome = hls_attributes_next(&list, &a)) == HLS_ATTRIBUTE_ONE) {
        size_t i = wanted_index(a.name, wanted, count);
        if (i == count)
            continue;
        if (read_value(r, &wanted[i], a.value))
            seen |= 1u << i;
        else if (wanted[i].required)
            return HLS_ERROR_BAD_VALUE;
    }
    if (outcome == HLS_ATTRIBUTE_BAD)
        return HLS_ERROR_BAD_ATTRIBUTES;
    for (size_t i = 0; i < count; i++)
        if (wanted[i].required && !(seen >> i & 1))
            return HLS_ERROR_MISSING_ATTRIBUTE;
    return HLS_ERROR_OK;
}

enum hls_error_code hls_reader_key(struct hls_reader *r, struct slice value, bool session)
{
    struct hls_key key = {.session = session};
    struct slice iv = {0};
    const struct hls_wanted wanted[] = {
        HLS_REQUIRED("METHOD", RAW, &key.method),
        HLS_OPTIONAL("URI", TEXT, &key.uri),
        HLS_OPTIONAL("KEYFORMAT", TEXT, &key.keyformat),
        HLS_OPTIONAL("IV", TEXT, &iv),
    };
    enum hls_error_code code = hls_reader_attributes(r, value, wanted, ARRAY_COUNT(wanted));

    if (code != HLS_ERROR_OK)
        return code;
    key.has_iv = iv.data && hls_parse_hex128(iv, key.iv);
    if (!r->is_unresolved && r->events->on_key)
        r->events->on_key(r->user, &key);
    return HLS_ERROR_OK;
}
