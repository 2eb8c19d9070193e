/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte ranges. A Range field may always be ignored (RFC 9110 section 14.2), so whatever looks broken or like
 * an attack is: several overlapping ranges cost the server more than the whole representation.
 */
#include "http/range.h"

#include <stdio.h>

#include "base/check.h"

/* A number that no file reaches is held at the maximum: it is well-formed, and lies behind every end. */
static bool parse_position(struct slice digits, uint64_t *ret_position)
{
    if (slice_to_u64(digits, ret_position))
        return true;
    for (size_t i = 0; i < digits.size; i++)
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
    *ret_position = UINT64_MAX;
    return digits.size > 0;
}

/* "first-last", "first-" or "-suffix" */
static bool parse_spec(struct slice text, struct range_spec *ret_spec)
{
    size_t dash = slice_find(text, '-');
    struct slice before = slice_make(text.data, dash), after = slice_skip(text, dash + 1);
    struct range_spec spec = {.suffix = dash == 0, .last = HTTP_RANGE_OPEN};

    if (dash == text.size)
        return false;
    if (!spec.suffix && !parse_position(before, &spec.first))
        return false;
    if ((spec.suffix || after.size > 0) && !parse_position(after, &spec.last))
        return false;
    if (spec.last < spec.first)
        return false;
    *ret_spec = spec;
    return true;
}

/* Two suffixes always overlap; a suffix and a range from the front may, which only the total size would tell.
 */
static bool overlap(const struct range_spec *a, const struct range_spec *b)
{
    if (a->suffix || b->suffix)
        return (a->suffix || a->last == HTTP_RANGE_OPEN) && (b->suffix || b->last == HTTP_RANGE_OPEN);
    return a->first <= b->last && b->first <= a->last;
}

static bool overlaps_any(const struct range_spec *spec, const struct range_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (overlap(spec, &specs[i]))
            return true;
    return false;
}

enum range_outcome http_range_parse(struct slice value, struct range_spec *ret_specs, size_t max,
                                    size_t *ret_count)
{
    size_t equals = slice_find(value, '='), count = 0;
    struct range_spec specs[HTTP_RANGE_MAX];
    struct slice rest, part;

    max = size_min(max, HTTP_RANGE_MAX);
    if (equals == value.size || !slice_equal_nocase(slice_make(value.data, equals), SLICE_LITERAL("bytes")))
        return RANGE_NONE;
    rest = slice_skip(value, equals + 1);
    while (slice_split(&rest, ',', &part)) {
        part = slice_trim(part);
        if (part.size == 0)
            continue; /* lists may have empty elements (RFC 9110 section 5.6.1.2) */
        if (count == max || !parse_spec(part, &specs[count]) || overlaps_any(&specs[count], specs, count))
            return RANGE_NONE;
        count++;
    }
    if (count == 0)
        return RANGE_NONE;
    memcpy(ret_specs, specs, count * sizeof(specs[0]));
    *ret_count = count;
    return RANGE_OK;
}

bool http_range_resolve(const struct range_spec *spec, uint64_t total_size, uint64_t *ret_first,
                        uint64_t *ret_last)
{
    if (total_size == 0)
        return false;
    if (spec->suffix) {
        if (spec->last == 0)
            return false;
        *ret_first = spec->last < total_size ? total_size - spec->last : 0;
        *ret_last = total_size - 1;
        return true;
    }
    if (spec->first >= total_size)
        return false;
    *ret_first = spec->first;
    *ret_last = spec->last < total_size ? spec->last : total_size - 1;
    return true;
}

/* "first-last" before the slash, "*" for none of it */
static bool parse_content_positions(struct slice text, struct content_range *r)
{
    size_t dash = slice_find(text, '-');

    if (slice_equal(text, SLICE_LITERAL("*"))) {
        r->unsatisfied = true;
        return r->total != HTTP_RANGE_UNKNOWN;
    }
    return slice_to_u64(slice_make(text.data, dash), &r->first) &&
           slice_to_u64(slice_skip(text, dash + 1), &r->last) && r->first <= r->last && r->last < r->total;
}

bool http_content_range_parse(struct slice value, struct content_range *ret_range)
{
    struct slice unit = SLICE_LITERAL("bytes "), total;
    struct content_range r = {.total = HTTP_RANGE_UNKNOWN};
    size_t slash;

    value = slice_trim(value);
    if (value.size < unit.size || !slice_equal_nocase(slice_make(value.data, unit.size), unit))
        return false;
    value = slice_skip(value, unit.size);
    slash = slice_find(value, '/');
    if (slash == value.size)
        return false;
    total = slice_skip(value, slash + 1);
    if (!slice_equal(total, SLICE_LITERAL("*")) &&
        (!slice_to_u64(total, &r.total) || r.total == HTTP_RANGE_UNKNOWN))
        return false;
    if (!parse_content_positions(slice_make(value.data, slash), &r))
        return false;
    *ret_range = r;
    return true;
}

void http_content_range_format(const struct content_range *range, char ret_text[HTTP_CONTENT_RANGE_SIZE])
{
    char total[24] = "*";

    if (range->total != HTTP_RANGE_UNKNOWN)
        snprintf(total, sizeof(total), "%llu", (unsigned long long)range->total);
    if (range->unsatisfied)
        snprintf(ret_text, HTTP_CONTENT_RANGE_SIZE, "bytes */%s", total);
    else
        snprintf(ret_text, HTTP_CONTENT_RANGE_SIZE, "bytes %llu-%llu/%s", (unsigned long long)range->first,
                 (unsigned long long)range->last, total);
}
