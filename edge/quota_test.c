/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of quota.h.
 */
#include "quota.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/server.h"

#define SECOND      1000000000ull
#define GUESTS_MAX  20000
#define NOT_REFUSED HTTP_REFUSAL_COUNT

struct stage {
    struct config config;
    struct config_site site;
    struct addr_prefix proxy;
    struct quota *quota;
    struct http_guest guests[GUESTS_MAX];
    size_t guest_count;
};

static struct stage *stage_new(uint64_t connections_max, struct config_limits limits)
{
    static struct stage stage;

    memset(&stage, 0, sizeof(stage));
    stage.config.limits = limits;
    stage.config.sites = &stage.site;
    stage.config.site_count = 1;
    assert_int_equal(addr_prefix_parse(slice_of("10.0.0.0/8"), &stage.proxy), 0);
    stage.config.trusted_proxies = &stage.proxy;
    stage.config.trusted_proxy_count = 1;
    stage.quota = quota_new(&stage.config, connections_max, 1);
    return &stage;
}

/* Everybody leaves: nothing may be left. */
static void stage_free(struct stage *s)
{
    const struct http_gate *gate = quota_gate(s->quota);
    struct quota_stats stats;

    while (s->guest_count > 0)
        gate->leave(gate->user, s->guests[--s->guest_count]);
    quota_stats(s->quota, &stats);
    assert_int_equal(stats.connections, 0);
    quota_free(s->quota);
}

static enum http_refusal come(struct stage *s, const char *address)
{
    const struct http_gate *gate = quota_gate(s->quota);
    enum http_refusal refusal = NOT_REFUSED;
    struct http_guest guest, nobody = {0};
    struct addr peer;

    assert_int_equal(addr_parse(slice_of(address), &peer), 0);
    if (!gate->enter(gate->user, false, &refusal))
        return refusal;
    if (gate->identify(gate->user, &peer, &guest, &refusal))
        s->guests[s->guest_count++] = guest;
    else
        gate->leave(gate->user, nobody);
    return refusal;
}

static uint64_t come_many(struct stage *s, const char *address)
{
    uint64_t count = 0;

    while (come(s, address) == NOT_REFUSED)
        count++;
    return count;
}

static void test_the_whole(void **state)
{
    struct stage *s = stage_new(5, (struct config_limits){0});
    char address[32];

    (void)state;
    for (int i = 0; i < 5; i++) {
        snprintf(address, sizeof(address), "192.0.2.%d", i);
        assert_int_equal(come(s, address), NOT_REFUSED);
    }
    assert_int_equal(come(s, "192.0.2.9"), HTTP_REFUSAL_TOO_MANY_CONNECTIONS);
    stage_free(s);
}

/* Several workers: a few are kept for those who have asked another to make room. */
static void test_a_reserve_for_the_crowded(void **state)
{
    const uint64_t max = 640;
    struct config config = {0};
    struct quota *q = quota_new(&config, max, 2);
    const struct http_gate *gate = quota_gate(q);
    enum http_refusal refusal = NOT_REFUSED;
    struct http_guest nobody = {0};

    (void)state;
    for (uint64_t i = 0; i < max - 10; i++)
        assert_true(gate->enter(gate->user, false, &refusal));
    assert_false(gate->enter(gate->user, false, &refusal));
    assert_int_equal(refusal, HTTP_REFUSAL_TOO_MANY_CONNECTIONS);
    for (uint64_t i = 0; i < 10; i++)
        assert_true(gate->enter(gate->user, true, &refusal));
    assert_false(gate->enter(gate->user, true, &refusal));
    for (uint64_t i = 0; i < max; i++)
        gate->leave(gate->user, nobody);
    quota_free(q);
}

static void test_a_client_s_own_limit(void **state)
{
    struct stage *s = stage_new(1000, (struct config_limits){.connections_per_client_max = 3});

    (void)state;
    assert_int_equal(come_many(s, "192.0.2.1"), 3);
    assert_int_equal(come(s, "192.0.2.1"), HTTP_REFUSAL_TOO_MANY_CONNECTIONS_OF_CLIENT);
    assert_int_equal(come_many(s, "192.0.2.2"), 3);
    assert_int_equal(come_many(s, "2001:db8::1"), 3);
    assert_int_equal(come_many(s, "2001:db8::ffff:1"), 0); /* the same /64 */
    assert_int_equal(come_many(s, "2001:db8:0:1::1"), 3);
    stage_free(s);
}

