/* SPDX-License-Identifier: Apache-2.0 */
#include "admit.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define S ((uint64_t)1000000)

static struct addr address(const char *text)
{
    struct addr a;

    assert_int_equal(addr_parse(slice_of(text), &a), 0);
    return a;
}

/* At once and without waiting; the fill runs on. */
static bool goes(struct admit *a, const struct config_misses *rules, unsigned site_id,
                 const struct addr *client, uint64_t now_us)
{
    struct admit_turn turn = {0};
    struct admit_ticket ticket;
    uint64_t wait_us;

    return admit_ask(a, rules, site_id, client, now_us, &turn, &ticket, &wait_us) == ADMIT_GO;
}

/* A burst, then the rate: who asks for more is told when its turn is, in order, and no further than the wait.
 */
static void test_rate(void **state)
{
    static const struct config_misses rules = {
        .client_rate_per_s = 10, .client_burst = 3, .client_fills = 1000, .site_fills = 1000, .wait_ms = 200};
    struct addr one = address("192.0.2.1"), two = address("192.0.2.2");
    struct admit *a = admit_new(1);
    struct admit_turn turns[3] = {0};
    struct admit_ticket ticket;
    uint64_t wait_us;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(goes(a, &rules, 1, &one, S));
    assert_int_equal(admit_ask(a, &rules, 1, &one, S, &turns[0], &ticket, &wait_us), ADMIT_WAIT);
    assert_int_equal(wait_us, S / 10);
    assert_int_equal(admit_ask(a, &rules, 1, &one, S, &turns[1], &ticket, &wait_us), ADMIT_WAIT);
    assert_int_equal(wait_us, 2 * S / 10);
    assert_int_equal(admit_ask(a, &rules, 1, &one, S, &turns[2], &ticket, &wait_us), ADMIT_NOT_CLIENT);
    assert_int_equal(wait_us, 2 * S / 10);
    assert_true(goes(a, &rules, 1, &two, S)); /* another client does not notice */

    assert_int_equal(admit_ask(a, &rules, 1, &one, S + S / 20, &turns[0], &ticket, &wait_us), ADMIT_WAIT);
    assert_int_equal(wait_us, S / 20);
    assert_int_equal(admit_ask(a, &rules, 1, &one, S + S / 10, &turns[0], &ticket, &wait_us), ADMIT_GO);
    assert_int_equal(admit_ask(a, &rules, 1, &one, S + S / 10, &turns[1], &ticket, &wait_us), ADMIT_WAIT);
    assert_int_equal(admit_ask(a, &rules, 1, &one, S + S / 5, &turns[1], &ticket, &wait_us), ADMIT_GO);
    for (int i = 0; i < 3; i++) /* after a quiet time all of the burst is there again */
        assert_true(goes(a, &rules, 1, &one, 10 * S));
    assert_false(goes(a, &rules, 1, &one, 10 * S));
    admit_free(a);
}

static void test_fills_at_a_time(void **state)
{
    static const struct config_misses rules = {.client_rate_per_s = 1000000,
                                               .client_burst = 1000000,
                                               .client_fills = 2,
                                               .site_fills = 3,
                                               .wait_ms = 100};
    struct addr one = address("192.0.2.1"), two = address("192.0.2.2"), three = address("192.0.2.3");
    struct admit *a = admit_new(2);
    struct admit_turn turn = {0}, other = {0};
    struct admit_ticket ticket = {0}, forced;
    uint64_t wait_us;

    (void)state;
    assert_true(goes(a, &rules, 1, &one, S));
    assert_int_equal(admit_ask(a, &rules, 1, &one, S, &turn, &ticket, &wait_us), ADMIT_GO);
    assert_int_equal(admit_ask(a, &rules, 1, &one, S, &turn, &forced, &wait_us), ADMIT_WAIT);
    assert_true(goes(a, &rules, 1, &two, S)); /* the last place of the site */
    assert_int_equal(admit_ask(a, &rules, 1, &three, S, &other, &forced, &wait_us), ADMIT_WAIT);
    assert_true(goes(a, &rules, 2, &three, S)); /* another site does not notice */
    assert_int_equal(admit_ask(a, &rules, 1, &one, S + S / 10, &turn, &forced, &wait_us), ADMIT_NOT_CLIENT);
    assert_int_equal(admit_ask(a, &rules, 1, &three, S + S / 10, &other, &forced, &wait_us), ADMIT_NOT_SITE);

    forced = admit_force(a, &rules, 1, &three); /* what has begun goes on */
    admit_release(a, &ticket);
    admit_release(a, &ticket); /* harmless */
    assert_false(goes(a, &rules, 1, &three, S));
    admit_release(a, &forced);
    assert_true(goes(a, &rules, 1, &three, S));
    admit_free(a);
}

static void test_who_is_one_client(void **state)
{
    struct addr_prefix exempt;
    struct config_misses rules = {.client_rate_per_s = 1,
                                  .client_burst = 1,
                                  .client_fills = 9,
                                  .site_fills = 99,
                                  .wait_ms = 1,
                                  .exempt = &exempt,
                                  .exempt_count = 1};
    struct addr clients[] = {address("2001:db8:1:1::1"), address("2001:db8:1:2::2"),
                             address("2001:db8:1:102::1"), address("10.0.0.1")};
    struct admit *a = admit_new(2);

    (void)state;
    assert_int_equal(addr_prefix_parse(slice_of("10.0.0.0/8"), &exempt), 0);
    assert_true(goes(a, &rules, 1, &clients[0], S));
    assert_false(goes(a, &rules, 1, &clients[1], S)); /* the same /56 */
    assert_true(goes(a, &rules, 1, &clients[2], S));
    assert_true(goes(a, &rules, 2, &clients[0], S)); /* each site counts for itself */
    for (int i = 0; i < 50; i++)
        assert_true(goes(a, &rules, 1, &clients[3], S));
    admit_free(a);
}

/* However many clients flood, one that does not is let in: but for a few that share cells in both rows. */
static void test_many_floods(void **state)
{
    static const struct config_misses rules = {.client_rate_per_s = 1,
                                               .client_burst = 2,
                                               .client_fills = 1000000,
                                               .site_fills = 1000000,
                                               .wait_ms = 1};
    struct admit *a = admit_new(1);
    struct addr client = address("10.0.0.0");
    unsigned refused = 0;

    (void)state;
    for (unsigned i = 0; i < 400; i++) {
        client.ip[14] = (uint8_t)(i >> 8);
        client.ip[15] = (uint8_t)i;
        for (int k = 0; k < 20; k++)
            goes(a, &rules, 1, &client, S);
    }
    client.ip[13] = 1;
    for (unsigned i = 0; i < 400; i++) {
        client.ip[14] = (uint8_t)(i >> 8);
        client.ip[15] = (uint8_t)i;
        refused += !goes(a, &rules, 1, &client, S);
    }
    assert_in_range(refused, 0, 20);
    admit_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_fills_at_a_time),
        cmocka_unit_test(test_who_is_one_client),
        cmocka_unit_test(test_many_floods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
