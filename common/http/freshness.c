/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RFC 9111 for a shared cache. First Cache-Control's syntax, then storing, lifetime, staleness and age, in
 * the order in which a response meets them. Where a field is ambiguous the reading is the one that serves
 * less from the cache.
 */
#include "http/freshness.h"

#include "base/check.h"
#include "http/date.h"

#define SECONDS_MAX     ((int64_t)CACHE_CONTROL_SECONDS_MAX)
#define HEURISTIC_SHARE 10
#define HEURISTIC_MAX_S 86400
#define BIT(directive)  (1u << (directive))

static const struct slice directive_names[] = {
#define D(name, text) [CC_##name] = {text, sizeof(text) - 1},
    CACHE_CONTROL_DIRECTIVES(D)
#undef D
};

/* Loosen what a cache may do: obeyed only when written exactly. */
#define PERMISSIONS (BIT(CC_PUBLIC) | BIT(CC_IMMUTABLE) | BIT(CC_MUST_UNDERSTAND))

/* Ends at a comma outside quotes, or at the end. Quotes that never close do not count as quotes: *quotes is
 * then set to false, so that the rest of the line is not scanned for their end again. */
static size_t element_size(struct slice rest, bool *quotes)
{
    bool quoted = false;
    size_t i;

    for (i = 0; i < rest.size && (quoted || rest.data[i] != ','); i++) {
        if (quoted && rest.data[i] == '\\')
            i++;
        else if (*quotes && rest.data[i] == '"')
            quoted = !quoted;
    }
    if (!quoted)
        return size_min(i, rest.size);
    *quotes = false;
    return slice_find(rest, ',');
}

/* delta-seconds (section 1.2.2), also in quotes as section 5.2 asks of recipients. */
static bool parse_seconds(struct slice text, uint32_t *ret_seconds)
{
    uint64_t seconds = 0;

    if (text.size >= 2 && text.data[0] == '"' && text.data[text.size - 1] == '"')
        text = slice_make(text.data + 1, text.size - 2);
    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        seconds = seconds * 10 + (uint64_t)(text.data[i] - '0');
        seconds = seconds > CACHE_CONTROL_SECONDS_MAX ? CACHE_CONTROL_SECONDS_MAX : seconds;
    }
    *ret_seconds = (uint32_t)seconds;
    return true;
}

static void add_seconds(struct cache_control *cc, unsigned directive, struct slice value)
{
    uint32_t seconds = directive == CC_MAX_STALE && !value.data ? CACHE_CONTROL_SECONDS_MAX : 0;

    parse_seconds(value, &seconds);
    if (cc->present & BIT(directive) && cc->seconds[directive] != seconds)
        seconds = 0;
    cc->seconds[directive] = seconds;
    cc->present |= BIT(directive);
}

static void add_directive(struct cache_control *cc, struct slice name, struct slice value)
{
    for (unsigned d = 0; d < CC_COUNT; d++) {
        if (!slice_equal_nocase(name, directive_names[d]))
            continue;
        if (d < CC_SECONDS_COUNT)
            add_seconds(cc, d, value);
        else if (!value.data || !(BIT(d) & PERMISSIONS))
            cc->present |= BIT(d);
        return;
    }
}

/* A name ends where its characters do, so that "max-age = 60" or "no-store;" is still that directive: one
 * with an argument that is no number. */
static size_t token_size(struct slice s)
{
    size_t i = 0;

    while (i < s.size && s.data[i] != '=' && s.data[i] != ' ' && s.data[i] != '\t' && s.data[i] != ';')
        i++;
    return i;
}

void http_cache_control_add(struct cache_control *cc, struct slice line)
{
    struct slice rest = line.data ? line : SLICE_EMPTY;
    bool quotes = true;

    while (rest.size > 0) {
        size_t size = element_size(rest, &quotes);
        struct slice element = slice_trim(slice_make(rest.data, size)), name, value = {0};

        rest = slice_skip(rest, size + 1);
        name = slice_make(element.data, token_size(element));
        if (name.size < element.size)
            value = slice_skip(element, name.size + (element.data[name.size] == '='));
        add_directive(cc, name, value);
    }
}

/* --- Targeted fields. --- */

static bool is_in(char c, const char *others)
{
    char letter = c | 0x20;

    return (letter >= 'a' && letter <= 'z') || (c >= '0' && c <= '9') || (c && strchr(others, c));
}

static size_t take(struct slice *rest, const char *others)
{
    size_t size = 0;

    while (size < rest->size && is_in(rest->data[size], others))
        size++;
    *rest = slice_skip(*rest, size);
    return size;
}

static bool take_char(struct slice *rest, char c)
{
    bool is_there = rest->size > 0 && rest->data[0] == c;

    *rest = slice_skip(*rest, is_there);
    return is_there;
}

static bool take_string(struct slice *rest)
{
    if (!take_char(rest, '"'))
        return false;
    while (rest->size > 0 && rest->data[0] != '"') {
        bool is_escaped = take_char(rest, '\\');

        if (rest->size == 0 || (is_escaped && rest->data[0] != '"' && rest->data[0] != '\\'))
            return false;
        *rest = slice_skip(*rest, 1);
    }
    return take_char(rest, '"');
}

