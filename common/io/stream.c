/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: a uv_poll on the socket, and our own recv, sendmsg and sendfile. TLS is in tls_session.c.
 *
 *   accept, plain --> OPENING ------------- turn ends ---------+
 *   accept, TLS ----------------------+                        |
 *   connect --> CONNECTING --- TLS ---+--> HANDSHAKING --------+--> OPEN --stream_close--> gone
 *                    |                                         |      \--> LINGERING --> gone
 *                    +--------------- plain -------------------+           while TLS has unsent records
 *   any failure before OPEN --> FAILED, said by on_open
 *
 * What is polled for changes as seldom as possible, because each change costs two epoll_ctl:
 * - Reading stays armed when it is no longer wanted, until it fires unwanted: most often the owner wants it
 *   again before the peer sends anything.
 * - The peer's end (FIN) is polled for even when reading is not wanted, and told once by on_readable. After
 *   it only a reset is listened for (UV_PRIORITIZED keeps the socket registered, errors are always reported),
 *   and told once more. So neither can spin.
 * - A change made outside of this stream's callbacks is applied at the end of the turn; while the stream
 * waits for its turn (turns.h), then.
 */
#include "io/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/guard.h"
#include "loop_private.h"
#include "tcp_acked.h"
#include "tls_session.h"

#define SEND_MAX         ((size_t)4 << 20) /* in one call: a fast viewer must not hold up the others */
#define CORK_MIN         ((size_t)128 << 10)
#define ROOM_PLAIN       ((size_t)64 << 10) /* what stream_room says of a plain socket, which cannot be asked */
#define PACED_UNSENT_MIN (40u << 10)
#define PACED_UNSENT_MAX (128u << 10)
#define UNSENT_ALL       ((size_t)256 << 20) /* about so much may wait unsent in the sockets of a loop, */
#define UNSENT_FREE      ((size_t)4 << 20)   /* in one no more anyway, which the system's own bounds see to */
#define UNSENT_NEW       ((size_t)256 << 10) /* in one that has taken nothing yet, when there are many */
#define UNSENT_MIN       ((size_t)64 << 10)  /* and in each as much as this */
#define TOLD_MAX         8u /* events of a stream that waits for its turn, before it is polled for no more */
#define LINGER_MAX_MS    15000 /* how long closed TLS streams may take for their last records */

enum stream_state {
    STREAM_OPENING, /* on_open is due at the end of the turn, with s->error */
    STREAM_CONNECTING,
    STREAM_HANDSHAKING,
    STREAM_OPEN,
    STREAM_FAILED, /* never opened; the owner knows and will close */
    STREAM_LINGERING,
    STREAM_CLOSED,
};

enum notice { NOTICE_NONE, NOTICE_END, NOTICE_RESET }; /* what of the peer's leaving the owner was told */

struct stream {
    uv_poll_t poll;
    struct loop *loop;
    int fd;
    const struct stream_events *events;
    void *user;
    struct tls_session *tls; /* NULL: plain */

    struct turns_place place; /* of an accepted one that waits for its turn */
    int due;                  /* the UV_ events of that turn */
    int due_status;           /* negative: libuv's, instead of them */
    unsigned told_count;      /* how often they have come again meanwhile */
    bool is_again_due;
    struct later settle; /* applies at the end of the turn what was changed outside of a callback */
    struct timer linger_deadline;
    struct loop_leftover leftover; /* while LINGERING */

    enum stream_state state;
    enum notice noticed;
    int error; /* negative: broken, all calls answer this */
    int reset; /* negative: the peer has broken it; reading answers this once it has read all that came before
                */
    int armed; /* the UV_ events polled for */
    uint64_t pace_bytes_per_s, written_bytes;
    unsigned unsent_max, unsent_max_set; /* 0: the system's; the latter: as the socket has it */
    const char *congestion;              /* NULL: the system's */
    bool corked;
    bool is_accepted;
    bool want_read, want_write; /* the owner waits for on_readable, on_writable */
    bool input_waits;           /* became readable while reading was not wanted */
    bool peer_ended;            /* a read has answered 0 */
    bool reset_after_end;       /* the peer's end came before the reset, and is read first */
    bool ended;                 /* stream_shutdown was called */
    bool in_event;              /* inside on_poll or on_settle, which settle at their end */
};

