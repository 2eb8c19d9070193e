/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the keys of session tickets: what they are made of, and for how long each opens. Time is given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "base/check.h"
#include "tls_ticket.h"

#define HOUR INT64_C(3600)
#define NOW  (INT64_C(500000) * HOUR + 17) /* in epoch 500000 of rotations of an hour */

static const char secret[] = "0123456789abcdef0123456789abcdef";

static void assert_hex(const unsigned char *bytes, size_t size, const char *expected)
{
    char text[200] = "";

    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    assert_string_equal(text, expected);
}

/* Edges of other versions and machines must come to the same. The values are those of
 * openssl kdf -keylen 80 -kdfopt digest:SHA256 -kdfopt key:... -kdfopt info:'shorebreak ticket 3600 500000'
 * HKDF */
static void test_keys_never_change(void **state)
{
    struct tls_ticket_key key;

    (void)state;
    assert_true(tls_ticket_derive(slice_of(secret), 3600, 500000, &key));
    assert_hex(key.name, sizeof(key.name), "c739710d4b8b1b17def8612c56288122");
    assert_hex(key.cipher, sizeof(key.cipher),
               "489656a73ebd91aa50fd0a800a0a63347345644e2b780f8a4e3c4fb179576e58");
    assert_hex(key.mac, sizeof(key.mac), "e8bbd51ac9e9d89ecc19d38170f26c397f018be36f98c30dfc9a566ae1045fbe");
}

static void test_keys_differ(void **state)
{
    static const char other_secret[] = "0123456789abcdef0123456789abcdeg";
    struct tls_ticket_key keys[5];

    (void)state;
    assert_true(tls_ticket_derive(slice_of(secret), 3600, 500000, &keys[0]));
    assert_true(tls_ticket_derive(slice_of(secret), 3600, 500001, &keys[1]));
    assert_true(tls_ticket_derive(slice_of(secret), 7200, 500000, &keys[2]));
    assert_true(tls_ticket_derive(slice_of(other_secret), 3600, 500000, &keys[3]));
    assert_true(tls_ticket_derive(slice_make(secret, 31), 3600, 500000, &keys[4]));
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(keys[i].name, keys[k].name, sizeof(keys[i].name));
            assert_memory_not_equal(keys[i].cipher, keys[k].cipher, sizeof(keys[i].cipher));
            assert_memory_not_equal(keys[i].mac, keys[k].mac, sizeof(keys[i].mac));
        }
}

static struct tls_tickets *tickets_of(const char *const *paths, size_t count)
{
    struct tls_tickets *t = NULL;
    struct buf error;

    buf_init(&error, 1000);
    assert_int_equal(tls_tickets_new(paths, count, 3600, NOW, &error, &t), 0);
    assert_int_equal(error.size, 0);
    buf_fini(&error);
    return t;
}

static void test_how_long_a_key_opens(void **state)
{
    struct tls_tickets *t = tickets_of(NULL, 0);
    struct tls_ticket_key sealed, opened;

    (void)state;
    assert_true(tls_tickets_epoch(t, NOW) == 500000);
    assert_true(tls_tickets_present(t, NOW, &sealed));
    assert_int_equal(tls_tickets_find(t, NOW, sealed.name, &opened), TLS_TICKET_CURRENT);
    assert_memory_equal(&sealed, &opened, sizeof(sealed));
    assert_int_equal(tls_tickets_find(t, NOW + HOUR, sealed.name, &opened), TLS_TICKET_OLD);
    assert_memory_equal(&sealed, &opened, sizeof(sealed));
    assert_int_equal(tls_tickets_find(t, NOW + 2 * HOUR, sealed.name, &opened), TLS_TICKET_UNKNOWN);
    /* an edge whose clock is behind knows it already */
    assert_int_equal(tls_tickets_find(t, NOW - HOUR, sealed.name, &opened), TLS_TICKET_CURRENT);
    assert_int_equal(tls_tickets_find(t, NOW - 2 * HOUR, sealed.name, &opened), TLS_TICKET_UNKNOWN);
    assert_int_equal(tls_tickets_find(t, NOW, (const unsigned char *)"0123456789abcdef", &opened),
                     TLS_TICKET_UNKNOWN);
    tls_tickets_free(t);
}

static void test_random_ones_are_of_one_process(void **state)
{
    struct tls_tickets *a = tickets_of(NULL, 0), *b = tickets_of(NULL, 0);
    struct tls_ticket_key key, found;

    (void)state;
    assert_true(tls_tickets_present(a, NOW, &key));
    assert_int_equal(tls_tickets_find(b, NOW, key.name, &found), TLS_TICKET_UNKNOWN);
    tls_tickets_free(a);
    tls_tickets_free(b);
}

static void write_secret(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    REQUIRE(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void test_files(void **state)
{
    char path[] = "/tmp/tls_ticket_test.XXXXXX";
    const char *const paths[] = {path};
    struct tls_ticket_key key, expected;
    struct tls_tickets *t;
    struct buf error;

    (void)state;
    buf_init(&error, 1000);
    close(mkstemp(path));
    write_secret(path, "0123456789abcdef0123456789abcdef\r\n");
    t = tickets_of(paths, 1);
    assert_true(tls_tickets_present(t, NOW, &key) &&
                tls_ticket_derive(slice_of(secret), 3600, 500000, &expected));
    assert_memory_equal(&key, &expected, sizeof(key));
    assert_int_equal(tls_tickets_refresh(t, false, NOW, &error), 0);
    write_secret(path, "short\n");
    assert_true(tls_tickets_refresh(t, true, NOW, &error) < 0);
    assert_non_null(memmem(error.data, error.size, path, strlen(path)));
    assert_true(tls_tickets_present(t, NOW, &key)); /* what was read before stays */
    assert_memory_equal(&key, &expected, sizeof(key));
    write_secret(path, "fedcba9876543210fedcba9876543210");
    assert_int_equal(tls_tickets_refresh(t, true, NOW, &error), 1);
    assert_true(tls_tickets_present(t, NOW, &key));
    assert_memory_not_equal(key.name, expected.name, sizeof(key.name));
    unlink(path);
    assert_true(tls_tickets_refresh(t, true, NOW, &error) < 0);
    tls_tickets_free(t);
    buf_fini(&error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys_never_change),
        cmocka_unit_test(test_keys_differ),
        cmocka_unit_test(test_how_long_a_key_opens),
        cmocka_unit_test(test_random_ones_are_of_one_process),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
