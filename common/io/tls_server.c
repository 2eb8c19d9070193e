/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS settings of servers. There is a base context without a certificate, where every handshake starts, and a
 * context for each identity, to which the handshake moves when the name is known. What OpenSSL takes from the
 * context it moved to (ALPN, stapling) is set on all of them alike; session tickets are the base's, so they
 * hold for all names. Reading certificates anew is to put another context in an identity's place: connections
 * keep the one they have.
 */
#include <errno.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "tls_fold.h"
#include "tls_identity.h"
#include "tls_ktls.h"
#include "tls_private.h"
#include "tls_session.h"
#include "tls_ticket.h"

/* None that costs us much and a client little: OpenSSL's own list has finite fields of 8192 bits. */
#define GROUPS             "X25519:P-256:P-384"
#define GROUPS_HYBRID      "X25519MLKEM768:" GROUPS /* OpenSSL 3.5 has it */
#define TICKET_ROTATION_MS UINT64_C(3600000)
#define ERROR_SIZE_MAX     4096

struct place {
    struct tls_identity identity; /* its texts are copies */
    uint64_t mark;                /* of the files that were read last; used by refresh alone */
    SSL_CTX *context;             /* this and the rest: under the server's mutex */
    struct tls_certificate_info infos[TLS_CERTIFICATES_MAX];
};

struct tls_server {
    atomic_uint reference_count;
    tls_choose_fn *choose;
    void *user;
    SSL_CTX *base;
    struct tls_tickets *tickets;
    bool has_ktls, takes_early;
    struct tls_identity_stats identity_stats;
    counter_t reloads, reload_failures, full, resumed, unknown_names, ktls, user_space, key_updates;
    counter_t early, early_rejected;
    pthread_mutex_t mutex;
    size_t count;
    struct place places[];
};

/* In the order of our choice. Its size counts a terminator. */
static const unsigned char protocols[] = "\x02h2\x08http/1.1";

/* --- handshakes --- */

