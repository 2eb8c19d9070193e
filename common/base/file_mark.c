/* SPDX-License-Identifier: Apache-2.0 */
/* See file_mark.h. The mark is a sum of what stat tells. */
#include "base/file_mark.h"

#include <sys/stat.h>

#include "base/hash.h"

uint64_t file_mark(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return 0;
    const uint64_t parts[] = {(uint64_t)st.st_dev,          (uint64_t)st.st_ino,
                              (uint64_t)st.st_size,         (uint64_t)st.st_mtim.tv_sec,
                              (uint64_t)st.st_mtim.tv_nsec, (uint64_t)st.st_ctim.tv_nsec};

    return hash_sum(parts, sizeof(parts));
}
