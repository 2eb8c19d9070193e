/* SPDX-License-Identifier: Apache-2.0 */
/* See secret.h. */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int secret_read(const char *path, char *data, size_t size, struct slice *ret_line)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t filled = fd < 0 ? -1 : read(fd, data, size);
    int r = filled < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (r < 0)
        return r;
    struct slice line = slice_make(data, (size_t)filled);
    line.size = slice_find(line, '\n');
    if (slice_ends_with(line, SLICE_LITERAL("\r")))
        line.size--;
    *ret_line = line;
    return 0;
}
