/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the operator wants: from the command line, and from a configuration file (config.c) with the same
 * fields. What the command line says is added to lists of the file and replaces its single values.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/addr.h"
#include "base/buf.h"
#include "channel.h"
#include "media_type.h"

#define OPTIONS_LISTENERS_MAX 16
#define OPTIONS_CHANNELS_MAX  64
#define OPTIONS_WORKERS_MAX   256

/* Texts belong to the options. */
struct options {
    char *root;
    struct addr listeners[OPTIONS_LISTENERS_MAX];
    size_t listener_count;
    struct channel_options channels[OPTIONS_CHANNELS_MAX];
    size_t channel_count;
    unsigned workers;
    unsigned window_segments;               /* of channels that do not say themselves */
    char *cache_control[MEDIA_CLASS_COUNT]; /* NULL: not given */
};

enum options_outcome {
    OPTIONS_RUN,
    OPTIONS_HELP,    /* --help or --version: said in `text`, and all is well */
    OPTIONS_INVALID, /* `text` says what is wrong */
};

/* *ret_options is to be given to options_fini in every case. */
enum options_outcome options_parse(int argc, char *const argv[], struct buf *text,
                                   struct options *ret_options);
void options_fini(struct options *o);

/* For the configuration file. Each copies its texts; false and a sentence without a newline in `error` when
 * the value is wrong or there are too many. */
bool options_add_listener(struct options *o, struct slice address, struct buf *error);
bool options_add_channel(struct options *o, struct slice name, struct slice source, unsigned window_segments,
                         struct buf *error); /* window 0: o->window_segments, once all is read */
bool options_set_root(struct options *o, struct slice root, struct buf *error);
bool options_set_cache_control(struct options *o, struct slice class_name, struct slice value,
                               struct buf *error);
bool options_set_number(const char *name, struct slice text, unsigned max, unsigned *ret_number,
                        struct buf *error);

#endif
