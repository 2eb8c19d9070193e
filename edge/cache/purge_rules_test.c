/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rules mean for objects, by example and against a list of all purges that is searched naively: what the
 * list says is purged must be, whatever the bounds have done; and while no bound is met, nothing else is.
 */
#include "cache/purge_rules.h"
#include "cache/purge_tags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/check.h"

#define ORDERS_MAX 4000u

static const char tagged[] =
    "200\r\nDate: x\r\nCache-Tag: red, big\r\ncache-groups: \"a b\";x=\"1,2\", \"q\\\"q\"\r\n"
    "Surrogate-Key: k1  k2\r\n";

static struct purge_order order_of(enum purge_kind kind, const char *site, const char *text, bool is_soft)
{
    return (struct purge_order){kind, is_soft, slice_of(site), slice_of(text)};
}

static size_t put(struct purge_rules *rules, struct purge_order order, uint32_t generation)
{
    struct purge_rule r;
    purge_rules_make(rules, &order, generation, (int64_t)generation * 1000, &r);
    return purge_rules_put(rules, &r);
}

static enum purge_effect judge(const struct purge_rules *rules, const char *key, const char *head,
                               uint32_t generation)
{
    struct purge_subject subject = {slice_of(key), head ? slice_of(head) : (struct slice){NULL, 0},
                                    generation};
    return purge_rules_judge(rules, &subject, NULL);
}

/* ---- examples ---- */

static void test_a_url_goes_with_its_variants_and_slices(void **state)
{
    struct purge_rules *rules = purge_rules_new(16);
    (void)state;
    put(rules, order_of(PURGE_URL, "demo", "demo/a?x=1", false), 5);
    assert_int_equal(judge(rules, "demo/a?x=1", tagged, 4), PURGE_HARD);
    assert_int_equal(judge(rules, "demo/a?x=1 vary 0123\nfoo=1", tagged, 4), PURGE_HARD);
    assert_int_equal(judge(rules, "demo/a?x=1 0123456789abcdef/7", "", 4), PURGE_HARD);
    assert_int_equal(judge(rules, "demo/a?x=1", tagged, 5), PURGE_NONE);
    assert_int_equal(judge(rules, "demo/a?x=12", tagged, 0), PURGE_NONE);
    assert_int_equal(judge(rules, "demo/a", tagged, 0), PURGE_NONE);
    assert_int_equal(judge(rules, "other/a?x=1", tagged, 0), PURGE_NONE);
    purge_rules_free(rules);
}

static void test_prefix_and_site(void **state)
{
    struct purge_rules *rules = purge_rules_new(16);
    (void)state;
    put(rules, order_of(PURGE_PREFIX, "demo", "demo/live/ch", true), 5);
    assert_int_equal(judge(rules, "demo/live/ch1/seg.ts", tagged, 4), PURGE_SOFT);
    assert_int_equal(judge(rules, "demo/live/ch 0123456789abcdef/7", "", 4), PURGE_SOFT);
    assert_int_equal(judge(rules, "demo/live/c", tagged, 4), PURGE_NONE);
    assert_int_equal(judge(rules, "demo/live/ch1/seg.ts", tagged, 5), PURGE_NONE);
    put(rules, order_of(PURGE_SITE, "demo", "", false), 7);
    assert_int_equal(judge(rules, "demo/live/ch1/seg.ts", tagged, 6), PURGE_HARD);
    assert_int_equal(judge(rules, "demo/", tagged, 6), PURGE_HARD);
    assert_int_equal(judge(rules, "demo2/", tagged, 6), PURGE_NONE);
    assert_int_equal(judge(rules, "demo/", tagged, 7), PURGE_NONE);
    purge_rules_free(rules);
}

static void test_tags_of_all_fields(void **state)
{
    static const char *const there[] = {"red", "big", "a b", "q\"q", "k1", "k2"};
    static const char *const not_there[] = {"re", "Red", "red, big", "a", "x", "1", "", "k1  k2"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(there) + ARRAY_COUNT(not_there); i++) {
        bool is_there = i < ARRAY_COUNT(there);
        struct purge_rules *rules = purge_rules_new(16);
        put(rules,
            order_of(PURGE_TAG, "demo", is_there ? there[i] : not_there[i - ARRAY_COUNT(there)], false), 5);
        assert_int_equal(judge(rules, "demo/a", tagged, 4), is_there ? PURGE_HARD : PURGE_NONE);
        assert_int_equal(judge(rules, "demo/a", NULL, 4),
                         PURGE_HARD); /* which tags it will have nobody knows */
        assert_int_equal(judge(rules, "demo/a", "200\r\nDate: x\r\n", 4), PURGE_NONE);
        assert_int_equal(judge(rules, "other/a", tagged, 4), PURGE_NONE);
        purge_rules_free(rules);
    }
}

