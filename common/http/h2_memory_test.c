/* SPDX-License-Identifier: Apache-2.0 */
#include "h2_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define SLOT     ((size_t)6 * 4096)
#define SESSIONS 200u

static nghttp2_session_callbacks *callbacks;

static nghttp2_session *make(struct h2_memory *m, struct h2_pool *pool)
{
    nghttp2_mem memory = h2_memory_init(m, pool);
    nghttp2_session *session;

    assert_int_equal(nghttp2_session_server_new3(&session, callbacks, NULL, NULL, &memory), 0);
    h2_memory_made(m);
    return session;
}

static unsigned resident_pages(const struct h2_memory *m)
{
    unsigned char pages[6];
    unsigned count = 0;

    assert_int_equal(mincore(m->slot, sizeof(pages) * 4096, pages), 0);
    for (size_t i = 0; i < sizeof(pages); i++)
        count += pages[i] & 1;
    return count;
}

/* The frame's buffer and the table are where they cost nothing, with the version of nghttp2 that is here. */
static void test_a_session_touches_little(void **state)
{
    struct h2_pool *pool = h2_pool_new();
    struct h2_memory m;
    nghttp2_session *session = make(&m, pool);
    const uint8_t *data;

    (void)state;
    assert_true(m.has_frame);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0);
    assert_true(nghttp2_session_mem_send(session, &data) > 0);
    h2_memory_rest(&m);
    assert_true(resident_pages(&m) <= 2);
    nghttp2_session_del(session);
    h2_memory_fini(&m);
    h2_pool_free(pool);
}

/* Slots are nobody else's while they are used, are used again, and are zeros then. The pool outlives its
 * owner until the last is given back. */
static void test_slots(void **state)
{
    static struct h2_memory m[SESSIONS];
    static nghttp2_session *sessions[SESSIONS];
    struct h2_pool *pool = h2_pool_new();

    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < SESSIONS; i++)
            if (!sessions[i])
                sessions[i] = make(&m[i], pool);
        for (unsigned i = 0; i < SESSIONS; i++)
            for (unsigned j = 0; j < i; j++)
                assert_true(m[i].slot + SLOT <= m[j].slot || m[j].slot + SLOT <= m[i].slot);
        for (unsigned i = 0; i < SESSIONS; i++) {
            if (i % 7 == round)
                continue;
            nghttp2_session_del(sessions[i]);
            h2_memory_fini(&m[i]);
            sessions[i] = NULL;
        }
    }
    h2_pool_free(pool);
    for (unsigned i = 0; i < SESSIONS; i++) {
        if (!sessions[i])
            continue;
        nghttp2_session_del(sessions[i]);
        h2_memory_fini(&m[i]);
    }
}

/* The rules of malloc, whatever is asked for. */
static void test_any_order_of_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, 17408, 3000, 20000, 4096, 4096, 100, 17, 1 << 20, 64};
    struct h2_pool *pool = h2_pool_new();
    char *at[sizeof(sizes) / sizeof(*sizes)];
    struct h2_memory m;

    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        nghttp2_mem memory = h2_memory_init(&m, pool);

        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            at[i] = (round + i) % 2 ? memory.malloc(sizes[i], &m) : memory.calloc(1, sizes[i], &m);
            assert_int_equal((uintptr_t)at[i] % 16, 0);
            for (size_t j = 0; (round + i) % 2 == 0 && j < sizes[i]; j++)
                assert_int_equal(at[i][j], 0);
            memset(at[i], (int)i + 1, sizes[i]);
            if (round == 2 && i == 5)
                h2_memory_made(&m);
        }
        h2_memory_rest(&m);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            if (round == 3)
                at[i] = memory.realloc(at[i], sizes[i] + 5000, &m);
            for (size_t j = 0; j < sizes[i]; j++)
                assert_int_equal(at[i][j], (int)i + 1);
        }
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
            memory.free(at[i], &m);
        memory.free(NULL, &m);
        h2_memory_fini(&m);
    }
    h2_pool_free(pool);
}

/* A table that has become empty again costs nothing; one that is not stays as it is. */
static void test_rest(void **state)
{
    struct h2_pool *pool = h2_pool_new();
    struct h2_memory m;
    nghttp2_mem memory = h2_memory_init(&m, pool);
    char *front = memory.malloc(3000, &m), *table = memory.calloc(256, 16, &m);

    (void)state;
    front[0] = 1;
    table[4095] = 2;
    h2_memory_rest(&m);
    assert_int_equal(table[4095], 2);
    assert_int_equal(resident_pages(&m), 2);
    table[4095] = 0;
    h2_memory_rest(&m);
    assert_int_equal(resident_pages(&m), 1);
    assert_int_equal(front[0], 1);
    assert_int_equal(table[4095], 0);
    h2_memory_fini(&m);
    h2_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_touches_little),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_any_order_of_sizes),
        cmocka_unit_test(test_rest),
    };
    int failed;

    nghttp2_session_callbacks_new(&callbacks);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    nghttp2_session_callbacks_del(callbacks);
    return failed;
}
