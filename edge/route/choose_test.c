/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of choose.c: country rules, the order of edges, the decision to redirect.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/check.h"
#include "route/centroids.h"
#include "route/route.h"

enum { FRANKFURT, BERLIN, PARIS, NEW_YORK, TOKYO, EDGES };

static const struct route_edge edges[EDGES] = {
    [FRANKFURT] = {"frankfurt", {"DE", true, 50.1, 8.7}, {{0}}, 1, 80, 443},
    [BERLIN] = {"berlin", {"DE", true, 52.5, 13.4}, {{0}}, 1, 80, 443},
    [PARIS] = {"paris", {"FR", true, 48.9, 2.4}, {{0}}, 1, 80, 443},
    [NEW_YORK] = {"newyork", {"US", true, 40.7, -74.0}, {{0}}, 1, 80, 443},
    [TOKYO] = {"tokyo", {"JP", true, 35.7, 139.7}, {{0}}, 1, 80, 443},
};

static struct place country(const char *code)
{
    struct place place = {.country = ""};

    snprintf(place.country, sizeof(place.country), "%s", code);
    return place;
}

static struct place point(double latitude, double longitude)
{
    return (struct place){.has_coordinates = true, .latitude = latitude, .longitude = longitude};
}

static struct country_set countries(const char *codes)
{
    struct slice rest = slice_of(codes), code;
    struct country_set set = {{0}};

    while (slice_split(&rest, ' ', &code))
        assert_true(route_countries_add(&set, code));
    return set;
}

static struct route_choice first(const struct route_edge *map, size_t count, struct place viewer)
{
    struct route_choice choices[ROUTE_EDGES_MAX];

    assert_true(route_choose(map, count, TOKYO, &viewer, 1, choices) > 0);
    return choices[0];
}

static void assert_first(const struct route_edge *map, struct place viewer, size_t edge, const char *reason)
{
    struct route_choice choice = first(map, EDGES, viewer);

    assert_string_equal(map[choice.edge_index].name, map[edge].name);
    assert_string_equal(route_reason_name(choice.reason), reason);
}

static void test_country_sets(void **state)
{
    struct country_set set = countries("AA ZZ de");

    (void)state;
    assert_true(route_countries_has(&set, "AA"));
    assert_true(route_countries_has(&set, "ZZ"));
    assert_true(route_countries_has(&set, "DE"));
    assert_false(route_countries_has(&set, "AB"));
    assert_false(route_countries_has(&set, ""));
    assert_false(route_countries_add(&set, SLICE_LITERAL("D")));
    assert_false(route_countries_add(&set, SLICE_LITERAL("DEU")));
    assert_false(route_countries_add(&set, SLICE_LITERAL("D1")));
    assert_false(route_countries_add(&set, SLICE_LITERAL("\xc4"
                                                         "B")));
    assert_false(route_countries_is_empty(&set));
    set = (struct country_set){{0}};
    assert_true(route_countries_is_empty(&set));
}

static void test_country_rules(void **state)
{
    struct country_set none = {{0}}, some = countries("DE AT");
    struct place germany = country("DE"), france = country("FR"), unknown = country("");

    (void)state;
    assert_int_equal(route_country_allowed(&none, &none, &germany), REFUSAL_NONE);
    assert_int_equal(route_country_allowed(&none, &none, &unknown), REFUSAL_NONE);
    assert_int_equal(route_country_allowed(&some, &none, &germany), REFUSAL_NONE);
    assert_int_equal(route_country_allowed(&some, &none, &france), REFUSAL_COUNTRY_NOT_ALLOWED);
    assert_int_equal(route_country_allowed(&some, &none, &unknown), REFUSAL_COUNTRY_NOT_ALLOWED);
    assert_int_equal(route_country_allowed(&none, &some, &germany), REFUSAL_COUNTRY_DENIED);
    assert_int_equal(route_country_allowed(&none, &some, &france), REFUSAL_NONE);
    assert_int_equal(route_country_allowed(&none, &some, &unknown), REFUSAL_NONE);
    assert_int_equal(route_country_allowed(&some, &some, &germany), REFUSAL_COUNTRY_DENIED);
}

