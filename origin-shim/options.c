/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the command line. Values are checked here, by the same functions for the command line and the file.
 */
#include "options.h"

#include <getopt.h>
#include <sched.h>
#include <stdlib.h>

#include "base/check.h"
#include "config.h"
#include "reply.h"
#include "text.h"

static const char usage[] =
    "Usage: origin-shim --root DIR [OPTION...]\n"
    "\n"
    "Serves a folder over HTTP as a good origin, and VODs in it as endless live channels.\n"
    "\n"
    "  --root DIR               the folder; nothing outside of it can be reached\n"
    "  --listen ADDRESS:PORT    where to listen, repeatable; port 0: any free one (default 127.0.0.1:8080)\n"
    "  --live NAME=PLAYLIST     plays the VOD of this multivariant playlist, whose path is relative to the\n"
    "                           root, as /live/NAME/master.m3u8; repeatable\n"
    "  --live-window SEGMENTS   that a live playlist lists (default 6)\n"
    "  --workers N              threads (default: one per core)\n"
    "  --config FILE            YAML with the same fields and more, see docs/origin-shim.md\n"
    "  --version, --help\n";

enum option_code {
    OPT_ROOT = 1,
    OPT_LISTEN,
    OPT_LIVE,
    OPT_LIVE_WINDOW,
    OPT_WORKERS,
    OPT_CONFIG,
    OPT_VERSION,
    OPT_HELP
};

static const struct option long_options[] = {
    {"root", required_argument, NULL, OPT_ROOT},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"live", required_argument, NULL, OPT_LIVE},
    {"live-window", required_argument, NULL, OPT_LIVE_WINDOW},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"config", required_argument, NULL, OPT_CONFIG},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* --- single values ------------------------------------------------------------------------------------- */

static bool copy_text(struct slice text, char **ret_copy, struct buf *error)
{
    char *copy = text_copy(text);

    if (copy == NULL) {
        buf_append_text(error, "out of memory");
        return false;
    }
    free(*ret_copy);
    *ret_copy = copy;
    return true;
}

/* addr_parse takes an address alone too; here the port must be said, even if it is 0. */
static bool has_port(struct slice text)
{
    size_t colon = slice_find(text, ':');

    if (text.size > 0 && text.data[0] == '[')
        return slice_find(text, ']') + 1 < text.size;
    return colon < text.size && slice_find(slice_skip(text, colon + 1), ':') == text.size - colon - 1;
}

bool options_add_listener(struct options *o, struct slice address, struct buf *error)
{
    if (o->listener_count == OPTIONS_LISTENERS_MAX)
        buf_printf(error, "more than %d listeners", OPTIONS_LISTENERS_MAX);
    else if (!has_port(address) || addr_parse(address, &o->listeners[o->listener_count]) < 0)
        buf_printf(error, "'%.*s' is not ADDRESS:PORT", SLICE_ARG(address));
    else
        return ++o->listener_count > 0;
    return false;
}

bool options_add_channel(struct options *o, struct slice name, struct slice source, unsigned window_segments,
                         struct buf *error)
{
    struct channel_options *channel = &o->channels[o->channel_count];
    char *name_copy = NULL, *source_copy = NULL;

    for (size_t i = 0; i < o->channel_count; i++)
        if (slice_equal(slice_of(o->channels[i].name), name)) {
            buf_printf(error, "there is a channel '%.*s' already", SLICE_ARG(name));
            return false;
        }
    if (o->channel_count == OPTIONS_CHANNELS_MAX) {
        buf_printf(error, "more than %d channels", OPTIONS_CHANNELS_MAX);
        return false;
    }
    if (!copy_text(name, &name_copy, error) || !copy_text(source, &source_copy, error)) {
        free(name_copy);
        return false;
    }
    *channel = (struct channel_options){name_copy, source_copy, window_segments};
    o->channel_count++;
    return true;
}

bool options_set_root(struct options *o, struct slice root, struct buf *error)
{
    return copy_text(root, &o->root, error);
}

bool options_set_cache_control(struct options *o, struct slice class_name, struct slice value,
                               struct buf *error)
{
    for (enum media_class c = 0; c < MEDIA_CLASS_COUNT; c++) {
        if (!slice_equal(class_name, slice_of(media_class_name(c))))
            continue;
        if (value.size >= REPLY_CACHE_CONTROL_MAX || slice_find(value, '\n') < value.size ||
            slice_find(value, '\r') < value.size) {
            buf_append_text(error, "not a value of Cache-Control");
            return false;
        }
        return copy_text(value, &o->cache_control[c], error);
    }
    buf_printf(error, "'%.*s' is no class, expected one of", SLICE_ARG(class_name));
    for (enum media_class c = 0; c < MEDIA_CLASS_COUNT; c++)
        buf_printf(error, " %s", media_class_name(c));
    return false;
}

