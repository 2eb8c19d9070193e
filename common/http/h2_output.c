/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames onto the wire. nghttp2 makes them one by one; they are gathered, with pointers to body bytes that
 * stand in the arena, and leave with one write. What was made into frames cannot be taken back, so it is
 * gathered up to what the stream says it takes (stream_room), and only what it left after all is copied.
 *
 *   held ──┐
 *          ├─► gather ─► stream_writev ─► stream_send_span ─► what was left: held
 *   nghttp2┘
 *
 * Where the kernel encrypts (kTLS) it reads the payload of a frame from its file (sendfile): such a frame is
 * the last of what is gathered, so that no more than one is ever copied. On plain connections a call for each
 * frame costs two to three times what copying 256 KiB with one call does.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/guard.h"
#include "h2_private.h"

#define TEXT_SIZE        ((size_t)64 << 10)  /* frame heads and control frames of one write */
#define GATHER_SIZE_MAX  ((size_t)256 << 10) /* one write */
#define GATHER_PARTS_MAX 128
#define PAYLOAD_MAX      ((size_t)16384 - H2_FRAME_HEAD_SIZE) /* with its head it fills one TLS record */
#define PAYLOAD_WORTH    ((size_t)1 << 10)  /* a smaller frame is not made for the room's sake alone */
#define HOLD_SIZE_MAX    ((size_t)64 << 10) /* nghttp2 keeps what is beyond */
#define HELD_SIZE_MAX    (HOLD_SIZE_MAX + GATHER_SIZE_MAX + TEXT_SIZE)

struct h2_gather {
    size_t limit, size;
    int count;
    size_t text_filled;
    bool is_full;     /* something found no room */
    bool is_for_held; /* it is copied, not sent */
    struct span file; /* the last frame's payload, behind all parts, to be sent from its file; size 0: none */
    struct iovec parts[GATHER_PARTS_MAX];
    char text[TEXT_SIZE];
};

struct h2_gather *h2_gather_new(void)
{
    return malloc(sizeof(struct h2_gather));
}

void h2_gather_free(struct h2_gather *g)
{
    free(g);
}

/* --- Gathering. --- */

static struct h2_gather *gather_of(const struct h2_connection *h)
{
    return h->c->server->h2->gather;
}

static void add_part(struct h2_gather *g, const char *data, size_t size)
{
    struct iovec *last = g->count > 0 ? &g->parts[g->count - 1] : NULL;

    if (last && (char *)last->iov_base + last->iov_len == data)
        last->iov_len += size;
    else
        g->parts[g->count++] = (struct iovec){(char *)data, size};
    g->size += size;
}

static bool has_room(struct h2_gather *g, size_t text_size, size_t payload_size)
{
    bool fits = g->file.size == 0 && text_size <= TEXT_SIZE - g->text_filled &&
                g->count + 2 <= GATHER_PARTS_MAX &&
                (g->size == 0 || text_size + payload_size <= g->limit - size_min(g->size, g->limit));

    g->is_full |= !fits;
    return fits;
}

static void add_text(struct h2_gather *g, const void *data, size_t size)
{
    char *at = g->text + g->text_filled;

    memcpy(at, data, size);
    g->text_filled += size;
    add_part(g, at, size);
}

/* nghttp2_send_callback: frames that carry no body bytes. */
static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t size, int flags, void *user)
{
    struct h2_connection *h = user;
    struct h2_gather *g = gather_of(h);

    (void)session, (void)flags;
    if (!has_room(g, size, 0))
        return NGHTTP2_ERR_WOULDBLOCK;
    add_text(g, data, size);
    return (ssize_t)size;
}

/* Bytes that stand in a file only, and have to be copied. False: the file does not give them. */
static bool add_from_file(struct h2_gather *g, const struct span *span)
{
    char *at = g->text + g->text_filled;
    size_t filled = 0;

    while (filled < span->size) {
        ssize_t n = pread(span->fd, at + filled, span->size - filled, (off_t)(span->offset_bytes + filled));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        filled += (size_t)n;
    }
    g->text_filled += span->size;
    add_part(g, at, span->size);
    return true;
}

static bool add_bytes(struct h2_gather *g, const struct span *span)
{
    if (!span->data)
        return add_from_file(g, span);
    add_part(g, span->data, span->size);
    return true;
}

