/* SPDX-License-Identifier: Apache-2.0 */
/* See policy.h. */
#include "cache/policy.h"

#define UNREADABLE_PLAYLIST_MS \
    1000 /* a manifest of another kind, or a broken one: as short as a live one may need */

#define LIVE_STALE_TARGETS 5

void policy_of_response(const struct freshness_input *in, struct policy *ret_policy)
{
    *ret_policy = (struct policy){
        .verdict = freshness_may_store(in),
        .must_validate = freshness_must_validate(in),
        .stale_while_revalidate_ms = freshness_stale_ms(in, CC_STALE_WHILE_REVALIDATE),
        .stale_if_error_ms = freshness_stale_ms(in, CC_STALE_IF_ERROR),
        .initial_age_ms = freshness_initial_age_ms(in),
        .response_time_ms = in->response_time_ms,
        .status = in->status,
    };
    ret_policy->lifetime_ms = freshness_lifetime_ms(in, &ret_policy->source);
}

static int64_t playlist_lifetime_ms(const struct hls_playlist *playlist,
                                    const struct config_freshness *defaults)
{
    if (!playlist)
        return UNREADABLE_PLAYLIST_MS;
    if (playlist->kind == HLS_MULTIVARIANT)
        return (int64_t)defaults->playlist_multivariant_ms;
    int64_t ttl_ms = hls_playlist_ttl_ms(playlist, (int64_t)defaults->playlist_ended_ms);
    bool is_capped = !playlist->endlist && defaults->playlist_live_max_ms != CONFIG_NONE &&
                     ttl_ms > (int64_t)defaults->playlist_live_max_ms;
    return is_capped ? (int64_t)defaults->playlist_live_max_ms : ttl_ms;
}

/* What is not there may be there in a moment: a segment ahead of the live edge above all. Less than a target
 * duration, so that a player which asks a little early does not wait for a second one. What is gone does not
 * come back, and a server that is broken is better left alone. */
static int64_t error_lifetime_ms(const struct policy *p, const struct policy_content *content,
                                 const struct config_freshness *defaults)
{
    if (p->status == 410)
        return (int64_t)defaults->gone_ms;
    if (policy_is_server_error(p->status))
        return (int64_t)defaults->server_error_ms;
    if (content->content_class == CLASS_OTHER)
        return (int64_t)defaults->not_found_other_ms;
    int64_t lifetime_ms = (int64_t)(content->content_class == CLASS_PLAYLIST ? defaults->not_found_playlist_ms
                                                                             : defaults->not_found_ms);
    int64_t half_target_ms = content->target_duration_ms / 2;
    return half_target_ms && half_target_ms < lifetime_ms ? half_target_ms : lifetime_ms;
}

static const char *error_rule(const struct policy *p, const struct policy_content *content)
{
    if (p->status == 410)
        return "freshness.gone";
    if (policy_is_server_error(p->status))
        return "freshness.server_error";
    switch (content->content_class) {
    case CLASS_OTHER: return "freshness.not_found_other";
    case CLASS_PLAYLIST: return "freshness.not_found_playlist";
    default: return "freshness.not_found";
    }
}

static int64_t default_lifetime_ms(const struct policy *p, const struct policy_content *content,
                                   const struct config_freshness *defaults)
{
    if (p->status >= 400 && (content->content_class != CLASS_OTHER || p->source != FRESHNESS_HEURISTIC))
        return error_lifetime_ms(p, content, defaults);
    switch (content->content_class) {
    case CLASS_PLAYLIST: return playlist_lifetime_ms(content->playlist, defaults);
    case CLASS_SEGMENT: return (int64_t)defaults->segment_ms;
    case CLASS_INIT: return (int64_t)defaults->init_ms;
    case CLASS_PART: return (int64_t)defaults->part_ms;
    case CLASS_KEY: return (int64_t)defaults->key_ms;
    case CLASS_OTHER:
    case CLASS_COUNT: break;
    }
    return p->source == FRESHNESS_HEURISTIC ? p->lifetime_ms : (int64_t)defaults->other_ms;
}

