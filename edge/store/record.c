/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a record, written and judged. */
#include "store/record.h"

#include <errno.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fault.h"

#define FRONT_BODY_BYTES 4096u /* markers and names of representations are read with their heads */

#define RECORD_MAGIC 0x52454331u /* "REC1" */

struct record_header {
    uint32_t magic;
    uint32_t state; /* enum record_state */
    uint32_t sequence;
    uint32_t key_size;
    uint64_t offset_bytes; /* of this header: a record that strayed is not believed */
    uint64_t span_bytes;   /* to the next record */
    uint64_t hash_high, hash_low;
    uint64_t body_size_bytes;
    uint64_t body_sum;
    uint32_t body_distance_bytes; /* from the header */
    uint32_t head_size;
    uint64_t text_sum; /* of key text and head */
    int64_t generated_at_ms, fresh_until_ms;
    uint32_t stale_while_revalidate_s, stale_if_error_s;
    uint64_t total_size_bytes;
    uint16_t site_id;
    uint8_t content_class, flags;
    uint32_t purge_generation;
    uint64_t title;
    uint64_t order;
    uint32_t segment;
    uint16_t rendition;
    uint8_t kind, unused;
    uint64_t sum; /* hash_sum of all above */
};

_Static_assert(sizeof(struct record_header) == RECORD_HEADER_BYTES, "part of the format");
_Static_assert(offsetof(struct record_header, sum) == RECORD_HEADER_BYTES - 8, "no padding before the sum");

#define BODY_PAGE_ALIGNED_MIN \
    ((uint64_t)64 * 1024) /* from here on, sendfile of whole pages is worth the gap */

uint64_t record_body_alignment(uint64_t body_size_bytes)
{
    return body_size_bytes >= BODY_PAGE_ALIGNED_MIN ? 4096 : 64;
}

static uint64_t header_sum(const struct record_header *h)
{
    return hash_sum(h, offsetof(struct record_header, sum));
}

/* Two sums mixed: nothing to allocate, and a byte that moves from one to the other is seen by the sizes. */
static uint64_t text_sum(struct slice key_text, struct slice head)
{
    return hash_sum(key_text.data, key_text.size) * 31 + hash_sum(head.data, head.size);
}

int record_write(const struct record *r)
{
    const struct arena_extent *x = &r->extent;
    struct record_header h = {.magic = RECORD_MAGIC,
                              .state = r->state,
                              .sequence = x->place.sequence,
                              .key_size = (uint32_t)r->key.text.size,
                              .offset_bytes = x->place.offset_bytes,
                              .span_bytes = x->end_offset_bytes - x->place.offset_bytes,
                              .hash_high = r->key.hash.high,
                              .hash_low = r->key.hash.low,
                              .body_size_bytes = r->body_size_bytes,
                              .body_sum = r->body_sum,
                              .body_distance_bytes = (uint32_t)(x->body_offset_bytes - x->place.offset_bytes),
                              .head_size = (uint32_t)r->head.size,
                              .generated_at_ms = r->meta.generated_at_ms,
                              .fresh_until_ms = r->meta.fresh_until_ms,
                              .stale_while_revalidate_s = r->meta.stale_while_revalidate_s,
                              .stale_if_error_s = r->meta.stale_if_error_s,
                              .total_size_bytes = r->meta.total_size_bytes,
                              .site_id = r->meta.site_id,
                              .content_class = r->meta.content_class,
                              .flags = r->meta.flags,
                              .purge_generation = r->meta.purge_generation,
                              .segment = r->hint.segment,
                              .title = r->hint.title,
                              .order = r->order,
                              .rendition = r->hint.rendition,
                              .kind = r->hint.kind};
    h.text_sum = text_sum(r->key.text, r->head);
    h.sum = header_sum(&h);
    struct iovec parts[] = {
        {&h, sizeof(h)}, {(void *)r->key.text.data, r->key.text.size}, {(void *)r->head.data, r->head.size}};
    return region_write(x->region, x->place.offset_bytes, parts, ARRAY_COUNT(parts));
}

static bool header_is_sane(const struct record_header *h, const struct store_region *region,
                           const struct arena_place *place)
{
    return h->magic == RECORD_MAGIC && h->sum == header_sum(h) && h->state == RECORD_SEALED &&
           h->sequence == place->sequence && h->offset_bytes == place->offset_bytes &&
           h->span_bytes <= region->size_bytes - place->offset_bytes &&
           (uint64_t)h->body_distance_bytes + h->body_size_bytes <= h->span_bytes &&
           RECORD_HEADER_BYTES + (uint64_t)h->key_size + h->head_size <= h->body_distance_bytes;
}

/* The header at this place, if it is that of a sealed record. */
static const struct record_header *sealed_header(const struct store_region *region,
                                                 const struct arena_place *place)
{
    if (place->offset_bytes % 64 != 0 || place->offset_bytes > region->size_bytes - RECORD_HEADER_BYTES)
        return NULL;
    const struct record_header *h = (const struct record_header *)(region->map + place->offset_bytes);
    return header_is_sane(h, region, place) ? h : NULL;
}

