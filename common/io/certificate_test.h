/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for tests: self-signed, made on the spot into a folder of their own under the temporary
 * folder.
 */
#ifndef IO_CERTIFICATE_TEST_H
#define IO_CERTIFICATE_TEST_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"

struct test_certificate {
    char folder[64];
    char certificate_path[96];
    char key_path[96];
};

static inline void test_certificate_write(struct test_certificate *c, X509 *certificate, EVP_PKEY *key)
{
    FILE *file = fopen(c->certificate_path, "w");

    REQUIRE(file && PEM_write_X509(file, certificate) == 1);
    fclose(file);
    file = fopen(c->key_path, "w");
    REQUIRE(file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
}

/* `alternatives`: as OpenSSL reads it, "DNS:a.example,IP:127.0.0.1". */
static inline void test_certificate_make(struct test_certificate *c, const char *alternatives)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, alternatives);
    X509_NAME *subject = X509_NAME_new();
    const char *temporary = getenv("TMPDIR");

    REQUIRE(key && certificate && names && subject);
    snprintf(c->folder, sizeof(c->folder), "%s/certificate.XXXXXX", temporary ? temporary : "/tmp");
    REQUIRE(mkdtemp(c->folder));
    snprintf(c->certificate_path, sizeof(c->certificate_path), "%s/certificate.pem", c->folder);
    snprintf(c->key_path, sizeof(c->key_path), "%s/key.pem", c->folder);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)alternatives, -1, -1, 0);
    X509_set_version(certificate, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    REQUIRE(X509_set_subject_name(certificate, subject) && X509_set_issuer_name(certificate, subject));
    REQUIRE(X509_set_pubkey(certificate, key) && X509_add_ext(certificate, names, -1));
    REQUIRE(X509_sign(certificate, key, EVP_sha256()) > 0);
    test_certificate_write(c, certificate, key);
    X509_NAME_free(subject);
    X509_EXTENSION_free(names);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static inline void test_certificate_remove(const struct test_certificate *c)
{
    unlink(c->certificate_path);
    unlink(c->key_path);
    rmdir(c->folder);
}

#endif
