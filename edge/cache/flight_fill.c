/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flights as their filler sees them: the body goes into the store piece by piece. Sizes decide the pieces:
 *   known, up to a slice     one piece, sealed under the object's own key at the end
 *   known, above a slice     the object's head is stored at once, then a piece per slice, each sealed when
 * full unknown                  a small transient piece; if the end comes within it, the object is stored
 * whole; else its bytes move into the first slice, and slices follow until the end Only the filler's worker
 * is here, so only what readers see is under the mutex.
 */
#include "cache/flight_private.h"

#include <errno.h>
#include <stdlib.h>

#include "reply.h"

static bool is_sized(const struct flight *f)
{
    return f->head.total_size_bytes != FLIGHT_SIZE_UNKNOWN;
}

void flight_set_filler(struct flight *f, const struct flight_filler *filler)
{
    f->filler = *filler;
}

bool flight_is_orphaned(struct flight *f)
{
    return atomic_load(&f->reader_count) == 0;
}

unsigned flight_readers(const struct flight *f)
{
    return atomic_load_explicit(&f->readers_ever, memory_order_relaxed);
}

bool flight_is_full(struct flight *f)
{
    return f->head.is_private && f->private_body.size >= FLIGHT_PRIVATE_WINDOW;
}

uint64_t flight_filled_bytes(const struct flight *f)
{
    return f->filled_bytes - f->first_bytes;
}

const struct store_object *flight_stale(const struct flight *f)
{
    return f->has_stale ? &f->stale : NULL;
}

uint64_t flight_extent_bytes(const struct flight *f)
{
    return f->limit_bytes == FLIGHT_NO_LIMIT ? FLIGHT_SIZE_UNKNOWN : f->limit_bytes - f->first_bytes;
}

void flight_range(const struct flight *f, bool *ret_ranged, uint64_t *ret_first, uint64_t *ret_limit)
{
    *ret_ranged = f->is_ranged;
    *ret_first = f->first_wanted_bytes;
    *ret_limit = f->limit_wanted_bytes;
}

struct slice flight_body(struct flight *f)
{
    if (f->head.is_private || f->piece_count != 1 || f->pieces[0].start_bytes != 0 || f->first_bytes != 0 ||
        !f->pieces[0].view.body || (is_sized(f) && f->filled_bytes != f->head.total_size_bytes))
        return SLICE_EMPTY;
    return slice_make(f->pieces[0].view.body, f->filled_bytes);
}

/* ---- pieces ---- */

static bool is_sliced(const struct flight *f)
{
    return is_sized(f) ? f->head.total_size_bytes > f->table->slice_bytes : !f->is_collecting;
}

/* The flight keeps two stored pieces for readers close behind; those further back find them in the store.
 * What is not stored stays until the flight ends. Returns what was let go of. */
static bool drop_oldest_piece(struct flight *f, struct store_object *ret_view)
{
    if (f->piece_count < 3 || !f->pieces[0].is_sealed)
        return false;
    *ret_view = f->pieces[0].view;
    memmove(f->pieces, f->pieces + 1, (f->piece_count - 1) * sizeof(f->pieces[0]));
    f->piece_count--;
    return true;
}

static int add_piece(struct flight *f, uint64_t start, uint64_t size)
{
    if (f->piece_count == f->piece_capacity) {
        size_t capacity = f->piece_capacity ? f->piece_capacity * 2 : 4;
        pthread_mutex_lock(&f->mutex);
        struct flight_piece *pieces = realloc(f->pieces, capacity * sizeof(*pieces));
        if (pieces) {
            f->pieces = pieces;
            f->piece_capacity = capacity;
        }
        pthread_mutex_unlock(&f->mutex);
        if (!pieces)
            return -ENOMEM;
    }
    struct flight_piece piece = {.start_bytes = start, .size_bytes = size};
    struct store_object dropped;
    store_writer_view(f->writer, &piece.view);
    pthread_mutex_lock(&f->mutex);
    f->pieces[f->piece_count++] = piece;
    bool has_dropped = drop_oldest_piece(f, &dropped);
    pthread_mutex_unlock(&f->mutex);
    if (has_dropped)
        store_release(&dropped);
    return 0;
}

