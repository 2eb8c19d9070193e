/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as others see it: a server stream against OpenSSL's own client, which blocks in a thread, and a client
 * stream against a server stream.
 */
#include "io/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "certificate_test.h"
#include "io/stream.h"

#define NOTHING_YET 1
#define EARLY_TEXT  "echo me"

/* What an OpenSSL client wants, and what it got. */
struct visitor {
    struct world *world;
    const char *server_name; /* NULL: none */
    const char *groups;      /* NULL: OpenSSL's own */
    int version_max;         /* 0: any */
    const char *protocols;   /* ALPN, or NULL */
    bool key_update;
    SSL_SESSION *session; /* to resume; replaced by the new one */
    size_t early_size;    /* of early data to send, of EARLY_TEXT again and again; 0: none */

    bool connected;
    bool echoed;
    bool reused;
    bool early_taken;
    bool ended_well; /* close_notify came */
    int error;       /* the reason of the first OpenSSL error */
    char certificate[100], protocol[32], cipher[64];
};

struct side {
    struct world *world;
    struct stream *stream;
    int open_status;
    bool ends;                      /* after it has answered */
    size_t early_bytes, late_bytes; /* read before and after the handshake was complete */
    unsigned secure_count;
    ssize_t broken; /* what a read has said */
};

struct world {
    struct loop *loop;
    struct listener *listener;
    struct test_certificate a, b; /* "DNS:a.example,IP:127.0.0.1" and "DNS:b.example" */
    struct tls_server *server;
    struct side accepted, connecting;
    struct timer watchdog;
    char chosen_name[100];
    char chosen_ip[ADDR_TEXT_MAX];
    unsigned choose_count;
    bool stop_when_accepted, stop_when_early;
};

static int choose(void *user, struct slice name, const char *local_ip)
{
    struct world *w = user;

    w->choose_count++;
    snprintf(w->chosen_name, sizeof(w->chosen_name), "%.*s", name.data ? (int)name.size : 6,
             name.data ? name.data : "(none)");
    snprintf(w->chosen_ip, sizeof(w->chosen_ip), "%s", local_ip);
    if (!name.data || slice_equal(name, SLICE_LITERAL("a.example")))
        return 0;
    return slice_equal(name, SLICE_LITERAL("b.example")) ? 1 : -1;
}

static void on_open(void *user, int status)
{
    struct side *s = user;

    assert_int_equal(s->open_status, NOTHING_YET);
    s->open_status = status;
    if (s == &s->world->connecting || s->world->stop_when_accepted)
        loop_stop(s->world->loop);
}

static void on_readable(void *user) /* echoes, and rests at once */
{
    struct side *s = user;
    char data[1000];
    bool is_early = stream_is_early(s->stream);
    ssize_t n = stream_read(s->stream, data, sizeof(data));

    if (n > 0) {
        *(is_early ? &s->early_bytes : &s->late_bytes) += (size_t)n;
        assert_int_equal(stream_writev(s->stream, &(struct iovec){data, (size_t)n}, 1, false), n);
        if (s->ends)
            assert_int_equal(stream_shutdown(s->stream), 0);
        if (is_early && s->world->stop_when_early)
            loop_stop(s->world->loop);
    }
    if (n < 0 && n != -EAGAIN) {
        s->broken = n;
        if (s->world->stop_when_early)
            loop_stop(s->world->loop);
    }
    stream_rest(s->stream);
}

static void on_secure(void *user)
{
    struct side *s = user;

    assert_false(stream_is_early(s->stream));
    s->secure_count++;
}

static const struct stream_events events = {
    .on_open = on_open, .on_readable = on_readable, .on_secure = on_secure};

static void on_connection(void *user, int fd, const struct addr *peer)
{
    struct world *w = user;

    stream_close(w->accepted.stream); /* the visitor before this one */
    w->accepted = (struct side){.world = w, .open_status = NOTHING_YET, .ends = w->accepted.ends};
    assert_int_equal(stream_accept(w->loop, fd, peer, w->server, &events, &w->accepted, &w->accepted.stream),
                     0);
}

static void on_watchdog(struct timer *t)
{
    (void)t;
    fail_msg("the test hangs");
}