enum record_found record_read(struct store_region *region, const struct arena_place *place,
                              const struct store_key *key, struct store_object *ret_object)
{
    const struct record_header *h = sealed_header(region, place);
    if (!h)
        return RECORD_DAMAGED;
    const char *at = (const char *)h;
    struct slice text = {at + sizeof(*h), h->key_size};
    if (h->hash_high != key->hash.high || h->hash_low != key->hash.low || !slice_equal(text, key->text))
        return RECORD_OTHER_KEY;
    struct slice head = {text.data + text.size, h->head_size};
    if (h->text_sum != text_sum(text, head))
        return RECORD_DAMAGED; /* of the head: the key has just been compared */
    *ret_object = (struct store_object){.region = region,
                                        .fd = region->fd,
                                        .body_offset_bytes = place->offset_bytes + h->body_distance_bytes,
                                        .body_size_bytes = h->body_size_bytes,
                                        .body = at + h->body_distance_bytes,
                                        .key_text = text,
                                        .head = head};
    return RECORD_OK;
}

bool record_examine(const struct store_region *region, const struct arena_place *place,
                    const uint8_t secret[HASH_SECRET_SIZE], struct record_seen *ret_seen)
{
    const struct record_header *h = sealed_header(region, place);
    if (!h)
        return false;
    struct hash128 hash = {h->hash_high, h->hash_low};
    struct slice text = {(const char *)h + sizeof(*h), h->key_size};
    if (!hash128_equal(hash, hash_key(secret, text)))
        return false;
    *ret_seen = (struct record_seen){
        .hash = hash,
        .key_text = text,
        .head = {text.data + text.size, h->head_size},
        .span_bytes = h->span_bytes,
        .body_bytes = h->body_size_bytes,
        .body_offset_bytes = place->offset_bytes + h->body_distance_bytes,
        .body_sum = h->body_sum,
        .order = h->order,
        .hint = {.title = h->title, .segment = h->segment, .rendition = h->rendition, .kind = h->kind},
        .meta = {.generated_at_ms = h->generated_at_ms,
                 .fresh_until_ms = h->fresh_until_ms,
                 .stale_while_revalidate_s = h->stale_while_revalidate_s,
                 .stale_if_error_s = h->stale_if_error_s,
                 .total_size_bytes = h->total_size_bytes,
                 .site_id = h->site_id,
                 .content_class = h->content_class,
                 .flags = h->flags,
                 .purge_generation = h->purge_generation}};
    return true;
}

uint64_t record_order(const struct store_region *region, const struct arena_place *place)
{
    const struct record_header *h = sealed_header(region, place);
    return h ? h->order : 0;
}

uint64_t record_front_bytes(const struct store_region *region, const struct arena_place *place)
{
    const struct record_header *h = sealed_header(region, place);
    if (!h)
        return RECORD_HEADER_BYTES;
    return h->body_distance_bytes +
           (h->body_size_bytes < FRONT_BODY_BYTES ? h->body_size_bytes : FRONT_BODY_BYTES);
}

bool record_verify(const struct store_region *region, const struct arena_place *place)
{
    const struct record_header *h = sealed_header(region, place);
    if (!h)
        return false;
    const char *text = (const char *)h + sizeof(*h);
    struct slice key_text = {text, h->key_size}, head = {text + h->key_size, h->head_size};
    return h->text_sum == text_sum(key_text, head) &&
           h->body_sum == hash_sum((const char *)h + h->body_distance_bytes, h->body_size_bytes);
}

static int read_file(const struct store_region *region, char *buffer, size_t size, uint64_t offset_bytes)
{
    if (FAULT("store.scrub_read"))
        return -EIO;
    while (size > 0) {
        ssize_t n = pread(region->fd, buffer, size, (off_t)offset_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EIO;
        buffer += n;
        size -= (size_t)n;
        offset_bytes += (uint64_t)n;
    }
    return 0;
}

static int sum_file(const struct store_region *region, uint64_t offset_bytes, uint64_t size, char *buffer,
                    uint64_t *ret_sum)
{
    struct hash_stream *sum = hash_stream_new();
    int rv = sum ? 0 : -ENOMEM;
    while (rv == 0 && size > 0) {
        size_t part = size < RECORD_READ_BYTES ? (size_t)size : RECORD_READ_BYTES;
        rv = read_file(region, buffer, part, offset_bytes);
        if (rv == 0)
            hash_stream_add(sum, buffer, part);
        offset_bytes += part;
        size -= part;
    }
    if (rv == 0)
        *ret_sum = hash_stream_value(sum);
    if (sum)
        hash_stream_free(sum);
    return rv;
}

int record_verify_file(const struct store_region *region, const struct arena_place *place, char *buffer)
{
    const struct record_header *found = sealed_header(region, place);
    if (!found)
        return -EBADMSG;
    struct record_header h = *found;
    size_t text_size = (size_t)h.key_size + h.head_size;
    uint64_t sum;
    if (text_size > RECORD_READ_BYTES)
        return -EBADMSG;
    int rv = read_file(region, buffer, text_size, place->offset_bytes + sizeof(h));
    if (rv < 0)
        return rv;
    if (h.text_sum != text_sum(slice_make(buffer, h.key_size), slice_make(buffer + h.key_size, h.head_size)))
        return -EBADMSG;
    rv = sum_file(region, place->offset_bytes + h.body_distance_bytes, h.body_size_bytes, buffer, &sum);
    return rv != 0 ? rv : h.body_sum == sum ? 0 : -EBADMSG;
}

int record_condemn(struct store_region *region, const struct arena_place *place, uint64_t span_bytes)
{
    struct record r = {.state = RECORD_ABANDONED,
                       .extent = {.region = region,
                                  .place = *place,
                                  .body_offset_bytes = place->offset_bytes + RECORD_HEADER_BYTES,
                                  .end_offset_bytes = place->offset_bytes + span_bytes}};
    return record_write(&r);
}