/* Of the key under which the piece from `start` on will stand. */
static struct hash128 piece_hash(struct flight *f, uint64_t start)
{
    struct buf text;
    struct store_key key = {f->hash, f->key_text};
    buf_init(&text, STORE_KEY_TEXT_MAX + 64);
    if (is_sliced(f) && (start > 0 || is_sized(f))) /* else it may end here, and be no slice */
        flight_slice_key(f->table, f->key_text, f->head.representation, start / f->table->slice_bytes, &text,
                         &key);
    buf_fini(&text);
    return key.hash;
}

static struct store_hint piece_hint(const struct flight *f, uint64_t start)
{
    return is_sliced(f) ? flight_slice_hint(f->hash, start / f->table->slice_bytes, f->hint.session)
                        : f->hint;
}

/* Room in the store, or, when the store has none, in transient memory: viewers come first. The other way
 * round for what is not worth storing. */
static int reserve(struct flight *f, bool keep, size_t head_size, uint64_t start, uint64_t body_size)
{
    struct store_reservation want = {.head_size_max = head_size,
                                     .body_size_bytes = body_size,
                                     .hint = piece_hint(f, start),
                                     .transient = !keep || !f->is_admitted};
    if (keep)
        want.hash = piece_hash(f, start);
    int r = store_reserve(f->table->store, &want, &f->writer);
    if (r < 0 && keep) {
        want.transient = !want.transient;
        r = store_reserve(f->table->store, &want, &f->writer);
    }
    return r;
}

static size_t head_room(const struct flight *f)
{
    return f->key_text.size + f->head.stored.size + 64; /* a slice's key is that much longer */
}

static int open_piece(struct flight *f)
{
    uint64_t slice = f->table->slice_bytes, start = f->filled_bytes, size;
    bool keep = f->is_kept;
    if (f->is_collecting) {
        size = FLIGHT_UNSIZED_PIECE;
        keep = false;
    } else if (is_sliced(f)) {
        size = slice - start % slice;
        if (is_sized(f) && size > f->head.total_size_bytes - start)
            size = f->head.total_size_bytes - start;
        keep = keep && start % slice == 0 && start + size <= f->limit_bytes;
    } else {
        size = f->head.total_size_bytes - start;
        keep = keep && start == 0 && f->limit_bytes == f->head.total_size_bytes;
    }
    int r = reserve(f, keep, head_room(f), start, size);
    if (r < 0)
        return r;
    f->writer_start_bytes = start;
    f->writer_room_bytes = size;
    return add_piece(f, start, size);
}

static void mark_sealed(struct flight *f)
{
    pthread_mutex_lock(&f->mutex);
    f->pieces[f->piece_count - 1].is_sealed = true;
    pthread_mutex_unlock(&f->mutex);
}

/* What is stored now has been held against all purges since the flight began. False: it is purged. */
static bool settle(const struct flight *f, struct slice head, struct store_meta *meta)
{
    struct purge_subject subject = {f->key_text, head, f->generation};
    return purge_settle(f->table->purges, &subject, meta);
}

/* Ends the current piece as a slice of its own, which has its head's tags. A transient one only ends. One
 * that is purged is stored too, for readers who began before and fell behind. */
static void seal_slice(struct flight *f)
{
    struct buf text, tags;
    struct store_key key;
    struct store_meta meta = f->meta;
    bool kept = store_writer_is_kept(f->writer);
    meta.flags = 0;
    meta.total_size_bytes = is_sized(f) ? f->head.total_size_bytes : 0;
    settle(f, f->head.stored, &meta);
    buf_init(&text, STORE_KEY_TEXT_MAX);
    buf_init(&tags, STORE_HEAD_MAX);
    reply_store_tags(f->head.stored, &tags);
    if (flight_slice_key(f->table, f->key_text, f->head.representation,
                         f->writer_start_bytes / f->table->slice_bytes, &text, &key)) {
        if (store_seal(f->writer, &key, buf_slice(&tags), &meta) == 0 && kept)
            mark_sealed(f);
    } else {
        store_abandon(f->writer);
    }
    f->writer = NULL;
    buf_fini(&text);
    buf_fini(&tags);
}

