/* SPDX-License-Identifier: Apache-2.0 */
/* The entries and buckets of the index, and the file they stand in. */
#include "store/index.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/counter.h"
#include "base/guard.h"
#include "base/log.h"
#include "store/folder.h"
#include "store/prefetch.h"
#include "store/superblock.h"

#define BUCKET_ENTRIES 8u
#define PLACES         (2 * BUCKET_ENTRIES) /* where an entry may stand */
#define SHARDS         64u
#define HEAD_BYTES     4096u
#define OFFSET_UNIT    64u /* records begin on multiples of it, so that 32 bits hold an offset */

static const char index_magic[8] = "SHOREIDX";

struct index_entry {
    uint64_t hash_high, hash_low;
    uint32_t sum;      /* low half of hash_sum of the rest, with this field 0: a torn entry is free */
    uint32_t sequence; /* 0: free */
    uint32_t offset;   /* in units */
    uint16_t slot;
    uint16_t purge_generation_low;
    int64_t generated_at_ms : 48; /* until the year 6429 */
    uint64_t site_id : 16;
    int64_t fresh_until_ms : 48;
    uint64_t content_class : 8;
    uint64_t flags : 8;
    uint64_t stale_while_revalidate_s : 24;
    uint64_t stale_if_error_s : 24;
    uint64_t span : 16; /* span_pack: of the record */
    uint64_t total_size_bytes : 48;
    uint64_t purge_generation_high : 16;
};

struct index_bucket {
    struct index_entry entries[BUCKET_ENTRIES];
};

_Static_assert(sizeof(struct index_entry) == 64, "a cache line");
_Static_assert(sizeof(struct index_bucket) == INDEX_BUCKET_BYTES, "as said to others");
_Static_assert(SUPERBLOCK_REGIONS_MAX <= UINT16_MAX, "a slot fits into an entry");

struct index_head {
    char magic[8];
    uint32_t version, byte_order;
    uint64_t arena_id;
    uint64_t bucket_count;
    uint64_t sum; /* hash_sum of all above */
};

struct index_shard {
    pthread_mutex_t mutex;
    uint64_t counted_rows; /* the bytes of entries in its first buckets are counted; under the mutex */
    counter_t displaced;   /* written under the mutex */
} __attribute__((aligned(64)));

struct index {
    struct index_shard shards[SHARDS];
    struct arena *arena;
    struct index_head *head; /* the map */
    struct index_bucket *buckets;
    uint64_t bucket_count; /* a multiple of SHARDS: each has one in a row of them */
    uint64_t next_row;     /* to be counted; of one thread */
    size_t map_bytes;
    _Atomic bool is_lost;
};

/* ---- entries ---- */

static uint32_t entry_sum(const struct index_entry *e)
{
    struct index_entry copy = *e;
    copy.sum = 0;
    return (uint32_t)hash_sum(&copy, sizeof(copy));
}

static int64_t clamp_48(int64_t value)
{
    const int64_t max = (INT64_C(1) << 47) - 1;
    return value > max ? max : value < -max ? -max : value;
}

static uint64_t clamp_size(uint64_t value)
{
    const uint64_t max = (UINT64_C(1) << 48) - 1;
    return value > max ? max : value;
}

static uint32_t clamp_24(uint32_t value)
{
    const uint32_t max = (1u << 24) - 1;
    return value > max ? max : value;
}

/* Sizes in units of 64 bytes, rounded to 11 bits: good to a thousandth, and the same whenever it is asked. */
static uint16_t span_pack(uint64_t span_bytes)
{
    uint64_t units = span_bytes / OFFSET_UNIT;
    unsigned exponent = 0;
    for (; units > 2047; exponent++)
        units = (units + 1) / 2;
    return (uint16_t)(exponent << 11 | units);
}

static uint64_t span_unpack(uint16_t span)
{
    return (uint64_t)(span & 2047u) << (span >> 11) << 6;
}

