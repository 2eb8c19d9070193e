/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS settings. Only TLS 1.2 and 1.3 with forward secrecy and AEAD ciphers, no renegotiation, no compression.
 *
 * A server has a base context without a certificate, where every handshake starts, and a context for each
 * certificate, to which the handshake moves when the name is known. What OpenSSL takes from the context it
 * moved to (ALPN) is set on all of them alike; session tickets are the base's, so they hold for all names.
 */
#include "io/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "tls_private.h"
#include "tls_session.h"

/* AES-128 first: it costs less than AES-256 and is as safe here. Clients without AES hardware put ChaCha20
 * first, and get it (SSL_OP_PRIORITIZE_CHACHA). */
#define CIPHERS_TLS12                                                                          \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:" \
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define CIPHERS_TLS13 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"

#define CLIENT_READ_SIZE     ((size_t)64 * 1024) /* what comes from an origin is large */
#define FAILURE_LOG_EVERY_MS 1000

struct tls_server {
    atomic_uint reference_count;
    tls_choose_fn *choose;
    void *user;
    SSL_CTX *base;
    size_t count;
    SSL_CTX *contexts[]; /* one a certificate, in the order given */
};

struct tls_client {
    SSL_CTX *context;
    bool verify;
};

/* In the order of our choice. Their sizes count a terminator. */
static const unsigned char server_protocols[] = "\x02h2\x08http/1.1";
static const unsigned char client_protocols[] = "\x08http/1.1";

/* The oldest error in this thread's queue is the cause; what follows only tells who passed it on. */
static const char *take_reason(void)
{
    unsigned long error = ERR_peek_error();
    const char *text =
        ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error)) : ERR_reason_error_string(error);

    ERR_clear_error();
    return text ? text : "unknown error";
}

/* The address at one end of a connection: getsockname's or getpeername's. */
static void address_text(const SSL *ssl, int (*get_name)(int fd, struct sockaddr *sa, socklen_t *size),
                         char ret_text[ADDR_TEXT_MAX])
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(sa);
    struct addr addr;

    get_name(tls_session_fd(SSL_get_app_data(ssl)), (struct sockaddr *)&sa, &size);
    addr_from_sockaddr((struct sockaddr *)&sa, &addr);
    addr_format_ip(&addr, ret_text);
}

// NOLINTNEXTLINE(readability-non-const-parameter): the signature is OpenSSL's
static int no_passphrase(char *data, int size, int is_for_writing, void *user)
{
    (void)data, (void)size, (void)is_for_writing, (void)user;
    return 0; /* OpenSSL would ask on the terminal */
}

static SSL_CTX *context_new(const SSL_METHOD *method)
{
    SSL_CTX *c = SSL_CTX_new(method);

    if (!c)
        return NULL;
    if (!SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) || !SSL_CTX_set_cipher_list(c, CIPHERS_TLS12) ||
        !SSL_CTX_set_ciphersuites(c, CIPHERS_TLS13)) {
        SSL_CTX_free(c);
        return NULL;
    }
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                            SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(c, 1); /* a record in one recv, not its header and its body in two */
    SSL_CTX_set_default_passwd_cb(c, no_passphrase);
    return c;
}

/* --- servers
 * ----------------------------------------------------------------------------------------------------- */