/* Whether a frame of that much of the span leaves its payload to the kernel. */
static bool goes_by_file(const struct h2_connection *h, size_t size)
{
    const struct stream *stream = h->c->stream;

    if (h->span.fd < 0 || gather_of(h)->is_for_held || !stream_has_sendfile(stream))
        return false;
    return !h->span.data || (stream_is_tls(stream) && size >= STREAM_SENDFILE_MIN);
}

/* How much of the span a DATA frame may have now. */
static size_t payload_size(struct h2_connection *h, size_t max)
{
    struct h2_gather *g = gather_of(h);
    size_t size = size_min(h->span.size, max), room;

    if (!has_room(g, H2_FRAME_HEAD_SIZE + (h->span.data ? 0 : size), 0))
        return 0;
    room = g->limit - size_min(g->size, g->limit);
    if (g->size > 0 && room < H2_FRAME_HEAD_SIZE + size) {
        g->is_full = true;
        size = room < H2_FRAME_HEAD_SIZE + PAYLOAD_WORTH ? 0 : room - H2_FRAME_HEAD_SIZE;
    }
    return size;
}

/* nghttp2_data_source_read_callback: what the next DATA frame of the stream holds. */
/* NOLINTNEXTLINE(readability-non-const-parameter): nghttp2 says what it is called with. */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t size_max,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_connection *h = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(session, id);
    size_t size;

    (void)buffer, (void)source;
    if (!s)
        return NGHTTP2_ERR_DEFERRED; /* it was reset */
    if (s->is_complete && !s->has_length) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return 0;
    }
    if (s != h->sender || h->span.size == 0)
        return NGHTTP2_ERR_DEFERRED;
    size = payload_size(h, size_max);
    if (size == 0)
        return NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (s->has_length && size == s->body_left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

static ssize_t on_read_length(nghttp2_session *session, uint8_t frame_type, int32_t id,
                              int32_t session_window, int32_t stream_window, uint32_t frame_size_max,
                              void *user)
{
    (void)session, (void)frame_type, (void)id, (void)user;
    return (ssize_t)size_min(size_min((size_t)session_window, (size_t)stream_window),
                             size_min(PAYLOAD_MAX, frame_size_max));
}

/* The next bytes of the span, which go on behind them. */
static bool add_payload(struct h2_connection *h, size_t size)
{
    struct h2_gather *g = gather_of(h);
    struct span payload = h->span;

    payload.size = size;
    if (goes_by_file(h, size)) {
        g->file = payload;
        g->size += size;
    } else if (!add_bytes(g, &payload)) {
        return false;
    }
    if (h->span.data)
        h->span.data += size;
    h->span.offset_bytes += size;
    h->span.size -= size;
    return true;
}

/* nghttp2_send_data_callback: the frame whose size on_read has chosen. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t size,
                        nghttp2_data_source *source, void *user)
{
    struct h2_connection *h = user;
    struct h2_gather *g = gather_of(h);
    struct h2_stream *s = h->sender;

    (void)session, (void)frame, (void)source;
    REQUIRE(s && size <= h->span.size);
    add_text(g, head, H2_FRAME_HEAD_SIZE);
    if (!add_payload(h, size)) {
        h2_connection_broke(h, "body_unreadable"); /* the frame's head is made */
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    h->data_bytes += size;
    h->data_ms = loop_now_ms(h->c->server->loop);
    s->sent_bytes += H2_FRAME_HEAD_SIZE;
    if (s->has_length)
        s->body_left -= size;
    return 0;
}

void h2_output_init(struct h2_connection *h)
{
    buf_init(&h->held, HELD_SIZE_MAX);
}

void h2_output_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, on_read_length);
}

nghttp2_data_provider h2_output_provider(void)
{
    return (nghttp2_data_provider){.read_callback = on_read};
}

/* What is held goes first, unless this will be held behind it. False: broken. */
static bool gather(struct h2_connection *h, size_t limit, bool is_for_held)
{
    struct h2_gather *g = gather_of(h);

    g->limit = limit;
    g->size = g->text_filled = 0;
    g->count = 0;
    g->is_full = false;
    g->is_for_held = is_for_held;
    g->file.size = 0;
    if (!is_for_held && h->held.size > 0)
        add_part(g, h->held.data, h->held.size);
    if (nghttp2_session_send(h->session) != 0)
        h2_connection_broke(h, "out_of_memory");
    return !h->broken;
}

