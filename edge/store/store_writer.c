/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing one object.
 *
 *   reserve ─► write ... ─► seal      header with sums, then the index entry: from here on it is found
 *                 └───────► abandon   what was not written is given back; what was, may have been served
 *
 * A transient writer goes the same way, and ends with nothing in the index.
 */
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fault.h"
#include "store/record.h"
#include "store/store_private.h"

struct store_writer {
    /* fixed */
    struct store *store;
    struct disk *disk;          /* on which it is kept; NULL: transient */
    struct arena_extent extent; /* of a transient writer: region and body offset only */
    size_t head_size_max;
    uint64_t body_size_max;
    struct store_hint hint;

    struct hash_stream *sum; /* of the body so far */
    uint64_t written_bytes;
    bool has_failed;
};

static int reserve_kept(struct disk *d, const struct store_reservation *want, struct store_writer *w)
{
    uint64_t alignment = record_body_alignment(want->body_size_bytes);
    uint64_t prefix = RECORD_HEADER_BYTES + want->head_size_max, half = d->options.region_bytes / 2;
    if (want->body_size_bytes > half || prefix + want->body_size_bytes + alignment > half)
        return -EFBIG;
    struct worth_object o = {
        .id = want->hash.low, .size_bytes = prefix + want->body_size_bytes, .hint = want->hint};
    unsigned stream = worth_stream(d->worth, &o, false, (int64_t)clock_monotonic_ms());
    int rv = arena_reserve(d->arena, stream, prefix, want->body_size_bytes, alignment, &w->extent);
    if (rv < 0)
        return rv;
    struct record r = {.state = RECORD_RESERVED, .extent = w->extent};
    rv = record_write(&r);
    if (rv == 0) {
        w->disk = d;
        return 0;
    }
    counter_add_shared(&d->io_errors, 1);
    arena_trim(d->arena, &w->extent, w->extent.place.offset_bytes);
    arena_finish(d->arena, &w->extent);
    region_unref(w->extent.region);
    return rv;
}

static int reserve_transient(struct store *s, const struct store_reservation *want, struct store_writer *w)
{
    w->extent = (struct arena_extent){.region = NULL};
    return transient_new(&s->transient, want->body_size_bytes ? want->body_size_bytes : 1, &w->extent.region);
}

/* On the disk if that is wanted and can be; a disk that fails, or whose regions are all held, is done
 * without. */
static int reserve_room(struct store *s, const struct store_reservation *want, struct store_writer *w)
{
    size_t owner = want->transient ? s->disk_count : store_owner(s, want->hash);
    struct disk *d = owner < s->disk_count ? store_disk_at(s, owner) : NULL;
    int rv = d ? reserve_kept(d, want, w) : -ENOBUFS;
    if (d && (rv == 0 || rv == -EFBIG))
        return rv;
    int transient_rv = reserve_transient(s, want, w);
    return transient_rv < 0 && d ? rv : transient_rv;
}

static void writer_free(struct store_writer *w)
{
    hash_stream_free(w->sum);
    free(w);
}

int store_reserve(struct store *s, const struct store_reservation *want, struct store_writer **ret_writer)
{
    if (!CHECK(want->head_size_max <= STORE_KEY_TEXT_MAX + STORE_HEAD_MAX))
        return -EINVAL;
    struct store_writer *w = FAULT("memory") ? NULL : calloc(1, sizeof(*w));
    if (!w)
        return -ENOMEM;
    w->store = s;
    w->head_size_max = want->head_size_max;
    w->body_size_max = want->body_size_bytes;
    w->hint = want->hint;
    w->sum = hash_stream_new();
    int rv = w->sum ? reserve_room(s, want, w) : -ENOMEM;
    if (rv < 0)
        writer_free(w);
    else
        *ret_writer = w;
    return rv;
}

bool store_writer_is_kept(const struct store_writer *w)
{
    return w->disk != NULL;
}

