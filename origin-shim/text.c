/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Not strndup: sanitizers that are strict about strings let it read terminated ones only, and slices are not.
 */
#include "text.h"

#include <stdlib.h>

char *text_copy(struct slice s)
{
    char *copy = malloc(s.size + 1);

    if (copy == NULL)
        return NULL;
    if (s.size > 0)
        memcpy(copy, s.data, s.size);
    copy[s.size] = '\0';
    return copy;
}