/* --- polling
 * ----------------------------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *handle, int status, int events);

static bool has_unsent(const struct stream *s)
{
    return s->tls && tls_session_has_unsent(s->tls);
}

/* Whether bytes are encrypted before they are written. */
static bool encrypts(const struct stream *s)
{
    return s->tls && !tls_session_is_ktls(s->tls);
}

bool stream_is_early(const struct stream *s)
{
    return s->tls && tls_session_is_early(s->tls);
}

static int wanted_when_open(const struct stream *s)
{
    int events = 0;

    if (s->want_write || has_unsent(s))
        events |= UV_WRITABLE;
    if (stream_is_early(s)) /* the handshake goes on, whether or not the owner reads */
        events |= UV_READABLE | UV_DISCONNECT;
    else if (s->peer_ended || (!s->want_read && s->noticed != NOTICE_NONE))
        events |= s->noticed == NOTICE_RESET ? 0 : UV_PRIORITIZED;
    else
        events |= s->want_read || !s->input_waits ? UV_READABLE | UV_DISCONNECT : UV_DISCONNECT;
    return events;
}

static int wanted_events(const struct stream *s)
{
    if (s->error)
        return 0;
    switch (s->state) {
    case STREAM_CONNECTING: return UV_WRITABLE;
    case STREAM_HANDSHAKING: /* as when it is open, so that nothing changes then */
        return UV_READABLE | UV_DISCONNECT | (has_unsent(s) ? UV_WRITABLE : 0);
    case STREAM_OPEN: return wanted_when_open(s);
    case STREAM_LINGERING: return UV_WRITABLE;
    case STREAM_OPENING:
    case STREAM_FAILED:
    case STREAM_CLOSED: return 0;
    }
    UNREACHABLE();
}

static void update_poll(struct stream *s)
{
    int events = wanted_events(s);

    if (events == s->armed)
        return;
    s->armed = events;
    REQUIRE(uv_poll_start(&s->poll, events, on_poll) == 0); /* no events: stops */
}

static bool has_input(const struct stream *s)
{
    return s->want_read && !s->error && !s->peer_ended && s->tls && tls_session_has_input(s->tls);
}

/* After every change that may ask for other events. */
static void settle(struct stream *s)
{
    if (!s->in_event && !turns_waits(&s->place) && (wanted_events(s) != s->armed || has_input(s)))
        later_start(s->loop, &s->settle);
}

/* The end of a callback: the stream may be closed by now, but its memory stands until libuv has let go of it.
 */
static void end_event(struct stream *s)
{
    s->in_event = false;
    if (s->state == STREAM_CLOSED)
        return;
    update_poll(s);
    if (s->state == STREAM_OPEN && has_input(s) && !turns_waits(&s->place))
        later_start(s->loop, &s->settle);
}

/* --- opening
 * ----------------------------------------------------------------------------------------------------- */

static void finish_opening(struct stream *s, int status)
{
    s->error = status;
    s->state = status < 0 ? STREAM_FAILED : STREAM_OPEN;
    s->events->on_open(s->user, status);
}

static void handshake(struct stream *s)
{
    int status = has_unsent(s) ? tls_session_flush(s->tls) : 0;

    if (status == 0 || status == -EAGAIN)
        status = tls_session_handshake(s->tls);
    if (status == -EAGAIN && tls_session_is_early(s->tls))
        status = 0;
    if (status != -EAGAIN)
        finish_opening(s, status);
}

static int take_socket_error(int fd)
{
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    return -error;
}

static void finish_connecting(struct stream *s)
{
    int status = take_socket_error(s->fd);

    if (status < 0 || !s->tls) {
        finish_opening(s, status);
        return;
    }
    s->state = STREAM_HANDSHAKING;
    handshake(s);
}