bool options_set_number(const char *name, struct slice text, unsigned max, unsigned *ret_number,
                        struct buf *error)
{
    uint64_t number;

    if (slice_to_u64(text, &number) && number >= 1 && number <= max) {
        *ret_number = (unsigned)number;
        return true;
    }
    buf_printf(error, "%s: '%.*s' is not a number from 1 to %u", name, SLICE_ARG(text), max);
    return false;
}

/* --- the command line ---------------------------------------------------------------------------------- */

static bool add_live(struct options *o, struct slice text, struct buf *error)
{
    size_t equals = slice_find(text, '=');

    if (equals == text.size) {
        buf_printf(error, "--live: '%.*s' is not NAME=PLAYLIST", SLICE_ARG(text));
        return false;
    }
    return options_add_channel(o, slice_make(text.data, equals), slice_skip(text, equals + 1), 0, error);
}

static bool apply(struct options *o, enum option_code code, struct buf *error)
{
    struct slice value = slice_of(optarg != NULL ? optarg : "");

    switch (code) {
    case OPT_ROOT: return options_set_root(o, value, error);
    case OPT_LISTEN: return options_add_listener(o, value, error);
    case OPT_LIVE: return add_live(o, value, error);
    case OPT_LIVE_WINDOW:
        return options_set_number("--live-window", value, LIVE_WINDOW_MAX, &o->window_segments, error);
    case OPT_WORKERS: return options_set_number("--workers", value, OPTIONS_WORKERS_MAX, &o->workers, error);
    default: return true;
    }
}

/* The first walk finds what goes before everything else. */
static enum options_outcome first_walk(int argc, char *const argv[], struct buf *text,
                                       const char **ret_config)
{
    int code;

    optind = 0; /* glibc: begin anew */
    opterr = 0;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (code == OPT_HELP)
            buf_append_text(text, usage);
        else if (code == OPT_VERSION)
            buf_append_text(text, "origin-shim " SHOREBREAK_VERSION "\n");
        else if (code == OPT_CONFIG)
            *ret_config = optarg;
        else if (code == '?')
            buf_printf(text, "%s: no such option, or its value is missing; see --help", argv[optind - 1]);
        if (text->size > 0)
            return code == '?' ? OPTIONS_INVALID : OPTIONS_HELP;
    }
    if (optind < argc) {
        buf_printf(text, "%s: what is this? see --help", argv[optind]);
        return OPTIONS_INVALID;
    }
    return OPTIONS_RUN;
}

static bool second_walk(struct options *o, int argc, char *const argv[], struct buf *error)
{
    int code;

    optind = 0;
    while ((code = getopt_long(argc, argv, "", long_options, NULL)) != -1)
        if (!apply(o, (enum option_code)code, error))
            return false;
    return true;
}

static unsigned core_count(void)
{
    cpu_set_t cores;

    if (sched_getaffinity(0, sizeof(cores), &cores) < 0)
        return 1;
    return (unsigned)size_min((size_t)CPU_COUNT(&cores), OPTIONS_WORKERS_MAX);
}

static bool complete(struct options *o, struct buf *error)
{
    if (o->root == NULL) {
        buf_append_text(error, "no root: say --root DIR; see --help");
        return false;
    }
    if (o->listener_count == 0)
        options_add_listener(o, SLICE_LITERAL("127.0.0.1:8080"), error);
    if (o->workers == 0)
        o->workers = core_count();
    if (o->window_segments == 0)
        o->window_segments = LIVE_WINDOW_SEGMENTS;
    for (size_t i = 0; i < o->channel_count; i++)
        if (o->channels[i].window_segments == 0)
            o->channels[i].window_segments = o->window_segments;
    return true;
}

enum options_outcome options_parse(int argc, char *const argv[], struct buf *text,
                                   struct options *ret_options)
{
    const char *config = NULL;
    enum options_outcome outcome;

    *ret_options = (struct options){0};
    outcome = first_walk(argc, argv, text, &config);
    if (outcome != OPTIONS_RUN)
        return outcome;
    if ((config != NULL && !config_read(config, ret_options, text)) ||
        !second_walk(ret_options, argc, argv, text) || !complete(ret_options, text))
        return OPTIONS_INVALID;
    return OPTIONS_RUN;
}

void options_fini(struct options *o)
{
    for (size_t i = 0; i < o->channel_count; i++) {
        free((char *)o->channels[i].name);
        free((char *)o->channels[i].source);
    }
    for (size_t i = 0; i < MEDIA_CLASS_COUNT; i++)
        free(o->cache_control[i]);
    free(o->root);
    *o = (struct options){0};
}
