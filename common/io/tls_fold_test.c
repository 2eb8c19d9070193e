/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that are folded between all they do, and give their memory back meanwhile. */
#include "tls_fold.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "certificate_test.h"
#include "io/tls.h"

#define PAGE ((size_t)4096)
#define MANY 600 /* more than keep their memory when they go */

struct pair {
    SSL_CTX *server_context, *client_context;
    SSL *server, *client;
    struct tls_folded *folded;
};

static int set_up(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));
    struct test_certificate certificate;
    BIO *a, *b;

    assert_non_null(p);
    test_certificate_make(&certificate, "DNS:a.example");
    p->server_context = SSL_CTX_new(TLS_server_method());
    p->client_context = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_use_certificate_chain_file(p->server_context, certificate.certificate_path), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(p->server_context, certificate.key_path, SSL_FILETYPE_PEM),
                     1);
    test_certificate_remove(&certificate);
    p->server = tls_fold_new(p->server_context);
    p->client = SSL_new(p->client_context);
    assert_int_equal(BIO_new_bio_pair(&a, 0, &b, 0), 1);
    SSL_set_bio(p->server, a, a);
    SSL_set_bio(p->client, b, b);
    SSL_set_accept_state(p->server);
    SSL_set_connect_state(p->client);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct pair *p = *state;

    SSL_free(p->server);
    SSL_free(p->client);
    SSL_CTX_free(p->server_context);
    SSL_CTX_free(p->client_context);
    free(p);
    return 0;
}

static void fold(struct pair *p)
{
    p->folded = tls_fold(p->server);
    assert_non_null(p->folded);
}

static void unfold(struct pair *p)
{
    tls_unfold(p->server, p->folded);
}

static void shake_hands(struct pair *p)
{
    for (int i = 0; i < 4; i++) {
        SSL_do_handshake(p->client);
        SSL_do_handshake(p->server);
        fold(p);
        unfold(p);
    }
    assert_true(SSL_is_init_finished(p->client) && SSL_is_init_finished(p->server));
}

static void say(struct pair *p, SSL *from, SSL *to)
{
    char data[8];

    assert_int_equal(SSL_write(from, "hello", 5), 5);
    fold(p);
    unfold(p);
    assert_int_equal(SSL_read(to, data, sizeof(data)), 5);
    assert_memory_equal(data, "hello", 5);
}

static void test_goes_on_as_if_nothing_was(void **state)
{
    struct pair *p = *state;

    shake_hands(p);
    for (int i = 0; i < 3; i++) {
        say(p, p->client, p->server);
        say(p, p->server, p->client);
        assert_int_equal(SSL_key_update(p->client, SSL_KEY_UPDATE_REQUESTED), 1);
    }
}

static bool has_memory(const void *page)
{
    unsigned char resident = 0;

    assert_int_equal(mincore((char *)page - (uintptr_t)page % PAGE, PAGE, &resident), 0);
    return resident & 1;
}

static void test_gives_its_memory_back(void **state)
{
    struct pair *p = *state;

    shake_hands(p);
    assert_true(has_memory(p->server));
    fold(p);
    assert_false(has_memory(p->server) || has_memory((char *)p->server + PAGE));
    unfold(p);
    assert_true(has_memory(p->server));
}

static void test_others_are_not_folded(void **state)
{
    struct pair *p = *state;

    assert_null(tls_fold(p->client)); /* made by SSL_new */
}

static void test_many_come_and_go(void **state)
{
    static SSL *made[MANY];
    struct pair *p = *state;

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            made[i] = tls_fold_new(p->server_context);
            assert_non_null(made[i]);
            SSL_set_app_data(made[i], &made[i]);
        }
        for (int i = 0; i < MANY; i++) {
            struct tls_folded *folded = tls_fold(made[i]);

            assert_non_null(folded);
            tls_unfold(made[i], folded);
            assert_ptr_equal(SSL_get_app_data(made[i]), &made[i]);
        }
        for (int i = 0; i < MANY; i++)
            SSL_free(made[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_goes_on_as_if_nothing_was, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gives_its_memory_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_others_are_not_folded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_come_and_go, set_up, tear_down),
    };

    tls_manage_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
