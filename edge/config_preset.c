/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only what tells one viewer from another is here. What names other bytes is not: the delivery directives of
 * low-latency playlists (_HLS_msn, _HLS_part, _HLS_skip) above all.
 */
#include "config_preset.h"

#include "base/check.h"

#define NAME(text)                \
    {                             \
        (text), sizeof(text) - 1, \
    }

static const struct slice mediamtx[] = {NAME("session"), NAME("cookieCheck"), NAME("jwt"),
                                        NAME("token"),   NAME("user"),        NAME("pass")};
static const struct slice ovenmediaengine[] = {NAME("session"), NAME("policy"), NAME("signature")};
static const struct slice srs[] = {NAME("hls_ctx"), NAME("token"), NAME("secret")};
static const struct slice bunny[] = {NAME("token"), NAME("expires"), NAME("bcdn_token"), NAME("token_*")};

static const struct {
    struct slice name;
    const struct slice *parameters;
    size_t count;
} presets[] = {
    {NAME("mediamtx"), mediamtx, ARRAY_COUNT(mediamtx)},
    {NAME("ovenmediaengine"), ovenmediaengine, ARRAY_COUNT(ovenmediaengine)},
    {NAME("srs"), srs, ARRAY_COUNT(srs)},
    {NAME("bunny"), bunny, ARRAY_COUNT(bunny)},
};

const struct slice *config_preset_find(struct slice text, size_t *ret_count)
{
    struct slice prefix = SLICE_LITERAL(CONFIG_PRESET_PREFIX);
    if (!slice_starts_with(text, prefix))
        return NULL;
    for (size_t i = 0; i < ARRAY_COUNT(presets); i++) {
        if (!slice_equal(slice_skip(text, prefix.size), presets[i].name))
            continue;
        *ret_count = presets[i].count;
        return presets[i].parameters;
    }
    return NULL;
}
