/* SPDX-License-Identifier: Apache-2.0 */
/* See tls_ticket.h. The keys of three epochs are kept, and made anew when the epoch changes. */
#include "tls_ticket.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "tls_identity.h"

#define SECRET_SIZE_MIN 32
#define SECRET_SIZE_MAX 4096
#define EPOCHS          3                     /* the present one, the one before, the one after */
#define LIFETIME_MAX_S  (UINT64_C(7) * 86400) /* RFC 8446 section 4.6.1 */

struct secret {
    size_t size;
    char data[SECRET_SIZE_MAX];
};

struct tls_tickets {
    uint64_t rotation_s;
    pthread_mutex_t mutex; /* all below */
    uint64_t epoch;        /* of the keys */
    struct tls_ticket_key keys[TLS_TICKET_SECRETS_MAX][EPOCHS];
    struct secret *secrets;
    size_t secret_count;
    char *paths[TLS_TICKET_SECRETS_MAX]; /* all NULL: a random secret */
    size_t path_count;
    uint64_t mark; /* of the files that were read */
};

bool tls_ticket_derive(struct slice secret, uint64_t rotation_s, uint64_t epoch,
                       struct tls_ticket_key *ret_key)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    unsigned char out[sizeof(*ret_key)];
    char info[96];
    int size = snprintf(info, sizeof(info), "shorebreak ticket %llu %llu", (unsigned long long)rotation_s,
                        (unsigned long long)epoch);
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret.data, secret.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, (size_t)size),
        OSSL_PARAM_construct_end(),
    };
    bool ok = context && EVP_KDF_derive(context, out, sizeof(out), parameters) == 1;

    _Static_assert(sizeof(struct tls_ticket_key) == 80, "no padding: the bytes are the key");
    if (ok)
        memcpy(ret_key, out, sizeof(out));
    OPENSSL_cleanse(out, sizeof(out));
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return ok;
}

/* --- secrets --- */

/* A line's end is no part of a secret: it comes and goes with the tool that wrote the file. */
static int read_secret(const char *path, struct secret *ret_secret, struct buf *error)
{
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(ret_secret->data, 1, sizeof(ret_secret->data), file) : 0;
    bool is_whole = file && !ferror(file) && fgetc(file) == EOF;

    if (!file)
        buf_printf(error, "cannot read the ticket secret %s: %s", path, strerror(errno));
    if (file)
        fclose(file);
    while (size > 0 && (ret_secret->data[size - 1] == '\n' || ret_secret->data[size - 1] == '\r'))
        size--;
    if (is_whole && size >= SECRET_SIZE_MIN) {
        ret_secret->size = size;
        return 0;
    }
    if (file)
        buf_printf(error, "cannot use the ticket secret %s: it must have %d to %d bytes", path,
                   SECRET_SIZE_MIN, SECRET_SIZE_MAX);
    return -EINVAL;
}

static void free_secrets(struct secret *secrets, size_t count)
{
    if (secrets)
        OPENSSL_cleanse(secrets, count * sizeof(*secrets));
    free(secrets);
}

static int read_secrets(const struct tls_tickets *t, struct secret **ret_secrets, struct buf *error)
{
    size_t count = t->path_count > 0 ? t->path_count : 1;
    struct secret *secrets = calloc(count, sizeof(*secrets));
    int status = secrets ? 0 : -ENOMEM;

    if (status == 0 && t->path_count == 0) {
        secrets[0].size = SECRET_SIZE_MIN;
        status = RAND_bytes((unsigned char *)secrets[0].data, SECRET_SIZE_MIN) == 1 ? 0 : -EIO;
    }
    for (size_t i = 0; i < t->path_count && status == 0; i++)
        status = read_secret(t->paths[i], &secrets[i], error);
    if (status < 0) {
        if (error->size == 0)
            buf_append_text(error, "cannot make a ticket secret");
        free_secrets(secrets, count);
        return status;
    }
    *ret_secrets = secrets;
    return 0;
}

/* --- keys --- */

uint64_t tls_tickets_epoch(const struct tls_tickets *t, int64_t now_s)
{
    return (uint64_t)(now_s > 0 ? now_s : 0) / t->rotation_s;
}

static bool derive_all(struct tls_tickets *t, uint64_t epoch)
{
    for (size_t i = 0; i < t->secret_count; i++)
        for (size_t k = 0; k < EPOCHS; k++)
            if (!tls_ticket_derive(slice_make(t->secrets[i].data, t->secrets[i].size), t->rotation_s,
                                   epoch + k - 1, &t->keys[i][k]))
                return false;
    t->epoch = epoch;
    return true;
}

/* Under the mutex. */
static bool keep_up(struct tls_tickets *t, int64_t now_s)
{
    uint64_t epoch = tls_tickets_epoch(t, now_s);

    return epoch == t->epoch || derive_all(t, epoch);
}

bool tls_tickets_present(struct tls_tickets *t, int64_t now_s, struct tls_ticket_key *ret_key)
{
    bool ok;

    pthread_mutex_lock(&t->mutex);
    ok = keep_up(t, now_s);
    if (ok)
        *ret_key = t->keys[0][1];
    pthread_mutex_unlock(&t->mutex);
    return ok;
}

enum tls_ticket_match tls_tickets_find(struct tls_tickets *t, int64_t now_s,
                                       const unsigned char name[TLS_TICKET_NAME_SIZE],
                                       struct tls_ticket_key *ret_key)
{
    enum tls_ticket_match match = TLS_TICKET_UNKNOWN;