static int set_up_with(void **state, bool early_data)
{
    struct world *w = calloc(1, sizeof(*w));
    struct addr address;
    struct buf error;

    assert_non_null(w);
    buf_init(&error, 1000);
    test_certificate_make(&w->a, "DNS:a.example,IP:127.0.0.1");
    test_certificate_make(&w->b, "DNS:b.example");
    assert_int_equal(
        tls_server_new(
            &(struct tls_server_options){
                .identities =
                    (struct tls_identity[]){
                        {.certificates = {{w->a.certificate_path, w->a.key_path, NULL}}, .count = 1},
                        {.certificates = {{w->b.certificate_path, w->b.key_path, NULL}}, .count = 1}},
                .identity_count = 2,
                .choose = choose,
                .user = w,
                .early_data = early_data},
            &error, &w->server),
        0);
    buf_fini(&error);
    w->accepted = w->connecting = (struct side){.world = w, .open_status = NOTHING_YET};
    assert_int_equal(loop_new(&w->loop), 0);
    assert_int_equal(addr_parse(slice_of("127.0.0.1:0"), &address), 0);
    assert_int_equal(listener_open(w->loop, &address, on_connection, w, &w->listener), 0);
    timer_init(&w->watchdog, on_watchdog);
    timer_start(w->loop, &w->watchdog, 30000);
    *state = w;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, false);
}

static int set_up_early(void **state)
{
    return set_up_with(state, true);
}

static int tear_down(void **state)
{
    struct world *w = *state;

    tls_server_unref(w->server); /* its sessions hold it */
    stream_close(w->accepted.stream);
    stream_close(w->connecting.stream);
    listener_close(w->listener);
    loop_free(w->loop);
    test_certificate_remove(&w->a);
    test_certificate_remove(&w->b);
    free(w);
    return 0;
}

/* --- OpenSSL's client
 * -------------------------------------------------------------------------------------------- */

static int connect_socket(const struct world *w)
{
    struct sockaddr_storage sa;
    struct addr address;
    socklen_t size;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    listener_address(w->listener, &address);
    size = addr_to_sockaddr(&address, &sa);
    REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&sa, size) == 0);
    return fd;
}

static void note_connection(struct visitor *v, SSL *ssl)
{
    const unsigned char *protocol;
    unsigned size;

    X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(ssl)), NID_commonName,
                              v->certificate, sizeof(v->certificate));
    SSL_get0_alpn_selected(ssl, &protocol, &size);
    snprintf(v->protocol, sizeof(v->protocol), "%.*s", (int)size, (const char *)protocol);
    snprintf(v->cipher, sizeof(v->cipher), "%s", SSL_get_cipher_name(ssl));
    v->reused = SSL_session_reused(ssl);
}

