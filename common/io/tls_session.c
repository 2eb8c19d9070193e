/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS connection. OpenSSL writes its records into the loop's scratch memory, as many as fit one send, and
 * they leave with one system call; that costs about a sixth less CPU than a call for each record of 16 kB.
 *
 *   write ---> [flush unsent] ---> encrypt into scratch ---> send ---> keep what the socket left: unsent
 *
 * How much is encrypted at once follows what the socket takes: a slow viewer has little unsent memory. After
 * a silence the first records are small: a record is of use only as a whole, and one of 16 kB is more than
 * the first window of TCP.
 *
 * Where the kernel encrypts (kTLS), OpenSSL writes to the socket itself, and gives the kernel the keys at the
 * end of the handshake. From then on what the stream writes is plain, and only what OpenSSL has to say of its
 * own (alerts, tickets) still goes through here. Reading is the same in both cases.
 *
 * Early data is read by the handshake as it comes and kept until it is asked for, at most TLS_EARLY_DATA_MAX
 * of it: so the handshake goes on whether or not the owner reads.
 */
#include "tls_session.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/guard.h"
#include "loop_private.h"
#include "tls_fold.h"
#include "tls_ktls.h"
#include "tls_private.h"

/* The scratch memory: records, and behind them plain bytes that have to be made contiguous first. */
#define PLAIN_SIZE   ((size_t)64 << 10)
#define RECORDS_SIZE (LOOP_SCRATCH_SIZE - PLAIN_SIZE)
#define GATHER_MIN   ((size_t)16 << 10) /* plain bytes, as all GATHER_: one record */
#define GATHER_START ((size_t)64 << 10)
#define GATHER_MAX   ((size_t)256 << 10)
#define UNSENT_MAX   (2 * RECORDS_SIZE) /* beyond it the peer makes us answer and does not read */
#define RECORD_MAX   ((size_t)16 << 10) /* plain bytes of one record: RFC 8446 section 5.1 */
#define RECORD_SMALL ((size_t)4000)     /* with its frame it fits three segments of TCP */
#define SMALL_BYTES  (4 * RECORD_SMALL) /* so much goes out in small records */
#define SILENCE_MS   1000u              /* after it TCP begins anew (RFC 2861), and so do small records */
#define READS_MAX    8u /* a call: a peer that sends only key updates must not hold the loop */

_Static_assert(GATHER_MAX + GATHER_MAX / 8 <= RECORDS_SIZE, "gathered records and their frames must fit");

struct tls_session {
    SSL *ssl;
    struct tls_folded *folded; /* NULL: the connection is awake. See awake() */
    struct tls_server *server; /* NULL: a client's session */
    struct loop *loop;
    int fd;

    int socket_error;    /* negative, of the last recv or send that broke; it stays */
    bool socket_ended;   /* recv has answered 0 */
    unsigned reads_left; /* calls of recv until the next turn */
    bool is_drained;     /* recv gave less than it could: the socket had no more, in this turn */
    bool read_exhausted; /* the last SSL_read wanted bytes that are not there yet */

    bool awaits_early; /* early data may still come */
    bool is_early;     /* some has come, and the handshake is not complete */
    char *early;       /* what of it was not read; NULL: none */
    size_t early_size, early_start;

    bool is_ktls;        /* the kernel encrypts */
    bool wants_write;    /* OpenSSL writes to the socket itself, and found it full */
    bool is_ending;      /* with a close_notify that is not out yet */
    bool has_key_update; /* the peer wanted other keys */

    uint64_t wrote_ms; /* when last: see SILENCE_MS */
    size_t small_left; /* of SMALL_BYTES */

    size_t gathered_size; /* in the scratch memory; 0 between calls */
    size_t gather_max;    /* plain bytes to encrypt at once */
    char *unsent;         /* NULL: none */
    size_t unsent_size, unsent_start;
};

/* --- the socket, as OpenSSL sees it
 * ------------------------------------------------------------------------------ */