    pthread_mutex_lock(&t->mutex);
    for (size_t i = 0; keep_up(t, now_s) && i < t->secret_count && match == TLS_TICKET_UNKNOWN; i++)
        for (size_t k = 0; k < EPOCHS && match == TLS_TICKET_UNKNOWN; k++)
            if (memcmp(t->keys[i][k].name, name, TLS_TICKET_NAME_SIZE) == 0) {
                *ret_key = t->keys[i][k];
                match = i == 0 && k > 0 ? TLS_TICKET_CURRENT : TLS_TICKET_OLD;
            }
    pthread_mutex_unlock(&t->mutex);
    return match;
}

/* --- making --- */

int tls_tickets_refresh(struct tls_tickets *t, bool all, int64_t now_s, struct buf *error)
{
    uint64_t mark = tls_files_mark((const char *const *)t->paths, t->path_count);
    struct secret *secrets, *old;
    size_t old_count;
    int status;

    if (t->secrets && (t->path_count == 0 || (!all && mark == t->mark)))
        return 0;
    t->mark = mark;
    status = read_secrets(t, &secrets, error);
    if (status < 0)
        return status;
    pthread_mutex_lock(&t->mutex);
    old = t->secrets;
    old_count = t->secret_count;
    t->secrets = secrets;
    t->secret_count = t->path_count > 0 ? t->path_count : 1;
    if (!derive_all(t, tls_tickets_epoch(t, now_s)))
        t->epoch = UINT64_MAX; /* the next who needs a key tries again */
    pthread_mutex_unlock(&t->mutex);
    free_secrets(old, old_count);
    return 1;
}

int tls_tickets_new(const char *const *paths, size_t count, uint64_t rotation_s, int64_t now_s,
                    struct buf *error, struct tls_tickets **ret_tickets)
{
    struct tls_tickets *t = calloc(1, sizeof(*t));
    int status = t && count <= TLS_TICKET_SECRETS_MAX ? 0 : -ENOMEM;

    if (!t) {
        buf_append_text(error, "out of memory");
        return -ENOMEM;
    }
    t->rotation_s = rotation_s > 0 ? rotation_s : 1;
    pthread_mutex_init(&t->mutex, NULL);
    for (size_t i = 0; i < count && status == 0; i++) {
        t->paths[i] = strdup(paths[i]);
        t->path_count++;
        status = t->paths[i] ? 0 : -ENOMEM;
    }
    if (status == 0)
        status = tls_tickets_refresh(t, true, now_s, error);
    if (status < 0) {
        tls_tickets_free(t);
        return status;
    }
    *ret_tickets = t;
    return 0;
}

void tls_tickets_free(struct tls_tickets *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->path_count; i++)
        free(t->paths[i]);
    free_secrets(t->secrets, t->secret_count);
    pthread_mutex_destroy(&t->mutex);
    OPENSSL_cleanse(t, sizeof(*t));
    free(t);
}

/* --- OpenSSL --- */

static int tickets_index = -1;
static EVP_CIPHER *ticket_cipher; /* fetched once: OpenSSL would look for it at every ticket */

static void make_index(void)
{
    ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
}

static bool ready_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, parameters) == 1;
}

static int seal(struct tls_tickets *t, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                EVP_MAC_CTX *mac)
{
    struct tls_ticket_key key;
    bool ok = tls_tickets_present(t, clock_wall_ms() / 1000, &key) && RAND_bytes(iv, 16) == 1 &&
              EVP_EncryptInit_ex(cipher, ticket_cipher, NULL, key.cipher, iv) == 1 && ready_mac(mac, &key);

    if (ok)
        memcpy(name, key.name, sizeof(key.name));
    OPENSSL_cleanse(&key, sizeof(key));
    return ok ? 1 : 0; /* 0: no ticket, the connection goes on */
}

/* 0: unknown, a full handshake follows; 2: good, and a new ticket follows, as with TLS 1.3 always: a ticket
 * that comes again tells who listens that it is the same client (RFC 8446 appendix C.4), and a client that
 * was sent nothing after its Finished would hold its request back until the delayed acknowledgement. */
static int open_ticket(struct tls_tickets *t, bool is_for_once, const unsigned char *name,
                       const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct tls_ticket_key key;
    enum tls_ticket_match match = tls_tickets_find(t, clock_wall_ms() / 1000, name, &key);
    bool ok = match != TLS_TICKET_UNKNOWN &&
              EVP_DecryptInit_ex(cipher, ticket_cipher, NULL, key.cipher, iv) == 1 && ready_mac(mac, &key);

    OPENSSL_cleanse(&key, sizeof(key));
    return !ok ? 0 : match == TLS_TICKET_CURRENT && !is_for_once ? 1 : 2;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int is_sealing)
{
    struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);

    return is_sealing ? seal(t, name, iv, cipher, mac)
                      : open_ticket(t, SSL_version(ssl) >= TLS1_3_VERSION, name, iv, cipher, mac);
}

void tls_tickets_attach(struct tls_tickets *t, SSL_CTX *context)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    /* One more: when a ticket was made it says in whole seconds, and OpenSSL 3.2 and later compare that with
     * the time to the nanosecond. */
    uint64_t lifetime_s = t->rotation_s + 1 < LIFETIME_MAX_S ? t->rotation_s + 1 : LIFETIME_MAX_S;

    CRYPTO_THREAD_run_once(&once, make_index);
    REQUIRE(tickets_index >= 0 && ticket_cipher && SSL_CTX_set_ex_data(context, tickets_index, t) == 1);
    SSL_CTX_set_timeout(context, (long)lifetime_s);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
}
