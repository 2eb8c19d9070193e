/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON writer (RFC 8259). What a viewer sent may stand in a string, so bytes that are not UTF-8 are
 * replaced: the output is always valid.
 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>

#include "base/check.h"

void json_init(struct json *j, struct buf *out)
{
    *j = (struct json){.out = out};
}

static void write_escaped(struct buf *out, char c)
{
    switch (c) {
    case '"': buf_append_text(out, "\\\""); break;
    case '\\': buf_append_text(out, "\\\\"); break;
    case '\n': buf_append_text(out, "\\n"); break;
    case '\r': buf_append_text(out, "\\r"); break;
    case '\t': buf_append_text(out, "\\t"); break;
    default: buf_printf(out, "\\u%04x", (unsigned)(unsigned char)c); break;
    }
}

static bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

static void write_string(struct buf *out, struct slice s)
{
    buf_append_char(out, '"');
    while (s.size > 0) {
        size_t plain = 0, sequence;

        while (plain < s.size && is_plain(s.data[plain]))
            plain++;
        buf_append(out, s.data, plain);
        s = slice_skip(s, plain);
        if (s.size == 0)
            break;
        sequence = slice_utf8_sequence(s);
        if (sequence > 1)
            buf_append(out, s.data, sequence);
        else if (sequence == 1)
            write_escaped(out, s.data[0]);
        else
            buf_append_text(out, "\xef\xbf\xbd");
        s = slice_skip(s, size_max(sequence, 1));
    }
    buf_append_char(out, '"');
}

/* What stands before a value: a comma, and in an object its name. */
static void begin_value(struct json *j, const char *name)
{
    if (j->comma)
        buf_append_char(j->out, ',');
    j->comma = true;
    if (name) {
        write_string(j->out, slice_of(name));
        buf_append_char(j->out, ':');
    }
}

void json_open(struct json *j, const char *name, char bracket)
{
    CHECK(bracket == '{' || bracket == '[');
    begin_value(j, name);
    buf_append_char(j->out, bracket);
    j->comma = false;
}

void json_close(struct json *j, char bracket)
{
    CHECK(bracket == '}' || bracket == ']');
    buf_append_char(j->out, bracket);
    j->comma = true;
}

void json_text(struct json *j, const char *name, struct slice value)
{
    begin_value(j, name);
    write_string(j->out, value);
}

void json_u64(struct json *j, const char *name, uint64_t value)
{
    begin_value(j, name);
    buf_append_u64(j->out, value);
}

void json_i64(struct json *j, const char *name, int64_t value)
{
    begin_value(j, name);
    if (value < 0)
        buf_append_char(j->out, '-');
    buf_append_u64(j->out, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

void json_double(struct json *j, const char *name, double value)
{
    if (!isfinite(value)) { /* JSON has no word for these */
        json_null(j, name);
        return;
    }
    begin_value(j, name);
    buf_printf(j->out, "%.15g", value);
}

void json_bool(struct json *j, const char *name, bool value)
{
    begin_value(j, name);
    buf_append_text(j->out, value ? "true" : "false");
}

void json_null(struct json *j, const char *name)
{
    begin_value(j, name);
    buf_append_text(j->out, "null");
}
