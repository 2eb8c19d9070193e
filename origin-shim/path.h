/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a request-target to the path of a file, relative to the root. One file has one path here: what could
 * be written in two ways is refused in all but one, so that a cache in front holds it once.
 */
#ifndef PATH_H
#define PATH_H

#include "base/slice.h"

#define PATH_SIZE_MAX 4096 /* with its terminator */

enum path_outcome {
    PATH_OK,
    PATH_BAD,  /* no request-target at all: 400 */
    PATH_NONE, /* names no file that may be shown: hidden, an empty component, an encoded slash, too long: 404
                */
};

/* Decoded, terminated, without a leading slash; "a/" becomes "a/index.html". The query is left out. */
enum path_outcome path_from_target(struct slice target, char ret_path[PATH_SIZE_MAX]);

#endif