static void test_country_before_distance(void **state)
{
    struct route_edge map[EDGES];
    struct place strasbourg = {"FR", true, 48.6, 7.8}; /* nearer to Frankfurt than to Paris */

    (void)state;
    memcpy(map, edges, sizeof(map));
    assert_first(map, country("JP"), TOKYO, "same_country");
    assert_first(map, strasbourg, PARIS, "same_country");
    map[NEW_YORK].serves = countries("FR JP");
    assert_first(map, strasbourg, NEW_YORK, "serves_country");
    assert_first(map, country("JP"), NEW_YORK, "serves_country");
    map[TOKYO].serves = countries("JP"); /* of two that serve it the one in it */
    assert_first(map, country("JP"), TOKYO, "serves_country");
}

static void test_distance(void **state)
{
    struct place munich = {"DE", true, 48.1, 11.6};

    (void)state;
    assert_first(edges, munich, FRANKFURT, "same_country");
    assert_first(edges, (struct place){"DE", true, 53.6, 10.0}, BERLIN, "same_country"); /* Hamburg */
    assert_first(edges, country("CA"), NEW_YORK, "nearest");
    assert_first(edges, country("ES"), PARIS, "nearest");
    assert_first(edges, country("AU"), TOKYO, "nearest");
    assert_first(edges, point(65, -170), TOKYO, "nearest"); /* over the date line, not around the world */
    assert_int_equal(first(edges, EDGES, country("QQ")).reason, ROUTE_WEIGHT);
}

static void test_order_is_complete(void **state)
{
    struct place lyon = {"FR", true, 45.8, 4.8};
    struct route_choice choices[EDGES];

    (void)state;
    assert_int_equal(route_choose(edges, EDGES, TOKYO, &lyon, 1, choices), EDGES);
    assert_int_equal(choices[0].edge_index, PARIS);
    assert_int_equal(choices[1].edge_index, FRANKFURT);
    assert_int_equal(choices[2].edge_index, BERLIN);
    assert_int_equal(choices[3].edge_index, NEW_YORK);
    assert_int_equal(choices[4].edge_index, TOKYO);
    assert_string_equal(route_reason_name(choices[4].reason), "nearest");
    assert_int_equal(route_choose(edges, 0, 0, &lyon, 1, choices), 0);
}

/* An edge of which only the country is known stands in its middle. */
static void test_edge_without_coordinates(void **state)
{
    struct route_edge map[EDGES];

    (void)state;
    memcpy(map, edges, sizeof(map));
    map[PARIS].place = country("FR");
    assert_first(map, country("ES"), PARIS, "nearest");
    map[PARIS].place = country("");
    assert_first(map, country("ES"), FRANKFURT, "nearest"); /* what is nowhere is behind all others */
}

static void test_unknown_place_stays(void **state)
{
    (void)state;
    assert_first(edges, country(""), TOKYO, "place_unknown");
}

/* How many of `count` contents come first to each edge. */
static void spread(const struct route_edge *map, struct place viewer, unsigned count,
                   unsigned ret_shares[EDGES])
{
    struct route_choice choices[EDGES];

    memset(ret_shares, 0, EDGES * sizeof(ret_shares[0]));
    for (unsigned content = 0; content < count; content++) {
        assert_true(route_choose(map, EDGES, TOKYO, &viewer, content, choices) > 0);
        ret_shares[choices[0].edge_index]++;
    }
}

static void test_equal_edges_share_contents_by_weight(void **state)
{
    struct route_edge map[EDGES];
    unsigned shares[EDGES];

    (void)state;
    memcpy(map, edges, sizeof(map));
    spread(map, country("DE"), 10000, shares); /* the same for both, as far as is known */
    assert_int_equal(shares[FRANKFURT] + shares[BERLIN], 10000);
    assert_in_range(shares[BERLIN], 4700, 5300);
    map[BERLIN].weight = 3;
    spread(map, country("DE"), 10000, shares);
    assert_in_range(shares[BERLIN], 7200, 7800);
    map[BERLIN].weight = 0; /* is sent nothing new */
    spread(map, country("DE"), 10000, shares);
    assert_int_equal(shares[FRANKFURT], 10000);
}

