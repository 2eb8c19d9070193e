/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags, as responses name them: Surrogate-Key (separated by spaces), Cache-Tag (by commas) and Cache-Groups
 * (RFC 9875: a list of strings). Pure.
 */
#ifndef CACHE_PURGE_TAGS_H
#define CACHE_PURGE_TAGS_H

#include "base/slice.h"

#define PURGE_TAG_MAX                                                                     \
    ((size_t)1024) /* of a group's name with escapes in it; those without are not bounded \
                    */

struct purge_tags {
    struct slice lines[2]; /* of the stored head: shown, hidden */
    struct slice value;    /* what is left of the current field */
    enum { PURGE_TAGS_SPACES, PURGE_TAGS_COMMAS, PURGE_TAGS_GROUPS } form;
    char scratch[PURGE_TAG_MAX];
};

/* The tags of a stored head (reply.h), one after another; false at the end. A tag is valid until the next. */
void purge_tags_init(struct purge_tags *tags, struct slice stored_head);
bool purge_tags_next(struct purge_tags *tags, struct slice *ret_tag);

/* Takes the first member off a list of strings (RFC 9651 sections 3.1 and 3.3.3). `scratch`: for a name with
 * escapes, of PURGE_TAG_MAX bytes. */
enum purge_group { PURGE_GROUP, PURGE_GROUP_END, PURGE_GROUP_BAD };
enum purge_group purge_tags_group(struct slice *rest, char *scratch, struct slice *ret_name);

#endif