/* --- events
 * ------------------------------------------------------------------------------------------------------ */

static void close_now(struct stream *s);

static void linger(struct stream *s)
{
    if (tls_session_flush(s->tls) != -EAGAIN)
        close_now(s);
}

static void end_writing(struct stream *s)
{
    if (shutdown(s->fd, SHUT_WR) < 0 && !s->error)
        s->error = -errno;
}

/* After close_notify on TLS. */
static void end_stream(struct stream *s)
{
    int status = s->tls ? tls_session_end(s->tls) : 0;

    if (status == 0)
        end_writing(s);
    else if (status != -EAGAIN) /* else handle_writable does it once the records are out */
        s->error = status;
}

/* The rest of the handshake of a stream that is open already. */
static void go_on_with_handshake(struct stream *s)
{
    int status = tls_session_handshake(s->tls);

    if (status == -EAGAIN)
        return;
    if (status < 0) {
        s->error = status;
        s->events->on_readable(s->user); /* reading says it */
        return;
    }
    if (s->ended)
        end_stream(s);
    if (s->events->on_secure)
        s->events->on_secure(s->user);
}

static void handle_writable(struct stream *s)
{
    if (has_unsent(s)) {
        int status = tls_session_flush(s->tls);

        if (status == -EAGAIN)
            return;
        if (status < 0)
            s->error = status;
        else if (s->ended && !stream_is_early(s))
            end_writing(s);
    }
    if (s->want_write) {
        s->want_write = false;
        s->events->on_writable(s->user);
    } else if (s->error) {
        s->events->on_readable(s->user); /* the owner must hear of it, and reading says it */
    }
}

static void handle_readable(struct stream *s, int events)
{
    if (s->want_read && !s->peer_ended) {
        s->events->on_readable(s->user);
    } else if (s->reset && s->noticed != NOTICE_RESET) {
        s->noticed = NOTICE_RESET;
        s->events->on_readable(s->user);
    } else if (events & UV_DISCONNECT && s->noticed == NOTICE_NONE) {
        s->noticed = NOTICE_END;
        s->events->on_readable(s->user);
    } else if (events & UV_PRIORITIZED) {
        s->noticed = NOTICE_RESET; /* nothing to tell: both sides have ended, and nothing more can come */
    } else if (events & UV_READABLE) {
        s->input_waits = true;
    }
}

static void handle_events(struct stream *s, int events)
{
    if (events & UV_WRITABLE)
        handle_writable(s);
    if (s->state == STREAM_OPEN && !s->error && stream_is_early(s) && events & ~UV_WRITABLE)
        go_on_with_handshake(s);
    if (s->state == STREAM_OPEN && !s->error && events & ~UV_WRITABLE)
        handle_readable(s, events);
}

/* libuv says no more than that the socket has an error, and has stopped polling. Taking the error here is the
 * only way to learn of a reset that follows the peer's end: recv goes on answering 0. */
static int handle_socket_error(struct stream *s)
{
    s->armed = 0;
    if (s->state == STREAM_OPEN) {
        int error = take_socket_error(s->fd);

        s->reset_after_end = error == -EPIPE; /* so the kernel calls a reset in CLOSE_WAIT */
        s->reset = error == 0 || error == -EPIPE ? -ECONNRESET : error;
    }
    return UV_READABLE | UV_WRITABLE;
}

/* Accepted streams take turns; what we have connected ourselves does not wait. */
static bool may_go(struct stream *s)
{
    struct turns *turns = loop_turns(s->loop);

    return !s->is_accepted || turns_may_go(turns, clock_monotonic_us()) || !turns_wait(turns, &s->place);
}

/* Whoever is told again and again of what it waits with is not polled for until then. To hear of it once more
 * costs less than to stop and start. */
static void note_due(struct stream *s, int status, int events)
{
    if (status < 0) {
        s->due_status = status;
        s->armed = 0; /* libuv has stopped */
    } else if ((events & ~s->due) == 0 && ++s->told_count == TOLD_MAX) {
        uv_poll_stop(&s->poll);
        s->armed = 0;
    }
    s->due |= events;
}