static int bio_read(BIO *bio, char *data, size_t size, size_t *ret_size)
{
    struct tls_session *t = BIO_get_data(bio);
    ssize_t n;

    BIO_clear_retry_flags(bio);
    if (t->reads_left == 0 || t->is_drained) {
        BIO_set_retry_read(bio); /* if the socket has more, or will, the loop comes back */
        return 0;
    }
    t->reads_left--;
    do
        n = recv(t->fd, data, size, 0);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
        t->is_drained = (size_t)n < size; /* to ask again would be a system call for nothing */
        *ret_size = (size_t)n;
        return 1;
    }
    if (n == 0)
        t->socket_ended = true;
    else if (errno == EAGAIN)
        BIO_set_retry_read(bio);
    else
        t->socket_error = -errno;
    return 0;
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *ret_size)
{
    struct tls_session *t = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (size > RECORDS_SIZE -
                   t->gathered_size) { /* what the peer makes us answer within one call has no other end */
        t->socket_error = -ENOBUFS;
        return 0;
    }
    memcpy(loop_scratch(t->loop) + t->gathered_size, data, size);
    t->gathered_size += size;
    *ret_size = size;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");

    if (m && BIO_meth_set_read_ex(m, bio_read) && BIO_meth_set_write_ex(m, bio_write) &&
        BIO_meth_set_ctrl(m, bio_control))
        bio_method = m;
}

/* With `direct` OpenSSL writes to the socket, as only so it can give the kernel keys. */
static bool attach_bio(struct tls_session *t, bool direct)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    BIO *bio, *out;

    pthread_once(&once, make_bio_method);
    bio = bio_method ? BIO_new(bio_method) : NULL;
    out = bio && direct ? BIO_new_socket(t->fd, BIO_NOCLOSE) : bio;
    if (!bio || !out) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, out);
    return true;
}

/* --- sending
 * ----------------------------------------------------------------------------------------------------- */

/* Bytes sent, 0 when the socket takes none now; negative: broken. */
static ssize_t send_some(struct tls_session *t, const char *data, size_t size, bool more)
{
    ssize_t n;

    if (t->socket_error)
        return t->socket_error;
    do
        n = send(t->fd, data, size, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return n;
    if (errno == EAGAIN)
        return 0;
    return t->socket_error = -errno;
}

/* Records must not be lost: without memory for them the connection is broken. */
static int keep_unsent(struct tls_session *t, const char *data, size_t size)
{
    size_t waiting = t->unsent_size - t->unsent_start;
    char *unsent;

    if (size > UNSENT_MAX - waiting)
        return t->socket_error = -ENOBUFS;
    unsent = malloc(waiting + size);
    if (!unsent)
        return t->socket_error = -ENOMEM;
    if (t->unsent)
        memcpy(unsent, t->unsent + t->unsent_start, waiting);
    memcpy(unsent + waiting, data, size);
    free(t->unsent);
    t->unsent = unsent;
    t->unsent_start = 0;
    t->unsent_size = waiting + size;
    return 0;
}

size_t tls_session_room(const struct tls_session *t)
{
    return t->gather_max;
}

bool tls_session_has_unsent(const struct tls_session *t)
{
    return t->unsent || t->wants_write;
}

int tls_session_flush(struct tls_session *t)
{
    ssize_t n;

    t->wants_write = false; /* it is tried again by who was in the middle of it */
    if (t->is_ending)
        return tls_session_end(t);
    if (!t->unsent)
        return t->socket_error;
    n = send_some(t, t->unsent + t->unsent_start, t->unsent_size - t->unsent_start, false);
    if (n < 0)
        return (int)n;
    t->unsent_start += (size_t)n;
    if (t->unsent_start < t->unsent_size)
        return -EAGAIN;
    free(t->unsent);
    t->unsent = NULL;
    t->unsent_size = t->unsent_start = 0;
    return 0;
}

/* After every call into OpenSSL that may have written. 0 also when the socket took less than all. */
static int send_gathered(struct tls_session *t, bool more)
{
    const char *records = loop_scratch(t->loop);
    size_t size = t->gathered_size;
    ssize_t n = 0;

    t->gathered_size = 0;
    if (size == 0)
        return t->socket_error;
    if (!t->unsent)
        n = send_some(t, records, size, more);
    if (n < 0)
        return (int)n;
    if ((size_t)n == size)
        return 0;
    return keep_unsent(t, records + n, size - (size_t)n);
}

/* --- resting ---
 *
 * What is called for a connection that may rest gets at OpenSSL's object here. */

static SSL *awake(struct tls_session *t)
{
    if (t->folded)
        tls_unfold(t->ssl, t->folded);
    t->folded = NULL;
    return t->ssl;
}

void tls_session_rest(struct tls_session *t)
{
    if (!t->folded && !t->is_early && !tls_session_has_input(t) && !tls_session_has_unsent(t))
        t->folded = tls_fold(t->ssl);
}

/* --- making
 * ------------------------------------------------------------------------------------------------------ */

static int session_new(struct loop *l, int fd, SSL *ssl, bool direct, struct tls_session **ret_session)
{
    struct tls_session *t = ssl ? calloc(1, sizeof(*t)) : NULL;

    if (!t) {
        SSL_free(ssl);
        return -ENOMEM;
    }
    t->ssl = ssl;
    t->loop = l;
    t->fd = fd;
    t->gather_max = GATHER_START;
    t->small_left = SMALL_BYTES;
    t->wrote_ms = loop_now_ms(l);
    if (!attach_bio(t, direct)) {
        tls_session_free(t);
        return -ENOMEM;
    }
    SSL_set_app_data(ssl, t);
    *ret_session = t;
    return 0;
}

int tls_session_accept(struct loop *l, int fd, struct tls_server *server, struct tls_session **ret_session)
{
    struct tls_session *t;
    bool direct = tls_server_has_ktls(server) && tls_ktls_enable(fd);
    int status = session_new(l, fd, tls_server_connection(server), direct, &t);

    if (status < 0)
        return status;
    t->server = tls_server_ref(server);
    t->awaits_early = tls_server_takes_early(server);
    SSL_set_accept_state(t->ssl);
    *ret_session = t;
    return 0;
}

int tls_session_connect(struct loop *l, int fd, struct tls_client *client, const char *server_name,
                        struct tls_session **ret_session)
{
    struct tls_session *t;
    int status = session_new(l, fd, tls_client_connection(client, server_name), false, &t);

    if (status < 0)
        return status;
    SSL_set_connect_state(t->ssl);
    *ret_session = t;
    return 0;
}

void tls_session_free(struct tls_session *t)
{
    if (!t)
        return;
    SSL_free(awake(t));
    tls_server_unref(t->server);
    free(t->unsent);
    free(t->early);
    free(t);
}

/* --- handshake and reading
 * --------------------------------------------------------------------------------------- */

/* What an SSL_ call that answered `result` means; directly after it. 0: the peer has ended as it should. */
static int outcome(struct tls_session *t, int result)
{
    int error = errno;

    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_WANT_READ: return -EAGAIN;
    case SSL_ERROR_WANT_WRITE: t->wants_write = true; return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL:
        if (!t->socket_error && !t->socket_ended && error == EPIPE) /* of a write of OpenSSL's own */
            t->socket_error = -error;
        break;
    default: break;
    }
    if (t->socket_error)
        return t->socket_error;
    return t->socket_ended ? -ECONNRESET : -EPROTO;
}

