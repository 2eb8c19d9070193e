/* SPDX-License-Identifier: Apache-2.0 */
/* See tls_identity.h. What is stapled hangs on the context and goes with it. */
#include "tls_identity.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/file_mark.h"
#include "base/hash.h"
#include "base/log.h"

#define OCSP_SIZE_MAX  65536
#define OCSP_SKEW_S    300                  /* clocks differ */
#define OCSP_LONGEST_S (INT64_C(7) * 86400) /* of a response that does not say until when it holds */

struct staple {
    X509 *certificate; /* NULL: none */
    unsigned char *der;
    int size;
    int64_t until_s;
};

struct staples {
    struct tls_identity_stats *stats;
    struct staple each[TLS_CERTIFICATES_MAX];
};

/* --- files --- */

uint64_t tls_files_mark(const char *const *paths, size_t count)
{
    uint64_t marks[4 * TLS_CERTIFICATES_MAX] = {0};

    for (size_t i = 0; i < count && i < ARRAY_COUNT(marks); i++)
        marks[i] = paths[i] ? file_mark(paths[i]) : 0;
    return hash_sum(marks, sizeof(marks));
}

uint64_t tls_identity_mark(const struct tls_identity *identity)
{
    const char *paths[3 * TLS_CERTIFICATES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < identity->count; i++) {
        paths[count++] = identity->certificates[i].certificate_path;
        paths[count++] = identity->certificates[i].key_path;
        paths[count++] = identity->certificates[i].ocsp_path;
    }
    return tls_files_mark(paths, count);
}

/* --- what is stapled --- */

static void free_staples(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long unused,
                         void *unused2)
{
    struct staples *staples = pointer;

    (void)parent, (void)data, (void)index, (void)unused, (void)unused2;
    for (size_t i = 0; staples && i < ARRAY_COUNT(staples->each); i++) {
        X509_free(staples->each[i].certificate);
        OPENSSL_free(staples->each[i].der);
    }
    free(staples);
}

static int staples_index = -1;

static void make_index(void)
{
    staples_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_staples);
}

static const struct staple *staple_of(const struct staples *staples, const X509 *certificate)
{
    for (size_t i = 0; certificate && i < ARRAY_COUNT(staples->each); i++)
        if (staples->each[i].certificate && X509_cmp(staples->each[i].certificate, certificate) == 0)
            return &staples->each[i];
    return NULL;
}

/* The client asked for a response, and the certificate is chosen. */
static int on_status_request(SSL *ssl, void *user)
{
    const struct staples *staples = user;
    const struct staple *staple = staple_of(staples, SSL_get_certificate(ssl));
    unsigned char *copy;

    if (!staple || staple->until_s <= clock_wall_ms() / 1000) {
        counter_add_shared(&staples->stats->not_stapled, 1);
        return SSL_TLSEXT_ERR_NOACK;
    }
    copy = OPENSSL_memdup(staple->der, (size_t)staple->size); /* it becomes the connection's */
    if (!copy)
        return SSL_TLSEXT_ERR_NOACK;
    SSL_set_tlsext_status_ocsp_resp(ssl, copy, staple->size);
    counter_add_shared(&staples->stats->stapled, 1);
    return SSL_TLSEXT_ERR_OK;
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm;

    return time && ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* Who issued it: needed to name a certificate in OCSP. */
static X509 *issuer_of(SSL_CTX *context, X509 *certificate)
{
    STACK_OF(X509) *chain = NULL;

    SSL_CTX_get0_chain_certs(context, &chain);
    for (int i = 0; i < sk_X509_num(chain); i++)
        if (X509_check_issued(sk_X509_value(chain, i), certificate) == X509_V_OK)
            return sk_X509_value(chain, i);
    return X509_check_issued(certificate, certificate) == X509_V_OK ? certificate : NULL;
}

static const OCSP_SINGLERESP *find_single(OCSP_BASICRESP *basic, const X509 *certificate)
{
    for (int i = 0; i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        ASN1_INTEGER *serial = NULL;

        OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single));
        if (serial && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) == 0)
            return single;
    }
    return NULL;
}

static bool is_about(const OCSP_SINGLERESP *single, const X509 *certificate, const X509 *issuer)
{
    const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(single);
    ASN1_OBJECT *digest_name = NULL;
    OCSP_CERTID *own;
    bool is_same;

    if (!issuer) /* the chain does not say: the serial number has to do */
        return true;
    OCSP_id_get0_info(NULL, &digest_name, NULL, NULL, (OCSP_CERTID *)id);
    own = OCSP_cert_to_id(EVP_get_digestbyobj(digest_name), certificate, issuer);
    is_same = own && OCSP_id_cmp(own, id) == 0;
    OCSP_CERTID_free(own);
    return is_same;
}

/* Why it cannot be stapled, or NULL. */
static const char *judge(OCSP_RESPONSE *response, X509 *certificate, const X509 *issuer, int64_t now_s,
                         int64_t *ret_until_s)
{
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    ASN1_GENERALIZEDTIME *since = NULL, *until = NULL;
    const OCSP_SINGLERESP *single;
    const char *fault = NULL;
    int status;

    if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL || !basic) {
        OCSP_BASICRESP_free(basic);
        return "it is no successful response";
    }
    single = find_single(basic, certificate);
    status = single ? OCSP_single_get0_status((OCSP_SINGLERESP *)single, NULL, NULL, &since, &until) : -1;
    *ret_until_s = until ? seconds_of(until) : seconds_of(since) + OCSP_LONGEST_S;
    if (!single || !is_about(single, certificate, issuer))
        fault = "it is about another certificate";
    else if (status != V_OCSP_CERTSTATUS_GOOD)
        fault = "it does not say that the certificate is good";
    else if (seconds_of(since) > now_s + OCSP_SKEW_S)
        fault = "it does not hold yet";
    else if (*ret_until_s <= now_s)
        fault = "it has expired";
    OCSP_BASICRESP_free(basic);
    return fault;
}