static int choose_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_size,
                           const unsigned char *offered, unsigned offered_size, void *unused)
{
    unsigned char *name;

    (void)ssl, (void)unused;
    if (SSL_select_next_proto(&name, ret_size, server_protocols, sizeof(server_protocols) - 1, offered,
                              offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK; /* go on without: who offers only others may still speak HTTP/1.1 */
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

/* OpenSSL calls it for every ClientHello, also for one without SNI. */
static int choose_certificate(SSL *ssl, int *ret_alert, void *user)
{
    struct tls_server *t = user;
    const char *sent = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    char name[TLSEXT_MAXLEN_host_name + 1], ip[ADDR_TEXT_MAX];
    size_t size = sent ? strnlen(sent, sizeof(name)) : 0;
    int index;

    for (size_t i = 0; i < size; i++)
        name[i] = (char)(sent[i] >= 'A' && sent[i] <= 'Z' ? sent[i] | 0x20 : sent[i]);
    address_text(ssl, getsockname, ip);
    index = t->choose(t->user, slice_make(sent ? name : NULL, size), ip);
    if (index < 0 || !CHECK((size_t)index < t->count) || !SSL_set_SSL_CTX(ssl, t->contexts[index])) {
        *ret_alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return sent ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static SSL_CTX *server_context_new(void)
{
    SSL_CTX *c = context_new(TLS_server_method());

    if (!c)
        return NULL;
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF); /* tickets only: nothing is kept here */
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
    return c;
}

static int load(SSL_CTX *c, const struct tls_certificate *certificate, struct buf *error)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(c, certificate->certificate_path) != 1) {
        buf_printf(error, "cannot read the certificate %s: %s", certificate->certificate_path, take_reason());
        return -EINVAL;
    }
    if (SSL_CTX_use_PrivateKey_file(c, certificate->key_path, SSL_FILETYPE_PEM) != 1) {
        buf_printf(error, "cannot use the key %s with the certificate %s: %s", certificate->key_path,
                   certificate->certificate_path, take_reason());
        return -EINVAL;
    }
    return 0;
}

static void server_free(struct tls_server *t)
{
    for (size_t i = 0; i < t->count; i++)
        SSL_CTX_free(t->contexts[i]);
    SSL_CTX_free(t->base);
    free(t);
}

int tls_server_new(const struct tls_certificate *certificates, size_t count, tls_choose_fn *choose,
                   void *user, struct buf *error, struct tls_server **ret_server)
{
    struct tls_server *t = calloc(1, sizeof(*t) + count * sizeof(t->contexts[0]));
    int status = 0;

    if (!t) {
        buf_append_text(error, "out of memory");
        return -ENOMEM;
    }
    atomic_init(&t->reference_count, 1);
    t->choose = choose;
    t->user = user;
    t->count = count;
    t->base = server_context_new();
    if (!t->base)
        status = -ENOMEM;
    for (size_t i = 0; i < count && status == 0; i++) {
        t->contexts[i] = server_context_new();
        status = t->contexts[i] ? load(t->contexts[i], &certificates[i], error) : -ENOMEM;
    }
    if (status < 0) {
        if (status == -ENOMEM)
            buf_printf(error, "cannot set up TLS: %s", take_reason());
        server_free(t);
        return status;
    }
    SSL_CTX_set_tlsext_servername_callback(t->base, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(t->base, t);
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

SSL *tls_server_connection(struct tls_server *t)
{
    return SSL_new(t->base);
}

/* --- clients
 * ----------------------------------------------------------------------------------------------------- */

static int load_authorities(SSL_CTX *c, const char *path, struct buf *error)
{
    struct stat st;
    int loaded;

    ERR_clear_error();
    if (!path)
        loaded = SSL_CTX_set_default_verify_paths(c);
    else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        loaded = SSL_CTX_load_verify_dir(c, path);
    else
        loaded = SSL_CTX_load_verify_file(c, path);
    if (loaded == 1)
        return 0;
    buf_printf(error, "cannot read the certificate authorities %s: %s", path ? path : "of the system",
               take_reason());
    return -EINVAL;
}

int tls_client_new(const char *ca_path, bool verify, struct buf *error, struct tls_client **ret_client)
{
    struct tls_client *t = calloc(1, sizeof(*t));
    int status;

    if (!t) {
        buf_append_text(error, "out of memory");
        return -ENOMEM;
    }
    t->verify = verify;
    t->context = context_new(TLS_client_method());
    if (!t->context) {
        buf_printf(error, "cannot set up TLS: %s", take_reason());
        free(t);
        return -ENOMEM;
    }
    SSL_CTX_set_verify(t->context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_default_read_buffer_len(t->context, CLIENT_READ_SIZE);
    SSL_CTX_set_alpn_protos(t->context, client_protocols, sizeof(client_protocols) - 1);
    status = verify ? load_authorities(t->context, ca_path, error) : 0;
    if (status < 0) {
        tls_client_free(t);
        return status;
    }
    if (!verify)
        log_warn("certificates of upstream servers are not verified");
    *ret_client = t;
    return 0;
}

int tls_client_show(struct tls_client *t, const char *certificate_path, const char *key_path,
                    struct buf *error)
{
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(t->context, certificate_path) == 1 &&
        SSL_CTX_use_PrivateKey_file(t->context, key_path, SSL_FILETYPE_PEM) == 1)
        return 0;
    buf_printf(error, "cannot use the certificate %s with the key %s: %s", certificate_path, key_path,
               ERR_reason_error_string(ERR_peek_error()));
    ERR_clear_error();
    return -EINVAL;
}

void tls_client_free(struct tls_client *t)
{
    if (!t)
        return;
    SSL_CTX_free(t->context);
    free(t);
}

/* Which name the certificate must have; names go out as SNI, addresses do not (RFC 6066 section 3). */
static bool set_expected_name(SSL *ssl, const char *name, bool verify)
{
    size_t size = name ? strlen(name) : 0;
    char host[TLSEXT_MAXLEN_host_name + 1];
    struct addr addr;

    if (size > 0 && name[size - 1] == '.')
        size--; /* the root's dot is for resolvers */
    if (size == 0)
        return !verify;
    if (size >= sizeof(host))
        return false;
    memcpy(host, name, size);
    host[size] = '\0';
    if (addr_parse(slice_make(host, size), &addr) == 0)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

SSL *tls_client_connection(struct tls_client *t, const char *server_name)
{
    SSL *ssl = SSL_new(t->context);

    if (!ssl || set_expected_name(ssl, server_name, t->verify))
        return ssl;
    SSL_free(ssl);
    return NULL;
}

void tls_log_failure(const SSL *ssl)
{
    static atomic_uint_least64_t next_ms; /* a broken origin fails at every request */
    uint64_t now_ms = clock_monotonic_ms(), due_ms = atomic_load(&next_ms);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), *reason = take_reason();
    long verdict = SSL_get_verify_result(ssl);
    char peer[ADDR_TEXT_MAX];

    if (now_ms < due_ms || !atomic_compare_exchange_strong(&next_ms, &due_ms, now_ms + FAILURE_LOG_EVERY_MS))
        return;
    address_text(ssl, getpeername, peer);
    log_warn("TLS with %s (%s) failed: %s", name ? name : "a server without name", peer,
             verdict == X509_V_OK ? reason : X509_verify_cert_error_string(verdict));
}