/* The body outgrew the small piece: its bytes move to the front of the first slice, this once. */
static int promote(struct flight *f)
{
    struct store_writer *small = f->writer;
    struct store_object old = f->pieces[0].view, view;
    f->is_collecting = false;
    f->writer = NULL;
    int r = reserve(f, f->is_kept, head_room(f), 0, f->table->slice_bytes);
    if (r == 0)
        r = store_write(f->writer, old.body, f->filled_bytes);
    if (r < 0) {
        store_abandon(small);
        return r;
    }
    f->writer_room_bytes = f->table->slice_bytes - f->filled_bytes;
    store_writer_view(f->writer, &view);
    pthread_mutex_lock(&f->mutex);
    f->pieces[0].view = view;
    f->pieces[0].size_bytes = f->table->slice_bytes;
    pthread_mutex_unlock(&f->mutex);
    store_release(&old);
    store_abandon(small);
    return 0;
}

/* After each seal under the key: flight_doom comes before the removal, so either that or this one finds it.
 */
static void undo_if_doomed(struct flight *f)
{
    struct store_key key = {f->hash, f->key_text};
    if (atomic_load(&f->is_doomed))
        store_remove(f->table->store, &key);
}

/* ---- head ---- */

void flight_inform(struct flight *f, unsigned status, struct slice fields)
{
    pthread_mutex_lock(&f->mutex);
    struct flight_reader *leader = f->leader; /* it leaves on this worker, so it stays for the call */
    pthread_mutex_unlock(&f->mutex);
    if (leader && leader->on_informational)
        leader->on_informational(leader, status, fields);
}

/* A few slices of a large object can be held in memory until the flight has ended; more must go to the disk.
 */
#define SHARED_SLICES_MAX 4

/* Asked once for a flight, by what it begins with. */
static bool is_worth_storing(const struct flight *f, const struct flight_head *head, uint64_t first,
                             uint64_t limit, uint16_t site_id)
{
    uint64_t slice = f->table->slice_bytes, total = head->total_size_bytes;
    struct store_key key = {f->hash, f->key_text};
    struct store_asked asked = {.key = &key, .hint = &f->hint};
    struct store_hint slice_hint = flight_slice_hint(f->hash, first / slice, f->hint.session);
    if (total == FLIGHT_SIZE_UNKNOWN)
        return store_admits(f->table->store, &asked, site_id);
    asked.size_bytes = total + head->stored.size;
    if (total <= slice)
        return store_admits(f->table->store, &asked, site_id);
    if (limit - first > SHARED_SLICES_MAX * slice)
        return true;
    struct buf text;
    buf_init(&text, STORE_KEY_TEXT_MAX + 64);
    asked.size_bytes = slice;
    asked.hint = &slice_hint;
    bool is_worth =
        !flight_slice_key(f->table, f->key_text, head->representation, first / slice, &text, &key) ||
        store_admits(f->table->store, &asked, site_id);
    buf_fini(&text);
    return is_worth;
}

static bool is_small_class(enum content_class c)
{
    return c == CLASS_PLAYLIST || c == CLASS_INIT || c == CLASS_KEY;
}