static struct index_entry entry_make(struct hash128 hash, const struct arena_place *place, uint16_t span,
                                     const struct store_meta *meta)
{
    struct index_entry e = {.hash_high = hash.high,
                            .hash_low = hash.low,
                            .sequence = place->sequence,
                            .offset = (uint32_t)(place->offset_bytes / OFFSET_UNIT),
                            .slot = (uint16_t)place->slot,
                            .generated_at_ms = clamp_48(meta->generated_at_ms),
                            .site_id = meta->site_id,
                            .fresh_until_ms = clamp_48(meta->fresh_until_ms),
                            .content_class = meta->content_class,
                            .flags = meta->flags,
                            .stale_while_revalidate_s = clamp_24(meta->stale_while_revalidate_s),
                            .stale_if_error_s = clamp_24(meta->stale_if_error_s),
                            .span = span,
                            .total_size_bytes = clamp_size(meta->total_size_bytes),
                            .purge_generation_low = (uint16_t)meta->purge_generation,
                            .purge_generation_high = meta->purge_generation >> 16};
    e.sum = entry_sum(&e);
    return e;
}

static struct arena_place entry_place(const struct index_entry *e)
{
    return (struct arena_place){e->slot, e->sequence, (uint64_t)e->offset * OFFSET_UNIT};
}

static uint32_t entry_purge_generation(const struct index_entry *e)
{
    return (uint32_t)e->purge_generation_high << 16 | e->purge_generation_low;
}

static void entry_meta(const struct index_entry *e, struct store_meta *ret_meta)
{
    *ret_meta = (struct store_meta){.generated_at_ms = e->generated_at_ms,
                                    .fresh_until_ms = e->fresh_until_ms,
                                    .stale_while_revalidate_s = e->stale_while_revalidate_s,
                                    .stale_if_error_s = e->stale_if_error_s,
                                    .total_size_bytes = e->total_size_bytes,
                                    .purge_generation = entry_purge_generation(e),
                                    .site_id = (uint16_t)e->site_id,
                                    .content_class = (uint8_t)e->content_class,
                                    .flags = (uint8_t)e->flags};
}

static bool entry_is_at(const struct index_entry *e, const struct arena_place *place)
{
    struct arena_place at = entry_place(e);
    return at.slot == place->slot && at.sequence == place->sequence && at.offset_bytes == place->offset_bytes;
}

static bool entry_is_live(const struct index *ix, const struct index_entry *e)
{
    struct arena_place place = entry_place(e);
    return arena_has(ix->arena, &place) && e->sum == entry_sum(e);
}

/* ---- finding a place, under the mutex of the shard ---- */

static struct index_shard *shard_of(struct index *ix, struct hash128 hash)
{
    return &ix->shards[hash.low & (SHARDS - 1)];
}

static struct index_bucket *bucket_of(const struct index *ix, struct hash128 hash, unsigned which)
{
    uint64_t half = (which == 0 ? hash.low : hash.high) >> 32;
    return &ix->buckets[(half * (ix->bucket_count / SHARDS) >> 32) * SHARDS + (hash.low & (SHARDS - 1))];
}

/* The i-th place to look for this hash, nearest first. There are two buckets for a hash, of one shard, and it
 * begins anywhere in them: a hit mostly costs one cache line, and next to nothing is displaced before the
 * index is full. Buckets of a shard stand SHARDS apart; which ones, the upper halves of the hash say, scaled
 * to how many there are. */
static struct index_entry *entry_at(struct index *ix, struct hash128 hash, unsigned i)
{
    return &bucket_of(ix, hash, i / BUCKET_ENTRIES)->entries[(hash.high + i) % BUCKET_ENTRIES];
}

static bool entry_has_hash(const struct index_entry *e, struct hash128 hash)
{
    return e->hash_low == hash.low && e->hash_high == hash.high && e->sequence != 0;
}

static struct index_entry *entry_find(struct index *ix, struct hash128 hash)
{
    for (unsigned i = 0; i < PLACES; i++) {
        struct index_entry *e = entry_at(ix, hash, i);
        if (entry_has_hash(e, hash))
            return e->sum == entry_sum(e) ? e : NULL;
    }
    return NULL;
}

/* Where a new entry goes: over the one of this hash, to the first free place, or over the entry of the oldest
 * region. *ret_is_live when a live entry gives way. */
