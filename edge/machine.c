/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From /proc and the second version of control groups.
 */
#include "machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The one line "0::/path" is of the second version. */
static uint64_t cgroup_memory_max(void)
{
    char line[512], path[640];
    unsigned long long max = 0;
    FILE *file = fopen("/proc/self/cgroup", "re");

    path[0] = '\0';
    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, "0::", 3) == 0) {
            line[strcspn(line, "\n")] = '\0';
            snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", line + 3);
        }
    if (file)
        fclose(file);
    file = path[0] ? fopen(path, "re") : NULL;
    if (file && fscanf(file, "%llu", &max) != 1)
        max = 0; /* "max" */
    if (file)
        fclose(file);
    return max;
}

void machine_init(struct machine *m, uint64_t memory_max_bytes)
{
    struct rlimit limit;

    m->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    m->memory_max_bytes = memory_max_bytes > 0 ? memory_max_bytes : cgroup_memory_max();
    m->descriptors_max = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 1024;
}

void machine_fini(struct machine *m)
{
    if (m->statm_fd >= 0)
        close(m->statm_fd);
    m->statm_fd = -1;
}

uint64_t machine_memory_pressure(const struct machine *m)
{
    unsigned long long size, resident, shared;
    char text[128];
    ssize_t n =
        m->statm_fd >= 0 && m->memory_max_bytes > 0 ? pread(m->statm_fd, text, sizeof(text) - 1, 0) : -1;

    if (n <= 0)
        return 0;
    text[n] = '\0';
    if (sscanf(text, "%llu %llu %llu", &size, &resident, &shared) != 3 || resident < shared)
        return 0;
    return (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) * 1000 / m->memory_max_bytes;
}

/* The lowest number that is free: there are hardly any gaps below it. */
uint64_t machine_descriptor_pressure(const struct machine *m)
{
    int fd = m->statm_fd >= 0 ? fcntl(m->statm_fd, F_DUPFD_CLOEXEC, 0) : 0;

    if (fd < 0)
        return 1000;
    if (m->statm_fd >= 0)
        close(fd);
    return (uint64_t)fd * 1000 / m->descriptors_max;
}
