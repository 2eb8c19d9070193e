/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS settings: certificates by name for servers, verification for clients. OpenSSL is seen by common/io
 * only. A tls_server is shared by all workers (its references are counted); its certificates and ticket
 * secrets may be read anew at any time, and connections that are open do not notice.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include "base/buf.h"

struct tls_server;
struct tls_client;

/* The caller's choice for a name: an index into the identities given, or -1 to refuse (alert
 * unrecognized_name). `name` is the SNI in lower case, or data NULL when the client sent none; then
 * `local_ip` is the address it connected to, as text. Called on any thread. */
typedef int tls_choose_fn(void *user, struct slice name, const char *local_ip);

struct tls_certificate {
    const char *certificate_path; /* PEM, with its chain */
    const char *key_path;         /* PEM */
    const char *ocsp_path;        /* DER, what is stapled (RFC 6066 section 8); NULL: nothing is */
};

/* Who one is to those who ask for a name: a certificate for each type of key, as clients prefer. */
#define TLS_CERTIFICATES_MAX 4
struct tls_identity {
    struct tls_certificate certificates[TLS_CERTIFICATES_MAX];
    size_t count;
};

/* TLS 1.3 early data (RFC 8446 section 2.3) of a connection: who sends more breaks it. */
#define TLS_EARLY_DATA_MAX 16384

/* Has this process keep idle connections in less memory (stream_rest). Before anything else uses OpenSSL, and
 * before there are threads; else all stays as it is. */
void tls_manage_memory(void);

struct tls_server_options { /* texts and arrays are copied */
    const struct tls_identity *identities;
    size_t identity_count;
    tls_choose_fn *choose;
    void *user;
    const char *const *ticket_secret_paths; /* the first one's keys seal tickets, all open them */
    size_t ticket_secret_count;             /* 0: a secret of this process's own */
    uint64_t ticket_rotation_ms;            /* 0: an hour */
    bool without_ktls;                      /* encrypt here even where the kernel could */
    bool early_data;                        /* take a client's first bytes before its handshake is complete:
                                               anyone may have recorded and sent them again (stream_is_early) */
};

/* Loads all; on failure a sentence naming the file stands in `error`. */
int tls_server_new(const struct tls_server_options *options, struct buf *error,
                   struct tls_server **ret_server);
struct tls_server *tls_server_ref(struct tls_server *t);
void tls_server_unref(struct tls_server *t); /* NULL is fine */

/* Reads files that have changed since they were last read, or all of them. What cannot be used is logged with
 * its file, counted, and what was in use stays in use. Waits for disks. Any thread, one at a time. */
void tls_server_refresh(struct tls_server *t, bool all);

struct tls_server_stats {
    uint64_t reloads,
        reload_failures;       /* identities and ticket secrets that were read anew, or could not be */
    uint64_t full, resumed;    /* handshakes that ended well */
    uint64_t unknown_names;    /* refused for the name asked for */
    uint64_t ktls, user_space; /* who encrypts for a connection: the kernel, or this process */
    uint64_t ktls_key_updates; /* connections that broke because the kernel could not change keys */
    uint64_t stapled,
        not_stapled;         /* OCSP responses asked for; not stapled: there was none that still holds */
    uint64_t early_data,     /* connections whose early data was taken; */
        early_data_rejected; /* that sent it in vain, and had to send it again */
    uint64_t ticket_epoch;   /* the number of the rotation that tickets are sealed with now */
};
void tls_server_stats(struct tls_server *t, struct tls_server_stats *ret_stats);

/* What is known of a certificate in use. */
struct tls_certificate_info {
    char kind[16]; /* of its key: "ecdsa", "rsa", "ed25519", "other" */
    int64_t not_after_s;
    int64_t ocsp_until_s; /* until when its OCSP response holds; 0: it has none */
};
size_t tls_server_certificates(struct tls_server *t, size_t identity,
                               struct tls_certificate_info ret_infos[TLS_CERTIFICATES_MAX]);

/* ca_path NULL: the system's authorities. verify false is for tests and says so in the log. */
int tls_client_new(const char *ca_path, bool verify, struct buf *error, struct tls_client **ret_client);
/* What it shows to servers that ask for a certificate. Before its first connection. */
int tls_client_show(struct tls_client *t, const char *certificate_path, const char *key_path,
                    struct buf *error);
void tls_client_free(struct tls_client *t);

#endif
