/* SPDX-License-Identifier: Apache-2.0 */
/* See purge_tags.h. */
#include "cache/purge_tags.h"

#include "reply.h"

static struct slice skip_spaces(struct slice s)
{
    while (s.size > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = slice_skip(s, 1);
    return s;
}

/* Behind the opening quote. *rest moves behind the closing one. */
static bool read_string(struct slice *rest, char *scratch, struct slice *ret_name)
{
    size_t size = 0, at = 0;
    bool has_escapes = false;
    for (; at < rest->size && rest->data[at] != '"'; at++) {
        unsigned char c = (unsigned char)rest->data[at];
        if (c == '\\') {
            has_escapes = true;
            if (++at == rest->size || (rest->data[at] != '"' && rest->data[at] != '\\'))
                return false;
        } else if (c < 0x20 || c > 0x7e) {
            return false;
        }
        if (size < PURGE_TAG_MAX)
            scratch[size++] = rest->data[at];
    }
    if (at == rest->size)
        return false;
    *ret_name = has_escapes ? slice_make(scratch, size) : slice_make(rest->data, at);
    *rest = slice_skip(*rest, at + 1);
    return true;
}

/* ";name=value" behind a member: they mean nothing here. A comma may stand in a quoted value. */
static struct slice skip_parameters(struct slice s)
{
    bool is_quoted = false;
    for (; s.size > 0 && (is_quoted || s.data[0] != ','); s = slice_skip(s, 1)) {
        if (s.data[0] == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && s.data[0] == '\\')
            s = slice_skip(s, 1);
    }
    return s;
}

enum purge_group purge_tags_group(struct slice *rest, char *scratch, struct slice *ret_name)
{
    struct slice s = skip_spaces(*rest);
    if (s.size == 0)
        return PURGE_GROUP_END;
    if (s.data[0] != '"')
        return PURGE_GROUP_BAD;
    s = slice_skip(s, 1);
    if (!read_string(&s, scratch, ret_name))
        return PURGE_GROUP_BAD;
    s = skip_spaces(s);
    if (s.size > 0 && s.data[0] == ';')
        s = skip_parameters(s);
    if (s.size > 0 && s.data[0] != ',')
        return PURGE_GROUP_BAD;
    struct slice behind = skip_spaces(slice_skip(s, 1));
    *rest = s.size > 0 && behind.size == 0 ? s : behind; /* a comma at the end is found bad the next time */
    return PURGE_GROUP;
}

void purge_tags_init(struct purge_tags *tags, struct slice stored_head)
{
    struct reply_stored stored;
    tags->lines[0] = tags->lines[1] = tags->value = SLICE_EMPTY;
    if (!reply_parse_stored(stored_head, &stored))
        return;
    tags->lines[0] = stored.fields;
    tags->lines[1] = stored.hidden;
}

static bool next_value(struct purge_tags *tags)
{
    struct http_field f;
    while (reply_stored_next(&tags->lines[0], &f) || reply_stored_next(&tags->lines[1], &f)) {
        tags->value = f.value;
        if (slice_equal_nocase(f.name, SLICE_LITERAL("surrogate-key")))
            tags->form = PURGE_TAGS_SPACES;
        else if (slice_equal_nocase(f.name, SLICE_LITERAL("cache-tag")))
            tags->form = PURGE_TAGS_COMMAS;
        else if (slice_equal_nocase(f.name, SLICE_LITERAL("cache-groups")))
            tags->form = PURGE_TAGS_GROUPS;
        else
            continue;
        return true;
    }
    tags->value = SLICE_EMPTY;
    return false;
}

bool purge_tags_next(struct purge_tags *tags, struct slice *ret_tag)
{
    for (;;) {
        while (tags->value.size == 0)
            if (!next_value(tags))
                return false;
        if (tags->form == PURGE_TAGS_GROUPS) {
            if (purge_tags_group(&tags->value, tags->scratch, ret_tag) == PURGE_GROUP)
                return true;
            tags->value = SLICE_EMPTY;
            continue;
        }
        struct slice part;
        slice_split(&tags->value, tags->form == PURGE_TAGS_SPACES ? ' ' : ',', &part);
        *ret_tag = slice_trim(part);
        if (ret_tag->size > 0)
            return true;
    }
}