static void test_an_object_of_too_many_tags_has_all(void **state)
{
    struct purge_rules *rules = purge_rules_new(16);
    struct buf head;
    (void)state;
    buf_init(&head, 8192);
    buf_append_text(&head, "200\r\nSurrogate-Key:");
    for (unsigned i = 0; i <= PURGE_TAGS_MAX; i++)
        buf_printf(&head, " k%u", i);
    buf_append(&head, "\r\n\0", 3);
    head.size--;
    assert_int_equal(judge(rules, "demo/a", head.data, 4), PURGE_NONE);
    put(rules, order_of(PURGE_TAG, "demo", "nothing of it", true), 5);
    assert_int_equal(judge(rules, "demo/a", head.data, 4), PURGE_HARD);
    assert_int_equal(judge(rules, "demo/a", head.data, 5), PURGE_NONE);
    buf_fini(&head);
    purge_rules_free(rules);
}

static void test_groups_are_a_list_of_strings(void **state)
{
    static const struct {
        const char *text;
        int count; /* of members; -1: not such a list */
    } lists[] = {{"\"a\"", 1},         {"\"a\" , \"b\";p;q=1", 2},
                 {"\"a\",", -1},       {"a", -1},
                 {"\"a", -1},          {"\"\\x\"", -1},
                 {"\"a\" \"b\"", -1},  {"", 0},
                 {"\"a\";p=\",\"", 1}, {"\"\"", 1}};
    char scratch[PURGE_TAG_MAX];
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        struct slice rest = slice_of(lists[i].text), name;
        enum purge_group group;
        int count = 0;
        while ((group = purge_tags_group(&rest, scratch, &name)) == PURGE_GROUP)
            count++;
        assert_int_equal(group == PURGE_GROUP_BAD ? -1 : count, lists[i].count);
    }
}

static void test_soft_and_hard_of_one_scope(void **state)
{
    struct purge_rules *rules = purge_rules_new(16);
    struct purge_subject subject = {slice_of("demo/a"), SLICE_EMPTY, 4};
    struct purge_match match;
    (void)state;
    put(rules, order_of(PURGE_URL, "demo", "demo/a", false), 5);
    put(rules, order_of(PURGE_URL, "demo", "demo/a", true), 7);
    assert_int_equal(purge_rules_judge(rules, &subject, &match), PURGE_HARD);
    assert_int_equal(match.generation, 5);
    subject.generation = 6;
    assert_int_equal(purge_rules_judge(rules, &subject, &match), PURGE_SOFT);
    assert_int_equal(match.generation, 7);
    assert_int_equal(match.at_ms, 7000);
    assert_int_equal(match.kind, PURGE_URL);
    assert_true(slice_equal(match.text, slice_of("demo/a")));
    put(rules, order_of(PURGE_URL, "demo", "demo/a", false), 9);
    assert_int_equal(purge_rules_judge(rules, &subject, &match), PURGE_HARD);
    assert_int_equal(purge_rules_count(rules), 1);
    purge_rules_free(rules);
}

static void test_the_floor_takes_rules_with_it(void **state)
{
    struct purge_rules *rules = purge_rules_new(16);
    (void)state;
    put(rules, order_of(PURGE_URL, "demo", "demo/a", false), 5);
    put(rules, order_of(PURGE_URL, "demo", "demo/b", true), 6);
    put(rules, order_of(PURGE_TAG, "demo", "red", false), 7);
    assert_int_equal(purge_rules_raise_floor(rules, 6), 2);
    assert_int_equal(purge_rules_count(rules), 1);
    assert_int_equal(judge(rules, "demo/z", "", 5), PURGE_HARD); /* nothing so old should be left */
    assert_int_equal(judge(rules, "demo/b", "", 6), PURGE_NONE);
    assert_int_equal(judge(rules, "demo/b", tagged, 6), PURGE_HARD);
    assert_int_equal(purge_rules_raise_floor(rules, 5), 0);
    assert_int_equal(purge_rules_floor(rules), 6);
    put(rules, order_of(PURGE_URL, "demo", "demo/c", true), 6); /* of a log */
    assert_int_equal(purge_rules_count(rules), 1);
    purge_rules_free(rules);
}

static void test_without_room_a_site_is_purged_never_forgotten(void **state)
{
    struct purge_rules *rules = purge_rules_new(16);
    char text[32];
    size_t folded = 0;
    (void)state;
    put(rules, order_of(PURGE_URL, "calm", "calm/a", false), 1);
    for (uint32_t i = 2; i < 40; i++) {
        snprintf(text, sizeof(text), "busy/%u", i);
        folded += put(rules, order_of(PURGE_URL, "busy", text, i % 2), i);
        assert_true(purge_rules_count(rules) <= 16);
    }
    assert_true(folded >= 20);
    for (uint32_t i = 2; i < 40; i++) {
        snprintf(text, sizeof(text), "busy/%u", i);
        assert_int_not_equal(judge(rules, text, "", i - 1), PURGE_NONE);
    }
    assert_int_equal(judge(rules, "busy/other", "", 38),
                     PURGE_NONE);                                /* newer than all that was put together */
    assert_int_equal(judge(rules, "calm/b", "", 0), PURGE_NONE); /* and it is the busy site's burden */
    assert_int_equal(judge(rules, "calm/a", "", 0), PURGE_HARD);
    purge_rules_free(rules);
}

