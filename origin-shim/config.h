/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file: YAML with what the command line has, and Cache-Control by class.
 *
 *   root: /srv/media
 *   listen: [0.0.0.0:8080, "[::]:8080"]
 *   workers: 4
 *   live_window: 6
 *   live:
 *     - {name: news, source: vod/news/master.m3u8, window: 10}
 *   cache_control: {segment: "public, max-age=600", other: no-cache}
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "options.h"

/* False and "FILE:LINE:COLUMN: what is wrong" in `error`: the first fault. */
bool config_read(const char *path, struct options *o, struct buf *error);

#endif