static int choose_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_size,
                           const unsigned char *offered, unsigned offered_size, void *unused)
{
    unsigned char *name;

    (void)ssl, (void)unused;
    if (SSL_select_next_proto(&name, ret_size, protocols, sizeof(protocols) - 1, offered, offered_size) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK; /* go on without: who offers only others may still speak HTTP/1.1 */
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

static bool move_to(struct tls_server *t, SSL *ssl, size_t index)
{
    SSL_CTX *context;

    pthread_mutex_lock(&t->mutex);
    context = t->places[index].context;
    SSL_CTX_up_ref(context);
    pthread_mutex_unlock(&t->mutex);
    bool moved = SSL_set_SSL_CTX(ssl, context) != NULL;
    SSL_CTX_free(context);
    return moved;
}

/* OpenSSL calls it for every ClientHello, also for one without SNI. */
static int choose_identity(SSL *ssl, int *ret_alert, void *user)
{
    struct tls_server *t = user;
    const char *sent = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    char name[TLSEXT_MAXLEN_host_name + 1], ip[ADDR_TEXT_MAX];
    size_t size = sent ? strnlen(sent, sizeof(name)) : 0;
    int index;

    for (size_t i = 0; i < size; i++)
        name[i] = (char)(sent[i] >= 'A' && sent[i] <= 'Z' ? sent[i] | 0x20 : sent[i]);
    ip[0] = '\0';
    if (!sent)
        tls_address_text(ssl, getsockname, ip);
    index = t->choose(t->user, slice_make(sent ? name : NULL, size), ip);
    if (index < 0 || !CHECK((size_t)index < t->count)) {
        counter_add_shared(&t->unknown_names, 1);
        *ret_alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (!move_to(t, ssl, (size_t)index)) {
        *ret_alert = SSL_AD_INTERNAL_ERROR;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return sent ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* Who sends early data is answered while the handshake goes on. OpenSSL gives the kernel its keys before, and
 * would write behind its back: such a connection is encrypted here to its end. */
// NOLINTNEXTLINE(readability-non-const-parameter): the signature is OpenSSL's
static int on_client_hello(SSL *ssl, int *unused_alert, void *unused)
{
    const unsigned char *content;
    size_t size;

    (void)unused_alert, (void)unused;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_early_data, &content, &size) == 1)
        tls_session_leave_kernel(SSL_get_app_data(ssl));
    return SSL_CLIENT_HELLO_SUCCESS;
}

SSL *tls_server_connection(struct tls_server *t)
{
    return tls_fold_new(t->base);
}

bool tls_server_has_ktls(const struct tls_server *t)
{
    return t->has_ktls;
}

bool tls_server_takes_early(const struct tls_server *t)
{
    return t->takes_early;
}

void tls_server_note_early(struct tls_server *t)
{
    counter_add_shared(&t->early, 1);
}

void tls_server_note_open(struct tls_server *t, const SSL *ssl, bool is_ktls)
{
    counter_add_shared(SSL_session_reused(ssl) ? &t->resumed : &t->full, 1);
    counter_add_shared(is_ktls ? &t->ktls : &t->user_space, 1);
    if (SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_REJECTED)
        counter_add_shared(&t->early_rejected, 1);
}

void tls_server_note_key_update(struct tls_server *t)
{
    counter_add_shared(&t->key_updates, 1);
}

/* --- certificates --- */

static SSL_CTX *context_new(const struct tls_server *t)
{
    SSL_CTX *c = tls_context_new(TLS_server_method());

    if (!c)
        return NULL;
    if (SSL_CTX_set1_groups_list(c, GROUPS_HYBRID) != 1 && SSL_CTX_set1_groups_list(c, GROUPS) != 1) {
        SSL_CTX_free(c);
        return NULL;
    }
    ERR_clear_error();
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* tickets only: nothing is kept here */
    SSL_CTX_set_num_tickets(c, 1); /* each connection brings one: as many as a client has had connections */
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
    if (t->has_ktls)
        SSL_CTX_set_options(c, SSL_OP_ENABLE_KTLS);
    if (t->takes_early) { /* tickets are not kept, so nobody knows which have been used: see docs/tls.md */
        SSL_CTX_set_options(c, SSL_OP_NO_ANTI_REPLAY);
        SSL_CTX_set_max_early_data(c, TLS_EARLY_DATA_MAX);
    }
    tls_tickets_attach(t->tickets, c);
    return c;
}

/* Puts what the files hold in the place of what is used. */
static int load(struct tls_server *t, struct place *p, bool only_valid, struct buf *error)
{
    struct tls_certificate_info infos[TLS_CERTIFICATES_MAX] = {0};
    SSL_CTX *context = context_new(t), *old;
    int status = context ? 0 : -ENOMEM;

    if (status < 0)
        buf_printf(error, "cannot set up TLS: %s", tls_take_reason());
    p->mark = tls_identity_mark(&p->identity);
    if (status == 0)
        status = tls_identity_load(&p->identity, only_valid, clock_wall_ms() / 1000, &t->identity_stats,
                                   context, infos, error);
    if (status < 0) {
        SSL_CTX_free(context);
        return status;
    }
    pthread_mutex_lock(&t->mutex);
    old = p->context;
    p->context = context;
    memcpy(p->infos, infos, sizeof(infos));
    pthread_mutex_unlock(&t->mutex);
    SSL_CTX_free(old);
    return 0;
}

/* `status`: 1 read anew, negative: why not. */
static void note_refresh(struct tls_server *t, int status, const char *what, struct buf *error)
{
    if (status > 0)
        log_info("read anew: %s", what);
    if (status < 0)
        log_error("%.*s; what was read before stays in use", SLICE_ARG(buf_slice(error)));
    if (status != 0)
        counter_add_shared(status > 0 ? &t->reloads : &t->reload_failures, 1);
    buf_clear(error);
}

void tls_server_refresh(struct tls_server *t, bool all)
{
    struct buf error;

    buf_init(&error, ERROR_SIZE_MAX);
    for (size_t i = 0; i < t->count; i++) {
        struct place *p = &t->places[i];

        if (all || tls_identity_mark(&p->identity) != p->mark) {
            int status = load(t, p, true, &error);

            note_refresh(t, status < 0 ? status : 1, p->identity.certificates[0].certificate_path, &error);
        }
    }
    note_refresh(t, tls_tickets_refresh(t->tickets, all, clock_wall_ms() / 1000, &error), "ticket secrets",
                 &error);
    buf_fini(&error);
}

size_t tls_server_certificates(struct tls_server *t, size_t identity,
                               struct tls_certificate_info ret_infos[TLS_CERTIFICATES_MAX])
{
    REQUIRE(identity < t->count);
    pthread_mutex_lock(&t->mutex);
    memcpy(ret_infos, t->places[identity].infos, sizeof(t->places[identity].infos));
    pthread_mutex_unlock(&t->mutex);
    return t->places[identity].identity.count;
}

void tls_server_stats(struct tls_server *t, struct tls_server_stats *ret_stats)
{
    *ret_stats = (struct tls_server_stats){
        .reloads = counter_read(&t->reloads),
        .reload_failures = counter_read(&t->reload_failures),
        .full = counter_read(&t->full),
        .resumed = counter_read(&t->resumed),
        .unknown_names = counter_read(&t->unknown_names),
        .ktls = counter_read(&t->ktls),
        .user_space = counter_read(&t->user_space),
        .ktls_key_updates = counter_read(&t->key_updates),
        .stapled = counter_read(&t->identity_stats.stapled),
        .not_stapled = counter_read(&t->identity_stats.not_stapled),
        .early_data = counter_read(&t->early),
        .early_data_rejected = counter_read(&t->early_rejected),
        .ticket_epoch = tls_tickets_epoch(t->tickets, clock_wall_ms() / 1000),
    };
}

/* --- making --- */

static bool copy_text(const char *text, const char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return *ret_copy || !text;
}

static bool copy_identity(const struct tls_identity *from, struct tls_identity *to)
{
    bool ok = CHECK(from->count > 0 && from->count <= TLS_CERTIFICATES_MAX);

    for (size_t i = 0; i < from->count && ok; i++) {
        const struct tls_certificate *c = &from->certificates[i];

        to->count = i + 1;
        ok = copy_text(c->certificate_path, &to->certificates[i].certificate_path) &&
             copy_text(c->key_path, &to->certificates[i].key_path) &&
             copy_text(c->ocsp_path, &to->certificates[i].ocsp_path);
    }
    return ok;
}

static void free_identity(struct tls_identity *identity)
{
    for (size_t i = 0; i < identity->count; i++) {
        free((char *)identity->certificates[i].certificate_path);
        free((char *)identity->certificates[i].key_path);
        free((char *)identity->certificates[i].ocsp_path);
    }
}

static void server_free(struct tls_server *t)
{
    for (size_t i = 0; i < t->count; i++) {
        SSL_CTX_free(t->places[i].context);
        free_identity(&t->places[i].identity);
    }
    SSL_CTX_free(t->base);
    tls_tickets_free(t->tickets);
    pthread_mutex_destroy(&t->mutex);
    free(t);
}

static int set_up(struct tls_server *t, const struct tls_server_options *options, struct buf *error)
{
    uint64_t rotation_ms = options->ticket_rotation_ms ? options->ticket_rotation_ms : TICKET_ROTATION_MS;
    int status;

    t->takes_early = options->early_data;
    t->has_ktls = !options->without_ktls && tls_ktls_is_available();
    status = tls_tickets_new(options->ticket_secret_paths, options->ticket_secret_count, rotation_ms / 1000,
                             clock_wall_ms() / 1000, error, &t->tickets);
    if (status < 0)
        return status;
    t->base = context_new(t);
    if (!t->base) {
        buf_printf(error, "cannot set up TLS: %s", tls_take_reason());
        return -ENOMEM;
    }
    for (size_t i = 0; i < options->identity_count && status == 0; i++) {
        t->count = i + 1;
        status = copy_identity(&options->identities[i], &t->places[i].identity) ? 0 : -ENOMEM;
        if (status == 0)
            status = load(t, &t->places[i], false, error);
    }
    if (status < 0)
        return status;
    SSL_CTX_set_tlsext_servername_callback(t->base, choose_identity);
    SSL_CTX_set_tlsext_servername_arg(t->base, t);
    if (t->has_ktls && t->takes_early)
        SSL_CTX_set_client_hello_cb(t->base, on_client_hello, NULL);
    return 0;
}

int tls_server_new(const struct tls_server_options *options, struct buf *error,
                   struct tls_server **ret_server)
{
    struct tls_server *t = calloc(1, sizeof(*t) + options->identity_count * sizeof(t->places[0]));
    int status;

    if (!t) {
        buf_append_text(error, "out of memory");
        return -ENOMEM;
    }
    atomic_init(&t->reference_count, 1);
    pthread_mutex_init(&t->mutex, NULL);
    t->choose = options->choose;
    t->user = options->user;
    status = set_up(t, options, error);
    if (status < 0) {
        server_free(t);
        return status;
    }
    *ret_server = t;
    return 0;
}

struct tls_server *tls_server_ref(struct tls_server *t)
{
    atomic_fetch_add_explicit(&t->reference_count, 1, memory_order_relaxed);
    return t;
}

void tls_server_unref(struct tls_server *t)
{
    if (t && atomic_fetch_sub_explicit(&t->reference_count, 1, memory_order_acq_rel) == 1)
        server_free(t);
}
