/* SPDX-License-Identifier: Apache-2.0 */
/* See hint.h. */
#include "hint.h"

#include "base/check.h"
#include "cmcd.h"

#define DIGITS_MAX 9 /* what fits into 32 bits */

/* ---- names ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* How many bytes at the end are digits. */
static size_t trailing_digits(struct slice s)
{
    size_t count = 0;
    while (count < s.size && is_digit(s.data[s.size - 1 - count]))
        count++;
    return count;
}

static size_t find_last(struct slice s, char c)
{
    size_t at = s.size;
    while (at > 0 && s.data[at - 1] != c)
        at--;
    return at == 0 ? s.size : at - 1;
}

static uint32_t number_of(struct slice digits)
{
    uint32_t value = 0;
    if (digits.size > DIGITS_MAX)
        digits = slice_skip(digits, digits.size - DIGITS_MAX);
    for (size_t i = 0; i < digits.size; i++)
        value = value * 10 + (uint32_t)(digits.data[i] - '0');
    return value;
}

static bool is_among(struct slice word, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_equal_nocase(word, slice_of(words[i])))
            return true;
    return false;
}

/* Heights and numbers of renditions; other numbers name titles. */
static bool is_rung(uint32_t number)
{
    static const uint32_t heights[] = {144, 180, 234, 240, 270, 288, 360,  396,  404,  432,
                                       480, 504, 540, 576, 720, 960, 1080, 1440, 2160, 4320};
    for (size_t i = 0; i < ARRAY_COUNT(heights); i++)
        if (number == heights[i])
            return true;
    return number <= 32;
}

/* Whether a folder's name is one that packagers give to a rendition: 720p, 3000k, 1280x720, v0, stream_1,
 * audio. */
static bool is_rendition_name(struct slice name)
{
    static const char *const words[] = {"audio", "video", "low", "mid", "medium", "high", "hd", "sd", "uhd"};
    static const char *const prefixes[] = {"v",     "a",       "q",       "r",        "s",         "stream",
                                           "audio", "video",   "track",   "level",    "rendition", "variant",
                                           "media", "bitrate", "quality", "chunklist"};
    static const char *const units[] = {"p", "k", "kbps", "i", "p25", "p30", "p50", "p60"};
    size_t letters = 0, digits = 0;
    if (is_among(name, words, ARRAY_COUNT(words)))
        return true;
    while (letters < name.size &&
           (is_letter(name.data[letters]) || name.data[letters] == '_' || name.data[letters] == '-'))
        letters++;
    while (letters + digits < name.size && is_digit(name.data[letters + digits]))
        digits++;
    if (digits == 0 || digits > 5)
        return false;
    struct slice prefix = slice_make(name.data, letters);
    struct slice unit = slice_skip(name, letters + digits);
    while (prefix.size > 0 && !is_letter(prefix.data[prefix.size - 1]))
        prefix.size--;
    if (letters > 0)
        return unit.size == 0 && is_among(prefix, prefixes, ARRAY_COUNT(prefixes));
    if (unit.size == 0)
        return is_rung(number_of(name));
    bool is_size = unit.size > 1 && unit.data[0] == 'x' && trailing_digits(unit) == unit.size - 1;
    return is_size || is_among(unit, units, ARRAY_COUNT(units));
}

static uint16_t small_hash(struct slice s)
{
    uint16_t hash = (uint16_t)hash_sum(s.data, s.size);
    return hash ? hash : 1;
}

static uint64_t title_hash(struct slice s)
{
    uint64_t hash = hash_sum(s.data, s.size);
    return hash ? hash : 1;
}

void hint_of_text(struct slice key_text, struct store_hint *ret_hint)
{
    struct slice path = slice_make(key_text.data, slice_find(key_text, '?'));
    size_t slash = find_last(path, '/');
    struct slice folder = slice_make(path.data, slash < path.size ? slash : 0);
    struct slice name = slash < path.size ? slice_skip(path, slash + 1) : path;
    struct slice stem = slice_make(name.data, find_last(name, '.'));
    size_t digits = trailing_digits(stem), parent = find_last(folder, '/');
    struct slice last = parent < folder.size ? slice_skip(folder, parent + 1) : SLICE_EMPTY;
    *ret_hint = (struct store_hint){.segment = number_of(slice_skip(stem, stem.size - digits))};
    if (is_rendition_name(last)) {
        ret_hint->title = title_hash(slice_make(folder.data, parent));
        ret_hint->rendition = small_hash(last);
    } else {
        ret_hint->title = title_hash(folder);
        ret_hint->rendition = small_hash(slice_make(stem.data, stem.size - digits));
    }
}

/* ---- with what playlists say ---- */

static bool is_small(enum content_class c)
{
    return c == CLASS_PLAYLIST || c == CLASS_INIT || c == CLASS_KEY;
}

static void add_entry(struct catalog *c, const struct catalog_entry *entry, struct store_hint *hint)
{
    struct catalog_entry playlist;
    if (entry->title) {
        hint->title = entry->title;
        hint->rendition = entry->rendition;
    }
    hint->segment = entry->segment;
    hint->kind = entry->is_live ? STORE_LIVE : STORE_VOD;
    if (entry->is_live && catalog_find(c, entry->playlist, &playlist)) {
        hint->live_first = playlist.live_first;
        hint->live_last = playlist.live_last;
        hint->kind = playlist.is_live ? STORE_LIVE : STORE_VOD; /* it has ended meanwhile */
    }
}

void hint_of_key(struct catalog *c, const struct catalog_entry *entry, enum content_class content_class,
                 struct slice key_text, struct store_hint *ret_hint)
{
    struct store_hint hint = {.kind = is_small(content_class) ? STORE_SMALL : STORE_OTHER};
    if (content_class == CLASS_SEGMENT || content_class == CLASS_PART) {
        hint_of_text(key_text, &hint);
        hint.kind = STORE_VOD;
        if (entry)
            add_entry(c, entry, &hint);
    }
    *ret_hint = hint;
}

/* ---- sessions ---- */

uint64_t hint_session(const struct http_head *head, struct slice query, const struct addr *peer,
                      const uint8_t secret[HASH_SECRET_SIZE])
{
    char text[CMCD_SESSION_MAX];
    struct slice id = {text, cmcd_session(head, query, text)};
    if (id.size == 0)
        id = slice_make((const char *)peer, sizeof(*peer));
    uint64_t hash = hash_key(secret, id).low;
    return hash ? hash : 1;
}