static struct index_entry *entry_choose(struct index *ix, struct hash128 hash, bool *ret_is_live)
{
    struct index_entry *oldest = NULL, *gone = NULL;
    for (unsigned i = 0; i < PLACES; i++) {
        struct index_entry *e = entry_at(ix, hash, i);
        bool is_live = entry_is_live(ix, e);
        if (entry_has_hash(e, hash)) {
            *ret_is_live = is_live;
            return e;
        }
        if (!is_live)
            gone = gone ? gone : e;
        else if (!oldest || e->sequence < oldest->sequence)
            oldest = e;
    }
    *ret_is_live = !gone;
    return gone ? gone : oldest;
}

bool index_find(struct index *ix, struct hash128 hash, struct index_hit *ret_hit)
{
    struct index_shard *shard = shard_of(ix, hash);
    struct index_hit hit = {.region = NULL};
    pthread_mutex_lock(&shard->mutex);
    const struct index_entry *e = entry_find(ix, hash);
    if (e) {
        hit.place = entry_place(e);
        hit.region = arena_ref(ix->arena, &hit.place);
        entry_meta(e, &hit.meta);
    }
    pthread_mutex_unlock(&shard->mutex);
    if (!hit.region)
        return false;
    *ret_hit = hit;
    return true;
}

/* What stands in the entry, one more or one less. */
static void count(struct index *ix, const struct index_shard *shard, const struct index_entry *e, int change)
{
    uint64_t row = (uint64_t)((const struct index_bucket *)e - ix->buckets) / SHARDS;
    struct arena_place place = entry_place(e);
    arena_count_object(ix->arena, &place, e->site_id, row < shard->counted_rows ? span_unpack(e->span) : 0,
                       change);
}

static void insert_locked(struct index *ix, struct index_shard *shard, struct hash128 hash,
                          const struct arena_place *place, uint64_t span_bytes, const struct store_meta *meta)
{
    bool gives_way;
    struct index_entry *e = entry_choose(ix, hash, &gives_way);
    if (gives_way) {
        count(ix, shard, e, -1);
        if (!entry_has_hash(e, hash))
            counter_add(&shard->displaced, 1);
    }
    *e = entry_make(hash, place, span_pack(span_bytes), meta);
    count(ix, shard, e, 1);
}

void index_insert(struct index *ix, struct hash128 hash, const struct arena_place *place, uint64_t span_bytes,
                  const struct store_meta *meta)
{
    struct index_shard *shard = shard_of(ix, hash);
    REQUIRE(place->offset_bytes % OFFSET_UNIT == 0);
    pthread_mutex_lock(&shard->mutex);
    insert_locked(ix, shard, hash, place, span_bytes, meta);
    pthread_mutex_unlock(&shard->mutex);
}

static bool place_locked(struct index *ix, struct hash128 hash, struct arena_place *ret_place)
{
    const struct index_entry *e = entry_find(ix, hash);
    if (!e)
        return false;
    *ret_place = entry_place(e);
    return arena_has(ix->arena, ret_place);
}

bool index_place(struct index *ix, struct hash128 hash, struct arena_place *ret_place)
{
    struct index_shard *shard = shard_of(ix, hash);
    pthread_mutex_lock(&shard->mutex);
    bool is_there = place_locked(ix, hash, ret_place);
    pthread_mutex_unlock(&shard->mutex);
    return is_there;
}

static bool place_equal(const struct arena_place *a, const struct arena_place *b)
{
    return a->slot == b->slot && a->sequence == b->sequence && a->offset_bytes == b->offset_bytes;
}

bool index_restore(struct index *ix, struct hash128 hash, const struct arena_place *place,
                   uint64_t span_bytes, const struct store_meta *meta, const struct arena_place *older)
{
    struct index_shard *shard = shard_of(ix, hash);
    struct arena_place found;
    pthread_mutex_lock(&shard->mutex);
    bool is_free = !place_locked(ix, hash, &found) || (older && place_equal(&found, older));
    if (is_free)
        insert_locked(ix, shard, hash, place, span_bytes, meta);
    pthread_mutex_unlock(&shard->mutex);
    return is_free;
}