static void on_message(int is_written, int version, int type, const void *data, size_t size, SSL *ssl,
                       void *user)
{
    struct tls_session *t = user;

    (void)version, (void)ssl;
    if (!is_written && type == SSL3_RT_HANDSHAKE && size > 0 && *(const char *)data == SSL3_MT_KEY_UPDATE)
        t->has_key_update = true;
}

/* Who encrypts from now on. */
static void settle_on_kernel(struct tls_session *t)
{
    BIO *in = SSL_get_rbio(t->ssl), *out = SSL_get_wbio(t->ssl);

    t->is_ktls = in != out && BIO_get_ktls_send(out);
    if (t->is_ktls) {
        SSL_set_msg_callback(t->ssl, on_message);
        SSL_set_msg_callback_arg(t->ssl, t);
    } else if (in != out) { /* a cipher that the kernel does not know */
        BIO_up_ref(in);
        SSL_set0_wbio(t->ssl, in);
    }
    if (t->server)
        tls_server_note_open(t->server, t->ssl, t->is_ktls);
}

void tls_session_leave_kernel(struct tls_session *t)
{
    BIO *in = SSL_get_rbio(t->ssl);

    SSL_clear_options(t->ssl, SSL_OP_ENABLE_KTLS);
    if (SSL_get_wbio(t->ssl) == in)
        return;
    BIO_up_ref(in);
    SSL_set0_wbio(t->ssl, in);
}

static int keep_early(struct tls_session *t, const char *data, size_t size)
{
    char *early;

    if (!CHECK(size <= TLS_EARLY_DATA_MAX - t->early_size)) /* OpenSSL counts */
        return -EPROTO;
    early = realloc(t->early, t->early_size + size);
    if (!early)
        return -ENOMEM;
    memcpy(early + t->early_size, data, size);
    t->early = early;
    t->early_size += size;
    if (!t->is_early)
        tls_server_note_early(t->server);
    t->is_early = true;
    return 0;
}