/* Strings, and everything that is made of a token's characters: numbers, tokens, ?1, :base64:. */
static bool take_bare_item(struct slice *rest)
{
    if (rest->size > 0 && rest->data[0] == '"')
        return take_string(rest);
    return take(rest, "!#$%&'*+-.^_`|~:/?=") > 0;
}

static bool take_name(struct slice *rest)
{
    return rest->size > 0 && !(rest->data[0] >= '0' && rest->data[0] <= '9') && take(rest, "_-.*") > 0;
}

/* "name", "name=item", each with ";parameters". */
static bool take_member(struct slice *rest)
{
    do {
        while (take_char(rest, ' '))
            ;
        if (!take_name(rest) || (take_char(rest, '=') && !take_bare_item(rest)))
            return false;
    } while (take_char(rest, ';'));
    return true;
}

/* A lifetime that is a string, or nothing, is of a wrong type: then the field counts for nothing either. */
static bool is_integer_everywhere(struct slice line, struct slice name)
{
    bool quotes = true;
    uint32_t seconds;

    while (line.size > 0) {
        size_t size = element_size(line, &quotes);
        struct slice element = slice_trim(slice_make(line.data, size));
        struct slice value = slice_skip(element, name.size + 1);

        line = slice_skip(line, size + 1);
        if (slice_equal_nocase(slice_make(element.data, token_size(element)), name) &&
            (value.size == 0 || value.data[0] == '"' || !parse_seconds(value, &seconds)))
            return false;
    }
    return true;
}

bool http_targeted_cache_control_add(struct cache_control *cc, struct slice line)
{
    struct cache_control found = {0};
    struct slice rest = slice_trim(line);

    while (rest.size > 0) {
        if (!take_member(&rest))
            return false;
        rest = slice_trim(rest);
        if (rest.size == 0)
            break;
        if (!take_char(&rest, ','))
            return false;
        rest = slice_trim(rest);
        if (rest.size == 0) /* a comma at the end */
            return false;
    }
    http_cache_control_add(&found, line);
    for (unsigned d = 0; d < CC_SECONDS_COUNT; d++)
        if (http_cache_control_has(&found, d) && !is_integer_everywhere(line, directive_names[d]))
            return false;
    http_cache_control_add(cc, line);
    return true;
}

const char *freshness_verdict_name(enum store_verdict verdict)
{
    static const char *const names[] = {
#define V(name, text) [STORE_##name] = (text),
        STORE_VERDICTS(V)
#undef V
    };
    return names[verdict];
}

static bool has(const struct freshness_input *in, enum cache_control_directive directive)
{
    return http_cache_control_has(&in->cache_control, directive);
}

/* RFC 9110 section 15.1. These are also the ones whose caching this cache understands, with redirects. */
static bool heuristically_cacheable(unsigned status)
{
    static const unsigned short list[] = {200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501};

    for (size_t i = 0; i < ARRAY_COUNT(list); i++)
        if (list[i] == status)
            return true;
    return false;
}

static bool understands(unsigned status)
{
    return heuristically_cacheable(status) || status == 302 || status == 303 || status == 307;
}

static bool list_has_star(struct slice list)
{
    struct slice member;

    while (slice_split(&list, ',', &member))
        if (slice_equal(slice_trim(member), SLICE_LITERAL("*")))
            return true;
    return false;
}

/* The conditions of section 3 on the status alone, and on what makes it storable. */
static bool status_storable(const struct freshness_input *in)
{
    if (in->status < 200 || in->status == 304)
        return false;
    if (has(in, CC_MUST_UNDERSTAND) && !understands(in->status))
        return false;
    return has(in, CC_PUBLIC) || has(in, CC_MAX_AGE) || has(in, CC_S_MAXAGE) || in->expires.data ||
           heuristically_cacheable(in->status);
}

enum store_verdict freshness_may_store(const struct freshness_input *in)
{
    /* must-understand replaces no-store for those who understand the status (section 5.2.2.3). */
    if (has(in, CC_NO_STORE) && !(has(in, CC_MUST_UNDERSTAND) && understands(in->status)))
        return STORE_NO_STORE;
    if (in->request_no_store)
        return STORE_REQUEST_NO_STORE;
    if (has(in, CC_PRIVATE))
        return STORE_PRIVATE;
    if (in->has_authorization && !has(in, CC_MUST_REVALIDATE) && !has(in, CC_PUBLIC) && !has(in, CC_S_MAXAGE))
        return STORE_AUTHORIZATION;
    if (!status_storable(in))
        return STORE_STATUS;
    if (in->has_set_cookie && !has(in, CC_PUBLIC) && !has(in, CC_S_MAXAGE))
        return STORE_SET_COOKIE;
    return list_has_star(in->vary) ? STORE_VARY_STAR : STORE_OK;
}

static int64_t response_time_s(const struct freshness_input *in)
{
    return in->response_time_ms / 1000;
}