bool index_move(struct index *ix, struct hash128 hash, const struct arena_place *from,
                const struct arena_place *to, uint64_t span_bytes)
{
    struct index_shard *shard = shard_of(ix, hash);
    struct store_meta meta;
    pthread_mutex_lock(&shard->mutex);
    struct index_entry *e = entry_find(ix, hash);
    /* Once the region is gone a removal has found nothing: it must not come back. */
    bool is_there = e && entry_is_at(e, from) && arena_has(ix->arena, from);
    if (is_there) {
        count(ix, shard, e, -1);
        entry_meta(e, &meta);
        *e = entry_make(hash, to, span_pack(span_bytes), &meta);
        count(ix, shard, e, 1);
    }
    pthread_mutex_unlock(&shard->mutex);
    return is_there;
}

bool index_update(struct index *ix, struct hash128 hash, const struct arena_place *place,
                  const struct store_meta *meta)
{
    struct index_shard *shard = shard_of(ix, hash);
    pthread_mutex_lock(&shard->mutex);
    struct index_entry *e = entry_find(ix, hash);
    bool is_there = e && entry_is_at(e, place) && arena_has(ix->arena, place);
    if (is_there) {
        count(ix, shard, e, -1); /* it may be another site's now */
        *e = entry_make(hash, place, e->span, meta);
        count(ix, shard, e, 1);
    }
    pthread_mutex_unlock(&shard->mutex);
    return is_there;
}

bool index_remove(struct index *ix, struct hash128 hash, const struct arena_place *place)
{
    struct index_shard *shard = shard_of(ix, hash);
    pthread_mutex_lock(&shard->mutex);
    struct index_entry *e = entry_find(ix, hash);
    bool is_there = e && entry_is_at(e, place);
    if (is_there) {
        count(ix, shard, e, -1);
        memset(e, 0, sizeof(*e));
    }
    pthread_mutex_unlock(&shard->mutex);
    return is_there;
}

/* ---- counting what was there ---- */

bool index_count_step(struct index *ix)
{
    if (ix->next_row == ix->bucket_count / SHARDS)
        return false;
    /* A page that is not in memory is waited for here, and not under a mutex that lookups want. */
    prefetch_touch(&ix->buckets[ix->next_row * SHARDS], SHARDS * sizeof(struct index_bucket));
    for (unsigned i = 0; i < SHARDS; i++) {
        struct index_shard *shard = &ix->shards[i];
        const struct index_bucket *bucket = &ix->buckets[ix->next_row * SHARDS + i];
        pthread_mutex_lock(&shard->mutex);
        for (unsigned k = 0; k < BUCKET_ENTRIES; k++) {
            const struct index_entry *e = &bucket->entries[k];
            struct arena_place place = entry_place(e);
            if (entry_is_live(ix, e))
                arena_count_bytes(ix->arena, &place, e->site_id, span_unpack(e->span));
        }
        shard->counted_rows = ix->next_row + 1;
        pthread_mutex_unlock(&shard->mutex);
    }
    return ++ix->next_row < ix->bucket_count / SHARDS;
}

bool index_purge_generations(struct index *ix, uint32_t *ret_least, uint32_t *ret_greatest)
{
    uint32_t least = UINT32_MAX, greatest = 0;
    bool has_any = false;
    for (uint64_t b = 0; b < ix->bucket_count; b++) {
        struct index_shard *shard = &ix->shards[b % SHARDS];
        pthread_mutex_lock(&shard->mutex);
        for (unsigned i = 0; i < BUCKET_ENTRIES; i++) {
            const struct index_entry *e = &ix->buckets[b].entries[i];
            uint32_t generation = entry_purge_generation(e);
            bool is_told = has_any && generation >= least && generation <= greatest;
            if (e->sequence == 0 || is_told || !entry_is_live(ix, e))
                continue;
            least = generation < least ? generation : least;
            greatest = generation > greatest ? generation : greatest;
            has_any = true;
        }
        pthread_mutex_unlock(&shard->mutex);
    }
    *ret_least = least;
    *ret_greatest = greatest;
    return has_any;
}