/* --- Writing. --- */

/* The payload that the kernel should have read becomes the last of the parts. */
static void take_from_file(struct h2_connection *h)
{
    struct h2_gather *g = gather_of(h);
    struct span file = g->file;

    g->file.size = 0;
    g->size -= file.size;
    if (!add_bytes(g, &file))
        h2_connection_broke(h, "body_unreadable");
}

/* Copies what is behind the first `skip` bytes gathered. Its frames are made: when a file of the arena has
 * gone away underneath, nothing less than the connection can end. */
static void hold(struct h2_connection *h, size_t skip)
{
    struct h2_gather *g = gather_of(h);

    for (int i = 0; i < g->count; i++) {
        size_t skipped = size_min(skip, g->parts[i].iov_len);

        skip -= skipped;
        if (!buf_append(&h->held, (char *)g->parts[i].iov_base + skipped, g->parts[i].iov_len - skipped))
            h2_connection_broke(h, "out_of_memory");
        if (guard_is_lost(g->parts[i].iov_base))
            h2_connection_broke(h, "body_unreadable");
    }
}

/* What was held is the first of the parts, and is not appended to itself. */
static void hold_unsent(struct h2_connection *h, size_t taken)
{
    struct h2_gather *g = gather_of(h);
    size_t held_sent = size_min(h->held.size, taken), held_all = h->held.size;

    if (taken == g->size) {
        buf_fini(&h->held);
        return;
    }
    if (g->file.size > 0)
        take_from_file(h);
    buf_consume(&h->held, held_sent);
    if (held_all > 0) { /* the first part; the rest of it is in place */
        size_t first = g->parts[0].iov_len;

        REQUIRE(first >= held_all);
        g->parts[0].iov_base = (char *)g->parts[0].iov_base + held_all;
        g->parts[0].iov_len = first - held_all;
    }
    hold(h, taken - held_sent);
}

static void block(struct h2_connection *h)
{
    h->blocked = true;
    h2_connection_later(h); /* starts the deadline */
}

/* What was gathered; as stream_writev. */
static ssize_t send_gathered(struct h2_connection *h)
{
    struct h2_gather *g = gather_of(h);
    size_t parts_size = g->size - g->file.size;
    ssize_t taken = stream_writev(h->c->stream, g->parts, g->count, g->file.size > 0), from_file;

    counter_add(&h->c->server->stats.system_calls, 1);
    if (taken < (ssize_t)parts_size || g->file.size == 0)
        return taken;
    from_file = stream_send_span(h->c->stream, &g->file, h->span.size > 0);
    counter_add(&h->c->server->stats.system_calls, 1);
    if (from_file == -EAGAIN)
        return taken;
    return from_file < 0 ? from_file : taken + from_file;
}

bool h2_output_write(struct h2_connection *h)
{
    struct h2_gather *g = gather_of(h);
    size_t room;
    ssize_t n;

    if (h->blocked || h->broken)
        return false;
    room = stream_room(h->c->stream);
    if (room == 0) {
        block(h);
        return false;
    }
    if (!gather(h, size_min(room, GATHER_SIZE_MAX), false))
        return false;
    if (g->size == 0) {
        stream_push(h->c->stream);
        return false;
    }
    n = send_gathered(h);
    if (n < 0 && n != -EAGAIN) {
        h2_connection_broke(h, n == -EPIPE || n == -ECONNRESET ? "client_closed"
                               : n == -EIO                     ? "body_unreadable"
                                                               : "client_error");
        return false;
    }
    hold_unsent(h, n > 0 ? (size_t)n : 0);
    if (n < (ssize_t)g->size)
        block(h);
    return !h->blocked && !h->broken && g->is_full;
}

void h2_output_hold(struct h2_connection *h)
{
    if (h->broken || h->held.size >= HOLD_SIZE_MAX)
        return;
    if (gather(h, HOLD_SIZE_MAX - h->held.size, true))
        hold(h, 0);
}

void h2_output_flush(struct h2_connection *h)
{
    while (h2_output_write(h))
        ;
}

bool h2_output_is_empty(const struct h2_connection *h)
{
    return h->held.size == 0 && !nghttp2_session_want_write(h->session);
}