/* Without a valid Date the time of receipt stands for it (RFC 9110 section 6.6.1). */
static int64_t date_s(const struct freshness_input *in)
{
    int64_t s = response_time_s(in);

    http_date_parse(in->date, response_time_s(in), &s);
    return s;
}

static int64_t seconds_clamp(int64_t s)
{
    return s < 0 ? 0 : s > SECONDS_MAX ? SECONDS_MAX : s;
}

/* An Expires that is no date, "0" above all, lies in the past (section 5.3). */
static int64_t expires_lifetime_s(const struct freshness_input *in)
{
    int64_t expires_s;

    if (!http_date_parse(in->expires, response_time_s(in), &expires_s))
        return 0;
    return seconds_clamp(expires_s - date_s(in));
}

static bool heuristic_lifetime_s(const struct freshness_input *in, int64_t *ret_s)
{
    int64_t last_modified_s;

    if (!heuristically_cacheable(in->status) && !has(in, CC_PUBLIC))
        return false;
    if (!http_date_parse(in->last_modified, response_time_s(in), &last_modified_s))
        return false;
    *ret_s = seconds_clamp((date_s(in) - last_modified_s) / HEURISTIC_SHARE);
    *ret_s = *ret_s > HEURISTIC_MAX_S ? HEURISTIC_MAX_S : *ret_s;
    return true;
}

int64_t freshness_lifetime_ms(const struct freshness_input *in, enum freshness_source *ret_source)
{
    int64_t lifetime_s = 0;

    *ret_source = FRESHNESS_NONE;
    if (has(in, CC_S_MAXAGE)) {
        *ret_source = FRESHNESS_S_MAXAGE;
        lifetime_s = in->cache_control.seconds[CC_S_MAXAGE];
    } else if (has(in, CC_MAX_AGE)) {
        *ret_source = FRESHNESS_MAX_AGE;
        lifetime_s = in->cache_control.seconds[CC_MAX_AGE];
    } else if (in->expires.data) {
        *ret_source = FRESHNESS_EXPIRES;
        lifetime_s = expires_lifetime_s(in);
    } else if (heuristic_lifetime_s(in, &lifetime_s)) {
        *ret_source = FRESHNESS_HEURISTIC;
    }
    return lifetime_s * 1000;
}

bool freshness_must_validate(const struct freshness_input *in)
{
    struct cache_control pragma = {0};

    if (in->cache_control.present)
        return has(in, CC_NO_CACHE);
    http_cache_control_add(&pragma, in->pragma); /* the same syntax (section 5.4) */
    return http_cache_control_has(&pragma, CC_NO_CACHE);
}

int64_t freshness_stale_ms(const struct freshness_input *in, enum cache_control_directive directive)
{
    if (freshness_must_validate(in) || has(in, CC_MUST_REVALIDATE) || has(in, CC_PROXY_REVALIDATE))
        return 0;
    if (has(in, directive))
        return (int64_t)in->cache_control.seconds[directive] * 1000;
    return has(in, CC_S_MAXAGE) ? 0 : -1;
}

static bool says(const struct cache_control *request, enum cache_control_directive directive, int64_t *ret_ms)
{
    if (!http_cache_control_has(request, directive))
        return false;
    *ret_ms = (int64_t)request->seconds[directive] * 1000;
    return true;
}

/* max-age=0 is what a reload says, and means even what came this very moment. */
bool freshness_satisfies(const struct cache_control *request, int64_t age_ms, int64_t left_ms,
                         bool may_be_stale)
{
    int64_t limit_ms;

    if (http_cache_control_has(request, CC_NO_CACHE))
        return false;
    if (says(request, CC_MAX_AGE, &limit_ms) && (limit_ms == 0 || age_ms > limit_ms))
        return false;
    if (says(request, CC_MIN_FRESH, &limit_ms) && left_ms < limit_ms)
        return false;
    if (left_ms > 0)
        return true;
    return may_be_stale && says(request, CC_MAX_STALE, &limit_ms) && -left_ms <= limit_ms;
}

/* The first member of a list counts, an invalid value is ignored (section 5.1). */
static int64_t age_value_s(struct slice age)
{
    struct slice first;
    uint32_t age_s = 0;

    if (slice_split(&age, ',', &first) && slice_find(first, '"') == first.size)
        parse_seconds(slice_trim(first), &age_s);
    return age_s;
}

/* Date has whole seconds, so that is what apparent_age is computed in: otherwise every response would look up
 * to a second old on arrival, which is half the life of a live playlist. */
int64_t freshness_initial_age_ms(const struct freshness_input *in)
{
    int64_t apparent_ms = seconds_clamp(response_time_s(in) - date_s(in)) * 1000;
    int64_t delay_ms = in->response_time_ms - in->request_time_ms;
    int64_t corrected_ms = age_value_s(in->age) * 1000 + (delay_ms > 0 ? delay_ms : 0);

    return apparent_ms > corrected_ms ? apparent_ms : corrected_ms;
}

int64_t freshness_current_age_ms(int64_t initial_age_ms, int64_t response_time_ms, int64_t now_ms)
{
    int64_t resident_ms = now_ms - response_time_ms;

    return initial_age_ms + (resident_ms > 0 ? resident_ms : 0);
}