static void converse(struct visitor *v, SSL *ssl)
{
    char answer[8];

    if (v->key_update)
        REQUIRE(SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
    v->echoed = (v->early_taken || SSL_write(ssl, "echo me", 7) == 7) &&
                SSL_read(ssl, answer, sizeof(answer)) == 7 && memcmp(answer, "echo me", 7) == 0;
    if (v->world->accepted.ends)
        v->ended_well =
            SSL_read(ssl, answer, sizeof(answer)) == 0 && SSL_get_shutdown(ssl) == SSL_RECEIVED_SHUTDOWN;
}

static bool send_early(SSL *ssl, size_t size)
{
    char *data = malloc(size);
    size_t sent;

    for (size_t i = 0; i < size; i++)
        data[i] = EARLY_TEXT[i % strlen(EARLY_TEXT)];
    bool ok = SSL_write_early_data(ssl, data, size, &sent) == 1 && sent == size;
    free(data);
    return ok;
}

static void *visit(void *user)
{
    struct visitor *v = user;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    int fd = connect_socket(v->world);

    SSL_CTX_set_security_level(context, 0); /* so that old versions are offered at all */
    SSL_CTX_set_max_proto_version(context, v->version_max);
    if (v->groups)
        REQUIRE(SSL_CTX_set1_groups_list(context, v->groups) == 1);
    ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    if (v->server_name)
        SSL_set_tlsext_host_name(ssl, v->server_name);
    if (v->protocols)
        SSL_set_alpn_protos(ssl, (const unsigned char *)v->protocols, (unsigned)strlen(v->protocols));
    if (v->session)
        SSL_set_session(ssl, v->session);
    ERR_clear_error();
    if (v->early_size > 0)
        REQUIRE(send_early(ssl, v->early_size));
    v->connected = SSL_connect(ssl) == 1;
    v->early_taken = SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_ACCEPTED;
    if (v->connected) {
        note_connection(v, ssl);
        converse(v, ssl);
        SSL_SESSION_free(v->session);
        v->session = SSL_get1_session(ssl);
        SSL_shutdown(ssl); /* else the session may not be used again */
    }
    v->error = ERR_GET_REASON(ERR_peek_error());
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    loop_stop(v->world->loop);
    return NULL;
}

static void run_visitor(struct world *w, struct visitor *v)
{
    pthread_t thread;

    v->world = w;
    assert_int_equal(pthread_create(&thread, NULL, visit, v), 0);
    loop_run(w->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_certificate_by_name(void **state)
{
    struct world *w = *state;
    struct visitor a = {.server_name = "a.example"}, b = {.server_name = "B.Example"}, none = {0};

    run_visitor(w, &a);
    assert_true(a.connected && a.echoed);
    assert_string_equal(a.certificate, "DNS:a.example,IP:127.0.0.1");
    assert_string_equal(stream_server_name(w->accepted.stream), "a.example");
    run_visitor(w, &b);
    assert_true(b.connected && b.echoed);
    assert_string_equal(b.certificate, "DNS:b.example");
    assert_string_equal(w->chosen_name, "b.example");
    run_visitor(w, &none);
    assert_true(none.connected && none.echoed);
    assert_string_equal(w->chosen_name, "(none)");
    assert_string_equal(w->chosen_ip, "127.0.0.1");
    assert_string_equal(stream_server_name(w->accepted.stream), "");
    SSL_SESSION_free(a.session);
    SSL_SESSION_free(b.session);
    SSL_SESSION_free(none.session);
}

static void test_unknown_name_is_refused(void **state)
{
    struct world *w = *state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        struct visitor v = {.server_name = "c.example", .version_max = versions[i]};

        run_visitor(w, &v);
        assert_false(v.connected);
        assert_int_equal(v.error, SSL_R_TLSV1_UNRECOGNIZED_NAME);
        assert_int_equal(w->accepted.open_status, -EPROTO);
    }
}

static void test_versions(void **state)
{
    struct world *w = *state;
    struct visitor old = {.server_name = "a.example", .version_max = TLS1_1_VERSION},
                   good = {.server_name = "a.example", .version_max = TLS1_2_VERSION},
                   best = {.server_name = "a.example"};

    run_visitor(w, &old);
    assert_false(old.connected);
    assert_int_equal(old.error, SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    run_visitor(w, &good);
    assert_true(good.echoed);
    assert_string_equal(good.cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
    run_visitor(w, &best);
    assert_true(best.echoed);
    assert_string_equal(best.cipher, "TLS_AES_128_GCM_SHA256");
    SSL_SESSION_free(good.session);
    SSL_SESSION_free(best.session);
}

/* Keys of finite fields and of the largest curves cost a server much more than the client. */
static void test_no_costly_groups(void **state)
{
    static const struct {
        const char *groups;
        bool connects;
    } cases[] = {{"X25519", true}, {"P-256", true},      {"P-384", true},
                 {"P-521", false}, {"ffdhe8192", false}, {"ffdhe8192:P-256", true}};
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct visitor v = {.server_name = "a.example", .groups = cases[i].groups};

        run_visitor(w, &v);
        assert_int_equal(v.connected, cases[i].connects);
        SSL_SESSION_free(v.session);
    }
}

static void test_protocol_by_alpn(void **state)
{
    static const struct {
        const char *offered, *agreed;
    } cases[] = {
        {NULL, ""},      {"\x08http/1.1", "http/1.1"}, {"\x08http/1.1\x02h2", "h2"}, {"\x02h2", "h2"},
        {"\x03h2c", ""},
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct visitor v = {.server_name = "b.example", .protocols = cases[i].offered};

        run_visitor(w, &v);
        assert_true(v.connected && v.echoed);
        assert_string_equal(v.protocol, cases[i].agreed);
        assert_int_equal(stream_is_http2(w->accepted.stream), strcmp(cases[i].agreed, "h2") == 0);
        SSL_SESSION_free(v.session);
    }
}

static void test_session_is_resumed(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_COUNT(versions); i++) {
        struct visitor v = {.server_name = "b.example", .version_max = versions[i]};

        run_visitor(w, &v);
        assert_true(v.echoed);
        assert_false(v.reused);
        run_visitor(w, &v);
        assert_true(v.echoed);
        assert_true(v.reused);
        assert_string_equal(stream_server_name(w->accepted.stream), "b.example");
        SSL_SESSION_free(v.session);
    }
}

static void test_key_update(void **state)
{
    struct world *w = *state;
    struct visitor v = {.server_name = "a.example", .key_update = true};

    run_visitor(w, &v);
    assert_true(v.connected && v.echoed);
    SSL_SESSION_free(v.session);
}

/* --- early data
 * ---------------------------------------------------------------------------------------------- */

/* A visitor who has been here, and now sends early data whatever the server may have said of it. */
static struct visitor early_visitor(struct world *w, const char *name)
{
    struct visitor v = {.server_name = name, .protocols = "\x08http/1.1"};

    run_visitor(w, &v);
    assert_true(v.echoed);
    assert_int_equal(w->accepted.secure_count, 0);
    assert_int_equal(SSL_SESSION_set_max_early_data(v.session, 1 << 20), 1);
    v.early_size = strlen(EARLY_TEXT);
    return v;
}

static struct tls_server_stats stats_of(const struct world *w)
{
    struct tls_server_stats stats;

    tls_server_stats(w->server, &stats);
    return stats;
}

static void test_early_data(void **state)
{
    struct world *w = *state;
    struct visitor v = early_visitor(w, "a.example");

    run_visitor(w, &v);
    assert_true(v.early_taken && v.echoed && v.reused);
    assert_int_equal(w->accepted.early_bytes, strlen(EARLY_TEXT));
    assert_int_equal(w->accepted.late_bytes, 0);
    assert_int_equal(w->accepted.secure_count, 1);
    assert_int_equal(stats_of(w).early_data, 1);
    assert_int_equal(stats_of(w).early_data_rejected, 0);
    v.early_size = 0; /* who has none to send is served as ever */
    run_visitor(w, &v);
    assert_true(v.echoed && v.reused);
    assert_int_equal(w->accepted.early_bytes, 0);
    assert_int_equal(w->accepted.secure_count, 0);
    assert_int_equal(stats_of(w).early_data, 1);
    SSL_SESSION_free(v.session);
}

static void test_early_data_of_other_versions(void **state)
{
    struct world *w = *state;
    struct visitor v = {.server_name = "a.example", .version_max = TLS1_2_VERSION};

    for (int i = 0; i < 2; i++) {
        run_visitor(w, &v);
        assert_true(v.echoed);
    }
    assert_true(v.reused);
    SSL_SESSION_free(v.session);
}

/* It was for another protocol than is agreed on now: the handshake goes on, and it has to be sent again. */
static void test_early_data_for_another_protocol(void **state)
{
    struct world *w = *state;
    struct visitor v = early_visitor(w, "a.example");

    v.protocols = "\x02h2\x08http/1.1";
    run_visitor(w, &v);
    assert_true(v.connected && v.echoed && !v.early_taken);
    assert_string_equal(v.protocol, "h2");
    assert_int_equal(stats_of(w).early_data_rejected, 1);
    assert_int_equal(stats_of(w).early_data, 0);
    SSL_SESSION_free(v.session);
}

static void test_early_data_is_off(void **state)
{
    struct world *w = *state;
    struct visitor v = early_visitor(w, "a.example");

    run_visitor(w, &v);
    assert_true(v.connected && v.echoed && !v.early_taken && v.reused);
    assert_int_equal(w->accepted.early_bytes, 0);
    assert_int_equal(w->accepted.late_bytes, strlen(EARLY_TEXT));
    assert_int_equal(stats_of(w).early_data_rejected, 1);
    SSL_SESSION_free(v.session);
}

static void test_too_much_early_data(void **state)
{
    struct world *w = *state;
    struct visitor v = early_visitor(w, "a.example");

    v.early_size = TLS_EARLY_DATA_MAX + 1;
    run_visitor(w, &v);
    assert_false(v.connected && v.echoed);
    assert_int_equal(w->accepted.secure_count, 0);
    assert_true(w->accepted.early_bytes <= TLS_EARLY_DATA_MAX);
    SSL_SESSION_free(v.session);
}

/* The end waits for the handshake: before it there is no close_notify. */
static void test_end_before_the_handshake_is_complete(void **state)
{
    struct world *w = *state;
    struct visitor v = early_visitor(w, "a.example");

    w->accepted.ends = true;
    run_visitor(w, &v);
    assert_true(v.early_taken && v.echoed && v.ended_well);
    assert_int_equal(w->accepted.early_bytes, strlen(EARLY_TEXT));
    SSL_SESSION_free(v.session);
}

/* What a client sends first, with early data, without sending it. */
static size_t record_first_flight(SSL_SESSION *session, char *data, size_t size)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    BIO *out = BIO_new(BIO_s_mem());
    SSL *ssl = SSL_new(context);
    int n;

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
    SSL_set_tlsext_host_name(ssl, "a.example");
    SSL_set_alpn_protos(ssl, (const unsigned char *)"\x08http/1.1", 9);
    SSL_set_session(ssl, session);
    REQUIRE(send_early(ssl, strlen(EARLY_TEXT)));
    n = BIO_read(out, data, (int)size);
    REQUIRE(n > 0);
    SSL_free(ssl);
    SSL_CTX_free(context);
    return (size_t)n;
}

/* Whoever sends again what he has recorded is taken for the client, but never gets beyond early data. */
static void test_replay(void **state)
{
    struct world *w = *state;
    struct visitor v = early_visitor(w, "a.example");
    char flight[4096];
    size_t size = record_first_flight(v.session, flight, sizeof(flight));

    w->stop_when_early = true;
    for (unsigned i = 1; i <= 2; i++) {
        int fd = connect_socket(w);

        assert_int_equal(write(fd, flight, size), size);
        loop_run(w->loop);
        assert_true(stream_is_early(w->accepted.stream));
        assert_int_equal(w->accepted.early_bytes, strlen(EARLY_TEXT));
        close(fd);
        loop_run(w->loop); /* until it has broken */
        assert_true(w->accepted.broken < 0);
        assert_int_equal(w->accepted.secure_count, 0);
        assert_int_equal(stats_of(w).early_data, i);
    }
    assert_int_equal(stats_of(w).resumed, 0);
    SSL_SESSION_free(v.session);
}

/* --- what is no TLS
 * ---------------------------------------------------------------------------------------------- */

static void accept_and_stop(struct world *w)
{
    w->stop_when_accepted = true;
    loop_run(w->loop);
}

static void test_garbage(void **state)
{
    struct world *w = *state;
    int fd = connect_socket(w);

    assert_int_equal(write(fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    accept_and_stop(w);
    assert_int_equal(w->accepted.open_status, -EPROTO);
    close(fd);
}

static void test_end_within_the_handshake(void **state)
{
    struct world *w = *state;
    int fd = connect_socket(w);

    assert_int_equal(write(fd, "\x16\x03\x01", 3), 3);
    close(fd);
    accept_and_stop(w);
    assert_int_equal(w->accepted.open_status, -ECONNRESET);
}

/* --- our client
 * -------------------------------------------------------------------------------------------------- */

static int connect_as(struct world *w, const struct test_certificate *authority, bool verify,
                      const char *name)
{
    struct tls_client *client;
    struct addr address;
    struct buf error;

    buf_init(&error, 1000);
    assert_int_equal(tls_client_new(authority->certificate_path, verify, &error, &client), 0);
    buf_fini(&error);
    listener_address(w->listener, &address);
    w->connecting.open_status = NOTHING_YET;
    assert_int_equal(
        stream_connect(w->loop, &address, client, name, &events, &w->connecting, &w->connecting.stream), 0);
    tls_client_free(client); /* the connection does not need it any more */
    loop_run(w->loop);
    stream_close(w->connecting.stream);
    w->connecting.stream = NULL;
    return w->connecting.open_status;
}

static void test_client_verifies_name_and_authority(void **state)
{
    struct world *w = *state;

    assert_int_equal(connect_as(w, &w->a, true, "a.example"), 0);
    assert_int_equal(connect_as(w, &w->a, true, "a.example."), 0);
    assert_string_equal(w->chosen_name, "a.example");
    assert_int_equal(connect_as(w, &w->b, true, "b.example"), 0);
    assert_int_equal(connect_as(w, &w->b, true, "a.example"), -EPROTO); /* a's certificate, not signed by b */
    assert_int_equal(connect_as(w, &w->a, true, "127.0.0.1"), 0);
    assert_string_equal(w->chosen_name, "(none)");
    assert_int_equal(connect_as(w, &w->a, true, "127.0.0.2"), -EPROTO);
    assert_int_equal(connect_as(w, &w->a, true, "::1"), -EPROTO);
    assert_int_equal(connect_as(w, &w->a, false, "b.example"), 0);
    assert_int_equal(connect_as(w, &w->a, false, NULL), 0);
}

static void test_client_refused_for_its_name(void **state)
{
    struct world *w = *state;

    assert_int_equal(connect_as(w, &w->a, true, "c.example"), -EPROTO);
}

static void test_client_does_not_verify_nothing(void **state)
{
    struct world *w = *state;
    struct stream *stream;
    struct tls_client *client;
    struct addr address;
    struct buf error;

    buf_init(&error, 1000);
    assert_int_equal(tls_client_new(w->a.certificate_path, true, &error, &client), 0);
    buf_fini(&error);
    listener_address(w->listener, &address);
    assert_true(stream_connect(w->loop, &address, client, "", &events, &w->connecting, &stream) < 0);
    assert_true(stream_connect(w->loop, &address, client, NULL, &events, &w->connecting, &stream) < 0);
    tls_client_free(client);
}

/* --- settings
 * ---------------------------------------------------------------------------------------------------- */

static void assert_refused(struct world *w, const char *certificate_path, const char *key_path,
                           const char *named)
{
    const struct tls_identity identity = {.certificates = {{certificate_path, key_path, NULL}}, .count = 1};
    struct tls_server *server = NULL;
    struct buf error;

    buf_init(&error, 1000);
    assert_true(tls_server_new(
                    &(struct tls_server_options){
                        .identities = &identity, .identity_count = 1, .choose = choose, .user = w},
                    &error, &server) < 0);
    assert_null(server);
    buf_append_char(&error, '\0');
    if (!strstr(error.data, named))
        fail_msg("\"%s\" does not name %s", error.data, named);
    buf_fini(&error);
}

static void test_bad_files_are_named(void **state)
{
    struct world *w = *state;
    struct tls_client *client = NULL;
    struct buf error;

    assert_refused(w, "/nowhere/certificate.pem", w->a.key_path, "/nowhere/certificate.pem: No such file");
    assert_refused(w, w->a.certificate_path, "/nowhere/key.pem", "/nowhere/key.pem");
    assert_refused(w, w->a.key_path, w->a.key_path, w->a.key_path);
    assert_refused(w, w->a.certificate_path, w->b.key_path, w->b.key_path);
    buf_init(&error, 1000);
    assert_true(tls_client_new("/nowhere/ca.pem", true, &error, &client) < 0);
    assert_non_null(memmem(error.data, error.size, "/nowhere/ca.pem", 15));
    buf_clear(&error);
    assert_int_equal(tls_client_new(NULL, true, &error, &client), 0);
    tls_client_free(client);
    tls_client_free(NULL);
    tls_server_unref(NULL);
    buf_fini(&error);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_EARLY(name) cmocka_unit_test_setup_teardown(name, set_up_early, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_certificate_by_name),
        TEST(test_unknown_name_is_refused),
        TEST(test_versions),
        TEST(test_no_costly_groups),
        TEST(test_protocol_by_alpn),
        TEST(test_session_is_resumed),
        TEST(test_key_update),
        TEST_EARLY(test_early_data),
        TEST_EARLY(test_early_data_of_other_versions),
        TEST_EARLY(test_early_data_for_another_protocol),
        TEST(test_early_data_is_off),
        TEST_EARLY(test_too_much_early_data),
        TEST_EARLY(test_end_before_the_handshake_is_complete),
        TEST_EARLY(test_replay),
        TEST(test_garbage),
        TEST(test_end_within_the_handshake),
        TEST(test_client_verifies_name_and_authority),
        TEST(test_client_refused_for_its_name),
        TEST(test_client_does_not_verify_nothing),
        TEST(test_bad_files_are_named),
    };

    tls_manage_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