static OCSP_RESPONSE *read_response(const char *path)
{
    BIO *file = BIO_new_file(path, "rb");
    OCSP_RESPONSE *response = file ? d2i_OCSP_RESPONSE_bio(file, NULL) : NULL;

    BIO_free(file);
    return response;
}

static void load_staple(const char *path, SSL_CTX *context, X509 *certificate, int64_t now_s,
                        struct staple *ret_staple)
{
    OCSP_RESPONSE *response = read_response(path);
    const char *fault = response ? NULL : tls_take_reason();
    unsigned char *der = NULL;
    int64_t until_s = 0;
    int size;

    if (!fault)
        fault = judge(response, certificate, issuer_of(context, certificate), now_s, &until_s);
    size = fault ? 0 : i2d_OCSP_RESPONSE(response, &der);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    if (size <= 0 || size > OCSP_SIZE_MAX) {
        OPENSSL_free(der);
        log_warn("the OCSP response %s is not stapled: %s", path, fault ? fault : "it is too large");
        return;
    }
    X509_up_ref(certificate);
    *ret_staple = (struct staple){certificate, der, size, until_s};
}

/* --- certificates and keys --- */

static const char *kind_of(const EVP_PKEY *key)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC: return "ecdsa";
    case EVP_PKEY_RSA: return "rsa";
    case EVP_PKEY_ED25519: return "ed25519";
    default: return "other";
    }
}

static EVP_PKEY *read_key(const SSL_CTX *context, const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    EVP_PKEY *key =
        file ? PEM_read_bio_PrivateKey(file, NULL, SSL_CTX_get_default_passwd_cb((SSL_CTX *)context), NULL)
             : NULL;

    BIO_free(file);
    return key;
}

static int load_key(SSL_CTX *context, X509 *certificate, const struct tls_certificate *files,
                    struct buf *error)
{
    EVP_PKEY *key = read_key(context, files->key_path);
    bool is_right =
        key && X509_check_private_key(certificate, key) == 1 && SSL_CTX_use_PrivateKey(context, key);

    EVP_PKEY_free(key);
    if (is_right)
        return 0;
    buf_printf(error, "cannot use the key %s with the certificate %s: %s", files->key_path,
               files->certificate_path, tls_take_reason());
    return -EINVAL;
}

static bool is_kind_taken(const struct tls_certificate_info *infos, size_t count, const char *kind)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(infos[i].kind, kind) == 0)
            return true;
    return false;
}

/* One more certificate, number `i`. */
static int load_certificate(SSL_CTX *context, const struct tls_certificate *files, bool only_valid,
                            int64_t now_s, struct tls_certificate_info *infos, size_t i,
                            struct staple *ret_staple, struct buf *error)
{
    X509 *certificate;
    const char *kind;
    int status;

    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context, files->certificate_path) != 1) {
        buf_printf(error, "cannot read the certificate %s: %s", files->certificate_path, tls_take_reason());
        return -EINVAL;
    }
    certificate = SSL_CTX_get0_certificate(context);
    kind = kind_of(X509_get0_pubkey(certificate));
    if (is_kind_taken(infos, i, kind)) {
        buf_printf(error, "cannot use the certificate %s: there is one with a key of the same type (%s)",
                   files->certificate_path, kind);
        return -EINVAL;
    }
    status = load_key(context, certificate, files, error);
    if (status < 0)
        return status;
    infos[i] = (struct tls_certificate_info){.not_after_s = seconds_of(X509_get0_notAfter(certificate))};
    snprintf(infos[i].kind, sizeof(infos[i].kind), "%s", kind);
    if (infos[i].not_after_s <= now_s && only_valid) {
        buf_printf(error, "cannot use the certificate %s: it has expired", files->certificate_path);
        return -EINVAL;
    }
    if (infos[i].not_after_s <= now_s)
        log_warn("the certificate %s has expired", files->certificate_path);
    if (files->ocsp_path)
        load_staple(files->ocsp_path, context, certificate, now_s, ret_staple);
    infos[i].ocsp_until_s = ret_staple->until_s;
    return 0;
}

int tls_identity_load(const struct tls_identity *identity, bool only_valid, int64_t now_s,
                      struct tls_identity_stats *stats, SSL_CTX *context,
                      struct tls_certificate_info ret_infos[TLS_CERTIFICATES_MAX], struct buf *error)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    struct staples *staples = calloc(1, sizeof(*staples));
    int status = 0;

    CRYPTO_THREAD_run_once(&once, make_index);
    if (!staples || staples_index < 0 || SSL_CTX_set_ex_data(context, staples_index, staples) != 1) {
        free(staples);
        buf_append_text(error, "out of memory");
        return -ENOMEM;
    }
    staples->stats = stats;
    for (size_t i = 0; i < identity->count && status == 0; i++)
        status = load_certificate(context, &identity->certificates[i], only_valid, now_s, ret_infos, i,
                                  &staples->each[i], error);
    SSL_CTX_set_tlsext_status_cb(context, on_status_request);
    SSL_CTX_set_tlsext_status_arg(context, staples);
    return status;
}
