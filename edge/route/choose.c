/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of an edge: pure, so that the same question has the same answer at every edge of a fleet.
 */
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "route/centroids.h"
#include "route/route.h"

#define EARTH_RADIUS_KM  6371.0
#define DISTANCE_STEP_KM 100.0 /* edges of one city, or of two suburbs, are equally near */
#define STEPS_UNKNOWN    UINT32_MAX

/* --- countries --- */

static bool country_bit(const char *code, unsigned *ret_bit)
{
    unsigned first = ((unsigned)code[0] | 0x20) - 'a', second;

    if (first >= 26)
        return false;
    second = ((unsigned)code[1] | 0x20) - 'a';
    if (second >= 26)
        return false;
    *ret_bit = first * 26 + second;
    return true;
}

bool route_countries_add(struct country_set *set, struct slice code)
{
    unsigned bit;

    if (code.size != 2 || !country_bit(code.data, &bit))
        return false;
    set->bits[bit / 64] |= 1ull << bit % 64;
    return true;
}

bool route_countries_has(const struct country_set *set, const char *code)
{
    unsigned bit;

    return country_bit(code, &bit) && (set->bits[bit / 64] >> bit % 64 & 1);
}

bool route_countries_is_empty(const struct country_set *set)
{
    uint64_t any = 0;

    for (size_t i = 0; i < ARRAY_COUNT(set->bits); i++)
        any |= set->bits[i];
    return any == 0;
}

enum refusal route_country_allowed(const struct country_set *allow, const struct country_set *deny,
                                   const struct place *viewer)
{
    if (route_countries_has(deny, viewer->country))
        return REFUSAL_COUNTRY_DENIED;
    if (!route_countries_is_empty(allow) && !route_countries_has(allow, viewer->country))
        return REFUSAL_COUNTRY_NOT_ALLOWED;
    return REFUSAL_NONE;
}

/* --- choosing --- */

struct point {
    bool is_known;
    double latitude, longitude; /* degrees */
};

/* What decides, the most important first. */
struct rank {
    bool is_draining; /* weight 0 */
    bool is_self_by_default;
    bool serves_country, same_country;
    uint32_t distance_steps;
    double hash_score; /* lower is better */
    size_t edge_index;
};

const char *route_reason_name(enum route_reason reason)
{
    static const char *const words[] = {
#define R(name, word, text) word,
        ROUTE_REASONS(R)
#undef R
    };

    REQUIRE((size_t)reason < ARRAY_COUNT(words));
    return words[reason];
}

static struct point point_of(const struct place *p)
{
    struct point point = {p->has_coordinates, p->latitude, p->longitude};

    if (!point.is_known)
        point.is_known = centroid_find(p->country, &point.latitude, &point.longitude);
    return point;
}

/* Great-circle distance by the haversine formula. */
static double distance_km(struct point a, struct point b)
{
    double radian = M_PI / 180.0;
    double north = sin((a.latitude - b.latitude) * radian / 2);
    double east = sin((a.longitude - b.longitude) * radian / 2);
    double h = north * north + cos(a.latitude * radian) * cos(b.latitude * radian) * east * east;

    return 2 * EARTH_RADIUS_KM * asin(sqrt(fmin(h, 1.0)));
}

static uint32_t distance_steps(const struct rank *rank, const struct place *viewer, const struct place *edge)
{
    struct point from = point_of(viewer), to = point_of(edge);

    /* Of a viewer whose country is all that is known it says nothing how far the country's edges are from its
     * middle. */
    if (rank->same_country && !viewer->has_coordinates)
        return 0;
    if (!from.is_known || !to.is_known)
        return STEPS_UNKNOWN;
    return (uint32_t)(distance_km(from, to) / DISTANCE_STEP_KM);
}

/* Weighted rendezvous hashing: an edge comes first for a share of the contents that is its share of the
 * weights, and when one goes, only what was its own moves. */
