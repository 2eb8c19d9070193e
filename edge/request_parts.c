/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several ranges in one response (RFC 9110 section 14.6): multipart/byteranges. Bounded in number, and taken
 * only in ascending order without overlaps, so that it never costs more than the whole; anything else gets
 * the whole. The parts' own lines stand in memory between the bytes, which come as those of a single range
 * do.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "request_private.h"

#define TYPE_SIZE_MAX 128 /* of a Content-Type that is repeated in each part */

struct request_parts {
    size_t count, next;
    uint64_t first[HTTP_RANGE_MAX], last[HTTP_RANGE_MAX];
    uint64_t total_bytes;
    char boundary[2 * HASH_SECRET_SIZE + 1];
    struct slice type; /* in type_text; data NULL: none */
    char type_text[TYPE_SIZE_MAX];
    struct buf text; /* to be sent before the bytes of the current range */
    size_t sent;     /* of it */
};

void request_parts_free(struct request *r)
{
    if (!r->parts)
        return;
    buf_fini(&r->parts->text);
    free(r->parts);
    r->parts = NULL;
}

/* The lines before part `i`; behind the last part, the end. */
static void write_lines(const struct request_parts *p, size_t i, struct buf *out)
{
    buf_printf(out, "%s--%s%s\r\n", i > 0 ? "\r\n" : "", p->boundary, i == p->count ? "--" : "");
    if (i == p->count)
        return;
    if (p->type.data)
        buf_printf(out, "Content-Type: %.*s\r\n", SLICE_ARG(p->type));
    buf_printf(out, "Content-Range: bytes %llu-%llu/%llu\r\n\r\n", (unsigned long long)p->first[i],
               (unsigned long long)p->last[i], (unsigned long long)p->total_bytes);
}

static uint64_t size_of(struct request_parts *p)
{
    uint64_t size = 0;
    for (size_t i = 0; i <= p->count; i++) {
        buf_clear(&p->text);
        write_lines(p, i, &p->text);
        size += p->text.size;
        if (i < p->count)
            size += p->last[i] - p->first[i] + 1;
    }
    buf_clear(&p->text);
    return size;
}

static void start_part(struct request *r)
{
    struct request_parts *p = r->parts;
    bool is_end = p->next == p->count;
    buf_clear(&p->text);
    write_lines(p, p->next, &p->text);
    p->sent = 0;
    r->position_bytes = is_end ? 0 : p->first[p->next];
    r->end_bytes = is_end ? 0 : p->last[p->next] + 1;
    p->next++;
}

/* Those that are satisfiable; false: not in ascending order. */
static bool resolve(struct request_parts *p, const struct range_spec *specs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!http_range_resolve(&specs[i], p->total_bytes, &p->first[p->count], &p->last[p->count]))
            continue;
        if (p->count > 0 && p->first[p->count] <= p->last[p->count - 1])
            return false;
        p->count++;
    }
    return true;
}

enum request_extent request_parts_choose(struct request *r, struct slice fields, uint64_t *ret_size)
{
    struct range_spec specs[HTTP_RANGE_MAX];
    size_t count;
    uint8_t random[HASH_SECRET_SIZE];
    if (http_range_parse(http_head_get(r->x->request, "range"), specs, r->env->config->limits.ranges_max,
                         &count) != RANGE_OK)
        return EXTENT_WHOLE;
    struct request_parts *p = r->parts = calloc(1, sizeof(*p));
    if (!p)
        return EXTENT_WHOLE;
    buf_init(&p->text, 1024);
    p->total_bytes = r->total_bytes;
    bool is_ascending = resolve(p, specs, count);
    if (!is_ascending || p->count < 2) {
        enum request_extent extent = !is_ascending ? EXTENT_WHOLE : p->count ? EXTENT_ONE : EXTENT_NONE;
        r->range = (struct range_spec){.first = p->first[0], .last = p->last[0]};
        request_parts_free(r);
        return extent;
    }
    hash_secret_new(random);
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(p->boundary + 2 * i, 3, "%02x", random[i]);
    struct slice type = reply_stored_get(fields, "content-type");
    if (type.data && type.size <= sizeof(p->type_text)) {
        memcpy(p->type_text, type.data, type.size);
        p->type = slice_make(p->type_text, type.size);
    }
    *ret_size = size_of(p);
    start_part(r);
    return EXTENT_PARTS;
}

const char *request_parts_boundary(const struct request *r)
{
    return r->parts->boundary;
}

bool request_parts_send(struct request *r)
{
    struct request_parts *p = r->parts;
    struct span span = {.fd = -1, .data = p->text.data + p->sent, .size = p->text.size - p->sent};
    if (span.size == 0)
        return true;
    ssize_t sent = exchange_send(r->x, &span);
    if (sent > 0)
        p->sent += (size_t)sent;
    return sent == (ssize_t)span.size;
}

bool request_parts_next(struct request *r)
{
    if (r->parts->next > r->parts->count)
        return false;
    start_part(r);
    return true;
}
