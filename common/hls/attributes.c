/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attribute lists and the values in them. Every number is bounded where it is read.
 */
#include "hls/attributes.h"

#include "http/date.h"

#define SECONDS_MAX 10000000 /* 115 days: even a whole playlist of such segments sums up within 64 bits */
#define US_PER_S    1000000

static bool is_name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
}

static struct slice skip_space(struct slice s)
{
    while (s.size > 0 && (s.data[0] == ' ' || s.data[0] == '\t' || s.data[0] == ','))
        s = slice_skip(s, 1);
    return s;
}

/* "value" up to its closing quote, or up to a comma. False for an open quote, or more behind the closing one.
 */
static bool take_value(struct slice *rest, struct hls_attribute *a)
{
    struct slice s = slice_trim(*rest);
    size_t end;

    a->quoted = s.size > 0 && s.data[0] == '"';
    if (a->quoted) {
        s = slice_skip(s, 1);
        end = slice_find(s, '"');
        if (end == s.size)
            return false;
        a->value = slice_make(s.data, end);
        *rest = slice_trim(slice_skip(s, end + 1));
        return rest->size == 0 || rest->data[0] == ',';
    }
    end = slice_find(s, ',');
    a->value = slice_trim(slice_make(s.data, end));
    *rest = slice_skip(s, end);
    return true;
}

enum hls_attribute_outcome hls_attributes_next(struct slice *rest, struct hls_attribute *ret_attribute)
{
    struct slice s = skip_space(*rest);
    struct hls_attribute a = {0};
    size_t size = 0;

    if (s.size == 0)
        return HLS_ATTRIBUTE_END;
    while (size < s.size && is_name_char(s.data[size]))
        size++;
    a.name = slice_make(s.data, size);
    s = slice_trim(slice_skip(s, size));
    if (size == 0 || s.size == 0 || s.data[0] != '=')
        return HLS_ATTRIBUTE_BAD;
    s = slice_skip(s, 1);
    if (!take_value(&s, &a))
        return HLS_ATTRIBUTE_BAD;
    *rest = s;
    *ret_attribute = a;
    return HLS_ATTRIBUTE_ONE;
}

/* The digits behind a point, as microseconds. */
static bool parse_fraction_us(struct slice digits, int64_t *ret_us)
{
    int64_t us = 0;

    for (size_t i = 0; i < digits.size || i < 6; i++) {
        char c = i < digits.size ? digits.data[i] : '0';
        if (c < '0' || c > '9')
            return false;
        if (i < 6)
            us = us * 10 + (c - '0');
    }
    *ret_us = us;
    return true;
}

bool hls_parse_duration_us(struct slice text, int64_t *ret_us)
{
    size_t point = slice_find(text, '.');
    uint64_t seconds = 0;
    int64_t fraction_us;

    if (text.size == 0 || (point == 0 && text.size == 1))
        return false;
    if (point > 0 && (!slice_to_u64(slice_make(text.data, point), &seconds) || seconds > SECONDS_MAX))
        return false;
    if (!parse_fraction_us(slice_skip(text, point + 1), &fraction_us))
        return false;
    *ret_us = (int64_t)seconds * US_PER_S + fraction_us;
    return true;
}

bool hls_parse_resolution(struct slice text, uint32_t *ret_width, uint32_t *ret_height)
{
    size_t x = slice_find(text, 'x');
    uint64_t width, height;

    if (!slice_to_u64(slice_make(text.data, x), &width) || !slice_to_u64(slice_skip(text, x + 1), &height))
        return false;
    if (width > UINT32_MAX || height > UINT32_MAX)
        return false;
    *ret_width = (uint32_t)width;
    *ret_height = (uint32_t)height;
    return true;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hls_parse_hex128(struct slice text, uint8_t ret_bytes[16])
{
    uint8_t bytes[16] = {0};

    if (text.size < 3 || text.size > 2 + 32 || text.data[0] != '0' || (text.data[1] | 0x20) != 'x')
        return false;
    for (size_t nibble = 0; nibble < text.size - 2; nibble++) { /* from the last one */
        int value = hex_value(text.data[text.size - 1 - nibble]);
        if (value < 0)
            return false;
        bytes[15 - nibble / 2] |= (uint8_t)(nibble % 2 ? value << 4 : value);
    }
    memcpy(ret_bytes, bytes, sizeof(bytes));
    return true;
}

/* Takes exactly `digits` digits and, unless it is 0, the byte behind them. */
static bool take_number(struct slice *rest, size_t digits, char behind, int *ret_value)
{
    uint64_t value;

    if (rest->size < digits || !slice_to_u64(slice_make(rest->data, digits), &value))
        return false;
    *rest = slice_skip(*rest, digits);
    if (behind) {
        if (rest->size == 0 || rest->data[0] != behind)
            return false;
        *rest = slice_skip(*rest, 1);
    }
    *ret_value = (int)value;
    return true;
}

/* "Z", "+hh:mm", "+hhmm", "+hh", or nothing. */
static bool parse_zone_s(struct slice text, int64_t *ret_offset_s)
{
    int hours = 0, minutes = 0;
    bool west;

    *ret_offset_s = 0;
    if (text.size == 0 || (text.size == 1 && (text.data[0] | 0x20) == 'z'))
        return true;
    west = text.data[0] == '-';
    if (!west && text.data[0] != '+')
        return false;
    text = slice_skip(text, 1);
    if (!take_number(&text, 2, 0, &hours))
        return false;
    if (text.size > 0 && text.data[0] == ':')
        text = slice_skip(text, 1);
    if (text.size > 0 && !take_number(&text, 2, 0, &minutes))
        return false;
    *ret_offset_s = (west ? -1 : 1) * (int64_t)(hours * 60 + minutes) * 60;
    return text.size == 0;
}

/* ".123" in front of the zone. */
static bool take_fraction_us(struct slice *rest, int64_t *ret_us)
{
    size_t size = 1;

    *ret_us = 0;
    if (rest->size == 0 || rest->data[0] != '.')
        return true;
    while (size < rest->size && rest->data[size] >= '0' && rest->data[size] <= '9')
        size++;
    if (!parse_fraction_us(slice_make(rest->data + 1, size - 1), ret_us))
        return false;
    *rest = slice_skip(*rest, size);
    return true;
}

bool hls_parse_datetime_ms(struct slice text, int64_t *ret_epoch_ms)
{
    struct http_civil c;
    int64_t epoch_s, fraction_us, zone_s;

    text = slice_trim(text);
    if (!take_number(&text, 4, '-', &c.year) || !take_number(&text, 2, '-', &c.month) ||
        !take_number(&text, 2, 'T', &c.day) || !take_number(&text, 2, ':', &c.hour) ||
        !take_number(&text, 2, ':', &c.minute) || !take_number(&text, 2, 0, &c.second))
        return false;
    if (!take_fraction_us(&text, &fraction_us) || !parse_zone_s(text, &zone_s))
        return false;
    if (!http_date_from_civil(&c, &epoch_s))
        return false;
    *ret_epoch_ms = (epoch_s - zone_s) * 1000 + fraction_us / 1000;
    return true;
}

bool hls_parse_byterange(struct slice text, struct hls_byterange *ret_range)
{
    size_t at = slice_find(text, '@');
    struct hls_byterange r = {.present = true, .has_offset = at < text.size};

    if (!slice_to_u64(slice_make(text.data, at), &r.length))
        return false;
    if (r.has_offset && !slice_to_u64(slice_skip(text, at + 1), &r.offset))
        return false;
    if (r.length > UINT64_MAX - 1 - r.offset)
        return false;
    *ret_range = r;
    return true;
}