int store_write(struct store_writer *w, const void *data, size_t size)
{
    if (w->has_failed)
        return -EIO;
    if (size > w->body_size_max - w->written_bytes) {
        w->has_failed = true;
        return -ENOSPC;
    }
    struct iovec part = {(void *)data, size};
    int rv = region_write(w->extent.region, w->extent.body_offset_bytes + w->written_bytes, &part, 1);
    if (rv < 0) {
        if (w->disk)
            counter_add_shared(&w->disk->io_errors, 1);
        w->has_failed = true;
        return rv;
    }
    if (w->disk)
        hash_stream_add(w->sum, data, size);
    w->written_bytes += size;
    return 0;
}

void store_writer_view(struct store_writer *w, struct store_object *ret_object)
{
    struct store_region *region = w->extent.region;
    region_ref(region);
    *ret_object = (struct store_object){.region = region,
                                        .fd = region->fd,
                                        .body_offset_bytes = w->extent.body_offset_bytes,
                                        .body_size_bytes = w->body_size_max,
                                        .body = region->map + w->extent.body_offset_bytes,
                                        .key_text = SLICE_EMPTY,
                                        .head = SLICE_EMPTY};
}

static uint64_t body_end(const struct store_writer *w)
{
    uint64_t end = w->extent.body_offset_bytes + w->written_bytes;
    return (end + 63) / 64 * 64;
}

/* The last of a writer, whatever became of it. */
static void writer_finish(struct store_writer *w)
{
    if (w->disk)
        arena_finish(w->disk->arena, &w->extent);
    region_unref(w->extent.region);
    writer_free(w);
}

/* What was written may have been served, so only what is behind it is given back; the rest stays as waste. */
static void abandon_kept(struct store_writer *w)
{
    struct disk *d = w->disk;
    struct record r = {.state = RECORD_ABANDONED};
    uint64_t begin = w->extent.place.offset_bytes;
    arena_trim(d->arena, &w->extent, w->written_bytes ? body_end(w) : begin);
    counter_add_shared(&d->wasted_bytes, w->extent.end_offset_bytes - begin);
    r.extent = w->extent;
    if (w->extent.end_offset_bytes > begin && record_write(&r) < 0)
        counter_add_shared(&d->io_errors, 1);
}

void store_abandon(struct store_writer *w)
{
    if (!w)
        return;
    if (w->disk)
        abandon_kept(w);
    writer_finish(w);
}

static int seal_kept(struct store_writer *w, const struct store_key *key, struct slice head,
                     const struct store_meta *meta)
{
    struct disk *d = w->disk;
    struct store_key own = disk_key(d, key);
    struct store_meta own_meta = disk_meta(d, meta);
    arena_trim(d->arena, &w->extent, body_end(w));
    struct record r = {.state = RECORD_SEALED,
                       .extent = w->extent,
                       .key = own,
                       .head = head,
                       .meta = own_meta,
                       .hint = w->hint,
                       .order = arena_next_order(d->arena),
                       .body_size_bytes = w->written_bytes,
                       .body_sum = hash_stream_value(w->sum)};
    int rv = record_write(&r);
    uint64_t used = w->written_bytes + key->text.size + head.size;
    uint64_t taken = w->extent.end_offset_bytes - w->extent.place.offset_bytes;
    if (rv < 0) {
        counter_add_shared(&d->io_errors, 1);
        counter_add_shared(&d->wasted_bytes, taken);
        return rv;
    }
    struct worth_object o = {.id = own.hash.low, .size_bytes = taken, .hint = w->hint};
    index_insert(d->index, own.hash, &w->extent.place, taken, &own_meta);
    worth_stored(d->worth, w->extent.place.slot, &o, (int64_t)clock_monotonic_ms());
    store_forget_elsewhere(w->store, d, key);
    counter_add_shared(&d->written_bytes, used);
    counter_add_shared(&d->wasted_bytes, taken - used);
    return 0;
}

int store_seal(struct store_writer *w, const struct store_key *key, struct slice head,
               const struct store_meta *meta)
{
    if (!CHECK(!w->has_failed) ||
        !CHECK(key->text.size <= STORE_KEY_TEXT_MAX && head.size <= STORE_HEAD_MAX) ||
        !CHECK(!w->disk || key->text.size + head.size <= w->head_size_max)) {
        store_abandon(w);
        return -EINVAL;
    }
    int rv = w->disk ? seal_kept(w, key, head, meta) : 0;
    writer_finish(w);
    return rv;
}