/* The handshake as far as the end of early data. 0: none comes any more. */
static int take_early(struct tls_session *t)
{
    char *data = loop_scratch(t->loop) + RECORDS_SIZE;
    int status = 0;
    size_t n;

    while (status == 0) {
        switch (SSL_read_early_data(t->ssl, data, PLAIN_SIZE, &n)) {
        case SSL_READ_EARLY_DATA_SUCCESS: status = keep_early(t, data, n); break;
        case SSL_READ_EARLY_DATA_FINISH: t->awaits_early = false; return 0;
        default: status = outcome(t, 0); return status == 0 ? -ECONNRESET : status;
        }
    }
    return status;
}

static int complete_handshake(struct tls_session *t)
{
    int result = SSL_do_handshake(t->ssl), status;

    if (result == 1) {
        t->is_early = false;
        settle_on_kernel(t);
        return 0;
    }
    status = outcome(t, result);
    return status == 0 ? -ECONNRESET : status;
}

int tls_session_handshake(struct tls_session *t)
{
    int status, sent;

    ERR_clear_error();
    t->reads_left = READS_MAX;
    t->is_drained = false;
    status = t->awaits_early ? take_early(t) : 0;
    if (status == 0)
        status = complete_handshake(t);
    if (status == -EPROTO && !t->server)
        tls_log_failure(t->ssl);
    sent = send_gathered(t, false); /* an alert, too */
    return status == 0 || status == -EAGAIN ? (sent < 0 ? sent : status) : status;
}

bool tls_session_is_early(const struct tls_session *t)
{
    return t->is_early;
}

static ssize_t read_early(struct tls_session *t, void *data, size_t size)
{
    size = size_min(size, t->early_size - t->early_start);
    memcpy(data, t->early + t->early_start, size);
    t->early_start += size;
    if (t->early_start < t->early_size)
        return (ssize_t)size;
    free(t->early);
    t->early = NULL;
    t->early_size = t->early_start = 0;
    return (ssize_t)size;
}

ssize_t tls_session_read(struct tls_session *t, void *data, size_t size)
{
    size_t n = 0;
    int result, status = 0;

    if (t->early)
        return read_early(t, data, size);
    if (t->is_early) /* the handshake reads */
        return -EAGAIN;
    ERR_clear_error();
    t->reads_left = READS_MAX;
    t->is_drained = false;
    result = SSL_read_ex(awake(t), data, size, &n);
    if (result != 1)
        status = outcome(t, result);
    t->read_exhausted = status == -EAGAIN;
    send_gathered(t, false); /* answers to key updates; if that breaks the socket, the next write says so */
    if (result == 1)
        return (ssize_t)n;
    if (t->is_ktls && t->has_key_update && status != -EAGAIN && status != 0)
        tls_server_note_key_update(t->server);
    if (t->server && t->socket_ended && status == -ECONNRESET)
        return 0; /* browsers end like that, and nothing of a request hangs on it */
    return status;
}

bool tls_session_has_input(const struct tls_session *t)
{
    return t->early || (!t->folded && !t->is_early && !t->read_exhausted && SSL_has_pending(t->ssl));
}

/* --- writing
 * ----------------------------------------------------------------------------------------------------- */

/* Bytes of a file that was cut short while they were encrypted: none of what was gathered leaves. */
static int give_up_lost(struct tls_session *t)
{
    t->gathered_size = 0;
    return t->socket_error = -EIO;
}

static bool encrypt_some(struct tls_session *t, const char *data, size_t size, size_t *ret_size)
{
    return (t->is_early ? SSL_write_early_data(t->ssl, data, size, ret_size)
                        : SSL_write_ex(t->ssl, data, size, ret_size)) == 1;
}

static int encrypt(struct tls_session *t, const char *data, size_t size)
{
    const char *begin = data;
    size_t n;

    ERR_clear_error();
    awake(t);
    while (size > 0) {
        if (!encrypt_some(t, data, t->small_left > 0 ? size_min(size, RECORD_SMALL) : size, &n)) {
            t->gathered_size = 0;
            return t->socket_error = -EPROTO;
        }
        t->small_left -= size_min(t->small_left, n);
        data += n;
        size -= n;
    }
    return guard_is_lost(begin) ? give_up_lost(t) : 0;
}

/* Before each write. */
static int begin_write(struct tls_session *t)
{
    uint64_t now_ms = loop_now_ms(t->loop);

    if (now_ms - t->wrote_ms >= SILENCE_MS)
        t->small_left = SMALL_BYTES;
    t->wrote_ms = now_ms;
    return tls_session_flush(t);
}

