/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a viewer is, whether a site may serve there, and which edge serves best. All but geo_open is a pure
 * function of its arguments; the structs are filled from the configuration by whoever calls.
 *
 *   route_viewer_address -> geo_lookup -> route_country_allowed
 *                                      -> route_choose -> route_decide -> route_redirect_url
 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/addr.h"
#include "base/buf.h"
#include "http/head.h"
#include "ledger_words.h"

struct place {
    char country[3]; /* ISO 3166-1 alpha-2 in upper case, "" when it is not known */
    bool has_coordinates;
    double latitude, longitude; /* degrees */
};

/* --- geo: address to place. Immutable once open, used by any number of threads. --- */

struct geo;

struct geo_override { /* the operator knows better than the database */
    struct addr_prefix prefix;
    struct place place;
};

/* Reads a MaxMind DB file whole, so that the file may be replaced in any way afterwards. country_field: where
 * the country's code stands in a record ("country.iso_code"). path NULL: overrides only; they are copied. On
 * failure a sentence for the operator stands in `error`. 0, -EINVAL (no such database, or no such field in
 * it), or a negative errno. */
int geo_open(const char *path, const char *country_field, const struct geo_override *overrides, size_t count,
             struct buf *error, struct geo **ret_geo);
void geo_close(struct geo *g);            /* NULL is fine */
int64_t geo_built_s(const struct geo *g); /* when the database was made, since the epoch; 0: there is none */

/* The override with the longest matching prefix, else what the database says. False: nothing is known of it,
 * and *ret_place is all empty. */
bool geo_lookup(const struct geo *g, const struct addr *a, struct place *ret_place);

/* --- countries --- */

struct country_set { /* by value; zeroed it is empty */
    uint64_t bits[11];
};

bool route_countries_add(struct country_set *set, struct slice code); /* false: not two ASCII letters */
bool route_countries_has(const struct country_set *set, const char *code);
bool route_countries_is_empty(const struct country_set *set);

/* A site's country rules: denied countries first, then, unless `allow` is empty, only those in it. A viewer
 * whose country is not known passes unless there is an allow list: an allow list is a promise (a licence), a
 * deny list an exception. REFUSAL_NONE, REFUSAL_COUNTRY_DENIED or REFUSAL_COUNTRY_NOT_ALLOWED. */
enum refusal route_country_allowed(const struct country_set *allow, const struct country_set *deny,
                                   const struct place *viewer);

/* --- choosing an edge --- */

#define ROUTE_EDGES_MAX 256

struct route_edge {
    const char *name; /* a DNS label, unique */
    struct place place;
    struct country_set serves; /* countries it is meant for, wherever they are */
    unsigned weight;           /* share of what equal edges get; 0: is sent nothing new */
    uint16_t http_port, https_port;
};

/* Why an edge was chosen, or why the question was not asked. */
#define ROUTE_REASONS(R)                                                                             \
    R(SERVES_COUNTRY, "serves_country", "the edge map says that it serves the viewer's country")     \
    R(SAME_COUNTRY, "same_country", "it is in the viewer's country")                                 \
    R(NEAREST, "nearest", "it is the nearest one")                                                   \
    R(WEIGHT, "weight", "no distance is known: by weight and content")                               \
    R(PLACE_UNKNOWN, "place_unknown", "the viewer's place is not known: the edge that was asked")    \
    R(ALREADY_REDIRECTED, "already_redirected", "another edge sent the viewer here")                 \
    R(ASKED_BY_EDGE_NAME, "asked_by_edge_name", "the viewer asked for this edge by its own name")    \
    R(NOT_FIRST_PLAYLIST, "not_first_playlist", "only the first playlist of a stream is redirected") \
    R(NO_EDGE_NAMES, "no_edge_names",                                                                \
      "the site has no name of its own at each edge, or there is one edge only")

enum route_reason {
#define R(name, word, text) ROUTE_##name,
    ROUTE_REASONS(R)
#undef R
        ROUTE_REASON_COUNT
};
const char *route_reason_name(enum route_reason reason);

struct route_choice {
    size_t edge_index;
    enum route_reason reason;
};

/*
 * Orders the edges for a viewer, best first: an edge that serves the country, an edge in the country, the
 * nearest one; equal ones (to 100 km; within a country only when the viewer's coordinates are known) by
 * weighted rendezvous hashing of the content, so that they share it as one cache. With only the country known
 * the middle of its population stands for the viewer. With nothing known `self` is first, then hashing.
 * content_hash: the same at every edge (hash_sum of site and path, not a keyed hash). Edges of weight 0 are
 * left out unless they are `self`, which is last then. count is at most ROUTE_EDGES_MAX; returns how many of
 * ret_choices, which has room for all, are set.
 */
size_t route_choose(const struct route_edge *edges, size_t count, size_t self, const struct place *viewer,
                    uint64_t content_hash, struct route_choice *ret_choices);

struct route_question {
    bool is_first_playlist;  /* a multivariant playlist, or a media playlist that no known one lists */
    bool is_marked;          /* route_has_marker */
    bool asked_by_edge_name; /* Host is a site's name at one edge */
    bool has_edge_names;     /* the site has a name at each edge */
    size_t self;             /* index of this edge */
};

struct route_decision {
    bool redirect; /* to edge_index; else it is served here */
    size_t edge_index;
    enum route_reason reason;
};

/* At most one redirect and never a loop: who was redirected carries the marker and asks by an edge's own
 * name. */
struct route_decision route_decide(const struct route_question *q, const struct route_choice *choices,
                                   size_t count);

/* --- redirecting --- */

#define ROUTE_MARKER "shorebreak-from" /* query parameter; its value names the edge that redirected */

/* Appends "https://host[:port]/path?query&shorebreak-from=self". host: the site's name at that edge, an IPv6
 * address without brackets; port: that edge's, left out where it is the scheme's own. path and query as
 * uri_parse_target gives them. False when it did not fit into `out`. */
bool route_redirect_url(struct slice host, uint16_t port, bool is_tls, struct slice path, struct slice query,
                        const char *self_name, struct buf *out);

bool route_has_marker(struct slice query);

/* Appends the query without the marker. False when nothing is left of it: there is no query then, not an
 * empty one. */
bool route_strip_marker(struct slice query, struct buf *out);

/* --- who asks --- */

/* The viewer's address: the peer's, or, when the peer is trusted, the rightmost address in X-Forwarded-For
 * that is not (the leftmost when all are). Several fields count as one list (RFC 9110 section 5.3). What
 * stands left of an element that is no address is not believed. */
struct addr route_viewer_address(const struct addr *peer, const struct http_head *head,
                                 const struct addr_prefix *trusted, size_t count);

#endif
