/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a file is still the one that was read: files are looked at rather than watched, as what a watch
 * tells of renamed folders, links and network file systems is not to be relied on, and a look costs nothing.
 */
#ifndef BASE_FILE_MARK_H
#define BASE_FILE_MARK_H

#include <stdint.h>

/* A number that is another one once the file was written to, exchanged or removed. 0: it is not there. To be
 * taken before the file is read: what changes meanwhile is seen at the next look. */
uint64_t file_mark(const char *path);

#endif