/* When an edge goes, the others keep what they had. */
static void test_rendezvous_moves_only_what_it_must(void **state)
{
    struct route_edge map[EDGES];
    struct route_choice before[EDGES], after[EDGES];
    struct place germany = country("DE");

    (void)state;
    memcpy(map, edges, sizeof(map));
    map[PARIS].place = map[BERLIN].place;
    for (unsigned content = 0; content < 1000; content++) {
        map[FRANKFURT].weight = 1;
        route_choose(map, EDGES, TOKYO, &germany, content, before);
        map[FRANKFURT].weight = 0;
        route_choose(map, EDGES, TOKYO, &germany, content, after);
        assert_int_equal(after[0].edge_index, before[before[0].edge_index == FRANKFURT].edge_index);
    }
}

static void test_draining_self_is_last(void **state)
{
    struct route_edge map[EDGES];
    struct route_choice choices[EDGES];
    struct place japan = country("JP"), unknown = country("");

    (void)state;
    memcpy(map, edges, sizeof(map));
    map[TOKYO].weight = 0;
    assert_int_equal(route_choose(map, EDGES, TOKYO, &japan, 1, choices), EDGES);
    assert_int_equal(choices[EDGES - 1].edge_index, TOKYO);
    assert_int_equal(route_choose(map, EDGES, TOKYO, &unknown, 1, choices), EDGES);
    assert_int_equal(choices[EDGES - 1].edge_index, TOKYO);
    assert_int_equal(route_choose(map, EDGES, PARIS, &japan, 1, choices), EDGES - 1);
}

static void assert_decision(struct route_question q, size_t first_edge, bool redirect, const char *reason)
{
    struct route_choice choice = {first_edge, ROUTE_NEAREST};
    struct route_decision decision = route_decide(&q, &choice, 1);

    assert_int_equal(decision.redirect, redirect);
    assert_int_equal(decision.edge_index, redirect ? first_edge : q.self);
    assert_string_equal(route_reason_name(decision.reason), reason);
}

static void test_decisions(void **state)
{
    struct route_question q = {.is_first_playlist = true, .has_edge_names = true, .self = PARIS}, other;

    (void)state;
    assert_decision(q, TOKYO, true, "nearest");
    assert_decision(q, PARIS, false, "nearest");
    other = q, other.is_marked = true;
    assert_decision(other, TOKYO, false, "already_redirected");
    other = q, other.asked_by_edge_name = true;
    assert_decision(other, TOKYO, false, "asked_by_edge_name");
    other = q, other.is_first_playlist = false;
    assert_decision(other, TOKYO, false, "not_first_playlist");
    other = q, other.has_edge_names = false;
    assert_decision(other, TOKYO, false, "no_edge_names");
    assert_false(route_decide(&q, NULL, 0).redirect); /* no edge map */
}

static void test_centroids(void **state)
{
    double latitude, longitude;
    unsigned found = 0;

    (void)state;
    for (char code[3] = "AA"; code[0] <= 'Z'; code[0]++)
        for (code[1] = 'A'; code[1] <= 'Z'; code[1]++)
            if (centroid_find(code, &latitude,
                              &longitude)) { /* the table is in the order that bsearch wants */
                assert_true(latitude >= -90 && latitude <= 90 && longitude >= -180 && longitude <= 180);
                found++;
            }
    assert_int_equal(found, 250); /* ISO 3166-1 has 249, and XK */
    assert_true(centroid_find("IS", &latitude, &longitude));
    assert_true(latitude == 64 && longitude == -21);
    assert_false(centroid_find("", &latitude, &longitude));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_country_sets),
        cmocka_unit_test(test_country_rules),
        cmocka_unit_test(test_country_before_distance),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_order_is_complete),
        cmocka_unit_test(test_edge_without_coordinates),
        cmocka_unit_test(test_unknown_place_stays),
        cmocka_unit_test(test_equal_edges_share_contents_by_weight),
        cmocka_unit_test(test_rendezvous_moves_only_what_it_must),
        cmocka_unit_test(test_draining_self_is_last),
        cmocka_unit_test(test_decisions),
        cmocka_unit_test(test_centroids),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
