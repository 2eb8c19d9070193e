/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a trace: two formats, and the numbering of the objects. */
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

#define RECORD_BYTES 24u

struct record {
    uint64_t time_us, key;
    uint32_t size_bytes, session;
};

_Static_assert(sizeof(struct record) == RECORD_BYTES, "as it stands in the file");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are read as they are");

/* Open addressing from key to object; doubled when half full. */
struct numbers {
    uint32_t *slots; /* object + 1, or 0 */
    uint64_t mask;
};

struct reader {
    struct trace trace;
    struct numbers numbers;
    uint32_t requests_max, objects_max;
};

static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 31)) * 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
}

static void numbers_put(struct numbers *n, const struct trace_object *objects, uint32_t object)
{
    uint64_t i = mix(objects[object].key) & n->mask;
    while (n->slots[i])
        i = (i + 1) & n->mask;
    n->slots[i] = object + 1;
}

static bool numbers_grow(struct numbers *n, const struct trace *t)
{
    struct numbers bigger = {.mask = n->slots ? 2 * n->mask + 1 : (1u << 16) - 1};
    bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
    if (!bigger.slots)
        return false;
    for (uint32_t i = 0; i < t->object_count; i++)
        numbers_put(&bigger, t->objects, i);
    free(n->slots);
    *n = bigger;
    return true;
}

/* Room for one more in an array that doubles. */
static bool make_room(void **array, size_t element_bytes, uint32_t count, uint32_t *max)
{
    if (count < *max)
        return true;
    uint32_t wanted = *max ? 2 * *max : 1u << 16;
    void *bigger = wanted > *max ? realloc(*array, wanted * element_bytes) : NULL;
    if (!bigger)
        return false;
    *array = bigger;
    *max = wanted;
    return true;
}

/* The number of the key's object, a new one if need be; TRACE_NEVER when memory is out. */
static uint32_t object_of(struct reader *r, const struct record *record)
{
    struct trace *t = &r->trace;
    if (!r->numbers.slots || 2 * (uint64_t)t->object_count > r->numbers.mask)
        if (!numbers_grow(&r->numbers, t))
            return TRACE_NEVER;
    for (uint64_t i = mix(record->key) & r->numbers.mask; r->numbers.slots[i]; i = (i + 1) & r->numbers.mask)
        if (t->objects[r->numbers.slots[i] - 1].key == record->key)
            return r->numbers.slots[i] - 1;
    if (!make_room((void **)&t->objects, sizeof(*t->objects), t->object_count, &r->objects_max))
        return TRACE_NEVER;
    t->objects[t->object_count] = (struct trace_object){record->key, record->size_bytes};
    t->footprint_bytes += record->size_bytes;
    numbers_put(&r->numbers, t->objects, t->object_count);
    return t->object_count++;
}

static int add(struct reader *r, const struct record *record)
{
    struct trace *t = &r->trace;
    uint32_t object = object_of(r, record);
    if (object == TRACE_NEVER ||
        !make_room((void **)&t->requests, sizeof(*t->requests), t->request_count, &r->requests_max))
        return -ENOMEM;
    REQUIRE(t->objects);
    t->requests[t->request_count++] = (struct trace_request){record->time_us, object, record->session};
    t->requested_bytes += t->objects[object].size_bytes;
    return 0;
}

static int read_records(struct reader *r, const char *data, size_t size)
{
    int rv = 0;
    for (; rv == 0 && size >= RECORD_BYTES; data += RECORD_BYTES, size -= RECORD_BYTES) {
        struct record record;
        memcpy(&record, data, sizeof(record));
        rv = add(r, &record);
    }
    if (rv == 0 && size != 0)
        fprintf(stderr, "trace: %zu bytes behind the last whole record are left out\n", size);
    return rv;
}

static bool parse_line(const char *line, struct record *ret_record)
{
    char *end;
    struct record r = {.time_us = strtoull(line, &end, 10)};
    if (end == line || *end != ',')
        return false;
    const char *key = end + 1, *comma = key + strcspn(key, ",\n");
    if (*comma != ',')
        return false;
    r.key = strtoull(key, &end, 0);
    if (end != comma)
        r.key = hash_sum(key, (size_t)(comma - key));
    r.size_bytes = (uint32_t)strtoul(comma + 1, &end, 10);
    if (end == comma + 1)
        return false;
    if (*end == ',')
        r.session = (uint32_t)strtoul(end + 1, &end, 10);
    *ret_record = r;
    return true;
}

/* `data` ends with a zero byte. */
static int read_lines(struct reader *r, const char *data)
{
    int rv = 0;
    for (unsigned number = 1; rv == 0 && *data != '\0'; number++) {
        struct record record;
        size_t line_size = strcspn(data, "\n");
        if (parse_line(data, &record)) {
            rv = add(r, &record);
        } else if (number > 1 && line_size > 0) { /* the first may be a heading */
            fprintf(stderr, "trace: line %u is not time_us,key,size,session\n", number);
            rv = -EINVAL;
        }
        data += line_size + (data[line_size] == '\n');
    }
    return rv;
}

/* All of it, and a zero byte. */
static int slurp(FILE *file, char **ret_data, size_t *ret_size)
{
    size_t size = 0, max = 1u << 20, got;
    char *data = malloc(max);
    while (data && (got = fread(data + size, 1, max - size - 1, file)) > 0) {
        size += got;
        if (max - size > max / 2)
            continue;
        char *bigger = realloc(data, 2 * max);
        if (!bigger)
            free(data);
        data = bigger;
        max *= 2;
    }
    if (!data)
        return -ENOMEM;
    data[size] = '\0';
    *ret_data = data;
    *ret_size = size;
    return ferror(file) ? -EIO : 0;
}

/* A record has a zero byte at the top of its time; text has none. */
static bool is_text(const char *data, size_t size)
{
    return memchr(data, '\0', size < RECORD_BYTES ? size : RECORD_BYTES) == NULL;
}

static uint64_t title_of(const struct trace *t, uint32_t object)
{
    return t->objects[object].key >> 32;
}

int trace_read(FILE *file, struct trace *ret_trace)
{
    struct reader r = {.requests_max = 0};
    char *data = NULL;
    size_t size = 0;
    int rv = slurp(file, &data, &size);
    if (rv == 0)
        rv = is_text(data, size) ? read_lines(&r, data) : read_records(&r, data, size);
    if (rv == 0 && r.trace.request_count == 0) {
        fprintf(stderr, "trace: there is nothing in it\n");
        rv = -EINVAL;
    }
    free(data);
    free(r.numbers.slots);
    if (rv < 0) {
        trace_free(&r.trace);
        return rv;
    }
    for (uint32_t i = 1; i < r.trace.object_count && !r.trace.has_structure; i++)
        r.trace.has_structure = title_of(&r.trace, i) != title_of(&r.trace, 0);
    *ret_trace = r.trace;
    return 0;
}

void trace_free(struct trace *t)
{
    free(t->requests);
    free(t->objects);
    *t = (struct trace){.requests = NULL};
}

uint32_t *trace_next_uses(const struct trace *t)
{
    uint32_t *next = malloc(t->request_count * sizeof(*next));
    uint32_t *seen = malloc(t->object_count * sizeof(*seen));
    if (next && seen) {
        memset(seen, 0xff, t->object_count * sizeof(*seen));
        for (uint32_t i = t->request_count; i-- > 0;) {
            next[i] = seen[t->requests[i].object];
            seen[t->requests[i].object] = i;
        }
        free(seen);
        return next;
    }
    free(next);
    free(seen);
    return NULL;
}
