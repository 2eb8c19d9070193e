/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets that stand in a file of their own, on its first line.
 */
#ifndef SECRET_H
#define SECRET_H

#include "base/slice.h"

/* Reads the first line, without its end, into `data`, which the caller wipes when it is done: of a longer
 * line the first `size` bytes. Returns 0 or a negative errno. */
int secret_read(const char *path, char *data, size_t size, struct slice *ret_line);

#endif