/* The body of such an object is the name of the representation: what its slices' keys are made with. */
static int store_head_of_slices(struct flight *f)
{
    uint64_t representation = f->head.representation;
    struct store_reservation want = {.head_size_max = f->key_text.size + f->head.stored.size,
                                     .body_size_bytes = sizeof(representation),
                                     .hint = {.title = f->hash.low, .kind = STORE_SMALL},
                                     .hash = f->hash};
    struct store_key key = {f->hash, f->key_text};
    struct store_writer *writer;
    struct store_meta meta = f->meta;
    if (!settle(f, f->head.stored, &meta))
        return -ESTALE;
    int r = store_reserve(f->table->store, &want, &writer);
    if (r < 0)
        return r;
    r = store_write(writer, &representation, sizeof(representation));
    if (r < 0) {
        store_abandon(writer);
        return r;
    }
    bool kept = store_writer_is_kept(writer);
    meta.flags |= FLIGHT_META_SLICED;
    meta.total_size_bytes = f->head.total_size_bytes;
    r = store_seal(writer, &key, f->head.stored, &meta);
    return r < 0 ? r : kept ? 0 : -ENOBUFS;
}

int flight_set_head(struct flight *f, const struct flight_head *head, bool keep, uint64_t first,
                    uint64_t limit, const struct store_meta *meta)
{
    REQUIRE(f->phase == PHASE_HEAD_PENDING);
    char *stored = malloc(size_max(head->stored.size, 1));
    if (!stored)
        return -ENOMEM;
    memcpy(stored, head->stored.data, head->stored.size);
    f->is_kept = keep && !head->is_private;
    f->is_collecting = !head->is_private && head->total_size_bytes == FLIGHT_SIZE_UNKNOWN;
    f->meta = *meta;
    if (is_small_class(head->content_class)) /* the response's type may tell more than the request did */
        f->hint.kind = STORE_SMALL;
    f->is_admitted = f->is_kept && is_worth_storing(f, head, first, limit, meta->site_id);
    if (head->is_private)
        flight_unlist(f);

    pthread_mutex_lock(&f->mutex);
    f->head = *head;
    f->head.stored = slice_make(stored, head->stored.size);
    f->first_bytes = f->filled_bytes = f->private_start_bytes = first;
    f->limit_bytes = limit;
    f->head.is_kept = f->is_admitted;
    f->phase = PHASE_FILLING;
    pthread_mutex_unlock(&f->mutex);

    if (f->is_kept && is_sized(f) &&
        is_sliced(f)) /* without it the slices are just not found: no reason to fail */
        f->is_stored = store_head_of_slices(f) == 0;
    undo_if_doomed(f);
    flight_notify(f);
    return 0;
}

/* ---- body ---- */

/* Writes that end at such offsets of the file leave large folios in the page cache; sendfile pays by the
 * folio. */
#define WRITE_ALIGN ((size_t)256 * 1024)

size_t flight_write_size_hint(const struct flight *f)
{
    if (!f->writer)
        return WRITE_ALIGN;
    const struct flight_piece *piece = &f->pieces[f->piece_count - 1];
    uint64_t offset = piece->view.body_offset_bytes + f->filled_bytes - piece->start_bytes;
    return WRITE_ALIGN - offset % WRITE_ALIGN;
}

static int write_private(struct flight *f, const void *data, size_t size)
{
    pthread_mutex_lock(&f->mutex);
    bool fits = buf_append(&f->private_body, data, size);
    f->filled_bytes += size;
    pthread_mutex_unlock(&f->mutex);
    return fits ? 0 : -ENOBUFS;
}

static int write_some(struct flight *f, const char *data, size_t size, size_t *ret_written)
{
    if (f->writer && f->writer_room_bytes == 0) { /* only the collecting piece is left full */
        int r = promote(f);
        if (r < 0)
            return r;
    }
    if (!f->writer) {
        int r = open_piece(f);
        if (r < 0)
            return r;
    }
    size_t part = size_min(size, f->writer_room_bytes);
    int r = store_write(f->writer, data, part);
    if (r < 0)
        return r;
    f->writer_room_bytes -= part;
    pthread_mutex_lock(&f->mutex);
    f->filled_bytes += part;
    pthread_mutex_unlock(&f->mutex);
    bool unsized_first =
        !is_sized(f) && f->writer_start_bytes == 0; /* may still turn out to be a whole object */
    if (f->writer_room_bytes == 0 && is_sliced(f) && !unsized_first)
        seal_slice(f);
    *ret_written = part;
    return 0;
}