void index_buckets(const struct index *ix, struct hash128 hash, const void *ret_buckets[2])
{
    for (unsigned i = 0; i < 2; i++)
        ret_buckets[i] = bucket_of(ix, hash, i);
}

struct iovec index_map(const struct index *ix)
{
    return (struct iovec){ix->head, ix->map_bytes};
}

/* ---- the file ---- */

uint64_t index_bucket_count(uint64_t objects)
{
    uint64_t entries = objects + objects / 2;
    return (entries / BUCKET_ENTRIES / SHARDS + 1) * SHARDS;
}

uint64_t index_file_bytes(uint64_t bucket_count)
{
    return HEAD_BYTES + bucket_count * sizeof(struct index_bucket);
}

uint64_t index_capacity(const struct index *ix)
{
    return ix->bucket_count * BUCKET_ENTRIES;
}

uint64_t index_displaced(const struct index *ix)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < SHARDS; i++)
        sum += counter_read(&ix->shards[i].displaced);
    return sum;
}

static uint64_t head_sum(const struct index_head *h)
{
    return hash_sum(h, offsetof(struct index_head, sum));
}

static const char *head_judge(const struct index_head *h, uint64_t arena_id, uint64_t file_bytes)
{
    if (memcmp(h->magic, index_magic, sizeof(index_magic)) != 0 || h->sum != head_sum(h))
        return "its index is damaged";
    if (h->version != ARENA_FORMAT_VERSION || h->byte_order != ARENA_BYTE_ORDER)
        return "its index is of another format version";
    if (h->arena_id != arena_id)
        return "its index belongs to another arena";
    if (h->bucket_count % SHARDS != 0 || h->bucket_count < SHARDS || h->bucket_count > UINT32_MAX ||
        file_bytes != index_file_bytes(h->bucket_count))
        return "its index is of another size than it says";
    return NULL;
}

/* Opens what is there and reads its head; an fd or a negative errno. The head is zeros when the file is too
 * short. */
static int index_file_open(struct folder *f, struct index_head *ret_head, uint64_t *ret_file_bytes)
{
    struct stat st;
    struct index_head head = {.bucket_count = 0};
    int fd = openat(f->fd, "index", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (pread(fd, &head, sizeof(head), 0) < 0 || fstat(fd, &st) < 0) {
        int rv = -errno;
        close(fd);
        return rv;
    }
    *ret_head = head;
    *ret_file_bytes = (uint64_t)st.st_size;
    return fd;
}

int index_probe(struct folder *f, uint64_t arena_id, const char **ret_reason)
{
    struct index_head head = {.bucket_count = 0};
    uint64_t file_bytes = 0;
    int fd = index_file_open(f, &head, &file_bytes);
    if (fd < 0 && fd != -ENOENT)
        return fd;
    *ret_reason = fd < 0 ? "its index is missing" : head_judge(&head, arena_id, file_bytes);
    if (fd >= 0)
        close(fd);
    return 0;
}

/* ---- these return NULL, with errno, on failure ---- */

/* The index that stands in fd. */
static struct index *index_attach(int fd, struct arena *arena, uint64_t bucket_count)
{
    struct index *ix = aligned_alloc(64, sizeof(*ix));
    if (!ix)
        return NULL;
    memset(ix, 0, sizeof(*ix));
    ix->arena = arena;
    ix->map_bytes = index_file_bytes(bucket_count);
    ix->head = folder_map_file(fd, ix->map_bytes);
    if (ix->head && !guard_add(ix->head, ix->map_bytes, true, &ix->is_lost)) {
        munmap(ix->head, ix->map_bytes);
        errno = ENOMEM;
        ix->head = NULL;
    }
    if (!ix->head) {
        free(ix);
        return NULL;
    }
    ix->buckets = (struct index_bucket *)((char *)ix->head + HEAD_BYTES);
    ix->bucket_count = bucket_count;
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_init(&ix->shards[i].mutex, NULL);
    return ix;
}

static void index_detach(struct index *ix)
{
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&ix->shards[i].mutex);
    guard_remove(ix->head);
    munmap(ix->head, ix->map_bytes);
    free(ix);
}