static void take_events(struct stream *s, int status, int events)
{
    if (status < 0)
        events = handle_socket_error(s);
    s->in_event = true;
    switch (s->state) {
    case STREAM_CONNECTING: finish_connecting(s); break;
    case STREAM_HANDSHAKING: handshake(s); break;
    case STREAM_OPEN: handle_events(s, events); break;
    case STREAM_LINGERING: linger(s); break;
    case STREAM_OPENING:
    case STREAM_FAILED:
    case STREAM_CLOSED: break;
    }
    end_event(s);
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct stream *s = container_of(handle, struct stream, poll);

    if (may_go(s))
        take_events(s, status, events);
    else
        note_due(s, status, events);
}

static void on_turn(struct turns_place *place)
{
    struct stream *s = container_of(place, struct stream, place);
    int status = s->due_status, events = s->due;
    bool is_again_due = s->is_again_due;

    s->due = s->due_status = 0;
    s->told_count = 0;
    s->is_again_due = false;
    s->in_event = true;
    if (is_again_due)
        s->events->on_again(s->user);
    if (s->state == STREAM_OPEN && has_input(s))
        events |= UV_READABLE;
    if (s->state == STREAM_CLOSED || (status == 0 && events == 0))
        end_event(s);
    else
        take_events(s, status, events);
}

static void on_settle(struct later *later)
{
    struct stream *s = container_of(later, struct stream, settle);

    s->in_event = true;
    if (s->state == STREAM_OPENING)
        finish_opening(s, s->error);
    else if (s->state == STREAM_OPEN && has_input(s) && may_go(s))
        s->events->on_readable(s->user);
    end_event(s);
}

bool stream_may_go_on(struct stream *s)
{
    if (may_go(s))
        return true;
    s->is_again_due = true;
    return false;
}

bool stream_has_had_its_slice(const struct stream *s)
{
    return turns_is_over(loop_turns(s->loop), clock_monotonic_us());
}

/* --- making and closing
 * ------------------------------------------------------------------------------------------ */

static void on_linger_deadline(struct timer *t)
{
    close_now(container_of(t, struct stream, linger_deadline));
}

static void on_loop_ends(struct loop_leftover *leftover)
{
    close_now(container_of(leftover, struct stream, leftover));
}

static void free_stream(struct stream *s)
{
    tls_session_free(s->tls);
    free(s);
}

/* Does not own fd and tls when it fails. */
static int stream_new(struct loop *l, int fd, struct tls_session *tls, const struct stream_events *events,
                      void *user, struct stream **ret_stream)
{
    struct stream *s = calloc(1, sizeof(*s));
    int status, one = 1;

    if (!s)
        return -ENOMEM;
    s->loop = l;
    s->fd = fd;
    s->events = events;
    s->user = user;
    s->tls = tls;
    s->want_read = true;
    list_init(&s->leftover.node);
    later_init(&s->settle, on_settle);
    turns_place_init(&s->place, 0, on_turn);
    timer_init(&s->linger_deadline, on_linger_deadline);
    status = uv_poll_init(loop_uv(l), &s->poll, fd);
    if (status < 0) {
        free(s);
        return status;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
               sizeof(one)); /* what belongs together is marked with MSG_MORE */
    *ret_stream = s;
    return 0;
}

int stream_accept(struct loop *l, int fd, const struct addr *peer, struct tls_server *tls,
                  const struct stream_events *events, void *user, struct stream **ret_stream)
{
    struct tls_session *session = NULL;
    struct stream *s = NULL;
    int status = tls ? tls_session_accept(l, fd, tls, &session) : 0;

    if (status == 0)
        status = stream_new(l, fd, session, events, user, &s);
    if (!s) {
        tls_session_free(session);
        close(fd);
        return status;
    }
    s->is_accepted = true;
    ++*loop_accepted_count(l);
    turns_place_init(&s->place, turns_key(loop_turns(l), peer), on_turn);
    s->state = tls ? STREAM_HANDSHAKING : STREAM_OPENING;
    later_start(l, &s->settle);
    *ret_stream = s;
    return 0;
}