static void test_a_prefix_limit(void **state)
{
    struct stage *s = stage_new(1000, (struct config_limits){.connections_per_prefix_max = 3});

    (void)state;
    assert_int_equal(come(s, "192.0.2.1"), NOT_REFUSED);
    assert_int_equal(come_many(s, "192.0.2.255"), 2);
    assert_int_equal(come(s, "192.0.2.3"), HTTP_REFUSAL_TOO_MANY_CONNECTIONS_OF_PREFIX);
    assert_int_equal(come_many(s, "192.0.3.1"), 3);
    assert_int_equal(come_many(s, "2001:db8::1"), 3);
    assert_int_equal(come_many(s, "2001:db8:0:1::1"), 0); /* the same /48 */
    stage_free(s);
}

static void test_one_address_leaves_the_rest(void **state)
{
    struct stage *s = stage_new(9000, (struct config_limits){0});

    (void)state;
    assert_in_range(come_many(s, "192.0.2.1"), 5600, 5650);
    assert_int_equal(come(s, "192.0.2.1"), HTTP_REFUSAL_TOO_MANY_CONNECTIONS_OF_CLIENT);
    assert_in_range(come_many(s, "192.0.2.2"), 1850, 1900);
    stage_free(s);
}

static void test_any_number_of_addresses_leaves_room(void **state)
{
    struct stage *s = stage_new(10000, (struct config_limits){0});
    char address[32];

    (void)state;
    for (int i = 0; i < 50; i++) {
        snprintf(address, sizeof(address), "127.0.1.%d", i);
        come_many(s, address);
    }
    for (int i = 0; i < 20; i++) {
        snprintf(address, sizeof(address), "198.51.100.%d", i);
        assert_int_equal(come(s, address), NOT_REFUSED);
    }
    stage_free(s);
}

static void test_proxies_count_for_the_whole_only(void **state)
{
    struct stage *s = stage_new(100, (struct config_limits){.connections_per_client_max = 3});

    (void)state;
    assert_int_equal(come_many(s, "10.1.2.3"), 100);
    assert_int_equal(come(s, "10.1.2.3"), HTTP_REFUSAL_TOO_MANY_CONNECTIONS);
    stage_free(s);
}

static enum refusal ask(struct stage *s, const char *address, uint64_t now_ns, unsigned *ret_after_s)
{
    struct addr viewer;

    assert_int_equal(addr_parse(slice_of(address), &viewer), 0);
    return quota_request(s->quota, &viewer, 1, now_ns, ret_after_s);
}

static void test_requests_of_a_client(void **state)
{
    struct stage *s =
        stage_new(100, (struct config_limits){.requests_per_client = 2, .request_burst_ms = 5000});
    unsigned after_s = 0, count = 0;

    (void)state;
    while (ask(s, "192.0.2.1", SECOND, &after_s) == REFUSAL_NONE)
        count++;
    assert_int_equal(count, 10);
    assert_int_equal(ask(s, "192.0.2.1", SECOND, &after_s), REFUSAL_CLIENT_RATE);
    assert_int_equal(after_s, 1);
    assert_int_equal(ask(s, "192.0.2.2", SECOND, &after_s), REFUSAL_NONE);
    assert_int_equal(ask(s, "192.0.2.1", 2 * SECOND, &after_s), REFUSAL_NONE);
    stage_free(s);
}

static void test_requests_of_a_site(void **state)
{
    struct stage *s = stage_new(100, (struct config_limits){.request_burst_ms = 1});
    unsigned after_s = 0;

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(ask(s, "192.0.2.1", SECOND, &after_s), REFUSAL_NONE); /* no limit is set */
    s->site.requests_max_per_s = 1;
    assert_int_equal(ask(s, "192.0.2.1", SECOND, &after_s), REFUSAL_NONE);
    assert_int_equal(ask(s, "192.0.2.2", SECOND, &after_s), REFUSAL_SITE_RATE);
    assert_int_equal(after_s, 1);
    stage_free(s);
}

static void test_what_fits(void **state)
{
    (void)state;
    assert_int_equal(quota_fit(100000, 20000, 1000), 19000);
    assert_int_equal(quota_fit(100, 20000, 1000), 100);
    assert_int_equal(quota_fit(100, 256, 1000), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole),
        cmocka_unit_test(test_a_reserve_for_the_crowded),
        cmocka_unit_test(test_a_client_s_own_limit),
        cmocka_unit_test(test_a_prefix_limit),
        cmocka_unit_test(test_one_address_leaves_the_rest),
        cmocka_unit_test(test_any_number_of_addresses_leaves_room),
        cmocka_unit_test(test_proxies_count_for_the_whole_only),
        cmocka_unit_test(test_requests_of_a_client),
        cmocka_unit_test(test_requests_of_a_site),
        cmocka_unit_test(test_what_fits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