int flight_write(struct flight *f, const void *data, size_t size)
{
    REQUIRE(f->phase == PHASE_FILLING);
    if (is_sized(f) && size > f->limit_bytes - f->filled_bytes)
        return -EMSGSIZE;
    int r = 0;
    if (f->head.is_private) {
        r = write_private(f, data, size);
    } else {
        const char *at = data;
        while (size > 0 && r == 0) {
            size_t written = 0;
            if (f->writer && f->writer_room_bytes == 0 && !f->is_collecting)
                seal_slice(f); /* the first slice of an unknown length: now it is known to be exceeded */
            r = write_some(f, at, size, &written);
            at += written;
            size -= written;
        }
    }
    flight_notify(f);
    return r;
}

/* ---- ends ---- */

static void end(struct flight *f, enum flight_phase phase)
{
    pthread_mutex_lock(&f->mutex);
    f->phase = phase;
    pthread_mutex_unlock(&f->mutex);
    flight_unlist(f); /* after the seal: who misses it here finds it in the store */
    counter_add(&ledger_flights(f->table->ledgers[f->owner])->ended, 1);
    flight_notify(f);
    f->is_filling = false;
    flight_unref(f);
}

/* Stores a body that ended within the small piece, now that its size is known. */
static int store_collected(struct flight *f, const struct store_key *key, const struct store_meta *meta)
{
    struct store_reservation want = {.head_size_max = f->key_text.size + f->head.stored.size,
                                     .body_size_bytes = f->filled_bytes,
                                     .hint = f->hint,
                                     .hash = key->hash};
    struct store_writer *writer;
    int r = store_reserve(f->table->store, &want, &writer);
    if (r < 0)
        return r;
    if (f->filled_bytes > 0)
        r = store_write(writer, f->pieces[0].view.body, f->filled_bytes);
    if (r < 0) {
        store_abandon(writer);
        return r;
    }
    bool kept = store_writer_is_kept(writer);
    r = store_seal(writer, key, f->head.stored, meta);
    return r < 0 ? r : kept ? 0 : -ENOBUFS;
}

static int seal_own(struct flight *f, const struct store_key *key, const struct store_meta *meta)
{
    if (!f->writer && f->filled_bytes > 0) /* all in slices; the head follows */
        return -ENOENT;
    bool kept = f->writer && store_writer_is_kept(f->writer);
    if (!f->writer)
        return store_collected(f, key, meta); /* an empty body */
    int r = store_seal(f->writer, key, f->head.stored, meta);
    f->writer = NULL;
    return r < 0 ? r : kept ? 0 : -ENOBUFS;
}

static int store_whole(struct flight *f, const struct store_meta *meta)
{
    struct store_key key = {f->hash, f->key_text};
    struct store_meta whole = *meta;
    whole.total_size_bytes = f->head.total_size_bytes;
    if (f->head.total_size_bytes <= f->table->slice_bytes && !settle(f, f->head.stored, &whole))
        return -ESTALE;
    if (f->is_collecting)
        return f->is_admitted ? store_collected(f, &key, &whole) : -ENOBUFS;
    if (f->head.total_size_bytes <= f->table->slice_bytes)
        return f->first_bytes == 0 && f->limit_bytes >= f->head.total_size_bytes ? seal_own(f, &key, &whole)
                                                                                 : -EINVAL;
    if (f->writer)
        seal_slice(f);
    f->meta = whole;
    return store_head_of_slices(f);
}

void flight_finish(struct flight *f, const struct store_meta *meta)
{
    REQUIRE(f->phase == PHASE_FILLING);
    bool was_sized = is_sized(f);
    if (!was_sized) {
        pthread_mutex_lock(&f->mutex);
        f->head.total_size_bytes = f->filled_bytes;
        pthread_mutex_unlock(&f->mutex);
    }
    if (f->is_kept && (!was_sized || f->head.total_size_bytes <= f->table->slice_bytes))
        f->is_stored = store_whole(f, meta) == 0;
    undo_if_doomed(f);
    if (!(f->is_stored && f->is_admitted) && !f->head.is_private)
        counter_add(&ledger_flights(f->table->ledgers[f->owner])->not_kept, 1);
    store_abandon(f->writer);
    f->writer = NULL;
    end(f, PHASE_DONE);
}

