/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a VOD's playlists into what live.h plays. Refuses, with a reason, what would not survive the change
 * of names and numbers: keys whose IV is the sequence number, I-frame playlists, references that leave the
 * folder, renditions that are cut differently.
 */
#ifndef CHANNEL_LOAD_H
#define CHANNEL_LOAD_H

#include "channel.h"

/* On failure -EINVAL and a sentence in `error`, and nothing is kept. */
int channel_load(const struct directory *root, const struct channel_options *options, struct buf *error,
                 struct live_vod *ret_vod);
void channel_unload(struct live_vod *vod);

#endif
