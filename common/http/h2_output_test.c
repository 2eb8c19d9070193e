/* SPDX-License-Identifier: Apache-2.0 */
/* Frames whose payload the kernel reads from its file: what has no map goes that way on plain connections
 * too. Every byte is compared by the client as it comes. */
#include "h2_talk_test.h"

#define WINDOW 65535u

/* Many streams over a socket that is nearly always full, their windows now less than a frame, now more; some
 * are reset in the middle of their bodies, and the others' bytes stay right. */
static void run_crowd(struct stage *stage, uint32_t window, int receive_buffer)
{
    static const char *const kinds[] = {"file", "map", "file", "unknown"};
    struct client *c = client_open(stage, window, true, receive_buffer);
    int32_t ids[40];

    client_widen(c, 0, 1 << 30); /* so that the socket is what holds it up */
    for (int i = 0; i < 40; i++) {
        char path[32];

        snprintf(path, sizeof(path), "/%s/%d", kinds[i % 4], i * 40000 + 1);
        ids[i] = client_ask(c, path);
    }
    for (int i = 38; i > 20; i -= 4) {
        CLIENT_UNTIL(c, answer_of(c, ids[i])->body_size > 1000);
        client_reset(c, ids[i]);
    }
    for (int i = 0; i < 40; i++) {
        struct answer *a = answer_of(c, ids[i]);
        bool was_reset = i > 20 && i % 4 == 2;

        CLIENT_UNTIL(c, a->closed);
        assert_true(a->ended || was_reset);
        if (!was_reset)
            assert_int_equal(a->body_size, i * 40000 + 1);
    }
    assert_int_equal(client_get(c, "/304")->status, 304);
    client_close(c);
}

static void test_crowds(void **state)
{
    struct stage *stage = stage_start(stage_new());

    (void)state;
    run_crowd(stage, 16000, 4096);
    run_crowd(stage, WINDOW, 4096);
    run_crowd(stage, 1 << 20, 4096);
    run_crowd(stage, 1 << 20, 0);
    stage_stop(stage);
    stage_free(stage);
}

/* Nothing can mend a frame whose head has left: the connection ends, and its handlers are told why. */
static void test_a_file_that_ends_early(void **state)
{
    struct stage *stage = stage_start(stage_new());
    struct client *c = client_open(stage, 1 << 30, true, 0);

    (void)state;
    assert_int_equal(ftruncate(stage->large_fd, 100000), 0);
    client_ask(c, "/file/1000000");
    client_hear_end(c);
    stage_await(stage);
    assert_string_equal(stage->gone, "body_unreadable");
    assert_true(c->data_bytes <= 100000);
    client_close(c);
    stage_stop(stage);
    stage_free(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crowds),
        cmocka_unit_test(test_a_file_that_ends_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
