/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminated texts on the heap.
 */
#ifndef TEXT_H
#define TEXT_H

#include "base/slice.h"

/* A terminated copy, the caller's to free; NULL when memory is out. */
char *text_copy(struct slice s);

#endif