static double hash_score(const struct route_edge *edge, uint64_t content_hash)
{
    uint64_t parts[2] = {content_hash, hash_sum(edge->name, strlen(edge->name))};
    double uniform = ((double)(hash_sum(parts, sizeof(parts)) >> 11) + 0.5) / (double)(1ull << 53);

    return edge->weight == 0 ? INFINITY : -log(uniform) / edge->weight;
}

static struct rank rank_of(const struct route_edge *edge, const struct place *viewer, uint64_t content_hash)
{
    struct rank rank = {.is_draining = edge->weight == 0, .hash_score = hash_score(edge, content_hash)};

    if (viewer->country[0] != '\0') {
        rank.serves_country = route_countries_has(&edge->serves, viewer->country);
        rank.same_country = strcmp(edge->place.country, viewer->country) == 0;
    }
    rank.distance_steps = distance_steps(&rank, viewer, &edge->place);
    return rank;
}

static int compare_ranks(const void *a, const void *b)
{
    const struct rank *x = a, *y = b;

    if (x->is_draining != y->is_draining)
        return x->is_draining - y->is_draining;
    if (x->is_self_by_default != y->is_self_by_default)
        return y->is_self_by_default - x->is_self_by_default;
    if (x->serves_country != y->serves_country)
        return y->serves_country - x->serves_country;
    if (x->same_country != y->same_country)
        return y->same_country - x->same_country;
    if (x->distance_steps != y->distance_steps)
        return x->distance_steps < y->distance_steps ? -1 : 1;
    return (x->hash_score > y->hash_score) - (x->hash_score < y->hash_score);
}

static enum route_reason reason_of(const struct rank *rank)
{
    if (rank->is_self_by_default)
        return ROUTE_PLACE_UNKNOWN;
    if (rank->serves_country)
        return ROUTE_SERVES_COUNTRY;
    if (rank->same_country)
        return ROUTE_SAME_COUNTRY;
    return rank->distance_steps == STEPS_UNKNOWN ? ROUTE_WEIGHT : ROUTE_NEAREST;
}

size_t route_choose(const struct route_edge *edges, size_t count, size_t self, const struct place *viewer,
                    uint64_t content_hash, struct route_choice *ret_choices)
{
    bool is_place_unknown = viewer->country[0] == '\0' && !viewer->has_coordinates;
    struct rank ranks[ROUTE_EDGES_MAX];
    size_t chosen = 0;

    if (count == 0)
        return 0;
    REQUIRE(count <= ROUTE_EDGES_MAX && self < count);
    for (size_t i = 0; i < count; i++) {
        if (edges[i].weight == 0 && i != self)
            continue;
        ranks[chosen] = rank_of(&edges[i], viewer, content_hash);
        ranks[chosen].edge_index = i;
        ranks[chosen].is_self_by_default = is_place_unknown && i == self;
        chosen++;
    }
    qsort(ranks, chosen, sizeof(ranks[0]), compare_ranks);
    for (size_t i = 0; i < chosen; i++)
        ret_choices[i] = (struct route_choice){ranks[i].edge_index, reason_of(&ranks[i])};
    return chosen;
}

/* --- deciding --- */

struct route_decision route_decide(const struct route_question *q, const struct route_choice *choices,
                                   size_t count)
{
    struct route_decision here = {.redirect = false, .edge_index = q->self};

    if (!q->is_first_playlist)
        here.reason = ROUTE_NOT_FIRST_PLAYLIST;
    else if (q->is_marked)
        here.reason = ROUTE_ALREADY_REDIRECTED;
    else if (q->asked_by_edge_name)
        here.reason = ROUTE_ASKED_BY_EDGE_NAME;
    else if (!q->has_edge_names || count == 0)
        here.reason = ROUTE_NO_EDGE_NAMES;
    else
        return (struct route_decision){choices[0].edge_index != q->self, choices[0].edge_index,
                                       choices[0].reason};
    return here;
}