static void test_too_many_lengths_of_prefixes_are_cut(void **state)
{
    struct purge_rules *rules = purge_rules_new(64);
    char text[64] = "demo/";
    struct purge_rule r;
    (void)state;
    for (uint32_t i = 0; i < PURGE_PREFIX_SIZES_MAX; i++) {
        memset(text + 5, 'a', 10 + 2 * i);
        text[5 + 10 + 2 * i] = '\0';
        put(rules, order_of(PURGE_PREFIX, "demo", text, false), i + 1);
    }
    struct purge_order order = order_of(PURGE_PREFIX, "demo", "demo/bbbbbbbbbbbbbbbbb", false);
    purge_rules_make(rules, &order, 100, 0, &r);
    assert_int_equal(r.kind, PURGE_PREFIX);
    assert_int_equal(r.text_size, 5 + 16);
    purge_rules_put(rules, &r);
    assert_int_equal(judge(rules, "demo/bbbbbbbbbbbbbbbb-other", "", 99), PURGE_HARD);
    order = order_of(PURGE_PREFIX, "demo", "demo/b", false);
    purge_rules_make(rules, &order, 101, 0, &r);
    assert_int_equal(r.kind, PURGE_SITE);
    purge_rules_put(rules, &r);
    assert_int_equal(judge(rules, "demo/c", "", 100), PURGE_HARD);
    purge_rules_free(rules);
}

/* ---- against a list ---- */

struct listed {
    struct purge_order order;
    uint32_t generation;
    char site[12], text[16];
};

static unsigned random_below(uint64_t *random, unsigned below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*random >> 33) % below;
}

static bool list_matches(const struct listed *l, const char *site, const char *url, const char *tag)
{
    if (strcmp(l->site, site) != 0)
        return false;
    switch (l->order.kind) {
    case PURGE_SITE: return true;
    case PURGE_URL: return strcmp(l->text, url) == 0;
    case PURGE_PREFIX: return strncmp(l->text, url, strlen(l->text)) == 0;
    case PURGE_TAG: return strcmp(l->text, tag) == 0;
    }
    return false;
}

static void run_against_list(size_t rules_max, unsigned sites, bool is_exact, uint64_t random)
{
    static struct listed list[ORDERS_MAX];
    struct purge_rules *rules = purge_rules_new(rules_max);
    for (unsigned n = 0; n < ORDERS_MAX; n++) {
        struct listed *l = &list[n];
        enum purge_kind kind = random_below(&random, 40) == 0 ? PURGE_SITE : 2 + random_below(&random, 3);
        snprintf(l->site, sizeof(l->site), "s%u", random_below(&random, sites));
        snprintf(l->text, sizeof(l->text), kind == PURGE_TAG ? "t%.0s%u" : "%s/%u", l->site,
                 random_below(&random, 30));
        l->order = order_of(kind, l->site, l->text, random_below(&random, 2));
        l->generation = n + 1;
        put(rules, l->order, l->generation);
        assert_true(purge_rules_count(rules) <= rules_max);
        char site[12], url[24], tag[8], head[64];
        snprintf(site, sizeof(site), "s%u", random_below(&random, sites));
        snprintf(url, sizeof(url), "%s/%u", site, random_below(&random, 30));
        snprintf(tag, sizeof(tag), "t%u", random_below(&random, 30));
        snprintf(head, sizeof(head), "200\r\nCache-Tag: %s\r\n", tag);
        uint32_t generation = n - random_below(&random, n < 200 ? n + 1 : 200);
        enum purge_effect wanted = PURGE_NONE;
        for (unsigned i = generation; i <= n; i++)
            if (list_matches(&list[i], site, url, tag)) {
                enum purge_effect effect = list[i].order.is_soft ? PURGE_SOFT : PURGE_HARD;
                wanted = effect > wanted ? effect : wanted;
            }
        enum purge_effect found = judge(rules, url, head, generation);
        if (is_exact)
            assert_int_equal(found, wanted);
        else
            assert_true(found >= wanted);
    }
    purge_rules_free(rules);
}

static void test_against_a_list_of_all(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 5; seed++) {
        run_against_list(4096, 5, true, seed);
        run_against_list(100, 5, false, seed);
        run_against_list(16, 40, false, seed);
        run_against_list(16, 1, false, seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_url_goes_with_its_variants_and_slices),
        cmocka_unit_test(test_prefix_and_site),
        cmocka_unit_test(test_tags_of_all_fields),
        cmocka_unit_test(test_an_object_of_too_many_tags_has_all),
        cmocka_unit_test(test_groups_are_a_list_of_strings),
        cmocka_unit_test(test_soft_and_hard_of_one_scope),
        cmocka_unit_test(test_the_floor_takes_rules_with_it),
        cmocka_unit_test(test_without_room_a_site_is_purged_never_forgotten),
        cmocka_unit_test(test_too_many_lengths_of_prefixes_are_cut),
        cmocka_unit_test(test_against_a_list_of_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