/* Sends what was encrypted from `size` plain bytes, and learns from it how much to encrypt the next time. */
static ssize_t deliver(struct tls_session *t, size_t size, bool more)
{
    int status = send_gathered(t, more);

    if (status < 0)
        return status;
    if (t->unsent)
        t->gather_max = size_max(t->gather_max / 2, GATHER_MIN);
    else if (size >= t->gather_max)
        t->gather_max = size_min(t->gather_max * 2, GATHER_MAX);
    return (ssize_t)size;
}

/* Parts that would make small records share them with what follows, and are copied for it; what fills a
 * record by itself is encrypted where it stands. So HTTP/2's frames, whose heads are 9 bytes, are a record
 * each. */
static int encrypt_parts(struct tls_session *t, const struct iovec *parts, int count, size_t room)
{
    char *block = loop_scratch(t->loop) + RECORDS_SIZE;
    size_t filled = 0;
    int status = 0;

    for (int i = 0; i < count && status == 0; i++) {
        const char *data = parts[i].iov_base;
        size_t left = size_min(parts[i].iov_len, room), size;

        room -= left;
        for (; left > 0 && status == 0; data += size, left -= size) {
            if (filled == 0 && left >= RECORD_MAX) {
                size = left - left % RECORD_MAX;
                status = encrypt(t, data, size);
                continue;
            }
            size = size_min(left, RECORD_MAX - filled);
            memcpy(block + filled, data, size);
            filled += size;
            if (guard_is_lost(data))
                return give_up_lost(t);
            if (filled == RECORD_MAX) {
                status = encrypt(t, block, filled);
                filled = 0;
            }
        }
    }
    return status == 0 && filled > 0 ? encrypt(t, block, filled) : status;
}

ssize_t tls_session_writev(struct tls_session *t, const struct iovec *parts, int count, bool more)
{
    int status = begin_write(t);
    size_t size = 0;

    if (status < 0)
        return status;
    for (int i = 0; i < count; i++)
        size += parts[i].iov_len;
    more |= size > t->gather_max;
    size = size_min(size, t->gather_max);
    status = encrypt_parts(t, parts, count, size);
    return status < 0 ? status : deliver(t, size, more);
}

/* Encrypts from the file alone; how many bytes, less than `size` only when the file ends or fails. */
static ssize_t encrypt_file(struct tls_session *t, const struct span *span, size_t size)
{
    char *plain = loop_scratch(t->loop) + RECORDS_SIZE;
    size_t done = 0;

    while (done < size) {
        ssize_t n =
            pread(span->fd, plain, size_min(size - done, PLAIN_SIZE), (off_t)(span->offset_bytes + done));
        int status;

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return done > 0 ? (ssize_t)done : -EIO;
        status = encrypt(t, plain, (size_t)n);
        if (status < 0)
            return status;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

ssize_t tls_session_send_span(struct tls_session *t, const struct span *span, bool more)
{
    int status = begin_write(t);
    ssize_t size = (ssize_t)size_min(span->size, t->gather_max);

    if (status < 0)
        return status;
    if (span->data)
        status = encrypt(t, span->data, (size_t)size);
    else
        size = encrypt_file(t, span, (size_t)size);
    if (status < 0 || size < 0)
        return status < 0 ? status : size;
    return deliver(t, (size_t)size, more || (size_t)size < span->size);
}

int tls_session_end(struct tls_session *t)
{
    int status, result;

    ERR_clear_error();
    result = SSL_shutdown(awake(t));
    t->is_ending = t->is_ktls && result < 0 && SSL_get_error(t->ssl, result) == SSL_ERROR_WANT_WRITE;
    if (t->is_ending) {
        t->wants_write = true;
        return -EAGAIN;
    }
    status = send_gathered(t, true); /* the end of the socket follows, in the same packet */
    if (status < 0)
        return status;
    return t->unsent ? -EAGAIN : 0;
}

/* --- the rest
 * ---------------------------------------------------------------------------------------------------- */

const char *tls_session_server_name(struct tls_session *t)
{
    const char *name = SSL_get_servername(awake(t), TLSEXT_NAMETYPE_host_name);

    return name ? name : "";
}

bool tls_session_is_ktls(const struct tls_session *t)
{
    return t->is_ktls;
}

bool tls_session_is_http2(struct tls_session *t)
{
    const unsigned char *protocol;
    unsigned size;

    SSL_get0_alpn_selected(awake(t), &protocol, &size);
    return size == 2 && memcmp(protocol, "h2", 2) == 0;
}

int tls_session_fd(const struct tls_session *t)
{
    return t->fd;
}