int stream_connect(struct loop *l, const struct addr *to, struct tls_client *tls, const char *server_name,
                   const struct stream_events *events, void *user, struct stream **ret_stream)
{
    struct sockaddr_storage sa;
    socklen_t sa_size = addr_to_sockaddr(to, &sa);
    struct tls_session *session = NULL;
    struct stream *s = NULL;
    int fd, status;

    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    status = tls ? tls_session_connect(l, fd, tls, server_name, &session) : 0;
    if (status == 0)
        status = stream_new(l, fd, session, events, user, &s);
    if (!s) {
        tls_session_free(session);
        close(fd);
        return status;
    }
    s->state = STREAM_CONNECTING;
    if (connect(fd, (struct sockaddr *)&sa, sa_size) < 0 && errno != EINPROGRESS) {
        s->error = -errno;
        s->state = STREAM_OPENING; /* on_open is never called from in here */
    }
    later_start(l, &s->settle);
    *ret_stream = s;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free_stream(container_of((uv_poll_t *)handle, struct stream, poll));
}

static void close_now(struct stream *s)
{
    s->state = STREAM_CLOSED;
    if (s->is_accepted)
        --*loop_accepted_count(s->loop);
    turns_leave(loop_turns(s->loop), &s->place);
    later_stop(&s->settle);
    timer_stop(&s->linger_deadline);
    list_remove(&s->leftover.node);
    uv_close((uv_handle_t *)&s->poll, on_closed);
    close(s->fd);
}

void stream_close(struct stream *s)
{
    if (!s || !CHECK(s->state != STREAM_LINGERING && s->state != STREAM_CLOSED))
        return;
    if (s->state != STREAM_OPEN || s->error || !has_unsent(s)) {
        close_now(s);
        return;
    }
    s->state = STREAM_LINGERING; /* of a plain stream the kernel takes this care */
    later_stop(&s->settle);
    timer_start(s->loop, &s->linger_deadline, LINGER_MAX_MS);
    loop_add_leftover(s->loop, &s->leftover, on_loop_ends);
    update_poll(s);
}

void stream_reset(struct stream *s)
{
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    if (!s || !CHECK(s->state != STREAM_LINGERING && s->state != STREAM_CLOSED))
        return;
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close_now(s);
}

/* --- reading and writing
 * ----------------------------------------------------------------------------------------- */

static ssize_t receive(int fd, void *data, size_t size)
{
    ssize_t n;

    do
        n = recv(fd, data, size, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t stream_read(struct stream *s, void *data, size_t size)
{
    ssize_t n;

    if (s->error)
        return s->error;
    if (!CHECK(s->state == STREAM_OPEN && size > 0))
        return -EINVAL;
    n = s->tls ? tls_session_read(s->tls, data, size) : receive(s->fd, data, size);
    if (n == 0 && s->reset && (s->noticed == NOTICE_RESET || !s->reset_after_end))
        n = s->reset;
    if (n == 0) {
        s->peer_ended = true;
        if (s->noticed == NOTICE_NONE)
            s->noticed = NOTICE_END;
    } else if (n < 0 && n != -EAGAIN) {
        s->error = (int)n;
    }
    settle(s);
    return n;
}

void stream_want_read(struct stream *s, bool want)
{
    s->want_read = want;
    if (want)
        s->input_waits = false;
    settle(s);
}

static bool any_is_lost(const struct iovec *parts, int count)
{
    for (int i = 0; i < count; i++)
        if (guard_is_lost(parts[i].iov_base))
            return true;
    return false;
}

/* A map that has lost its file is asked about before, as its zeros must not leave, and once more behind: the
 * kernel itself meets the end of the file with EFAULT, but another thread may have met it meanwhile. */
static ssize_t send_parts(int fd, const struct iovec *parts, int count, bool more)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
    ssize_t n;

    if (any_is_lost(parts, count))
        return -EIO;
    do
        n = sendmsg(fd, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EFAULT)
        for (int i = 0; i < count; i++)
            guard_lose(parts[i].iov_base);
    if ((n < 0 && errno == EFAULT) || any_is_lost(parts, count))
        return -EIO;
    return n < 0 ? -errno : n;
}

static ssize_t send_file(int fd, const struct span *span, size_t size)
{
    off_t offset = (off_t)span->offset_bytes;
    ssize_t n;

    do
        n = sendfile(fd, span->fd, &offset, size);
    while (n < 0 && errno == EINTR);
    if (n == 0 || (n < 0 && errno == EIO)) {
        guard_lose(span->data);
        return -EIO;
    }
    return n < 0 ? -errno : n;
}

static void set_cork(struct stream *s, bool corked)
{
    int value = corked;

    if (s->corked == corked)
        return;
    s->corked = corked;
    setsockopt(s->fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value));
}

