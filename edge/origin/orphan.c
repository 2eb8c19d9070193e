/* SPDX-License-Identifier: Apache-2.0 */
/* See orphan.h. */
#include "origin/orphan.h"

#define UNSIZED_BYTES_MAX ((uint64_t)8 << 20)   /* more of what has no known end */
#define MISSING_BYTES_MAX ((uint64_t)128 << 20) /* never more than this for nobody */
#define CHEAP_SLICES      2                     /* missing, they are always paid for */
#define POPULAR_READERS   3

bool orphan_is_worth_finishing(const struct orphan *o)
{
    if (!o->is_kept)
        return false;
    if (!o->is_sized)
        return o->orphaned_bytes < UNSIZED_BYTES_MAX;
    uint64_t missing_bytes = o->extent_bytes - o->filled_bytes;
    if (missing_bytes <= CHEAP_SLICES * o->slice_bytes)
        return true;
    if (missing_bytes > MISSING_BYTES_MAX)
        return false;
    uint64_t enough_bytes = o->readers >= POPULAR_READERS ? o->extent_bytes / 4 : o->extent_bytes / 2;
    return o->filled_bytes >= enough_bytes;
}
