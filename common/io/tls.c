/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS settings that servers and clients share, and clients. Only TLS 1.2 and 1.3 with forward secrecy and
 * AEAD ciphers, no renegotiation, no compression. Servers are in tls_server.c.
 */
#include "io/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#include <sys/stat.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/log.h"
#include "tls_private.h"
#include "tls_session.h"

/* AES-128 first where AES is done in hardware: it costs less than AES-256 and is as safe here. Clients
 * without such hardware put ChaCha20 first, and get it (SSL_OP_PRIORITIZE_CHACHA). */
#define TLS12(algorithm)   "ECDHE-ECDSA-" algorithm ":ECDHE-RSA-" algorithm
#define TLS12_AES128       TLS12("AES128-GCM-SHA256")
#define TLS12_CHACHA       TLS12("CHACHA20-POLY1305")
#define TLS12_AES256       TLS12("AES256-GCM-SHA384")
#define TLS13_AES128       "TLS_AES_128_GCM_SHA256"
#define TLS13_CHACHA       "TLS_CHACHA20_POLY1305_SHA256"
#define TLS13_AES256       "TLS_AES_256_GCM_SHA384"
#define CIPHERS_TLS12      TLS12_AES128 ":" TLS12_CHACHA ":" TLS12_AES256
#define CIPHERS_TLS13      TLS13_AES128 ":" TLS13_CHACHA ":" TLS13_AES256
#define CIPHERS_TLS12_SOFT TLS12_CHACHA ":" TLS12_AES128 ":" TLS12_AES256
#define CIPHERS_TLS13_SOFT TLS13_CHACHA ":" TLS13_AES128 ":" TLS13_AES256

#define CLIENT_READ_SIZE     ((size_t)64 * 1024) /* what comes from an origin is large */
#define FAILURE_LOG_EVERY_MS 1000

struct tls_client {
    SSL_CTX *context;
    bool verify;
};

static const unsigned char client_protocols[] = "\x08http/1.1";

/* The oldest error in this thread's queue is the cause; what follows only tells who passed it on. */
const char *tls_take_reason(void)
{
    unsigned long error = ERR_peek_error();
    const char *text =
        ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error)) : ERR_reason_error_string(error);

    ERR_clear_error();
    return text ? text : "unknown error";
}

void tls_address_text(const SSL *ssl, tls_get_address_fn *get_address, char ret_text[ADDR_TEXT_MAX])
{
    struct sockaddr_storage sa = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(sa);
    struct addr addr;

    get_address(tls_session_fd(SSL_get_app_data(ssl)), (struct sockaddr *)&sa, &size);
    addr_from_sockaddr((struct sockaddr *)&sa, &addr);
    addr_format_ip(&addr, ret_text);
}

static bool has_fast_aes(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return getauxval(AT_HWCAP) & HWCAP_AES;
#else
    return false;
#endif
}

// NOLINTNEXTLINE(readability-non-const-parameter): the signature is OpenSSL's
static int no_passphrase(char *data, int size, int is_for_writing, void *user)
{
    (void)data, (void)size, (void)is_for_writing, (void)user;
    return 0; /* OpenSSL would ask on the terminal */
}

SSL_CTX *tls_context_new(const SSL_METHOD *method)
{
    bool fast = has_fast_aes();
    SSL_CTX *c = SSL_CTX_new(method);

    if (!c)
        return NULL;
    if (!SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(c, fast ? CIPHERS_TLS12 : CIPHERS_TLS12_SOFT) ||
        !SSL_CTX_set_ciphersuites(c, fast ? CIPHERS_TLS13 : CIPHERS_TLS13_SOFT)) {
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
               tls_take_reason());
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
    t->context = tls_context_new(TLS_client_method());
    if (!t->context) {
        buf_printf(error, "cannot set up TLS: %s", tls_take_reason());
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
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), *reason = tls_take_reason();
    long verdict = SSL_get_verify_result(ssl);
    char peer[ADDR_TEXT_MAX];

    if (now_ms < due_ms || !atomic_compare_exchange_strong(&next_ms, &due_ms, now_ms + FAILURE_LOG_EVERY_MS))
        return;
    tls_address_text(ssl, getpeername, peer);
    log_warn("TLS with %s (%s) failed: %s", name ? name : "a server without name", peer,
             verdict == X509_V_OK ? reason : X509_verify_cert_error_string(verdict));
}