static void break_off(struct flight *f, const char *reason, unsigned status)
{
    store_abandon(f->writer);
    f->writer = NULL;
    pthread_mutex_lock(&f->mutex);
    f->failure = reason;
    f->failure_status = status;
    pthread_mutex_unlock(&f->mutex);
    end(f, PHASE_FAILED);
}

void flight_forget(struct flight *f)
{
    struct store_key key = {f->hash, f->key_text};
    struct buf text;
    if (!f->is_kept)
        return;
    store_remove(f->table->store, &key);
    buf_init(&text, STORE_KEY_TEXT_MAX);
    for (uint64_t at = f->first_bytes; at < f->filled_bytes; at += f->table->slice_bytes)
        if (flight_slice_key(f->table, f->key_text, f->head.representation, at / f->table->slice_bytes, &text,
                             &key))
            store_remove(f->table->store, &key);
    buf_fini(&text);
}

void flight_fail(struct flight *f, const char *reason, unsigned status)
{
    counter_add(&ledger_flights(f->table->ledgers[f->owner])->failed, 1);
    break_off(f, reason, status);
}

bool flight_drop(struct flight *f)
{
    if (!flight_unlist_unread(f))
        return false;
    counter_add(&ledger_flights(f->table->ledgers[f->owner])->dropped, 1);
    break_off(f, "dropped", 502);
    return true;
}

/* The same body under another head: one slice at most is copied, as a head of slices has no other body than
 * its representation's name. */
static bool store_again(struct flight *f, struct slice head, const struct store_meta *meta,
                        struct store_object *ret_object)
{
    struct store_key key = {f->hash, f->key_text};
    struct store_reservation want = {.head_size_max = f->key_text.size + head.size,
                                     .body_size_bytes = f->stale.body_size_bytes,
                                     .hint = f->hint,
                                     .hash = f->hash};
    struct store_writer *writer;
    if (store_reserve(f->table->store, &want, &writer) < 0)
        return false;
    bool is_kept = store_writer_is_kept(writer);
    if (!is_kept || (want.body_size_bytes && store_write(writer, f->stale.body, want.body_size_bytes) < 0)) {
        store_abandon(writer);
        return false;
    }
    return store_seal(writer, &key, head, meta) == 0 && store_lookup(f->table->store, &key, ret_object);
}

void flight_revalidate(struct flight *f, const struct store_meta *meta, struct slice head)
{
    REQUIRE(f->has_stale);
    struct store_key key = {f->hash, f->key_text};
    struct store_object old = f->stale, fresh;
    struct store_meta fresh_meta = *meta;
    fresh_meta.flags = old.meta.flags & FLIGHT_META_SLICED;
    fresh_meta.total_size_bytes = old.meta.total_size_bytes;
    struct store_meta by_new_head = fresh_meta;
    bool is_purged = !settle(f, old.head, &fresh_meta);
    if (head.data) { /* which may have other tags */
        is_purged = !settle(f, head, &by_new_head) || is_purged;
        if (by_new_head.purge_generation < fresh_meta.purge_generation)
            fresh_meta.purge_generation = by_new_head.purge_generation;
    }
    bool is_replaced = !is_purged && head.data && store_again(f, head, &fresh_meta, &fresh);
    if (!is_replaced) {
        fresh_meta.flags |= FLIGHT_META_VALIDATED;
        store_refresh(f->table->store, &key, &old, &fresh_meta);
        fresh = old;
        fresh.meta = fresh_meta;
    }
    undo_if_doomed(f);
    pthread_mutex_lock(&f->mutex);
    f->stale = fresh;
    pthread_mutex_unlock(&f->mutex);
    if (is_replaced)
        store_release(&old);
    end(f, PHASE_REVALIDATED);
}