static struct index *index_create(struct folder *f, const char *name, struct arena *arena, uint64_t arena_id,
                                  uint64_t bucket_count)
{
    int fd = folder_create_file(f, name, index_file_bytes(bucket_count));
    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    struct index *ix = index_attach(fd, arena, bucket_count);
    int error = errno;
    close(fd);
    errno = error;
    if (!ix)
        return NULL;
    memcpy(ix->head->magic, index_magic, sizeof(index_magic));
    ix->head->version = ARENA_FORMAT_VERSION;
    ix->head->byte_order = ARENA_BYTE_ORDER;
    ix->head->arena_id = arena_id;
    ix->head->bucket_count = bucket_count;
    ix->head->sum = head_sum(ix->head);
    ix->next_row = bucket_count / SHARDS; /* what comes is counted as it comes */
    for (unsigned i = 0; i < SHARDS; i++)
        ix->shards[i].counted_rows = ix->next_row;
    return ix;
}

/* Puts the live entries of `from` into `to`, oldest regions losing where a bucket is full, as always. */
static void index_carry(struct index *from, struct index *to)
{
    for (uint64_t b = 0; b < from->bucket_count; b++)
        for (unsigned i = 0; i < BUCKET_ENTRIES; i++) {
            const struct index_entry *e = &from->buckets[b].entries[i];
            if (!entry_is_live(from, e))
                continue;
            struct arena_place place = entry_place(e);
            struct store_meta meta;
            entry_meta(e, &meta);
            arena_count_object(from->arena, &place, 0, 0, -1); /* the insertion counts it again */
            index_insert(to, (struct hash128){e->hash_high, e->hash_low}, &place, span_unpack(e->span),
                         &meta);
        }
}

/* The size was configured anew: makes the index once more beside `from`, which it closes, and puts it in its
 * place. */
static struct index *index_resize(struct folder *f, struct index *from, uint64_t bucket_count)
{
    struct index *to = index_create(f, "index.new", from->arena, from->head->arena_id, bucket_count);
    if (to) {
        index_carry(from, to);
        if (renameat(f->fd, "index.new", f->fd, "index") < 0) {
            index_detach(to);
            to = NULL;
        }
    }
    int error = errno;
    index_detach(from);
    errno = error;
    return to;
}

/* The index that the folder has, of whatever size, or a new one. */
static struct index *index_load(struct folder *f, struct arena *arena, uint64_t arena_id,
                                uint64_t bucket_count)
{
    struct index_head head = {.bucket_count = 0};
    uint64_t file_bytes = 0;
    int fd = index_file_open(f, &head, &file_bytes);
    if (fd == -ENOENT)
        return index_create(f, "index", arena, arena_id, bucket_count);
    if (fd < 0 || head_judge(&head, arena_id, file_bytes)) {
        errno = fd < 0 ? -fd : EBADMSG;
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    struct index *ix = index_attach(fd, arena, head.bucket_count);
    int error = errno;
    close(fd);
    errno = error;
    return ix;
}

int index_open(struct folder *f, struct arena *arena, uint64_t arena_id, uint64_t bucket_count,
               struct buf *error, struct index **ret_index)
{
    struct index *ix = index_load(f, arena, arena_id, bucket_count);
    if (ix && ix->bucket_count != bucket_count)
        ix = index_resize(f, ix, bucket_count);
    if (ix) {
        *ret_index = ix;
        return 0;
    }
    int rv = -errno;
    buf_printf(error, "arena %s: its index of %" PRIu64 " KiB cannot be opened: %s", f->path,
               index_file_bytes(bucket_count) / 1024, strerror(-rv));
    return rv;
}

bool index_sync(struct index *ix)
{
    return msync(ix->head, ix->map_bytes, MS_SYNC) == 0;
}

bool index_is_lost(const struct index *ix)
{
    return atomic_load_explicit(&ix->is_lost, memory_order_acquire);
}

bool index_close(struct index *ix, struct folder *f)
{
    bool synced = index_sync(ix);
    if (index_is_lost(ix))
        unlinkat(f->fd, "index", 0); /* the next opening makes it again */
    index_detach(ix);
    return synced;
}