/* A large span, or one that more follows, goes out corked until its end: sendfile has no MSG_MORE, and
 * without a cork every acknowledgement pushes out what stands in the queue, however little: a fifth of the
 * CPU of a segment went into such packets. Where little may wait unsent the
 * cork goes before: on loopback, whose packets have 64 KiB, what it holds back would be all that may wait,
 * and nobody would ask for more. */
static ssize_t send_span(struct stream *s, const struct span *span, bool more)
{
    size_t size = size_min(span->size, SEND_MAX);
    struct iovec part = {.iov_base = (void *)span->data, .iov_len = size};
    ssize_t n;

    if (span->fd < 0 || (span->data && size < STREAM_SENDFILE_MIN))
        return send_parts(s->fd, &part, 1, more || size < span->size);
    if (size >= CORK_MIN || more)
        set_cork(s, true);
    n = send_file(s->fd, span, size);
    if ((n == (ssize_t)span->size && !more) || (n < (ssize_t)size && s->unsent_max > 0))
        set_cork(s, false);
    return n;
}

static int check_writing(const struct stream *s)
{
    if (s->error)
        return s->error;
    if (!CHECK(s->state == STREAM_OPEN))
        return -ENOTCONN;
    return s->ended ? -EPIPE : 0;
}

/* A quarter of a second, and a little more so that this much goes in one call: little memory in the kernel,
 * and few wake-ups. 0: the system's. */
static unsigned paced_unsent_max(uint64_t rate_bytes_per_s)
{
    uint64_t size = rate_bytes_per_s / 16 * 5;

    if (rate_bytes_per_s == 0)
        return 0;
    return (unsigned)(size < PACED_UNSENT_MIN   ? PACED_UNSENT_MIN
                      : size > PACED_UNSENT_MAX ? PACED_UNSENT_MAX
                                                : size);
}

static void apply_unsent_max(struct stream *s)
{
    unsigned paced = paced_unsent_max(s->pace_bytes_per_s), max = s->unsent_max;

    if (max == 0 || (paced > 0 && paced < max))
        max = paced;
    if (max == s->unsent_max_set)
        return;
    s->unsent_max_set = max;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &max, sizeof(max));
}

/* What peers do not take stands in the kernel, which has memory for so much of it in all, and lets everybody
 * wait when that is used up. So the more streams there are the less each may leave standing, and half of what
 * has gone through before at most: who has never taken anything has the least. */
static void bound_unsent(struct stream *s, size_t size)
{
    size_t share = UNSENT_ALL / size_max(*loop_accepted_count(s->loop), 1), max = UNSENT_FREE;

    if (!s->is_accepted || size < UNSENT_MIN)
        return;
    if (share < UNSENT_FREE && s->written_bytes / 2 < share)
        share = size_min(share, size_max((size_t)(s->written_bytes / 2), UNSENT_NEW));
    while (max > share && max > UNSENT_MIN)
        max /= 2;
    s->unsent_max = max < UNSENT_FREE ? (unsigned)max : 0;
    apply_unsent_max(s);
}