/* For what says nothing of it. A response that is to be asked for each time (max-age=0) means that; a player
 * that gets the same live playlist for longer than this had better learn that the stream has stopped. */
static int64_t default_stale_if_error_ms(const struct policy *p, const struct policy_content *content,
                                         const struct config_freshness *defaults, int64_t lifetime_ms)
{
    int64_t stale_ms = (int64_t)defaults->stale_if_error_ms;
    const struct hls_playlist *playlist = content->playlist;
    if (lifetime_ms <= 0 || p->status >= 400)
        return 0;
    if (content->content_class != CLASS_PLAYLIST)
        return stale_ms;
    if (!playlist)
        return 0;
    bool is_live = playlist->kind == HLS_MEDIA && !playlist->endlist;
    int64_t live_ms = LIVE_STALE_TARGETS * playlist->target_duration_ms;
    return is_live && live_ms < stale_ms ? live_ms : stale_ms;
}

static uint32_t whole_seconds(int64_t ms)
{
    if (ms <= 0)
        return 0;
    return ms / 1000 < UINT32_MAX ? (uint32_t)(ms / 1000) : UINT32_MAX;
}

void policy_apply(const struct policy *p, const struct policy_content *content,
                  const struct config_freshness *defaults, struct store_meta *meta)
{
    bool is_explicit =
        p->source == FRESHNESS_S_MAXAGE || p->source == FRESHNESS_MAX_AGE || p->source == FRESHNESS_EXPIRES;
    int64_t lifetime_ms = is_explicit ? p->lifetime_ms : default_lifetime_ms(p, content, defaults);
    meta->generated_at_ms = p->response_time_ms - p->initial_age_ms;
    meta->fresh_until_ms = p->must_validate ? meta->generated_at_ms : meta->generated_at_ms + lifetime_ms;
    bool may_be_late = lifetime_ms > 0 && p->status < 400 && content->content_class != CLASS_PLAYLIST;
    meta->stale_while_revalidate_s =
        whole_seconds(p->stale_while_revalidate_ms >= 0 ? p->stale_while_revalidate_ms
                      : may_be_late                     ? (int64_t)defaults->stale_while_revalidate_ms
                                                        : 0);
    meta->stale_if_error_s =
        whole_seconds(p->stale_if_error_ms < 0 ? default_stale_if_error_ms(p, content, defaults, lifetime_ms)
                                               : p->stale_if_error_ms);
    meta->content_class = (uint8_t)content->content_class;
}

static const char *playlist_rule(const struct hls_playlist *playlist)
{
    if (!playlist)
        return "a playlist that cannot be read: 1 s";
    if (playlist->kind == HLS_MULTIVARIANT)
        return "freshness.playlist_multivariant";
    return playlist->endlist ? "freshness.playlist_ended"
                             : "half a target duration, at most freshness.playlist_live_max";
}

static const char *default_rule(const struct policy *p, const struct policy_content *content)
{
    static const char *const rules[CLASS_COUNT] = {
        [CLASS_SEGMENT] = "freshness.segment", [CLASS_INIT] = "freshness.init",
        [CLASS_PART] = "freshness.part",       [CLASS_KEY] = "freshness.key",
        [CLASS_OTHER] = "freshness.other",
    };
    if (content->content_class == CLASS_OTHER && p->source == FRESHNESS_HEURISTIC)
        return "a tenth of the time since Last-Modified, at most a day";
    if (p->status >= 400)
        return error_rule(p, content);
    return content->content_class == CLASS_PLAYLIST ? playlist_rule(content->playlist)
                                                    : rules[content->content_class];
}

const char *policy_rule(const struct policy *p, const struct policy_content *content)
{
    if (p->must_validate)
        return "no-cache";
    switch (p->source) {
    case FRESHNESS_S_MAXAGE: return "s-maxage";
    case FRESHNESS_MAX_AGE: return "max-age";
    case FRESHNESS_EXPIRES: return "Expires";
    default: return default_rule(p, content);
    }
}

bool policy_is_shareable(const struct policy *p)
{
    return p->verdict == STORE_OK || p->verdict == STORE_STATUS;
}