/* Books the outcome of a write of `size` bytes. */
static ssize_t wrote(struct stream *s, ssize_t n, size_t size)
{
    if (n < 0 && n != -EAGAIN)
        s->error = (int)n;
    if (n > 0)
        s->written_bytes += (size_t)n;
    s->want_write = n < (ssize_t)size;
    settle(s);
    return n;
}

ssize_t stream_writev(struct stream *s, const struct iovec *parts, int count, bool more)
{
    int status = check_writing(s);
    size_t size = 0;

    if (status < 0)
        return status;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    if (size == 0)
        return 0;
    bound_unsent(s, size);
    if (s->corked && !more) /* the end of what was begun with a large span */
        set_cork(s, false);
    return wrote(s,
                 encrypts(s) ? tls_session_writev(s->tls, parts, count, more)
                             : send_parts(s->fd, parts, count, more),
                 size);
}

ssize_t stream_send_span(struct stream *s, const struct span *span, bool more)
{
    int status = check_writing(s);

    if (status < 0)
        return status;
    if (span->size == 0)
        return 0;
    bound_unsent(s, span->size);
    return wrote(s, encrypts(s) ? tls_session_send_span(s->tls, span, more) : send_span(s, span, more),
                 span->size);
}

bool stream_has_sendfile(const struct stream *s)
{
    return !encrypts(s);
}

void stream_push(struct stream *s)
{
    if (!s->error)
        set_cork(s, false);
}

size_t stream_room(struct stream *s)
{
    if (s->error || !encrypts(s))
        return ROOM_PLAIN; /* a write will tell */
    if (has_unsent(s)) {
        s->want_write = true;
        settle(s);
        return 0;
    }
    return tls_session_room(s->tls);
}

uint64_t stream_acked_bytes(const struct stream *s)
{
    return tcp_acked_bytes(s->fd);
}

void stream_rest(struct stream *s)
{
    if (s->tls && s->state == STREAM_OPEN && !s->error)
        tls_session_rest(s->tls);
}

int stream_shutdown(struct stream *s)
{
    if (s->error)
        return s->error;
    if (!CHECK(s->state == STREAM_OPEN))
        return -ENOTCONN;
    if (s->ended)
        return 0;
    s->ended = true;
    s->want_write = false;
    if (!stream_is_early(s)) /* else it follows the handshake */
        end_stream(s);
    settle(s);
    return s->error;
}

/* --- the rest
 * ---------------------------------------------------------------------------------------------------- */

void stream_set_pace(struct stream *s, uint64_t rate_bytes_per_s)
{
    unsigned long rate = rate_bytes_per_s > 0 ? (unsigned long)rate_bytes_per_s : ~0ul;

    if (rate_bytes_per_s == s->pace_bytes_per_s)
        return;
    s->pace_bytes_per_s = rate_bytes_per_s;
    apply_unsent_max(s);
    setsockopt(s->fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
}

static int set_congestion(int fd, const char *name)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t)strlen(name));
}

void stream_set_congestion(struct stream *s, const char *name)
{
    if (s->congestion == name)
        return;
    s->congestion = name;
    set_congestion(s->fd, name);
}

bool stream_has_congestion(const char *name)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && set_congestion(fd, name) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

void stream_peer(const struct stream *s, struct addr *ret_addr)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(sa);

    getpeername(s->fd, (struct sockaddr *)&sa, &size);
    addr_from_sockaddr((struct sockaddr *)&sa, ret_addr);
}

void stream_local(const struct stream *s, struct addr *ret_addr)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(sa);

    getsockname(s->fd, (struct sockaddr *)&sa, &size);
    addr_from_sockaddr((struct sockaddr *)&sa, ret_addr);
}

bool stream_is_tls(const struct stream *s)
{
    return s->tls != NULL;
}

const char *stream_server_name(const struct stream *s)
{
    return s->tls ? tls_session_server_name(s->tls) : "";
}

bool stream_is_http2(const struct stream *s)
{
    return s->tls && tls_session_is_http2(s->tls);
}
